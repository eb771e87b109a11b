"""``manifest-sha256.txt``: the hash of every file of a package, in the package.

The form is that of BagIt (RFC 8493, section 2.1.3), which is also what ``sha256sum`` writes: so
``sha256sum -c manifest-sha256.txt`` verifies a package without this library.  One line a file,
sorted: the hash, two spaces, the path with forward slashes.  Names that this form cannot hold
(with a line break or a backslash) are refused, as Windows refuses most of them anyway.

Source: https://www.rfc-editor.org/rfc/rfc8493#section-2.1.3
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from os.path import join as pjoin
from typing import TypeVar

from ..errors import ConfigError, DataError
from ..files import LEFT_OUT, MANIFEST, PARTIAL, walk_status
from ..ini import read_text

__all__ = [
    "LEFT_OUT",
    "MANIFEST",
    "hash_file",
    "hash_files",
    "in_threads",
    "manifest_text",
    "package_files",
    "parse_manifest",
    "read_manifest",
    "tree_hash",
    "workers",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST = 1 << 26
"""Bytes; a larger manifest is none."""

_WAITING = 1000
"""Items that wait for a thread at a time: each takes two kilobytes."""

_LINE = re.compile(r"([0-9a-fA-F]{64})(?:  | \*|[ \t]+)(.+)")


def package_files(base: str) -> list[tuple[str, str, os.stat_result | None]]:
    """Return the files of a package, sorted, without `LEFT_OUT`.

    Parameters
    ----------
    base : str
        The package's directory.

    Returns
    -------
    list of (str, str, os.stat_result or None)
        Path with forward slashes, state and status, as from `nibabel_data.files.walk_status`; the
        manifest itself, and what is half fetched, are not among them.

    Raises
    ------
    DataError
        If the directory cannot be read.
    """
    found = walk_status(base, hidden=True, without=LEFT_OUT)
    if os.sep != "/":
        found = ((path.replace(os.sep, "/"), *rest) for path, *rest in found)  # type: ignore[misc]
    return [file for file in found if file[0] != MANIFEST and not file[0].startswith(PARTIAL)]


def hash_file(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Return the hash of a file's content, in hexadecimal.

    Parameters
    ----------
    path : str or os.PathLike
        The file; it is read in pieces, so that its size does not matter.
    algorithm : str, optional
        A name that `hashlib` knows; SHA-256 by default.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
        return digest.hexdigest()


def workers(jobs: int | None) -> int:
    """Return how many threads hash at a time: `jobs`, or one for each processor."""
    if jobs is not None:
        return max(1, jobs)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def hash_files(base: str, paths: Iterable[str], jobs: int | None = None) -> dict[str, str]:
    """Return the hash of each of several files of a package.

    Parameters
    ----------
    base : str
        The package's directory.
    paths : iterable of str
        Paths below it, with forward slashes.
    jobs : int, optional
        How many threads; by default one for each processor.

    Returns
    -------
    dict
        Hash by path, in the order of `paths`.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    names = list(paths)

    def hash_one(name: str) -> str:
        path = pjoin(base, *name.split("/"))
        try:
            return hash_file(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot read {path}: {reason}") from error

    return dict(zip(names, in_threads(hash_one, names, jobs), strict=True))


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None
) -> Iterator[Result]:
    """Yield what a function returns for each of several items, in their order.

    Hashing large pieces releases the interpreter's lock, so that threads use every processor.

    Parameters
    ----------
    function : callable
        Is called in several threads.
    items : iterable
        What it is called with; only a few are waiting at a time, however many there are.
    jobs : int, optional
        How many threads; by default one for each processor.

    Examples
    --------
    >>> list(in_threads(len, ['a', 'bcd']))
    [1, 3]
    """
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor  # to read a manifest needs none

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers(jobs)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def manifest_text(hashes: Mapping[str, str]) -> str:
    """Return the text of a manifest.

    Parameters
    ----------
    hashes : mapping
        Hash by path, with forward slashes.

    Raises
    ------
    DataError
        If a path cannot stand in a manifest.

    Examples
    --------
    >>> print(manifest_text({'b': 'f' * 64, 'a': '0' * 64}), end='')
    0000000000000000000000000000000000000000000000000000000000000000  a
    ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff  b
    """
    for path in hashes:
        if any(letter in path for letter in "\n\r\\") or not _is_text(path):
            raise DataError(f"the file name {path!r} cannot stand in a manifest; rename the file")
    return "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def parse_manifest(text: str, place: str) -> dict[str, str]:
    """Return hash by path of a manifest's text.

    Parameters
    ----------
    text : str
        The content.
    place : str
        The file, for the error.

    Raises
    ------
    ConfigError
        If a line is no line of a manifest, names a file outside the package, or one twice.

    Examples
    --------
    >>> parse_manifest('0' * 64 + '  a/b', 'm.txt')['a/b'][:4]
    '0000'
    """
    hashes: dict[str, str] = {}
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise ConfigError(place, number, "not a line of a manifest: 'HASH  PATH' is needed")
        path = match[2].removeprefix("./")
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise ConfigError(place, number, f"a path outside the package: {path!r}")
        if path in hashes:
            raise ConfigError(place, number, f"a second line for {path!r}")
        hashes[path] = match[1].lower()
    return hashes


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text; a list of them would take more memory than the text."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def read_manifest(base: str) -> dict[str, str] | None:
    """Return hash by path of a package's manifest; None if it has none.

    Raises
    ------
    ConfigError
        If the manifest is malformed or cannot be read.
    """
    path = pjoin(base, MANIFEST)
    try:
        text, _ = read_text(path, LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(path, None, (error.strerror or str(error)).lower()) from None
    return parse_manifest(text, path)


def tree_hash(hashes: Mapping[str, str]) -> str:
    """Return one hash that stands for all files of a package: that of its manifest's text.

    Examples
    --------
    >>> tree_hash({}) == hashlib.sha256(b'').hexdigest()
    True
    """
    return hashlib.sha256(manifest_text(hashes).encode()).hexdigest()
