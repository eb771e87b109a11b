"""The benchmarks run, and say what they measured; no figure is tested."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PROJECT


def test_the_locator_is_measured_beside_its_peers(tmp_path: Path) -> None:
    pytest.importorskip("pooch", reason="needs pooch: pip install 'nibabel-data[test]'")
    readme = tmp_path / "README.rst"
    readme.write_text("a\n\n.. figures of locate: begin\n\nold\n\n.. figures of locate: end\n\nb\n")
    command = [sys.executable, PROJECT / "benchmarks" / "locate.py", "--quick"]
    options = ["--json", tmp_path / "out.json", "--readme", readme]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    assert {row["beside"] for row in facts["rows"]} >= {"nibabel.data", "python -c pass"}
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in facts["rows"])
    written = readme.read_text()
    assert "old" not in written
    assert "make_datasource again" in written
    assert written.startswith("a\n")
    assert written.endswith("b\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux does")
@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum, of GNU coreutils")
def test_packages_are_verified_installed_and_fetched_beside_other_tools(tmp_path: Path) -> None:
    for module in ("hatchling", "pooch"):
        pytest.importorskip(module, reason="needs pip install 'nibabel-data[test]'")
    readme = tmp_path / "README.rst"
    readme.write_text(
        "a\n\n.. figures of package: begin\n\nold\n\n.. figures of package: end\n\nb\n"
    )
    command = [sys.executable, PROJECT / "benchmarks" / "package.py", "--quick"]
    options = ["--json", tmp_path / "out.json", "--readme", readme]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    assert {row["beside"] for row in facts["rows"]} >= {"sha256sum", "os.stat", "pooch.retrieve"}
    assert {row.get("unit") for row in facts["rows"]} == {None, "B"}
    written = readme.read_text()
    assert "old" not in written
    assert "verify again" in written
    assert written.startswith("a\n")
    assert written.endswith("b\n")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_mechanisms_are_built_and_inserted_beside_the_compiler(tmp_path: Path) -> None:
    pytest.importorskip("neuron", reason="needs pip install 'nibabel-data[neuron]'")
    command = [sys.executable, PROJECT / "benchmarks" / "mechanisms.py", "--quick"]
    options = ["--without-glia", "--json", tmp_path / "out.json"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=600)
    if "pip', 'install'" in result.stderr:
        pytest.skip(f"pip cannot install the packages: {result.stderr.strip()[-200:]}")
    assert result.returncode == 0, result.stderr
    assert "not measured: nmodl-glia" in result.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    assert "--without-glia" in facts["machine"]["not measured"]
    assert {row["beside"] for row in facts["rows"]} >= {"by hand", "neuron, load, insert"}
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in facts["rows"])


def test_a_table_of_mechanisms_leaves_nothing_out(tmp_path: Path) -> None:
    command = [sys.executable, PROJECT / "benchmarks" / "mechanisms.py", "--without-glia"]
    options = ["--readme", tmp_path / "README.rst"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "a table is of one run" in result.stderr


def test_the_viewer_is_measured_beside_neuroglancer(tmp_path: Path) -> None:
    for module in ("neuroglancer", "uvicorn"):
        pytest.importorskip(module, reason="needs pip install 'nibabel-data[view]'")
    command = [sys.executable, PROJECT / "benchmarks" / "viewer.py", "--quick"]
    options = ["--only", "import,chunks", "--json", tmp_path / "out.json"]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    figures = {row["figure"].partition(",")[0] for row in facts["rows"]}
    assert figures >= {"import", "chunk of 64³ u8", "chunk of 64³ labels"}
    assert {row["beside"] for row in facts["rows"]} >= {"constant f32", "official f32"}
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in facts["rows"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--only", "import", "--readme", "README.rst"], "a table is of one run"),
        (["--only", "import,telepathy"], "'telepathy' is none of import, chunks"),
    ],
)
def test_a_table_of_the_viewer_leaves_nothing_out(options: list[str], why: str) -> None:
    pytest.importorskip("numpy", reason="needs pip install 'nibabel-data[view]'")
    command = [sys.executable, PROJECT / "benchmarks" / "viewer.py", *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert why in result.stderr
