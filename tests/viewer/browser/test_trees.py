"""Trees that were written, in a real browser: they are where the arrays are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import nibabel_data.viewer as v

from .pages import SIZE, box_of, box_of_reddish, pixels_of
from .pages import browser as browser

RED = (255, 0, 0)
# Oblique and left-handed; millimetres.
AFFINE = np.array([[0, -1.2, 0, 30], [1.0, 0, 0.1, -20], [0, 0, 2, -10], [0, 0, 0, 1.0]])


@pytest.fixture
def labels() -> Any:
    array = np.zeros((50, 40, 30), "u4")
    array[10:30, 8:24, 6:18] = 3
    array[2:5, 30:36, 2:4] = 7
    return nibabel.Nifti1Image(array, AFFINE)  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    v.stop()


def _shot(data: object, tmp_path: Path, layout: object, **state: object) -> Any:
    with v.Viewer() as viewer:
        viewer.add(data, name="labels", kind="segmentation", segments=[3])
        with viewer.txn() as page:
            page |= {"layout": layout, "showDefaultAnnotations": False, "showAxisLines": False}
            page |= {"showScaleBar": False, "position": [10, 5, 12], "crossSectionScale": 0.2}
            page |= state
            page["layers"][0] |= {"selectedAlpha": 1, "segmentColors": {"3": "#ff0000"}}
        viewer.screenshot(tmp_path / "shot.png", size=SIZE, timeout=90)
    return pixels_of((tmp_path / "shot.png").read_bytes())


@pytest.mark.parametrize("format", ["precomputed", "ome-zarr"])
def test_a_tree_is_painted_where_its_image_is(labels: Any, tmp_path: Path, format: str) -> None:
    v.precompute(labels, tmp_path / "tree", format=format, kind="segmentation")
    live = _shot(labels, tmp_path, "xy")
    tree = _shot(tmp_path / "tree", tmp_path, "xy")
    assert box_of(tree, RED) == pytest.approx(box_of(live, RED), abs=1)
    left, top, right, bottom = box_of(live, RED)
    assert right - left > 40
    assert bottom - top > 40


def test_the_meshes_of_a_tree_are_where_its_voxels_are(labels: Any, tmp_path: Path) -> None:
    v.precompute(labels, tmp_path / "tree", kind="segmentation")
    layout = {"type": "3d", "orthographicProjection": True}
    state: Any = {
        "projectionScale": 100,
        "showSlices": False,
        "projectionOrientation": [0, 0, 0, 1],
    }
    live = _shot(labels, tmp_path, layout, **state)
    tree = _shot(tmp_path / "tree", tmp_path, layout, **state)
    assert box_of_reddish(tree) == pytest.approx(box_of_reddish(live), abs=2)
