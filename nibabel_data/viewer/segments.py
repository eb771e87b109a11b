"""Where in a volume each label is, found in one reading of it, block by block."""

from __future__ import annotations

import math
import threading
from itertools import product
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .arrays import ArraySource

    Array = np.ndarray[Any, np.dtype[Any]]
    Box = tuple[tuple[int, ...], tuple[int, ...]]

__all__ = ["BLOCK", "Segments", "check", "distinct", "keyed"]

BLOCK = 64
"""The edge of a block, in voxels."""

_READ = 1 << 25  # bytes that are read at once, at most, if the array is not in memory


def check(cancelled: Callable[[], bool] | None) -> None:
    """Raise ViewerError if what is being made is no longer wanted."""
    if cancelled is not None and cancelled():
        raise ViewerError("The mesh is no longer wanted.")


def keyed(block: Array) -> Array:
    """Return labels as unsigned integers of the same size, in the byte order of this machine.

    Examples
    --------
    >>> keyed(np.array([-1, 2], '>i2'))
    array([65535,     2], dtype=uint16)
    """
    if block.dtype.kind not in "biu":
        raise ViewerError(f"Voxels of type {block.dtype.name} are no labels: there are no meshes.")
    native = block.astype(block.dtype.newbyteorder("="), copy=False)
    return native.view(np.dtype(f"u{native.dtype.itemsize}"))


@final
class Segments:
    """A table of the blocks in which each label is.

    Parameters
    ----------
    source : ArraySource
        A volume of three axes, of integers or bool.

    Attributes
    ----------
    source : ArraySource
        What was given.
    reading : tuple of int
        The edges of the boxes in which it is read best, of whole blocks, in voxels.

    Notes
    -----
    In a block, the first voxel of each label differs from its neighbours before it on all axes.  So
    only such voxels are looked at one by one, which are few, and they are found by comparing whole
    blocks.  The table has 4 bytes for each pair of a block and a label, and a label.
    """

    __slots__ = (
        *("_found", "_labels", "_lock", "_next", "_parts", "_starts"),
        *("reading", "source"),
    )

    def __init__(self, source: ArraySource) -> None:
        if len(source.shape) != 3:
            raise ViewerError(f"A volume of {len(source.shape)} axes has no meshes: 3 are needed.")
        keyed(np.empty(0, source.dtype))
        self.source = source
        self.reading = _reading(source)
        self._lock = threading.Lock()
        self._parts: list[tuple[Array, Array]] | None = []
        self._next = 0
        self._labels: Array
        self._starts: Array
        self._found: Array

    @property
    def grid(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        return tuple(-(-size // BLOCK) for size in self.source.shape)

    def blocks(self, key: int, cancelled: Callable[[], bool] | None = None) -> Array:
        """Return the blocks that have a label.

        Parameters
        ----------
        key : int
            The label, as `keyed` has it.
        cancelled : callable, optional
            Asked now and then whether to stop; what was read until then stays known.

        Returns
        -------
        ndarray of int, shape (n, 3)
            The position of each in `grid`, sorted; the axes in the client's order.

        Raises
        ------
        ViewerError
            If the volume cannot be read, or it was cancelled.
        """
        self._complete(cancelled)
        place = int(np.searchsorted(self._labels, self._labels.dtype.type(key)))
        if place == len(self._labels) or int(self._labels[place]) != key:
            return np.empty((0, 3), np.intp)
        found = self._found[self._starts[place] : self._starts[place + 1]]
        return np.stack(np.unravel_index(found.astype(np.intp), self.grid), axis=1)

    def labels(self, cancelled: Callable[[], bool] | None = None) -> Array:
        """Return the labels that are there, without 0, as `keyed` has them, ascending."""
        self._complete(cancelled)
        return self._labels

    def know(self, labels: Array, blocks: Array) -> None:
        """Take a table that was made before, so that the volume is not read for it.

        Parameters
        ----------
        labels : ndarray of unsigned int, shape (n,)
            Labels, as `keyed` has them.
        blocks : ndarray of int, shape (n,)
            Of each, a block that has it: its number in `grid`, the last axis fastest.
        """
        with self._lock:
            kind = keyed(np.empty(0, self.source.dtype)).dtype
            self._index([(labels.astype(kind), blocks.astype(np.uint32))])
            self._parts = None

    def boxes(self) -> Iterator[Box]:
        """Yield boxes of whole blocks, of the size in which the array is read best."""
        shape = self.source.shape
        edge = self.reading
        for low in product(*(range(0, size, step) for size, step in zip(shape, edge, strict=True))):
            yield low, tuple(min(a + e, s) for a, e, s in zip(low, edge, shape, strict=True))

    def _complete(self, cancelled: Callable[[], bool] | None) -> None:
        while not self._lock.acquire(timeout=0.05):
            check(cancelled)
        try:
            if self._parts is None:
                return
            for number, (low, high) in enumerate(self.boxes()):
                if number < self._next:
                    continue
                check(cancelled)
                block = keyed(self.source.read(low, high))
                self._parts += self._in_box(block, low)
                self._next = number + 1
            self._index(self._parts)
            self._parts = None
        finally:
            self._lock.release()

    def _in_box(self, box: Array, low: tuple[int, ...]) -> Iterator[tuple[Array, Array]]:
        order = sorted(range(3), key=lambda axis: -abs(box.strides[axis]))
        for begin in product(*(range(0, size, BLOCK) for size in box.shape)):
            part = box[tuple(slice(a, a + BLOCK) for a in begin)]
            labels = distinct(np.ascontiguousarray(part.transpose(order)))
            if len(labels):
                where = tuple((a + b) // BLOCK for a, b in zip(low, begin, strict=True))
                number = np.ravel_multi_index(where, self.grid)
                yield labels, np.full(len(labels), number, np.uint32)

    def _index(self, parts: list[tuple[Array, Array]]) -> None:
        none = (keyed(np.empty(0, self.source.dtype)), np.empty(0, np.uint32))
        labels = np.concatenate([part[0] for part in [*parts, none]])
        blocks = np.concatenate([part[1] for part in [*parts, none]])
        order = np.lexsort((blocks, labels))
        self._labels, starts = np.unique(labels[order], return_index=True)
        self._starts = np.append(starts, len(labels))
        self._found = blocks[order]


def distinct(block: Array) -> Array:
    """Return the labels in a block, without 0, ascending.  It is contiguous."""
    flat = block.reshape(-1)
    if not flat.size:
        return flat
    if flat.dtype == np.uint8:
        return np.flatnonzero(np.bincount(flat, minlength=1)[1:]).astype(np.uint8) + np.uint8(1)
    first = np.empty(flat.size, bool)
    first[0] = True
    np.not_equal(flat[1:], flat[:-1], out=first[1:])
    for step in (block.shape[2], block.shape[1] * block.shape[2]):
        if step < flat.size:
            first[step:] &= flat[step:] != flat[:-step]
    labels = np.unique(flat[first])
    return labels[1:] if labels[0] == 0 else labels


def _reading(source: ArraySource) -> tuple[int, ...]:
    """Return the edges of boxes in which to read: of blocks, and of whole chunks if it has some."""
    if source.in_memory:
        return (BLOCK,) * 3
    chunks = getattr(source.original, "chunks", None)
    edge = [BLOCK] * 3
    if chunks is not None and len(chunks) == 3:
        sizes = [max(one) if isinstance(one, tuple) else int(one) for one in chunks]
        if tuple(source.shape) == tuple(source.original.shape)[::-1]:  # type: ignore[attr-defined]
            sizes = sizes[::-1]
        for axis, size in enumerate(sizes):
            if BLOCK % size:
                edge[axis] = math.lcm(size, BLOCK) if size < BLOCK else -(-size // BLOCK) * BLOCK
    else:  # rows of the file, then planes
        for axis in range(3):
            edge[axis] = -(-source.shape[axis] // BLOCK) * BLOCK
    limit = max(_READ, BLOCK**3 * source.dtype.itemsize)
    limit = min(limit, max(source.nbytes // 8, BLOCK**3 * source.dtype.itemsize))
    while math.prod(edge) * source.dtype.itemsize > limit:
        axis = max(range(3), key=lambda one: (edge[one], one))
        if edge[axis] <= BLOCK:
            break
        edge[axis] = max(BLOCK, edge[axis] // 2 // BLOCK * BLOCK)
    return tuple(edge)
