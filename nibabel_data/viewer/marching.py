"""The surface of a set of voxels, as triangles between the voxels inside and those outside.

Marching cubes [1]_ on a set: a vertex stands in the middle between two neighbouring voxels of which
one is inside, that is, on the face that they share.  The table of cases is not copied but made: on
each face of a cube of eight voxels, each run of corners that are inside is cut off from the others,
so that two cubes agree on the face that they share, whatever the case; and polygons are cut into
triangles without a diagonal that lies on a face.  Hence each edge of the surface is of exactly two
triangles, and the surface is closed if no voxel inside is at the border of the block.

References
----------
.. [1] W. E. Lorensen and H. E. Cline, "Marching cubes: a high resolution 3D surface construction
   algorithm", Computer Graphics 21(4), 1987. doi:10.1145/37402.37422
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["BITS", "Surface", "join", "surface", "unpack"]

BITS = 21
"""Of each axis in a position; hence there are at most 2**20 - 2 voxels on an axis."""

_SHIFTS = (2 * BITS, BITS, 0)


class Surface(NamedTuple):
    """A surface, or a part of one.

    Attributes
    ----------
    positions : ndarray of int64, shape (n,)
        Of each vertex, in half voxels from the corner of the volume, packed; ascending.
    triangles : ndarray of int32, shape (m, 3)
        The indices of the corners, anticlockwise if seen from outside (on right-handed axes in the
        order x, y, z).
    cubes : ndarray of int64, shape (m,)
        From which cube of eight voxels each comes, packed; ascending.
    """

    positions: NDArray[np.int64]
    triangles: NDArray[np.int32]
    cubes: NDArray[np.int64]


class _Table(NamedTuple):
    counts: NDArray[np.intp]  # of triangles of each of the 256 cases
    starts: NDArray[np.intp]  # of the first of each case
    edges: NDArray[np.uint8]  # of the three corners of each triangle, 3 * lower corner's + axis


def surface(inside: NDArray[np.bool_], origin: Sequence[int] = (0, 0, 0)) -> Surface:
    """Return the surface of the voxels inside, in a block.

    Parameters
    ----------
    inside : ndarray of bool, shape (nz, ny, nx)
        The voxels.  Where one at the border of the block is inside, the surface is open.
    origin : sequence of int
        The first voxel of the block (z, y, x); -1 for a border that was put around the volume.

    Returns
    -------
    Surface
        The part that is between voxels of the block.

    Examples
    --------
    >>> voxel = np.pad(np.ones((1, 1, 1), bool), 1)
    >>> part = surface(voxel, (-1, -1, -1))
    >>> len(part.positions), len(part.triangles)
    (6, 8)
    >>> (unpack(part.positions) / 2).tolist()[0]
    [0.5, 0.5, 0.0]
    """
    table = _table()
    shape = inside.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    size = inside.size
    voxels = np.ascontiguousarray(inside).view(np.uint8)
    cases = _cases(voxels)
    flat = cases.reshape(-1)
    active = np.flatnonzero((flat + np.uint8(1)) > 1)  # neither 0 nor 255
    case = flat[active]
    z, rest = np.divmod(active, max(1, cases.shape[1] * cases.shape[2]))
    y, x = np.divmod(rest, max(1, cases.shape[2]))
    counts = table.counts[case]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    which = np.repeat(table.starts[case] - ends + counts, counts) + np.arange(total)
    edges = table.edges[which]

    # Vertices by the edge on which they are: an index for each edge of the block.
    numbers = np.empty((3, size), np.int32)
    found = []
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        crossed = np.zeros(shape, bool)
        np.not_equal(voxels[tuple(low)], voxels[tuple(high)], out=crossed[tuple(low)])
        found.append(np.flatnonzero(crossed))
    where = np.concatenate(found)
    axes = np.repeat(np.arange(3), [len(one) for one in found])
    vz, rest = np.divmod(where, max(1, strides[0]))
    vy, vx = np.divmod(rest, max(1, strides[1]))
    unit = np.array([1 << shift for shift in _SHIFTS])
    corner = tuple(2 * (o + 1) for o in origin)  # of the centre of the first; see `unpack`
    positions = _pack(2 * vz + corner[0], 2 * vy + corner[1], 2 * vx + corner[2]) + unit[axes]
    order = np.argsort(positions)
    numbers.reshape(-1)[axes[order] * size + where[order]] = np.arange(len(order), dtype=np.int32)

    steps = np.array(
        [
            axis * size + sum((corner >> a & 1) * strides[a] for a in range(3))
            for axis, corner in _edges()
        ]
    )
    cube = z * strides[0] + y * strides[1] + x
    triangles = numbers.reshape(-1)[np.repeat(cube, counts)[:, None] + steps[edges]]
    cubes = _pack(z + origin[0] + 1, y + origin[1] + 1, x + origin[2] + 1)
    return Surface(positions[order], triangles, np.repeat(cubes, counts))


def join(parts: Sequence[Surface]) -> Surface:
    """Return one surface of parts of it, the same however it was parted.

    Parameters
    ----------
    parts : sequence of Surface
        Of blocks that overlap by one voxel.

    Returns
    -------
    Surface
        With each vertex once.
    """
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.empty(0, np.int64)
        return Surface(none, np.empty((0, 3), np.int32), none)
    positions, inverse = np.unique(
        np.concatenate([part.positions for part in parts]), return_inverse=True
    )
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    triangles = np.concatenate(
        [inverse[part.triangles + o] for part, o in zip(parts, offsets, strict=False)]
    ).astype(np.int32)
    cubes = np.concatenate([part.cubes for part in parts])
    order = np.argsort(cubes, kind="stable")
    return Surface(positions, triangles[order], cubes[order])


def unpack(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return positions in half voxels from the corner of the volume, x, y and z.

    Parameters
    ----------
    positions : ndarray of int64, shape (n,)
        Of a `Surface`.

    Returns
    -------
    ndarray of int64, shape (n, 3)
    """
    mask = (1 << BITS) - 1
    return np.stack([(positions >> shift & mask) - 1 for shift in reversed(_SHIFTS)], axis=1)


def _pack(z: NDArray[np.intp], y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[np.int64]:
    return (z << _SHIFTS[0]) + (y << _SHIFTS[1]) + x


def _cases(voxels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return which corners of each cube are inside: bit i is of the corner i."""
    one = voxels[:-1] | np.left_shift(voxels[1:], np.uint8(1))
    two = one[:, :-1] | np.left_shift(one[:, 1:], np.uint8(2))
    three: NDArray[np.uint8] = two[:, :, :-1] | np.left_shift(two[:, :, 1:], np.uint8(4))
    return three


def _edges() -> list[tuple[int, int]]:
    """Return the edges of a cube: the axis, and the lower corner, of which bit a is of axis a."""
    return [(axis, corner) for axis in range(3) for corner in range(8) if not corner >> axis & 1]


@cache
def _table() -> _Table:
    edges = {
        frozenset((corner, corner | 1 << axis)): number
        for number, (axis, corner) in enumerate(_edges())
    }
    faces = list(_faces())
    on_faces = [{number for pair, number in edges.items() if pair <= set(face)} for face in faces]
    triangles: list[tuple[int, int, int]] = []
    counts = []
    for case in range(256):
        before = len(triangles)
        for polygon in _polygons(case, faces, edges):
            triangles += _cut(polygon, on_faces)
        counts.append(len(triangles) - before)
    number = np.array(counts, np.intp)
    return _Table(number, np.cumsum(number) - number, np.array(triangles, np.uint8))


def _faces() -> Iterator[tuple[int, int, int, int]]:
    """Yield the corners of each face of a cube, in a sense that is the same from outside."""
    for axis in range(3):
        u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        high = 1 << axis
        yield high, high | u, high | u | v, high | v
        yield v, u | v, u, 0


def _polygons(
    case: int, faces: list[tuple[int, int, int, int]], edges: dict[frozenset[int], int]
) -> Iterator[list[int]]:
    """Yield the polygons of a case, each as the edges of the cube on which its corners are."""
    following = {}
    for face in faces:
        inside = [case >> corner & 1 for corner in face]
        for k in range(4):
            if not inside[k] and inside[(k + 1) % 4]:
                last = (k + 1) % 4
                while inside[(last + 1) % 4]:
                    last = (last + 1) % 4
                enter = edges[frozenset((face[k], face[(k + 1) % 4]))]
                leave = edges[frozenset((face[last], face[(last + 1) % 4]))]
                following[leave] = enter
    while following:
        first, at = following.popitem()
        polygon = [first]
        while at != first:
            polygon.append(at)
            at = following.pop(at)
        yield polygon


def _cut(polygon: list[int], on_faces: list[set[int]]) -> list[tuple[int, int, int]]:
    """Return triangles that fill a polygon, none with a diagonal on a face of the cube."""
    size = len(polygon)

    def cuts(first: int, last: int) -> Iterator[list[tuple[int, int, int]]]:
        if last - first < 2:
            yield []
        for middle in range(first + 1, last):
            for left in cuts(first, middle):
                for right in cuts(middle, last):
                    yield [*left, *right, (first, middle, last)]

    def is_good(triangles: list[tuple[int, int, int]]) -> bool:
        return not any(
            (b - a) % size not in (1, size - 1) and {polygon[a], polygon[b]} <= face
            for triangle in triangles
            for a, b in combinations(triangle, 2)
            for face in on_faces
        )

    best = next(filter(is_good, cuts(0, size - 1)))
    return [(polygon[a], polygon[b], polygon[c]) for a, b, c in best]
