"""The packages that are in use: every mechanism builds, or is named as refused; a cell spikes.

The build of all of them takes a minute or two, once a session.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from nibabel_data import mechanisms as m
from nibabel_data.errors import MechanismError
from nibabel_data.mechanisms import discovery
from nibabel_data.mechanisms.compiling import CompileReport

from .conftest import needs_neuron
from .laboratory import in_fork

pytestmark = needs_neuron

Built = tuple[dict[str, str], dict[str, str]]

REFUSED = {
    "glia__dbbs_mod_collection__HCN1__golgi",
    "glia__dbbs_mod_collection__Na__granule_cell",
    "glia__dbbs_mod_collection__Na__granule_cell_FHF",
    "glia__dbbs_mod_collection__cdp5__CAM",
    "glia__dbbs_mod_collection__cdp5__CAM_GoC",
    "glia__dbbs_mod_collection__cdp5__CR",
    "glia__dbbs_mod_collection__cdp5__0",
}
GRANULE = """
import json, sys
from neuron import h
section = h.Section("granule")
section.L = section.diam = 9.76
section.nseg, section.cm, section.Ra = 1, 1, 100
insert(section)
section.ena, section.ek = 87.39, -88
h.celsius = 32
clamp = h.IClamp(section(0.5))
clamp.delay, clamp.dur, clamp.amp = 10, 40, 0.02
trace = h.Vector().record(section(0.5)._ref_v)
h.dt = 0.025
h.finitialize(-65)
while h.t < 60:
    h.fadvance()
print(json.dumps([one.hex() for one in trace]))
"""
CHANNELS = ("Leak", "Nav1_6", "Kv1_1")
BY_US = """
import nibabel_data.mechanisms as m
# NEURON adds currents in the order in which mechanisms were loaded, and nrnivmodl sorts them.
m.load_library(*[(name, "0", "dbbs") for name in sorted(CHANNELS)])
def insert(section):
    with m.context(pkg="dbbs"):
        for name in CHANNELS:
            m.insert(section, (name, "0"))
""".replace("CHANNELS", repr(CHANNELS))
BY_HAND = """
def insert(section):
    for name in CHANNELS:
        section.insert(f"glia__dbbs__{name}__0")
""".replace("CHANNELS", repr(CHANNELS))


@pytest.fixture(scope="module")
def built(
    real_packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CompileReport]:
    """Return a cache in which everything is built, and what became of each."""
    cache = tmp_path_factory.mktemp("built") / "cache"

    def build() -> Built:
        os.environ["NIBABEL_DATA_CACHE"] = str(cache)
        os.environ["NEURON_MODULE_OPTIONS"] = "-nogui"
        sys.path.append(str(real_packages))
        report = m.compile(quiet=True)
        return (
            {str(k): v for k, v in report.libraries.items()},
            {str(k): str(v) for k, v in report.failed.items()},
        )

    report = CompileReport()
    report.libraries, failed = in_fork(build, seconds=1200)
    report.failed = failed  # type: ignore[assignment]
    return cache, report


@pytest.fixture
def real(
    built: tuple[Path, CompileReport], real_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> CompileReport:
    """Let a test see the packages and what is built of them."""
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(built[0]))
    monkeypatch.setenv("NEURON_MODULE_OPTIONS", "-nogui")
    monkeypatch.setattr(sys, "path", [*sys.path, str(real_packages)])
    discovery.refresh()
    return built[1]


def names_of(package: str, report: CompileReport) -> list[str]:
    return [name for name in report.libraries if name.startswith(f"glia__{package}__")]


def test_what_builds(real: CompileReport) -> None:
    assert len(names_of("dbbs", real)) == 47
    assert len(names_of("dbbs_mod_collection", real)) == 35
    assert names_of("patch_extensions", real) == ["glia__patch_extensions__VecStim__0"]
    assert set(real.failed) == REFUSED
    for name, told in real.failed.items():
        assert told.startswith(f"{name} does not build (package dbbs_mod_collection):\n")
        assert f"{name}.mod, line " in told


@pytest.mark.parametrize("package", ["dbbs", "dbbs_mod_collection", "patch_extensions"])
def test_each_is_inserted_and_runs(package: str, real: CompileReport) -> None:
    results = m.test(*names_of(package, real))
    assert {name: told for name, told in results.items() if told} == {}
    assert set(results) == set(names_of(package, real))


def test_one_that_is_refused_blocks_no_other(real: CompileReport) -> None:
    def run() -> str:
        from neuron import h

        section = h.Section("a")
        with pytest.raises(MechanismError, match="does not build"):
            m.insert(section, "cdp5", "CAM", "dbbs_mod_collection")
        return str(m.insert(section, "Kv1_1", pkg="dbbs_mod_collection").name)

    assert in_fork(run) == "glia__dbbs_mod_collection__Kv1_1__0"


def trace(code: str, folder: Path, path: str) -> list[float]:
    result = subprocess.run(
        [sys.executable, "-c", code + GRANULE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return [float.fromhex(one) for one in json.loads(result.stdout)]


def test_a_granule_cell_spikes_as_with_nrnivmodl(
    real: CompileReport, real_packages: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in CHANNELS:
        mod = m.resolve(name, "dbbs", "0").mechanism.path
        shutil.copy(mod, model / f"{name}.mod")
    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [tools / "nrnivmodl"],
        cwd=model,
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
        timeout=300,
    )
    ours = trace(BY_US, tmp_path, str(real_packages))
    by_hand = trace(BY_HAND, model, "")
    assert len(ours) > 2400
    crossings = sum(a < 0 <= b for a, b in pairwise(ours))
    assert crossings >= 1
    assert ours == by_hand
