"""`precompute`: what is in the tree, at every scale, and what a second call does."""

from __future__ import annotations

import gzip as gzip_module
import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tensorstore
import zarr

from nibabel_data.errors import ViewerError
from nibabel_data.viewer import Skeleton, downsample, multires, precompute, wrap
from nibabel_data.viewer.stores import open_store

SMALL = 1 << 21  # bytes that a task reads: several tasks, and passes


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(0).integers(1, 255, (130, 200, 150), "u1")


@pytest.fixture
def labels() -> Any:
    array = np.zeros((70, 150, 200), "u4")
    array[10:40, 20:140, 30:90] = 7
    array[50:60, 60:130, 120:199] = 2**31 + 5
    array[3, 3, 3] = 1
    return array


def _precomputed(path: Path, level: int) -> Any:
    opened = tensorstore.open(
        {"driver": "neuroglancer_precomputed", "kvstore": f"file://{path}/", "scale_index": level}
    ).result()
    return opened, opened.read().result()


def tree(path: Path) -> dict[str, str]:
    """Return all files below a directory, with a hash of each."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_tensorstore_reads_every_scale_of_an_image(image: Any, tmp_path: Path) -> None:
    done = precompute(image, tmp_path / "t", voxel_size=(1, 1, 2), units="um", room=SMALL)
    assert done.shape == (150, 200, 130)
    assert done.scales == ((1, 1, 1), (2, 2, 1), (4, 4, 2), (8, 8, 4))
    assert done.tasks > 3
    second = downsample.average(image, (1, 2, 2))
    # Scales that one task makes are of what it has read; the next pass reads the last of them.
    coarse = [downsample.average(second, (2,) * 3), downsample.average(second, (4,) * 3)]
    for level, expected in enumerate([image, second, *coarse]):
        opened, voxels = _precomputed(tmp_path / "t", level)
        assert (voxels[..., 0].T == expected).all(), level
        steps = zip(done.scales[level][::-1], (2000, 1000, 1000), strict=True)
        assert [1e9 * unit.multiplier for unit in opened.dimension_units[:3]][::-1] == [
            pytest.approx(1e9 * f * size) for f, size in steps
        ]


@pytest.mark.parametrize("room", [SMALL, 1 << 27])
def test_zarr_and_tensorstore_read_every_scale_of_ome_zarr(
    image: Any, tmp_path: Path, room: int
) -> None:
    done = precompute(
        image, tmp_path / "t", format="ome-zarr", voxel_size=(1, 1, 2), units="um", room=room
    )
    group = zarr.open_group(tmp_path / "t", mode="r")
    ome: Any = group.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert multiscale["axes"] == [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"
    ]
    for level, factors in enumerate(done.scales):
        part: Any = group[str(level)]
        opened = tensorstore.open({"driver": "zarr3", "kvstore": f"file://{tmp_path}/t/{level}/"})
        voxels = opened.result().read().result()
        assert (part[...] == voxels).all()
        if level < 2 or room > SMALL:
            assert (voxels == downsample.average(image, factors[::-1])).all()
        scale, *shift = multiscale["datasets"][level]["coordinateTransformations"]
        assert scale["scale"] == [2 * factors[2], factors[1], factors[0]]
        if level:  # the centre of the first voxel
            assert shift[0]["translation"] == [
                step * (f - 1) / 2 for step, f in zip((2, 1, 1), factors[::-1], strict=True)
            ]
    again = wrap(group)
    assert again.scales == (1, 1, 2)
    assert [factors for factors, _ in again.levels] == list(done.scales[1:])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i8", "bool", ">u4"])
def test_labels_of_every_type_are_written_by_the_mode(
    labels: Any, tmp_path: Path, dtype: str
) -> None:
    labels = labels.astype(dtype)
    done = precompute(
        labels, tmp_path / "t", kind="segmentation", voxel_size=1, units="mm", meshes=False
    )
    info = json.loads((tmp_path / "t/info").read_bytes())
    assert info["data_type"] == ("uint64" if np.dtype(dtype).itemsize == 8 else "uint32")
    assert {scale["encoding"] for scale in info["scales"]} == {"compressed_segmentation"}
    expected = labels.astype(info["data_type"])
    for level in range(3):
        _, voxels = _precomputed(tmp_path / "t", level)
        assert (voxels[..., 0].T == expected).all(), level
        expected = downsample.mode(expected, (2, 2, 2))
    found = np.unique(labels[labels != 0]).astype(info["data_type"])
    assert done.labels == len(found)
    properties = json.loads((tmp_path / "t/segment_properties/info").read_bytes())
    assert properties["inline"]["ids"] == [str(number) for number in found.tolist()]


def test_a_negative_label_has_2_to_the_32_added(tmp_path: Path) -> None:
    labels = np.zeros((5, 6, 7), "i2")
    labels[1:3, 2:4, 3:5] = -3
    precompute(labels, tmp_path / "t", kind="segmentation", units="nm")
    assert np.unique(_precomputed(tmp_path / "t", 0)[1]).tolist() == [0, 2**32 - 3]
    assert {p.name for p in (tmp_path / "t/mesh").iterdir()} >= {str(2**32 - 3)}


def test_names_of_labels_are_written(labels: Any, tmp_path: Path) -> None:
    table = {7: ("seven", "#ff0000"), 1: "one"}
    precompute(labels, tmp_path / "t", labels=table, units="mm", meshes=False)
    properties = json.loads((tmp_path / "t/segment_properties/info").read_bytes())["inline"]
    assert properties["ids"] == ["7", "1"]
    assert properties["properties"][0]["values"] == ["seven", "one"]
    about = json.loads((tmp_path / "t/nibabel-data.json").read_bytes())
    assert about["layer"]["segmentColors"] == {"7": "#ff0000"}


def _vertices(path: Path) -> Any:
    content = path.read_bytes()
    count = int(np.frombuffer(content, "<u4", 1)[0])
    return np.frombuffer(content, "<f4", 3 * count, 4).reshape(-1, 3)


def test_meshes_are_on_the_faces_of_the_voxels_in_nanometres(
    labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multires, "is_available", lambda: False)
    done = precompute(
        labels, tmp_path / "t", voxel_size=(2, 3, 4), units="um", offset=(8, 16, 24), room=SMALL
    )
    assert done.labels == 3
    names = {str(path.name) for path in (tmp_path / "t/mesh").iterdir()}
    numbers = {"7", "1", str(2**31 + 5)}
    assert names == {"info", *numbers, *(f"{number}:0" for number in numbers)}
    vertices = _vertices(tmp_path / "t/mesh/7")
    voxel = np.array([2000, 3000, 4000])
    low, high = np.array([38, 36, 34]), np.array([98, 156, 64])
    np.testing.assert_allclose(vertices.min(axis=0), low * voxel, rtol=1e-6)
    np.testing.assert_allclose(vertices.max(axis=0), high * voxel, rtol=1e-6)
    info = json.loads((tmp_path / "t/info").read_bytes())
    assert [scale["voxel_offset"] for scale in info["scales"]] == [
        [a // f for a, f in zip((8, 16, 24), factors, strict=True)] for factors in done.scales
    ]
    assert info["mesh"] == "mesh"


@pytest.mark.skipif(not multires.is_available(), reason="needs DracoPy")
def test_meshes_of_several_resolutions_are_written_if_they_can_be(
    labels: Any, tmp_path: Path
) -> None:
    precompute(labels, tmp_path / "t", voxel_size=1, units="um")
    info = json.loads((tmp_path / "t/mesh/info").read_bytes())
    assert info["@type"] == "neuroglancer_multilod_draco"
    names = {path.name for path in (tmp_path / "t/mesh").iterdir()}
    assert names >= {"7", "7.index", str(2**31 + 5), f"{2**31 + 5}.index"}
    manifest = (tmp_path / "t/mesh/7.index").read_bytes()
    sizes = np.frombuffer(manifest, "<f4", 6)
    low = sizes[3:]
    assert (low >= np.array([30, 20, 10]) * 1000 - 1).all()


def test_an_offset_that_the_scales_cannot_say_is_in_the_transform(
    image: Any, tmp_path: Path
) -> None:
    precompute(image, tmp_path / "t", voxel_size=1, units="mm", offset=(1, 2, 3.5))
    info = json.loads((tmp_path / "t/info").read_bytes())
    assert info["scales"][0]["voxel_offset"] == [0, 0, 0]
    about = json.loads((tmp_path / "t/nibabel-data.json").read_bytes())
    assert about["transform"]["matrix"] == [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3.5]]


def test_an_image_keeps_its_affine(tmp_path: Path) -> None:
    affine = np.array([[-2.0, 0.1, 0, 90], [0, 0, 3, -20], [0.2, 4, 0, 7], [0, 0, 0, 1]])
    voxels = np.random.default_rng(1).random((40, 50, 60)).astype("f4")
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "a.nii")  # type: ignore[no-untyped-call]
    for format in ("precomputed", "ome-zarr"):
        precompute(tmp_path / "a.nii", tmp_path / format, format=format)
        about = json.loads((tmp_path / format / "nibabel-data.json").read_bytes())
        matrix = np.array(about["transform"]["matrix"])
        assert about["name"] == "a"
        if format == "ome-zarr":  # z, y, x, and the first centre at 0
            matrix = matrix[::-1][:, [2, 1, 0, 3]]
            at = np.array([[3, 4, 5], [0, 0, 0]])
        else:
            at = np.array([[3.5, 4.5, 5.5], [0.5, 0.5, 0.5]])
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        placed = at * sizes @ matrix[:, :3].T + matrix[:, 3]
        expected = np.array([[3, 4, 5], [0, 0, 0]]) @ affine[:3, :3].T + affine[:3, 3]
        np.testing.assert_allclose(placed, expected, atol=1e-4)
    _, whole = _precomputed(tmp_path / "precomputed", 0)
    assert (whole[..., 0] == voxels).all()
    group: Any = zarr.open_group(tmp_path / "ome-zarr", mode="r")
    assert (group["0"][...] == voxels.T).all()
    assert group.attrs["nibabel-data"]["transform"]["outputDimensions"]["x"] == [0.001, "m"]


def test_channels_stay_together_and_times_need_ome_zarr(tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(0, 9, (3, 40, 50, 70), "u2")
    precompute(array, tmp_path / "c", voxel_size=1, units="mm")
    _, voxels = _precomputed(tmp_path / "c", 0)
    assert (voxels.T == array).all()
    precompute(array, tmp_path / "o", voxel_size=1, units="mm", format="ome-zarr")
    assert zarr.open_array(tmp_path / "o/0").shards[0] == 3  # colours are in one chunk
    about = json.loads((tmp_path / "o/nibabel-data.json").read_bytes())
    assert list(about["transform"]["outputDimensions"]) == ["c^", "z", "y", "x"]
    many = array.repeat(3, axis=0)
    precompute(many, tmp_path / "m", voxel_size=1, units="mm", format="ome-zarr", kind="image")
    about = json.loads((tmp_path / "m/nibabel-data.json").read_bytes())
    assert list(about["transform"]["outputDimensions"]) == ["c'", "z", "y", "x"]
    series = array[None].repeat(2, axis=0)
    series[1] += 1
    named = wrap(series, ["t", "c^", "z", "y", "x"], units=["s", "", "mm", "mm", "mm"])
    with pytest.raises(ViewerError, match=r"has axes c\^, t: use --format ome-zarr"):
        precompute(named, tmp_path / "t")
    precompute(named, tmp_path / "t", format="ome-zarr")
    group: Any = zarr.open_group(tmp_path / "t", mode="r")
    assert (group["0"][...] == series).all()
    axes = group.attrs["ome"]["multiscales"][0]["axes"]
    assert [axis["type"] for axis in axes] == ["time", "channel", "space", "space", "space"]
    assert axes[0]["unit"] == "second"


@pytest.mark.parametrize("shape", [(90, 70), (70,), (1, 1, 1), (65, 1, 130)])
def test_small_and_flat_arrays(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(3).integers(0, 9, shape, "u1")
    for format in ("precomputed", "ome-zarr"):
        done = precompute(array, tmp_path / format, format=format, voxel_size=1, units="mm")
        assert done.shape == shape[::-1]
    _, voxels = _precomputed(tmp_path / "precomputed", 0)
    assert (voxels[..., 0].T.reshape(shape) == array).all()
    group: Any = zarr.open_group(tmp_path / "ome-zarr", mode="r")
    assert (group["0"][...].reshape(shape) == array).all()


@pytest.mark.parametrize("format", ["precomputed", "ome-zarr"])
def test_an_array_that_is_read_late_gets_a_window_too(tmp_path: Path, format: str) -> None:
    array = np.full((90, 80, 70), 1000, "u2")
    array[:45] = 3000
    np.save(tmp_path / "a.npy", array)
    precompute(tmp_path / "a.npy", tmp_path / "t", voxel_size=1, kind="image", format=format)
    about = json.loads((tmp_path / "t/nibabel-data.json").read_bytes())
    assert about["layer"]["shaderControls"]["normalized"]["range"] == [1000, 3000]


def test_chunks_of_zeros_are_not_written(tmp_path: Path) -> None:
    array = np.zeros((200, 200, 200), "u1")
    array[0, 0, 0] = 255
    precompute(array, tmp_path / "t", voxel_size=1, units="mm")
    chunks = [name for name in tree(tmp_path / "t") if "_" in name.rpartition("/")[2]]
    assert len(chunks) == 3  # one at each scale at which a mean of it is left
    assert (_precomputed(tmp_path / "t", 0)[1][..., 0].T == array).all()


def test_gzip_keeps_the_contents(image: Any, tmp_path: Path) -> None:
    precompute(image, tmp_path / "a", voxel_size=1, units="mm")
    precompute(image, tmp_path / "b", voxel_size=1, units="mm", gzip=True)
    plain, packed = tree(tmp_path / "a"), tree(tmp_path / "b")
    chunks = [name for name in plain if name.endswith("0-64_0-64_0-64")]
    assert chunks
    for name in chunks:
        content = gzip_module.decompress((tmp_path / "b" / f"{name}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == plain[name]
    assert "info" in packed


def test_object_storage_has_the_same_files(labels: Any, tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}/t"
    precompute(labels, tmp_path / "t", voxel_size=1, units="mm", room=SMALL)
    precompute(labels, url, voxel_size=1, units="mm", room=SMALL, jobs=3)
    store = open_store(url)
    assert sorted(store.names("")) == sorted(path.name for path in (tmp_path / "t").iterdir())
    for name, digest in tree(tmp_path / "t").items():
        assert hashlib.sha256(store.read(name) or b"").hexdigest() == digest, name


@pytest.mark.parametrize("format", ["precomputed", "ome-zarr"])
def test_what_was_done_before_a_stop_is_not_done_again(
    labels: Any, tmp_path: Path, format: str
) -> None:
    settings: Any = {"voxel_size": 1, "units": "mm", "format": format, "room": SMALL // 8}
    whole = precompute(labels, tmp_path / "whole/t", **settings)
    expected = tree(tmp_path / "whole/t")
    done = 0
    for limit in _limits():
        count = 0

        def told(stage: str, at: int, of: int, limit: int = limit) -> None:
            nonlocal count
            count += 1
            if count > limit:
                raise KeyboardInterrupt

        try:
            result = precompute(labels, tmp_path / "t", progress=told, **settings)
        except KeyboardInterrupt:
            assert not json.loads((tmp_path / "t/nibabel-data.json").read_bytes())["complete"]
            continue
        done = result.done
        break
    assert 0 < done < whole.tasks
    assert tree(tmp_path / "t") == expected
    assert precompute(labels, tmp_path / "t", **settings).done == 0
    assert tree(tmp_path / "t") == expected


def _limits() -> Iterator[int]:
    yield from (1, 2)
    yield 10**6


def test_a_tree_of_something_else_is_kept_unless_it_is_said(image: Any, tmp_path: Path) -> None:
    settings: Any = {"voxel_size": 1, "units": "mm"}
    precompute(image, tmp_path / "t", **settings)
    before = tree(tmp_path / "t")
    other = image.copy()
    other[0, 0, 0] += 1
    with pytest.raises(ViewerError, match=r"tree of another source \(t\).\n.*--overwrite"):
        precompute(other, tmp_path / "t", **settings)
    with pytest.raises(ViewerError, match="tree of other parameters"):
        precompute(image, tmp_path / "t", voxel_size=2, units="mm")
    with pytest.raises(ViewerError, match="tree of other parameters"):
        precompute(image, tmp_path / "t", format="ome-zarr", **settings)
    assert tree(tmp_path / "t") == before
    precompute(other, tmp_path / "t", overwrite=True, **settings)
    assert (_precomputed(tmp_path / "t", 0)[1][..., 0].T == other).all()


def test_a_directory_of_others_is_never_touched(image: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ViewerError, match="not empty, and was not made by precompute"):
            precompute(image, tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["thesis.txt"]


def test_what_cannot_be_written_is_said(image: Any, tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match="'tiff' is not a format: use precomputed or ome-zarr"):
        precompute(image, tmp_path / "t", format="tiff")
    with pytest.raises(ViewerError, match="has no voxels"):
        precompute(np.zeros((3, 0, 3), "u1"), tmp_path / "t")
    with pytest.raises(ViewerError, match="1 worker or more"):
        precompute(image, tmp_path / "t", jobs=0)
    with pytest.raises(ViewerError, match="have no scales"):
        precompute(Skeleton(np.zeros((2, 3), "f4"), np.array([[0, 1]], "u4")), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_an_array_that_fails_leaves_what_was_done(tmp_path: Path) -> None:
    class Failing:
        shape, dtype, mended = (200, 200, 200), np.dtype("u1"), False

        def __getitem__(self, index: Any) -> Any:
            large = index[0].stop - index[0].start > 16  # not what is looked at first
            if large and index[0].start >= 128 and not self.mended:
                raise OSError("disk")
            return np.ones(self.shape, self.dtype)[index]

        def __repr__(self) -> str:
            return "failing"

    array = Failing()
    settings: Any = {"voxel_size": 1, "units": "mm", "room": 1 << 18, "kind": "image"}
    with pytest.raises(ViewerError, match="OSError: disk"):
        precompute(array, tmp_path / "t", **settings)
    array.mended = True
    again = precompute(array, tmp_path / "t", **settings)
    assert 0 < again.done < again.tasks
    assert (_precomputed(tmp_path / "t", 0)[1] == 1).all()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
@pytest.mark.parametrize("source", ["npy", "h5", "zarr"])
def test_a_volume_larger_than_the_memory(tmp_path: Path, source: str) -> None:
    script = f"""
import resource, sys
import numpy as np
from nibabel_data.viewer import precompute
size = (1024, 1024, 1280)
path = {str(tmp_path / "a")!r} + ".{source}"
if {source!r} == "npy":
    array = np.lib.format.open_memmap(path, "w+", "u1", size)
elif {source!r} == "h5":
    import h5py
    file = h5py.File(path, "w")
    array = file.create_dataset("raw", size, "u1", chunks=(64, 64, 64))
else:
    import zarr
    array = zarr.create_array(path, shape=size, dtype="u1", chunks=(64, 64, 64))
array[500:520, 500:520, 500:520] = 200
if {source!r} == "npy":
    array.flush()
elif {source!r} == "h5":
    file.close()
del array
resource.setrlimit(resource.RLIMIT_DATA, (600 << 20,) * 2)
try:
    np.ones(size, "u1")
    sys.exit("there is no limit")
except MemoryError:
    pass
precompute(path, {str(tmp_path / "t")!r}, voxel_size=1, units="um", room=32 << 20)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    voxels = (
        tensorstore.open({"driver": "neuroglancer_precomputed", "kvstore": f"file://{tmp_path}/t/"})
        .result()[490:530, 490:530, 490:530, 0]
        .read()
        .result()
    )
    expected = np.zeros((40, 40, 40), "u1")
    expected[10:30, 10:30, 10:30] = 200
    assert (voxels == expected).all()
