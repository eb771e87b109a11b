"""The web client: the files that a page is made of.

They are those of the installed ``neuroglancer``, which is not imported, or of a client that this
package carries, or of a directory or an address that the user gave.  A table of them is made once:
what a page asks for is looked up there, and never reaches the file system.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import threading
from typing import TYPE_CHECKING, NamedTuple, final

from ..errors import ViewerError

if TYPE_CHECKING:
    from typing import Protocol

    class Client(Protocol):
        """Where files are from."""

        def get(self, name: str) -> File | None:
            """Return a file, or None if there is no such file."""


__all__ = ["Directory", "File", "Remote", "installed", "set_static_content_source", "source"]

_INDEX = "index.html"
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_@-][A-Za-z0-9_@./-]{0,199}")
_HASHED = re.compile(r"(?:^|[.-])[0-9a-f]{16,}\.")
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wasm": "application/wasm",
    "woff2": "font/woff2",
}
_COMPRESSED = ("css", "html", "js", "json", "map", "svg", "wasm")
_LARGEST = 64 << 20  # bytes, of a file from another server
_SECONDS = 10.0  # for one


class File(NamedTuple):
    """A file as it is sent.

    Attributes
    ----------
    body : bytes
        What is in it.
    packed : bytes or None
        The same by gzip, if that is smaller.
    type : str
        Its content type.
    tag : str
        Its ETag.
    immutable : bool
        Whether its name changes with its content.
    """

    body: bytes
    packed: bytes | None
    type: str
    tag: str
    immutable: bool


@final
class Directory:
    """The files of a client in a directory.

    Parameters
    ----------
    path : str or os.PathLike
        Has an ``index.html``.
    fixed : bool, optional
        Whether the files stay as they are; if not, the table is made anew for each page.

    Raises
    ------
    ViewerError
        If it has none.
    """

    __slots__ = ("_files", "_fixed", "_lock", "_paths", "path")

    def __init__(self, path: str | os.PathLike[str], *, fixed: bool = False) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._fixed = fixed
        self._lock = threading.Lock()
        self._files: dict[str, File] = {}
        self._paths = self._table()
        if _INDEX not in self._paths:
            raise ViewerError(f"{self.path} is no built client: it has no {_INDEX}")

    def names(self) -> list[str]:
        """Return the names of all files, as pages ask for them."""
        return sorted(self._paths)

    def get(self, name: str) -> File | None:
        """Return a file, read and packed the first time it is asked for."""
        name = name or _INDEX
        with self._lock:
            if name == _INDEX and not self._fixed:
                self._paths, self._files = self._table(), {}
            path = self._paths.get(name)
            if path is None:
                return None
            file = self._files.get(name)
            if file is None:
                try:
                    with open(path, "rb") as content:
                        file = _file(name, content.read())
                except OSError:
                    return None
                self._files[name] = file
            return file

    def _table(self) -> dict[str, str]:
        found = {}
        for directory, _, names in os.walk(self.path):
            for name in names:
                path = os.path.join(directory, name)
                relative = os.path.relpath(path, self.path).replace(os.sep, "/")
                if _NAME.fullmatch(relative) and not os.path.islink(path):
                    found[relative] = path
        return found


@final
class Remote:
    """The files of a client that another server has, as of one under development.

    Parameters
    ----------
    url : str
        Its page, ``http`` or ``https``.
    """

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        if not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", url):
            raise ViewerError(f"{url!r} is not the address of a client: give http://host:port/")
        self.url = url if url.endswith("/") else f"{url}/"

    def get(self, name: str) -> File | None:
        """Return a file, asked for each time."""
        from http.client import HTTPException
        from urllib.request import urlopen

        if name and not _NAME.fullmatch(name):
            return None
        try:
            with urlopen(self.url + name, timeout=_SECONDS) as answer:
                body = answer.read(_LARGEST + 1)
        except (OSError, ValueError, HTTPException):
            return None
        return _file(name or _INDEX, body) if len(body) <= _LARGEST else None


def installed() -> Directory:
    """Return the client that is installed: that of this package, or of ``neuroglancer``.

    Raises
    ------
    ViewerError
        If there is none.
    """
    from importlib.util import find_spec

    own = os.path.join(os.path.dirname(__file__), "static")
    if os.path.exists(os.path.join(own, _INDEX)):
        return Directory(own, fixed=True)
    spec = find_spec("neuroglancer")
    for place in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(place, "static", "client")
        if os.path.exists(os.path.join(path, _INDEX)):
            return Directory(path, fixed=True)
    raise ViewerError(
        "the viewer needs the web client of neuroglancer: pip install 'nibabel-data[view]'"
    )


_chosen: Client | None = None
_found: Directory | None = None


def source() -> Client:
    """Return where pages have their files from.

    Raises
    ------
    ViewerError
        If no client is installed, and none was set.
    """
    global _found
    if _chosen is not None:
        return _chosen
    if _found is None:
        _found = installed()
    return _found


def set_static_content_source(
    *, url: str | None = None, path: str | os.PathLike[str] | None = None
) -> None:
    """Take the web client from elsewhere, as when it is under development.

    Parameters
    ----------
    url : str, optional
        The address of a server that has it.
    path : str or os.PathLike, optional
        A directory of a built client.  With neither, the installed one is taken again.

    Raises
    ------
    ViewerError
        If both are given, or what is given has no client.
    """
    global _chosen
    if url is not None and path is not None:
        raise ViewerError("Give the url of a client or the path of one, not both.")
    _chosen = Remote(url) if url is not None else None if path is None else Directory(path)


def _file(name: str, body: bytes) -> File:
    kind = name.rpartition(".")[2].lower()
    packed = gzip.compress(body, 6, mtime=0) if kind in _COMPRESSED else None
    return File(
        body,
        packed if packed is not None and len(packed) < len(body) else None,
        _TYPES.get(kind, "application/octet-stream"),
        f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
        bool(_HASHED.search(name)),
    )
