"""``nibabel-data precompute`` and ``serve``: what they write and say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "nibabel_data"]
MODULES = ("numpy", "nibabel", "neuroglancer", "uvicorn", "compressed_segmentation", "numcodecs")

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in MODULES),
    reason="needs precompute: pip install 'nibabel-data[precompute]'",
)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    import nibabel
    import numpy as np

    voxels = np.random.default_rng(0).integers(0, 255, (70, 80, 90), "u1")
    affine = np.diag((2.0, 2.0, 3.0, 1.0))
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "brain.nii.gz")  # type: ignore[no-untyped-call]
    return tmp_path / "brain.nii.gz"


def test_a_source_alone_is_wrong_usage() -> None:
    result = run("precompute", "brain.nii.gz")
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: nibabel-data precompute" in result.stderr
    assert "required: DEST" in result.stderr


def test_an_image_is_written_and_then_found_complete(image: Path, tmp_path: Path) -> None:
    result = run("precompute", image, tmp_path / "tree", "--jobs", 1)
    assert result.returncode == 0, result.stderr
    assert "tree: precomputed, image of 70 x 80 x 90, 3 scales" in result.stdout
    assert "1 task done" in result.stdout
    assert result.stderr == ""  # no bar in a pipe
    again = run("precompute", image, tmp_path / "tree", "--json")
    told = json.loads(again.stdout)
    assert (told["tasks"], told["done"]) == (1, 0)
    assert told["scales"] == [[1, 1, 1], [2, 2, 1], [4, 4, 2]]


def test_another_tree_is_replaced_only_if_it_is_said(image: Path, tmp_path: Path) -> None:
    words = ("precompute", image, tmp_path / "tree", "--jobs", 1)
    run(*words)
    refused = run(*words, "--format", "ome-zarr")
    assert refused.returncode == 1
    assert "is a tree of other parameters (brain).\nChoose another" in refused.stderr
    assert run(*words, "--format", "ome-zarr", "--overwrite").returncode == 0
    assert (tmp_path / "tree/zarr.json").exists()
    assert not (tmp_path / "tree/info").exists()


def test_the_file_of_a_package_is_written(
    make_package: Callable[..., Path], image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path / "data", "lab/atlas", "0.1")
    image.rename(package / "lab/atlas/T1.nii.gz")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "data"))
    result = run("precompute", "lab/atlas", "T1.nii.gz", tmp_path / "tree", "--jobs", 1)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "tree/nibabel-data.json").read_text())["name"] == "T1"


def test_labels_in_hdf5_have_names_and_meshes(tmp_path: Path) -> None:
    h5py: Any = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["seg"] = [[[0, 0, 0], [0, 7, 7], [0, 7, 7]]] * 3
    (tmp_path / "labels.tsv").write_text("index\tname\tcolor\n7\tseven\t#ff0000\n")
    words = ("--labels", tmp_path / "labels.tsv", "--voxel-size", "4,4,40", "--units", "nm")
    result = run("precompute", f"{tmp_path}/a.h5:/seg", tmp_path / "tree", *words, "--jobs", 1)
    assert result.returncode == 0, result.stderr
    assert "1 scale, 1 label" in result.stdout
    info = json.loads((tmp_path / "tree/info").read_text())
    assert info["scales"][0]["resolution"] == [4, 4, 40]
    assert any(path.name.startswith("7") for path in (tmp_path / "tree/mesh").iterdir())


def test_what_is_not_there_and_what_makes_no_sense_is_said(image: Path, tmp_path: Path) -> None:
    missing = run("precompute", "./none.nii", tmp_path / "tree")
    assert missing.returncode == 1
    assert "no such file: ./none.nii" in missing.stderr
    size = run("precompute", image, tmp_path / "tree", "--voxel-size", "big")
    assert size.returncode == 1
    assert "'big' is no voxel size: say 1 or, along x, y and z, 1,1,2.5" in size.stderr
    served = run("serve", tmp_path, "--no-browser")
    assert served.returncode == 1
    assert "Make one:  nibabel-data precompute SOURCE DEST" in served.stderr


@pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")
def test_on_a_terminal_there_is_a_bar(image: Path, tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = [*COMMAND, "precompute", str(image), str(tmp_path / "tree"), "--jobs", "1"]
    result = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=theirs, check=False)
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert result.returncode == 0
    assert "scales: " in said
    assert "0/1" in said


def _ctrl_c(words: list[str], **settings: Any) -> subprocess.Popen[str]:
    """Start a command that hears Ctrl-C, as in a terminal."""
    command = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    return subprocess.Popen([sys.executable, "-c", command, *words], text=True, **settings)


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_leaves_nothing_half_done_and_the_next_run_goes_on(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(1, 9, (520, 520, 400), "u8"))
    words = ["precompute", str(tmp_path / "a.npy"), str(tmp_path / "tree"), "--kind", "image"]
    words += ["--voxel-size", "1", "--jobs", "2"]
    process = _ctrl_c([*COMMAND, *words], stderr=subprocess.PIPE, start_new_session=True)
    done = tmp_path / "tree/.nibabel-data/done"
    deadline = time.monotonic() + 60
    while not (done.exists() and any(done.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert list((tmp_path / "tree/.nibabel-data/staged").iterdir()) == []
    before = len(list(done.iterdir()))
    told = json.loads(run(*words, "--json").stdout)
    assert before > 0
    assert told["done"] == told["tasks"] - before


def test_a_tree_is_served_until_ctrl_c(image: Path, tmp_path: Path) -> None:
    run("precompute", image, tmp_path / "tree", "--jobs", 1)
    words = [*COMMAND, "serve", str(tmp_path / "tree"), "--no-browser"]
    process = _ctrl_c(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url, timeout=30) as page:
        assert b"<html" in page.read().lower()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
