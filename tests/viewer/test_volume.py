from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.arrays import wrap
from nibabel_data.viewer.downsample import average, mode
from nibabel_data.viewer.spaces import Space
from nibabel_data.viewer.volume import Volume

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", ">i2", ">f8"]


def sent(volume, factors, begin, end):
    """Return a chunk as the client decodes it."""
    shape = [b - a for a, b in zip(begin, end, strict=True)]
    data = volume.chunk(factors, begin, end)
    return np.frombuffer(data, volume.dtype.newbyteorder("<")).reshape(shape, order="F")


def all_of(volume, factors):
    shape = [-(-max(1, size) // f) for size, f in zip(volume.shape, factors, strict=True)]
    return sent(volume, factors, [0] * len(shape), shape)


@given(
    st.data(),
    hnp.arrays(
        st.sampled_from(DTYPES), hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=7)
    ),
)
@settings(deadline=None, max_examples=300)
def test_any_chunk_at_any_scale_is_that_of_the_whole(data, array):
    array = array.transpose(data.draw(st.permutations(range(array.ndim))))
    volume = Volume(array)
    factors = tuple(data.draw(st.sampled_from([1, 1, 2, 4])) for _ in range(array.ndim))
    if math.prod(factors) > 64:
        factors = (1,) * array.ndim
    whole = all_of(volume, factors)
    begin = [data.draw(st.integers(0, size)) for size in whole.shape]
    end = [data.draw(st.integers(a, size)) for a, size in zip(begin, whole.shape, strict=True)]
    where = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
    np.testing.assert_array_equal(sent(volume, factors, begin, end), whole[where])
    if array.size and set(factors) == {1} and array.dtype.kind not in "cf" and array.itemsize < 8:
        np.testing.assert_array_equal(whole, array.T)


@pytest.mark.parametrize("kind", ["image", "segmentation"])
def test_a_coarser_chunk_is_the_mean_or_the_mode(kind):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 4, (9, 17, 33)).astype("u2")
    volume = Volume(array, kind=kind)
    reduce = mode if kind == "segmentation" else average
    for factors in ((2, 2, 2), (4, 4, 4), (2, 1, 4)):
        np.testing.assert_array_equal(all_of(volume, factors), reduce(array.T, factors))


def test_the_description_is_json_that_the_client_takes():
    array = np.zeros((2, 3, 4), ">f8")
    volume = Volume(array, Space("xyz", ["mm"] * 3, (1, 2, 3)), offset=(0, -0.5, 2))
    info = json.loads(json.dumps(volume.info(), allow_nan=False))
    assert info == {
        "dataType": "float32",
        "encoding": "raw",
        "generation": 0,
        "coordinateSpace": {"x": [0.001, "m"], "y": [0.002, "m"], "z": [0.003, "m"]},
        "shape": [4, 3, 2],
        "volumeType": "image",
        "voxelOffset": [0.0, -0.5, 2.0],
        "chunkLayout": "isotropic",
        "downsamplingLayout": "3d",
        "maxDownsampling": 64,
        "maxDownsampledSize": 128,
        "maxDownsamplingScales": None,
    }
    own = Volume(wrap(array, units="um", scales=(9, 2, 2)))
    assert list(own.info()["coordinateSpace"]) == ["x", "y", "z"]
    assert own.info()["coordinateSpace"]["z"] == [9e-6, "m"]


def test_layouts():
    array = np.zeros((2, 3, 4), "u1")
    assert Volume(array, layout="2d").info()["downsamplingLayout"] == "2d"
    assert Volume(array, layout="none").info()["maxDownsamplingScales"] == 1


def test_what_is_told_is_what_is_sent_of_a_scaled_image(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.arange(24, dtype="i2").reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.to_filename(tmp_path / "a.nii")
    volume = Volume(wrap(nibabel.load(tmp_path / "a.nii").dataobj))
    assert volume.info()["dataType"] == "float32"
    assert volume.info()["shape"] == [2, 3, 4]
    chunk = sent(volume, (1, 1, 1), (0, 0, 0), (2, 3, 4))
    np.testing.assert_allclose(chunk, np.asarray(nibabel.load(tmp_path / "a.nii").dataobj))


def test_int64_is_looked_at():
    assert Volume(np.arange(9)).dtype == "int32"
    assert Volume(np.arange(9) + 2**31).dtype == "uint32"
    assert Volume(np.arange(9) - 2**40).dtype == "float32"
    assert Volume(np.arange(9), kind="segmentation").dtype == "uint64"


def test_an_axis_without_voxels_is_one_of_zeros():
    volume = Volume(np.zeros((3, 0, 2), "f4"))
    assert volume.info()["shape"] == [2, 1, 3]
    assert sent(volume, (1, 1, 1), (0, 0, 0), (2, 1, 3)).tolist() == np.zeros((2, 1, 3)).tolist()


def test_levels_answer_for_what_can_be_made_of_them():
    array = np.zeros((16, 16, 17), "u1")
    volume = Volume(array)
    with pytest.raises(ViewerError, match="not shown at the scale"):
        volume.chunk((8, 8, 8), (0, 0, 0), (1, 1, 1))
    volume.add_level((2, 2, 2), np.full((9, 8, 8), 7, "u1"))
    volume.add_level((4, 4, 4), np.full((5, 4, 4), 9, "u1"))
    assert all_of(volume, (1, 1, 1)).max() == 0
    assert set(all_of(volume, (2, 2, 2)).ravel().tolist()) == {7}
    assert set(all_of(volume, (8, 4, 4)).ravel().tolist()) == {9}
    assert set(all_of(volume, (4, 2, 2)).ravel().tolist()) == {7}
    assert all_of(volume, (4, 1, 1)).max() == 0
    assert volume.info()["maxDownsampling"] == 64 * 64
    with pytest.raises(ViewerError, match="is not .* coarser"):
        volume.add_level((2, 2, 2), np.zeros((9, 8, 9)))
    assert volume.refresh() == 1
    assert volume.info()["generation"] == 1
    assert all_of(volume, (2, 2, 2)).max() == 0


def test_a_level_that_was_rounded_down_lacks_nothing():
    volume = Volume(np.zeros((5, 5, 5), "u1"))
    volume.add_level((2, 2, 2), np.arange(8, dtype="u1").reshape((2, 2, 2), order="F"))
    chunk = all_of(volume, (2, 2, 2))
    assert chunk.shape == (3, 3, 3)
    assert chunk[:, 0, 0].tolist() == [0, 1, 1]
    assert sent(volume, (2, 2, 2), (2, 2, 2), (3, 3, 3)).tolist() == [[[7]]]


def test_a_change_of_the_array_is_seen_at_once():
    array = np.zeros((4, 4, 4), "u1")
    volume = Volume(array)
    array[:] = 3
    assert all_of(volume, (1, 1, 1)).min() == 3
    assert volume.generation == 0
    assert volume.refresh() == 1


@pytest.mark.parametrize(
    "request_",
    [
        ((1, 1), (0, 0, 0), (1, 1, 1)),
        ((1, 1, 1), (0, 0), (1, 1, 1)),
        ((1, 1, 1), (0, 0, 0), (5, 1, 1)),
        ((1, 1, 1), (-1, 0, 0), (1, 1, 1)),
        ((1, 1, 1), (2, 0, 0), (1, 1, 1)),
        ((0, 1, 1), (0, 0, 0), (1, 1, 1)),
        ((128, 1, 1), (0, 0, 0), (1, 1, 1)),
        ((2**70, 1, 1), (0, 0, 0), (1, 1, 1)),
        ((1, 1, 1), (2**70, 0, 0), (2**71, 1, 1)),
    ],
)
def test_a_request_that_makes_no_sense(request_):
    with pytest.raises(ViewerError):
        Volume(np.zeros((4, 4, 4), "u1")).chunk(*request_)


def test_a_request_that_is_too_large():
    huge = np.broadcast_to(np.zeros(1, "u1"), (2**14,) * 3)
    with pytest.raises(ViewerError, match="more than"):
        Volume(huge).chunk((1, 1, 1), (0, 0, 0), (2**14,) * 3)
    with pytest.raises(ViewerError, match="too many voxels"):
        Volume(huge).chunk((4, 4, 4), (0, 0, 0), (128, 128, 128))


@pytest.mark.parametrize(
    "options",
    [{"kind": "mesh"}, {"layout": "4d"}, {"offset": (1, 2)}, {"offset": (0, 0, math.nan)}],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ViewerError):
        Volume(np.zeros((2, 2, 2), "u1"), **options)


def test_levels_of_what_has_changed_meanwhile_are_not_taken():
    volume = Volume(np.zeros((4, 4, 4), "u1"))
    level = [((2, 2, 2), np.full((2, 2, 2), 7, "u1"))]
    volume.add_levels(level, generation=0)
    assert volume.levels == ((2, 2, 2),)
    volume.refresh()
    volume.add_levels(level, generation=0)
    assert volume.levels == ()
    volume.add_levels(level, generation=1)
    assert all_of(volume, (2, 2, 2)).min() == 7


def test_what_cannot_be_shown():
    with pytest.raises(ViewerError, match="whole numbers"):
        Volume(np.zeros((2, 2, 2), "c8"), kind="segmentation")
