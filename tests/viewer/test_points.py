from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.errors import DataError, ViewerError
from nibabel_data.viewer.points import (
    Points,
    is_points,
    points_layer,
    points_of,
    read_points,
)

from .samples import nilearn

TABLE = "name\tx\ty\tz\nC3\t-50\t2.5\t60\nbad\tn/a\t0\t0\nC4\t50\t2.5\t60\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sub-01_electrodes.tsv"
    path.write_text(TABLE)
    return path


def _layer(*arguments: Any, **options: Any) -> dict[str, Any]:
    with v.Viewer() as viewer:
        viewer.add(*arguments, **options)
        layer: dict[str, Any] = viewer.state["layers"][0]
        layer["dimensions"] = viewer.state["dimensions"]
        return layer


def _points(layer: dict[str, Any]) -> list[tuple[list[float], str | None]]:
    return [(one["point"], one.get("description")) for one in layer["annotations"]]


def test_a_table_is_a_layer_of_its_points_and_bad_lines_are_logged(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        layer = _layer(table)
    assert layer["name"] == "sub-01_electrodes"
    assert layer["type"] == "annotation"
    assert _points(layer) == [([-50.0, 2.5, 60.0], "C3"), ([50.0, 2.5, 60.0], "C4")]
    assert layer["dimensions"]["x"] == [0.001, "m"]
    assert f"{table}, line 3" in caplog.text


def test_what_read_points_returns_can_be_added(table: Path) -> None:
    found = read_points(table)
    assert is_points(found)
    assert _points(_layer(found, name="p"))[1] == ([50.0, 2.5, 60.0], "C4")


def test_a_list_has_names_and_a_unit() -> None:
    layer = _layer([[1, 2, 3], [4, 5, 6]], kind="points", labels=["a", "b"], units="um")
    assert _points(layer) == [([1.0, 2.0, 3.0], "a"), ([4.0, 5.0, 6.0], "b")]
    assert layer["dimensions"]["x"] == [1e-6, "m"]
    assert _points(_layer(np.ones((1, 3)), kind="points")) == [([1.0, 1.0, 1.0], None)]


def test_the_page_looks_at_them() -> None:
    with v.Viewer() as viewer:
        viewer.add([[0, 0, 0], [10, 20, 30]], kind="points")
        assert viewer.position == (5, 10, 15)


def test_layers_of_points_are_refreshed_and_removed_like_others() -> None:
    with v.Viewer() as viewer:
        name = viewer.add([[1, 2, 3]], kind="points", name="p")
        viewer.refresh()
        viewer.remove(name)
        assert viewer.layers == ()


@pytest.mark.parametrize(
    ("data", "names", "units", "said"),
    [
        ([[1, 2]], None, None, r"shape \(n, 3\)"),
        ([[1, 2, np.inf]], None, None, "finite"),
        ([["a", 2, 3]], None, None, "triples of numbers"),
        ([[1, 2, 3]], ["a", "b"], None, "2 names for 1 points"),
        ([[1, 2, 3]], [1], None, "are texts"),
        ([[1, 2, 3]], "a", None, "are texts"),
        ([[1, 2, 3]], None, ["mm", "mm", "um"], "one unit"),
    ],
)
def test_what_is_no_point_is_said(data: Any, names: Any, units: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        points_of(data, names, units)


def test_an_array_is_no_list_of_points() -> None:
    assert not is_points(np.zeros((4, 3)))
    assert not is_points((np.zeros((4, 3)), 1, 2))
    assert not is_points([[1, 2, 3]])
    assert is_points(Points(np.zeros((1, 3))))


def test_a_layer_of_points() -> None:
    layer = points_layer(np.array([[1, 2, 3], [4, 5, 6.5]]), ["a", "b"], color="#00ff00")
    assert layer == {
        "type": "annotation",
        "source": {
            "url": "local://annotations",
            "transform": {
                "outputDimensions": {"x": [1e-3, "m"], "y": [1e-3, "m"], "z": [1e-3, "m"]}
            },
        },
        "annotationColor": "#00ff00",
        "annotations": [
            {"type": "point", "id": "1", "point": [1, 2, 3], "description": "a"},
            {"type": "point", "id": "2", "point": [4, 5, 6.5], "description": "b"},
        ],
    }
    json.dumps(layer)
    assert points_layer([])["annotations"] == []


@pytest.mark.parametrize(
    ("points", "names", "said"),
    [([[1, 2]], None, "shape"), ([[1, 2, np.nan]], None, "finite"), ([[1, 2, 3]], [], "0 names")],
)
def test_what_is_no_point(points: Any, names: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        points_layer(points, names)


def test_tables_of_points(tmp_path: Path) -> None:
    path = tmp_path / "a_electrodes.tsv"
    path.write_text("name\tx\ty\tz\nA1\t1\t2\t3\nA2\tn/a\tn/a\tn/a\n\nA3\t4\t5\t6e0\nA4\t1\n")
    points, names, problems = read_points(path)
    assert points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert names == ("A1", "A3")
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{path}, line 3",
        f"{path}, line 6",
    ]
    path.write_text("a,b\n")
    with pytest.raises(ViewerError, match="x, y and z"):
        read_points(path)
    path.write_text("x,y,z\na,b,c\n")
    with pytest.raises(ViewerError, match="no point can be read"):
        read_points(path)
    with pytest.raises(DataError, match="no table of points"):
        read_points(tmp_path / "absent.csv")


def test_the_points_of_nilearn() -> None:
    points, names, problems = read_points(nilearn("dosenbach_2010.csv"))
    assert (points.shape, problems) == ((160, 3), ())
    assert (points[0].tolist(), names[0]) == ([6, 64, 3], "vmPFC")
    assert read_points(nilearn("power_2011.csv"))[0].shape == (264, 3)


# 3D Slicer's, as its developer's guide has them

SLICER = """# Markups fiducial file version = {version}
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
0,-19.5,13.25,29.5,0,0,0,1,1,1,0,AC,,
1,7,-76,17.5,0,0,0,1,1,1,0,"left, lower",,
"""


@pytest.mark.parametrize(
    ("version", "system", "sign"),
    [
        ("4.13", "LPS", -1),
        ("5.0", "RAS", 1),
        ("4.4", "0", 1),
        ("4.6", "1", -1),
        ("4.11", "lps", -1),
    ],
)
def test_fiducials_of_slicer_are_right_anterior_superior(
    version: str, system: str, sign: int, tmp_path: Path
) -> None:
    path = tmp_path / "sub-01.fcsv"
    path.write_text(SLICER.format(version=version, system=system))
    points, names, problems = read_points(path)
    assert points.tolist() == [[sign * -19.5, sign * 13.25, 29.5], [sign * 7, sign * -76, 17.5]]
    assert (names, problems) == (("AC", "left, lower"), ())
    assert is_points(path)
    layer = _layer(path)
    assert layer["name"] == "sub-01"
    assert _points(layer)[0] == ([sign * -19.5, sign * 13.25, 29.5], "AC")


def test_fiducials_of_slicer_3_have_no_coordinate_system_and_are_ras(tmp_path: Path) -> None:
    path = tmp_path / "a.FCSV"
    path.write_text("# name = L\n# columns = label,x,y,z,sel,vis\nAC,1,2,3,1,1\nPC,a,2,3,1,1\n")
    points, names, problems = read_points(path)
    assert (points.tolist(), names) == ([[1, 2, 3]], ("AC",))
    assert problems[0].startswith(f"{path}, line 4: not a point")
    assert problems[1] == f"{path} does not say in which coordinates it is: taken as RAS"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SLICER.format(version="4.4", system="2"), "in the coordinates 2: only RAS and LPS"),
        (SLICER.format(version="4.4", system="IJK"), "in the coordinates IJK: only RAS and LPS"),
        ("# CoordinateSystem = LPS\n0,1,2,3\n", "no columns x, y and z in its line of columns"),
        ("", "no columns x, y and z"),
        ("# columns = id,x,y,z\n0,a,2,3\n", "no point can be read.*line 2"),
    ],
)
def test_fiducials_that_cannot_be_placed_are_refused(
    content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.fcsv"
    path.write_text(content)
    with pytest.raises(ViewerError, match=said):
        read_points(path)


def test_a_list_without_fiducials_has_no_points(tmp_path: Path) -> None:
    path = tmp_path / "a.fcsv"
    path.write_text("".join(SLICER.format(version="5.0", system="LPS").splitlines(True)[:3]))
    assert read_points(path)[0].shape == (0, 3)
