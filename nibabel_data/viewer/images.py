"""Images: any that nibabel reads, placed in the scanner's space, read no more than is looked at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingFileError, ViewerError
from . import headers
from .headers import SPATIAL
from .spaces import Space, affine_transform, layer_transform
from .survey import Survey, survey
from .voxels import Voxels, reader, scaling, stored_dtype

__all__ = ["Picture", "open_image"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .arrays import ArraySource

_SHOWN = {"i": "x", "j": "y", "k": "z"}


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
        "_labels",
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
        names, keep = headers.axes(image)
        dataobj = image.dataobj
        stored = stored_dtype(dataobj)
        slope, inter = scaling(dataobj)
        self._kind = kind
        self._labels = headers.is_labels(header)
        self.voxels = Voxels(
            reader(dataobj, path),
            dataobj.shape,
            stored,
            slope,
            inter,
            keep,
            labels=kind == "segmentation" or (kind is None and self._labels),
            path=path,
        )
        length, time = headers.units(header, remarks)
        matrix, self.placed_by = headers.affine(image, remarks)
        placed = affine_transform(matrix, length)
        if len(names) > 5:
            raise ViewerError(
                f"{path or 'the image'} has {len(names)} axes that are longer than 1, of which at "
                "most 5 can be shown"
            )
        steps = dict(zip(SPATIAL, placed.input.scales, strict=True))
        step, unit, start = headers.time_step(header, names, time, remarks)
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
        spatial = [names.index(name) for name in SPATIAL]
        whole[np.ix_(spatial, [*spatial, len(names)])] = placed.matrix
        if start and ("t" in names):
            whole[names.index("t"), -1] = start / step
        self.transform = layer_transform(whole, self.shown)
        factor = placed.matrix[:, :3] * (np.array(placed.input.scales) * 1e3)
        self.affine: NDArray[np.float64] = np.eye(4)
        self.affine[:3, :3] = factor
        self.affine[:3, 3] = placed.matrix[:, 3] + factor @ (0.5, 0.5, 0.5)
        self.remarks = tuple(remarks)

    @property
    def kind(self) -> str:
        """What it is shown as: ``image``, or ``segmentation`` if its values are labels.

        Unless it was said: they are if the file says so by its intent and all are whole numbers,
        or if they are stored as whole numbers, none of a sample is negative, and most neighbours
        that are not background have one label.

        Raises
        ------
        ViewerError
            If the voxels cannot be read.
        """
        if self._kind is None:
            whole = self.voxels.dtype.kind in "iub"
            if self._labels:
                labels = whole or self._are_whole()
            else:
                labels = whole and not headers.colours(self.image) and self._are_alike()
            self._kind = "segmentation" if labels else "image"
        return self._kind

    @property
    def survey(self) -> Survey:
        """What a sample of the values tells; read when first asked for."""
        if self._survey is None:
            spatial = [self.names.index(name) for name in SPATIAL]
            self._survey = survey(self.voxels, spatial)
        return self._survey

    @property
    def window(self) -> tuple[float, float]:
        """The values that are shown as black and as white, by `Survey.window`."""
        return self.survey.window()

    @property
    def source(self) -> ArraySource:
        """Its voxels as a source of the viewer, with the names, units and scales of its axes.

        Labels that are stored as floating-point numbers, or scaled, are the integers that they are.

        Raises
        ------
        ViewerError
            If it was said to be a segmentation, and a voxel is not a whole number.
        """
        labels = self.kind == "segmentation"  # which may make it
        if self._source is None:
            self._source = self._labels_source() if labels else self._wrapped(self.voxels)
        return self._source

    def _wrapped(self, voxels: Voxels | NDArray[Any]) -> ArraySource:
        from .arrays import wrap

        return wrap(voxels, names=self.names, units=self.units, scales=self.scales, order="F")

    def _labels_source(self) -> ArraySource:
        from .exact import whole_labels

        source = self._wrapped(self.voxels)
        return whole_labels(source) if source.dtype.kind == "f" else source

    def _are_alike(self) -> bool:
        return self.survey.alike > 0.6 and bool((self.survey.values >= 0).all())

    def _are_whole(self) -> bool:
        """Return whether floating-point numbers, said to be labels by the file, can be."""
        reason = "not all of its values are whole numbers"
        try:
            source = self._labels_source()
        except ViewerError as error:
            if error.__cause__ is not None:
                raise  # it cannot be read
        else:
            if source.dtype.kind in "iu":
                self._source = source
                return True
            if source.dtype.kind == "f":
                reason = "it has more floating-point values than are looked at"
        self.remarks += (f"the file says that it has labels, but {reason}: shown as an image",)
        return False


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
    with np.errstate(all="ignore"):  # of a damaged header anything may come
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
        raise ViewerError(f"{path} cannot be read as an image: {error}{_hint(path)}") from error


def _hint(path: str) -> str:
    """Return what could be given instead of a path that is no image."""
    if not os.path.isdir(path):
        return ""
    return "\nIt is a directory: name an image in it, or a directory of zarr or of precompute."
