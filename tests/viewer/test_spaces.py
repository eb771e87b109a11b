"""Spaces: units, affines against nibabel's own coordinates, and which way is up."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine, voxel_sizes

from nibabel_data.errors import DataError, ViewerError
from nibabel_data.viewer.spaces import (
    Placement,
    Space,
    affine_transform,
    layer_transform,
    panels,
    parse_unit,
    quaternion,
    upright,
)


def shown(placed: Placement, source: Any) -> np.ndarray:
    """Do what the client does with a coordinate of a source: to one of the space that is shown."""
    scales = np.asarray(placed.input.scales)
    outputs = np.asarray(placed.output.scales)
    result = []
    for row in range(3):
        total = placed.matrix[row, 3]
        for column in range(3):
            factor = scales[column] / outputs[row]
            total = total + placed.matrix[row, column] * source[..., column] * factor
        result.append(total)
    return np.stack(result, axis=-1)


VOXELS = np.array(list(itertools.product((0, 1, 7, 180), repeat=3)))
SIGNED = [
    np.array(flips) * np.eye(3)[:, order]
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def placed_right(affine: np.ndarray, unit: str = "mm", mm: float = 1.0) -> None:
    placed = affine_transform(affine, unit)
    expected = apply_affine(affine, VOXELS) * mm
    found = shown(placed, VOXELS + 0.5)
    size = np.abs(expected).max() + np.abs(affine).max() * mm * 200
    assert np.abs(found - expected).max() <= 1e-13 * size
    sizes = np.asarray(placed.input.scales) * 1e3
    assert np.allclose(sizes, voxel_sizes(affine) * mm, rtol=1e-12, atol=0)


@pytest.mark.parametrize("turn", SIGNED, ids=lambda turn: "".join(f"{v:+.0f}" for v in turn.sum(0)))
def test_all_permutations_and_flips(turn: np.ndarray) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.7, 1.0, 3.3)
    affine[:3, 3] = (-90.5, 126, 72.25)
    placed_right(affine)
    # every entry is 1 or -1 there: nothing has been rounded
    linear = affine_transform(affine).matrix[:, :3]
    assert np.array_equal(linear, turn)


def test_there_are_48_and_half_are_left_handed() -> None:
    hands = [round(np.linalg.det(turn)) for turn in SIGNED]
    assert (len(hands), hands.count(1), hands.count(-1)) == (48, 24, 24)


numbers = st.floats(-1, 1, allow_subnormal=False)


@given(
    st.lists(numbers, min_size=9, max_size=9),
    st.lists(st.floats(0.01, 50), min_size=3, max_size=3),
    st.lists(st.floats(-500, 500), min_size=3, max_size=3),
    st.sampled_from([("mm", 1.0), ("um", 1e-3), ("m", 1e3)]),
)
def test_obliques(
    linear: list[float], sizes: list[float], shift: list[float], unit: tuple[str, float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(linear, (3, 3)) * sizes
    affine[:3, 3] = shift
    lengths = voxel_sizes(affine)
    if not (lengths > 1e-9).all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-5:
        return
    placed_right(affine, *unit)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=16, max_size=16))
def test_any_numbers_are_placed_or_refused(entries: list[float]) -> None:
    try:
        placed = affine_transform(np.reshape(entries, (4, 4)))
    except ViewerError:
        return
    assert np.isfinite(placed.matrix).all()


@pytest.mark.parametrize(
    ("affine", "said"),
    [
        (np.diag((1.0, 0, 1, 1)), "1 x 0 x 1 mm"),
        (np.diag((1.0, np.nan, 1, 1)), "not finite"),
        (np.diag((1.0, np.inf, 1, 1)), "not finite"),
        (np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (np.eye(3), r"shape \(3, 3\)"),
        (np.diag((1.0, 1, 1, 2)), "last row"),
        ([["a"] * 4] * 4, "matrix of numbers"),
    ],
)
def test_what_has_no_place_is_refused(affine: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        affine_transform(affine)


def test_an_affine_in_seconds_is_refused() -> None:
    with pytest.raises(ViewerError, match="length"):
        affine_transform(np.eye(4), "s")


@pytest.mark.parametrize(
    ("unit", "factor", "base"),
    [
        ("mm", 1e-3, "m"),
        ("um", 1e-6, "m"),
        ("µm", 1e-6, "m"),
        ("μm", 1e-6, "m"),
        ("micron", 1e-6, "m"),
        ("micrometer", 1e-6, "m"),
        ("nm", 1e-9, "m"),
        ("m", 1.0, "m"),
        ("Mm", 1e6, "m"),
        ("angstrom", 1e-10, "m"),
        ("s", 1.0, "s"),
        ("sec", 1.0, "s"),
        ("ms", 1e-3, "s"),
        ("msec", 1e-3, "s"),
        ("usec", 1e-6, "s"),
        ("millisecond", 1e-3, "s"),
        ("Hz", 1.0, "Hz"),
        ("kHz", 1e3, "Hz"),
        ("rads", 1.0, "rad/s"),
        ("", 1.0, ""),
        ("unknown", 1.0, ""),
    ],
)
def test_units(unit: str, factor: float, base: str) -> None:
    assert parse_unit(unit) == (factor, base)


@given(st.text())
def test_any_text_is_a_unit_or_refused(text: str) -> None:
    try:
        factor, base = parse_unit(text)
    except DataError:
        return
    assert factor > 0
    assert base in ("m", "s", "Hz", "rad/s", "")


def test_a_space_keeps_base_units_and_can_be_made_of_itself() -> None:
    space = Space(("x", "t", "c^"), ("um", "ms", ""), (4, 800, 1))
    assert space.to_json() == {"x": [4e-6, "m"], "t": [0.8, "s"], "c^": [1.0, ""]}
    assert Space(space.names, space.units, space.scales) == space
    assert space.rank == 3


@pytest.mark.parametrize(
    ("names", "units", "scales", "said"),
    [
        (("x", "x"), ("m", "m"), (1, 1), "one name"),
        (("1x",), ("m",), (1,), "cannot name"),
        (("x y",), ("m",), (1,), "cannot name"),
        (("x",), ("parsec",), (1,), "not a unit"),
        (("x",), ("mm",), (0,), "more than 0"),
        (("x",), ("mm",), (-1,), "more than 0"),
        (("x",), ("mm",), (math.nan,), "finite"),
        (("x",), ("mm", "mm"), (1,), "one of each"),
    ],
)
def test_a_space_that_the_client_does_not_take(
    names: Any, units: Any, scales: Any, said: str
) -> None:
    with pytest.raises(ViewerError, match=said):
        Space(names, units, scales)


def test_a_transform_has_the_rank_of_its_space() -> None:
    space = Space(("x", "y"), ("mm", "mm"), (1, 1))
    with pytest.raises(ViewerError, match="2 rows and 3 columns"):
        layer_transform(np.eye(2), space)


# The client's panels (src/data_panel_layout.ts, sliceview/frontend.ts, perspective_view/panel.ts,
# as of 2.41.2): a view has x to the right, y down and z into the screen, turned by the orientation
# times that of the panel.

HALF = math.sqrt(0.5)
PANELS = {"xy": (0, 0, 0, 1), "xz": (HALF, 0, 0, HALF), "yz": (0, HALF, 0, HALF)}


def times(first: Any, second: Any) -> tuple[float, ...]:
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return (
        ax * bw + aw * bx + ay * bz - az * by,
        ay * bw + aw * by + az * bx - ax * bz,
        az * bw + aw * bz + ax * by - ay * bx,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def turned(orientation: Any, vector: Any) -> str:
    x, y, z, w = orientation
    result = times(times(orientation, (*vector, 0)), (-x, -y, -z, w))[:3]
    axis = int(np.argmax(np.abs(result)))
    assert abs(result[axis]) == pytest.approx(1)
    return ("RL", "AP", "SI")[axis][int(result[axis] < 0)]


def seen(orientation: Any, panel: str = "xy") -> str:
    """Return which directions of the body are right, up and towards who looks."""
    whole = times(orientation, PANELS[panel])
    return "".join(turned(whole, v) for v in ((1, 0, 0), (0, -1, 0), (0, 0, -1)))


def test_the_clients_own_orientation_stands_on_its_head() -> None:
    assert {panel: seen((0, 0, 0, 1), panel) for panel in PANELS} == {
        "xy": "RPI",
        "xz": "RIA",
        "yz": "IPL",
    }


@pytest.mark.parametrize("right", "RLAPSI")
@pytest.mark.parametrize("down", "RLAPSI")
def test_every_orientation(right: str, down: str) -> None:
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    if down in (right, opposite[right]):
        with pytest.raises(ViewerError, match="one axis"):
            quaternion(right, down)
        return
    found = quaternion(right, down)
    assert math.hypot(*found) == pytest.approx(1)
    assert found[3] >= 0
    assert seen(found)[:2] == right + opposite[down]


def test_radiological_is_upright_in_every_panel() -> None:
    state = upright("radiological")
    orientation = state["crossSectionOrientation"]
    assert seen(orientation, "xy") == "LSA"  # coronal, seen from the front
    assert seen(orientation, "xz") == "LAI"  # axial, seen from below
    assert seen(orientation, "yz") == "ASR"  # sagittal
    assert seen(state["projectionOrientation"]) == "LSA"


def test_neurological_has_superior_up_and_right_on_the_right() -> None:
    state = upright("neurological")
    orientation = state["crossSectionOrientation"]
    assert seen(orientation, "xy") == "RSP"
    assert seen(orientation, "yz") == "PSL"
    assert seen(orientation, "xz") == "RPI"  # what one orientation cannot do better
    assert seen(state["projectionOrientation"]) == "RSP"


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("neurological", ["RSP", "ASR", "RAS", "RSP"]),
        ("radiological", ["LSA", "ASR", "LAI", "LSA"]),
    ],
)
def test_panels_are_upright_in_both_conventions(convention: str, expected: list[str]) -> None:
    layout: Any = panels(["t1"], convention)
    viewers = [viewer for row in layout["children"] for viewer in row["children"]]
    assert all(viewer["layers"] == ["t1"] for viewer in viewers)
    turns = [
        viewer.get("crossSectionOrientation") or viewer["projectionOrientation"]
        for viewer in viewers
    ]
    assert [seen(turn["value"]) for turn in turns] == expected


def test_no_single_orientation_is_neurological_and_upright_in_all_panels() -> None:
    for right, down in itertools.permutations("RLAPSI", 2):
        try:
            orientation = quaternion(right, down)
        except ViewerError:
            continue
        views = {seen(orientation, panel)[:2] for panel in PANELS}
        assert not {"RS", "RA"} <= views or not views & {"AS", "PS"}


@pytest.mark.parametrize("call", [upright, lambda name: panels([], name)])
def test_an_unknown_convention(call: Any) -> None:
    with pytest.raises(ViewerError, match="neurological or radiological"):
        call("sideways")


def test_an_unknown_direction() -> None:
    with pytest.raises(ViewerError, match="R, L, A, P, S or I"):
        quaternion("X", "R")
