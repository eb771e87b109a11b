"""The scales of a volume, and the tasks that make them.

A pass reads each voxel of a scale once, and makes as many coarser scales of it as a task has room
for; the next pass goes on from the coarsest.  A task has whole chunks of every scale that it
writes, so that no two tasks write one file.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Sizes = tuple[int, ...]

__all__ = ["CHUNK", "Box", "Level", "Pass", "boxes", "levels", "passes", "uniform"]

CHUNK = 64
"""The edge of a chunk, in voxels, along the axes of space."""

_ALIKE = math.sqrt(2) * (1 + 1e-6)


class Level(NamedTuple):
    """One scale.

    Attributes
    ----------
    factors : tuple of int
        How many voxels of the volume one of its voxels is, along each axis.
    shape : tuple of int
        How many voxels it has.
    """

    factors: Sizes
    shape: Sizes


class Pass(NamedTuple):
    """Scales that are made in one reading of another.

    Attributes
    ----------
    base : int
        The scale that is read.
    writes : tuple of int
        The scales that are written: of the first pass, also the base itself.
    region : tuple of int
        The voxels of the base that one task reads, along each axis.
    """

    base: int
    writes: Sizes
    region: Sizes


class Box(NamedTuple):
    """What one task reads: its place among the regions, and its voxels."""

    place: Sizes
    begin: Sizes
    end: Sizes


def levels(shape: Sequence[int], voxel_sizes: Sequence[float], *, spatial: int = 3) -> list[Level]:
    """Return the scales of a volume: each makes voxels that are as near to cubes as can be.

    Parameters
    ----------
    shape : sequence of int
        How many voxels there are along each axis; those of space come first.
    voxel_sizes : sequence of float
        How large they are along the axes of space.
    spatial : int
        How many axes are of space.

    Returns
    -------
    list of Level
        From the full resolution to that which is one chunk.

    Examples
    --------
    >>> [level.factors for level in levels((400, 400, 40), (4, 4, 16))]
    [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 2)]
    """
    size = tuple(max(1, int(number)) for number in shape)
    found = [Level((1,) * len(size), size)]
    while max(found[-1].shape[:spatial]) > CHUNK:
        factors, now = found[-1]
        steps = [voxel_sizes[axis] * factors[axis] for axis in range(spatial)]
        least = min(step for step, left in zip(steps, now, strict=False) if left > 1)
        halved = [n > 1 and step <= least * _ALIKE for n, step in zip(now, steps, strict=False)]
        new = (
            *(2 * f if half else f for f, half in zip(factors, halved, strict=False)),
            *factors[spatial:],
        )
        found.append(Level(new, tuple(-(-n // f) for n, f in zip(size, new, strict=True))))
    return found


def passes(scales: Sequence[Level], chunk: Sequence[int], itemsize: int, room: int) -> list[Pass]:
    """Return in which readings the scales are made.

    Parameters
    ----------
    scales : sequence of Level
        From `levels`.
    chunk : sequence of int
        Of one chunk of a scale, along each axis.
    itemsize : int
        Bytes of a voxel.
    room : int
        Bytes that the voxels that a task reads may take.

    Examples
    --------
    >>> scales = levels((4096, 4096, 4096), (1, 1, 1))
    >>> for one in passes(scales, (64, 64, 64), 1, 128 << 20):
    ...     print(one)
    Pass(base=0, writes=(0, 1, 2, 3), region=(512, 512, 512))
    Pass(base=3, writes=(4, 5, 6), region=(512, 512, 512))
    """
    found: list[Pass] = []
    base = 0
    while not found or base < len(scales) - 1:
        last = base if found else -1
        region = tuple(chunk)
        while last < len(scales) - 1:
            relative = zip(scales[last + 1].factors, scales[base].factors, chunk, strict=True)
            larger = tuple(a // b * size for a, b, size in relative)
            needed = math.prod(map(min, zip(larger, scales[base].shape, strict=True)))
            if last > base and needed * itemsize > room:
                break
            last, region = last + 1, larger
        found.append(Pass(base, tuple(range(base + (len(found) > 0), last + 1)), region))
        base = last
    return found


def boxes(shape: Sequence[int], region: Sequence[int]) -> Iterator[Box]:
    """Yield the tasks of a pass, the last axis slowest.

    Examples
    --------
    >>> [box.end for box in boxes((5, 2), (3, 2))]
    [(3, 2), (5, 2)]
    """
    counts = [-(-size // edge) for size, edge in zip(shape, region, strict=True)]
    for reverse in product(*(range(count) for count in reversed(counts))):
        place = reverse[::-1]
        begin = tuple(at * edge for at, edge in zip(place, region, strict=True))
        end = tuple(min(b + e, s) for b, e, s in zip(begin, region, shape, strict=True))
        yield Box(place, begin, end)


def uniform(chunk: NDArray[Any]) -> int | float | None:
    """Return the value that all voxels of a chunk have; None if they differ.

    Examples
    --------
    >>> import numpy as np
    >>> uniform(np.full((2, 2), 7)), uniform(np.arange(4))
    (7, None)
    """
    first: int | float = chunk.flat[0].item()
    if chunk.flat[-1] != first:
        return None
    return first if chunk.max() == first == chunk.min() else None
