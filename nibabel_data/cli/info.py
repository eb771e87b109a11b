"""``info``: one package, with its files."""

from __future__ import annotations

import argparse

from ..about import citation, licence
from ..definition import read
from ..distributions import owner_of
from ..files import human_size, walk_files
from ..locate import make_datasource
from ..table import aligned
from .output import paint, print_json

__all__ = ["info"]

SHOWN = 20
"""More files than these are counted, unless all are asked for."""


def info(arguments: argparse.Namespace) -> int:
    """Print what a package is, where it comes from, and what it holds."""
    package = make_datasource(arguments.spec)
    files = list(walk_files(package.base_path))
    total = sum(size for _, _, size in files)
    facts = {
        "package": read(arguments.spec)[0],
        "version": str(package.version) if getattr(package, "is_stated", True) else "not stated",
        "place": package.base_path,
        "origin": str(package.origin),
        "distribution": owner_of(package.base_path),
        "licence": licence(package),
        "citation": citation(package),
    }
    if arguments.json:
        listed = [{"path": path, "state": state, "size": size} for path, state, size in files]
        print_json({**facts, "size": total, "files": listed})
        return 0
    unknown = {"distribution": "none that is known", "licence": "not stated", "citation": "none"}
    rows = [(name, value or unknown[name]) for name, value in facts.items()]
    rows.append(("files", f"{len(files)}, {human_size(total)}"))
    for line, (name, _) in zip(aligned(rows), rows, strict=True):
        print(paint(name, "bold") + line[len(name) :])
    shown = files if arguments.files else files[:SHOWN]
    states = {"absent": "not fetched", "dangling": "broken link", "other": "not a file"}
    table = [(path, states.get(state) or human_size(size)) for path, state, size in shown]
    print("", *("  " + line for line in aligned(table)), sep="\n")
    if len(shown) < len(files):
        print(f"  and {len(files) - len(shown)} more (--files lists all)")
    return 0
