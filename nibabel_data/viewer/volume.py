"""One volume as the client's source ``python://volume`` asks for it: its description, its chunks.

The client chooses the scales by itself, each by powers of two, and asks for chunks at factors and
at voxels of that scale.  Levels that the array has, or that were made, answer if they can; else the
chunk is made from the full resolution when it is asked for: of images the mean, of labels the mode.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, final

import numpy as np

from ..errors import ViewerError
from . import downsample
from .arrays import wrap
from .dtypes import Shown, client_dtype, convert, to_bytes
from .exact import is_exact, whole_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from .arrays import ArraySource

    Array = np.ndarray[Any, np.dtype[Any]]

    class CoordinateSpace(Protocol):
        """What `nibabel_data.viewer.spaces.Space` is here."""

        @property
        def names(self) -> tuple[str, ...]:
            """Of its axes."""

        @property
        def scales(self) -> tuple[float, ...]:
            """Of a step along each."""

        def to_json(self) -> Mapping[str, object]:
            """Return it as the client has it."""


__all__ = ["Volume"]

_MAX_VOXELS = 1 << 21  # of one chunk: the client asks for 2**18
_MAX_READ = 1 << 26  # voxels of the full resolution for one chunk
_MAX_DOWNSAMPLING = 64
_MAX_DOWNSAMPLED_SIZE = 128
_LOOKED_AT = 1 << 28  # bytes in memory that are looked at for what they can be shown as


@final
class Volume:
    """An array in a space, as the client sees it.

    Parameters
    ----------
    source : ArraySource or anything that `wrap` takes
        The voxels.
    space : Space, optional
        The axes, in the order of `source`; by default those of `source` itself.
    kind : {'image', 'segmentation'}
        Whether voxels measure (means are shown at a coarser scale) or name segments (modes are).
    offset : sequence of float, optional
        Where the first voxel begins on each axis, in voxels; by default as `source` has it.
    layout : {'3d', '2d', 'none'}
        Along which axes it is shown coarser: all of space, each plane of it by itself, or none.

    Attributes
    ----------
    shown : Shown
        The type that the client is told.
    generation : int
        How often the contents have changed.

    Raises
    ------
    ViewerError
        If the voxels cannot be shown.

    Examples
    --------
    >>> volume = Volume(np.arange(24, dtype='u1').reshape(2, 3, 4))
    >>> volume.info()['shape'], volume.info()['dataType']
    ([4, 3, 2], 'uint8')
    >>> list(volume.chunk((1, 1, 1), (0, 0, 1), (4, 1, 2)))
    [12, 13, 14, 15]
    >>> list(volume.chunk((2, 2, 2), (0, 0, 0), (2, 2, 1)))
    [8, 10, 14, 16]
    """

    __slots__ = (
        "_levels",
        "_lock",
        "_max_downsampling",
        "_offset",
        "_whole",
        "generation",
        "kind",
        "layout",
        "shown",
        "source",
        "space",
    )

    def __init__(
        self,
        source: ArraySource | object,
        space: CoordinateSpace | None = None,
        *,
        kind: str = "image",
        offset: Sequence[float] | None = None,
        layout: str = "3d",
    ) -> None:
        if kind not in ("image", "segmentation"):
            raise ViewerError(f"A volume is an image or a segmentation, not {kind!r}.")
        if layout not in ("3d", "2d", "none"):
            raise ViewerError(f"A volume is made coarser in 3d, 2d or none, not {layout!r}.")
        self.source = wrap(source)
        if kind == "segmentation" and self.source.dtype.kind == "f":
            self.source = whole_labels(self.source)
        self.space = space or _own_space(self.source)
        self.kind = kind
        self.layout = layout
        self.generation = 0
        self.shown = self._look()
        self._offset = tuple(map(float, self.source.offset if offset is None else offset))
        if len(self._offset) != len(self.source.shape) or not all(map(math.isfinite, self._offset)):
            raise ViewerError(f"{offset!r} is no offset of {len(self.source.shape)} axes.")
        self._levels: dict[tuple[int, ...], ArraySource] = {}
        self._lock = threading.Lock()
        self._max_downsampling = _MAX_DOWNSAMPLING
        self._whole = self._plain()
        for factors, level in self.source.levels:
            self.add_level(factors, level)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that the client is told."""
        return self.shown.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """How many voxels there are on each axis, in the client's order."""
        return self.source.shape

    def info(self) -> dict[str, object]:
        """Return the description that the client reads first.

        Returns
        -------
        dict
            JSON, with the keys of ``src/datasource/python/frontend.ts`` of Neuroglancer.  An axis
            without voxels, which the client does not take, is one of one voxel: of zeros.
        """
        return {
            "dataType": self.shown.dtype.name,
            "encoding": "raw",
            "generation": self.generation,
            "coordinateSpace": dict(self.space.to_json()),
            "shape": [max(1, size) for size in self.source.shape],
            "volumeType": self.kind,
            "voxelOffset": list(self._offset),
            "chunkLayout": "flat" if self.layout == "2d" else "isotropic",
            "downsamplingLayout": "2d" if self.layout == "2d" else "3d",
            "maxDownsampling": 1 if self.layout == "none" else self._max_downsampling,
            "maxDownsampledSize": _MAX_DOWNSAMPLED_SIZE,
            "maxDownsamplingScales": 1 if self.layout == "none" else None,
        }

    def middle(self, transform: Mapping[str, Any] | None = None) -> list[float]:
        """Return where the centre of the voxel in the middle is shown.

        A page that is not told looks at the middle of what it knows when the first source has been
        loaded; of a source of names or meshes, it knows nothing.

        Parameters
        ----------
        transform : mapping, optional
            As of `nibabel_data.viewer.spaces.layer_transform`; by default none.

        Returns
        -------
        list of float
            Along the axes that are shown; not those of channels or of the layer alone.
        """
        at = np.array(self._offset) + np.array(self.shape) // 2 + 0.5
        if transform is not None:
            rows = np.array(transform["matrix"])
            steps = [scale for scale, _ in transform["outputDimensions"].values()]
            at = (rows[:, :-1] * self.space.scales) @ at / steps + rows[:, -1]
        names = self.space.names
        return [float(x) for x, name in zip(at, names, strict=True) if name[-1] not in "'^"]

    def chunk(self, factors: Sequence[int], begin: Sequence[int], end: Sequence[int]) -> bytes:
        """Return the voxels of a box at a scale.

        Parameters
        ----------
        factors : sequence of int
            How many voxels of the array are one of that scale, along each axis.
        begin, end : sequence of int
            The box, in voxels of that scale; `end` is outside.

        Returns
        -------
        bytes
            Raw: of the type `dtype`, little-endian, the first axis fastest.

        Raises
        ------
        ViewerError
            If the box is not in the volume, or is too large, or the array cannot be read.
        """
        whole = self._whole
        if whole is not None and tuple(factors) == (1,) * whole.ndim == (1,) * len(begin):
            inside = len(end) == whole.ndim and all(
                0 <= a <= b <= n for a, b, n in zip(begin, end, whole.shape, strict=True)
            )
            block = whole[tuple(map(slice, begin, end))]
            if inside and block.size <= _MAX_VOXELS:
                return to_bytes(block)
        step, low, high = self._checked(factors, begin, end)
        return to_bytes(self._voxels(step, low, high))

    def add_level(self, factors: Sequence[int], level: ArraySource | object) -> None:
        """Let chunks be read from a coarser copy of the array, from now on.

        Parameters
        ----------
        factors : sequence of int
            How many voxels of the array are one of the copy, along each axis.
        level : ArraySource or numpy.ndarray
            The copy: an array is in the client's order of axes.

        Raises
        ------
        ViewerError
            If the copy has not the shape that the factors say.
        """
        with self._lock:
            self._add_level(factors, level)

    def add_levels(
        self, levels: Sequence[tuple[Sequence[int], ArraySource | object]], generation: int
    ) -> None:
        """Do so with several copies, unless the contents have changed since they were made.

        Parameters
        ----------
        levels : sequence of (sequence of int, ArraySource or numpy.ndarray)
            As `add_level` takes them.
        generation : int
            Of the contents that they were made of.

        Raises
        ------
        ViewerError
            As `add_level` does.
        """
        with self._lock:
            if generation == self.generation:
                for factors, level in levels:
                    self._add_level(factors, level)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The factors of the coarser copies that there are."""
        return tuple(self._levels)

    def _add_level(self, factors: Sequence[int], level: ArraySource | object) -> None:
        step = tuple(int(factor) for factor in factors)
        source = wrap(level, order="F")
        sizes = zip(self.source.shape, step, source.shape, strict=False)
        if not len(step) == len(source.shape) == len(self.source.shape) or not all(
            factor >= 1 and level in (-(-size // factor), max(1, size // factor), size)
            for size, factor, level in sizes
        ):
            raise ViewerError(
                f"A level of {source.shape} voxels is not {self.source.shape} made {step} coarser."
            )
        self._levels = {**self._levels, step: source}
        # The client asks for scales up to here; each is then made from the coarsest level.
        self._max_downsampling = max(
            self._max_downsampling, min(_MAX_DOWNSAMPLING * math.prod(step), 1 << 30)
        )

    def refresh(self) -> int:
        """Say that the contents have changed: levels that were made are dropped.

        Returns
        -------
        int
            The new generation, for the client's ``sourceGenerations``.
        """
        with self._lock:
            self._levels = {
                step: source
                for step, source in self._levels.items()
                if any(source is level for _, level in self.source.levels)
            }
            self.generation += 1
            return self.generation

    def after_fork(self) -> None:
        """Start anew in a new process: a thread that held the lock is not there."""
        self._lock = threading.Lock()

    def _plain(self) -> Array | None:
        """Return a view of all voxels, if they are in memory as they are shown; else None."""
        source, original = self.source, self.source.original
        if type(original) is not np.ndarray or original.dtype != self.shown.dtype:
            return None
        if 0 in source.shape or not source.in_memory:
            return None
        whole = source.read((0,) * len(source.shape), source.shape)
        return whole if np.may_share_memory(whole, original) else None

    def _look(self) -> Shown:
        """Return how the voxels are shown; of those in memory, whether that is exact."""
        source = self.source
        bounds = None
        seen = source.in_memory and 0 < source.nbytes <= _LOOKED_AT
        if seen and source.dtype == np.int64:
            whole = source.read((0,) * len(source.shape), source.shape)
            bounds = int(whole.min()), int(whole.max())
        shown = client_dtype(source.dtype, labels=self.kind == "segmentation", bounds=bounds)
        if seen and shown.remark and shown.dtype.kind == "f" and is_exact(source, shown):
            return Shown(shown.dtype, True, "")
        return shown

    def _checked(
        self, factors: Sequence[int], begin: Sequence[int], end: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        rank = len(self.source.shape)
        step, low, high = (tuple(int(n) for n in numbers) for numbers in (factors, begin, end))
        if not len(step) == len(low) == len(high) == rank:
            raise ViewerError(f"The volume has {rank} axes: a chunk has as many.")
        if min(step) < 1 or math.prod(step) > self._max_downsampling:
            raise ViewerError(f"The volume is not shown at the scale {step}.")
        limits = (-(-max(1, size) // f) for size, f in zip(self.source.shape, step, strict=True))
        if not all(0 <= a <= b <= c for a, b, c in zip(low, high, limits, strict=True)):
            raise ViewerError(f"The chunk from {low} to {high} is not in the volume.")
        if math.prod(b - a for a, b in zip(low, high, strict=True)) > _MAX_VOXELS:
            raise ViewerError(f"The chunk from {low} to {high} has more than {_MAX_VOXELS} voxels.")
        return step, low, high

    def _voxels(self, step: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> Array:
        shape = tuple(b - a for a, b in zip(low, high, strict=True))
        if 0 in self.source.shape or 0 in shape:
            return np.zeros(shape, self.shown.dtype)
        level, rest = self._nearest(step)
        first = tuple(a * f for a, f in zip(low, rest, strict=True))
        last = tuple(min(b * f, size) for b, f, size in zip(high, rest, level.shape, strict=True))
        if math.prod(max(0, b - a) for a, b in zip(first, last, strict=True)) > _MAX_READ:
            raise ViewerError(
                f"The chunk from {low} to {high} at the scale {step} needs too many voxels."
            )
        # A level that was rounded down has no voxel of its own for the last one: the one before.
        first = tuple(min(a, size - 1) for a, size in zip(first, level.shape, strict=True))
        last = tuple(max(a + 1, b) for a, b in zip(first, last, strict=True))
        block = convert(level.read(first, last), self.shown)
        if any(factor > 1 for factor in rest):
            method = "mode" if self.kind == "segmentation" else "average"
            (block,) = downsample.pyramid(block, [rest], method, threads=2)
        if block.shape != shape:
            width = [(0, max(0, want - got)) for want, got in zip(shape, block.shape, strict=True)]
            block = np.pad(block, width, mode="edge")
        return block

    def _nearest(self, step: tuple[int, ...]) -> tuple[ArraySource, tuple[int, ...]]:
        """Return the coarsest level of which a scale can be made, and the factors that are left."""
        best, level = (1,) * len(step), self.source
        for factors, other in self._levels.items():
            divides = all(s % f == 0 for s, f in zip(step, factors, strict=True))
            if divides and math.prod(factors) > math.prod(best):
                best, level = factors, other
        return level, tuple(s // f for s, f in zip(step, best, strict=True))


def _own_space(source: ArraySource) -> CoordinateSpace:
    from .spaces import Space

    return Space(source.names, source.units, source.scales)
