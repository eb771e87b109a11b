"""Surfaces, tractograms and points: where they are, and the bytes that the client takes."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel import gifti, streamlines
from nibabel.affines import apply_affine
from nibabel.freesurfer import write_geometry

from nibabel_data.errors import DataError, MissingFileError, ViewerError
from nibabel_data.viewer.surfaces import (
    Mesh,
    Skeleton,
    points_layer,
    read_mesh,
    read_points,
    read_tracts,
)

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


@pytest.mark.parametrize("name", ["lh.pial", "a.gii", "a.gii.gz", "a.trk", "a.tck", "a.trx"])
@pytest.mark.parametrize("content", [b"", b"no surface", b"\xff\xff\xfe" + b"\0" * 40])
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    read: Any = read_tracts if name[2:] in ("trk", "tck", "trx") else read_mesh
    with pytest.raises(MissingFileError):
        read(path)
    path.write_bytes(content)
    with pytest.raises(ViewerError, match=name):
        read(path)


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


# Streamlines

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


# Points


def test_a_layer_of_points() -> None:
    layer = points_layer(np.array([[1, 2, 3], [4, 5, 6.5]]), ["a", "b"], color="#00ff00")
    assert layer == {
        "type": "annotation",
        "source": {
            "url": "local://annotations",
            "transform": {
                "outputDimensions": {"x": [1e-3, "m"], "y": [1e-3, "m"], "z": [1e-3, "m"]}
            },
        },
        "annotationColor": "#00ff00",
        "annotations": [
            {"type": "point", "id": "1", "point": [1, 2, 3], "description": "a"},
            {"type": "point", "id": "2", "point": [4, 5, 6.5], "description": "b"},
        ],
    }
    json.dumps(layer)
    assert points_layer([])["annotations"] == []


@pytest.mark.parametrize(
    ("points", "names", "said"),
    [([[1, 2]], None, "shape"), ([[1, 2, np.nan]], None, "finite"), ([[1, 2, 3]], [], "0 names")],
)
def test_what_is_no_point(points: Any, names: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        points_layer(points, names)


def test_tables_of_points(tmp_path: Path) -> None:
    path = tmp_path / "a_electrodes.tsv"
    path.write_text("name\tx\ty\tz\nA1\t1\t2\t3\nA2\tn/a\tn/a\tn/a\n\nA3\t4\t5\t6e0\nA4\t1\n")
    points, names, problems = read_points(path)
    assert points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert names == ("A1", "A3")
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{path}, line 3",
        f"{path}, line 6",
    ]
    path.write_text("a,b\n")
    with pytest.raises(ViewerError, match="x, y and z"):
        read_points(path)
    path.write_text("x,y,z\na,b,c\n")
    with pytest.raises(ViewerError, match="no point can be read"):
        read_points(path)
    with pytest.raises(DataError, match="no table of points"):
        read_points(tmp_path / "absent.csv")


# Real files


def nilearn(name: str) -> Path:
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs nilearn: pip install 'nibabel-data[demo]'")
    return Path(spec.origin).parent / "datasets" / "data" / name


def test_the_surface_of_nilearn() -> None:
    path = nilearn("fsaverage5/pial_left.gii.gz")
    mesh = read_mesh(path)
    assert mesh.vertices.shape == (10242, 3)
    assert mesh.triangles.shape == (20480, 3)
    assert mesh.vertices[:, 0].max() < 10  # the left hemisphere is on the left
    assert np.array_equal(mesh.vertices, nibabel.load(path).darrays[0].data)


def test_the_points_of_nilearn() -> None:
    points, names, problems = read_points(nilearn("dosenbach_2010.csv"))
    assert (points.shape, problems) == ((160, 3), ())
    assert (points[0].tolist(), names[0]) == ([6, 64, 3], "vmPFC")
    assert read_points(nilearn("power_2011.csv"))[0].shape == (264, 3)
