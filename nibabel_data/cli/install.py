"""``install``, ``remove`` and ``bundle``."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict

from ..definition import read
from ..errors import DataError, DefinitionError
from ..explanation import explain
from ..locate import make_datasource
from ..package.bundle import bundle as write_bundle
from ..package.held import unfetched
from ..package.install import Installed, install_root
from ..package.install import install as install_source
from ..package.overlay import fetch_command
from ..package.remove import Removed, check_removal
from ..package.remove import remove as remove_package
from ..table import counted
from .output import as_is, print_json, shown
from .progress import byte_bar, say

__all__ = ["bundle", "install", "remove"]


def install(arguments: argparse.Namespace) -> int:
    """Install, and say where, and whether it is found there."""
    destdir = _destdir(arguments)
    if destdir and arguments.link:
        raise DefinitionError(
            "--link leaves a link to a directory of this machine, which is nothing to stage below "
            f"{destdir}; leave out --link"
        )
    root = install_root(
        root=arguments.root, prefix=arguments.prefix, system=arguments.system, destdir=destdir
    )

    def tell(one: Installed) -> None:
        if not arguments.json:
            _tell_installed(one, None if destdir else root)

    with byte_bar("install") as progress:
        results = install_source(
            arguments.source,
            root=root,
            relpath=arguments.relpath,
            force=arguments.force,
            link=arguments.link,
            shared=arguments.system or bool(arguments.root) or bool(destdir),
            jobs=arguments.jobs,
            progress=progress,
            done=tell,
        )
    if arguments.json:
        print_json([asdict(one) for one in results])
    return 0


def _destdir(arguments: argparse.Namespace) -> str | None:
    """Return the staging directory; the variable counts for what a packager stages."""
    if arguments.destdir is not None:
        return str(arguments.destdir)
    variable = os.environ.get("DESTDIR")
    if not variable or arguments.system or arguments.prefix is not None:
        return variable
    why = "--root names the whole path" if arguments.root else "the place is the user's own"
    note = f"DESTDIR is set, but not used, as {why}; --destdir DIR puts a directory before it"
    print(f"nibabel-data: note: {shown(note)}", file=sys.stderr)
    return None


def _tell_installed(one: Installed, root: str | None) -> None:
    say(f"{one.relpath} {one.version} {_what(one)} {one.path}")
    for path in one.kept:
        say(f"    kept, as somebody added it: {path}")
    if root is not None:
        _say_if_hidden(one, root)


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
    say(f"nibabel-data: note: {note}", sys.stderr)


def remove(arguments: argparse.Namespace) -> int:
    """Remove packages, all of which are looked at first, and tell what was kept."""
    found = map(_place, arguments.specs)
    places = list(dict.fromkeys(check_removal(place) for place in found))
    results: list[Removed] = []
    try:
        for place in places:
            results.append(remove_package(place))
            if not arguments.json:
                _tell_removed(results[-1])
    except DataError as error:
        error.results = tuple(results)
        raise
    if arguments.json:
        print_json([asdict(one) for one in results])
    return 0


def _place(spec: str) -> str:
    """Return where a package is, also if its config.ini is lost or damaged."""
    try:
        return make_datasource(spec).base_path
    except DataError as error:
        explained = error.explanation
        if explained is None or explained.damaged is None or explained.definition.wanted:
            raise  # also where a version is wanted: what is damaged may be another
        return str(explained.damaged.path)


def _tell_removed(one: Removed) -> None:
    say(f"removed {one.path} ({counted(one.files, 'file')})")
    for path in one.kept:
        say(f"    kept, as somebody added it: {os.path.join(one.path, path)}")


def bundle(arguments: argparse.Namespace) -> int:
    """Write packages into one zip, and print its path."""
    packages = [(read(spec)[0], make_datasource(spec)) for spec in arguments.specs]
    with byte_bar("bundle") as progress:
        print(as_is(write_bundle(packages, arguments.output, progress=progress)), flush=True)
    for base in sorted({package.base_path for _, package in packages}):
        _say_if_not_fetched(base)
    return 0


def _say_if_not_fetched(base: str) -> None:
    missing = len(unfetched(base))
    if missing:
        print(
            f"nibabel-data: note: {counted(missing, 'file')} of the package at {shown(base)} not "
            f"fetched, so not in the bundle; to have all in it, run first\n\n"
            f"    {shown(fetch_command(base))}\n",
            file=sys.stderr,
        )
