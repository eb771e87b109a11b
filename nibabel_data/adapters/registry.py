"""Which adapters there are, and asking them; one that fails is one bad entry."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from ..definition import version_suits
from ..errors import warn as warn_of
from ..plugins import entry_points_of, named_by
from .package import AdapterPackage, Place
from .source import AdapterDatasource

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    Adapter: TypeAlias = Callable[[str], Iterable[tuple[Place, Iterable[AdapterPackage]]]]

__all__ = ["BUILT_IN", "Searched", "find", "iter_adapter_packages", "normal", "search", "suits"]

BUILT_IN = ("freesurfer", "fsl", "mne", "nilearn", "pooch", "templateflow")
ENTRY_POINT_GROUP = "nibabel_data.adapters"


@dataclass(frozen=True, slots=True)
class Searched:
    """One place where an adapter looked.

    Parameters
    ----------
    adapter : str
        The adapter's name; of one that failed, with its distribution's.
    place : Place or None
        The place; None if the adapter failed.
    packages : tuple of AdapterPackage
        What is there of what was asked for.
    problem : str
        Why the adapter failed; empty if it did not.
    """

    adapter: str
    place: Place | None
    packages: tuple[AdapterPackage, ...] = ()
    problem: str = ""


def search(relpath: str = "", *, warn: bool = True) -> Iterator[Searched]:
    """Ask the adapters, and yield each place where they looked.

    Parameters
    ----------
    relpath : str, optional
        What is asked for: one package, ``templateflow/tpl-MNI152Lin``; everything of one adapter,
        ``templateflow``; or everything of all.
    warn : bool, optional
        Whether to warn, once, about an adapter that fails.

    Yields
    ------
    Searched
        In the order in which the adapter looks; nothing if no adapter has such a name.
    """
    wanted = normal(relpath) if relpath else ""
    first, _, rest = wanted.partition("/")
    for name in [first] if first else [*BUILT_IN, *_plugins()]:
        where = name
        try:
            if name in BUILT_IN:
                adapter = import_module(f"{__package__}.{name}").look
            elif name in _plugins():
                where, point = _plugins()[name]
                adapter = point.load()
            else:
                return
            answers = list(_ask(adapter, name, wanted if rest else ""))
        except (Exception, SystemExit) as error:  # foreign code: the others are asked all the same
            problem = f"the adapter failed: {type(error).__name__}: {error}"
            if warn:
                _warn_once(where, problem)
            yield Searched(where, None, (), problem)
            continue
        yield from answers


def find(relpath: str, minimum: str = "", specifier: str = "") -> AdapterDatasource | None:
    """Return what an adapter has under a name, if its version is one that was asked for.

    Parameters
    ----------
    relpath : str
        The name, such as ``templateflow/tpl-MNI152NLin2009cAsym``.
    minimum, specifier : str, optional
        As from `nibabel_data.definition.read`.
    """
    if "/" not in normal(relpath):
        return None
    for searched in search(relpath):
        for package in searched.packages:
            if suits(package, minimum, specifier) and searched.place is not None:
                return AdapterDatasource(package, searched.place)
    return None


def suits(package: AdapterPackage, minimum: str, specifier: str) -> bool:
    """Return whether a package is here, in a version that was asked for."""
    if package.absent:
        return False
    version = package.data_version
    if version is None:
        return not (minimum or specifier)
    return version_suits(version, minimum, specifier)


def iter_adapter_packages() -> Iterator[AdapterPackage]:
    """Yield everything that other tools hold on this machine, also what they have not fetched.

    Yields
    ------
    AdapterPackage
        By adapter, in the order in which each looks; none twice.

    Warns
    -----
    DataWarning
        Once for an adapter that fails; the others are asked.
    """
    seen = set()
    for searched in search():
        for package in searched.packages:
            if (package.relpath, package.path) not in seen:
                seen.add((package.relpath, package.path))
                yield package


def normal(relpath: str) -> str:
    """Return a relpath with forward slashes, each part once, as the adapters name packages.

    Examples
    --------
    >>> normal('./fsl//standard/')
    'fsl/standard'
    """
    return posixpath.normpath(relpath.replace(os.sep, "/"))


def _ask(adapter: Adapter, name: str, wanted: str) -> Iterator[Searched]:
    for place, packages in adapter(wanted):
        found = tuple(packages)
        if not isinstance(place, Place):
            raise TypeError(f"a place must be a Place, not {type(place).__name__}")
        for package in found:
            if not isinstance(package, AdapterPackage):
                raise TypeError(f"not an AdapterPackage: {type(package).__name__}")
            if package.adapter != name:
                raise ValueError(f"a package of the adapter {package.adapter!r}, not {name!r}")
        yield Searched(name, place, tuple(p for p in found if wanted in ("", p.relpath)))


def _plugins() -> dict[str, tuple[str, EntryPoint]]:
    """Return the adapters of other distributions: who names it and the entry point, by name."""
    found: dict[str, tuple[str, EntryPoint]] = {}
    for point in entry_points_of(ENTRY_POINT_GROUP):
        if point.name not in BUILT_IN:  # those cannot be replaced
            found.setdefault(point.name, (named_by(point), point))
    return found


_warned: set[tuple[str, str]] = set()


def _warn_once(where: str, problem: str) -> None:
    if (where, problem) not in _warned:
        _warned.add((where, problem))
        warn_of(f"plug-in {where}: {problem}; what it knows of is not looked at")
