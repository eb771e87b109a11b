from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.arrays import wrap

from .samples import ARRAY, agrees, whole


@given(
    hnp.arrays(
        st.sampled_from(["?", "i2", ">i4", "u8", "f2", "f8", ">f4", "c8"]),
        hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5),
    ),
    st.booleans(),
    st.sampled_from([1, 2, -1]),
)
@settings(deadline=None)
def test_an_array_of_numpy(array, fortran, step):
    array = (np.asfortranarray(array) if fortran else array)[::step]
    agrees(wrap(array), array)


def test_a_box_of_an_array_in_memory_is_no_copy():
    assert np.shares_memory(wrap(ARRAY).read((1, 1, 1), (3, 3, 3)), ARRAY)
    assert wrap(ARRAY).in_memory


def test_the_customary_axes():
    assert wrap(np.zeros(3)).names == ("x",)
    assert wrap(np.zeros((2, 3))).names == ("x", "y")
    assert wrap(np.zeros((2,) * 4)).names == ("x", "y", "z", "c^")
    assert wrap(np.zeros((2,) * 5)).names == ("x", "y", "z", "c^", "t")
    assert wrap(np.zeros((2, 3, 4, 5)), order="F").names == ("x", "y", "z", "t")
    assert wrap(np.zeros((2, 3, 4, 5)), order="F").shape == (2, 3, 4, 5)


def test_what_is_said_of_the_axes_is_in_the_order_of_the_array():
    source = wrap(
        ARRAY, ("z", "y", "x"), units=("um", "mm", "mm"), scales=(3, 2, 1), offset=(7, 8, 9)
    )
    assert source.names == ("x", "y", "z")
    assert source.units == ("mm", "mm", "um")
    assert source.scales == (1, 2, 3)
    assert source.offset == (9, 8, 7)
    source = wrap(np.zeros((2, 3, 4, 5)), units="mm", scales=0.5)
    assert source.units == ("mm", "mm", "mm", "")
    assert source.scales == (0.5, 0.5, 0.5, 1)
    assert wrap(ARRAY, ("x", "y", "z")).shape == (4, 5, 6)


@pytest.mark.parametrize("kind", ["i2", "f4", "?"])
def test_what_is_masked_is_nan_or_0(kind):
    array = np.ma.masked_array(np.ones((2, 3), kind), mask=[[0, 1, 0], [0, 0, 1]])
    filled = whole(wrap(array)).T
    assert filled.dtype == kind
    expected = np.array([[1, np.nan, 1], [1, 1, np.nan]])
    np.testing.assert_array_equal(filled, expected if kind == "f4" else np.nan_to_num(expected))


def test_fields_are_channels():
    rgb = np.zeros((2, 3), [("r", "u1"), ("g", "u1"), ("b", "u1")])
    rgb["r"], rgb["g"], rgb["b"] = 1, 2, np.arange(6).reshape(2, 3)
    source = wrap(rgb)
    assert source.shape == (3, 2, 3)
    assert source.names == ("x", "y", "c^")
    assert source.dtype == "u1"
    assert whole(source)[1, 1].tolist() == [1, 2, 4]
    assert source.read((0, 0, 2), (3, 2, 3))[..., 0].T.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert whole(wrap(np.ma.masked_array(rgb, mask=True))).tolist() == np.zeros((3, 2, 3)).tolist()


class Duck:
    shape = (2, 3)
    dtype = np.dtype("u1")

    def __init__(self, give):
        self.give = give

    def __getitem__(self, index):
        return self.give(index)


def test_anything_with_shape_dtype_and_slices():
    array = np.arange(6, dtype="u1").reshape(2, 3)
    agrees(wrap(Duck(array.__getitem__)), array)
    agrees(wrap(array.tolist()), np.asarray(array.tolist()))


def test_the_type_is_that_of_what_is_read():
    assert wrap(Duck(np.ones((2, 3), "f4").__getitem__)).dtype == "f4"


def test_what_goes_wrong_in_an_array_is_one_error_with_its_cause():
    def fail(index):
        raise OSError("the disk is gone")

    good = np.zeros((2, 3), "u1")
    duck = Duck(good.__getitem__)
    source = wrap(duck)
    source._read = fail
    with pytest.raises(ViewerError, match="OSError: the disk is gone") as caught:
        whole(source)
    assert isinstance(caught.value.__cause__, OSError)
    source._read = lambda index: np.zeros((1, 1), "u1")
    with pytest.raises(ViewerError, match=r"gave \(1, 1\) voxels where \(2, 3\)"):
        whole(source)
    with pytest.raises(ViewerError, match="could not be read|cannot be shown"):
        wrap(Duck(fail))


@pytest.mark.parametrize(
    "box",
    [((0, 0), (1, 1)), ((0, 0, 0), (7, 1, 1)), ((-1, 0, 0), (1, 1, 1)), ((2, 0, 0), (1, 1, 1))],
)
def test_a_box_that_is_not_in_the_array(box):
    with pytest.raises(ViewerError, match="is not in an array"):
        wrap(ARRAY).read(*box)


@pytest.mark.parametrize(
    ("array", "options", "problem"),
    [
        (np.float64(3), {}, "A single number"),
        (object(), {}, "is no array"),
        ("text", {}, "is no array"),
        (None, {}, "is no array"),
        (np.zeros((1,) * 6), {}, "needs names"),
        (ARRAY, {"names": "ab"}, "An array of 3 axes has 2 names"),
        (ARRAY, {"scales": [1, 2]}, "An array of 3 axes has 2 scales"),
        (ARRAY, {"order": "A"}, "The order of axes is C or F"),
        (np.zeros(2, [("a", "U1")]), {}, "Voxels with the fields a"),
    ],
)
def test_what_is_refused_with_a_sentence(array, options, problem):
    with pytest.raises(ViewerError, match=problem):
        wrap(array, **options)


def test_a_source_is_wrapped_once():
    source = wrap(ARRAY)
    assert wrap(source) is source
    assert repr(source) == "<ArraySource of numpy.ndarray: 6 x 5 x 4 int16>"


def test_nothing_is_said_aloud():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole(wrap(np.zeros((0, 3))))


def test_a_box_may_be_given_by_slices():
    source = wrap(np.arange(24).reshape(2, 3, 4))
    box = (slice(1, 3), slice(0, 2), slice(1, 2))
    np.testing.assert_array_equal(source[box], source.read((1, 0, 1), (3, 2, 2)))
