"""``registry.txt``: the files that a *thin* package does not carry, and where they are.

The form is pooch's, so that a registry made for pooch, or by it, can be used.  One line a file: the
path with forward slashes, the hash, and, if wanted, where it is::

    # a comment
    ICBM152/2mm/T1.nii.gz  9f86d081...  https://a.org/T1.nii.gz  https://b.org/T1.nii.gz
    'labels, left.txt'     md5:acbd18db4cc2f85cedef654fccc4a4d8

The hash is a SHA-256, or ``ALGORITHM:HASH`` with an algorithm of `hashlib`.  New here is that
several URLs may stand on a line: mirrors, tried in turn.  The files of lines without one are below
the URLs that the key ``url`` of the package's ``config.ini`` names.

Source: https://www.fatiando.org/pooch/latest/registry-files.html
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from os.path import join as pjoin

from .. import ini
from ..datasource import CONFIG
from ..errors import ConfigError
from ..files import LEFT_OUT, PARTIAL, escapes
from .manifest import MANIFEST

__all__ = [
    "REGISTRY",
    "Entry",
    "Registry",
    "parse_registry",
    "promised",
    "read_registry",
    "urls_of",
]

REGISTRY = "registry.txt"
"""The file that makes a package a thin one."""

LARGEST = 1 << 28
"""Bytes; a larger registry is none."""

_PLAIN = re.compile(r"[ \t!#-&(-\[\]-~]*")  # no quote, no backslash: shlex would split it at spaces
_OWN = {name.casefold() for name in (CONFIG, MANIFEST, REGISTRY)}
_NEVER_PART = {name.casefold() for name in LEFT_OUT}
_NOT_IN_PATHS = re.compile("[\0-\x1f\x7f\\\\\ud800-\udfff]")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[^\0]+")
_QUOTED_IN_URLS = frozenset({"http", "https", "file", "ftp"})

_seen: dict[str, tuple[ini.Signature, Registry]] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that can be fetched.

    Parameters
    ----------
    path : str
        Where it belongs in the package, with forward slashes.
    algorithm : str
        A name that `hashlib` knows.
    digest : str
        The hash, hexadecimal, in lower case.
    urls : tuple of str
        Where it is; empty if it is below the URLs of ``config.ini``.
    line : int
        The line of the registry, counted from 1.
    """

    path: str
    algorithm: str
    digest: str
    urls: tuple[str, ...]
    line: int

    def difference(self, name: str, digest: str) -> str:
        """Return how a file's hash differs from the promised one, with its name; else nothing."""
        if digest == self.digest:
            return ""
        return (
            f"{name} is not what {REGISTRY}, line {self.line}, promises: "
            f"{self.algorithm} {digest}, not {self.digest}"
        )


@dataclass(frozen=True, slots=True)
class Registry:
    """What a thin package says of the files that it does not carry.

    Parameters
    ----------
    base : str
        The package's directory.
    entries : mapping
        `Entry` by path.
    key : str
        A hash of all paths and hashes: two registries that promise the same files have the same,
        wherever they are and whichever mirrors they name.
    """

    base: str
    entries: Mapping[str, Entry]
    key: str


def parse_registry(text: str, place: str) -> dict[str, Entry]:
    """Return the entries of a registry's text by path.

    Parameters
    ----------
    text : str
        The content, its lines ended by newline characters.
    place : str
        The file, for the error.

    Raises
    ------
    ConfigError
        If a line is no line of a registry, names a file outside the package, one that is never
        fetched (``config.ini``, ``.git/config``), or one twice.

    Examples
    --------
    >>> entry = parse_registry('a/b md5:' + '0' * 32 + ' https://a.org/b', 'r.txt')['a/b']
    >>> entry.algorithm, entry.urls
    ('md5', ('https://a.org/b',))
    >>> parse_registry('../b ' + '0' * 64, 'r.txt')
    Traceback (most recent call last):
    nibabel_data.errors.ConfigError: r.txt, line 1: no path in the package: '../b'
    """
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] == "#":
            continue
        words = _split(stripped, place, number)
        if len(words) < 2:
            raise ConfigError(place, number, "not a line of a registry: 'PATH HASH [URL...]'")
        path, urls = words[0].removeprefix("./"), tuple(words[2:])
        if not _is_inside(path):
            raise ConfigError(place, number, f"no path in the package: {path!r}")
        if problem := _never_fetched(path):
            raise ConfigError(place, number, problem)
        if path in entries:
            raise ConfigError(place, number, f"a second line for {path!r}")
        algorithm, digest = _hash_of(words[1], place, number)
        for url in urls:
            if not _URL.fullmatch(url):
                raise ConfigError(place, number, f"not a URL: {url!r}")
        entries[path] = Entry(path, algorithm, digest, urls, number)
    return entries


def _split(line: str, place: str, number: int) -> list[str]:
    if _PLAIN.fullmatch(line):
        return line.split()
    import shlex

    try:
        return shlex.split(line)
    except ValueError as error:
        raise ConfigError(place, number, f"{error}".lower()) from None


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    if _NOT_IN_PATHS.search(path) or {"", ".", ".."} & set(parts):
        return False
    return not escapes(path.replace("/", os.sep))


def _never_fetched(path: str) -> str:
    """Return why a file may not be fetched, whatever its letters' case; empty if it may be."""
    parts = [part.rstrip(". ") for part in path.casefold().split("/")]  # as Windows reads them
    if len(parts) == 1 and parts[0] in _OWN:
        return f"{path!r} makes the package what it is: it cannot be fetched; remove the line"
    if path.startswith(PARTIAL) or not _NEVER_PART.isdisjoint(parts):
        return f"{path!r} can be no part of a package: it cannot be fetched; remove the line"
    return ""


def _hash_of(word: str, place: str, number: int) -> tuple[str, str]:
    algorithm, _, digest = word.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    try:
        size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    except (ValueError, TypeError):
        raise ConfigError(place, number, f"no hash that hashlib knows: {algorithm!r}") from None
    if not size or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", digest):
        problem = f"not a hash: {word!r}; {algorithm} has {2 * size} hexadecimal digits"
        raise ConfigError(place, number, problem)
    return algorithm, digest


def read_registry(base: str | os.PathLike[str]) -> Registry | None:
    """Return the registry of a package; None if it has none.

    What was read is kept as long as the file does not change.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.

    Raises
    ------
    ConfigError
        If the registry is malformed or cannot be read.
    """
    base = os.fspath(base)
    place = pjoin(base, REGISTRY)
    try:
        status = os.stat(place)
        known = _seen.get(place)
        if known is not None and known[0] == ini.signature(status):
            return known[1]
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(place, None, "not a regular file")
        with open(place, encoding="utf-8-sig") as file:
            status = os.fstat(file.fileno())
            if status.st_size > LARGEST:
                raise ConfigError(place, None, "too long for a registry")
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(place, None, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise ConfigError(place, None, "not UTF-8 text") from None
    except ValueError as error:  # a NUL byte in the path
        raise ConfigError(ascii(place), None, str(error)) from None
    entries = parse_registry(text, place)
    registry = Registry(base, entries, _key(entries))
    if ini.settled(ini.signature(status), time.time_ns()):
        _seen[place] = ini.signature(status), registry
    return registry


def promised(base: str | os.PathLike[str]) -> dict[str, str]:
    """Return the files that a package does not carry itself, but may hold once they are fetched.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.

    Returns
    -------
    dict
        ``algorithm:digest`` by path, with forward slashes; empty if it has no registry.

    Raises
    ------
    ConfigError
        If the registry is malformed or cannot be read.
    """
    registry = read_registry(base)
    if registry is None:
        return {}
    return {path: f"{one.algorithm}:{one.digest}" for path, one in registry.entries.items()}


def _key(entries: Mapping[str, Entry]) -> str:
    lines = sorted(f"{entry.algorithm}:{entry.digest}  {path}\n" for path, entry in entries.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def urls_of(registry: Registry, entry: Entry) -> tuple[str, ...]:
    """Return where a file is: the URLs of its line, or those below the URLs of ``config.ini``.

    Parameters
    ----------
    registry : Registry
        The registry.
    entry : Entry
        One of its entries.

    Raises
    ------
    ConfigError
        If there is no URL, or the key ``url`` holds something else than URLs.
    """
    if entry.urls:
        return entry.urls
    config = pjoin(registry.base, CONFIG)
    try:
        sections = ini.parse(ini.read_text(config)[0], config)
    except OSError as error:
        raise ConfigError(config, None, f"cannot be read: {error.strerror}") from None
    value, line = sections.get("DEFAULT", {}).get("url", ("", 0))
    if not value:
        problem = f"no URL for {entry.path!r}, and no key 'url' in {config}"
        raise ConfigError(pjoin(registry.base, REGISTRY), entry.line, problem)
    return tuple(_below(url, entry.path, config, line) for url in value.split())


def _below(url: str, path: str, config: str, line: int) -> str:
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigError(config, line, f"not a URL: {url!r}")
    if match[1].lower() in _QUOTED_IN_URLS:
        from urllib.parse import quote

        path = quote(path)
    return f"{url.rstrip('/')}/{path}"
