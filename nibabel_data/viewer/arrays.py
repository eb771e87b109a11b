"""Anything with a shape, a type and slices, as an `ArraySource` in the client's order of axes.

The client's order has the axis first that is fastest in what is sent: x, y, z.  Arrays of most
libraries are ``(z, y, x)`` and are transposed, which copies nothing; those of nibabel are
``(x, y, z)`` as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import numpy as np

from ..errors import ViewerError
from .libraries import describe, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    Array = np.ndarray[Any, np.dtype[Any]]
    Read = Callable[[tuple[slice, ...]], Any]

__all__ = ["ArraySource", "wrap"]

_NAMES = {  # in the array's order, the slowest first
    1: ("x",),
    2: ("y", "x"),
    3: ("z", "y", "x"),
    4: ("c^", "z", "y", "x"),
    5: ("t", "c^", "z", "y", "x"),
}
_NAMES_F = ("x", "y", "z", "t", "u", "v", "w")  # as NIfTI has them


@final
class ArraySource:
    """An array of any library, read block by block.  Made by `wrap`.

    Attributes
    ----------
    shape : tuple of int
        In the client's order, the fastest axis first.
    dtype : numpy.dtype
        Of what `read` returns: of scaled voxels, not of what is stored.
    names, units : tuple of str
        Of each axis, as the array has them, or the customary ones.
    scales : tuple of float
        The step of each axis, in its unit.
    offset : tuple of float
        Where the first voxel begins, not its centre, in voxels.
    levels : tuple of (tuple of int, ArraySource)
        Coarser copies that came with the array, with the factors of each.
    in_memory : bool
        Whether reading costs no more than memory does.
    original : object
        What was wrapped.
    """

    __slots__ = (
        "_fields",
        "_flip",
        "_lock",
        "_order",
        "_read",
        "dtype",
        "in_memory",
        "levels",
        "names",
        "offset",
        "original",
        "scales",
        "shape",
        "units",
    )

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    names: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[float, ...]
    offset: tuple[float, ...]
    levels: tuple[tuple[tuple[int, ...], ArraySource], ...]
    in_memory: bool
    original: object
    _fields: int
    _flip: tuple[bool, ...]
    _lock: AbstractContextManager[Any]
    _order: str
    _read: Read

    @property
    def nbytes(self) -> int:
        """The size of all voxels, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        """Return the voxels of a box, as `read` does: a slice of each axis, with both its ends."""
        return self.read([side.start for side in box], [side.stop for side in box])

    def read(self, begin: Sequence[int], end: Sequence[int]) -> Array:
        """Return the voxels of a box.

        Parameters
        ----------
        begin, end : sequence of int
            The box, in voxels; `end` is outside.

        Returns
        -------
        numpy.ndarray
            In the client's order of axes, of any strides; perhaps a view of the array.  Where it is
            masked there is NaN, or 0 if it is of integers.

        Raises
        ------
        ViewerError
            If the box is not in the array; and whatever goes wrong in the array, as its cause.

        Examples
        --------
        >>> wrap(np.arange(6).reshape(2, 3)).read((1, 0), (3, 2)).tolist()
        [[1, 4], [2, 5]]
        """
        low, high = tuple(map(int, begin)), tuple(map(int, end))
        if not len(low) == len(high) == len(self.shape) or not all(
            0 <= a <= b <= size for a, b, size in zip(low, high, self.shape, strict=True)
        ):
            raise ViewerError(f"The box from {low} to {high} is not in an array of {self.shape}.")
        fields = self._fields
        rank = len(self.shape) - (fields > 0)
        where = [
            slice(size - b, size - a) if flip else slice(a, b)
            for a, b, size, flip in zip(low, high, self.shape, self._flip, strict=True)
        ]
        index = tuple(where[:rank]) if self._order == "F" else tuple(where[:rank][::-1])
        try:
            with self._lock:
                block = self._read(index)
            array = _plain(block, self.dtype)
        except Exception as error:
            raise ViewerError(
                f"An array ({type_name(self.original)}) could not be read: "
                f"{type(error).__name__}: {error}"
            ) from error
        expected = tuple(part.stop - part.start for part in index)
        if fields:
            array = array[..., where[rank]]
            expected = (*expected, high[rank] - low[rank])
        if array.shape != expected:
            raise ViewerError(
                f"An array ({type_name(self.original)}) gave {array.shape} voxels "
                f"where {expected} were asked for."
            )
        if self._order != "F":
            axes = list(range(rank))[::-1] + ([rank] if fields else [])
            array = array.transpose(axes)
        if any(self._flip):
            array = np.flip(array, tuple(i for i, flip in enumerate(self._flip) if flip))
        return array

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return f"<ArraySource of {type_name(self.original)}: {size} {self.dtype.name}>"


def wrap(
    array: object,
    names: Sequence[str] | None = None,
    *,
    units: Sequence[str] | str | None = None,
    scales: Sequence[float] | float | None = None,
    offset: Sequence[float] | None = None,
    order: str | None = None,
) -> ArraySource:
    """Return an array of any library as the viewer reads it.

    Parameters
    ----------
    array : object
        NumPy's, masked, a memory map; of h5py, zarr (also a group of OME-Zarr, with its scales),
        dask, tensorstore, xarray; an image of nibabel or its ``dataobj``; or anything with a shape,
        a type and slices.
    names : sequence of str, optional
        Of the axes, in the order of the array.
    units : str or sequence of str, optional
        Of each axis, in the order of the array; or one for all of space.
    scales : float or sequence of float, optional
        The step of each axis, in its unit; or one for all of space.
    offset : sequence of float, optional
        Where the first voxel begins, in voxels.
    order : {'C', 'F'}, optional
        Whether the last axis of the array is x, or the first.  By default the first is in images of
        nibabel, and where the names say so.

    Returns
    -------
    ArraySource
        The array itself if it is one.  Nothing is read but, of some, one voxel.

    Raises
    ------
    ViewerError
        If it is no array, or what is said of its axes does not fit it.

    Examples
    --------
    >>> source = wrap(np.zeros((2, 3, 4)), units='mm', scales=[3, 1, 1])
    >>> source.shape, source.names, source.scales
    ((4, 3, 2), ('x', 'y', 'z'), (1.0, 1.0, 3.0))
    """
    if isinstance(array, ArraySource):
        return array
    found = describe(array)
    rank = len(found.shape)
    if rank == 0:
        raise ViewerError("A single number has no axes: an array of at least one is needed.")
    names = tuple(names or found.names or ())
    if order is None:
        order = found.order or ("F" if names and _x_is_first(names) else "C")
    if order not in ("C", "F"):
        raise ViewerError(f"The order of axes is C or F, not {order!r}.")
    names = names or _customary(rank, order)
    space = [name in ("x", "y", "z") for name in names]
    given = (
        names,
        _each(units, space, "", found.units or ("",) * rank),
        tuple(map(float, _each(scales, space, 1.0, found.scales or (1.0,) * rank))),
        tuple(map(float, offset or found.offset or (0.0,) * rank)),
        found.flip or (False,) * rank,
    )
    for told, what in zip(given, ("names", "units", "scales", "offsets", "flips"), strict=True):
        if len(told) != rank:
            raise ViewerError(f"An array of {rank} axes has {len(told)} {what}: {told}.")
    source = ArraySource()
    source.original = array
    source._read, source._lock, source._order = found.read, found.lock, order
    source.in_memory = found.in_memory
    back = -1 if order == "C" else 1
    source.shape = found.shape[::back]
    source.names, source.units = given[0][::back], given[1][::back]
    source.scales, source.offset = given[2][::back], given[3][::back]
    source._flip = given[4][::back]
    source.dtype, source._fields = _numbers(found.dtype)
    if source._fields:
        source.shape += (source._fields,)
        source.names += (next(c for c in ("c^", "field^", "d^") if c not in source.names),)
        source.units += ("",)
        source.scales += (1.0,)
        source.offset += (0.0,)
        source._flip += (False,)
    source.levels = tuple(
        (factors[::back], wrap(level, names, order=order)) for factors, level in found.levels
    )
    return source


def _numbers(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], int]:
    """Return the type of a channel and how many there are, 0 for a type without fields."""
    if dtype.names is None:
        return dtype, 0
    types = [dtype[name] for name in dtype.names]
    if not types or any(part.kind not in "biuf" for part in types):
        raise ViewerError(
            f"Voxels with the fields {', '.join(dtype.names)} cannot be shown: "
            "channels are numbers."
        )
    return np.result_type(*types), len(types)


def _plain(block: Any, dtype: np.dtype[Any]) -> Array:
    """Return what was read as an array of numbers, filled where it is masked, fields at the end."""
    if isinstance(block, np.ma.MaskedArray):
        fill: Any = np.nan if block.dtype.kind in "fc" else 0
        block = block.filled(np.zeros(1, block.dtype)[0] if block.dtype.names else fill)
    array = np.asarray(block)
    if array.dtype.names is not None:
        return np.stack([array[name] for name in array.dtype.names], axis=-1, dtype=dtype)
    return array if array.dtype == dtype else array.astype(dtype)


def _each(
    given: Any, space: Sequence[bool], other: Any, default: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return one for each axis of what is given for each, or for all of space, or not at all."""
    if given is None:
        return default
    if isinstance(given, (str, int, float)):
        return tuple(given if one else other for one in space)
    return tuple(given)


def _x_is_first(names: tuple[str, ...]) -> bool:
    return "x" in names and any(
        names.index("x") < names.index(one) for one in ("y", "z") if one in names
    )


def _customary(rank: int, order: str) -> tuple[str, ...]:
    names = _NAMES_F[:rank] if order == "F" else _NAMES.get(rank)
    if names is None or len(names) != rank:
        raise ViewerError(f"An array of {rank} axes needs names for them: wrap(array, names=...).")
    return names
