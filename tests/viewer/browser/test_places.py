"""Where things are painted, pixel by pixel, against nibabel's own coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from nibabel.orientations import apply_orientation, inv_ornt_aff

import nibabel_data.viewer as v
from nibabel_data.cli.demo import BRAIN, nilearn_images

from .pages import READY, SIZE, Page, pump
from .pages import browser as browser

BODY = dict(zip("RASLPI", np.vstack((np.eye(3), -np.eye(3))), strict=True))
# 26 colours of which no two are alike, and the black of nothing.
PALETTE = np.array(list(itertools.product((0, 128, 255), repeat=3)))
COLOURS = {str(n): "#{:02x}{:02x}{:02x}".format(*PALETTE[n]) for n in range(1, 27)}
VOXELS = np.random.default_rng(0).permutation(np.arange(1, 25)).reshape(4, 3, 2).astype("u4")
ORIENTATIONS = [
    np.column_stack((order, flips))
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


class View(NamedTuple):
    """A cross section: the place in its middle, what is right and down, and pixels for 1 mm."""

    at: Sequence[float]
    right: str
    down: str
    zoom: float

    def points(self) -> Any:
        """Return where the centre of each pixel is, shape (height, width, 3)."""
        across, down = SIZE
        u = (np.arange(across) + 0.5 - across / 2)[None, :, None] / self.zoom
        w = (np.arange(down) + 0.5 - down / 2)[:, None, None] / self.zoom
        return np.array(self.at) + u * BODY[self.right] + w * BODY[self.down]

    def place(self, across: float, down: float) -> Any:
        """Return where something is that is so many millimetres from the middle."""
        return np.array(self.at) + across * BODY[self.right] + down * BODY[self.down]

    def seen(self, places: Any) -> Any:
        """Return the pixels at which places are seen: across and down."""
        axes = np.transpose((BODY[self.right], BODY[self.down]))
        return np.array(SIZE) / 2 + (places - np.array(self.at)) @ axes * self.zoom

    def put(self, state: Any) -> None:
        """Have a page look so."""
        state["layout"] = "xy"
        state["position"] = [float(x) for x in self.at]
        state["crossSectionScale"] = 1 / self.zoom
        state["crossSectionBackgroundColor"] = "#000000"
        state["crossSectionOrientation"] = v.spaces.quaternion(self.right, self.down)
        for key in ("showDefaultAnnotations", "showAxisLines", "showScaleBar"):
            state[key] = False
        for layer in state["layers"]:
            if layer["type"] == "segmentation":
                layer |= {"selectedAlpha": 1, "saturation": 1, "segmentColors": COLOURS}


def _sampled(data: Any, affine: Any, points: Any) -> Any:
    """Return the value of the voxel in which each point is; 0 outside."""
    found = np.rint(apply_affine(np.linalg.inv(affine), points)).astype(int)
    inside = ((found >= 0) & (found < data.shape)).all(axis=-1)
    found[~inside] = 0
    return np.where(inside, data[tuple(np.moveaxis(found, -1, 0))], 0)


def _near(values: Any) -> Any:
    """Return of each pixel the values of it and of its eight neighbours, as a last axis."""
    padded = np.pad(values, 1, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*values.shape, 9)


def _labels_in(pixels: Any) -> Any:
    """Return the label of which each pixel has the colour; -1 for any other colour."""
    distance = abs(pixels[:, :, None] - PALETTE).max(axis=-1)
    return np.where(distance.min(axis=-1) < 8, distance.argmin(axis=-1), -1)


def _assert_painted(pixels: Any, expected: Any) -> None:
    """Each pixel shows a label that is there, or is next to it: edges are right to one pixel."""
    painted = _labels_in(pixels)
    wrong = (painted[..., None] != _near(expected)).all(axis=-1)
    assert not wrong.any(), f"{wrong.sum()} pixels, first {np.argwhere(wrong)[0][::-1]}"
    # And nothing has become smaller: what is away from edges is there exactly.
    inner = (_near(expected) == expected[..., None]).all(axis=-1)
    assert inner.mean() > 0.5
    np.testing.assert_array_equal(painted[inner], expected[inner])


@pytest.fixture
def viewer() -> Iterator[v.Viewer]:
    yield v.Viewer()
    v.stop()


def _shot(browser: Any, viewer: v.Viewer, view: View) -> Any:
    with viewer.txn() as state:
        view.put(state)
    page = Page(browser, viewer)
    page.wait(READY.format(len(viewer.layers)))
    pixels = page.pixels(viewer)
    page.page.close()
    assert page.errors == []
    return pixels


@pytest.mark.parametrize(("right", "down"), ["LI", "AS"])
def test_all_48_orders_and_directions_of_axes_paint_the_same(
    browser: Any, viewer: v.Viewer, right: str, down: str
) -> None:
    view = View((3.2, -40.7, 11.3), right, down, 4)
    affine = np.diag((3.0, 4.0, 5.0, 1.0))
    affine[:3, 3] = view.at - apply_affine(affine, (1.4, 1.3, 0.4))
    expected = np.zeros(SIZE[::-1], int)
    for number, orientation in enumerate(ORIENTATIONS):
        turned = affine @ inv_ornt_aff(orientation, VOXELS.shape)
        shift = view.place(17 * (number % 8 - 3.5), 16 * (number // 8 - 2.5)) - view.at
        data = apply_orientation(VOXELS, orientation)
        image = nibabel.Nifti1Image(data, from_matvec(np.eye(3), shift) @ turned)
        viewer.add(image, name=str(number), kind="segmentation")
        expected += _sampled(VOXELS, affine, view.points() - shift)  # of the first, for all
    assert len(np.unique(expected)) >= 7
    _assert_painted(_shot(browser, viewer, view), expected)


def _oblique(random: np.random.Generator) -> Any:
    """Return voxels of 2 to 5 mm, turned, sheared, and as often left-handed as not."""
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    shear = np.eye(3) + random.uniform(-0.15, 0.15, (3, 3))
    return turn @ shear @ np.diag(random.uniform(2, 5, 3))


def _boxes(random: np.random.Generator, view: View, count: tuple[int, int]) -> Iterator[Any]:
    """Return affines of obliques with their middles on a grid of a view, 26 mm apart."""
    for row, column in np.ndindex(count):
        linear = _oblique(random)
        shift = (column - (count[1] - 1) / 2, row - (count[0] - 1) / 2)
        middle = view.place(26 * shift[0], 26 * shift[1])
        yield from_matvec(linear, middle - linear @ ((np.array(VOXELS.shape) - 1) / 2 + 0.05))


@pytest.mark.parametrize(("right", "down"), ["RP", "SL"])
def test_random_obliques_are_painted_voxel_by_voxel(
    browser: Any, viewer: v.Viewer, right: str, down: str
) -> None:
    view = View((-12.4, 33.1, 5.7), right, down, 4)
    expected = np.zeros(SIZE[::-1], int)
    random = np.random.default_rng(ord(right))
    for number, affine in enumerate(_boxes(random, view, (3, 5))):
        image = nibabel.Nifti1Image(VOXELS, affine)
        viewer.add(image, name=str(number), kind="segmentation")
        found = _sampled(VOXELS, affine, view.points())
        assert not ((expected > 0) & (found > 0)).any()
        expected += found
    assert len(np.unique(expected)) > 20
    _assert_painted(_shot(browser, viewer, view), expected)


def test_meshes_of_random_obliques_have_the_outlines_of_their_voxels(
    browser: Any, viewer: v.Viewer
) -> None:
    view = View((-12.4, 33.1, 5.7), "L", "I", 4)
    labels = np.pad(np.full(VOXELS.shape, 26, "u1").repeat(16, 0).repeat(16, 1).repeat(16, 2), 1)
    finer = from_matvec(np.eye(3) / 16, (-17 / 32,) * 3)  # and one more before the first
    corners = np.array(list(itertools.product(*((-0.5, size - 0.5) for size in VOXELS.shape))))
    outlines = []
    for number, affine in enumerate(_boxes(np.random.default_rng(3), view, (3, 5))):
        image = nibabel.Nifti1Image(labels, affine @ finer)
        viewer.add(image, name=str(number), kind="segmentation", segments=[26])
        outlines.append(view.seen(apply_affine(affine, corners)))
    with viewer.txn() as state:
        _in_three_dimensions(state, view)
    page = Page(browser, viewer)
    page.wait(READY.format(len(outlines)))
    painted = page.pixels(viewer).max(axis=-1) > 0
    page.page.close()
    pixels = np.moveaxis(np.indices(SIZE[::-1])[::-1], 0, -1) + 0.5
    outside = np.ones(painted.shape, bool)
    for outline in outlines:
        assert painted[_in_hull(pixels, outline, -1.5)].all()
        outside &= ~_in_hull(pixels, outline, 0.5)
    assert not painted[outside].any()


def _in_three_dimensions(state: Any, view: View) -> None:
    view.put(state)
    state["layout"] = {"type": "3d", "orthographicProjection": True}
    state["showSlices"] = False
    state["projectionBackgroundColor"] = "#000000"
    state["projectionOrientation"] = v.spaces.quaternion(view.right, view.down)
    state["projectionScale"] = SIZE[1] / view.zoom


def _in_hull(pixels: Any, corners: Any, margin: float) -> Any:
    """Return whether each pixel is in the convex hull of corners, or no farther than a margin."""
    found = np.ones(pixels.shape[:-1], bool)
    for first, second in itertools.permutations(corners, 2):
        along = (second - first) / np.linalg.norm(second - first)
        normal = np.array((along[1], -along[0]))
        if ((corners - first) @ normal < 1e-9).all():  # an edge, with all else on one side
            found &= (pixels - first) @ normal <= margin
    return found


@pytest.fixture(scope="module")
def brain() -> Any:
    found = nilearn_images(BRAIN)
    if found is None:
        pytest.skip("needs the MNI brain that nilearn carries")
    return nibabel.load(found[0])


def _halves(brain: Any) -> Any:
    """Return the brain's left half as 1 and its right one as 2, 3 mm apart."""
    inside = np.asarray(brain.dataobj) > 0
    x = apply_affine(brain.affine, np.stack(np.indices(inside.shape), axis=-1))[..., 0]
    return (inside & (x < -1.5)).astype("u1") + 2 * (inside & (x > 1.5)).astype("u1")


@pytest.mark.parametrize(("convention", "side"), [("radiological", "L"), ("neurological", "R")])
def test_left_is_left_in_the_real_brain(
    browser: Any, brain: Any, convention: str, side: str
) -> None:
    halves = _halves(brain)
    image = nibabel.Nifti1Image(halves, brain.affine)
    with v.Viewer(convention) as viewer:
        viewer.add(image, name="halves", kind="segmentation")
        orientation = viewer.state["crossSectionOrientation"]
        view = View((0.2, -20.3, 10.2), side, "I", 2)
        pixels = _shot(browser, viewer, view)
        assert viewer.state["crossSectionOrientation"] == pytest.approx(orientation)
    v.stop()
    _assert_painted(pixels, _sampled(halves, brain.affine, view.points()))
    columns = np.arange(SIZE[0])
    left, right = (np.average(columns, weights=(_labels_in(pixels) == n).sum(0)) for n in (1, 2))
    assert (left > right) == (convention == "radiological")


def test_the_real_brain_is_painted_grey_by_grey(browser: Any, brain: Any) -> None:
    voxels = np.asarray(brain.dataobj)
    high = int(voxels.max())
    with v.Viewer() as viewer:
        viewer.add(brain, name="T1", window=(0, high))
        view = View((11.7, -20.3, 10.2), "A", "I", 2)
        pixels = _shot(browser, viewer, view)
    v.stop()
    assert (np.ptp(pixels, axis=-1) <= 1).all()
    expected = _near(_sampled(voxels, brain.affine, view.points()) * (255 / high))
    grey = pixels[..., 0]
    assert (grey >= expected.min(axis=-1) - 2).all()
    assert (grey <= expected.max(axis=-1) + 2).all()
    assert grey.std() > 30
    assert abs(grey - expected[..., 4]).mean() < 2


def test_the_mesh_of_half_the_real_brain_surrounds_it(browser: Any, brain: Any) -> None:
    half = _halves(brain) == 1
    image = nibabel.Nifti1Image(half.astype("u1") * 26, brain.affine)
    view = View((0.2, -20.3, 10.2), "L", "I", 2)
    with v.Viewer() as viewer:
        viewer.add(image, name="left", kind="segmentation", segments=[26])
        with viewer.txn() as state:
            _in_three_dimensions(state, view)
        page = Page(browser, viewer)
        painted = page.pixels(viewer).max(axis=-1) > 0
        page.page.close()
    v.stop()
    shadow = np.broadcast_to(half.any(axis=1, keepdims=True), half.shape)  # seen from the front
    expected = _sampled(shadow, brain.affine, view.points()).astype(bool)
    outer = _near(_near(expected).any(axis=-1)).any(axis=-1)
    inner = _near(_near(expected).all(axis=-1)).all(axis=-1)
    assert not (painted & ~outer).any()
    assert not (inner & ~painted).any()
    assert np.nonzero(painted)[1].mean() > SIZE[0] / 2 + 20  # the left is on the right
    assert inner.sum() > 20_000


def test_the_cursor_in_the_real_brain_is_read_back(browser: Any, brain: Any) -> None:
    voxels = np.asarray(brain.dataobj)
    view = View((11.7, -20.3, 10.2), "L", "I", 4)
    acts: list[v.Action] = []
    with v.Viewer() as viewer:
        viewer.add(brain, name="T1")
        viewer.on("keyt", acts.append)
        with viewer.txn() as state:
            view.put(state)
        page = Page(browser, viewer)
        box = page.page.locator(".neuroglancer-rendered-data-panel").bounding_box()
        middle = np.array((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        for step in ((60, -80), (-110, 31)):
            page.page.mouse.move(*(middle + step))
            page.page.wait_for_timeout(200)
            page.page.keyboard.press("t")
            pump(page, lambda: acts)
            act = acts.pop()
            place = view.place(step[0] / view.zoom, step[1] / view.zoom)
            assert act.position == pytest.approx(place, abs=1 / view.zoom)
            value = _sampled(voxels, brain.affine, np.array(act.position))
            assert act.values == {"T1": {"value": int(value)}}
        page.page.mouse.click(*(middle + step), button="right")
        pump(page, lambda: viewer.position == pytest.approx(place, abs=1 / view.zoom))
        page.page.close()
        assert page.errors == []
    v.stop()


def test_a_page_that_has_the_size_already_is_painted_without_controls(
    browser: Any, viewer: v.Viewer
) -> None:
    view = View((1.7, -2.3, 0.2), "R", "A", 20)
    viewer.add(nibabel.Nifti1Image(VOXELS, np.diag((3, 4, 5, 1))), name="a", kind="segmentation")
    with viewer.txn() as state:
        view.put(state)
    page = Page(browser, viewer)
    page.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    page.wait(READY.format(1))
    expected = _sampled(VOXELS, np.diag((3, 4, 5, 1)), view.points())
    for _ in range(2):
        _assert_painted(page.pixels(viewer), expected)
    page.page.close()


def test_a_page_that_knows_names_before_voxels_looks_at_the_voxels(
    browser: Any, viewer: v.Viewer
) -> None:
    affine = np.diag((3.0, 4.0, 5.0, 1.0))
    viewer.add(nibabel.Nifti1Image(VOXELS, affine), name="a", labels={1: "one"})
    context = browser.new_context()
    held: list[Any] = []
    context.route("**/neuroglancer/info/**", lambda route: held.append(route))
    context.on("requestfinished", lambda one: "/files/" in one.url and _release(held))
    page = Page(context, viewer)
    page.page.wait_for_timeout(300)
    assert viewer.position == pytest.approx(apply_affine(affine, (2, 1, 1)))
    place = page.page.evaluate("Array.from(viewer.position.value)")
    assert place == pytest.approx(viewer.position)
    context.close()


def _release(held: list[Any]) -> None:
    while held:
        held.pop().continue_()
