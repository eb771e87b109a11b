"""Whether a package still holds what it was made of, without the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os.path import join as pjoin
from typing import TYPE_CHECKING

from ..errors import DataError
from ..files import LEFT_OUT, annex_command, content_state, is_pointer
from .held import Held, held_files
from .manifest import (
    MANIFEST,
    hash_file,
    in_threads,
    package_files,
    read_manifest,
    tree_hash,
)
from .overlay import overlay_dir
from .registry import REGISTRY, Registry, read_registry
from .stamps import Stamps
from .unchanged import Fingerprint, forget, is_unchanged

if TYPE_CHECKING:
    from ..distributions import Recorded

__all__ = ["Check", "Verification", "tree_of", "verify_directory"]

_FETCHED_BY_DATALAD = "the content is not here; datalad get fetches it"

_INSTEAD = {
    "dangling": "a link that leads nowhere",
    "directory": "no file, but a directory",
    "file": "what is there is no part of the package",  # it lies behind a link to a directory
    "other": "no file, but a device, a pipe or a socket",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One file that is not as it should be.

    Parameters
    ----------
    path : str
        The file below the package, with forward slashes.
    state : str
        ``missing``, ``changed``, ``extra``, ``unreadable``, or ``absent`` (the content of a
        DataLad or git-annex file is not here).
    detail : str
        What more there is to say.
    """

    path: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result for one package.

    Parameters
    ----------
    path : str
        The package's directory.
    against : str
        What it was checked against: ``manifest``, ``RECORD of NAME VERSION``, or empty if there
        is nothing.
    checked : int
        How many files were compared.
    hashed : int
        How many of them were read; of the others it was known from before.
    amiss : tuple of Check
        The files that are not as they should be, sorted.
    problem : str
        Why nothing could be checked; empty if it could.
    not_fetched : int
        How many files a thin package promises that were not fetched, which is nothing amiss.
    """

    path: str
    against: str
    checked: int
    hashed: int
    amiss: tuple[Check, ...] = ()
    problem: str = ""
    not_fetched: int = 0

    @property
    def ok(self) -> bool:
        """Whether every file is as it should be."""
        return not self.amiss and not self.problem


def verify_directory(
    base: str | os.PathLike[str],
    *,
    full: bool = False,
    jobs: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Verification:
    """Compare the files of a package with its manifest, or with its distribution's RECORD.

    What was fetched for a thin package, into it or into the overlay, is compared with its registry.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.
    full : bool, optional
        Whether to read files again that have not changed since they were last read.
    jobs : int, optional
        How many files are read at a time; by default one for each processor.
    progress : callable, optional
        Called with the number of bytes of each file when it is done.

    Returns
    -------
    Verification
        What is amiss, or why nothing can be checked.

    Examples
    --------
    >>> verify_directory('examples/nipy-examplepkg/nipy/examplepkg').problem
    'nothing to check against: no manifest-sha256.txt, and no distribution owns it'
    """
    base = os.fspath(base)
    try:
        known = None if full else is_unchanged(base)
        if known is not None:
            return Verification(base, known[0], known[1], 0, not_fetched=known[2])
        registry = read_registry(base)
        before = Fingerprint(base, "" if registry is None else overlay_dir(registry))
        found = _Found(base, registry)
        expected, against, recorded = _expected(base)
        if recorded is not None:
            before.add_record(recorded.path, recorded.seen)
    except DataError as error:
        return Verification(base, "", 0, 0, problem=str(error))
    amiss = found.out_of_place(expected) if against else []
    wanted = found.to_compare(expected)
    stamps = Stamps(base)
    read = [one for one in wanted if stamps.known(one.known_as, one.status) is None or full]
    hashes = _hashes(read, stamps, jobs, progress)
    for one in wanted:
        digest = hashes.get(one.known_as) or stamps.known(one.known_as, one.status)
        difference = digest if isinstance(digest, Check) else one.difference(digest)
        if difference is not None:
            amiss.append(difference)
    stamps.save()
    problem = "" if against else _nothing_to_check_against(found.held)
    checked = len({one.path for one in wanted})
    not_fetched = len(found.not_fetched - expected.keys())
    if amiss or problem:
        forget(base)
    else:
        before.keep(against, checked, not_fetched)
    by_path = {check.path: check for check in reversed(amiss)}  # of two, what the manifest says
    return Verification(
        base,
        against,
        checked,
        len({one.path for one in read}),
        tuple(by_path[path] for path in sorted(by_path)),
        problem,
        not_fetched,
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is here, and the hash that it has to have.

    Parameters
    ----------
    path : str
        Its path in the package, with forward slashes.
    place : str
        Where it is.
    status : os.stat_result
        Its status.
    digest : str
        The hash.
    held : Held or None
        What its registry says of it, if the hash is from there; else the hash is a SHA-256.
    """

    path: str
    place: str
    status: os.stat_result
    digest: str
    held: Held | None = None

    @property
    def known_as(self) -> str:
        """What the stamps know its hash by."""
        return self.path if self.held is None else self.held.known_as

    @property
    def algorithm(self) -> str:
        """The algorithm of its hash."""
        return "sha256" if self.held is None else self.held.entry.algorithm

    def difference(self, digest: str | None) -> Check | None:
        """Return what is wrong with a file that has a hash; None if nothing is."""
        if digest == self.digest:
            return None
        if is_pointer(self.place):
            return Check(self.path, "absent", _FETCHED_BY_DATALAD)
        if self.held is None or digest is None:
            return Check(self.path, "changed")
        return Check(
            self.path, "changed", f"{self.held.difference(digest)}; fetch again: {self.held.mend}"
        )


class _Found:
    """What lies in a package, and in its overlay."""

    __slots__ = ("_base", "_files", "_here", "_lost", "held", "not_fetched")

    def __init__(self, base: str, registry: Registry | None) -> None:
        self._base = base
        self._files = package_files(base)
        self._here = {path: status for path, state, status in self._files if state == "file"}
        self.held = {} if registry is None else held_files(registry, self._files)
        promised = set() if registry is None else registry.entries.keys()
        elsewhere = promised - self.held.keys()
        # What git-annex has not got yet can be fetched; another link, or a FIFO, is in the way.
        left = {path for path, state, _ in self._files if state != "absent"}
        self._lost, self.not_fetched = elsewhere & left, elsewhere - left

    def out_of_place(self, expected: Mapping[str, str]) -> list[Check]:
        """Return what should be here and is not, and what is here and should not be."""
        promised = self.held.keys() | self.not_fetched | self._lost
        missing = [path for path in expected if path not in self._here]
        missing += [path for path in self._lost if path not in expected]
        return [
            *(_not_a_file(self._base, path) for path in missing),
            *(
                Check(path, "unreadable" if state == "unreadable" else "extra")
                for path, state, _ in self._files
                if path not in expected and path not in promised
            ),
            *(
                Check(path, "extra", "a link to a directory, which is not followed")
                for path in _linked_directories(self._base)
            ),
        ]

    def to_compare(self, expected: Mapping[str, str]) -> list[_File]:
        """Return the files that have a hash to be compared with."""
        own = [
            _File(path, pjoin(self._base, path), status, digest)
            for path, digest in expected.items()
            if (status := self._here.get(path)) is not None
        ]
        return own + [
            _File(path, one.place, one.status, one.entry.digest, one)
            for path, one in self.held.items()
        ]


def _linked_directories(base: str) -> Iterator[str]:
    """Yield the links to directories, which are no files: what lies behind them can be located."""
    for here, folders, _ in os.walk(base):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in folders:
            place = pjoin(here, name)
            if os.path.islink(place):
                yield os.path.relpath(place, base).replace(os.sep, "/")


def _nothing_to_check_against(held: Mapping[str, Held]) -> str:
    problem = f"nothing to check against: no {MANIFEST}, and no distribution owns it"
    if held:
        problem += f"; only what was fetched was checked, by {REGISTRY}"
    return problem


def tree_of(base: str | os.PathLike[str], *, full: bool = False, jobs: int | None = None) -> str:
    """Return the tree hash of what a package holds now, whatever its manifest says.

    What was fetched for a thin package is not part of it: its registry is, with every hash.  But
    it must be what the registry promises.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.
    full : bool, optional
        Whether to read files again that have not changed since they were last read.
    jobs : int, optional
        How many files are read at a time.

    Returns
    -------
    str
        As `nibabel_data.package.manifest.tree_hash` gives it.

    Raises
    ------
    DataError
        If a file cannot be read, or its content is not here, or what was fetched is damaged.

    Examples
    --------
    >>> len(tree_of('examples/nipy-examplepkg/nipy/examplepkg'))
    64
    """
    base = os.fspath(base)
    stamps = Stamps(base)
    registry, files = read_registry(base), package_files(base)
    held = {} if registry is None else held_files(registry, files)
    promised = set() if registry is None else registry.entries.keys()
    listed = read_manifest(base) or {}
    fetched = promised - listed.keys()
    wanted = [
        _File(path, one.place, one.status, one.entry.digest, one)
        for path, one in held.items()
        if path in fetched
    ]
    for path, state, status in files:
        if path in fetched:
            continue
        if state == "absent":
            raise DataError(_not_here(pjoin(base, path)))
        if state != "file" or status is None:
            raise DataError(f"{pjoin(base, path)} is {state}: the package is not whole")
        wanted.append(_File(path, pjoin(base, path), status, ""))
    unknown = [one for one in wanted if stamps.known(one.known_as, one.status) is None or full]
    hashes = _hashes(unknown, stamps, jobs, None)
    stamps.save()
    own: dict[str, str] = {}
    for one in wanted:
        digest = hashes.get(one.known_as) or stamps.known(one.known_as, one.status)
        if isinstance(digest, Check):
            raise DataError(f"cannot read {one.place}: {digest.detail}")
        if one.held is None:
            if digest != listed.get(one.path) and is_pointer(one.place, one.status):
                raise DataError(_not_here(one.place))
            own[one.path] = digest or ""
        elif difference := one.difference(digest):
            raise DataError(difference.detail)
    return tree_hash(own)


def _not_here(place: str) -> str:
    return f"the content of {place} is not here; fetch it: {annex_command(place)}"


def _expected(base: str) -> tuple[dict[str, str], str, Recorded | None]:
    """Return hash by path, and where it is from; the latter is empty if there is nothing."""
    manifest = read_manifest(base)
    if manifest is not None:
        return manifest, "manifest", None
    from ..distributions import recorded_hashes  # reads RECORD files: not on the usual path

    recorded = recorded_hashes(base)
    if recorded is not None:
        return recorded.hashes, f"RECORD of {recorded.owner}", recorded
    return {}, "", None


def _not_a_file(base: str, path: str) -> Check:
    state = content_state(pjoin(base, path))
    if state == "absent":
        return Check(path, "absent", _FETCHED_BY_DATALAD)
    if state == "unreadable":
        return Check(path, "unreadable", "permission denied")
    return Check(path, "missing", _INSTEAD.get(state, ""))


def _hashes(
    files: list[_File],
    stamps: Stamps,
    jobs: int | None,
    progress: Callable[[int], object] | None,
) -> dict[str, str | Check]:
    """Return, by what stamps know it by, each file's hash, or a check that says why it has none."""

    def hash_one(file: _File) -> str | Check:
        try:
            before = os.stat(file.place)
            digest = hash_file(file.place, file.algorithm)
        except OSError as error:
            return Check(file.path, "unreadable", (error.strerror or str(error)).lower())
        stamps.remember(file.known_as, digest, before)
        if progress is not None:
            progress(before.st_size)
        return digest

    once = {file.known_as: file for file in files}  # the manifest and the registry may name one
    if not once:
        return {}  # an unchanged package needs no threads
    return dict(zip(once, in_threads(hash_one, once.values(), jobs), strict=True))
