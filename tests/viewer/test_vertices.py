"""Vertices, what joins them, and their files: what is taken, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nibabel_data.errors import MissingFileError, ViewerError
from nibabel_data.viewer.vertices import coordinates, existing, joins, load_nibabel, stem


def test_coordinates_are_triples_of_finite_numbers() -> None:
    found = coordinates([[1, 2, 3], [4, 5, 6]], "points")
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert coordinates([], "points").shape == (0, 3)
    assert coordinates([[0.1, 0, 0]], "points", np.dtype(np.float64))[0, 0] == 0.1


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([1, 2, 3], r"points have the shape \(n, 3\), not \(3,\)"),
        ([[1, 2, np.inf]], "points are not all finite"),
        ([["a", 2, 3]], "points are not triples of numbers"),
    ],
)
def test_what_are_no_coordinates(points: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        coordinates(points, "points")


def test_joins_name_vertices_that_there_are() -> None:
    found = joins(np.array([[0, 1], [1, 2]]), 2, 3, "edges")
    assert found.dtype == np.uint32
    assert found.tolist() == [[0, 1], [1, 2]]
    assert joins([], 2, 3, "edges").shape == (0, 2)


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([[0, 3]], "edges name vertices that are not there: there are 3"),
        ([[-1, 0]], "edges name vertices that are not there"),
        ([[0.0, 1.0]], r"edges are whole numbers of the shape \(n, 2\)"),
        ([[0, 1, 2]], r"edges are whole numbers of the shape \(n, 2\)"),
    ],
)
def test_what_joins_nothing(indices: Any, said: str) -> None:
    with pytest.raises(ViewerError, match=said):
        joins(indices, 2, 3, "edges")


def test_a_file_that_is_not_there_is_called_what_it_was_to_be(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert existing(tmp_path / "a", "surface") == str(tmp_path / "a")
    with pytest.raises(MissingFileError, match="no surface .*b"):
        existing(tmp_path / "b", "surface")


def test_a_name_is_that_of_the_file_or_else_of_the_part() -> None:
    assert stem("sub/lh.pial.surf.gii.gz") == "lh.pial"
    assert stem("bundle.trk") == "bundle"
    assert stem(".gii", "CortexLeft") == "CortexLeft"


def test_without_nibabel_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ViewerError, match=r"pip install 'nibabel-data\[view\]'"):
        load_nibabel()
