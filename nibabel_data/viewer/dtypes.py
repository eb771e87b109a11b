"""What the client can show of each type of voxel, and the bytes that it is sent.

The client takes integers of 8 to 32 bits, unsigned ones of 64, and floating-point numbers of 32;
little-endian, the first axis fastest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ViewerError

if TYPE_CHECKING:
    from typing import Any

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["CLIENT_DTYPES", "Shown", "client_dtype", "convert", "to_bytes"]

CLIENT_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float32")
"""The names of the types that the client takes."""

_LINE = 64  # bytes of a line of the processor's cache


class Shown(NamedTuple):
    """How voxels of one type are shown.

    Attributes
    ----------
    dtype : numpy.dtype
        One that the client takes, in the byte order of this machine.
    exact : bool
        Whether each number is shown as it is.
    remark : str
        What a person should know about the conversion; empty if nothing.
    """

    dtype: np.dtype[Any]
    exact: bool
    remark: str


def client_dtype(
    dtype: np.dtype[Any] | type | str,
    *,
    labels: bool = False,
    bounds: tuple[int, int] | None = None,
) -> Shown:
    """Return how voxels of a type are shown.

    Parameters
    ----------
    dtype : numpy.dtype or what makes one
        The type of the voxels.
    labels : bool
        Whether they name segments, rather than measure.
    bounds : (int, int), optional
        The least and the greatest of them, if they are known: only int64 depends on it.

    Returns
    -------
    Shown
        The type that the client is told, whether it is exact, and a remark.

    Raises
    ------
    ViewerError
        If there is no way to show it.

    Examples
    --------
    >>> client_dtype('>i2')
    Shown(dtype=dtype('int16'), exact=True, remark='')
    >>> client_dtype('int64', bounds=(-3, 70_000)).dtype
    dtype('int32')
    >>> print(client_dtype('float64').remark)
    float64 is shown as float32, with about 7 digits.
    """
    given = np.dtype(dtype)
    name = given.name
    kind: str = given.kind
    if kind == "V":
        name = _extended(given)
        kind = "f" if name == "float32" else name[0]
    if kind == "b":
        return _exact("uint8")
    if labels and kind in "fc":
        raise ViewerError(
            f"Segments are named by whole numbers, and these are {given.name}: convert them, "
            "for example with .astype('uint32'), or show an image."
        )
    if name in CLIENT_DTYPES:
        return _exact(name)
    if name == "int64":
        return _of_int64(labels, bounds)
    if name == "float16":
        return _exact("float32")
    shown = np.dtype("float32")
    if kind == "f":
        return Shown(shown, False, f"{given.name} is shown as float32, with about 7 digits.")
    if kind == "c":
        return Shown(shown, False, f"Of {given.name}, the magnitude is shown, as float32.")
    raise _refusal(given)


def _exact(name: str) -> Shown:
    return Shown(np.dtype(name), True, "")


def _of_int64(labels: bool, bounds: tuple[int, int] | None) -> Shown:
    if labels:
        if bounds is not None and bounds[0] >= 0:
            return _exact("uint64")
        told = "" if bounds is None else "A negative label n is shown as 2**64 + n."
        return Shown(np.dtype("uint64"), bounds is None, told)
    if bounds is not None:
        for name in ("int32", "uint32"):
            limits = np.iinfo(name)
            if limits.min <= bounds[0] and bounds[1] <= limits.max:
                return _exact(name)
        if bounds[0] >= 0:
            return _exact("uint64")
    return Shown(
        np.dtype("float32"),
        False,
        "int64 is shown as float32: whole numbers beyond 2**24 are rounded.",
    )


def _extended(dtype: np.dtype[Any]) -> str:
    """Return the type in which the client takes one of the package ml_dtypes."""
    if dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        for stem, name in (("int", "int8"), ("uint", "uint8")):
            if dtype.name.startswith(stem):
                return name
        if not dtype.name.startswith("complex"):
            return "float32"
    raise _refusal(dtype)


def _refusal(dtype: np.dtype[Any]) -> ViewerError:
    if dtype.kind in "mM":
        return ViewerError(
            f"Times ({dtype.name}) cannot be shown: subtract a beginning, divide by a unit, as in "
            "(times - times.min()) / numpy.timedelta64(1, 's'), and show the numbers."
        )
    if dtype.kind in "SUTO":
        return ViewerError(
            f"Voxels of type {dtype.name} are texts or objects: only numbers can be shown."
        )
    fields = f" (its fields are {', '.join(dtype.names)})" if dtype.names else ""
    return ViewerError(f"Voxels of type {dtype.name} cannot be shown{fields}: only numbers can be.")


def convert(block: Array, shown: Shown) -> Array:
    """Return voxels in the type that the client was told.

    Parameters
    ----------
    block : numpy.ndarray
        Voxels of the type for which `shown` was made.
    shown : Shown
        From `client_dtype`.

    Returns
    -------
    numpy.ndarray
        The block itself if nothing is to be done.  An integer that does not fit becomes the nearest
        that does, but labels are taken modulo 2**64.

    Examples
    --------
    >>> convert(np.array([True, False]), client_dtype('bool'))
    array([1, 0], dtype=uint8)
    >>> convert(np.array([3 + 4j]), client_dtype('complex128'))
    array([5.], dtype=float32)
    """
    if block.dtype == shown.dtype:
        return block
    if block.dtype.kind == "b" and shown.dtype.itemsize == 1:
        return block.view(shown.dtype)
    with np.errstate(all="ignore"):
        if block.dtype.kind == "c":
            return np.abs(block).astype(shown.dtype)
        if block.dtype.kind == "i" and block.dtype.itemsize == 8 and shown.dtype.kind in "iu":
            if shown.dtype.itemsize == 8:
                return block.astype(shown.dtype)
            limits = np.iinfo(shown.dtype)
            return block.clip(limits.min, limits.max).astype(shown.dtype)
        return block.astype(shown.dtype)


def to_bytes(block: Array) -> bytes:
    """Return voxels as the client reads them: little-endian, the first axis fastest.

    Parameters
    ----------
    block : numpy.ndarray
        Voxels of a type that the client takes; of any rank and strides.

    Returns
    -------
    bytes
        ``block.size * block.itemsize`` of them.

    Examples
    --------
    >>> to_bytes(np.array([[1, 2], [3, 4]], dtype='>u2')).hex(' ', 2)
    '0100 0300 0200 0400'
    """
    little = block.dtype.newbyteorder("<")
    long = [axis for axis, size in enumerate(block.shape) if size > 1]
    order = sorted(long, key=lambda axis: -abs(block.strides[axis]))
    if block.size == 0 or not long or order[-1] == long[0]:
        return block.astype(little, copy=False).tobytes("F")
    # Rows first, into a buffer of rows that do not all fall on the same lines of the cache; then
    # across: ten times as fast as across at once.
    source = block.transpose([axis for axis in range(block.ndim) if axis not in long] + order)
    source = source.reshape(source.shape[-len(order) :])
    *rest, rows, row = source.shape
    buffer = np.empty((*rest, rows + 1, row + _LINE // block.itemsize), little)
    buffer = buffer[..., :rows, :row]
    buffer[...] = source
    out = np.empty([block.shape[axis] for axis in reversed(long)], little)
    across = [order.index(axis) for axis in reversed(long)]
    out[...] = buffer.transpose(across)
    return out.tobytes()
