"""Voxels of images: read lazily and once, scaled as they are sent."""

from __future__ import annotations

import builtins
import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.images import open_image

from .samples import OBLIQUE, minc, ramp


def test_fewer_than_three_axes_are_a_slice(tmp_path: Path) -> None:
    data = ramp(4, 5)
    nibabel.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "a.nii")
    picture = open_image(tmp_path / "a.nii")
    assert picture.voxels.shape == (4, 5, 1)
    assert np.array_equal(picture.voxels[1:, :, 0:1], data[1:, :, None])
    assert np.array_equal(picture.voxels[..., 0], data)


class Counted:
    """How often a file is opened, and how many bytes of it are read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.read = 0
        real = builtins.open
        counted = self

        def opener(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            found = real(file, mode, *rest, **options)
            if str(file) != str(path):
                return found
            counted.opened += 1
            return Wrapped(found)

        class Wrapped:
            def __init__(self, file: Any) -> None:
                self.file = file

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def read(self, *size: int) -> bytes:
                content: bytes = self.file.read(*size)
                counted.read += len(content)
                return content

            def readinto(self, buffer: Any) -> int:
                size: int = self.file.readinto(buffer)
                counted.read += size
                return size

        monkeypatch.setattr(builtins, "open", opener)


def test_a_compressed_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 30000, (96, 96, 96), dtype=np.int16)
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(noise, OBLIQUE).to_filename(path)
    size = path.stat().st_size
    counted = Counted(path, monkeypatch)
    picture = open_image(path)
    assert counted.read < size / 4  # the header, and what is decompressed with it
    before = counted.opened
    low, high = picture.window
    assert picture.kind == "image"
    for start in range(0, 96, 32):
        block = picture.voxels[start : start + 32, :32, 64:]
        assert np.array_equal(block, noise[start : start + 32, :32, 64:])
    assert 0 <= low < high
    assert counted.opened == before + 1
    assert counted.read < 1.3 * size


def test_an_uncompressed_image_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ramp(8, 8, 8), OBLIQUE).to_filename(path)
    picture = open_image(path)
    _ = picture.voxels[0, 0, 0]
    assert isinstance(picture.voxels._content, np.memmap)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_scale_factors_are_applied_to_what_is_read(ending: str, tmp_path: Path) -> None:
    data = ramp(6, 7, 8, dtype="float64") / 3 - 20
    image = nibabel.Nifti1Image(data, OBLIQUE)
    image.set_data_dtype(np.int16)
    path = tmp_path / f"a{ending}"
    image.to_filename(path)
    picture = open_image(path)
    assert picture.voxels.dtype == np.float32
    expected = nibabel.load(path).get_fdata()
    for index in [np.s_[2:5, ::2, 3], np.s_[...], np.s_[..., 0], np.s_[1], np.s_[1:1]]:
        found = picture.voxels[index]
        assert found.dtype == np.float32
        assert np.array_equal(found, expected[index].astype(np.float32))
    assert picture.voxels._content.dtype == np.int16


def test_a_file_is_loaded_once_by_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    data = ramp(32, 32, 32)
    nibabel.Nifti1Image(data, OBLIQUE).to_filename(path)
    voxels = open_image(path).voxels
    calls, read = [], voxels._read

    def once() -> Any:
        calls.append(1)
        assert read is not None
        return read()

    voxels._read = once
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda at: voxels[at], range(32)))
    assert len(calls) == 1
    assert np.array_equal(np.stack(blocks), data)


def test_indices_of_another_rank() -> None:
    with pytest.raises(IndexError, match="4 indices for 3 axes"):
        _ = open_image(nibabel.Nifti1Image(ramp(4, 5, 6), OBLIQUE)).voxels[0, 0, 0, 0]


def test_an_axis_of_no_length() -> None:
    picture = open_image(nibabel.Nifti1Image(ramp(3, 0, 5), OBLIQUE))
    assert picture.voxels[1:].shape == (2, 0, 5)
    assert picture.window == (0, 1)


def test_a_compressed_minc(tmp_path: Path) -> None:
    path = tmp_path / "a.mnc.gz"
    path.write_bytes(gzip.compress(minc("tiny.mnc").read_bytes()))
    picture = open_image(path)
    assert np.array_equal(picture.voxels, open_image(minc("tiny.mnc")).voxels)
    assert isinstance(picture.voxels._content, np.ndarray)


def test_a_scale_of_one_keeps_the_dtype(tmp_path: Path) -> None:
    for dtype in ("uint8", "int16", "int32", "float32", "float64", "uint16", "uint64", ">i2"):
        path = tmp_path / "a.nii"
        data = ramp(3, 3, 3, dtype=dtype)
        nibabel.Nifti1Image(data, OBLIQUE, dtype=data.dtype).to_filename(path)
        voxels = open_image(path).voxels
        assert voxels.dtype == nibabel.load(path).get_data_dtype()
        assert np.array_equal(voxels, data)


def test_an_image_that_ends_too_soon(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ramp(20, 20, 20), OBLIQUE).to_filename(path)
    content = path.read_bytes()
    path.write_bytes(content[:-500])
    picture = open_image(path)
    with pytest.raises(ViewerError, match="cannot be read"):
        _ = picture.voxels[0, 0, 0]
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(content)[:-300])
    with pytest.raises(ViewerError, match="cannot be read"):
        _ = open_image(packed).window
