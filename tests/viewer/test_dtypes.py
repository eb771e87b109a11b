from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.dtypes import CLIENT_DTYPES, client_dtype, convert, to_bytes

NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", "c8", "c16"]
NUMBERS += [f">{code}" for code in ("i2", "u2", "i4", "u8", "f4", "f8", "c16")]


@pytest.mark.parametrize("name", CLIENT_DTYPES)
def test_what_the_client_takes_is_shown_as_it_is(name):
    for order in "<>":
        shown = client_dtype(np.dtype(name).newbyteorder(order))
        assert shown == (np.dtype(name), True, "")


@pytest.mark.parametrize(
    ("dtype", "shown", "exact"),
    [
        ("bool", "uint8", True),
        ("float16", "float32", True),
        ("float64", "float32", False),
        ("longdouble", "float32", False),
        ("complex64", "float32", False),
        ("int64", "float32", False),
    ],
)
def test_what_it_does_not_take_is_converted(dtype, shown, exact):
    answer = client_dtype(dtype)
    assert answer[:2] == (np.dtype(shown), exact)
    assert bool(answer.remark) is not exact


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        ((0, 1), "int32"),
        ((-(2**31), 2**31 - 1), "int32"),
        ((0, 2**32 - 1), "uint32"),
        ((0, 2**32), "uint64"),
        ((-1, 2**31), "float32"),
    ],
)
def test_int64_is_exact_where_the_numbers_allow_it(bounds, shown):
    answer = client_dtype("i8", bounds=bounds)
    assert answer.dtype == shown
    assert answer.exact is (shown != "float32")
    if answer.exact:
        assert convert(np.array(bounds), answer).tolist() == list(bounds)


def test_labels_of_int64_stay_apart():
    labels = np.array([0, 2**53 + 1, 2**63 - 1, -1])
    assert client_dtype("i8", labels=True, bounds=(0, 9)) == (np.dtype("u8"), True, "")
    answer = client_dtype("i8", labels=True, bounds=(-1, 9))
    assert "2**64 + n" in answer.remark
    assert convert(labels, answer).tolist() == [0, 2**53 + 1, 2**63 - 1, 2**64 - 1]


def test_what_changed_beyond_the_bounds_becomes_the_nearest():
    shown = client_dtype("i8", bounds=(0, 9))
    assert convert(np.array([2**40, -(2**40)]), shown).tolist() == [2**31 - 1, -(2**31)]


def test_numbers_beyond_float32_are_infinite_and_nan_stays():
    with np.errstate(all="raise"):
        block = convert(np.array([1e300, -1e300, np.nan, np.inf, 1e-320]), client_dtype("f8"))
    np.testing.assert_array_equal(block, np.array([np.inf, -np.inf, np.nan, np.inf, 0], "f4"))


@pytest.mark.parametrize(
    ("dtype", "sentence"),
    [
        ("M8[s]", "Times .datetime64.s.. cannot be shown: subtract a beginning"),
        ("m8[ns]", "Times"),
        ("U3", "texts or objects"),
        ("S3", "texts or objects"),
        ("O", "texts or objects"),
        ("V4", "only numbers can be"),
        ([("a", "u1"), ("b", "M8[s]")], "its fields are a, b"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(dtype, sentence):
    with pytest.raises(ViewerError, match=sentence):
        client_dtype(np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "f2"])
def test_labels_are_whole_numbers(dtype):
    with pytest.raises(ViewerError, match="Segments are named by whole numbers"):
        client_dtype(dtype, labels=True)


def test_the_types_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype, name in (
        (ml_dtypes.bfloat16, "float32"),
        (ml_dtypes.float8_e4m3fn, "float32"),
        (ml_dtypes.int4, "int8"),
        (ml_dtypes.uint4, "uint8"),
    ):
        shown = client_dtype(dtype)
        assert shown.dtype == name
        assert convert(np.array([0, 1, 2], dtype), shown).tolist() == [0, 1, 2]


@st.composite
def blocks(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    rank = draw(st.integers(1, 5))
    shape = draw(st.tuples(*[st.integers(0, 5)] * rank))
    block = draw(hnp.arrays(dtype, shape))
    block = block.transpose(draw(st.permutations(range(rank))))
    if draw(st.booleans()):
        block = np.asfortranarray(block)
    if draw(st.booleans()):
        block = np.broadcast_to(block[:1], block.shape)
    return block[tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in range(rank))]


@given(blocks())
@settings(deadline=None, max_examples=500)
def test_the_bytes_are_those_of_the_converted_block_in_fortran_order(block):
    shown = client_dtype(block.dtype)
    converted = convert(block, shown)
    assert converted.dtype == shown.dtype
    assert converted.shape == block.shape
    little = shown.dtype.newbyteorder("<")
    assert to_bytes(converted) == converted.astype(little).tobytes("F")
    assert to_bytes(converted.astype(shown.dtype.newbyteorder(">"))) == to_bytes(converted)
