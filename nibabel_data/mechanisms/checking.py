"""What is wrong with a package of mechanisms before it is published, and the mend of each.

Each source goes through NEURON's own ``nocmodl``, under the name that it will have, and through
``modlunit``, which tells of units.  Neither is imported nor run in this process.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from ..datasource import CONFIG, VersionedDatasource
from ..errors import BuildError, DataError, MechanismError
from ..package.check import Problem
from ..package.check import check_package as check_data_package
from ..package.layout import Layout, find_layout
from .building import translate
from .collected import BUILDS, KIND, read_collection
from .including import included_files
from .mechanism import Mechanism, MechanismPackage
from .names import is_full_name, package_identifier, split_name, split_stem
from .source import Prepared, prepare
from .toolchain import Neuron, find_neuron

__all__ = ["check_mechanisms", "check_package"]

_SECONDS = 60
_VALENCES = {"na": 1, "k": 1, "ca": 2}  # which NEURON gives its own


def check_package(directory: str | os.PathLike[str] = ".") -> list[Problem]:
    """Return everything that is wrong with a package of mechanisms.

    That is what `nibabel_data.package.check.check_package` says of any data package, and what
    `check_mechanisms` says of the files in it.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        A distribution directory, with one ``<project>/<package>`` in it, or a package's directory.

    Returns
    -------
    list of Problem
        Sorted by path, the serious ones first; empty if all is well.

    Examples
    --------
    >>> [one.problem for one in check_package('examples/nipy-examplepkg')]
    ['it is no package of mechanisms: kind is not mechanisms', 'there is no mechanism in it yet']
    """
    found = check_data_package(directory)
    try:
        layout = find_layout(directory)
    except DataError:  # which has been told
        return found
    prefix = f"{layout.relpath}/" if layout.top else ""
    below = [*_config(layout), *_files(layout)]
    package = read_collection(_name(layout), layout.relpath, layout.package, "", "data package", [])
    if not package.mechanisms:
        found = [p for p in found if not p.problem.endswith("has no data yet")]  # which this says
        mend = "put one there: nibabel-data mech add FILE.mod"
        below.append(Problem(CONFIG, "there is no mechanism in it yet", mend, serious=False))
    else:
        below += check_mechanisms(package)
    found += [
        Problem(posixpath.normpath(prefix + p.path), p.problem, p.mend, p.serious) for p in below
    ]
    return sorted(found, key=_order)


def check_mechanisms(package: MechanismPackage) -> list[Problem]:
    """Return everything that is wrong with the mechanisms of a package, of whatever format.

    Parameters
    ----------
    package : MechanismPackage
        As `nibabel_data.mechanisms.package` returns it, for example.

    Returns
    -------
    list of Problem
        Sorted by path, the serious ones first; paths are below the package's `root`.

    Examples
    --------
    >>> from nibabel_data.mechanisms.builtin import builtin_package
    >>> check_mechanisms(builtin_package())
    []
    """
    mechanisms = [one for one in package.mechanisms if one.path]
    found = list(_duplicates(package))
    neuron, why = _neuron()
    if mechanisms and neuron is None:
        found.append(
            Problem(
                ".",
                f"the sources were not translated: {why}",
                "pip install 'nibabel-data[neuron]', and check again",
                serious=False,
            )
        )
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda one: _checked(one, package.root, neuron), mechanisms)
        sources = []
        for mechanism, (source, told) in zip(mechanisms, results, strict=True):
            found += told
            if source is not None and mechanism.dialect != "arbor":
                sources.append((mechanism, source))
    found += _valences(sources, package.root)
    for_arbor = sum(one.dialect == "arbor" for one in mechanisms)
    if for_arbor:
        files = "file is" if for_arbor == 1 else "files are"
        found.append(
            Problem(
                ".",
                f"{for_arbor} {files} for Arbor, whose translator modcc was not asked",
                f"nibabel_data.mechanisms.catalogue({package.name!r}) builds them",
                serious=False,
            )
        )
    return sorted(found, key=_order)


def _order(problem: Problem) -> tuple[bool, str, str]:
    return not problem.serious, problem.path, problem.problem


def _config(layout: Layout) -> Iterator[Problem]:
    try:
        config = VersionedDatasource(layout.package).config.defaults()
    except DataError:  # which `check_data_package` tells
        return
    if config.get("kind", "").lower() != KIND:
        mend = f"add to [DEFAULT] the line 'kind = {KIND}'"
        yield Problem(CONFIG, f"it is no package of mechanisms: kind is not {KIND}", mend)
    named = config.get("mechanisms_name")
    try:
        if named and package_identifier(named) != named:
            problem = f"mechanisms_name is {named!r}, and is taken for {package_identifier(named)}"
            mend = f"write 'mechanisms_name = {package_identifier(named)}'"
            yield Problem(CONFIG, problem, mend, serious=False)
    except MechanismError as error:
        yield Problem(CONFIG, str(error), "correct mechanisms_name, or remove the line")


def _name(layout: Layout) -> str:
    names = [layout.relpath.rpartition("/")[2]]
    try:
        config = VersionedDatasource(layout.package).config.defaults()
        names.insert(0, config.get("mechanisms_name") or "")
    except DataError:  # which `check_data_package` tells
        pass
    for name in names:
        try:
            return package_identifier(name)
        except MechanismError:  # told by `_config`
            continue
    return "unnamed"


def _files(layout: Layout) -> Iterator[Problem]:
    """Say which files are no mechanisms by their names, and which nobody wants."""
    for here, directories, files in os.walk(layout.package):
        inside = os.path.relpath(here, layout.package).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        for name in sorted(set(BUILDS).intersection(directories)):
            problem = "nrnivmodl made it, and it would be published"
            yield Problem(prefix + name, problem, f"remove it: rm -r {here}/{name}", serious=False)
        directories[:] = [d for d in directories if d[0] != "." and d not in BUILDS]
        for name in sorted(files):
            if name[0] == "." or not name.lower().endswith(".mod"):
                continue
            if not name.endswith(".mod"):
                problem = "it is not taken for a mechanism, for its name does not end in .mod"
                yield Problem(prefix + name, problem, f"rename it to {name[:-4]}.mod")
                continue
            try:
                split_stem(name.removesuffix(".mod"))
            except MechanismError as error:
                yield Problem(prefix + name, str(error), "rename it to <asset>__<variant>.mod")


def _duplicates(package: MechanismPackage) -> Iterator[Problem]:
    for first, *others in package.duplicates:
        for one in others:
            also = _below(first.path, package.root)
            if one.path == first.path:
                problem, mend = "it is declared twice", "remove one of the declarations"
            else:
                problem = f"it is {one.asset}, variant {one.variant}, as {also} is"
                mend = "rename one of the two, or remove it"
            yield Problem(_below(one.path, package.root), problem, mend)


def _below(path: str, root: str) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def _neuron() -> tuple[Neuron | None, str]:
    try:
        return find_neuron(), ""
    except MechanismError as error:
        return None, str(error).partition("\n")[0]
    except OSError as error:
        return None, f"NEURON cannot be read: {error}"


def _checked(
    mechanism: Mechanism, root: str, neuron: Neuron | None
) -> tuple[Prepared | None, list[Problem]]:
    """Return the source of one mechanism, if it can be read, and what is wrong with it."""
    path = _below(mechanism.path, root)
    if not os.path.isfile(mechanism.path):
        mend = "put it there, or remove its declaration"
        return None, [Problem(path, "it is declared and is no file", mend)]
    try:
        source = prepare(mechanism)
    except BuildError as error:
        line = f"line {error.line}: " if error.line and error.path == mechanism.path else ""
        problem = line + (error.first_error or str(error).partition("\n")[0])
        if _is_about_include(mechanism.path):
            problem = f"{line}it includes a file that is missing: {error.first_error}"
            return None, [Problem(path, problem, "put that file beside it")]
        return None, [Problem(path, problem, "make the file readable")]
    except MechanismError as error:
        return None, [Problem(path, *_split(str(error), mechanism.path))]
    told = [*_naming(mechanism, source, path), *_headers(mechanism, path, neuron)]
    if neuron is not None and mechanism.dialect != "arbor":
        told += _translated(source, path, neuron)
    return source, told


def _is_about_include(path: str) -> bool:
    try:
        return any(not one.path and not one.in_c for one in included_files(path))
    except MechanismError:
        return False


def _split(message: str, path: str) -> tuple[str, str]:
    """Return problem and mend of an error about names or letters."""
    message = message.removeprefix(f"{path}, ")
    if "ASCII alone" in message:
        return message, "write it in ASCII, or put it into a comment"
    problem, _, mend = message.partition(": choose ")
    return (problem, f"choose {mend}") if mend else (message, "correct it")


def _naming(mechanism: Mechanism, source: Prepared, path: str) -> Iterator[Problem]:
    kind, suffix = source.scanned.kind, source.scanned.suffix
    if mechanism.declared is not None and kind not in (mechanism.declared, "functions"):
        yield Problem(
            path,
            f"it is declared as {mechanism.declared}, and its source is that of a {kind}",
            "correct the declaration; here the kind is always read from the source",
        )
    if suffix and is_full_name(suffix) and suffix != mechanism.name:
        _, asset, variant = split_name(suffix)
        yield Problem(
            path,
            f"its source calls it {suffix}, and it will be {mechanism.name}",
            f"if that is not meant, rename it to {asset}__{variant}.mod, or write the package's "
            f"name as mechanisms_name into {CONFIG}",
            serious=False,
        )


def _headers(mechanism: Mechanism, path: str, neuron: Neuron | None) -> Iterator[Problem]:
    folders = [] if neuron is None else [f"{neuron.root}/include", f"{neuron.root}/include/nrn"]
    folders.append("/usr/include")
    try:
        included = included_files(mechanism.path)
    except MechanismError as error:
        yield Problem(path, str(error), "make it readable")
        return
    for one in included:
        if one.in_c and not one.path and neuron is not None:
            if any(os.path.isfile(os.path.join(folder, one.wanted)) for folder in folders):
                continue
            line = f"line {one.line}: " if one.line and one.by == mechanism.path else ""
            problem = f"{line}{one.wanted!r} is neither beside it nor among NEURON's own headers"
            yield Problem(path, problem, "put it there, if the package is to bring it", False)


def _translated(source: Prepared, path: str, neuron: Neuron) -> Iterator[Problem]:
    """Say what ``nocmodl`` and ``modlunit`` find wrong with a source."""
    with tempfile.TemporaryDirectory(prefix="nibabel-data-check-") as folder:
        try:
            translate(folder, source, neuron)
        except BuildError as error:
            line = f"line {error.line}: " if error.line else ""
            problem = f"{line}{error.first_error or error}"
            yield Problem(path, f"NEURON does not translate it: {problem}", "correct the source")
            return
        except OSError as error:
            yield Problem(path, f"it was not translated: {error}", "make room, and check again")
            return
        if os.path.isfile(neuron.modlunit):
            line_and_text = _unit_error(folder, source, neuron)
            if line_and_text:
                mend = "correct the units; it runs as it is, with numbers that may not be meant"
                yield Problem(path, f"units: {line_and_text}", mend, serious=False)


_REMARKS = ("Checking units of ", "INCLUDEing ")
_AT = re.compile(r"\s*at line (\d+) in file (\S+)")


def _unit_error(folder: str, source: Prepared, neuron: Neuron) -> str:
    """Return the first thing that ``modlunit`` finds; it stops there.

    Its message may have several lines, then the place, the line of the source with a mark, and the
    two units.
    """
    try:
        done = subprocess.run(
            [neuron.modlunit, f"{source.name}.mod"],
            cwd=folder,
            env={**os.environ, "MODLUNIT": neuron.units, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"modlunit did not end: {error}"
    if done.returncode == 0:
        return ""
    lines = [
        line.strip().removeprefix("units:").strip()
        for line in done.stdout.decode("utf-8", "replace").splitlines()
    ]
    lines = [line for line in lines if line and not line.startswith(_REMARKS)]
    said: list[str] = []
    for at, line in enumerate(lines):
        place = _AT.search(line)
        said.append(line[: place.start()] if place else line)
        if place:
            text, *units = lines[at + 1 :] or [""]
            shown = text.replace("<<ERROR>>", "").strip()
            where = f"line {_line_of(shown, source) or place[1]}: "
            if place[2] != f"{source.name}.mod":
                where = f"{place[2]}, line {place[1]}: "
            told = f" ({' and '.join(units)})" if units else ""
            if shown.startswith(
                "NEURON"
            ):  # of a variable of NEURON's own, it names a place at random
                message = " ".join(" ".join(said).split()).rstrip(" .")
                return f"{message} none" if message.endswith("instead of") else message
            return " ".join(f"{where}{' '.join(said).strip()}: {shown}{told}".split())
    return " ".join(" ".join(lines).split()) or f"modlunit ends with {done.returncode}"


def _line_of(text: str, source: Prepared) -> int | None:
    """Return the one line of a source that is `text`: ``modlunit`` counts included lines too."""
    lines = source.files[f"{source.name}.mod"].decode("ascii").split("\n")
    found = [number for number, line in enumerate(lines, 1) if line.strip() == text]
    return found[0] if len(found) == 1 else None


def _valences(sources: Iterable[tuple[Mechanism, Prepared]], root: str) -> Iterator[Problem]:
    """Say where two sources give an ion different valences: NEURON ends the process then."""
    known: dict[str, tuple[float, str]] = {
        ion: (valence, "NEURON itself") for ion, valence in _VALENCES.items()
    }
    for mechanism, source in sources:
        path = _below(mechanism.path, root)
        for ion, valence in source.scanned.ions:
            if valence is None:
                continue
            first, by = known.setdefault(ion, (valence, path))
            if first != valence:
                problem = f"it gives the ion {ion} the valence {valence:g}, and {by} gives it"
                mend = "give the same in both, or use another name for one of the ions"
                yield Problem(path, f"{problem} {first:g}: NEURON cannot have both", mend)
