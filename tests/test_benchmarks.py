"""The benchmarks run, and say what they measured; no figure is tested."""

from __future__ import annotations

import json
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
