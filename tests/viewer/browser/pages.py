"""A real browser, a page in it, and what is looked for in its pixels."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP *.vscode-cdn.net 127.0.0.1",
]
SIZE = (600, 400)
READY = "viewer.layerManager.managedLayers.length >= {} && viewer.isReady()"

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
image_module = pytest.importorskip("PIL.Image", reason="needs Pillow to look at pixels")
if shutil.which(CHROMIUM) is None:
    pytest.skip("needs Debian's chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def labels() -> Any:
    array = np.zeros((20, 30, 40), "uint32")
    array[8:12, 5:15, 10:30] = 3
    array[8:12, 20:25, 2:7] = 7
    return array


@pytest.fixture
def viewer(labels: Any) -> Iterator[v.Viewer]:
    viewer = v.Viewer()
    colours = {3: ("three", "#ff0000"), 7: ("seven", "#0000ff")}
    viewer.add(labels, name="labels", voxel_size=2, units="mm", labels=colours)
    with viewer.txn() as state:
        state["layout"] = "xy"
        state["position"] = [20, 15, 10]
        state["crossSectionScale"] = 0.1  # 10 pixels for a voxel
        state["showDefaultAnnotations"] = False
        state["showAxisLines"] = False
        state["showScaleBar"] = False
        state["layers"][0]["selectedAlpha"] = 1
        state["layers"][0]["notSelectedAlpha"] = 0
    yield viewer
    v.stop()


class Page:
    def __init__(self, browser: Any, viewer: v.Viewer) -> None:
        self.errors: list[str] = []
        self.received: list[tuple[str, int]] = []  # what was loaded by a key, and its bytes
        self.page = browser.new_page()
        self.page.set_viewport_size({"width": 800, "height": 600})
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("response", self._received)
        self.page.goto(viewer.url)
        self.wait(READY.format(1))

    def _note(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def _received(self, response: Any) -> None:
        if "/neuroglancer/" in response.url:
            size = int(response.headers.get("content-length", 0))
            self.received.append((response.url.partition("/neuroglancer/")[2], size))

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=60_000, polling=50)

    def pixels(self, viewer: v.Viewer, size: tuple[int, int] = SIZE) -> Any:
        """Take a screenshot while the browser's events are seen to."""
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(viewer.screenshot(None, size, 60)))
        thread.start()
        while thread.is_alive():
            self.page.wait_for_timeout(20)
        assert found, "no screenshot"
        return pixels_of(found[0])


def pixels_of(picture: bytes) -> Any:
    with image_module.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def box_of(pixels: Any, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the box of the pixels of a colour: left, top, right and bottom."""
    rows, columns = np.nonzero((abs(pixels - colour) < 40).all(axis=-1))
    assert rows.size, "nothing has this colour"
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def box_of_reddish(pixels: Any) -> tuple[int, int, int, int]:
    """Return the box of what is red, in whatever light."""
    rows, columns = np.nonzero((pixels[..., 0] > 60) & (pixels[..., 1:].max(axis=-1) < 40))
    assert rows.size, "nothing is red"
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def pump(page: Page, condition: Any, seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        page.page.wait_for_timeout(50)
    raise AssertionError("it did not happen")
