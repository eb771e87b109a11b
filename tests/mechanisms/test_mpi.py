"""First use under MPI, with Open MPI: all ranks succeed, or all of them fail and none hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..conftest import PROJECT
from .conftest import needs_neuron
from .laboratory import RICH, SYNAPSE, passive, write_package

pytestmark = [
    needs_neuron,
    pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs mpirun: Open MPI"),
]
needs_mpi4py = pytest.mark.skipif(find_spec("mpi4py") is None, reason="needs mpi4py")

SECONDS = 90

WITH_MPI4PY = """
from mpi4py import MPI
rank = MPI.COMM_WORLD.Get_rank()
"""
WITH_NEURON_ALONE = """
import os
from neuron import h
h.nrnmpi_init()
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
assert h.ParallelContext().nhost() == 2
"""
LOAD = """
import os, sys, warnings
warnings.simplefilter("error")
import nibabel_data.mechanisms as m
from nibabel_data.errors import DataError
wanted = ["Leak", "Syn", "Rich"]
if sys.argv[1] == "no compiler" and rank == 1:
    os.environ["NIBABEL_DATA_CACHE"] += "-of-rank-1"
    os.environ["PATH"] = "/no/such/directory"
    os.environ.pop("CXX", None)
if sys.argv[1] == "bad":
    wanted = ["Leak", "Bad"]
if sys.argv[1] == "not there" and rank == 1:
    wanted = ["Leak", "Nowhere"]
if sys.argv[1] == "not loaded" and rank == 1:
    from nibabel_data.mechanisms import engine
    def refuse(mechanism):
        raise RuntimeError("refused")
    engine.load = refuse
try:
    loaded = m.load_library(*wanted)
    from neuron import h
    section = h.Section("a")
    told = f"{rank} has {len(loaded)} and {m.insert(section, 'Leak').g:g}"
except Exception as error:
    told = f"{rank} raised {type(error).__name__}: {error}"
with open(f"told-{rank}", "w") as file:
    file.write(told)
"""


def mpirun(ranks: int, begin: str, case: str, packages: Path, here: Path) -> list[str]:
    """Run the script, and return what each rank tells."""
    (here / "script.py").write_text(begin + LOAD)
    write_package(here / "site", "broken:broken", {("Bad", "0"): "NEURON { SUFFIX x\n"})
    command = ["mpirun", "--oversubscribe", "-n", str(ranks)]
    if os.geteuid() == 0:
        command.append("--allow-run-as-root")
    result = subprocess.run(
        [*command, sys.executable, "script.py", case],
        cwd=here,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(packages), str(here / "site"), str(PROJECT)]),
            "NEURON_MODULE_OPTIONS": "-nogui",
            "MPI_LIB_NRN_PATH": find_library("mpi") or "",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    told = [path.read_text() for path in sorted(here.glob("told-*"))]
    if begin == WITH_NEURON_ALONE and "libmpi" in result.stderr:
        pytest.skip(f"NEURON does not find MPI: {result.stderr.strip()[-200:]}")
    assert len(told) == ranks, result.stdout + result.stderr
    return told


@pytest.fixture
def fresh(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return packages of which nothing is built, with a compiler that counts."""
    mods = {("Leak", "0"): passive(3), ("Syn", "0"): SYNAPSE, ("Rich", "0"): RICH}
    write_package(site, "lab:lab", mods)
    compiler = tmp_path / "counting-g++"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/compiled\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return site


def compiled(here: Path) -> int:
    """Return how many libraries were compiled."""
    return (here / "compiled").read_text().count("-o mechanism.so")


@needs_mpi4py
@pytest.mark.parametrize("ranks", [2, 4])
def test_first_use(ranks: int, fresh: Path, tmp_path: Path) -> None:
    told = mpirun(ranks, WITH_MPI4PY, "all", fresh, tmp_path)
    assert told == [f"{rank} has 3 and 3" for rank in range(ranks)]
    assert compiled(tmp_path) == 3


@needs_mpi4py
@pytest.mark.parametrize(
    ("ranks", "case", "on_1", "elsewhere"),
    [
        (2, "bad", "BuildError: glia__broken__Bad__0 does not build", ""),
        (4, "bad", "BuildError: glia__broken__Bad__0 does not build", ""),
        (2, "no compiler", "BuildError: no compiler for C++", ""),
        (4, "no compiler", "BuildError: no compiler for C++", ""),
        (2, "not there", "ResolveError: no package has", "MechanismError: on rank 1 of 2: no pack"),
        (2, "not loaded", "RuntimeError: refused", "MechanismError: on rank 1 of 2: RuntimeError"),
    ],
)
def test_where_one_rank_fails_all_do(
    ranks: int, case: str, on_1: str, elsewhere: str, laboratory: Path, tmp_path: Path
) -> None:
    told = mpirun(ranks, WITH_MPI4PY, case, laboratory, tmp_path)
    for rank in range(ranks):
        expected = on_1 if rank == 1 else elsewhere or on_1
        assert told[rank].startswith(f"{rank} raised {expected}"), told


@pytest.mark.parametrize(
    ("case", "expected"),
    [("all", "has 3 and 0.001"), ("bad", "raised BuildError: glia__broken__Bad__0")],
)
def test_through_neuron_alone(case: str, expected: str, laboratory: Path, tmp_path: Path) -> None:
    for rank, told in enumerate(mpirun(2, WITH_NEURON_ALONE, case, laboratory, tmp_path)):
        assert told.startswith(f"{rank} {expected}")
