"""CoreNEURON: one library of all mechanisms that a model uses, beside those that NEURON loads.

NEURON takes a library a mechanism; CoreNEURON, which simulates the same model faster, takes exactly
one, ``libcorenrnmech.so``, with itself in it.  It is made here by ``nrnivmodl-core`` of the
installed NEURON, from the same renamed sources, and named in a variable that NEURON reads when it
first runs CoreNEURON::

    os.environ['CORENEURONLIB'] = compile_coreneuron('Kv1_1', 'Leak')
    coreneuron.enable = True

What that library cannot do: it is loaded once a process, so that no mechanism can be added to it
later, and NEURON ends the process if a model has a mechanism in use that is not in it ("mechanism
does not exist").  Mechanisms that NEURON has loaded and the model does not use need not be in it.

Source: ``bin/nrnivmodl-core`` and ``share/coreneuron/nrnivmodl_core_makefile`` of NEURON 9, and the
script that runs the former in NEURON's wheel.
"""

from __future__ import annotations

import os
import re
import sys
from os.path import join as pjoin

from ..errors import BuildError, DataError, MechanismError, warn
from . import library, ranks, store
from .resolution import resolve
from .source import prepare
from .toolchain import which

__all__ = ["compile_coreneuron", "how_to_run"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .library import Toolchain
    from .resolution import Asset, MechanismName
    from .source import Prepared

LIBRARY = "libcorenrnmech.so"
_FORM = "coreneuron 1"
"""Changed when what is built from the same sources changes."""
_OUTPUT = "x86_64"
"""Where the makefile builds, whatever the machine is."""


def compile_coreneuron(*assets: Asset, gpu: bool = False) -> str:
    """Build the library of CoreNEURON for some mechanisms, if that has not been done.

    Those same mechanisms are built for NEURON too, one library each, which `insert` loads.

    Under MPI every rank calls it: rank 0 builds, the others find what it has built (or build, where
    they do not see its cache), and where one fails all do.

    Parameters
    ----------
    *assets : str or tuple of str
        Which, as in `insert`: all that a model uses.  None: everything that is installed and builds
        for NEURON; what CoreNEURON does not take is left out with a `DataWarning`.
    gpu : bool, optional
        Whether it is to run on a GPU, which NEURON itself must be built for.

    Returns
    -------
    str
        The path of the library, for the variable ``CORENEURONLIB``, to be set before the first
        ``psolve`` of the process; see `how_to_run`.

    Raises
    ------
    ResolveError
        If one of `assets` is not there, or ambiguous.
    BuildError
        If one of those that were named does not build, or a program that builds is missing.
    MechanismError
        If NEURON is not installed, or without CoreNEURON, or without its GPU.
    """
    from .compiling import compile, everything

    named = bool(assets)
    wanted = [resolve(asset) for asset in assets] if named else everything()[0]
    wanted = [name for name in wanted if name.mechanism.path]  # the others CoreNEURON has itself
    if not wanted:
        raise MechanismError(
            "there is no mechanism to build: what NEURON brings itself, CoreNEURON has already."
        )
    report = compile(*wanted, strict=named, quiet=named)
    wanted = [name for name in wanted if name in report.libraries]
    among = ranks.ranks()
    path = ""
    for first in (True, False) if among.size > 1 else (True,):
        problem: DataError | None = None
        if (among.rank == 0) is first:
            try:
                path = _build_here(wanted, gpu, strict=named)
            except DataError as error:
                problem = error
        ranks.agree(problem)
    return path


def how_to_run(path: str) -> str:
    """Return what a script has to say so that a simulation runs in a library of CoreNEURON.

    Examples
    --------
    >>> print(how_to_run('/cache/libcorenrnmech.so'))
    import os
    os.environ['CORENEURONLIB'] = '/cache/libcorenrnmech.so'
    from neuron import coreneuron, h
    h.CVode().cache_efficient(1)
    coreneuron.enable = True
    # and then, in the place of h.run():
    # h.ParallelContext().set_maxstep(10); h.finitialize(-65); h.ParallelContext().psolve(h.tstop)
    """
    return (
        "import os\n"
        f"os.environ['CORENEURONLIB'] = {path!r}\n"
        "from neuron import coreneuron, h\n"
        "h.CVode().cache_efficient(1)\n"
        "coreneuron.enable = True\n"
        "# and then, in the place of h.run():\n"
        "# h.ParallelContext().set_maxstep(10); h.finitialize(-65); "
        "h.ParallelContext().psolve(h.tstop)"
    )


def _build_here(wanted: list[MechanismName], gpu: bool, *, strict: bool) -> str:
    tools = library.toolchain()
    script = pjoin(tools.neuron.root, "bin", "nrnivmodl-core")
    if not os.path.isfile(script):
        raise MechanismError(
            f"this NEURON has no CoreNEURON: {script} is not there.\n"
            "The wheels of NEURON have it (pip install neuron; not on Windows); a build of one's "
            "own needs -DNRN_ENABLE_CORENEURON=ON."
        )
    if gpu:
        _check_gpu()
    sources: dict[str, Prepared] = {}
    for name in sorted(wanted):
        source = prepare(name.mechanism)
        if source.scanned.kind != "functions":  # nothing that is simulated
            sources[source.name] = source
    if not sources:
        raise MechanismError("there is no mechanism to build for CoreNEURON.")

    def make(staged: str) -> dict[str, object]:
        refused = _make(staged, sources, tools, script, gpu, strict)
        os.rename(pjoin(staged, _OUTPUT, LIBRARY), pjoin(staged, LIBRARY))
        return {
            "neuron": tools.neuron.version,
            "mechanisms": sorted(sources.keys() - refused.keys()),
            "refused": {name: error.first_error for name, error in refused.items()},
        }

    digest = _digest(sources, gpu, strict)
    path = store.obtain(pjoin(tools.neuron.tag, f"coreneuron-{digest}"), LIBRARY, make)
    left_out = store.record(path)["refused"]
    if left_out and ranks.ranks().rank == 0:
        listed = "".join(f"  {name}: {sources[name].path}: {e}\n" for name, e in left_out.items())
        warn(
            f"{len(left_out)} mechanisms do not build for CoreNEURON and are not in {path}:\n"
            f"{listed}In NEURON itself they work; a model that uses one cannot run in CoreNEURON."
        )
    return path


def _check_gpu() -> None:
    from .engine import interpreter

    interpreter()
    from neuron import config

    if str(config.arguments.get("CORENRN_ENABLE_GPU")).upper() not in ("TRUE", "ON", "1"):
        raise MechanismError(
            "this NEURON was built without a GPU, as all of its wheels on PyPI are: CoreNEURON "
            "runs on the processor with it (gpu=False).\n"
            "For a GPU build NEURON with -DNRN_ENABLE_CORENEURON=ON -DCORENRN_ENABLE_GPU=ON and "
            "the NVIDIA HPC compilers: https://nrn.readthedocs.io/en/latest/coreneuron/"
        )


def _digest(sources: dict[str, Prepared], gpu: bool, strict: bool) -> str:
    from hashlib import sha256

    told = [_FORM, f"{gpu} {strict}", *(f"{name} {one.digest}" for name, one in sources.items())]
    return sha256("\n".join(told).encode()).hexdigest()[:16]


def _make(
    staged: str,
    sources: dict[str, Prepared],
    tools: Toolchain,
    script: str,
    gpu: bool,
    strict: bool,
) -> dict[str, BuildError]:
    """Make the library below a directory; return those that CoreNEURON does not take."""
    import subprocess

    from .compiling import cores

    places = {
        name: pjoin(tools.neuron.tag, "refused-coreneuron", f"{name}-{source.digest[:16]}")
        for name, source in sources.items()
    }
    known = {name: store.refusal(places[name], name, sources[name].path) for name in sources}
    refused = {name: error for name, error in known.items() if error is not None}
    if strict and refused:
        raise next(iter(refused.values()))
    environment = _environment(staged, tools, gpu)
    translated = pjoin(staged, _OUTPUT, "corenrn", "mod2c")
    os.makedirs(translated)
    os.mkdir(pjoin(staged, "mods"))
    for name in sources.keys() - refused.keys():
        for file, content in _apart(sources[name]).items():
            # What is included may have any name, and the script copies only those that it knows.
            folder = pjoin(staged, "mods") if file.endswith(".mod") else translated
            with open(pjoin(folder, file), "xb") as out:
                out.write(content)
    command = ["bash", script, "-p", str(cores())]
    folders = {source.folder for source in sources.values() if source.scanned.c_includes}
    if folders:
        command += ["-i", " ".join(f"-I{folder}" for folder in sorted(folders))]
    while len(refused) < len(sources):
        result = subprocess.run(
            [*command, "mods"],
            cwd=staged,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # nmodl uses both, and make's own line is to be the last
            check=False,
        )
        if result.returncode == 0 and os.path.isfile(pjoin(staged, _OUTPUT, LIBRARY)):
            return refused
        output = result.stdout.decode("utf-8", "replace")
        wrong = {
            name: told
            for name, told in _first_errors(output).items()
            if name in sources and name not in refused
        }
        if not wrong or any(store.is_circumstance(first) for _, first in wrong.values()):
            raise _unexplained(output, result.returncode)
        for name, (line, first) in wrong.items():
            refused[name] = _refusal(sources[name], line, first)
            store.remember_refusal(places[name], refused[name])
            os.unlink(pjoin(staged, "mods", f"{name}.mod"))
            os.unlink(pjoin(translated, f"{name}.mod"))
        if strict:
            break
    raise next(iter(refused.values()))


def _apart(source: Prepared) -> dict[str, bytes]:
    """Return its files, so named that those of many mechanisms can stand in one directory."""
    main = f"{source.name}.mod"
    others = [file for file in source.files if file != main]
    names = {file: f"{source.name}__{i}.inc" for i, file in enumerate(others)}
    files = {}
    for file, content in source.files.items():
        for old, new in names.items():
            pattern = rb'(\bINCLUDE\s*)"' + re.escape(old.encode()) + rb'"'
            content = re.sub(pattern, rb'\g<1>"' + new.encode() + rb'"', content)
        files[names.get(file, file)] = content
    return files


def _environment(staged: str, tools: Toolchain, gpu: bool) -> dict[str, str]:
    """Return the variables for ``nrnivmodl-core``; `BuildError` if a program is missing.

    Those that NEURON's wheel sets are set as it does.  In make, everything goes on after an error,
    and what each step prints stays together, so that all that fails is known at once.
    """
    for program in ("bash", "make", "ar", "diff"):
        if which(program) is None:
            raise BuildError(
                f"CoreNEURON is built by NEURON's nrnivmodl-core, which needs {program}, and that "
                "is not on PATH.\nInstall it, for example: apt install make binutils diffutils "
                "(Debian, Ubuntu), xcode-select --install (macOS)."
            )
    compiler = _nvidia_compiler() if gpu else tools.compiler().command[0]
    root = tools.neuron.root
    unwanted = ("DESTDIR", "MFLAGS", "MAKELEVEL", "MECHLIB_SUFFIX", "PMI_RANK")
    environment = {
        **{key: value for key, value in os.environ.items() if key not in unwanted},
        "CORENRNHOME": root,
        "CORENRN_PYTHONEXE": sys.executable,
        "CXX": compiler,
        "LC_ALL": "C",
        "MAKEFLAGS": "-k -Otarget",
        "NEURONHOME": pjoin(root, "share", "nrn"),
        "NRNHOME": root,
        "NRN_PYTHONEXE": sys.executable,
        "PYTHONPATH": os.pathsep.join([pjoin(root, "lib"), *(p for p in sys.path if p)]),
        "TMPDIR": staged,
    }
    environment.setdefault("NMODLHOME", root)
    if "NMODL_PYLIB" not in environment:  # for SymPy, which solves kinetic schemes
        try:
            from find_libpython import find_libpython  # type: ignore[import-not-found,unused-ignore]

            environment["NMODL_PYLIB"] = find_libpython() or ""
        except ImportError:  # a NEURON that is no wheel
            pass
    return environment


def _nvidia_compiler() -> str:
    path = which(os.environ.get("CXX") or "nvc++")
    if path is None:
        raise BuildError(
            "a GPU needs the compiler nvc++ of the NVIDIA HPC SDK, which is not on PATH: load its "
            "module, or name it in CXX."
        )
    return path


_TARGET_FAILED = re.compile(r"^make.*?\b(?:mod2c|build)/(\w+)\.(?:cpp|o)\] .*$", re.MULTILINE)
_REASONS = (
    re.compile(r"^\S+?\.(?:cpp|hpp|h):\d+:(?:\d+:)? (?:fatal )?error: (.*)$", re.MULTILINE),
    re.compile(r"what\(\):\s+(?:NMODL )?(.*)$", re.MULTILINE),
    re.compile(r"\[error\] :: (?!Fix the following)(.*)$", re.MULTILINE),
    re.compile(r"\[critical\] :: (.*)$", re.MULTILINE),
    re.compile(r"^(?:.*\b[Ee]rror\b.*)$", re.MULTILINE),
)
_LOCATION = re.compile(r"\s*\[Location : \d+\.\d+\S*\]")
_LINE = re.compile(r"\[(?:Location : )?(\d+)\.\d+\S*\]")


def _first_errors(output: str) -> dict[str, tuple[int | None, str]]:
    """Return, by mechanism, the line and the text of its first error.

    What a step prints ends with make's own line about it.
    """
    errors: dict[str, tuple[int | None, str]] = {}
    begin = 0
    for failed in _TARGET_FAILED.finditer(output):
        said = output[begin : failed.start()]
        begin = failed.end()
        found = next((f for f in (one.search(said) for one in _REASONS) if f), None)
        text = (found[1] if found.re.groups else found[0]) if found else failed[0]
        at = _LINE.search(text)
        line = int(at[1]) if at else None
        errors.setdefault(failed[1], (line, _LOCATION.sub("", text).strip()))
    return errors


def _refusal(source: Prepared, line: int | None, first: str) -> BuildError:
    where = source.path + (f", line {line}" if line else "")
    return BuildError(
        f"{source.name} does not build for CoreNEURON:\n  {where}\n  {first}\n"
        "In NEURON itself it may work: CoreNEURON takes no C code that calls NEURON, for example.\n"
        "It is tried again when the file changes.",
        mechanism=source.name,
        path=source.path,
        line=line,
        first_error=first,
    )


def _unexplained(output: str, code: int) -> BuildError:
    found = _REASONS[-1].search(output)
    first = found[0].strip() if found else (output.strip().splitlines() or [f"exit {code}"])[-1]
    return BuildError(
        f"NEURON's nrnivmodl-core does not build the library of CoreNEURON:\n  {first}\n"
        "It is no fault of one mechanism.  Is there room on the disk, and does the compiler work?",
        first_error=first,
    )
