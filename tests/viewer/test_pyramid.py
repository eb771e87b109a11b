from __future__ import annotations

import gc
import math
import os
import threading
import time
import urllib.request
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import pyramid
from nibabel_data.viewer.arrays import wrap
from nibabel_data.viewer.downsample import average, mode
from nibabel_data.viewer.pyramid import Scales, client_scales, make_scales, worthwhile_scales
from nibabel_data.viewer.spaces import Space
from nibabel_data.viewer.volume import Volume

SECONDS = 60


class Slow:
    """An array of which a large part is read only when it is allowed."""

    def __init__(self, array: Any, large: int) -> None:
        self.array, self.large = array, large
        self.shape, self.dtype = array.shape, array.dtype
        self.begun, self.allowed = threading.Event(), threading.Event()
        self.most = self.reads = 0

    def __getitem__(self, index: Any) -> Any:
        block = self.array[index]
        self.most = max(self.most, block.nbytes)
        self.reads += 1
        if block.size >= self.large:
            self.begun.set()
            assert self.allowed.wait(SECONDS)
        return block


@pytest.fixture
def viewer():
    viewer = v.Viewer()
    yield viewer
    v.stop()


@pytest.fixture
def small(monkeypatch):
    """Have scales made of small volumes, in small boxes."""
    monkeypatch.setattr(pyramid, "_WORTH", 1)
    monkeypatch.setattr(pyramid, "_SMALL", 8)
    monkeypatch.setattr(pyramid, "_BOX", 1 << 14)


def scales_of(viewer, name):
    return viewer._scales[viewer._layers[name].sources[0].key]


def noise(shape=(70, 45, 33), dtype="u2", most=60000, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * most).astype(dtype)


def chunk(viewer, name, factors, low, high):
    """Return a chunk as a page would get it."""
    place = "/".join("_".join(map(str, numbers)) for numbers in (factors, low, high))
    place = place.replace("_", ",")
    source = viewer._layers[name].sources[0]
    url = f"{viewer.url.partition('/v/')[0]}/neuroglancer/raw/{source.key}/{place}"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return answer.read()


def test_anisotropic_volumes_are_first_made_coarser_along_their_fine_axes():
    assert client_scales((1024, 1024, 100), (4, 4, 40), (0, 1, 2)) == [
        (2, 2, 1),
        (4, 4, 1),
        (8, 8, 1),
    ]
    assert client_scales((1000, 300, 300, 9), (0.3, 0.9, 0.9, 1), (0, 1, 2)) == [
        (2, 1, 1, 1),
        (4, 1, 1, 1),
        (4, 2, 2, 1),
        (8, 2, 2, 1),
        (8, 4, 4, 1),
    ]
    assert client_scales((128, 128, 128), (1, 1, 1), (0, 1, 2)) == []
    assert client_scales((129,), (1,), (0,)) == [(2,)]
    assert client_scales((10**6, 10**6), (1, 1), ()) == []


@given(
    st.lists(st.integers(1, 3000), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.001, 0.002, 0.0007, 0.008, 4e-9]), min_size=3, max_size=3),
)
@settings(deadline=None)
def test_each_scale_is_a_multiple_of_the_one_before_up_to_one_that_is_small(shape, size):
    scales = client_scales(shape, size, (0, 1, 2))
    for one, other in zip([(1, 1, 1), *scales], scales, strict=False):
        assert all(b in (a, 2 * a) for a, b in zip(one, other, strict=True))
        assert one != other
    last = scales[-1] if scales else (1, 1, 1)
    coarse = all(n <= 128 * f for n, f in zip(shape, last, strict=True))
    assert coarse or 2 * math.prod(last) > 1 << 13


def test_scales_are_those_that_the_official_package_gives_for_the_client():
    official = pytest.importorskip("neuroglancer.downsample_scales")
    compute = official.compute_near_isotropic_downsampling_scales
    for shape, size in (
        ((512, 512, 512), (1, 1, 1)),
        ((2048, 1500, 40), (4, 4, 40)),
        ((900, 300, 700), (2, 3, 1)),
        ((640, 640, 200), (1, 1, 3)),
        ((500, 640, 200), (1, 1.25, 5)),
    ):
        expected = compute(np.array(shape), np.array(size), [0, 1, 2], max_downsampling=math.inf)
        assert client_scales(shape, size, (0, 1, 2)) == [tuple(map(int, s)) for s in expected[1:]]


def test_what_is_worth_it():
    large = np.broadcast_to(np.zeros(1, "u1"), (300, 256, 256))
    assert worthwhile_scales(Volume(large)) == [(2, 2, 2), (4, 4, 4)]
    assert worthwhile_scales(Volume(large[:60])) == []
    assert worthwhile_scales(Volume(large, layout="none")) == []
    assert worthwhile_scales(Volume(large, layout="2d")) == []
    thick = Volume(large, Space("xyz", ("mm",) * 3, (1, 1, 4)))
    assert worthwhile_scales(thick) == [(2, 2, 1), (4, 4, 1), (8, 8, 2), (16, 16, 4)]
    channels = np.broadcast_to(np.zeros(1, "u1"), (3, 200, 200, 200))
    assert worthwhile_scales(Volume(channels)) == [(2, 2, 2, 1)]
    huge = np.broadcast_to(np.zeros(1, "u1"), (2**13,) * 3)
    assert worthwhile_scales(Volume(huge)) == []  # half a terabyte
    lazy = wrap(Slow(np.broadcast_to(np.zeros(1, "u1"), (3000,) * 3), 10**9))
    assert worthwhile_scales(Volume(lazy)) == []


def test_arrays_that_have_levels_of_their_own_are_given_none(small):
    source = wrap(noise((40, 40, 40)))
    assert worthwhile_scales(Volume(source))
    source.levels = (((2, 2, 2), wrap(np.zeros((20, 20, 20), "u2"))),)
    assert worthwhile_scales(Volume(source)) == []


@pytest.mark.parametrize("kind", ["image", "segmentation"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8", "i8", ">i4", "?"])
def test_scales_are_the_bits_of_what_is_made_when_it_is_asked_for(small, kind, dtype):
    whole = kind == "segmentation" or dtype != "f8"
    array = noise(most=2 if dtype == "?" else 100).astype("i4" if whole else "f8").astype(dtype)
    if kind == "image" and dtype == "f4":
        array[3:9, 20:, 5:] = np.nan
    volume = Volume(array, kind=kind)
    steps = [(2, 2, 2), (4, 4, 4), (8, 8, 8)]
    shape = [-(-n // 2) for n in volume.shape]
    asked = volume.chunk((2, 2, 2), (0, 0, 0), shape)
    made = make_scales(volume, steps)
    assert [step for step, _ in made] == steps
    assert all(copy.dtype == volume.dtype for _, copy in made)
    volume.add_levels(made, 0)
    assert volume.chunk((2, 2, 2), (0, 0, 0), shape) == asked
    shown = array.T.astype(volume.dtype)
    if kind == "image":  # means of the full resolution, not of rounded means
        np.testing.assert_allclose(made[1][1], average(shown, (4, 4, 4)), rtol=1e-6)
    else:
        np.testing.assert_array_equal(made[1][1], mode(mode(shown, (2, 2, 2)), (2, 2, 2)))


def test_memory_is_bounded_by_the_boxes_and_by_what_may_be_kept(small):
    slow = Slow(noise((64, 64, 64), "u1", 250), 1 << 30)
    volume = Volume(wrap(slow))
    slow.most = 0
    steps = [(2, 2, 2), (4, 4, 4), (8, 8, 8)]
    everything = make_scales(volume, steps)
    assert 0 < slow.most <= 1 << 14
    sizes = [copy.nbytes for _, copy in everything]
    assert sizes == [32**3, 16**3, 8**3]
    some = make_scales(volume, steps, most=sum(sizes) - 1)
    assert [step for step, _ in some] == steps[1:]
    for (_, one), (_, other) in zip(some, everything[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert [step for step, _ in make_scales(volume, steps, most=8**3)] == steps[2:]
    assert make_scales(volume, steps, most=8**3 - 1) == []
    assert pyramid._free_memory() > 1 << 26


def test_making_stops_between_boxes(small):
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) == 3

    assert make_scales(Volume(noise()), [(2, 2, 2)], cancelled) == []
    assert len(asked) == 3


def test_the_first_chunk_is_served_before_the_scales_are_ready(viewer, small):
    slow = Slow(noise((64, 64, 64), "u1", 250), 1 << 13)
    viewer.add(slow, name="a", kind="image")
    volume = viewer._layers["a"].volume
    assert slow.begun.wait(SECONDS)
    before = chunk(viewer, "a", (2, 2, 2), (0, 0, 0), (8, 8, 8))
    assert volume.levels == ()
    slow.allowed.set()
    assert scales_of(viewer, "a").wait(SECONDS)
    assert volume.levels == ((2, 2, 2), (4, 4, 4), (8, 8, 8))
    assert chunk(viewer, "a", (2, 2, 2), (0, 0, 0), (8, 8, 8)) == before
    slow.most = 0
    assert len(chunk(viewer, "a", (4, 4, 4), (0, 0, 0), (16, 16, 16))) == 16**3
    assert slow.most == 0  # the array was not read again


def test_a_layer_that_goes_takes_its_scales_along(viewer, small):
    for end in (
        lambda: viewer.remove("a"),
        lambda: viewer.add(np.ones((1, 1, 1), "u1"), name="a"),
        lambda: viewer.close(),
    ):
        slow = Slow(noise((64, 64, 64), "u1", 250), 1 << 13)
        viewer.add(slow, name="a", kind="image")
        scales, volume = scales_of(viewer, "a"), weakref.ref(slow.array)
        assert slow.begun.wait(SECONDS)
        thread = scales._thread
        assert thread.daemon
        end()
        assert scales not in viewer._scales.values()
        slow.allowed.set()
        thread.join(SECONDS)
        assert not thread.is_alive()
        del slow, scales, thread
        gc.collect()
        assert volume() is None


def test_refreshing_makes_them_anew(viewer, small):
    array = np.ones((64, 64, 64), "u1")
    viewer.add(array, name="a", kind="image")
    assert scales_of(viewer, "a").wait(SECONDS)
    array[:] = 5
    assert set(chunk(viewer, "a", (2, 2, 2), (0, 0, 0), (8, 8, 8))) == {1}
    viewer.refresh("a")
    assert scales_of(viewer, "a").wait(SECONDS)
    volume = viewer._layers["a"].volume
    assert volume.levels == ((2, 2, 2), (4, 4, 4), (8, 8, 8))
    for factor in (2, 4, 8):
        assert set(chunk(viewer, "a", (factor,) * 3, (0, 0, 0), (8, 8, 8))) == {5}


def test_changes_that_follow_each_other_are_read_once(viewer, small):
    array = np.ones((64, 64, 64), "u1")
    counted = Slow(array, 1 << 13)
    counted.allowed.set()
    volume = Volume(wrap(counted))
    counted.reads = 0
    scales = Scales(volume, "a")
    for _ in range(20):
        volume.refresh()
        scales.start()
    assert scales.wait(SECONDS)
    assert volume.levels
    assert counted.reads == array.nbytes / pyramid._BOX


def test_scales_of_what_was_refreshed_meanwhile_are_not_shown(viewer, small):
    slow = Slow(np.ones((64, 64, 64), "u1"), 1 << 13)
    viewer.add(slow, name="a", kind="image")
    assert slow.begun.wait(SECONDS)
    old = scales_of(viewer, "a")._thread
    slow.array = np.full((64, 64, 64), 5, "u1")
    viewer.refresh()
    slow.allowed.set()
    old.join(SECONDS)
    assert scales_of(viewer, "a").wait(SECONDS)
    assert set(chunk(viewer, "a", (8, 8, 8), (0, 0, 0), (8, 8, 8))) == {5}


def test_an_array_that_raises_is_reported_once_and_the_viewer_goes_on(viewer, small, caplog):
    class Broken(Slow):
        def __getitem__(self, index):
            if (block := self.array[index]).size >= self.large:
                raise OSError("the disk is gone")
            return block

    viewer.add(Broken(np.ones((64, 64, 64), "u1"), 1 << 13), name="a", kind="image")
    assert scales_of(viewer, "a").wait(SECONDS)
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 1
    assert "The coarser scales of layer 'a' are not made" in told[0]
    assert "the disk is gone" in told[0]
    assert set(chunk(viewer, "a", (2, 2, 2), (0, 0, 0), (8, 8, 8))) == {1}


def test_small_arrays_have_no_thread(viewer):
    viewer.add(np.zeros((64, 64, 64), "u1"), name="a")
    assert scales_of(viewer, "a")._thread is None
    assert scales_of(viewer, "a").wait(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system has not")
def test_a_new_process_makes_chunks_without_the_thread(small):
    slow = Slow(np.ones((64, 64, 64), "u1"), 1 << 13)
    volume = Volume(wrap(slow))
    scales = Scales(volume, "a")
    scales.start()
    assert slow.begun.wait(SECONDS)
    scales.after_fork()  # as the viewer calls it in the new process
    assert scales.wait(0)
    assert set(volume.chunk((2, 2, 2), (0, 0, 0), (8, 8, 8))) == {1}
    scales.start()
    slow.allowed.set()
    assert scales.wait(SECONDS)
    assert volume.levels


def test_chunks_are_quick_while_scales_are_made(viewer):
    viewer.add(noise((512, 512, 256), "u1", 250), name="large", kind="image")
    viewer.add(noise((64, 64, 64), "u1", 250), name="other", kind="image")
    took = []
    while not scales_of(viewer, "large").wait(0) or not took:
        start = time.perf_counter()
        chunk(viewer, "other", (1, 1, 1), (0, 0, 0), (64, 64, 64))
        took.append(time.perf_counter() - start)
    assert np.median(took) < 0.05


def test_a_conversion_that_loses_something_is_warned_of_once(viewer):
    with pytest.warns(UserWarning, match="Layer 'pi': float64 is shown as float32") as told:
        viewer.add(np.full((2, 2, 2), math.pi), name="pi")
    assert len(told) == 1
    assert told[0].filename == __file__
    for exact in (np.ones((2, 2, 2)), np.ones((2, 2, 2), ">f2"), np.arange(8).reshape(2, 2, 2)):
        viewer.add(exact)  # a warning would be an error here
    with pytest.raises(ViewerError, match=r"there is a voxel of 3\.14159"):
        viewer.add(np.full((2, 2, 2), math.pi), kind="segmentation")
