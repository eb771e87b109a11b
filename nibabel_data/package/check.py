"""What is wrong with a data package before it is published, and the mend of each."""

from __future__ import annotations

import os
import posixpath
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os.path import join as pjoin
from typing import Any

from ..about import citation, licence
from ..datasource import CONFIG, VersionedDatasource, names_registry
from ..errors import ConfigError, DataError
from ..files import annex_command, content_state, is_pointer
from ..table import counted
from .images import image_problem
from .layout import (
    Layout,
    build_backend,
    distribution_around,
    find_layout,
    licence_expression,
    read_pyproject,
    table,
)
from .manifest import LEFT_OUT, MANIFEST, hash_file, in_threads, read_manifest
from .names import LONGEST_PATH, name_problem, twins
from .registry import REGISTRY, Registry, read_registry, urls_of
from .stamps import Stamps

__all__ = ["Problem", "check_package"]

_PYPROJECT = "pyproject.toml"
_DESCRIBING = ("license", "licence", "copying", "citation", "readme", "changes")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a package.

    Parameters
    ----------
    path : str
        The file or directory, below the one that was checked, with forward slashes.
    problem : str
        What is wrong.
    mend : str
        What to do about it.
    serious : bool
        Whether the package should not be published as it is; `nibabel_data.package.build` refuses
        it then.
    """

    path: str
    problem: str
    mend: str
    serious: bool = True


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or directory of the package; `path` is below it, with forward slashes."""

    path: str
    place: str
    is_directory: bool = False
    unreadable: str = ""


def check_package(directory: str | os.PathLike[str]) -> list[Problem]:
    """Return everything that is wrong with a data package.

    Parameters
    ----------
    directory : str or os.PathLike
        A distribution directory, with one ``<project>/<package>`` in it, or a package's directory.

    Returns
    -------
    list of Problem
        Sorted by path, the serious ones first; empty if all is well.

    Examples
    --------
    >>> check_package('examples/nipy-examplepkg')
    []
    """
    try:
        layout = find_layout(directory)
    except DataError as error:
        return [Problem(".", str(error), f"lay it out as <project>/<package>/{CONFIG}")]
    entries = sorted(_entries(layout.package), key=lambda entry: entry.path)
    below = [
        *_config(layout),
        *_contents(layout.package, entries),
        *_registry(layout.package, entries),
        *_names([*entries, *_unfetched(layout.package, entries)]),
        *_described(layout, entries),
        *_manifest(layout, entries),
    ]
    prefix = f"{layout.relpath}/" if layout.top else ""
    found = [Problem(prefix + p.path, p.problem, p.mend, p.serious) for p in below]
    if layout.top:
        found += _distribution(layout, layout.top, entries)
    return sorted(found, key=lambda problem: (not problem.serious, problem.path, problem.problem))


def _entries(base: str) -> Iterator[_Entry]:
    """Yield every file and directory of a package, without the manifest."""
    failures: list[OSError] = []
    for here, directories, files in os.walk(base, onerror=failures.append):
        inside = os.path.relpath(here, base).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        directories[:] = sorted(name for name in directories if name not in LEFT_OUT)
        for name in directories:
            yield _Entry(prefix + name, pjoin(here, name), is_directory=True)
        for name in files:
            if name not in LEFT_OUT and prefix + name != MANIFEST:
                yield _Entry(prefix + name, pjoin(here, name))
    for error in failures:
        place = os.fspath(error.filename)
        path = os.path.relpath(place, base).replace(os.sep, "/")
        yield _Entry(path, place, is_directory=True, unreadable=_reason(error))


def _config(layout: Layout) -> Iterator[Problem]:
    config = pjoin(layout.package, CONFIG)
    try:
        package = VersionedDatasource(layout.package)
    except ConfigError as error:
        line = "" if error.line is None else f"line {error.line}: "
        mend = "write a section [DEFAULT] with a line such as 'version = 0.1'"
        yield Problem(CONFIG, line + error.problem, mend)
        return
    except DataError as error:
        yield Problem(CONFIG, str(error), f"make {config} readable")
        return
    if not package.version.is_pep440:
        yield Problem(
            CONFIG,
            f"the version {str(package.version)!r} is not a PEP 440 version, and has no order",
            "write one such as 0.3, 1.2rc1 or 2024.1",
        )
    if licence(package) is None:
        yield Problem(
            CONFIG,
            "no licence: nobody may use the data",
            "add a file LICENSE, and 'license = ' with its SPDX identifier",
            serious=False,
        )
    if citation(package) is None:
        yield Problem(
            CONFIG,
            "nothing says how to cite the data",
            "add a file CITATION.cff, or a line 'citation = '",
            serious=False,
        )


def _contents(base: str, entries: list[_Entry]) -> Iterator[Problem]:
    for entry in entries:
        if entry.unreadable:
            mend = f"make it readable: chmod u+rx {entry.place}"
            yield Problem(entry.path, f"cannot be listed: {entry.unreadable}", mend)
        elif entry.is_directory:
            if os.path.islink(entry.place):
                mend = "replace the link by a copy of the directory"
                yield Problem(entry.path, "a link to a directory, which is not followed", mend)
        elif entry.path != CONFIG:
            problem = _content(base, entry)
            if problem is not None:
                yield problem


def _content(base: str, entry: _Entry) -> Problem | None:
    """Return what is wrong with one file of data."""
    state = content_state(entry.place)
    if state == "absent" or (state == "file" and is_pointer(entry.place)):
        problem = "the content of this annexed file is not here"
        return Problem(entry.path, problem, f"fetch it: {annex_command(entry.place)}")
    if state == "dangling":
        mend = "replace the link by the file, or remove it"
        return Problem(entry.path, f"a link that leads nowhere: {_target(entry.place)}", mend)
    if state != "file":
        return Problem(entry.path, "not a file that can be packed", "remove it")
    if os.path.islink(entry.place) and not _stays_inside(base, entry.place):
        mend = "replace the link by a copy of the file"
        return Problem(entry.path, f"a link that leads outside: {_target(entry.place)}", mend)
    try:
        with open(entry.place, "rb") as file:
            file.read(1)
        problem = image_problem(entry.place)
    except OSError as error:
        mend = f"make it readable: chmod u+r {entry.place}"
        return Problem(entry.path, f"cannot be read: {_reason(error)}", mend)
    if not problem:
        return None
    # Other programs have other formats with these two endings.
    serious = not entry.path.lower().endswith((".img", ".img.gz"))
    return Problem(entry.path, problem, "replace it by an intact copy, or remove it", serious)


def _target(link: str) -> str:
    return os.readlink(link)


def _stays_inside(base: str, link: str) -> bool:
    """Return whether a link leads into the package, or to the annex that the package is in."""
    real = os.path.realpath(link)
    parts = real.split(os.sep)
    if ".git" in parts and "annex" in parts and "objects" in parts:
        return True
    return real.startswith(os.path.realpath(base).rstrip(os.sep) + os.sep)


def _registry(base: str, entries: list[_Entry]) -> Iterator[Problem]:
    """Say what is wrong with what a thin package promises."""
    try:
        registry = read_registry(base)
    except ConfigError as error:
        line = "" if error.line is None else f"line {error.line}: "
        yield Problem(REGISTRY, line + error.problem, "correct it: PATH HASH [URL...]")
        return
    if registry is None or not registry.entries:
        return
    if not names_registry(_text(pjoin(base, CONFIG))):
        problem = f"does not name {REGISTRY}: what is fetched into a user's cache is not found"
        yield Problem(CONFIG, problem, f"add to [DEFAULT] the line 'registry = {REGISTRY}'")
    homeless = next((entry for entry in registry.entries.values() if not entry.urls), None)
    if homeless is not None:
        try:
            urls_of(registry, homeless)
        except ConfigError as error:
            path = os.path.basename(error.path)
            line = "" if error.line is None else f"line {error.line}: "
            mend = f"add to [DEFAULT] of {CONFIG} a line 'url = https://...', or a URL to the line"
            yield Problem(path, line + error.problem, mend)
    for entry in entries:
        if entry.path in registry.entries and not entry.is_directory:
            difference = _difference(registry, entry)
            if difference:
                mend = f"replace it by what was promised, or correct the line of {REGISTRY}"
                yield Problem(entry.path, difference, mend)


def _text(config: str) -> str:
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # which `_config` tells
        return ""


def _difference(registry: Registry, entry: _Entry) -> str:
    """Return how a file that is here differs from what was promised; empty if it does not."""
    try:
        promise = registry.entries[entry.path]
        return promise.difference("it", hash_file(entry.place, promise.algorithm))
    except OSError:  # which `_content` tells
        return ""


def _unfetched(base: str, entries: list[_Entry]) -> Iterator[_Entry]:
    """Yield the promised files that are not here, which have names like any other."""
    here = {entry.path for entry in entries}
    with suppress(ConfigError):  # which `_registry` tells
        registry = read_registry(base)
        for path in () if registry is None else registry.entries:
            if path not in here:
                yield _Entry(path, "")


def _names(entries: list[_Entry]) -> Iterator[Problem]:
    for entry in entries:
        problem = name_problem(entry.path.rpartition("/")[2])
        if problem:
            yield Problem(entry.path, problem, "rename it")
        if len(entry.path) > LONGEST_PATH:
            problem = f"its path has {len(entry.path)} characters; Windows allows 260 in all"
            mend = f"shorten its path to {LONGEST_PATH} or less"
            yield Problem(entry.path, problem, mend, serious=False)
    for first, second in twins(entry.path for entry in entries if not entry.unreadable):
        problem = f"on Windows and macOS this is the same name as {first!r}"
        yield Problem(second, problem, "rename one of the two")


def _described(layout: Layout, entries: list[_Entry]) -> Iterator[Problem]:
    for entry in entries:
        stem = entry.path.split(".")[0].lower()
        if not entry.is_directory and entry.path != CONFIG and stem not in _DESCRIBING:
            return
    problem = "the package has no data yet"
    yield Problem(CONFIG, problem, f"put the data into {layout.package}", serious=False)


def _manifest(layout: Layout, entries: list[_Entry]) -> Iterator[Problem]:
    """Compare the manifest with what is here: building writes it anew."""
    top = layout.top or distribution_around(layout.package) or layout.package
    mend = f"nibabel-data build {shlex.quote(top)} writes it anew"
    try:
        hashes = read_manifest(layout.package)
    except ConfigError as error:
        yield Problem(MANIFEST, f"{error.problem}", mend, serious=False)
        return
    if hashes is None:
        return
    files = {entry.path: entry.place for entry in entries if not entry.is_directory}
    differing = len(files.keys() ^ hashes.keys())
    if differing:
        problem = f"stale: {differing} of the names in it and of those here are not in both"
        yield Problem(MANIFEST, problem, mend, serious=False)
    both = {path: place for path, place in files.items() if path in hashes}
    changed = sorted(_changed(layout.package, both, hashes))
    if changed:
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        problem = f"stale: it has another hash for {changed[0]}{more}"
        yield Problem(MANIFEST, problem, mend, serious=False)


def _changed(base: str, files: dict[str, str], hashes: dict[str, str]) -> Iterator[str]:
    """Yield the files that have another hash; those that have not changed are not read again."""
    stamps = Stamps(base)

    def has_changed(item: tuple[str, str]) -> bool:
        path, place = item
        try:
            status = os.stat(place)
            digest = stamps.known(path, status)
            if digest is None and stat.S_ISREG(status.st_mode):
                digest = hash_file(place)
                stamps.remember(path, digest, status)
        except OSError:  # which `_content` tells
            return False
        return digest not in (None, hashes[path])

    stamps.known("", None)  # reads what is known here, not in several threads at once
    for path, changed in zip(files, in_threads(has_changed, files.items()), strict=True):
        if changed:
            yield path
    stamps.save()


def _distribution(layout: Layout, top: str, entries: list[_Entry]) -> Iterator[Problem]:
    try:
        project = read_pyproject(top)
    except ConfigError as error:
        yield Problem(_PYPROJECT, error.problem, "correct it (https://toml.io)")
        return
    if project is None:
        return  # a classic setup.py, or building makes one
    backend = build_backend(project)
    if backend.startswith("setuptools"):
        return
    if backend != "hatchling.build":
        problem = f"nibabel-data cannot build with {backend}, only with hatchling and setuptools"
        mend = f"build it with: python -m build {top}"
        yield Problem(_PYPROJECT, problem, mend, serious=False)
        return
    named = table(project, "project").get("license")
    if isinstance(named, str) and licence_expression(named) == "":
        yield Problem(
            _PYPROJECT,
            f"the licence {named!r} is no SPDX expression: hatchling does not build it",
            "write one of https://spdx.org/licenses, or LicenseRef-NAME for one of your own",
        )
    build = table(project, "tool", "hatch", "build")
    wheel = table(build, "targets", "wheel")
    if not _is_shared(table(wheel, "shared-data"), layout.relpath):
        yield Problem(
            _PYPROJECT,
            f"the wheel would not install {layout.relpath}: shared-data does not name it",
            "add, below [tool.hatch.build.targets.wheel.shared-data], the line "
            f'"{layout.relpath}" = "share/nipy/{layout.relpath}"',
        )
    if not wheel.get("ignore-vcs", build.get("ignore-vcs", False)):
        yield from _hidden_by_git(layout, top, entries)


def _is_shared(shared: dict[str, Any], relpath: str) -> bool:
    """Return whether hatchling's ``shared-data`` puts the package where it is searched for."""
    for source, target in shared.items():
        begin = posixpath.normpath(source)
        if begin == ".":
            inside = relpath
        elif f"{relpath}/".startswith(f"{begin}/"):
            inside = relpath[len(begin) :]
        else:
            continue
        if posixpath.normpath(f"{target}/{inside}") == f"share/nipy/{relpath}":
            return True
    return False


def _hidden_by_git(layout: Layout, top: str, entries: list[_Entry]) -> Iterator[Problem]:
    """Say which files hatchling would leave out because git ignores them."""
    mend = "write 'ignore-vcs = true' below [tool.hatch.build]"
    names = [f"{layout.relpath}/{entry.path}" for entry in entries if not entry.is_directory]
    ignored = _ignored_by_git(top, names)
    if ignored:
        problem = (
            f"the wheel would lack {counted(len(ignored), 'file')} that git ignores: {ignored[0]}"
        )
        problem += " and others" if len(ignored) > 1 else ""
        yield Problem(_PYPROJECT, problem, mend)
    elif ignored is None and os.path.exists(pjoin(top, ".gitignore")):
        problem = "the wheel lacks the files that .gitignore names"
        yield Problem(_PYPROJECT, problem, mend, serious=False)


def _ignored_by_git(top: str, names: list[str]) -> list[str] | None:
    """Return those of the names that git ignores; None if there is no git to say so."""
    git = shutil.which("git")
    if git is None:
        return None
    # --no-index: hatchling reads .gitignore, and does not know which files are tracked.
    command = [git, "-C", top, "check-ignore", "--no-index", "--stdin", "-z"]
    asked = b"".join(os.fsencode(name) + b"\0" for name in names)
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode not in (0, 1):  # not a repository
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
