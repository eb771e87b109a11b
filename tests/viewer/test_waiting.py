from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import waiting

BROWSER = {"sec-fetch-mode": "cors", "user-agent": "a browser"}


class Slow:
    """What makes meshes, once it is released."""

    def __init__(self, maker: Any) -> None:
        self.release = threading.Event()
        self.asked: list[int] = []
        self.made: list[int] = []
        self._maker = maker

    def mesh(self, label: int, cancelled: Callable[[], bool] | None = None) -> bytes | None:
        self.asked.append(label)
        while not self.release.wait(0.02):
            if cancelled is not None and cancelled():
                return None
        self.made.append(label)
        made: bytes | None = self._maker.mesh(label, cancelled)
        return made


class Asked:
    """Requests for meshes, each in a thread."""

    def __init__(self, viewer: v.Viewer) -> None:
        self.source = viewer._layers["l"].sources[0]
        self.slow = self.source.mesh = Slow(self.source.mesh)
        self.statuses: dict[int, int] = {}
        self.threads: list[threading.Thread] = []
        self._address = viewer.url.partition("//")[2].partition("/")[0]

    def ask(self, number: int, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        connection.request("GET", f"/neuroglancer/mesh/{self.source.key}/{number}", headers=headers)
        self.statuses[number] = status = connection.getresponse().status
        connection.close()
        return status

    def begin(self, numbers: tuple[int, ...], headers: dict[str, str]) -> None:
        before = self.source.asked
        for number in numbers:
            self.threads.append(threading.Thread(target=self.ask, args=(number, headers)))
            self.threads[-1].start()
        until = time.monotonic() + 10
        while self.source.asked < before + len(numbers):
            assert time.monotonic() < until
            time.sleep(0.01)

    def end(self) -> None:
        self.slow.release.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.05)
    labels = np.repeat(np.arange(1, 9, dtype="u4"), 8).reshape(4, 4, 4)
    with v.Viewer() as viewer:
        viewer.add(labels, name="l")
        asked = Asked(viewer)
        yield asked
        asked.end()
    v.stop()


def test_a_browser_that_waits_for_four_meshes_is_told_to_ask_again(asked: Asked) -> None:
    asked.begin((1, 2, 3, 4), BROWSER)
    assert [asked.ask(number, BROWSER) for number in (5, 6, 7)] == [503, 503, 503]
    asked.end()
    assert [asked.statuses[number] for number in (1, 2, 3, 4)] == [200] * 4
    assert [asked.ask(number, BROWSER) for number in (5, 6, 7)] == [200] * 3


def test_another_browser_and_what_is_no_browser_wait(asked: Asked) -> None:
    asked.begin((1, 2, 3, 4), BROWSER)
    asked.begin((5,), {**BROWSER, "user-agent": "another browser"})
    asked.begin((6,), {**BROWSER, "x-forwarded-for": "10.0.0.1"})  # a proxy, with its connections
    asked.begin((7, 8), {})
    asked.end()
    assert set(asked.statuses.values()) == {200}


def test_a_mesh_that_was_put_off_is_made_all_the_same(asked: Asked) -> None:
    asked.begin((1, 2, 3, 4), BROWSER)
    assert asked.ask(5, BROWSER) == 503
    asked.end()
    until = time.monotonic() + 10
    while 5 not in asked.slow.made:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_mesh_that_nobody_asks_for_again_is_dropped(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LINGER_SECONDS", 0.1)
    asked.begin((1, 2, 3, 4), BROWSER)
    assert asked.ask(5, BROWSER) == 503
    time.sleep(0.5)
    asked.end()
    assert asked.ask(6, {}) == 200
    assert 5 not in asked.slow.made


def test_a_few_quick_ones_are_waited_for(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 20.0)
    asked.begin((1, 2, 3, 4, 5, 6), BROWSER)
    asked.end()
    assert set(asked.statuses.values()) == {200}
