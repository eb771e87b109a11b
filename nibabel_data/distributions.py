"""Which installed distribution owns a data package, and what is installed out of sight.

Reading every RECORD takes a quarter of a second in a large environment, so this is done when
somebody asks (``info``, ``doctor``), never to locate a package.
"""

from __future__ import annotations

import base64
import csv
import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from itertools import chain
from typing import TYPE_CHECKING

from .ini import signature

if TYPE_CHECKING:
    from .ini import Signature

__all__ = ["Recorded", "installed_roots", "owner_of", "recorded_hashes", "system_owner"]

_SHARE = "share/nipy/"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the RECORD of a distribution says of one package.

    Parameters
    ----------
    owner : str
        The distribution, as ``name version``.
    hashes : dict
        SHA-256 by path below the package's directory, with forward slashes.
    path : str
        The RECORD; empty if it is no file of its own.
    seen : tuple of int or None
        Its `nibabel_data.ini.signature` before it was read.
    """

    owner: str
    hashes: dict[str, str]
    path: str = ""
    seen: Signature | None = None


def owner_of(directory: str | os.PathLike[str]) -> str | None:
    """Return the distribution that installed a package's files, as ``name version``.

    Parameters
    ----------
    directory : str or os.PathLike
        The package's directory.

    Returns
    -------
    str or None
        The first Python distribution whose RECORD lists a file below it; else the package of the
        system's package manager, as ``name (dpkg)``; None if neither knows it.
    """
    owner = _owner(directory)
    if owner is not None:
        return f"{owner[0].name} {owner[0].version}"
    return system_owner(directory)


def recorded_hashes(directory: str | os.PathLike[str]) -> Recorded | None:
    """Return what the RECORD of the distribution that owns a package says of its files.

    Parameters
    ----------
    directory : str or os.PathLike
        The package's directory.

    Returns
    -------
    Recorded or None
        None if no Python distribution owns it.
    """
    owner = _owner(directory)
    if owner is None:
        return None
    distribution, files = owner
    path, seen = _record_of(distribution)
    if path:  # read again, now that its signature is known
        files = _recorded(distribution, distribution.read_text("RECORD") or "")
    below = _real(directory) + os.sep
    hashes = {
        path[len(below) :].replace(os.sep, "/"): _hexadecimal(recorded)
        for path, recorded in files.items()
        if path.startswith(below) and recorded.startswith("sha256=")
    }
    return Recorded(f"{distribution.name} {distribution.version}", hashes, path, seen)


def _record_of(distribution: Distribution) -> tuple[str, Signature | None]:
    """Return the path of a RECORD and its signature."""
    place = getattr(distribution, "_path", None)  # as pip itself finds out where it is
    if not isinstance(place, os.PathLike):
        return "", None
    path = os.path.abspath(os.path.join(place, "RECORD"))
    try:
        return path, signature(os.stat(path))
    except OSError:  # it went away, or lies in a zip
        return "", None


def _hexadecimal(recorded: str) -> str:
    digest = recorded.removeprefix("sha256=")
    return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()


def _owner(directory: str | os.PathLike[str]) -> tuple[Distribution, dict[str, str]] | None:
    place = _real(directory)
    below = place + os.sep
    # Those of its own prefix too, which need not be that of the running Python.
    prefix = place.replace(os.sep, "/").partition("/" + _SHARE)[0]
    site = glob.glob(os.path.join(glob.escape(prefix), "lib*", "python*", "*-packages"))
    for distribution, files in chain(_data_files(), _data_files(site)):
        if any(path.startswith(below) for path in files):
            return distribution, files
    return None


def system_owner(directory: str | os.PathLike[str]) -> str | None:
    """Return the package of dpkg or rpm that owns a data package below ``/usr``, if any."""
    config = os.path.join(_real(directory), "config.ini")
    return _dpkg_or_rpm(config) if config.startswith("/usr/") else None


def _dpkg_or_rpm(path: str) -> str | None:
    for manager, query in (("dpkg-query", ["-S"]), ("rpm", ["-qf"])):
        if shutil.which(manager) is None:
            continue
        answer = subprocess.run([manager, *query, path], capture_output=True, text=True)
        if answer.returncode == 0:
            return f"{answer.stdout.split(':')[0].strip()} ({manager.split('-')[0]})"
    return None


def installed_roots() -> dict[str, list[str]]:
    """Return the ``share/nipy`` directories that RECORD files name, with their distributions.

    Returns
    -------
    dict
        Existing directory: names of the distributions that put files there.
    """
    roots: dict[str, list[str]] = {}
    for distribution, files in _data_files():
        for path in files:
            root = path.replace(os.sep, "/").rpartition("/" + _SHARE)[0] + "/" + _SHARE[:-1]
            names = roots.setdefault(os.path.normpath(root), [])
            if distribution.name not in names:
                names.append(distribution.name)
    return {root: names for root, names in roots.items() if os.path.isdir(root)}


def _real(path: str | os.PathLike[str]) -> str:
    return os.path.realpath(path)


def _data_files(
    directories: list[str] | None = None,
) -> Iterator[tuple[Distribution, dict[str, str]]]:
    """Yield each distribution that has files below ``share/nipy``: real path, recorded hash."""
    for distribution in distributions(path=_sys_path() if directories is None else directories):
        try:
            record = distribution.read_text("RECORD")
            files = _recorded(distribution, record) if record and _SHARE in record else {}
        except (ValueError, csv.Error):  # one that is damaged owns nothing
            continue
        if files:
            yield distribution, files


def _recorded(distribution: Distribution, record: str) -> dict[str, str]:
    """Return path and hash of each file of a RECORD that lies below ``share/nipy``."""
    rows = list(csv.reader(line for line in record.splitlines() if _SHARE in line))
    places = [_located(str(distribution.locate_file(row[0]))) for row in rows]
    if not any(os.path.lexists(place) for place in places):
        # pip --target and Debian write paths that lead elsewhere: the suffix holds.
        base = str(distribution.locate_file(""))
        places = [_located(f"{base}/{_SHARE}{row[0].partition(_SHARE)[2]}") for row in rows]
    hashes = [row[1] if len(row) > 1 else "" for row in rows]
    return dict(zip(places, hashes, strict=True))


def _sys_path() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]


def _located(path: str) -> str:
    """Return the path with its directory, but not the file itself, resolved."""
    directory, name = os.path.split(path)
    return os.path.join(_real(directory), name)
