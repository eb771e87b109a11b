"""The verbs of the viewer: what each takes, and where it is done."""

from __future__ import annotations

from .arguments import Verb

__all__ = ["VERBS"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def _port(text: str) -> int:
    """Return a port; argparse says the rest."""
    import argparse

    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    """Return a time limit; argparse says the rest."""
    import argparse

    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give a number of seconds")
    return limit


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="listen on port N (the default: any)"
    )


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--convention",
        choices=("radiological", "neurological"),
        default="radiological",
        help="which side is left (the default is radiological)",
    )
    parser.add_argument("--screenshot", metavar="PNG", help="write a picture, and end")
    parser.add_argument("--save", metavar="HTML", help="write a page that needs no server, and end")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait for the picture",
    )


def _view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="FILE|PACKAGE",
        nargs="?",
        help="an image, surface or tractogram; or a package",
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="*", default=[], help="more files; of a package, its files"
    )
    parser.add_argument("--demo", action="store_true", help="show the brain that nilearn carries")
    parser.add_argument(
        "--kind", choices=("image", "segmentation"), help="what the voxels are (the default: guess)"
    )
    parser.add_argument(
        "--labels", metavar="TABLE", help="names and colours of the last file's labels"
    )
    _add_pictures(parser)
    _add_server(parser)


def _precompute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="an image, NAME.npy, NAME.h5:/DATASET, a directory of zarr; or a package",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="of a package, its file")
    parser.add_argument("dest", metavar="DEST", help="a directory, or a URL that fsspec knows")
    parser.add_argument(
        "--format",
        choices=("precomputed", "ome-zarr"),
        default="precomputed",
        help="what is written (the default is precomputed)",
    )
    parser.add_argument(
        "--kind", choices=("image", "segmentation"), help="what the voxels are (the default: guess)"
    )
    parser.add_argument("--labels", metavar="TABLE", help="names and colours of the labels")
    parser.add_argument(
        "--voxel-size", metavar="X,Y,Z", help="of an array, which does not say its own"
    )
    parser.add_argument("--units", metavar="UNIT", help="of the voxel size (the default is nm)")
    parser.add_argument("--axes", metavar="NAMES", help="of an array, in its order: t,z,y,x")
    parser.add_argument("--no-meshes", action="store_true", help="make no meshes of labels")
    parser.add_argument("--gzip", action="store_true", help="compress the files of precomputed")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (the default: one for each core)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="let the workers of Dask do it: tcp://HOST:8786"
    )
    parser.add_argument(
        "--room",
        type=int,
        default=128,
        metavar="MIB",
        help="voxels that a task reads, in MiB (the default is 128)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what precompute wrote there before"
    )


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "trees", metavar="DIR", nargs="+", help="what precompute wrote; a directory or a URL"
    )
    _add_pictures(parser)
    _add_server(parser)


VERBS = (
    Verb("view", "view:view", "show images and labels in the browser", _view, json=False),
    Verb("browse", "browse:browse", "show all packages in the browser", _add_server, json=False),
    Verb(
        "precompute",
        "precompute:precompute",
        "write all scales and meshes of a volume, for the browser",
        _precompute,
    ),
    Verb("serve", "serve:serve", "show what precompute wrote in the browser", _serve, json=False),
)
