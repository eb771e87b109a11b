"""``build``: wheel and sdist of a package."""

from __future__ import annotations

import argparse

from ..package.build import build as build_package
from .output import as_is

__all__ = ["build", "tell"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def build(arguments: argparse.Namespace) -> int:
    """Build what is asked for, and print its paths."""
    return tell(build_package, arguments)


def tell(builder: Callable[..., list[Path]], arguments: argparse.Namespace) -> int:
    """Build with one of the functions that do, and print its paths."""
    both = arguments.wheel == arguments.sdist
    for path in builder(
        arguments.directory,
        arguments.output,
        wheel=both or arguments.wheel,
        sdist=both or arguments.sdist,
    ):
        print(as_is(path))
    return 0
