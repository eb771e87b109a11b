"""``check``: what is wrong with a package that is not published yet, and the mend."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..package.check import Problem, check_package
from .output import paint, print_json, shown

__all__ = ["check", "tell"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def check(arguments: argparse.Namespace) -> int:
    """Print each problem with its mend; status 1 if one is serious."""
    return tell(check_package(arguments.directory), arguments)


def tell(problems: Sequence[Problem], arguments: argparse.Namespace) -> int:
    """Print what is wrong with a package, or that it is ok; return the exit status."""
    if arguments.json:
        print_json([asdict(problem) for problem in problems])
    else:
        if not problems:
            print(f"{paint('ok', 'green')}: {shown(arguments.directory)}")
        for problem in problems:
            _print(problem)
    return 1 if any(problem.serious for problem in problems) else 0


def _print(problem: Problem) -> None:
    kind = paint("problem", "red") if problem.serious else paint("note", "yellow")
    path = problem.path if problem.path.isprintable() else ascii(problem.path)
    print(f"{kind}: {path}: {shown(problem.problem)}\n    {shown(problem.mend)}")
