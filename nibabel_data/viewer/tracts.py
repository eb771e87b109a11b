"""Tractograms (``.trk``, ``.tck``, ``.trx``) in the scanner's millimetres, for the client.

The client has streamlines as skeletons, those of ``src/datasource/precomputed/skeletons.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError
from .vertices import NM, coordinates, existing, joins, load_nibabel, stem

__all__ = ["Skeleton", "read_tracts"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 4_000_000  # vertices of a skeleton; the client draws no more with ease


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
        vertices = coordinates(self.vertices, "vertices")
        edges = joins(self.edges, 2, len(vertices), "edges")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "edges", edges)

    @staticmethod
    def info() -> dict[str, object]:
        """Return the ``info`` of a ``precomputed`` source of such skeletons."""
        return {
            "@type": "neuroglancer_skeletons",
            "transform": [NM, 0, 0, 0, 0, NM, 0, 0, 0, 0, NM, 0],
            "vertex_attributes": [
                {"id": "orientation", "data_type": "float32", "num_components": 3}
            ],
        }

    def orientation(self) -> NDArray[np.float32]:
        """Return how each vertex's line runs there, without a sign, and of length 1.

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
    name = existing(path, "tractogram")
    ending = os.path.splitext(name)[1].lower()
    if ending == ".trx":
        points, starts = _read_trx(name)
    elif ending in (".trk", ".tck"):
        points, starts = _read_streamlines(name)
    else:
        raise ViewerError(f"{name} is not a tractogram: it ends in none of .trk, .tck and .trx")
    return _chains(points, starts, most, stem(name))


def _read_streamlines(name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    streamlines = load_nibabel().streamlines
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
