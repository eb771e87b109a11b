"""``fetch``: the files that a thin package does not carry, ahead of time."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict

from ..locate import make_datasource
from ..package.fetch import FORBIDS, Fetched, fetch_package
from ..package.overlay import fetch_command
from .output import as_is, print_json, shown
from .progress import byte_bar

__all__ = ["fetch"]

SHOWN = 20
"""More files than these are counted."""


def fetch(arguments: argparse.Namespace) -> int:
    """Print the path of each file; status 1 if one could not be had."""
    package = make_datasource(arguments.spec)
    with byte_bar("fetch") as progress:
        results = fetch_package(
            package,
            arguments.patterns,
            offline=arguments.offline or None,
            jobs=arguments.jobs,
            progress=progress,
        )
    if arguments.json:
        print_json([asdict(result) for result in results])
    else:
        _print(results, package.base_path, arguments.patterns)
    return 1 if any(result.state == "failed" for result in results) else 0


def _print(results: list[Fetched], base: str, patterns: list[str]) -> None:
    forbidden = [one for one in results if _is_forbidden(one)]
    several = len(forbidden) > 1
    for result in results:
        if several and _is_forbidden(result):
            continue
        if result.place:
            print(as_is(result.place))
        if result.state == "mended":
            sys.stdout.flush()
            note = f"{result.problem}: it was fetched again"
            print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
        elif not result.place:
            print(f"nibabel-data: {shown(result.problem)}", file=sys.stderr)
    if several:
        sys.stdout.flush()
        print(f"nibabel-data: {shown(_forbidden(forbidden, base, patterns))}", file=sys.stderr)
    if not results:
        print(f"nothing to fetch: {shown(base)} has no registry.txt", file=sys.stderr)


def _is_forbidden(result: Fetched) -> bool:
    return result.state == "failed" and FORBIDS in result.problem


def _forbidden(results: list[Fetched], base: str, patterns: list[str]) -> str:
    """Return one list of the files that are not fetched without the network, and one command."""
    names = [os.path.normpath(result.path) for result in results[:SHOWN]]
    if len(results) > SHOWN:
        names.append(f"and {len(results) - SHOWN} more (--json lists all)")
    lines = "".join(f"\n    {name}" for name in names)
    return (
        f"{len(results)} files of the package at {base} are not here, or damaged, and {FORBIDS} to "
        f"fetch them:{lines}\n\nWhere there is a network, run\n\n    "
        f"{fetch_command(base, *patterns)}"
    )
