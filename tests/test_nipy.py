"""The real nipy, with this library in place of ``nibabel.data``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import MakePackage, run_python

pytest.importorskip("nipy", reason="needs nipy: pip install nipy")

USE = """
import sys, warnings
warnings.simplefilter("ignore")
import nibabel_data
sys.modules['nibabel.data'] = nibabel_data
import nipy.utils
from nipy.utils import HAVE_EXAMPLE_DATA, HAVE_TEMPLATES, example_data, templates
assert nipy.utils.DataError is nibabel_data.DataError
assert type(templates).__module__.startswith('nibabel_data'), type(templates)
"""


def test_nipy_imports_without_its_data() -> None:
    out = run_python(
        USE + "print(HAVE_TEMPLATES, HAVE_EXAMPLE_DATA, hasattr(templates, 'get_filename'))\n"
        "try: templates.get_filename('ICBM152', '2mm', 'T1.nii.gz')\n"
        "except nibabel_data.DataError as error: print(error)"
    )
    assert out.startswith("False False False\n")
    assert "nipy-templates" in out
    assert "You can download and install the package from:" in out


def test_nipy_finds_its_data(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_package(files=("ICBM152/2mm/T1.nii.gz",))
    make_package(relpath="nipy/data", version="0.10", files=("fiac/fiac0/run1.nii.gz",))
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    out = run_python(
        USE + "print(HAVE_TEMPLATES, HAVE_EXAMPLE_DATA)\n"
        "print(templates.get_filename('ICBM152', '2mm', 'T1.nii.gz'))\n"
        "print(example_data.version < '0.4', templates.version < '0.4')"
    )
    template = os.path.join(root, "nipy", "templates", "ICBM152", "2mm", "T1.nii.gz")
    assert out.splitlines() == ["True True", template, "False True"]


def test_nipy_refuses_data_that_are_too_old(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(make_package(version="0.2")))
    out = run_python(USE + "print(HAVE_TEMPLATES, bool(templates)); print(templates.msg)")
    assert out.startswith("False False\n")
    assert "version 0.2, but >=0.3 is needed" in out


def test_a_real_image_through_nipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    import nipy

    image = Path(nipy.__file__).parent / "testing" / "anatomical.nii.gz"
    place = tmp_path / "root" / "nipy" / "templates" / "ICBM152" / "2mm"
    place.mkdir(parents=True)
    shutil.copy(image, place / "T1.nii.gz")
    (place.parents[1] / "config.ini").write_text("[DEFAULT]\nversion = 0.3\n")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    out = run_python(
        USE + "from nipy import load_image\n"
        "print(load_image(templates.get_filename('ICBM152', '2mm', 'T1.nii.gz')).shape)"
    )
    assert out == "(33, 41, 25)\n"
