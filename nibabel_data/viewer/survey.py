"""A sample of the values of an image: the window that shows them, and how alike they are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError

__all__ = ["Survey", "survey", "window_of"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .arrays import ArraySource

_ALL = 1 << 21  # voxels; an image no larger is looked at whole
_BOX = 16  # voxels along each edge of what is looked at otherwise
_BOXES = 6  # along each axis
_NEAR = 1 << 26  # bytes of a file that is looked at


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


def window_of(source: ArraySource) -> tuple[float, float] | None:
    """Return the values of an array that are shown as black and as white.

    Parameters
    ----------
    source : ArraySource
        Of which a sample is read if that is soon done: of memory, a memory map, a small file.

    Returns
    -------
    tuple of float or None
        None if it is not looked at, or the client's own choice is right.

    Examples
    --------
    >>> from nibabel_data.viewer.arrays import wrap
    >>> window_of(wrap(np.array([False, True])))
    (0.0, 1.0)
    """
    if source.dtype == np.bool_:
        return 0.0, 1.0
    if 0 in source.shape or source.dtype == np.uint8:
        return None
    if source.levels:
        source = source.levels[-1][1]
    if not _is_near(source):
        return None
    if source.dtype.kind not in "iufbc":
        return None
    spatial = [axis for axis, name in enumerate(source.names) if name[-1] not in "'^"][:3]
    with suppress(ViewerError):  # the page will say so
        return survey(source, spatial).window()
    return None


def _is_near(source: ArraySource) -> bool:
    """Return whether a sample is soon read: of memory, of a memory map, of a small file."""
    if source.in_memory or isinstance(source.original, np.memmap):
        return True
    library = type(source.original).__module__.partition(".")[0]
    return library in ("h5py", "zarr") and source.nbytes <= _NEAR
