"""The page in a real browser: what is painted, and what it tells Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v

from .pages import READY, SIZE, Page, box_of, box_of_reddish, pixels_of, pump
from .pages import browser as browser
from .pages import labels as labels
from .pages import viewer as viewer


@pytest.fixture
def page(browser: Any, viewer: v.Viewer) -> Iterator[Page]:
    page = Page(browser, viewer)
    yield page
    page.page.close()
    assert page.errors == []


def _expected(x: tuple[int, int], y: tuple[int, int], at: tuple[float, float]) -> Any:
    """Return the box of voxels, when the middle of the picture looks at a place."""
    across, down = SIZE
    return (
        across / 2 + 10 * (x[0] - at[0]),
        down / 2 + 10 * (y[0] - at[1]),
        across / 2 + 10 * (x[1] - at[0]),
        down / 2 + 10 * (y[1] - at[1]),
    )


def test_a_mesh_surrounds_its_object(page: Page, viewer: v.Viewer) -> None:
    with viewer.txn() as state:
        state["layout"] = {"type": "3d", "orthographicProjection": True}
        state["projectionOrientation"] = [0, 0, 0, 1]
        state["projectionScale"] = 40  # voxels from top to bottom
        state["showSlices"] = False
        state["layers"][0]["segments"] = ["3"]
    page.wait(READY.format(1))
    left, top, right, bottom = box_of_reddish(page.pixels(viewer))
    expected = _expected((10, 30), (5, 15), (20, 15))
    np.testing.assert_allclose([left, top, right, bottom], expected, atol=4)


def test_labels_are_where_their_voxels_are_and_follow_python(page: Page, viewer: v.Viewer) -> None:
    pixels = page.pixels(viewer)
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    red, blue = (255, 0, 0), (0, 0, 255)
    at = (20, 15)
    assert box_of(pixels, red) == pytest.approx(_expected((10, 30), (5, 15), at), abs=1)
    assert box_of(pixels, blue) == pytest.approx(_expected((2, 7), (20, 25), at), abs=1)
    viewer.position = (15, 20, 10)
    page.wait("viewer.position.value[0] === 15")
    moved = page.pixels(viewer)
    assert box_of(moved, red) == pytest.approx(_expected((10, 30), (5, 15), (15, 20)), abs=1)


def test_what_the_page_does_is_read_back(page: Page, viewer: v.Viewer) -> None:
    places: list[Any] = []
    chosen: list[Any] = []
    keys: list[v.Action] = []
    viewer.on("position", places.append)
    viewer.on("selection", lambda name, segments: chosen.append((name, segments)))
    viewer.on("keyt", keys.append)
    page.page.mouse.move(300, 300)
    page.page.evaluate("viewer.position.value = new Float32Array([3.5, 4.5, 9.5])")
    pump(page, lambda: viewer.position == (3.5, 4.5, 9.5) and places)
    assert places[-1] == (3.5, 4.5, 9.5)
    page.page.evaluate(
        "viewer.layerManager.managedLayers[0].layer.displayState.segmentationGroupState.value"
        ".visibleSegments.add(7n)"
    )
    pump(page, lambda: viewer.selected("labels") == (7,) and chosen)
    assert chosen[-1] == ("labels", (7,))
    page.page.wait_for_timeout(300)
    page.page.mouse.move(400, 300)
    page.page.keyboard.press("t")
    pump(page, lambda: keys)
    assert keys[0].state["layers"][0]["name"] == "labels"
    assert keys[0].position is not None


def test_refreshing_shows_changed_data_and_layers_come_and_go(
    page: Page, viewer: v.Viewer, labels: Any
) -> None:
    page.pixels(viewer)
    labels[labels == 3] = 0
    labels[8:12, 5:15, 10:20] = 3
    viewer.refresh("labels")
    box = box_of(page.pixels(viewer), (255, 0, 0))
    assert box == pytest.approx(_expected((10, 20), (5, 15), (20, 15)), abs=1)
    viewer.add(np.full((20, 30, 40), 1.0, "f4"), name="white", voxel_size=2, units="mm")
    page.wait(READY.format(2))
    viewer.remove("white")
    page.wait("viewer.layerManager.managedLayers.length === 1")
    assert viewer.layers == ("labels",)


def test_names_of_segments_are_known_to_the_page(page: Page, viewer: v.Viewer) -> None:
    found = page.page.evaluate(
        "viewer.layerManager.managedLayers[0].layer.displayState.segmentationGroupState.value"
        ".segmentPropertyMap.value.getSegmentLabel(3n)"
    )
    assert found == "three"


def test_two_pages_show_the_same(browser: Any, page: Page, viewer: v.Viewer) -> None:
    other = Page(browser, viewer)
    page.page.evaluate("viewer.position.value = new Float32Array([1.5, 2.5, 3.5])")
    other.wait("viewer.position.value[0] === 1.5")
    other.page.close()


def test_more_tabs_than_a_browser_has_connections(browser: Any) -> None:
    with v.Viewer() as viewer:
        viewer.add(np.ones((8, 8, 8), "u1"), name="ones")
        context = browser.new_context()
        tabs = [Page(context, viewer) for _ in range(8)]
        viewer.position = (1, 2, 3)
        for tab in tabs:
            tab.wait("viewer.position.value[0] === 1")
        context.close()
    v.stop()


def test_an_array_that_cannot_be_read_leaves_a_page_that_gets_ready(browser: Any) -> None:
    class Broken:
        shape, dtype, ready = (8, 8, 8), np.dtype("u1"), True

        def __getitem__(self, index: Any) -> Any:
            if not self.ready:
                raise OSError("gone")
            return np.ones(self.shape, self.dtype)[index]

    with v.Viewer() as viewer:
        array = Broken()
        viewer.add(array, name="broken", kind="image")
        array.ready = False
        page = Page(browser, viewer)
        pump(page, lambda: "cannot be read" in page.page.inner_text("body"))
        page.page.close()
    v.stop()


def test_without_a_page_a_browser_is_opened(viewer: v.Viewer, tmp_path: Any) -> None:
    path = tmp_path / "shot.png"
    viewer.screenshot(path, size=SIZE, timeout=60)
    box = box_of(pixels_of(path.read_bytes()), (255, 0, 0))
    assert box == pytest.approx(_expected((10, 30), (5, 15), (20, 15)), abs=1)
