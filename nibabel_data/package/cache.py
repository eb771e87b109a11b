"""What lies in the cache directory, and removing what no installed package refers to.

Everything in it can be made again: files that were fetched for packages that cannot be written,
downloads that broke off, what is known of verified files, and locks.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os.path import join as pjoin

from ..environment import cache_dir
from ..errors import ConfigError, DataError
from ..files import walk_files
from ..packages import iter_packages
from .overlay import overlay_dir
from .registry import read_registry
from .unchanged import recorded_base

__all__ = ["CacheEntry", "cache_entries", "listed", "prune"]

_BUSY = 3600
"""Seconds; what changed less than this ago may be in use by another process."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One thing in the cache.

    Parameters
    ----------
    kind : str
        ``fetched`` (files of a package that cannot be written), ``download`` (one that broke
        off), ``verified`` (what is known of a package's files) or ``lock``.
    path : str
        The file or directory.
    size : int
        Bytes.
    package : str
        The package that it belongs to, or the directory of it; empty if that is not known.
    in_use : bool
        Whether an installed package refers to it, or it changed within the last hour.
    """

    kind: str
    path: str
    size: int
    package: str
    in_use: bool


def cache_entries() -> list[CacheEntry]:
    """Return what lies in the cache directory, which need not exist.

    Returns
    -------
    list of CacheEntry
        By kind, then by path.

    Raises
    ------
    DataError
        If the directory cannot be read.
    """
    return [*_fetched(), *_downloads(), *_verified(), *_locks()]


def prune(*, everything: bool = False, dry_run: bool = False) -> list[CacheEntry]:
    """Remove what no installed package refers to.

    Parameters
    ----------
    everything : bool, optional
        Whether to remove what is in use as well; it can be made again, but fetched files have to
        be fetched.
    dry_run : bool, optional
        Whether to remove nothing, and only say what would be.

    Returns
    -------
    list of CacheEntry
        What was removed.

    Raises
    ------
    DataError
        If something cannot be removed.
    """
    chosen = [entry for entry in cache_entries() if everything or not entry.in_use]
    if dry_run:
        return chosen
    for entry in chosen:
        try:
            if os.path.isdir(entry.path) and not os.path.islink(entry.path):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        except FileNotFoundError:
            continue  # another process was quicker
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot remove {entry.path}: {reason}") from error
    return chosen


def _fetched() -> Iterator[CacheEntry]:
    used: dict[str, str] = {}
    for package in iter_packages():
        with suppress(ConfigError):
            registry = read_registry(package.path)
            if registry is not None:
                used[os.path.basename(overlay_dir(registry))] = package.relpath
    for name, path in _listed("overlay"):
        owner = used.get(name, "")
        yield CacheEntry("fetched", path, _size(path), owner, bool(owner) or _is_busy(path))


def _downloads() -> Iterator[CacheEntry]:
    for _, path in _listed("downloads"):
        yield CacheEntry("download", path, _size(path), "", _is_busy(path))


def _verified() -> Iterator[CacheEntry]:
    for _, path in _listed("verified"):
        base = recorded_base(path)
        in_use = os.path.isdir(base) or _is_busy(path)
        yield CacheEntry("verified", path, _size(path), base, in_use)


def _locks() -> Iterator[CacheEntry]:
    for _, path in _listed("locks"):
        yield CacheEntry("lock", path, _size(path), "", _is_busy(path))


def _listed(folder: str) -> list[tuple[str, str]]:
    return listed(pjoin(cache_dir(), folder))


def listed(place: str) -> list[tuple[str, str]]:
    """Return the names in a directory, sorted, and their paths; none if it is not there.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return [(name, pjoin(place, name)) for name in sorted(os.listdir(place))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"cannot list {place}: {(error.strerror or str(error)).lower()}") from error


def _size(path: str) -> int:
    if not os.path.isdir(path):
        with suppress(OSError):
            return os.lstat(path).st_size
        return 0
    with suppress(DataError):
        return sum(size for _, _, size in walk_files(path, hidden=True))
    return 0


def _is_busy(path: str) -> bool:
    """Return whether anything at a path changed within the last hour."""
    newest = 0.0
    for here, _, names in os.walk(path):
        for name in (".", *names):
            with suppress(OSError):
                newest = max(newest, os.lstat(pjoin(here, name)).st_mtime)
    with suppress(OSError):
        newest = max(newest, os.lstat(path).st_mtime)
    return time.time() - newest < _BUSY
