"""``new``: the tree of a new data package."""

from __future__ import annotations

import argparse

from ..package.layout import find_layout
from ..package.new import new_package
from .output import shown

__all__ = ["new"]


def new(arguments: argparse.Namespace) -> int:
    """Make the package, and say where its data go."""
    made = new_package(
        arguments.name,
        arguments.directory,
        license=arguments.license,
        author=arguments.author,
    )
    print(f"made {shown(made)}")
    print(shown(f"put the data into {find_layout(made).package}, then: nibabel-data check {made}"))
    return 0
