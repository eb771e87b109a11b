"""``config add``: a directory more on the search path."""

from __future__ import annotations

import argparse
import os
import sys

from ..configfile import add_data_path
from ..datasource import CONFIG
from .output import shown

__all__ = ["config"]


def config(arguments: argparse.Namespace) -> int:
    """Write the entry, and say what was done."""
    destdir = arguments.destdir
    if destdir is None and arguments.system:
        destdir = os.environ.get("DESTDIR")
    change = add_data_path(arguments.path, system=arguments.system, destdir=destdir)
    done = "added to" if change.written else "is already in"
    print(shown(f"{change.path} {done} {change.file}"), flush=True)
    note = ""
    if os.path.exists(os.path.join(change.path, CONFIG)):
        note = f"{change.path} is a package itself; name the directory above its project"
    elif not destdir and not os.path.isdir(change.path):
        note = f"{change.path} does not exist yet; it is searched from when it does"
    if note:
        print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
    return 0
