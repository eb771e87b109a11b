"""Meshes of several resolutions, cut into fragments that the client loads as it needs them.

The format is the multi-resolution mesh of ``src/datasource/precomputed/meshes.md`` of Neuroglancer.
At the level of detail 0 the mesh is whole; at each further one it is made simpler with twice the
error, in cubes of twice the edge.  Each cube of a level is a fragment, compressed by Draco; the
client draws a coarse one until those of its eight octants that it needs are there.  So that they
replace it exactly, triangles are cut where they cross a face of a cube, or of an octant.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ViewerError
from .segments import check
from .simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

__all__ = ["EMPTY", "Multires", "encode_multires", "is_available", "multires_info"]

_BITS = 16  # of a coordinate within its fragment
_TOP = (1 << _BITS) - 1
_FRAGMENT = 1 << 14  # triangles of one at level 0, at most; it takes a few milliseconds to encode
_LEVELS = 8
_WORTH = 0.8  # of its triangles a level may have left, or it is not made
_COARSE = 0.25  # of the error of a level: the client takes half a pixel for one
_COMPRESSION = 7  # of 10; more is slower and not smaller
_NEEDED = "meshes of several resolutions need DracoPy: pip install 'nibabel-data[view]'"


class Multires(NamedTuple):
    """A mesh of several resolutions.

    Attributes
    ----------
    manifest : bytes
        What is in which part of the data: the file ``<id>.index``.
    data : bytes
        The fragments: the file ``<id>``.
    """

    manifest: bytes
    data: bytes


class _Level(NamedTuple):
    nodes: Array  # (n,), the cubes that have triangles, in Z-order, by their codes
    octants: Array  # the same of their octants
    fragments: list[bytes]


def is_available() -> bool:
    """Return whether such meshes can be made here: whether DracoPy is there, and can be loaded."""
    try:
        import DracoPy  # noqa: F401
    except ImportError:
        return False
    return True


def multires_info(offset: Sequence[float] = (0.0, 0.0, 0.0)) -> dict[str, object]:
    """Return the ``info`` of a source of such meshes.

    Parameters
    ----------
    offset : sequence of float, optional
        What to add to the coordinates of all meshes, in their unit (nanometres).

    Examples
    --------
    >>> multires_info((0, 0, 5))['transform']
    [1, 0, 0, 0.0, 0, 1, 0, 0.0, 0, 0, 1, 5.0]
    """
    x, y, z = map(float, offset)
    return {
        "@type": "neuroglancer_multilod_draco",
        "vertex_quantization_bits": _BITS,
        "lod_scale_multiplier": 1,
        "transform": [1, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z],
    }


def encode_multires(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.integer[Any]],
    *,
    error: float = 0.75,
    unit: ArrayLike = 1.0,
    cancelled: Callable[[], bool] | None = None,
) -> Multires:
    """Return a mesh in several resolutions, the same bytes each time.

    Parameters
    ----------
    vertices : ndarray of float64, shape (n, 3)
        In cells: in units of about the edge of a voxel, the same along all axes.
    triangles : ndarray of int, shape (m, 3)
        A closed surface; anticlockwise from outside.
    error : float, optional
        How far the surface may be off as it is given, in cells.  At the level k it may be off by
        2**k times as much.  0 counts as 0.75.
    unit : float or array_like of float, shape (3,), optional
        The size of a cell along each axis in the file: for the client in nanometres.
    cancelled : callable, optional
        Asked now and then whether to stop.

    Returns
    -------
    Multires
        If there is no triangle, one that the client takes for nothing.

    Raises
    ------
    ViewerError
        If DracoPy is missing, or it was cancelled.

    Notes
    -----
    A coordinate has 16 bits in its fragment: it is rounded to 1/65535 of the edge of the cube.

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.]])
    >>> faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    >>> made = encode_multires(corners, faces, unit=1e6)
    >>> np.frombuffer(made.manifest, '<f4', 3).tolist(), len(made.manifest), made.data[:5]
    ([1000000.0, 1000000.0, 1000000.0], 64, b'DRACO')
    """
    if not len(triangles):
        return EMPTY
    error = error or 0.75
    origin = vertices.min(axis=0)
    extent = float((vertices.max(axis=0) - origin).max()) or 1.0
    vertices = vertices - origin
    depth = _depth(vertices, triangles, extent)
    edge = extent / (1 << depth)
    levels = []
    for number in range(depth + 1):
        check(cancelled)
        if number:
            size = float(1 << number)
            fewer = simplify(vertices, triangles.astype(np.int32), error * size, size)
            if len(fewer[1]) > _WORTH * len(triangles):
                break
            vertices, triangles = fewer
        levels.append(_level(vertices / edge, triangles, number, depth, cancelled))
    cell = np.broadcast_to(np.asarray(unit, np.float64), 3)
    scales = _COARSE * error * float(cell.max()) * np.exp2(np.arange(len(levels)))
    return _file(levels, edge * cell, origin * cell, scales)


def _depth(vertices: Array, triangles: Array, extent: float) -> int:
    """Return how often to halve the cube of the whole until no part has too many triangles."""
    middle = _middle(vertices, triangles) / extent if len(triangles) > _FRAGMENT else None
    for depth in range(_LEVELS):
        if middle is None:
            return depth
        cells = np.minimum((middle * (1 << depth)).astype(np.int64), (1 << depth) - 1)
        if np.unique(_code(cells), return_counts=True)[1].max() <= _FRAGMENT:
            return depth
    return _LEVELS


def _level(
    vertices: Array,
    triangles: Array,
    number: int,
    depth: int,
    cancelled: Callable[[], bool] | None,
) -> _Level:
    """Return the fragments of a level.

    Parameters
    ----------
    vertices : ndarray of float64, shape (n, 3)
        In edges of the cubes of level 0.
    """
    halves = min(number, 1)  # from level 1 on, a cube has octants
    cubes = depth - number
    vertices, triangles = _cut(vertices / (1 << number - halves), triangles, cubes + halves)
    middle = _middle(vertices, triangles)
    cells = np.minimum(middle.astype(np.int64), (1 << cubes + halves) - 1)
    code = _code(cells)
    order = np.argsort(code, kind="stable")
    code, triangles, cells = code[order], triangles[order], cells[order] >> halves
    nodes = code >> 3 * halves
    first = np.flatnonzero(np.diff(nodes, prepend=-1))
    found, fragments = [], []
    for begin, end in pairwise([*first.tolist(), len(nodes)]):
        check(cancelled)
        within = vertices[triangles[begin:end]] - cells[begin] * (1 << halves)
        encoded = _fragment(within / (1 << halves))
        if encoded:
            found.append(nodes[begin])
            fragments.append(encoded)
    return _Level(np.array(found, np.int64), np.unique(code), fragments)


def _fragment(corners: Array) -> bytes:
    """Return triangles as Draco has them; nothing if all have no area.

    Parameters
    ----------
    corners : ndarray of float64, shape (m, 3, 3)
        In edges of the cube, from 0 to 1.
    """
    try:
        import DracoPy
    except ImportError:
        raise ViewerError(_NEEDED) from None
    # Draco itself rounds to integers; given them, and a range of as many, it keeps them.
    grid = np.clip(np.floor(corners * _TOP + 0.5), 0, _TOP).astype(np.int64)
    key = grid[..., 0] << 2 * _BITS | grid[..., 1] << _BITS | grid[..., 2]
    flat = (key == np.roll(key, 1, axis=1)).any(axis=1)
    keys, faces = np.unique(key[~flat], return_inverse=True)
    if not len(keys):
        return b""
    points = np.stack([keys >> 2 * _BITS, keys >> _BITS & _TOP, keys & _TOP], axis=1)
    encoded: bytes = DracoPy.encode(
        points.astype(np.float32),
        faces.reshape(-1, 3).astype(np.uint32),
        quantization_bits=_BITS,
        quantization_range=_TOP,
        quantization_origin=(0, 0, 0),
        compression_level=_COMPRESSION,
    )
    return encoded


def _cut(vertices: Array, triangles: Array, depth: int) -> tuple[Array, Array]:
    """Cut triangles where they cross the faces of a grid of 2**depth cubes of edge 1.

    The planes are taken in an order that depends on nothing else, the middle one first, so that an
    edge is cut at the same places for both of its triangles.
    """
    for axis in range(3):
        low, high = _range(vertices, triangles, axis)
        wide = np.ceil(high) - np.floor(low) > 1
        if not wide.any():
            continue
        narrow, some = triangles[~wide], triangles[wide]
        for step in (1 << power for power in reversed(range(depth))):
            vertices, some = _halved(vertices, some, axis, step)
        triangles = np.concatenate([narrow, some])
    return vertices, triangles


def _halved(vertices: Array, triangles: Array, axis: int, step: int) -> tuple[Array, Array]:
    """Cut triangles, each between two planes of distance 2 * step, at the plane in their middle."""
    low, high = _range(vertices, triangles, axis)
    plane = (np.floor(low / (2 * step)) * 2 + 1) * step
    crosses = (low < plane) & (high > plane)
    if not crosses.any():
        return vertices, triangles
    rest, some, plane = triangles[~crosses], triangles[crosses], plane[crosses]
    side = np.sign(vertices[:, axis][some] - plane[:, None])
    # First comes the corner that is on the plane, or alone on its side.
    total = side.sum(axis=1)
    touches = total == 0
    lone = np.where(touches, 0, -total)[:, None]
    which = (side == lone).argmax(axis=1)
    a, b, c = (some[np.arange(len(some)), (which + turn) % 3] for turn in range(3))
    begins = np.concatenate([b[touches], a[~touches], a[~touches]])
    ends = np.concatenate([c[touches], b[~touches], c[~touches]])
    planes = np.concatenate([plane[touches], plane[~touches], plane[~touches]])
    vertices, new = _between(vertices, begins, ends, planes, axis)
    middle, ab, ac = np.split(new, np.cumsum([touches.sum(), (~touches).sum()]))
    corner, left, right = a[touches], b[touches], c[touches]
    a, b, c = a[~touches], b[~touches], c[~touches]
    parts = [
        *((corner, left, middle), (corner, middle, right)),
        *((a, ab, ac), (ab, b, c), (ab, c, ac)),
    ]
    return vertices, np.concatenate([rest, *(np.stack(part, axis=1) for part in parts)])


def _between(
    vertices: Array, begins: Array, ends: Array, planes: Array, axis: int
) -> tuple[Array, Array]:
    """Put a vertex on each edge where it crosses a plane; return all, and the new one of each."""
    low, high = np.minimum(begins, ends).astype(np.int64), np.maximum(begins, ends)
    _, first, which = np.unique(low * len(vertices) + high, return_index=True, return_inverse=True)
    start, stop, plane = vertices[low[first]], vertices[high[first]], planes[first]
    part = (plane - start[:, axis]) / (stop[:, axis] - start[:, axis])
    new = start + part[:, None] * (stop - start)
    new[:, axis] = plane
    return np.concatenate([vertices, new]), which + len(vertices)


def _range(vertices: Array, triangles: Array, axis: int) -> tuple[Array, Array]:
    along = np.ascontiguousarray(vertices[:, axis])
    a, b, c = (along[triangles[:, corner]] for corner in range(3))
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _middle(vertices: Array, triangles: Array) -> Array:
    a, b, c = (np.take(vertices, triangles[:, corner], axis=0) for corner in range(3))
    middle: Array = (a + b + c) / 3
    return middle


def _code(cells: Array) -> Array:
    """Return the place of each cell along the Z-curve, x running fastest."""
    code = np.zeros(len(cells), np.int64)
    for bit in range(int(cells.max(initial=0)).bit_length()):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << 3 * bit + axis
    return code


def _cells(code: Array) -> Array:
    cells = np.zeros((len(code), 3), np.int64)
    for bit in range(_LEVELS + 2):
        for axis in range(3):
            cells[:, axis] |= (code >> 3 * bit + axis & 1) << bit
    return cells


def _file(levels: Sequence[_Level], shape: Array, origin: Array, scales: Array) -> Multires:
    nodes = [level.nodes for level in levels]
    # Where a level has a cube the next must have one around it, and where it has an octant that
    # the one before has not, an empty one says so: or the client shows both, or neither.
    for number in range(1, len(levels)):
        nodes[number - 1] = np.union1d(nodes[number - 1], levels[number].octants)
        nodes[number] = np.union1d(nodes[number], nodes[number - 1] >> 3)
    tables = []
    for level, codes in zip(levels, nodes, strict=True):
        sizes = np.zeros(len(codes), np.int64)
        sizes[np.searchsorted(codes, level.nodes)] = [len(one) for one in level.fragments]
        tables.append(np.concatenate([_cells(codes).T.reshape(-1), sizes]).astype("<u4").tobytes())
    head = (
        np.concatenate([shape, origin]).astype("<f4"),
        np.array(len(levels), "<u4"),
        scales.astype("<f4"),
        np.zeros(3 * len(levels), "<f4"),  # offsets of the levels
        np.array([len(codes) for codes in nodes], "<u4"),
    )
    manifest = b"".join([*(part.tobytes() for part in head), *tables])
    return Multires(manifest, b"".join(one for level in levels for one in level.fragments))


EMPTY = _file(
    [_Level(np.zeros(1, np.int64), np.zeros(1, np.int64), [b""])],
    np.ones(3),
    np.zeros(3),
    np.ones(1),
)
"""What the client takes for nothing; that there is no manifest would be an error to it."""
