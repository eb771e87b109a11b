"""``lock`` and ``sync``: exactly the data that a project uses."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict

from ..package.install import install_root
from ..package.lock import Locked, Wanted, compare, read_lock, read_wanted, write_lock
from ..package.lock import lock as lock_packages
from ..package.sync import sync as sync_packages
from ..table import counted
from .output import print_differences, print_json, shown
from .progress import byte_bar, say

__all__ = ["lock", "sync"]


def lock(arguments: argparse.Namespace) -> int:
    """Write the lock file, and say what is in it."""
    wanted = [Wanted(spec) for spec in arguments.specs]
    if not wanted:
        wanted = read_wanted(arguments.pyproject, arguments.output)
    locked = lock_packages(wanted)
    write_lock(locked, arguments.output)
    if arguments.json:
        print_json([asdict(one) for one in locked])
        return 0
    for one in locked:
        print(shown(f"{one.name} {one.version} {one.tree[:23]}"))
    print(f"{counted(len(locked), 'package')} locked in {shown(arguments.output)}")
    return 0


def sync(arguments: argparse.Namespace) -> int:
    """Install what the lock says; with ``--frozen`` only compare. Status 1 if it differs."""
    if arguments.frozen:
        locked = read_lock(arguments.lock)
        differences = compare(locked)
        print_differences(
            differences, locked=len(locked), path=arguments.lock, as_json=arguments.json
        )
        return 1 if differences else 0
    if os.environ.get("DESTDIR"):
        note = "DESTDIR is set, but not used: sync installs where data are found"
        print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
    root = install_root(root=arguments.root, prefix=arguments.prefix)

    def tell(one: Locked) -> None:
        if not arguments.json:
            say(f"{one.name} {one.version} installed in {root}")

    with byte_bar("sync") as progress:
        results = sync_packages(
            arguments.lock, root=root, source=arguments.source, progress=progress, done=tell
        )
    if arguments.json:
        print_json([asdict(one) for one in results])
        return 0
    print(f"everything is as {shown(arguments.lock)} says")
    return 0
