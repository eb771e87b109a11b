"""What the compiled ``_downsample`` does, in NumPy, to the same bits.

It is used where there was no compiler, and for types and cells that the other does not take.
"""

from __future__ import annotations

import itertools
import math
from functools import reduce as fold
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Array = np.ndarray[Any, np.dtype[Any]]
    Factors = tuple[int, ...]

__all__ = ["reduce"]


def reduce(what: str, voxels: Array, steps: tuple[Factors, ...], outs: tuple[Array, ...]) -> None:
    """Write the scales of some voxels.

    Parameters
    ----------
    what : {'u', 'i', 'f', 'm'}
        The means of unsigned, signed or floating-point numbers, or the mode of labels.
    voxels : numpy.ndarray
        Labels are unsigned.
    steps : tuple of tuple of int
        The factors of each scale, each a multiple of the one before.
    outs : tuple of numpy.ndarray
        Where each is written: of the type of `voxels`.

    Examples
    --------
    >>> out = np.zeros(2, 'u1')
    >>> reduce('u', np.array([1, 2, 5], 'u1'), ((2,),), (out,))
    >>> out.tolist()
    [2, 5]
    """
    with np.errstate(all="ignore"):
        if what == "m":
            _modes(voxels, steps, outs)
        elif what == "f":
            _means_of_floats(voxels, steps, outs)
        else:
            _means_of_integers(voxels, steps, outs, what == "i")


def _relative(steps: tuple[Factors, ...]) -> Iterator[Factors]:
    """Yield the factors of each scale from the one before."""
    yield from steps[:1]
    for before, step in itertools.pairwise(steps):
        yield tuple(b // a for a, b in zip(before, step, strict=True))


def _add_up(array: Array, factors: Factors) -> Array:
    """Return the sum of each cell: of its rows first, then along them."""
    short = [-size % factor for size, factor in zip(array.shape, factors, strict=True)]
    if any(short):
        none = array.dtype.type(-0.0 if array.dtype.kind == "f" else 0)  # -0.0 + x is x
        array = np.pad(array, [(0, width) for width in short], constant_values=none)
    *outer, along = factors
    rows = [
        array[tuple(slice(i, None, f) for i, f in zip(first, outer, strict=True))]
        for first in itertools.product(*map(range, outer))
    ]
    row = fold(np.add, rows)
    return fold(np.add, [row[..., i::along] for i in range(along)])


def _means_of_integers(
    voxels: Array, steps: tuple[Factors, ...], outs: tuple[Array, ...], signed: bool
) -> None:
    unsigned = np.dtype(f"u{voxels.itemsize}")
    # Signed numbers are counted from the least one on: their order and their halves stay.
    sign = unsigned.type(1 << (8 * voxels.itemsize - 1) if signed else 0)
    numbers = (voxels.view(unsigned) ^ sign).astype("u8")
    planes = [numbers]
    if voxels.itemsize == 8:  # sums of the upper and of the lower halves have room
        planes = [numbers >> np.uint64(32), numbers & np.uint64(0xFFFFFFFF)]
    for step, factors, out in zip(steps, _relative(steps), outs, strict=True):
        planes = [_add_up(plane, factors) for plane in planes]
        counts = _counts(voxels.shape, step)
        mean, left = np.divmod(planes[0], counts)
        if len(planes) == 2:
            lower, left = np.divmod((left << np.uint64(32)) + planes[1], counts)
            mean = (mean << np.uint64(32)) + lower
        left *= np.uint64(2)
        mean += (left > counts) | ((left == counts) & (mean % np.uint64(2) == 1))
        out.view(unsigned)[...] = mean.astype(unsigned) ^ sign


def _counts(shape: Factors, step: Factors) -> Array:
    """Return how many voxels each cell has."""
    counts = np.ones((), "u8")
    for size, factor in zip(shape, step, strict=True):
        starts = np.arange(0, size, factor)
        counts = np.multiply.outer(counts, np.minimum(factor, size - starts).astype("u8"))
    return counts


def _means_of_floats(voxels: Array, steps: tuple[Factors, ...], outs: tuple[Array, ...]) -> None:
    wide = np.result_type(voxels, "f8")
    missing = np.isnan(voxels)
    sums = np.where(missing, wide.type(-0.0), voxels)
    counts = (~missing).astype("u8")
    for factors, out in zip(_relative(steps), outs, strict=True):
        sums, counts = _add_up(sums, factors), _add_up(counts, factors)
        out[...] = sums / counts.astype(wide)


def _modes(voxels: Array, steps: tuple[Factors, ...], outs: tuple[Array, ...]) -> None:
    for factors, out in zip(_relative(steps), outs, strict=True):
        edges = [_parts(size, f) for size, f in zip(voxels.shape, factors, strict=True)]
        for parts in itertools.product(*edges):
            here, there, cell = zip(*parts, strict=True)
            out[there] = _mode(voxels[here], cell)
        voxels = out


def _parts(size: int, factor: int) -> list[tuple[slice, slice, int]]:
    """Return where cells are whole along an axis, where they are, and the one that is not."""
    whole, rest = divmod(size, factor)
    parts = [(slice(0, whole * factor), slice(0, whole), factor)] * (whole > 0)
    return parts + [(slice(whole * factor, size), slice(whole, None), rest)] * (rest > 0)


def _mode(voxels: Array, cell: Factors) -> Array:
    """Return the modes of whole cells."""
    shape = tuple(size // factor for size, factor in zip(voxels.shape, cell, strict=True))
    split = voxels.reshape([n for pair in zip(shape, cell, strict=True) for n in pair])
    rank = len(cell)
    split = split.transpose([*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)])
    one = voxels.dtype.type(1)
    # One less, so that 0 becomes the largest, and of two as frequent the last choice.
    cells = split.reshape(-1, math.prod(cell)) - one
    best = cells[:, 0].copy()
    mixed = np.flatnonzero((cells != best[:, None]).any(axis=1))
    rows = np.sort(cells[mixed], axis=1)
    best[mixed] = _longest_run(np.ascontiguousarray(rows.T))
    modes: Array = (best + one).reshape(shape)
    return modes


def _longest_run(columns: Array) -> Array:
    """Return the number of each sorted row that is repeated most often, the first if several."""
    best: Array = columns[0].copy()
    run = np.ones(best.shape, np.intp)
    longest = run.copy()
    for before, column in itertools.pairwise(columns):
        run *= before == column
        run += 1
        np.copyto(best, column, where=run > longest)
        np.maximum(longest, run, out=longest)
    return best
