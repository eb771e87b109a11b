"""Fewer triangles for a closed surface, with a bound on the error, in a unit of length.

Vertices in a cell of a grid become one, where that is harmless: cells of an octree, the largest
that is possible for each vertex, as in [1]_; the one vertex minimises the squared distances to the
planes of all [2]_.  A cell is harmless if the new vertex is no farther from any of these planes
than the error, and if the planes do not face opposite ways, so that a thin sheet keeps both of its
sides and a single voxel its shape.  Cells next to an edge that would then not be of two triangles,
or to a triangle that turned over, are taken back.

All is done with whole arrays: the same result each time, and, unlike with libraries that collapse
edges one by one, other threads run in between.

References
----------
.. [1] S. Schaefer, J. Warren, "Adaptive vertex clustering using octrees", SIAM Geometric Design and
   Computing, 2003.
.. [2] P. Lindstrom, "Out-of-core simplification of large polygonal models", SIGGRAPH 2000.
   doi:10.1145/344779.344912
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["area_vectors", "simplify", "simplify_part", "volume"]

_LEVELS = 4  # of the octree
_ALIKE = 0.5  # the length of the mean of normals of one cell, at least
_STIFF = 0.01  # how much a new vertex is drawn to the middle of the old ones
_REPAIRS = 32
_REST = 0.1  # of the vertices
_SOME = 1 << 14  # triangles at once, which fit the cache


def simplify(
    vertices: NDArray[np.float64], triangles: NDArray[np.int32], error: float, cell: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return a surface with fewer triangles.

    Parameters
    ----------
    vertices : ndarray of float64, shape (n, 3)
        In any unit of length.
    triangles : ndarray of int32, shape (m, 3)
        A closed surface.
    error : float
        How far a vertex may be moved from the planes of those that it stands for, in that unit.
    cell : float
        The smallest cells; the largest have 8 times the size.  A vertex is moved along the surface
        by no more than the diagonal of a cell.

    Returns
    -------
    vertices : ndarray of float64, shape (n', 3)
        In the box of the given ones.
    triangles : ndarray of int32, shape (m', 3)
        A closed surface; the given one if that cannot be made simpler.

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.]])
    >>> faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    >>> [len(part) for part in simplify(corners, faces, error=0.1, cell=4)]
    [4, 4]
    """
    found, fewer, _ = simplify_part(vertices, triangles, error, cell)
    before, after = volume(vertices, triangles), volume(found, fewer)
    if not 0.5 * before < after < 2 * before:
        return vertices, triangles
    return found, fewer


def simplify_part(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    error: float,
    cell: float,
    fixed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
    """Return a part of a surface, perhaps open, with fewer triangles.

    Parameters
    ----------
    vertices, triangles, error, cell
        As for `simplify`.
    fixed : ndarray of bool, shape (n,), optional
        Vertices that stay: those that other parts have too.

    Returns
    -------
    vertices, triangles
        As for `simplify`.
    origin : ndarray of int, shape (n',)
        Which vertex each one was; -1 for new ones.
    """
    same = vertices, triangles, np.arange(len(vertices))
    if not len(triangles) or error <= 0:
        return same
    areas = area_vectors(vertices, triangles)
    box = vertices.min(axis=0), vertices.max(axis=0)
    normals = _vertex_normals(areas, triangles, len(vertices))
    whole = np.arange(len(vertices)) if fixed is None else np.flatnonzero(~fixed)
    if not len(whole):
        return same
    trees = [_tree(vertices, normals, whole, box, error, cell)]
    rest = whole[_clusters(vertices, trees)[2][whole] < 0]
    if len(rest) > _REST * len(whole):  # thin: both of its sides are in the same cells
        trees.append(_tree(vertices, normals, rest, box, error, cell, sides=True))
    for _ in range(_REPAIRS):
        cluster, found, levels = _clusters(vertices, trees)
        fewer, left = _collapsed(triangles, cluster)
        bad = _faulty(found, fewer, areas[left])
        if not _bar(trees, cluster, levels, bad, len(found)):
            break
    else:
        return same
    origin = np.full(len(found), -1)
    alone = np.flatnonzero(levels < 0)
    origin[cluster[alone]] = alone
    used = np.zeros(len(found), bool)
    used[fewer] = True
    numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return found[used], numbers[fewer], origin[used]


def volume(vertices: NDArray[np.float64], triangles: NDArray[np.int32]) -> float:
    """Return what a closed surface encloses, by the theorem of Gauss; positive if it faces outward.

    Examples
    --------
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 6.]])
    >>> volume(corners, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32))
    1.0
    """
    if not len(triangles):
        return 0.0
    middle = vertices - vertices.mean(axis=0)
    areas = area_vectors(middle, triangles)
    return float(np.einsum("ij,ij->", middle[triangles[:, 0]], areas) / 3)


def area_vectors(vertices: NDArray[np.float64], triangles: NDArray[np.int32]) -> Array:
    """Return the normal of each triangle, as long as its area.

    Returns
    -------
    ndarray of float64, shape (m, 3)
    """
    out = np.empty((len(triangles), 3))
    for begin in range(0, len(triangles), _SOME):
        part = triangles[begin : begin + _SOME]
        first, u, v = (np.take(vertices, part[:, k], axis=0) for k in range(3))
        u -= first
        v -= first
        some = out[begin : begin + _SOME]
        some[:, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        some[:, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        some[:, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        some *= 0.5
    return out


@dataclass(slots=True, eq=False)
class _Level:
    """The cells of one size that have a vertex."""

    size: float
    low: Array  # the least corner of each, (k, 3)
    of_vertex: Array
    larger: Array  # the cell of the next larger size
    harmless: Array = field(init=False)
    best: Array = field(init=False)  # the new vertex of each


def _vertex_normals(areas: Array, triangles: Array, count: int) -> Array:
    """Return the sum of the areas around each vertex, as vectors."""
    corners = [np.ascontiguousarray(triangles[:, k]) for k in range(3)]
    out = np.empty((count, 3))
    for axis in range(3):
        weights = np.ascontiguousarray(areas[:, axis])
        out[:, axis] = sum(np.bincount(corner, weights, count) for corner in corners)
    return out


def _quadrics(vertices: Array, normals: Array, weight: Array) -> Iterator[Array]:
    """Yield what is added up over the vertices of a cell.

    6 times area n nᵀ, 3 area n (n·p), 3 the normal, the area, 3 area p.
    """
    safe = np.where(weight > 0, weight, 1.0)
    for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        yield normals[:, a] * normals[:, b] / safe
    distance = np.einsum("ij,ij->i", normals, vertices) / safe
    yield from (normals[:, k] * distance for k in range(3))
    yield from (normals[:, k] for k in range(3))
    yield weight
    yield from (vertices[:, k] * weight for k in range(3))


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """The cells of some of the vertices, the smallest first."""

    members: Array
    levels: list[_Level]


def _tree(
    vertices: Array,
    normals: Array,
    members: Array,
    box: tuple[Array, Array],
    error: float,
    cell: float,
    *,
    sides: bool = False,
) -> _Tree:
    """Return the cells of some vertices; with `sides`, those that face other ways have others."""
    if len(members) < len(vertices):
        vertices, normals = vertices[members], normals[members]
    side = None
    if sides:
        axis = np.abs(normals).argmax(axis=1)
        side = 2 * axis + (normals[np.arange(len(normals)), axis] > 0)
    levels = _octree(vertices, box[0], cell, side)
    _judge(levels, vertices, normals, error, box)
    return _Tree(members, levels)


def _octree(vertices: Array, low: Array, cell: float, side: Array | None) -> list[_Level]:
    """Return the cells of each size, the smallest first; the grid is that of the volume."""
    base = np.floor(low / cell).astype(np.int64)
    base -= base % (1 << _LEVELS - 1)
    grid = np.empty((len(vertices), 4), np.int64)
    grid[:, :3] = np.floor(vertices / cell).astype(np.int64) - base
    grid[:, 3] = 0 if side is None else side
    of_vertex, grid = _distinct(grid)
    levels = []
    for number in range(_LEVELS):
        size = cell * (1 << number)
        larger, coarse = _distinct(grid >> np.array([1, 1, 1, 0]))
        levels.append(_Level(size, (grid[:, :3] + base) * size, of_vertex, larger))
        of_vertex, grid = larger[of_vertex], coarse
        base >>= 1
    return levels


def _distinct(grid: Array) -> tuple[Array, Array]:
    """Return the number of the cell of each row, and the cells."""
    extent = grid.max(axis=0) + 1
    key = ((grid[:, 3] * extent[2] + grid[:, 2]) * extent[1] + grid[:, 1]) * extent[0] + grid[:, 0]
    count = math.prod(extent.tolist())
    if count <= 8 * len(grid) + 4096:  # a table is faster than sorting
        there = np.zeros(count, bool)
        there[key] = True
        keys = np.flatnonzero(there)
        number = np.empty(count, np.int64)
        number[keys] = np.arange(len(keys))
        numbers = number[key]
    else:
        keys, numbers = np.unique(key, return_inverse=True)
    rest, x = np.divmod(keys, extent[0])
    rest, y = np.divmod(rest, extent[1])
    side, z = np.divmod(rest, extent[2])
    return numbers, np.stack([x, y, z, side], axis=1)


def _judge(
    tree: list[_Level], vertices: Array, normals: Array, error: float, box: tuple[Array, Array]
) -> None:
    """Find the new vertex of each cell, and whether to take it is harmless."""
    weight = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    own = np.einsum("ij,ij->i", vertices, normals)
    for level, sums in zip(tree, _sums(tree, _quadrics(vertices, normals, weight)), strict=True):
        level.best = np.clip(_best(sums, level.low, level.size), *box)
        off = np.einsum("ij,ij->i", level.best[level.of_vertex], normals)
        far = np.abs(off - own) > error * weight
        level.harmless = np.einsum("ij,ij->j", sums[9:12], sums[9:12]) >= (_ALIKE * sums[12]) ** 2
        level.harmless[level.of_vertex[far]] = False
        level.harmless[np.bincount(level.of_vertex) == 1] = False  # nothing is won


def _clusters(vertices: Array, trees: list[_Tree]) -> tuple[Array, Array, Array]:
    """Return the number of the new vertex of each, the new vertices, and the level of each old.

    The largest cells come first; what they do not take is left to the smaller ones.
    """
    made = []
    total = 0
    cluster = np.full(len(vertices), -1)
    levels = np.full(len(vertices), -1, np.int8)
    for which, tree in enumerate(trees):
        top = tree.levels[-1]
        number, level_of = np.full(len(top.low), -1), np.full(len(top.low), -1, np.int8)
        for place in reversed(range(_LEVELS)):
            level = tree.levels[place]
            if level is not top:
                number, level_of = number[level.larger], level_of[level.larger]
            taken = np.flatnonzero(level.harmless & (number < 0))
            number[taken] = np.arange(total, total + len(taken))
            level_of[taken] = place + which * _LEVELS
            made.append(level.best[taken])
            total += len(taken)
        cluster[tree.members] = number[tree.levels[0].of_vertex]
        levels[tree.members] = level_of[tree.levels[0].of_vertex]
    alone = np.flatnonzero(cluster < 0)
    cluster[alone] = np.arange(total, total + len(alone))
    made.append(vertices[alone])
    return cluster, np.concatenate(made), levels


def _bar(trees: list[_Tree], cluster: Array, levels: Array, bad: Array, count: int) -> bool:
    """Take back the cells of some new vertices; return whether there were any."""
    marked = np.zeros(count, bool)
    marked[bad] = True
    changed = False
    for which, tree in enumerate(trees):
        there = np.flatnonzero(marked[cluster[tree.members]])
        of_there = levels[tree.members[there]]
        for place, level in enumerate(tree.levels):
            cells = level.of_vertex[there[of_there == place + which * _LEVELS]]
            changed |= len(cells) > 0
            level.harmless[cells] = False
    return changed


def _sums(tree: list[_Level], quadrics: Iterable[Array]) -> Iterator[Array]:
    which = tree[0].of_vertex
    for level in tree:
        sums = np.empty((16, len(level.low)))
        for k, row in enumerate(quadrics):
            sums[k] = np.bincount(which, row, len(level.low))
        yield sums
        quadrics = sums
        which = level.larger


def _best(sums: Array, low: Array, size: float) -> Array:
    """Return the place in each cell with the least sum of squared distances to its planes."""
    if len(low) > _SOME:
        parts = [slice(begin, begin + _SOME) for begin in range(0, len(low), _SOME)]
        return np.concatenate([_best(sums[:, part], low[part], size) for part in parts])
    area = np.where(sums[12] > 0, sums[12], 1.0)
    middle = sums[13:16] / area
    a, b, c, d, e, f = sums[:6] / area
    right = sums[6:9] / area + _STIFF * middle
    a, d, f = a + _STIFF, d + _STIFF, f + _STIFF  # the trace is 1
    # the inverse of a symmetric matrix, by its cofactors
    m00, m01, m02 = d * f - e * e, c * e - b * f, b * e - c * d
    m11, m12, m22 = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = a * m00 + b * m01 + c * m02
    x, y, z = right
    place = np.stack(
        [m00 * x + m01 * y + m02 * z, m01 * x + m11 * y + m12 * z, m02 * x + m12 * y + m22 * z],
        axis=1,
    )
    place /= np.where(determinant > 0, determinant, 1.0)[:, None]
    clipped: Array = np.clip(place, low, low + size)
    return clipped


def _collapsed(triangles: Array, cluster: Array) -> tuple[Array, Array]:
    """Return the triangles that are left, and which they were."""
    fewer = cluster.astype(np.int32)[triangles]
    left = (
        (fewer[:, 0] != fewer[:, 1]) & (fewer[:, 1] != fewer[:, 2]) & (fewer[:, 2] != fewer[:, 0])
    )
    origin = np.flatnonzero(left)
    return fewer[origin], origin


def _faulty(vertices: Array, triangles: Array, before: Array) -> Array:
    """Return vertices at an edge that is not of two triangles, or of a triangle turned over."""
    turned = np.einsum("ij,ij->i", area_vectors(vertices, triangles), before) < 0
    count = len(vertices)
    begin = triangles.T.reshape(-1)
    end = np.roll(triangles, -1, axis=1).T.reshape(-1)
    key = np.minimum(begin, end).astype(np.int64)
    key *= count
    key += np.maximum(begin, end)
    key.sort()
    # Each is there twice: otherwise some key equals the next but one, for the surface is closed.
    several = key[np.flatnonzero(key[2:] == key[:-2])]
    ends = np.concatenate(np.divmod(several, count))
    return np.unique(np.concatenate([ends, triangles[turned].reshape(-1)]))
