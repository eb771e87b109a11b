"""`Mechanism` and `MechanismPackage`: one file of NMODL, and those that were published together.

Neither module nor classes import anything: a catalogue of a thousand packages is made of them.
"""

from __future__ import annotations

import os

from .names import full_name

__all__ = ["KINDS", "Mechanism", "MechanismPackage"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

KINDS = ("density", "point process", "artificial cell")
"""What a mechanism can be, in the words of NEURON."""


class Mechanism:
    """One mechanism that a package offers.  It cannot be changed.

    Parameters
    ----------
    package : str
        The package's name, an identifier.
    asset : str
        What the mechanism is called, such as ``Kv1_1``.
    variant : str
        Which of several of that name; ``0`` is the usual one.
    path : str
        Its file; empty for what NEURON brings itself.
    dialect : str or None
        ``neuron`` or ``arbor``; None if the file is for both.
    declared : str or None
        What its package says that it is, one of `KINDS`; None if it does not say.
    source : str
        Who brings it: ``dbbs-catalogue 6.0.1``, ``nipy/granule 0.2``, ``user``, ``NEURON``.
    root : str, optional
        The directory of its package, which may carry what was built from it.

    Examples
    --------
    >>> Mechanism('dbbs', 'Kv1_1', '0', '/x/Kv1_1.mod', None, 'density', 'dbbs 1.0').name
    'glia__dbbs__Kv1_1__0'
    """

    __slots__ = ("asset", "declared", "dialect", "package", "path", "root", "source", "variant")

    package: str
    asset: str
    variant: str
    path: str
    dialect: str | None
    declared: str | None
    source: str
    root: str

    def __init__(
        self,
        package: str,
        asset: str,
        variant: str,
        path: str,
        dialect: str | None = None,
        declared: str | None = None,
        source: str = "",
        root: str = "",
    ) -> None:
        _set(self, "package", package)
        _set(self, "asset", asset)
        _set(self, "variant", variant)
        _set(self, "path", path)
        _set(self, "dialect", dialect)
        _set(self, "declared", declared)
        _set(self, "source", source)
        _set(self, "root", root)

    @property
    def name(self) -> str:
        """The name that NEURON knows it by; of what NEURON brings itself, the asset."""
        return full_name(self.package, self.asset, self.variant) if self.path else self.asset

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Mechanism cannot be changed: {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Mechanism cannot be changed: {name!r}")

    def _fields(self) -> tuple[str, str, str, str, str | None, str | None, str, str]:
        return (
            self.package,
            self.asset,
            self.variant,
            self.path,
            self.dialect,
            self.declared,
            self.source,
            self.root,
        )

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Mechanism) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[type[Mechanism], tuple[str | None, ...]]:
        return Mechanism, self._fields()

    def __repr__(self) -> str:
        dialect = f", for {self.dialect}" if self.dialect else ""
        return f"<Mechanism {self.name} of {self.source or self.package}{dialect}>"


_set = object.__setattr__


class MechanismPackage:
    """The mechanisms that one distribution, data package or person brings under one name.

    Parameters
    ----------
    name : str
        An identifier, the second part of the names of its mechanisms.
    source : str
        As in `Mechanism`.
    root : str
        Its directory; empty for NEURON's own.
    version : str
        Of the distribution or the data package; may be empty.
    format : str
        ``glia``, ``astrocyte``, ``data package``, ``user`` or ``builtin``.
    mechanisms : iterable of Mechanism
        In the order of their declaration.
    problems : iterable of str, optional
        What was wrong when it was read.

    Attributes
    ----------
    name, source, root, version, format : str
        As above.
    mechanisms : tuple of Mechanism
        As above.
    """

    __slots__ = ("_problems", "format", "mechanisms", "name", "root", "source", "version")

    def __init__(
        self,
        name: str,
        source: str,
        root: str,
        version: str,
        format: str,
        mechanisms: Iterable[Mechanism],
        problems: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.root = root
        self.version = version
        self.format = format
        self.mechanisms = tuple(mechanisms)
        self._problems = tuple(problems)

    @property
    def duplicates(self) -> tuple[tuple[Mechanism, ...], ...]:
        """Those that are declared more than once: same asset, variant and dialect."""
        groups: dict[tuple[str, str, str | None], list[Mechanism]] = {}
        for one in self.mechanisms:
            groups.setdefault((one.asset, one.variant, one.dialect), []).append(one)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong: when it was read, and, looked up anew each time, files that are missing.

        Discovery does not look at the files, so that it takes no longer for a thousand packages.
        """
        problems = list(self._problems)
        for group in self.duplicates:
            first = group[0]
            named = f"{first.asset}, variant {first.variant}"
            if first.dialect:
                named += f", for {first.dialect}"
            files = " and ".join(one.path or "NEURON" for one in group)
            problems.append(f"{self.source}: {named} is declared {len(group)} times: {files}")
        for one in self.mechanisms:
            if one.path and not os.path.isfile(one.path):
                problems.append(f"{self.source}: {one.path} is declared and is no file")
        return tuple(problems)

    def __repr__(self) -> str:
        return f"<MechanismPackage {self.name} of {self.source}: {len(self.mechanisms)} mechanisms>"
