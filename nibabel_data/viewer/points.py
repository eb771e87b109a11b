"""Points, as a person gives them: of a table, or a list with names.

Tables are CSV and TSV with columns x, y and z, and the fiducials of 3D Slicer (``.fcsv``, described
in its developer's guide, "Markups fiducial point list file format").
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ViewerError
from .spaces import Space
from .vertices import coordinates, existing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Points", "is_points", "points_layer", "points_of", "read_points"]

_TABLES = (".csv", ".tsv", ".fcsv")
_NAMES = ("name", "label", "roi")  # columns
_SYSTEMS = {"0": "RAS", "1": "LPS"}  # of files of older versions of 3D Slicer
_TEXT = 64 << 20  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points with names.

    Attributes
    ----------
    positions : ndarray of float64, shape (n, 3)
        To the right, to the front and up.
    names : tuple of str or None
        One for each.
    unit : str
        Of the positions.
    name : str
        Of the file; may be empty.
    """

    positions: NDArray[np.float64]
    names: tuple[str, ...] | None = None
    unit: str = "mm"
    name: str = ""

    @property
    def space(self) -> Space:
        """The axes along which they are."""
        return Space(("x", "y", "z"), (self.unit,) * 3, (1.0,) * 3)

    def layer(self) -> dict[str, object]:
        """Return what the client's state has of them, by `points_layer`.

        Raises
        ------
        ViewerError
            As `points_layer` does.
        """
        return points_layer(self.positions, self.names, unit=self.unit)


def is_points(data: object) -> bool:
    """Return whether something is what `read_points` returns, or the path of a table.

    Examples
    --------
    >>> is_points('electrodes.tsv'), is_points((np.zeros((2, 3)), ('a', 'b'), ()))
    (True, True)
    >>> is_points(np.zeros((2, 3)))
    False
    """
    if isinstance(data, Points):
        return True
    if isinstance(data, str | os.PathLike):
        return os.fspath(data).lower().endswith(_TABLES)
    return (
        isinstance(data, tuple)
        and len(data) == 3
        and isinstance(data[0], np.ndarray)
        and data[0].ndim == 2
        and data[0].shape[1] == 3
        and all(isinstance(texts, tuple) for texts in data[1:])
        and all(isinstance(text, str) for texts in data[1:] for text in texts)
    )


def points_of(data: Any, names: Any = None, units: str | Sequence[str] | None = None) -> Points:
    """Return points.

    Parameters
    ----------
    data : Points, tuple, array_like, str or os.PathLike
        What `read_points` returns or reads, or triples of numbers.
    names : sequence of str, optional
        One for each; by default those of the table.
    units : str or sequence of str, optional
        Of all three axes; by default millimetres.

    Returns
    -------
    Points
        Lines of a table that are no points are left out, and logged.

    Raises
    ------
    ViewerError
        If these are no points.

    Examples
    --------
    >>> points_of([[6, 64, 3]], ['vmPFC'])
    Points(positions=array([[ 6., 64.,  3.]]), names=('vmPFC',), unit='mm', name='')
    """
    if isinstance(data, Points):
        return data
    name = ""
    problems: Sequence[str] = ()
    if isinstance(data, str | os.PathLike):
        name = os.path.basename(os.fspath(data)).partition(".")[0]
        data = read_points(data)
    found: Any = None
    if is_points(data):
        data, found, problems = data
    for problem in problems[:10]:
        _log.warning("%s", problem)
    given = found if names is None else names
    if given is not None and (
        isinstance(given, str) or not all(isinstance(one, str) for one in given)
    ):
        raise ViewerError("names of points are texts, one for each point")
    unit = _unit(units)
    points = Points(_triples(data), None if given is None else tuple(given), unit, name)
    points.layer()  # what is wrong is said now
    return points


def _unit(units: str | Sequence[str] | None) -> str:
    if units is None or isinstance(units, str):
        return units or "mm"
    if len(set(units)) != 1:
        raise ViewerError(f"points have one unit for all axes, not {', '.join(units)}")
    return units[0]


def _triples(data: Any) -> NDArray[np.float64]:
    try:
        found = np.array(data, np.float64)
    except (TypeError, ValueError) as error:
        raise ViewerError(f"points are not triples of numbers: {error}") from None
    return found.reshape(0, 3) if not found.size else found


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
    where = coordinates(points, "points", np.dtype(np.float64))
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
        ``label`` or ``roi`` (in any case); as BIDS has ``_electrodes.tsv``.  Or fiducials of 3D
        Slicer (``.fcsv``).

    Returns
    -------
    points : ndarray of float64, shape (n, 3)
        As in the file; those of 3D Slicer to the right, to the front and up, also if the file has
        them to the left and to the back (LPS).
    names : tuple of str
        One for each; empty texts if there is no such column.
    problems : tuple of str
        The lines that are not points, each with file and line; and that an ``.fcsv`` does not say
        in which coordinates it is, and is taken to be in RAS.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it has no such columns, or not one of its lines is a point, or they are in coordinates
        other than RAS and LPS.
    """
    import csv

    name = existing(path, "table of points")
    try:
        with open(name, encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_TEXT + 1)
    except OSError as error:
        raise ViewerError(f"cannot read {name}: {error}") from None
    if len(text) > _TEXT:
        raise ViewerError(f"{name} is larger than a table of points can be, {_TEXT >> 20} MiB")
    lines = text.splitlines()
    slicer = name.lower().endswith(".fcsv")
    mark = "\t" if lines and "\t" in lines[0] and not slicer else ","
    about = _fields(lines) if slicer else {"columns": lines[0] if lines else ""}
    head = [
        word.strip().lower()
        for word in next(csv.reader([about.get("columns", "")], delimiter=mark), [])
    ]
    if not {"x", "y", "z"} <= set(head):
        where = "line of columns" if slicer else "first line"
        raise ViewerError(f"{name} has no columns x, y and z in its {where}")
    system = about.get("coordinatesystem", "RAS").upper()
    system = _SYSTEMS.get(system, system)
    if system not in _SYSTEMS.values():
        raise ViewerError(f"{name} is in the coordinates {system}: only RAS and LPS can be shown")
    columns = [head.index(axis) for axis in "xyz"]
    named = next((head.index(word) for word in _NAMES if word in head), None)
    points, names, problems = [], [], []
    for line, content in enumerate(lines, 1):
        if not content.strip() or (content.startswith("#") if slicer else line == 1):
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
    if slicer and "coordinatesystem" not in about:
        problems.append(f"{name} does not say in which coordinates it is: taken as RAS")
    found = np.array(points, np.float64).reshape(-1, 3)
    if system == "LPS":
        found = found * (-1, -1, 1)
    return found, tuple(names), tuple(problems)


def _fields(lines: Sequence[str]) -> dict[str, str]:
    """Return what lines ``# name = value`` of a file of 3D Slicer say, by name in lower case."""
    found = {}
    for line in lines:
        name, between, value = line.removeprefix("#").partition("=")
        if line.startswith("#") and between:
            found[name.strip().lower()] = value.strip()
    return found
