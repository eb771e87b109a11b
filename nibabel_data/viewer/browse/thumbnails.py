"""Small pictures of images: three slices through the middle, upright, as the viewer turns them.

Of an image no more is read than its first volume; of a very large one, no more than three slices,
or one if it is compressed.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from ...errors import DataError, ViewerError
from ..headers import is_labels
from ..images import Picture, open_image
from ..survey import Survey, survey
from .png import png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["PANE", "Thumbnail", "Thumbnails", "thumbnail"]

PANE = 128
"""Pixels of a pane, which is square; there are three beside each other."""

_WHOLE = 1 << 25  # voxels of a volume that is read whole
_BYTES = 32 << 20  # of all pictures that are kept
_COMPRESSED = (".gz", ".bz2", ".zst", ".mgz")
_AXES = (0, 1, 2)  # right, anterior, superior: sagittal, coronal and axial slices
_GOLDEN = 0.6180339887498949


class Thumbnail(NamedTuple):
    """A picture, or why there is none.

    Attributes
    ----------
    tag : str
        Changes when the file does.
    picture : bytes
        A PNG; empty if there is none.
    problem : str
        Why there is none.
    """

    tag: str
    picture: bytes
    problem: str


@final
class Thumbnails:
    """The pictures that were made last.

    Parameters
    ----------
    limit : int, optional
        How many bytes of them are kept.
    """

    __slots__ = ("_kept", "_limit", "_lock", "_size")

    def __init__(self, limit: int = _BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str], Thumbnail] = OrderedDict()
        self._limit = limit
        self._size = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> Thumbnail:
        """Return the picture of a file, made anew if the file has changed.

        Parameters
        ----------
        path : str
            An image.  What is wrong with it is said in the answer.
        """
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            return Thumbnail("", b"", f"cannot be read: {getattr(error, 'strerror', error)}")
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        key = path, tag
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        try:
            made = Thumbnail(tag, thumbnail(path), "")
        except DataError as error:
            made = Thumbnail(tag, b"", str(error))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._size += len(made.picture) + len(made.problem)
            while self._size > self._limit and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._size -= len(old.picture) + len(old.problem)
        return made


def thumbnail(path: str) -> bytes:
    """Return a picture of an image: sagittal, coronal and axial, turned as the viewer does.

    Parameters
    ----------
    path : str
        An image that `nibabel_data.viewer.open_image` takes.  Of a 4-D one its first volume is
        shown; of one with a single slice, or a very large one that is compressed, one pane.

    Returns
    -------
    bytes
        A PNG of `PANE` rows.  Grey, from the 2nd to the 98th percentile, or, if the values are
        labels, a colour for each.

    Raises
    ------
    DataError
        If it is no image, or cannot be read.

    Examples
    --------
    >>> thumbnail('examples/nipy-examplepkg/nipy/examplepkg/image.nii.gz')[1:4]
    b'PNG'
    """
    picture = open_image(path)
    try:
        planes = list(_planes(picture, path))
        sizes = _zooms(picture)
        if not planes:
            raise ViewerError("it has no voxels")
        return png(_painted(picture, planes, sizes))
    except DataError:
        raise
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{path} cannot be read: {error}") from error


class _Plane(NamedTuple):
    """A slice: along which axis it is cut, and its values, along the other two and by colour."""

    axis: int
    values: NDArray[Any]


def _orientation(picture: Picture) -> NDArray[np.float64]:
    """Return, for each axis of the voxels, which of `_AXES` it is nearest to, and its direction."""
    from nibabel import orientations

    find: Any = orientations.io_orientation
    found: NDArray[np.float64] = find(picture.affine)
    if not np.isfinite(found).all():
        return np.column_stack((np.arange(3.0), np.ones(3)))
    return found


def _zooms(picture: Picture) -> NDArray[np.float64]:
    """Return the size of a voxel along each of `_AXES`."""
    stored = np.linalg.norm(picture.affine[:3, :3], axis=0)
    stored = np.where(np.isfinite(stored) & (stored > 0), stored, 1.0)
    sizes = np.ones(3)
    sizes[_orientation(picture)[:, 0].astype(int)] = stored
    return sizes


def _planes(picture: Picture, path: str) -> Iterator[_Plane]:
    """Yield the slices through the middle."""
    from nibabel import orientations

    apply: Any = orientations.apply_orientation
    turn = _orientation(picture)
    stored = {int(axis): place for place, axis in enumerate(turn[:, 0])}
    shape = [picture.voxels.shape[picture.names.index(name)] for name in "ijk"]
    if 0 in picture.voxels.shape:
        return
    axes = [axis for axis in _AXES if shape[stored[axis]] == 1][:1] or list(_AXES)
    everything = (slice(None),) * 3
    if int(np.prod(shape, dtype=object)) <= _WHOLE:
        volume = apply(_read(picture, path, everything), turn)
        for axis in axes:
            yield _Plane(axis, np.take(volume, _middle(volume, axis), axis))
        return
    if path.lower().endswith(_COMPRESSED) and len(axes) > 1:
        axes = [int(turn[2, 0])]  # the one slice that lies together in the file
    for axis in axes:
        place = shape[stored[axis]] // 2
        part = [slice(None)] * 3
        part[stored[axis]] = slice(place, place + 1)
        thin = apply(_read(picture, path, tuple(part)), turn)
        yield _Plane(axis, np.take(thin, 0, axis))


def _read(picture: Picture, path: str, part: tuple[slice, ...]) -> NDArray[Any]:
    """Return a part of the first volume along ``i``, ``j``, ``k``, and by colour if it has any."""
    from nibabel.arrayproxy import ArrayProxy

    dataobj = picture.image.dataobj
    plain = type(dataobj) is ArrayProxy and len(dataobj.shape) >= 3
    if plain and path.lower().endswith(_COMPRESSED) and dataobj.dtype.names is None:
        # Of a compressed file this reads no more than it must, and keeps none of it.
        return np.asarray(dataobj[(*part, *(0 for _ in dataobj.shape[3:]))])
    by_name: dict[str, Any] = dict(zip("ijk", part, strict=True))
    colours = _colours(picture)
    index = [by_name.get(n, slice(None) if n == "c^" and colours else 0) for n in picture.names]
    values = np.asarray(picture.voxels[tuple(index)])
    kept = [name for name in picture.names if name in by_name or (name == "c^" and colours)]
    order = [kept.index(name) for name in (*"ijk", *(("c^",) if colours else ()))]
    return values.transpose(order)


def _colours(picture: Picture) -> bool:
    return bool(getattr(picture.image.dataobj.dtype, "names", None)) and (
        picture.voxels.shape[-1] in (3, 4)
    )


def _middle(volume: NDArray[Any], axis: int) -> int:
    """Return the middle slice, or, if it is empty, the one in which there is most."""
    place = int(volume.shape[axis]) // 2
    if np.any(np.take(volume, place, axis)):
        return place
    others = tuple(other for other in range(volume.ndim) if other != axis)
    filled = np.count_nonzero(volume, axis=others)
    return int(np.argmax(filled)) if filled.any() else place


def _painted(
    picture: Picture, planes: list[_Plane], sizes: NDArray[np.float64]
) -> NDArray[np.uint8]:
    extents = [
        [plane.values.shape[at] * sizes[other] for at, other in enumerate(_others(plane.axis))]
        for plane in planes
    ]
    scale = PANE / max(max(extent) for extent in extents)
    found = _survey(planes)
    coloured = _colours(picture)
    labels = not coloured and _are_labels(picture, planes, found)
    low, high = found.window()
    panes = []
    for plane, extent in zip(planes, extents, strict=True):
        across, down = (min(PANE, max(1, round(length * scale))) for length in extent)
        values = np.swapaxes(plane.values, 0, 1)[::-1]  # superior up; in the axial one anterior
        if plane.axis != 0:
            values = values[:, ::-1]  # the right side on the left
        if labels:
            pane = _hues(values[_nearest(len(values), down)][:, _nearest(values.shape[1], across)])
        elif coloured:
            pane = _resized(values[..., :3].astype(np.float64), down, across)
        else:
            grey = np.nan_to_num(_real(values), nan=low, posinf=high, neginf=low)
            span = high - low or 1.0
            pane = _resized((grey.clip(low, high) - low) * (255 / span), down, across)
        panes.append(_centred(np.rint(pane).astype(np.uint8)))
    return np.concatenate(panes, axis=1)


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in _AXES if other != axis)


def _real(values: NDArray[Any]) -> NDArray[np.float64]:
    kept = np.abs(values) if values.dtype.kind == "c" else values
    return kept.astype(np.float64)


def _survey(planes: list[_Plane]) -> Survey:
    found = [survey(plane.values, (0, 1)) for plane in planes]
    alike = float(np.mean([one.alike for one in found]))
    return Survey(np.concatenate([one.values for one in found]), alike)


def _are_labels(picture: Picture, planes: list[_Plane], found: Survey) -> bool:
    """Return whether values are labels, by the rule of `Picture.kind`."""
    if planes[0].values.dtype.kind not in "iub":
        return is_labels(picture.image.header) and bool((found.values % 1 == 0).all())
    return found.alike > 0.6 and bool((found.values >= 0).all())


def _hues(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return a colour for each label, far from that of the next number; 0 is black."""
    hue = (np.abs(labels.astype(np.float64)) * _GOLDEN) % 1.0
    sectors = np.array([0.0, 2.0, 1.0]) / 3.0
    away = np.abs((hue[..., None] + sectors) % 1.0 - 0.5) * 2.0  # 1 at a primary, 0 opposite
    colours = 70.0 + 185.0 * np.clip(away * 3.0 - 1.0, 0.0, 1.0)
    return np.where((labels != 0)[..., None], colours, 0.0)


def _nearest(size: int, wanted: int) -> NDArray[np.intp]:
    return ((np.arange(wanted) + 0.5) * size / wanted).astype(np.intp)


def _resized(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return a picture of another size: each pixel the mean of what it covers."""
    down, across = _weights(len(values), rows), _weights(values.shape[1], columns)
    by_colour = np.moveaxis(values, (0, 1), (-2, -1))
    return np.moveaxis(down @ by_colour @ across.T, (-2, -1), (0, 1))


def _weights(size: int, wanted: int) -> NDArray[np.float64]:
    edges = np.linspace(0, size, wanted + 1)
    begin, end, place = edges[:-1, None], edges[1:, None], np.arange(size)
    covered = np.clip(np.minimum(end, place + 1) - np.maximum(begin, place), 0, None)
    return np.asarray(covered / covered.sum(axis=1, keepdims=True))


def _centred(pane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    whole = np.zeros((PANE, PANE, *pane.shape[2:]), np.uint8)
    top, left = ((PANE - size) // 2 for size in pane.shape[:2])
    whole[top : top + pane.shape[0], left : left + pane.shape[1]] = pane
    return whole
