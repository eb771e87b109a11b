"""A cell's output in a real browser: beside a real Jupyter server, behind its proxy, and elsewhere.

jupyter-server-proxy is run where it is installed: in the environment of this Python, or of the one
that ``NIBABEL_DATA_TEST_JUPYTER`` names, or else in one that is made for it.  (It cannot be in one
environment with cffconvert, as they ask for different versions of jsonschema.)  VS Code and Colab
cannot be run here: a page that does what their documentation says is in their place.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import venv
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import serving

from .pages import browser as browser

READY = "window.viewer && viewer.layerManager.managedLayers.length >= 1 && viewer.isReady()"
TOKEN = "a-token-of-jupyter"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[v.Viewer]:
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    v.stop()
    with v.Viewer() as viewer:
        labels = np.zeros((20, 30, 40), "uint32")
        labels[8:12, 5:15, 10:30] = 3
        viewer.add(labels, name="labels", voxel_size=2, units="mm", labels={3: "three"})
        viewer.select("labels", [3])
        yield viewer
    v.stop()


class _Pages(BaseHTTPRequestHandler):
    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """Serve pages that stand in for those of notebooks, and return the port.

    A browser asks which machine a page is from, so that it has to be a real server.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="module")
def jupyter(home: Path) -> Iterator[int]:
    """Run a server as a hub does for one user, and return its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = {
        "ServerApp.base_url": "/user/x/",
        "ServerApp.port": port,
        "ServerApp.root_dir": home,
        "ServerApp.extra_static_paths": home / "static",
        "ServerApp.allow_remote_access": True,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": TOKEN,
    }
    command = [_python(home), "-m", "jupyter_server"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    own = {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_RUNTIME_DIR": str(home)}
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/user/x/api", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (home / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _python(home: Path) -> str:
    named = os.environ.get("NIBABEL_DATA_TEST_JUPYTER")
    if named:
        return named
    if find_spec("jupyter_server_proxy") is not None:
        return sys.executable
    venv.create(home / "env", with_pip=True)
    python = str(home / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--retries=1", "jupyter-server-proxy"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs jupyter-server-proxy: {done.stderr.strip()[-200:]}")
    return python


def _html(cell: str, *, config: str = "", script: str = "") -> str:
    return f"<!doctype html>{config}<script>{script}</script><body>{cell}</body>"


def _painted(page: Any, address: str) -> Any:
    """Open a notebook, and return the frame of its cell's output once it is painted."""
    page.goto(address)
    page.wait_for_timeout(200)  # the address may be set by a script
    for _ in range(200):
        frame = page.query_selector("iframe").content_frame()
        if frame is not None:  # it is none while it goes elsewhere
            break
        page.wait_for_timeout(50)
    frame.wait_for_function(READY, timeout=60_000, polling=50)
    return frame


def _config(base: str) -> str:
    """Return what JupyterLab's page says of its server."""
    return (
        f'<script id="jupyter-config-data" type="application/json">{{"baseUrl": "{base}"}}</script>'
    )


def _both_ways(page: Any, frame: Any, viewer: v.Viewer) -> None:
    viewer.position = (1, 2, 3)
    frame.wait_for_function("viewer.position.value[0] === 1", timeout=10_000)
    frame.evaluate("viewer.position.value = new Float32Array([4.5, 5.5, 6.5])")
    for _ in range(200):
        if viewer.position == (4.5, 5.5, 6.5):
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page's state did not arrive")


@pytest.mark.parametrize("host", ["localhost", "lab.example.org"])
def test_behind_the_proxy_of_a_jupyter_server(
    page: Any,
    viewer: v.Viewer,
    home: Path,
    jupyter: int,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if host == "localhost":  # a name for which only an installed proxy is a reason to use it
        monkeypatch.setattr("nibabel_data.viewer.notebook.find_spec", lambda name: object())
    asked: list[tuple[str, int]] = []
    page.on("response", lambda answer: asked.append((answer.url, answer.status)))
    outer = f"http://{host}:{jupyter}/user/x"
    page.goto(f"{outer}/proxy/{serving.port()}/v/{viewer.token}/")
    assert "/login?" in page.url  # Jupyter asks who that is
    page.goto(f"{outer}/?token={TOKEN}")
    asked.clear()
    text = _html(viewer._repr_html_(), config=_config("/user/x/"))
    (home / "static").mkdir(exist_ok=True)
    (home / "static" / f"{host}.html").write_text(text)
    frame = _painted(page, f"{outer}/static/{host}.html")
    assert frame.url == f"{outer}/proxy/{serving.port()}/v/{viewer.token}/"
    names = "viewer.layerManager.managedLayers[0].layer.displayState.segmentationGroupState.value"
    assert frame.evaluate(f"{names}.segmentPropertyMap.value.getSegmentLabel(3n)") == "three"
    _both_ways(page, frame, viewer)
    loaded = [(url, status) for url, status in asked if f"/proxy/{serving.port()}/" in url]
    assert any("/neuroglancer/raw/" in url for url, _ in loaded)
    assert any("/neuroglancer/mesh/" in url for url, _ in loaded)
    assert {status for _, status in loaded} <= {200, 412}  # of two who say something at once


def test_on_this_machine_without_a_proxy(
    page: Any, viewer: v.Viewer, elsewhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nibabel_data.viewer.notebook.find_spec", lambda name: None)
    _Pages.text = _html(viewer._repr_html_(), config=_config("/")).encode()
    frame = _painted(page, f"http://localhost:{elsewhere}/lab")
    assert frame.url == viewer.url
    _both_ways(page, frame, viewer)


def test_in_colab(page: Any, viewer: v.Viewer, elsewhere: int) -> None:
    outer = f"http://x-colab.example.org:{serving.port()}"  # which the server does not know
    script = f"""window.google = {{ colab: {{ kernel: {{
      proxyPort: async (port) => port === {serving.port()} ? "{outer}/" : null }} }} }};"""
    _Pages.text = _html(viewer._repr_html_(), script=script).encode()
    serving.expect_proxy([f"http://colab.example.org:{elsewhere}"])
    frame = _painted(page, f"http://colab.example.org:{elsewhere}/")
    assert frame.url == f"{outer}/v/{viewer.token}/"
    _both_ways(page, frame, viewer)


def test_in_vs_code(page: Any, viewer: v.Viewer, elsewhere: int) -> None:
    _Pages.text = _html(viewer._repr_html_()).encode()
    outer = f"http://x.vscode-cdn.net:{elsewhere}"
    serving.expect_proxy([outer])  # vscode-webview:, which is allowed anyway, is of no browser
    frame = _painted(page, f"{outer}/")
    assert frame.url == viewer.url.replace("127.0.0.1", "localhost")
    _both_ways(page, frame, viewer)


def test_a_page_elsewhere_cannot_have_the_frame(
    page: Any, viewer: v.Viewer, elsewhere: int
) -> None:
    _Pages.text = _html(viewer._repr_html_()).encode()
    refused: list[str] = []
    page.on("console", lambda one: refused.append(one.text))
    page.goto(f"http://evil.example.org:{elsewhere}/")
    page.wait_for_timeout(1000)
    assert any("frame-ancestors" in one for one in refused)
    assert viewer.streams == 0
