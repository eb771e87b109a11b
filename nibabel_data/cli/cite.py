"""``cite``: how data packages are to be cited."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from ..citation import citations
from .output import as_is, print_json, shown

__all__ = ["cite"]


def cite(arguments: argparse.Namespace) -> int:
    """Print the citation of each package; status 1 if one states none."""
    found = citations(*arguments.specs, style=arguments.format)
    cited = [citation for citation in found if not citation.problem]
    if arguments.json:
        print_json([asdict(citation) for citation in found])
        return 0 if cited == found else 1
    print(*(as_is(citation.text) for citation in cited), sep="\n\n", end="\n" if cited else "")
    sys.stdout.flush()
    for citation in found:
        if citation.problem:
            print(f"nibabel-data: {shown(citation.problem)}", file=sys.stderr)
    return 0 if cited == found else 1
