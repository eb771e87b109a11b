"""What a path names, opened for reading: images, zarr and OME-Zarr, HDF5, NumPy's files.

Nothing is imported but the library of that format.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ..errors import MissingFileError, ViewerError
from .stores import ABOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["is_array", "is_zarr", "open_data", "signature"]

_HDF5 = (".h5", ".hdf5", ".hdf", ".he5", ".nwb", ".ims")
_IN_HDF5 = re.compile(rf"(.+(?:{'|'.join(map(re.escape, _HDF5))})):/*(.+)", re.IGNORECASE)
_ZARR = ("zarr.json", ".zarray", ".zgroup")
_SHOWN = 12  # names in a message


def open_data(path: str | os.PathLike[str]) -> object:
    """Return the array that a path names; an image that nibabel reads is returned as its path.

    Parameters
    ----------
    path : str or os.PathLike
        ``image.nii.gz``; ``volume.npy``; ``file.h5:/dataset``, or ``file.h5`` if it has one; a
        directory or a URL of zarr, of an array or a group that is OME-Zarr.

    Returns
    -------
    object
        For `wrap`, or for `open_image`.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it cannot be read, or has several arrays.
    """
    text = os.fspath(path)
    inside = _IN_HDF5.fullmatch(text)
    if inside is not None and not os.path.exists(text):
        return _of_hdf5(inside[1], inside[2])
    if "://" in text or is_zarr(text):
        return _of_zarr(text)
    if not os.path.exists(text):
        raise MissingFileError(f"no such file: {text}", text)
    if text.lower().endswith(_HDF5):
        return _of_hdf5(text, None)
    if text.lower().endswith(".npy"):
        import numpy

        try:
            return numpy.load(text, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise ViewerError(f"{text} cannot be read: {error}") from error
    if os.path.isdir(text):
        raise ViewerError(
            f"{text} is a directory without {', '.join(_ZARR)}: name an image, or a zarr array."
        )
    return text


def is_array(path: str) -> bool:
    """Return whether a path names an array, rather than an image."""
    known = path.lower().endswith((*_HDF5, ".npy")) or _IN_HDF5.fullmatch(path) is not None
    return known or (is_zarr(path) and not os.path.exists(os.path.join(path, ABOUT)))


def is_zarr(path: str) -> bool:
    """Return whether a directory is an array or a group of zarr."""
    return os.path.isdir(path) and any(os.path.exists(os.path.join(path, n)) for n in _ZARR)


def signature(path: str | os.PathLike[str]) -> list[object]:
    """Return what tells one state of a file from another, as JSON: its size and date.

    Of a zarr directory the metadata are looked at: its chunks are too many.
    """
    text = os.fspath(path)
    inside = _IN_HDF5.fullmatch(text)
    if inside is not None and not os.path.exists(text):
        return [*signature(inside[1]), inside[2].strip("/")]
    if os.path.isfile(text):
        known = os.stat(text)
        return [known.st_size, known.st_mtime_ns]
    found = []
    for name in (*_ZARR, ".zattrs"):
        if os.path.isfile(os.path.join(text, name)):
            with open(os.path.join(text, name), encoding="utf-8") as file:
                found.append(file.read())
    return [*found]


def _of_zarr(path: str) -> object:
    try:
        import zarr
    except ImportError:
        raise ViewerError(f"{path} needs zarr: pip install zarr") from None
    try:
        opened: Any = zarr.open(path, mode="r")
    except Exception as error:  # of damaged metadata anything may come
        raise ViewerError(f"{path} cannot be opened as zarr: {error}") from error
    if hasattr(opened, "dtype"):
        return opened
    attributes = dict(opened.attrs)
    if attributes.get("ome", attributes).get("multiscales"):
        return opened
    names = sorted(name for name, one in opened.members() if hasattr(one, "dtype"))
    raise _several(path, "/", names)


def _of_hdf5(path: str, dataset: str | None) -> object:
    if not os.path.exists(path):
        raise MissingFileError(f"no such file: {path}", path)
    try:
        import h5py
    except ImportError:
        raise ViewerError(f"{path} needs h5py: pip install h5py") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ViewerError(f"{path} cannot be read as HDF5: {error}") from error
    names: list[str] = []
    if dataset is not None:
        found = file.get(dataset)
        if isinstance(found, h5py.Dataset):
            return found

    def note(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and len(one.shape) >= 2:
            names.append(name)

    file.visititems(note)
    if dataset is None and len(names) == 1:
        return file[names[0]]
    file.close()
    if dataset is not None:
        raise ViewerError(f"{path} has no array {dataset!r}, but: {_listed(names)}")
    raise _several(path, ":/", names)


def _several(path: str, between: str, names: Sequence[str]) -> ViewerError:
    if not names:
        return ViewerError(f"{path} has no array.")
    return ViewerError(
        f"{path} has {len(names)} arrays: {_listed(names)}\n"
        f"Name one of them:  {path}{between}{names[0]}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") or "none"
