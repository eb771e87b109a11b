"""``verify``: whether packages still hold what they were made of."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from ..errors import DefinitionError
from ..locate import make_datasource
from ..package.verify import Verification, verify_directory
from ..packages import iter_packages
from .output import paint, print_differences, print_json
from .progress import byte_bar

__all__ = ["verify"]

SHOWN = 20
"""More files than these are counted."""


def verify(arguments: argparse.Namespace) -> int:
    """Print, for each package, what is amiss; status 1 if anything is, or cannot be checked."""
    if arguments.locked is not None:
        return _verify_locked(arguments)
    if bool(arguments.specs) == arguments.all:
        raise DefinitionError("name the packages to verify, or all of them with --all")
    if arguments.all:
        places = [str(package.path) for package in iter_packages() if not package.problem]
    else:
        places = [make_datasource(spec).base_path for spec in arguments.specs]
    with byte_bar("verify") as progress:
        results = [
            verify_directory(place, full=arguments.full, jobs=arguments.jobs, progress=progress)
            for place in places
        ]
    if arguments.json:
        print_json([{**asdict(result), "ok": result.ok} for result in results])
    else:
        for result in results:
            _print(result)
    return 0 if all(result.ok for result in results) else 1


def _verify_locked(arguments: argparse.Namespace) -> int:
    """Compare what is on the search path with a lock file; status 1 if it differs."""
    from ..package.lock import compare, read_lock

    locked = read_lock(arguments.locked)
    differences = compare(locked, jobs=arguments.jobs)
    print_differences(differences, as_json=arguments.json)
    if not differences and not arguments.json:
        print(f"{paint('ok', 'green')}: {len(locked)} packages are as {arguments.locked} says")
    return 1 if differences else 0


def _print(result: Verification) -> None:
    if result.problem:
        print(f"{paint('unknown', 'yellow')}: {result.path}\n    {result.problem}")
        return
    if result.ok:
        known = result.checked - result.hashed
        unchanged = f", {known} unchanged since they were read" if known else ""
        print(
            f"{paint('ok', 'green')}: {result.path} "
            f"({result.checked} files, by {result.against}{unchanged})"
        )
        return
    print(f"{paint('amiss', 'red')}: {result.path} (by {result.against})")
    for check in result.amiss[:SHOWN]:
        detail = f": {check.detail}" if check.detail else ""
        print(f"    {check.state:<10} {check.path.replace('/', os.sep)}{detail}")
    if len(result.amiss) > SHOWN:
        print(f"    and {len(result.amiss) - SHOWN} more (--json lists all)")
