"""Trees that are served: what a page is sent of one, and where its layer is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from starlette.testclient import TestClient

import nibabel_data.viewer as v
from nibabel_data.errors import MissingFileError, ViewerError
from nibabel_data.viewer import multires, server, serving
from nibabel_data.viewer.guard import Guard
from nibabel_data.viewer.trees import is_tree, open_tree, tree_layer

HOST = "http://127.0.0.1:8000"
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 3, -20], [0, 4, 0, 7], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of trees: an image, as OME-Zarr and packed too, and labels."""
    folder = tmp_path_factory.mktemp("trees")
    voxels = np.random.default_rng(0).random((70, 50, 60)).astype("f4")
    image = nibabel.Nifti1Image(voxels, AFFINE)  # type: ignore[no-untyped-call]
    labels = np.zeros((60, 50, 70), "u4")
    labels[10:20, 10:30, 5:40] = 7
    v.precompute(image, folder / "image")
    v.precompute(image, folder / "packed", gzip=True)
    v.precompute(image, folder / "ome", format="ome-zarr")
    v.precompute(labels, folder / "labels", labels={7: ("seven", "#ff0000")}, units="um")
    return folder


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    with v.Viewer() as viewer:
        yield viewer
    v.stop()


@pytest.fixture
def page(viewer: v.Viewer) -> TestClient:
    app = server.make_app(serving.registry(), Guard())
    return TestClient(app, base_url=HOST, follow_redirects=False)


def _files(viewer: v.Viewer, name: str) -> str:
    key: str = viewer._layers[name].sources[0].key
    return f"/neuroglancer/files/{key}"


def test_a_tree_is_a_layer_in_the_place_of_its_image(trees: Path, viewer: v.Viewer) -> None:
    image = nibabel.Nifti1Image(np.ones((70, 50, 60), "f4"), AFFINE)  # type: ignore[no-untyped-call]
    viewer.add(image, name="live")
    name = viewer.add(trees / "image")
    live, tree = viewer.state["layers"]
    assert (name, tree["type"]) == ("image", "image")
    assert tree["source"][0]["url"].startswith("precomputed://http")
    assert tree["source"][0]["transform"] == live["source"][0]["transform"]
    assert tree["shaderControls"]["normalized"]["range"][0] >= 0
    viewer.add(open_tree(trees / "ome"), name="ome")
    assert viewer.state["layers"][2]["source"][0]["url"].startswith("zarr3://http")


def test_names_and_colours_come_with_a_tree_of_labels(trees: Path, viewer: v.Viewer) -> None:
    viewer.add(trees / "labels", segments=[7])
    layer = viewer.state["layers"][0]
    assert layer["type"] == "segmentation"
    assert layer["segmentColors"] == {"7": "#ff0000"}
    assert layer["segments"] == ["7"]
    assert viewer.dimensions["x"] == [1e-6, "m"]


def test_what_is_said_of_a_tree_counts_more(trees: Path, viewer: v.Viewer) -> None:
    viewer.add(trees / "image", name="mine", window=(2, 3))
    layer = viewer.state["layers"][0]
    assert layer["name"] == "mine"
    assert layer["shaderControls"]["normalized"]["range"] == [2, 3]


def test_files_are_sent_as_they_are(trees: Path, viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(trees / "image")
    files = _files(viewer, "image")
    info = page.get(f"{files}/info")
    assert info.status_code == 200
    key = info.json()["scales"][0]["key"]
    name = f"{key}/64-70_0-50_0-60"
    chunk = page.get(f"{files}/{name}")
    assert chunk.content == (trees / "image" / name).read_bytes()
    assert "content-encoding" not in chunk.headers
    assert page.get(f"{files}/{key}/0-1_0-1_0-1").status_code == 404


def test_packed_files_are_sent_packed(trees: Path, viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(trees / "packed")
    files = _files(viewer, "packed")
    key = page.get(f"{files}/info").json()["scales"][0]["key"]
    chunk = page.get(f"{files}/{key}/64-70_0-50_0-60")
    assert chunk.headers["content-encoding"] == "gzip"
    assert chunk.content == (trees / "image" / key / "64-70_0-50_0-60").read_bytes()


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-3", 0, 4),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=2-99999999", 2, None),
    ],
)
def test_parts_of_a_file_are_sent(
    trees: Path, viewer: v.Viewer, page: TestClient, asked: str, begin: int, end: int | None
) -> None:
    viewer.add(open_tree(trees / "ome"), name="ome")
    name = "0/zarr.json"
    whole = (trees / "ome" / name).read_bytes()
    part = page.get(f"{_files(viewer, 'ome')}/{name}", headers={"range": asked})
    assert part.status_code == 206
    assert part.content == whole[begin:end]
    first = begin % len(whole)
    last = first + len(part.content) - 1
    assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_a_part_behind_the_end_is_refused(trees: Path, viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(trees / "image")
    refused = page.get(f"{_files(viewer, 'image')}/info", headers={"range": "bytes=99999-"})
    assert refused.status_code == 416
    assert refused.headers["content-range"].startswith("bytes */")


def test_a_mesh_that_is_not_there_is_empty_rather_than_missing(
    trees: Path, viewer: v.Viewer, page: TestClient
) -> None:
    viewer.add(trees / "labels")
    files = _files(viewer, "labels")
    assert page.get(f"{files}/mesh/8:0").json() == {"fragments": []}
    empty = page.get(f"{files}/mesh/8.index")
    assert empty.content == multires.EMPTY.manifest
    assert page.get(f"{files}/mesh/8").status_code == 404


def test_nothing_outside_of_the_tree_is_sent(
    trees: Path, viewer: v.Viewer, page: TestClient, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    v.precompute(np.ones((9, 9, 9), "u1"), tree, voxel_size=1)
    (tmp_path / "secret").write_text("secret")
    (tree / "link").symlink_to(tmp_path / "secret")
    (tree / "folder").symlink_to(tmp_path)
    (tree / ".hidden").write_text("secret")
    viewer.add(tree)
    files = _files(viewer, "tree")
    for name in (
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "link",
        "folder/secret",
        ".hidden",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "1_1_1/../../secret",
        "info%00",
        "1_1_1",
        "",
    ):
        answer = page.get(f"{files}/{name}")
        assert answer.status_code == 404, name
        assert b"secret" not in answer.content


def test_a_tree_that_is_removed_is_sent_no_more(
    trees: Path, viewer: v.Viewer, page: TestClient
) -> None:
    viewer.add(trees / "image")
    files = _files(viewer, "image")
    viewer.remove("image")
    assert page.get(f"{files}/info").status_code == 404


def test_a_tree_of_another_program_is_shown_as_it_says(
    trees: Path, viewer: v.Viewer, tmp_path: Path
) -> None:
    (tmp_path / "info").write_text('{"type": "segmentation"}')
    layer = tree_layer(open_tree(tmp_path), "theirs")
    assert layer.state["type"] == "segmentation"
    assert is_tree(tmp_path)
    (tmp_path / "nibabel-data.json").write_text('{"layer": {"type": "evil"}, "transform": 3}')
    layer = tree_layer(open_tree(tmp_path), "theirs")
    assert layer.state["type"] == "segmentation"
    assert "transform" not in layer.state["source"][0]


def test_what_is_no_tree_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such directory"):
        open_tree(tmp_path / "none")
    with pytest.raises(ViewerError, match="neither info .* nor zarr.json .*\n.*nibabel-data prec"):
        open_tree(tmp_path)
    assert not is_tree(tmp_path)


def test_an_array_file_is_shown_by_its_path(tmp_path: Path, viewer: v.Viewer) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 5, 6), "u1"))
    viewer.add(tmp_path / "a.npy", voxel_size=1, units="mm")
    volume = viewer._layers[viewer.layers[0]].volume
    assert volume is not None
    assert volume.shape == (6, 5, 4)
    assert json.dumps(viewer.state)
