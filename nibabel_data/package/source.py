"""What can be installed: the packages in a directory or an archive, as files to be copied."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import join as pjoin
from typing import IO

from ..atomic import replace_file
from ..datasource import CONFIG, read_version
from ..definition import split_spec
from ..environment import cache_dir
from ..errors import ConfigError, DataError
from ..files import annex_command
from ..ini import read_text
from ..packages import DEPTH, child_directories
from .archive import Member, is_archive, open_archive
from .fetch import fetch_file
from .manifest import LARGEST, LEFT_OUT, MANIFEST, package_files
from .registry import REGISTRY

__all__ = ["SourceFile", "SourcePackage", "open_source"]

_SHARE = "share/nipy/"


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
    url, _, fragment = source.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise DataError(f"{url} is to be installed by its hash: {url}#sha256=HASH")
    name = url.partition("?")[0].rstrip("/").rpartition("/")[2] or "archive"
    place = pjoin(cache_dir(), "downloads", digest)
    try:
        os.makedirs(place, exist_ok=True)
        replace_file(
            pjoin(place, REGISTRY), f"{shlex.quote(name)} sha256:{digest} {url}\n".encode()
        )
    except OSError as error:
        raise DataError(
            f"cannot write {place}: {(error.strerror or str(error)).lower()}"
        ) from error
    # It stays until `cache --prune`: other processes may be installing it as well.
    yield str(fetch_file(place, name))


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
        If there is none, or it cannot be read.
    """
    if relpath is not None:
        relpath = split_spec(relpath)[0]
    if os.path.isdir(source):
        yield _named(_in_directory(source), relpath, source)
    elif os.path.isfile(source) and is_archive(source):
        with open_archive(source) as members:
            yield _named(_in_archive(members), relpath, source)
    elif os.path.exists(source):
        raise DataError(f"{source} is neither a directory nor an archive (.zip, .whl, .tar.gz)")
    else:
        raise DataError(f"{source} does not exist")


def _named(packages: list[SourcePackage], relpath: str | None, source: str) -> list[SourcePackage]:
    if not packages:
        raise DataError(f"no data package in {source}: no {CONFIG} with [DEFAULT] and a version")
    if relpath is not None:
        if len(packages) > 1:
            several = ", ".join(package.relpath for package in packages)
            raise DataError(f"{source} holds several packages ({several}): --as names only one")
        return [SourcePackage(relpath, packages[0].files, packages[0].directory)]
    names = [package.relpath for package in packages]
    for package in packages:
        if names.count(package.relpath) > 1:
            raise DataError(f"{source} holds {package.relpath} more than once")
        if "/" not in package.relpath:
            raise DataError(
                f"{source} does not say where its package belongs; name it: "
                f"--as PROJECT/{package.relpath or 'PACKAGE'}"
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
        if state == "absent":
            raise DataError(
                f"the content of {place} is not here; fetch it with\n\n    {annex_command(place)}"
            )
        if state != "file" or status is None:
            what = "a link that leads nowhere" if state == "dangling" else "not a file"
            raise DataError(f"{place} is {what}: it cannot be part of a package")
        files.append(SourceFile(path, status.st_size, _opener(place)))
    manifest = pjoin(directory, MANIFEST)
    if os.path.isfile(manifest):
        files.append(SourceFile(MANIFEST, os.path.getsize(manifest), _opener(manifest)))
    return SourcePackage(relpath, tuple(files), directory)


def _opener(path: str) -> Callable[[], IO[bytes]]:
    def open_it() -> IO[bytes]:
        return open(path, "rb")

    return open_it


def _refuse_linked_directories(directory: str) -> None:
    for here, names, _ in os.walk(directory):
        for name in names:
            if os.path.islink(pjoin(here, name)):
                raise DataError(
                    f"{pjoin(here, name)} is a link to a directory; put the directory itself there"
                )


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
    return LEFT_OUT.isdisjoint(path.split("/")) and not path.startswith(".nibabel-data.")


def _archive_package(top: str, members: list[Member]) -> SourcePackage:
    below = f"{top}/" if top else ""
    files = tuple(
        SourceFile(member.name[len(below) :], member.size, member.open)
        for member in members
        if member.name.startswith(below) and _is_part(member.name[len(below) :])
    )
    relpath = below.rpartition(_SHARE)[2].strip("/") if _SHARE in below else top
    return SourcePackage("/".join(relpath.split("/")[-2:]), files)
