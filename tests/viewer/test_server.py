from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import nibabel_data.viewer as v
from nibabel_data.viewer import data, server, serving
from nibabel_data.viewer.guard import Guard

HOST = "http://127.0.0.1:8000"


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    with v.Viewer() as viewer:
        yield viewer
    v.stop()


def _client(guard: Guard | None = None) -> TestClient:
    app = server.make_app(serving.registry(), guard or Guard())
    return TestClient(app, base_url=HOST, follow_redirects=False)


@pytest.fixture
def page(viewer: v.Viewer) -> TestClient:
    return _client()


def _key(viewer: v.Viewer, name: str) -> str:
    key: str = viewer._layers[name].sources[0].key
    return key


class Awkward:
    """An array of which reading is done by a function."""

    shape = (8, 8, 8)
    dtype = np.dtype("u1")

    def __init__(self, read: Callable[[], None]) -> None:
        self.read = read
        self.ready = False

    def __getitem__(self, index: Any) -> Any:
        if self.ready:
            self.read()
        return np.ones(self.shape, self.dtype)[index]


def _post(page: TestClient, url: str, json: object, **headers: str) -> Any:
    return page.post(url, json=json, headers=headers)


# What a page asks for


def test_a_chunk_is_the_voxels(viewer: v.Viewer, page: TestClient) -> None:
    array = np.arange(4 * 5 * 6, dtype="<u2").reshape(4, 5, 6)
    viewer.add(array, name="a")
    key = _key(viewer, "a")
    info = page.get(f"/neuroglancer/info/{key}").json()
    assert info["shape"] == [6, 5, 4]
    answer = page.get(f"/neuroglancer/raw/{key}/1,1,1/1,2,0/4,5,2")
    assert answer.content == array[0:2, 2:5, 1:4].tobytes()
    assert answer.headers["cache-control"] == "no-store"
    array[:] = 7
    again = page.get(f"/neuroglancer/raw/{key}/1,1,1/0,0,0/1,1,1")
    assert again.content == b"\x07\x00"  # a reload shows changed contents


def test_a_chunk_is_asked_for_as_a_page_does(viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(np.ones((2, 2, 2), "u1"), name="a")
    url = f"/neuroglancer/raw/{_key(viewer, 'a')}/1,1,1/0,0,0/2,2,2"
    head = page.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, "8")
    assert head.headers["x-content-type-options"] == "nosniff"
    assert page.post(url).status_code == 405
    for wrong in (f"{url}/3", url.rpartition("/")[0], url.replace("raw/", "raw/x"), f"/{url}"):
        assert page.get(wrong).status_code == 404


def test_the_page_and_its_files(viewer: v.Viewer, page: TestClient) -> None:
    assert page.get(f"/v/{viewer.token}").headers["location"] == f"{viewer.token}/"
    answer = page.get(f"/v/{viewer.token}/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert "*" not in policy.partition("connect-src")[2].partition(";")[0]
    script = answer.text.partition('src="')[2].partition('"')[0]
    file = page.get(f"/v/{viewer.token}/{script}", headers={"accept-encoding": "gzip"})
    assert file.headers["content-encoding"] == "gzip"
    assert "immutable" in file.headers["cache-control"]
    plain = page.get(f"/v/{viewer.token}/{script}", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert plain.content == file.content
    same = page.get(f"/v/{viewer.token}/{script}", headers={"if-none-match": file.headers["etag"]})
    assert same.status_code == 304


def test_a_prefix_that_a_proxy_leaves_is_no_matter(viewer: v.Viewer, page: TestClient) -> None:
    assert page.get(f"/user/x/proxy/8888/v/{viewer.token}/").status_code == 200


def test_a_state_is_set_unless_it_rests_on_an_old_one(viewer: v.Viewer, page: TestClient) -> None:
    url = f"/state/{viewer.token}"
    message = {"s": {"position": [1, 2]}, "g": 4, "pg": viewer.shared.generation, "c": "abc"}
    assert _post(page, url, message).json() == {"g": "abc/4"}
    assert viewer.position == (1, 2)
    assert _post(page, url, message).status_code == 412


def test_addresses_in_a_state_are_those_of_the_page_that_has_it(
    viewer: v.Viewer, page: TestClient
) -> None:
    viewer.add(np.zeros((2, 2, 2), "u4"), name="l", labels={1: "one"})
    assert server.HERE in str(viewer.state)
    outer = "https://hub.example.org/user/x/proxy/1"
    state = viewer.state
    state["layers"][0]["source"][1] = state["layers"][0]["source"][1].replace(server.HERE, outer)
    message = {"s": state, "g": 1, "pg": viewer.shared.generation, "c": "abc"}
    referer = f"{outer}/v/{viewer.token}/"
    assert _post(page, f"/state/{viewer.token}", message, referer=referer).status_code == 200
    assert outer not in str(viewer.state)
    assert server.HERE in str(viewer.state)
    path = viewer.state["layers"][0]["source"][1].partition(server.HERE)[2]
    found = page.get(f"{path}/info").json()
    assert found["inline"]["properties"][0]["values"] == ["one"]


def test_the_mesh_of_an_object_is_made(viewer: v.Viewer, page: TestClient) -> None:
    labels = np.zeros((4, 4, 4), "u4")
    labels[1:3, 1:3, 2] = 5
    viewer.add(labels, name="l", voxel_size=2, units="mm")
    answer = page.get(f"/neuroglancer/mesh/{_key(viewer, 'l')}/5")
    assert answer.status_code == 200
    count = int(np.frombuffer(answer.content, "<u4", 1)[0])
    vertices = np.frombuffer(answer.content, "<f4", 3 * count, 4).reshape(-1, 3)
    # Voxels 2 to 3 of x, 1 to 3 of y and z, in metres.
    np.testing.assert_allclose(vertices.min(axis=0), [4e-3, 2e-3, 2e-3], atol=1e-7)
    np.testing.assert_allclose(vertices.max(axis=0), [6e-3, 6e-3, 6e-3], atol=1e-7)


def test_an_image_has_no_meshes(viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(np.ones((4, 4, 4), "u1"), name="l")
    assert page.get(f"/neuroglancer/mesh/{_key(viewer, 'l')}/1").content == bytes(4)


def test_a_mesh_that_is_not_there_is_an_empty_one(viewer: v.Viewer, page: TestClient) -> None:
    viewer.add(np.ones((4, 4, 4), "u4"), name="l")
    answer = page.get(f"/neuroglancer/mesh/{_key(viewer, 'l')}/7")
    assert (answer.status_code, answer.content) == (200, bytes(4))


def test_a_skeleton_is_served(viewer: v.Viewer, page: TestClient) -> None:
    line = v.Skeleton(np.eye(3, dtype="f4"), np.array([[0, 1], [1, 2]], "u4"))
    viewer.add(line, name="t")
    key = _key(viewer, "t")
    info = page.get(f"/neuroglancer/skeletoninfo/{key}").json()
    assert info["attributes"]["orientation"]["numComponents"] == 3
    assert page.get(f"/neuroglancer/skeleton/{key}/1").content == line.encode()
    assert page.get(f"/neuroglancer/skeleton/{key}/2").content == bytes(8)


# Attacks


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "", "a@127.0.0.1", "8.8.8.8"],
)
def test_another_host_is_refused(viewer: v.Viewer, page: TestClient, host: str) -> None:
    answer = page.get(f"/v/{viewer.token}/", headers={"host": host})
    assert answer.status_code == 403
    assert viewer.token not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost:1", "127.0.0.1", "[::1]:80", "a.localhost", "127.0.0.2"]
)
def test_names_of_this_machine_are_known(viewer: v.Viewer, page: TestClient, host: str) -> None:
    assert page.get(f"/v/{viewer.token}/", headers={"host": host}).status_code == 200


def test_a_host_that_the_user_allowed_is_known(viewer: v.Viewer) -> None:
    guard = Guard()
    guard.allow("https://Hub.example.org/")
    answer = _client(guard).get(f"/v/{viewer.token}/", headers={"host": "hub.example.org"})
    assert answer.status_code == 200
    assert "https://hub.example.org:*" in answer.headers["content-security-policy"]


def test_on_a_hub_the_host_is_that_of_the_hub(
    viewer: v.Viewer, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
    url, message = f"/state/{viewer.token}", {"s": {}, "g": 1, "pg": "", "c": "a"}
    hub = {"host": "hub.example.org"}
    assert page.get(f"/v/{viewer.token}/", headers=hub).status_code == 200
    same = _post(page, url, message, origin="https://hub.example.org", **hub)
    assert same.status_code == 412
    assert _post(page, url, message, origin="https://evil.example", **hub).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8000.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_post_of_another_origin_is_refused(
    viewer: v.Viewer, page: TestClient, headers: dict[str, str]
) -> None:
    message = {"s": {"x": 1}, "g": 1, "pg": viewer.shared.generation, "c": "a"}
    assert _post(page, f"/state/{viewer.token}", message, **headers).status_code == 403
    assert viewer.state == {}
    assert _post(page, f"/state/{viewer.token}", message, origin=HOST).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v/{}/", "/v/{}/index.html", "/events/{}?c=a&gc=", "/neuroglancer/info/{}"]
)
def test_a_wrong_token_is_of_nothing(viewer: v.Viewer, page: TestClient, path: str) -> None:
    for token in (
        "0" * 40,
        viewer.token[:-1],
        viewer.token + "0",
        viewer.token.upper(),
        "%00",
        "é",
    ):
        if token != viewer.token:
            assert page.get(path.format(token)).status_code == 404
    assert _post(page, "/state/" + "0" * 40, {}).status_code == 404


def test_no_origin_is_told_that_it_may_read(viewer: v.Viewer, page: TestClient) -> None:
    answer = page.get(f"/v/{viewer.token}/")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert page.options(f"/state/{viewer.token}", headers={"origin": HOST}).status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc/passwd",
        "/etc/passwd",
        "%00",
    ],
)
def test_no_path_leads_out_of_the_client(viewer: v.Viewer, page: TestClient, name: str) -> None:
    answer = page.get(f"/v/{viewer.token}/{name}")
    assert answer.status_code in (403, 404)
    assert b"root:" not in answer.content


def test_bodies_are_limited(
    viewer: v.Viewer, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STATE", 1000)
    url = f"/state/{viewer.token}"
    assert page.post(url, content=b"x" * 1001).status_code == 413

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    assert page.post(url, content=parts()).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"s": [], "g": 1, "pg": "", "c": "a"}',
        b'{"s": {}, "g": "1", "pg": "", "c": "a"}',
        b'{"s": {}, "g": 1, "pg": "", "c": "a/b"}',
        b'{"s": {}, "g": 1, "pg": "", "c": "\\n"}',
        b'{"s": {"a": NaN}, "g": 1, "pg": "", "c": "a"}',
    ],
)
def test_what_is_no_state_is_refused(viewer: v.Viewer, page: TestClient, body: bytes) -> None:
    assert page.post(f"/state/{viewer.token}", content=body).status_code == 400
    if b"s" not in body:
        assert page.post(f"/action/{viewer.token}", content=body).status_code == 400


def test_an_action_that_nobody_asked_for_is_of_nothing(viewer: v.Viewer, page: TestClient) -> None:
    url = f"/action/{viewer.token}"
    assert _post(page, url, {"action": "on:keyt", "state": {}}).status_code == 404
    assert _post(page, url, {"action": "__class__", "state": {}}).status_code == 404


_fuzz = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_fuzz
@given(
    st.lists(st.text(st.sampled_from("0123456789,-+.eE/ xé"), max_size=12), min_size=3, max_size=3)
)
def test_no_address_of_a_chunk_is_an_error(
    viewer: v.Viewer, page: TestClient, parts: list[str]
) -> None:
    if "a" not in viewer.layers:
        viewer.add(np.ones((3, 3, 3), "u1"), name="a")
    answer = page.get(f"/neuroglancer/raw/{_key(viewer, 'a')}/" + "/".join(parts))
    assert answer.status_code in (200, 307, 308, 400, 404)


@_fuzz
@given(
    st.lists(st.integers(0, 10**12), max_size=4),
    st.lists(st.integers(0, 10**12), max_size=4),
    st.lists(st.integers(0, 10**12), max_size=4),
)
def test_no_numbers_of_a_chunk_are_an_error(
    viewer: v.Viewer, page: TestClient, scale: list[int], start: list[int], end: list[int]
) -> None:
    if "a" not in viewer.layers:
        viewer.add(np.ones((3, 3, 3), "u1"), name="a")
    texts = [",".join(map(str, numbers)) for numbers in (scale, start, end)]
    answer = page.get(f"/neuroglancer/raw/{_key(viewer, 'a')}/" + "/".join(texts))
    assert answer.status_code in (200, 400, 404)


@_fuzz
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none()
            | st.integers()
            | st.text(max_size=5)
            | st.dictionaries(st.text(), st.text())
            for name in ("s", "g", "pg", "c", "action", "state")
        },
    )
)
def test_no_message_is_an_error(viewer: v.Viewer, page: TestClient, message: Any) -> None:
    assert _post(page, f"/state/{viewer.token}", message).status_code in (200, 400, 412)
    assert _post(page, f"/action/{viewer.token}", message).status_code in (200, 400, 404)


# Arrays that misbehave


def test_an_array_that_raises_is_logged_and_shown_as_zeros(
    viewer: v.Viewer, page: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("the disk is on fire")

    array = Awkward(fail)
    viewer.add(array, name="a", kind="image")
    array.ready = True
    url = f"/neuroglancer/raw/{_key(viewer, 'a')}/1,1,1/0,0,0/4,4,4"
    for _ in range(3):
        answer = page.get(url)
        assert (answer.status_code, answer.content) == (200, bytes(64))
    assert caplog.text.count("the disk is on fire") >= 1
    assert len(caplog.records) == 1  # each error once
    assert viewer.token not in caplog.text
    assert _key(viewer, "a") not in caplog.text
    assert "cannot be read" in str(viewer.config.value["statusMessages"])
    assert "fire" not in str(viewer.config.value)
    array.ready = False
    viewer.refresh("a")
    assert page.get(url).content == b"\1" * 64
    assert viewer.config.value["statusMessages"] == {}
    assert viewer.config.value["sourceGenerations"] == {_key(viewer, "a"): 1}


def test_an_array_that_blocks_holds_up_no_other(
    viewer: v.Viewer, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CHUNK_SECONDS", 0.3)
    release = threading.Event()
    array = Awkward(lambda: release.wait(20) and None)
    viewer.add(array, name="slow", kind="image")
    viewer.add(np.ones((8, 8, 8), "u1"), name="quick", kind="image")
    array.ready = True
    slow = f"/neuroglancer/raw/{_key(viewer, 'slow')}/1,1,1/0,0,0/4,4,4"
    quick = f"/neuroglancer/raw/{_key(viewer, 'quick')}/1,1,1/0,0,0/4,4,4"
    statuses: list[int] = []
    shared = page
    threads = [
        threading.Thread(target=lambda: statuses.append(shared.get(slow).status_code))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    begin = time.monotonic()
    for _ in range(10):
        assert shared.get(quick).status_code == 200
    assert time.monotonic() - begin < 5
    for thread in threads:
        thread.join()
    assert statuses == [503] * 20  # upon which a page asks again
    release.set()
    until = time.monotonic() + 10
    while shared.get(slow).status_code != 200:
        assert time.monotonic() < until


def test_an_error_of_the_server_itself_tells_nothing(
    viewer: v.Viewer,
    page: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    viewer.add(np.ones((2, 2, 2), "u1"), name="a")

    def fail() -> dict[str, Any]:
        raise RuntimeError("secret")

    viewer._layers["a"].sources[0].info = fail
    client = TestClient(
        server.make_app(serving.registry(), Guard()), base_url=HOST, raise_server_exceptions=False
    )
    with caplog.at_level(logging.CRITICAL):
        answer = client.get(f"/neuroglancer/info/{_key(viewer, 'a')}")
    assert (answer.status_code, answer.content) == (500, b"Internal Server Error")
