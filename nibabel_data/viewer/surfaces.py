"""Surfaces of GIFTI and of FreeSurfer, in the scanner's millimetres, for the client.

The client's meshes are those of ``src/datasource/precomputed/meshes.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError
from .vertices import NM, coordinates, existing, joins, load_nibabel, stem

__all__ = ["Mesh", "read_mesh"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_UNKNOWN = 0  # NIFTI_XFORM_UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface of triangles.

    Attributes
    ----------
    vertices : ndarray of float32, shape (n, 3)
        To the right, to the front and up, in millimetres.
    triangles : ndarray of uint32, shape (m, 3)
        The indices of their corners.
    name : str
        Of the file or the structure; may be empty.
    remarks : tuple of str
        What had to be assumed.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    name: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vertices = coordinates(self.vertices, "vertices")
        triangles = joins(self.triangles, 3, len(vertices), "triangles")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "triangles", triangles)

    def encode(self, scale: float = NM) -> bytes:
        """Return it as one fragment of the client's single-resolution meshes.

        Parameters
        ----------
        scale : float, optional
            What to multiply millimetres by: a ``precomputed`` source has nanometres.

        Returns
        -------
        bytes
            How many vertices, their coordinates, and the triangles; little endian.
        """
        from .mesh import encode

        return encode(np.multiply(self.vertices, scale, dtype=np.float64), self.triangles)


def read_mesh(path: str | os.PathLike[str], *, center: bool | None = None) -> Mesh:
    """Return the surface in a file.

    Parameters
    ----------
    path : str or os.PathLike
        A GIFTI surface (``.gii``, ``.gii.gz``), or a surface of FreeSurfer (``lh.pial``).
    center : bool, optional
        Whether to add the centre of FreeSurfer's volume (``c_ras``), which takes its coordinates to
        those of the scanner.  By default, if the file has it; for GIFTI moreover only if it does
        not say of which space its coordinates are.

    Returns
    -------
    Mesh
        In the scanner's millimetres, or, with a remark, in the coordinates of the file.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it is not a surface, or is damaged.

    Notes
    -----
    A GIFTI file may give a matrix to another space; it is applied if that is the scanner's and the
    coordinates are not the scanner's already (GIFTI 1.0, section 9).
    """
    name = existing(path, "surface")
    if name.lower().endswith((".gii", ".gii.gz")):
        return _read_gifti(name, center)
    return _read_freesurfer(name, center)


def _read_gifti(name: str, center: bool | None) -> Mesh:
    image = _load(name)
    try:
        points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
        faces = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    except AttributeError:
        raise ViewerError(f"{name} is not a GIFTI file") from None
    if not points or not faces:
        raise ViewerError(f"{name} has no surface: it needs points and triangles")
    vertices = np.asarray(points[0].data, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ViewerError(f"{name} has points of the shape {vertices.shape}, rather than (n, 3)")
    remarks = []
    system = points[0].coordsys
    space = int(system.dataspace) if system is not None else _UNKNOWN
    target = int(system.xformspace) if system is not None else _UNKNOWN
    middle = _gifti_center(points[0].meta)
    if space != _SCANNER and target == _SCANNER:
        matrix = np.asarray(system.xform, dtype=np.float64)
        vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    elif middle is not None and (center or (center is None and space == _UNKNOWN)):
        vertices = vertices + middle
    elif space == _UNKNOWN or center:
        remarks.append("the file does not say in which space it is: shown as the scanner's")
    part = dict(points[0].meta).get("AnatomicalStructurePrimary", "")
    return Mesh(
        vertices.astype(np.float32), np.asarray(faces[0].data), stem(name, part), tuple(remarks)
    )


def _gifti_center(meta: Any) -> NDArray[np.float64] | None:
    found = dict(meta)
    try:
        middle = np.array([float(found[f"VolGeomC_{axis}"]) for axis in "RAS"])
    except (KeyError, ValueError):
        return None
    return middle if np.isfinite(middle).all() else None


def _read_freesurfer(name: str, center: bool | None) -> Mesh:
    import warnings

    geometry = load_nibabel().freesurfer.read_geometry
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no metadata is a remark
            vertices, faces, about = geometry(name, read_metadata=True)
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{name} cannot be read as a surface of FreeSurfer: {error}") from error
    remarks = []
    middle = np.asarray(about.get("cras", ()), dtype=np.float64)
    valid = not str(about.get("valid", "1")).startswith("0")
    if valid and middle.shape == (3,) and np.isfinite(middle).all():
        if center is not False:
            vertices = vertices + middle
    elif center is not False:
        remarks.append("the file does not say where the centre of its volume is: shown around 0")
    return Mesh(np.asarray(vertices, np.float32), faces, stem(name), tuple(remarks))


def _load(name: str) -> Any:
    try:
        return load_nibabel().load(name)
    except ViewerError:
        raise
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{name} cannot be read: {error}") from error
