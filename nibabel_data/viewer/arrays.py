"""Anything with a shape, a type and slices, as an `ArraySource` in the client's order of axes.

The client's order has the axis first that is fastest in what is sent: x, y, z.  Arrays of most
libraries are ``(z, y, x)`` and are transposed, which copies nothing; those of nibabel are
``(x, y, z)`` as they are.

None of the libraries is imported here: what an object is, is told by the name of its module.
"""

from __future__ import annotations

import math
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, final
from weakref import WeakValueDictionary

import numpy as np

from ..errors import ViewerError

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
_EVEN = 1e-4  # of a step: coordinates that differ less from even ones are taken as such


class _Locks:
    """One lock for each file that must be read by one thread at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    def of(self, name: str) -> _Lock:
        with self._guard:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = _Lock()
            return lock


class _Lock:
    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_locks = _Locks()


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
                f"An array ({_kind(self.original)}) could not be read: "
                f"{type(error).__name__}: {error}"
            ) from error
        expected = tuple(part.stop - part.start for part in index)
        if fields:
            array = array[..., where[rank]]
            expected = (*expected, high[rank] - low[rank])
        if array.shape != expected:
            raise ViewerError(
                f"An array ({_kind(self.original)}) gave {array.shape} voxels "
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
        return f"<ArraySource of {_kind(self.original)}: {size} {self.dtype.name}>"


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
    found = _describe(array)
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


class _Found:
    """What an array says of itself, in its own order of axes."""

    __slots__ = (
        *("dtype", "flip", "in_memory", "levels", "lock", "names", "offset"),
        *("order", "read", "scales", "shape", "units"),
    )

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], read: Read) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = dtype
        self.read = read
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.in_memory = False
        self.order: str | None = None
        self.names: tuple[str, ...] | None = None
        self.units: tuple[str, ...] | None = None
        self.scales: tuple[float, ...] | None = None
        self.offset: tuple[float, ...] | None = None
        self.flip: tuple[bool, ...] | None = None
        self.levels: list[tuple[tuple[int, ...], object]] = []


def _describe(array: Any) -> _Found:
    if isinstance(array, np.ndarray):
        return _of_numpy(array)
    library = type(array).__module__.partition(".")[0]
    try:
        if library == "zarr" and not hasattr(array, "dtype"):
            return _of_ome(array)
        if library == "nibabel" and hasattr(array, "dataobj"):
            return _of_image(array)
        describe = _LIBRARIES.get(library)
        if describe is not None and hasattr(array, "shape"):
            return describe(array)
        if hasattr(array, "shape") and hasattr(array, "__getitem__"):
            return _Found(array.shape, _dtype(array), array.__getitem__)
        if isinstance(array, (list, tuple, int, float)):
            return _of_numpy(np.asarray(array))
    except ViewerError:
        raise
    except Exception as error:
        raise ViewerError(
            f"An array ({_kind(array)}) cannot be shown: {type(error).__name__}: {error}"
        ) from error
    raise ViewerError(
        f"{_kind(array)} is no array: something with shape, dtype and slices is needed."
    )


def _of_numpy(array: Array) -> _Found:
    plain = array if isinstance(array, np.ma.MaskedArray) else array.view(np.ndarray)
    found = _Found(plain.shape, plain.dtype, plain.__getitem__)
    found.in_memory = not isinstance(array, np.memmap)
    return found


def _of_h5py(array: Any) -> _Found:
    found = _Found(array.shape, np.dtype(array.dtype), array.__getitem__)
    found.lock = _locks.of(str(array.file.filename))
    labels = tuple(str(dim.label) for dim in array.dims)
    if labels and all(labels):
        found.names = labels
    return found


def _of_zarr(array: Any) -> _Found:
    found = _Found(array.shape, np.dtype(array.dtype), array.__getitem__)
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # what xarray writes in version 2
    if names and all(isinstance(name, str) and name for name in names):
        found.names = tuple(names)
    return found


def _of_ome(group: Any) -> _Found:
    """Describe a group of OME-Zarr (https://ngff.openmicroscopy.org, 0.4 and 0.5)."""
    attributes = dict(group.attrs)
    several = attributes.get("ome", attributes).get("multiscales")
    if not several:
        raise ViewerError("A zarr group is no array, and has no multiscales as OME-Zarr has.")
    image = several[0]
    arrays = [group[dataset["path"]] for dataset in image["datasets"]]
    found = _of_zarr(arrays[0])
    rank = len(found.shape)
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", [])]
    if len(axes) == rank:
        found.names = tuple(
            f"{axis['name']}^" if axis.get("type") == "channel" else axis["name"] for axis in axes
        )
        found.units = tuple(axis.get("unit") or "" for axis in axes)
    overall = image.get("coordinateTransformations", [])
    steps = [
        _ome_step([*d.get("coordinateTransformations", []), *overall], rank)
        for d in image["datasets"]
    ]
    scale, translation = steps[0]
    found.scales = tuple(scale)
    # A translation is that of the centre of the first voxel.
    found.offset = tuple(t / s - 0.5 if t else 0.0 for s, t in zip(scale, translation, strict=True))
    for array, (coarse, _) in zip(arrays[1:], steps[1:], strict=True):
        factors = tuple(max(1, round(c / s)) for c, s in zip(coarse, scale, strict=True))
        sizes = zip(found.shape, array.shape, factors, strict=True)
        if all(small in (-(-size // f), max(1, size // f)) for size, small, f in sizes):
            found.levels.append((factors, array))
    return found


def _ome_step(transformations: list[dict[str, Any]], rank: int) -> tuple[list[float], list[float]]:
    scale, translation = [1.0] * rank, [0.0] * rank
    for one in transformations:
        if one["type"] == "scale":
            scale = [a * b for a, b in zip(scale, one["scale"], strict=True)]
            translation = [a * b for a, b in zip(translation, one["scale"], strict=True)]
        elif one["type"] == "translation":
            translation = [a + b for a, b in zip(translation, one["translation"], strict=True)]
    return scale, translation


def _of_dask(array: Any) -> _Found:
    if any(size != size for size in array.shape):
        raise ViewerError(
            "A dask array whose shape is not known cannot be shown: call compute_chunk_sizes()."
        )
    return _Found(array.shape, np.dtype(array.dtype), array.__getitem__)


def _of_tensorstore(store: Any) -> _Found:
    origin = tuple(int(n) for n in store.domain.origin)

    def read(index: tuple[slice, ...]) -> Any:
        moved = (
            slice(part.start + o, part.stop + o) for part, o in zip(index, origin, strict=True)
        )
        return store[tuple(moved)].read().result()

    found = _Found(store.shape, np.dtype(store.dtype.numpy_dtype), read)
    if store.domain.labels and all(store.domain.labels):
        found.names = tuple(store.domain.labels)
    units = [unit if unit is not None else None for unit in store.dimension_units]
    found.units = tuple("" if unit is None else unit.base_unit for unit in units)
    found.scales = tuple(1.0 if unit is None else float(unit.multiplier) for unit in units)
    found.offset = tuple(map(float, origin))
    return found


def _of_xarray(array: Any) -> _Found:
    if not hasattr(array, "dims") or not hasattr(array, "dtype"):
        raise ViewerError("An xarray Dataset has several variables: give one of them.")

    def read(index: tuple[slice, ...]) -> Any:
        return array[index].values

    found = _Found(array.shape, np.dtype(array.dtype), read)
    found.in_memory = isinstance(array.variable._data, np.ndarray)
    names = [str(dim) for dim in array.dims]
    found.names = tuple(f"{name}^" if name in ("c", "channel") else name for name in names)
    axes = [_of_coordinate(array.coords.get(dim)) for dim in array.dims]
    found.scales = tuple(axis[0] for axis in axes)
    found.units = tuple(axis[1] for axis in axes)
    found.offset = tuple(axis[2] for axis in axes)
    found.flip = tuple(axis[3] for axis in axes)
    return found


def _of_coordinate(coordinate: Any) -> tuple[float, str, float, bool]:
    """Return step, unit, offset and whether it descends, of coordinates of centres of voxels."""
    none = (1.0, "", 0.0, False)
    if coordinate is None or coordinate.ndim != 1:
        return none
    values = np.asarray(coordinate.values)
    unit = str(coordinate.attrs.get("units", ""))
    if values.dtype.kind in "mM":
        values, unit = (values - values[:1]) / np.timedelta64(1, "s"), "s"
    if values.dtype.kind not in "iuf" or not values.size or not np.isfinite(values).all():
        return none
    values = values.astype("f8")
    flip = values.size > 1 and values[-1] < values[0]
    if flip:
        values = values[::-1]
    step = (values[-1] - values[0]) / (values.size - 1) if values.size > 1 else 1.0
    if step <= 0 or (abs(np.diff(values) - step) > _EVEN * step).any():
        return none  # uneven: they are shown one by one
    return float(step), unit, float(values[0] / step - 0.5), bool(flip)


def _of_proxy(proxy: Any) -> _Found:
    found = _Found(proxy.shape, _dtype(proxy), proxy.__getitem__)
    found.order = "F"
    return found


def _of_image(image: Any) -> _Found:
    proxy = image.dataobj
    found = _of_numpy(proxy) if isinstance(proxy, np.ndarray) else _of_proxy(proxy)
    found.order = "F"
    rank = len(found.shape)
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:rank]]
    zooms += [1.0] * (rank - len(zooms))
    found.scales = tuple(zoom if zoom > 0 else 1.0 for zoom in zooms)
    space, time = "mm", "sec"
    if hasattr(image.header, "get_xyzt_units"):
        told_space, told_time = image.header.get_xyzt_units()
        space = told_space if told_space != "unknown" else space
        time = told_time if told_time != "unknown" else time
    found.units = tuple(([space] * 3 + [time] + [""] * rank)[:rank])
    return found


_LIBRARIES = {
    "dask": _of_dask,
    "h5py": _of_h5py,
    "nibabel": _of_proxy,
    "tensorstore": _of_tensorstore,
    "xarray": _of_xarray,
    "zarr": _of_zarr,
}


def _dtype(array: Any) -> np.dtype[Any]:
    """Return the type of what is read, which is not always what the array says."""
    shape = tuple(array.shape)
    if shape and 0 not in shape:
        voxel: Array = np.asanyarray(array[(slice(0, 1),) * len(shape)])
        return voxel.dtype
    said: np.dtype[Any] = np.dtype(array.dtype)
    return said


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


def _kind(array: object) -> str:
    return f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"
