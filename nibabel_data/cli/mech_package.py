"""``mech new``, ``add``, ``check``, ``build`` and ``import``: packages of mechanisms being made."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .output import as_is, print_json, shown

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
    from .check import print_problems

    problems = check_package(arguments.directory)
    if arguments.json:
        print_json([asdict(problem) for problem in problems])
    else:
        print_problems(problems, arguments.directory)
    return 1 if any(problem.serious for problem in problems) else 0


def build(arguments: argparse.Namespace) -> int:
    """Build what is asked for, and print its paths."""
    from ..mechanisms.authoring import build_package

    both = arguments.wheel == arguments.sdist
    for path in build_package(
        arguments.directory,
        arguments.output,
        wheel=both or arguments.wheel,
        sdist=both or arguments.sdist,
    ):
        print(as_is(path))
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Make a data package of a package for Glia, and say what became of it."""
    from ..mechanisms.importing import import_package

    made = import_package(arguments.source, arguments.directory, arguments.name)
    if arguments.json:
        print_json(made.to_json())
    else:
        print(shown(made))
    return 0
