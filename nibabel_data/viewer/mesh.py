"""Meshes of the segments of a volume, each made when it is asked for, and kept while there is room.

The client's source ``python://volume`` asks for one mesh of a segment: how many vertices (uint32),
their coordinates (float32) and the triangles (uint32), little-endian.  Coordinates are measured
from the corner of the volume, in the base unit of its axes (metres): ``frontend.ts`` in
``src/datasource/python`` of Neuroglancer divides them by the scales and adds the offset.

Of large objects there are also meshes of several resolutions, see `nibabel_data.viewer.multires`.
All is done with whole arrays in NumPy, which lets other threads run meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, final

import numpy as np

from ..errors import ViewerError
from .marching import BITS, join, unpack
from .multires import EMPTY, Multires, encode_multires, multires_info
from .pools import MeshPool
from .segments import BLOCK, Segments, check
from .simplify import simplify, simplify_part
from .tiles import surfaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from .volume import Volume

    Array = np.ndarray[Any, np.dtype[Any]]
    Cancelled = Callable[[], bool] | None

__all__ = ["MeshMaker", "MeshPool", "MultiresMaker", "encode"]

_CACHE = 128 << 20  # bytes
_ERROR = 0.75  # of a voxel's edge
_NANO = 1e9  # of the base unit, in one
_COARSEST = 1024.0  # of a voxel's edge
_AXES_LIMIT = (1 << BITS - 1) - 2

_T = TypeVar("_T", bytes, "Multires")


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
    segments : Segments, optional
        Where the labels are, if that is known.

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
        self,
        volume: Volume,
        *,
        error: float | None = None,
        cache_bytes: int = _CACHE,
        segments: Segments | None = None,
    ) -> None:
        if error is not None and not (error >= 0 and math.isfinite(error)):
            raise ViewerError(f"The error of a mesh is a length, not {error!r}.")
        if max(volume.shape, default=0) > _AXES_LIMIT:
            raise ViewerError(f"There are no meshes of axes of more than {_AXES_LIMIT} voxels.")
        self.volume = volume
        self._segments = segments or Segments(volume.source)
        self._generation = volume.generation
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._bytes = 0
        self._cache_bytes = cache_bytes
        self._making: dict[tuple[int, str, int], threading.Lock] = {}
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
        return self._once(label, "legacy", encode, cancelled)

    def multires(self, label: int, cancelled: Cancelled = None) -> Multires | None:
        """Return the mesh of a segment in several resolutions.

        Parameters
        ----------
        label : int
            As for `mesh`.
        cancelled : callable, optional
            As for `mesh`.

        Returns
        -------
        Multires or None
            Coordinates are measured from the corner of the volume, in billionths of the base unit
            of its axes: nanometres.  None if no voxel has the label, or it is 0.

        Raises
        ------
        ViewerError
            As for `mesh`, or if DracoPy is missing.
        """
        unit = _scales(self.volume) / self._factors()

        def several(vertices: Array, triangles: Array) -> Multires:
            return encode_multires(
                vertices / unit,
                triangles,
                error=self._error / self._cell,
                unit=unit * _NANO,
                cancelled=cancelled,
            )

        return self._once(label, "multires", several, cancelled)

    def known(self, label: int) -> Multires | None:
        """Return the mesh of a segment in several resolutions if it is kept, without waiting."""
        with self._lock:
            self._renew()
            return self._cache.get(("multires", _key(label, self.volume.source.dtype)))

    def _once(
        self, label: int, kind: str, encoded: Callable[[Array, Array], _T], cancelled: Cancelled
    ) -> _T | None:
        """Return the mesh of a segment, made by one thread if several ask for it."""
        number = _key(label, self.volume.source.dtype)
        if not number:
            return None
        key = kind, number
        with self._lock:
            self._renew()
            generation, segments = self._generation, self._segments
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]  # type: ignore[no-any-return]
            lock = self._making.setdefault((generation, kind, number), threading.Lock())
        while not lock.acquire(timeout=0.05):
            check(cancelled)
        try:
            with self._lock:
                if generation == self._generation and key in self._cache:
                    return self._cache[key]  # type: ignore[no-any-return]
            surface = self._make(segments, number, cancelled)
            made = None if surface is None else encoded(*surface)
            with self._lock:
                self._renew()
                if generation == self._generation:
                    self._keep(key, made)
            return made
        finally:
            lock.release()
            with self._lock:
                self._making.pop((generation, kind, number), None)

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
        whole = join([part for part, _ in surfaces(segments, key, cancelled)] if key else [])
        return unpack(whole.positions) / 2, whole.triangles

    def _renew(self) -> None:
        if self._generation != self.volume.generation:
            self._generation = self.volume.generation
            self._segments = Segments(self.volume.source)
            self._cache.clear()
            self._bytes = 0

    def _keep(self, key: tuple[str, int], made: bytes | Multires | None) -> None:
        size = _size(made)
        if size > self._cache_bytes or key in self._cache:
            return
        self._cache[key] = made
        self._bytes += size
        while self._bytes > self._cache_bytes:
            _, old = self._cache.popitem(last=False)
            self._bytes -= _size(old)

    def _factors(self) -> Array:
        # Numbers near 1 while it is made simpler: coordinates in cells.  They are rounded so that
        # the unit of the axes makes no difference.
        factors: Array = np.round(_scales(self.volume) / self._cell, 9)
        return factors

    def _make(
        self, segments: Segments, key: int, cancelled: Cancelled
    ) -> tuple[Array, Array] | None:
        factors = self._factors()
        error = round(self._error / self._cell, 9)
        if error:
            parts = list(self._parts(segments, key, cancelled, factors / 2, error / 2))
        else:
            exact = join([part for part, _ in surfaces(segments, key, cancelled)])
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
        return vertices * (_scales(self.volume) / factors), triangles

    def _parts(
        self,
        segments: Segments,
        key: int,
        cancelled: Cancelled,
        factors: Array,
        error: float,
    ) -> Iterator[_Part]:
        """Yield the parts of a surface, each made simpler but for what it shares with others."""
        for part, whole in surfaces(segments, key, cancelled):
            half = unpack(part.positions)
            at: Array = half * factors
            if whole:
                yield _Part(at, part.triangles, part.positions, True)
                continue
            shared = ((half + 1) % (2 * BLOCK) == 0).any(axis=1)
            vertices, triangles, origin = simplify_part(at, part.triangles, error, 1.0, shared)
            known = np.where(shared[origin] & (origin >= 0), part.positions[origin], -1)
            yield _Part(vertices, triangles, known, False)


@final
class MultiresMaker:
    """What the server asks for the same meshes in several resolutions.

    Parameters
    ----------
    maker : MeshMaker

    Attributes
    ----------
    nothing : Multires
        What is said of an object that is not there.
    """

    __slots__ = ("_maker", "nothing")

    def __init__(self, maker: MeshMaker) -> None:
        self._maker = maker
        self.nothing = EMPTY

    def mesh(self, label: int, cancelled: Cancelled = None) -> Any:
        """Return a `Multires`, or None if there is no such object."""
        return self._maker.multires(label, cancelled)

    def known(self, label: int) -> Multires | None:
        """Return one that is kept, without waiting."""
        return self._maker.known(label)

    def info(self) -> dict[str, object]:
        """Return the ``info`` of the source."""
        volume = self._maker.volume
        offset = np.array(volume.info()["voxelOffset"], np.float64)
        return multires_info((offset * _scales(volume) * _NANO).tolist())


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


def _size(made: bytes | Multires | None) -> int:
    parts = made if isinstance(made, Multires) else (made or b"",)
    return sum(map(len, parts)) + 128


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
