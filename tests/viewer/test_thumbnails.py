"""Small pictures of images: what they show, and what is said of a file of which there is none."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nibabel_data.errors import DataError, MissingFileError
from nibabel_data.viewer.browse import thumbnails
from nibabel_data.viewer.browse.png import png
from nibabel_data.viewer.browse.thumbnails import PANE, Thumbnails, thumbnail

image_module = pytest.importorskip("PIL.Image", reason="needs Pillow to look at pixels")


def _pixels(picture: bytes) -> Any:
    with image_module.open(io.BytesIO(picture)) as image:
        return np.asarray(image)


def _save(path: Path, voxels: Any, affine: Any = None, **header: Any) -> str:
    image: Any = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return str(path)


def _smooth(shape: tuple[int, ...] = (20, 24, 16)) -> Any:
    """Return voxels of which no neighbours are alike: no labels."""
    return (np.arange(np.prod(shape)).reshape(shape) % 199 + 1).astype("i2")


@pytest.fixture
def corner() -> Any:
    """Return voxels of which the right, anterior and superior corner is bright."""
    voxels = _smooth() % 7
    voxels[10:, 12:, 8:] += 1000
    return voxels


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (1, 1)])
def test_a_png_is_what_another_program_reads(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert (_pixels(png(pixels)) == pixels).all()


def _bright(pixels: Any) -> list[tuple[bool, bool]]:
    """Return for each pane whether the bright quarter is above, and whether it is left."""
    found = []
    for pane in np.split(pixels, 3, axis=1):
        rows, columns = np.nonzero(pane > 200)
        found.append((bool(rows.mean() < PANE / 2), bool(columns.mean() < PANE / 2)))
    return found


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIR", "ASL", "LIA"])
def test_however_voxels_are_stored_a_picture_is_upright_with_the_right_side_on_the_left(
    tmp_path: Path, corner: Any, codes: str
) -> None:
    orientations: Any = nibabel.orientations
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes)
    )
    stored = orientations.apply_orientation(corner, turn)
    affine = np.eye(4) @ orientations.inv_ornt_aff(turn, corner.shape)
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii.gz", stored, affine)))
    assert pixels.shape == (PANE, 3 * PANE)
    # Sagittal: superior above, anterior right; coronal and axial: right is left, z or y above.
    assert _bright(pixels) == [(True, False), (True, True), (True, True)]


def test_millimetres_are_square_whatever_the_voxels_are(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _smooth((20, 20, 5)) + 100, np.diag((1, 1, 4, 1)))
    pixels = _pixels(thumbnail(path))
    assert (pixels > 0).mean() > 0.9  # a cube of 20 mm fills all panes


def test_a_compressed_image_and_a_mapped_one_give_one_picture(tmp_path: Path, corner: Any) -> None:
    mapped = thumbnail(_save(tmp_path / "a.nii", corner))
    assert mapped == thumbnail(_save(tmp_path / "a.nii.gz", corner))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_of_a_series_the_first_volume_is_shown(tmp_path: Path, corner: Any, name: str) -> None:
    series = np.stack([corner, np.zeros_like(corner)], axis=-1)
    assert thumbnail(_save(tmp_path / f"4d-{name}", series)) == thumbnail(
        _save(tmp_path / name, corner)
    )


@pytest.mark.parametrize(("name", "panes"), [("a.nii", 3), ("a.nii.gz", 1)])
def test_of_a_very_large_image_no_more_than_slices_are_read(
    tmp_path: Path, corner: Any, monkeypatch: pytest.MonkeyPatch, name: str, panes: int
) -> None:
    path = _save(tmp_path / name, corner)
    whole = _pixels(thumbnail(path))
    monkeypatch.setattr(thumbnails, "_WHOLE", 10)
    pixels = _pixels(thumbnail(path))
    assert pixels.shape == (PANE, panes * PANE)
    if panes == 3:
        assert (pixels == whole).all()
    else:
        assert (pixels > 200).sum() > 500  # the axial slice, which is not empty


def test_an_image_of_one_slice_has_one_pane(tmp_path: Path) -> None:
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii", _smooth((30, 20, 1)))))
    assert pixels.shape == (PANE, PANE)
    assert (pixels > 0).any()


def test_labels_have_a_colour_each_and_the_ground_is_black(tmp_path: Path) -> None:
    voxels = np.zeros((20, 20, 20), "u2")
    voxels[2:10, 2:18, 2:18] = 1
    voxels[10:18, 2:18, 2:18] = 2
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii.gz", voxels)))
    colours = {tuple(map(int, colour)) for colour in pixels.reshape(-1, 3)}
    assert len(colours) == 3
    assert (0, 0, 0) in colours


@pytest.mark.parametrize(("part", "coloured"), [(1, True), (0.5, False)])
def test_floats_are_labels_if_the_file_says_so_and_they_are_whole(
    part: float, coloured: bool, tmp_path: Path
) -> None:
    voxels = np.zeros((20, 20, 20), "f4")
    voxels[2:10, 2:18, 2:18] = part
    voxels[10:18, 2:18, 2:18] = 2
    for ending in (".nii", ".nii.gz"):
        path = _save(tmp_path / f"a{ending}", voxels, intent_code=1002)
        assert (_pixels(thumbnail(path)).ndim == 3) == coloured
    assert _pixels(thumbnail(_save(tmp_path / "b.nii", voxels))).ndim == 2


def test_a_small_object_away_from_the_middle_is_found(tmp_path: Path) -> None:
    voxels = np.zeros((40, 40, 40), "u1")
    voxels[2:5, 30:33, 6:9] = 1
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii", voxels)))
    for pane in np.split(pixels, 3, axis=1):
        assert pane.any()


def test_colours_are_shown_as_they_are(tmp_path: Path) -> None:
    voxels = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels["R"] = 250
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii.gz", voxels)))
    assert pixels[PANE // 2, PANE // 2].tolist() == [250, 0, 0]


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_what_is_no_number_does_no_harm(tmp_path: Path, dtype: str) -> None:
    voxels = _smooth().astype(dtype)
    voxels[0] = np.nan
    voxels[1] = np.inf
    voxels[2] = -np.inf
    pixels = _pixels(thumbnail(_save(tmp_path / "a.nii", voxels)))
    assert pixels.std() > 10


def test_a_constant_image_has_a_picture(tmp_path: Path) -> None:
    assert _pixels(thumbnail(_save(tmp_path / "a.nii", np.zeros((5, 6, 7), "f4")))).max() == 0


def test_a_singular_affine_does_no_harm(tmp_path: Path) -> None:
    path = Path(_save(tmp_path / "a.nii", _smooth()))
    content = bytearray(path.read_bytes())
    content[252:256] = struct.pack("<hh", 0, 2)  # no qform, but an sform
    content[280:328] = bytes(48)
    path.write_bytes(content)
    assert (_pixels(thumbnail(str(path))) > 0).any()


@pytest.mark.parametrize("content", [b"", b"no image", gzip.compress(b"no image")])
def test_a_file_that_is_no_image_is_an_error_with_a_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.nii\.gz"):
        thumbnail(str(path))


def test_a_truncated_image_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    path = Path(_save(tmp_path / "a.nii.gz", np.random.default_rng(0).random((20, 20, 20))))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read"):
        thumbnail(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        thumbnail(str(tmp_path / "a.nii"))
    assert "No such file" in Thumbnails().get(str(tmp_path / "a.nii")).problem


def test_a_picture_is_made_once_and_anew_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(thumbnails, "thumbnail", lambda path: asked.append(path) or b"png")
    path = tmp_path / "a.nii"
    path.write_bytes(b"1")
    pictures = Thumbnails()
    first = pictures.get(str(path))
    assert pictures.get(str(path)) is first
    path.write_bytes(b"22")
    assert pictures.get(str(path)).tag != first.tag
    assert len(asked) == 2


def test_no_more_pictures_are_kept_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(thumbnails, "thumbnail", lambda path: asked.append(path) or bytes(100))
    pictures = Thumbnails(limit=250)
    paths = [str(tmp_path / f"{number}.nii") for number in range(3)]
    for path in paths:
        Path(path).write_bytes(b"1")
        pictures.get(path)
    pictures.get(paths[2])
    pictures.get(paths[0])
    assert asked == [*paths, paths[0]]
