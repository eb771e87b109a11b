"""Spaces: named axes with units, voxels placed in the scanner's space, and which way is up.

The client's arithmetic, as its ``src/coordinate_transform.ts`` has it: a source has one coordinate
for each of its axes, whole at the **corners** of voxels, and an input scale ``s``; the space that
is shown has an output scale ``o``; a layer's matrix ``M`` and translation ``d`` give

    shown[r] = sum over c of M[r, c] * source[c] * s[c] / o[r]  +  d[r]

so that the linear part has no unit and the translation is in output units.  A NIfTI affine
``A, t`` has whole numbers at the **centres** of voxels.  With ``s`` the voxel sizes, in the unit of
``o``, it becomes ``M = A / s`` (column by column) and ``d = A @ (-1/2, -1/2, -1/2) + t``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ViewerError

__all__ = [
    "Placement",
    "Space",
    "affine_transform",
    "layer_transform",
    "panels",
    "parse_unit",
    "quaternion",
    "upright",
]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_NAME = re.compile(r"[a-zA-Z][a-zA-Z_0-9]*['^]?")

_EXPONENTS = {
    "Y": 24,
    "Z": 21,
    "E": 18,
    "P": 15,
    "T": 12,
    "G": 9,
    "M": 6,
    "k": 3,
    "h": 2,
    "da": 1,
    "": 0,
    "d": -1,
    "c": -2,
    "m": -3,
    "u": -6,
    "µ": -6,  # the micro sign
    "μ": -6,  # the Greek letter
    "n": -9,
    "p": -12,
    "f": -15,
    "a": -18,
    "z": -21,
    "y": -24,
}
_PREFIXES = {
    "kilo": 3,
    "hecto": 2,
    "deca": 1,
    "": 0,
    "deci": -1,
    "centi": -2,
    "milli": -3,
    "micro": -6,
    "nano": -9,
    "pico": -12,
    "femto": -15,
    "mega": 6,
    "giga": 9,
}
_BASES = ("m", "s", "Hz", "rad/s")
_WORDS = {"meter": "m", "metre": "m", "second": "s", "hertz": "Hz"}

_UNITS: dict[str, tuple[int, str]] = {
    **{f"{prefix}{base}": (power, base) for prefix, power in _EXPONENTS.items() for base in _BASES},
    **{
        f"{prefix}{word}{plural}": (power, base)
        for prefix, power in _PREFIXES.items()
        for word, base in _WORDS.items()
        for plural in ("", "s")
    },
    **{f"{prefix}sec": (_PREFIXES[long], "s") for prefix, long in (("", ""), ("m", "milli"))},
    "usec": (-6, "s"),
    "hz": (0, "Hz"),
    "rads": (0, "rad/s"),
    "micron": (-6, "m"),
    "microns": (-6, "m"),
    "angstrom": (-10, "m"),
    **dict.fromkeys(("", "unknown", "pixel", "pixels", "voxel", "voxels", "1", "ppm"), (0, "")),
}


def parse_unit(unit: str) -> tuple[float, str]:
    """Return a unit as a factor and the client's base unit.

    Parameters
    ----------
    unit : str
        A symbol with an SI prefix (``mm``, ``um``, ``µm``, ``ms``, ``Hz``), a name as OME-Zarr has
        it (``micrometer``), a word of NIfTI (``sec``, ``usec``), or nothing.

    Returns
    -------
    factor : float
        How many of the base unit it is.
    base : str
        ``m``, ``s``, ``Hz``, ``rad/s`` or, without a unit, the empty text.

    Raises
    ------
    ViewerError
        If the client has no such unit.

    Examples
    --------
    >>> parse_unit('mm'), parse_unit('micron'), parse_unit('ms'), parse_unit('')
    ((0.001, 'm'), (1e-06, 'm'), (0.001, 's'), (1.0, ''))
    """
    power, base = _unit(unit)
    return _by_power(1.0, power), base


def _unit(unit: str) -> tuple[int, str]:
    text = unit.strip()
    found = _UNITS.get(text) or _UNITS.get(text.lower())
    if found is None:
        raise ViewerError(
            f"{unit!r} is not a unit that can be shown: use one of m, s, Hz or rad/s with an SI "
            "prefix, for instance 'mm', 'um' or 'ms', or '' for none"
        )
    return found


def _by_power(scale: float, power: int) -> float:
    # a division, as in the client: 1 / 1000 is the nearest number to 0.001, 10 ** -3 may not be
    return scale * 10.0**power if power >= 0 else scale / 10.0**-power


@dataclass(frozen=True, slots=True)
class Space:
    """Named axes, each with a scale.

    Parameters
    ----------
    names : sequence of str
        One for each axis: letters, digits and underscores, the first a letter.  One that ends in
        ``'`` is of its layer alone, one that ends in ``^`` is a channel.
    units : sequence of str
        As for `parse_unit`; kept as base units.
    scales : sequence of float
        How large a step of one is along each axis, in its unit; kept in base units.

    Raises
    ------
    ViewerError
        For a name or a unit that the client does not take, two axes of one name, or a scale that is
        not finite and more than 0.

    Examples
    --------
    >>> Space(('x', 'y', 't'), ('mm', 'mm', 's'), (1, 2, 0.8)).to_json()
    {'x': [0.001, 'm'], 'y': [0.002, 'm'], 't': [0.8, 's']}
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        names, units = tuple(self.names), tuple(self.units)
        if not len(names) == len(units) == len(self.scales):
            raise ViewerError(
                f"a space of {len(names)} names, {len(units)} units and {len(self.scales)} scales: "
                "give one of each for each axis"
            )
        for name in names:
            if not _NAME.fullmatch(name):
                raise ViewerError(
                    f"{name!r} cannot name an axis: use letters, digits and underscores, the first "
                    "a letter, and at the end perhaps ' or ^"
                )
        if len(set(names)) < len(names):
            raise ViewerError(f"two axes have one name: {', '.join(names)}")
        scales, bases = [], []
        for name, unit, scale in zip(names, units, self.scales, strict=True):
            power, base = _unit(unit)
            value = _by_power(float(scale), power)
            if not (math.isfinite(value) and value > 0):
                raise ViewerError(
                    f"axis {name} has a step of {float(scale)} {unit}".rstrip()
                    + ": it has to be finite and more than 0"
                )
            scales.append(value)
            bases.append(base)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "units", tuple(bases))
        object.__setattr__(self, "scales", tuple(scales))

    @property
    def rank(self) -> int:
        """How many axes there are."""
        return len(self.names)

    def to_json(self) -> dict[str, list[float | str]]:
        """Return it as the client's ``coordinateSpace`` or ``dimensions``."""
        return {
            name: [scale, unit]
            for name, scale, unit in zip(self.names, self.scales, self.units, strict=True)
        }


class Placement(NamedTuple):
    """Where the voxels of a volume are.

    Attributes
    ----------
    input : Space
        Its axes ``i``, ``j``, ``k``, a step of which is a voxel.
    output : Space
        ``x``, ``y``, ``z``: to the right, to the front and up, in millimetres.
    matrix : ndarray of float64, shape (3, 4)
        The client's matrix between them; its last column in millimetres.
    """

    input: Space
    output: Space
    matrix: NDArray[np.float64]


def affine_transform(affine: ArrayLike, unit: str = "mm") -> Placement:
    """Return how the client is told of a NIfTI affine.

    Parameters
    ----------
    affine : array_like of float, shape (4, 4) or (3, 4)
        From voxel indices, whole at the centres, to the scanner's right, anterior and superior.
    unit : str, optional
        That of the affine's result.

    Returns
    -------
    Placement
        Such that the centre of voxel ``(i, j, k)``, ``(i + 1/2, j + 1/2, k + 1/2)`` to the client,
        is shown at ``A @ (i, j, k) + t``.

    Raises
    ------
    ViewerError
        If the affine is not finite, or a voxel has no size or no volume in it.

    Notes
    -----
    Obliques, shears and left-handed affines are as good as any other: voxel sizes are lengths of
    columns, as those of `nibabel.affines.voxel_sizes`.

    Examples
    --------
    >>> placed = affine_transform([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    >>> placed.input.scales
    (0.002, 0.002, 0.002)
    >>> placed.matrix.tolist()
    [[-1.0, 0.0, 0.0, 91.0], [0.0, 1.0, 0.0, -127.0], [0.0, 0.0, 1.0, -73.0]]
    """
    try:
        given = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ViewerError(f"the affine is not a matrix of numbers: {error}") from None
    if given.shape not in ((4, 4), (3, 4)):
        raise ViewerError(f"the affine has the shape {given.shape}, rather than (4, 4)")
    if not np.isfinite(given).all():
        raise ViewerError(f"the affine has entries that are not finite: {given.tolist()}")
    if given.shape[0] == 4 and not np.array_equal(given[3], (0, 0, 0, 1)):
        raise ViewerError(f"the last row of the affine is {given[3].tolist()}, not 0, 0, 0, 1")
    power, base = _unit(unit)
    if base != "m":
        raise ViewerError(f"the unit of an affine is a length, not {unit!r}")
    steps = given[:3] * 10.0 ** (power + 3) if power >= -3 else given[:3] / 10.0 ** -(power + 3)
    linear, shift = steps[:, :3], steps[:, 3]
    sizes = np.hypot(np.hypot(linear[0], linear[1]), linear[2])
    if not (np.isfinite(sizes).all() and np.isfinite(shift).all() and (sizes > 0).all()):
        raise ViewerError(
            f"the affine gives voxels of {' x '.join(f'{size:g}' for size in sizes)} mm: each size "
            "has to be finite and more than 0"
        )
    directions = linear / sizes
    if abs(np.linalg.det(directions)) < 1e-6:
        raise ViewerError(
            "the affine is singular: it puts the axes of the voxels in one plane, so that they "
            f"have no volume: {given.tolist()}"
        )
    matrix = np.column_stack((directions, shift - linear @ (0.5, 0.5, 0.5)))
    return Placement(
        Space(("i", "j", "k"), ("mm",) * 3, tuple(sizes.tolist())),
        Space(("x", "y", "z"), ("mm",) * 3, (1.0,) * 3),
        matrix,
    )


def layer_transform(matrix: ArrayLike, output: Space) -> dict[str, object]:
    """Return the ``transform`` of a layer's source, as the client's state has it.

    Parameters
    ----------
    matrix : array_like of float, shape (rank, rank + 1)
        A row for each output axis; columns in the order of the source's own axes.
    output : Space
        The axes that are shown, of the same rank.

    Returns
    -------
    dict
        ``matrix`` and ``outputDimensions``; the scales of the source are its own.

    Examples
    --------
    >>> layer_transform([[1, 0.5]], Space(('x',), ('mm',), (1,)))
    {'matrix': [[1.0, 0.5]], 'outputDimensions': {'x': [0.001, 'm']}}
    """
    rows = np.asarray(matrix, dtype=np.float64)
    if rows.shape != (output.rank, output.rank + 1):
        raise ViewerError(
            f"a transform to {output.rank} axes has {output.rank} rows and {output.rank + 1} "
            f"columns, not the shape {rows.shape}"
        )
    return {"matrix": rows.tolist(), "outputDimensions": output.to_json()}


_DIRECTIONS = {
    "R": (1.0, 0.0, 0.0),
    "L": (-1.0, 0.0, 0.0),
    "A": (0.0, 1.0, 0.0),
    "P": (0.0, -1.0, 0.0),
    "S": (0.0, 0.0, 1.0),
    "I": (0.0, 0.0, -1.0),
}
_SIDE = {"neurological": "R", "radiological": "L"}


def quaternion(right: str, down: str) -> list[float]:
    """Return the orientation of a view in which two directions of the body are right and down.

    Parameters
    ----------
    right, down : str
        One of R, L (right and left), A, P (anterior and posterior), S, I (superior and inferior),
        on different axes.

    Returns
    -------
    list of float
        The quaternion ``[x, y, z, w]``, of length 1 and with ``w`` not negative, that turns the
        client's view (x right, y down, z away from who looks) to these.

    Examples
    --------
    >>> quaternion('R', 'P')
    [1.0, 0.0, 0.0, 0.0]
    """
    try:
        first, second = np.array(_DIRECTIONS[right]), np.array(_DIRECTIONS[down])
    except KeyError as error:
        raise ViewerError(f"{error.args[0]!r} is not a direction: use R, L, A, P, S or I") from None
    turn = np.column_stack((first, second, np.cross(first, second)))
    if abs(np.linalg.det(turn)) < 0.5:
        raise ViewerError(f"{right} and {down} are on one axis: no view has them right and down")
    # of the four ways to write it, the one that does not divide by a small number
    outer = np.array(
        [
            [turn[0, 0] - turn[1, 1] - turn[2, 2], 0, 0, 0],
            [turn[0, 1] + turn[1, 0], turn[1, 1] - turn[0, 0] - turn[2, 2], 0, 0],
            [
                turn[0, 2] + turn[2, 0],
                turn[1, 2] + turn[2, 1],
                turn[2, 2] - turn[0, 0] - turn[1, 1],
                0,
            ],
            [
                turn[2, 1] - turn[1, 2],
                turn[0, 2] - turn[2, 0],
                turn[1, 0] - turn[0, 1],
                np.trace(turn),
            ],
        ]
    )
    outer = (outer + np.tril(outer, -1).T + np.eye(4)) / 4
    column = outer[:, int(np.argmax(np.diag(outer)))]
    found = column / np.linalg.norm(column)
    nonzero = found[np.abs(found) > 1e-12]
    found = found * (np.sign(found[3]) if abs(found[3]) > 1e-12 else np.sign(nonzero[0]))
    return [float(value) + 0.0 for value in found]


def upright(convention: str = "radiological") -> dict[str, list[float]]:
    """Return the orientations in the client's state with which a brain stands upright.

    Its own has y and z downwards, so that a brain that is placed in the scanner's space stands on
    its head.

    Parameters
    ----------
    convention : {'radiological', 'neurological'}, optional
        Whether the left or the right side of the body is on the right side of the screen.

    Returns
    -------
    dict
        ``crossSectionOrientation`` and ``projectionOrientation``.

    Notes
    -----
    The client makes its panels ``xy``, ``xz`` and ``yz`` from one orientation.  They are then the
    coronal, the axial and the sagittal plane.  With 'radiological', superior is up in the coronal,
    the sagittal and the 3-D view (seen from the front) and anterior is up in the axial one.  With
    'neurological' (3-D seen from behind) the axial panel has anterior down: no rotation has all
    three upright and the right side on the right, because two of the panels are seen from opposite
    sides.  `panels` has no such limit.

    Examples
    --------
    >>> upright()['crossSectionOrientation']
    [0.0, 0.7071067811865..., -0.7071067811865..., 0.0]
    """
    orientation = quaternion(_side(convention), "I")
    return {"crossSectionOrientation": orientation, "projectionOrientation": list(orientation)}


def panels(layers: Sequence[str], convention: str = "neurological") -> dict[str, object]:
    """Return a ``layout`` of four panels, each upright, in either convention.

    Coronal and sagittal above, axial and 3-D below.  The sagittal panel has anterior on the right;
    3-D is seen from behind in 'neurological', from the front in 'radiological'.

    Parameters
    ----------
    layers : sequence of str
        The names of the layers to show.
    convention : {'neurological', 'radiological'}, optional
        As for `upright`.

    Returns
    -------
    dict
        For ``layout`` in the client's state.

    Examples
    --------
    >>> panels(['t1'])['children'][1]['children'][0]['crossSectionOrientation']
    {'link': 'unlinked', 'value': [1.0, 0.0, 0.0, 0.0]}
    """
    side = _side(convention)

    def panel(layout: str, key: str, right: str, down: str) -> dict[str, object]:
        return {
            "type": "viewer",
            "layers": list(layers),
            "layout": layout,
            key: {"link": "unlinked", "value": quaternion(right, down)},
        }

    cross, projection = "crossSectionOrientation", "projectionOrientation"
    above = [panel("xy", cross, side, "I"), panel("xy", cross, "A", "I")]
    below = [panel("xy", cross, side, "P"), panel("3d", projection, side, "I")]
    return {
        "type": "column",
        "children": [{"type": "row", "children": row} for row in (above, below)],
    }


def _side(convention: str) -> str:
    side = _SIDE.get(convention)
    if side is None:
        raise ViewerError(f"{convention!r} is not a convention: use {' or '.join(_SIDE)}")
    return side
