"""From a volume as the viewer shows it to the `Job` of writing it: axes, scales, where it is."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ViewerError
from . import multires
from .ome import OmeZarr, together
from .plans import CHUNK, levels, passes
from .precomputed import Precomputed
from .tasks import Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .plans import Level, Pass
    from .volume import Volume

__all__ = ["make_job"]

_NANO = 1e9
_TIMES = ("t", "time")
_PLACES = ("x", "y", "z")


def make_job(
    source: object,
    options: Mapping[str, object],
    volume: Volume,
    dest: str,
    format: str,
    meshes: bool,
    gzip: bool,
    room: int,
    about: dict[str, Any],
) -> Job:
    """Return the job of writing a volume; what is to be known of its tree is added to `about`."""
    if format not in ("precomputed", "ome-zarr"):
        raise ViewerError(f"{format!r} is not a format: use precomputed or ome-zarr.")
    if 0 in volume.shape:
        raise ViewerError(f"An array of {volume.shape} has no voxels to write.")
    space, others = _kinds(volume)
    labelled = volume.kind == "segmentation" and space == [0, 1, 2] and not others
    plain = format == "precomputed"
    if plain:
        _check_channels(volume, others)
        others = others or [None]
    axes = _written_axes(volume, [*space, *[None] * (3 - len(space)), *others])
    shape = [axis.size for axis in axes]
    scales = tuple(levels(shape, [axis.scale for axis in axes[:3]]))
    dtype = volume.shown.dtype.name
    if volume.kind == "segmentation":
        dtype = "uint64" if volume.shown.dtype.itemsize == 8 else "uint32"
    several = shape[3:] if plain else [together(axis.name, axis.size) for axis in axes[3:]]
    chunk = [CHUNK] * 3 + several
    readings = tuple(passes(scales, chunk, np.dtype(dtype).itemsize, room))
    transform = about.pop("placed")
    about["transform"] = None
    form: Precomputed | OmeZarr
    if plain:
        made = "" if not (meshes and labelled) else _meshes()
        resolution = tuple(a.scale * (_NANO if a.unit == "m" else 1.0) for a in axes[:3])
        offset = _whole(axes[:3], scales[-1].factors)
        axes = [a._replace(start=a.start - o) for a, o in zip(axes, (*offset, 0), strict=True)]
        shown = axes if shape[3] > 1 else axes[:3]
        moved = any(axis.start for axis in axes)
        if transform or moved:
            about["transform"] = _transform(volume, transform, shown, plain=True)
        form = Precomputed(scales, resolution, dtype, volume.kind, offset, gzip, made)
    else:
        # The client puts the centre of the first voxel at 0, where others have its corner.
        corner = [axis._replace(start=axis.start + 0.5) for axis in axes[::-1]]
        about["transform"] = _transform(volume, transform, corner, plain=False)
        form = OmeZarr(
            scales,
            tuple(axis.name for axis in axes),
            tuple(axis.scale for axis in axes),
            tuple(axis.unit for axis in axes),
            tuple(axis.start for axis in axes),
            dtype,
            volume.kind,
            _shards(scales, readings),
            str(about["name"]),
            {"nibabel-data": {key: about[key] for key in ("kind", "layer", "transform")}},
        )
    described = {name: content.decode() for name, content in form.describe().items()}
    told = [format, gzip, described, [list(one) for one in readings], about["layer"]]
    about["format"] = format
    about["parameters"] = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    token = f"{about['source']}{about['parameters']}{os.path.basename(dest)}"
    return Job(
        token, source, options, tuple(axis.of for axis in axes), form, readings, dest, labelled
    )


def _meshes() -> str:
    return "multires" if multires.is_available() else "single"


class _Axis(NamedTuple):
    """An axis that is written: which it is of the volume, if any, and what is known of it."""

    of: int | None
    name: str
    size: int
    scale: float
    unit: str
    start: float  # where the first voxel begins, in voxels


def _written_axes(volume: Volume, order: Sequence[int | None]) -> list[_Axis]:
    space: Any = volume.space
    starts: Any = volume.info()["voxelOffset"]
    found = []
    thickest = max(space.scales[axis] for axis in order[:3] if axis is not None)
    unit = next(space.units[axis] for axis in order[:3] if axis is not None)
    for place, axis in enumerate(order):
        name = _PLACES[place] if place < 3 else "c"
        if axis is None:
            found.append(_Axis(None, name, 1, thickest if place < 3 else 1.0, unit, 0.0))
            continue
        if place >= 3 and volume.source.names[axis][-1] not in "'^":
            name = "t"
        size, start = volume.shape[axis], float(starts[axis])
        found.append(_Axis(axis, name, size, space.scales[axis], space.units[axis], start))
    return found


def _shards(scales: Sequence[Level], readings: Sequence[Pass]) -> tuple[tuple[int, ...], ...]:
    """Return for each scale what one task writes of it."""
    shards = []
    for one in readings:
        base = scales[one.base].factors
        for level in one.writes:
            step = zip(one.region, scales[level].factors, base, strict=True)
            shards.append(tuple(edge // (a // b) for edge, a, b in step))
    return tuple(shards)


def _kinds(volume: Volume) -> tuple[list[int], list[int | None]]:
    """Return the axes of space, x first, and the others, those of channels first."""
    names = volume.source.names
    units: Any = volume.space.units  # type: ignore[attr-defined]
    space = [
        axis
        for axis, name in enumerate(names)
        if name not in _TIMES and name[-1] not in "'^" and units[axis] in ("m", "")
    ]
    if not 1 <= len(space) <= 3:
        raise ViewerError(
            f"A volume has up to three axes of space, and this has {len(space)} "
            f"({', '.join(names[axis] for axis in space) or 'none'}): say what they are by axes."
        )
    if all(names[axis] in _PLACES for axis in space):
        space.sort(key=lambda axis: names[axis])
    others = [axis for axis in range(len(names)) if axis not in space]
    return space, [*sorted(others, key=lambda axis: (names[axis][-1] not in "'^", axis))]


def _check_channels(volume: Volume, others: Sequence[int | None]) -> None:
    names = [volume.source.names[axis] for axis in others if axis is not None]
    if [name for name in names if name[-1] not in "'^"] or len(names) > 1:
        raise ViewerError(
            f"precomputed has x, y, z and channels, but this has axes {', '.join(names)}: "
            "use --format ome-zarr (in Python: format='ome-zarr')."
        )


def _whole(axes: Sequence[_Axis], coarsest: Sequence[int]) -> tuple[int, ...]:
    """Return where the first voxel is if each scale can say it in whole voxels, or zeros."""
    if all(a.start % factor == 0 for a, factor in zip(axes, coarsest, strict=False)):
        return tuple(int(axis.start) for axis in axes)
    return (0,) * len(axes)


def _transform(
    volume: Volume, given: Mapping[str, Any] | None, axes: Sequence[_Axis], *, plain: bool
) -> dict[str, object]:
    """Return the layer's transform of axes as they are written, from that of the volume's."""
    space: Any = volume.space
    rank = len(volume.shape)
    output: dict[str, Any] = dict(given["outputDimensions"] if given else space.to_json())
    matrix = np.array(given["matrix"]) if given else np.eye(rank, rank + 1)
    names = list(output)
    new = np.eye(len(axes), len(axes) + 1)
    shown: dict[str, Any] = {}
    starts = np.zeros(rank)
    for row, axis in enumerate(axes):
        if axis.of is None:
            shown[axis.name] = [axis.scale, axis.unit]
            new[row, -1] = axis.start
            continue
        name = names[axis.of]
        if name[-1] in "'^":  # the client shows those together of which it has all in one chunk
            alone = not plain and together("c", axis.size) < axis.size
            shown[f"{name[:-1]}'" if alone else f"{name[:-1]}^"] = output[name]
        else:
            shown[name] = output[name]
        starts[axis.of] = axis.start * space.scales[axis.of] / float(output[name][0])
        for column, other in enumerate(axes):
            if other.of is not None:
                new[row, column] = matrix[axis.of, other.of]
    for row, axis in enumerate(axes):
        if axis.of is not None:
            new[row, -1] = matrix[axis.of, -1] + matrix[axis.of, :-1] @ starts
    return {"matrix": new.tolist(), "outputDimensions": shown}
