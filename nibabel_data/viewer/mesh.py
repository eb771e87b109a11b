"""Meshes of the segments of a volume, each made when it is asked for, and kept while there is room.

The client's source ``python://volume`` asks for one mesh of a segment: how many vertices (uint32),
their coordinates (float32) and the triangles (uint32), little-endian.  Coordinates are measured
from the corner of the volume, in the base unit of its axes (metres): ``frontend.ts`` in
``src/datasource/python`` of Neuroglancer divides them by the scales and adds the offset.

One reading of the volume finds where the labels are; a mesh then reads only the blocks that have
its label, one after the other.  All is done with whole arrays in NumPy, which lets other threads
run meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from ..errors import ViewerError
from .marching import BITS, join, surface, unpack
from .pools import MeshPool
from .segments import BLOCK, Segments, check, keyed
from .simplify import simplify, simplify_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from .marching import Surface
    from .volume import Volume

    Array = np.ndarray[Any, np.dtype[Any]]
    Cancelled = Callable[[], bool] | None

__all__ = ["MeshMaker", "MeshPool", "encode"]

_CACHE = 128 << 20  # bytes
_IN_MEMORY = 1 << 23  # voxels of the box of a segment: in a larger one, block by block
_AT_ONCE = 1 << 21  # voxels of a box that is worked on in one piece
_ERROR = 0.75  # of a voxel's edge
_COARSEST = 1024.0  # of a voxel's edge
_AXES_LIMIT = (1 << BITS - 1) - 2


@final
class MeshMaker:
    """What makes the meshes of one volume.

    Threads may share it.  If the same mesh is asked for twice at once, it is made once.

    Parameters
    ----------
    volume : Volume
        Of three axes, of integers or bool.
    error : float, optional
        How far a mesh may be from the exact one, in millimetres; in voxels if the axes are not of
        space.  0 makes exact ones.  By default three quarters of a voxel's edge.
    cache_bytes : int, optional
        How much the meshes that are kept may take.

    Raises
    ------
    ViewerError
        If there are no meshes of such a volume.

    Examples
    --------
    >>> from nibabel_data.viewer.volume import Volume
    >>> maker = MeshMaker(Volume(np.ones((1, 1, 1), 'u1'), kind='segmentation'))
    >>> data = maker.mesh(1)
    >>> np.frombuffer(data, '<u4', 1).tolist(), len(data)
    ([6], 172)
    >>> maker.mesh(2) is None
    True
    """

    __slots__ = (
        "_bytes",
        "_cache",
        "_cache_bytes",
        "_cell",
        "_error",
        "_generation",
        "_lock",
        "_making",
        "_segments",
        "volume",
    )

    def __init__(
        self, volume: Volume, *, error: float | None = None, cache_bytes: int = _CACHE
    ) -> None:
        if error is not None and not (error >= 0 and math.isfinite(error)):
            raise ViewerError(f"The error of a mesh is a length, not {error!r}.")
        if max(volume.shape, default=0) > _AXES_LIMIT:
            raise ViewerError(f"There are no meshes of axes of more than {_AXES_LIMIT} voxels.")
        self.volume = volume
        self._segments = Segments(volume.source)
        self._generation = volume.generation
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, bytes | None] = OrderedDict()
        self._bytes = 0
        self._cache_bytes = cache_bytes
        self._making: dict[tuple[int, int], threading.Lock] = {}
        self._error, self._cell = _tolerance(volume, error)

    def mesh(self, label: int, cancelled: Cancelled = None) -> bytes | None:
        """Return the mesh of a segment.

        Parameters
        ----------
        label : int
            As the client names it: a negative one may be itself, or have 2**64 added.
        cancelled : callable, optional
            Asked now and then whether to stop.

        Returns
        -------
        bytes or None
            In the client's format; None if no voxel has the label, or it is 0.

        Raises
        ------
        ViewerError
            If the volume cannot be read, or it was cancelled.
        """
        key = _key(label, self.volume.source.dtype)
        if not key:
            return None
        with self._lock:
            self._renew()
            generation, segments = self._generation, self._segments
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            lock = self._making.setdefault((generation, key), threading.Lock())
        while not lock.acquire(timeout=0.05):
            check(cancelled)
        try:
            with self._lock:
                if generation == self._generation and key in self._cache:
                    return self._cache[key]
            made = self._make(segments, key, cancelled)
            with self._lock:
                self._renew()
                if generation == self._generation:
                    self._keep(key, made)
            return made
        finally:
            lock.release()
            with self._lock:
                self._making.pop((generation, key), None)

    def exact(self, label: int, cancelled: Cancelled = None) -> tuple[Array, Array]:
        """Return the surface of a segment before it is made simpler.

        Returns
        -------
        vertices : ndarray of float64, shape (n, 3)
            In voxels from the corner of the volume, x, y, z.
        triangles : ndarray of int32, shape (m, 3)
            Anticlockwise from outside; each edge is of exactly two.
        """
        key = _key(label, self.volume.source.dtype)
        with self._lock:
            self._renew()
            segments = self._segments
        whole = join([part for part, _ in _surfaces(segments, key, cancelled)] if key else [])
        return unpack(whole.positions) / 2, whole.triangles

    def _renew(self) -> None:
        if self._generation != self.volume.generation:
            self._generation = self.volume.generation
            self._segments = Segments(self.volume.source)
            self._cache.clear()
            self._bytes = 0

    def _keep(self, key: int, made: bytes | None) -> None:
        size = len(made or b"") + 128
        if size > self._cache_bytes or key in self._cache:
            return
        self._cache[key] = made
        self._bytes += size
        while self._bytes > self._cache_bytes:
            _, old = self._cache.popitem(last=False)
            self._bytes -= len(old or b"") + 128

    def _make(self, segments: Segments, key: int, cancelled: Cancelled) -> bytes | None:
        # Numbers near 1 while it is made simpler: coordinates in cells.  They are rounded so that
        # the unit of the axes makes no difference.
        scales = _scales(self.volume)
        factors = np.round(scales / self._cell, 9)
        error = round(self._error / self._cell, 9)
        if error:
            parts = list(self._parts(segments, key, cancelled, factors / 2, error / 2))
        else:
            exact = join([part for part, _ in _surfaces(segments, key, cancelled)])
            at: Array = unpack(exact.positions) * (factors / 2)
            parts = [_Part(at, exact.triangles, exact.positions, True)] if len(at) else []
        if not parts:
            return None
        if len(parts) == 1 and parts[0].whole:
            vertices, triangles = parts[0].vertices, parts[0].triangles
        else:
            vertices, triangles = _joined(parts)
            error /= 2  # the other half was for the parts
        del parts
        check(cancelled)
        vertices, triangles = simplify(vertices, triangles, error, 1.0)
        return encode(vertices * (scales / factors), triangles)

    def _parts(
        self,
        segments: Segments,
        key: int,
        cancelled: Cancelled,
        factors: Array,
        error: float,
    ) -> Iterator[_Part]:
        """Yield the parts of a surface, each made simpler but for what it shares with others."""
        for part, whole in _surfaces(segments, key, cancelled):
            half = unpack(part.positions)
            at: Array = half * factors
            if whole:
                yield _Part(at, part.triangles, part.positions, True)
                continue
            shared = ((half + 1) % (2 * BLOCK) == 0).any(axis=1)
            vertices, triangles, origin = simplify_part(at, part.triangles, error, 1.0, shared)
            known = np.where(shared[origin] & (origin >= 0), part.positions[origin], -1)
            yield _Part(vertices, triangles, known, False)


class _Part(NamedTuple):
    vertices: Array
    triangles: Array
    positions: Array  # of the vertices that other parts have too; -1 for others
    whole: bool


def encode(vertices: Array, triangles: Array) -> bytes:
    """Return a mesh as the client takes it, also as a fragment of ``precomputed``.

    Examples
    --------
    >>> encode(np.zeros((1, 3)), np.zeros((0, 3), 'i4')).hex(' ', 4)
    '01000000 00000000 00000000 00000000'
    """
    count = np.array(len(vertices), "<u4")
    return b"".join(
        (count.tobytes(), vertices.astype("<f4").tobytes(), triangles.astype("<u4").tobytes())
    )


def _key(label: int, dtype: np.dtype[Any]) -> int:
    """Return a label of the client as `keyed` has it; 0 if no voxel can have it."""
    bits = 8 * dtype.itemsize
    signed = label - (1 << 64) if label >= 1 << 63 and dtype.kind == "i" else label
    limits = (-(1 << bits - 1), 1 << bits - 1) if dtype.kind == "i" else (0, 1 << bits)
    return signed % (1 << bits) if limits[0] <= signed < limits[1] else 0


def _scales(volume: Volume) -> NDArray[np.float64]:
    axes: list[Any] = list(volume.space.to_json().values())
    return np.array([abs(float(axis[0])) or 1.0 for axis in axes])


def _tolerance(volume: Volume, error: float | None) -> tuple[float, float]:
    """Return how far a mesh may be off and the size of the smallest cells, in the base unit."""
    axes: list[Any] = list(volume.space.to_json().values())
    scales = _scales(volume)
    least = float(scales.min())
    ratios = np.round(scales / least, 9)
    voxel = least * min(2.0, round(float(ratios.prod()) ** (1 / len(ratios)), 9))
    if error is None:
        return _ERROR * voxel, voxel
    error *= 1e-3 if all(axis[1] == "m" for axis in axes) else voxel
    cell = min(max(voxel, error / _ERROR), _COARSEST * voxel)
    return min(error, _ERROR * cell), cell


def _inside(
    segments: Segments,
    blocks: Array,
    low: Array,
    high: Array,
    key: int,
    cancelled: Cancelled,
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


def _surfaces(segments: Segments, key: int, cancelled: Cancelled) -> Iterator[tuple[Surface, bool]]:
    """Yield the parts of the surface of a segment, and whether it is the whole."""
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


def _packed(
    segments: Segments, blocks: Array, key: int, cancelled: Cancelled
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


def _joined(parts: Sequence[_Part]) -> tuple[Array, Array]:
    """Return one surface of parts that have vertices in common."""
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    positions = np.concatenate([part.positions for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    shared = np.flatnonzero(positions >= 0)
    _, first, inverse = np.unique(positions[shared], return_index=True, return_inverse=True)
    kept = np.arange(len(vertices))
    kept[shared] = shared[first][inverse]
    own = kept == np.arange(len(vertices))
    numbers = (np.cumsum(own, dtype=np.int32) - np.int32(1))[kept]
    triangles = np.concatenate(
        [numbers[part.triangles + o] for part, o in zip(parts, offsets, strict=False)]
    )
    return vertices[own], triangles
