"""The overlay: fetched files of packages that cannot be written, in the user's cache directory.

A file lies at ``overlay/KEY/PATH``, where KEY is that of the package's registry
(`nibabel_data.package.registry.Registry`): a hash of every path and hash in it.  So all copies of a
package share what was fetched, a new version never takes a file of the old one, the files of a
package stand beside each other as they would in it (``.hdr`` and ``.img``, an image and its
``.json``), and that a file is there proves that it is the right one.

What is below a key that no installed package has can be removed.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from os.path import join as pjoin
from pathlib import Path

from ..datasource import CONFIG, MOST_COMPARED
from ..environment import cache_dir
from ..errors import ConfigError
from ..files import walk_files
from ..searchpath import get_data_path
from .registry import REGISTRY, Registry, read_registry

__all__ = [
    "fetch_command",
    "in_overlay",
    "not_fetched",
    "overlay_dir",
    "overlay_files",
    "overlay_glob",
    "package_path",
]


def overlay_dir(registry: Registry) -> str:
    """Return the directory in which the fetched files of a package lie, which may not exist."""
    return f"{cache_dir()}{os.sep}overlay{os.sep}{registry.key[:32]}"  # pjoin takes longer


def in_overlay(base: str, filename: str, is_there: Callable[[str], bool] = os.path.exists) -> str:
    """Return where a file of a package is: in the overlay, if it was fetched into it.

    Parameters
    ----------
    base : str
        The package's directory.
    filename : str
        The path of the file in it, where nothing is; `base` and what follows.
    is_there : callable, optional
        Says whether a place in the overlay is what is asked for; `os.path.isfile` for a file.

    Returns
    -------
    str
        A path in the overlay; `filename` if it is not there, or the package has no registry that
        can be read.
    """
    try:
        registry = read_registry(base)
    except ConfigError:
        return filename
    if registry is None:
        return filename
    inside = os.path.normpath(filename[len(base) :].lstrip(os.sep))  # relpath takes much longer
    place = f"{overlay_dir(registry)}{os.sep}{inside}"
    return place if is_there(place) else filename


def package_path(base: str, filename: str) -> str:
    """Return a file's path in its package, with forward slashes.

    Examples
    --------
    >>> package_path('/data/atlas', '/data/atlas/a/../T1.nii')
    'T1.nii'
    """
    return os.path.relpath(filename, base).replace(os.sep, "/")


def overlay_files(base: str, *, hidden: bool = False) -> dict[str, str]:
    """Return the files of a package that were fetched into the overlay.

    Parameters
    ----------
    base : str
        The package's directory.
    hidden : bool, optional
        Whether to take names that begin with a dot, and what is below.

    Returns
    -------
    dict
        Place by path in the package, with the system's separators.
    """
    try:
        registry = read_registry(base)
    except ConfigError:
        return {}
    if registry is None or not os.path.isdir(folder := overlay_dir(registry)):
        return {}
    return {
        name: pjoin(folder, name)
        for name, state, _ in walk_files(folder, hidden=hidden)
        if state == "file" and name.replace(os.sep, "/") in registry.entries
    }


def overlay_glob(base: str, pattern: str, *, hidden: bool = False) -> dict[Path, Path]:
    """Return what matches a pattern in the overlay: files, and directories that hold any.

    Parameters
    ----------
    base : str
        The package's directory.
    pattern : str
        As `pathlib.Path.glob` takes it.
    hidden : bool, optional
        As for `overlay_files`.

    Returns
    -------
    dict
        Place by path in the package.
    """
    names = overlay_files(base, hidden=hidden)
    if not names:
        return {}
    first, place = next(iter(names.items()))
    folder = Path(place.removesuffix(first))
    inside = {Path(name) for name in names}
    inside |= {parent for path in inside for parent in path.parents}
    found = {path.relative_to(folder): path for path in folder.glob(pattern)}
    return {path: place for path, place in found.items() if path in inside}


def not_fetched(base: str, filename: str) -> str:
    """Return what to do about a file that is not there; empty if the registry knows none like it.

    Parameters
    ----------
    base : str
        The package's directory.
    filename : str
        The path of the file in it.
    """
    import difflib

    try:
        registry = read_registry(base)
    except ConfigError as error:
        return f"no {filename}, and what could be fetched is not known: {error}"
    path = package_path(base, filename)
    entries = {} if registry is None else registry.entries
    if registry is not None and path in entries:
        place = pjoin(overlay_dir(registry), *path.split("/"))
        if os.path.exists(place):  # whoever asked would have got it if it had been looked for
            return (
                f"{path!r} of the package at {base} is fetched, to {place}, but not looked for "
                f"there: add to [DEFAULT] of {pjoin(base, CONFIG)} the line\n\n"
                f"    registry = {REGISTRY}"
            )
    if path in entries or any(name.startswith(f"{path}/") for name in entries):
        command = fetch_command(base, path)
        return f"{path!r} of the package at {base} is not fetched yet:\n\n    {command}"
    name = path.rpartition("/")[2]
    near = [other for other in entries if other.rpartition("/")[2] == name][:3]
    near = near or difflib.get_close_matches(path, list(entries)[:MOST_COMPARED], n=3, cutoff=0.5)
    if near:
        names = " or ".join(map(repr, near))
        return f"no file {path!r} in the package at {base}; did you mean {names}?"
    return ""


def fetch_command(base: str, *patterns: str) -> str:
    """Return the command that fetches files of a package.

    Parameters
    ----------
    base : str
        The package's directory; its name is what stands below a root of the search path, or else
        its last two parts.
    *patterns : str
        What to fetch.

    Examples
    --------
    >>> fetch_command('/data/nipy/templates', 'ICBM152/T1.nii.gz')
    'nibabel-data fetch nipy/templates ICBM152/T1.nii.gz'
    """
    place = os.path.abspath(base)
    spec = "/".join(place.split(os.sep)[-2:])
    for root in map(os.path.abspath, get_data_path()):
        if place.startswith(root.rstrip(os.sep) + os.sep):
            spec = package_path(root, place)
            break
    return shlex.join(["nibabel-data", "fetch", spec, *patterns])
