"""``mech show``: all of one mechanism, or of one package."""

from __future__ import annotations

import argparse
import os
import sys

from ..mechanisms import nmodl
from ..mechanisms.described import Described, Variable, describe
from ..mechanisms.discovery import Catalogue, discover
from ..mechanisms.mechanism import Mechanism, MechanismPackage
from ..mechanisms.resolution import explain
from ..mechanisms.status import State, states
from ..table import aligned
from .mech_list import is_chosen, mechanisms_named, tools_or_none
from .output import paint, print_json, print_table, shown

__all__ = ["show"]

_COLOURS = {"broken": "red", "built": "green"}
_MOST = 3
"""Of more mechanisms than these, the variables are counted."""


def show(arguments: argparse.Namespace) -> int:
    """Print what is known of each mechanism of a name, and of each package of it."""
    catalogue = discover()
    mechanisms = sorted(
        mechanisms_named(arguments.name, catalogue, None), key=lambda one: one.dialect == "arbor"
    )
    packages = catalogue.packages_named(arguments.name)
    if not mechanisms and not packages:
        raise _unknown(arguments.name, catalogue)
    found = states(mechanisms, tools_or_none())
    if arguments.json:
        print_json({
            "mechanisms": [_mechanism_dict(state, catalogue) for state in found],
            "packages": [_package_dict(package) for package in packages],
        })  # fmt: skip
        return 0
    blocks = 0
    for state in found:
        print("\n" * bool(blocks), end="")
        _print_mechanism(state, catalogue, with_variables=len(found) <= _MOST)
        blocks += 1
    for package in packages:
        print("\n" * bool(blocks), end="")
        _print_package(package)
        blocks += 1
    sys.stdout.flush()
    for package in packages:
        for problem in package.problems:
            print(f"nibabel-data: problem: {shown(problem)}", file=sys.stderr)
    return 0


def _unknown(name: str, catalogue: Catalogue) -> Exception:
    from difflib import get_close_matches

    error = explain(name, catalogue=catalogue).error()
    packages = get_close_matches(name, [package.name for package in catalogue.packages], n=2)
    if packages:
        error = type(error)(f"{error}\nOr the package: {', '.join(packages)}")
    return error


def _read(one: Mechanism) -> tuple[nmodl.Source, Described] | None:
    try:
        with open(one.path, "rb") as file:
            text = nmodl.decode(file.read())
    except OSError:
        return None
    return nmodl.scan(text), describe(text)


def _print_mechanism(state: State, catalogue: Catalogue, *, with_variables: bool) -> None:
    one = state.mechanism
    print(paint(shown(f"{one.asset}, variant {one.variant}, of {one.package}"), "bold"))
    said = _read(one)
    facts = [("name", one.name), ("source", one.source)]
    if said is not None and said[0].title:
        facts.append(("title", said[0].title))
    kind = state.kind or "cannot be read"
    if state.wrongly_declared:
        kind += f" (declared as {one.declared})"
    facts.append(("kind", kind))
    if one.dialect:
        facts.append(("dialect", one.dialect))
    if said is not None:
        facts += [("ion", str(ion)) for ion in said[1].ions]
        facts += [("current", f"{current} (of no ion)") for current in said[1].currents]
        facts += [("pointer", f"{name} (a model has to set it)") for name in said[1].pointers]
    facts.append(("file", one.path or "NEURON's own"))
    facts += [("includes", name) for name in (said[0].includes if said else ())]
    facts.append(("state", _state(state)))
    if state.library:
        facts.append(("library", state.library))
    facts.append(("chosen", _chosen(one, catalogue)))
    for name, value in facts:
        print(f"  {name:<9} {shown(value)}")
    if said is not None and said[1].variables:
        if with_variables:
            print()
            _print_variables(said[1].variables)
        else:
            many = f"{len(said[1].variables)}: nibabel-data mech show {one.name}"
            print(f"  variables {shown(many)}")


def _state(state: State) -> str:
    if state.word == "broken":
        line = getattr(state.problem, "line", None)
        where = f" line {line}:" if line else ""
        return f"{paint('broken', 'red')}:{where} {state.reason}"
    if state.word == "builtin":
        return "comes with NEURON"
    if state.mechanism.dialect == "arbor":
        return f"built with others: nibabel-data mech catalogue {state.mechanism.package}"
    return paint(state.word, _COLOURS.get(state.word, "")) or "NEURON is not installed"


def _chosen(one: Mechanism, catalogue: Catalogue) -> str:
    if one.dialect == "arbor":
        return "for Arbor, where the catalogue names it"
    found = explain(one.asset, catalogue=catalogue)
    if found.chosen is one:
        return f"yes: {found.rule}"
    if found.chosen is None:
        return f"no: ambiguous (nibabel-data mech explain {one.asset})"
    return f"no: {found.chosen.name} is, for {found.rule}"


def _print_variables(variables: tuple[Variable, ...]) -> None:
    rows = []
    for one in variables:
        name = f"{one.name}[{one.size}]" if one.size else one.name
        limits = f"{one.limits[0]} to {one.limits[1]}" if one.limits else ""
        rows.append((name, one.what, one.default or "-", one.units or "-", limits))
    lines = aligned([("VARIABLE", "WHAT", "DEFAULT", "UNITS", "LIMITS"), *rows])
    print(paint("  " + lines[0], "bold"))
    for line in lines[1:]:
        print("  " + line)


def _print_package(package: MechanismPackage) -> None:
    print(paint(shown(f"package {package.name}"), "bold"))
    facts = [("source", package.source), ("format", package.format)]
    if package.version:
        facts.insert(1, ("version", package.version))
    facts.append(("place", package.root or "NEURON's own"))
    for name, value in facts:
        print(f"  {name:<9} {shown(value)}")
    if not package.mechanisms:
        return
    print()
    found = states(package.mechanisms, tools_or_none())
    rows = [
        (
            state.mechanism.asset,
            state.mechanism.variant,
            state.kind or "-",
            state.mechanism.dialect or "both",
            state.word or "-",
            os.path.relpath(state.mechanism.path, package.root) if package.root else "-",
        )
        for state in found
    ]
    colours = [_COLOURS.get(state.word, "") for state in found]
    print_table(("ASSET", "VARIANT", "KIND", "FOR", "STATE", "FILE"), rows, colours)


def _mechanism_dict(state: State, catalogue: Catalogue) -> dict[str, object]:
    one = state.mechanism
    said = _read(one)
    told: dict[str, object] = {**state.to_json(), "preferred": is_chosen(one, catalogue)}
    told["rule"] = explain(one.asset, catalogue=catalogue).rule if told["preferred"] else None
    if said is not None:
        told |= {
            "title": said[0].title or None,
            "includes": list(said[0].includes),
            "ions": [ion.to_json() for ion in said[1].ions],
            "currents": list(said[1].currents),
            "pointers": list(said[1].pointers),
            "variables": [variable.to_json() for variable in said[1].variables],
        }
    return told


def _package_dict(package: MechanismPackage) -> dict[str, object]:
    return {
        "package": package.name,
        "source": package.source,
        "version": package.version or None,
        "format": package.format,
        "root": package.root or None,
        "mechanisms": [state.to_json() for state in states(package.mechanisms, tools_or_none())],
        "problems": list(package.problems),
    }
