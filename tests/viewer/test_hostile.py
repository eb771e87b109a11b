"""What a server in the open is sent, to the real one: broken requests, floods, those who leave."""

from __future__ import annotations

import json
import re
import resource
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.viewer import server, serving, sources

HOST = b"host: 127.0.0.1\r\n"
WORDS = re.compile(rb"Traceback|File \"|site-packages|nibabel_data|Error\b(?<!Server Error)")


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    v.stop()
    with v.Viewer() as viewer:
        array = np.arange(64**3, dtype="u4").reshape(64, 64, 64)
        viewer.add(array, name="a", kind="image")
        _ = viewer.url
        yield viewer
    v.stop()


def _connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", serving.port()), timeout=10)


def _said(sent: bytes) -> bytes:
    """Send bytes as they are, and return all that is answered until the server ends or is still."""
    heard = b""
    with _connect() as one, suppress(ConnectionError):
        one.settimeout(0.25)
        with suppress(TimeoutError):
            one.sendall(sent)
            while more := one.recv(65536):
                heard += more
    return heard


def _statuses(heard: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] ([0-9]{3})", heard)]


def _chunk(viewer: v.Viewer, name: str = "a", box: str = "1,1,1/0,0,0/64,64,64") -> str:
    return f"/neuroglancer/raw/{viewer._layers[name].sources[0].key}/{box}"


def _get(path: str, timeout: float = 10) -> bytes:
    address = f"http://127.0.0.1:{serving.port()}{path}"
    with urllib.request.urlopen(address, timeout=timeout) as answer:
        body: bytes = answer.read()
    return body


def _quick(viewer: v.Viewer, count: int = 20) -> float:
    """Return the longest time, in seconds, that a chunk of 1 MiB took of several."""
    times = []
    for _ in range(count):
        begin = time.monotonic()
        assert len(_get(_chunk(viewer))) == 4 * 64**3
        times.append(time.monotonic() - begin)
    return max(times)


# Requests that are none, or odd


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", {400}),  # the first bytes of TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405}),
        (b"GET /\r\n\r\n", {400, 403}),
        (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", {400, 404}),
        (b"GET / HTTP/1.1\r\n\r\n", {403}),  # no host
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\x00.evil\r\n\r\n", {400, 403}),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", {403}),
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\n" + HOST + b"\r\n", {403}),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n", {400, 403, 404}),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a b: c\r\n\r\n", {400}),
        (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", {400, 403, 404}),
        (b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 403, 404, 405}),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 405}),
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 405}),
        (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", {404}),
        (b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
        (b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    ],
)
def test_what_is_no_request_is_refused(
    viewer: v.Viewer, sent: bytes, expected: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    heard = _said(sent)
    assert set(_statuses(heard)) <= expected
    assert not WORDS.search(heard)
    assert caplog.records == []
    assert _quick(viewer, 1) < 5


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "POST"])
@pytest.mark.parametrize("path", ["/v/{0}/", "/events/{0}?c=a&gc=", "/neuroglancer/raw/x/1/2/3"])
def test_no_other_method_does_anything(viewer: v.Viewer, method: str, path: str) -> None:
    sent = f"{method} {path.format(viewer.token)} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    assert set(_statuses(_said(sent.encode()))) <= {400, 405}


def test_the_state_is_not_to_be_had_by_get(viewer: v.Viewer) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        sent = f"{method} /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        assert _statuses(_said(sent.encode())) == [405]


@pytest.mark.parametrize(
    "name",
    [
        b"../../../../etc/passwd",
        b"..%2f..%2f..%2fetc/passwd",
        b"%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        b"%252e%252e/etc/passwd",
        b"..\\..\\etc\\passwd",
        b"..%5c..%5cetc%5cpasswd",
        b"//etc/passwd",
        b"/etc/passwd",
        b"%00",
        b"index.html%00.png",
        b"....//....//etc/passwd",
        b"%c0%ae%c0%ae/etc/passwd",
        b"%uff0e%uff0e/etc/passwd",
        b"file:///etc/passwd",
        b"a" * 60_000,
    ],
)
def test_no_path_as_it_is_sent_leads_out(viewer: v.Viewer, name: bytes) -> None:
    key = viewer._layers["a"].sources[0].key
    for root in (b"/v/" + viewer.token.encode(), b"/neuroglancer/files/" + key.encode()):
        heard = _said(b"GET " + root + b"/" + name + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert set(_statuses(heard)) <= {400, 403, 404}
        assert b"root:" not in heard


def test_an_old_client_and_one_in_a_hurry_are_answered(viewer: v.Viewer) -> None:
    page = f"/v/{viewer.token}/".encode()
    old = _said(b"GET " + page + b" HTTP/1.0\r\n" + HOST + b"\r\n")
    assert _statuses(old) == [200]
    assert old.endswith(b"</html>")  # and the connection was ended
    box = _chunk(viewer, box="1,1,1/{0},0,0/{1},1,1").replace("{0}", "%d").replace("{1}", "%d")
    asked = b"".join(
        f"GET {box % (number, number + 1)} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
        for number in range(40)
    )
    heard = _said(asked)
    assert _statuses(heard) == [200] * 40
    values = [int.from_bytes(body[:4], "little") for body in heard.split(b"\r\n\r\n")[1:]]
    assert values == list(range(40))  # in order


def test_a_request_within_another_is_not_taken_for_one(viewer: v.Viewer) -> None:
    inner = f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
    for framing in (
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: -1\r\n",
        "content-length: +5\r\n",
        "transfer-encoding: xchunked\r\n",
    ):
        head = f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n{framing}\r\n"
        statuses = _statuses(_said((head + "0\r\n\r\n" + inner).encode()))
        assert set(statuses) <= {400, 408, 413}
        assert len(statuses) <= 2
    assert viewer.shared.value["layers"][0]["name"] == "a"


def test_a_web_socket_is_not_opened(viewer: v.Viewer) -> None:
    upgrade = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    upgrade += b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    for path in ("/", f"/v/{viewer.token}/", f"/events/{viewer.token}"):
        heard = _said(f"GET {path} HTTP/1.1\r\n".encode() + HOST + upgrade)
        assert 101 not in _statuses(heard)
        assert _statuses(heard)[:1] != [500]
    assert _quick(viewer, 1) < 5


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:{port}", 412),
        ("HTTP://127.0.0.1:{port}", 403),
        ("http://127.0.0.1:{port}/", 403),
        ("http://127.0.0.1:{port}@evil.example", 403),
        ("http://evil.example#127.0.0.1:{port}", 403),
        ("http://127.0.0.1:{port}.evil.example", 403),
        ("http://127.0.0.1.:{port}", 403),
        ("http://localhost:{port}", 403),  # another origin than the host that is asked for
        ("http://[::1]:{port}", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("http://127.0.0.1:{port} http://evil.example", 403),
    ],
)
def test_only_the_page_s_own_origin_may_post(viewer: v.Viewer, origin: str, expected: int) -> None:
    body = json.dumps({"s": {}, "g": 1, "pg": "", "c": "a"})
    head = (
        f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1:{serving.port()}\r\n"
        f"origin: {origin.format(port=serving.port())}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    assert _statuses(_said((head + body).encode())) == [expected]


# Floods


def test_two_hundred_slow_clients_are_cut_off_while_others_are_served(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEADER_SECONDS", 2.0)
    monkeypatch.setattr(server, "BODY_SECONDS", 2.0)
    with ExitStack() as stack:
        heads = [stack.enter_context(_connect()) for _ in range(200)]
        bodies = [stack.enter_context(_connect()) for _ in range(200)]
        for one in heads:
            one.sendall(b"GET / HTTP/1.1\r\n")
        for one in bodies:
            one.sendall(
                f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                "content-length: 1000\r\n\r\n{".encode()
            )
        assert _quick(viewer) < 1
        begin = time.monotonic()
        while time.monotonic() - begin < 2.5:  # each byte comes before any gap is long
            for one in (*heads, *bodies):
                with suppress(OSError):
                    one.sendall(b"a")
            time.sleep(0.2)
        for one in (*heads, *bodies):
            one.settimeout(5)
            with suppress(ConnectionError):
                while one.recv(65536):
                    pass  # until the end; a connection that is left open times out
        assert _quick(viewer) < 1


def test_no_flood_of_headers_is_kept(viewer: v.Viewer) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for line in (b"a: b\r\n" * 100_000, b"a: " + b"b" * 600_000 + b"\r\n", b"a" * 600_000):
        with ExitStack() as stack:
            for one in [stack.enter_context(_connect()) for _ in range(20)]:
                with suppress(OSError):
                    one.sendall(b"GET / HTTP/1.1\r\n" + HOST + line)
                    assert _statuses(one.recv(65536)) in ([], [400])
    assert _quick(viewer, 3) < 2
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 64 << 10  # KiB


def test_there_is_an_end_to_the_streams_of_a_viewer(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STREAMS", 20)
    asked = f"GET /events/{viewer.token}?c=a&gc=&gs= HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    with ExitStack() as stack:
        pages = [stack.enter_context(_connect()) for _ in range(25)]
        heard = []
        for page in pages:
            page.sendall(asked)
            heard += _statuses(page.recv(65536))
    assert sorted(heard) == [200] * 20 + [503] * 5


def test_two_hundred_tabs_leave_the_server_quick_and_small(viewer: v.Viewer) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ExitStack() as stack:
        pages = [stack.enter_context(_connect()) for _ in range(200)]
        for number, page in enumerate(pages):
            page.sendall(
                f"GET /events/{viewer.token}?c=p{number}&gc=&gs= HTTP/1.1\r\n".encode()
                + HOST
                + b"\r\n"
            )
        until = time.monotonic() + 20
        while viewer.streams < 200:
            assert time.monotonic() < until
            time.sleep(0.01)
        for number in range(20):  # nobody reads what is sent
            with viewer.txn() as state:
                state["position"] = [number, 0, 0]
                state["note"] = "x" * 20_000
        assert _quick(viewer) < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_a_page_that_reads_nothing_does_not_fill_the_memory(viewer: v.Viewer) -> None:
    with _connect() as deaf:
        asked = f"GET /events/{viewer.token}?c=a&gc=&gs= HTTP/1.1\r\n".encode()
        deaf.sendall(asked + HOST + b"\r\n")
        while viewer.streams < 1:
            time.sleep(0.01)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(200):  # 200 MB, if all was kept
            with viewer.txn() as state:
                state["note"] = str(number) * (1_000_000 // len(str(number)))
            time.sleep(0.005)
        assert _quick(viewer, 3) < 2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def _slow(size: int = 4096) -> socket.socket:
    """Return a connection that takes up little before it is read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    one.settimeout(10)
    one.connect(("127.0.0.1", serving.port()))
    return one


def test_who_takes_nothing_of_what_was_asked_for_is_cut_off_and_who_is_slow_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "STALL_SECONDS", 1.0)
    v.stop()
    with v.Viewer() as viewer, ExitStack() as stack:
        viewer.add(np.ones((128, 128, 128), "f4"), name="a", kind="image")
        path = _chunk(viewer, box="1,1,1/0,0,0/128,128,128")
        asked = f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"connection: close\r\n\r\n"
        _ = viewer.url
        slow = stack.enter_context(_slow(1 << 16))
        slow.sendall(asked)
        for one in [stack.enter_context(_slow()) for _ in range(50)]:
            one.sendall(asked)
        assert serving._running is not None
        known = serving._running.server.server_state.connections
        size, most, begin = 0, 0, time.monotonic()
        while more := slow.recv(1 << 17):
            size += len(more)
            most = max(most, len(known))
            time.sleep(0.03)
        assert time.monotonic() > begin + 1.5
        assert size > 4 * 128**3
        assert most == 51
        until = time.monotonic() + 10
        while len(known):
            assert time.monotonic() < until
            time.sleep(0.05)
    v.stop()


# States


@pytest.mark.parametrize("depth", [99, 102, 500, 5_000, 1_000_000])
def test_a_state_has_an_end_to_its_depth(viewer: v.Viewer, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = f'{{"s": {{"a": {deep}}}, "g": 1, "pg": "{viewer.shared.generation}", "c": "a"}}'
    head = f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    heard = _said(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    assert _statuses(heard) == [200 if depth < 100 else 400]


def test_the_largest_state_holds_up_nobody_for_long(viewer: v.Viewer) -> None:
    body = json.dumps(
        {
            "s": {**viewer.state, "a": list(range(1_000_000))},
            "g": 1,
            "pg": viewer.shared.generation,
            "c": "a",
        }
    )
    assert len(body) < server.MAX_STATE
    head = f"POST /state/{viewer.token} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    sent = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
    heard: list[bytes] = []
    thread = threading.Thread(target=lambda: heard.append(_said(sent)))
    thread.start()
    assert _quick(viewer) < 5
    thread.join()
    with _connect() as one:
        one.sendall(f"{head}content-length: {server.MAX_STATE + 1}\r\n\r\n".encode())
        assert _statuses(one.recv(65536)) == [413]


# Those who leave


def test_who_leaves_in_the_middle_of_a_chunk_is_not_missed(
    viewer: v.Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    asked = f"GET {_chunk(viewer)} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    for number in range(60):
        one = _connect()
        one.sendall(asked * 3)
        if number % 3:
            one.recv(1000)
        if number % 2:  # a reset, not an end
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    assert _quick(viewer) < 2
    assert caplog.records == []


def test_an_array_that_blocks_for_ever_holds_up_no_other(viewer: v.Viewer) -> None:
    release = threading.Event()

    class Blocks:
        shape, dtype, ready = (8, 8, 8), np.dtype("u1"), False

        def __getitem__(self, index: Any) -> Any:
            if self.ready:
                release.wait(60)
            return np.ones(self.shape, self.dtype)[index]

    array = Blocks()
    viewer.add(array, name="slow", kind="image")
    array.ready = True
    asked = f"GET {_chunk(viewer, 'slow', '1,1,1/0,0,0/8,8,8')} HTTP/1.1\r\n".encode()
    with ExitStack() as stack:
        for one in [stack.enter_context(_connect()) for _ in range(300)]:
            one.sendall(asked + HOST + b"\r\n")
        assert _quick(viewer) < 1
        viewer.remove("slow")
        assert _quick(viewer) < 1
        release.set()


# Secrets


def test_tokens_are_compared_in_constant_time(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    original = sources.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return original(a, b)

    monkeypatch.setattr(sources, "compare_digest", compare)
    _get(f"/v/{viewer.token}/")
    assert compared == [viewer.token.encode()]
    _get(_chunk(viewer, box="1,1,1/0,0,0/1,1,1"))
    assert compared[1:] == [viewer._layers["a"].sources[0].key.encode()]


def test_no_log_of_any_level_has_a_token_or_a_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    v.stop()
    caplog.set_level(1)  # uvicorn has a level below that of debugging
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"):
        caplog.set_level(1, name)
    with v.Viewer() as viewer:
        viewer.add(np.zeros((4, 4, 4), "u1"), name="a")
        key = viewer._layers["a"].sources[0].key
        token = viewer.token
        _ = viewer.url
        monkeypatch.setattr(viewer, "closed", None)  # so that a stream fails
        for path in (
            *(
                f"/v/{token}/",
                f"/v/{token}/none",
                f"/events/{token}?c=a&gc=&gs=",
                f"/state/{token}",
            ),
            *(f"/neuroglancer/raw/{key}/1,1,1/0,0,0/4,4,4", f"/neuroglancer/info/{key}"),
            f"/neuroglancer/raw/{key}/nonsense",
        ):
            _said(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
            _said(f"GET {path} HTTP/1.1\r\nhost: evil.example\r\n\r\n".encode())
            _said(f"POST {path} HTTP/1.1\r\n".encode() + HOST + b"content-length: 1\r\n\r\n{")
            _said(f"NONSENSE\x00 {path}\r\n\r\n".encode())
        monkeypatch.undo()
    v.stop()
    text = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert token not in text
    assert key not in text
