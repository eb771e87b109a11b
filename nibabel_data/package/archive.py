"""Reading archives that may be hostile: what is in them, and nothing outside the package.

Names are checked before anything is written, and only regular files are: a link becomes a copy of
the file that it leads to, which must be a file of the same archive.  So nothing is ever written
through a link.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ..errors import DataError
from .names import folded, path_problem, shortened

__all__ = ["ArchiveError", "Member", "check_name", "is_archive", "is_damage", "open_archive"]

SUFFIXES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

BOMB_RATIO = 1000
BOMB_SIZE = 1 << 30
"""More than a GiB that is a thousandth as long when packed is no data but an attack."""


class ArchiveError(DataError):
    """An archive is refused: damaged, or made to do harm."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Parameters
    ----------
    name : str
        Its path, with forward slashes, checked.
    size : int
        Bytes, as the archive declares them.
    open : callable
        Returns a stream of its content.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: str) -> bool:
    """Return whether a file name is that of an archive that can be read.

    Examples
    --------
    >>> is_archive('templates-0.3.tar.gz'), is_archive('templates')
    (True, False)
    """
    return path.lower().endswith(SUFFIXES)


def check_name(name: str) -> str:
    """Return the name of a member in its normal form, if it is one that may be written.

    Parameters
    ----------
    name : str
        As it stands in the archive.

    Raises
    ------
    ArchiveError
        If it is absolute, leads out, or no system or not every system can hold it.

    Examples
    --------
    >>> check_name('./a//b')
    'a/b'
    >>> check_name('../a')
    Traceback (most recent call last):
    nibabel_data.package.archive.ArchiveError: member '../a' leads out of the archive
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
        raise ArchiveError(f"member {name!r} has an absolute path")
    if ".." in parts:
        raise ArchiveError(f"member {name!r} leads out of the archive")
    if "\\" in name:
        raise ArchiveError(f"member {name!r} has a backslash, which leads out on Windows")
    if not parts:
        raise ArchiveError(f"member {name!r} has no name")
    normal = "/".join(parts)
    if problem := path_problem(normal):
        raise ArchiveError(f"member {shortened(name)!r} cannot be installed: {problem}")
    return normal


@contextmanager
def open_archive(path: str) -> Iterator[list[Member]]:
    """Give the files of an archive, in the order in which they are read best.

    Parameters
    ----------
    path : str
        A zip, a wheel, or a tar with any of Python's compressions.

    Yields
    ------
    list of Member
        Its files, all checked; directories are left out.

    Raises
    ------
    ArchiveError
        If it is damaged, or has a member that may not be written.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _checked(_zip_members(archive), path)
        else:
            with tarfile.open(path) as archive_tar:
                members = _checked(_tar_members(archive_tar), path)
                _read_to_end(archive_tar)
                yield members
    except ArchiveError as error:
        raise ArchiveError(f"{path} is refused: {error}") from error
    except Exception as error:
        if not is_damage(error):
            raise
        # That of tarfile goes on for a line for each compression that was tried.
        reason = str(error).partition("\n")[0].rstrip(": ") or "it ends too early"
        raise ArchiveError(f"{path} is damaged, or no archive: {reason}") from error


def is_damage(error: Exception) -> bool:
    """Return whether an error is how a decompressor says that its input is damaged."""
    if isinstance(error, OSError):  # of gzip and bz2, without a number; not of the file system
        return error.errno is None
    known = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
    return isinstance(error, (*known, ArithmeticError, LookupError, RuntimeError, ValueError))


def _read_to_end(archive: tarfile.TarFile) -> None:
    """Read what follows the last member: there a decompressor finds its checksum."""
    stream = archive.fileobj
    while stream is not None and stream.read(1 << 20):
        pass


def _checked(members: list[Member], path: str) -> list[Member]:
    """Return the members if no two of them are one file, and they are not absurdly large."""
    seen: dict[str, str] = {}
    for member in members:
        key = folded(member.name)
        if key in seen:
            twin = seen[key]
            why = "stands twice" if twin == member.name else f"is {twin!r} on some systems"
            raise ArchiveError(f"member {member.name!r} {why}")
        seen[key] = member.name
    folders: dict[str, str] = {}
    for key, name in seen.items():
        above, folder = key, name
        while "/" in above:
            above, folder = above.rpartition("/")[0], folder.rpartition("/")[0]
            if above in seen:
                raise ArchiveError(f"member {name!r} lies below the file {seen[above]!r}")
            twin = folders.setdefault(above, folder)
            if twin != folder:
                raise ArchiveError(f"member {name!r} lies in {twin!r} on some systems")
    total = sum(member.size for member in members)
    packed = os.path.getsize(path)
    if total > BOMB_SIZE and total > BOMB_RATIO * packed:
        raise ArchiveError(f"its {packed} bytes would unpack to {total}")
    return members


def _zip_members(archive: zipfile.ZipFile) -> list[Member]:
    members = []
    ends = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        name = check_name(info.orig_filename)
        if info.header_offset < ends:
            raise ArchiveError(f"member {name!r} overlaps the one before it")
        ends = info.header_offset + info.compress_size
        mode = info.external_attr >> 16
        if info.is_dir() or stat.S_ISDIR(mode):
            continue
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise ArchiveError(f"member {name!r} is a link or a device, not a file")
        if info.flag_bits & 1:
            raise ArchiveError(f"member {name!r} is encrypted")

        def open_it(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return archive.open(info)

        members.append(Member(name, info.file_size, open_it))
    return members


def _tar_members(archive: tarfile.TarFile) -> list[Member]:
    members = []
    infos = archive.getmembers()
    files = {check_name(info.name): info for info in infos if info.isreg()}
    for info in infos:
        name = check_name(info.name) if info.name not in (".", "./", "") else ""
        if info.isdir():
            continue
        if info.isreg():
            source = info
        elif info.issym() or info.islnk():
            source = _linked(info, name, files)
        else:
            raise ArchiveError(f"member {name!r} is a device, not a file")

        def open_it(source: tarfile.TarInfo = source) -> IO[bytes]:
            stream = archive.extractfile(source)
            if stream is None:
                raise ArchiveError(f"member {source.name!r} has no content")
            return stream

        members.append(Member(name, source.size, open_it))
    return members


def _linked(info: tarfile.TarInfo, name: str, files: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo:
    """Return the file of the archive to which a link leads."""
    above = name.split("/")[:-1] if info.issym() else []
    parts: list[str] = []
    for part in [*above, *info.linkname.split("/")]:
        if part == "..":
            if not parts:
                break
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    else:
        source = files.get("/".join(parts))
        if source is not None and not info.linkname.startswith("/"):
            return source
    raise ArchiveError(f"member {name!r} is a link to {info.linkname!r}, no file of the archive")
