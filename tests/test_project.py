"""What the project ships: wheel, sdist, ``setup.py``, the example package, a classic package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from nibabel_data import __version__, make_datasource

from .conftest import PROJECT

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project's files, so that building leaves nothing behind."""
    target = tmp_path_factory.mktemp("checkout") / "project"
    if not (PROJECT / ".git").exists():
        pytest.skip("needs the git checkout: git clone the project, rather than an sdist of it")
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=PROJECT)
    for name in names.splitlines():
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    return target


@pytest.fixture
def python(tmp_path: Path) -> Path:
    venv.create(tmp_path / "env", with_pip=False)
    return tmp_path / "env" / "bin" / "python"


def test_the_wheel_has_the_example_and_needs_two_packages(checkout: Path, tmp_path: Path) -> None:
    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, checkout)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"nibabel_data-{__version__}.dist-info/METADATA").decode()
    assert "nibabel_data/py.typed" in names
    assert "nibabel_data/example/nipy/examplepkg/image.nii.gz" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "setup"))]
    needed = [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist") and ";" not in line
    ]
    assert [line.split()[1].split(">")[0] for line in needed] == ["packaging", "platformdirs"]


def test_an_installed_wheel_runs_the_demo(checkout: Path, python: Path, tmp_path: Path) -> None:
    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, checkout)
    (wheel,) = tmp_path.glob("*.whl")
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel)
    import packaging
    import platformdirs

    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    for module in (packaging, platformdirs):
        (site / module.__name__).symlink_to(module.__path__[0])
    out = run(python.with_name("nibabel-data"), "demo", cwd=tmp_path)
    assert "nipy/examplepkg" in out
    assert "DataError: no data package" in out


def test_the_sdist_builds_and_has_the_tests(checkout: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "-q", "-s", "-n", "-o", tmp_path, cwd=checkout)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"setup.py", "LICENSE", "tests/test_locate.py", "examples/nipy-examplepkg/LICENSE"} <= (
        names
    )
    assert not [name for name in names if "__pycache__" in name]
    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, sdist)
    assert list(tmp_path.glob("*.whl"))


def test_setup_py_install_ends_with_the_check(checkout: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=False)
    python = tmp_path / "env" / "bin" / "python"
    import packaging
    import platformdirs
    import setuptools

    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    parent = Path(setuptools.__path__[0]).parent
    for part in (*parent.glob("setuptools*"), *parent.glob("_distutils_hack")):
        (site / part.name).symlink_to(part)
    for module in (packaging, platformdirs):
        (site / module.__name__).symlink_to(module.__path__[0])
    record = tmp_path / "record.txt"
    options = ["--single-version-externally-managed", f"--record={record}"]
    out = run(python, "setup.py", "-q", "install", *options, cwd=checkout)
    assert "optional data: no data package 'nipy/templates' (version >=0.3)" in out
    assert "nibabel-data config add DIRECTORY" in out
    assert "nibabel_data/example/nipy/examplepkg/config.ini" in record.read_text()
    staged = run(python, "setup.py", "-q", "install", *options, "--root=stage", cwd=checkout)
    assert "optional data" not in staged  # a packager's staging directory is no installation


def test_the_example_package(tmp_path: Path, python: Path) -> None:
    source = shutil.copytree(PROJECT / "examples" / "nipy-examplepkg", tmp_path / "source")
    sums = []
    for number in (1, 2):
        out = tmp_path / f"wheel{number}"
        run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", out, source)
        (wheel,) = out.glob("*.whl")
        sums.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert sums[0] == sums[1]
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel)
    root = python.parents[1] / "share" / "nipy"
    package = make_datasource("nipy/examplepkg==0.1", root)
    import nibabel

    image = nibabel.load(package.path("image.nii.gz", must_exist=True))
    labels = nibabel.load(package.path("labels.nii.gz", must_exist=True))
    assert image.shape == labels.shape == (32, 36, 30)
    assert image.affine[:3, 3].tolist() == [-62, -80, -52]
    assert {"LICENSE", "CITATION.cff", "README.rst"} <= set(package.list_files())


def test_the_example_image_is_what_its_script_makes(tmp_path: Path) -> None:
    import gzip

    example = PROJECT / "examples" / "nipy-examplepkg"
    run(sys.executable, example / "make_image.py", tmp_path)
    for name in ("image.nii.gz", "labels.nii.gz"):
        kept = (example / "nipy" / "examplepkg" / name).read_bytes()
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress(kept)


@pytest.mark.parametrize("place", [".", "nipy/examplepkg"])
def test_the_example_citation_is_valid(place: str) -> None:
    file = PROJECT / "examples" / "nipy-examplepkg" / place / "CITATION.cff"
    run(Path(sys.executable).with_name("cffconvert"), "--validate", "-i", file)


def test_our_citation_is_valid_and_of_this_version() -> None:
    file = PROJECT / "CITATION.cff"
    run(Path(sys.executable).with_name("cffconvert"), "--validate", "-i", file)
    assert f"version: {__version__}\n" in file.read_text()


def test_a_classic_package_with_setup_py(tmp_path: Path, python: Path) -> None:
    source = shutil.copytree(PROJECT / "tests" / "packages" / "classic-datapkg", tmp_path / "src")
    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel)
    package = make_datasource(
        {"relpath": "nipy/classicpkg", "min version": "0.2"}, python.parents[1] / "share" / "nipy"
    )
    assert package.version == "0.2"
    assert package.list_files() == ["config.ini", os.path.join("tables", "values.txt")]
