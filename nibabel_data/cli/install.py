"""``install``, ``remove`` and ``bundle``."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict

from ..definition import read
from ..errors import DefinitionError
from ..explanation import explain
from ..locate import make_datasource
from ..package.bundle import bundle as write_bundle
from ..package.install import Installed, install_root
from ..package.install import install as install_source
from ..package.install import remove as remove_package
from .output import print_json
from .progress import byte_bar

__all__ = ["bundle", "install", "remove"]


def install(arguments: argparse.Namespace) -> int:
    """Install, and say where, and whether it is found there."""
    destdir = arguments.destdir
    if destdir is None and arguments.system:
        destdir = os.environ.get("DESTDIR")
    if arguments.root and (arguments.system or arguments.prefix or arguments.user):
        raise DefinitionError("--root names the place alone: leave out --user, --prefix, --system")
    root = install_root(
        root=arguments.root, prefix=arguments.prefix, system=arguments.system, destdir=destdir
    )
    with byte_bar("install") as progress:
        done = install_source(
            arguments.source,
            root=root,
            relpath=arguments.relpath,
            force=arguments.force,
            link=arguments.link,
            shared=arguments.system or bool(arguments.root),
            jobs=arguments.jobs,
            progress=progress,
        )
    if arguments.json:
        print_json([asdict(one) for one in done])
        return 0
    for one in done:
        print(f"{one.relpath} {one.version} {_what(one)} {one.path}", flush=True)
        for path in one.kept:
            print(f"    kept, as somebody added it: {path}")
        if not destdir:
            _say_if_hidden(one, root)
    return 0


def _what(one: Installed) -> str:
    if not one.changed:
        return "is already at"
    if one.before is not None and one.before != one.version:
        return f"(in place of {one.before}) installed at"
    return "installed at"


def _say_if_hidden(one: Installed, root: str) -> None:
    found = explain(one.relpath).found
    if found is not None and found.path is not None and os.path.samefile(found.path, one.path):
        return
    if found is None or found.path is None:
        note = f"{root} is not on the search path: nibabel-data config add {root}"
    else:
        note = f"{found.path} ({found.root.origin}) is found before it"
    print(f"nibabel-data: note: {note}", file=sys.stderr)


def remove(arguments: argparse.Namespace) -> int:
    """Remove packages, and tell what was kept."""
    done = [remove_package(make_datasource(spec).base_path) for spec in arguments.specs]
    if arguments.json:
        print_json([asdict(one) for one in done])
        return 0
    for one in done:
        print(f"removed {one.path} ({one.files} files)")
        for path in one.kept:
            print(f"    kept, as somebody added it: {os.path.join(one.path, path)}")
    return 0


def bundle(arguments: argparse.Namespace) -> int:
    """Write packages into one zip, and print its path."""
    packages = [(read(spec)[0], make_datasource(spec)) for spec in arguments.specs]
    with byte_bar("bundle") as progress:
        print(write_bundle(packages, arguments.output, progress=progress))
    return 0
