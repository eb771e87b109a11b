"""What can be installed: the packages in a directory or an archive, as files to be copied."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import join as pjoin
from typing import IO

from ..datasource import CONFIG, read_version
from ..definition import split_spec
from ..environment import cache_dir
from ..errors import ConfigError, DataError
from ..files import PARTIAL, annex_command, is_pointer
from ..ini import read_text
from ..packages import DEPTH, child_directories
from ..table import counted
from .archive import SUFFIXES, ArchiveError, Member, is_archive, open_archive
from .download import download
from .fetch import is_offline
from .manifest import LARGEST, LEFT_OUT, MANIFEST, package_files
from .names import DEEPEST, collision, name_problem, path_problem, relpath_problem, shortened
from .partial import open_partial, turn
from .transport import TransferError, Transport, is_local, shown

__all__ = ["SourceFile", "SourcePackage", "check_source", "local_source", "open_source"]

_SHARE = "share/nipy/"
_POINTER = 32768
"""Bytes; a larger file is not opened to see whether it is a pointer of git-annex."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that is to be copied.

    Parameters
    ----------
    path : str
        Its path in the package, with forward slashes.
    size : int
        Bytes.
    open : callable
        Returns a stream of its content.
    """

    path: str
    size: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class SourcePackage:
    """One package that can be installed.

    Parameters
    ----------
    relpath : str
        Its directory below a root, with forward slashes.
    files : tuple of SourceFile
        Its files, the manifest among them if it has one.
    directory : str or None
        Where it lies, if it is a directory.
    """

    relpath: str
    files: tuple[SourceFile, ...]
    directory: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def manifest(self) -> str | None:
        """Return the text of the manifest that it carries, or None."""
        for file in self.files:
            if file.path == MANIFEST:
                if file.size > LARGEST:
                    raise DataError(f"{self.relpath}/{MANIFEST}: too long for a manifest")
                with file.open() as stream:
                    return stream.read(file.size).decode("utf-8", "replace")
        return None


@contextmanager
def local_source(source: str) -> Iterator[str]:
    """Give a source as a path: what a URL leads to is downloaded into the cache, and checked.

    Parameters
    ----------
    source : str
        A path; or a URL with ``#sha256=`` and the hash of what it leads to.

    Yields
    ------
    str
        The path.

    Raises
    ------
    DataError
        If the URL has no hash, or what it leads to cannot be had, or has another hash.
    """
    if "://" not in source:
        yield source
        return
    url, digest = _url_and_digest(source)
    place = pjoin(cache_dir(), "downloads", digest)
    # It stays until `cache --prune`: other processes may be installing it as well.
    target = pjoin(place, _archive_name(url))
    if not os.path.isfile(target):
        _download(url, digest, place, target)
    yield target


def _url_and_digest(source: str) -> tuple[str, str]:
    url, _, fragment = source.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if not is_archive(_archive_name(url)):
        raise DataError(f"{shown(url)} names no archive (.zip, .whl, .tar.gz)")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise DataError(f"{shown(url)} is to be installed by its hash: {shown(url)}#sha256=HASH")
    return url, digest


def _archive_name(url: str) -> str:
    """Return what the file that a URL leads to is called here: a name that every system holds."""
    name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    if not name_problem(name) and not name.startswith("."):
        return name
    ending = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return f"archive{ending}"


def _download(url: str, digest: str, place: str, target: str) -> None:
    """Put what a URL leads to at a place in the cache, once it has the hash."""
    command = shlex.join(["nibabel-data", "install", f"{shown(url)}#sha256={digest}"])
    if is_offline() and not is_local(url):
        raise DataError(
            f"{shown(url)} is not here, and NIBABEL_DATA_OFFLINE forbids to download it; where "
            f"there is a network, run\n\n    {command}"
        )
    transport = Transport()
    try:
        os.makedirs(place, exist_ok=True)
        with turn(digest, [place]):
            if os.path.isfile(target):
                return  # by another process, while this one waited
            partial = open_partial(place, "sha256", digest)
            try:
                download([url], partial, transport)
                partial.finish(target)
            except TransferError as error:
                raise DataError(_failure(url, error, partial.size, command)) from error
            finally:
                partial.keep()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(
            f"cannot write {place}: {reason}; name a directory that can be written in "
            "NIBABEL_DATA_CACHE"
        ) from error
    finally:
        transport.close()


def _failure(url: str, error: TransferError, size: int, command: str) -> str:
    kept = (
        f" ({counted(size, 'byte is', 'bytes are')} here and not downloaded again)" if size else ""
    )
    lines = "".join(
        f"\n    {line.removeprefix(f'{shown(url)}: ')}" for line in f"{error}".split("\n")
    )
    step = "try again later" if error.again else "when that is mended, try again"
    return f"cannot download {shown(url)}:{lines}\n\nNext: {step}{kept}\n\n    {command}"


def check_source(source: str) -> None:
    """Refuse what can be seen to be no source, without reading or downloading it.

    Parameters
    ----------
    source : str
        A path, or a URL with ``#sha256=``.

    Raises
    ------
    DataError
        If nothing is there, or neither a directory nor an archive, or the URL has no hash.
    """
    if "://" in source:
        _url_and_digest(source)
    elif not os.path.exists(source):
        raise DataError(f"{source} does not exist")
    elif not os.path.isdir(source) and not (os.path.isfile(source) and is_archive(source)):
        raise DataError(f"{source} is neither a directory nor an archive (.zip, .whl, .tar.gz)")


@contextmanager
def open_source(source: str, relpath: str | None = None) -> Iterator[list[SourcePackage]]:
    """Give the packages of a directory or an archive.

    Parameters
    ----------
    source : str
        A package's directory; a directory with packages below (``<project>/<package>``); or an
        archive: ``.zip``, ``.tar.*``, a wheel, an sdist, a bundle.
    relpath : str, optional
        Where the package is to stand below a root, if its place in the source does not say so.

    Yields
    ------
    list of SourcePackage
        At least one.

    Raises
    ------
    DataError
        If there is none, or it cannot be read, or it has a name that not every system can hold.
    """
    if relpath is not None:
        relpath = split_spec(relpath)[0]
    check_source(source)
    if os.path.isdir(source):
        yield _named(_in_directory(source), relpath, source)
        return
    with open_archive(source) as members:
        yield _named(_in_archive(members), relpath, source)


def _named(packages: list[SourcePackage], relpath: str | None, source: str) -> list[SourcePackage]:
    if not packages:
        raise DataError(f"no data package in {source}: no {CONFIG} with [DEFAULT] and a version")
    if relpath is not None:
        if len(packages) > 1:
            several = ", ".join(package.relpath for package in packages)
            raise DataError(f"{source} holds several packages ({several}): --as names only one")
        packages = [SourcePackage(relpath, packages[0].files, packages[0].directory)]
    names = [package.relpath for package in packages]
    for package in packages:
        if names.count(package.relpath) > 1:
            raise DataError(f"{source} holds {package.relpath} more than once")
        if relpath is None and "/" not in package.relpath:
            raise DataError(
                f"{source} does not say where its package belongs; name it: "
                f"--as PROJECT/{package.relpath or 'PACKAGE'}"
            )
        if problem := relpath_problem(package.relpath):
            raise DataError(
                f"{source} holds a package that cannot stand at {package.relpath!r}: {problem}; "
                "name another place: --as PROJECT/PACKAGE"
            )
    return packages


def _in_directory(source: str) -> list[SourcePackage]:
    top = os.path.abspath(source)
    if _is_package(top):
        return [_directory_package("/".join(top.split(os.sep)[-2:]).strip("/"), top)]
    return [
        _directory_package(relpath, directory)
        for relpath, directory in child_directories(top, DEPTH)
        if _is_package(directory)
    ]


def _is_package(directory: str) -> bool:
    config = pjoin(directory, CONFIG)
    try:
        read_version(read_text(config)[0], config)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"cannot read {config}: {(error.strerror or str(error)).lower()}") from None
    return True


def _directory_package(relpath: str, directory: str) -> SourcePackage:
    _refuse_linked_directories(directory)
    files = []
    for path, state, status in package_files(directory):
        place = pjoin(directory, *path.split("/"))
        if state == "file" and status is not None and status.st_size < _POINTER:
            state = "absent" if is_pointer(place) else state
        if state == "absent":
            raise DataError(
                f"the content of {place} is not here; fetch it with\n\n    {annex_command(place)}"
            )
        if state != "file" or status is None:
            what = "a link that leads nowhere" if state == "dangling" else "not a file"
            raise DataError(f"{place} is {what}: it cannot be part of a package")
        if path.count("/") >= DEEPEST:
            raise DataError(f"{shortened(place)} cannot be installed: {path_problem(path)}")
        files.append(SourceFile(path, status.st_size, _opener(place)))
    if problem := collision((file.path for file in files), MANIFEST):
        raise DataError(f"{directory} cannot be installed: {problem}; rename one of the two")
    manifest = pjoin(directory, MANIFEST)
    if os.path.isfile(manifest):
        files.append(SourceFile(MANIFEST, os.path.getsize(manifest), _opener(manifest)))
    return SourcePackage(relpath, tuple(files), directory)


def _opener(path: str) -> Callable[[], IO[bytes]]:
    def open_it() -> IO[bytes]:
        return open(path, "rb")

    return open_it


def _refuse_linked_directories(directory: str) -> None:
    pending = [directory]  # os.walk would call itself for each level
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as scan:
            for entry in scan:
                if entry.is_symlink() and entry.is_dir():
                    raise DataError(
                        f"{entry.path} is a link to a directory; put the directory itself there"
                    )
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)


def _in_archive(members: list[Member]) -> list[SourcePackage]:
    tops: list[str] = []
    for member in sorted(members, key=lambda member: member.name.count("/")):
        above, _, name = member.name.rpartition("/")
        inside = any(f"{above}/".startswith(f"{top}/" if top else "") for top in tops)
        if name == CONFIG and not inside and _has_version(member):
            tops.append(above)
    return [_archive_package(top, members) for top in sorted(tops)]


def _has_version(member: Member) -> bool:
    if member.size > 1 << 20:
        return False
    with member.open() as stream:
        text = stream.read(member.size).decode("utf-8-sig", "replace")
    try:
        read_version(text.replace("\r\n", "\n"), member.name)
    except ConfigError:
        return False
    return True


def _is_part(path: str) -> bool:
    """Return whether a member is one of a package: those of version control are not."""
    return LEFT_OUT.isdisjoint(path.split("/")) and not path.startswith(PARTIAL)


def _archive_package(top: str, members: list[Member]) -> SourcePackage:
    below = f"{top}/" if top else ""
    files = tuple(
        SourceFile(member.name[len(below) :], member.size, member.open)
        for member in members
        if member.name.startswith(below) and _is_part(member.name[len(below) :])
    )
    if problem := collision((file.path for file in files), MANIFEST):
        raise ArchiveError(f"in {top or 'its package'}, {problem}")
    relpath = below.rpartition(_SHARE)[2].strip("/") if _SHARE in below else top
    return SourcePackage("/".join(relpath.split("/")[-2:]), files)
