"""Surfaces: where they are, and the bytes that the client takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel import gifti
from nibabel.affines import apply_affine
from nibabel.freesurfer import write_geometry

from nibabel_data.errors import MissingFileError, ViewerError
from nibabel_data.viewer.surfaces import Mesh, read_mesh

from .samples import nilearn

VERTICES = np.array([[0, 0, 0], [10, 0, 0], [0, 20, 0], [0, 0, 30.5]], np.float32)
TRIANGLES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
CENTER = (5.5, -17, 19.25)
AFFINE = np.array([[-2, 0.2, 0, 90], [0.1, 2, 0.3, -126], [0, 0.4, 2.5, -72], [0, 0, 0, 1]])


def surface(
    path: Path,
    space: int = 0,
    target: int = 0,
    matrix: Any = None,
    meta: dict[str, str] | None = None,
) -> Path:
    system = gifti.GiftiCoordSystem(space, target, np.eye(4) if matrix is None else matrix)
    points = gifti.GiftiDataArray(
        VERTICES, "NIFTI_INTENT_POINTSET", coordsys=system, meta=gifti.GiftiMetaData(meta or {})
    )
    faces = gifti.GiftiDataArray(TRIANGLES, "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32")
    gifti.GiftiImage(darrays=[points, faces]).to_filename(path)
    return path


FREESURFER = {f"VolGeomC_{axis}": str(value) for axis, value in zip("RAS", CENTER, strict=True)}


@pytest.mark.parametrize(
    ("space", "target", "center", "expected"),
    [
        (1, 1, None, VERTICES),  # the scanner's already: neither matrix nor centre
        (0, 1, None, apply_affine(AFFINE, VERTICES)),
        (3, 1, None, apply_affine(AFFINE, VERTICES)),
        (0, 3, None, VERTICES + np.float32(CENTER)),  # as FreeSurfer writes it
        (0, 3, False, VERTICES),
        (3, 3, None, VERTICES),
        (3, 3, True, VERTICES + np.float32(CENTER)),
    ],
)
def test_gifti(space: int, target: int, center: Any, expected: Any, tmp_path: Path) -> None:
    path = surface(tmp_path / "lh.surf.gii", space, target, AFFINE, FREESURFER)
    mesh = read_mesh(path, center=center)
    assert np.allclose(mesh.vertices, expected, atol=1e-4)
    assert np.array_equal(mesh.triangles, TRIANGLES)
    assert (mesh.vertices.dtype, mesh.triangles.dtype) == (np.float32, np.uint32)
    assert mesh.name == "lh"


def test_a_gifti_that_does_not_say_where_it_is(tmp_path: Path) -> None:
    mesh = read_mesh(surface(tmp_path / "a.gii"))
    assert np.array_equal(mesh.vertices, VERTICES)
    assert "does not say" in mesh.remarks[0]


def test_a_gifti_without_a_surface(tmp_path: Path) -> None:
    path = tmp_path / "a.gii"
    gifti.GiftiImage(
        darrays=[gifti.GiftiDataArray(VERTICES[:, 0], "NIFTI_INTENT_SHAPE")]
    ).to_filename(path)
    with pytest.raises(ViewerError, match="no surface"):
        read_mesh(path)


def test_freesurfer(tmp_path: Path) -> None:
    about = {
        "head": np.array([2, 0, 20]),
        "valid": "1  # volume info valid",
        "filename": "orig.mgz",
        "volume": np.array([256, 256, 256]),
        "voxelsize": np.ones(3),
        "xras": np.array([-1.0, 0, 0]),
        "yras": np.array([0.0, 0, -1]),
        "zras": np.array([0.0, 1, 0]),
        "cras": np.array(CENTER),
    }
    path = tmp_path / "lh.pial"
    write_geometry(path, VERTICES, TRIANGLES, volume_info=about)
    mesh = read_mesh(path)
    assert np.allclose(mesh.vertices, VERTICES + np.float32(CENTER))
    assert np.array_equal(mesh.triangles, TRIANGLES)
    assert (mesh.name, mesh.remarks) == ("lh.pial", ())
    assert np.array_equal(read_mesh(path, center=False).vertices, VERTICES)
    about["valid"] = "0  # volume info invalid"
    write_geometry(path, VERTICES, TRIANGLES, volume_info=about)
    assert np.array_equal(read_mesh(path).vertices, VERTICES)
    write_geometry(path, VERTICES, TRIANGLES)
    mesh = read_mesh(path)
    assert np.array_equal(mesh.vertices, VERTICES)
    assert "shown around 0" in mesh.remarks[0]


@pytest.mark.parametrize("name", ["lh.pial", "a.gii", "a.gii.gz"])
@pytest.mark.parametrize("content", [b"", b"no surface", b"\xff\xff\xfe" + b"\0" * 40])
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(MissingFileError):
        read_mesh(path)
    path.write_bytes(content)
    with pytest.raises(ViewerError, match=name):
        read_mesh(path)


def test_the_bytes_of_a_mesh() -> None:
    content = Mesh(VERTICES, TRIANGLES).encode()
    assert int.from_bytes(content[:4], "little") == 4
    vertices = np.frombuffer(content, "<f4", 12, 4).reshape(4, 3)
    assert np.array_equal(vertices, VERTICES * 1e6)
    assert np.array_equal(np.frombuffer(content, "<u4", offset=52).reshape(-1, 3), TRIANGLES)
    assert Mesh(np.empty((0, 3)), np.empty((0, 3), int)).encode() == b"\0" * 4  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("vertices", "triangles", "said"),
    [
        (VERTICES[:, :2], TRIANGLES, r"shape \(n, 3\)"),
        (VERTICES * np.nan, TRIANGLES, "finite"),
        (VERTICES, TRIANGLES + 1, "not there"),
        (VERTICES, -TRIANGLES, "not there"),
        (VERTICES, TRIANGLES[:, :2], "whole numbers"),
        (VERTICES, TRIANGLES / 2, "whole numbers"),
        ([["a"]], TRIANGLES, "triples"),
    ],
)
def test_what_is_no_mesh(vertices: Any, triangles: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        Mesh(vertices, triangles)


def test_the_surface_of_nilearn() -> None:
    path = nilearn("fsaverage5/pial_left.gii.gz")
    mesh = read_mesh(path)
    assert mesh.vertices.shape == (10242, 3)
    assert mesh.triangles.shape == (20480, 3)
    assert mesh.vertices[:, 0].max() < 10  # the left hemisphere is on the left
    assert np.array_equal(mesh.vertices, nibabel.load(path).darrays[0].data)
