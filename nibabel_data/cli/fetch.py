"""``fetch``: the files that a thin package does not carry, ahead of time."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from ..locate import make_datasource
from ..package.fetch import Fetched, fetch_package
from .output import as_is, print_json, shown
from .progress import byte_bar

__all__ = ["fetch"]


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
        _print(results, package.base_path)
    return 1 if any(result.state == "failed" for result in results) else 0


def _print(results: list[Fetched], base: str) -> None:
    for result in results:
        if result.place:
            print(as_is(result.place))
        if result.state == "mended":
            sys.stdout.flush()
            note = f"{result.problem}: it was fetched again"
            print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
        elif not result.place:
            print(f"nibabel-data: {shown(result.problem)}", file=sys.stderr)
    if not results:
        print(f"nothing to fetch: {shown(base)} has no registry.txt", file=sys.stderr)
