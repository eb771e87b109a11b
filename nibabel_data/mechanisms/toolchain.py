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

__all__ = ["Compiler", "Neuron", "find_compiler", "find_neuron"]

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
        return self.version.partition(".")[0] in ("7", "8")

    def files(self) -> list[str]:
        """Return the files that `identity` is made from."""
        return [self.nocmodl, self._makefile, _core_library(self.root)]

    def flags(self) -> list[str]:
        """Return the compiler's flags, as NEURON's makefile has them, without the compiler."""
        from .makefile import variables

        with open(self._makefile, encoding="utf-8", errors="replace") as file:
            known = variables(file.read(), {"ROOT": self.root})
        words = known.get("COMPILE" if self.writes_c else "CXXCOMPILE", "").split()
        flags = [word for word in words if word.startswith("-")] or ["-O2"]
        return [*flags, *_include_flags(known.get("INCLUDES", ""), self.root)]

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
    loaded = sys.modules.get("neuron")
    version = getattr(loaded, "__version__", None)
    if isinstance(version, str):
        return version
    try:
        names = os.listdir(os.path.dirname(folder))
    except OSError:
        return ""
    for name in names:
        project, _, rest = name.partition("-")
        if project.lower() == "neuron" and rest.endswith((".dist-info", ".egg-info")):
            return rest.rpartition(".")[0].partition("-")[0]
    return ""


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
    chosen = os.environ.get(variable)
    if chosen:
        import shlex

        words = shlex.split(chosen)
    else:
        words = []
    for name in [words[0]] if words else _usual_names(c):
        path = _which(name)
        if path is not None:
            return Compiler([path, *words[1:]], _says(path, cache))
    looked = f"{variable}={chosen}" if words else " or ".join(_usual_names(c))
    raise BuildError(
        f"no compiler for {'C' if c else 'C++'}: {looked} is not on PATH.\n"
        "Install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; conda: "
        "conda install cxx-compiler; macOS: xcode-select --install),\n"
        f"or name it in {variable}, or use what another machine has built:  "
        "nibabel-data mech compile --to DIR"
    )


def _usual_names(c: bool) -> list[str]:
    return ["gcc", "cc", "clang"] if c else ["g++", "c++", "clang++"]


def _which(name: str) -> str | None:
    """``shutil.which`` without importing shutil, which costs more than the search."""
    if os.path.dirname(name):
        return name if os.access(name, os.X_OK) else None
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = pjoin(folder, name)
        if folder and os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def _says(path: str, cache: str | None) -> str:
    status = os.stat(path)
    stamp = [os.path.realpath(path), status.st_size, status.st_mtime_ns]
    import json

    known: dict[str, list[object]] = {}
    kept = pjoin(cache, "compilers.json") if cache else ""
    if kept:
        try:
            with open(kept, encoding="utf-8") as file:
                known = json.load(file)
            if known[path][:3] == stamp:
                return str(known[path][3])
        except (OSError, ValueError, LookupError, TypeError):
            known = known if isinstance(known, dict) else {}
    import subprocess

    result = subprocess.run(
        [path, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    version = (result.stdout or result.stderr).partition("\n")[0].strip()
    if kept:
        _keep(kept, {**known, path: [*stamp, version]})
    return version


def _keep(path: str, known: dict[str, list[object]]) -> None:
    import json
    from contextlib import suppress

    from ..atomic import replace_file

    with suppress(OSError):  # a cache that cannot be written is asked again
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, json.dumps(known).encode())
