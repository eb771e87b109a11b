"""A wheel that carries the web client: ``python setup.py bundle_client``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q")
SHOW = """
import sys, urllib.request
from importlib.util import find_spec
assert find_spec("neuroglancer") is None
import numpy as np, nibabel_data.viewer as v
viewer = v.Viewer()
viewer.add(np.ones((4, 4, 4), "u1"))
page = urllib.request.urlopen(viewer.url).read().decode()
script = page.partition('src="')[2].partition('"')[0]
assert len(urllib.request.urlopen(viewer.url + script).read()) > 1000
viewer.save_html(sys.argv[1])
print(v.__file__)
v.stop()
"""

if not (PROJECT / ".git").exists():
    pytest.skip("needs the git checkout", allow_module_level=True)


def _run(*command: object, cwd: Path | None = None, status: int = 0) -> str:
    texts = list(map(str, command))
    done = subprocess.run(texts, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the files of which a wheel is made."""
    target = tmp_path / "project"
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in _run(*listed, cwd=PROJECT).splitlines():
        top = name.partition("/")[0]
        if (PROJECT / name).is_file() and top not in ("tests", "doc", "benchmarks"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    return target


def _wheel(checkout: Path, place: Path) -> set[str]:
    pip = (sys.executable, "-m", "pip", "wheel", *OFFLINE)
    _run(*pip, "-w", place, checkout)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    prefix = "nibabel_data/viewer/static/"
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def test_a_wheel_with_a_client_shows_without_neuroglancer(checkout: Path, tmp_path: Path) -> None:
    if find_spec("neuroglancer") is None:
        pytest.skip("needs a client to bundle")
    assert _wheel(checkout, tmp_path / "without") == set()
    told = _run(sys.executable, "setup.py", "-q", "bundle_client", cwd=checkout)
    assert "MB in " in told
    names = _wheel(checkout, tmp_path / "with")
    assert {"index.html", "LICENSE"} <= names
    assert not [name for name in names if name.endswith(".map")]
    licence = (checkout / "nibabel_data" / "viewer" / "static" / "LICENSE").read_text()
    assert "Apache License" in licence

    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (wheel,) = (tmp_path / "with").glob("*.whl")
    _run(sys.executable, "-m", "pip", "--python", python, "install", *OFFLINE, wheel)
    for found in Path(sysconfig.get_path("purelib")).iterdir():
        own = found.name.startswith(("neuroglancer", "nibabel_data", "__editable__"))
        if not (own or (site / found.name).exists() or found.suffix == ".pth"):
            (site / found.name).symlink_to(found)
    told = _run(python, "-c", SHOW, tmp_path / "page.html", cwd=tmp_path)
    assert told.strip().startswith(str(tmp_path / "env"))
    assert (tmp_path / "page.html").stat().st_size > 1_000_000


@pytest.fixture
def setup(tmp_path: Path) -> Path:
    """Return a tree in which there is no more than the command and its place."""
    target = tmp_path / "small"
    (target / "nibabel_data" / "viewer").mkdir(parents=True)
    shutil.copy2(PROJECT / "setup.py", target)
    return target


def _bundle(setup: Path, *options: object, status: int = 0) -> str:
    command = (sys.executable, "setup.py", "-q", "bundle_client", *options)
    return _run(*command, cwd=setup, status=status)


def test_a_client_is_taken_from_a_directory_or_a_wheel(setup: Path, tmp_path: Path) -> None:
    built = tmp_path / "built" / "dist" / "python"
    built.mkdir(parents=True)
    (built / "index.html").write_text("one")
    (built / "main.js.map").write_text("{}")
    static = setup / "nibabel_data" / "viewer" / "static"
    told = _bundle(setup, f"--from={built}", status=1)
    assert "has no file LICENSE: name it by --license=FILE" in told
    assert not static.exists()
    (tmp_path / "built" / "LICENSE").write_text("free")
    _bundle(setup, f"--from={built}")
    assert sorted(path.name for path in static.iterdir()) == ["LICENSE", "index.html"]
    wheel = tmp_path / "neuroglancer-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("neuroglancer/static/client/index.html", "two")
        archive.writestr("neuroglancer-9.dist-info/licenses/LICENSE", "freer")
    _bundle(setup, f"--from={wheel}")
    assert (static / "index.html").read_text() == "two"
    assert (static / "LICENSE").read_text() == "freer"
    told = _bundle(setup, f"--from={tmp_path}", status=1)
    assert "no built client" in told
    assert (static / "index.html").read_text() == "two"
    assert [path.name for path in static.parent.iterdir()] == ["static"]
