"""``verify``: whether packages still hold what they were made of."""

from __future__ import annotations

import os
import sys

from ..errors import ConfigError, DataError, DefinitionError
from ..locate import make_datasource
from ..package.unchanged import is_unchanged
from ..table import counted
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
        if arguments.specs or arguments.all:
            raise DefinitionError(
                "--locked compares every package of the lock file, and takes neither SPEC nor "
                "--all; a lock file of another name follows it: --locked FILE"
            )
        return _verify_locked(arguments)
    if bool(arguments.specs) == arguments.all:
        raise DefinitionError("name the packages to verify, or all of them with --all")
    places = _all_places() if arguments.all else _places(arguments.specs)
    if not places:
        print("no data package on the search path ('nibabel-data path' shows it)", file=sys.stderr)
        if arguments.json:
            print_json([])
        return 1
    if not arguments.full and not arguments.json:
        # Where nothing changed, what it takes to hash and to tell differences is not loaded.
        known = [(place, found) for place in places if (found := is_unchanged(place)) is not None]
        if len(known) == len(places):
            for place, (against, checked, unfetched) in known:
                _print_ok(place, checked, against, checked, unfetched)
            return 0
    return _verify(places, arguments)


def _places(specs: list[str]) -> list[str]:
    return list(dict.fromkeys(map(_place, specs)))


def _place(spec: str) -> str:
    try:
        return make_datasource(spec).base_path
    except DataError as error:
        damaged = None if error.explanation is None else error.explanation.damaged
        if damaged is None:
            raise
        from ..package.verify import verify_directory

        place = str(damaged.path)
        if verify_directory(place).ok:
            raise  # it is as it was made, and yet cannot be used
        return place


def _all_places() -> list[str]:
    """Return every package, also those whose config.ini is lost or damaged."""
    from ..packages import DEPTH, child_directories, iter_packages
    from ..searchpath import search_path

    places = dict.fromkeys(str(package.path) for package in iter_packages())
    for root in search_path():
        if root.path is not None and root.state == "searched":
            for relpath, place in child_directories(str(root.path), DEPTH):
                if "/" in relpath and place not in places and _has_lost_config(place):
                    places[place] = None
    return list(places)


def _has_lost_config(place: str) -> bool:
    from ..files import MANIFEST

    if not os.path.isfile(os.path.join(place, MANIFEST)):
        return False
    from ..datasource import CONFIG
    from ..package.manifest import read_manifest

    try:
        return CONFIG in (read_manifest(place) or {})
    except DataError:
        return True


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

    if not os.path.lexists(arguments.locked):
        raise ConfigError(
            arguments.locked,
            None,
            "no such file; what follows --locked is a lock file, not a package "
            "('nibabel-data lock' makes one)",
        )
    locked = read_lock(arguments.locked)
    differences = compare(locked, full=arguments.full, jobs=arguments.jobs)
    print_differences(
        differences, locked=len(locked), path=arguments.locked, as_json=arguments.json
    )
    return 1 if differences else 0


def _print_ok(path: str, checked: int, against: str, known: int, unfetched: int) -> None:
    unchanged = f", {known} unchanged since they were read" if known else ""
    files = counted(checked, "file")
    facts = f"{files}, by {shown(against)}{unchanged}{_not_fetched(unfetched)}"
    print(f"{paint('ok', 'green')}: {shown(path)} ({facts})")


def _not_fetched(count: int) -> str:
    return f", {counted(count, 'file')} not fetched" if count else ""


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
