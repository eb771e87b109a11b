"""``demo``: the main job on real input, in a temporary prefix that is removed again."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..explanation import explain
from ..locate import make_datasource
from .output import paint, shown

__all__ = ["BRAIN", "demo", "nilearn_images"]

BRAIN = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def demo(arguments: argparse.Namespace) -> int:
    """Lay out a data package, locate it, load its image, and show the error for another."""
    found = None if arguments.example else nilearn_images(BRAIN)
    brain = None if found is None else found[0]
    example = _example_package() if brain is None else None
    if brain is None and example is None:
        print(
            "nibabel-data: the demo needs the MNI brain that nilearn carries: "
            "pip install 'nibabel-data[demo]'",
            file=sys.stderr,
        )
        return 1
    prefix = tempfile.mkdtemp(prefix="nibabel-data-demo-")
    before = os.environ.get("NIPY_DATA_PATH")
    try:
        root = Path(prefix, "share", "nipy")
        if brain is not None:
            relpath = "nipy/templates"
            parts: tuple[str, ...] = ("ICBM152", "1mm", "T1.nii.gz")
            _step(f"lay out {brain.name} (a real 1 mm brain) as the data package {relpath} 0.3")
            _lay_out_templates(brain, root)
        else:
            assert example is not None
            relpath, parts = "nipy/examplepkg", ("image.nii.gz",)
            why = "as asked" if arguments.example else "nilearn with its brain is not here"
            _step(f"lay out the example package {relpath} ({why})")
            shutil.copytree(example, root / relpath)
        _step(f"point the search path there: NIPY_DATA_PATH={root}")
        os.environ["NIPY_DATA_PATH"] = str(root)
        _locate_and_load(relpath, parts)
        _show_missing()
    finally:
        if before is None:
            os.environ.pop("NIPY_DATA_PATH", None)
        else:
            os.environ["NIPY_DATA_PATH"] = before
        shutil.rmtree(prefix)
    _step(f"removed {prefix}")
    return 0


def _locate_and_load(relpath: str, parts: tuple[str, ...]) -> None:
    _step(f"make_datasource({relpath!r})")
    package = make_datasource(relpath)
    print(f"    {package!r}")
    _step("why there: explain")
    print(_indented(explain(relpath).text()))
    filename = package.get_filename(*parts)
    arguments = ", ".join(map(repr, parts))
    _step(f"nibabel.load(package.get_filename({arguments}))")
    try:
        import nibabel
    except ImportError:
        size = os.path.getsize(filename)
        print(f"    {filename}: {size} bytes (to load it: pip install nibabel)")
        return
    image: Any = nibabel.load(filename)
    print(f"    shape   {image.shape}, {image.get_data_dtype()}")
    print(_indented(f"affine  {image.affine}".replace("\n", "\n        "), "    "))


def _show_missing() -> None:
    _step("ask for a package that is not there")
    try:
        make_datasource(
            {
                "relpath": "nipy/template",
                "name": "nipy-template",
                "version": ">=0.4",
                "install hint": None,
            }
        )
    except DataError as error:
        print(_indented(f"DataError: {error}"))


def nilearn_images(*names: str) -> list[Path] | None:
    """Return images that nilearn carries; None if one of them is not here."""
    spec = find_spec("nilearn")  # found, not imported: that would take seconds
    if spec is None or spec.origin is None:
        return None
    paths = [Path(spec.origin).parent / "datasets" / "data" / name for name in names]
    return paths if all(path.is_file() for path in paths) else None


def _example_package() -> Path | None:
    """Return the example package: the one inside this installation, or in the source tree."""
    here = Path(__file__).resolve().parents[1]
    for place in (here / "example", here.parent / "examples" / "nipy-examplepkg"):
        if (place / "nipy" / "examplepkg" / "config.ini").is_file():
            return place / "nipy" / "examplepkg"
    return None


def _lay_out_templates(brain: Path, root: Path) -> None:
    package = root / "nipy" / "templates"
    image = package / "ICBM152" / "1mm" / "T1.nii.gz"
    image.parent.mkdir(parents=True)
    shutil.copy(brain, image)
    package.joinpath("config.ini").write_text("[DEFAULT]\nversion = 0.3\n")


def _step(text: str) -> None:
    print(paint(f"* {text}", "bold"))


def _indented(text: str, by: str = "    ") -> str:
    return "\n".join(by + line if line else "" for line in shown(text).split("\n"))
