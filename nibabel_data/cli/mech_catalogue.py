"""``mech catalogue``: the mechanisms of a package, built for Arbor."""

from __future__ import annotations

import argparse

from ..errors import DefinitionError
from ..mechanisms.arbor import build_catalogue
from .mech_compile import failures_json, print_failures
from .output import print_json, shown

__all__ = ["catalogue"]


def catalogue(arguments: argparse.Namespace) -> int:
    """Build the catalogue, and print where it is and what is not in it; 1 if something is not."""
    if arguments.jobs is not None and arguments.jobs < 1:
        raise DefinitionError(f"--jobs {arguments.jobs}: at least one is needed")
    report = build_catalogue(arguments.name, jobs=arguments.jobs, gpu=arguments.gpu)
    if arguments.json:
        print_json({
            "path": report.path,
            "built": list(report.built),
            "failed": failures_json(report.failed),
        })  # fmt: skip
        return 1 if report.failed else 0
    print_failures(report.failed)
    print(f"{len(report.built)} in the catalogue, {len(report.failed)} failed")
    print(shown(f"load it:  arbor.load_catalogue({report.path!r})"))
    return 1 if report.failed else 0
