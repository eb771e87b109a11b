"""``view``: images, surfaces and tractograms in the Neuroglancer client."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from ..errors import DataError, ViewerError
from ..locate import make_datasource
from .pages import listen, show

__all__ = ["paths_named", "view"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..viewer import Viewer

_DEMO_VIEW = {
    "crossSectionBackgroundColor": "#000000",
    "projectionScale": 270,
    "showDefaultAnnotations": False,
    "showSlices": False,
}
_TISSUES = {1: ("grey matter", "#e08214"), 2: ("white matter", "#8073ac")}


def view(arguments: argparse.Namespace) -> int:
    """Show files in a browser until Ctrl-C, or write a picture of them."""
    if not arguments.demo and arguments.what is None:
        print("nibabel-data view: name a file or a package, or say --demo", file=sys.stderr)
        return 2
    if arguments.demo and arguments.what is not None:
        print("nibabel-data view: name a file, or say --demo, not both", file=sys.stderr)
        return 2
    paths = [] if arguments.demo else paths_named(arguments.what, arguments.files)
    from .. import viewer as wing

    listen(arguments)
    viewer = wing.Viewer(convention=arguments.convention)
    try:
        if arguments.demo:
            _add_demo(viewer)
        for path in paths:
            labels = arguments.labels if path is paths[-1] else None
            kind = arguments.kind or ("segmentation" if labels else None)
            viewer.add(path, kind=kind, labels=labels)
        show(viewer, arguments)
    finally:
        wing.stop()
    return 0


def paths_named(what: str, files: list[str]) -> list[str]:
    """Return files on disk: as they are given, or of a data package."""
    if _is_file(what):
        missing = [file for file in files if not _is_file(file)]
        if missing:
            raise DataError(f"no such file: {', '.join(missing)}")
        return [what, *files]
    if what.startswith((".", "/", "~")) or (os.path.splitext(what)[1] and "/" not in what):
        raise DataError(
            f"no such file: {what}\nOf a data package, name the package first: nibabel-data view "
            "nipy/templates ICBM152/1mm/T1.nii.gz"
        )
    package = make_datasource(what)
    if not files:
        raise DataError(
            f"which file of {what}? See what it has:  nibabel-data info {what}\n"
            f"Then:  nibabel-data view {what} FILE"
        )
    return [os.fspath(package.path(*file.split("/"), must_exist=True)) for file in files]


def _is_file(name: str) -> bool:
    """Return whether something on disk is named; of HDF5 with the array in it, ``FILE:/ARRAY``."""
    return os.path.exists(name) or os.path.isfile(name.partition(":/")[0])


def _add_demo(viewer: Viewer) -> None:
    """Add the brain that nilearn carries, and its tissues as segments."""
    from .demo import BRAIN, nilearn_images

    paths = nilearn_images(BRAIN, *(BRAIN.replace("_t1_", f"_{part}_") for part in ("gm", "wm")))
    if paths is None:
        raise ViewerError(
            "the demo shows the MNI brain that nilearn carries.\n"
            "Install it:  pip install 'nibabel-data[demo,view]'"
        )
    import nibabel
    import numpy as np

    images: list[Any] = [nibabel.load(path) for path in paths]
    brain, *tissues = images
    labels = np.zeros(brain.shape, "u1")
    for number, tissue in enumerate(tissues, 1):
        share = np.asanyarray(tissue.dataobj)
        labels[share > share.max() / 2] = number
    viewer.add(str(paths[0]), name="T1")
    image: Any = type(brain)(labels, brain.affine)
    viewer.add(image, name="tissues", kind="segmentation", labels=_TISSUES, segments=list(_TISSUES))
    with viewer.txn() as state:
        state |= _DEMO_VIEW
