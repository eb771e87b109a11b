"""Meshes of large objects, and points, in a real browser: where they are, what is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import layers

from .pages import Page
from .pages import browser as browser

SIZE = (500, 500)
READY = "viewer.layerManager.managedLayers.length >= 1 && viewer.isReady()"
LEVELS = """() => {
  const found = {};
  for (const { source } of viewer.layerManager.managedLayers[0].layer.renderLayers)
    for (const key of source?.fragmentSource?.chunks?.keys() ?? []) {
      const lod = key.match(/\\/(\\d+):/)[1];
      found[lod] = (found[lod] ?? 0) + 1;
    }
  return found;
}"""

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("DracoPy")


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_LARGE", 1 << 22)


@pytest.fixture(scope="module")
def labels() -> Any:
    """A sponge in a ball (1), and a box (2) beside it."""
    size = 168
    z, y, x = (np.arange(size).reshape([-1 if k == j else 1 for j in range(3)]) for k in range(3))
    turn = 2 * np.pi / 24
    sponge = (
        np.sin(turn * x) * np.cos(turn * y)
        + np.sin(turn * y) * np.cos(turn * z)
        + np.sin(turn * z) * np.cos(turn * x)
    )
    array = np.zeros((size,) * 3, np.uint8)
    array[(sponge > 0) & ((x - 70) ** 2 + (y - 84) ** 2 + (z - 84) ** 2 < 66**2)] = 1
    array[70:100, 80:90, 145:165] = 2
    return array


def bytes_of(page: Page, kind: str) -> int:
    return sum(size for name, size in page.received if name.startswith(kind))


def _shown(viewer: v.Viewer, scale: float, segments: list[str], at: list[float]) -> None:
    with viewer.txn() as state:
        state["position"] = at
        state["layout"] = {"type": "3d", "orthographicProjection": True}
        state["projectionOrientation"] = [0.1, 0.2, 0.3, 0.9]
        state["projectionScale"] = scale
        state["showSlices"] = False
        state["showAxisLines"] = False
        state["showDefaultAnnotations"] = False
        state["showScaleBar"] = False
        state["layers"][0]["segments"] = segments


OBLIQUE = np.array(
    [[0.8, -0.5, 0.2, -30.0], [0.55, 0.9, -0.1, 12.0], [-0.1, 0.3, 1.4, 5.0], [0, 0, 0, 1]]
)


def _pictures(browser: Any, data: Any, segments: list[str], at: list[float], **options: Any) -> Any:
    viewer = v.Viewer()
    try:
        colours = {1: ("one", "#ff0000"), 2: ("two", "#0000ff")}
        viewer.add(data, name="labels", kind="segmentation", labels=colours, **options)
        _shown(viewer, 330, segments, at)
        page = Page(browser, viewer)
        pixels = page.pixels(viewer, SIZE)
        page.page.close()
        return pixels, page
    finally:
        viewer.close()


@pytest.mark.parametrize("how", ["oblique", "seconds"])
def test_they_are_where_those_of_one_resolution_are(
    browser: Any, labels: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "oblique":
        data, options, at = nibabel.Nifti1Image(labels.T, OBLIQUE), {}, [11, 124, 138]
    else:
        data = labels
        options = {"axes": "abc", "units": "s", "voxel_size": (1, 2, 1), "offset": (5, -9, 3)}
        at = [89, 75, 87]
    several, page = _pictures(browser, data, ["1", "2"], at, **options)
    assert bytes_of(page, "multires") > 0
    assert bytes_of(page, "mesh/") == 0
    monkeypatch.setattr(layers, "_LARGE", 1 << 60)
    one, page = _pictures(browser, data, ["1", "2"], at, **options)
    assert bytes_of(page, "multires") == 0
    for colour in (0, 2):
        ours, theirs = (p[..., colour] - p[..., 1] > 40 for p in (several, one))
        assert theirs.sum() > 300
        assert (ours ^ theirs).sum() < 0.03 * theirs.sum()


def test_what_is_far_away_is_coarse_and_what_is_near_is_fine(browser: Any, labels: Any) -> None:
    viewer = v.Viewer()
    viewer.add(labels, name="labels", kind="segmentation", voxel_size=1, units="mm")
    _shown(viewer, 3000, ["1"], [84, 84, 84])
    page = Page(browser, viewer)
    far = page.page.evaluate(LEVELS)
    whole = bytes_of(page, "multires")
    assert "0" not in far
    with viewer.txn() as state:
        state["projectionScale"] = 40
        state["position"] = [70, 84, 84]
    page.wait("viewer.navigationState.pose.position.value[0] === 70")
    page.wait(READY)
    page.page.wait_for_timeout(500)
    page.wait(READY)
    near = page.page.evaluate(LEVELS)
    assert near["0"] > 0
    assert whole < 0.2 * len(viewer._layers["labels"].sources[0].mesh.mesh(1))
    page.page.close()
    viewer.close()


def test_a_page_gets_ready_though_a_chosen_segment_is_not_there(browser: Any, labels: Any) -> None:
    _, page = _pictures(browser, labels, ["1", "77", "300"], [84, 84, 84])
    names = [name.rpartition("/")[2] for name, _ in page.received if "multires" in name]
    assert {"77.index", "300.index"} <= set(names)
    assert not {"77", "300"} & set(names)


def test_a_new_address_shows_meshes_of_changed_data(browser: Any, labels: Any) -> None:
    array = labels.copy()
    viewer = v.Viewer()
    colours = {1: ("one", "#ff0000"), 2: ("two", "#0000ff")}
    viewer.add(array, name="labels", kind="segmentation", labels=colours)
    _shown(viewer, 330, ["2"], [155, 85, 85])
    page = Page(browser, viewer)
    before = page.pixels(viewer, SIZE)
    array[80:90, 80:90, 100:145] = 2
    viewer.refresh("labels")
    viewer.change(lambda state: layers.renew(state, viewer._layers["labels"]))
    page.page.wait_for_timeout(1000)
    page.wait(READY)
    after = page.pixels(viewer, SIZE)
    blue = [int((pixels[..., 2] - pixels[..., 1] > 40).sum()) for pixels in (before, after)]
    assert blue[1] > 1.2 * blue[0] > 0
    page.page.close()
    viewer.close()


def test_points_are_where_they_should_be(browser: Any) -> None:
    viewer = v.Viewer()
    viewer.add([[10, 20, 30], [12, 20, 30]], name="p", kind="points", labels=["a", "b"])
    with viewer.txn() as state:
        state["layout"] = "xy"
        state["position"] = [10, 20, 30]
        state["crossSectionOrientation"] = [0, 0, 0, 1]
        state["crossSectionScale"] = 0.02  # 50 pixels for a millimetre
        state["showAxisLines"] = False
        state["showScaleBar"] = False
    page = Page(browser, viewer)
    pixels = page.pixels(viewer, SIZE)
    yellow = (pixels[..., :2].min(axis=-1) > 150) & (pixels[..., 2] < 80)
    middle = SIZE[1] // 2
    assert yellow[middle, SIZE[0] // 2]
    assert yellow[middle, SIZE[0] // 2 + 100]
    assert yellow.sum() < 1000
    page.page.close()
    viewer.close()
