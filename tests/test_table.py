from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nibabel_data.table import aligned, width


def test_columns_are_aligned() -> None:
    assert aligned([("a", "b"), ("ccc", "d"), ("e",)]) == ["a    b", "ccc  d", "e"]
    assert aligned([]) == []


def test_wide_letters_take_two_columns() -> None:
    assert aligned([("脳", "x"), ("ab", "y")]) == ["脳  x", "ab  y"]
    assert width("e\u0301") == 1


@given(st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), min_size=1))
def test_every_row_is_one_printable_line(rows: list[list[str]]) -> None:
    lines = aligned(rows)
    assert len(lines) == len(rows)
    assert all(line.isprintable() for line in lines)
