"""``mech new``, ``add``, ``check``, ``build`` and ``import``: packages of mechanisms being made."""

from __future__ import annotations

import argparse

from .output import print_json, shown

__all__ = ["add", "build", "check", "import_", "new"]


def new(arguments: argparse.Namespace) -> int:
    """Make the package, and say how mechanisms get into it."""
    from ..mechanisms.authoring import new_package

    made = new_package(
        arguments.name,
        arguments.directory,
        license=arguments.license,
        author=arguments.author,
    )
    print(f"made {shown(made)}")
    print(shown(f"put mechanisms into it: nibabel-data mech add FILE.mod --package {made}"))
    return 0


def add(arguments: argparse.Namespace) -> int:
    """Copy a mechanism into a package, and say what it is called there."""
    from ..mechanisms.adding import add as add_mechanism

    added = add_mechanism(
        arguments.file,
        arguments.package,
        name=arguments.name,
        variant=arguments.variant,
        dialect=arguments.dialect,
        local=arguments.local,
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print_json(added.to_json())
    else:
        print(shown(added))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Print each problem with its mend; status 1 if one is serious."""
    from ..mechanisms.checking import check_package
    from .check import tell

    return tell(check_package(arguments.directory), arguments)


def build(arguments: argparse.Namespace) -> int:
    """Build what is asked for, and print its paths."""
    from ..mechanisms.authoring import build_package
    from .build import tell

    return tell(build_package, arguments)


def import_(arguments: argparse.Namespace) -> int:
    """Make a data package of a package for Glia, and say what became of it."""
    from ..mechanisms.importing import import_package

    made = import_package(arguments.source, arguments.directory, arguments.name)
    if arguments.json:
        print_json(made.to_json())
    else:
        print(shown(made))
    return 0
