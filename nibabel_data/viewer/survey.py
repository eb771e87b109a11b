"""A sample of the values of an image: the window that shows them, and how alike they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

__all__ = ["Survey", "survey"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ALL = 1 << 21  # voxels; an image no larger is looked at whole
_BOX = 16  # voxels along each edge of what is looked at otherwise
_BOXES = 6  # along each axis


class Survey:
    """What a sample of an image's values tells.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        The finite values of the sample.
    alike : float
        Of the neighbours of which at least one is not 0, the part that have one value; from 0 to 1.
    """

    __slots__ = ("alike", "values")

    def __init__(self, values: NDArray[np.float64], alike: float) -> None:
        self.values = values
        self.alike = alike

    def window(self) -> tuple[float, float]:
        """Return the values shown as black and as white.

        They are the 2nd and the 98th percentile of what is not 0; if 0 is there, the window has it,
        so that an empty background is black.
        """
        values = self.values
        inside = values[values != 0]
        if not inside.size:
            return 0.0, 1.0
        low, high = (float(edge) for edge in np.percentile(inside, (2, 98)))
        if inside.size < values.size or low == high:
            low, high = min(low, 0.0), max(high, 0.0)
        return low, high


def survey(array: Any, spatial: Sequence[int] = (0, 1, 2)) -> Survey:
    """Look at boxes of voxels spread evenly over an array; the same ones each time.

    Parameters
    ----------
    array : array-like
        Has ``shape`` and slicing; of any real dtype, or complex (the magnitude).
    spatial : sequence of int, optional
        The axes along which voxels are neighbours.

    Returns
    -------
    Survey
        Of all voxels of a small array; of at most about a million of a larger one, for each of the
        volumes, at most three, that are looked at.
    """
    shape = tuple(int(size) for size in array.shape)
    whole = int(np.prod(shape, dtype=object)) <= _ALL
    parts = [
        [slice(0, size)] if whole else _parts(size, axis in spatial)
        for axis, size in enumerate(shape)
    ]
    found: list[NDArray[np.float64]] = []
    same = pairs = 0
    for corner in np.ndindex(*(len(part) for part in parts)):
        block = array[tuple(part[at] for part, at in zip(parts, corner, strict=True))]
        mask = np.ma.getmask(block)
        block = np.asarray(block)
        values = np.array(np.abs(block) if block.dtype.kind == "c" else block, dtype=np.float64)
        if mask is not np.ma.nomask:
            values[mask] = np.nan
        for axis in spatial:
            ahead = np.moveaxis(values, axis, 0)[1:]
            behind = np.moveaxis(values, axis, 0)[:-1]
            inside = (ahead != 0) | (behind != 0)
            pairs += int(np.count_nonzero(inside))
            same += int(np.count_nonzero(inside & (ahead == behind)))
        found.append(values[np.isfinite(values)].ravel())
    sample = np.concatenate(found) if found else np.empty(0)
    return Survey(sample, same / pairs if pairs else 0.0)


def _parts(size: int, spatial: bool) -> list[slice]:
    if spatial:
        count, length = min(_BOXES, -(-size // _BOX)), min(_BOX, size)
    else:
        count, length = min(3, size), 1
    centres = [(place + 0.5) * size / count for place in range(count)]
    starts = [min(max(0, round(centre - length / 2)), size - length) for centre in centres]
    return [slice(start, start + length) for start in starts]
