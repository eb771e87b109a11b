"""Installing exactly what a lock file says, without losing what a person added."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from os.path import join as pjoin

from ..distributions import owner_of
from ..errors import ConfigError, DataError
from ..explanation import explain
from ..searchpath import get_data_path
from .install import Progress, install
from .layout import named_path
from .lock import TREE, Difference, Locked, compare, difference_of, read_lock
from .manifest import MANIFEST, package_files, read_manifest
from .registry import promised
from .source import check_source, open_source

__all__ = ["sync"]

_SHOWN = 20
"""More files than these are counted."""


def sync(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    done: Callable[[Locked], object] | None = None,
) -> list[Locked]:
    """Install what a lock file says, and nothing else.

    Every package is looked at before the first is installed.

    Parameters
    ----------
    path : str or os.PathLike
        The lock file.
    root : str or os.PathLike
        Where to install what is not there.
    source : str or os.PathLike, optional
        A directory or archive (a bundle) to install from, whatever source the lock names.
    jobs : int, optional
        How many files are read at a time.
    progress : callable, optional
        As for `install`.
    done : callable, optional
        Called with each package, as soon as it is installed.

    Returns
    -------
    list of Locked
        What was installed; empty if everything was there.

    Raises
    ------
    DataError
        If a package cannot be had, or would not be found in `root`, or what stands there holds
        files that were not installed: then nothing was changed.  If what was installed is not what
        the lock says: then the attribute ``results`` has the packages before it.
    """
    place = named_path(path, "lock file")
    root = os.path.abspath(named_path(root, "root"))
    chosen = None if source is None else named_path(source, "source")
    locked = read_lock(place)
    _refuse_doubles(locked, place)
    missing = compare(locked, jobs=jobs)
    sources = {
        one.locked.name: _where(one.locked, os.path.dirname(place), chosen) for one in missing
    }
    _look_at_all(missing, sources, root, place)
    results: list[Locked] = []
    try:
        for difference in missing:
            one = difference.locked
            _install(one, sources[one.name], root, jobs, progress)
            results.append(one)
            if done is not None:
                done(one)
    except DataError as error:
        error.results = tuple(results)
        raise
    return results


def _refuse_doubles(locked: list[Locked], place: str) -> None:
    names = [one.name for one in locked]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(place, None, f"{double} stands in it twice: nibabel-data lock")


def _where(one: Locked, folder: str, source: str | None) -> str:
    """Return where a package can be installed from; empty if nobody said."""
    if source is not None:
        return source  # what a person names now comes before what is written
    if not one.source or "://" in one.source:
        return one.source
    return pjoin(folder, one.source)


def _look_at_all(missing: list[Difference], sources: dict[str, str], root: str, place: str) -> None:
    """Refuse, before anything is changed, what can be seen to fail; say so of every package."""
    problems = []
    offered: dict[str, set[str]] = {}
    for difference in missing:
        one = difference.locked
        try:
            _look_at(difference, sources[one.name], root, place)
            _refuse_without(one.name, sources[one.name], offered)
        except DataError as error:
            problems.append(f"{one.name} {one.version}: {error}")
    if problems:
        head = "nothing was installed; mend this, then run the same again:"
        raise DataError("\n    ".join([head, *problems]))


def _look_at(difference: Difference, source: str, root: str, place: str) -> None:
    one = difference.locked
    if not source:
        raise DataError(
            f"it is to be installed ({difference.problem}), but {place} names no source for it; "
            "name one: nibabel-data sync --from SOURCE"
        )
    check_source(source)
    _refuse_hidden(one, root)
    _refuse_added(pjoin(root, *one.name.split("/")))


def _refuse_without(name: str, source: str, offered: dict[str, set[str]]) -> None:
    """Refuse a source without the package, where that can be seen without unpacking it."""
    if "://" in source or not (os.path.isdir(source) or source.lower().endswith((".zip", ".whl"))):
        return
    if source not in offered:
        with open_source(source) as packages:
            offered[source] = {package.relpath for package in packages}
    if name not in offered[source]:
        names = ", ".join(sorted(offered[source]))
        raise DataError(f"no package {name!r} in {source}; it has {names}")


def _refuse_hidden(one: Locked, root: str) -> None:
    """Refuse a root that is not searched, or after one that holds another copy."""
    roots = [os.path.realpath(path) for path in get_data_path()]
    here = os.path.realpath(root)
    if here not in roots:
        raise DataError(
            f"{root} is not on the search path; add it: nibabel-data config add {shlex.quote(root)}"
        )
    found = explain(one.name).found
    if found is None or found.path is None or found.root.path is None:
        return
    above = os.path.realpath(found.root.path)
    if above in roots and roots.index(above) < roots.index(here):
        raise DataError(
            f"{found.path} ({found.root.origin}) is found before {root}; remove it, or install "
            f"in its place: nibabel-data sync --root {shlex.quote(os.fspath(found.root.path))}"
        )


def _refuse_added(target: str) -> None:
    """Refuse to replace a directory with files in it that nothing would bring back."""
    if os.path.islink(target) or not os.path.lexists(target):
        return
    name = os.path.basename(target)
    away = f"move it away: mv {shlex.quote(target)} {shlex.quote(f'{name}.mine')}"
    if not os.path.isdir(target):
        raise DataError(f"{target} is not a directory, and was not installed; {away}")
    if (owner := owner_of(target)) is not None:
        raise DataError(f"{target} belongs to {owner}: upgrade that, or choose another --root")
    try:
        listed = read_manifest(target)
        known = {*(listed or {}), *promised(target)}
    except ConfigError as error:
        raise DataError(f"{error}; {away}") from error
    added = sorted(path for path, _, _ in package_files(target) if path not in known)
    if not added:
        return
    if listed is None:
        raise DataError(f"{target} was not installed by this command: no {MANIFEST}; {away}")
    first = shlex.quote(pjoin(target, *added[0].split("/")))
    shown = ", ".join(added[:_SHOWN])
    more = f" and {len(added) - _SHOWN} more" if added[_SHOWN:] else ""
    each = "each, " if added[1:] else ""
    raise DataError(
        f"{target} holds what was not installed: {shown}{more}; move it away, {each}"
        f"for example: mv {first} ."
    )


def _install(
    one: Locked, source: str, root: str, jobs: int | None, progress: Progress | None
) -> None:
    install(
        source,
        root=root,
        only=one.name,
        tree=one.tree.removeprefix(TREE),
        force=True,
        jobs=jobs,
        progress=progress,
    )
    problem = difference_of(one, jobs=jobs)
    if problem:
        raise DataError(f"{one.name} {one.version} was installed in {root}, but {problem}")
