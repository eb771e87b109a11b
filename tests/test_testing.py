"""``needs_data`` and the pytest plug-in, in real runs of pytest and unittest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import MakePackage, run_python

TESTS = """
import unittest
import pytest
from nibabel_data.testing import needs_data

@pytest.mark.needs_data('nipy/templates>=0.3')
def test_marked():
    pass

@pytest.mark.needs_data('nipy/templates', 'nipy/data')
def test_marked_with_two():
    pass

@needs_data('nipy/templates>=0.3')
def test_decorated():
    pass

@needs_data('nipy/data')
class TestClass:
    def test_one(self):
        pass

@needs_data('nipy/templates')
class TestOld(unittest.TestCase):
    def test_one(self):
        pass
"""


def run_pytest(directory: Path, *arguments: str) -> str:
    (directory / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [*command, "--strict-markers", "test_it.py"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


def test_tests_are_skipped_with_the_explanation(tmp_path: Path) -> None:
    out = run_pytest(tmp_path)
    assert "5 skipped" in out
    assert "no data package 'nipy/templates' (version >=0.3) on the data path" in out
    assert "nibabel-data config add DIRECTORY" in out


def test_tests_run_where_the_data_are(
    tmp_path: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(make_package()))
    assert "3 passed, 2 skipped" in run_pytest(tmp_path)
    make_package(relpath="nipy/data")
    assert "5 passed" in run_pytest(tmp_path)


def test_missing_data_can_be_a_failure(tmp_path: Path) -> None:
    out = run_pytest(tmp_path, "--needs-data=fail")
    assert "2 errors" in out or "2 failed" in out
    assert "no data package 'nipy/data' on the data path" in out


def test_unittest_alone(tmp_path: Path) -> None:
    code = (
        "import sys, unittest; from nibabel_data.testing import needs_data\n"
        "class T(unittest.TestCase):\n"
        "    @needs_data('nipy/templates')\n"
        "    def test_one(self): raise AssertionError\n"
        "result = unittest.TextTestRunner(stream=sys.stdout).run("
        "unittest.defaultTestLoader.loadTestsFromTestCase(T))\n"
        "print(result.skipped[0][1], 'pytest' in sys.modules)"
    )
    out = run_python(code)
    assert "no data package 'nipy/templates'" in out
    assert out.strip().endswith("False")


def test_a_marker_without_packages_is_wrong_usage(tmp_path: Path) -> None:
    for mark in ("needs_data", "needs_data()", "needs_data(relpath='a/b')"):
        code = f"import pytest\n@pytest.mark.{mark}\ndef test_it():\n    raise AssertionError\n"
        (tmp_path / "test_wrong.py").write_text(code)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_wrong.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "takes packages, and nothing else" in done.stdout + done.stderr


def test_unittest_runs_what_imports_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_old.py").write_text(
        "import unittest\nimport pytest\nfrom nibabel_data.testing import needs_data\n"
        "@needs_data('nipy/templates')\nclass TestOld(unittest.TestCase):\n"
        "    def test_one(self):\n        raise AssertionError\n"
    )
    command = [sys.executable, "-m", "unittest", "-v", "test_old"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "skipped=1" in done.stderr
