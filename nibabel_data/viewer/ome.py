"""OME-Zarr: version 0.5, of zarr 3, in shards.

The metadata are those of https://ngff.openmicroscopy.org/0.5/, the files those of
https://zarr-specs.readthedocs.io, version 3, with its codecs ``sharding_indexed`` and ``zstd``:
what one task writes of a scale is one file, in which each chunk can be read by itself.  A chunk of
zeros is not written.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ViewerError
from .plans import CHUNK, Level, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .stores import Store

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["OmeZarr", "together"]

_ABSENT = 2**64 - 1  # the place of a chunk that is not in a shard
_UNITS = (("millimeter", 1e-3), ("micrometer", 1e-6), ("nanometer", 1e-9))
_COLOURS = 4  # channels
_TYPES = {"t": "time", "c": "channel"}


@final
@dataclass(frozen=True, slots=True)
class OmeZarr:
    """A volume in this format.

    Parameters
    ----------
    levels : tuple of Level
        Its scales; the axes of space, x first, then channels and times as there are any.
    axes : tuple of str
        The names of the axes: ``x``, ``y``, ``z``, ``c``, ``t``.
    scales : tuple of float
        The step of each axis.
    units : tuple of str
        The base unit of each axis: ``m``, ``s`` or none.
    offset : tuple of float
        Where the first voxel begins, in voxels.
    dtype : str
        The name of the type of its voxels.
    kind : {'image', 'segmentation'}
        What they are.
    shards : tuple of tuple of int
        Of each scale, the voxels of a file.
    label : str
        What it is called.
    extra : dict
        Attributes of the group.
    """

    levels: tuple[Level, ...]
    axes: tuple[str, ...]
    scales: tuple[float, ...]
    units: tuple[str, ...]
    offset: tuple[float, ...]
    dtype: str
    kind: str
    shards: tuple[tuple[int, ...], ...]
    label: str = ""
    extra: dict[str, object] = field(default_factory=dict)
    name = "ome-zarr"

    @property
    def chunk(self) -> tuple[int, ...]:
        """The voxels of a chunk, along each axis."""
        sizes = zip(self.axes, self.levels[0].shape, strict=True)
        return tuple(CHUNK if axis in "xyz" else together(axis, size) for axis, size in sizes)

    def describe(self) -> dict[str, bytes]:
        """Return the files that say what there is."""
        files = {f"{n}/zarr.json": _json(self._array(n)) for n in range(len(self.levels))}
        return files | {"zarr.json": _json(self._group())}

    def _group(self) -> dict[str, object]:
        units = [_unit(*pair) for pair in zip(self.units, self.scales, strict=True)]
        axes = []
        for name, (unit, _) in zip(self.axes, units, strict=True):
            axis = {"name": name, "type": _TYPES.get(name, "space")}
            axes.append(axis | ({"unit": unit} if unit else {}))
        steps = [size / factor for size, (_, factor) in zip(self.scales, units, strict=True)]
        image = {
            "name": self.label,
            "axes": axes[::-1],
            "datasets": [self._dataset(number, steps) for number in range(len(self.levels))],
            "type": "mode" if self.kind == "segmentation" else "mean",
        }
        return {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5", "multiscales": [image]}, **self.extra},
        }

    def _dataset(self, level: int, steps: Sequence[float]) -> dict[str, object]:
        factors = self.levels[level].factors
        scale = [step * factor for step, factor in zip(steps, factors, strict=True)]
        # Of the centre of the first voxel; the client reads "no translation" as one at 0.
        shift = [
            step * ((offset + 0.5 if offset else 0) + (factor - 1) / 2)
            for step, offset, factor in zip(steps, self.offset, factors, strict=True)
        ]
        transformations: list[dict[str, object]] = [{"type": "scale", "scale": scale[::-1]}]
        if any(shift):
            transformations.append({"type": "translation", "translation": shift[::-1]})
        return {"path": str(level), "coordinateTransformations": transformations}

    def _array(self, level: int) -> dict[str, object]:
        inner: list[dict[str, object]] = [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
        ]
        codecs = inner
        if self.shards[level] != self.chunk:
            sharded = {
                "chunk_shape": list(self.chunk[::-1]),
                "codecs": inner,
                "index_codecs": inner[:1],
                "index_location": "end",
            }
            codecs = [{"name": "sharding_indexed", "configuration": sharded}]
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.levels[level].shape[::-1]),
            "data_type": self.dtype,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": list(self.shards[level][::-1])},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0 if self.dtype.startswith("float") else 0,
            "codecs": codecs,
            "dimension_names": list(self.axes[::-1]),
            "attributes": {},
        }

    def write(
        self,
        store: Store,
        level: int,
        begin: Sequence[int],
        block: Array,
        look: Callable[[Sequence[int], Array], object] | None = None,
    ) -> int:
        """Write the shards of a block that begins at one; return how many are not of zeros.

        Each chunk that is not of zeros is given to `look`, with the place of its first voxel; its
        first axis is the fastest in memory.
        """
        shard = self.shards[level]
        count = 0
        for place in _steps(block.shape, shard):
            part = block[tuple(slice(a, a + n) for a, n in zip(place, shard, strict=True))]
            low = [a + b for a, b in zip(begin, place, strict=True)]
            content = self._packed(level, part, low, look)
            if content:
                store.write(self._name(level, low), content)
                count += 1
        return count

    def read(self, store: Store, level: int, begin: Sequence[int], end: Sequence[int]) -> Array:
        """Return the voxels of a box that begins at a shard."""
        shard = self.shards[level]
        block = np.zeros([b - a for a, b in zip(begin, end, strict=True)], self.dtype, order="F")
        for place in _steps(block.shape, shard):
            name = self._name(level, [a + b for a, b in zip(begin, place, strict=True)])
            content = store.read(name)
            if content is None:
                continue
            for inside, voxels in self._unpacked(level, content, name):
                where = tuple(
                    slice(a + b, a + b + n)
                    for a, b, n in zip(place, inside, self.chunk, strict=True)
                )
                target = block[where]
                target[...] = voxels[tuple(slice(n) for n in target.shape)]
        return block

    def _packed(
        self,
        level: int,
        part: Array,
        low: Sequence[int],
        look: Callable[[Sequence[int], Array], object] | None,
    ) -> bytes:
        codec = _codec()
        shard, edge = self.shards[level], self.chunk
        places: list[tuple[int, int]] = []
        parts: list[bytes] = []
        at = 0
        for inside in _steps(shard, edge):
            voxels = part[tuple(slice(a, a + n) for a, n in zip(inside, edge, strict=True))]
            voxels = np.asfortranarray(voxels)
            if not voxels.size or uniform(voxels) == 0:
                places.append((_ABSENT, _ABSENT))
                continue
            if look is not None:
                look([a + b for a, b in zip(low, inside, strict=True)], voxels)
            if voxels.shape != edge:
                width = [(0, n - m) for n, m in zip(edge, voxels.shape, strict=True)]
                voxels = np.pad(voxels, width)
            little = voxels.dtype.newbyteorder("<")
            content = bytes(codec.encode(np.ascontiguousarray(voxels.T, little)))
            places.append((at, len(content)))
            parts.append(content)
            at += len(content)
        if parts and shard != edge:
            parts.append(np.array(places, "<u8").tobytes())
        return b"".join(parts)

    def _unpacked(
        self, level: int, content: bytes, name: str
    ) -> Iterator[tuple[tuple[int, ...], Array]]:
        codec = _codec()
        shard, edge = self.shards[level], self.chunk
        count = math.prod(n // m for n, m in zip(shard, edge, strict=True))
        places: list[list[int]] = [[0, len(content)]]
        dtype = np.dtype(self.dtype).newbyteorder("<")
        try:
            if shard != edge:
                places = np.frombuffer(content[-16 * count :], "<u8").reshape(count, 2).tolist()
            for (at, size), inside in zip(places, _steps(shard, edge), strict=True):
                if at != _ABSENT:
                    voxels = np.frombuffer(codec.decode(content[at : at + size]), dtype)
                    yield inside, voxels.reshape(edge[::-1]).T
        except (ValueError, RuntimeError) as error:
            raise ViewerError(f"the file {name} is not what was written: {error}") from error

    def _name(self, level: int, low: Sequence[int]) -> str:
        places = [a // n for a, n in zip(low, self.shards[level], strict=True)]
        return f"{level}/c/" + "/".join(map(str, places[::-1]))


def together(axis: str, size: int) -> int:
    """Return how many channels or times are in one chunk: colours, which are shown together.

    Examples
    --------
    >>> together('c', 3), together('c', 40), together('t', 3)
    (3, 1, 1)
    """
    return size if axis == "c" and size <= _COLOURS else 1


def _steps(shape: Sequence[int], edge: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield where parts begin, the first axis fastest, as zarr has them for the last one."""
    ranges = [range(0, size, step) for size, step in zip(shape, edge, strict=True)]
    for reverse in product(*reversed(ranges)):
        yield reverse[::-1]


def _unit(base: str, scale: float) -> tuple[str, float]:
    if base == "s":
        return "second", 1.0
    if base != "m":
        return "", 1.0
    return next((unit for unit in _UNITS if scale >= unit[1] / 10), _UNITS[-1])


def _codec() -> Any:
    try:
        from numcodecs.zstd import Zstd
    except ImportError:
        raise ViewerError(
            "OME-Zarr needs numcodecs: pip install 'nibabel-data[precompute]'"
        ) from None
    return Zstd(level=1)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()
