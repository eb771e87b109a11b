"""`iter_packages`: every data package below the roots of the search path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os.path import join as pjoin
from pathlib import Path
from typing import TYPE_CHECKING

from . import ini
from .datasource import CONFIG, VersionedDatasource, read_version
from .errors import ConfigError
from .searchpath import search_path
from .version import DataVersion

if TYPE_CHECKING:
    from .roots import Root
    from .searchpath import DataPath

__all__ = ["DEPTH", "Package", "child_directories", "iter_packages", "package_names"]

DEPTH = 2
"""How far below a root packages are looked for: ``<project>/<package>``."""

_MOST_NAMES = 5000
"""No more directories than these are looked at for a name that is nearly right."""


@dataclass(frozen=True, slots=True)
class Package:
    """One data package on the search path.

    Parameters
    ----------
    relpath : str
        Its directory below the root, with forward slashes.
    path : pathlib.Path
        Its directory.
    version : DataVersion or None
        Its version; None if `problem` is not empty.
    root : Root
        The root, with its origin.
    shadowed_by : pathlib.Path or None
        The directory of the copy that is found in place of this one.
    problem : str
        Why it cannot be used; empty if it can.
    """

    relpath: str
    path: Path
    version: DataVersion | None
    root: Root
    shadowed_by: Path | None = None
    problem: str = ""

    def datasource(self) -> VersionedDatasource:
        """Return the package as `make_datasource` does.

        Returns
        -------
        VersionedDatasource
            The package.

        Raises
        ------
        DataError
            If it cannot be used.
        """
        return VersionedDatasource(self.path)


def iter_packages(data_path: DataPath | None = None) -> Iterator[Package]:
    """Yield every data package on the search path, also those that cannot be used.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead of the search path.

    Yields
    ------
    Package
        In the order of the search; below one root sorted by name.  Directories up to `DEPTH`
        below a root are looked at, hidden ones not.

    Examples
    --------
    >>> [package.relpath for package in iter_packages('examples/nipy-examplepkg')]
    ['nipy/examplepkg']
    """
    first: dict[str, Path] = {}
    for root in search_path(data_path):
        if root.path is None or root.state != "searched":
            continue
        for relpath, directory in child_directories(str(root.path), DEPTH):
            config = directory + os.sep + CONFIG
            version, problem = None, ""
            try:
                text, _ = ini.read_text(config)
                version = read_version(text, config)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problem = f"cannot read {CONFIG}: {(error.strerror or str(error)).lower()}"
            except ConfigError as error:
                line = f" line {error.line}" if error.line else ""
                problem = f"malformed {CONFIG}{line}: {error.problem}"
            path, shadow = Path(directory), first.get(relpath)
            if version is not None and shadow is None:
                first[relpath] = path
            yield Package(relpath, path, version, root, shadow, problem)


def package_names(roots: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the names of packages, not opening any, so that they may be malformed.

    Parameters
    ----------
    roots : iterable of str or os.PathLike
        Where to look.

    Returns
    -------
    list of str
        Their paths below a root, with forward slashes; none twice.
    """
    names: dict[str, None] = {}
    visited = 0
    for root in roots:
        for relpath, directory in child_directories(os.fspath(root), DEPTH):
            visited += 1
            if os.path.lexists(pjoin(directory, CONFIG)):
                names[relpath] = None
            if visited >= _MOST_NAMES:
                return list(names)
    return list(names)


def child_directories(root: str, depth: int, inside: str = "") -> Iterator[tuple[str, str]]:
    """Yield the directories below a root as (relative path with slashes, path), sorted."""
    try:
        with os.scandir(root) as scan:
            entries = sorted(
                (entry.name, entry.path)
                for entry in scan
                if entry.name[0] != "." and _is_dir(entry)
            )
    except (OSError, ValueError):
        return
    for name, path in entries:
        relpath = inside + name
        yield relpath, path
        if depth > 1:
            yield from child_directories(path, depth - 1, relpath + "/")


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops
        return False
