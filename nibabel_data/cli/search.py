"""``path``, ``list``, ``explain`` and ``require``: the search and what it finds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import explanation
from ..packages import Package, iter_packages
from ..roots import Origin, Root
from ..searchpath import search_path
from .output import paint, print_json, print_table, shown

if TYPE_CHECKING:
    from ..adapters.package import AdapterPackage, Place

__all__ = ["explain", "list_packages", "path", "require"]


def path(arguments: argparse.Namespace) -> int:
    """Print the roots in order, each with its origin and state."""
    roots = search_path()
    if arguments.json:
        print_json([_root_dict(root) for root in roots])
        return 0
    rows = [(str(root.path or "-"), str(root.origin), _state(root)) for root in roots]
    colours = [{"searched": "", "missing": "dim"}.get(root.state, "red") for root in roots]
    print_table(("ROOT", "ORIGIN", "STATE"), rows, colours)
    return 0


def _state(root: Root) -> str:
    if root.problem and root.state not in ("missing", "not a directory"):
        return f"{root.state}: {root.problem}"
    return root.state


def list_packages(arguments: argparse.Namespace) -> int:
    """Print every package, also those of other tools if asked; status 1 if there is none."""
    packages = list(iter_packages())
    adapted = list(_adapted(packages)) if arguments.adapters else []
    if arguments.json:
        print_json([*map(_package_dict, packages), *(_adapted_dict(*each) for each in adapted)])
    elif arguments.names:
        names = [p.relpath for p in packages if not p.problem]
        names += [p.relpath for _, p, _ in adapted if not p.absent]
        for name in dict.fromkeys(names):
            if name.isprintable():
                print(name)
    elif packages or adapted:
        rows = [
            (p.relpath, str(p.version or "-"), str(p.path), str(p.root.origin), _note(p))
            for p in packages
        ]
        colours = ["red" if p.problem else "dim" if p.shadowed_by else "" for p in packages]
        for place, package, shadow in adapted:
            note = f"shadowed by {shadow}" if shadow else package.note
            origin = f"{package.adapter} ({place.source})"
            version = package.version or "-"
            rows.append((package.relpath, version, str(package.path), origin, note))
            colours.append("dim" if shadow or package.absent else "")
        print_table(("PACKAGE", "VERSION", "PLACE", "ORIGIN", "NOTE"), rows, colours)
    else:
        print(
            "no data package on the search path ('nibabel-data path' shows it; "
            "'nibabel-data config add DIRECTORY' adds to it)",
            file=sys.stderr,
        )
    return 0 if packages or adapted else 1


def _adapted(packages: list[Package]) -> Iterator[tuple[Place, AdapterPackage, Path | None]]:
    """Yield what other tools hold: where they keep it, the data, and what shadows them."""
    from ..adapters.registry import search

    first = {p.relpath: p.path for p in reversed(packages) if not p.problem}
    for searched in search():
        for package in searched.packages:
            shadow = first.get(package.relpath)
            if shadow is None and not package.absent:
                first[package.relpath] = package.path
            if searched.place is not None and shadow != package.path:
                yield searched.place, package, shadow


def _note(package: Package) -> str:
    if package.problem:
        return package.problem
    return f"shadowed by {package.shadowed_by}" if package.shadowed_by else ""


def explain(arguments: argparse.Namespace) -> int:
    """Print what each root holds of a package; status 1 if it is not found."""
    answer = explanation.explain(arguments.spec)
    if arguments.json:
        print_json(answer.to_dict())
    else:
        headline, _, rest = answer.text().partition("\n")
        print(paint(shown(headline), "red" if answer.found is None else "green"))
        print(shown(rest))
    return 1 if answer.found is None else 0


def require(arguments: argparse.Namespace) -> int:
    """Print, for each package, whether it is there; status 1 if one is not."""
    answers = [explanation.explain(spec) for spec in arguments.specs]
    missing = [answer for answer in answers if answer.found is None]
    if arguments.json:
        print_json([answer.to_dict() for answer in answers])
        return 1 if missing else 0
    for answer in answers:
        if answer.found is None:
            print(f"{paint('missing', 'red')}: {shown(answer.definition)}")
        else:
            print(f"{paint('ok', 'green')}: {shown(answer.headline())}")
    sys.stdout.flush()
    for answer in missing:
        print(f"\n{shown(answer.text())}", file=sys.stderr)
    return 1 if missing else 0


def _origin_dict(origin: Origin) -> dict[str, object]:
    return {**asdict(origin), "text": str(origin)}


def _root_dict(root: Root) -> dict[str, object]:
    return {
        "path": None if root.path is None else str(root.path),
        "origin": _origin_dict(root.origin),
        "state": root.state,
        "problem": root.problem,
    }


def _package_dict(package: Package) -> dict[str, object]:
    return {
        "relpath": package.relpath,
        "version": None if package.version is None else str(package.version),
        "path": str(package.path),
        "root": str(package.root.path),
        "origin": _origin_dict(package.root.origin),
        "shadowed_by": None if package.shadowed_by is None else str(package.shadowed_by),
        "problem": package.problem,
    }


def _adapted_dict(place: Place, package: AdapterPackage, shadow: Path | None) -> dict[str, object]:
    return {
        "relpath": package.relpath,
        "version": package.version,
        "path": str(package.path),
        "root": str(place.path),
        "adapter": package.adapter,
        "source": place.source,
        "shadowed_by": None if shadow is None else str(shadow),
        "absent": package.absent,
        "note": package.note,
    }
