"""`diagnose`: everything that is wrong on the search path, each with its mend."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import join as pjoin
from typing import TYPE_CHECKING

from .datasource import CONFIG
from .distributions import installed_roots
from .environment import expand, system_dirs
from .errors import DataError
from .files import annex_command, walk_files
from .installers import plugin_roots
from .packages import DEPTH, Package, iter_packages
from .roots import Root
from .searchpath import search_path

if TYPE_CHECKING:
    from .searchpath import DataPath

__all__ = ["Problem", "diagnose"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something on the search path that a person should know.

    Parameters
    ----------
    kind : str
        ``malformed ini``, ``unreadable ini``, ``silent file``, ``malformed plug-in``,
        ``odd entry``, ``missing root``,
        ``unreadable root``, ``package as root``, ``malformed package``, ``empty directory``,
        ``unordered version``, ``dangling link``, ``absent content``, ``unreadable directory``,
        ``shadowed copy`` or ``out of sight``.
    where : str
        The file or directory.
    problem : str
        What is wrong.
    mend : str
        What to do.
    serious : bool
        False for what may be meant so: a shadowed copy, content not fetched, data out of sight.
    """

    kind: str
    where: str
    problem: str
    mend: str
    serious: bool = True


def diagnose(data_path: DataPath | None = None) -> list[Problem]:
    """Return everything that is wrong on the search path.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead of the search path.

    Returns
    -------
    list of Problem
        Roots first, then packages, both in the order of the search.

    Examples
    --------
    >>> [problem.kind for problem in diagnose('/no/such/root')]
    ['missing root']
    """
    roots = search_path(data_path)
    problems = [problem for root in roots for problem in _root_problems(root)]
    if data_path is None:
        problems += [*_variables(), *_silent_files(roots), *_missing_plugin_roots()]
    for root in roots:
        if root.path is not None and root.state == "searched":
            problems.extend(_leftovers(str(root.path)))
    for package in iter_packages(data_path):
        problems.extend(_package_problems(package))
    if data_path is None:
        problems.extend(_out_of_sight(roots))
    return problems


def _variables() -> Iterator[Problem]:
    """Yield the variables that name a directory which is none."""
    for name in ("NIPY_USER_DIR", "NIPY_SYSTEM_DIR"):
        value = os.environ.get(name)
        if value and not os.path.isdir(expand(value)):
            mend = f"mkdir -p {shlex.quote(value)}, or unset {name}"
            yield Problem("missing root", value, f"{name} names no directory", mend)


def _silent_files(roots: tuple[Root, ...]) -> Iterator[Problem]:
    """Yield the files of the system's directories that add nothing to the search path."""
    heard = {root.origin.where for root in roots}
    for directory in system_dirs():
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        for name in names:
            path = pjoin(directory, name)
            if path in heard or name.startswith("."):
                continue
            if name.endswith(".ini"):
                mend = f"edit {path}; it needs [DATA] and a line 'path = /a/directory'"
                yield Problem("silent file", path, "names no directory", mend, serious=False)
            else:
                mend = f"rename it to {os.path.splitext(path)[0]}.ini, if it is to be read"
                yield Problem("silent file", path, "only *.ini is read", mend, serious=False)


def _missing_plugin_roots() -> Iterator[Problem]:
    for path, _, where, _, _, _ in plugin_roots():
        if path is not None and not os.path.isdir(path):
            problem = f"the plug-in {where} names it, but there is no such directory"
            yield Problem("missing root", path, problem, f"install {where} again")


def _root_problems(root: Root) -> Iterator[Problem]:
    origin = root.origin
    named = origin.kind in ("variable", "user file", "system file", "argument")
    if root.path is None:
        if origin.kind == "plug-in":
            mend = "update or uninstall the plug-in"
            yield Problem("malformed plug-in", origin.where, root.problem, mend)
            return
        kind, line = "malformed ini", f"line {origin.line}: " if origin.line else ""
        if root.state == "unreadable":
            kind, mend = "unreadable ini", _mend_of_unreadable(origin.where)
        elif origin.line is not None:
            mend = f"edit line {origin.line} of {origin.where}"
        else:
            mend = f"edit {origin.where}; it needs [DATA] and a line 'path = /a/directory'"
        yield Problem(kind, origin.where, line + root.problem, mend)
        return
    path, place = str(root.path), f"{origin}"
    if origin.kind != "user directory" and os.path.exists(pjoin(path, CONFIG)):
        mend = f"name the directory above its project in {place}"
        yield Problem(
            "package as root", path, f"a package, not a directory of packages ({place})", mend
        )
    odd = _oddity(path)
    if root.state == "missing" and named and odd:
        yield Problem("odd entry", path, f"{odd} ({place})", f"correct the entry in {place}")
    elif root.state == "missing" and named:
        mend = f"mkdir -p {shlex.quote(path)}, or take the entry out of {place}"
        yield Problem("missing root", path, f"no such directory ({place})", mend)
    elif root.state == "unreadable":
        mend = f"ask for permission: ls -ld {shlex.quote(path)}"
        yield Problem("unreadable root", path, f"{root.problem} ({place})", mend)
    elif root.state == "not a directory":
        mend = f"name a directory in {place}"
        yield Problem("missing root", path, f"not a directory ({place})", mend)
    elif named and not os.path.isabs(path):
        mend = f"write the whole path in {place}"
        problem = f"a relative path, which means another place in each directory ({place})"
        yield Problem("odd entry", path, problem, mend)


def _mend_of_unreadable(path: str) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return f"restore what it leads to, or rm {shlex.quote(path)}"
    rights = "a+rx" if os.path.isdir(path) else "a+r"
    return f"chmod {rights} {shlex.quote(path)}"


def _oddity(path: str) -> str:
    if " ;" in path or " #" in path:
        return "a comment behind a path is taken as part of it"
    if "'" in path or '"' in path:
        return "a quote that does not close is taken as part of the path"
    if "$" in path or path.startswith("~"):
        return "a variable or user in it is not known"
    return ""


def _leftovers(root: str, depth: int = DEPTH) -> Iterator[Problem]:
    """Yield what stands where packages would, but is none: empty directories, broken links."""
    try:
        with os.scandir(root) as scan:
            entries = sorted((e.name, e.path, e.is_dir(follow_symlinks=False)) for e in scan)
    except OSError:
        return
    for name, path, is_directory in entries:
        if name.startswith("."):
            continue
        if os.path.islink(path) and not os.path.exists(path):
            problem = f"a link to {os.path.realpath(path)}, which does not exist"
            mend = f"restore it, or rm {shlex.quote(path)}"
            yield Problem("dangling link", path, problem, mend)
        if not is_directory or os.path.exists(pjoin(path, CONFIG)):
            continue
        try:
            empty = _is_empty(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            mend = f"ask for permission: ls -ld {shlex.quote(path)}"
            yield Problem("unreadable directory", path, reason, mend)
            continue
        if empty:
            problem = "an empty directory, as an uninstall leaves it"
            mend = f"if nothing uses it: find {shlex.quote(path)} -type d -empty -delete"
            yield Problem("empty directory", path, problem, mend, serious=False)
        elif depth > 1:
            yield from _leftovers(path, depth - 1)


def _is_empty(directory: str) -> bool:
    """Return whether a directory holds nothing but directories that hold nothing."""
    with os.scandir(directory) as scan:
        return all(e.is_dir(follow_symlinks=False) and _is_empty(e.path) for e in scan)


def _package_problems(package: Package) -> Iterator[Problem]:
    path = str(package.path)
    if package.problem:
        config = pjoin(path, CONFIG)
        mend = f"edit {config}; it needs [DEFAULT] and a line 'version = 0.1'"
        if not os.access(config, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            mend = f"ask for permission: ls -ld {shlex.quote(config)}"
        yield Problem("malformed package", path, package.problem, mend)
        return
    if package.version is not None and not package.version.is_pep440:
        problem = f"version {package.version} is not PEP 440: no wanted version matches it"
        mend = f"write a version like 0.3 in {pjoin(path, CONFIG)}"
        yield Problem("unordered version", path, problem, mend)
    shadow = package.shadowed_by
    if shadow is not None and os.path.realpath(shadow) != os.path.realpath(path):
        problem = f"{package.relpath} {package.version} is shadowed by {shadow}"
        mend = "remove one of the two, or ask for the version that you need"
        yield Problem("shadowed copy", path, problem, mend, serious=False)
    try:
        for relative, state, _ in walk_files(path):
            yield from _link_problems(pjoin(path, relative), state)
    except DataError as error:
        mend = f"ask for permission: ls -ld {shlex.quote(path)}"
        yield Problem("unreadable directory", path, str(error), mend)


def _link_problems(path: str, state: str) -> Iterator[Problem]:
    if state == "unreadable":
        mend = f"ask for permission: ls -ld {shlex.quote(path)}"
        yield Problem("unreadable directory", path, "permission denied", mend)
    elif state == "dangling":
        problem = f"a link to {os.path.realpath(path)}, which does not exist"
        mend = f"restore the file, or rm {shlex.quote(path)}"
        yield Problem("dangling link", path, problem, mend)
    elif state == "absent":
        problem = "a DataLad or git-annex file whose content is not here"
        yield Problem("absent content", path, problem, annex_command(path), serious=False)


def _out_of_sight(roots: tuple[Root, ...]) -> Iterator[Problem]:
    searched = {os.path.realpath(root.path) for root in roots if root.path is not None}
    for directory, names in installed_roots().items():
        if os.path.realpath(directory) not in searched:
            problem = f"{', '.join(names)} put data there, which is not on the search path"
            mend = f"nibabel-data config add {shlex.quote(directory)}"
            yield Problem("out of sight", directory, problem, mend, serious=False)
