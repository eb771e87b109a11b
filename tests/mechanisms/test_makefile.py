"""The variables of NEURON's makefile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data.mechanisms.makefile import variables

NAMES = st.sampled_from(["A", "B", "C", "CXX", "FLAGS"])
VALUES = st.lists(
    st.one_of(st.sampled_from(["-O2", "-g", "x"]), NAMES.map("$({})".format)), max_size=4
).map(" ".join)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A = 1", "1"),
        ("A=1", "1"),
        ("A := 1", "1"),
        ("A ::= 1", "1"),
        ("export A = 1", "1"),
        ("override A = 1", "1"),
        ("A = 1 # one", "1"),
        ("A = 1\t# one", "1"),
        ("A = 1#2", "1#2"),
        ("# A = 1\nA = 2", "2"),
        ("A = 1 \\\n  2", "1 2"),
        ("A = 1\nA = 2", "2"),
        ("A = 1\nA ?= 2", "1"),
        ("A ?= 2", "2"),
        ("A = 1\nA += 2", "1 2"),
        ("A += 2", "2"),
        ("B = 1\nA = $(B)${B}", "11"),
        ("A = $(B)\nB = 1", "1"),  # what = refers to may come later
        ("A := $(B)\nB = 1", ""),
        ("N = B\nB = 1\nA = $($(N))", "1"),
        ("A = a$(shell uname)b", "ab"),
        ("A = $(if x, -I$(subst ;, -I,/usr),)b", "b"),
        ("A = $$ORIGIN", "$ORIGIN"),
        ("B = 1\nA = $$(B)", "$(B)"),
        ("all:\n\tA = 1\nA = 2", "2"),
        ("A = x y\r\n", "x y"),
    ],
)
def test_an_assignment(text: str, value: str) -> None:
    assert variables(text, {})["A"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ifeq (a, a)\nA = 1\nelse\nA = 2\nendif", "1"),
        ("ifeq (a,b)\nA = 1\nelse\nA = 2\nendif", "2"),
        ("ifneq (a,b)\nA = 1\nendif", "1"),
        ("ifeq ($(B),)\nA = 1\nendif", "1"),
        ("ifeq($(B),)\nA = 1\nendif", "1"),
        ('ifeq "a" "a"\nA = 1\nendif', "1"),
        ("ifneq 'a' \"a\"\nA = 1\nelse\nA = 2\nendif", "2"),
        ("B = 1\nifdef B\nA = 1\nendif", "1"),
        ("ifndef B\nA = 1\nendif # B", "1"),
        ("ifdef B\nA = 1\nelse ifeq (a,a)\nA = 2\nelse\nA = 3\nendif", "2"),
        ("ifeq (a,a)\nA = 1\nelse ifeq (a,a)\nA = 2\nelse\nA = 3\nendif", "1"),
        ("ifeq (a,b)\nifeq (a,a)\nA = 1\nendif\nA = 2\nelse # no\nA = 3\nendif", "3"),
        ("  ifeq (a,a)\n    A = 1\n  endif", "1"),
    ],
)
def test_a_condition(text: str, value: str) -> None:
    assert variables(text, {})["A"] == value


def test_after_a_condition_all_goes_on() -> None:
    known = variables("ifeq 'a' 'b'\nA = 1\nendif\nB = 2\nendif\nelse\nC = 3", {})
    assert known == {"B": "2", "C": "3"}


def test_what_is_given_stays() -> None:
    assert variables("CXX = c++\nCXX += -g\nRUN = $(CXX) x", {"CXX": "g++"})["RUN"] == "g++ x"


def test_a_variable_in_its_own_value_ends() -> None:
    known = variables("A = x$(A)\nB = $(B)$(B)\nC = $(D)\nD = $(C)\nE = 1", {})
    assert not any("$" in value for value in known.values())
    assert known["E"] == "1"


def test_a_value_that_doubles_with_each_variable_ends() -> None:
    chain = "".join(f"A{i} = $(A{i - 1})$(A{i - 1})\n" for i in range(1, 60))
    assert variables(f"A0 = x\n{chain}", {})["A9"] == "x" * 512


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert variables(text, {"ROOT": "/n"})["ROOT"] == "/n"


@given(st.lists(st.tuples(NAMES, st.sampled_from(["=", "?=", "+=", ":="]), VALUES), max_size=8))
def test_nothing_is_left_unexpanded(lines: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{name} {how} {value}\n" for name, how, value in lines)
    known = variables(text, {})
    assert set(known) == {name for name, _, _ in lines}
    assert not any("$" in value for value in known.values())
