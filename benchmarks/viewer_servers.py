"""Servers of volumes and of a brain, each in a process of its own, until its input ends.

``python viewer_servers.py NAME ARGUMENT`` prints a line of JSON: the address, and the paths at
which the chunks (and the meshes) of each volume are.  ``ours`` and ``official`` serve the same:
volumes of ARGUMENT voxels a side, in memory, in C order; ``constant`` has bodies of the same sizes,
always at hand, behind the same settings and the same guard as ours.  ``ours-meshes`` and
``official-meshes`` serve an image, and the labels in the file ARGUMENT; ``ours-brain`` and
``official-brain`` the MNI brain that nilearn carries, and eight segments, in the file ARGUMENT.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from nibabel_data.viewer.guard import Guard

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["CHUNK", "VOLUMES", "volumes", "write_labels", "write_regions"]

CHUNK = 64
VOLUMES = {"u8": "uint8", "u16": "uint16", "f32": "float32", "labels": "uint32"}

HEADERS = (
    (b"content-type", b"application/octet-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Those of a chunk of ours, which take their time as well."""

MESHES = 8
IMAGE = 128
"""Voxels a side of the image that is looked at while meshes are made."""

Paths = dict[str, list[str]]
KEPT: list[object] = []


def axes(edge: int, step: float) -> tuple[Array, ...]:
    axis = np.arange(edge, dtype="float32") * np.float32(step)
    return tuple(np.meshgrid(axis, axis, axis, indexing="ij", sparse=True))


def warped(edge: int, cells: int = 8) -> Array:
    """Return labels 1 to ``cells**3``: boxes with wavy walls; and a small ball of one more."""
    z, y, x = axes(edge, 512 / edge)
    waves = 6 * np.sin(x / 19) + 6 * np.sin(y / 23) + 6 * np.sin(z / 29)
    labels = np.ones((edge,) * 3, "uint32")
    for power, along in enumerate((x, y, z)):
        cell = ((along + waves) * (cells / 512)).astype("int32").clip(0, cells - 1)
        labels += cell.astype("uint32") * np.uint32(cells**power)
    near = (x - 96) ** 2 + (y - 96) ** 2 + (z - 96) ** 2 < 14**2
    labels[near] = cells**3 + 1
    return labels


def volumes(edge: int) -> Iterator[tuple[str, Array]]:
    z, y, x = axes(edge, 1)
    smooth = 110 + 40 * np.sin(x / 17) + 30 * np.cos(y / 23) + 20 * np.sin(z / 13)
    smooth += np.random.default_rng(0).normal(0, 3, smooth.shape).astype("float32")
    for name, dtype in VOLUMES.items():
        if name == "labels":
            yield name, warped(edge)
        else:
            yield name, (smooth * (100 if dtype == "uint16" else 1)).astype(dtype)


def boxes(edge: int) -> list[str]:
    """Return the places of chunks, in an order in which neighbours are far apart."""
    corners = list(itertools.product(range(0, edge, CHUNK), repeat=3))
    order = np.random.default_rng(1).permutation(len(corners))
    ends = [",".join(str(number + CHUNK) for number in corners[one]) for one in order]
    begins = [",".join(map(str, corners[one])) for one in order]
    return [f"{begin}/{end}" for begin, end in zip(begins, ends, strict=True)]


def key_of(viewer: Any, name: str) -> str:
    """Return the key in the address of a layer of ours."""
    (layer,) = (one for one in viewer.state["layers"] if one["name"] == name)
    source: Any = layer["source"]
    while not isinstance(source, str):
        source = source[0] if isinstance(source, list) else source["url"]
    return source.rpartition("/")[2]


def ours(edge: str) -> tuple[str, Paths]:
    from nibabel_data.viewer import Viewer

    viewer = Viewer()
    paths = {}
    for name, array in volumes(int(edge)):
        kind = "segmentation" if name == "labels" else "image"
        viewer.add(array, name=name, kind=kind)
        where = f"/neuroglancer/raw/{key_of(viewer, name)}/1,1,1"
        paths[name] = [f"{where}/{box}" for box in boxes(int(edge))]
    KEPT.append(viewer)
    return viewer.url, paths


def constant(_: str) -> tuple[str, Paths]:
    from nibabel_data.viewer import server, serving

    sizes = {name: CHUNK**3 * np.dtype(dtype).itemsize for name, dtype in VOLUMES.items()}
    answers = {f"/{name}": bytes(size) for name, size in sizes.items()}

    def make_app(registry: object, guard: Guard) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            assert guard.refusal(scope["method"], headers) is None
            body = answers[scope["path"]]
            said = [(b"content-length", str(len(body)).encode()), *HEADERS]
            await send({"type": "http.response.start", "status": 200, "headers": said})
            await send({"type": "http.response.body", "body": body})

        return answer

    server.make_app = make_app
    return serving.start(), {name: [f"/{name}"] for name in VOLUMES}


def official(edge: str) -> tuple[str, Paths]:
    neuroglancer, viewer = official_viewer()
    space = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=[1, 1, 1])
    paths = {}
    with viewer.txn() as state:
        for name, array in volumes(int(edge)):
            kind = "segmentation" if name == "labels" else "image"
            volume = neuroglancer.LocalVolume(array, space, volume_type=kind)
            add_official(neuroglancer, viewer, state, name, volume)
            where = f"/neuroglancer/{volume.encoding}/{viewer.token}.{volume.token}/1,1,1"
            paths[name] = [f"{where}/{box}" for box in boxes(int(edge))]
    return viewer.get_viewer_url(), paths


def official_viewer() -> tuple[Any, Any]:
    neuroglancer: Any = import_module("neuroglancer")
    viewer = neuroglancer.Viewer()
    KEPT.append(viewer)
    return neuroglancer, viewer


def add_official(
    neuroglancer: Any, viewer: Any, state: Any, name: str, volume: Any, **options: object
) -> None:
    segments = volume.volume_type == "segmentation"
    layer = neuroglancer.SegmentationLayer if segments else neuroglancer.ImageLayer
    state.layers[name] = layer(source=volume, **options)
    viewer.volume_manager.register_volume(volume)  # it may be asked for before a page is open


def ours_meshes(file: str) -> tuple[str, Paths]:
    from nibabel_data.viewer import Viewer

    viewer = Viewer()
    labels = np.load(file)
    viewer.add(labels, name="labels", kind="segmentation")
    viewer.add(np.zeros((IMAGE,) * 3, "uint8"), name="image")
    KEPT.append(viewer)
    key = key_of(viewer, "image")
    return viewer.url, {
        "meshes": [f"/neuroglancer/mesh/{key_of(viewer, 'labels')}/{n}" for n in some(labels)],
        "image": [f"/neuroglancer/raw/{key}/1,1,1/{box}" for box in boxes(IMAGE)],
    }


def official_meshes(file: str) -> tuple[str, Paths]:
    neuroglancer, viewer = official_viewer()
    space = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=[1, 1, 1])
    labels = np.load(file)
    segments = neuroglancer.LocalVolume(labels, space, volume_type="segmentation")
    image = neuroglancer.LocalVolume(np.zeros((IMAGE,) * 3, "uint8"), space)
    with viewer.txn() as state:
        add_official(neuroglancer, viewer, state, "labels", segments)
        add_official(neuroglancer, viewer, state, "image", image)
    keys = [f"{viewer.token}.{volume.token}" for volume in (segments, image)]
    return viewer.get_viewer_url(), {
        "meshes": [f"/neuroglancer/mesh/{keys[0]}/{number}" for number in some(labels)],
        "image": [f"/neuroglancer/{image.encoding}/{keys[1]}/1,1,1/{box}" for box in boxes(IMAGE)],
    }


def some(labels: Array) -> list[int]:
    """Return a few labels that are there, far apart."""
    there = np.unique(labels[::8, ::8, ::8])
    return [int(there[place]) for place in np.linspace(0, len(there) - 1, MESHES).astype(int)]


def ours_brain(file: str) -> tuple[str, Paths]:
    from nibabel_data.viewer import Viewer

    nibabel: Any = import_module("nibabel")
    image = nibabel.load(brain())
    viewer = Viewer()
    viewer.add(str(brain()), name="T1")
    regions = nibabel.Nifti1Image(np.load(file), image.affine)
    chosen = range(1, MESHES + 1)
    viewer.add(regions, name="regions", kind="segmentation", segments=chosen)
    with viewer.txn() as state:
        state["layout"] = "4panel"
    KEPT.append(viewer)
    return viewer.url, {}


def official_brain(file: str) -> tuple[str, Paths]:
    neuroglancer, viewer = official_viewer()
    nibabel: Any = import_module("nibabel")
    image = nibabel.load(brain())
    space = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="mm", scales=[1, 1, 1])
    offset = image.affine[:3, 3].round().astype(int)  # of this image all of the affine
    t1 = neuroglancer.LocalVolume(np.asarray(image.dataobj), space, voxel_offset=offset)
    regions = neuroglancer.LocalVolume(
        np.load(file), space, voxel_offset=offset, volume_type="segmentation"
    )
    with viewer.txn() as state:
        state.dimensions = space
        state.layout = "4panel"
        add_official(neuroglancer, viewer, state, "T1", t1)
        chosen = list(range(1, MESHES + 1))
        add_official(neuroglancer, viewer, state, "regions", regions, segments=chosen)
    return viewer.get_viewer_url(), {}


def brain(tissue: str = "t1") -> Path:
    """Return the path of the MNI brain, or of how much of a tissue is where."""
    (place,) = import_module("nilearn.datasets").__path__
    return Path(place, "data", f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz")


def write_labels(edge: int, directory: Path) -> tuple[str, list[int]]:
    """Write labels; return the file, and which there are."""
    file, labels = directory / "labels.npy", warped(edge)
    np.save(file, labels)
    return str(file), np.unique(labels).tolist()


def write_regions(file: Path) -> None:
    """Write the grey matter of the MNI brain in eight parts: left and right, and so on."""
    nibabel: Any = import_module("nibabel")
    share = np.asarray(nibabel.load(brain("gm")).dataobj)
    x, y, z = (np.arange(size) > size // 2 for size in share.shape)
    part = 1 + x[:, None, None] + 2 * y[None, :, None] + 4 * z[None, None, :]
    np.save(file, np.where(share > share.max() / 2, part, 0).astype("uint32"))


SERVERS: dict[str, Callable[[str], tuple[str, Paths]]] = {
    "ours": ours,
    "constant": constant,
    "official": official,
    "ours-meshes": ours_meshes,
    "official-meshes": official_meshes,
    "ours-brain": ours_brain,
    "official-brain": official_brain,
}

if __name__ == "__main__":
    url, paths = SERVERS[sys.argv[1]](sys.argv[2])
    parts = urlsplit(url)
    facts = {"url": url, "host": parts.hostname, "port": parts.port, "paths": paths}
    print(json.dumps(facts), flush=True)
    sys.stdin.read()
