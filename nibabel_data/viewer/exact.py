"""Whether the numbers of an array stay as they are when they are converted for the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ViewerError
from .arrays import wrap
from .downsample import boxes
from .dtypes import convert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .arrays import ArraySource
    from .dtypes import Shown

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["is_exact", "whole_labels"]

_LABELS = 1 << 30  # bytes that are looked at for whether they are labels
_BOX = 1 << 23  # bytes that are looked at at a time


def _blocks(source: ArraySource) -> Iterator[Array]:
    """Yield all voxels, some at a time."""
    if 0 in source.shape:
        return
    rank = len(source.shape)
    for box in boxes(source.shape[::-1], (1,) * rank, source.dtype.itemsize, _BOX):
        yield source[box[::-1]]


def is_exact(source: ArraySource, shown: Shown) -> bool:
    """Return whether all numbers of an array are the same when they are converted.

    Parameters
    ----------
    source : ArraySource
        All of it is read, up to the first number that is not.
    shown : Shown
        From `client_dtype`.

    Raises
    ------
    ViewerError
        If the array cannot be read.

    Examples
    --------
    >>> from nibabel_data.viewer.dtypes import client_dtype
    >>> shown = client_dtype('float64')
    >>> is_exact(wrap(np.array([0.5, np.nan])), shown), is_exact(wrap(np.array([0.1])), shown)
    (True, False)
    """
    for block in _blocks(source):
        with np.errstate(all="ignore"):
            back = convert(block, shown).astype(block.dtype)
        if not ((back == block) | (block != block)).all():
            return False
    return True


class _Labels:
    """Labels that are kept as floating-point numbers, as the integers that they are."""

    __slots__ = ("_source", "dtype", "shape")

    def __init__(self, source: ArraySource, dtype: str) -> None:
        self._source = source
        self.shape = source.shape
        self.dtype = np.dtype(dtype)

    def __getitem__(self, index: tuple[slice, ...]) -> Array:
        block = self._source[index]
        with np.errstate(all="ignore"):
            return block.astype(self.dtype)


def whole_labels(source: ArraySource) -> ArraySource:
    """Return labels that are kept as floating-point numbers, as integers.

    Parameters
    ----------
    source : ArraySource
        Of floating-point numbers: all of it is read.

    Returns
    -------
    ArraySource
        Of uint32, int32 or uint64, the first that has room.  The source itself if it has more than
        1 GiB, and is not looked at.

    Raises
    ------
    ViewerError
        If a number is not whole, or no type has room for them; or the array cannot be read.

    Examples
    --------
    >>> whole_labels(wrap(np.array([0., 3., 7.]))).dtype
    dtype('uint32')
    """
    if source.nbytes > _LABELS:
        return source  # too many to be looked at: it is said that they are to be converted
    low, high = 0, 0
    for block in _blocks(source):
        rounded = np.rint(block)
        if not (rounded == block).all() or np.isinf(block).any():
            wrong = block[(rounded != block) | np.isinf(block)][0]
            raise ViewerError(
                f"Segments are named by whole numbers, and there is a voxel of {wrong}: round "
                "them, for example with numpy.rint(array).astype('uint32'), or show an image."
            )
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    for dtype in ("uint32", "int32", "uint64"):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            break
    else:
        raise ViewerError(
            f"Segments are numbered from 0 to 2**64 - 1, or in 32 bits with a sign, and these are "
            f"from {low} to {high}: number them anew, or show an image."
        )
    labels = wrap(
        _Labels(source, dtype), source.names, units=source.units, scales=source.scales, order="F"
    )
    labels.offset = source.offset
    labels.levels = source.levels
    labels.in_memory = source.in_memory
    labels.original = source.original
    return labels
