from __future__ import annotations

import base64
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import screenshot

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    viewer = v.Viewer()
    viewer.add(np.zeros((2, 2, 2), "u1"), name="a")
    yield viewer
    v.stop()


def _page(viewer: v.Viewer, replies: list[dict[str, Any]]) -> threading.Thread:
    """Open a page that answers each request for a screenshot."""
    viewer.streams += 1

    def run() -> None:
        seen, until = None, time.monotonic() + 20
        while replies and time.monotonic() < until:
            name = viewer.config.value.get("screenshot")
            if name is not None and name != seen:
                seen = name
                viewer.action("screenshot", {"screenshot": {"id": name, **replies.pop(0)}})
            time.sleep(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _reply(image: bytes = PNG, width: int = 30, height: int = 20) -> dict[str, Any]:
    return {"image": base64.b64encode(image).decode(), "width": width, "height": height}


def test_an_open_page_is_asked(viewer: v.Viewer, tmp_path: Path) -> None:
    viewer.config.change(lambda config: config.update(showPanelBorders=True))
    before = viewer.config.value
    page = _page(viewer, [_reply(width=7), _reply()])  # not of the size yet
    path = tmp_path / "a.png"
    assert viewer.screenshot(path, size=(30, 20), timeout=10) == PNG
    page.join()
    assert path.read_bytes() == PNG
    assert viewer.config.value == before


def test_a_page_that_does_not_answer_is_not_waited_for_ever(viewer: v.Viewer) -> None:
    viewer.streams += 1
    before = viewer.config.value
    begin = time.monotonic()
    with pytest.raises(ViewerError, match=r"within 0\.3 s"):
        viewer.screenshot(timeout=0.3)
    assert time.monotonic() - begin < 3
    assert viewer.config.value == before


def test_a_reply_that_is_no_picture_is_refused(viewer: v.Viewer) -> None:
    page = _page(viewer, [{"image": "%%%"}])
    with pytest.raises(ViewerError, match="no picture"):
        viewer.screenshot(timeout=10)
    page.join()


def test_replies_that_nobody_waits_for_are_not_kept(viewer: v.Viewer) -> None:
    viewer.action("screenshot", {"screenshot": {"id": "x", **_reply()}})
    assert viewer._desk._replies == {}


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (100_000, 10)])
def test_sizes_are_limited(viewer: v.Viewer, size: tuple[int, int]) -> None:
    with pytest.raises(ViewerError, match="cannot be made"):
        viewer.screenshot(size=size)


def test_without_a_browser_a_sentence_says_what_to_do(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshot, "_APPLICATIONS", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ViewerError, match=r"open the viewer's address, or install chromium"):
        viewer.screenshot()


@pytest.mark.skipif(sys.platform == "win32", reason="the browser here is a shell script")
def test_the_token_is_not_in_the_arguments_of_the_browser(
    viewer: v.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "chromium"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat "${{@: -1}}"\nexit 3\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ViewerError, match="ended by itself"):
        viewer.screenshot()
    arguments = (tmp_path / "arguments").read_text()
    assert viewer.token not in arguments
    directory = Path(arguments.split("file://")[1].strip()).parent
    assert not directory.exists()
