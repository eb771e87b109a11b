"""Where a tree of files is written to and read from: a directory, or object storage by a URL.

A file appears whole or not at all: in a directory by one rename, on object storage because an
object is put at once.  URLs are those of fsspec (https://filesystem-spec.readthedocs.io):
``memory://``, ``s3://``, ``gs://``; ``file://`` is a directory.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, final

from ..atomic import is_alive
from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ABOUT", "WORK", "Folder", "Remote", "Store", "open_store", "safe_name"]

ABOUT = "nibabel-data.json"
"""The file in a tree that says what it is made of, and how it is shown."""

WORK = ".nibabel-data"
"""Below it is what is of use only until a tree is complete."""

_STAGED = "staged"
_ABANDONED = 3600  # seconds
_NAME = re.compile(r"[A-Za-z0-9_+:-][A-Za-z0-9_.+:-]{0,199}")
_DEPTH = 32


class Store(Protocol):
    """Files by name, with ``/`` between the parts of one."""

    url: str

    def read(self, name: str) -> bytes | None:
        """Return a file; None if there is none."""

    def part(self, name: str, start: int, end: int) -> tuple[bytes, int] | None:
        """Return the bytes of a file from one to another, and how many it has in all."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""

    def names(self, folder: str) -> Iterable[str]:
        """Return what is in a folder, without the folder's name; nothing if there is none."""

    def clear(self) -> None:
        """Remove all files."""

    def tidy(self, *, finished: bool) -> None:
        """Remove what killed writers left; if it is finished, all that was only for the work."""


def open_store(where: str | os.PathLike[str]) -> Store:
    """Return a directory, or what a URL names, for reading and writing.

    Parameters
    ----------
    where : str or os.PathLike
        It need not exist.

    Raises
    ------
    ViewerError
        If it is a URL that cannot be opened.

    Examples
    --------
    >>> store = open_store('memory://example/tree')
    >>> store.write('a/b', b'c')
    >>> store.read('a/b'), store.read('a'), list(store.names('a'))
    (b'c', None, ['b'])
    """
    text = os.fspath(where)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if "://" not in text:
        return Folder(text)
    return Remote(text)


def safe_name(name: str) -> bool:
    """Return whether a name that somebody asks for is one that a tree may have.

    Examples
    --------
    >>> safe_name('1000_1000_1000/0-64_0-64_0-64'), safe_name('../x'), safe_name('.nibabel-data/x')
    (True, False, False)
    """
    parts = name.split("/")
    return len(parts) <= _DEPTH and all(_NAME.fullmatch(part) is not None for part in parts)


@final
class Folder:
    """A directory, its links not followed out of it."""

    __slots__ = ("_made", "url")

    def __init__(self, path: str) -> None:
        self.url = os.path.abspath(path)
        self._made: set[str] = set()

    def read(self, name: str) -> bytes | None:
        """Return a file; None if there is none, or it is outside."""
        path = self._inside(name)
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                return file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def part(self, name: str, start: int, end: int) -> tuple[bytes, int] | None:
        """Return the bytes of a file from one to another, and how many it has in all."""
        path = self._inside(name)
        if path is None or not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            return file.read(max(0, end - start)), size

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        It is not forced to the disk: it outlives this process, perhaps not a power cut.
        """
        path = os.path.join(self.url, *name.split("/"))
        self._make(os.path.dirname(path))
        staging = os.path.join(self.url, WORK, _STAGED)
        self._make(staging)
        who = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(8)}"
        staged = os.path.join(staging, who)
        try:
            with open(staged, "xb", buffering=0) as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
            os.replace(staged, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(staged)
            raise

    def names(self, folder: str) -> Iterable[str]:
        """Return what is in a folder; nothing if there is none."""
        try:
            return os.listdir(os.path.join(self.url, *filter(None, folder.split("/"))))
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise ViewerError(f"{self.url} is a file: give a directory to write to.") from None

    def clear(self) -> None:
        """Remove all files; what says what they are goes last."""
        self._made.clear()
        for name in sorted(self.names(""), key=lambda one: one == ABOUT):
            path = os.path.join(self.url, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    def tidy(self, *, finished: bool) -> None:
        """Remove what killed writers left; if it is finished, all that was only for the work."""
        work = os.path.join(self.url, WORK)
        if finished:
            shutil.rmtree(work, ignore_errors=True)
            self._made.clear()
            return
        for name in self.names(f"{WORK}/{_STAGED}"):
            path = os.path.join(work, _STAGED, name)
            host, _, pid = name.rpartition(".")[0].rpartition(".")
            with suppress(OSError, ValueError):
                gone = host == socket.gethostname() and not is_alive(int(pid))
                if gone or time.time() - os.lstat(path).st_mtime > _ABANDONED:
                    os.unlink(path)

    def _inside(self, name: str) -> str | None:
        path = os.path.realpath(os.path.join(self.url, *name.split("/")))
        root = os.path.realpath(self.url)
        return path if path.startswith(root.rstrip(os.sep) + os.sep) else None

    def _make(self, folder: str) -> None:
        if folder in self._made:
            return
        try:
            os.makedirs(folder, exist_ok=True)
        except FileExistsError:
            raise ViewerError(f"{folder} is a file: give a directory to write to.") from None
        self._made.add(folder)


@final
class Remote:
    """Object storage, by fsspec."""

    __slots__ = ("_files", "_root", "url")

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise ViewerError(
                f"{url} needs fsspec: pip install 'nibabel-data[precompute]'"
            ) from None
        self.url = url.rstrip("/")
        try:
            self._files: Any
            self._files, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError, OSError) as error:
            raise ViewerError(f"{url} cannot be opened: {error}") from error

    def __reduce__(self) -> tuple[object, ...]:
        return Remote, (self.url,)

    def read(self, name: str) -> bytes | None:
        """Return a file; None if there is none."""
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except (FileNotFoundError, IsADirectoryError):
            return None
        return content

    def part(self, name: str, start: int, end: int) -> tuple[bytes, int] | None:
        """Return the bytes of a file from one to another, and how many it has in all."""
        path = self._path(name)
        try:
            size = int(self._files.info(path)["size"])
            return self._files.cat_file(path, start=start, end=min(end, size)), size
        except (FileNotFoundError, IsADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file at once."""
        self._files.pipe_file(self._path(name), content)

    def names(self, folder: str) -> Iterable[str]:
        """Return what is in a folder; nothing if there is none."""
        try:
            found = self._files.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rstrip("/").rpartition("/")[2] for path in found]

    def clear(self) -> None:
        """Remove all files."""
        with suppress(FileNotFoundError):
            self._files.rm(self._root, recursive=True)

    def tidy(self, *, finished: bool) -> None:
        """Remove what was only for the work, if it is finished."""
        if finished:
            with suppress(FileNotFoundError):
                self._files.rm(self._path(WORK), recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)
