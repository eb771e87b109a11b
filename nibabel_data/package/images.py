"""Whether the images of a package are whole: readable headers, and as much data as they promise."""

from __future__ import annotations

import gzip
import math
import os
import warnings
import zlib
from typing import Any

__all__ = ["IMAGES", "image_problem"]

IMAGES = (".nii", ".img", ".mgh", ".mgz", ".mnc", ".gii", ".nii.gz", ".img.gz", ".gii.gz")
"""Endings of file names that nibabel is asked to open."""

_PIECE = 1 << 20


def image_problem(path: str) -> str:
    """Return what is wrong with an image or a gzip file; empty if nothing is.

    A gzip file is read to its end, in pieces, so that a truncated one is found also without
    nibabel.  Where nibabel is installed it reads the header, and the file must hold as many bytes
    as the header promises.

    Parameters
    ----------
    path : str
        The file.  One that is neither image nor gzip is not looked at.

    Raises
    ------
    OSError
        If it cannot be read.

    Examples
    --------
    >>> image_problem('examples/nipy-examplepkg/nipy/examplepkg/image.nii.gz')
    ''
    """
    lower = path.lower()
    is_image = lower.endswith(IMAGES)
    if lower.endswith((".gz", ".mgz")):
        size = _unpacked_size(path)
        if size is None:
            return "truncated or damaged: its gzip stream does not end as it should"
    elif is_image:
        size = os.path.getsize(path)
    else:
        return ""
    return _header_problem(path, size) if is_image else ""


def _unpacked_size(path: str) -> int | None:
    """Return how many bytes a gzip file unpacks to; None if it is damaged."""
    size = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                size += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    return size


def _header_problem(path: str, size: int) -> str:
    try:
        import nibabel
        from nibabel.imageglobals import LoggingOutputSuppressor
    except ImportError:
        return ""
    # What nibabel leaves open when it raises is closed, with a warning, as the except block ends.
    with warnings.catch_warnings(), LoggingOutputSuppressor():
        warnings.simplefilter("ignore")
        try:
            needed = _bytes_needed(nibabel.load(path))
        except ImportError:  # the format needs another library, such as h5py
            return ""
        except Exception as error:  # a damaged header makes nibabel raise nearly anything
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            return f"nibabel cannot open it: {reason}"
    if needed > size:
        return f"truncated: its header promises {needed} bytes, it holds {size}"
    return ""


def _bytes_needed(image: Any) -> int:
    """Return how long the file of the data must be; 0 if its format does not say so plainly."""
    data = image.dataobj if hasattr(image, "dataobj") else None
    if data is None or not all(hasattr(data, name) for name in ("offset", "shape", "dtype")):
        return 0
    return int(data.offset) + math.prod(map(int, data.shape)) * int(data.dtype.itemsize)
