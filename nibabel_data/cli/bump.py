"""``bump``: the next version of a package."""

from __future__ import annotations

import argparse

from ..package.bump import bump as bump_version
from .output import shown

__all__ = ["bump"]


def bump(arguments: argparse.Namespace) -> int:
    """Write the version, and print the old one, the new one and the files."""
    done = bump_version(arguments.directory, arguments.part)
    print(f"{done.old} -> {done.new}")
    for file in done.files:
        print(f"    {shown(file)}")
    return 0
