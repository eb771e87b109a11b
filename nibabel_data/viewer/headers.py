"""What the header of an image says of its axes: names, units, steps, and the place in the scanner.

Where a header does not say, or says what cannot be, something is assumed, and a remark appended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError
from .voxels import stored_dtype

__all__ = ["SPATIAL", "affine", "axes", "colours", "is_labels", "time_step", "units"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPATIAL = ("i", "j", "k")
"""The names of the axes of space, as they are stored."""

_LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
_TIMES = {"sec": "s", "msec": "ms", "usec": "us", "hz": "Hz", "rads": "rad/s", "ppm": ""}
_LENGTHS = {"mm": "mm", "meter": "m", "micron": "um"}
_FREQUENCIES = ("hz", "rads", "ppm")


def axes(image: Any) -> tuple[list[str], list[int]]:
    """Return the names of the axes that are kept, and which they are."""
    shape = image.dataobj.shape
    minc = getattr(image.dataobj, "minc_file", None)
    dims = tuple(getattr(minc, "_dim_names", ()))
    if len(dims) == len(shape) > 3:  # MINC: time may come first
        free = iter(SPATIAL)
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
    names = list(SPATIAL) + [later[axis - 3] for axis in keep if axis > 2]
    if colours(image):
        names = [name for name in names if name != "c^"] + ["c^"]
    return names, keep


def colours(image: Any) -> bool:
    """Return whether a voxel is a colour, of several numbers."""
    return bool(stored_dtype(image.dataobj).names)


def is_labels(header: Any) -> bool:
    """Return whether a header says by its intent that the voxels are labels."""
    try:
        return int(header["intent_code"]) == _LABEL_INTENT
    except (KeyError, TypeError, ValueError, IndexError):
        return False


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


def units(header: Any, remarks: list[str]) -> tuple[str, str]:
    """Return the unit of length, and that of time in nibabel's words."""
    length, time = _header_units(header)
    if length not in _LENGTHS and hasattr(header, "get_xyzt_units"):
        remarks.append("the file gives no unit of length: taken as mm")
    return _LENGTHS.get(length, "mm"), time


def affine(image: Any, remarks: list[str]) -> tuple[NDArray[np.float64], str]:
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


def time_step(
    header: Any, names: list[str], time: str, remarks: list[str]
) -> tuple[float, str, float]:
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
