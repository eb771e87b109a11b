"""Mechanisms in NEURON: loaded when they are first asked for, inserted, looked at, removed.

What would end the process is found out before NEURON is asked: a library that is cut short, a name
that exists, an ion with another valence.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache

from ..errors import MechanismError, warn
from ..ini import signature
from . import receipts
from .accessor import InsertedMechanism
from .discovery import discover
from .receipts import Receipt
from .resolution import MechanismName, resolve

__all__ = ["get", "insert", "interpreter", "kind_in_neuron", "load", "load_library", "remove"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .discovery import Mechanism
    from .library import Toolchain
    from .resolution import Asset

_loading = threading.RLock()
_loaded: dict[str, _Loaded] = {}
"""By name, what this process has, of the mechanisms that have a file."""
_tools: Toolchain | None = None


class _Loaded:
    """From which source a mechanism was made that NEURON has: it cannot be replaced.

    Attributes
    ----------
    path : str
        The author's file.
    digest : str
        Of its source; empty if it was there before, from a library of somebody else.
    stamp : object
        The status of the file when it was last looked at.
    """

    __slots__ = ("digest", "path", "stamp")

    def __init__(self, path: str, digest: str, stamp: object) -> None:
        self.path = path
        self.digest = digest
        self.stamp = stamp


def insert(
    section: Any,
    asset: Asset,
    variant: str | None = None,
    pkg: str | None = None,
    *,
    attributes: Mapping[str, Any] | None = None,
    x: float | None = None,
) -> InsertedMechanism:
    """Insert a mechanism in a section, building and loading it if need be.

    Parameters
    ----------
    section : h.Section, segment, or a wrapper of one (nrn-patch, BSB)
        Where to; an artificial cell is nowhere, and None will do.
    asset : str or tuple of str
        The asset, ``(asset, variant)`` or ``(asset, variant, package)``, or a full name.
    variant, pkg : str, optional
        What this single use asks for; else what is preferred decides (see `context`, `select`).
    attributes : dict, optional
        Values of parameters, by their short names, in the units of the mechanism.
    x : float, optional
        The position along the section, from 0 to 1, of a point process; 0.5, or where the segment
        is, if not given.  Of a density mechanism, where `attributes` are set: everywhere if not
        given.

    Returns
    -------
    InsertedMechanism
        Gets, sets, records and describes its parameters.

    Raises
    ------
    ResolveError
        If no mechanism, or more than one, suits.
    BuildError
        If it does not build.
    MechanismError
        If NEURON cannot take it.

    Notes
    -----
    Under MPI it is of this rank alone: if it raises on one, the others go on, and wait for that one
    where they next exchange something.  `load_library` fails on all of them or on none.
    """
    place, at = _section_of(section)
    _remember_packages()
    name = resolve(asset, pkg, variant)
    kind = load(name.mechanism)
    position = at if x is None else x
    if kind == "functions":
        raise MechanismError(
            f"{name} is a file of functions (SUFFIX nothing): it is loaded now, and there is "
            "nothing to insert."
        )
    where = []
    if kind == "artificial cell":
        place = None
    else:
        _need_section(place, name)
        where.append(_segment(place, 0.5 if position is None else position))
    inserted = InsertedMechanism(interpreter(), place, name, kind)
    inserted.check(attributes or {})  # before anything is inserted
    if kind == "density":
        place.insert(str(name))
    else:
        inserted.become(_made(name, *where))
        position = None
    if attributes:
        inserted.set(attributes, x=position)
    return inserted


def _segment(section: Any, x: float) -> Any:
    try:
        return section(float(x))
    except (TypeError, ValueError) as error:
        raise MechanismError(f"x is {x!r}: a number from 0 to 1 is needed.") from error


def _made(name: MechanismName, *where: Any) -> Any:
    """Return a new point process or artificial cell."""
    template = getattr(interpreter(), name)
    if not callable(template):
        raise MechanismError(
            f"a variable of hoc is called {name}, and hides the mechanism of that name: rename it."
        )
    return template(*where)


def get(
    section: Any, asset: Asset, variant: str | None = None, pkg: str | None = None
) -> InsertedMechanism:
    """Return the accessor of a density mechanism that is in a section.

    Parameters
    ----------
    section, asset, variant, pkg
        As in `insert`.

    Returns
    -------
    InsertedMechanism
        The accessor.

    Raises
    ------
    MechanismError
        If it is a point process, of which a section may have many (keep what `insert` returned), or
        if it is not in the section.
    """
    place, _ = _section_of(section)
    name = resolve(asset, pkg, variant)
    kind = kind_in_neuron(name)
    if kind in ("point process", "artificial cell"):
        raise MechanismError(
            f"{name} is a {kind}: a section may have many, so keep what insert() returned."
        )
    _need_section(place, name)
    if kind is None or not place.has_membrane(str(name)):
        present = sorted(place.psection()["density_mechs"])
        raise MechanismError(
            f"{name} is not in {place.name()}, which has {', '.join(present) or 'no mechanism'}.\n"
            f"Insert it:  insert(section, {name.mechanism.asset!r})"
        )
    return InsertedMechanism(interpreter(), place, name, "density")


def remove(section: Any, asset: Asset, variant: str | None = None, pkg: str | None = None) -> None:
    """Take a density mechanism out of a section.

    Parameters
    ----------
    section, asset, variant, pkg
        As in `insert`.

    Raises
    ------
    MechanismError
        As `get`.
    """
    get(section, asset, variant, pkg).remove()


def load(mechanism: Mechanism) -> str:
    """Make NEURON know a mechanism, building it if need be; return its kind.

    Parameters
    ----------
    mechanism : Mechanism
        One that a package has.

    Returns
    -------
    str
        ``density``, ``point process``, ``artificial cell`` or ``functions``.

    Raises
    ------
    BuildError
        If it does not build.
    MechanismError
        If NEURON cannot take it: another of that name is there, or an ion has another valence.
    """
    name = mechanism.name
    if not mechanism.path:
        kind = kind_in_neuron(name)
        if kind is None:
            raise MechanismError(f"this NEURON has no {name} of its own.")
        return kind
    with _loading:
        kind = kind_in_neuron(name)
        if kind is None:
            kind = _load(mechanism)
        else:
            _compare(mechanism)
    if mechanism.declared not in (None, kind) and kind != "functions":  # no format can say so
        _warn_once(
            f"{mechanism.package} declares {name} as {mechanism.declared}; its source makes it "
            f"{kind}, and so it is used."
        )
    return kind


def _compare(mechanism: Mechanism) -> None:
    """Tell if what NEURON has under a name was made from something else; nothing can replace it."""
    name = mechanism.name
    there = _loaded.get(name)
    if there is None:
        _loaded[name] = _Loaded(mechanism.path, "", None)
        _warn_once(
            f"NEURON had {name} already, from a library of another tool or the x86_64 directory "
            f"that it loads by itself: that one is used, and not {mechanism.path}."
        )
        return
    stamp = _stamp(mechanism.path)
    if not there.digest or (there.path, there.stamp) == (mechanism.path, stamp):
        return
    if _digest(mechanism) == there.digest:
        if there.path == mechanism.path:
            there.stamp = stamp
        return
    if there.path != mechanism.path:
        raise MechanismError(
            f"NEURON has {name} already, from {there.path}: it cannot have another of that name, "
            f"from {mechanism.path} ({mechanism.source}), in the same process."
        )
    _warn_once(
        f"{mechanism.path} has changed since {name} was loaded: NEURON goes on with what it has. "
        "Start Python anew to use the change."
    )


def _stamp(path: str) -> object:
    try:
        return signature(os.stat(path))
    except OSError:
        return None


def _digest(mechanism: Mechanism) -> str:
    """Return the digest of a source as it is now; empty if it cannot be read."""
    from .source import prepare

    try:
        return prepare(mechanism).digest
    except MechanismError:
        return ""


def _warn_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        warn(message)


_told: set[str] = set()


@cache
def _remember_packages() -> None:
    """Keep what the installed packages declare, once a process: the next one starts sooner."""
    discover(remember=True)


def _load(mechanism: Mechanism) -> str:
    h = interpreter()
    neuron = sys.modules["neuron"].__file__ or ""
    stamp = _stamp(mechanism.path)
    receipt = receipts.recall(mechanism, neuron) or _built(mechanism, neuron)
    _check_ions(mechanism, receipt.ions)
    try:
        done = h.nrn_load_dll(receipt.library)
    except RuntimeError as error:
        raise MechanismError(
            f"NEURON does not take {mechanism.name} ({mechanism.path}): {error}"
        ) from error
    if done != 1.0:
        raise MechanismError(
            f"NEURON cannot load {mechanism.name} ({mechanism.path}):\n"
            f"  {_reason_of_linker(receipt.library)}\n"
            "Perhaps a function that its C text calls is defined nowhere; if not, build it again:\n"
            "    nibabel-data mech cache --clear"
        )
    _loaded[mechanism.name] = _Loaded(mechanism.path, receipt.digest, stamp)
    if receipt.kind == "functions":
        _kinds[mechanism.name] = receipt.kind
    kind = kind_in_neuron(mechanism.name)
    if kind is None:
        raise MechanismError(
            f"{mechanism.path} was loaded, and NEURON knows no {mechanism.name}: please report it."
        )
    return kind


def _reason_of_linker(path: str) -> str:
    from ctypes import CDLL

    try:
        CDLL(path)
    except OSError as error:
        return str(error).removeprefix(f"{path}: ")
    return "NEURON gives no reason"


def _built(mechanism: Mechanism, neuron: str) -> Receipt:
    """Find or build the library, and keep a receipt for the next process."""
    from . import library
    from .source import prepare

    source = prepare(mechanism)
    path = library.obtain(source, tools(), package=mechanism.package, package_root=mechanism.root)
    receipt = Receipt(path, source.digest, source.scanned.kind, source.scanned.ions)
    if path.startswith(library.cache_directory()):
        receipts.keep(mechanism, neuron, receipt, [*source.inputs, *tools().files()])
    return receipt


def tools() -> Toolchain:
    """Return what builds for the NEURON of this process."""
    global _tools
    if _tools is None:
        from .library import toolchain

        interpreter()
        _tools = toolchain()
    return _tools


def interpreter() -> Any:
    """Return NEURON's ``h``; `MechanismError` if NEURON is not installed."""
    try:
        from neuron import h
    except ImportError as error:
        from .toolchain import INSTALL

        raise MechanismError(
            f"NEURON cannot be imported ({error}).\nInstall it:  {INSTALL}"
        ) from error
    return h


def kind_in_neuron(name: str) -> str | None:
    """Return the kind of what this process's NEURON knows under a name; None if nothing.

    Parameters
    ----------
    name : str
        A name of NEURON.

    Returns
    -------
    str or None
        ``density``, ``point process`` or ``artificial cell``; or ``functions``, of a file of
        functions that `load` has loaded.
    """
    known = _kinds.get(name)
    if known is not None:  # what NEURON knows it never forgets
        return known
    for which, kind in ((0, "density"), (1, "point process")):
        table = interpreter().MechanismType(which)
        index = _index_in(table, str(name))
        if index is not None:
            _kinds[name] = "artificial cell" if which and table.is_artificial(index) else kind
            return _kinds[name]
    return None


_kinds: dict[str, str] = {}


def _index_in(table: Any, name: str) -> int | None:
    """``select`` leaves what was selected where it does not know the name."""
    table.select(name)
    index = int(table.selected())
    found = interpreter().ref("")
    table.selected(found)
    return index if found[0] == name else None


def _check_ions(mechanism: Mechanism, ions: tuple[tuple[str, float | None], ...]) -> None:
    """NEURON ends the process where two mechanisms give an ion different valences."""
    for ion, valence in ions:
        known = _valence(ion)
        if valence is not None and known not in (valence, None):
            raise MechanismError(
                f"{mechanism.name} gives the ion {ion} the valence {valence:g} "
                f"({mechanism.path}), and in this process it has {known:g}: NEURON would end.\n"
                "Use another name for the ion, or the same valence in both."
            )


def _valence(ion: str) -> float | None:
    """Return the valence that an ion has in this process, or is going to have."""
    name = f"{ion}_ion"
    if kind_in_neuron(name) is None:
        return _USUAL.get(ion)
    charge = float(interpreter().ion_charge(name))
    return None if charge == _UNDECIDED else charge


_UNDECIDED = -10000.0
_USUAL = {"na": 1.0, "k": 1.0, "ca": 2.0}


def _section_of(section: Any) -> tuple[Any, float | None]:
    """Return the plain section, and the position if a segment was given."""
    for _ in range(5):  # wrappers of wrappers
        unwrap = getattr(section, "__neuron__", None)
        if unwrap is None:
            break
        section = unwrap()
    if hasattr(section, "sec") and hasattr(section, "x"):
        return section.sec, float(section.x)
    return section, None


def _need_section(place: Any, name: MechanismName) -> None:
    if not hasattr(place, "psection"):
        raise MechanismError(
            f"{name} goes into a section: {place!r} is a {type(place).__name__}, and an h.Section, "
            "a segment, or a wrapper of one is needed."
        )


def load_library(*assets: Asset) -> list[MechanismName]:
    """Load mechanisms, those that are not built being built in parallel first.

    Under MPI every rank calls it, and where one rank fails all do.  That is not so of `insert`,
    which a rank may call for itself: a model that inserts on every rank calls this first.

    Parameters
    ----------
    *assets : str or tuple of str
        Which, as in `insert`.  None: everything that is installed; what does not build or load is
        warned of, and raises when it is asked for.

    Returns
    -------
    list of MechanismName
        What is loaded.

    Raises
    ------
    ResolveError, BuildError, MechanismError
        If one of those that were named cannot be loaded.
    """
    from . import ranks
    from .compiling import compile, everything

    named = bool(assets)
    with ranks.together():
        interpreter()  # NEURON first: it may be what starts MPI
        wanted = [resolve(asset) for asset in assets] if named else everything()[0]
    built = compile(*wanted, strict=named, quiet=True)
    with ranks.together():
        loaded = _loaded_of([name for name in wanted if name not in built.failed], named)
    for failed, reason in built.failed.items():
        warn(f"{failed} is left out:\n{reason}")
    return loaded


def _loaded_of(names: list[MechanismName], strict: bool) -> list[MechanismName]:
    """Load mechanisms; what NEURON cannot take is warned of, or raised."""
    loaded = []
    for name in names:
        try:
            load(name.mechanism)
            loaded.append(name)
        except MechanismError as error:
            if strict:
                raise
            warn(str(error))
    return loaded
