from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.state import ConflictError, SharedState, decode, merge, plain

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_each_change_has_a_generation_and_what_is_no_change_has_none() -> None:
    state = SharedState({"a": 1})
    first = state.generation
    assert state.set({"a": 1}) == first
    second = state.set({"a": 2})
    assert second != first
    assert state.encoded() == ('{"a":2}', second)


def test_a_change_that_rests_on_an_old_state_is_refused() -> None:
    state = SharedState()
    old = state.generation
    assert state.set({"a": 1}, generation="page/1", expected=old) == "page/1"
    with pytest.raises(ConflictError):
        state.set({"a": 2}, generation="page/2", expected=old)
    assert state.value == {"a": 1}


def test_a_copy_is_a_copy() -> None:
    state = SharedState({"a": [1]})
    state.value["a"].append(2)
    assert state.value == {"a": [1]}


def test_a_transaction_keeps_what_a_page_did_meanwhile() -> None:
    state = SharedState({"layers": [{"name": "a", "x": 1}, {"name": "b"}], "position": [1]})
    with state.txn() as mine:
        mine["layers"][0]["x"] = 2
        mine["layers"].append({"name": "c"})
        page = state.value
        page["position"] = [7]
        page["layers"][1]["y"] = 3
        state.set(page, generation="page/1")
    assert state.value == {
        "layers": [{"name": "a", "x": 2}, {"name": "b", "y": 3}, {"name": "c"}],
        "position": [7],
    }


def test_a_transaction_that_fails_changes_nothing() -> None:
    state = SharedState({"a": 1})
    with pytest.raises(KeyError), state.txn() as mine:
        mine["a"] = 2
        raise KeyError
    assert state.value == {"a": 1}


def test_a_change_is_tried_again_after_another() -> None:
    state = SharedState({"n": 0})
    calls = []

    def add(value: dict[str, Any]) -> str:
        calls.append(value["n"])
        if len(calls) < 4:
            state.set({"n": value["n"] + 10})
        value["n"] += 1
        return "done"

    assert state.change(add) == "done"
    assert calls == [0, 10, 20, 30]
    assert state.value == {"n": 31}
    with pytest.raises(ConflictError, match="2 times"):
        state.change(lambda value: state.set({"n": state.value["n"] + 1}), retries=2)


def test_no_change_of_many_threads_is_lost() -> None:
    state = SharedState({"n": 0})

    def work() -> None:
        for _ in range(50):
            state.change(lambda value: value.__setitem__("n", value["n"] + 1), retries=10_000)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.value == {"n": 400}


def test_listeners_are_told_until_they_end_it() -> None:
    state = SharedState()
    told = []
    end = state.listen(lambda: told.append(state.generation))
    state.set({"a": 1})
    end()
    state.set({"a": 2})
    assert len(told) == 1


def test_numbers_that_a_page_would_round_are_sent_as_text() -> None:
    assert plain({"s": [np.uint64(2**63), np.int16(3), np.float32(0.5), np.array([1, 2])]}) == {
        "s": ["9223372036854775808", 3, 0.5, [1, 2]]
    }


@pytest.mark.parametrize("value", [float("nan"), np.inf, object(), {"a": {1j}}])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(ViewerError):
        plain(value)


def test_a_state_that_is_too_deep_is_refused() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ViewerError):
        SharedState({"a": deep})


@given(JSON, JSON)
def test_merging_with_no_change_of_the_other_is_mine(base: Any, mine: Any) -> None:
    assert merge(base, mine, base) == mine
    assert merge(base, base, mine) == mine


@given(JSON, JSON, JSON)
def test_merging_anything_is_json(base: Any, mine: Any, theirs: Any) -> None:
    plain(merge(base, mine, theirs))


@given(st.binary(max_size=60) | st.text(max_size=60) | st.just("[" * 100_000))
def test_a_text_is_json_or_refused(text: bytes | str) -> None:
    with suppress(ViewerError):
        decode(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", b"\xff", "1" * 5000])
def test_what_only_python_takes_for_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ViewerError):
        decode(text)
