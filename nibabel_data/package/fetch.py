"""Fetching the files that a *thin* package does not carry, when they are asked for.

A file becomes visible by one rename, after its hash was checked: so that it is there is proof
enough for `fetch_file`, which never hashes it again.  `fetch_package` does, unless it has not
changed since it last was, and fetches again what has been damaged.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os.path import join as pjoin
from pathlib import Path
from typing import TYPE_CHECKING

from ..datasource import Datasource
from ..errors import DataError, MissingFileError
from ..table import counted
from .download import Progress, download
from .overlay import fetch_command, not_fetched, overlay_dir, package_path
from .partial import Partial, is_read_only, open_partial, turn
from .registry import Entry, Registry, read_registry, urls_of
from .transport import TransferError, Transport, is_local

if TYPE_CHECKING:
    from .stamps import Stamps

__all__ = ["Fetched", "fetch_file", "fetch_package", "is_offline"]

OFFLINE = "NIBABEL_DATA_OFFLINE"

FORBIDS = f"{OFFLINE} or --offline forbids"
"""Stands in the problem of a file that was not fetched for that reason alone."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What `fetch_package` did for one file.

    Parameters
    ----------
    path : str
        The file in the package, with forward slashes.
    state : str
        ``present`` (it was there already), ``fetched``, ``mended`` (it was damaged, and was
        fetched again), or ``failed``.
    place : str
        Where it is; empty if it is not.
    problem : str
        Why it could not be had; empty if it could.  Of a mended one, how it was damaged.
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

    Files that are here are compared with their hashes, unless they have not changed since they
    last were, and damaged ones are fetched again.

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
    from .stamps import Stamps  # what Datasource.fetch does not wait for

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
    stamps = Stamps(base)
    stamps.known("", None)  # reads what is known here, not in several threads at once
    fetch = None if registry is None else _Fetch(registry, offline, progress, stamps)
    results = [
        Fetched(path, "present", pjoin(base, *path.split("/")))
        for path, entry in wanted.items()
        if entry is None
    ]
    if fetch is not None:
        done = fetch.many([entry for entry in wanted.values() if entry is not None], jobs)
        results += done
        if any(result.state == "present" for result in done):
            stamps.save()
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
    """Fetches files of one package; with `stamps`, those that are damaged again."""

    __slots__ = ("_offline", "_progress", "_registry", "_stamps", "_stop")

    def __init__(
        self,
        registry: Registry,
        offline: bool | None,
        progress: Progress | None,
        stamps: Stamps | None = None,
    ) -> None:
        self._registry = registry
        self._stamps = stamps
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
            damage = self._damage(entry)
            place, state = self.one(entry, transport, damage)
        except DataError as error:
            return Fetched(entry.path, "failed", problem=str(error))
        return Fetched(entry.path, state, place, damage if state == "mended" else "")

    def one(self, entry: Entry, transport: Transport, damage: str = "") -> tuple[str, str]:
        """Return where a file is, and its state as `Fetched` has it.

        With `damage`, how the one that is here differs from what it should be, it is replaced.
        """
        here = self._here(entry)
        if here is not None and not damage:
            return here, "present"
        urls = urls_of(self._registry, entry)
        if self._offline:
            urls = tuple(filter(is_local, urls))
        if not urls:
            base = self._registry.base
            what = damage or f"{entry.path!r} of the package at {base} is not here"
            again = " again" if damage else ""
            raise MissingFileError(
                f"{what}, and {FORBIDS} to fetch it{again}; where there is a network, run\n\n"
                f"    {fetch_command(base, entry.path)}"
            )
        folders = (self._registry.base, overlay_dir(self._registry))
        with turn(entry.digest, folders):
            here = self._here(entry)
            done = "mended" if damage else "fetched"
            if here is not None and not (damage and self._damage(entry)):
                return here, done  # by another process, while this one waited
            return self._download(entry, urls, transport, here), done

    def _damage(self, entry: Entry) -> str:
        """Return how the file that is here differs from what was promised, if that is asked."""
        here = self._here(entry)
        if here is None or self._stamps is None:
            return ""
        from .held import Held

        try:
            return Held(self._registry.base, entry, here, os.stat(here)).damage(self._stamps)
        except FileNotFoundError:  # it went away
            return ""
        except OSError as error:
            raise DataError(f"cannot read {here}: {_reason(error)}") from error

    def _places(self, entry: Entry) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return the two places of a file as (directory for partials, file)."""
        base, folder = self._registry.base, overlay_dir(self._registry)
        parts = entry.path.split("/")
        return (base, pjoin(base, *parts)), (folder, pjoin(folder, *parts))

    def _here(self, entry: Entry) -> str | None:
        places = self._places(entry)
        return next((place for _, place in places if os.path.isfile(place)), None)

    def _download(
        self, entry: Entry, urls: Sequence[str], transport: Transport, here: str | None
    ) -> str:
        """Return where the file is then: at `here` if one is there to be replaced."""
        partial, target = self._open(entry) if here is None else self._open_again(entry, here)
        try:
            download(urls, partial, transport, progress=self._progress, stop=self._stop)
            partial.finish(target)
        except TransferError as error:
            raise MissingFileError(self._failure(entry, error, partial.size)) from error
        finally:
            partial.keep()
        return target

    def _failure(self, entry: Entry, error: TransferError, size: int) -> str:
        kept = (
            f" ({counted(size, 'byte is', 'bytes are')} here and not fetched again)" if size else ""
        )
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

    def _open_again(self, entry: Entry, here: str) -> tuple[Partial, str]:
        """Return a partial that can replace a damaged file."""
        if os.path.islink(here):
            raise DataError(
                f"{here} is damaged, and is a link to {os.path.realpath(here)}, which is not "
                "replaced; remove the link, then fetch it"
            )
        folder = next(folder for folder, place in self._places(entry) if place == here)
        try:
            if not _is_writable(os.path.dirname(here)):
                raise PermissionError(errno.EACCES, "permission denied")
            return open_partial(folder, entry.algorithm, entry.digest), here
        except OSError as error:
            raise DataError(
                f"{here} is damaged, and cannot be replaced: {_reason(error)}; ask whoever owns "
                f"it to run\n\n    {fetch_command(self._registry.base, entry.path)}"
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
    return _is_writable(folder)


def _is_writable(folder: str) -> bool:
    return os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    )


def _cannot_write(folder: str, error: OSError) -> str:
    return f"{folder} cannot be written: {_reason(error)}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
