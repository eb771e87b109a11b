"""The library of CoreNEURON, with the real NEURON: each test that runs it has its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nibabel_data.errors import BuildError, DataWarning, MechanismError
from nibabel_data.mechanisms import coreneuron, discovery
from nibabel_data.mechanisms.coreneuron import compile_coreneuron, how_to_run
from nibabel_data.mechanisms.toolchain import find_neuron

from .test_arbor import write_package


def _why_not() -> str:
    if find_spec("neuron") is None:
        return "needs NEURON: pip install 'nibabel-data[neuron]'"
    if not os.path.isfile(os.path.join(find_neuron().root, "bin", "nrnivmodl-core")):
        return "needs a NEURON with CoreNEURON, such as its wheels for Linux and macOS"
    return ""


needs_coreneuron = pytest.mark.skipif(bool(_why_not()), reason=_why_not())

GATE = """\
NEURON {
    SUFFIX Gate
    NONSPECIFIC_CURRENT i
    RANGE g, e
    THREADSAFE
}
INCLUDE "common.txt"
PARAMETER {
    g = 0.001 (S/cm2)
    e = -70 (mV)
}
STATE {
    m
}
ASSIGNED {
    v (mV)
    i (mA/cm2)
}
INITIAL {
    m = 0
}
BREAKPOINT {
    SOLVE states METHOD cnexp
    i = g*m*(v - e)
}
DERIVATIVE states {
    m' = (1 - m)/tau
}
"""
UNITS = "UNITS {\n (mV) = (millivolt)\n (mA) = (milliamp)\n (S) = (siemens)\n}\n"
CALLS_NEURON = GATE.replace("SUFFIX Gate", "SUFFIX Asks").replace(
    "m = 0", "m = 0\nVERBATIM\n    if (ifarg(1)) { m = 0; }\nENDVERBATIM"
)
"""What NEURON takes, and CoreNEURON does not."""

SIMULATION = """
import os
import sys

import nibabel_data.mechanisms as m
from nibabel_data.mechanisms.coreneuron import compile_coreneuron

os.environ["CORENEURONLIB"] = compile_coreneuron("Gate")
from neuron import coreneuron, h

context = h.ParallelContext()
section = h.Section("cell")
section.L = section.diam = 20
m.insert(section, "Gate")
m.insert(section, "Asks")  # NEURON has it, the model does not use it
m.remove(section, "Asks")
clamp = h.IClamp(section(0.5))
clamp.delay, clamp.dur, clamp.amp = 1, 5, 0.1
h.CVode().cache_efficient(1)
voltage = h.Vector().record(section(0.5)._ref_v)
context.set_maxstep(1)


def trace():
    h.finitialize(-65)
    context.psolve(10)
    return voltage.to_python()


in_neuron = trace()
coreneuron.verbose = 0
coreneuron.enable = True
in_coreneuron = trace()
differ = max(abs(a - b) for a, b in zip(in_neuron, in_coreneuron, strict=True))
print(len(in_neuron), round(min(in_neuron)), round(max(in_neuron)), differ < 1e-6)
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with two packages whose files include different ones of one name."""
    top = tmp_path_factory.mktemp("core")
    common = f"PARAMETER {{ tau = 5 (ms) }}\n{UNITS}"
    write_package(top / "data", "gates", {"Gate.mod": GATE, "common.txt": common})
    common = common.replace("5", "7")
    write_package(top / "data", "asks", {"Asks.mod": CALLS_NEURON, "common.txt": common})
    return top


@pytest.fixture
def packages(once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIPY_DATA_PATH", str(once / "data"))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(once / "cache"))
    monkeypatch.setenv("NEURON_MODULE_OPTIONS", "-nogui")
    discovery.refresh()
    return once


def no_process(*_: object, **__: object) -> Any:
    raise AssertionError("a process was started")


@needs_coreneuron
def test_a_simulation_is_the_same_in_both(packages: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SIMULATION],
        cwd=tmp_path,
        env={**os.environ, "PATH": "/usr/bin:/bin"},  # the environment need not be activated
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    samples, lowest, highest, same = result.stdout.split()[-4:]
    assert (samples, same) == ("401", "True")
    assert int(lowest) < -65 < int(highest)
    assert not (tmp_path / "x86_64").exists()


@needs_coreneuron
def test_what_coreneuron_does_not_take(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, it is an error; else it is left out, and remembered."""
    with pytest.raises(BuildError, match=r"Asks__0 does not build for CoreNEURON") as told:
        compile_coreneuron("Gate", "Asks")
    assert "ifarg" in told.value.first_error
    assert told.value.path.endswith("Asks.mod")
    with pytest.warns(DataWarning, match=r"1 mechanisms do not build for CoreNEURON(.|\n)*ifarg"):
        path = compile_coreneuron()
    folder = Path(path).parent
    assert sorted(p.name for p in folder.iterdir()) == ["build.json", "libcorenrnmech.so"]
    monkeypatch.setattr(subprocess, "run", no_process)
    with pytest.warns(DataWarning, match="1 mechanisms do not build"):
        assert compile_coreneuron() == path


@needs_coreneuron
def test_of_what_neuron_brings_nothing_is_built(packages: Path) -> None:
    with pytest.raises(MechanismError, match="CoreNEURON has already"):
        compile_coreneuron("pas", "hh")


@needs_coreneuron
@pytest.mark.parametrize("program", ["make", "ar"])
def test_a_program_is_missing(
    packages: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    from nibabel_data.mechanisms import library

    there = coreneuron.which
    monkeypatch.setattr(coreneuron, "which", lambda name: None if name == program else there(name))
    with pytest.raises(BuildError, match=f"needs {program}, and that is not on PATH"):
        coreneuron._environment("/tmp", library.toolchain(), False)


@needs_coreneuron
def test_a_gpu_that_this_neuron_does_not_have(packages: Path, tmp_path: Path) -> None:
    script = (
        "from nibabel_data.mechanisms.coreneuron import compile_coreneuron\n"
        "try:\n"
        "    compile_coreneuron('Gate', gpu=True)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert "MechanismError this NEURON was built without a GPU" in result.stdout, result.stderr


def test_what_a_script_has_to_say() -> None:
    assert "os.environ['CORENEURONLIB'] = '/c/lib.so'" in how_to_run("/c/lib.so").splitlines()


def test_the_first_error_of_each_mechanism() -> None:
    output = (
        "[FATAL] NMODL encountered an unhandled exception.\n"
        "terminate called after throwing an instance of 'std::runtime_error'\n"
        "  what():  NMODL Parser Error : syntax error, unexpected = [Location : 12.54]\n"
        "make: *** [/n/makefile:185: x86_64/corenrn/mod2c/glia__a__Bad__0.cpp] Error 134\n"
        "x86_64/corenrn/mod2c/glia__a__Ver__0.cpp:249:18: error: 'nosuch' was not declared\n"
        "  249 |  nosuch(3);\n"
        "x86_64/corenrn/mod2c/glia__a__Ver__0.cpp:250:18: error: another\n"
        "make: *** [/n/makefile:181: x86_64/corenrn/build/glia__a__Ver__0.o] Error 1\n"
        "[NMODL] [critical] :: Code incompatibility detected\n"
        "[NMODL] [error] :: Fix the following errors and try again\n"
        '[NMODL] [error] :: "inf" found at [29.12-14] should be RANGE\n'
        "make: *** [/n/makefile:185: x86_64/corenrn/mod2c/glia__a__Kv7__0.cpp] Error 1\n"
        "make: Target 'x86_64/special-core' not remade because of errors.\n"
    )
    assert coreneuron._first_errors(output) == {
        "glia__a__Bad__0": (12, "Parser Error : syntax error, unexpected ="),
        "glia__a__Kv7__0": (29, '"inf" found at [29.12-14] should be RANGE'),
        "glia__a__Ver__0": (None, "'nosuch' was not declared"),
    }
