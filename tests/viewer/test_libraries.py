from __future__ import annotations

import threading

import numpy as np
import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.arrays import wrap

from .samples import ARRAY, agrees, whole


def test_a_memory_map(tmp_path):
    stored = np.memmap(tmp_path / "a", "i2", "w+", shape=ARRAY.shape)
    stored[:] = ARRAY
    agrees(wrap(stored))
    assert not wrap(stored).in_memory


def test_h5py_from_many_threads(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("a", data=ARRAY, chunks=(2, 2, 2), compression="gzip")
        source = wrap(stored)
        agrees(source)
        other = wrap(file.create_dataset("b", data=ARRAY))
        assert other._lock is source._lock
        wrong = []

        def look():
            for _ in range(20):
                if not (whole(source) == ARRAY.T).all():
                    wrong.append(1)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        stored.dims[0].label, stored.dims[1].label, stored.dims[2].label = "x", "y", "z"
        assert wrap(stored).names == ("x", "y", "z")


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    named = {"dimension_names": ("z", "y", "x")} if version == 3 else {}
    stored = zarr.create_array(
        tmp_path / "a",
        shape=ARRAY.shape,
        dtype="i2",
        chunks=(2, 2, 2),
        zarr_format=version,
        **named,
    )
    stored[:] = ARRAY
    agrees(wrap(stored))
    agrees(wrap(zarr.open_array(tmp_path / "a", mode="r")))


@pytest.mark.parametrize("version", [2, 3])
def test_the_scales_of_ome_zarr(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=version)
    shapes = {"0": (2, 4, 7, 9), "1": (2, 4, 4, 5), "2": (2, 4, 1, 2), "3": (2, 4, 3, 3)}
    for level, (name, shape) in enumerate(shapes.items()):
        made = group.create_array(name, shape=shape, dtype="u1")
        made[:] = level
    scales = [[1, 0.5, 0.1 * f, 0.1 * f] for f in (1, 2, 4, 2)]
    multiscales = [
        {
            "version": "0.4",
            "axes": [
                {"name": "c", "type": "channel"},
                *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
            ],
            "datasets": [
                {
                    "path": name,
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale},
                        {"type": "translation", "translation": [0, 0, 0, scale[3]]},
                    ],
                }
                for name, scale in zip(shapes, scales, strict=True)
            ],
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 1, 1]}],
        }
    ]
    if version == 2:
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    source = wrap(group)
    assert source.shape == (9, 7, 4, 2)
    assert source.names == ("x", "y", "z", "c^")
    assert source.units == ("micrometer", "micrometer", "micrometer", "")
    assert source.scales == (0.1, 0.1, 1, 1)
    assert source.offset == pytest.approx((0.5, 0, 0, 0))
    # The last is not what its scale says, and is left out.
    assert [factors for factors, _ in source.levels] == [(2, 2, 1, 1), (4, 4, 1, 1)]
    assert [int(whole(level).max()) for _, level in source.levels] == [1, 2]
    with pytest.raises(ViewerError, match="no multiscales"):
        wrap(zarr.open_group(tmp_path / "b", mode="w"))


def test_dask():
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(ARRAY, chunks=2)
    agrees(wrap(lazy))
    agrees(wrap((lazy * 1.5).astype("f4")), (ARRAY * 1.5).astype("f4"))
    with pytest.raises(ViewerError, match="compute_chunk_sizes"):
        wrap(lazy[lazy > 3])


def test_tensorstore(tmp_path):
    ts = pytest.importorskip("tensorstore")
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a"}
    store = ts.open(
        spec,
        create=True,
        dtype=ts.int16,
        domain=ts.IndexDomain(shape=ARRAY.shape, labels=("z", "y", "x")),
        dimension_units=[(40, "nm"), (4, "nm"), None],
    ).result()
    store.write(ARRAY).result()
    source = wrap(store)
    agrees(source)
    assert source.names == ("x", "y", "z")
    assert source.units == ("", "nm", "nm")
    assert source.scales == (1, 4, 40)
    moved = wrap(store[ts.d["z", "y", "x"].translate_by[10, -20, 30]])
    agrees(moved)
    assert moved.offset == (30, -20, 10)
    agrees(wrap(store[ts.d["z"][1:3]]), ARRAY[1:3])


def test_xarray():
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(
        ARRAY,
        dims=("time", "y", "x"),
        coords={
            "time": np.array(["2026-01-01T00:00:01", "2026-01-01T00:00:03"] * 2, "M8[s]"),
            "y": ("y", [8.0, 6, 4, 2, 0], {"units": "mm"}),
            "x": ("x", [1.0, 1.5, 2.0, 2.5, 3.0, 3.5], {"units": "um"}),
        },
    )
    source = wrap(array)
    assert source.names == ("x", "y", "time")
    assert source.scales == (0.5, 2, 1)  # the times are uneven
    assert source.units == ("um", "mm", "")
    assert source.offset == (1.5, -0.5, 0)
    # Descending coordinates are read the other way round.
    np.testing.assert_array_equal(whole(source), ARRAY[:, ::-1].T)
    np.testing.assert_array_equal(source.read((0, 1, 0), (6, 3, 4)), ARRAY[:, ::-1][:, 1:3].T)
    times = array.isel(time=slice(0, 2))
    assert wrap(times).scales == (0.5, 2, 2)
    assert wrap(times).units[2] == "s"
    named = xarray.DataArray(ARRAY, dims=("channel", "y", "x"), coords={"channel": list("abcd")})
    assert wrap(named).names == ("x", "y", "channel^")
    agrees(wrap(named))
    agrees(wrap(named.chunk(2)))
    with pytest.raises(ViewerError, match="Dataset"):
        wrap(array.to_dataset(name="a"))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_scaled_image_of_nibabel(tmp_path, suffix):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(ARRAY, np.diag([2, 3, 4, 1]))
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_slope_inter(0.5, 10)
    image.to_filename(tmp_path / f"a{suffix}")
    image = nibabel.load(tmp_path / f"a{suffix}")
    assert image.get_data_dtype() == np.int16
    for one in (image, image.dataobj):
        source = wrap(one)
        assert source.shape == ARRAY.shape
        assert source.dtype == np.float64  # what is read, not what is stored
        assert source.names == ("x", "y", "z")
        np.testing.assert_allclose(whole(source), image.get_fdata(caching="unchanged"))
        box = source.read((1, 1, 1), (3, 4, 5))
        np.testing.assert_allclose(box, np.asarray(image.dataobj)[1:3, 1:4, 1:5])
    assert wrap(image).scales == (2, 3, 4)
    assert wrap(image).units == ("mm",) * 3
    assert not wrap(image).in_memory


def test_an_image_of_nibabel_in_memory():
    nibabel = pytest.importorskip("nibabel")
    source = wrap(nibabel.Nifti1Image(np.zeros((2, 3, 4, 5), "f4"), np.eye(4)))
    assert source.shape == (2, 3, 4, 5)
    assert source.names == ("x", "y", "z", "t")
    assert source.in_memory
