"""``find``: one path on standard output, for scripts."""

from __future__ import annotations

from ..locate import make_datasource
from .output import as_is, print_json

__all__ = ["find"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def find(arguments: argparse.Namespace) -> int:
    """Print the path of a package, or of a file in it, which must be there."""
    package = make_datasource(arguments.spec)
    filename = package.get_filename(*arguments.parts)
    if arguments.parts:
        package.path(*arguments.parts, must_exist=True)
    if arguments.json:
        print_json(
            {
                "path": filename,
                "package": package.base_path,
                "version": str(package.version),
                "origin": str(package.origin),
            }
        )
    else:
        print(as_is(filename))
    return 0
