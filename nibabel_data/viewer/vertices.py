"""What surfaces, tractograms and points have in common: vertices, what joins them, their files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingFileError, ViewerError

__all__ = ["NM", "coordinates", "existing", "joins", "load_nibabel", "stem"]

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NM = 1e6
"""Nanometres in a millimetre: what a ``precomputed`` source has, and what there is here."""

_ENDINGS = (".gz", ".gii", ".surf", ".trk", ".tck", ".trx")


def coordinates(points: ArrayLike, what: str, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Return points as finite numbers of the shape (n, 3), by default float32.

    Raises
    ------
    ViewerError
        If they are not; it calls them `what`.
    """
    try:
        found = np.ascontiguousarray(points, dtype=dtype or np.float32)
    except (TypeError, ValueError) as error:
        raise ViewerError(f"{what} are not triples of numbers: {error}") from None
    if found.size == 0:
        found = found.reshape(0, 3)
    if found.ndim != 2 or found.shape[1] != 3:
        raise ViewerError(f"{what} have the shape (n, 3), not {found.shape}")
    if not np.isfinite(found).all():
        raise ViewerError(f"{what} are not all finite")
    return found


def joins(indices: ArrayLike, columns: int, count: int, what: str) -> NDArray[np.uint32]:
    """Return the indices of vertices as uint32, of the shape (n, columns).

    Raises
    ------
    ViewerError
        If one of them names none of the `count` vertices; it calls them `what`.
    """
    found = np.asarray(indices)
    if found.size == 0:
        return np.empty((0, columns), np.uint32)
    if found.ndim != 2 or found.shape[1] != columns or found.dtype.kind not in "iu":
        raise ViewerError(f"{what} are whole numbers of the shape (n, {columns})")
    if int(found.min()) < 0 or int(found.max()) >= count:
        raise ViewerError(f"{what} name vertices that are not there: there are {count}")
    return np.ascontiguousarray(found, dtype=np.uint32)


def existing(path: str | os.PathLike[str], what: str) -> str:
    """Return the path of a file that there is, as a text.

    Raises
    ------
    MissingFileError
        If there is none; it calls it `what`.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise MissingFileError(f"no {what} {name}", name)
    return name


def stem(name: str, part: str = "") -> str:
    """Return the name of a file without its endings, or else `part`.

    Examples
    --------
    >>> stem('sub/lh.pial.surf.gii')
    'lh.pial'
    """
    base = os.path.basename(name)
    for ending in _ENDINGS:
        base = base.removesuffix(ending)
    return base or part


def load_nibabel() -> Any:
    """Return nibabel, with what reads surfaces of FreeSurfer and streamlines.

    Raises
    ------
    ViewerError
        If it is not installed.
    """
    try:
        import nibabel
        import nibabel.freesurfer
        import nibabel.streamlines
    except ImportError:
        raise ViewerError(
            "surfaces and tractograms need nibabel: pip install 'nibabel-data[view]'"
        ) from None
    return nibabel
