"""Headers of images: placed by nibabel's affine, with units of length and of time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.images import Picture, open_image

from .samples import OBLIQUE, centre, minc, ramp


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
