"""``verify``: whether packages still hold what they were made of."""

from __future__ import annotations

import os

from ..errors import DefinitionError
from ..locate import make_datasource
from ..package.unchanged import is_unchanged
from .output import paint, print_differences, print_json, shown

__all__ = ["verify"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..package.verify import Verification

SHOWN = 20
"""More files than these are counted."""


def verify(arguments: argparse.Namespace) -> int:
    """Print, for each package, what is amiss; status 1 if anything is, or cannot be checked."""
    if arguments.locked is not None:
        return _verify_locked(arguments)
    if bool(arguments.specs) == arguments.all:
        raise DefinitionError("name the packages to verify, or all of them with --all")
    places = _all_places() if arguments.all else _places(arguments.specs)
    if not arguments.full and not arguments.json:
        # Where nothing changed, what it takes to hash and to tell differences is not loaded.
        known = [(place, found) for place in places if (found := is_unchanged(place)) is not None]
        if len(known) == len(places):
            for place, (against, checked, unfetched) in known:
                _print_ok(place, checked, against, checked, unfetched)
            return 0
    return _verify(places, arguments)


def _places(specs: list[str]) -> list[str]:
    return [make_datasource(spec).base_path for spec in specs]


def _all_places() -> list[str]:
    from ..packages import iter_packages

    return [str(package.path) for package in iter_packages() if not package.problem]


def _verify(places: list[str], arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..package.verify import verify_directory
    from .progress import byte_bar

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
        print(
            f"{paint('ok', 'green')}: {len(locked)} packages are as {shown(arguments.locked)} says"
        )
    return 1 if differences else 0


def _print_ok(path: str, checked: int, against: str, known: int, unfetched: int) -> None:
    unchanged = f", {known} unchanged since they were read" if known else ""
    facts = f"{checked} files, by {shown(against)}{unchanged}{_not_fetched(unfetched)}"
    print(f"{paint('ok', 'green')}: {shown(path)} ({facts})")


def _not_fetched(count: int) -> str:
    return f", {count} {'file' if count == 1 else 'files'} not fetched" if count else ""


def _print(result: Verification) -> None:
    if result.ok:
        known = result.checked - result.hashed
        _print_ok(result.path, result.checked, result.against, known, result.not_fetched)
        return
    path = shown(result.path)
    if result.problem:
        print(f"{paint('unknown', 'yellow')}: {path}\n    {shown(result.problem)}")
    else:
        facts = f"by {shown(result.against)}{_not_fetched(result.not_fetched)}"
        print(f"{paint('amiss', 'red')}: {path} ({facts})")
    for check in result.amiss[:SHOWN]:
        detail = f": {check.detail}" if check.detail else ""
        print(f"    {check.state:<10} {shown(check.path.replace('/', os.sep) + detail)}")
    if len(result.amiss) > SHOWN:
        print(f"    and {len(result.amiss) - SHOWN} more (--json lists all)")
