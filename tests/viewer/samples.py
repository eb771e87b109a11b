"""What several tests of the viewer look at: arrays, images, and files of others."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nibabel_data.viewer.arrays import ArraySource
from nibabel_data.viewer.images import Picture, open_image

ARRAY = np.arange(4 * 5 * 6, dtype="i2").reshape(4, 5, 6)
OBLIQUE = np.array(
    [[-1.9, 0.3, 0.1, 80], [0.25, 2.1, -0.4, -110.5], [0.2, 0.5, 2.9, -60.25], [0, 0, 0, 1]]
)


def ramp(*shape: int, dtype: str = "int16") -> np.ndarray:
    """Return voxels that count up."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def picture_of(data: np.ndarray) -> Picture:
    """Return voxels as an image of a millimetre a voxel."""
    return open_image(nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype))


def centre(picture: Picture, voxel: tuple[float, ...]) -> list[float]:
    """Return where the client shows the centre of a voxel, with its own arithmetic."""
    matrix = np.array(picture.transform["matrix"])
    shown: Any = picture.transform["outputDimensions"]
    outputs = [shown[name][0] for name in shown]
    source = np.array(voxel) + 0.5
    ratios = np.array(picture.space.scales) / np.array(outputs)[:, None]
    result = (matrix[:, :-1] * source * ratios).sum(1) + matrix[:, -1]
    assert list(shown)[:3] == ["x", "y", "z"]
    return [float(value) for value in result]


def whole(source: ArraySource) -> np.ndarray:
    """Return all voxels of a source."""
    return source.read((0,) * len(source.shape), source.shape)


def agrees(source: ArraySource, array: Any = ARRAY) -> None:
    """Assert that a source has an array of the order (z, y, x), as a whole and in a box."""
    array = np.asarray(array)
    assert source.shape == array.shape[::-1]
    assert source.dtype == array.dtype
    np.testing.assert_array_equal(whole(source), array.T)
    begin = [size // 3 for size in source.shape]
    end = [max(low, size - 1) for low, size in zip(begin, source.shape, strict=True)]
    where = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
    np.testing.assert_array_equal(source.read(begin, end), array.T[where])


def minc(name: str) -> Path:
    """Return the path of one of nibabel's own images."""
    spec = find_spec("nibabel")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip(f"nibabel was installed without its {name}")
    return path


def nilearn(name: str) -> Path:
    """Return the path of a file that nilearn brings."""
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs nilearn: pip install 'nibabel-data[demo]'")
    return Path(spec.origin).parent / "datasets" / "data" / name
