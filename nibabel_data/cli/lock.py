"""``lock`` and ``sync``: exactly the data that a project uses."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..package.install import install_root
from ..package.lock import Wanted, compare, read_lock, read_wanted, write_lock
from ..package.lock import lock as lock_packages
from ..package.lock import sync as sync_packages
from .output import print_differences, print_json
from .progress import byte_bar

__all__ = ["lock", "sync"]


def lock(arguments: argparse.Namespace) -> int:
    """Write the lock file, and say what is in it."""
    wanted = [Wanted(spec) for spec in arguments.specs] or read_wanted(arguments.pyproject)
    locked = lock_packages(wanted)
    write_lock(locked, arguments.output)
    if arguments.json:
        print_json([asdict(one) for one in locked])
        return 0
    for one in locked:
        print(f"{one.name} {one.version} {one.tree[:23]}")
    print(f"{len(locked)} packages locked in {arguments.output}")
    return 0


def sync(arguments: argparse.Namespace) -> int:
    """Install what the lock says; with ``--frozen`` only compare. Status 1 if it differs."""
    if arguments.frozen:
        differences = compare(read_lock(arguments.lock))
        print_differences(differences, as_json=arguments.json)
        return 1 if differences else 0
    root = install_root(root=arguments.root, prefix=arguments.prefix)
    with byte_bar("sync") as progress:
        done = sync_packages(arguments.lock, root=root, source=arguments.source, progress=progress)
    if arguments.json:
        print_json([asdict(one) for one in done])
        return 0
    for one in done:
        print(f"{one.name} {one.version} installed in {root}")
    print(f"everything is as {arguments.lock} says")
    return 0
