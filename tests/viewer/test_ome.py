"""The files of OME-Zarr, one by one."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.ome import OmeZarr
from nibabel_data.viewer.plans import Level
from nibabel_data.viewer.stores import open_store

SHAPE = (150, 100, 70, 2, 3)  # x, y, z, c, t


def _form(dtype: str = "uint16", shard: int = 128, **others: Any) -> OmeZarr:
    return OmeZarr(
        (Level((1,) * 5, SHAPE),),
        ("x", "y", "z", "c", "t"),
        (1e-3, 1e-3, 2e-3, 1.0, 1.5),
        ("m", "m", "m", "", "s"),
        (0.0,) * 5,
        dtype,
        "image",
        ((shard, shard, shard, 2, 1),),
        **others,
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "uint64"])
@pytest.mark.parametrize("shard", [64, 128])
def test_zarr_reads_what_is_written(tmp_path: Path, dtype: str, shard: int) -> None:
    form = _form(dtype, shard, label="series")
    block = np.random.default_rng(0).integers(1, 99, SHAPE).astype(dtype)
    block[64:128, :64, :64] = 0  # a chunk that is not in its shard
    store = open_store(tmp_path)
    for name, content in form.describe().items():
        store.write(name, content)
    form.write(store, 0, (0,) * 5, block)
    group: Any = zarr.open_group(tmp_path, mode="r")
    assert (group["0"][...] == block.T).all()
    assert (form.read(store, 0, (0,) * 5, SHAPE) == block).all()
    assert group["0"].metadata.dimension_names == ("t", "c", "z", "y", "x")
    (image,) = group.attrs["ome"]["multiscales"]
    assert image["name"] == "series"
    assert [axis.get("unit") for axis in image["axes"]] == [
        "second",
        None,
        *["millimeter"] * 3,
    ]
    (scale,) = image["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.5, 1, 2, 1, 1]}


def test_a_shard_of_zeros_is_not_written() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    assert _form().write(store, 0, (0,) * 5, np.zeros(SHAPE, "u2")) == 0
    assert list(store.names("")) == []
    assert not _form().read(store, 0, (0,) * 5, SHAPE).any()


def test_a_damaged_shard_is_said() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    store.write("0/c/0/0/0/0/0", b"short")
    with pytest.raises(ViewerError, match="0/c/0/0/0/0/0 is not what was written"):
        _form().read(store, 0, (0,) * 5, (64, 64, 64, 2, 1))


@pytest.mark.parametrize(
    ("size", "unit", "step"),
    [(1e-3, "millimeter", 1), (2e-6, "micrometer", 2), (4e-9, "nanometer", 4)],
)
def test_the_unit_suits_the_size_of_voxels(size: float, unit: str, step: float) -> None:
    form = OmeZarr(
        (Level((1,) * 3, (9, 9, 9)),),
        ("x", "y", "z"),
        (size,) * 3,
        ("m",) * 3,
        (10.0, 0.0, 0.0),
        "uint8",
        "image",
        ((64,) * 3,),
    )
    group: Any = form._group()
    (image,) = group["attributes"]["ome"]["multiscales"]
    assert image["axes"][0]["unit"] == unit
    scale, shift = image["datasets"][0]["coordinateTransformations"]
    np.testing.assert_allclose(scale["scale"], [step] * 3)
    np.testing.assert_allclose(shift["translation"], [0, 0, 10.5 * step])
