"""Which scales there are, and which tasks make them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data.viewer.plans import CHUNK, boxes, levels, passes, uniform

shapes = st.tuples(*[st.integers(1, 3000)] * 3)
sizes = st.tuples(*[st.sampled_from([0.5, 1, 2, 3.7, 40])] * 3)


@given(shapes, sizes)
@settings(max_examples=200, deadline=None)
def test_scales_end_with_one_chunk_and_are_made_by_halves(
    shape: tuple[int, ...], voxel: tuple[float, ...]
) -> None:
    found = levels(shape, voxel)
    assert max(found[-1].shape) <= CHUNK
    for one, other in pairwise(found):
        steps = [b / a for a, b in zip(one.factors, other.factors, strict=True)]
        assert set(steps) <= {1, 2}
        assert 2 in steps
    for level in found:
        assert level.shape == tuple(-(-n // f) for n, f in zip(shape, level.factors, strict=True))


def test_thick_slices_are_first_made_coarser_within_themselves() -> None:
    found = [level.factors for level in levels((1024, 1024, 512), (4, 4, 40))]
    assert found[:5] == [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 1), (16, 16, 2)]


def test_channels_and_times_are_never_made_coarser() -> None:
    assert all(level.factors[3] == 1 for level in levels((500, 500, 500, 200), (1, 1, 1)))


@given(shapes, sizes, st.sampled_from([1, 4, 8]), st.sampled_from([1 << 20, 1 << 25]))
@settings(max_examples=200, deadline=None)
def test_each_scale_is_written_by_one_pass_in_whole_chunks(
    shape: tuple[int, ...], voxel: tuple[float, ...], itemsize: int, room: int
) -> None:
    scales = levels(shape, voxel)
    found = passes(scales, (CHUNK,) * 3, itemsize, room)
    assert [level for one in found for level in one.writes] == list(range(len(scales)))
    for one in found:
        base = scales[one.base].factors
        for level in one.writes:
            step = [a // b for a, b in zip(scales[level].factors, base, strict=True)]
            assert all(edge % (CHUNK * f) == 0 for edge, f in zip(one.region, step, strict=True))
        if len(one.writes) > 2:  # what is read has room
            inside = map(min, zip(one.region, scales[one.base].shape, strict=True))
            assert math.prod(inside) * itemsize <= room


@given(shapes, st.tuples(*[st.sampled_from([64, 128, 512])] * 3))
@settings(max_examples=50, deadline=None)
def test_tasks_have_every_voxel_once(shape: tuple[int, ...], region: tuple[int, ...]) -> None:
    found = list(boxes(shape, region))
    volumes = [math.prod(b - a for a, b in zip(box.begin, box.end, strict=True)) for box in found]
    assert sum(volumes) == math.prod(shape)
    assert len({box.begin for box in found}) == len(found)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "u8"])
def test_a_chunk_is_uniform_if_all_its_voxels_are_equal(dtype: str) -> None:
    chunk = np.full((5, 6, 7), 3, dtype)
    assert uniform(chunk) == 3
    chunk[2, 3, 4] = 4
    assert uniform(chunk) is None
    chunk[...] = 0
    assert uniform(chunk) == 0
