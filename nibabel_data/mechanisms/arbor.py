"""Catalogues of Arbor: the mechanisms of a package that are for Arbor, built together, kept.

Arbor takes the mechanisms of one package as one library, a catalogue, which its own program
``arbor-build-catalogue`` makes.  That builds all or nothing; here ``modcc``, Arbor's translator, is
given each source alone first (2 ms), so that one that is refused is told of, and the others are
built.  A catalogue stands in ::

    <cache>/mechanisms/arbor-0.12.2-<identity>/<package>-<sources>/<package>-catalogue.so

and is built again when a source changes, or Arbor; not for another compiler, so that a machine
without one uses what there is.

Source: https://docs.arbor-sim.org/en/latest/internals/nmodl.html and ``arbor-build-catalogue`` of
Arbor 0.12.
"""

from __future__ import annotations

import os
import re
import sys
from os.path import join as pjoin

from ..errors import BuildError, DataError, MechanismError, ResolveError, warn
from . import names, ranks, store
from .discovery import discover, package, serving
from .source import prepare
from .toolchain import find_compiler, which

__all__ = ["CatalogueReport", "arbor_mod_name", "build_catalogue", "catalogue", "tag"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .discovery import Mechanism, MechanismPackage
    from .source import Prepared

INSTALL = "pip install 'nibabel-data[arbor]'"
_FORM = "catalogue 1"
"""Changed when what is built from the same sources, or recorded, changes."""
_GPUS = ("cuda", "hip", "cuda-clang")
_SECONDS_OF_MODCC = 120


class CatalogueReport:
    """What `build_catalogue` did.

    Attributes
    ----------
    path : str
        The library, for ``arbor.load_catalogue``.
    built : tuple of str
        The names that Arbor knows, sorted.
    failed : dict of MechanismError
        By the name that Arbor would know, why it is not there.
    """

    __slots__ = ("built", "failed", "path")

    def __init__(
        self, path: str, built: tuple[str, ...], failed: dict[str, MechanismError]
    ) -> None:
        self.path = path
        self.built = built
        self.failed = failed

    def __repr__(self) -> str:
        return f"<CatalogueReport: {len(self.built)} built, {len(self.failed)} failed>"


def catalogue(name: str, *, jobs: int | None = None, gpu: str | None = None) -> Any:
    """Return the mechanisms of a package as a catalogue of Arbor, built if need be.

    A `DataWarning` tells of those that cannot be built.

    Parameters
    ----------
    name : str
        The package, such as ``dbbs``, or ``dbbs@dbbs-catalogue`` for the one that comes from there.
    jobs : int, optional
        How many to compile at once; the number of cores if not given.
    gpu : str, optional
        ``cuda``, ``hip`` or ``cuda-clang``; what Arbor itself is built for if not given.

    Returns
    -------
    arbor.catalogue
        Its mechanisms have the names of `arbor_mod_name`.

    Raises
    ------
    ResolveError
        If there is no such package, or it has nothing for Arbor.
    BuildError
        If nothing of it builds, or a program that builds is missing.
    MechanismError
        If Arbor is not installed, or does not take what was built.
    """
    arbor = _imported()
    report = build_catalogue(name, jobs=jobs, gpu=gpu)
    if report.failed and ranks.ranks().rank == 0:
        warn(
            f"{len(report.failed)} mechanisms of {name} are not in its catalogue for Arbor:\n"
            f"{_list(report.failed)}\nThe other {len(report.built)} are not affected."
        )
    try:
        return arbor.load_catalogue(report.path)
    except (RuntimeError, OSError) as error:
        raise MechanismError(
            f"Arbor cannot load {report.path}, which was built from {name}: {error}\n"
            "Build it again:  nibabel-data mech cache --clear"
        ) from error


def build_catalogue(
    name: str, *, jobs: int | None = None, gpu: str | None = None
) -> CatalogueReport:
    """Build the catalogue of a package, if that has not been done, without loading it.

    Under MPI every rank calls it: rank 0 builds, the others find what it has built (or build, where
    they do not see its cache), and where one fails all do.

    Parameters
    ----------
    name, jobs, gpu
        As in `catalogue`.

    Returns
    -------
    CatalogueReport
        The library, what is in it, and what is not, and why.

    Raises
    ------
    ResolveError, BuildError, MechanismError
        As `catalogue`.
    """
    among = ranks.ranks()
    report: CatalogueReport | None = None
    for first in (True, False) if among.size > 1 else (True,):
        problem: DataError | None = None
        if (among.rank == 0) is first:
            try:
                report = _build_here(name, jobs, gpu)
            except DataError as error:
                problem = error
        ranks.agree(problem)
    assert report is not None
    return report


def arbor_mod_name(mechanism: Mechanism) -> str:
    """Return the name by which Arbor knows a mechanism: as Glia has it, without the package.

    Examples
    --------
    >>> from nibabel_data.mechanisms import Mechanism
    >>> [arbor_mod_name(Mechanism('dbbs', 'Na', v, 'Na.mod')) for v in ('0', 'granule_cell')]
    ['Na', 'Na_granule_cell']
    """
    if mechanism.variant == names.DEFAULT_VARIANT:
        return mechanism.asset
    return f"{mechanism.asset}_{mechanism.variant}"


def tag() -> str:
    """Return the name of the directory of what is built for the Arbor that Python would import.

    Raises
    ------
    MechanismError
        If Arbor is not installed.
    """
    return _Arbor(None).tag


def _build_here(name: str, jobs: int | None, gpu: str | None) -> CatalogueReport:
    wanted = package(name)
    mechanisms = [one for one in serving(wanted, "arbor") if one.path]
    if not mechanisms:
        raise ResolveError(_nothing_for_arbor(wanted))
    tools = _Arbor(gpu)
    sources, failed = _prepared(mechanisms)
    for stem, (line, first) in _judged(sources, tools, wanted.name).items():
        failed[stem] = _refusal(sources.pop(stem), wanted.name, line, first)
    if not sources:
        raise _none_left(wanted, failed)
    file = f"{wanted.name}-catalogue.so"
    place = pjoin(tools.tag, f"{wanted.name}-{_digest(sources, gpu)}")

    def make(staged: str) -> dict[str, object]:
        refused = _make(staged, file, wanted, sources, tools, jobs)
        return {
            "arbor": tools.version,
            "mechanisms": sorted(sources.keys() - refused.keys()),
            "refused": {stem: error.first_error for stem, error in refused.items()},
        }

    path = store.obtain(place, file, make)
    told = store.record(path)
    for stem, first in told["refused"].items():
        failed[stem] = _refusal(sources[stem], wanted.name, None, first)
    return CatalogueReport(path, tuple(told["mechanisms"]), failed)


class _Arbor:
    """The parts of Arbor that build: found without importing it."""

    def __init__(self, gpu: str | None) -> None:
        from importlib.util import find_spec

        spec = find_spec("arbor")
        if spec is None or not spec.origin:
            raise MechanismError(
                f"Arbor is not installed in this environment.\nInstall it:  {INSTALL}"
            )
        folder = os.path.dirname(spec.origin)
        prefix = os.path.abspath(pjoin(folder, *[os.pardir] * 4))
        bins = [pjoin(folder, "bin"), pjoin(prefix, "bin"), os.path.dirname(sys.executable)]
        self.modcc = self._program("modcc", bins)
        self.builder = self._program("arbor-build-catalogue", bins)
        self.gpu = gpu
        if gpu is not None:
            _check_gpu(gpu)
        try:
            with open(pjoin(folder, "VERSION"), encoding="utf-8") as file:
                self.version = file.read().strip()
        except OSError:
            self.version = str(_imported().__version__)
        self.tag = f"arbor-{self.version}-{self._identity(folder)}"

    def _program(self, name: str, bins: list[str]) -> str:
        for folder in bins:
            if os.access(pjoin(folder, name), os.X_OK):
                return pjoin(folder, name)
        looked = "".join(f"  {folder}\n" for folder in bins)
        raise MechanismError(
            f"Arbor is installed, but its program {name} is in none of:\n{looked}"
            f"Install it again:  {INSTALL}"
        )

    def _identity(self, folder: str) -> str:
        import platform
        from hashlib import sha256

        digest = sha256(platform.machine().encode())
        for path in (self.modcc, self.builder):
            with open(path, "rb") as file:
                digest.update(file.read())
        sizes = [
            os.stat(pjoin(folder, name)).st_size
            for name in sorted(os.listdir(folder))
            if name.startswith("_arbor.") and name.endswith((".so", ".dylib"))
        ]
        digest.update(repr(sizes).encode())
        return digest.hexdigest()[:16]

    def environment(self, folder: str, jobs: int | None) -> dict[str, str]:
        """Return the variables for ``arbor-build-catalogue``; `BuildError` if a program is missing.

        It calls cmake and make by name; in make, everything goes on after an error, so that all
        that do not compile are known at once.
        """
        from importlib.util import find_spec

        from .compiling import cores

        bins = [os.path.dirname(sys.executable), os.path.dirname(self.modcc)]
        cmake = find_spec("cmake")
        if cmake is not None and cmake.origin:  # the wheel's, wherever its scripts are
            bins.insert(0, pjoin(os.path.dirname(cmake.origin), "data", "bin"))
        path = os.pathsep.join([*bins, os.environ.get("PATH", os.defpath)])
        for program, install in (
            ("cmake", INSTALL),
            ("make", "apt install make (Debian, Ubuntu), or the like"),
        ):
            if which(program, path) is None:
                raise BuildError(
                    f"a catalogue of Arbor is built with {program}, which is not on PATH.\n"
                    f"Install it:  {install}"
                )
        return {
            **{k: v for k, v in os.environ.items() if k not in ("DESTDIR", "MFLAGS", "MAKELEVEL")},
            "CMAKE_GENERATOR": "Unix Makefiles",
            "CXX": find_compiler(cache=store.cache_directory()).command[0],
            "LC_ALL": "C",
            "MAKEFLAGS": f"-k -j{jobs or cores()}",
            "PATH": path,
            "TMPDIR": folder,
        }


def _imported() -> Any:
    try:
        import arbor
    except ImportError as error:
        raise MechanismError(
            f"Arbor cannot be imported ({error}).\nInstall it:  {INSTALL}"
        ) from error
    return arbor


def _check_gpu(gpu: str) -> None:
    if gpu not in _GPUS:
        raise MechanismError(f"{gpu!r} is no GPU that Arbor knows: {', '.join(_GPUS)}.")
    if not _imported().config()["gpu"]:
        raise MechanismError(
            f"this Arbor was built without a GPU, so that a catalogue for {gpu} is of no use to it."
            "\nBuild Arbor for it: https://docs.arbor-sim.org/en/latest/install/build_install.html"
        )


def _nothing_for_arbor(wanted: MechanismPackage) -> str:
    there = [one.name for one in discover().packages if serving(one, "arbor")]
    return (
        f"{wanted.source} has no mechanism for Arbor, only for NEURON.\n"
        f"Packages that have: {', '.join(there) or 'none is installed'}."
    )


def _prepared(
    mechanisms: list[Mechanism],
) -> tuple[dict[str, Prepared], dict[str, MechanismError]]:
    """Return the sources by name, and those that cannot be one: no two come under one name."""
    groups: dict[str, list[Mechanism]] = {}
    for mechanism in mechanisms:
        groups.setdefault(arbor_mod_name(mechanism), []).append(mechanism)
    sources: dict[str, Prepared] = {}
    failed: dict[str, MechanismError] = {}
    for stem, group in sorted(groups.items()):
        if len(group) > 1:
            files = " and ".join(one.path for one in group)
            failed[stem] = MechanismError(f"{len(group)} files would be {stem} in Arbor: {files}")
            continue
        try:
            sources[stem] = prepare(group[0], name=stem)
        except MechanismError as error:
            failed[stem] = error
    return sources, failed


def _digest(sources: dict[str, Prepared], gpu: str | None) -> str:
    from hashlib import sha256

    told = [f"{stem} {source.digest}" for stem, source in sorted(sources.items())]
    return sha256("\n".join([_FORM, *told, gpu or ""]).encode()).hexdigest()[:16]


def _refusal_place(source: Prepared, tools: _Arbor) -> str:
    return pjoin(tools.tag, "refused", f"{source.name}-{source.digest[:16]}")


def _judged(
    sources: dict[str, Prepared], tools: _Arbor, of: str
) -> dict[str, tuple[int | None, str]]:
    """Return those that modcc refuses: the line, and its own words; asked once for these sources.

    What it says is kept apart from what is built, so that a change in one that it refuses does not
    build the others again.
    """
    import json
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import suppress

    from ..atomic import replace_file
    from .compiling import cores

    folder = pjoin(store.cache_directory(), tools.tag, "modcc")
    kept = pjoin(folder, f"{of}-{_digest(sources, None)}.json")
    try:
        with open(kept, encoding="utf-8") as file:
            return {stem: (line, str(first)) for stem, (line, first) in json.load(file).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        answers = pool.map(lambda source: _asked_of_modcc(source, tools), sources.values())
        judged = {stem: told for stem, told in zip(sources, answers, strict=True) if told}
    with suppress(OSError):  # what cannot be kept is asked again
        os.makedirs(folder, exist_ok=True)
        replace_file(kept, json.dumps(judged, indent=1).encode())
    return judged


def _asked_of_modcc(source: Prepared, tools: _Arbor) -> tuple[int | None, str] | None:
    import subprocess
    from tempfile import TemporaryDirectory

    try:
        with TemporaryDirectory(prefix="nibabel-data-modcc-") as folder:
            file = pjoin(folder, f"{source.name}.mod")
            with open(file, "xb") as out:
                out.write(source.files[f"{source.name}.mod"])
            command = [tools.modcc, "-t", "cpu", "-N", "arb", "-c", "catalogue", "-o", folder, file]
            result = subprocess.run(
                command, capture_output=True, timeout=_SECONDS_OF_MODCC, check=False
            )
    except subprocess.TimeoutExpired:
        return None, f"modcc does not end in {_SECONDS_OF_MODCC} s"
    except OSError as error:
        raise _cannot_ask(error.filename or "", error.strerror or str(error)) from error
    if result.returncode == 0:
        return None
    if result.returncode == -9:
        raise _cannot_ask(tools.modcc, "it was killed")
    if result.returncode < 0:
        return None, f"modcc ends by signal {-result.returncode}"
    output = (result.stdout + b"\n" + result.stderr).decode("utf-8", "replace")
    line, first = _first_error(output)
    if first.startswith("failure writing"):
        raise _cannot_ask(folder, first)
    return line, first or f"modcc ends with {result.returncode}"


def _cannot_ask(path: str, reason: str) -> BuildError:
    return BuildError(
        f"modcc, Arbor's translator, cannot be run ({path}: {reason.lower()}).\n"
        "Make room, on the disk and in memory, or name another directory in TMPDIR."
    )


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_AT = re.compile(r"error: \S.*?\(line (\d+), ?col \d+\)\s*(\S.*)")
_IN_TRACE = re.compile(r"error trace:\s*(?:\* )?(?:\S.*?\(line (\d+), ?col \d+\)\s*)?(\S.*)")
_PLACE_AGAIN = re.compile(r"\s*\(line \d+, ?col \d+\)\.?$")


def _first_error(output: str) -> tuple[int | None, str]:
    """Return line and text of the first error, in modcc's own words; warnings are passed over."""
    output = _COLOUR.sub("", output)
    found = _AT.search(output) or _IN_TRACE.search(output)
    if found is None:
        return None, next((line.strip() for line in output.splitlines() if line.strip()), "")
    return int(found[1]) if found[1] else None, _PLACE_AGAIN.sub("", found[2]).strip()


def _refusal(source: Prepared, of: str, line: int | None, first: str) -> BuildError:
    where = source.path + (f", line {line}" if line else "")
    return BuildError(
        f"{source.name} does not build for Arbor (package {of}):\n  {where}\n  {first}\n"
        "Mend the file, or ask the package's author to; it is tried again when the file changes.",
        mechanism=source.name,
        path=source.path,
        line=line,
        first_error=first,
    )


def _make(
    staged: str,
    file: str,
    wanted: MechanismPackage,
    sources: dict[str, Prepared],
    tools: _Arbor,
    jobs: int | None,
) -> dict[str, BuildError]:
    """Make the catalogue in a directory; return what modcc takes and the compiler does not."""
    import subprocess

    places = {stem: _refusal_place(source, tools) for stem, source in sources.items()}
    known = {stem: store.refusal(places[stem], stem, sources[stem].path) for stem in sources}
    refused = {stem: error for stem, error in known.items() if error is not None}
    environment = tools.environment(staged, jobs)
    mods = pjoin(staged, "mods")
    os.mkdir(mods)
    for stem in sources.keys() - refused.keys():
        with open(pjoin(mods, f"{stem}.mod"), "xb") as out:
            out.write(sources[stem].files[f"{stem}.mod"])
    command = [sys.executable, tools.builder, wanted.name, "mods", "--quiet"]
    command += ["--cxx", environment["CXX"], *(["--gpu", tools.gpu] if tools.gpu else [])]
    while len(refused) < len(sources):
        result = subprocess.run(
            command, cwd=staged, env=environment, capture_output=True, check=False
        )
        if os.path.isfile(pjoin(staged, file)):
            return refused
        output = (result.stdout + b"\n" + result.stderr).decode("utf-8", "replace")
        wrong = {
            stem: first
            for stem, first in reversed(_COMPILER.findall(output))
            if stem in sources and stem not in refused
        }
        if not wrong or any(map(store.is_circumstance, wrong.values())):
            raise _unexplained(wanted.name, output, result.returncode)
        for stem, first in wrong.items():
            refused[stem] = _refusal(sources[stem], wanted.name, None, first)
            store.remember_refusal(places[stem], refused[stem])
            os.unlink(pjoin(mods, f"{stem}.mod"))
    raise _none_left(wanted, refused)


_COMPILER = re.compile(
    r"^\S*?(\w+?)(?:_cpu\.cpp|_gpu\.cpp|_gpu\.cu|\.hpp):\d+:(?:\d+:)? (?:fatal )?error: (.*)$",
    re.MULTILINE,
)
_PLAIN_ERROR = re.compile(r"^.*\b(?:[Ee]rror|No space left|undefined reference)\b.*$", re.MULTILINE)


def _unexplained(name: str, output: str, code: int) -> BuildError:
    found = _PLAIN_ERROR.search(output)
    first = found[0].strip() if found else (output.strip().splitlines() or [f"exit {code}"])[-1]
    return BuildError(
        f"the catalogue of {name} for Arbor does not build:\n  {first}\n"
        "It is no fault of one mechanism.  Is there room on the disk, and do the compiler and "
        "cmake work?",
        first_error=first,
    )


def _list(failed: Mapping[str, MechanismError]) -> str:
    lines = []
    for stem, error in failed.items():
        path, line = getattr(error, "path", ""), getattr(error, "line", None)
        first = getattr(error, "first_error", "") or str(error).partition("\n")[0]
        where = f"{path}, line {line}: " if line else f"{path}: " if path else ""
        lines.append(f"  {stem}: {where}{first}")
    return "\n".join(lines)


def _none_left(wanted: MechanismPackage, failed: Mapping[str, MechanismError]) -> BuildError:
    first = next(iter(failed.values()))
    return BuildError(
        f"none of the {len(failed)} mechanisms of {wanted.source} for Arbor builds:\n"
        f"{_list(failed)}\nThey are tried again when their files change.",
        path=getattr(first, "path", ""),
        line=getattr(first, "line", None),
        first_error=getattr(first, "first_error", ""),
    )
