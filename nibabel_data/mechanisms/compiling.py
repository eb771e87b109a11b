"""Building many mechanisms ahead of time, in parallel, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..errors import MechanismError, warn
from . import library, ranks
from .collected import LIBRARIES
from .resolution import MechanismName, resolve
from .source import prepare

__all__ = ["CompileReport", "compile", "cores", "everything"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .discovery import Mechanism
    from .library import Toolchain
    from .resolution import Asset
    from .source import Prepared

_PAYS = 3
"""From so many mechanisms on, precompiled headers save more than they cost."""


class CompileReport:
    """What `compile` did.

    Attributes
    ----------
    libraries : dict of str
        By full name, the library.
    made : list of str
        The names of those that were built now; the others were there.
    failed : dict of BuildError
        By full name, why there is none.
    """

    __slots__ = ("failed", "libraries", "made")

    def __init__(self) -> None:
        self.libraries: dict[str, str] = {}
        self.made: list[str] = []
        self.failed: dict[str, MechanismError] = {}

    def __repr__(self) -> str:
        return (
            f"<CompileReport: {len(self.libraries)} libraries, {len(self.made)} made now, "
            f"{len(self.failed)} failed>"
        )


def compile(
    *assets: Asset | MechanismName,
    jobs: int | None = None,
    strict: bool = False,
    quiet: bool = False,
    to: str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> CompileReport:
    """Build mechanisms ahead of time.

    Under MPI every rank calls it; the work is shared, and where one rank fails all do.

    Parameters
    ----------
    *assets : str or tuple of str
        Which, as in `insert`; everything that is installed if none is named.
    jobs : int, optional
        How many to build at once; the number of cores if not given.
    strict : bool, optional
        Whether one that does not build is an error; else it is in the report, and raises when it is
        asked for.
    quiet : bool, optional
        Whether no warning tells of those that do not build.
    to : path, optional
        Build into a directory for others, and not into this user's cache.  In a root of the data
        path (or any directory that others name in ``NIPY_DATA_PATH``) it is found by them.
    progress : callable, optional
        Called with 1 after each mechanism.

    Returns
    -------
    CompileReport
        What was built, what was there, and what failed.

    Raises
    ------
    ResolveError
        If one of `assets` is not there, or ambiguous.
    BuildError
        With `strict`, the first one that failed.
    DataError
        If `to` cannot be written.
    """
    among = ranks.ranks()
    base = None if to is None else os.path.join(os.path.abspath(os.fspath(to)), LIBRARIES)
    with ranks.together():
        names, ambiguous = ([resolve(one) for one in assets], {}) if assets else everything()
        names = list(dict.fromkeys(names))
        mine = [name for i, name in enumerate(names) if i % among.size == among.rank]
        report = _build(mine, library.toolchain(), jobs, base, progress)
        report.failed.update(ambiguous)
    if among.size > 1:
        parts = among.gather((report.libraries, report.made, report.failed))
        report = CompileReport()
        for libraries, made, failed in parts:
            report.libraries.update(libraries)
            report.made += made
            report.failed.update(failed)
    if strict and report.failed:
        raise next(iter(report.failed.values()))
    if not quiet:
        for failure in report.failed.values():
            warn(str(failure))
    return report


def everything() -> tuple[list[MechanismName], dict[str, MechanismError]]:
    """Return the name of each mechanism for NEURON that is installed and has a file.

    Returns
    -------
    names : list of MechanismName
        Those that can be built.
    ambiguous : dict of MechanismError
        By name, what several files claim: none of them is taken for the others.
    """
    from .discovery import discover

    catalogue = discover(remember=True)
    groups: dict[str, list[Mechanism]] = {}
    for asset in catalogue.assets():
        for mechanism in catalogue.mechanisms_of(asset):
            if mechanism.path:
                groups.setdefault(mechanism.name, []).append(mechanism)
    names, ambiguous = [], {}
    for text, group in groups.items():
        if len(group) > 1:
            files = "".join(f"\n  {m.path} ({m.source})" for m in group)
            ambiguous[text] = MechanismError(f"{len(group)} files claim the name {text}:{files}")
            continue
        name = MechanismName(text)
        name.mechanism = group[0]
        name.rule = "everything was asked for"
        names.append(name)
    return names, ambiguous


def _build(
    names: list[MechanismName],
    tools: Toolchain,
    jobs: int | None,
    to: str | None,
    progress: Callable[[int], object] | None,
) -> CompileReport:
    report = CompileReport()
    missing = []
    for name in names:
        path, failed, source = _there(name.mechanism, tools, to)
        if path is not None:
            report.libraries[name] = path
        elif failed is not None:
            report.failed[name] = failed
        else:
            missing.append((name, source))
        if progress is not None and (path is not None or failed is not None):
            progress(1)
    precompiled = len(missing) >= _PAYS
    if precompiled:
        from .headers import precompiled_header

        precompiled_header(library.cache_directory(), tools)
    # The largest first, so that the last one does not keep one core busy and the others idle.
    missing.sort(key=lambda item: -sum(map(len, item[1].files.values())))

    def build(item: tuple[MechanismName, Prepared]) -> str | MechanismError:
        name, source = item
        try:
            return library.obtain(
                source, tools, package=name.mechanism.package, precompiled=precompiled, to=to
            )
        except MechanismError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, jobs or cores())) as pool:
        try:
            for (name, _), result in zip(missing, pool.map(build, missing), strict=True):
                if isinstance(result, str):
                    report.libraries[name] = result
                    report.made.append(name)
                else:
                    report.failed[name] = result
                if progress is not None:
                    progress(1)
        except BaseException:  # such as Ctrl-C: what has not been begun is left
            pool.shutdown(cancel_futures=True)
            raise
    return report


def _there(
    mechanism: Mechanism, tools: Toolchain, to: str | None
) -> tuple[str | None, MechanismError | None, Prepared]:
    """Return the library, or why there is none, or what is to be built."""
    try:
        source = prepare(mechanism)
    except MechanismError as error:
        return None, error, None  # type: ignore[return-value]
    if to is not None:
        return library.built_in(to, source, tools), None, source
    path = library.built(source, tools, package_root=mechanism.root)
    return path, None if path else library.failure(source, tools), source


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
