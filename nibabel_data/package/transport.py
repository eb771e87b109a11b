"""Reading from a URL, from the beginning or from a byte on: HTTP, files, and what fsspec reads.

pooch fetches too, and its registries are read here.  But it begins a broken transfer anew, knows
one URL for a file, and leaves a wrong file where it was (pooch 1.9), so that only what it knows of
DOIs is used; HTTP is requests'.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .. import __version__
from ..errors import DataError

if TYPE_CHECKING:
    import requests

__all__ = ["Reply", "TransferError", "Transport", "is_local", "shown"]

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""

REDIRECTS = 10

LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more is not waited for any longer."""

PIECE = 1 << 15
"""Bytes; what is lost of a transfer that breaks off is less than this."""

_FOR_A_WHILE = {408, 425, 429}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class TransferError(DataError):
    """A URL did not give its file.

    Parameters
    ----------
    problem : str
        Why.
    again : bool, optional
        Whether another attempt may do better.
    wait : float, optional
        Seconds that the server wants to be left alone.
    """

    def __init__(self, problem: str, *, again: bool = False, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.again = again
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Reply:
    """What a URL gives.

    Parameters
    ----------
    start : int
        Where in the file the pieces begin: where it was asked, or 0.
    size : int or None
        Bytes of the whole file, if that is said.
    validator : str
        What can be given back to ask whether the file is still the same; empty if nothing.
    kind : str
        The media type, if that is said.
    pieces : iterator of bytes
        The content; raises `TransferError`.
    """

    start: int
    size: int | None
    validator: str
    kind: str
    pieces: Iterator[bytes]


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case.

    Examples
    --------
    >>> scheme_of('HTTPS://a.org/b')
    'https'
    """
    return url.partition(":")[0].lower()


def is_local(url: str) -> bool:
    """Return whether a URL can be read without a network."""
    return scheme_of(url) == "file"


def shown(url: str) -> str:
    """Return a URL as it may stand in a message: without name and password.

    Examples
    --------
    >>> shown('https://me:secret@a.org/b')
    'https://a.org/b'
    """
    return re.sub(r"^([A-Za-z0-9+.-]+://)[^/@]*@", r"\1", url)


class Transport:
    """Opens URLs, and keeps HTTP connections from one to the next; for one thread."""

    __slots__ = ("_session",)

    def __init__(self) -> None:
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()

    def open(self, url: str, start: int = 0, validator: str = "") -> AbstractContextManager[Reply]:
        """Open a URL.

        Parameters
        ----------
        url : str
            What to read.
        start : int, optional
            The byte to begin at, if that can be.
        validator : str, optional
            What the server said of the file whose first bytes are here already.

        Returns
        -------
        context manager
            Gives a `Reply`; raises `TransferError` on entering.
        """
        scheme = scheme_of(url)
        if scheme == "doi":
            return self._open_http(_resolve_doi(url), start, validator)
        if scheme in ("http", "https"):
            return self._open_http(url, start, validator)
        return (_open_file if scheme == "file" else _open_fsspec)(url, start)

    @contextmanager
    def _open_http(self, url: str, start: int, validator: str) -> Iterator[Reply]:
        response = self._get(url, start, validator)
        try:
            if start and not _continues(response, start):
                response.close()
                response, start = self._get(url, 0, ""), 0
            _check(response)
            yield _http_reply(response, start)
        finally:
            response.close()

    def _get(self, url: str, start: int, validator: str) -> requests.Response:
        try:
            import requests
            import urllib3
        except ImportError:
            raise TransferError(
                "needs requests, which is not installed: pip install 'nibabel-data[fetch]'"
            ) from None
        if self._session is None:
            self._session = requests.Session()
            self._session.max_redirects = REDIRECTS
        # An encoded reply has other bytes than the file, and ranges of its own.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"nibabel-data/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
        if start and validator:
            headers["If-Range"] = validator
        try:
            return self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        except (requests.ConnectionError, requests.Timeout) as error:
            refused = isinstance(error, requests.exceptions.SSLError)
            raise TransferError(_reason(error), again=not refused) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise TransferError(_reason(error)) from error


def _continues(response: requests.Response, start: int) -> bool:
    """Return whether a reply to a request for a range can be used; one of the whole can."""
    if response.status_code == 206:
        match = _RANGE.match(response.headers.get("Content-Range", ""))
        return match is not None and int(match[1]) == start
    return response.status_code != 416  # nothing from there on: what is here is not of this file


def _check(response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    again = status >= 500 or status in _FOR_A_WHILE
    wait = _retry_after(response.headers.get("Retry-After", "")) if again else 0.0
    raise TransferError(f"{status} {response.reason or ''}".rstrip(), again=again, wait=wait)


def _retry_after(value: str) -> float:
    """Return seconds of a ``Retry-After``: a number, or a date (RFC 9110, section 10.2.3)."""
    import time
    from email.utils import parsedate_to_datetime

    seconds = 0.0
    with suppress(ValueError, TypeError, OverflowError):
        number = re.fullmatch(r"\d{1,9}", value.strip())
        seconds = float(value) if number else parsedate_to_datetime(value).timestamp() - time.time()
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _http_reply(response: requests.Response, start: int) -> Reply:
    headers = response.headers
    if response.status_code == 206:
        if not start:
            raise TransferError("sent a part of the file, though the whole was asked for")
        total = headers["Content-Range"].rpartition("/")[2]
        size = int(total) if total.isdigit() else None
    else:
        start, length = 0, headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else None
    validator = headers.get("ETag", "")
    if not validator or validator.startswith("W/"):  # a weak one says nothing of bytes
        validator = headers.get("Last-Modified", "")
    kind = headers.get("Content-Type", "").partition(";")[0].strip()
    return Reply(start, size, validator, kind, _http_pieces(response))


def _http_pieces(response: requests.Response) -> Iterator[bytes]:
    import urllib3

    try:
        # Not iter_content: it would unpack a .nii.gz that a server declares as encoded by gzip.
        yield from response.raw.stream(PIECE, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise TransferError(_reason(error), again=True) from error


def _reason(error: BaseException) -> str:
    """Return the innermost cause of an error of requests, in one line."""
    import requests
    import urllib3

    if isinstance(error, requests.TooManyRedirects):
        return f"more than {REDIRECTS} redirects"
    if isinstance(error, requests.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError):
        return f"no connection within {TIMEOUT[0]:g} seconds"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return f"no answer within {TIMEOUT[1]:g} seconds"
    inner: BaseException = error
    while True:
        inside = getattr(inner, "reason", None) or (inner.args[-1] if inner.args else None)
        if not isinstance(inside, BaseException):
            break
        inner = inside
    if isinstance(inner.__cause__, OSError):
        inner = inner.__cause__
    text = (getattr(inner, "strerror", None) or str(inner)).splitlines() or [""]
    return text[0][:200] or type(inner).__name__


@contextmanager
def _open_file(url: str, start: int) -> Iterator[Reply]:
    try:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise TransferError(f"a file: URL names no host: {parts.netloc}")
        path = url2pathname(parts.path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = start if start <= size else 0
            file.seek(start)
            yield Reply(start, size, "", "", _pieces(file.read, 1 << 20))
    except (OSError, ValueError) as error:
        raise TransferError((getattr(error, "strerror", None) or str(error)).lower()) from error


def _pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while piece := read(size):
        yield piece


@contextmanager
def _open_fsspec(url: str, start: int) -> Iterator[Reply]:
    try:
        import fsspec  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        problem = f"{scheme_of(url)}: URLs need fsspec, which is not installed: pip install fsspec"
        raise TransferError(problem) from None
    try:
        with fsspec.open(url, "rb") as file:
            size = getattr(file, "size", None)
            start = start if start and size is not None and start <= size else 0
            if start:
                file.seek(start)
            yield Reply(start, size, "", "", _pieces(file.read, 1 << 20))
    except DataError:
        raise
    except (ImportError, ValueError, FileNotFoundError, PermissionError) as error:
        raise TransferError(_one_line(error)) from error
    except Exception as error:  # each file system of fsspec has errors of its own
        raise TransferError(_one_line(error), again=True) from error


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def _resolve_doi(url: str) -> str:
    """Return the address of a file in Zenodo, Figshare or a Dataverse: ``doi:10.5281/X/NAME``."""
    try:
        import pooch
        import requests
    except ImportError:
        problem = "doi: URLs need pooch, which is not installed: pip install 'nibabel-data[fetch]'"
        raise TransferError(problem) from None
    try:
        parts: dict[str, Any] = pooch.utils.parse_url(url)
        repository = pooch.downloaders.doi_to_repository(parts["netloc"], timeout=TIMEOUT[1])
        return str(repository.download_url(parts["path"].lstrip("/")))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TransferError(_reason(error), again=True) from error
    except Exception as error:  # what the repositories' answers lead to: ValueError, KeyError, ...
        raise TransferError(_one_line(error)) from error
