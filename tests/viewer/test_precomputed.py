"""The files of ``precomputed``, one by one."""

from __future__ import annotations

import json
import uuid
from typing import Any

import numpy as np
import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.plans import Level
from nibabel_data.viewer.precomputed import Precomputed, plain_gzip
from nibabel_data.viewer.stores import Store, open_store

LEVELS = (Level((1, 1, 1, 1), (100, 70, 64, 1)), Level((2, 2, 2, 1), (50, 35, 32, 1)))


@pytest.fixture
def store() -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}")


def _form(dtype: str = "uint16", kind: str = "image", **others: Any) -> Precomputed:
    return Precomputed(LEVELS, (4.0, 4.0, 40.5), dtype, kind, **others)


def test_the_description_is_that_of_neuroglancer() -> None:
    info = json.loads(_form(offset=(2, 4, 6)).describe()["info"])
    assert info["@type"] == "neuroglancer_multiscale_volume"
    assert (info["type"], info["data_type"], info["num_channels"]) == ("image", "uint16", 1)
    assert info["scales"][1] == {
        "key": "8_8_81",
        "size": [50, 35, 32],
        "resolution": [8, 8, 81],
        "chunk_sizes": [[64, 64, 64]],
        "voxel_offset": [1, 2, 3],
        "encoding": "raw",
    }


@pytest.mark.parametrize("dtype", ["uint8", "float32", "uint32", "uint64"])
@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_written_is_read(store: Store, dtype: str, gzip: bool, order: Any) -> None:
    kind = "segmentation" if dtype in ("uint32", "uint64") else "image"
    form = _form(dtype, kind, gzip=gzip, offset=(2, 4, 6))
    block = np.random.default_rng(0).integers(0, 9, (100, 70, 64, 1)).astype(dtype, order=order)
    block[64:] = 0  # chunks that are not written
    places: list[Any] = []
    count = form.write(store, 0, (0, 0, 0, 0), block, lambda low, chunk: places.append(low))
    assert count == len(places) == 2
    assert places == [[0, 0, 0], [0, 64, 0]]
    names = sorted(store.names("4_4_40.5"))
    ending = ".gz" if gzip else ""
    assert names == [f"2-66_4-68_6-70{ending}", f"2-66_68-74_6-70{ending}"]
    assert (form.read(store, 0, (0, 0, 0, 0), block.shape) == block).all()
    part = form.read(store, 0, (0, 64, 0, 0), (70, 70, 10, 1))
    assert (part == block[0:70, 64:70, :10]).all()


def test_the_first_axis_is_the_fastest(store: Store) -> None:
    block = np.arange(24, dtype=">u2").reshape(2, 3, 4, 1)
    form = Precomputed((Level((1,) * 4, block.shape),), (1, 1, 1), "uint16", "image")
    form.write(store, 0, (0, 0, 0, 0), block)
    content = store.read("1_1_1/0-2_0-3_0-4")
    assert content is not None
    assert np.frombuffer(content, "<u2").tolist() == block.ravel("F").tolist()


def test_a_damaged_chunk_is_said(store: Store) -> None:
    form = _form()
    store.write("4_4_40.5/0-64_0-64_0-64", b"short")
    with pytest.raises(ViewerError, match="0-64_0-64_0-64 is not what was written"):
        form.read(store, 0, (0, 0, 0, 0), (64, 64, 64, 1))


def test_a_mesh_is_a_fragment_and_a_manifest(store: Store) -> None:
    form = _form("uint32", "segmentation", meshes="single")
    form.write_mesh(store, 12, b"mesh")
    assert store.read("mesh/12") == b"mesh"
    assert json.loads(store.read("mesh/12:0") or b"") == {"fragments": ["12"]}
    files = form.describe()
    assert json.loads(files["mesh/info"])["@type"] == "neuroglancer_legacy_mesh"
    assert json.loads(files["info"])["mesh"] == "mesh"


def test_compressing_gives_the_same_bytes_each_time() -> None:
    assert plain_gzip(b"x" * 1000) == plain_gzip(b"x" * 1000)
