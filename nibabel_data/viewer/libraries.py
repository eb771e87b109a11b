"""What the arrays of each library say of themselves: shape, type, axes, and how they are read.

None of the libraries is imported here: what an object is, is told by the name of its module.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    Array = np.ndarray[Any, np.dtype[Any]]
    Read = Callable[[tuple[slice, ...]], Any]

__all__ = ["Found", "describe", "type_name"]

_EVEN = 1e-4  # of a step: coordinates that differ less from even ones are taken as such


class Found:
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


def describe(array: Any) -> Found:
    """Return what an array of any library says of itself.

    Raises
    ------
    ViewerError
        If it is no array, or one that cannot be shown.
    """
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
            return Found(array.shape, _dtype(array), array.__getitem__)
        if isinstance(array, (list, tuple, int, float)):
            return _of_numpy(np.asarray(array))
    except ViewerError:
        raise
    except Exception as error:
        raise ViewerError(
            f"An array ({type_name(array)}) cannot be shown: {type(error).__name__}: {error}"
        ) from error
    raise ViewerError(
        f"{type_name(array)} is no array: something with shape, dtype and slices is needed."
    )


def type_name(array: object) -> str:
    """Return the library and the type of an object.

    Examples
    --------
    >>> type_name(np.zeros(2))
    'numpy.ndarray'
    """
    return f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"


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


def _of_numpy(array: Array) -> Found:
    plain = array if isinstance(array, np.ma.MaskedArray) else array.view(np.ndarray)
    found = Found(plain.shape, plain.dtype, plain.__getitem__)
    found.in_memory = not isinstance(array, np.memmap)
    return found


def _of_h5py(array: Any) -> Found:
    found = Found(array.shape, np.dtype(array.dtype), array.__getitem__)
    found.lock = _locks.of(str(array.file.filename))
    labels = tuple(str(dim.label) for dim in array.dims)
    if labels and all(labels):
        found.names = labels
    return found


def _of_zarr(array: Any) -> Found:
    found = Found(array.shape, np.dtype(array.dtype), array.__getitem__)
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # what xarray writes in version 2
    if names and all(isinstance(name, str) and name for name in names):
        found.names = tuple(names)
    return found


def _of_ome(group: Any) -> Found:
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


def _of_dask(array: Any) -> Found:
    if any(size != size for size in array.shape):
        raise ViewerError(
            "A dask array whose shape is not known cannot be shown: call compute_chunk_sizes()."
        )
    return Found(array.shape, np.dtype(array.dtype), array.__getitem__)


def _of_tensorstore(store: Any) -> Found:
    origin = tuple(int(n) for n in store.domain.origin)

    def read(index: tuple[slice, ...]) -> Any:
        moved = (
            slice(part.start + o, part.stop + o) for part, o in zip(index, origin, strict=True)
        )
        return store[tuple(moved)].read().result()

    found = Found(store.shape, np.dtype(store.dtype.numpy_dtype), read)
    if store.domain.labels and all(store.domain.labels):
        found.names = tuple(store.domain.labels)
    units = [unit if unit is not None else None for unit in store.dimension_units]
    found.units = tuple("" if unit is None else unit.base_unit for unit in units)
    found.scales = tuple(1.0 if unit is None else float(unit.multiplier) for unit in units)
    found.offset = tuple(map(float, origin))
    return found


def _of_xarray(array: Any) -> Found:
    if not hasattr(array, "dims") or not hasattr(array, "dtype"):
        raise ViewerError("An xarray Dataset has several variables: give one of them.")

    def read(index: tuple[slice, ...]) -> Any:
        return array[index].values

    found = Found(array.shape, np.dtype(array.dtype), read)
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


def _of_proxy(proxy: Any) -> Found:
    found = Found(proxy.shape, _dtype(proxy), proxy.__getitem__)
    found.order = "F"
    return found


def _of_image(image: Any) -> Found:
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
