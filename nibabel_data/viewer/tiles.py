"""The surface of a segment, read block by block: of a large one, a part at a time.

One reading of the volume finds where the labels are; then only the blocks that have a label are
read.  The voxels of a segment that is not in memory as a whole are kept as bits.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from .marching import surface
from .segments import BLOCK, Segments, check, keyed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .marching import Surface

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["surfaces"]

_IN_MEMORY = 1 << 23  # voxels of the box of a segment: in a larger one, block by block
_AT_ONCE = 1 << 21  # voxels of a box that is worked on in one piece


def surfaces(
    segments: Segments, key: int, cancelled: Callable[[], bool] | None = None
) -> Iterator[tuple[Surface, bool]]:
    """Yield the parts of the surface of a segment, and whether it is the whole.

    Parameters
    ----------
    segments : Segments
        Where the labels are.
    key : int
        The label, as `keyed` has it.
    cancelled : callable, optional
        Asked now and then whether to stop.

    Raises
    ------
    ViewerError
        If the volume cannot be read, or it was cancelled.

    Examples
    --------
    >>> from nibabel_data.viewer.arrays import wrap
    >>> [(part, whole)] = surfaces(Segments(wrap(np.ones((1, 1, 1), 'u1'))), 1)
    >>> len(part.triangles), whole
    (8, True)
    """
    blocks = segments.blocks(key, cancelled)
    if not len(blocks):
        return
    low = blocks.min(axis=0) * BLOCK
    high = np.minimum((blocks.max(axis=0) + 1) * BLOCK, segments.source.shape)
    if math.prod(high - low) > _IN_MEMORY:
        packed = _packed(segments, blocks, key, cancelled)
    else:
        mask = _inside(segments, blocks, low, high, key, cancelled)
        if not mask.any():
            return  # the array has changed since the table was made
        where = []
        for axis in range(3):
            there = np.flatnonzero(mask.any(axis=tuple(one for one in range(3) if one != axis)))
            where.append(slice(int(there[0]), int(there[-1]) + 1))
        tight = mask[tuple(where)]
        if tight.size <= _AT_ONCE:
            first = [part.start + int(a) - 1 for part, a in zip(where, low[::-1], strict=True)]
            yield surface(np.pad(tight, 1), first), True
            return
        packed = dict(_blocks(mask, low[::-1]))
        del mask, tight
    # A tile has the cubes of which the last corner is in its block: also those of one voxel before.
    steps = list(product((0, 1), repeat=3))
    tiles = {
        tuple(a + d for a, d in zip(block, step, strict=True)) for block in packed for step in steps
    }
    for tile in sorted(tiles):
        check(cancelled)
        voxels = np.zeros((BLOCK + 1,) * 3, bool)
        for step in steps:
            bits = packed.get(tuple(a - d for a, d in zip(tile, step, strict=True)))
            if bits is not None:
                full = np.unpackbits(bits).view(bool).reshape((BLOCK,) * 3)
                source = tuple(slice(BLOCK - 1, None) if d else slice(None) for d in step)
                target = tuple(slice(0, 1) if d else slice(1, None) for d in step)
                voxels[target] = full[source]
        part = surface(voxels, [a * BLOCK - 1 for a in tile])
        if len(part.triangles):
            yield part, False


def _inside(
    segments: Segments,
    blocks: Array,
    low: Array,
    high: Array,
    key: int,
    cancelled: Callable[[], bool] | None,
) -> Array:
    """Return which voxels of a box of blocks have a label, (z, y, x)."""
    mask = np.zeros(tuple(high - low)[::-1], bool)
    for begin, end in _reads(segments, blocks):
        check(cancelled)
        block = keyed(segments.source.read(begin, end)).T
        where = tuple(
            slice(a - o, b - o) for a, b, o in zip(begin[::-1], end[::-1], low[::-1], strict=True)
        )
        np.equal(block, block.dtype.type(key), out=mask[where])
    return mask


def _reads(segments: Segments, blocks: Array) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Return the boxes to read for blocks: for those of one chunk of the array, one."""
    edge = np.array(segments.reading)
    chunk = blocks * BLOCK // edge
    order = np.lexsort(chunk.T[::-1])
    blocks, chunk = blocks[order], chunk[order]
    ends = np.flatnonzero(np.append((np.diff(chunk, axis=0) != 0).any(axis=1), True)) + 1
    reads = []
    for some in np.split(blocks, ends[:-1]):
        begin = some.min(axis=0) * BLOCK
        end = np.minimum((some.max(axis=0) + 1) * BLOCK, segments.source.shape)
        reads.append((begin.tolist(), end.tolist()))
    return reads


def _packed(
    segments: Segments, blocks: Array, key: int, cancelled: Callable[[], bool] | None
) -> dict[tuple[int, ...], Array]:
    """Return the voxels of a segment, a bit for each, by blocks (z, y, x)."""
    packed: dict[tuple[int, ...], Array] = {}
    for begin, end in _reads(segments, blocks):
        check(cancelled)
        box = keyed(segments.source.read(begin, end)).T
        packed.update(_blocks(box == box.dtype.type(key), begin[::-1]))
    return packed


def _blocks(mask: Array, low: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield the blocks of a box in which a voxel is, and their voxels as bits."""
    for part in product(*(range(0, size, BLOCK) for size in mask.shape)):
        there = mask[tuple(slice(a, a + BLOCK) for a in part)]
        if there.any():
            full = np.zeros((BLOCK,) * 3, bool)
            full[tuple(slice(size) for size in there.shape)] = there
            yield (
                tuple((a + int(o)) // BLOCK for a, o in zip(part, low, strict=True)),
                np.packbits(full),
            )
