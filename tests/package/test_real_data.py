"""Real atlases and a real brain, packaged, installed three ways, located, verified, damaged."""

from __future__ import annotations

import shutil
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from nibabel_data import make_datasource
from nibabel_data.package.build import build
from nibabel_data.package.install import install
from nibabel_data.package.new import new_package
from nibabel_data.package.verify import verify_directory

from ..test_installers import PIP, QUIET, run

MRICRON = Path("/usr/share/mricron/templates")


def brain() -> Path:
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs nilearn: pip install 'nibabel-data[demo]'")
    folder = Path(spec.origin).parent / "datasets" / "data"
    return folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def atlases() -> list[Path]:
    if not MRICRON.is_dir():
        pytest.skip("needs the atlases of mricron-data: apt-get install mricron-data")
    return sorted(MRICRON.glob("*.nii.gz"))[:4]


@pytest.mark.parametrize("kind", ["brain", "atlases"])
def test_from_images_to_a_damaged_bit(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    images = [brain()] if kind == "brain" else atlases()
    source = new_package("lab/images", tmp_path / "lab-images")
    for image in images:
        shutil.copy(image, source / "lab" / "images")
    _, wheel = build(source, tmp_path / "dist")
    roots = [tmp_path / "ours"]
    install(wheel, root=roots[0])
    for tool in ("pip", "uv"):
        venv.create(tmp_path / tool, with_pip=False)
        python = str(tmp_path / tool / "bin" / "python")
        if tool == "pip":
            run([*PIP, "--python", python, "install", *QUIET, str(wheel)])
        else:
            command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--offline"]
            run([*command, "--link-mode", "copy", "-p", python, str(wheel)])
        roots.append(tmp_path / tool / "share" / "nipy")
    for root in roots:
        package = make_datasource("lab/images==0.1", root)
        assert verify_directory(package.base_path).ok
        damaged = package.path(images[0].name, must_exist=True)
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        amiss = verify_directory(package.base_path).amiss
        assert [(check.path, check.state) for check in amiss] == [(images[0].name, "changed")]
