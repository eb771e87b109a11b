from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nibabel_data.errors import ViewerError
from nibabel_data.viewer import _reduce, downsample
from nibabel_data.viewer.downsample import average, mode, pyramid

FIXTURE = [HealthCheck.function_scoped_fixture]  # the same for all examples
INTEGERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">u2", ">i4", ">u8"]


def cells(block, factors):
    """Yield the index of each cell, and the list of its voxels."""
    shape = [-(-size // factor) for size, factor in zip(block.shape, factors, strict=True)]
    for index in np.ndindex(*shape):
        where = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        yield index, block[where].ravel().tolist()


def exact_mean(voxels):
    return round(Fraction(sum(map(int, voxels)), len(voxels)))  # halves to even


def exact_mode(voxels):
    counts = Counter(map(int, voxels))
    return min(counts, key=lambda label: (-counts[label], label <= 0, label == 0, label))


@st.composite
def blocks(draw, dtypes=INTEGERS, few_labels=False):
    """Return a block of any rank, type and strides, and factors."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rank = draw(st.integers(1, 5))
    longest = {1: 40, 2: 12, 3: 9, 4: 5, 5: 4}[rank]
    shape = draw(st.tuples(*[st.integers(0, longest)] * rank))
    elements = hnp.from_dtype(dtype)
    if few_labels:
        elements = st.sampled_from(draw(st.lists(elements, min_size=1, max_size=3)))
    block = draw(hnp.arrays(dtype, shape, elements=elements))
    block = block.transpose(draw(st.permutations(range(rank))))
    if draw(st.booleans()):
        block = np.asfortranarray(block)
    steps = draw(st.tuples(*[st.sampled_from([1, 1, 2, -1])] * rank))
    block = block[tuple(slice(None, None, step) for step in steps)]
    factors = draw(st.tuples(*[st.sampled_from([1, 2, 2, 3, 4, 8])] * rank))
    return block, factors


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def _kernel(request, monkeypatch):
    """Have each test pass with what was compiled, and without it."""
    if request.param == "numpy":
        monkeypatch.setattr(downsample, "_compiled", _reduce.reduce)
    elif downsample._compiled is _reduce.reduce:
        pytest.skip("there is no compiled part: it was built without a C compiler")


def same_bits(one, other):
    """Return whether arrays are the same, zeros with their signs; any NaN is like another."""
    if one.dtype.kind != "f":
        return one.tobytes() == other.tobytes()
    nan = np.isnan(one)
    return bool((nan == np.isnan(other)).all()) and one[~nan].tobytes() == other[~nan].tobytes()


@pytest.mark.parametrize("_kernel", ["compiled"], indirect=True)
@given(
    blocks([*INTEGERS, "f4", "f8", ">f4"], few_labels=True),
    blocks([*INTEGERS, "f4", "f8"]),
    st.sampled_from(["average", "mode"]),
    st.booleans(),
)
@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=400)
def test_what_is_compiled_gives_the_bits_of_numpy(few, many, method, several):
    for block, factors in (few, many):
        steps = [factors]
        if several:
            steps = [factors, tuple(2 * f for f in factors), tuple(2 * f for f in factors[:-1])]
            steps[2] += (4 * factors[-1],)
        compiled = pyramid(block, steps, method)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(downsample, "_compiled", _reduce.reduce)
            plain = pyramid(block, steps, method)
        assert all(same_bits(a, b) for a, b in zip(compiled, plain, strict=True))


@pytest.mark.parametrize("_kernel", ["compiled"], indirect=True)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "u8", "i8"])
@pytest.mark.parametrize("labels", [2, 5, 300])
@pytest.mark.parametrize(
    "factors", [(2, 2, 2), (1, 2, 2), (2, 2, 1), (1, 2, 1), (1, 1, 2), (4, 4, 4), (2, 1, 3)]
)
def test_modes_of_long_rows_are_those_of_numpy(dtype, labels, factors):
    rng = np.random.default_rng(labels)
    block = rng.integers(0, labels, (9, 13, 301)).astype(dtype)
    if dtype.startswith("i"):
        block -= np.array(labels // 2, dtype)
    block[4:] = np.repeat(block[4:, :, ::7], 7, axis=2)[..., :301]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downsample, "_compiled", _reduce.reduce)
        plain = mode(block, factors)
    np.testing.assert_array_equal(mode(block, factors), plain)


@pytest.mark.parametrize("_kernel", ["compiled"], indirect=True)
@pytest.mark.parametrize(
    "arguments",
    [
        ("x", np.zeros(4, "u1"), ((2,),), (np.zeros(2, "u1"),)),
        ("u", np.zeros(4, "u1"), ((2,),), ()),
        ("u", np.zeros(4, "u1"), ((3,),), (np.zeros(3, "u1"),)),
        ("u", np.zeros(4, "u1"), ((2,),), (np.zeros(2, "u2"),)),
        ("u", np.zeros(4, "u1"), ((2, 2),), (np.zeros(2, "u1"),)),
        ("u", np.zeros(4, "u1"), ((0,),), (np.zeros(2, "u1"),)),
        ("u", np.zeros(4, "u1"), ((-2,),), (np.zeros(2, "u1"),)),
        ("u", np.zeros(4, "u1"), ((2**40,),), (np.zeros(1, "u1"),)),
        ("u", np.zeros(4, "u1"), ((2,), (3,)), (np.zeros(2, "u1"), np.zeros(2, "u1"))),
        ("u", np.zeros(4, "u1"), ([2],), (np.zeros(2, "u1"),)),
        ("u", np.zeros(4, "u1"), ((2,),), (b"12",)),
        ("u", np.zeros(8, "u1")[::2], ((2,),), (np.zeros(2, "u1"),)),
        ("f", np.zeros(4, "u2"), ((2,),), (np.zeros(2, "u2"),)),
        ("m", np.zeros(4, "V260"), ((2,),), (np.zeros(2, "V260"),)),
        ("u", np.zeros((1,) * 6, "u1"), ((1,) * 6,), (np.zeros((1,) * 6, "u1"),)),
        ("u", np.zeros(0, "u1"), ((2,),), (np.zeros(0, "u1"),)),
        ("u", None, ((2,),), (np.zeros(2, "u1"),)),
    ],
)
def test_what_is_compiled_refuses_what_does_not_fit(arguments):
    compiled = pytest.importorskip("nibabel_data.viewer._downsample")
    with pytest.raises((ValueError, TypeError, BufferError, OverflowError)):
        compiled.reduce(*arguments)


@given(blocks())
@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=300)
def test_a_mean_is_the_exact_one_to_the_nearest_halves_to_even(drawn):
    block, factors = drawn
    means = average(block, factors)
    assert means.dtype == block.dtype.newbyteorder("=")
    for index, voxels in cells(block, factors):
        assert int(means[index]) == exact_mean(voxels)
    assert means.size == sum(1 for _ in cells(block, factors))


@given(blocks(few_labels=True))
@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=300)
def test_a_mode_is_the_most_frequent_then_the_smallest_above_0(drawn):
    block, factors = drawn
    modes = mode(block, factors)
    assert modes.dtype == block.dtype.newbyteorder("=")
    for index, voxels in cells(block, factors):
        assert int(modes[index]) == exact_mode(voxels)


@given(blocks(["f2", "f4", "f8", ">f4"]))
@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=300)
def test_a_mean_of_floats_leaves_nan_out(drawn):
    block, factors = drawn
    if block.dtype.itemsize == 8:  # no client takes it; sums may overflow
        block = np.clip(block, -1e200, 1e200)
    means = average(block, factors)
    assert means.dtype == block.dtype.newbyteorder("=")
    eps = float(np.finfo(block.dtype).eps)
    tiny = float(np.finfo(block.dtype).tiny)
    for index, voxels in cells(block, factors):
        counted = [v for v in voxels if not math.isnan(v)]
        got = float(means[index])
        if not counted or (math.inf in counted and -math.inf in counted):
            assert math.isnan(got)
        elif math.inf in counted or -math.inf in counted:
            assert got == sum(v for v in counted if math.isinf(v))
        else:
            expected = float(sum(map(Fraction, counted)) / len(counted))
            largest = max(map(abs, counted))
            assert got == pytest.approx(expected, rel=0, abs=len(counted) * (eps * largest + tiny))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 4, 4), (8, 8, 8), (1, 16, 32), (3, 5, 7)])
def test_the_extremes_do_not_overflow(dtype, factors):
    limits = np.iinfo(dtype)
    shape = tuple(2 * factor + 1 for factor in factors)
    for value in (limits.max, limits.min, limits.max - 1):
        for block in (np.full(shape, value, dtype), np.full(shape, value, dtype, order="F")):
            assert (average(block, factors) == value).all()
            assert (mode(block, factors) == value).all()
    both = np.where(np.indices(shape).sum(axis=0) % 2, limits.max, limits.min).astype(dtype)
    for index, voxels in cells(both, factors):
        assert int(average(both, factors)[index]) == exact_mean(voxels)


def test_more_voxels_than_the_double_width_has_room_for():
    block = np.full((1 << 17) + 5, 255, "u1")
    assert average(block, [1 << 17]).tolist() == [255, 255]
    block = np.full((1 << 17) + 5, 65535, "u2")
    assert average(block, [1 << 17]).tolist() == [65535, 65535]
    assert mode(block, [1 << 17]).tolist() == [65535, 65535]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_rounding_has_no_bias(dtype):
    rng = np.random.default_rng(5)
    block = rng.integers(0, 100, (64, 64, 64)).astype(dtype)
    for factors in ((2, 2, 2), (2, 1, 1), (1, 1, 2), (4, 4, 4)):
        means = average(block, factors).astype("f8")
        assert abs(means.mean() - block.astype("f8").mean()) < 0.02


def test_labels_near_2_to_the_64_are_exact():
    top = 2**64 - 1
    block = np.array([top, top - 1, top - 1, 0, 2**53 + 1, 2**53, 2**53 + 1, 3], dtype="u8")
    assert mode(block, [4]).tolist() == [top - 1, 2**53 + 1]
    assert mode(block, [2]).tolist() == [top - 1, top - 1, 2**53, 3]


def test_a_sheet_one_voxel_thick_stays():
    block = np.zeros((8, 8, 8), "u4")
    block[3] = 7
    assert mode(block, (2, 2, 2))[1].tolist() == [[7] * 4] * 4


@given(blocks(few_labels=True), st.sampled_from(["average", "mode"]))
@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=150)
def test_a_pyramid_has_at_each_scale_what_one_step_gives(drawn, method):
    block, _ = drawn
    steps = [(2,) * block.ndim, (4,) * block.ndim, (8, *(4,) * (block.ndim - 1))]
    scales = pyramid(block, steps, method)
    if method == "average":
        expected = [average(block, step) for step in steps]
    else:  # each of the one before
        expected = [mode(block, steps[0])]
        expected.append(mode(expected[-1], steps[0]))
        expected.append(mode(expected[-1], (2, *(1,) * (block.ndim - 1))))
    for one, other in zip(scales, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["average", "mode"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "u8"])
def test_neither_boxes_nor_threads_change_anything(method, dtype, monkeypatch):
    rng = np.random.default_rng(1)
    block = (rng.random((51, 43, 67)) * 5).astype(dtype)
    steps = [(2, 2, 1), (4, 4, 2), (8, 8, 8)]
    whole = pyramid(block, steps, method)
    monkeypatch.setattr(downsample, "_BOX", 1)
    monkeypatch.setattr(downsample, "_TASK", 1)
    for one, other in zip(whole, pyramid(block, steps, method, threads=3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_means_of_floats_carry_through_a_pyramid():
    rng = np.random.default_rng(2)
    block = rng.random((33, 17, 9)).astype("f4")
    block[3, 4, 5] = np.nan
    block[20:] = np.nan
    for step, scale in zip(
        [(2, 2, 2), (4, 4, 4)], pyramid(block, [(2,) * 3, (4,) * 3]), strict=True
    ):
        for index, voxels in cells(block, step):
            counted = [v for v in voxels if not math.isnan(v)]
            expected = sum(counted) / len(counted) if counted else math.nan
            assert scale[index] == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_result_lies_in_memory_as_its_block(order):
    block = np.zeros((8, 6, 4), "u2", order=order)
    assert average(block, (2, 2, 2)).flags[f"{order}_CONTIGUOUS"]
    assert mode(block, (2, 2, 2)).flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0, 2), (1, 1, 1), (1,)])
def test_nothing_and_one_voxel(shape):
    block = np.zeros(shape, "u1")
    for factor in (1, 2, 5):
        for reduce in (average, mode):
            assert reduce(block, (factor,) * len(shape)).shape == shape if 3 not in shape else True


def test_the_block_is_left_as_it_was():
    for dtype in ("i2", "u1", "f4", "u8"):
        block = np.arange(512).reshape(8, 8, 8).astype(dtype)
        before = block.copy()
        for method, factors in itertools.product((average, mode), ((2, 2, 2), (1, 1, 1))):
            result = method(block, factors)
            result[...] = 0
        np.testing.assert_array_equal(block, before)


@pytest.mark.parametrize("factors", [(2,), (2, 0), (2, -1), (2, 2, 2)])
def test_factors_that_are_none(factors):
    with pytest.raises(ViewerError, match="one each, 1 or more"):
        average(np.zeros((4, 4)), factors)


def test_what_cannot_be_downsampled():
    with pytest.raises(ViewerError, match="type complex64 have no average"):
        average(np.zeros(4, "c8"), [2])
    with pytest.raises(ViewerError, match="have no mode"):
        mode(np.zeros(4, "f16"), [2])
    with pytest.raises(ViewerError, match="'median' is no way"):
        pyramid(np.zeros(4), [[2]], "median")
    with pytest.raises(ViewerError, match=r"\(3,\) is no multiple of the one before, \(2,\)"):
        pyramid(np.zeros(4), [[2], [3]])
    assert pyramid(np.zeros(4), []) == []


@pytest.mark.parametrize("_kernel", ["numpy"], indirect=True)
def test_it_is_built_with_a_compiler_and_left_out_without(tmp_path):
    project = Path(__file__).parents[2]
    if not (project / "setup.py").exists():
        pytest.skip("needs setup.py: run the tests of a checkout, or of an sdist")
    for compiler, built in (("false", 0), (None, 1)):
        if compiler is None and shutil.which("cc") is None:
            pytest.skip("needs a C compiler: apt-get install gcc")
        out = tmp_path / str(built)
        command = ["setup.py", "-q", "build_ext", f"--build-lib={out}", f"--build-temp={out}/work"]
        environment = {**os.environ, "CC": compiler} if compiler else dict(os.environ)
        result = subprocess.run(
            [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert len(list(out.glob("nibabel_data/viewer/_downsample.*"))) == built
