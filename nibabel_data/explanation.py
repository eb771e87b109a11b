"""`explain`: what was asked, what each root holds, and what to do next.

The text of every `DataError` about a package comes from here, so that the exception, the command
line and ``--json`` say the same.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from os.path import join as pjoin
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ini
from .datasource import CONFIG, read_version
from .definition import DEFAULT_INSTALL_HINT, version_suits
from .errors import ConfigError, DataError
from .files import MANIFEST
from .packagedef import PackageDef
from .packages import package_names
from .searchpath import root_state, search_path
from .table import aligned, printable
from .version import DataVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .adapters.source import AdapterDatasource
    from .definition import Definition
    from .roots import Root
    from .searchpath import DataPath

__all__ = ["Explanation", "Finding", "explain"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one root holds of the package that was asked for.

    Parameters
    ----------
    root : Root
        The root, with its origin.
    state : str
        ``found``; ``shadowed`` (good, but another was found before); ``wrong version``;
        ``malformed`` (its ``config.ini``); ``no config.ini``; ``empty`` (a directory without
        files); ``unreadable`` (no permission); ``broken`` (a link that leads nowhere, or in a
        circle); ``not a directory``; ``too deep`` (the root is the package itself,
        or a directory on the way to it); ``nothing``; ``not searched`` (the root itself is not
        usable); ``absent`` (another tool knows it, but has not fetched it).
    detail : str
        The same for people, with versions, lines and reasons.
    path : pathlib.Path or None
        Where the package is, or would be.
    version : DataVersion or None
        Its version, if it could be read.
    adapted : AdapterDatasource or None
        The data themselves, if another tool holds them.
    """

    root: Root
    state: str
    detail: str
    path: Path | None = None
    version: DataVersion | None = None
    adapted: AdapterDatasource | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was asked, and what each root of the search path holds of it.

    Parameters
    ----------
    definition : PackageDef
        What was asked.
    findings : tuple of Finding
        One for each root, in the order of the search; then one for each place where the adapter
        looks to which the name belongs.
    near : tuple of str
        Packages of a similar name, where none of this name is there.
    """

    definition: PackageDef
    findings: tuple[Finding, ...]
    near: tuple[str, ...] = ()

    @property
    def found(self) -> Finding | None:
        """The finding that `make_datasource` returns, or None."""
        return next((finding for finding in self.findings if finding.state == "found"), None)

    @property
    def damaged(self) -> Finding | None:
        """Where it is installed but cannot be used, as its ``config.ini`` is lost or damaged.

        None if it is found, or no directory of the name has a manifest, which `verify` compares and
        by which `remove` removes.
        """
        if self.found is not None:
            return None
        lost = (f for f in self.findings if f.state in ("malformed", "no config.ini"))
        return next((f for f in lost if f.path and os.path.isfile(f.path / MANIFEST)), None)

    def headline(self) -> str:
        """Return the answer in one line.

        Returns
        -------
        str
            Where it is, or that it is not there.
        """
        found, asked = self.found, self.definition
        if found is not None:
            version = found.version or "(version not stated)"
            place = printable(str(found.path))
            return f"{asked.relpath} {version} is at {place} ({found.root.origin})"
        versions = f" (version {asked.wanted})" if asked.wanted else ""
        return f"no data package {asked.relpath!r}{versions} on the data path"

    def next_steps(self) -> list[str]:
        """Return what a person can do.

        Returns
        -------
        list of str
            A paragraph each; none if the package was found.
        """
        if self.found is not None:
            return []
        asked = self.definition
        steps = []
        inside = [name for name in self.near if asked.relpath.startswith(f"{name}/")]
        if inside:
            steps.append(f"{inside[0]} is the package; what follows is a path inside it.")
        elif self.near:
            steps.append(f"Did you mean {' or '.join(map(printable, self.near))}?")
        if asked.name:
            steps.append(f'You may need the package "{asked.name}".')
        if asked.install_hint and asked.install_hint != DEFAULT_INSTALL_HINT:
            steps.append(asked.install_hint)
        steps.append(f"Next: {self._next_command()}")
        return steps

    def _next_command(self) -> str:
        asked = self.definition
        again = f"nibabel-data find {_quoted(str(self.definition))}"
        by_state = {finding.state: finding for finding in reversed(self.findings)}
        absent = by_state["absent"].adapted if "absent" in by_state else None
        if absent is not None and absent.package.fetch:
            return f"fetch it with the tool that holds it\n\n    {absent.package.fetch}"
        if "malformed" in by_state:
            config = pjoin(str(by_state["malformed"].path), CONFIG)
            return f"mend {config}, then\n\n    {again}"
        if "unreadable" in by_state:
            path = _quoted(str(by_state["unreadable"].path))
            return f"ask for permission to read it\n\n    ls -ld {path}"
        if self.damaged is not None:
            return (
                f"{self.damaged.path} was installed, and has lost its {CONFIG}: install it again; "
                f"to see what else is lost\n\n    nibabel-data verify {_quoted(asked.relpath)}"
            )
        if "wrong version" in by_state:
            return f"install a version {self.definition.wanted}, then\n\n    {again}"
        for name in self.near:
            if self.definition.relpath.startswith(f"{name}/"):
                part = _quoted(self.definition.relpath[len(name) + 1 :])
                return f"name the two apart\n\n    nibabel-data find {_quoted(name)} {part}"
        if "too deep" in by_state:
            above = _root_above(by_state["too deep"].root, self.definition.relpath)
            return f"name the directory above\n\n    nibabel-data config add {_quoted(above)}"
        if self.findings and all(f.root.origin.kind == "argument" for f in self.findings):
            return f"if you have it, name the directory that holds {self._name()} in data_path"
        if {finding.root.state for finding in self.findings} & {"malformed", "unreadable"}:
            return "mend what stands in the way\n\n    nibabel-data doctor"
        return (
            f"if you have it, add the directory that holds {self._name()}\n\n"
            "    nibabel-data config add DIRECTORY"
        )

    def _name(self) -> str:
        return repr(self.definition.relpath)

    def text(self) -> str:
        """Return everything, for people.

        Returns
        -------
        str
            The answer, each root, and the next steps.
        """
        lines = [self.headline(), ""]
        if self.findings:
            lines.append("Searched, in order:")
            rows = [
                (f"{finding.root.path or '-'}", str(finding.root.origin), finding.detail)
                for finding in self.findings
            ]
            lines.extend("  " + line for line in aligned(rows))
        else:
            lines.append("Searched nothing: the data path is empty.")
        for step in self.next_steps():
            lines.extend(["", step])
        return "\n".join(lines)

    def error(self) -> DataError:
        """Return the error that says this, and holds it.

        Returns
        -------
        DataError
            To be raised where the package is needed.
        """
        error = DataError(self.text())
        error.explanation = self
        return error

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that `json` can write.

        Returns
        -------
        dict
            ``asked``, ``found``, ``searched``, ``near`` and ``next``.
        """
        found = self.found
        return {
            "asked": asdict(self.definition),
            "found": None if found is None else _as_dict(found),
            "searched": [_as_dict(finding) for finding in self.findings],
            "near": list(self.near),
            "next": self.next_steps(),
        }

    def __str__(self) -> str:
        return self.text()


def explain(pkg_def: Definition, data_path: DataPath | None = None) -> Explanation:
    """Return why a data package is found where it is, or why it is not.

    Parameters
    ----------
    pkg_def : str, dict or PackageDef
        As for `make_datasource`.
    data_path : str, os.PathLike or a sequence of them, optional
        As for `make_datasource`.

    Returns
    -------
    Explanation
        What each root holds; ``print`` shows it.

    Raises
    ------
    DefinitionError
        If `pkg_def` makes no sense.

    Examples
    --------
    >>> answer = explain('nipy/templates', data_path='/no/such/root')
    >>> answer.found is None, answer.findings[0].detail
    (True, 'no such directory')
    """
    asked = PackageDef.of(pkg_def)
    if data_path is not None and not isinstance(data_path, str | os.PathLike):
        data_path = tuple(data_path)
    roots = search_path(data_path)
    inspected = [_inspect(root, asked) for root in roots]
    if data_path is None:
        inspected += _adapted(asked)
    findings: list[Finding] = []
    for finding in inspected:
        if finding.state == "found" and any(f.state == "found" for f in findings):
            finding = Finding(
                finding.root,
                "shadowed",
                f"{finding.detail}, shadowed by the one above",
                finding.path,
                finding.version,
            )
        findings.append(finding)
    leftover = ("empty", "no config.ini", "not a directory")
    missing = ("nothing", "too deep", "not searched", *leftover)
    nowhere = all(finding.state in missing for finding in findings)
    near = _near(asked.relpath, roots, data_path is None) if nowhere else ()
    return Explanation(asked, tuple(findings), near)


def _adapted(asked: PackageDef) -> Iterator[Finding]:
    """Yield what other tools hold of a package, and where its adapter looked for it."""
    from .adapters.registry import normal, search, suits
    from .adapters.source import AdapterDatasource
    from .roots import Origin, Root

    for searched in search(asked.relpath, warn=False):
        place = searched.place
        if place is None:
            root = Root(None, Origin("plug-in", searched.adapter), "malformed", searched.problem)
            yield Finding(root, "not searched", searched.problem)
            continue
        origin = Origin("adapter", f"{searched.adapter} ({place.source})")
        if place.path is None:
            root = Root(None, origin, "missing", f"{place.source} is not set")
            yield Finding(root, "not searched", root.problem)
            continue
        root = Root(place.path, origin, *root_state(str(place.path)))
        here = searched.packages if "/" in normal(asked.relpath) else ()  # not all of the tool's
        if not here:
            state = "nothing" if root.state == "searched" else "not searched"
            yield Finding(root, state, root.problem or "not here")
        for package in here:
            version = package.data_version
            state, detail = "found", f"version {version}" if version else "version not stated"
            if package.absent:
                state, detail = "absent", package.note
            elif not suits(package, asked.min_version, asked.version):
                state, detail = "wrong version", f"{detail}, but {asked.wanted} is needed"
            adapted = AdapterDatasource(package, place)
            yield Finding(root, state, detail, package.path, version, adapted)


def _inspect(root: Root, asked: PackageDef) -> Finding:
    if root.path is None:
        return Finding(root, "not searched", root.problem)
    base = pjoin(str(root.path), asked.relpath.replace("/", os.sep))
    path, config = Path(base), pjoin(base, CONFIG)
    if root.state != "searched" and not os.path.isdir(root.path):
        return Finding(root, "not searched", root.problem, path)
    try:
        text, _ = ini.read_text(config)
        version = read_version(text, config)
    except ConfigError as error:
        place = f"malformed {CONFIG}" + (f" line {error.line}" if error.line else "")
        return Finding(root, "malformed", f"{place}: {error.problem}", path)
    except OSError as error:
        state, detail = _without_config(base, error)
        above = _root_above(root, asked.relpath) if state == "nothing" else ""
        if above:
            state, detail = "too deep", f"not here: it is below {above}, which is to be named"
        return Finding(root, state, detail, path)
    if not version_suits(version, asked.min_version, asked.version):
        detail = f"version {version}, but {asked.wanted} is needed"
        return Finding(root, "wrong version", detail, path, version)
    return Finding(root, "found", f"version {version}", path, version)


def _without_config(base: str, error: OSError) -> tuple[str, str]:
    """Return state and detail of a package whose ``config.ini`` could not be opened."""
    if isinstance(error, PermissionError):
        return "unreadable", f"no permission to read {pjoin(base, CONFIG)}"
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return "broken", (error.strerror or str(error)).lower()
    try:
        names = os.listdir(base)
    except FileNotFoundError:
        if os.path.islink(base):
            return "broken", f"a link to {os.path.realpath(base)}, which does not exist"
        return "nothing", "not here"
    except NotADirectoryError:
        return "not a directory", "not a directory"
    except PermissionError:
        return "unreadable", f"no permission to read {base}"
    except OSError as reason:
        return "broken", (reason.strerror or str(reason)).lower()
    if not names:
        return "empty", "an empty directory (left behind by an uninstall?)"
    if os.path.islink(pjoin(base, CONFIG)):
        return "no config.ini", f"{CONFIG} is a link that leads nowhere"
    return "no config.ini", f"a directory without a {CONFIG}"


def _root_above(root: Root, relpath: str) -> str:
    """Return the root that was meant, if `root` leads to the package or part of the way to it."""
    path, parts = Path(root.path or ""), relpath.split("/")
    for depth in range(1, len(parts) + 1):
        here = list(path.parts[-depth:]) == parts[:depth]
        if here and os.path.isfile(path.joinpath(*parts[depth:], CONFIG)):
            return str(path.parents[depth - 1])
    return ""


def _near(relpath: str, roots: Iterable[Root], adapters: bool) -> tuple[str, ...]:
    import difflib

    paths = [root.path for root in roots if root.path is not None]
    names = package_names(paths)
    if adapters:
        from .adapters.registry import search

        tool = search(relpath.partition("/")[0], warn=False)
        names += [package.relpath for searched in tool for package in searched.packages]
    names = [name for name in names if name != relpath]
    near = [name for name in names if relpath.startswith(f"{name}/")]
    near += difflib.get_close_matches(relpath, names, n=3, cutoff=0.75)
    last = relpath.rsplit("/", 1)[-1]
    same = [name for name in names if name.rsplit("/", 1)[-1] == last and name not in near]
    return tuple(dict.fromkeys([*near, *same]))[:3]


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _as_dict(finding: Finding) -> dict[str, Any]:
    root = finding.root
    return {
        "root": None if root.path is None else str(root.path),
        "origin": {**asdict(root.origin), "text": str(root.origin)},
        "state": finding.state,
        "detail": finding.detail,
        "path": None if finding.path is None else str(finding.path),
        "version": None if finding.version is None else str(finding.version),
    }
