"""Layers of surfaces, tractograms and points, which have no voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .layers import ACROSS, Layer, files_url
from .points import Points
from .sources import Source
from .spaces import Space, upright
from .surfaces import Mesh
from .tracts import Skeleton

if TYPE_CHECKING:
    from .state import Json

__all__ = ["geometry_layer"]

_SCANNER = Space(("x", "y", "z"), ("mm",) * 3, (1.0,) * 3)
_DIRECTIONS = "void main() {\n  emitRGB(orientation);\n}\n"


def geometry_layer(data: Mesh | Skeleton | Points, name: str) -> Layer:
    """Return a layer of a surface, a tractogram, or points."""
    if isinstance(data, Mesh):
        return _of_mesh(data, name)
    if isinstance(data, Skeleton):
        return _of_skeleton(data, name)
    return _of_points(data, name)


def _of_mesh(mesh: Mesh, name: str) -> Layer:
    layer = Layer(name, "segmentation")
    files = {
        "info": b'{"@type":"neuroglancer_legacy_mesh"}',
        "1:0": b'{"fragments":["1"]}',
        "1": mesh.encode(),
    }
    source = Source(f"Layer {name!r}", files=files)
    layer.sources.append(source)
    layer.state |= {"source": [files_url(source)], "segments": ["1"]}
    layer.dimensions = dict(_SCANNER.to_json())
    layer.view = _around(mesh.vertices)
    return layer


def _of_skeleton(skeleton: Skeleton, name: str) -> Layer:
    layer = Layer(name, "segmentation")
    info = {
        "coordinateSpace": _SCANNER.to_json(),
        "voxelOffset": [0, 0, 0],
        "attributes": {"orientation": {"dataType": "float32", "numComponents": 3}},
        "generation": 0,
    }
    source = Source(
        f"Layer {name!r}",
        info=lambda: info,
        skeleton=lambda number: skeleton.encode() if number == 1 else bytes(8),
    )
    layer.sources.append(source)
    layer.state |= {
        "source": [{"url": f"python://skeleton/{source.key}"}],
        "segments": ["1"],
        "skeletonRendering": {"shader": _DIRECTIONS, "mode2d": "lines", "mode3d": "lines"},
    }
    layer.dimensions = dict(_SCANNER.to_json())
    layer.view = _around(skeleton.vertices)
    return layer


def _of_points(points: Points, name: str) -> Layer:
    layer = Layer(name, "annotation")
    layer.state |= points.layer()
    space = points.space
    layer.dimensions = dict(space.to_json())
    layer.view = _around(points.positions)
    return layer


def _around(vertices: Any) -> Json:
    if not len(vertices):
        return {}
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    across = float((high - low).max()) or 1.0
    middle = [float(value) for value in (low + high) / 2]
    return {
        "position": middle,
        "crossSectionScale": across / ACROSS,
        "projectionScale": 1.6 * across,
        **upright(),
    }
