"""The format ``precomputed`` of Neuroglancer: volumes, and meshes of one fragment.

It is described in ``src/datasource/precomputed/volume.md`` and ``meshes.md`` of Neuroglancer.  A
chunk of zeros is not written: one that is not there is of zeros.  The unsharded format is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ViewerError
from .plans import CHUNK, Level, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .multires import Multires
    from .stores import Store

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["MESHES", "PROPERTIES", "Precomputed", "plain_gzip"]

MESHES = "mesh"
PROPERTIES = "segment_properties"
_CELL = (8, 8, 8)  # of compressed_segmentation
_SEGMENTED = "compressed_segmentation"


@final
@dataclass(frozen=True, slots=True)
class Precomputed:
    """A volume in this format.

    Parameters
    ----------
    levels : tuple of Level
        Its scales, of three axes of space and one of channels.
    resolution : tuple of float
        The size of a voxel of the first scale, in nanometres.
    dtype : str
        The name of the type of its voxels.
    kind : {'image', 'segmentation'}
        What they are.
    offset : tuple of int
        Where the first voxel is, in voxels; each factor of the scales divides it.
    gzip : bool
        Whether files are compressed, and their names end with ``.gz``.
    meshes : {'', 'single', 'multires'}
        Which meshes of its segments there are.
    """

    levels: tuple[Level, ...]
    resolution: tuple[float, ...]
    dtype: str
    kind: str
    offset: tuple[int, ...] = (0, 0, 0)
    gzip: bool = False
    meshes: str = ""
    name = "precomputed"

    @property
    def encoding(self) -> str:
        """How chunks are encoded."""
        segmented = self.kind == "segmentation" and self.dtype in ("uint32", "uint64")
        return _SEGMENTED if segmented else "raw"

    @property
    def chunk(self) -> tuple[int, ...]:
        """The voxels of a chunk, along each axis."""
        return (CHUNK, CHUNK, CHUNK, self.levels[0].shape[3])

    def describe(self) -> dict[str, bytes]:
        """Return the files that say what there is."""
        info: dict[str, Any] = {
            "@type": "neuroglancer_multiscale_volume",
            "type": self.kind,
            "data_type": self.dtype,
            "num_channels": self.levels[0].shape[3],
            "scales": [self._scale(number) for number in range(len(self.levels))],
        }
        files = {}
        if self.kind == "segmentation":
            info["segment_properties"] = PROPERTIES
        if self.meshes:
            info["mesh"] = MESHES
            files[f"{MESHES}/info"] = _json(self._meshes())
        return files | {"info": _json(info)}

    def _meshes(self) -> Mapping[str, object]:
        if self.meshes == "single":
            return {"@type": "neuroglancer_legacy_mesh"}
        from .multires import multires_info

        shift = [a * r for a, r in zip(self.offset, self.resolution, strict=True)]
        return multires_info(shift)

    def _scale(self, level: int) -> dict[str, object]:
        factors, shape = self.levels[level]
        scale: dict[str, object] = {
            "key": self.key(level),
            "size": list(shape[:3]),
            "resolution": [_number(r * f) for r, f in zip(self.resolution, factors, strict=False)],
            "chunk_sizes": [[CHUNK] * 3],
            "voxel_offset": self._begin(level),
            "encoding": self.encoding,
        }
        if self.encoding == _SEGMENTED:
            scale["compressed_segmentation_block_size"] = list(_CELL)
        return scale

    def key(self, level: int) -> str:
        """Return the directory of a scale: the size of its voxels."""
        factors = self.levels[level].factors
        return "_".join(f"{_number(r * f)}" for r, f in zip(self.resolution, factors, strict=False))

    def write(
        self,
        store: Store,
        level: int,
        begin: Sequence[int],
        block: Array,
        look: Callable[[Sequence[int], Array], object] | None = None,
    ) -> int:
        """Write the chunks of a block that begins at one; return how many are not of zeros.

        Each chunk that is not of zeros is given to `look`, with the place of its first voxel; its
        first axis is the fastest in memory.
        """
        count = 0
        for place in product(*(range(0, size, CHUNK) for size in block.shape[:3])):
            part = np.asfortranarray(block[tuple(slice(a, a + CHUNK) for a in place)])
            if uniform(part) == 0:
                continue
            low = [a + b for a, b in zip(begin, place, strict=False)]
            if look is not None:
                look(low, part)
            self._put(store, self._chunk_name(level, low, part.shape), self._encode(part))
            count += 1
        return count

    def read(self, store: Store, level: int, begin: Sequence[int], end: Sequence[int]) -> Array:
        """Return the voxels of a box that begins at a chunk."""
        shape = self.levels[level].shape
        block = np.zeros([b - a for a, b in zip(begin, end, strict=True)], self.dtype, order="F")
        for low in product(*(range(a, b, CHUNK) for a, b in zip(begin[:3], end[:3], strict=True))):
            size = [min(CHUNK, s - a) for s, a in zip(shape[:3], low, strict=True)]
            name = self._chunk_name(level, low, size)
            content = self._get(store, name)
            if content is None:
                continue
            place = [a - b for a, b in zip(low, begin, strict=False)]
            target = block[tuple(slice(a, a + n) for a, n in zip(place, size, strict=True))]
            part = self._decode(content, (*size, shape[3]), name)
            target[...] = part[tuple(slice(n) for n in target.shape)]
        return block

    def write_mesh(self, store: Store, label: int, mesh: bytes) -> None:
        """Write the mesh of a segment, its coordinates in nanometres: one fragment."""
        manifest = _json({"fragments": [str(label)]})
        self._put(store, f"{MESHES}/{label}", mesh)
        self._put(store, f"{MESHES}/{label}:0", manifest)

    def write_multires(self, store: Store, label: int, mesh: Multires) -> None:
        """Write the mesh of a segment in several resolutions."""
        store.write(f"{MESHES}/{label}", mesh.data)
        store.write(f"{MESHES}/{label}.index", mesh.manifest)

    def write_properties(self, store: Store, properties: Mapping[str, object]) -> None:
        """Write the names of the segments."""
        store.write(f"{PROPERTIES}/info", _json(properties))

    def _begin(self, level: int) -> list[int]:
        return [a // f for a, f in zip(self.offset, self.levels[level].factors, strict=False)]

    def _chunk_name(self, level: int, low: Sequence[int], size: Sequence[int]) -> str:
        corner = [a + b for a, b in zip(low, self._begin(level), strict=False)]
        ranges = "_".join(f"{a}-{a + n}" for a, n in zip(corner, size, strict=False))
        return f"{self.key(level)}/{ranges}"

    def _encode(self, part: Array) -> bytes:
        if self.encoding == "raw":
            return part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes("F")
        return bytes(_library().compress(part, block_size=_CELL, order="F"))

    def _decode(self, content: bytes, shape: tuple[int, ...], name: str) -> Array:
        dtype = np.dtype(self.dtype).newbyteorder("<")
        try:
            if self.encoding == "raw":
                return np.frombuffer(content, dtype).reshape(shape, order="F")
            found: Array = _library().decompress(
                content, shape, dtype=np.dtype(self.dtype), block_size=_CELL, order="F"
            )
            return found.reshape(shape, order="F")
        except ValueError as error:
            raise ViewerError(f"the chunk {name} is not what was written: {error}") from error

    def _put(self, store: Store, name: str, content: bytes) -> None:
        if self.gzip:
            store.write(f"{name}.gz", plain_gzip(content))
        else:
            store.write(name, content)

    def _get(self, store: Store, name: str) -> bytes | None:
        if not self.gzip:
            return store.read(name)
        import gzip

        packed = store.read(f"{name}.gz")
        return None if packed is None else gzip.decompress(packed)


def plain_gzip(content: bytes) -> bytes:
    """Return bytes compressed, the same each time."""
    import gzip

    return gzip.compress(content, 1, mtime=0)


def _library() -> Any:
    try:
        import compressed_segmentation
    except ImportError:
        raise ViewerError(
            "labels are written with compressed_segmentation: "
            "pip install 'nibabel-data[precompute]'"
        ) from None
    return compressed_segmentation


def _number(value: float) -> float | int:
    rounded = float(f"{value:.9g}")
    return int(rounded) if rounded.is_integer() else rounded


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()
