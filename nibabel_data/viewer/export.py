"""What is shown, as a file: the state as JSON, or a page that needs no Python and no network.

A saved page holds the client, the state, and what its layers show, coarser if need be.  A script of
this package, ``saved.js``, answers in the page what the server would have answered.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import os
import re
from functools import partial
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..atomic import replace_file
from ..errors import ViewerError
from . import client
from .server import HERE
from .state import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .layers import Layer
    from .sources import Source
    from .state import Json
    from .volume import Volume

__all__ = ["VOXELS", "load_state", "save_html", "save_state"]

VOXELS = 64 << 20  # bytes
_BLOCK = 64  # voxels along each axis that are read at once
_COARSEST = 64  # voxels that are one in the file
_NO_MESH = bytes(4)  # of no vertices
_KEY = re.compile(r"[0-9a-f]{40}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
_SCRIPT = re.compile(r'<script[^>]*\ssrc="([^":]+)"')
_STYLE = re.compile(r'<link[^>]*\shref="([^":]+\.css)"')
# The client reads its token from the address of its page, which a file has not.
_TOKEN = rb"window.location.pathname.match(/^(.*)\/v\/([^/]+)/)"
_PREFIX = rb"`${window.location.origin}${"


class _Kept(NamedTuple):
    """How much of a volume is kept: how many voxels, along each axis, are one in the file."""

    volume: Volume
    step: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = zip(self.volume.shape, self.step, strict=True)
        return tuple(-(-max(1, size) // factor) for size, factor in sizes)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.volume.dtype.itemsize


class _Parts:
    """The parts of a page: names, and packed text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, content: bytes | memoryview) -> str:
        packed = gzip.compress(content, 6, mtime=0)
        name = f"part{len(self.texts)}"
        text = base64.b64encode(packed).decode()
        self.texts.append(f'<script type="application/gzip" id="{name}">{text}</script>\n')
        return name


def save_state(state: Json, keys: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Write the state of a page as JSON.

    The file says where the page looks, the layout, and how each layer is shown; the data are in
    the arrays and files that the layers were made of, and are not in it.

    Parameters
    ----------
    state : dict
        Of the page.
    keys : iterable of str
        Of the sources of its layers: they are of this server alone, and are left out.
    path : str or os.PathLike
        The file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    text = _renamed(json.dumps(state, indent=1, ensure_ascii=False), dict.fromkeys(keys, ""))
    replace_file(os.fspath(path), f"{text}\n".encode())


def load_state(path: str | os.PathLike[str], layers: Mapping[str, Json]) -> Json:
    """Return a state that was saved, with layers that are there in place of those of their names.

    Parameters
    ----------
    path : str or os.PathLike
        What `save_state` wrote.
    layers : mapping of str to dict
        The page's JSON of each layer, by name.

    Returns
    -------
    dict
        The new state.  A layer that was not saved is at the end.

    Raises
    ------
    ViewerError
        If the file is no state, or has a layer of Python's that is not there.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        try:
            state = decode(file.read())
        except ViewerError as error:
            raise ViewerError(f"{path} is no saved state: {error}") from None
    saved = state.get("layers", []) if isinstance(state, dict) else None
    if not isinstance(saved, list) or not all(isinstance(one, dict) for one in saved):
        raise ViewerError(f"{path} is no saved state: it has no layers")
    missing = [
        str(one.get("name"))
        for one in saved
        if one.get("name") not in layers and _of_python(one.get("source"))
    ]
    if missing:
        raise ViewerError(
            f"{path} has layers of which the data are not there: add them first, by these names: "
            + ", ".join(map(repr, missing))
        )
    merged = []
    for one in saved:
        here = layers.get(one.get("name"), {})
        merged.append(one | {key: here[key] for key in ("type", "source") if key in here})
    names = {one.get("name") for one in saved}
    merged += [one for name, one in layers.items() if name not in names]
    return {**state, "layers": merged}


def save_html(
    state: Json,
    layers: Iterable[Layer],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    voxels: int = VOXELS,
    picture: bytes | None = None,
) -> None:
    """Write a page that shows layers without Python and without network.

    Parameters
    ----------
    state : dict
        What it shows at first.
    layers : iterable of Layer
        What Python has of the layers of the state.
    path : str or os.PathLike
        The file.
    title : str, optional
        Of the page.
    voxels : int, optional
        How many bytes of voxels there may be in it, before they are compressed.  If there are
        more, the largest volume is made coarser, near-isotropic, until they are not.
    picture : bytes, optional
        A PNG that is seen until all is there, and where scripts do not run.

    Raises
    ------
    ViewerError
        If an array cannot be read, or is too large, or the client is not known.
    OSError
        If it cannot be written.
    """
    parts, files, volumes = _Parts(), {}, {}
    page = {"s": state, "c": {}, "here": HERE, **_client(parts)}
    layers = list(layers)
    names: dict[str, str] = {}  # keys are also those of the server, as long as it runs
    kept = iter(_fitted([one.volume for one in layers if one.volume is not None], voxels))
    for layer in layers:
        chosen = _chosen(state, layer.name)
        for number, source in enumerate(layer.sources):
            name = names[source.key] = f"source{len(names)}"
            if layer.volume is not None and number == 0:
                volumes[name], info = _volume(parts, next(kept))
                files[f"/neuroglancer/info/{name}"] = parts.add(info)
            for where, content in _objects(source, chosen):
                files[f"/neuroglancer/{where.format(name)}"] = parts.add(content)
    text = _renamed(json.dumps({**page, "files": files, "volumes": volumes}), names)
    origins = sorted(set(_ORIGIN.findall(json.dumps(state))) - {HERE})
    replace_file(os.fspath(path), _document(text, parts.texts, title, origins, picture).encode())


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return _KEY.sub(lambda match: names.get(match[0], match[0]), text)


def _of_python(source: Any) -> bool:
    text = json.dumps(source)
    return "python://" in text or HERE in text


def _chosen(state: Json, name: str) -> list[int]:
    layers = state.get("layers")
    for layer in layers if isinstance(layers, list) else ():
        if not isinstance(layer, dict) or layer.get("name") != name:
            continue
        if isinstance(layer.get("segments"), list):
            said = [str(one).lstrip("!") for one in layer["segments"]]
            return [int(one) for one in said if re.fullmatch("[0-9]{1,20}", one)]
    return []


def _fitted(volumes: Sequence[Volume], limit: int) -> list[_Kept]:
    kept = [_Kept(volume, (1,) * len(volume.shape)) for volume in volumes]
    while sum(one.nbytes for one in kept) > limit:
        place = max(range(len(kept)), key=lambda number: kept[number].nbytes)
        coarser = _coarser(kept[place])
        if coarser is None:
            total = sum(one.nbytes for one in kept)
            raise ViewerError(
                f"The voxels take {total} bytes even {_COARSEST} times coarser, and {limit} were "
                "allowed: save with more voxels=, or remove a layer."
            )
        kept[place] = coarser
    return kept


def _coarser(kept: _Kept) -> _Kept | None:
    """Return a volume with half the voxels along the finest axis of space, of several the last."""
    if kept.volume.layout == "none" or 2 * math.prod(kept.step) > _COARSEST:
        return None
    space: Mapping[str, Any] = kept.volume.space.to_json()
    best, finest = None, math.inf
    for axis, (name, (scale, unit)) in enumerate(space.items()):
        pitch = scale * kept.step[axis]
        if name[-1] not in "'^" and unit != "s" and kept.shape[axis] > 1 and pitch <= finest:
            best, finest = axis, pitch
    if best is None:
        return None
    step = [factor * (1 + (axis == best)) for axis, factor in enumerate(kept.step)]
    return _Kept(kept.volume, tuple(step))


def _volume(parts: _Parts, kept: _Kept) -> tuple[Json, bytes]:
    volume, dtype = kept.volume, kept.volume.dtype.newbyteorder("<")
    voxels = np.zeros(kept.shape, dtype, order="F")
    if 0 not in volume.shape:
        starts = (range(0, size, _BLOCK) for size in kept.shape)
        for low in product(*starts):
            high = tuple(min(a + _BLOCK, size) for a, size in zip(low, kept.shape, strict=True))
            block = np.frombuffer(volume.chunk(kept.step, low, high), dtype)
            box = tuple(map(slice, low, high))
            voxels[box] = block.reshape(voxels[box].shape, order="F")
    info = volume.info() | {"generation": 0, "maxDownsampling": math.prod(kept.step)}
    described = {
        "part": parts.add(voxels.tobytes(order="F")),
        "itemsize": dtype.itemsize,
        "shape": kept.shape,
        "step": kept.step,
    }
    return described, json.dumps(info).encode()


def _objects(source: Source, chosen: Sequence[int]) -> Iterable[tuple[str, bytes]]:
    """Return what a source has besides voxels: where it is asked for, and the bytes."""
    for name, content in source.files.items():
        yield f"files/{{}}/{name}", content
    if source.skeleton is not None and source.info is not None:
        yield "skeletoninfo/{}", json.dumps(source.info()).encode()
    if source.skeleton is not None:
        for number in chosen:
            yield f"skeleton/{{}}/{number}", source.skeleton(number)
    if source.multires is not None:
        maker = source.multires
        yield "multires/{}/info", json.dumps(maker.info()).encode()
        yield "multires/{}/nothing", maker.nothing.manifest
        for number in chosen:
            several = maker.mesh(number) or maker.nothing
            yield f"multires/{{}}/{number}.index", several.manifest
            yield f"multires/{{}}/{number}", several.data
    elif source.mesh is not None:
        for number in chosen:
            yield f"mesh/{{}}/{number}", source.mesh.mesh(number) or _NO_MESH


def _client(parts: _Parts) -> Json:
    source = client.source()
    index = source.get("")
    if not isinstance(source, client.Directory) or index is None:
        raise ViewerError(
            "A page is saved with an installed client, not with one of another server: call "
            "nibabel_data.viewer.set_static_content_source() first."
        )
    files, patched = {}, 0
    for name in source.names():
        file = None if name.endswith((".map", ".html", ".md", ".txt")) else source.get(name)
        if file is None:
            continue
        body = file.body
        if _TOKEN in body:
            patched += body.count(_TOKEN) == 1 and body.count(_PREFIX) == 1
            body = body.replace(_TOKEN, b'["","","saved"]')
            body = body.replace(_PREFIX, b"`%s${" % HERE.encode())
        files[os.path.basename(name)] = {"part": parts.add(body), "type": file.type}
    if patched != 1:
        raise ViewerError(
            "This client is not of a version of which a page can be saved: "
            "pip install 'nibabel-data[view]' has one."
        )
    page = index.body.decode()
    return {"client": files, "scripts": _SCRIPT.findall(page), "styles": _STYLE.findall(page)}


def _document(
    page: str, parts: Iterable[str], title: str, origins: Sequence[str], picture: bytes | None
) -> str:
    script = resources.files(__package__).joinpath("saved.js").read_text("utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:",
            "worker-src blob:",
            "style-src 'unsafe-inline' blob:",
            "img-src data: blob:",
            "font-src data:",
            " ".join(("connect-src blob: data:", *origins)),
        )
    )
    image = ""
    if picture is not None:
        image = (
            '<img id="picture" alt="The page as it was saved" style="position: fixed; inset: 0; '
            "width: 100%; height: 100%; object-fit: contain; background: #000; z-index: 9; "
            'pointer-events: none" src="data:image/png;base64,'
            f'{base64.b64encode(picture).decode()}">\n'
        )
    safe = partial(re.sub, "<", r"\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="generator" content="nibabel-data">\n'
        f"<title>{html.escape(title or 'nibabel-data')}</title></head>\n<body>\n"
        f"{image}<noscript>Without scripts there is no more than a picture.</noscript>\n"
        f'<script type="application/json" id="page">{safe(page)}</script>\n'
        f"{''.join(parts)}<script>\n{script}</script>\n</body></html>\n"
    )
