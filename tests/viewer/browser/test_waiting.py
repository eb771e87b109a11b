"""Images in a real browser, while meshes take their time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v

from .pages import browser as browser


class Slow:
    """A pool that makes no mesh before it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: set[int] = set()

    async def mesh(self, maker: object, label: int, limit: float) -> None:
        self.asked.add(label)
        while not self.release.is_set():
            await asyncio.sleep(0.02)

    def close(self) -> None:
        self.release.set()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 800, "height": 600})
    yield page
    page.close()
    v.stop()


def test_images_are_shown_while_meshes_take_their_time(page: Any) -> None:
    labels = np.repeat(np.arange(1, 9, dtype="u4"), 8**3 // 8).reshape(8, 8, 8)
    viewer = v.Viewer()
    viewer.add(labels, name="labels", segments=range(1, 9))
    slow = Slow()
    source = viewer._layers["labels"].sources[0]
    source.mesh_pool = slow  # type: ignore[assignment]
    page.goto(viewer.url)
    for _ in range(600):
        if len(slow.asked) >= 4:
            break
        page.wait_for_timeout(50)
    assert len(slow.asked) >= 4
    shown: list[str] = []
    page.on("requestfinished", lambda request: shown.append(request.url))
    viewer.add(np.ones((64, 64, 64), "u1"), name="image")  # its chunks come after those requests
    for _ in range(200):
        if any("/raw/" in url for url in shown):
            break
        page.wait_for_timeout(50)
    assert any("/raw/" in url for url in shown)
    assert not slow.release.is_set()
    slow.release.set()
    page.wait_for_function(
        "viewer.layerManager.managedLayers.length == 2 && viewer.isReady()", timeout=60_000
    )
    assert slow.asked == set(range(1, 9))
