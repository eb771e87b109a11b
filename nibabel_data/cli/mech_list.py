"""``mech list``: the mechanisms that are installed, and what has become of them."""

from __future__ import annotations

import argparse
import sys

from ..errors import MechanismError, ResolveError
from ..mechanisms.discovery import Catalogue, discover
from ..mechanisms.library import Toolchain, toolchain
from ..mechanisms.mechanism import Mechanism
from ..mechanisms.names import DEFAULT_VARIANT, is_full_name, split_name
from ..mechanisms.resolution import explain
from ..mechanisms.status import State, states
from .output import paint, print_json, print_table, shown

__all__ = ["is_chosen", "list_mechanisms", "mechanisms_named", "tools_or_none"]

_COLOURS = {"broken": "red", "built": "green", "builtin": "dim"}


def list_mechanisms(arguments: argparse.Namespace) -> int:
    """Print each mechanism with its state; status 1 if there is none."""
    catalogue = discover()
    dialect = None if arguments.dialect == "all" else arguments.dialect
    wanted = _wanted(arguments, catalogue, dialect)
    found = states(wanted, tools_or_none())
    marked = [is_chosen(one, catalogue) for one in wanted]
    if arguments.json:
        told = [
            {**state.to_json(), "preferred": chosen}
            for state, chosen in zip(found, marked, strict=True)
        ]
        print_json(told)
        return 0 if found else 1
    if not found:
        print("there is no such mechanism", file=sys.stderr)
        return 1
    _print(found, marked, catalogue, with_dialect=arguments.dialect == "all")
    sys.stdout.flush()
    _tell(found, catalogue)
    return 0


def tools_or_none() -> Toolchain | None:
    """Return what builds; None if NEURON is not installed."""
    try:
        return toolchain()
    except MechanismError:
        return None


def _wanted(
    arguments: argparse.Namespace, catalogue: Catalogue, dialect: str | None
) -> list[Mechanism]:
    assets = arguments.assets or catalogue.assets(dialect)
    found: list[Mechanism] = []
    for asset in dict.fromkeys(assets):
        named = mechanisms_named(asset, catalogue, dialect)
        if not named:
            raise explain(asset, catalogue=catalogue, dialect=dialect or "neuron").error()
        found += [one for one in named if one not in found] if arguments.assets else named
    if arguments.package is not None:
        packages = catalogue.packages_named(arguments.package)
        if not packages:
            raise _unknown_package(arguments.package, catalogue)
        places = {(package.name, package.source) for package in packages}
        found = [one for one in found if (one.package, one.source) in places]
    own = {one.asset for one in found if one.path}  # what NEURON brings itself comes last
    order = {package.source: number for number, package in enumerate(catalogue.packages)}

    def key(one: Mechanism) -> tuple[object, ...]:
        asset = (one.asset not in own, one.asset.lower(), one.asset)
        return (*asset, order[one.source], one.variant != DEFAULT_VARIANT, one.variant)

    return sorted(found, key=key)


def mechanisms_named(name: str, catalogue: Catalogue, dialect: str | None) -> tuple[Mechanism, ...]:
    """Return the mechanisms that an asset, or a full name, may be."""
    if not is_full_name(name):
        return catalogue.mechanisms_of(name, dialect)
    package, asset, variant = split_name(name)
    found = catalogue.mechanisms_of(asset, dialect)
    return tuple(one for one in found if (one.package, one.variant) == (package, variant))


def _unknown_package(name: str, catalogue: Catalogue) -> ResolveError:
    """Return the error for a package that is not there, with what it may be meant to be."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(package.name for package in catalogue.packages))
    similar = get_close_matches(name, names, n=3, cutoff=0.6)
    told = f"no package of mechanisms is called {name!r}"
    told += f"; similar: {', '.join(similar)}" if similar else ""
    return ResolveError(f"{told}.\nPackages: {', '.join(names)}.")


def is_chosen(one: Mechanism, catalogue: Catalogue) -> bool:
    """Return whether `insert` takes this one for its asset, when no more is said."""
    return one.dialect != "arbor" and explain(one.asset, catalogue=catalogue).chosen is one


def _print(
    found: list[State], marked: list[bool], catalogue: Catalogue, *, with_dialect: bool
) -> None:
    marks = {asset: _mark(asset, catalogue) for asset in {one.mechanism.asset for one in found}}
    rows = []
    for state, chosen in zip(found, marked, strict=True):
        one = state.mechanism
        mark = marks[one.asset]
        if one.dialect == "arbor" or (mark == "*" and not chosen):
            mark = ""
        row = [one.asset, one.variant, mark, _package(one, catalogue), state.kind or "-"]
        row += [one.dialect or "both"] if with_dialect else []
        rows.append((*row, state.word or "-"))
    dialect = ["DIALECT"] if with_dialect else []
    header = ("ASSET", "VARIANT", "", "PACKAGE", "KIND", *dialect, "STATE")
    print_table(header, rows, [_COLOURS.get(state.word, "") for state in found])
    _print_broken(found)
    counts = [
        f"{sum(state.word == word for state in found)} {word}"
        for word in ("built", "not built", "broken")
        if any(state.word == word for state in found)
    ]
    total = f"{len(found)} mechanism{'s' * (len(found) != 1)}"
    print("\n" + ", ".join([total, *counts]))
    used = {row[2] for row in rows}
    if "*" in used:
        print("*: of several, insert() takes this one when no more is said")
    if "?" in used:
        print("?: insert() needs to be told which, or select one: nibabel-data mech select")


def _mark(asset: str, catalogue: Catalogue) -> str:
    found = explain(asset, catalogue=catalogue)
    if len(found.candidates) < 2:
        return ""
    return "?" if found.chosen is None else "*"


def _package(one: Mechanism, catalogue: Catalogue) -> str:
    if len(catalogue.packages_named(one.package)) > 1:
        return f"{one.package}@{one.source.rpartition(' ')[0] or one.source}"
    return one.package


def _print_broken(found: list[State]) -> None:
    """Print why mechanisms are broken: file, line, first error."""
    for state in found:
        if state.word == "broken":
            line = getattr(state.problem, "line", None)
            place = state.mechanism.path + (f", line {line}" if line else "")
            print(f"\n{paint('broken', 'red')}: {shown(state.mechanism.name)}")
            print(shown(f"    {place}\n    {state.reason}"))


def _tell(found: list[State], catalogue: Catalogue) -> None:
    """Print, on standard error, what is wrong and what is notable."""
    problems = list(catalogue.problems)
    problems += [
        f"{state.mechanism.source}: {state.mechanism.path} is declared as "
        f"{state.mechanism.declared}, and its source makes it {state.kind}"
        for state in found
        if state.wrongly_declared
    ]
    for problem in problems:
        print(f"nibabel-data: problem: {shown(problem)}", file=sys.stderr)
    for note in catalogue.notes:
        print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
