"""A saved page in a real browser, without Python and without network."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import layers

from .pages import browser as browser
from .pages import image_module, pixels_of
from .pages import labels as labels
from .pages import viewer as viewer

READY = "window.viewer && viewer.layerManager.managedLayers.length >= {} && viewer.isReady()"


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Path, int], Any]]:
    """Open a file where there is no network, and wait until all is painted."""
    context = browser.new_context(offline=True, viewport={"width": 800, "height": 600})
    asked: list[str] = []
    errors: list[str] = []

    def open_(path: Path, count: int = 1) -> Any:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_function(READY.format(count), timeout=60_000, polling=50)
        page.wait_for_function("!document.getElementById('picture')")
        return page

    yield open_
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []


def _pixels(page: Any) -> Any:
    panel = page.locator(".neuroglancer-panel").first
    pixels = pixels_of(panel.screenshot())
    pixels[:90, :60] = 0  # the names of the axes, of which one is red
    return pixels


def _box(page: Any, colour: tuple[int, int, int]) -> list[int]:
    """Return the box of the pixels of a colour, from the middle of the panel."""
    pixels = _pixels(page)
    rows, columns = np.nonzero((abs(pixels - colour) < 40).all(axis=-1))
    assert rows.size, "nothing has this colour"
    down, across = pixels.shape[0] / 2, pixels.shape[1] / 2
    return [
        int(columns.min() - across),
        int(rows.min() - down),
        int(columns.max() + 1 - across),
        int(rows.max() + 1 - down),
    ]


def test_a_saved_page_shows_what_was_shown(
    viewer: v.Viewer, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    path = tmp_path / "saved.html"
    viewer.save_html(path)
    v.stop()
    page = opened(path)
    assert _box(page, (255, 0, 0)) == pytest.approx([-100, -100, 100, 0], abs=2)
    assert _box(page, (0, 0, 255)) == pytest.approx([-180, 50, -130, 100], abs=2)
    assert (
        page.evaluate(
            "viewer.layerManager.managedLayers[0].layer.displayState.segmentationGroupState.value"
            ".segmentPropertyMap.value.getSegmentLabel(3n)"
        )
        == "three"
    )
    page.evaluate("viewer.position.value = new Float32Array([15, 20, 10])")
    page.wait_for_timeout(1000)  # the page tells its state, and nobody minds
    assert _box(page, (255, 0, 0)) == pytest.approx([-50, -150, 150, -50], abs=2)


def test_what_was_saved_coarser_is_where_it_was(
    viewer: v.Viewer, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    path = tmp_path / "saved.html"
    viewer.save_html(path, voxels=20 * 30 * 40 * 4 // 8)
    page = opened(path)
    # Half as many voxels along each axis: each side is right to one voxel of ten pixels.
    assert _box(page, (255, 0, 0)) == pytest.approx([-100, -100, 100, 0], abs=12)
    assert _box(page, (0, 0, 255)) == pytest.approx([-180, 50, -130, 100], abs=12)


@pytest.mark.parametrize("several", [False, True])
def test_the_meshes_of_chosen_segments_are_saved(
    viewer: v.Viewer,
    tmp_path: Path,
    opened: Callable[..., Any],
    several: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if several:
        pytest.importorskip("DracoPy")
        monkeypatch.setattr(layers, "_LARGE", 0)
        labels = np.zeros((20, 30, 40), "uint32")
        labels[8:12, 5:15, 10:30] = 3
        colours = {3: ("three", "#ff0000")}
        viewer.add(labels, name="labels", voxel_size=2, units="mm", labels=colours)
    viewer.select("labels", [3])
    with viewer.txn() as state:
        state["layout"] = {"type": "3d", "orthographicProjection": True}
        state["projectionOrientation"] = [0, 0, 0, 1]
        state["projectionScale"] = 40
        state["showSlices"] = False
    path = tmp_path / "saved.html"
    viewer.save_html(path)
    page = opened(path)
    pixels = _pixels(page)
    rows, columns = np.nonzero((pixels[..., 0] > 60) & (pixels[..., 1:].max(axis=-1) < 40))
    voxel = pixels.shape[0] / 40
    assert (columns.max() - columns.min()) / voxel == pytest.approx(20, abs=1)
    assert (rows.max() - rows.min()) / voxel == pytest.approx(10, abs=1)
    page.evaluate(  # one of which no mesh was saved
        "viewer.layerManager.managedLayers[0].layer.displayState.segmentationGroupState.value"
        ".visibleSegments.add(7n)"
    )
    page.wait_for_function(READY.format(1), timeout=20_000)


def test_an_image_a_surface_and_a_tract_are_saved(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    with v.Viewer() as viewer:
        image = np.random.default_rng(0).random((3, 10, 12, 14), "f4")
        viewer.add(image, name="colours", voxel_size=1, units="mm", axes="czyx")
        viewer.add(np.arange(720, dtype="u8").reshape(8, 9, 10), name="far", kind="segmentation")
        vertices = 10 * np.eye(3, dtype="f4")
        viewer.add(v.Mesh(vertices, np.array([[0, 1, 2]], "u4")), name="surface")
        viewer.add(v.Skeleton(vertices, np.array([[0, 1], [1, 2]], "u4")), name="tract")
        viewer.save_html(tmp_path / "saved.html", voxels=6000)
    v.stop()
    page = opened(tmp_path / "saved.html", 4)
    assert "cannot" not in page.inner_text("body").lower()


def test_the_picture_is_that_of_the_page_that_is_open(
    browser: Any, viewer: v.Viewer, tmp_path: Path
) -> None:
    path = tmp_path / "saved.html"
    context = browser.new_context(viewport={"width": 800, "height": 600})
    page = context.new_page()
    page.goto(viewer.url)
    page.wait_for_function(READY.format(1), timeout=60_000, polling=50)
    thread = threading.Thread(target=viewer.save_html, args=(path,))
    thread.start()
    while thread.is_alive():
        page.wait_for_timeout(20)
    context.close()
    picture = path.read_text().partition('src="data:image/png;base64,')[2].partition('"')[0]
    pixels = pixels_of(base64.b64decode(picture))
    assert pixels.shape[1] == 800
    assert (abs(pixels - (0, 0, 255)) < 40).all(axis=-1).sum() == pytest.approx(2500, abs=200)


def test_the_picture_is_seen_where_scripts_do_not_run(
    browser: Any, viewer: v.Viewer, tmp_path: Path
) -> None:
    picture = io.BytesIO()
    image_module.new("RGB", (8, 6), (0, 255, 0)).save(picture, "PNG")
    viewer.save_html(tmp_path / "saved.html", picture=picture.getvalue())
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "saved.html").as_uri())
    pixels = pixels_of(page.screenshot())
    height, width, _ = pixels.shape
    assert tuple(pixels[height // 2, width // 2]) == (0, 255, 0)
    context.close()
