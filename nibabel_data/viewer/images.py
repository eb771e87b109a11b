"""Images: any that nibabel reads, placed in the scanner's space, read no more than is looked at.

The voxels of an uncompressed file are mapped, those of a compressed one are read once, unscaled,
when the first of them is asked for; a scale factor is applied to what is sent.
"""

from __future__ import annotations

import os
import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingFileError, ViewerError
from .spaces import Space, affine_transform, layer_transform

__all__ = ["Picture", "Survey", "Voxels", "open_image", "survey"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .arrays import ArraySource

    Reader = Callable[[], Any]

_COMPRESSED = (".gz", ".bz2", ".zst", ".mgz")
_LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
_SPATIAL = ("i", "j", "k")
_SHOWN = {"i": "x", "j": "y", "k": "z"}
_TIMES = {"sec": "s", "msec": "ms", "usec": "us", "hz": "Hz", "rads": "rad/s", "ppm": ""}
_LENGTHS = {"mm": "mm", "meter": "m", "micron": "um"}
_FREQUENCIES = ("hz", "rads", "ppm")
_ALL = 1 << 21  # voxels; an image no larger is looked at whole
_BOX = 16  # voxels along each edge of what is looked at otherwise
_BOXES = 6  # along each axis
_READ_ERRORS = (OSError, ValueError, EOFError, zlib.error, MemoryError)


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
        Whether to round to int32, so that numbers stored as floats are labels.

    Attributes
    ----------
    shape : tuple of int
        Of the axes that are kept; at least three.  Colours are a last axis.
    dtype : numpy.dtype
        float32 if there is a scale factor, else the stored one.
    """

    __slots__ = (
        "_content",
        "_fields",
        "_inter",
        "_keep",
        "_labels",
        "_lock",
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
    ) -> None:
        self._read: Reader | None = read
        self._content: Any = None
        self._lock = threading.Lock()
        self._slope = slope
        self._inter = inter
        self._labels = labels
        self._fields = dtype.names
        self._keep = tuple(range(len(shape))) if keep is None else tuple(keep)
        self._pad = max(0, 3 - len(self._keep))
        kept = tuple(int(shape[axis]) for axis in self._keep) + (1,) * self._pad
        if dtype.names:
            kept += (len(dtype.names),)
            dtype = np.result_type(*(dtype[name] for name in dtype.names))
        self.shape: tuple[int, ...] = kept
        if labels:
            dtype = np.dtype(np.int32)
        elif self._scaled():
            dtype = np.dtype(np.complex64 if dtype.kind == "c" else np.float32)
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
            raise ViewerError(f"the voxels cannot be read: {error}") from error
        for part in spatial[len(self._keep) :]:
            block = block[..., None][(..., part)]
        if self._fields:
            block = np.stack([block[name] for name in self._fields], axis=-1)[(..., index[-1])]
        if self._scaled():
            block = block * self._slope + self._inter
        if self._labels and block.dtype.kind not in "iub":
            edges = np.iinfo(np.int32)
            whole = np.rint(np.nan_to_num(block.real.astype(np.float64)))
            block = np.clip(whole, edges.min, edges.max)
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

    def _loaded(self) -> Any:
        with self._lock:
            if self._read is not None:
                try:
                    self._content = self._read()
                except _READ_ERRORS as error:
                    raise ViewerError(f"the voxels cannot be read: {error}") from error
                self._read = None
            return self._content


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


class Picture:
    """An image that can be shown.

    Attributes
    ----------
    image : nibabel.spatialimages.SpatialImage
        As nibabel has it.
    path : str
        Its file; empty if it is in memory.
    names, units, scales : tuple
        Of the axes of ``voxels``: ``i``, ``j``, ``k``, then ``t`` (or ``f``, of a spectrum) and
        ``c^`` (vectors, colours).  Lengths are in ``mm``; times in the file's unit.
    affine : ndarray of float64, shape (4, 4)
        From voxel centres to the scanner's right, anterior and superior, in millimetres.
    placed_by : str
        Where the affine is from: ``sform``, ``qform``, ``header``, or ``affine`` (of the image).
    space : Space
        The axes of ``voxels``.
    shown : Space
        The axes that are shown: ``x``, ``y``, ``z`` in millimetres, and the others.
    transform : dict
        Of a layer's source, from the one to the other.
    voxels : Voxels
        The array, scaled, read as it is looked at.
    kind : str
        ``image`` or ``segmentation``.
    remarks : tuple of str
        What had to be assumed.
    """

    __slots__ = (
        "_kind",
        "_source",
        "_survey",
        "affine",
        "image",
        "names",
        "path",
        "placed_by",
        "remarks",
        "scales",
        "shown",
        "space",
        "transform",
        "units",
        "voxels",
    )

    def __init__(self, image: Any, path: str = "", kind: str | None = None) -> None:
        remarks: list[str] = []
        self.image = image
        self.path = path
        self._survey: Survey | None = None
        self._source: ArraySource | None = None
        header = image.header
        names, keep = _axes(image)
        dataobj = image.dataobj
        stored = _stored_dtype(dataobj)
        slope, inter = _scaling(dataobj)
        labelled = kind == "segmentation" or (kind is None and _intent(header) == _LABEL_INTENT)
        exact = stored.kind in "iub" and (slope, inter) == (1.0, 0.0)
        self.voxels = Voxels(
            _reader(dataobj, path),
            dataobj.shape,
            stored,
            slope,
            inter,
            keep,
            labels=labelled and not exact and not stored.names,
        )
        length, time = _units(header, remarks)
        matrix, self.placed_by = _affine(image, remarks)
        placed = affine_transform(matrix, length)
        if len(names) > 5:
            raise ViewerError(
                f"{path or 'the image'} has {len(names)} axes that are longer than 1, of which at "
                "most 5 can be shown"
            )
        steps = dict(zip(_SPATIAL, placed.input.scales, strict=True))
        step, unit, start = _time(header, names, time, remarks)
        self.names = tuple(names)
        self.units = tuple("mm" if n in steps else unit if n in "tf" else "" for n in names)
        self.scales = tuple(
            1e3 * steps[n] if n in steps else step if n in "tf" else 1.0 for n in names
        )
        self.space = Space(
            self.names,
            tuple("m" if name in steps else u for name, u in zip(names, self.units, strict=True)),
            tuple(steps.get(name, s) for name, s in zip(names, self.scales, strict=True)),
        )
        self.shown = Space(
            tuple(_SHOWN.get(name, name) for name in names),
            self.units,
            tuple(1.0 if name in steps else s for name, s in zip(names, self.scales, strict=True)),
        )
        whole = np.eye(len(names), len(names) + 1)
        spatial = [names.index(name) for name in _SPATIAL]
        whole[np.ix_(spatial, [*spatial, len(names)])] = placed.matrix
        if start and ("t" in names):
            whole[names.index("t"), -1] = start / step
        self.transform = layer_transform(whole, self.shown)
        factor = placed.matrix[:, :3] * (np.array(placed.input.scales) * 1e3)
        self.affine: NDArray[np.float64] = np.eye(4)
        self.affine[:3, :3] = factor
        self.affine[:3, 3] = placed.matrix[:, 3] + factor @ (0.5, 0.5, 0.5)
        self.remarks = tuple(remarks)
        self._kind = "segmentation" if labelled else kind

    @property
    def kind(self) -> str:
        """What it is shown as: ``image``, or ``segmentation`` if its values are labels.

        Unless it was said, or the file says so by its intent: labels are whole numbers, none of
        them negative, and most neighbours that are not background have one label.
        """
        if self._kind is None:
            exact = self.voxels.dtype.kind in "iub" and not _colours(self.image)
            alike = exact and self.survey.alike > 0.6 and bool((self.survey.values >= 0).all())
            self._kind = "segmentation" if alike else "image"
        return self._kind

    @property
    def survey(self) -> Survey:
        """What a sample of the values tells; read when first asked for."""
        if self._survey is None:
            spatial = [self.names.index(name) for name in _SPATIAL]
            self._survey = survey(self.voxels, spatial)
        return self._survey

    @property
    def window(self) -> tuple[float, float]:
        """The values that are shown as black and as white, by `Survey.window`."""
        return self.survey.window()

    @property
    def source(self) -> ArraySource:
        """Its voxels as a source of the viewer, with the names, units and scales of its axes."""
        if self._source is None:
            from .arrays import wrap

            self._source = wrap(
                self.voxels, names=self.names, units=self.units, scales=self.scales, order="F"
            )
        return self._source


def open_image(image: Any, kind: str | None = None) -> Picture:
    """Return an image as it is shown.

    Parameters
    ----------
    image : str, os.PathLike or nibabel image
        NIfTI-1 or -2, MGH, MINC, Analyze, or another that nibabel reads and that has an affine.
    kind : {'image', 'segmentation'}, optional
        What to show it as; by default what it looks like, see `Picture.kind`.

    Returns
    -------
    Picture
        Of which no voxel has been read.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If nibabel does not read it, or it has no place in space.

    Examples
    --------
    >>> import nibabel
    >>> import numpy
    >>> brain = nibabel.Nifti1Image(numpy.zeros((9, 9, 9), 'uint8'), numpy.diag((2, 2, 2, 1)))
    >>> open_image(brain).transform['matrix'][0]
    [1.0, 0.0, 0.0, -1.0]
    """
    if kind not in (None, "image", "segmentation"):
        raise ViewerError(f"{kind!r} is not a kind: use 'image' or 'segmentation'")
    path = ""
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        image = _load(path)
    dataobj = getattr(image, "dataobj", None)
    if dataobj is None or not hasattr(image, "affine"):
        raise ViewerError(
            f"{path or type(image).__name__} is not an image with voxels in space: open surfaces "
            "and tractograms with read_mesh and read_tracts"
        )
    return Picture(image, path, kind)


def _load(path: str) -> Any:
    try:
        import nibabel
    except ImportError:
        raise ViewerError("images need nibabel: pip install 'nibabel-data[view]'") from None
    if not os.path.exists(path):
        raise MissingFileError(f"no image {path}", path)
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # nibabel leaves some files to Python
            return nibabel.load(path)
    except ImportError as error:
        raise ViewerError(f"{path} needs another module: {error}") from error
    except Exception as error:  # of a damaged header anything may come
        raise ViewerError(f"{path} cannot be read as an image: {error}") from error


def _scaling(dataobj: Any) -> tuple[float, float]:
    if not _plain(dataobj):
        return 1.0, 0.0
    return float(dataobj.slope), float(dataobj.inter)


def _stored_dtype(dataobj: Any) -> np.dtype[Any]:
    if _plain(dataobj) or not _is_proxy(dataobj):
        stored: np.dtype[Any] = np.dtype(dataobj.dtype)
        return stored
    return np.dtype(np.float64)  # scaled by nibabel, in a way of the format's own


def _reader(dataobj: Any, path: str) -> Reader:
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


def _axes(image: Any) -> tuple[list[str], list[int]]:
    """Return the names of the axes that are kept, and which they are."""
    shape = image.dataobj.shape
    minc = getattr(image.dataobj, "minc_file", None)
    dims = tuple(getattr(minc, "_dim_names", ()))
    if len(dims) == len(shape) > 3:  # MINC: time may come first
        free = iter(_SPATIAL)
        names = [
            next(free) if str(dim).endswith("space") else "c^" if "vector" in str(dim) else "t"
            for dim in dims
        ]
        if next(free, None) is not None or len(set(names)) < len(names):
            raise ViewerError(f"the axes of the image are {', '.join(map(str, dims))}: not shown")
        return names, list(range(len(shape)))
    later = ["t", "c^", "d6", "d7", "d8", "d9"]
    _, time = _header_units(image.header)
    if time in _FREQUENCIES:
        later[0] = "f"
    keep = [axis for axis in range(len(shape)) if axis < 3 or shape[axis] != 1]
    names = list(_SPATIAL) + [later[axis - 3] for axis in keep if axis > 2]
    if _colours(image):
        names = [name for name in names if name != "c^"] + ["c^"]
    return names, keep


def _colours(image: Any) -> bool:
    return bool(_stored_dtype(image.dataobj).names)


def _intent(header: Any) -> int | None:
    try:
        return int(header["intent_code"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _header_units(header: Any) -> tuple[str, str]:
    """Return the units of length and of time, in nibabel's words."""
    from nibabel.freesurfer.mghformat import MGHHeader

    if isinstance(header, MGHHeader):
        return "mm", "msec"
    try:
        length, time = header.get_xyzt_units()
    except (AttributeError, KeyError, ValueError):
        return "unknown", "unknown"
    return str(length), str(time)


def _units(header: Any, remarks: list[str]) -> tuple[str, str]:
    length, time = _header_units(header)
    if length not in _LENGTHS and hasattr(header, "get_xyzt_units"):
        remarks.append("the file gives no unit of length: taken as mm")
    return _LENGTHS.get(length, "mm"), time


def _affine(image: Any, remarks: list[str]) -> tuple[NDArray[np.float64], str]:
    """Return the affine that counts, and where it is from: sform before qform."""
    header, affine = image.header, image.affine
    if affine is None and hasattr(header, "get_best_affine"):
        affine = header.get_best_affine()
    found: list[tuple[str, Any]] = [("affine", affine)]
    if hasattr(header, "get_sform"):
        sform, qform = header.get_sform(), _qform(header)
        if int(header["sform_code"]) > 0 and _same(affine, sform):
            found = [("sform", affine), ("qform", qform), ("header", header.get_base_affine())]
        elif int(header["qform_code"]) > 0 and _same(affine, qform):
            found[0] = ("qform", affine)
        elif _same(affine, header.get_base_affine()):
            found[0] = ("header", affine)
    if affine is None:
        found = [("header", np.diag((*_zooms(header), 1.0)))]
    first = found[0][0]
    for name, candidate in found:
        if candidate is None or (name == "qform" and int(header["qform_code"]) <= 0):
            continue
        matrix = np.asarray(candidate, dtype=np.float64)
        if name == found[-1][0] or (
            np.isfinite(matrix).all() and abs(np.linalg.det(matrix[:3, :3])) > 0
        ):
            if name != first:
                remarks.append(f"the {first} of the file is singular: the {name} is used")
            if name == "header":
                remarks.append("the file has no sform or qform: placed by its voxel size alone")
            return matrix, name
    raise ViewerError("the image has no affine")


def _qform(header: Any) -> Any:
    from nibabel.spatialimages import HeaderDataError

    try:
        return header.get_qform()
    except (HeaderDataError, ValueError):
        return None


def _same(affine: Any, other: Any) -> bool:
    return (
        affine is not None
        and other is not None
        and np.allclose(affine, other, rtol=1e-5, atol=1e-6, equal_nan=True)
    )


def _zooms(header: Any) -> tuple[float, float, float]:
    zooms = [float(zoom) for zoom in header.get_zooms()[:3]] if header is not None else []
    first, second, third = [*zooms, 1.0, 1.0, 1.0][:3]
    return first, second, third


def _time(header: Any, names: list[str], time: str, remarks: list[str]) -> tuple[float, str, float]:
    """Return the step of the fourth axis, its unit, and where it starts."""
    if not {"t", "f"} & set(names):
        return 1.0, "", 0.0
    try:
        step = float(header.get_zooms()[names.index("t") if names[0] == "t" else 3])
    except (AttributeError, IndexError, TypeError, ValueError):
        step = 0.0
    if not (np.isfinite(step) and step > 0):
        remarks.append("the file gives no time between volumes: they are counted")
        return 1.0, "", 0.0
    try:
        start = float(header["toffset"])
    except (KeyError, TypeError, ValueError, IndexError):
        start = 0.0
    return step, _TIMES.get(time, ""), start if np.isfinite(start) else 0.0
