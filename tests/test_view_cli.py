"""``nibabel-data view``: what it shows, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

VIEW = [sys.executable, "-m", "nibabel_data", "view"]

needs_view = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("numpy", "nibabel", "neuroglancer", "uvicorn")),
    reason="needs the viewer: pip install 'nibabel-data[view]'",
)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VIEW, *map(str, words)], capture_output=True, text=True, check=False)


def test_nothing_to_show_is_wrong_usage() -> None:
    result = run()
    assert (result.returncode, result.stdout) == (2, "")
    assert "name a file or a package, or say --demo" in result.stderr


def test_a_file_that_is_not_there() -> None:
    result = run("./brain.nii.gz")
    assert result.returncode == 1
    assert "no such file: ./brain.nii.gz" in result.stderr


def test_a_package_that_is_not_there() -> None:
    result = run("lab/atlas", "T1.nii.gz")
    assert result.returncode == 1
    assert "no data package 'lab/atlas'" in result.stderr


def test_a_package_without_a_file(
    make_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path / "data", "lab/atlas", "0.1")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "data"))
    result = run("lab/atlas")
    assert result.returncode == 1
    assert "which file of lab/atlas?" in result.stderr


@needs_view
def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "brain.nii").write_text("no image")
    result = run(tmp_path / "brain.nii", "--no-browser")
    assert result.returncode == 1
    assert "brain.nii" in result.stderr
    assert "Traceback" not in result.stderr


@needs_view
def test_an_image_is_served_until_ctrl_c(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    image = nibabel.Nifti1Image(np.ones((4, 5, 6), "u1"), np.eye(4))  # type: ignore[no-untyped-call]
    nibabel.save(image, tmp_path / "brain.nii.gz")
    words = [*VIEW, str(tmp_path / "brain.nii.gz"), "--no-browser"]
    command = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command, *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url, timeout=30) as page:
        assert b"<html" in page.read().lower()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()


@needs_view
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
@pytest.mark.skipif(find_spec("nilearn") is None, reason="needs nilearn, which has the brain")
def test_the_demo_shows_a_brain_with_its_tissues(tmp_path: Path) -> None:
    result = run("--demo", "--screenshot", tmp_path / "brain.png")
    assert result.returncode == 0, result.stderr
    image = pytest.importorskip("PIL.Image")
    with image.open(tmp_path / "brain.png") as picture:
        pixels = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 24)}
    assert len(pixels) > 300  # a brain, and not an empty page
    assert any(r > 120 and r > 1.5 * b for r, _, b in pixels)  # grey matter is orange
    assert any(b > 100 and b > 1.15 * g and b > r for r, g, b in pixels)  # white matter, purple


@needs_view
def test_a_page_is_saved_that_needs_no_server(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "cells.npy", np.arange(60, dtype="u1").reshape(3, 4, 5))
    result = run(tmp_path / "cells.npy", "--save", tmp_path / "cells.html")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'cells.html'}\n"), result.stderr
    assert "<html" in (tmp_path / "cells.html").read_text()


@needs_view
def test_an_array_in_a_file_of_hdf5_is_named_with_the_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        file["a/b"] = [[[1, 2], [3, 4]]]
        file["c"] = [[[1, 2], [3, 4]]]
    result = run(f"{tmp_path / 'cells.h5'}:/a/b", "--save", tmp_path / "cells.html")
    assert result.returncode == 0, result.stderr
    result = run(tmp_path / "cells.h5", "--save", tmp_path / "cells.html")
    assert result.returncode == 1
    assert f"Name one of them:  {tmp_path / 'cells.h5'}:/a/b" in result.stderr


@needs_view
def test_the_port_is_chosen_for_a_tunnel(tmp_path: Path) -> None:
    import socket

    import numpy as np

    np.save(tmp_path / "cells.npy", np.ones((3, 4, 5), "u1"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(tmp_path / "cells.npy", "--no-browser", "--port", port)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Name another port, or none" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a.nii", "--port", "65536"], "'65536' is not a port: give a number from 0 to 65535"),
        (["a.nii", "--timeout", "-3"], "'-3' is not a time: give a number of seconds"),
        (["--demo", "a.nii"], "name a file, or say --demo, not both"),
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], text: str) -> None:
    result = run(*words)
    assert result.returncode == 2
    assert text in result.stderr


@needs_view
def test_a_directory_that_is_no_image_says_what_can_be_named(tmp_path: Path) -> None:
    result = run(tmp_path, "--save", tmp_path / "a.html")
    assert result.returncode == 1
    assert "It is a directory: name an image in it" in result.stderr


@needs_view
def test_a_line_of_labels_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "cells.npy", np.ones((3, 4, 5), "u4"))
    (tmp_path / "cells.tsv").write_text("index\tname\n1\tsoma\nx\taxon\n")
    result = run(
        tmp_path / "cells.npy", "--labels", tmp_path / "cells.tsv", "--save", tmp_path / "a.html"
    )
    assert result.returncode == 0
    assert f"warning: {tmp_path / 'cells.tsv'}, line 3: 'x' is not a whole number" in result.stderr


@needs_view
@pytest.mark.parametrize("option", ["--screenshot", "--save"])
def test_a_file_is_not_written_where_it_cannot_be(tmp_path: Path, option: str) -> None:
    import numpy as np

    np.save(tmp_path / "cells.npy", np.ones((3, 4, 5), "u1"))
    for place in (tmp_path / "nowhere" / "a", tmp_path):
        result = run(tmp_path / "cells.npy", option, place)
        assert result.returncode == 1
        assert f"{place} cannot be written: name a file in a directory" in result.stderr


@needs_view
def test_an_image_that_is_cut_off_is_named(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    voxels = np.random.default_rng(0).integers(0, 99, (30, 30, 30), "u1")
    image = nibabel.Nifti1Image(voxels, np.eye(4))  # type: ignore[no-untyped-call]
    nibabel.save(image, tmp_path / "whole.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "whole.nii.gz").read_bytes()[:9000])
    result = run(tmp_path / "cut.nii.gz", "--save", tmp_path / "a.html")
    assert result.returncode == 1
    assert f"the voxels of {tmp_path / 'cut.nii.gz'} cannot be read" in result.stderr
    assert "Traceback" not in result.stderr
