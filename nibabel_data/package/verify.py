"""Whether a package still holds what it was made of, without the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from os.path import join as pjoin

from ..errors import DataError
from ..files import content_state
from .manifest import (
    MANIFEST,
    hash_file,
    package_files,
    read_manifest,
    tree_hash,
    workers,
)
from .registry import promised
from .stamps import Stamps, fingerprint

__all__ = ["Check", "Verification", "tree_of", "verify_directory"]


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
    """

    path: str
    against: str
    checked: int
    hashed: int
    amiss: tuple[Check, ...] = ()
    problem: str = ""

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
        files = package_files(base)
        stamps, now = Stamps(base), fingerprint([*files, _manifest_itself(base)])
        clean = None if full else stamps.clean(now)
        if clean is not None:
            return Verification(base, clean[0], clean[1], 0)
        expected, against = _expected(base)
        promised(base)
    except DataError as error:
        return Verification(base, "", 0, 0, problem=str(error))
    if not against:
        problem = f"nothing to check against: no {MANIFEST}, and no distribution owns it"
        return Verification(base, "", 0, 0, problem=problem)
    found = {path: status for path, state, status in files if state == "file"}
    fetched = {path: mark for path, mark in promised(base).items() if path in found}
    for path, mark in fetched.items():
        if path not in expected and mark.startswith("sha256:"):
            expected[path] = mark.removeprefix("sha256:")
    amiss = [
        Check(path, "unreadable" if state == "unreadable" else "extra")
        for path, state, _ in files
        if path not in expected and path not in fetched
    ]
    present = [path for path in expected if path in found]
    amiss += [_not_a_file(base, path) for path in expected if path not in found]
    known = {path: stamps.known(path, found[path]) for path in present}
    unknown = [path for path in present if full or known[path] is None]
    hashes = _hashes(base, unknown, stamps, jobs, progress)
    for path in present:
        sha256 = hashes.get(path, known[path])
        if isinstance(sha256, Check):
            amiss.append(sha256)
        elif sha256 != expected[path]:
            amiss.append(Check(path, "changed"))
    stamps.save()
    if not amiss:
        stamps.save_clean(files, now, against, len(present))
    amiss.sort(key=lambda check: check.path)
    return Verification(base, against, len(present), len(unknown), tuple(amiss))


def _manifest_itself(base: str) -> tuple[str, str, os.stat_result | None]:
    try:
        return MANIFEST, "file", os.stat(pjoin(base, MANIFEST))
    except OSError:
        return MANIFEST, "missing", None


def tree_of(base: str | os.PathLike[str], *, jobs: int | None = None) -> str:
    """Return the tree hash of what a package holds now, whatever its manifest says.

    What was fetched for a thin package is not part of it: its registry is, with every hash.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.
    jobs : int, optional
        How many files are read at a time; those that have not changed are not read again.

    Returns
    -------
    str
        As `nibabel_data.package.manifest.tree_hash` gives it.

    Raises
    ------
    DataError
        If a file cannot be read, or its content is not here.

    Examples
    --------
    >>> len(tree_of('examples/nipy-examplepkg/nipy/examplepkg'))
    64
    """
    base = os.fspath(base)
    stamps = Stamps(base)
    hashes: dict[str, str] = {}
    unknown = []
    fetched = promised(base).keys() - (read_manifest(base) or {}).keys()
    for path, state, status in package_files(base):
        if path in fetched:
            continue
        if state != "file":
            raise DataError(f"{pjoin(base, path)} is {state}: the package is not whole")
        known = stamps.known(path, status)
        if known is None:
            unknown.append(path)
        else:
            hashes[path] = known
    for path, sha256 in _hashes(base, unknown, stamps, jobs, None).items():
        if isinstance(sha256, Check):
            raise DataError(f"cannot read {pjoin(base, path)}: {sha256.detail}")
        hashes[path] = sha256
    stamps.save()
    return tree_hash(hashes)


def _expected(base: str) -> tuple[dict[str, str], str]:
    """Return hash by path, and where it is from; the latter is empty if there is nothing."""
    manifest = read_manifest(base)
    if manifest is not None:
        return manifest, "manifest"
    from ..distributions import recorded_hashes  # reads RECORD files: not on the usual path

    recorded = recorded_hashes(base)
    if recorded is not None:
        return recorded[1], f"RECORD of {recorded[0]}"
    return {}, ""


def _not_a_file(base: str, path: str) -> Check:
    state = content_state(pjoin(base, path))
    if state == "absent":
        return Check(path, "absent", "the content is not here; datalad get fetches it")
    if state == "unreadable":
        return Check(path, "unreadable", "permission denied")
    if state == "dangling":
        return Check(path, "missing", "a link that leads nowhere")
    return Check(path, "missing", "" if state == "missing" else f"no file, but a {state}")


def _hashes(
    base: str,
    paths: list[str],
    stamps: Stamps,
    jobs: int | None,
    progress: Callable[[int], object] | None,
) -> dict[str, str | Check]:
    """Return the hash of each file, or a check that says why it cannot be read."""

    def hash_one(path: str) -> str | Check:
        file = pjoin(base, path)
        try:
            before = os.stat(file)
            sha256 = hash_file(file)
        except OSError as error:
            return Check(path, "unreadable", (error.strerror or str(error)).lower())
        stamps.remember(path, sha256, before)
        if progress is not None:
            progress(before.st_size)
        return sha256

    if not paths:
        return {}
    from concurrent.futures import ThreadPoolExecutor  # an unchanged package needs none

    # Hashing large pieces releases the interpreter's lock, so that threads use every processor.
    with ThreadPoolExecutor(workers(jobs)) as pool:
        return dict(zip(paths, pool.map(hash_one, paths), strict=True))
