"""``doctor``: what is wrong on the search path, each with its mend."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..doctor import diagnose
from ..table import printable
from .output import paint, print_json

__all__ = ["doctor"]


def doctor(arguments: argparse.Namespace) -> int:
    """Print every problem; status 1 if one of them is serious."""
    problems = diagnose()
    serious = [problem for problem in problems if problem.serious]
    if arguments.json:
        print_json([asdict(problem) for problem in problems])
        return 1 if serious else 0
    for problem in problems:
        colour = "red" if problem.serious else "yellow"
        print(f"{paint(problem.kind, colour)}: {printable(problem.where)}")
        print(f"    {printable(problem.problem)}")
        print(f"    mend: {printable(problem.mend)}\n")
    notes = len(problems) - len(serious)
    print(
        f"{len(serious)} problem{'s' * (len(serious) != 1)}, {notes} note{'s' * (notes != 1)}"
        if problems
        else paint("all is well", "green")
    )
    return 1 if serious else 0
