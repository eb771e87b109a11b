"""Make the two images of nipy-examplepkg, byte for byte the same each time.

``image.nii.gz`` shows a head-like ellipsoid with a bright ball in its right,
front, upper part, so that a flipped or swapped axis can be seen:

* 0 outside the head
* 140 in its rim, 8 mm thick
* 90 inside
* 250 in the ball

``labels.nii.gz`` has 0 outside, 1 in the head and 2 in the ball.

Both are NIfTI-1, unsigned 8-bit, of shape (32, 36, 30). Voxel (i, j, k) has its
centre at (4 i - 62, 4 j - 80, 4 k - 52) mm, axes to the right, to the front and
upwards (RAS). That affine is the qform and the sform, both with code 4 (MNI
152); units are mm.

Usage::

    python make_image.py [DIRECTORY]

DIRECTORY is ``nipy/examplepkg`` beside this script unless given.

The phantom is worked out in integers and the gzip header holds neither time nor
name, so nothing depends on the machine. The compressed bytes do depend on the
compressor: those in the package come from zlib, and a Python built on another
one, such as zlib-ng, may pack the same image differently.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (32, 36, 30)
AFFINE = np.array([[4, 0, 0, -62], [0, 4, 0, -80], [0, 0, 4, -52], [0, 0, 0, 1]])
MNI_152 = 4

# Centres and radii, in mm.
HEAD_CENTRE, HEAD_RADII, RIM = (0, -10, 6), (52, 62, 50), 8
BALL_CENTRE, BALL_RADII = (24, 22, 28), (12, 12, 12)


def ellipsoid(centre: tuple[int, ...], radii: tuple[int, ...]) -> np.ndarray:
    """Tell which voxels have their centre in an ellipsoid.

    Parameters
    ----------
    centre, radii : tuple of three int
        In mm, along x, y and z.

    Returns
    -------
    inside : ndarray of bool, shape SHAPE
    """
    i, j, k = np.indices(SHAPE, dtype=np.int64)
    x, y, z = 4 * i - 62, 4 * j - 80, 4 * k - 52
    # (x/a)^2 + (y/b)^2 + (z/c)^2 <= 1, without a division.
    a, b, c = (radius**2 for radius in radii)
    x2, y2, z2 = ((axis - mid) ** 2 for axis, mid in zip((x, y, z), centre, strict=True))
    return x2 * b * c + y2 * a * c + z2 * a * b <= a * b * c


def phantom() -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the labels, two uint8 arrays of shape SHAPE."""
    head = ellipsoid(HEAD_CENTRE, HEAD_RADII)
    inside = ellipsoid(HEAD_CENTRE, tuple(radius - RIM for radius in HEAD_RADII))
    ball = ellipsoid(BALL_CENTRE, BALL_RADII)
    image = np.zeros(SHAPE, np.uint8)
    labels = np.zeros(SHAPE, np.uint8)
    for where, intensity, label in ((head, 140, 1), (inside, 90, 1), (ball, 250, 2)):
        image[where] = intensity
        labels[where] = label
    return image, labels


def save(path: Path, data: np.ndarray, description: str, *, is_labels: bool) -> None:
    """Write an array as a compressed NIfTI-1 image in the space of the package."""
    nifti = nib.Nifti1Image(data, AFFINE)
    nifti.set_qform(AFFINE, MNI_152)
    nifti.set_sform(AFFINE, MNI_152)
    nifti.header.set_xyzt_units("mm")
    nifti.header["descrip"] = description
    nifti.header["cal_max"] = data.max()
    if is_labels:
        nifti.header.set_intent("label")
    # nibabel writes native order; these bytes are to be the same everywhere.
    little = nib.Nifti1Image(data, AFFINE, nifti.header.as_byteswapped("<"))
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(little.to_bytes())


def main(directory: Path) -> None:
    """Write both images to a directory that exists."""
    image, labels = phantom()
    save(directory / "image.nii.gz", image, "nipy-examplepkg phantom", is_labels=False)
    save(directory / "labels.nii.gz", labels, "nipy-examplepkg labels", is_labels=True)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent / "nipy" / "examplepkg"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else here)
