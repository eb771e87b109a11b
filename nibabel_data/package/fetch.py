"""Fetching the files that a *thin* package does not carry, when they are asked for.

A file becomes visible by one rename, after its hash was checked: so that it is there is proof
enough, and it is never hashed again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os.path import join as pjoin
from pathlib import Path

from ..datasource import Datasource
from ..environment import cache_dir
from ..errors import DataError, MissingFileError
from .download import Progress, download
from .overlay import fetch_command, not_fetched, overlay_dir, package_path
from .partial import Partial, being_written, is_read_only, open_partial
from .registry import Entry, Registry, read_registry, urls_of
from .transport import TransferError, Transport, is_local

__all__ = ["Fetched", "fetch_file", "fetch_package", "is_offline"]

OFFLINE = "NIBABEL_DATA_OFFLINE"

_STALLED = 120.0
"""Seconds; a process that has written nothing for so long is not waited for."""

_LOOK = 2.0
"""Seconds between looking whether it has."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What `fetch_package` did for one file.

    Parameters
    ----------
    path : str
        The file in the package, with forward slashes.
    state : str
        ``present`` (it was there already), ``fetched``, or ``failed``.
    place : str
        Where it is; empty if it is not.
    problem : str
        Why it could not be had; empty if it could.
    """

    path: str
    state: str
    place: str = ""
    problem: str = ""


def is_offline(offline: bool | None = None) -> bool:
    """Return whether the network must not be used: what is asked for, or ``NIBABEL_DATA_OFFLINE``.

    Examples
    --------
    >>> is_offline(True), is_offline(False)
    (True, False)
    """
    if offline is not None:
        return offline
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "no", "false", "off")


def fetch_file(
    base: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return a file of a package, fetched if it is not here.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.
    path : str or os.PathLike
        The file in it.
    offline : bool, optional
        Whether to do without the network; by default what ``NIBABEL_DATA_OFFLINE`` says.
    progress : callable, optional
        Called with the number of bytes of each piece that arrives.

    Returns
    -------
    pathlib.Path
        The file: in the package, or in the overlay if the package cannot be written.

    Raises
    ------
    MissingFileError
        If the package neither has it nor knows where it is, or no mirror gives it.
    DataError
        If the path leads out of the package, its registry is malformed, or nothing can be written.
    """
    source = Datasource(base)
    filename = source.get_filename(path)
    if os.path.isfile(filename):
        return Path(filename)
    registry = read_registry(source.base_path)
    entry = None
    if registry is not None:
        entry = registry.entries.get(package_path(source.base_path, filename))
    if registry is None or entry is None:
        raise _missing(source, os.fspath(path))
    transport = Transport()
    try:
        return Path(_Fetch(registry, offline, progress).one(entry, transport)[0])
    finally:
        transport.close()


def fetch_package(
    base: str | os.PathLike[str],
    patterns: Sequence[str] = (),
    *,
    offline: bool | None = None,
    jobs: int = 4,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Fetch several files of a package; one that cannot be had does not stop the others.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.
    patterns : sequence of str, optional
        Paths in the package with ``*``, ``?``, ``[ab]``, and ``**`` for any depth; one that names
        a directory takes all below it.  By default all files.
    offline, progress
        As for `fetch_file`; `progress` is called from several threads.
    jobs : int, optional
        How many files are fetched at a time.

    Returns
    -------
    list of Fetched
        One for each file, sorted by path; empty if the package has no registry and no pattern was
        given: then all that it has is there.

    Raises
    ------
    MissingFileError
        If a pattern matches no file.
    DataError
        If the registry is malformed.
    """
    base = os.fspath(base)
    registry = read_registry(base)
    entries: dict[str, Entry] = {} if registry is None else dict(registry.entries)
    wanted: dict[str, Entry | None] = {} if patterns else dict(entries)
    for pattern in patterns:
        parts = pattern.replace(os.sep, "/").strip("/").split("/")
        found = [path for path in entries if _matches(path.split("/"), parts)]
        wanted.update((path, entries[path]) for path in found)
        if not found:
            place = Datasource(base).get_filename(pattern)
            if not os.path.isfile(place):
                raise _missing(Datasource(base), pattern)
            wanted[package_path(base, place)] = None  # not the registry's, but there
    fetch = None if registry is None else _Fetch(registry, offline, progress)
    results = [
        Fetched(path, "present", pjoin(base, *path.split("/")))
        for path, entry in wanted.items()
        if entry is None
    ]
    if fetch is not None:
        results += fetch.many([entry for entry in wanted.values() if entry is not None], jobs)
    return sorted(results, key=lambda result: result.path)


def _missing(source: Datasource, path: str) -> DataError:
    """Return why a file that no registry names cannot be had."""
    filename = source.get_filename(path)
    if os.path.isdir(filename):
        return MissingFileError(f"{filename} is a directory; name a file in it")
    problem = "" if os.path.lexists(filename) else not_fetched(source.base_path, filename)
    if problem:
        return MissingFileError(problem)
    try:
        source.path(path, must_exist=True)
    except DataError as error:
        return error
    return MissingFileError(f"{filename} is no file")


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return True  # a directory was named: all below it
    if pattern[0] == "**":
        return any(_matches(path[depth:], pattern[1:]) for depth in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


class _Fetch:
    """Fetches files of one package."""

    __slots__ = ("_offline", "_progress", "_registry", "_stop")

    def __init__(self, registry: Registry, offline: bool | None, progress: Progress | None) -> None:
        self._registry = registry
        self._offline = is_offline(offline)
        self._progress = progress
        self._stop = threading.Event()

    def many(self, entries: Sequence[Entry], jobs: int) -> list[Fetched]:
        """Fetch files in several threads; Ctrl-C ends them all."""
        results: list[Fetched] = []
        failures: list[BaseException] = []
        pending = iter(entries)
        lock = threading.Lock()

        def work() -> None:
            transport = Transport()
            try:
                while not self._stop.is_set():
                    with lock:
                        entry = next(pending, None)
                    if entry is None:
                        break
                    results.append(self._try(entry, transport))
            except BaseException as error:  # raised below, in the thread that waits
                failures.append(error)
                self._stop.set()
            finally:
                transport.close()

        # Not a pool, which would wait for a silent server before it lets Ctrl-C through.
        threads = [
            threading.Thread(target=work, daemon=True)
            for _ in range(min(max(1, jobs), len(entries)))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # on Windows only a wait with an end can be interrupted
        finally:
            self._stop.set()
        if failures:
            raise failures[0]
        return results

    def _try(self, entry: Entry, transport: Transport) -> Fetched:
        try:
            place, state = self.one(entry, transport)
        except DataError as error:
            return Fetched(entry.path, "failed", problem=str(error))
        return Fetched(entry.path, state, place)

    def one(self, entry: Entry, transport: Transport) -> tuple[str, str]:
        """Return where a file is, and whether it was ``present`` or is ``fetched`` now."""
        here = self._here(entry)
        if here is not None:
            return here, "present"
        urls = urls_of(self._registry, entry)
        if self._offline:
            urls = tuple(filter(is_local, urls))
        if not urls:
            base = self._registry.base
            raise MissingFileError(
                f"{entry.path!r} of the package at {base} is not here, and {OFFLINE} or --offline "
                "forbids to fetch it; where there is a network, run\n\n"
                f"    {fetch_command(base, entry.path)}"
            )
        folders = (self._registry.base, overlay_dir(self._registry))
        with _turn(entry.digest, folders):
            here = self._here(entry)
            if here is not None:
                return here, "fetched"  # by another process, while this one waited
            return self._download(entry, urls, transport), "fetched"

    def _places(self, entry: Entry) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return the two places of a file as (directory for partials, file)."""
        base, folder = self._registry.base, overlay_dir(self._registry)
        parts = entry.path.split("/")
        return (base, pjoin(base, *parts)), (folder, pjoin(folder, *parts))

    def _here(self, entry: Entry) -> str | None:
        places = self._places(entry)
        return next((place for _, place in places if os.path.isfile(place)), None)

    def _download(self, entry: Entry, urls: Sequence[str], transport: Transport) -> str:
        partial, target = self._open(entry)
        try:
            download(urls, partial, transport, progress=self._progress, stop=self._stop)
            partial.finish(target)
        except TransferError as error:
            raise MissingFileError(self._failure(entry, error, partial.size)) from error
        finally:
            partial.keep()
        return target

    def _failure(self, entry: Entry, error: TransferError, size: int) -> str:
        kept = f" ({size} bytes are here and are not fetched again)" if size else ""
        lines = "".join(f"\n    {line}" for line in str(error).splitlines())
        step = "try again later" if error.again else "when that is mended, try again"
        return (
            f"cannot fetch {entry.path!r} of the package at {self._registry.base}:{lines}\n\n"
            f"Next: {step}{kept}\n\n"
            f"    {fetch_command(self._registry.base, entry.path)}"
        )

    def _open(self, entry: Entry) -> tuple[Partial, str]:
        """Return a partial in the package if that can be written, else one in the overlay."""
        (base, inside), (folder, outside) = self._places(entry)
        if _is_free(base, inside):
            try:
                return open_partial(base, entry.algorithm, entry.digest), inside
            except OSError as error:
                if not is_read_only(error):
                    raise DataError(_cannot_write(base, error)) from error
        try:
            os.makedirs(folder, exist_ok=True)
            return open_partial(folder, entry.algorithm, entry.digest), outside
        except OSError as error:
            raise DataError(
                f"the package at {base} cannot be written, and {_cannot_write(folder, error)}; "
                "name a directory that can be written in NIBABEL_DATA_CACHE"
            ) from error


def _is_free(base: str, target: str) -> bool:
    """Return whether a file of a package can be put in its place."""
    if os.path.lexists(target):  # a link without content, as of git-annex, is not ours to replace
        return False
    folder = os.path.dirname(target)
    while not os.path.isdir(folder) and len(folder) > len(base):
        folder = os.path.dirname(folder)
    top, real = os.path.realpath(base), os.path.realpath(folder)
    if real != top and not real.startswith(top.rstrip(os.sep) + os.sep):
        return False  # a link leads out of the package
    return os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    )


def _cannot_write(folder: str, error: OSError) -> str:
    return f"{folder} cannot be written: {(error.strerror or str(error)).lower()}"


@contextmanager
def _turn(digest: str, folders: Sequence[str]) -> Iterator[None]:
    """Wait while another process fetches the same file, so that it is fetched once.

    That is all the lock is for: where it cannot be had, or lies, the work is done twice.
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
                if not any(being_written(folder, digest, _STALLED) for folder in folders):
                    break
    except (ImportError, OSError, NotImplementedError):
        pass  # no filelock; a cache that cannot be written; a file system without locks
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                lock.release()
