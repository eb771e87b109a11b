"""Distributions with an entry point of group ``glia.package``, found and remembered.

``importlib.metadata`` is not imported: which distributions have such an entry point is asked of
their ``entry_points.txt``.  What their modules declare is kept, if somebody who writes anyway says
so, in one file of the user's cache directory, so that a start in which nothing has changed reads
no module.  It holds while the directory of ``sys.path``, the ``entry_points.txt`` and ``RECORD`` of
the distribution and every module that was read are as they were.  Losing it costs time, nothing
else.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from os.path import join as pjoin

from ..environment import absolute, cache_dir
from ..ini import settled, signature

try:  # as in `nibabel_data.package.unchanged`: `hashlib` loads OpenSSL, which takes 2 ms
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["GROUP", "read_installed"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from ..ini import Signature
    from .glia import RawPackage

    # source, version, packages, problems
    Found: TypeAlias = tuple[str, str, tuple[RawPackage, ...], tuple[str, ...]]
    # of each file that was read, None if it was not there
    Seen: TypeAlias = tuple[tuple[str, Signature | None], ...]

GROUP = "glia.package"

_FORM = f"nibabel-data catalogue 1 {sys.implementation.cache_tag}".encode()
_DIGEST = 32
_LARGEST = 1 << 28


def read_installed(*, fresh: bool = False, remember: bool = False) -> list[Found]:
    """Return what the distributions on ``sys.path`` declare.

    Parameters
    ----------
    fresh : bool, optional
        Whether to read all of them, whatever is remembered.
    remember : bool, optional
        Whether to write to the cache directory what was read.

    Returns
    -------
    list of tuple
        For each distribution: its name and version as one text, its version, its packages, what is
        wrong with it.  In the order of ``sys.path``, those of one directory sorted; of two of one
        name the first, as Python does.
    """
    memory = _Memory(_Memory.read() if not fresh else ({}, {}))
    found: list[Found] = []
    names: set[str] = set()
    for entry in sys.path:
        if isinstance(entry, str):
            for info in memory.infos(absolute(entry or ".")):
                name = _normal(info)
                if name not in names:
                    names.add(name)
                    found.append(memory.found(info))
    if remember:
        memory.save()
    return found


class _Memory:
    """What was known, and what is known now."""

    def __init__(self, known: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self._directories, self._infos = known
        self._now_directories: dict[str, tuple[Signature, tuple[str, ...]]] = {}
        self._now_infos: dict[str, tuple[Seen, Found]] = {}
        self._now = time.time_ns()
        self._changed = False

    def infos(self, directory: str) -> tuple[str, ...]:
        """Return the metadata directories, below one of ``sys.path``, that name the group."""
        try:
            now = signature(os.stat(directory))
        except (OSError, ValueError):
            return ()
        known = self._directories.get(directory)
        if known is not None and known[0] == now:
            self._now_directories[directory] = known
            return tuple(pjoin(directory, name) for name in known[1])
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            return ()
        metadata = [name for name in names if name.endswith((".dist-info", ".egg-info"))]
        naming = tuple(name for name in metadata if _names_group(pjoin(directory, name)))
        # What setuptools' develop mode writes is rewritten in place, which no directory tells.
        developed = any(name.endswith(".egg-info") for name in metadata)
        if metadata and not developed and settled(now, self._now):
            self._now_directories[directory] = (now, naming)
            self._changed = True
        return tuple(pjoin(directory, name) for name in naming)

    def found(self, info: str) -> Found:
        """Return what a distribution declares."""
        known = self._infos.get(info)
        if known is not None and all(_seen(path) == before for path, before in known[0]):
            self._now_infos[info] = known
            found: Found = known[1]
            return found
        from .distribution import read_distribution

        head = tuple((pjoin(info, name), _seen(pjoin(info, name))) for name in _HEAD)
        found, modules = read_distribution(info)
        if modules is not None:
            seen = head + modules
            if all(before is None or settled(before, self._now) for _, before in seen):
                self._now_infos[info] = (seen, found)
                self._changed = True
        return found

    @staticmethod
    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what was written; nothing if it cannot be read, or is damaged."""
        try:
            with open(_path(), "rb") as file:
                content = file.read(_LARGEST)
            form, digest, body = content.split(b"\n", 2)
            if form == _FORM and digest == _digest(body):
                directories, infos = marshal.loads(body)
                return directories, infos
        except (OSError, ValueError, EOFError, TypeError):
            pass
        return {}, {}

    def save(self) -> None:
        """Write what is known now, whole or not at all; where that cannot be, do without."""
        if not self._changed:
            return
        from ..atomic import replace_file

        body = marshal.dumps((self._now_directories, self._now_infos))
        path = _path()
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            replace_file(path, b"\n".join((_FORM, _digest(body), body)))
        except (OSError, ValueError):
            return


_HEAD = ("entry_points.txt", "RECORD", "direct_url.json")


def _path() -> str:
    """Return the file of this environment."""
    name = blake2b(os.fsencode(sys.prefix), digest_size=8).hexdigest()
    return pjoin(cache_dir(), "mechanisms", f"catalogue-{name}")


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST).hexdigest().encode()


def _seen(path: str) -> Signature | None:
    try:
        return signature(os.stat(path))
    except (OSError, ValueError):
        return None


def _names_group(info: str) -> bool:
    try:
        with open(pjoin(info, "entry_points.txt"), "rb") as file:
            return GROUP.encode() in file.read()
    except OSError:  # most distributions have none
        return False


def _normal(info: str) -> str:
    """Return the name of a distribution as installers compare it."""
    name = os.path.basename(info).rpartition(".")[0].partition("-")[0]
    return name.lower().replace("_", "-").replace(".", "-")
