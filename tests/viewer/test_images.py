"""Images: placed by nibabel's affine, read lazily and once, window and kind by a sample."""

from __future__ import annotations

import builtins
import gzip
import itertools
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from nibabel_data.errors import DataError, MissingFileError, ViewerError
from nibabel_data.viewer.images import Picture, open_image, survey
from nibabel_data.viewer.spaces import Space

MRICRON = Path("/usr/share/mricron/templates")
OBLIQUE = np.array(
    [[-1.9, 0.3, 0.1, 80], [0.25, 2.1, -0.4, -110.5], [0.2, 0.5, 2.9, -60.25], [0, 0, 0, 1]]
)


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


def ramp(*shape: int, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def nifti(
    sform: int | None, qform: int | None, kind: Any = nibabel.Nifti1Image, unit: str = "mm"
) -> Any:
    image = kind(ramp(4, 5, 6), None)
    image.header.set_xyzt_units(unit if unit != "unknown" else 0)
    image.header.set_zooms((2, 2, 2))
    rigid = np.diag((2.0, 2, 2, 1))
    rigid[:3, 3] = (7, 8, 9)
    image.header.set_qform(rigid, code=qform or 0)
    image.header.set_sform(OBLIQUE, code=sform or 0)
    return image


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair])
@pytest.mark.parametrize(("sform", "qform"), list(itertools.product((0, 1, 2, 4), repeat=2)))
def test_sform_before_qform(sform: int, qform: int, kind: Any, tmp_path: Path) -> None:
    image = nifti(sform, qform, kind)
    path = tmp_path / ("a.img" if kind is nibabel.Nifti1Pair else "a.nii")
    image.to_filename(path)
    picture = open_image(path)
    expected = nibabel.load(path).affine
    assert picture.placed_by == ("sform" if sform else "qform" if qform else "header")
    for voxel in itertools.product((0, 3), (0, 4), (0, 5)):
        assert centre(picture, voxel) == pytest.approx(apply_affine(expected, voxel), abs=1e-9)
    if sform:
        assert np.allclose(picture.affine, OBLIQUE, atol=1e-5)
    elif qform:
        assert picture.affine[:3, 3].tolist() == [7, 8, 9]
    else:
        assert "no sform or qform" in " ".join(picture.remarks)


@pytest.mark.parametrize(
    ("unit", "mm"), [("mm", 1), ("micron", 1e-3), ("meter", 1e3), ("unknown", 1)]
)
def test_units_of_length(unit: str, mm: float) -> None:
    picture = open_image(nifti(1, 0, unit=unit))
    where = apply_affine(picture.image.header.get_best_affine(), (1, 2, 3)) * mm
    assert centre(picture, (1, 2, 3)) == pytest.approx(where, rel=1e-12)
    assert ("no unit" in " ".join(picture.remarks)) == (unit == "unknown")


def test_a_unit_code_that_is_none() -> None:
    image = nifti(1, 0)
    image.header["xyzt_units"] = 7
    assert "no unit" in " ".join(open_image(image).remarks)


def test_a_singular_sform_leaves_the_qform() -> None:
    image = nifti(1, 1)
    image.header.set_sform(np.diag((0, 0, 0, 1)), code=1)
    picture = open_image(image)
    assert picture.placed_by == "qform"
    assert picture.affine[:3, 3].tolist() == [7, 8, 9]
    assert "sform of the file is singular" in " ".join(picture.remarks)


def test_an_image_that_has_no_place_at_all() -> None:
    with np.errstate(invalid="ignore"):
        image = nibabel.MGHImage(ramp(2, 2, 2, dtype="uint8"), np.diag((0.0, 0, 0, 1)))
    with pytest.raises(ViewerError, match="0 x 0 x 0 mm"):
        open_image(image)


@pytest.mark.parametrize(
    ("code", "unit", "base", "factor"),
    [
        ("sec", "s", "s", 1),
        ("msec", "ms", "s", 1e-3),
        ("usec", "us", "s", 1e-6),
        ("hz", "Hz", "Hz", 1),
        ("ppm", "", "", 1),
        ("rads", "rad/s", "rad/s", 1),
        ("unknown", "", "", 1),
    ],
)
def test_a_fourth_axis(code: str, unit: str, base: str, factor: float) -> None:
    image = nibabel.Nifti1Image(ramp(3, 4, 5, 6), OBLIQUE)
    image.header.set_xyzt_units("mm", code)
    image.header.set_zooms((1, 1, 1, 2.5))
    picture = open_image(image)
    name = "f" if code in ("hz", "ppm", "rads") else "t"
    assert picture.names == ("i", "j", "k", name)
    assert (picture.units[3], picture.scales[3]) == (unit, 2.5)
    assert picture.space.to_json()[name] == [pytest.approx(2.5 * factor), base]
    assert picture.shown.to_json()[name] == picture.space.to_json()[name]
    assert centre(picture, (1, 2, 3, 4))[:3] == pytest.approx(apply_affine(image.affine, (1, 2, 3)))
    assert centre(picture, (1, 2, 3, 4))[3] == 4.5


def test_time_that_starts_later_and_time_that_has_no_step() -> None:
    image = nibabel.Nifti1Image(ramp(3, 4, 5, 6), OBLIQUE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1, 1, 1, 2))
    image.header["toffset"] = 10
    assert centre(open_image(image), (0, 0, 0, 0))[3] == 5.5
    image.header.set_zooms((1, 1, 1, 0))
    picture = open_image(image)
    assert (picture.units[3], picture.scales[3]) == ("", 1)
    assert "counted" in " ".join(picture.remarks)


def test_five_axes_and_vectors() -> None:
    data = ramp(3, 4, 5, 6, 2)
    picture = open_image(nibabel.Nifti1Image(data, OBLIQUE))
    assert picture.names == ("i", "j", "k", "t", "c^")
    assert np.array_equal(picture.voxels[1:3, :, 2, 4, 1], data[1:3, :, 2, 4, 1])
    vectors = open_image(nibabel.Nifti1Image(data[:, :, :, :1], OBLIQUE))
    assert vectors.names == ("i", "j", "k", "c^")
    assert np.array_equal(vectors.voxels, data[:, :, :, 0])
    assert len(vectors.transform["matrix"]) == 4  # type: ignore[arg-type]


def test_more_than_five_axes_are_refused() -> None:
    with pytest.raises(ViewerError, match="6 axes"):
        open_image(nibabel.Nifti1Image(ramp(2, 2, 2, 2, 2, 2), np.eye(4)))


def test_fewer_than_three_axes_are_a_slice(tmp_path: Path) -> None:
    data = ramp(4, 5)
    nibabel.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "a.nii")
    picture = open_image(tmp_path / "a.nii")
    assert picture.voxels.shape == (4, 5, 1)
    assert np.array_equal(picture.voxels[1:, :, 0:1], data[1:, :, None])
    assert np.array_equal(picture.voxels[..., 0], data)


def test_mgh(tmp_path: Path) -> None:
    data = ramp(3, 4, 5, 2, dtype="float32")
    image = nibabel.MGHImage(data, OBLIQUE)
    image.header.set_zooms((2, 2, 3, 800))
    for name in ("a.mgh", "a.mgz"):
        image.to_filename(tmp_path / name)
        picture = open_image(tmp_path / name)
        assert picture.space.to_json()["t"] == [pytest.approx(0.8), "s"]
        affine = picture.image.affine
        assert centre(picture, (2, 1, 3, 0))[:3] == pytest.approx(apply_affine(affine, (2, 1, 3)))
        assert np.array_equal(picture.voxels, data)


@pytest.mark.parametrize("kind", [nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage])
def test_analyze(kind: Any, tmp_path: Path) -> None:
    image = kind(ramp(3, 4, 5), None)
    image.header.set_zooms((2, 2, 3))
    image.to_filename(tmp_path / "a.img")
    picture = open_image(tmp_path / "a.img")
    affine = nibabel.load(tmp_path / "a.img").affine
    assert centre(picture, (2, 1, 3)) == pytest.approx(apply_affine(affine, (2, 1, 3)))
    assert np.array_equal(picture.voxels, ramp(3, 4, 5))


def minc(name: str) -> Path:
    spec = find_spec("nibabel")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip(f"nibabel was installed without its {name}")
    return path


@pytest.mark.parametrize("name", ["tiny.mnc", "small.mnc", "minc1_4d.mnc", "minc2_4d.mnc"])
def test_minc(name: str) -> None:
    if name.startswith("minc2"):
        pytest.importorskip("h5py")
    path = minc(name)
    picture, image = open_image(path), nibabel.load(path)
    data = np.asanyarray(image.dataobj)
    assert picture.voxels.shape == data.shape
    assert np.array_equal(picture.voxels, data)
    spatial = [picture.names.index(axis) for axis in "ijk"]
    voxel = np.arange(data.ndim)
    found = dict(zip(picture.shown.names, matrix_of(picture, voxel), strict=True))
    where = apply_affine(image.affine, voxel[spatial])
    assert [found[axis] for axis in "xyz"] == pytest.approx(where)
    assert picture.names == (("t", "i", "j", "k") if data.ndim == 4 else ("i", "j", "k"))
    steps = np.array(picture.scales)
    assert steps == pytest.approx(np.abs(image.header.get_zooms()), rel=1e-5)


def matrix_of(picture: Picture, voxel: np.ndarray) -> np.ndarray:
    matrix = np.array(picture.transform["matrix"])
    ratios = np.array(picture.space.scales) / np.array(picture.shown.scales)[:, None]
    found: np.ndarray = (matrix[:, :-1] * (voxel + 0.5) * ratios).sum(1) + matrix[:, -1]
    return found


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
        _ = open_image(nifti(1, 1)).voxels[0, 0, 0, 0]


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


def test_colours_are_channels() -> None:
    colours = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = ramp(3, 4, 5, dtype="uint8")
    picture = open_image(nibabel.Nifti1Image(colours, np.eye(4)))
    assert picture.names == ("i", "j", "k", "c^")
    assert picture.voxels.shape == (3, 4, 5, 3)
    assert np.array_equal(picture.voxels[..., 1], colours["G"])
    assert np.array_equal(
        picture.voxels[1:, 2, 3:, 1:], np.stack((colours["G"], colours["B"]), -1)[1:, 2, 3:]
    )
    assert picture.kind == "image"


def test_a_source_for_the_viewer(tmp_path: Path) -> None:
    data = ramp(3, 4, 5)
    picture = open_image(nibabel.Nifti1Image(data, OBLIQUE))
    source = picture.source
    assert source is picture.source
    assert (source.shape, source.dtype) == ((3, 4, 5), data.dtype)
    assert source.names == ("i", "j", "k")
    assert Space(source.names, source.units, source.scales) == picture.space
    assert np.array_equal(source.read((0, 1, 2), (2, 4, 5)), data[0:2, 1:4, 2:5])


def test_a_source_that_cannot_be_read_raises_our_error(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ramp(20, 20, 20), OBLIQUE).to_filename(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ViewerError, match="cannot be read"):
        open_image(path).source.read((0, 0, 0), (1, 1, 1))


# The window and the kind


def picture_of(data: np.ndarray) -> Picture:
    return open_image(nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype))


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


def blobs(count: int, dtype: str) -> np.ndarray:
    data = np.zeros((60, 60, 60), dtype)
    for label in range(1, count + 1):
        start = 2 + 7 * label
        data[start : start + 6, 10:50, 10:50] = label
    return data


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint32", "uint64"])
def test_labels_are_told_by_their_neighbours(dtype: str) -> None:
    picture = picture_of(blobs(7, dtype))
    assert picture.kind == "segmentation"
    assert picture.voxels.dtype == dtype


def test_whole_numbers_that_are_no_labels() -> None:
    rng = np.random.default_rng(2)
    assert picture_of(rng.integers(0, 255, (40, 40, 40), dtype=np.uint8)).kind == "image"
    assert picture_of(np.zeros((9, 9, 9), np.uint8)).kind == "image"
    assert picture_of(-blobs(3, "int16")).kind == "image"
    assert picture_of(blobs(3, "float32")).kind == "image"


def test_labels_by_intent_or_by_order_are_whole() -> None:
    image = nibabel.Nifti1Image(blobs(3, "float32"), np.eye(4))
    image.header.set_intent("label")
    picture = open_image(image)
    assert picture.kind == "segmentation"
    assert picture.voxels.dtype == np.int32
    data = np.array([np.nan, 0.4, 2.9999, 1e20, -3]).reshape(5, 1, 1)
    narrow = nibabel.Nifti1Image(data.astype(np.float32), np.eye(4))
    assert open_image(narrow, kind="segmentation").voxels[3, 0, 0] == 2**31 - 1
    said = open_image(nibabel.Nifti1Image(data, np.eye(4)), kind="segmentation")
    assert said.voxels[:, 0, 0].tolist() == [0, 0, 3, 2**31 - 1, -3]
    assert open_image(image, kind="image").voxels.dtype == np.float32


# What cannot be shown


def test_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no image"):
        open_image(tmp_path / "absent.nii")
    (tmp_path / "a.nii").write_text("no image")
    with pytest.raises(ViewerError, match="cannot be read as an image"):
        open_image(tmp_path / "a.nii")
    with pytest.raises(ViewerError, match="ndarray is not an image"):
        open_image(np.zeros((2, 2, 2)))
    with pytest.raises(ViewerError, match="not a kind"):
        open_image(nifti(1, 1), kind="brain")


def test_a_gifti_is_not_an_image() -> None:
    with pytest.raises(ViewerError, match="read_mesh"):
        open_image(nibabel.gifti.GiftiImage())


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


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=12))
def test_a_damaged_header_is_shown_or_refused(damage: list[tuple[int, int]]) -> None:
    content = bytearray(nibabel.Nifti1Image(ramp(3, 4, 5), OBLIQUE).to_bytes())
    for place, value in damage:
        content[place] = value
    try:
        image = nibabel.Nifti1Image.from_bytes(bytes(content))
    except Exception:
        return  # nibabel's own
    try:
        picture = open_image(image)
        if np.prod(picture.voxels.shape, dtype=object) < 1000:
            _ = picture.window, picture.kind
    except DataError:
        return
    assert np.isfinite(picture.affine).all()


# Real images


def test_the_brain_of_nilearn() -> None:
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs nilearn: pip install 'nibabel-data[demo]'")
    folder = Path(spec.origin).parent / "datasets" / "data"
    picture = open_image(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    assert picture.kind == "image"
    affine = picture.image.affine
    assert centre(picture, (98, 134, 72)) == pytest.approx(apply_affine(affine, (98, 134, 72)))
    low, high = picture.window
    data = np.asanyarray(picture.image.dataobj)
    exact = np.percentile(data[data != 0], 98)
    assert low == 0
    assert high == pytest.approx(exact, rel=0.1)


def test_the_atlases_of_mricron() -> None:
    if not (MRICRON / "aal.nii.gz").exists():
        pytest.skip("needs the atlases of mricron-data: apt-get install mricron-data")
    assert open_image(MRICRON / "aal.nii.gz").kind == "segmentation"
    assert open_image(MRICRON / "ch2.nii.gz").kind == "image"
