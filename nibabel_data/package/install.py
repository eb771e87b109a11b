"""Installing and removing packages without Python packaging, all or nothing."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from os.path import join as pjoin
from typing import IO

from ..datasource import VersionedDatasource
from ..distributions import owner_of
from ..environment import expand, get_nipy_user_dir
from ..errors import DataError
from ..files import human_size
from ..version import DataVersion
from .archive import ArchiveError, is_damage
from .layout import distribution_around
from .manifest import (
    MANIFEST,
    manifest_text,
    parse_manifest,
    read_manifest,
    tree_hash,
    workers,
)
from .registry import promised
from .source import SourceFile, SourcePackage, local_source, open_source
from .staging import put_in_place, staging_directory

__all__ = ["Installed", "Removed", "install", "install_root", "remove"]

Progress = Callable[[int], object]

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Installed:
    """What `install` did for one package.

    Parameters
    ----------
    relpath : str
        Its directory below the root, with forward slashes.
    path : str
        Where it is.
    version : DataVersion
        Its version.
    before : DataVersion or None
        The version that stood there before.
    changed : bool
        False if the same files stood there already.
    kept : tuple of str
        Files of the old version that a person had added, which were kept.
    """

    relpath: str
    path: str
    version: DataVersion
    before: DataVersion | None
    changed: bool
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """What `remove` did.

    Parameters
    ----------
    path : str
        The package's directory.
    files : int
        How many files were removed.
    kept : tuple of str
        Files that a person had added, which were kept.
    """

    path: str
    files: int
    kept: tuple[str, ...] = ()


def install_root(
    *,
    root: str | os.PathLike[str] | None = None,
    prefix: str | os.PathLike[str] | None = None,
    system: bool = False,
    destdir: str | os.PathLike[str] | None = None,
) -> str:
    """Return the root below which packages are installed.

    Parameters
    ----------
    root : str or os.PathLike, optional
        The root itself.
    prefix : str or os.PathLike, optional
        A prefix, such as ``sys.prefix`` or ``/usr``: the root is its ``share/nipy``.
    system : bool, optional
        For all users of the machine: as the prefix ``/usr/local``, or `prefix` if given.
    destdir : str or os.PathLike, optional
        A staging directory for distribution packagers, put before the root.

    Returns
    -------
    str
        The root; by default the user's NIPY directory.

    Examples
    --------
    >>> install_root(prefix='/usr', system=True, destdir='debian/tmp')
    'debian/tmp/usr/share/nipy'
    """
    if root is not None:
        place = expand(os.fspath(root))
    elif prefix is not None:
        place = pjoin(expand(os.fspath(prefix)), "share", "nipy")
    elif system:
        place = pjoin("/usr/local" if os.name == "posix" else sys.prefix, "share", "nipy")
    else:
        place = get_nipy_user_dir()
    if destdir:
        return pjoin(os.fspath(destdir), os.path.relpath(os.path.abspath(place), os.sep))
    return os.path.abspath(place)


def install(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str],
    relpath: str | None = None,
    force: bool = False,
    link: bool = False,
    shared: bool = False,
    only: str | None = None,
    tree: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[Installed]:
    """Install the packages of a directory or an archive below a root.

    Each is staged beside its place, compared with the manifest that it carries (without one, one
    is written), and put in place at once.

    Parameters
    ----------
    source : str or os.PathLike
        A package's directory; a directory with packages below; an archive; or the URL of an
        archive, with ``#sha256=`` and its hash.
    root : str or os.PathLike
        The root, such as `install_root` returns.
    relpath : str, optional
        Where the package is to stand below the root, if the source does not say so.
    force : bool, optional
        Whether to replace a newer version, or a directory that was not installed by this library.
    link : bool, optional
        Whether to put a link to the source's directory there, and copy nothing.
    shared : bool, optional
        Whether group and others may read, whatever the umask is.
    only : str, optional
        The one package that is wanted of several in the source.
    tree : str, optional
        The tree hash that it must have.
    jobs : int, optional
        How many files of a directory are copied at a time; by default one for each processor.
    progress : callable, optional
        Called with the number of bytes of each piece that was copied.

    Returns
    -------
    list of Installed
        What was done for each package.

    Raises
    ------
    DataError
        If something stands in the way; what stood there before is left whole.
    """
    root = os.path.abspath(os.fspath(root))
    copy = _Copy(shared, workers(jobs), progress, tree)
    with local_source(os.fspath(source)) as place, open_source(place, relpath) as packages:
        wanted = [package for package in packages if only in (None, package.relpath)]
        if not wanted:
            raise DataError(f"no package {only!r} in {source}")
        return [_install_one(package, root, force, link, copy) for package in wanted]


@dataclass(frozen=True, slots=True)
class _Copy:
    """How files are copied."""

    shared: bool
    jobs: int
    progress: Progress | None
    tree: str | None = None


def _install_one(
    package: SourcePackage, root: str, force: bool, link: bool, copy: _Copy
) -> Installed:
    target = pjoin(root, *package.relpath.split("/"))
    if link:
        return _link(package, target, force)
    carried = package.manifest()
    before = _before(target, force)
    same = carried is not None and not force and _is_there(package, target, carried)
    if same and before is not None:
        return Installed(package.relpath, target, before, before, changed=False)
    made = _missing_folders(os.path.dirname(target))
    try:
        with staging_directory(target) as staged:
            _check_space(package, staged)
            hashes = _copy_files(package, staged, copy)
            _settle_manifest(package, staged, hashes, carried, copy)
            if copy.tree not in (None, tree_hash(read_manifest(staged) or {})):
                raise DataError(f"{package.relpath}: the source holds other files than are locked")
            version = VersionedDatasource(staged).version
            _refuse_downgrade(package.relpath, before, version, force)
            kept = _keep_added(target, staged)
            _keep_fetched(target, staged)
            if copy.shared:
                for folder in made:
                    os.chmod(folder, os.stat(folder).st_mode | 0o755)
            replaced = put_in_place(staged, target)
    except OSError as error:
        raise DataError(
            f"cannot install {package.relpath} in {root}: "
            f"{(error.strerror or str(error)).lower()}; nothing was changed"
        ) from error
    return Installed(package.relpath, target, version, before if replaced else None, True, kept)


def _before(target: str, force: bool) -> DataVersion | None:
    """Return the version that stands at the target; refuse to replace what is not ours."""
    if not os.path.lexists(target):
        return None
    try:
        version: DataVersion | None = VersionedDatasource(target).version
    except DataError:
        version = None
    empty = os.path.isdir(target) and not os.listdir(target)
    if force or empty or os.path.islink(target):
        return version
    _refuse_foreign(target, "upgrade that, or use --force")
    if not os.path.exists(pjoin(target, MANIFEST)):
        raise DataError(
            f"{target} has no {MANIFEST}: it was not installed here; --force replaces it"
        )
    return version


def _refuse_foreign(target: str, mend: str) -> None:
    """Refuse what a distribution owns, and what is the source of one."""
    owner = owner_of(target)
    if owner is not None:
        raise DataError(f"{target} belongs to {owner}: {mend}")
    around = distribution_around(target)
    if around is not None:
        raise DataError(f"{target} is the source of the distribution at {around}")


def _is_there(package: SourcePackage, target: str, carried: str) -> bool:
    """Return whether the same files stand at the target, as far as names and sizes tell."""
    try:
        if os.path.islink(target):
            return False
        if read_manifest(target) != parse_manifest(carried, MANIFEST):
            return False
        return all(
            os.stat(pjoin(target, *file.path.split("/"))).st_size == file.size
            for file in package.files
        )
    except (DataError, OSError):
        return False


def _check_space(package: SourcePackage, staged: str) -> None:
    free = shutil.disk_usage(staged).free
    if package.size > free:
        raise DataError(
            f"{package.relpath} needs {human_size(package.size)}, but only "
            f"{human_size(free)} are free at {os.path.dirname(staged)}; nothing was changed"
        )


def _copy_files(package: SourcePackage, staged: str, copy: _Copy) -> dict[str, str]:
    """Copy every file but the manifest; return hash by path."""
    files = [file for file in package.files if file.path != MANIFEST]
    for folder in sorted({os.path.dirname(file.path) for file in files}):
        os.makedirs(pjoin(staged, *folder.split("/")), exist_ok=True)

    def copy_one(file: SourceFile) -> str:
        return _copy_stream(file, pjoin(staged, *file.path.split("/")), copy)

    # The members of an archive are read one after the other, those of a directory side by side.
    with ThreadPoolExecutor(copy.jobs if package.directory else 1) as pool:
        return dict(zip((file.path for file in files), pool.map(copy_one, files), strict=True))


def _copy_stream(file: SourceFile, destination: str, copy: _Copy) -> str:
    digest, copied = hashlib.sha256(), 0
    with open(destination, "xb", buffering=0) as out:
        for piece in _pieces(file):
            copied += len(piece)
            if copied > file.size:
                raise ArchiveError(f"{file.path!r} is longer than the {file.size} bytes declared")
            digest.update(piece)
            _write_all(out, piece)
            if copy.progress is not None:
                copy.progress(len(piece))
    if copied < file.size:
        raise ArchiveError(f"{file.path!r} is cut short: {copied} of {file.size} bytes")
    if copy.shared:
        os.chmod(destination, os.stat(destination).st_mode | 0o644)
    return digest.hexdigest()


def _pieces(file: SourceFile) -> Iterator[bytes]:
    """Yield the content; what a decompressor says of damage becomes an error of this library."""
    try:
        with file.open() as source:
            while piece := source.read(_PIECE):
                yield piece
    except Exception as error:
        if not is_damage(error):
            raise
        raise ArchiveError(f"{file.path!r} is damaged: {error}") from error


def _write_all(out: IO[bytes], piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[out.write(view) :]


def _settle_manifest(
    package: SourcePackage, staged: str, hashes: dict[str, str], carried: str | None, copy: _Copy
) -> None:
    """Compare what was copied with the manifest that the package carries, and write it."""
    fetched = {
        path for path, mark in promised(staged).items() if mark == f"sha256:{hashes.get(path)}"
    }
    if carried is not None:
        expected = parse_manifest(carried, f"{package.relpath}/{MANIFEST}")
        wrong = sorted(
            path
            for path in expected.keys() | (hashes.keys() - fetched)
            if expected.get(path) != hashes.get(path)
        )
        if wrong:
            shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if wrong[3:] else "")
            raise DataError(
                f"{package.relpath} does not hold what its {MANIFEST} says: {shown}; "
                "get it again (if you changed it yourself, delete the manifest)"
            )
        text = carried
    else:
        text = manifest_text({path: hashes[path] for path in hashes.keys() - fetched})
    with open(pjoin(staged, MANIFEST), "x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    if copy.shared:
        for here, _, _ in os.walk(staged):
            os.chmod(here, os.stat(here).st_mode | 0o755)
        os.chmod(pjoin(staged, MANIFEST), 0o644)


def _refuse_downgrade(
    relpath: str, before: DataVersion | None, version: DataVersion, force: bool
) -> None:
    if before is None or force or not (before.is_pep440 and version.is_pep440):
        return
    if version < before:
        raise DataError(
            f"{relpath} {before} is installed, which is newer than {version}; --force replaces it"
        )


def _added(target: str) -> list[str]:
    """Return what a person added to a target: whatever is neither listed nor fetched.

    Also what is never part of a package (``.git``), links and empty directories.  The target may
    be exchanged for another version while it is looked at: then again.
    """
    while True:
        listed = read_manifest(target) or {}
        known = {MANIFEST, *listed, *promised(target)}
        added = [path for path in _everything(target) if path not in known]
        if (read_manifest(target) or {}) == listed:
            return sorted(added)


def _everything(target: str) -> Iterator[str]:
    """Yield every file, link and empty directory below a directory, with forward slashes."""
    for here, folders, names in os.walk(target):
        inside = os.path.relpath(here, target).replace(os.sep, "/")
        links = [name for name in folders if os.path.islink(pjoin(here, name))]
        for name in (*names, *links):
            path = name if inside == "." else f"{inside}/{name}"
            if not path.startswith(".nibabel-data."):
                yield path
        if not names and not folders and inside != ".":
            yield inside


def _keep_added(target: str, staged: str) -> tuple[str, ...]:
    """Put what a person added to the old version into the new one."""
    if os.path.islink(target) or not os.path.isdir(target):
        return ()
    kept = []
    for path in _added(target):
        source, place = pjoin(target, *path.split("/")), pjoin(staged, *path.split("/"))
        with suppress(FileNotFoundError):  # whoever added it took it away again
            if os.path.isfile(place) and os.path.isfile(source):
                if filecmp.cmp(source, place, shallow=False):
                    continue
                path, place = f"{path}.orig", f"{place}.orig"
            try:
                _carry(source, place)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise DataError(
                    f"{source} was added to the old version, and stands in the way of the new; "
                    "move it away"
                ) from error
            kept.append(path)
    return tuple(kept)


def _keep_fetched(target: str, staged: str) -> None:
    """Put what was fetched for the old version into the new one, if it promises the same."""
    if os.path.islink(target) or not os.path.isdir(target):
        return
    now = promised(staged)
    for path, mark in promised(target).items():
        place = pjoin(staged, *path.split("/"))
        if now.get(path) == mark and not os.path.lexists(place):
            with suppress(FileNotFoundError):  # it was not fetched
                _carry(pjoin(target, *path.split("/")), place)


def _carry(source: str, destination: str) -> None:
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        os.makedirs(destination, exist_ok=True)
        return
    if os.path.lexists(destination):
        raise FileExistsError(destination)
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, destination, follow_symlinks=False)


def _missing_folders(folder: str) -> list[str]:
    """Return the directories on the way to one, itself included, that are not there."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _link(package: SourcePackage, target: str, force: bool) -> Installed:
    if package.directory is None:
        raise DataError("--link needs a directory, which is used in place; an archive has none")
    version = VersionedDatasource(package.directory).version
    real, place = os.path.realpath(package.directory), os.path.realpath(target)
    if not os.path.islink(target) and f"{place}{os.sep}".startswith(f"{real}{os.sep}"):
        raise DataError(f"{target} is the directory itself, or inside it: there is nothing to link")
    if not os.path.islink(target) and f"{real}{os.sep}".startswith(f"{place}{os.sep}"):
        raise DataError(f"{real} is inside {target}, which the link would replace")
    if os.path.lexists(target) and not os.path.islink(target) and not force:
        raise DataError(f"{target} is a directory of its own; --force replaces it by a link")
    before = _before(target, force)
    _refuse_downgrade(package.relpath, before, version, force)
    if os.path.isdir(target) and not os.path.islink(target) and (added := _added(target)):
        raise DataError(f"{target} holds {added[0]}, which was not installed: move it away first")
    if os.path.islink(target) and os.path.realpath(target) == os.path.realpath(package.directory):
        return Installed(package.relpath, target, version, version, changed=False)
    with staging_directory(target) as staged:
        os.rmdir(staged)
        os.symlink(package.directory, staged, target_is_directory=True)
        put_in_place(staged, target)
    return Installed(package.relpath, target, version, before, True)


def remove(path: str | os.PathLike[str]) -> Removed:
    """Remove a package that was installed by this library, at once.

    Parameters
    ----------
    path : str or os.PathLike
        The package's directory.  If it is a link, the link alone is removed.

    Returns
    -------
    Removed
        What was removed, and what was kept because a person had added it.

    Raises
    ------
    DataError
        If it has no manifest, or belongs to a distribution; nothing is removed then.
    """
    target = os.path.abspath(os.fspath(path))
    if os.path.islink(target):
        try:
            os.unlink(target)
        except OSError as error:
            raise DataError(f"cannot remove {target}: {(error.strerror or '').lower()}") from error
        return Removed(target, 1)
    listed = read_manifest(target)
    _refuse_foreign(target, "remove that, for example with pip uninstall")
    if listed is None:
        raise DataError(f"{target} has no {MANIFEST}, which would say what is to be removed")
    added = tuple(_added(target))
    try:
        with staging_directory(target) as staged:
            for name in added:
                _carry(pjoin(target, *name.split("/")), pjoin(staged, *name.split("/")))
            if added:
                put_in_place(staged, target)
            else:
                os.rename(target, pjoin(staged, "removed"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot remove {target}: {reason}") from error
    with suppress(OSError):  # the project's directory, if this was its last package
        os.rmdir(os.path.dirname(target))
    return Removed(target, len(listed) + 1, added)
