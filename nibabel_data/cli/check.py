"""``check``: what is wrong with a package that is not published yet, and the mend."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..package.check import Problem, check_package
from .output import paint, print_json, shown

__all__ = ["check", "print_problems"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence


def check(arguments: argparse.Namespace) -> int:
    """Print each problem with its mend; status 1 if one is serious."""
    problems = check_package(arguments.directory)
    if arguments.json:
        print_json([asdict(problem) for problem in problems])
    else:
        print_problems(problems, arguments.directory)
    return 1 if any(problem.serious for problem in problems) else 0


def print_problems(problems: Sequence[Problem], directory: str | os.PathLike[str]) -> None:
    """Print what is wrong with a package, or that it is ok."""
    if not problems:
        print(f"{paint('ok', 'green')}: {shown(directory)}")
    for problem in problems:
        _print(problem)


def _print(problem: Problem) -> None:
    kind = paint("problem", "red") if problem.serious else paint("note", "yellow")
    path = problem.path if problem.path.isprintable() else ascii(problem.path)
    print(f"{kind}: {path}: {shown(problem.problem)}\n    {shown(problem.mend)}")
