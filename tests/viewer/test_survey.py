"""What a sample of the values of an image tells: its window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nibabel_data.viewer.survey import survey

from .samples import picture_of


def test_the_window_is_robust() -> None:
    rng = np.random.default_rng(1)
    data = np.zeros((64, 64, 64), np.float32)
    data[16:48, 16:48, 16:48] = rng.normal(100, 10, (32, 32, 32))
    data[0, 0, 0] = 1e9
    data[1, 1, 1] = np.nan
    data[2, 2, 2] = -np.inf
    low, high = picture_of(data).window
    assert low == 0
    assert 115 < high < 130


@pytest.mark.parametrize(
    ("value", "window"),
    [(0, (0, 1)), (5, (0, 5)), (-5, (-5, 0)), (np.nan, (0, 1)), (np.inf, (0, 1))],
)
def test_the_window_of_a_constant(value: float, window: tuple[float, float]) -> None:
    assert picture_of(np.full((8, 8, 8), value, np.float32)).window == window


def test_the_window_of_nothing() -> None:
    assert survey(np.empty((0, 4, 4))).window() == (0, 1)


def test_the_window_has_zero_only_if_the_image_has() -> None:
    data = np.linspace(100, 200, 1000, dtype=np.float32).reshape(10, 10, 10)
    assert picture_of(data).window == pytest.approx((102, 198))


def test_the_window_of_complex_and_of_masked_values() -> None:
    data = np.full((8, 8, 8), 3 + 4j, np.complex64)
    assert picture_of(data).window == (0, 5)
    masked = np.ma.masked_less(np.linspace(-100, 100, 1000).reshape(10, 10, 10), 50)
    assert survey(masked).window() == pytest.approx((51, 99), abs=1)


class Watched:
    """An array that counts what is read of it."""

    shape = (2000, 2000, 1000)
    dtype = np.dtype(np.float32)

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        block = sum(np.ogrid[index]).astype(np.float32)
        self.read += block.size
        return block


def test_a_huge_image_is_sampled_and_the_same_each_time() -> None:
    watched = Watched()
    first = survey(watched)
    assert watched.read <= 1 << 20
    assert survey(Watched()).window() == first.window()
    low, high = first.window()
    assert (low, high) == pytest.approx((770, 4200), rel=0.08)


def test_volumes_of_a_series_are_sampled() -> None:
    data = np.zeros((64, 64, 64, 50), np.uint8)
    data[..., 20:30] = 9
    assert 9 in survey(data).values
