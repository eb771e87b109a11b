"""Whatever is asked or said: no answer is an error of the server, and none tells what is inside."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import client, server, serving, state
from nibabel_data.viewer.guard import Guard

INSIDE = re.compile(rb"Traceback|File \"|line [0-9]|Exception")
fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(max_size=8) | st.sampled_from(["", "name", "layers", "segments", "position", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
numbers = st.integers(-5, 10**12) | st.floats(allow_nan=False, allow_infinity=False) | texts
layer = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", 1, None, ["a"]]) | texts,
        "type": texts,
        "source": values,
        "segments": st.lists(numbers | st.none(), max_size=4) | values,
    },
)
states = values | st.fixed_dictionaries(
    {},
    optional={
        "layers": st.lists(layer | values, max_size=3) | values,
        "position": st.lists(numbers | st.none(), max_size=4) | values,
        "dimensions": values,
    },
)


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    v.stop()
    with v.Viewer() as viewer:
        viewer.add(np.ones((3, 4, 5), "u4"), name="a", labels={1: "one"})
        yield viewer
    v.stop()


def _ask(
    path: bytes, query: bytes = b"", method: str = "GET", body: bytes = b"", **headers: bytes
) -> tuple[int, bytes]:
    """Return what the application answers to a request as a server hands it on."""
    said: list[dict[str, Any]] = []
    app = server.make_app(serving.registry(), Guard())
    given = {b"host": b"127.0.0.1", **{k.encode(): text for k, text in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": list(given.items()),
        "client": ("127.0.0.1", 1),
    }
    messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))  # type: ignore[arg-type]
    content = b"".join(message.get("body", b"") for message in said)
    return int(said[0]["status"]) if said else 0, content


def _well(answer: tuple[int, bytes]) -> bool:
    return answer[0] < 500 and not INSIDE.search(answer[1])


@fuzz
@given(
    st.sampled_from(["v/{t}", "events/{t}", "state/{t}", "action/{t}", "neuroglancer", "x", "{t}"]),
    st.lists(
        st.sampled_from(["{k}", "{l}", "raw", "info", "mesh", "multires", "files", "..", ".", ""])
        | st.sampled_from(["1,1,1", "0,0,0", "3,4,5", "-1,0,0", "1e3", "9" * 400, "1", "1.index"])
        | st.text(max_size=6),
        max_size=6,
    ),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "BREW"]),
    st.binary(max_size=20),
)
@example("neuroglancer", ["raw", "{k}", "0,0,0", "0,0,0", "0,0,0"], "GET", b"")
@example("neuroglancer", ["multires", "{k}", "0", "99999999999999999999.index"], "GET", b"")
def test_no_path_is_an_error(
    viewer: v.Viewer, root: str, parts: list[str], method: str, query: bytes
) -> None:
    keys = [source.key for source in viewer._layers["a"].sources]
    path = "/".join(["", root, *parts]).replace("{t}", viewer.token)
    path = path.replace("{k}", keys[0]).replace("{l}", keys[1])
    assert _well(_ask(path.encode("utf-8", "replace"), query, method))


@fuzz
@given(st.binary(max_size=60))
def test_no_bytes_of_a_path_are_an_error(viewer: v.Viewer, path: bytes) -> None:
    assert _well(_ask(b"/" + path))
    assert _well(_ask(f"/v/{viewer.token}/".encode() + path))
    assert _well(_ask(f"/neuroglancer/files/{viewer._layers['a'].sources[1].key}/".encode() + path))


@fuzz
@given(st.binary(max_size=40) | st.text("cg=&s%;a0\x00é", max_size=30).map(str.encode))
@example(b"c=a&gc=" + b"&x=1" * 100)
@example(b"c=" + b"a" * 1000 + b"&gc=")
def test_no_query_of_a_stream_is_an_error(viewer: v.Viewer, query: bytes) -> None:
    assert _well(_ask(f"/events/{viewer.token}".encode(), query))
    assert viewer.streams == 0


@fuzz
@given(
    st.sampled_from(["host", "origin", "referer", "range", "if_none_match", "content_length"]),
    st.binary(max_size=40) | st.text("0123456789:.-[]/hptsbye=, ", max_size=30).map(str.encode),
)
@example("content_length", b"9" * 5000)
@example("range", b"bytes=" + b"9" * 5000 + b"-")
@example("referer", b"http://" + b"a/" * 5000 + b"v/")
def test_no_header_is_an_error(viewer: v.Viewer, name: str, text: bytes) -> None:
    key = viewer._layers["a"].sources[0].key.encode()
    assert _well(_ask(b"/neuroglancer/info/" + key, **{name.replace("_", "-"): text}))
    body = b'{"s": {}, "g": 1, "pg": "", "c": "a"}'
    path = f"/state/{viewer.token}".encode()
    assert _well(_ask(path, b"", "POST", body, **{name.replace("_", "-"): text}))


@fuzz
@given(st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()))
def test_no_body_is_an_error(viewer: v.Viewer, body: bytes) -> None:
    for root in ("state", "action"):
        assert _well(_ask(f"/{root}/{viewer.token}".encode(), b"", "POST", body))


@fuzz
@given(states)
@example({"layers": [{"name": ["a"]}]})
@example({"position": [10**400]})
@example({"layers": [{"name": "a", "segments": ["9" * 5000]}]})
def test_no_state_that_a_page_sets_is_an_error(viewer: v.Viewer, said: Any) -> None:
    viewer.on("selection", lambda *_: None)
    viewer.on("position", lambda *_: None)
    generation = viewer.shared.generation
    body = json.dumps({"s": said, "g": 1, "pg": generation, "c": "a"}).encode()
    status, _ = _ask(f"/state/{viewer.token}".encode(), b"", "POST", body)
    assert status in (200, 400)
    for look in (
        lambda: viewer.layers,
        lambda: viewer.position,
        lambda: viewer.dimensions,
        lambda: viewer.url,
        lambda: repr(viewer),
    ):
        look()
    for name in viewer.layers:
        viewer.selected(name)


@fuzz
@given(values, values, values)
def test_no_action_of_a_page_is_an_error(
    viewer: v.Viewer, place: Any, selected: Any, picture: Any
) -> None:
    viewer.on("keyt", lambda action: None)
    message = {"mousePosition": place, "selectedValues": selected, "screenshot": picture}
    for action in ("on:keyt", "screenshot", "screenshotStatistics"):
        body = json.dumps({"action": action, "state": message}).encode()
        status, _ = _ask(f"/action/{viewer.token}".encode(), b"", "POST", body)
        assert status in (200, 400, 404)


@fuzz
@given(states, states)
def test_what_python_changes_of_a_strange_state_is_right_or_refused(
    first: Any, second: Any
) -> None:
    try:
        shared = state.SharedState()
        shared.set(first)
        with shared.txn() as mine:
            shared.set(second)
            mine["own"] = 1
    except ViewerError:
        return
    assert shared.value == {**state.plain(second), "own": 1}


@fuzz
@given(values)
def test_what_is_plain_is_json_and_stays_as_it_is(value: Any) -> None:
    try:
        plain = state.plain(value)
    except ViewerError:
        return
    assert state.plain(state.decode(json.dumps(plain))) == plain


@fuzz
@given(values, values)
def test_a_change_of_one_side_is_taken_whole(base: Any, changed: Any) -> None:
    assert state.merge(base, changed, base) == changed or changed != changed
    assert state.merge(base, base, changed) == changed or changed != changed


@fuzz
@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9.-]{1,20}(:[0-9]{0,6})?", fullmatch=True))
def test_a_host_is_known_only_if_it_is_this_machine(host: str) -> None:
    answer = Guard().refusal("GET", {"host": host})
    name = host.rpartition(":")[0] if re.search(r":[0-9]{1,5}$", host) else host
    name = name.lower().rstrip(".").strip("[]")
    own = name == "localhost" or name.endswith(".localhost") or name.startswith("127.")
    assert answer is not None or own or name == "::1"


@fuzz
@given(st.text(max_size=30) | st.from_regex(r"(\.{0,2}/){0,4}[a-z%./\\]{1,20}", fullmatch=True))
def test_no_name_is_a_file_that_is_not_of_the_client(name: str) -> None:
    files = client.installed()
    assert files.get(name) is None or name in ("", *files.names())
