from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import client, export


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    with v.Viewer() as viewer:
        yield viewer
    v.stop()
    client.set_static_content_source()


def _page(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8").partition('id="page">')[2].partition("</script>")[0]
    page: dict[str, Any] = json.loads(text)
    return page


def _part(path: Path, name: str) -> bytes:
    match = re.search(f'id="{name}">([^<]*)<', path.read_text("utf-8"))
    assert match is not None
    return gzip.decompress(base64.b64decode(match[1]))


# States


def test_a_state_is_taken_up_by_another_viewer_with_layers_of_these_names(
    viewer: v.Viewer, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    array = np.zeros((4, 5, 6), "u4")
    viewer.add(array, name="cells", labels={3: "soma"}, segments=[3])
    viewer.position = (1, 2, 3)
    with viewer.txn() as state:
        state["layout"] = "xz"
        state["layers"][0]["selectedAlpha"] = 0.25
    viewer.save_state(path)
    with v.Viewer() as other:
        other.add(np.zeros((4, 5, 6), "u1"), name="more")
        other.add(array, name="cells", labels={3: "soma"})
        source = other.state["layers"][1]["source"]
        other.load_state(path)
        assert other.layers == ("cells", "more")
        assert (other.position, other.state["layout"]) == ((1, 2, 3), "xz")
        assert other.selected("cells") == (3,)
        assert other.state["layers"][0]["selectedAlpha"] == 0.25
        assert other.state["layers"][0]["source"] == source


def test_a_saved_state_has_neither_token_nor_key(viewer: v.Viewer, tmp_path: Path) -> None:
    viewer.add(np.zeros((4, 5, 6), "u4"), name="cells", labels={3: "soma"})
    with viewer.txn() as state:
        commit = "c0ffee" * 6 + "abcd"  # as long as a key
        state["layers"].append(
            {"type": "image", "name": "far", "source": f"zarr://https://e.org/{commit}"}
        )
    keys = [source.key for source in viewer._layers["cells"].sources]
    viewer.save_state(tmp_path / "state.json")
    text = (tmp_path / "state.json").read_text()
    assert commit in text
    assert not any(key in text for key in [viewer.token, *keys])


def test_a_state_of_which_the_data_are_not_there_says_which(
    viewer: v.Viewer, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    viewer.add(np.zeros((4, 5, 6), "u4"), name="cells")
    viewer.save_state(path)
    with v.Viewer() as other:
        with pytest.raises(ViewerError, match="add them first, by these names: 'cells'"):
            other.load_state(path)
        assert other.state == {}


@pytest.mark.parametrize("text", ["", "[]", '{"layers": 1}', '{"layers": [1]}', "\xff", "[" * 9999])
def test_what_is_no_state_is_not_taken_up(viewer: v.Viewer, tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text, "latin-1")
    with pytest.raises(ViewerError, match="is no saved state"):
        viewer.load_state(path)
    assert viewer.state == {}


def test_a_state_may_have_a_layer_without_data(viewer: v.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"layers": [{"name": "notes", "type": "annotation"}, {"name": "cells"}]}')
    viewer.add(np.zeros((4, 5, 6), "u4"), name="cells")
    source = viewer.state["layers"][0]["source"]
    viewer.load_state(path)
    assert viewer.state["layers"][0] == {"name": "notes", "type": "annotation"}
    assert viewer.state["layers"][1]["source"] == source


# Pages


def test_a_page_holds_the_voxels_as_the_client_reads_them(viewer: v.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    array = np.arange(70 * 5 * 6, dtype=">u2").reshape(70, 5, 6)
    viewer.add(array, name="a")
    viewer.save_html(path)
    volume = _page(path)["volumes"]["source0"]
    assert (volume["shape"], volume["step"], volume["itemsize"]) == ([6, 5, 70], [1, 1, 1], 2)
    assert _part(path, volume["part"]) == array.astype("<u2").tobytes()


def test_more_voxels_than_are_allowed_are_saved_coarser(viewer: v.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    array = np.arange(9 * 8 * 8, dtype="u4").reshape(9, 8, 8) // 64 + 1
    viewer.add(array.astype("u1"), name="image", kind="image", voxel_size=(1, 1, 4))
    viewer.add(array.astype("u4"), name="labels")
    viewer.save_html(path, voxels=9 * 8 * 4 + 5 * 4 * 4 * 4)
    volumes = _page(path)["volumes"]
    image, labels = volumes["source0"], volumes["source1"]
    assert image["step"] == [1, 2, 1]  # its voxels are longer along z
    assert labels["step"] == [2, 2, 2]
    assert labels["shape"] == [4, 4, 5]
    expected = np.repeat([1, 3, 5, 7, 9], 16)  # of two labels as frequent, the smaller
    np.testing.assert_array_equal(np.frombuffer(_part(path, labels["part"]), "<u4"), expected)
    info = json.loads(_part(path, _page(path)["files"]["/neuroglancer/info/source1"]))
    assert info["shape"] == [8, 8, 9]
    assert info["maxDownsampling"] == 8


def test_voxels_that_do_not_fit_at_all_are_told_of(viewer: v.Viewer, tmp_path: Path) -> None:
    viewer.add(np.zeros((64, 64, 64), "u1"), name="a")
    with pytest.raises(ViewerError, match=r"take 4096 bytes even 64 times coarser, and 100 were"):
        viewer.save_html(tmp_path / "page.html", voxels=100)
    assert list(tmp_path.glob("*page.html*")) == []


def test_an_array_that_cannot_be_read_leaves_no_file(viewer: v.Viewer, tmp_path: Path) -> None:
    class Broken:
        shape, dtype, ready = (4, 4, 4), np.dtype("u1"), True

        def __getitem__(self, index: Any) -> Any:
            if not self.ready:
                raise OSError("gone")
            return np.ones(self.shape, self.dtype)[index]

    array = Broken()
    viewer.add(array, name="a", kind="image")
    array.ready = False
    with pytest.raises(ViewerError, match="gone"):
        viewer.save_html(tmp_path / "page.html")
    assert list(tmp_path.glob("*page.html*")) == []


def test_a_page_has_neither_token_nor_key(viewer: v.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    labels = np.zeros((4, 4, 4), "u4")
    labels[1:3, 1:3, 1:3] = 3
    viewer.add(labels, name="cells", labels={3: "soma"}, segments=[3])
    address = viewer.url
    viewer.save_html(path)
    text = path.read_text()
    keys = [source.key for source in viewer._layers["cells"].sources]
    assert not any(secret in text for secret in [viewer.token, address, *keys])
    files = _page(path)["files"]
    assert _part(path, files["/neuroglancer/mesh/source0/3"]) == (
        viewer._layers["cells"].sources[0].mesh.mesh(3)
    )
    assert b"soma" in _part(path, files["/neuroglancer/files/source1/info"])


def test_no_name_of_a_layer_is_taken_for_html(viewer: v.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    name = "</script><script>alert(1)</script><!--"
    viewer.add(np.zeros((2, 2, 2), "u1"), name=name)
    viewer.save_html(path)
    assert "alert(1)</script>" not in path.read_text()
    assert "<script>alert" not in path.read_text()
    assert _page(path)["s"]["layers"][0]["name"] == name


def test_a_page_may_load_from_where_its_layers_are_and_from_nowhere_else(
    viewer: v.Viewer, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    viewer.add(np.zeros((2, 2, 2), "u1"), name="a")
    viewer.save_html(path)
    assert 'connect-src blob: data:"' in path.read_text()
    source = "zarr://https://example.org:8443/x?'>"
    viewer.state = {**viewer.state, "layers": [{"type": "image", "name": "far", "source": source}]}
    viewer.save_html(path)
    assert 'connect-src blob: data: https://example.org:8443"' in path.read_text()


def test_a_client_that_is_not_known_is_not_saved(viewer: v.Viewer, tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    (built / "index.html").write_text('<script src="main.js"></script>')
    (built / "main.js").write_text("1")
    viewer.add(np.zeros((2, 2, 2), "u1"), name="a")
    client.set_static_content_source(path=built)
    with pytest.raises(ViewerError, match="not of a version of which a page can be saved"):
        viewer.save_html(tmp_path / "page.html")
    client.set_static_content_source(url="http://localhost:1/")
    with pytest.raises(ViewerError, match="not with one of another server"):
        viewer.save_html(tmp_path / "page.html")


def test_a_viewer_that_was_closed_has_no_page(viewer: v.Viewer, tmp_path: Path) -> None:
    viewer.close()
    with pytest.raises(ViewerError, match="closed"):
        viewer.save_html(tmp_path / "page.html")


def test_the_space_in_the_file_is_shared_by_the_volumes() -> None:
    volumes = [v.Volume(np.zeros((8, 8, 8), "u1")), v.Volume(np.zeros((16, 8, 8), "u1"))]
    assert [one.step for one in export._fitted(volumes, 10_000)] == [(1, 1, 1), (1, 1, 1)]
    assert [one.nbytes for one in export._fitted(volumes, 1024)] == [512, 512]
