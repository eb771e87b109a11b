"""Partial files: what has arrived of a file, hashed as it arrives, to be resumed if it breaks off.

A partial lies in the directory of the package, or of its overlay, with a hidden name that holds the
beginning of the expected hash, who writes it, and a random number::

    .nibabel-data.9f86d081884c7d65.node7-4026531836-1234.5e1f0a9b.part

It belongs to the process that made it, and nobody else writes to it: this is what makes it safe
without locks.  One whose process is gone is taken over by renaming it, which only one process can
do; of a process on another machine, or in another container, nobody knows whether it is gone, so
that its partial is left alone, and removed after a week.

Beside it lies ``….part.from``, if the server named a validator (an ``ETag``, or the time of the
last change), with the URL: given back, it lets the server tell whether the file is still the same.
It spares a wasted transfer, nothing rests on it: the hash decides.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os.path import join as pjoin
from typing import BinaryIO

from ..atomic import is_alive
from ..environment import cache_dir
from ..errors import DataError

__all__ = ["Partial", "is_read_only", "open_partial", "turn"]

_NAME = re.compile(r"\.nibabel-data\.([0-9a-f]{16})\.(.+)-(\d+)\.([0-9a-f]+)\.part(\.from)?")
_WEEK = 7 * 24 * 3600
_PIECE = 1 << 20
_STALLED = 120.0
"""Seconds; a process that has written nothing for so long is not waited for."""

_LOOK = 2.0
"""Seconds between looking whether it has."""
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}

_mine: set[str] = set()
"""Partials that threads of this process are writing to."""


def _machine() -> str:
    """Return what tells this machine's processes from others: the same number, another process."""
    host = re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname()) or "localhost"
    try:
        return f"{host}-{re.sub('[^0-9]', '', os.readlink('/proc/self/ns/pid'))}"
    except OSError:
        return f"{host}-0"


class Partial:
    """A file of this process alone, with the hash of what is in it.

    Parameters
    ----------
    path : str
        The file; it must not exist, unless `resume`.
    algorithm, digest : str
        The expected hash.
    resume : bool, optional
        Whether to go on with what is there.

    Attributes
    ----------
    size : int
        Bytes that are there.

    Raises
    ------
    OSError
        If the file cannot be made or read.
    """

    __slots__ = ("_algorithm", "_digest", "_file", "_from", "_hash", "path", "size")

    def __init__(self, path: str, algorithm: str, digest: str, *, resume: bool = False) -> None:
        self.path = path
        self._algorithm, self._digest = algorithm, digest
        # Unbuffered: what was written is there, also if the next moment kills the process.
        self._file: BinaryIO = open(path, "r+b" if resume else "x+b", buffering=0)  # noqa: SIM115
        self._from = "", ""
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self.size = 0
        while resume and (piece := self._file.read(_PIECE)):
            self._hash.update(piece)
            self.size += len(piece)
        if resume:
            with suppress(OSError, ValueError), open(f"{path}.from", encoding="utf-8") as file:
                url, validator = file.read(10_000).split("\n")[:2]
                self._from = url, validator

    def write(self, piece: bytes) -> None:
        """Add bytes at the end.

        Raises
        ------
        DataError
            If they cannot be written; then the partial is removed, so that the disk is free again.
        """
        left = memoryview(piece)
        while left:
            try:
                left = left[self._file.write(left) :]
            except OSError as error:
                self.discard()
                raise DataError(_cannot_write(self.path, error)) from error
        self._hash.update(piece)
        self.size += len(piece)

    def restart(self, url: str = "", validator: str = "") -> None:
        """Throw away what is there; what will come is from `url`, which says `validator` of it."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self._from = "", ""
        self.size = 0
        with suppress(OSError):
            os.unlink(f"{self.path}.from")
        if validator:
            self._from = url, validator
            with suppress(OSError), open(f"{self.path}.from", "w", encoding="utf-8") as file:
                file.write(f"{url}\n{validator}\n")

    def validator_of(self, url: str) -> str:
        """Return what a URL said of its file when the first bytes came from it; else nothing."""
        return self._from[1] if self._from[0] == url else ""

    @property
    def found(self) -> str:
        """The hash of what is there, with its algorithm."""
        return f"{self._algorithm} {self._hash.hexdigest()}"

    @property
    def expected(self) -> str:
        """The hash that the whole file has, with its algorithm."""
        return f"{self._algorithm} {self._digest}"

    @property
    def is_right(self) -> bool:
        """Whether what is there is the whole file."""
        return self.found == self.expected

    def finish(self, target: str) -> None:
        """Make it visible as `target`, by one rename.

        Raises
        ------
        DataError
            If that cannot be.
        """
        try:
            os.fsync(self._file.fileno())  # a power cut must not leave the name without the bytes
            self._file.close()
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(self.path, target)
        except OSError as error:
            self.discard()
            if not os.path.isfile(target):  # Windows: another process put it there, and reads it
                raise DataError(_cannot_write(target, error)) from error
        self._forget()

    def keep(self) -> None:
        """Leave it to be resumed, if there is anything in it."""
        if not self.size:
            self.discard()
            return
        self._file.close()
        _mine.discard(self.path)

    def discard(self) -> None:
        """Remove it."""
        self._file.close()
        with suppress(OSError):
            os.unlink(self.path)
        self._forget()

    def _forget(self) -> None:
        _mine.discard(self.path)
        with suppress(OSError):
            os.unlink(f"{self.path}.from")


def _cannot_write(path: str, error: OSError) -> str:
    return f"cannot write {path}: {(error.strerror or str(error)).lower()}"


def is_read_only(error: OSError) -> bool:
    """Return whether an error says that a directory cannot be written by this user."""
    return error.errno in _READ_ONLY


def open_partial(folder: str, algorithm: str, digest: str) -> Partial:
    """Return a partial to write to: one that a process which is gone has left, or a new one.

    Parameters
    ----------
    folder : str
        The directory in which partials lie.
    algorithm, digest : str
        The expected hash.

    Raises
    ------
    OSError
        If the directory cannot be written.
    """
    machine = _machine()
    path = f"{_stem(folder, digest)}{machine}-{os.getpid()}.{secrets.token_hex(4)}.part"
    _mine.add(path)
    try:
        for _, orphan in sorted(_orphans(folder, digest, machine), reverse=True):
            if not os.path.exists(path):
                with suppress(OSError):  # another process was faster
                    os.rename(orphan, path)
                    os.rename(f"{orphan}.from", f"{path}.from")
                continue
            for left in (orphan, f"{orphan}.from"):
                with suppress(OSError):
                    os.unlink(left)
        return Partial(path, algorithm, digest, resume=os.path.exists(path))
    except BaseException:
        _mine.discard(path)
        raise


def _stem(folder: str, digest: str) -> str:
    return pjoin(folder, f".nibabel-data.{digest[:16]}.")


def _orphans(folder: str, digest: str, machine: str) -> list[tuple[int, str]]:
    """Return (size, path) of what is left of a file by the dead; remove what is of no use."""
    found = []
    with os.scandir(folder) as scan:
        entries = [(entry, _NAME.fullmatch(entry.name)) for entry in scan]
    for entry, match in entries:
        if match is None or entry.path in _mine:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        gone = match[2] == machine and not _is_alive(int(match[3]))
        alone = bool(match[5]) and not os.path.exists(entry.path.removesuffix(".from"))
        if time.time() - status.st_mtime > _WEEK or (gone and alone):
            with suppress(OSError):
                os.unlink(entry.path)
        elif gone and match[1] == digest[:16] and not match[5] and _is_ours(status):
            found.append((status.st_size, entry.path))
    return found


def _is_ours(status: os.stat_result) -> bool:
    """Return whether this user made a file, so that no one else can lead us elsewhere by it."""
    user = os.geteuid() if hasattr(os, "geteuid") else status.st_uid
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == user


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # of this process, and no thread is writing to it: an attempt before
    return is_alive(pid)


def _being_written(folder: str, digest: str, seconds: float) -> bool:
    """Return whether a partial of a file was written to in the last seconds, by whomever."""
    stem, now = _stem(folder, digest), time.time()
    with suppress(OSError), os.scandir(folder) as scan:
        for entry in scan:
            if entry.path.startswith(stem):
                with suppress(OSError):
                    if now - entry.stat().st_mtime < seconds:
                        return True
    return False


@contextmanager
def turn(digest: str, folders: Sequence[str]) -> Iterator[None]:
    """Wait while another process fetches the same file, so that it is fetched once.

    That is all the lock is for: where it cannot be had, or lies, the work is done twice.

    Parameters
    ----------
    digest : str
        The expected hash.
    folders : sequence of str
        The directories in which its partials may lie.
    """
    lock = None
    try:
        from filelock import FileLock, Timeout

        folder = pjoin(cache_dir(), "locks")
        os.makedirs(folder, exist_ok=True)
        waiting = FileLock(pjoin(folder, f"{digest[:32]}.lock"))
        while lock is None:
            try:
                waiting.acquire(timeout=_LOOK)
                lock = waiting
            except Timeout:
                if not any(_being_written(folder, digest, _STALLED) for folder in folders):
                    break
    except (ImportError, OSError, NotImplementedError):
        pass  # no filelock; a cache that cannot be written; a file system without locks
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                lock.release()
