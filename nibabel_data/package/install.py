"""Installing packages without Python packaging, all or nothing."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import join as pjoin
from typing import IO

from ..datasource import CONFIG, VersionedDatasource, read_version
from ..environment import expand, get_nipy_user_dir
from ..errors import ConfigError, DataError
from ..files import human_size
from ..version import DataVersion
from .archive import ArchiveError, is_damage
from .kept import added_files, keep_added, keep_fetched, refuse_foreign
from .layout import distribution_around, named_path, package_relpath
from .manifest import (
    MANIFEST,
    hash_file,
    in_threads,
    manifest_text,
    parse_manifest,
    read_manifest,
    tree_hash,
    workers,
)
from .registry import read_registry
from .source import SourceFile, SourcePackage, local_source, open_source
from .staging import put_in_place, staging_directory
from .verify import verify_directory

__all__ = ["Installed", "install", "install_root"]

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

    Raises
    ------
    DefinitionError
        If a path is empty, or none that a directory can have.

    Examples
    --------
    >>> install_root(prefix='/usr', system=True, destdir='debian/tmp')
    'debian/tmp/usr/share/nipy'
    """
    if root is not None:
        place = expand(named_path(root, "root"))
    elif prefix is not None:
        place = pjoin(expand(named_path(prefix, "prefix")), "share", "nipy")
    elif system:
        place = pjoin("/usr/local" if os.name == "posix" else sys.prefix, "share", "nipy")
    else:
        place = get_nipy_user_dir()
    if destdir:
        below = os.path.relpath(os.path.abspath(place), os.sep)
        return pjoin(named_path(destdir, "destdir"), below)
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
    done: Callable[[Installed], object] | None = None,
) -> list[Installed]:
    """Install the packages of a directory or an archive below a root.

    Each is staged beside its place, compared with the manifest that it carries (without one, one
    is written), and put in place at once.  Of several, each is looked at before the first is
    installed.

    Parameters
    ----------
    source : str or os.PathLike
        A package's directory; a directory with packages below; an archive; or the URL of an
        archive, with ``#sha256=`` and its hash.
    root : str or os.PathLike
        The root, such as `install_root` returns.
    relpath : str, optional
        Where the package is to stand below the root, ``PROJECT/PACKAGE``, if the source does not
        say so.
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
    done : callable, optional
        Called with the result for each package, as soon as it is installed.

    Returns
    -------
    list of Installed
        What was done for each package.

    Raises
    ------
    DataError
        If something stands in the way; what stood there before is left whole.  The attribute
        ``results`` has what was done for packages before that.
    DefinitionError
        If `relpath` is not ``PROJECT/PACKAGE``, or a path is none that a file can have.
    TypeError
        If `source` or `root` is neither a str nor an os.PathLike of str: bytes, for example.
    """
    source = named_path(source, "source")
    root = os.path.abspath(named_path(root, "root"))
    if relpath is not None:
        relpath = package_relpath(relpath)
    copy = _Copy(source, shared, workers(jobs), progress, tree)
    results: list[Installed] = []
    try:
        with local_source(source) as place, open_source(place, relpath) as packages:
            wanted = [package for package in packages if only in (None, package.relpath)]
            if not wanted:
                raise DataError(f"no package {only!r} in {source}")
            if len(wanted) > 1:  # one alone is looked at while it is installed
                _look_at_all(wanted, root, force, link)
            for package in wanted:
                results.append(_install_one(package, root, force, link, copy))
                if done is not None:
                    done(results[-1])
    except DataError as error:
        error.results = tuple(results)
        raise
    return results


@dataclass(frozen=True, slots=True)
class _Copy:
    """How files are copied, and what a person named for it."""

    source: str
    shared: bool
    jobs: int
    progress: Progress | None
    tree: str | None = None


def _look_at_all(packages: list[SourcePackage], root: str, force: bool, link: bool) -> None:
    """Refuse, before anything is changed, what can be seen to fail without copying it."""
    for package in packages:
        target = _target(package, root)
        if link:
            _check_link(package, target, force)
            continue
        carried = package.manifest()
        if carried is not None:
            parse_manifest(carried, f"{package.relpath}/{MANIFEST}")
        before = _before(target, force)
        if before is not None and not force:
            _refuse_downgrade(package.relpath, before, _version_of(package), force)


def _target(package: SourcePackage, root: str) -> str:
    return pjoin(root, *package.relpath.split("/"))


def _version_of(package: SourcePackage) -> DataVersion:
    """Return the version in the source; that it has one was seen when it was opened."""
    config = next(file for file in package.files if file.path == CONFIG)
    text = b"".join(_pieces(config)).decode("utf-8-sig", "replace")
    return read_version(text.replace("\r\n", "\n"), f"{package.relpath}/{CONFIG}")


def _install_one(
    package: SourcePackage, root: str, force: bool, link: bool, copy: _Copy
) -> Installed:
    target = _target(package, root)
    if link:
        return _link(package, target, force)
    carried = package.manifest()
    before = _before(target, force)
    same = carried is not None and not force and _is_there(package, target, carried, copy.jobs)
    if same and before is not None:
        return Installed(package.relpath, target, before, before, changed=False)
    made = _missing_folders(os.path.dirname(target))
    with staging_directory(target) as staged, _naming(staged, package, target, copy.source):
        _check_space(package, staged)
        hashes = _copy_files(package, staged, copy)
        _settle_manifest(package, staged, hashes, carried, copy)
        if copy.tree not in (None, tree_hash(read_manifest(staged) or {})):
            raise DataError(
                f"{package.relpath}: {copy.source} holds other files than are locked; name a "
                "source of those, or lock what is here now: nibabel-data lock"
            )
        version = VersionedDatasource(staged).version
        _refuse_downgrade(package.relpath, before, version, force)
        kept = keep_added(target, staged)
        keep_fetched(target, staged)
        if copy.shared:
            for folder in made:
                os.chmod(folder, os.stat(folder).st_mode | 0o755)
        replaced = put_in_place(staged, target)
    return Installed(package.relpath, target, version, before if replaced else None, True, kept)


@contextmanager
def _naming(staged: str, package: SourcePackage, target: str, source: str) -> Iterator[None]:
    """Let errors name what is there afterwards: the source of what was staged, or the target."""
    try:
        yield
    except ConfigError as error:
        if not error.path.startswith(staged):
            raise
        inside = error.path.removeprefix(staged).lstrip(os.sep)
        place = f"{package.relpath}/{inside} of {source}"
        if package.directory is not None:
            place = pjoin(package.directory, inside)
        raise ConfigError(place, error.line, error.problem) from error
    except DataError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        place = os.fsdecode(error.filename or "")
        if place and place != target and not place.startswith(staged):
            reason = f"{place}: {reason}"
        raise DataError(
            f"cannot install {package.relpath} at {target}: {reason}; nothing was changed"
        ) from error


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
    refuse_foreign(target, "upgrade that, or use --force")
    if not os.path.exists(pjoin(target, MANIFEST)):
        raise DataError(
            f"{target} has no {MANIFEST}: it was not installed here; --force replaces it"
        )
    return version


def _is_there(package: SourcePackage, target: str, carried: str, jobs: int) -> bool:
    """Return whether the same files stand at the target; those known as unchanged are not read."""
    try:
        if os.path.islink(target):
            return False
        if read_manifest(target) != parse_manifest(carried, MANIFEST):
            return False
        if not all(
            os.stat(pjoin(target, *file.path.split("/"))).st_size == file.size
            for file in package.files
        ):
            return False
        # Whoever installs it again may do so because verify found it damaged.
        return all(check.state == "extra" for check in verify_directory(target, jobs=jobs).amiss)
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
    done = in_threads(copy_one, files, copy.jobs if package.directory else 1)
    return dict(zip((file.path for file in files), done, strict=True))


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
    fetched = _fetched(package, staged, hashes, copy)
    if carried is not None:
        expected = parse_manifest(carried, f"{package.relpath}/{MANIFEST}")
        wrong = sorted(
            path
            for path in expected.keys() | (hashes.keys() - fetched)
            if expected.get(path) != hashes.get(path)
        )
        if wrong:
            shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if wrong[3:] else "")
            mend = "delete the manifest"
            if package.directory is not None:
                made = distribution_around(package.directory) or package.directory
                mend = f"write the manifest anew: nibabel-data build {shlex.quote(made)}"
            raise DataError(
                f"{package.relpath} does not hold what its {MANIFEST} says: {shown}; "
                f"get it again (if you changed it yourself, {mend})"
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


def _fetched(package: SourcePackage, staged: str, hashes: dict[str, str], copy: _Copy) -> set[str]:
    """Return the files that the package promises; refuse them if they are not what it promises."""
    registry = read_registry(staged)
    entries = {} if registry is None else registry.entries
    fetched = entries.keys() & hashes.keys()
    for path in sorted(fetched):
        entry, digest = entries[path], hashes[path]
        if entry.algorithm != "sha256":
            digest = hash_file(pjoin(staged, *path.split("/")), entry.algorithm)
        difference = entry.difference(f"{package.relpath}/{path}", digest)
        if difference:
            raise DataError(
                f"{difference}; nothing was changed. Get {copy.source} again, or leave that file "
                "out of it: nibabel-data fetch gets it"
            )
    return fetched


def _refuse_downgrade(
    relpath: str, before: DataVersion | None, version: DataVersion, force: bool
) -> None:
    if before is None or force or not (before.is_pep440 and version.is_pep440):
        return
    if version < before:
        raise DataError(
            f"{relpath} {before} is installed, which is newer than {version}; --force replaces it"
        )


def _missing_folders(folder: str) -> list[str]:
    """Return the directories on the way to one, itself included, that are not there."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _link(package: SourcePackage, target: str, force: bool) -> Installed:
    directory, version, before = _check_link(package, target, force)
    if os.path.islink(target) and os.path.realpath(target) == os.path.realpath(directory):
        return Installed(package.relpath, target, version, version, changed=False)
    with staging_directory(target) as staged, _naming(staged, package, target, directory):
        os.rmdir(staged)
        os.symlink(directory, staged, target_is_directory=True)
        put_in_place(staged, target)
    return Installed(package.relpath, target, version, before, True)


def _check_link(
    package: SourcePackage, target: str, force: bool
) -> tuple[str, DataVersion, DataVersion | None]:
    """Return the directory, its version and the one before; refuse what cannot be linked."""
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
    if os.path.isdir(target) and not os.path.islink(target) and (added := added_files(target)):
        raise DataError(f"{target} holds {added[0]}, which was not installed: move it away first")
    return package.directory, version, before
