"""``mech cache``: what was built and is kept, and pruning it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from ..errors import DefinitionError
from ..files import human_size
from ..mechanisms.cached import Cached, cached, prune
from ..mechanisms.store import cache_directory
from .output import print_json, print_table, shown

__all__ = ["cache"]

_MANY = ("receipt", "index", "other")


def cache(arguments: argparse.Namespace) -> int:
    """List the cache of mechanisms, or remove what nobody needs, or everything."""
    removes = arguments.prune or arguments.clear
    if arguments.dry_run and not removes:
        raise DefinitionError("--dry-run needs --prune or --clear")
    busy: tuple[Cached, ...] = ()
    entries = cached() if not removes else []
    if removes:
        done = prune(everything=arguments.clear, dry_run=arguments.dry_run)
        entries, busy = list(done.removed), done.busy
    if arguments.json:
        print_json([{**asdict(entry), "in_use": not entry.unused} for entry in entries])
        return 0
    if entries:
        _print(entries)
    total = human_size(sum(entry.size for entry in entries))
    what = "in"
    if removes:
        what = "would be removed from" if arguments.dry_run else "removed from"
    things = "entry" if len(entries) == 1 else "entries"
    print(f"{len(entries)} {things}, {total}, {what} {shown(cache_directory())}")
    sys.stdout.flush()
    for entry in busy:
        print(
            f"nibabel-data: note: left, for another process is working on it: {shown(entry.path)}",
            file=sys.stderr,
        )
    return 0


def _print(entries: list[Cached]) -> None:
    rows = [
        (
            human_size(entry.size),
            entry.engine or "-",
            entry.kind,
            entry.name or "-",
            f"unused: {entry.unused}" if entry.unused else "",
        )
        for entry in entries
        if entry.kind not in _MANY
    ]
    for kind in _MANY:
        for unused in (False, True):
            some = [one for one in entries if one.kind == kind and bool(one.unused) == unused]
            if some:
                size = human_size(sum(entry.size for entry in some))
                note = "unused" if unused else ""
                rows.append((size, "-", kind, f"{len(some)} of them", note))
    colours = ["dim" if row[4] else "" for row in rows]
    print_table(("SIZE", "FOR", "WHAT", "NAME", "NOTE"), rows, colours)
