"""Fewer voxels of the same volume: by the mean for images, by the mode for labels.

Both are exact for every integer type.  A small compiled part, ``_downsample``, makes them as fast
as memory is read; without it ``_reduce`` gives the same bits in NumPy, more slowly.  Either works
on boxes that stay in the processor's cache, for all levels of a pyramid at once.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ViewerError
from . import _reduce

try:
    from ._downsample import reduce as _compiled
except ImportError:  # it was built without a compiler
    _compiled = _reduce.reduce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Array = np.ndarray[Any, np.dtype[Any]]
    Factors = tuple[int, ...]

__all__ = ["average", "boxes", "mode", "pyramid"]

_BOX = 1 << 21  # bytes that are worked on at a time: they fit in the second-level cache
_TASK = 1 << 23  # bytes below which a second thread costs more than it gives
_RANK, _CELL, _LEVELS = 5, 1 << 16, 16  # axes, voxels of a cell, levels: what is compiled takes


def average(block: Array, factors: Sequence[int]) -> Array:
    """Return the mean of each cell of a block.

    Parameters
    ----------
    block : numpy.ndarray
        Of any rank and strides; bool, any integer or floating-point type.
    factors : sequence of int
        The size of a cell along each axis, in voxels.

    Returns
    -------
    numpy.ndarray
        Of the type of `block`; ``ceil(size / factor)`` voxels along each axis, laid out in memory
        as `block` is.  A cell that reaches over the edge is the mean of the voxels that are there.
        Integers are rounded to the nearest, halves to even, so that there is no bias.  A NaN does
        not count, unless a cell has nothing else.

    Raises
    ------
    ViewerError
        If a factor is missing or less than 1, or the type has no mean.

    Examples
    --------
    >>> average(np.array([[0, 1, 2, 255], [1, 1, 255, 255]], dtype='u1'), (2, 2)).tolist()
    [[1, 192]]
    >>> average(np.array([1, np.nan, np.nan, np.nan, 5]), [2]).tolist()
    [1.0, nan, 5.0]
    """
    return pyramid(block, [factors], "average", threads=2)[0]


def mode(block: Array, factors: Sequence[int]) -> Array:
    """Return the most frequent label of each cell of a block.

    Parameters
    ----------
    block : numpy.ndarray
        Of any rank and strides; bool or any integer type (floating-point numbers are told apart by
        their bits).
    factors : sequence of int
        The size of a cell along each axis, in voxels.

    Returns
    -------
    numpy.ndarray
        As `average` returns it.  Of labels that are equally frequent the smallest is taken, and 0
        and negative ones only if there is no other, so that a sheet of one voxel's thickness stays.

    Raises
    ------
    ViewerError
        If a factor is missing or less than 1, or the type has no mode.

    Examples
    --------
    >>> mode(np.array([[0, 7, 7, 9], [0, 0, 9, 7]]), (2, 2)).tolist()
    [[0, 7]]
    """
    return pyramid(block, [factors], "mode", threads=2)[0]


def pyramid(
    block: Array, steps: Sequence[Sequence[int]], method: str = "average", *, threads: int = 1
) -> list[Array]:
    """Return a block at several scales, in one pass over it.

    Parameters
    ----------
    block : numpy.ndarray
        As in `average` and `mode`.
    steps : sequence of sequences of int
        The factors of each scale, with respect to `block`; each is a multiple of the one before.
    method : {'average', 'mode'}
        What a voxel of a scale is of the voxels of `block`.
    threads : int
        How many to use; the work is done without the interpreter's lock.

    Returns
    -------
    list of numpy.ndarray
        For each step what `average` would return for it, not a mean of rounded means.  Of labels,
        the first is what `mode` returns, and each other is the mode of the one before.

    Raises
    ------
    ViewerError
        As in `average`; or if a step is no multiple of the one before.

    Examples
    --------
    >>> [scale.tolist() for scale in pyramid(np.array([0, 1, 1, 1], dtype='u1'), [[2], [4]])]
    [[0, 1], [1]]
    """
    array = np.asarray(block)
    checked = [_factors(step, array.ndim) for step in steps]
    for one, other in itertools.pairwise(checked):
        if any(b % a for a, b in zip(one, other, strict=True)):
            raise ViewerError(f"The scale {other} is no multiple of the one before, {one}.")
    if method not in ("average", "mode"):
        raise ViewerError(f"{method!r} is no way to downsample: average or mode.")
    if array.dtype.kind not in "biuf" or (method == "mode" and array.itemsize > 8):
        raise ViewerError(f"Voxels of type {array.dtype} have no {method}.")
    if not checked:
        return []
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # From here on the axes are in the order of memory, the slowest first.
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    array = array.transpose(order)
    checked = [tuple(step[axis] for axis in order) for step in checked]
    results = [np.empty(_shape(array.shape, step), array.dtype) for step in checked]
    if array.size:
        _reduced(array, checked, results, method, threads)
    back = np.argsort(order)
    return [result.transpose(back) for result in results]


def _factors(step: Sequence[int], rank: int) -> Factors:
    factors = tuple(int(factor) for factor in step)
    if len(factors) != rank or any(factor < 1 for factor in factors):
        raise ViewerError(f"{tuple(step)} are no factors of {rank} axes: one each, 1 or more.")
    return factors


def _shape(shape: Factors, factors: Factors) -> Factors:
    return tuple(-(-size // factor) for size, factor in zip(shape, factors, strict=True))


def _reduced(
    array: Array, steps: list[Factors], outs: list[Array], method: str, threads: int
) -> None:
    """Write each scale, box by box."""
    if array.ndim == 0:
        array, outs, steps = array[None], [out[None] for out in outs], [(1,) for _ in steps]
    what = "m" if method == "mode" else array.dtype.kind.replace("b", "u")
    small = array.ndim <= _RANK and len(steps) <= _LEVELS and math.prod(steps[-1]) <= _CELL
    known = array.itemsize in ((4, 8) if what == "f" else (1, 2, 4, 8))
    reduce = _compiled if small and known else _reduce.reduce
    if what == "m" or array.dtype.kind == "b":  # labels, and truth values, by their bits
        bits = np.dtype(f"u{array.itemsize}")
        array, outs = array.view(bits), [out.view(bits) for out in outs]
    fixed = tuple(steps)

    def one(box: tuple[slice, ...]) -> None:
        voxels = array[box]
        if not (voxels.flags.aligned and voxels.strides[-1] == voxels.itemsize):
            voxels = np.ascontiguousarray(voxels)
        there = [
            out[tuple(slice(b.start // f, -(-b.stop // f)) for b, f in zip(box, step, strict=True))]
            for step, out in zip(fixed, outs, strict=True)
        ]
        reduce(what, voxels, fixed, tuple(there))

    parts = boxes(array.shape, steps[-1], array.itemsize, _BOX)
    if threads > 1 and array.nbytes >= _TASK:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(one, parts):
                pass
    else:
        for box in parts:
            one(box)


def boxes(
    shape: Sequence[int], unit: Sequence[int], itemsize: int, most: int
) -> Iterator[tuple[slice, ...]]:
    """Yield boxes of whole cells that together are an array.

    Parameters
    ----------
    shape : sequence of int
        Of the array, the slowest axis first.
    unit : sequence of int
        The size of a cell, of which boxes are made.
    itemsize, most : int
        Bytes of a voxel, and of a box, if it has more than one cell.

    Examples
    --------
    >>> list(boxes((4, 5), (2, 2), 1, 8))[-1]
    (slice(2, 4, None), slice(4, 5, None))
    """
    sides = list(unit)
    for axis in reversed(range(len(sides))):
        other = itemsize * math.prod(sides) // sides[axis]
        sides[axis] = min(shape[axis], unit[axis] * max(1, most // (other * unit[axis])))
    starts = (range(0, size, side) for size, side in zip(shape, sides, strict=True))
    for corner in itertools.product(*starts):
        ends = (min(a + side, size) for a, side, size in zip(corner, sides, shape, strict=True))
        yield tuple(map(slice, corner, ends))
