"""The coarser scales of a volume, made once in the background of a viewer.

A page that shows all of a large volume asks for coarse chunks, each of which is made of up to 64
times as many voxels.  So the scales that the client will choose are made when a volume is added:
box by box, in a thread of low priority that holds up no chunk.  Until they are there, chunks are
made when they are asked for, and a chunk of an image is the same to the bit either way: of integers
at each scale, the mean of the full resolution, not of rounded means.  Of labels, the finest scale
is the mode of the full resolution, and each other the mode of the one before.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, final

import numpy as np

from . import downsample
from .dtypes import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .volume import Volume

    Array = np.ndarray[Any, np.dtype[Any]]
    Factors = tuple[int, ...]

__all__ = ["Scales", "client_scales", "make_scales", "worthwhile_scales"]

_WORTH = 1 << 22  # voxels, below which chunks are made quickly when they are asked for
_READ = 1 << 34  # bytes, above which an array that is not in memory is not read for its scales
_PAUSE = 0.2  # seconds, so that a page's first chunks go before, and changes that follow each other
_BOX = 1 << 23  # bytes of the array that are read at a time
_KEPT = 1 << 30  # bytes of scales that are kept at most, of each volume
_SMALL = 128  # voxels, along each axis, of a scale that needs no coarser one
_CELL = 1 << 16  # voxels of the full resolution in one of the coarsest scale at most
_log = logging.getLogger(__name__)


def client_scales(
    shape: Sequence[int], voxel_size: Sequence[float], axes: Sequence[int]
) -> list[Factors]:
    """Return the scales that the client chooses for a volume, but for the full resolution.

    Parameters
    ----------
    shape : sequence of int
        Of the volume, in voxels.
    voxel_size : sequence of float
        Along each axis, in one unit.
    axes : sequence of int
        Those that are made coarser.

    Returns
    -------
    list of tuple of int
        The factors of each scale along each axis: powers of two, each a multiple of the one before.
        They go on until no axis in `axes` has more than 128 voxels.

    Notes
    -----
    The same as ``computeNearIsotropicDownsamplingLevels`` of Neuroglancer's
    ``src/datasource/python/frontend.ts``: the axis with the smallest voxels is halved, and with it
    each other that comes nearer to it by that.

    Examples
    --------
    >>> client_scales((512, 512, 128), (1, 1, 4), (0, 1, 2))
    [(2, 2, 1), (4, 4, 1)]
    >>> client_scales((1000, 300, 300), (2, 2, 2), (0, 1, 2))
    [(2, 2, 2), (4, 4, 4), (8, 8, 8)]
    """
    scales: list[Factors] = []
    factors = [1] * len(shape)
    least = min((voxel_size[axis] for axis in axes), default=1.0)
    size = [float(np.float32(one / least)) for one in voxel_size]  # in the client's precision
    while any(shape[axis] > _SMALL * factors[axis] for axis in axes):
        finest = min(axes, key=lambda axis: factors[axis] * size[axis])
        factors[finest] *= 2
        target = factors[finest] * size[finest]
        for axis in axes:
            now = factors[axis] * size[axis]
            if axis != finest and abs(now - target) > abs(2 * now - target):
                factors[axis] *= 2
        if math.prod(factors) > _CELL:
            break
        scales.append(tuple(factors))
    return scales


def worthwhile_scales(volume: Volume) -> list[Factors]:
    """Return the scales of a volume that are worth the time to make them, in the client's order.

    None if it is small, has its own, or is not in memory and would take long to read.

    Examples
    --------
    >>> from nibabel_data.viewer.volume import Volume
    >>> worthwhile_scales(Volume(np.zeros((256, 256, 256), 'u1')))
    [(2, 2, 2)]
    >>> worthwhile_scales(Volume(np.zeros((64, 64, 64), 'u1')))
    []
    """
    source = volume.source
    if volume.layout != "3d" or source.levels or math.prod(source.shape) < _WORTH:
        return []
    if source.nbytes > _READ and not source.in_memory:
        return []
    if source.nbytes > _READ << 3:  # what is of no memory at all: a broadcast view
        return []
    axes = [axis for axis, name in enumerate(source.names) if name[-1] not in "'^"][:3]
    steps: Any = list(volume.space.to_json().values())
    return client_scales(source.shape, [float(step[0]) for step in steps], axes)


def make_scales(
    volume: Volume,
    steps: Sequence[Factors],
    cancelled: Callable[[], bool] = lambda: False,
    *,
    most: int | None = None,
) -> list[tuple[Factors, Array]]:
    """Return coarser copies of a volume, read box by box.

    Parameters
    ----------
    volume : Volume
        An image, whose means they are, or a segmentation, whose modes.
    steps : sequence of tuple of int
        The factors of each, a multiple of the one before.
    cancelled : callable, optional
        Asked before each box whether to stop.
    most : int, optional
        How many bytes they may take together: finer ones are left out.  By default 1 GiB, or a
        quarter of the memory that is free.

    Returns
    -------
    list of (tuple of int, numpy.ndarray)
        The factors, and the copy: of the type that the client is told, in its order of axes, the
        first fastest.  Empty if it was cancelled.

    Raises
    ------
    ViewerError
        If the array cannot be read.

    Examples
    --------
    >>> from nibabel_data.viewer.volume import Volume
    >>> volume = Volume(np.arange(8, dtype='u1').reshape(2, 2, 2))
    >>> make_scales(volume, [(2, 1, 1)])[0][1].T.tolist()
    [[[0], [2]], [[4], [6]]]
    """
    if not steps:
        return []
    shape, dtype = volume.shape, volume.shown.dtype
    method = "mode" if volume.kind == "segmentation" else "average"
    sizes = [tuple(-(-n // f) for n, f in zip(shape, step, strict=True)) for step in steps]
    room = min(_KEPT, _free_memory() // 4) if most is None else most
    first = 0
    while sum(map(math.prod, sizes[first:])) * dtype.itemsize > room:
        first += 1
    made = [np.empty(size, dtype, "F") for size in sizes[first:]]
    if not made:
        return []
    # The client's first axis is the fastest: boxes are long along it.
    width = max(volume.source.dtype.itemsize, dtype.itemsize)
    for box in downsample.boxes(shape[::-1], steps[-1][::-1], width, _BOX):
        where = box[::-1]
        if cancelled():
            return []
        block = volume.source[where]
        parts = downsample.pyramid(convert(block, volume.shown), steps, method)
        for step, copy, part in zip(steps[first:], made, parts[first:], strict=True):
            there = (
                slice(side.start // f, -(-side.stop // f))
                for side, f in zip(where, step, strict=True)
            )
            copy[tuple(there)] = part
    return list(zip(steps[first:], made, strict=True))


def _free_memory() -> int:
    """Return how many bytes of memory can be had, as Linux tells; elsewhere as if it were much."""
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) << 10
    return 4 * _KEPT


@final
class Scales:
    """What makes the scales of one volume, and gives them to it.

    Parameters
    ----------
    volume : Volume
        To which they are added when all are made, unless it was refreshed meanwhile.
    name : str
        For messages.

    Examples
    --------
    >>> from nibabel_data.viewer.volume import Volume
    >>> volume = Volume(np.ones((256, 256, 256), 'u1'))
    >>> scales = Scales(volume, 'ones')
    >>> scales.start()
    >>> scales.wait(60)
    True
    >>> volume.levels
    ((2, 2, 2),)
    """

    __slots__ = ("_cancelled", "_name", "_thread", "_volume")

    def __init__(self, volume: Volume, name: str) -> None:
        self._volume = volume
        self._name = name
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make them from now on, anew if there are some; nothing if they are not worth it."""
        self.stop()
        steps = worthwhile_scales(self._volume)
        if not steps:
            return
        self._cancelled = threading.Event()
        self._thread = threading.Thread(
            target=_work,
            args=(self._volume, steps, self._name, self._cancelled),
            name="nibabel-data-viewer-scales",
            daemon=True,  # an array that never answers does not keep Python from ending
        )
        self._thread.start()

    def stop(self) -> None:
        """Make no more of them; what is being read of the array is read to its end."""
        self._cancelled.set()
        self._thread = None

    def wait(self, timeout: float) -> bool:
        """Return whether nothing is being made any more, after so many seconds at most."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def after_fork(self) -> None:
        """Go on in a new process, without the thread: chunks are made as they are asked for."""
        self._cancelled = threading.Event()
        self._thread = None
        self._volume.after_fork()


def _work(volume: Volume, steps: list[Factors], name: str, cancelled: threading.Event) -> None:
    generation = volume.generation
    if cancelled.wait(_PAUSE):
        return
    if sys.platform == "linux":  # where a thread has a priority of its own
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        made = make_scales(volume, steps, cancelled.is_set)
        if not cancelled.is_set():
            volume.add_levels(made, generation)
    except Exception as error:
        if not cancelled.is_set():
            _log.warning("The coarser scales of %s are not made: %s", name, error)
