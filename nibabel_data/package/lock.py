"""``data.lock``: exactly which data a project uses, to be read in a review and kept in git.

It is TOML, one line a fact, packages sorted by name::

    format = 1

    [[package]]
    name = "nipy/templates"
    version = "0.3"
    tree = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    source = "templates-0.3.zip"

The tree is the hash of the package's manifest, so that two copies of one tree are the same files.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import join as pjoin
from typing import Any

from ..atomic import replace_file
from ..definition import split_spec
from ..errors import ConfigError, DataError
from ..explanation import explain
from ..locate import make_datasource
from .layout import named_path
from .verify import Verification, tree_of, verify_directory

__all__ = [
    "LOCK",
    "TREE",
    "Difference",
    "Locked",
    "Wanted",
    "compare",
    "difference_of",
    "lock",
    "read_lock",
    "read_wanted",
    "write_lock",
]

LOCK = "data.lock"
_FORMAT = 1
TREE = "sha256:"
"""How a tree begins."""


@dataclass(frozen=True, slots=True, order=True)
class Locked:
    """One package of a lock file.

    Parameters
    ----------
    name : str
        Its path below a root.
    version : str
        Its version.
    tree : str
        ``sha256:`` and the tree hash.
    source : str
        Where `sync` can install it from: a path (a relative one is taken from the lock file's
        directory), or a URL with ``#sha256=``; empty if nobody said.
    """

    name: str
    version: str
    tree: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package that a project asks for.

    Parameters
    ----------
    spec : str
        The package and its versions: ``nipy/templates>=0.3``.
    source : str
        Where it can be installed from; may be empty.
    """

    spec: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """How what is on the search path differs from the lock.

    Parameters
    ----------
    locked : Locked
        What the lock says.
    problem : str
        What is there in its place.
    """

    locked: Locked
    problem: str


def read_wanted(
    pyproject: str | os.PathLike[str], lock: str | os.PathLike[str] | None = None
) -> list[Wanted]:
    """Return what the table ``[tool.nibabel-data]`` of a ``pyproject.toml`` asks for.

    Parameters
    ----------
    pyproject : str or os.PathLike
        The file.  Its table has a key ``packages``: a list whose entries are specs, or tables with
        ``spec`` and ``source``.  A relative source is taken from the file's directory.
    lock : str or os.PathLike, optional
        The lock file that they are for: relative sources are returned as seen from its directory.

    Returns
    -------
    list of Wanted
        The packages.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has no such table.
    """
    place = named_path(pyproject, "pyproject.toml")
    folder = os.path.dirname(place)
    target = folder if lock is None else os.path.dirname(named_path(lock, "lock file"))
    table: object = _toml(place)
    for key in ("tool", "nibabel-data", "packages"):
        table = table.get(key) if isinstance(table, dict) else None
    packages = table
    if not isinstance(packages, list) or not packages:
        problem = "no packages: it needs [tool.nibabel-data] and packages = ['nipy/templates>=0.3']"
        raise ConfigError(place, None, problem)
    wanted = [_wanted(entry, place) for entry in packages]
    return [Wanted(one.spec, _rebased(one.source, folder, target)) for one in wanted]


def _rebased(source: str, folder: str, target: str) -> str:
    """Return a relative path that is taken from one directory as it is seen from another."""
    here, there = os.path.realpath(folder), os.path.realpath(target)
    if not source or "://" in source or os.path.isabs(source) or here == there:
        return source
    place = pjoin(here, source)
    try:
        return os.path.relpath(place, there).replace(os.sep, "/")
    except ValueError:  # another drive of Windows
        return os.path.normpath(place)


def _wanted(entry: object, place: str) -> Wanted:
    if isinstance(entry, str):
        entry = {"spec": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("spec"), str):
        raise ConfigError(place, None, f"a package is a spec, or a table with 'spec': {entry!r}")
    split_spec(entry["spec"])
    return Wanted(entry["spec"], str(entry.get("source", "")))


def lock(wanted: Iterable[Wanted], *, jobs: int | None = None) -> list[Locked]:
    """Return what is found now for each package that is asked for.

    Parameters
    ----------
    wanted : iterable of Wanted
        The packages.
    jobs : int, optional
        How many files are read at a time.

    Returns
    -------
    list of Locked
        Sorted by name, none twice.

    Raises
    ------
    DataError
        If a package is not there, or not whole, or not what its manifest or its distribution
        says: nobody could install such a one.
    """
    locked = {}
    for one in wanted:
        name = split_spec(one.spec)[0]
        package = make_datasource(one.spec)
        _refuse_amiss(name, verify_directory(package.base_path, jobs=jobs))
        tree = TREE + tree_of(package.base_path, jobs=jobs)
        locked[name] = Locked(name, str(package.version), tree, one.source)
    return sorted(locked.values())


def _refuse_amiss(name: str, result: Verification) -> None:
    if not result.amiss:
        return
    first, *others = result.amiss
    detail = f": {first.detail}" if first.detail else ""
    more = f", and {len(others)} more" if others else ""
    raise DataError(
        f"{name} is not locked: {result.path} is not what its {result.against or 'registry'} says: "
        f"{first.state} {first.path}{detail}{more}; all of it: nibabel-data verify {name}"
    )


def write_lock(locked: Iterable[Locked], path: str | os.PathLike[str]) -> None:
    """Write a lock file, whole or not at all.

    Parameters
    ----------
    locked : iterable of Locked
        The packages, sorted.
    path : str or os.PathLike
        The file.
    """
    lines = [
        "# Which data this project uses. Made by `nibabel-data lock`;",
        "# `nibabel-data sync` installs them, `nibabel-data verify --locked` compares.",
        f"format = {_FORMAT}",
    ]
    for one in locked:
        lines += ["", "[[package]]"]
        facts = (("name", one.name), ("version", one.version), ("tree", one.tree))
        lines += [f"{key} = {_quoted(value)}" for key, value in facts]
        if one.source:
            lines.append(f"source = {_quoted(one.source)}")
    place = named_path(path, "lock file")
    try:
        replace_file(os.path.abspath(place), ("\n".join(lines) + "\n").encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {place}: {reason}") from error


def _quoted(text: str) -> str:
    """Return a text as a TOML string, which is one of JSON but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_lock(path: str | os.PathLike[str]) -> list[Locked]:
    """Return the packages of a lock file.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    list of Locked
        In the order of the file.

    Raises
    ------
    ConfigError
        If it cannot be read, or is of another form.
    """
    place = named_path(path, "lock file")
    content = _toml(place)
    if content.get("format") != _FORMAT:
        raise ConfigError(place, None, f"format {content.get('format')!r}, but {_FORMAT} is known")
    unknown = sorted(content.keys() - {"format", "package"})
    if unknown:
        raise ConfigError(place, None, f"{unknown[0]!r} is not known; a package is a [[package]]")
    packages = content.get("package", [])
    if not isinstance(packages, list):
        raise ConfigError(place, None, "'package' is to be a list of tables: [[package]]")
    keys = ("name", "version", "tree")
    for entry in packages:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in keys):
            raise ConfigError(place, None, f"a package needs {', '.join(keys)}: {entry!r}")
    return [Locked(p["name"], p["version"], p["tree"], str(p.get("source", ""))) for p in packages]


def _toml(place: str) -> dict[str, Any]:
    try:
        with open(place, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(place, None, "no such file") from None
    except OSError as error:
        raise ConfigError(place, None, (error.strerror or str(error)).lower()) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(place, None, f"not TOML: {error}") from None


def compare(
    locked: Iterable[Locked], *, full: bool = False, jobs: int | None = None
) -> list[Difference]:
    """Return how what is on the search path differs from a lock.

    Parameters
    ----------
    locked : iterable of Locked
        What the lock says.
    full : bool, optional
        Whether to read files again that have not changed since they were last read.
    jobs : int, optional
        How many files are read at a time.

    Returns
    -------
    list of Difference
        Empty if everything is as the lock says.
    """
    return [
        Difference(one, problem)
        for one in locked
        if (problem := difference_of(one, full=full, jobs=jobs))
    ]


def difference_of(one: Locked, *, full: bool = False, jobs: int | None = None) -> str:
    """Return how what is on the search path differs from one package of a lock; empty if not."""
    answer = explain(one.name)
    if answer.found is None or answer.found.path is None:
        return answer.headline()
    if str(answer.found.version) != one.version:
        return f"version {answer.found.version} is found, at {answer.found.path}"
    try:
        tree = TREE + tree_of(answer.found.path, full=full, jobs=jobs)
    except DataError as error:
        return str(error)
    return "" if tree == one.tree else f"other files of version {one.version}: {answer.found.path}"
