"""Surfaces, tractograms and points, in the scanner's millimetres, as the client takes them.

Read are surfaces of GIFTI and of FreeSurfer, streamlines of TrackVis (``.trk``), MRtrix (``.tck``)
and TRX (``.trx``), and tables of points (CSV and TSV with columns x, y and z).  The client has
surfaces as meshes and streamlines as skeletons, both of ``src/datasource/precomputed/*.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingFileError, ViewerError
from .spaces import Space

__all__ = [
    "Mesh",
    "Skeleton",
    "points_layer",
    "read_mesh",
    "read_points",
    "read_tracts",
]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_UNKNOWN = 0  # NIFTI_XFORM_UNKNOWN
_NM = 1e6  # nanometres in a millimetre
_POINTS = 4_000_000  # vertices of a skeleton; the client draws no more with ease
_TEXT = 64 << 20  # bytes
_VIEW = "pip install 'nibabel-data[view]'"


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
        vertices = _coordinates(self.vertices, "vertices")
        triangles = _indices(self.triangles, 3, len(vertices), "triangles")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "triangles", triangles)

    def encode(self, scale: float = _NM) -> bytes:
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


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """Lines, each a chain of vertices.

    Attributes
    ----------
    vertices : ndarray of float32, shape (n, 3)
        To the right, to the front and up, in millimetres.
    edges : ndarray of uint32, shape (m, 2)
        The indices of their ends.
    name : str
        Of the file; may be empty.
    remarks : tuple of str
        What was left out.
    """

    vertices: NDArray[np.float32]
    edges: NDArray[np.uint32]
    name: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vertices = _coordinates(self.vertices, "vertices")
        edges = _indices(self.edges, 2, len(vertices), "edges")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "edges", edges)

    @staticmethod
    def info() -> dict[str, object]:
        """Return the ``info`` of a ``precomputed`` source of such skeletons."""
        return {
            "@type": "neuroglancer_skeletons",
            "transform": [_NM, 0, 0, 0, 0, _NM, 0, 0, 0, 0, _NM, 0],
            "vertex_attributes": [
                {"id": "orientation", "data_type": "float32", "num_components": 3}
            ],
        }

    def orientation(self) -> NDArray[np.float32]:
        """Return how each vertex's line runs there, without a sign: |x|, |y|, |z| of length 1.

        As red, green and blue these are the usual colours of directions in tractography.

        Returns
        -------
        ndarray of float32, shape (n, 3)
            0 for a vertex without an edge of any length.
        """
        steps = self.vertices[self.edges[:, 1]] - self.vertices[self.edges[:, 0]]
        length = np.linalg.norm(steps, axis=1, keepdims=True)
        steps = np.abs(np.divide(steps, length, out=np.zeros_like(steps), where=length > 0))
        total = np.zeros(self.vertices.shape, np.float32)
        np.add.at(total, self.edges[:, 0], steps)
        np.add.at(total, self.edges[:, 1], steps)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        found = np.zeros_like(total)
        np.divide(total, length, out=found, where=length > 0)
        return found

    def encode(self) -> bytes:
        """Return it as the client's, with the attributes that `info` names.

        Returns
        -------
        bytes
            How many vertices and edges, coordinates in millimetres, edges, and orientations;
            little endian.
        """
        counts = np.array((len(self.vertices), len(self.edges)), "<u4")
        parts = (counts, self.vertices.astype("<f4"), self.edges.astype("<u4"))
        return b"".join(part.tobytes() for part in (*parts, self.orientation().astype("<f4")))


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
    name = _existing(path, "surface")
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
        vertices.astype(np.float32), np.asarray(faces[0].data), _stem(name, part), tuple(remarks)
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

    geometry = _nibabel().freesurfer.read_geometry
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
    return Mesh(np.asarray(vertices, np.float32), faces, _stem(name), tuple(remarks))


def read_tracts(path: str | os.PathLike[str], *, most: int = _POINTS) -> Skeleton:
    """Return the streamlines in a file as one skeleton.

    Parameters
    ----------
    path : str or os.PathLike
        A tractogram: ``.trk``, ``.tck`` or ``.trx``.
    most : int, optional
        How many vertices to have at most: of more, whole streamlines are left out, evenly spread
        over the file, and a remark says how many.

    Returns
    -------
    Skeleton
        In the scanner's millimetres, the centre of a voxel where the image's affine has it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it is not a tractogram, or is damaged.
    """
    name = _existing(path, "tractogram")
    ending = os.path.splitext(name)[1].lower()
    if ending == ".trx":
        points, starts = _read_trx(name)
    elif ending in (".trk", ".tck"):
        points, starts = _read_streamlines(name)
    else:
        raise ViewerError(f"{name} is not a tractogram: it ends in none of .trk, .tck and .trx")
    return _chains(points, starts, most, _stem(name))


def _read_streamlines(name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    streamlines = _nibabel().streamlines
    try:
        lines = streamlines.load(name).streamlines
        points, lengths = lines.get_data(), np.fromiter(map(len, lines), np.int64)
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{name} cannot be read as a tractogram: {error}") from error
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return np.asarray(points).reshape(-1, 3), starts


def _read_trx(name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    # The format is github.com/tee-ar-ex/trx-spec: a zip of arrays, each called name.[columns.]dtype
    import json
    import zipfile

    try:
        with zipfile.ZipFile(name) as archive:
            header = json.loads(archive.read("header.json"))
            members = {item.filename: item for item in archive.infolist()}
            count = int(header["NB_VERTICES"])
            limit = 8 * (3 * count + int(header["NB_STREAMLINES"]) + 1)
            found: dict[str, NDArray[Any]] = {}
            for filename, item in members.items():
                first, _, rest = filename.partition(".")
                if first not in ("positions", "offsets"):
                    continue
                if item.file_size > limit:
                    raise ValueError(f"{filename} is larger than the header says")
                dtype = np.dtype(rest.rpartition(".")[2]).newbyteorder("<")
                found[first] = np.frombuffer(archive.read(item), dtype)
        points = found["positions"].reshape(-1, 3)
        starts = found["offsets"].astype(np.int64)
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{name} cannot be read as a TRX tractogram: {error}") from error
    starts = starts[: int(header["NB_STREAMLINES"]) + 1]
    if len(points) != count or (starts < 0).any() or (np.diff(starts) < 0).any():
        raise ViewerError(f"{name} is damaged: its offsets do not fit its {count} vertices")
    if not len(starts) or starts[-1] != count:
        starts = np.append(starts, count)  # the last offset may be left out
    return points, starts


def _chains(points: NDArray[Any], starts: NDArray[np.int64], most: int, name: str) -> Skeleton:
    lengths = np.diff(starts)
    if (starts[-1:] > len(points)).any() or (lengths < 0).any():
        raise ViewerError(f"{name} is damaged: its streamlines are not within its points")
    remarks: tuple[str, ...] = ()
    if lengths.sum() > most:
        count = max(1, int(len(lengths) * most / lengths.sum()))
        kept = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(np.int64))
        fits = np.cumsum(lengths[kept]) <= most
        fits[0] = True
        kept = kept[fits]
        remarks = (f"{len(kept)} of {len(lengths)} streamlines are shown",)
        points = np.concatenate([points[starts[i] : starts[i + 1]] for i in kept])
        lengths = lengths[kept]
    else:
        points = points[: starts[-1]]
    follows = np.ones(len(points), bool)  # whether a point has one before it in its streamline
    follows[(np.cumsum(lengths) - lengths)[lengths > 0]] = False
    ends = np.flatnonzero(follows)
    edges = np.column_stack((ends - 1, ends)).astype(np.uint32)
    return Skeleton(np.asarray(points, np.float32), edges, name, remarks)


def points_layer(
    points: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    color: str = "#ffff00",
    unit: str = "mm",
) -> dict[str, object]:
    """Return a layer of points for the client's state.

    Parameters
    ----------
    points : array_like of float, shape (n, 3)
        To the right, to the front and up.
    names : sequence of str, optional
        What is said of each.
    color : str, optional
        As ``#rrggbb``.
    unit : str, optional
        That of the coordinates.

    Returns
    -------
    dict
        A layer of local annotations; its ``name`` is for the caller to give.

    Raises
    ------
    ViewerError
        If the points are not finite triples, or the names not as many.

    Examples
    --------
    >>> points_layer([[6, 64, 3]], ['vmPFC'])['annotations']
    [{'type': 'point', 'id': '1', 'point': [6.0, 64.0, 3.0], 'description': 'vmPFC'}]
    """
    where = _coordinates(points, "points", np.dtype(np.float64))
    if names is not None and len(names) != len(where):
        raise ViewerError(f"{len(names)} names for {len(where)} points")
    space = Space(("x", "y", "z"), (unit,) * 3, (1.0,) * 3)
    found: list[dict[str, object]] = []
    for count, point in enumerate(where.tolist(), 1):
        one: dict[str, object] = {"type": "point", "id": str(count), "point": point}
        if names is not None:
            one["description"] = str(names[count - 1])
        found.append(one)
    return {
        "type": "annotation",
        "source": {
            "url": "local://annotations",
            "transform": {"outputDimensions": space.to_json()},
        },
        "annotationColor": color,
        "annotations": found,
    }


def read_points(
    path: str | os.PathLike[str],
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    """Return the points in a table.

    Parameters
    ----------
    path : str or os.PathLike
        CSV or TSV, with a first line in which are ``x``, ``y`` and ``z``, and perhaps ``name``,
        ``label`` or ``roi`` (in any case); as BIDS has ``_electrodes.tsv``.

    Returns
    -------
    points : ndarray of float64, shape (n, 3)
        As in the file.
    names : tuple of str
        One for each; empty texts if there is no such column.
    problems : tuple of str
        The lines that are not points, each with file and line.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it has no such columns, or not one of its lines is a point.
    """
    import csv

    name = _existing(path, "table of points")
    try:
        with open(name, encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_TEXT + 1)
    except OSError as error:
        raise ViewerError(f"cannot read {name}: {error}") from None
    if len(text) > _TEXT:
        raise ViewerError(f"{name} is larger than a table of points can be, {_TEXT >> 20} MiB")
    lines = text.splitlines()
    mark = "\t" if lines and "\t" in lines[0] else ","
    head = [word.strip().lower() for word in next(csv.reader(lines[:1], delimiter=mark), [])]
    if not {"x", "y", "z"} <= set(head):
        raise ViewerError(f"{name} has no columns x, y and z in its first line")
    columns = [head.index(axis) for axis in "xyz"]
    named = next((head.index(word) for word in ("name", "label", "roi") if word in head), None)
    points, names, problems = [], [], []
    for line, content in enumerate(lines[1:], 2):
        if not content.strip():
            continue
        try:
            row = next(csv.reader([content], delimiter=mark))
            point = [float(row[column]) for column in columns]
            if not np.isfinite(point).all():
                raise ValueError
        except (csv.Error, IndexError, ValueError):
            problems.append(f"{name}, line {line}: not a point: {content.strip()!r:.60}")
            continue
        points.append(point)
        names.append(row[named].strip() if named is not None and named < len(row) else "")
    if problems and not points:
        raise ViewerError(f"no point can be read: {problems[0]}")
    return np.array(points, np.float64).reshape(-1, 3), tuple(names), tuple(problems)


def _coordinates(points: ArrayLike, what: str, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
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


def _indices(indices: ArrayLike, columns: int, count: int, what: str) -> NDArray[np.uint32]:
    found = np.asarray(indices)
    if found.size == 0:
        return np.empty((0, columns), np.uint32)
    if found.ndim != 2 or found.shape[1] != columns or found.dtype.kind not in "iu":
        raise ViewerError(f"{what} are whole numbers of the shape (n, {columns})")
    if int(found.min()) < 0 or int(found.max()) >= count:
        raise ViewerError(f"{what} name vertices that are not there: there are {count}")
    return np.ascontiguousarray(found, dtype=np.uint32)


def _existing(path: str | os.PathLike[str], what: str) -> str:
    name = os.fspath(path)
    if not os.path.exists(name):
        raise MissingFileError(f"no {what} {name}", name)
    return name


def _stem(name: str, part: str = "") -> str:
    base = os.path.basename(name)
    for ending in (".gz", ".gii", ".surf", ".trk", ".tck", ".trx"):
        base = base.removesuffix(ending)
    return base or part


def _nibabel() -> Any:
    try:
        import nibabel
        import nibabel.freesurfer
        import nibabel.streamlines
    except ImportError:
        raise ViewerError(f"surfaces and tractograms need nibabel: {_VIEW}") from None
    return nibabel


def _load(name: str) -> Any:
    try:
        return _nibabel().load(name)
    except ViewerError:
        raise
    except Exception as error:  # of a damaged file anything may come
        raise ViewerError(f"{name} cannot be read: {error}") from error
