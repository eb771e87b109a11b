"""Paths that name arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from nibabel_data.errors import MissingFileError, ViewerError
from nibabel_data.viewer.opening import is_array, open_data, signature

VOXELS = np.arange(24, dtype="u2").reshape(2, 3, 4)


def _whole(opened: Any) -> Any:
    return np.asarray(opened[...])


def test_a_file_of_numpy_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    opened = open_data(tmp_path / "a.npy")
    assert isinstance(opened, np.memmap)
    assert (opened == VOXELS).all()


def test_a_data_set_of_hdf5_is_named_after_a_colon(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["one/raw"] = VOXELS
    assert (_whole(open_data(f"{path}:/one/raw")) == VOXELS).all()
    assert (_whole(open_data(path)) == VOXELS).all()  # there is only one
    with h5py.File(path, "a") as file:
        file["two"] = VOXELS
    with pytest.raises(ViewerError, match=r"has 2 arrays: one/raw, two\nName one of them:.*:/one"):
        open_data(path)
    with pytest.raises(ViewerError, match="no array 'three', but: one/raw, two"):
        open_data(f"{path}:/three")
    assert is_array(f"{path}:/one/raw")


def test_zarr_is_an_array_or_ome(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("raw", data=VOXELS)
    assert (_whole(open_data(tmp_path / "a.zarr/raw")) == VOXELS).all()
    with pytest.raises(ViewerError, match=r"has 1 arrays: raw\nName one of them:  .*a.zarr/raw"):
        open_data(tmp_path / "a.zarr")
    group.attrs["ome"] = {"multiscales": [{"datasets": []}]}
    assert isinstance(open_data(tmp_path / "a.zarr"), zarr.Group)


def test_an_image_stays_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"")
    assert open_data(tmp_path / "a.nii.gz") == str(tmp_path / "a.nii.gz")
    assert not is_array(str(tmp_path / "a.nii.gz"))


@pytest.mark.parametrize("name", ["a.nii", "a.npy", "a.h5", "a.h5:/raw"])
def test_what_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingFileError, match=r"no such file: .*a\."):
        open_data(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "a.h5"])
def test_a_damaged_file_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ViewerError, match=f"{name} cannot be read"):
        open_data(tmp_path / name)


def test_a_directory_of_something_else_is_said(tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match="is a directory without zarr.json"):
        open_data(tmp_path)


def test_a_file_that_changed_has_another_signature(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"1")
    before = signature(path)
    assert signature(f"{path}:/raw") == [*before, "raw"]
    path.write_bytes(b"12")
    assert signature(path) != before
    array = zarr.create_array(tmp_path / "b.zarr", data=VOXELS)
    before = signature(tmp_path / "b.zarr")
    array.attrs["x"] = 1
    assert signature(tmp_path / "b.zarr") != before
