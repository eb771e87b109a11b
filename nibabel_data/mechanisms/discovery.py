"""`discover`: the `Catalogue` of all that this Python, this user and the search path have.

In order: the user's own collection, the data packages of mechanisms, the distributions with an
entry point of group ``glia.package``, and what NEURON brings itself.  Nothing is imported for it,
neither a package nor Glia nor NEURON.
"""

from __future__ import annotations

import os
import sys

from ..errors import ResolveError
from .mechanism import Mechanism, MechanismPackage

__all__ = [
    "Catalogue",
    "Mechanism",
    "MechanismPackage",
    "discover",
    "get_packages",
    "package",
    "refresh",
    "serving",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from ..searchpath import DataPath

    State: TypeAlias = tuple[object, ...]
    Index: TypeAlias = dict[str, tuple[Mechanism, ...]]


class Catalogue:
    """The packages of mechanisms that were found.

    Parameters
    ----------
    packages : iterable of MechanismPackage
        In the order in which they were found.
    problems : iterable of str, optional
        What was wrong beside what is wrong with one of them.
    notes : iterable of str, optional
        What is worth knowing, and is not wrong.

    Attributes
    ----------
    packages : tuple of MechanismPackage
        As above.  Two may have one name: their `source` tells them apart.
    notes : tuple of str
        As above.

    Examples
    --------
    >>> from nibabel_data.mechanisms.builtin import builtin_package
    >>> catalogue = Catalogue([builtin_package()])
    >>> catalogue.mechanisms_of('hh')
    (<Mechanism hh of NEURON, for neuron>,)
    >>> catalogue.mechanisms_of('hh', 'arbor')
    ()
    """

    __slots__ = ("_indices", "_names", "_problems", "notes", "packages")

    def __init__(
        self,
        packages: Iterable[MechanismPackage],
        problems: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> None:
        self.packages = tuple(packages)
        self.notes = tuple(notes)
        self._problems = tuple(problems)
        self._indices: dict[str | None, Index] = {}
        self._names: dict[str, tuple[MechanismPackage, ...]] | None = None

    def mechanisms_of(self, asset: str, dialect: str | None = "neuron") -> tuple[Mechanism, ...]:
        """Return every mechanism of a name.

        Parameters
        ----------
        asset : str
            Such as ``Kv1_1``.
        dialect : str or None, optional
            The simulator that they are for.  Within a package, one for that simulator alone stands
            in the place of one for all.  None for every one, whatever it is for.

        Returns
        -------
        tuple of Mechanism
            By package; two of one package, variant and dialect are both there.
        """
        return self._index(dialect).get(asset, ())

    def assets(self, dialect: str | None = "neuron") -> list[str]:
        """Return the names of all assets for a simulator, sorted; of all, if it is None."""
        return sorted(self._index(dialect))

    def packages_named(self, name: str) -> tuple[MechanismPackage, ...]:
        """Return the packages of a name.

        Parameters
        ----------
        name : str
            Such as ``dbbs``, or ``dbbs@dbbs-catalogue`` for the one that comes from there.

        Returns
        -------
        tuple of MechanismPackage
            None, one, or several that do not know of each other.
        """
        if self._names is None:
            names: dict[str, tuple[MechanismPackage, ...]] = {}
            for package in self.packages:
                names[package.name] = (*names.get(package.name, ()), package)
            self._names = names
        name, _, source = name.partition("@")
        return tuple(
            package
            for package in self._names.get(name, ())
            if not source or source in (package.source, _bringer(package))
        )

    def package(self, name: str) -> MechanismPackage | None:
        """Return the one package of a name; None if there is none.

        Parameters
        ----------
        name : str
            As `packages_named` takes it.

        Raises
        ------
        ResolveError
            If there are several.
        """
        found = self.packages_named(name)
        if len(found) > 1:
            raise ResolveError(
                f"{len(found)} packages are called {name!r}; say which: {_calls(found)}"
            )
        return found[0] if found else None

    @property
    def duplicates(self) -> tuple[tuple[Mechanism, ...], ...]:
        """Those that one package declares more than once, each with its doubles."""
        return tuple(group for package in self.packages for group in package.duplicates)

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is wrong, looked up anew: no problem keeps the rest from being used."""
        problems = list(self._problems)
        by_name: dict[str, list[MechanismPackage]] = {}
        for package in self.packages:
            problems.extend(package.problems)
            by_name.setdefault(package.name, []).append(package)
        for name, found in by_name.items():
            if len(found) > 1:
                sources = ", ".join(one.source for one in found)
                problems.append(
                    f"{len(found)} packages are called {name!r} ({sources}); to say which, write "
                    f"{_calls(found)}"
                )
        return tuple(problems)

    def _index(self, dialect: str | None) -> Index:
        index = self._indices.get(dialect)
        if index is None:
            lists: dict[str, list[Mechanism]] = {}
            for package in self.packages:
                for one in package.mechanisms if dialect is None else serving(package, dialect):
                    lists.setdefault(one.asset, []).append(one)
            index = {asset: tuple(mechanisms) for asset, mechanisms in lists.items()}
            self._indices[dialect] = index
        return index

    def __repr__(self) -> str:
        return f"<Catalogue of {len(self.packages)} packages>"


def _bringer(package: MechanismPackage) -> str:
    """Return the source of a package without its version."""
    return package.source.removesuffix(f" {package.version}")


def _calls(packages: Iterable[MechanismPackage]) -> str:
    return " or ".join(f"{package.name}@{_bringer(package)}" for package in packages)


def serving(package: MechanismPackage, dialect: str) -> list[Mechanism]:
    """Return the mechanisms of a package for a simulator.

    Parameters
    ----------
    package : MechanismPackage
        The package.
    dialect : str
        ``neuron`` or ``arbor``.

    Returns
    -------
    list of Mechanism
        Those for it alone, and those for all of whose asset and variant there is none of the
        former.
    """
    own = {(one.asset, one.variant) for one in package.mechanisms if one.dialect == dialect}
    return [
        one
        for one in package.mechanisms
        if one.dialect == dialect or (one.dialect is None and (one.asset, one.variant) not in own)
    ]


_known: dict[object, tuple[State, Catalogue]] = {}
_MOST_KEPT = 16
_VARIABLES = (
    "NIPY_DATA_PATH",
    "NIPY_USER_DIR",
    "NIPY_SYSTEM_DIR",
    "NIBABEL_DATA_PLUGINS",
    "HOME",
    "USERPROFILE",
    "XDG_DATA_DIRS",
)


def discover(
    data_path: DataPath | None = None, *, fresh: bool = False, remember: bool = False
) -> Catalogue:
    """Return the catalogue of every mechanism that there is.

    It is made once in a process, and made again if ``sys.path``, the home directory or a variable
    that names places has changed, if `fresh` is true, or after `refresh`: what is installed or
    added to the user's collection while the process runs is seen after that.  Files are not looked
    into, so that an edited one needs no `refresh`.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots below which to look for data packages instead of the search path.
    fresh : bool, optional
        Whether to look everywhere anew, using nothing that is remembered.
    remember : bool, optional
        Whether to write what the installed packages declare to the user's cache directory, so that
        the next process need not read them.  Whoever only reads leaves it: reading never writes.

    Returns
    -------
    Catalogue
        Also if much is wrong: see its `problems`.

    Examples
    --------
    >>> [one.name for one in discover('/no/such/directory').mechanisms_of('pas')]
    ['pas']
    """
    key: object = data_path
    if data_path is not None and not isinstance(data_path, str):
        given = [data_path] if isinstance(data_path, os.PathLike) else data_path
        data_path = [os.fspath(path) for path in given]
        key = tuple(data_path)
    state = (tuple(map(str, sys.path)), *map(os.environ.get, _VARIABLES))
    known = _known.get(key)
    if known is not None and known[0] == state and not fresh and not remember:
        return known[1]
    catalogue = _made(data_path, fresh, remember)
    if len(_known) >= _MOST_KEPT:
        _known.clear()
    _known[key] = (state, catalogue)
    return catalogue


def refresh() -> None:
    """Forget what was discovered: the next `discover` looks anew."""
    _known.clear()


def get_packages() -> list[MechanismPackage]:
    """Return every package of mechanisms, as the function of that name of Glia does.

    Examples
    --------
    >>> [one.name for one in get_packages()][-1]
    'NEURON'
    """
    return list(discover().packages)


def package(name: str) -> MechanismPackage:
    """Return the package of a name.

    Parameters
    ----------
    name : str
        Such as ``dbbs``, or ``dbbs@dbbs-catalogue`` for the one that comes from there.

    Raises
    ------
    ResolveError
        If there is none, or several.

    Examples
    --------
    >>> package('NEURON').source
    'NEURON'
    """
    found = discover().package(name)
    if found is None:
        there = ", ".join(one.name for one in discover().packages)
        raise ResolveError(f"no package of mechanisms is called {name!r}; there are: {there}")
    return found


def _made(data_path: DataPath | None, fresh: bool, remember: bool) -> Catalogue:
    from .builtin import builtin_package
    from .collected import data_packages, user_packages
    from .installed import read_installed

    packages = user_packages()
    collected, problems, notes = data_packages(data_path)
    packages += collected
    for source, version, raw_packages, told in read_installed(fresh=fresh, remember=remember):
        problems += told
        for name, root, form, raw, problems_of in raw_packages:
            mechanisms = [
                Mechanism(
                    name,
                    asset,
                    variant,
                    os.path.join(root, relpath),
                    dialect,
                    declared,
                    source,
                    root,
                )
                for asset, variant, relpath, dialect, declared in raw
            ]
            packages.append(
                MechanismPackage(name, source, root, version, form, mechanisms, problems_of)
            )
    packages.append(builtin_package())
    return Catalogue(packages, problems, notes)
