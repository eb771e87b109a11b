from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nibabel_data.cli import demo
from nibabel_data.cli.main import main


def test_a_real_brain_is_located_and_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nilearn", reason="needs nilearn: pip install 'nibabel-data[demo]'")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(os.listdir(tmp_path))
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for said in (
        "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
        "version 0.3",
        "NIPY_DATA_PATH",
        "get_filename('ICBM152', '1mm', 'T1.nii.gz')",
        "(197, 233, 189)",
        "-134.",
        "DataError: no data package 'nipy/template'",
        "Did you mean nipy/templates?",
    ):
        assert said in out
    assert set(os.listdir(tmp_path)) == before  # it removes what it made
    assert "NIPY_DATA_PATH" not in os.environ


def test_without_nilearn_the_example_package_is_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "nipy/examplepkg" in out
    assert "(32, 36, 30)" in out
    monkeypatch.setattr(demo, "_example_package", lambda: None)
    assert main(["demo"]) == 1
    assert "pip install 'nibabel-data[demo]'" in capsys.readouterr().err


def test_without_nibabel_the_file_is_found_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert main(["demo", "--example"]) == 0
    assert "pip install nibabel" in capsys.readouterr().out


def test_interrupted_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_locate_and_load", interrupt)
    before = set(os.listdir(tmp_path))
    assert main(["demo", "--example"]) == 130
    assert set(os.listdir(tmp_path)) == before


def test_the_shell_command(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("nibabel-data"))
    result = subprocess.run([command, "demo", "--example"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr == ""
