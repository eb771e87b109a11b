"""``cache``: what lies in the cache directory, and pruning it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..environment import cache_dir
from ..files import human_size
from ..package.cache import CacheEntry, cache_entries, prune
from ..table import counted
from .output import print_json, print_table, shown

__all__ = ["cache"]


def cache(arguments: argparse.Namespace) -> int:
    """List the cache, or remove what is not in use."""
    if arguments.prune or arguments.all:
        entries = prune(everything=arguments.all, dry_run=arguments.dry_run)
    else:
        entries = cache_entries()
    if arguments.json:
        print_json([asdict(entry) for entry in entries])
        return 0
    if entries:
        rows = [_row(entry) for entry in entries]
        print_table(("KIND", "SIZE", "IN USE", "OF", "PLACE"), rows)
    total = human_size(sum(entry.size for entry in entries))
    done = "in"
    if arguments.prune or arguments.all:
        done = "would be removed from" if arguments.dry_run else "removed from"
    things = counted(len(entries), "entry", "entries")
    print(f"{things}, {total}, {done} {shown(cache_dir())}")
    return 0


def _row(entry: CacheEntry) -> tuple[str, str, str, str, str]:
    used = "yes" if entry.in_use else "no"
    return (entry.kind, human_size(entry.size), used, entry.package or "-", entry.path)
