"""Images: what is opened and what is not, as labels or as an image, and its source."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from nibabel_data.errors import DataError, MissingFileError, ViewerError
from nibabel_data.viewer.images import open_image
from nibabel_data.viewer.layers import make_layer
from nibabel_data.viewer.spaces import Space
from nibabel_data.viewer.volume import Volume

from .samples import OBLIQUE, centre, nilearn, picture_of, ramp, whole

MRICRON = Path("/usr/share/mricron/templates")


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


# The kind


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


def by_intent(data: np.ndarray) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    image.header.set_intent("label")
    return image


def scaled(data: np.ndarray, slope: float, inter: float, path: Path) -> Path:
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    image.to_filename(path)
    header = image.header.copy()
    header.set_slope_inter(slope, inter)
    content = bytearray(path.read_bytes())
    content[112:120] = header.binaryblock[112:120]  # nibabel itself would store other numbers
    path.write_bytes(content)
    return path


def test_labels_stored_as_floats_are_labels_by_intent_or_by_order() -> None:
    data = blobs(3, "float32")
    told, said = open_image(by_intent(data)), open_image(by_intent(data), kind="segmentation")
    for picture in (told, said):
        assert picture.kind == "segmentation"
        assert picture.source.dtype == np.uint32
        assert np.array_equal(whole(picture.source), data)
        assert picture.source is picture.source
    assert told.remarks == said.remarks
    shown = open_image(by_intent(data), kind="image")
    assert (shown.kind, shown.source.dtype) == ("image", np.float32)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 3, 2**32 - 1], "uint32"), ([0, -3, 7], "int32"), ([0, 3, 2**53], "uint64")],
)
def test_each_label_stored_as_a_float_is_the_integer_that_it_is(
    values: list[int], dtype: str
) -> None:
    data = np.array(values, np.float64).reshape(3, 1, 1)
    source = open_image(by_intent(data)).source
    assert source.dtype == dtype
    assert whole(source).ravel().tolist() == values
    assert Volume(source, kind="segmentation").shown == (np.dtype(dtype), True, "")


def test_labels_that_are_stored_as_integers_stay_as_they_are() -> None:
    image = by_intent(np.full((2, 2, 2), 2**62 + 1, np.int64))
    picture = open_image(image)
    assert (picture.kind, picture.source.dtype) == ("segmentation", np.int64)
    assert (whole(picture.source) == 2**62 + 1).all()


def test_scaled_labels_are_whole_at_any_size(tmp_path: Path) -> None:
    data = np.array([0, 1, 2**24], np.int32).reshape(3, 1, 1)
    path = scaled(data, 1, 1, tmp_path / "a.nii")
    source = open_image(path, kind="segmentation").source
    assert whole(source).ravel().tolist() == [1, 2, 2**24 + 1]  # the last is no float32
    mask = np.array([0, 255], np.uint8).reshape(2, 1, 1)
    path = scaled(mask, 1 / 255, 0, tmp_path / "b.nii")  # the factor has seven digits
    source = open_image(path, kind="segmentation").source
    assert whole(source).ravel().tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -2.25])
def test_a_segmentation_with_a_value_that_is_not_whole_is_refused_with_that_value(
    value: float, tmp_path: Path
) -> None:
    data = blobs(2, "float64")
    data[30, 30, 30] = value
    path = tmp_path / "a.nii.gz"
    by_intent(data).to_filename(path)
    with pytest.raises(ViewerError, match=f"there is a voxel of {value:g}: round"):
        _ = open_image(path, kind="segmentation").source
    with pytest.raises(ViewerError, match=f"there is a voxel of {value:g}: round"):
        make_layer(path, kind="segmentation")
    with pytest.raises(ViewerError, match="from 0 to 1000000000"):
        data[30, 30, 30] = 1e30
        _ = open_image(by_intent(data), kind="segmentation").source


def test_an_image_said_by_its_file_to_have_labels_is_an_image_if_it_has_none() -> None:
    data = blobs(2, "float32")
    data[30, 30, 30] = 0.5
    picture = open_image(by_intent(data))
    assert (picture.kind, picture.source.dtype) == ("image", np.float32)
    assert "not all of its values are whole" in picture.remarks[-1]
    assert make_layer(by_intent(data)).state["type"] == "image"
    assert open_image(by_intent(data.astype("complex64"))).kind == "image"


def test_more_floats_than_are_looked_at_are_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nibabel_data.viewer.exact._LABELS", 100)
    picture = open_image(by_intent(blobs(2, "float32")))
    assert picture.kind == "image"
    assert "more floating-point values than are looked at" in picture.remarks[-1]
    with pytest.raises(ViewerError, match="convert them"):
        make_layer(by_intent(blobs(2, "float32")), kind="segmentation")


def test_labels_that_cannot_be_read_are_an_error_rather_than_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    by_intent(blobs(2, "float32")).to_filename(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ViewerError, match="cannot be read"):
        _ = open_image(path).kind


def test_labels_of_an_axis_of_no_length() -> None:
    image = by_intent(np.zeros((3, 0, 5), np.float32))
    assert open_image(image).kind == "segmentation"
    assert open_image(image, kind="segmentation").source.shape == (3, 0, 5)
    assert make_layer(image).state["type"] == "segmentation"


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
        open_image(nibabel.Nifti1Image(ramp(4, 5, 6), OBLIQUE), kind="brain")


def test_a_gifti_is_not_an_image() -> None:
    with pytest.raises(ViewerError, match="read_mesh"):
        open_image(nibabel.gifti.GiftiImage())


@settings(max_examples=150, deadline=None)
@example([(259, 127)])  # a quaternion with a NaN that signals
@example([(282, 128), (283, 127)])  # a row of the sform
@example([(110, 127), (111, 127)])  # where the voxels begin
@example([(114, 127), (115, 127)])  # the scale factor
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
    picture = open_image(nilearn("mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"))
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
