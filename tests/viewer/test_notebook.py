from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import notebook, serving

HUB = "lab.example.org"


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[v.Viewer]:
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    v.stop()
    with v.Viewer() as viewer:
        viewer.add(np.ones((4, 4, 4), "u1"), name="ones")
        yield viewer
    v.stop()


def _ask(viewer: v.Viewer, path: str, data: bytes | None = None, **headers: str) -> int:
    url = f"http://127.0.0.1:{serving.port()}{path}"
    said = {name.replace("_", "-"): text for name, text in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, said), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_cell_shows_the_page_in_a_frame_and_says_what_it_needs(viewer: v.Viewer) -> None:
    shown = viewer._repr_mimebundle_()
    assert f'<iframe src="{viewer.url}"' in shown["text/html"]
    assert "as long as the kernel" in shown["text/html"]
    assert shown["text/plain"] == "Viewer of 1 layer"  # of which the address is nobody's concern


def test_two_cells_have_frames_of_their_own(viewer: v.Viewer) -> None:
    names = [re.findall(r'<div id="([^"]+)"', viewer._repr_html_()) for _ in range(2)]
    assert names[0] != names[1]
    assert f'getElementById("{names[0][0]}")' not in viewer._repr_html_()


def test_at_a_hub_the_frame_is_at_its_proxy(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
    path = f"/user/x/proxy/{serving.port()}/v/{viewer.token}/"
    assert f'<iframe src="{path}"' in viewer._repr_html_()
    assert '"proxied": true' in viewer._repr_html_()


def test_a_name_that_comes_with_the_token_is_learnt_once_a_cell_was_shown(
    viewer: v.Viewer,
) -> None:
    page = f"/v/{viewer.token}/"
    chunk = f"/neuroglancer/info/{viewer._layers['ones'].sources[0].key}"
    assert _ask(viewer, page, Host=HUB) == 403  # no proxy is expected
    viewer._repr_html_()
    assert _ask(viewer, chunk, Host=HUB) == 403
    assert _ask(viewer, f"/v/{'0' * 40}/", Host=HUB) == 403
    assert _ask(viewer, page, Host=HUB) == 200
    assert _ask(viewer, chunk, Host=HUB) == 200
    assert _ask(viewer, chunk, Host="other.example.org") == 403
    assert _ask(viewer, chunk, Host=f"evil.{HUB}") == 403


def test_a_name_is_learnt_without_its_nonsense(viewer: v.Viewer) -> None:
    viewer._repr_html_()
    page = f"/v/{viewer.token}/"
    for name in ("a b", "x@y", "a;script-src *", "a'b"):
        assert _ask(viewer, page, Host=name) == 403
    for number in range(100):
        _ask(viewer, page, Host=f"n{number}.example.org")
    assert _ask(viewer, page, Host="n99.example.org") == 403  # so many proxies there are not
    assert _ask(viewer, page, Host="n0.example.org") == 200


def test_behind_a_proxy_that_changes_the_host_the_browser_says_of_which_origin_it_is(
    viewer: v.Viewer,
) -> None:
    path = f"/state/{viewer.token}"
    body = b'{"s": {}, "g": 1, "pg": "", "c": "a"}'
    origin = f"https://{HUB}"
    assert _ask(viewer, path, body, Origin=origin, Sec_Fetch_Site="same-origin") == 403
    viewer._repr_html_()
    assert _ask(viewer, path, body, Origin=origin, Sec_Fetch_Site="same-origin") == 412
    assert _ask(viewer, path, body, Origin=origin, Sec_Fetch_Site="cross-site") == 403
    assert _ask(viewer, path, body, Origin=origin) == 403


def test_pages_of_colab_and_vs_code_may_have_the_frame_where_the_kernel_is_theirs(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames() -> str:
        _ = viewer.url
        serving._running.guard.frames.clear()  # type: ignore[union-attr]
        viewer._repr_html_()
        with urllib.request.urlopen(viewer.url) as answer:
            policy = str(answer.headers["content-security-policy"])
        return policy.partition("frame-ancestors")[2]

    for name in [name for name in os.environ if name.startswith("VSCODE_")]:
        monkeypatch.delenv(name)
    assert "https:" not in frames()
    monkeypatch.setenv("VSCODE_PID", "1")
    assert "https://vscode.dev" in frames()
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert notebook.is_colab()
    assert "https://colab.research.google.com" in frames()
    assert "vscode.dev" not in frames()


RUN = """
import json, re, sys, urllib.error, urllib.request
import nbclient, nbformat
from jupyter_client.manager import KernelManager

cells = [nbformat.v4.new_code_cell(code) for code in json.loads(sys.argv[1])]
book = nbformat.v4.new_notebook(cells=cells)
kernel = KernelManager(kernel_name="python3")
kernel.kernel_spec.argv[0] = sys.executable
client = nbclient.NotebookClient(book, timeout=60, km=kernel)
pages = []
with client.setup_kernel():
    for number, cell in enumerate(cells):
        client.execute_cell(cell, number)
        address = re.findall('<iframe src="(http://127[^"]+)"', str(cells[0].outputs))[0]
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                pages.append(answer.status)
        except urllib.error.URLError:
            pages.append(0)
nbformat.validate(book)
print(json.dumps([pages, [cell.outputs[-1]["data"] for cell in cells]]))
"""


def test_a_notebook_that_is_run_shows_a_viewer_that_answers() -> None:
    pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    first = (
        "import numpy as np, nibabel_data.viewer as v\n"
        "viewer = v.Viewer()\n"
        "viewer.add(np.ones((4, 4, 4), 'u1'), name='ones')\n"
        "viewer"
    )
    command = [sys.executable, "-W", "ignore", "-c", RUN, json.dumps([first, "v.stop()\nviewer"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    pages, shown = json.loads(done.stdout.splitlines()[-1])
    assert shown[0]["text/plain"] == "Viewer of 1 layer"
    assert "as long as the kernel" in shown[0]["text/html"]
    assert "was closed" in shown[1]["text/html"]
    assert pages == [200, 0]
