"""Layers: what each kind of data is to the page, and what the server has of it."""

from __future__ import annotations

import json
import math
import os
import warnings
from typing import TYPE_CHECKING, Any, final

from ..errors import ViewerError
from .arrays import wrap
from .images import Picture, open_image
from .labels import label_table
from .pagestate import chosen, numbers
from .points import Points, is_points, points_of
from .server import HERE
from .sources import Source
from .spaces import Space, upright
from .surfaces import Mesh, read_mesh
from .survey import window_of
from .tracts import Skeleton, read_tracts
from .volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from .arrays import ArraySource
    from .mesh import MeshMaker, MultiresMaker
    from .state import Json

__all__ = ["ACROSS", "Layer", "files_url", "make_layer", "multires_url", "renew"]

_TRACTS = (".trk", ".tck", ".trx", ".trk.gz", ".tck.gz")
_SURFACES = (
    ".gii",
    ".pial",
    ".white",
    ".inflated",
    ".orig",
    ".sphere",
    ".smoothwm",
    ".midthickness",
)
_RGB = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)),
               toNormalized(getDataValue(2))));
}
"""
_TOLD = 10  # bad lines of a table of labels
_LARGE = 1 << 25  # voxels; objects of smaller volumes are seen sooner in one piece
ACROSS = 400  # pixels, of a panel, that the largest extent takes at first


@final
class Layer:
    """What is shown under one name.

    Attributes
    ----------
    name : str
        Of the layer.
    state : dict
        The page's JSON of it.
    sources : list of Source
        What the server answers for; that of the volume is the first.
    volume : Volume or None
        Of an array or an image.
    dimensions : dict
        The axes that are shown, with scales and units.
    view : dict
        How the page looks at it if it is the first.
    refreshed : tuple of (float, int)
        When it was, by `time.monotonic`, and how often pages had asked for its data by then.
    """

    __slots__ = ("dimensions", "name", "refreshed", "sources", "state", "view", "volume")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.state: Json = {"type": kind, "name": name, "source": []}
        self.sources: list[Source] = []
        self.volume: Volume | None = None
        self.dimensions: Json = {}
        self.view: Json = {}
        self.refreshed: tuple[float, int] = (-math.inf, 0)


def make_layer(
    data: object,
    name: str | None = None,
    *,
    taken: Container[str] = (),
    kind: str | None = None,
    voxel_size: float | Sequence[float] | Mapping[str, float] | None = None,
    units: str | Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    offset: Sequence[float] | None = None,
    labels: object | None = None,
    segments: Iterable[int] | None = None,
    window: tuple[float, float] | None = None,
    shader: str | None = None,
    convention: str = "radiological",
) -> Layer:
    """Return a layer of whatever can be shown; for the arguments see `Viewer.add`.

    Parameters
    ----------
    taken : container of str, optional
        Names that a layer without one is not given.
    """
    from .trees import Tree, tree_layer

    if kind is None and labels is not None:
        kind = "segmentation"
    if kind == "points" or is_points(data):
        data, labels = points_of(data, labels, units), None
    given = data if isinstance(data, str | os.PathLike) else ""
    data = _opened(data, kind)
    name = str(name) if name is not None else _name(data, os.fspath(given), taken)
    if isinstance(data, Mesh | Skeleton | Points):
        from .geometry import geometry_layer

        layer = geometry_layer(data, name)
    elif isinstance(data, Tree):
        layer = tree_layer(data, name, kind=kind, convention=convention)
    elif isinstance(data, Picture):
        if voxel_size is not None or axes is not None or offset is not None:
            raise ViewerError("An image says itself where it is: give its array to place it anew.")
        volume = Volume(data.source, data.space, kind=data.kind)
        layer = _of_volume(volume, name, data.transform)
        layer.dimensions = _global(data.shown)
        layer.view |= upright(convention)
        if volume.kind == "image" and window is None and shader is None and not _colours(volume):
            window = data.window
    else:
        volume = _placed(wrap(data, axes), kind, voxel_size, units, axes, offset)
        layer = _of_volume(volume, name, None)
        layer.dimensions = _global(_space(volume))
        if volume.kind == "image" and window is None and shader is None and not _colours(volume):
            window = window_of(volume.source)
    if window is not None and layer.state["type"] == "image":
        low, high = map(float, window)
        layer.state["shaderControls"] = {"normalized": {"range": [low, high]}}
    if shader is not None:
        layer.state["shader"] = shader
    if segments is not None:
        layer.state["segments"] = chosen(segments)
    if labels is not None:
        _name_segments(layer, labels)
    return layer


def _opened(data: object, kind: str | None) -> object:
    """Return what a path names, and an image as a picture."""
    if isinstance(data, str | os.PathLike):
        path = os.fspath(data)
        if path.lower().endswith(_TRACTS):
            return read_tracts(path)
        if path.lower().endswith(_SURFACES):
            return read_mesh(path)
        from .opening import is_array, open_data
        from .trees import is_tree, open_tree

        if is_array(path):
            return open_data(path)
        if is_tree(path):
            return open_tree(path)
        return open_image(path, kind)
    if isinstance(data, Picture):
        return data
    if hasattr(data, "dataobj") and hasattr(data, "affine"):
        return open_image(data, kind)
    return data


def _name(data: object, given: str, taken: Container[str]) -> str:
    path = str(getattr(data, "path", "") or getattr(data, "name", "") or given)
    base = os.path.basename(path).partition(".")[0]
    base = base or ("array" if not isinstance(data, Picture) else "image")
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base} {count}"
    return name


def _placed(
    source: ArraySource,
    kind: str | None,
    voxel_size: float | Sequence[float] | Mapping[str, float] | None,
    units: str | Sequence[str] | None,
    axes: Sequence[str] | None,
    offset: Sequence[float] | None,
) -> Volume:
    names = source.names
    spatial = [name for name in names if name not in ("t", "time") and name[-1] not in "'^"]
    steps = dict(zip(names, source.scales, strict=True))
    starts = dict(zip(names, source.offset, strict=True))
    words = dict(zip(names, source.units, strict=True))
    if isinstance(voxel_size, int | float):
        voxel_size = dict.fromkeys(spatial, float(voxel_size))
    steps |= _by_name(voxel_size, spatial, axes, "voxel sizes", float)
    starts |= _by_name(offset, spatial, axes, "offsets", float)
    if isinstance(units, str):
        words |= dict.fromkeys(spatial, units)
    elif units is not None:
        words |= _by_name(units, spatial, axes, "units", str)
    elif not any(words[name] for name in spatial):
        words |= dict.fromkeys(spatial, "nm")
    space = Space(names, tuple(words[name] for name in names), tuple(steps[name] for name in names))
    if kind is None:
        whole = source.dtype.kind == "u" and source.dtype.itemsize >= 4
        kind = "segmentation" if whole and len(names) == 3 else "image"
    return Volume(source, space, kind=kind, offset=[starts[name] for name in names])


def _by_name(
    given: Any,
    spatial: Sequence[str],
    axes: Sequence[str] | None,
    what: str,
    convert: Callable[[Any], Any],
) -> dict[str, Any]:
    if given is None:
        return {}
    if hasattr(given, "items"):
        names, given = list(given), list(given.values())
    else:
        names = list(axes) if axes is not None else sorted(spatial)
    values = numbers(given, convert, f"The {what} are one for each axis")
    if len(values) != len(names):
        raise ViewerError(f"{len(values)} {what} for the axes {', '.join(names)}: give one of each")
    return dict(zip(names, values, strict=True))


def _meshes(volume: Volume) -> MeshMaker | None:
    """Return what makes the meshes of a volume's objects; None if it has no objects."""
    if volume.kind != "segmentation" or len(volume.shape) != 3:
        return None
    from .mesh import MeshMaker

    return MeshMaker(volume)


def _multires(meshes: MeshMaker | None) -> MultiresMaker | None:
    """Return what makes them in several resolutions; None for a volume without large objects."""
    from .mesh import MultiresMaker
    from .multires import is_available

    if meshes is None or math.prod(meshes.volume.shape) < _LARGE or not is_available():
        return None
    return MultiresMaker(meshes)


def multires_url(key: str, generation: int) -> str:
    """Return the address, in a state, of the meshes of a volume in several resolutions.

    Examples
    --------
    >>> multires_url('ab', 2).rpartition('.invalid')[2]
    '/neuroglancer/multires/ab/2'
    """
    return f"precomputed://{HERE}/neuroglancer/multires/{key}/{generation}"


def renew(state: Json, layer: Layer) -> None:
    """Give the meshes of a layer another address in a page's state, so that it loads them again.

    A ``python://`` source is told of changed data by its generation; a ``precomputed://`` one has
    no such thing.

    Parameters
    ----------
    state : dict
        Of the page; it is changed.
    layer : Layer
        Of which the volume was refreshed.
    """
    if layer.volume is None or layer.sources[0].multires is None:
        return
    url = multires_url(layer.sources[0].key, layer.volume.generation)
    mark = url.rpartition("/")[0].partition(HERE)[2] + "/"
    for one in state.get("layers", ()):
        places = one.get("source")
        if one.get("name") != layer.name or not isinstance(places, list):
            continue
        for number, place in enumerate(places):  # a page makes one without more than that a text
            if isinstance(place, str) and mark in place:
                places[number] = url
            elif isinstance(place, dict) and mark in str(place.get("url")):
                place["url"] = url


def _axes(space: Space) -> Json:
    """Return the transform that takes meshes in nanometres to the axes of a volume."""
    axes = Space(space.names, space.units, (1e-9,) * 3)
    return {"outputDimensions": axes.to_json()}


def _of_volume(volume: Volume, name: str, transform: Mapping[str, object] | None) -> Layer:
    layer = Layer(name, volume.kind)
    layer.volume = volume
    layer.view["position"] = volume.middle(transform)
    meshes = _meshes(volume)
    source = Source(
        f"Layer {name!r}",
        info=volume.info,
        chunk=volume.chunk,
        itemsize=volume.dtype.itemsize,
        quick=volume.source.in_memory,
        mesh=meshes,
        multires=_multires(meshes),
    )
    layer.sources.append(source)
    place: Json = {"url": f"python://volume/{source.key}"}
    if transform is not None:
        place["transform"] = dict(transform)
    layer.state["source"] = [place]
    if source.multires is not None:
        place["subsources"] = {"meshes": False}
        several: Json = {"url": multires_url(source.key, volume.generation)}
        several["transform"] = dict(transform) if transform is not None else _axes(_space(volume))
        layer.state["source"].append(several)
    if _colours(volume) and volume.kind == "image":
        layer.state["shader"] = _RGB
    space = _space(volume)
    extents = [
        size * scale
        for size, scale, axis, unit in zip(
            volume.shape, space.scales, space.names, space.units, strict=True
        )
        if axis[-1] not in "'^" and unit == "m"
    ]
    smallest = min(
        (s for s, u in zip(space.scales, space.units, strict=True) if u == "m"), default=1
    )
    if extents and transform is None and max(extents) > 0:
        across = max(extents) / smallest
    elif extents and max(extents) > 0:
        across = max(extents) * 1e3  # shown in millimetres
    else:
        return layer
    layer.view |= {"crossSectionScale": across / ACROSS, "projectionScale": 1.6 * across}
    return layer


def _name_segments(layer: Layer, labels: object) -> None:
    table = label_table(labels)
    for problem in table.problems[:_TOLD]:
        warnings.warn(problem, UserWarning, stacklevel=4)
    files = {"info": json.dumps(table.segment_properties()).encode()}
    source = Source(f"The labels of layer {layer.name!r}", files=files)
    layer.sources.append(source)
    layer.state["source"].append(files_url(source))
    colors = table.segment_colors()
    if colors:
        layer.state["segmentColors"] = colors


def files_url(source: Source) -> str:
    """Return the address, in a state, of the files of a source."""
    return f"precomputed://{HERE}/neuroglancer/files/{source.key}"


def _space(volume: Volume) -> Space:
    assert isinstance(volume.space, Space)
    return volume.space


def _global(space: Space) -> Json:
    return {name: scale for name, scale in space.to_json().items() if name[-1] not in "'^"}


def _colours(volume: Volume) -> bool:
    channels = [
        size
        for name, size in zip(volume.source.names, volume.shape, strict=True)
        if name.endswith("^")
    ]
    return channels == [3]
