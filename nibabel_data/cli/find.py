"""``find``: one path on standard output, for scripts."""

from __future__ import annotations

import argparse

from ..locate import make_datasource

__all__ = ["find"]


def find(arguments: argparse.Namespace) -> int:
    """Print the path of a package, or of a file in it, which must be there."""
    package = make_datasource(arguments.spec)
    filename = package.get_filename(*arguments.parts)
    if arguments.parts:
        package.path(*arguments.parts, must_exist=True)
    if arguments.json:
        from .output import print_json

        print_json(
            {
                "path": filename,
                "package": package.base_path,
                "version": str(package.version),
                "origin": str(package.origin),
            }
        )
    else:
        print(filename)
    return 0
