"""The verbs of packages: what each takes, and where it is done."""

from __future__ import annotations

import argparse

from .arguments import SPEC, Verb

__all__ = ["VERBS"]


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="*", default=[], help=SPEC)
    parser.add_argument("--all", action="store_true", help="every package on the search path")
    parser.add_argument(
        "--full", action="store_true", help="read every file again, also unchanged ones"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="read N files at a time")


VERBS = (
    Verb("verify", "verify:verify", "check that packages hold what they were made of", _verify),
)
