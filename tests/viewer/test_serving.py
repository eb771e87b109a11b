from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import serving


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    v.stop()
    yield
    v.stop()
    v.set_server_bind_address()
    serving._allowed.clear()
    serving._sources.clear()


def _get(url: str, timeout: float = 10) -> Any:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.status, answer.read()


def _connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", serving.port()), timeout=10)


def _ask(path: str, *, close: bool = False) -> bytes:
    end = "connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{end}\r\n".encode()


def test_the_server_is_started_when_it_is_first_needed() -> None:
    viewer = v.Viewer()
    viewer.add(np.ones((2, 2, 2), "u1"))
    assert not serving.is_running()
    assert viewer.url.startswith("http://127.0.0.1:")
    assert serving.is_running()
    assert _get(viewer.url)[0] == 200
    assert v.Viewer().url.split("/")[2] == viewer.url.split("/")[2]


def test_what_was_stopped_is_no_more_and_what_comes_after_is_new() -> None:
    viewer = v.Viewer()
    url = viewer.url
    v.stop()
    with pytest.raises(urllib.error.URLError):
        _get(url)
    with pytest.raises(ViewerError, match="make a new one"):
        _ = viewer.url
    assert str(viewer) == "a viewer that was closed"
    again = v.Viewer()
    assert _get(again.url)[0] == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(again.url.replace(again.token, viewer.token))
    v.stop()
    v.stop()


def test_the_address_is_not_changed_unheard() -> None:
    _ = v.Viewer().url
    with pytest.raises(ViewerError, match=r"Set its address before .* or call .*stop\(\)"):
        v.set_server_bind_address("0.0.0.0")
    v.stop()
    v.set_server_bind_address("0.0.0.0")
    viewer = v.Viewer()
    host = viewer.url.split("/")[2].rpartition(":")[0]
    assert host not in ("0.0.0.0", "localhost", "")
    assert _get(viewer.url)[0] == 200
    assert "127.0.0.1" in viewer.local_url()


def test_a_port_can_be_chosen_and_one_that_is_taken_is_told_of() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        v.set_server_bind_address(port=port)
        with pytest.raises(ViewerError, match=f"cannot listen on 127.0.0.1:{port}"):
            _ = v.Viewer().url
    v.stop()
    v.set_server_bind_address(port=port)
    assert f":{port}/" in v.Viewer().url
    with pytest.raises(ViewerError, match="not a port"):
        v.set_server_bind_address(port=70000)


def test_hosts_and_sources_that_the_user_allows() -> None:
    v.allow(host="hub.example.org", source="https://storage.googleapis.com")
    url = v.Viewer().url
    v.allow(host="other.example.org")
    for name, status in (("hub", 200), ("other", 200), ("evil", 403)):
        request = urllib.request.Request(url, headers={"host": f"{name}.example.org"})
        try:
            with urllib.request.urlopen(request) as answer:
                assert answer.status == status
                assert "https://storage.googleapis.com" in answer.headers["content-security-policy"]
        except urllib.error.HTTPError as error:
            assert error.code == status
            error.close()
    with pytest.raises(ViewerError):
        v.allow(source="https://a/b; script-src *")


def test_a_running_loop_is_no_matter() -> None:
    async def main() -> int:
        viewer = v.Viewer()
        status: int = (await asyncio.to_thread(_get, viewer.url))[0]
        return status

    assert asyncio.run(main()) == 200


def test_tokens_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        viewer = v.Viewer()
        _get(viewer.url)
        with pytest.raises(urllib.error.HTTPError):
            _get(f"{viewer.url}nothing")
        with _connect() as nonsense:
            nonsense.sendall(f"NONSENSE /v/{viewer.token}/\r\n\r\n".encode())
            nonsense.recv(1000)
        v.stop()
    assert viewer.token not in caplog.text


def test_a_request_that_comes_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEADER_SECONDS", 0.3)
    viewer = v.Viewer()
    _ = viewer.url
    slow = [_connect() for _ in range(50)]
    for one in slow:
        one.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    assert _get(viewer.url)[0] == 200
    until = time.monotonic() + 10
    for one in slow:
        one.settimeout(until - time.monotonic())
        try:
            while True:
                one.sendall(b"a: b\r\n")
                time.sleep(0.02)
        except OSError:
            pass
        one.close()


def test_a_head_that_does_not_end_is_cut_off() -> None:
    _ = v.Viewer().url
    with _connect() as one, pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(10_000):
            one.sendall(b"a: " + b"b" * 10_000 + b"\r\n")


def test_a_body_that_comes_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from nibabel_data.viewer import server

    monkeypatch.setattr(server, "BODY_SECONDS", 0.3)
    viewer = v.Viewer()
    _ = viewer.url
    with _connect() as one:
        one.sendall(
            f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            "content-length: 100\r\n\r\n{".encode()
        )
        assert b" 408 " in one.recv(1000)


def test_two_hundred_pages_are_told_of_a_change() -> None:
    viewer = v.Viewer()
    viewer.add(np.ones((4, 4, 4), "u1"), name="a")
    _ = viewer.url
    pages = [_connect() for _ in range(200)]
    try:
        for number, page in enumerate(pages):
            page.sendall(_ask(f"/events/{viewer.token}?c=p{number}&gc=&gs="))
        for page in pages:
            _until(page, b'"k":"c"')
        assert viewer.streams == 200
        viewer.position = (1, 2, 3)
        for page in pages:
            _until(page, b"[1.0,2.0,3.0]")
        assert _get(viewer.url)[0] == 200
    finally:
        for page in pages:
            page.close()
    _wait(lambda: viewer.streams == 0)
    assert viewer.shared._listeners == []


def test_a_page_is_not_told_what_it_said_itself() -> None:
    viewer = v.Viewer()
    _ = viewer.url
    with _connect() as page:
        page.sendall(_ask(f"/events/{viewer.token}?c=me&gc=&gs="))
        _until(page, b'"k":"c"')
        viewer.shared.set({"own": 1}, generation="me/1")
        viewer.shared.set({"other": 1}, generation="you/1")
        heard = _until(page, b'"other":1')
        assert b'"own"' not in heard


def test_the_streams_end_with_the_viewer() -> None:
    viewer = v.Viewer()
    _ = viewer.url
    with _connect() as page:
        page.sendall(_ask(f"/events/{viewer.token}?c=me&gc=&gs="))
        _until(page, b'"k":"c"')
        viewer.close()
        assert b"closed in Python" in _until(page, b"0\r\n\r\n")


def test_work_of_a_page_that_has_gone_is_dropped() -> None:
    release = threading.Event()
    reads = []

    class Slow:
        shape = (8, 8, 8)
        dtype = np.dtype("u1")

        def __getitem__(self, index: Any) -> Any:
            reads.append(index)
            if len(reads) > 1:
                release.wait(20)
            return np.ones(self.shape, self.dtype)[index]

    viewer = v.Viewer()
    viewer.add(Slow(), name="slow", kind="image")
    del reads[1:]
    _ = viewer.url
    source = viewer._layers["slow"].sources[0]
    pages = [_connect() for _ in range(40)]
    for page in pages:
        page.sendall(_ask(f"/neuroglancer/raw/{source.key}/1,1,1/0,0,0/4,4,4"))
    _wait(lambda: source.asked == 40)
    time.sleep(0.2)
    for page in pages:
        page.close()
    time.sleep(0.3)
    release.set()
    _wait(lambda: source.pool._active == 0)
    assert len(reads) <= 1 + 4 + 1  # those that had begun


def test_a_fork_has_a_server_of_its_own() -> None:
    code = """
import os, sys, urllib.request, warnings
warnings.simplefilter("ignore")
import numpy as np, nibabel_data.viewer as v
viewer = v.Viewer(); viewer.add(np.ones((2, 2, 2), "u1")); url = viewer.url
pid = os.fork()
if pid == 0:
    code = 1
    try:
        own = viewer.url
        urllib.request.urlopen(own, timeout=10).read()
        code = 0 if own != url else 2
        v.stop()
    finally:
        os._exit(code)
_, status = os.waitpid(pid, 0)
urllib.request.urlopen(url, timeout=10).read()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_python_ends_although_an_array_blocks() -> None:
    code = """
import threading, urllib.request, numpy as np, nibabel_data.viewer as v
class Blocks:
    shape, dtype, ready = (4, 4, 4), np.dtype("u1"), False
    def __getitem__(self, index):
        if self.ready: started.set(); threading.Event().wait()
        return np.ones(self.shape, self.dtype)[index]
started = threading.Event()
array = Blocks(); viewer = v.Viewer(); viewer.add(array, kind="image"); array.ready = True
url = viewer.url.partition("/v/")[0] + "/neuroglancer/raw/" + viewer._layers["array"].sources[0].key
def ask():
    try: urllib.request.urlopen(url + "/1,1,1/0,0,0/4,4,4")
    except OSError: pass
threading.Thread(target=ask, daemon=True).start()
started.wait()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_viewer_imports_nothing() -> None:
    code = (
        "import sys; import nibabel_data.viewer;"
        "print(*{'numpy', 'nibabel', 'starlette', 'uvicorn', 'asyncio'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "httptools"])
def test_what_is_missing_is_told_in_a_sentence(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ViewerError, match=r"pip install 'nibabel-data\[view\]'"):
        v.Viewer()


def _until(page: socket.socket, text: bytes) -> bytes:
    heard = b""
    while text not in heard:
        more = page.recv(65536)
        assert more, heard
        heard += more
    return heard


def _wait(condition: Any, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
