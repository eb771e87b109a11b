from __future__ import annotations

import numpy as np
import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.arrays import wrap
from nibabel_data.viewer.downsample import mode
from nibabel_data.viewer.volume import Volume


def all_of(volume, factors):
    shape = [-(-size // f) for size, f in zip(volume.shape, factors, strict=True)]
    data = volume.chunk(factors, [0] * len(shape), shape)
    return np.frombuffer(data, volume.dtype.newbyteorder("<")).reshape(shape, order="F")


def test_numbers_that_stay_the_same_need_no_remark():
    values = np.array([[1.5, np.nan, -np.inf, 2.0**-130, 3]])
    assert Volume(values).shown == (np.dtype("f4"), True, "")
    assert Volume(values.astype("c16").real).shown.exact
    assert Volume(np.array([2**24 + 2, -(2**40)])).shown.exact
    assert "7 digits" in Volume(values + 1e-9).shown.remark
    assert "rounded" in Volume(np.array([2**24 + 1, -(2**40)])).shown.remark
    assert "magnitude" in Volume(np.array([1 + 1j])).shown.remark
    assert "magnitude" in Volume(np.array([-1 + 0j])).shown.remark


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 3, 2**32 - 1], "uint32"),
        ([0, 3, 2.0**60], "uint64"),
        ([-1, 0, 4], "int32"),
        ([-0.0, 1, 2], "uint32"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_labels_kept_as_floats_are_the_integers_that_they_are(values, dtype, order):
    array = np.zeros((2, 3, 4))
    array[1, 2, :3] = values
    volume = Volume(wrap(array, "zyx", scales=(3, 2, 1), order=order), kind="segmentation")
    assert volume.shown == (np.dtype(dtype), True, "")
    assert volume.source.dtype == dtype  # so that there are meshes as well
    assert volume.source.in_memory
    assert volume.source.original is array
    assert volume.source.scales == ((1, 2, 3) if order == "C" else (3, 2, 1))
    expected = array.T if order == "C" else array
    np.testing.assert_array_equal(all_of(volume, (1, 1, 1)), expected)
    np.testing.assert_array_equal(all_of(volume, (2, 2, 2)), mode(expected.astype(dtype), (2,) * 3))


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf, -np.inf])
def test_floats_that_are_no_labels_are_refused(wrong):
    array = np.zeros((2, 2, 2), "f4")
    array[1, 1, 0] = wrong
    with pytest.raises(ViewerError, match=f"there is a voxel of {wrong:g}: round"):
        Volume(array, kind="segmentation")
    array[1, 1, 0] = -1e30
    with pytest.raises(ViewerError, match="from -10000000.* to 0: number them anew"):
        Volume(array, kind="segmentation")


def test_more_floats_than_are_looked_at_are_to_be_converted():
    huge = np.broadcast_to(np.zeros(1), (2**10,) * 3)
    with pytest.raises(ViewerError, match=r"astype\('uint32'\)"):
        Volume(huge, kind="segmentation")


def test_labels_without_a_voxel_are_labels():
    volume = Volume(np.zeros((3, 0, 5), "f4"), kind="segmentation")
    assert volume.shown.dtype == np.uint32


def test_a_number_that_is_nearly_whole_is_told_as_it_is():
    with pytest.raises(ViewerError, match=r"there is a voxel of 1\.0000001"):
        Volume(np.full((2, 2, 2), 1.0000001), kind="segmentation")
