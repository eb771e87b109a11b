"""The voxels of an image of nibabel as an array: read and scaled as slices of them are asked for.

The voxels of an uncompressed file are mapped, those of a compressed one are read once, unscaled,
when the first of them is asked for; a scale factor is applied to what is sent.
"""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError

__all__ = ["Voxels", "reader", "scaling", "stored_dtype"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Reader = Callable[[], Any]

_COMPRESSED = (".gz", ".bz2", ".zst", ".mgz")
_READ_ERRORS = (OSError, ValueError, EOFError, OverflowError, zlib.error, MemoryError)


class Voxels:
    """The voxels of an image as an array: slices of it are read and scaled when asked for.

    Parameters
    ----------
    read : callable
        Returns what has ``shape``, ``dtype`` and slicing; called once, for the first slice.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its dtype, before scaling.
    slope, inter : float, optional
        By what values are multiplied, and what is then added.
    keep : tuple of int, optional
        The axes that are kept; the others have one voxel.
    labels : bool, optional
        Whether they may be labels: scaled by whole numbers they are then float64, in which each is
        what it is.
    path : str, optional
        Of the file, for messages.

    Attributes
    ----------
    shape : tuple of int
        Of the axes that are kept; at least three.  Colours are a last axis.
    dtype : numpy.dtype
        float32 (or float64, of labels) if there is a scale factor, else the stored one.
    """

    __slots__ = (
        "_content",
        "_fields",
        "_inter",
        "_keep",
        "_lock",
        "_of",
        "_pad",
        "_read",
        "_slope",
        "dtype",
        "shape",
    )

    def __init__(
        self,
        read: Reader,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        slope: float = 1.0,
        inter: float = 0.0,
        keep: Sequence[int] | None = None,
        *,
        labels: bool = False,
        path: str = "",
    ) -> None:
        self._of = path or "the image"
        self._read: Reader | None = read
        self._content: Any = None
        self._lock = threading.Lock()
        self._slope = slope
        self._inter = inter
        self._fields = dtype.names
        self._keep = tuple(range(len(shape))) if keep is None else tuple(keep)
        self._pad = max(0, 3 - len(self._keep))
        kept = tuple(int(shape[axis]) for axis in self._keep) + (1,) * self._pad
        if dtype.names:
            kept += (len(dtype.names),)
            dtype = np.result_type(*(dtype[name] for name in dtype.names))
        self.shape: tuple[int, ...] = kept
        if self._scaled():
            exact = labels and float(slope).is_integer() and float(inter).is_integer()
            real = np.float64 if exact else np.float32
            dtype = np.dtype(np.complex64 if dtype.kind == "c" else real)
        self.dtype: np.dtype[Any] = dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it."""
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a part, read and scaled.

        Parameters
        ----------
        index : slice, int, Ellipsis, or a tuple of them
            As for an array; steps too.

        Raises
        ------
        ViewerError
            If the file cannot be read to its end.
        """
        index = self._whole_index(index)
        if 0 in self.shape:
            return np.asarray(np.empty(self.shape, self.dtype)[index])
        spatial = index[: self.ndim - 1] if self._fields else index
        stored = spatial[: len(self._keep)]
        asked = [0] * (max(self._keep, default=-1) + 1)
        for axis, part in zip(self._keep, stored, strict=True):
            asked[axis] = part
        content = self._loaded()
        asked += [0] * (len(content.shape) - len(asked))
        try:
            block = np.asarray(content[tuple(asked)])
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error
        for part in spatial[len(self._keep) :]:
            block = block[..., None][(..., part)]
        if self._fields:
            block = np.stack([block[name] for name in self._fields], axis=-1)[(..., index[-1])]
        with np.errstate(over="ignore", invalid="ignore"):
            if self._scaled():
                block = block * self._slope + self._inter
            return block.astype(self.dtype, copy=False)

    def _scaled(self) -> bool:
        return (self._slope, self._inter) != (1.0, 0.0)

    def _whole_index(self, index: Any) -> tuple[Any, ...]:
        parts = list(index) if isinstance(index, tuple) else [index]
        missing = self.ndim - sum(part is not Ellipsis for part in parts)
        if missing < 0:
            raise IndexError(f"{len(parts)} indices for {self.ndim} axes")
        if any(part is Ellipsis for part in parts):
            at = next(place for place, part in enumerate(parts) if part is Ellipsis)
            parts[at : at + 1] = [slice(None)] * missing
        else:
            parts += [slice(None)] * missing
        return tuple(parts)

    def _unreadable(self, error: Exception) -> ViewerError:
        return ViewerError(f"the voxels of {self._of} cannot be read: {error}")

    def _loaded(self) -> Any:
        with self._lock:
            if self._read is not None:
                try:
                    self._content = self._read()
                except _READ_ERRORS as error:
                    raise self._unreadable(error) from error
                self._read = None
            return self._content


def scaling(dataobj: Any) -> tuple[float, float]:
    """Return by what the voxels that `reader` reads are multiplied, and what is then added."""
    if not _plain(dataobj):
        return 1.0, 0.0
    return float(dataobj.slope), float(dataobj.inter)


def stored_dtype(dataobj: Any) -> np.dtype[Any]:
    """Return the dtype of the voxels that `reader` reads."""
    if _plain(dataobj) or not _is_proxy(dataobj):
        stored: np.dtype[Any] = np.dtype(dataobj.dtype)
        return stored
    return np.dtype(np.float64)  # scaled by nibabel, in a way of the format's own


def reader(dataobj: Any, path: str) -> Reader:
    """Return what reads the voxels of an image, unscaled where there is one factor for all."""
    if _plain(dataobj):
        read: Reader = dataobj.get_unscaled  # mapped, unless it is compressed
        return read
    if _is_proxy(dataobj) and path.lower().endswith(_COMPRESSED):
        return lambda: np.asanyarray(dataobj)
    return lambda: dataobj


def _is_proxy(dataobj: Any) -> bool:
    return bool(getattr(dataobj, "is_proxy", False))


def _plain(dataobj: Any) -> bool:
    """Return whether values are stored as they are, but for one slope and intercept."""
    from nibabel.arrayproxy import ArrayProxy

    return type(dataobj) is ArrayProxy
