"""The parts that build a mechanism: NEURON's own ``nocmodl``, its flags, and a compiler.

Everything is read from the installation that Python would import, without importing it: the wheel
keeps its parts in ``neuron/.data``, other builds (conda, CMake) in a prefix.  The flags are those
of NEURON's ``nrnmech_makefile``, so that a build of one's own is right too; of make, perl and an
activated environment there is no need.
"""

from __future__ import annotations

import os
import sys
from os.path import join as pjoin

from ..errors import BuildError, MechanismError

__all__ = ["Compiler", "Neuron", "find_compiler", "find_neuron", "which"]

INSTALL = "pip install 'nibabel-data[neuron]'"


class Neuron:
    """An installation of NEURON.

    Attributes
    ----------
    root : str
        What holds ``bin``, ``include``, ``lib`` and ``share``.
    version : str
        Such as ``9.0.2``; empty if it cannot be told without importing it.
    nocmodl, modlunit : str
        The translator of NMODL and the checker of units.
    identity : str
        Sixteen hexadecimal digits of the SHA-256 of what decides whether a library suits: the
        translator, the flags and the size of NEURON's library.  The same on every machine.
    """

    __slots__ = ("_makefile", "identity", "modlunit", "nocmodl", "root", "version")

    def __init__(self, root: str, version: str) -> None:
        from hashlib import sha256

        self.root = root
        self.version = version
        self.nocmodl = pjoin(root, "bin", "nocmodl")
        self.modlunit = pjoin(root, "bin", "modlunit")
        self._makefile = pjoin(root, "bin", "nrnmech_makefile")
        digest = sha256()
        for path in (self.nocmodl, self._makefile):
            with open(path, "rb") as file:
                digest.update(file.read())
        digest.update(b"%d" % os.stat(_core_library(root)).st_size)
        self.identity = digest.hexdigest()[:16]

    @property
    def tag(self) -> str:
        """The name of the directory of what is built for it: its version and its identity."""
        return f"neuron-{self.version or 'unknown'}-{self.identity}"

    @property
    def units(self) -> str:
        """The file of units that ``nocmodl`` and ``modlunit`` read."""
        return pjoin(self.root, "share", "nrn", "lib", "nrnunits.lib")

    @property
    def writes_c(self) -> bool:
        """Whether ``nocmodl`` writes C (NEURON 8) rather than C++."""
        if self.version:
            return self.version.partition(".")[0] in ("7", "8")
        return "COMPILE" in self._variables()  # CCOMPILE and CXXCOMPILE, since version 9

    def files(self) -> list[str]:
        """Return the files that `identity` is made from."""
        return [self.nocmodl, self._makefile, _core_library(self.root)]

    def flags(self) -> list[str]:
        """Return the compiler's flags, as NEURON's makefile has them, without the compiler."""
        known = self._variables()
        words = _words(known.get("COMPILE" if self.writes_c else "CXXCOMPILE", ""))
        while words and not words[0].startswith("-"):  # a compiler that the makefile names itself
            del words[0]
        return [*(words or ["-O2"]), *_include_flags(known.get("INCLUDES", ""), self.root)]

    def _variables(self) -> dict[str, str]:
        from .makefile import variables

        with open(self._makefile, encoding="utf-8", errors="replace") as file:
            return variables(file.read(), {"ROOT": self.root, "CC": "", "CXX": ""})

    def link_flags(self) -> list[str]:
        """Return the linker's flags: NEURON's library, found at run time where it is now."""
        library = os.path.dirname(_core_library(self.root))
        return [f"-L{library}", "-lnrniv", f"-Wl,-rpath,{library}"]


class Compiler:
    """A compiler: the words that start it, and what it says that it is.

    Attributes
    ----------
    command : list of str
        Such as ``['/usr/bin/g++']``, or more words from ``CXX``.
    version : str
        The first line of what ``--version`` prints.
    """

    __slots__ = ("command", "version")

    def __init__(self, command: list[str], version: str) -> None:
        self.command = command
        self.version = version

    def files(self) -> list[str]:
        """Return the programs that it is made of: of ``ccache g++`` both."""
        return [path for path in map(which, self.command) if path is not None]


def find_neuron() -> Neuron:
    """Return the NEURON that Python would import, without importing it.

    Returns
    -------
    Neuron
        Its parts.

    Raises
    ------
    MechanismError
        If there is none, or it lacks the translator.
    """
    folder = _import_directory()
    if folder is None:
        raise MechanismError(
            f"NEURON is not installed in this environment.\nInstall it:  {INSTALL}"
        )
    tried = []
    for root in _roots(folder):
        if root in tried:
            continue
        tried.append(root)
        if os.path.isfile(pjoin(root, "bin", "nocmodl")):
            return Neuron(root, _version_beside(folder))
    raise MechanismError(
        f"NEURON is installed in {folder}, but its translator bin/nocmodl is in none of:\n"
        + "".join(f"  {root}\n" for root in tried)
        + "Name the directory that holds NEURON's bin and lib in the variable NRNHOME."
    )


def _import_directory() -> str | None:
    loaded = sys.modules.get("neuron")
    if loaded is not None and loaded.__file__:
        return os.path.dirname(loaded.__file__)
    from importlib.util import find_spec

    spec = find_spec("neuron")
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


def _roots(folder: str) -> list[str]:
    """Return the wheel's own directory, what the user names, the prefixes of Python's packages."""
    prefix = os.path.abspath(pjoin(folder, *[os.pardir] * 4))  # prefix/lib/pythonX/site-packages
    own = os.path.abspath(pjoin(folder, *[os.pardir] * 3))  # prefix/lib/python/neuron
    named = os.environ.get("NRNHOME")
    return [pjoin(folder, ".data"), *([named] if named else []), own, prefix, sys.prefix]


def _version_beside(folder: str) -> str:
    """Return what the metadata say, and not the module: the same if it is not imported."""
    try:
        names = os.listdir(os.path.dirname(folder))
    except OSError:
        return ""
    for name in sorted(names):
        project, _, rest = name.partition("-")
        if project.lower() in _PROJECTS and rest.endswith((".dist-info", ".egg-info")):
            return rest.rpartition(".")[0].partition("-")[0]
    return ""


_PROJECTS = ("neuron", "neuron_nightly")


def _core_library(root: str) -> str:
    suffix = "dylib" if sys.platform == "darwin" else "so"
    for folder in ("lib", "lib64"):
        path = pjoin(root, folder, f"libnrniv.{suffix}")
        if os.path.isfile(path):
            return path
    raise MechanismError(
        f"NEURON's library libnrniv.{suffix} is not in {pjoin(root, 'lib')}.\n"
        f"Install NEURON again:  {INSTALL}"
    )


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError:  # a quotation mark without another
        return text.split()


def _include_flags(includes: str, root: str) -> list[str]:
    """Those that exist: makefiles name directories of the machine that built NEURON."""
    folders = [word[2:] for word in includes.split() if word.startswith("-I")]
    folders += [pjoin(root, "include"), pjoin(root, "include", "nrn")]
    return [f"-I{f}" for f in dict.fromkeys(folders) if f != "." and os.path.isdir(f)]


def find_compiler(*, c: bool = False, cache: str | None = None) -> Compiler:
    """Return the compiler that is to be used.

    Parameters
    ----------
    c : bool, optional
        Whether C is to be compiled (``CC``, ``gcc``, ``cc``, ``clang``) and not C++ (``CXX``,
        ``g++``, ``c++``, ``clang++``).
    cache : str, optional
        A directory where what a compiler says of itself is kept, by its path, size and time.

    Returns
    -------
    Compiler
        The compiler.

    Raises
    ------
    BuildError
        If there is none.
    """
    variable = "CC" if c else "CXX"
    chosen = os.environ.get(variable, "")
    words = _words(chosen)
    why = f"{' or '.join(_usual_names(c))} is not on PATH"
    if words:
        there = os.path.dirname(words[0])
        why = f"{variable}={chosen}: {words[0]} {'is no program' if there else 'is not on PATH'}"
    for name in [words[0]] if words else _usual_names(c):
        path = which(name)
        if path is None:
            continue
        command = [path, *words[1:]]
        try:
            return Compiler(command, _says(command, cache))
        except OSError as error:
            why = f"{path} cannot be run: {(error.strerror or str(error)).lower()}"
    raise BuildError(
        f"no compiler for {'C' if c else 'C++'}: {why}.\n"
        "Install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; conda: "
        "conda install cxx-compiler; macOS: xcode-select --install),\n"
        f"or name it in {variable}, or use what another machine has built:  "
        "nibabel-data mech compile --to DIR"
    )


def _usual_names(c: bool) -> list[str]:
    return ["gcc", "cc", "clang"] if c else ["g++", "c++", "clang++"]


def which(name: str, path: str | None = None) -> str | None:
    """Return the absolute path of a program, or None.

    It is ``shutil.which`` without importing shutil, which costs more than the search.

    Parameters
    ----------
    name : str
        The program, with or without a directory.
    path : str, optional
        Directories to look in, as in ``PATH``, instead of those.
    """
    if os.path.dirname(name):
        paths = [name]
    else:
        folders = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
        paths = [pjoin(folder, name) for folder in folders if folder]
    found = (each for each in paths if os.path.isfile(each) and os.access(each, os.X_OK))
    program = next(found, None)
    return None if program is None else os.path.abspath(program)


def _says(command: list[str], cache: str | None) -> str:
    """Return the first line of what it says of itself, asked again when a program has changed."""
    stamp: list[object] = []  # of ``ccache g++`` both
    for path in filter(None, map(which, command)):
        status = os.stat(path)
        stamp += [os.path.realpath(path), status.st_size, status.st_mtime_ns]
    import json

    key = "\0".join(command)
    known: dict[str, list[object]] = {}
    kept = pjoin(cache, "compilers.json") if cache else ""
    if kept:
        try:
            with open(kept, encoding="utf-8") as file:
                known = json.load(file)
            *before, version = known[key]
            if before == stamp:
                return str(version)
        except (OSError, ValueError, LookupError, TypeError):
            known = known if isinstance(known, dict) else {}
    import subprocess

    result = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    told = (result.stdout or result.stderr).partition("\n")[0].strip()
    if kept and result.returncode == 0:
        _keep(kept, {**known, key: [*stamp, told]})
    return told


def _keep(path: str, known: dict[str, list[object]]) -> None:
    import json
    from contextlib import suppress

    from ..atomic import replace_file

    with suppress(OSError):  # a cache that cannot be written is asked again
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, json.dumps(known).encode())
