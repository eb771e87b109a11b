from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    viewer = v.Viewer()
    yield viewer
    v.stop()


def _layer(viewer: v.Viewer, name: str) -> dict[str, Any]:
    return next(layer for layer in viewer.state["layers"] if layer["name"] == name)


def _page_says(viewer: v.Viewer, change: Any) -> None:
    state = viewer.state
    change(state)
    viewer.shared.set(state, generation="page/1")
    viewer.edited()


def test_the_classic_interface(viewer: v.Viewer) -> None:
    array = np.zeros((4, 5, 6), "u1")
    assert viewer.add(array, name="a", voxel_size=[4, 5, 40]) == "a"
    assert viewer.state["dimensions"] == {"x": [4e-9, "m"], "y": [5e-9, "m"], "z": [4e-8, "m"]}
    assert str(viewer) == viewer.url
    assert viewer.token in viewer.url
    volume = viewer._layers["a"].volume
    assert volume is not None
    assert volume.shape == (6, 5, 4)
    assert volume.source.original is array


def test_channels_are_colours_of_the_layer_alone(viewer: v.Viewer) -> None:
    viewer.add(np.zeros((3, 4, 5, 6), "u1"), name="rgb", voxel_size=2, units="um")
    assert list(viewer.state["dimensions"]) == ["x", "y", "z"]
    assert "emitRGB" in _layer(viewer, "rgb")["shader"]


def test_axes_of_ones_own(viewer: v.Viewer) -> None:
    viewer.add(
        np.zeros((2, 4, 5, 6), "f4"),
        axes=("t", "z", "y", "x"),
        voxel_size=[1, 3, 2, 2],
        units=["s", "mm", "mm", "mm"],
    )
    assert viewer.dimensions == {
        "x": [0.002, "m"],
        "y": [0.002, "m"],
        "z": [0.003, "m"],
        "t": [1.0, "s"],
    }
    with pytest.raises(ViewerError, match="give one of each"):
        viewer.add(np.zeros((4, 5, 6)), voxel_size=[1, 2])


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("u1", "image"), ("f4", "image"), ("u4", "segmentation"), ("u8", "segmentation")],
)
def test_labels_are_known_by_their_type(viewer: v.Viewer, dtype: str, kind: str) -> None:
    viewer.add(np.zeros((4, 5, 6), dtype), name="a")
    assert _layer(viewer, "a")["type"] == kind


def test_labels_have_names_and_colours(viewer: v.Viewer) -> None:
    viewer.add(np.zeros((4, 5, 6), "u1"), name="a", labels={3: ("three", "#ff0000")}, segments=[3])
    layer = _layer(viewer, "a")
    assert layer["type"] == "segmentation"
    assert layer["segmentColors"] == {"3": "#ff0000"}
    assert viewer.selected("a") == (3,)
    assert b"three" in viewer._layers["a"].sources[1].files["info"]


def test_an_image_is_in_the_scanners_space(viewer: v.Viewer, tmp_path: Path) -> None:
    affine = np.diag((-2.0, 2, 2, 1))
    affine[:3, 3] = 10, -20, 30
    image = nibabel.Nifti1Image(np.arange(60, dtype="f4").reshape(3, 4, 5), affine)
    path = tmp_path / "T1.nii.gz"
    nibabel.save(image, path)
    assert viewer.add(path) == "T1"
    layer = _layer(viewer, "T1")
    assert layer["source"][0]["transform"]["matrix"][0] == [-1, 0, 0, 11]
    assert viewer.dimensions["x"] == [0.001, "m"]
    assert viewer.state["crossSectionOrientation"] == v.upright()["crossSectionOrientation"]
    low, high = layer["shaderControls"]["normalized"]["range"]
    assert 0 <= low < high <= 59
    with pytest.raises(ViewerError, match="says itself"):
        viewer.add(path, voxel_size=2)


def test_surfaces_and_tracts_are_layers(viewer: v.Viewer) -> None:
    corners, sides = np.eye(3, dtype="f4"), np.array([[0, 1, 2]], "u4")
    viewer.add(v.Mesh(corners, sides), name="m")
    viewer.add(v.Skeleton(corners, sides[:, :2]), name="t")
    assert viewer.layers == ("m", "t")
    assert _layer(viewer, "t")["source"][0]["url"].startswith("python://skeleton/")


def test_names_are_made_and_one_that_is_there_is_replaced(viewer: v.Viewer) -> None:
    array = np.zeros((2, 2, 2), "u1")
    assert [viewer.add(array) for _ in range(3)] == ["array", "array 2", "array 3"]
    viewer.add(np.ones((3, 3, 3), "u1"), name="array 2")
    assert viewer.layers == ("array", "array 2", "array 3")
    assert viewer._layers["array 2"].volume.shape == (3, 3, 3)  # type: ignore[union-attr]


def test_arrays_are_kept_until_they_are_let_go_of() -> None:
    def kept(end: Any) -> tuple[bool, bool]:
        viewer = v.Viewer()
        array = np.zeros((64, 64, 64), "u2")
        reference = weakref.ref(array)
        viewer.add(array, name="a")
        del array
        gc.collect()
        before = reference() is not None
        end(viewer)
        gc.collect()
        return before, reference() is not None

    assert kept(lambda viewer: viewer.remove("a")) == (True, False)
    assert kept(lambda viewer: viewer.add(np.zeros((1, 1, 1)), name="a")) == (True, False)
    assert kept(lambda viewer: viewer.close()) == (True, False)
    assert kept(lambda viewer: v.stop()) == (True, False)
    gone = kept(lambda viewer: _page_says(viewer, lambda state: state.update(layers=[])))
    assert gone == (True, False)
    v.stop()


def test_what_is_not_there_cannot_be_removed(viewer: v.Viewer) -> None:
    for function in (viewer.remove, viewer.refresh, viewer.selected):
        with pytest.raises(ViewerError, match="no layer 'x'"):
            function("x")
    with pytest.raises(ViewerError, match="no layer 'x'"):
        viewer.select("x", [1])


def test_refreshing_gives_a_new_generation(viewer: v.Viewer) -> None:
    viewer.add(np.zeros((2, 2, 2), "u1"), name="a")
    viewer.add(np.zeros((2, 2, 2), "u1"), name="b")
    viewer.refresh("a")
    viewer.refresh()
    assert list(viewer.config.value["sourceGenerations"].values()) == [2, 1]
    viewer.remove("a")
    assert list(viewer.config.value["sourceGenerations"].values()) == [1]


def test_position_and_segments_are_read_and_set(viewer: v.Viewer) -> None:
    assert viewer.position is None
    viewer.add(np.zeros((2, 4, 6), "u4"), name="l")
    assert viewer.position == (3.5, 2.5, 1.5)
    viewer.position = (1, 2, 3)
    assert viewer.position == (1.0, 2.0, 3.0)
    viewer.select("l", [2**63, 5])
    assert viewer.selected("l") == (2**63, 5)
    with viewer.txn() as state:
        state["layers"][0]["segments"] = ["!7", "8", 9]
    assert viewer.selected("l") == (8, 9)


@pytest.mark.parametrize("nonsense", [None, 3, "x", [None], ["x"], {"a": 1}])
def test_nonsense_of_a_page_is_no_error(viewer: v.Viewer, nonsense: Any) -> None:
    viewer.add(np.zeros((2, 2, 2), "u4"), name="l")
    done = viewer.on("position", lambda place: None)
    for key in ("position", "dimensions", "layers"):
        _page_says(viewer, lambda state, key=key: state.update({key: nonsense}))
        assert viewer.position is None
        assert isinstance(viewer.dimensions, dict)
    viewer.action("screenshot", {"screenshot": nonsense})
    done()


def test_callbacks(viewer: v.Viewer, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []
    event = threading.Event()

    def note(*arguments: Any) -> None:
        told.append(arguments)
        if len(told) == 3:
            event.set()

    def fail(*_: Any) -> None:
        raise RuntimeError("mine")

    viewer.add(np.zeros((2, 2, 2), "u4"), name="l")
    viewer.on("position", fail)
    viewer.on("position", note)
    viewer.on("selection", note)
    end = viewer.on("shift+mousedown0", note)
    assert viewer.config.value["actions"] == ["screenshot", "on:shift+mousedown0"]
    assert "shift+mousedown0" in viewer.config.value["inputEventBindings"]["dataView"]
    _page_says(viewer, lambda state: state.update(position=[1, 2, 3]))
    _page_says(viewer, lambda state: state["layers"][0].update(segments=["4"]))
    assert viewer.action(
        "on:shift+mousedown0",
        {"mousePosition": [1, 2, 3], "selectedValues": {"l": {"value": 4}}, "viewerState": {}},
    )
    assert event.wait(10)
    assert told[:2] == [((1.0, 2.0, 3.0),), ("l", (4,))]
    assert told[2][0].position == (1.0, 2.0, 3.0)
    assert told[2][0].values == {"l": {"value": 4}}
    assert "mine" in caplog.text
    end()
    assert not viewer.action("on:shift+mousedown0", {})
    assert viewer.config.value["actions"] == ["screenshot"]


def test_in_a_notebook_it_is_a_frame(viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    assert f'src="{viewer.url}"' in viewer._repr_html_()
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
    port = viewer.url.split(":")[2].partition("/")[0]
    assert f'src="/user/x/proxy/{port}/v/{viewer.token}/"' in viewer._repr_html_()
    viewer.close()
    assert "closed" in viewer._repr_html_()


def test_a_viewer_that_was_closed_says_so(viewer: v.Viewer) -> None:
    with viewer:
        pass
    for use in (lambda: viewer.url, lambda: viewer.add(np.ones(3)), viewer.screenshot):
        with pytest.raises(ViewerError, match="was closed"):
            use()
    assert "closed" in repr(viewer)
    viewer.close()


def test_what_cannot_be_shown_changes_nothing(viewer: v.Viewer) -> None:
    with pytest.raises(ViewerError):
        viewer.add(object())
    with pytest.raises(ViewerError):
        viewer.add(np.zeros((2, 2, 2), "M8[s]"))
    assert viewer.state == {}


def test_an_array_in_a_file_has_a_window_of_its_values(viewer: v.Viewer, tmp_path: Path) -> None:
    array = np.linspace(900, 1100, 8 * 9 * 10, dtype="f4").reshape(8, 9, 10)
    np.save(tmp_path / "array.npy", array)
    viewer.add(tmp_path / "array.npy", name="mapped")
    low, high = _layer(viewer, "mapped")["shaderControls"]["normalized"]["range"]
    assert 900 < low < 910
    assert 1090 < high < 1100


def test_a_small_dataset_of_hdf5_has_a_window_of_its_values(
    viewer: v.Viewer, tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "array.h5", "w") as file:
        file["raw"] = np.linspace(900, 1100, 8 * 9 * 10, dtype="f4").reshape(8, 9, 10)
        viewer.add(file["raw"], name="stored")
        low, high = _layer(viewer, "stored")["shaderControls"]["normalized"]["range"]
    assert 900 < low < high < 1100


def test_true_is_white_also_in_a_file(viewer: v.Viewer, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.ones((4, 5, 6), bool))
    viewer.add(tmp_path / "mask.npy", name="mask")
    assert _layer(viewer, "mask")["shaderControls"] == {"normalized": {"range": [0.0, 1.0]}}


def test_labels_that_cannot_be_read_are_told_of(viewer: v.Viewer) -> None:
    with pytest.warns(UserWarning, match="label 1: '#zz' is not a colour: write #rrggbb"):
        viewer.add(np.zeros((4, 5, 6), "u4"), labels={1: ("soma", "#zz"), 2: "axon"})


def test_a_position_has_a_number_for_each_axis(viewer: v.Viewer) -> None:
    viewer.add(np.zeros((4, 5, 6), "u1"), name="a")
    before = viewer.position
    with pytest.raises(ViewerError, match="each of the axes x, y, z, not 2"):
        viewer.position = (1, 2)
    with pytest.raises(ViewerError, match="A position is numbers, not 'x'"):
        viewer.position = "x"  # type: ignore[assignment]
    assert viewer.position == before


def test_segments_are_whole_numbers(viewer: v.Viewer) -> None:
    array = np.zeros((4, 5, 6), "u4")
    with pytest.raises(ViewerError, match="Segments are whole numbers, not 'all'"):
        viewer.add(array, segments="all")  # type: ignore[arg-type]
    viewer.add(array, name="cells")
    with pytest.raises(ViewerError, match="Segments are whole numbers"):
        viewer.select("cells", [1.5])  # type: ignore[list-item]
    assert viewer.selected("cells") == ()


def test_an_array_of_a_file_is_named_after_it(viewer: v.Viewer, tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", np.ones((3, 4, 5), "u1"))
    assert viewer.add(tmp_path / "cells.npy") == "cells"


def test_voxel_sizes_are_numbers(viewer: v.Viewer) -> None:
    for wrong in ("big", [1, "x", 2], {"x": "x"}):
        with pytest.raises(ViewerError, match="voxel sizes are one for each axis, not"):
            viewer.add(np.ones((3, 4, 5), "u1"), voxel_size=wrong)  # type: ignore[arg-type]
