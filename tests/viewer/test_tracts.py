"""Tractograms: their streamlines, and the bytes that the client takes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel import streamlines
from nibabel.affines import apply_affine

from nibabel_data.errors import MissingFileError, ViewerError
from nibabel_data.viewer.tracts import Skeleton, read_tracts

AFFINE = np.array([[-2, 0.2, 0, 90], [0.1, 2, 0.3, -126], [0, 0.4, 2.5, -72], [0, 0, 0, 1]])
LINES = [
    np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32),
    np.array([[5, 5, 5]], np.float32),
    np.array([[0, 9, 0], [0, 9, 3]], np.float32),
]
EDGES = [[0, 1], [1, 2], [4, 5]]


@pytest.mark.parametrize("ending", ["trk", "tck"])
def test_streamlines(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    header = {"voxel_to_rasmm": AFFINE.astype(np.float32), "voxel_sizes": (2, 2, 2.5)}
    tractogram = streamlines.Tractogram(LINES, affine_to_rasmm=np.eye(4))
    streamlines.save(tractogram, str(path), header=header if ending == "trk" else None)
    skeleton = read_tracts(path)
    assert np.allclose(skeleton.vertices, np.concatenate(LINES), atol=1e-4)
    assert skeleton.edges.tolist() == EDGES
    assert (skeleton.name, skeleton.remarks) == ("a", ())


def test_no_streamlines(tmp_path: Path) -> None:
    path = tmp_path / "a.tck"
    streamlines.save(streamlines.Tractogram([], affine_to_rasmm=np.eye(4)), str(path))
    skeleton = read_tracts(path)
    assert (len(skeleton.vertices), len(skeleton.edges)) == (0, 0)


def trx(path: Path, *, last: bool = True, dtype: str = "float32", **header: Any) -> Path:
    points = np.concatenate(LINES).astype(dtype)
    offsets = np.array([0, 3, 4, 6][: None if last else -1], np.uint32)
    about = {"NB_VERTICES": 6, "NB_STREAMLINES": 3, **header}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(about))
        archive.writestr(f"positions.3.{dtype}", points.tobytes())
        archive.writestr("offsets.uint32", offsets.tobytes())
        archive.writestr("dps/weight.float32", b"\0" * 12)
    return path


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_trx(last: bool, dtype: str, tmp_path: Path) -> None:
    skeleton = read_tracts(trx(tmp_path / "a.trx", last=last, dtype=dtype))
    assert np.array_equal(skeleton.vertices, np.concatenate(LINES))
    assert skeleton.edges.tolist() == EDGES


@pytest.mark.parametrize(
    "header", [{"NB_VERTICES": 5}, {"NB_VERTICES": 10**6}, {"NB_VERTICES": "a"}]
)
def test_a_damaged_trx(header: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match="damaged|cannot be read"):
        read_tracts(trx(tmp_path / "a.trx", **header))


def test_a_trx_that_swells(tmp_path: Path) -> None:
    path = trx(tmp_path / "a.trx")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"NB_VERTICES": 1, "NB_STREAMLINES": 1}))
        archive.writestr("positions.3.float32", b"\0" * (10 << 20))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ViewerError, match="larger than the header says"):
        read_tracts(path)


def test_another_ending(tmp_path: Path) -> None:
    path = tmp_path / "a.fib"
    path.write_bytes(b"")
    with pytest.raises(ViewerError, match="not a tractogram"):
        read_tracts(path)


def test_too_many_streamlines_are_thinned_evenly(tmp_path: Path) -> None:
    lines = [np.float32([[i, 0, 0], [i, 1, 0], [i, 2, 0]]) for i in range(100)]
    path = tmp_path / "a.tck"
    streamlines.save(streamlines.Tractogram(lines, affine_to_rasmm=np.eye(4)), str(path))
    skeleton = read_tracts(path, most=30)
    assert skeleton.remarks == ("10 of 100 streamlines are shown",)
    firsts = skeleton.vertices[::3, 0]
    assert firsts.tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert len(skeleton.edges) == 20
    assert np.array_equal(read_tracts(path, most=30).vertices, skeleton.vertices)


def test_the_bytes_of_a_skeleton() -> None:
    skeleton = Skeleton(np.concatenate(LINES), np.array(EDGES, np.uint32))
    content = skeleton.encode()
    assert np.frombuffer(content, "<u4", 2).tolist() == [6, 3]
    assert np.array_equal(np.frombuffer(content, "<f4", 18, 8).reshape(6, 3), skeleton.vertices)
    assert np.frombuffer(content, "<u4", 6, 80).reshape(3, 2).tolist() == EDGES
    orientation = np.frombuffer(content, "<f4", 18, 104).reshape(6, 3)
    assert orientation.tolist() == [[1, 0, 0]] * 3 + [[0, 0, 0]] + [[0, 0, 1]] * 2
    info: Any = Skeleton.info()
    matrix = np.reshape(info["transform"], (3, 4))
    assert apply_affine(np.vstack((matrix, [0, 0, 0, 1])), [1, 2, 3]).tolist() == [1e6, 2e6, 3e6]
    assert [attribute["id"] for attribute in info["vertex_attributes"]] == ["orientation"]


@pytest.mark.parametrize("name", ["a.trk", "a.tck", "a.trx"])
@pytest.mark.parametrize("content", [b"", b"no surface", b"\xff\xff\xfe" + b"\0" * 40])
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(MissingFileError):
        read_tracts(path)
    path.write_bytes(content)
    with pytest.raises(ViewerError, match=name):
        read_tracts(path)
