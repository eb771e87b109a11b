"""What is kept of mechanisms in the user's cache, and removing what nobody needs.

All of it can be made again.  A build goes as it came, by one rename, and not while another process
has its lock, so that whoever builds at the same time is not disturbed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import join as pjoin

from ..errors import BuildError, DataError, MechanismError
from ..files import walk_files
from ..package.cache import listed
from ..package.staging import clean_stale, is_staged, is_stale, remove_tree, staging_directory
from . import library, store
from .building import LIBRARY
from .library import Toolchain
from .mechanism import Mechanism
from .names import is_full_name, split_name
from .source import prepare
from .toolchain import Neuron

__all__ = ["Cached", "Pruned", "cached", "prune"]

_TAG = "neuron-"
_ARBOR = "arbor-"
_HEADERS = "headers-"
_TEMPORARY = ".nibabel-data-tmp"
_BUILT = ("library", "coreneuron", "catalogue", "failure")
_ABANDONED = 3600  # seconds
_NO_SOURCE = "no package has this source"


@dataclass(frozen=True, slots=True)
class Cached:
    """One thing in the cache.

    Parameters
    ----------
    kind : str
        ``library``; ``coreneuron``, its library of many; ``catalogue`` of Arbor; ``failure``,
        one that did not build; ``headers`` of NEURON, precompiled; ``receipt``, which library a
        mechanism had last; ``leftover`` of a process that was killed; ``index``, what the
        installed packages declare, or what Arbor's translator said of one; ``other``.
    name : str
        The full name of the mechanism, or the package; of what is of none, that of the file.
    engine : str
        What it is for, such as ``NEURON 9.0.2``; empty if it is for none.
    path : str
        The file or directory.
    size : int
        Bytes.
    unused : str
        Why nobody needs it, as the end of a sentence; empty if it is in use.
    """

    kind: str
    name: str
    engine: str
    path: str
    size: int
    unused: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` did.

    Parameters
    ----------
    removed : tuple of Cached
        What was removed.
    busy : tuple of Cached
        What another process is working on, and was left.
    """

    removed: tuple[Cached, ...]
    busy: tuple[Cached, ...]


def cached() -> list[Cached]:
    """Return what lies in the cache of mechanisms, which need not exist.

    A build is in use if its NEURON is there, and the file that it was built from, or one of the
    same content in an installed package.

    Returns
    -------
    list of Cached
        Builds by NEURON and name, then the rest.

    Raises
    ------
    DataError
        If the directory cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as os.environ['NIBABEL_DATA_CACHE']:
    ...     cached()
    []
    >>> del os.environ['NIBABEL_DATA_CACHE']
    """
    top = store.cache_directory()
    known = _Known()
    found: list[Cached] = []
    rest: list[Cached] = []
    for name, path in listed(top):
        if name.startswith(_TAG) and _is_directory(path):
            found += _of_neuron(name, path, known)
        elif name.startswith(_ARBOR) and _is_directory(path):
            found += _of_arbor(name, path, known)
        elif name == "receipts" and _is_directory(path):
            rest += [_receipt(one, place) for one, place in listed(path)]
        elif _is_left(name):
            rest += _left(name, "", path)
        elif name.startswith("catalogue-"):
            rest.append(Cached("index", name, "", path, _size(path)))
        else:
            rest.append(Cached("other", name, "", path, _size(path)))
    return [*found, *rest]


def prune(*, everything: bool = False, dry_run: bool = False) -> Pruned:
    """Remove what nobody needs.

    Parameters
    ----------
    everything : bool, optional
        Whether to remove what is in use as well: it is built again when it is asked for.
    dry_run : bool, optional
        Whether to remove nothing, and only say what would be.

    Returns
    -------
    Pruned
        What was removed, and what another process is working on.

    Raises
    ------
    DataError
        If something cannot be removed.
    """
    chosen = [entry for entry in cached() if everything or entry.unused]
    if dry_run:
        return Pruned(tuple(chosen), ())
    removed: list[Cached] = []
    busy: list[Cached] = []
    for entry in chosen:
        try:
            (removed if _remove(entry) else busy).append(entry)
        except FileNotFoundError:
            continue  # another process was quicker
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot remove {entry.path}: {reason}") from error
    for entry in removed:
        _remove_empty(os.path.dirname(entry.path))
    return Pruned(tuple(removed), tuple(busy))


class _Known:
    """What is installed here, looked up when it is asked for, and once."""

    def __init__(self) -> None:
        self._tools: Toolchain | None = None
        with suppress(MechanismError, OSError):
            self._tools = library.toolchain()
        self._mechanisms: dict[str, list[Mechanism]] | None = None
        self._digests: dict[tuple[str, str], str] = {}
        self._tags: dict[tuple[str, str], str] = {}
        self._arbor: str | None = None
        self._for_arbor: set[str] | None = None

    def is_own(self, tag: str) -> bool:
        """Return whether a directory is that of the NEURON that this Python has."""
        return self._tools is not None and self._tools.neuron.tag == tag

    def is_of_this_compiler(self, digest: str) -> bool:
        """Return whether the compiler that would be used made it; True if there is none."""
        try:
            return self._tools is None or self._tools.digest() == digest
        except BuildError:
            return True

    def has_neuron(self, tag: str, root: str, version: str) -> bool:
        """Return whether the NEURON is still there for which something was built."""
        if (root, version) not in self._tags:
            try:
                self._tags[root, version] = Neuron(root, version).tag
            except (OSError, MechanismError):
                self._tags[root, version] = ""
        return self._tags[root, version] == tag

    @property
    def arbor(self) -> str:
        """The name of the directory of what is built for the Arbor that this Python has."""
        if self._arbor is None:
            from .arbor import tag

            self._arbor = ""
            with suppress(MechanismError, OSError):
                self._arbor = tag()
        return self._arbor

    def sources_for_arbor(self) -> set[str]:
        """Return the directories that the installed sources would be refused in."""
        if self._for_arbor is None:
            from .arbor import arbor_mod_name
            from .discovery import discover, serving

            self._for_arbor = set()
            for package in discover().packages:
                for one in serving(package, "arbor"):
                    with suppress(OSError, MechanismError):
                        stem = arbor_mod_name(one)
                        digest = prepare(one, name=stem).digest[:16]
                        self._for_arbor.add(f"{stem}-{digest}")
        return self._for_arbor

    def no_package(self, name: str) -> str:
        """Return why what was built of a package is of no use; empty if it is installed."""
        from .discovery import discover

        return "" if discover().packages_named(name) else "no such package is installed"

    def has_source(self, name: str, digest: str, built_from: str) -> bool:
        """Return whether a source is still there: the very file, or one in a package."""
        if not is_full_name(name):
            return True
        paths = [one.path for one in self._named(name)]
        return any(self._digest(name, path) == digest for path in (built_from, *paths) if path)

    def _named(self, name: str) -> list[Mechanism]:
        if self._mechanisms is None:
            from .discovery import discover

            self._mechanisms = {}
            for package in discover().packages:
                for one in package.mechanisms:
                    if one.path and one.dialect != "arbor":
                        self._mechanisms.setdefault(one.name, []).append(one)
        return self._mechanisms.get(name, [])

    def _digest(self, name: str, path: str) -> str:
        if (name, path) not in self._digests:
            try:
                source = prepare(Mechanism(*split_name(name), path))
                self._digests[name, path] = source.digest[:16]
            except (OSError, MechanismError):
                self._digests[name, path] = ""
        return self._digests[name, path]


def _of_neuron(tag: str, place: str, known: _Known) -> Iterator[Cached]:
    """Yield what was built for one NEURON."""
    version = tag.removeprefix(_TAG).rpartition("-")[0]
    engine = f"NEURON {version}"
    builds: list[tuple[str, str, str, str, dict[str, object]]] = []
    headers: list[tuple[str, str]] = []
    for_core: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    for folder, path in listed(place):
        if _is_left(folder):
            yield from _left(folder, engine, path)
        elif folder == "refused-coreneuron" and _is_directory(path):
            refused += [each for each in listed(path) if each[0] != store.LOCK]
        elif folder.startswith("coreneuron-"):
            for_core.append((folder, path))
        elif folder == store.LOCK:
            continue
        elif folder.startswith(_HEADERS):
            headers.append((folder.removeprefix(_HEADERS), path))
        elif not _is_directory(path):
            yield Cached("other", folder, engine, path, _size(path))
        else:
            name, _, digest = folder.rpartition("-")
            inner = [each for each in listed(path) if each[0] != store.LOCK]
            if not inner and _is_old(path):
                yield Cached("leftover", name, engine, path, 0, "nothing is in it")
            for one, at in inner:
                if _is_left(one):
                    yield from _left(name, engine, at)
                else:
                    builds.append((name, digest, one, at, _record(at)))
    gone = ""
    if not known.is_own(tag) and not any(
        known.has_neuron(tag, str(record.get("neuron_root", "")), version)
        for *_, record in builds
        if record
    ):
        gone = f"this {engine} is not installed"
    used: set[str] = set()
    for name, digest, compiler, at, record in builds:
        build = _build(name, digest, compiler, at, record, engine, gone, known)
        if not build.unused:
            used.add(name)
        yield build
    for compiler, at in headers:
        unused = gone
        if known.is_own(tag) and not known.is_of_this_compiler(compiler):
            unused = "another compiler made it"
        yield Cached("headers", "", engine, at, _size(at), unused)
    for name, at in for_core:
        unused = gone
        named = _record(at).get("mechanisms")
        if not unused and not (isinstance(named, list) and used.issuperset(map(str, named))):
            unused = "a mechanism of it is not in use"
        yield Cached("coreneuron", name, engine, at, _size(at), unused)
    for name, at in refused:
        name, _, digest = name.rpartition("-")
        unused = gone or ("" if known.has_source(name, digest, "") else _NO_SOURCE)
        yield Cached("failure", name, f"Core{engine}", at, _size(at), unused)


def _build(
    name: str,
    digest: str,
    compiler: str,
    path: str,
    record: dict[str, object],
    engine: str,
    gone: str,
    known: _Known,
) -> Cached:
    kind = "library" if os.path.lexists(pjoin(path, LIBRARY)) else "failure"
    unused = gone
    if not unused and not known.has_source(name, digest, str(record.get("source", ""))):
        unused = _NO_SOURCE
    if not unused and kind == "failure" and not known.is_of_this_compiler(compiler):
        unused = "another compiler refused it"
    return Cached(kind, name, engine, path, _size(path), unused)


def _of_arbor(tag: str, place: str, known: _Known) -> Iterator[Cached]:
    """Yield what was built for one Arbor: catalogues, and sources that were refused."""
    engine = f"Arbor {tag.removeprefix(_ARBOR).rpartition('-')[0]}"
    gone = "" if known.arbor == tag else f"this {engine} is not installed"
    for folder, path in listed(place):
        if _is_left(folder):
            yield from _left(folder, engine, path)
        elif folder == "refused" and _is_directory(path):
            for one, at in listed(path):
                if one != store.LOCK:
                    unused = gone
                    if not unused and one not in known.sources_for_arbor():
                        unused = _NO_SOURCE
                    name = one.rpartition("-")[0]
                    yield Cached("failure", name, engine, at, _size(at), unused)
        elif folder == "modcc" and _is_directory(path):  # what it said of each source
            for one, at in listed(path):
                name = one.rpartition("-")[0]
                yield Cached("index", name, engine, at, _size(at), gone or known.no_package(name))
        elif folder != store.LOCK:
            name = folder.rpartition("-")[0]
            yield Cached(
                "catalogue", name, engine, path, _size(path), gone or known.no_package(name)
            )


def _record(folder: str) -> dict[str, object]:
    import json

    try:
        with open(pjoin(folder, store.RECORD), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _receipt(name: str, path: str) -> Cached:
    unused = "nobody can read it"
    with suppress(OSError, UnicodeDecodeError, IndexError), open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
        there = [lines[2], lines[7].partition("\t")[0]]  # as `receipts.keep` writes it
        unused = "" if all(map(os.path.exists, there)) else "what it tells of is gone"
    if _is_left(name):
        return next(_left(name, "", path))
    return Cached("receipt", name.rpartition("-")[0], "", path, _size(path), unused)


def _is_left(name: str) -> bool:
    return is_staged(name) or name.endswith(_TEMPORARY)


def _left(name: str, engine: str, path: str) -> Iterator[Cached]:
    stale = is_stale(path) if is_staged(os.path.basename(path)) else _is_old(path)
    unused = "its process is gone" if stale else ""
    yield Cached("leftover", name, engine, path, _size(path), unused)


def _is_old(path: str) -> bool:
    with suppress(OSError):
        return time.time() - os.lstat(path).st_mtime > _ABANDONED
    return False


def _is_directory(path: str) -> bool:
    """Return whether it is a directory, and no link to one, which may lead out of the cache."""
    return os.path.isdir(path) and not os.path.islink(path)


def _size(path: str) -> int:
    if not _is_directory(path):
        with suppress(OSError):
            return os.lstat(path).st_size
        return 0
    with suppress(DataError):
        return sum(size for _, _, size in walk_files(path, hidden=True))
    return 0


def _remove(entry: Cached) -> bool:
    """Remove something; return False if another process is working on it."""
    if entry.kind in _BUILT:
        parent = os.path.dirname(entry.path)
        with _lock(parent) as free:
            if free:
                _take_away(entry.path)
            return free
    if entry.kind == "leftover" and is_staged(os.path.basename(entry.path)):
        return bool(entry.unused) and entry.path in clean_stale(os.path.dirname(entry.path))
    if entry.kind == "leftover" and not entry.unused:
        return False
    if _is_directory(entry.path):
        _take_away(entry.path)
    else:
        remove_tree(entry.path)
    return True


@contextmanager
def _lock(folder: str) -> Iterator[bool]:
    """Hold the lock of a builder, if nobody else does; where locks do not work, go on without."""
    free, lock = store.acquired(folder, 0)
    try:
        yield free
    finally:
        if lock is not None:
            lock.release()


def _remove_empty(folder: str) -> None:
    """Remove a directory, and those above it, as long as there is nothing but a lock in them."""
    while folder != store.cache_directory():
        names = {name for name, _ in listed(folder)}
        with suppress(OSError):
            if names == {store.LOCK}:
                with _lock(folder) as free:
                    if free and {name for name, _ in listed(folder)} == {store.LOCK}:
                        _take_away(folder)
            elif not names:
                os.rmdir(folder)
        if names - {store.LOCK} or os.path.lexists(folder):
            return
        folder = os.path.dirname(folder)


def _take_away(path: str) -> None:
    """Remove a directory by one rename: nobody sees a part of it."""
    with staging_directory(path) as staged:
        os.rename(path, pjoin(staged, "removed"))
