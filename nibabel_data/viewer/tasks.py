"""The tasks of which a tree of a volume is made: each by itself, the same bytes each time.

A task that is done leaves a file: for as long as the tree is not complete, it says so, and where
which labels are.  Everything that a task needs is in its `Job`, so that any process can do it.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from . import downsample
from .dtypes import convert
from .segments import BLOCK, Segments, distinct
from .stores import WORK, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .ome import OmeZarr
    from .plans import Box, Pass
    from .precomputed import Precomputed
    from .stores import Store
    from .volume import Volume

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = [
    "DONE",
    "Job",
    "MeshTask",
    "ScaleTask",
    "Task",
    "forget",
    "open_layer",
    "places_of",
    "run",
    "volume_of",
]

DONE = f"{WORK}/done"
_NANO = 1e9


@final
@dataclass(frozen=True, slots=True)
class Job:
    """What a volume is made of, and what is to be made of it.

    Parameters
    ----------
    token : str
        What tells it from others.
    source : object
        A path, or an array or image.
    options : dict
        How it is to be read: arguments of `make_layer`.
    order : tuple of int or None
        For each axis that is written, that of the volume; None for one that it does not have.
    form : Precomputed or OmeZarr
        What is written.
    passes : tuple of Pass
        In which readings.
    dest : str
        Where to.
    labelled : bool
        Whether it is noted where the labels are.
    """

    token: str
    source: object
    options: Mapping[str, object]
    order: tuple[int | None, ...]
    form: Precomputed | OmeZarr
    passes: tuple[Pass, ...]
    dest: str
    labelled: bool = False


class ScaleTask(NamedTuple):
    """Part of a pass: its number, and what is read."""

    number: int
    box: Box

    @property
    def name(self) -> str:
        """The name of the file that says that it is done."""
        return f"scales-{self.number}-" + "-".join(map(str, self.box.place))


class MeshTask(NamedTuple):
    """The meshes of some labels: which, and in which blocks they are."""

    number: int
    labels: Array
    blocks: Array

    @property
    def name(self) -> str:
        """The name of the file that says that it is done."""
        return f"meshes-{self.number}"


Task = ScaleTask | MeshTask


class _Opened:
    """The volume that this process has open: one, as tasks of one job follow each other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token = ""
        self.volume: Volume | None = None


_opened = _Opened()


def forget() -> None:
    """Let go of the volume that is open."""
    with _opened.lock:
        _opened.token, _opened.volume = "", None


def volume_of(job: Job) -> Volume:
    """Return the volume of a job, opened once in a process."""
    with _opened.lock:
        if _opened.volume is None or _opened.token != job.token:
            _opened.volume = open_layer(job.source, job.options).volume
            _opened.token = job.token
        assert _opened.volume is not None
        return _opened.volume


def open_layer(source: object, options: Mapping[str, object]) -> Any:
    """Return a source as the viewer would show it: its volume, and the state of the page."""
    import os

    from .layers import make_layer
    from .opening import open_data

    data = open_data(source) if isinstance(source, str | os.PathLike) else source
    return make_layer(data, **dict(options))  # type: ignore[arg-type]


def run(job: Job, task: Task) -> None:
    """Do a task, and leave the file that says so.

    Parameters
    ----------
    job : Job
        What it is part of.
    task : Task
        What to do.

    """
    store = open_store(job.dest)
    found = b""
    if isinstance(task, MeshTask):
        _make_meshes(job, store, task)
    else:
        found = _make_scales(job, store, task)
    store.write(f"{DONE}/{task.name}", found)


def _make_scales(job: Job, store: Store, task: ScaleTask) -> bytes:
    """Write the scales of a region; return where labels are in it, as a file."""
    form, this, box = job.form, job.passes[task.number], task.box
    places = _Places(form.levels[0].shape)
    if this.base in this.writes:
        block = _read(job, volume_of(job), box).astype(np.dtype(form.dtype), copy=False)
        look = places.look if job.labelled else None
        empty = not form.write(store, this.base, box.begin, block, look)
    else:
        block = form.read(store, this.base, box.begin, box.end)
        empty = not block.any()
    coarser = [level for level in this.writes if level != this.base]
    base = form.levels[this.base].factors
    steps = [
        tuple(a // b for a, b in zip(form.levels[level].factors, base, strict=True))
        for level in coarser
    ]
    method = "mode" if form.kind == "segmentation" else "average"
    if steps and not empty:
        # Without axes of one voxel, which would be the fastest in memory.
        kept = [axis for axis in range(block.ndim) if axis < 3 or block.shape[axis] > 1]
        some = block[tuple(slice(None) if axis in kept else 0 for axis in range(block.ndim))]
        made = downsample.pyramid(some, [[step[axis] for axis in kept] for step in steps], method)
        for level, step, scale in zip(coarser, steps, made, strict=True):
            begin = [a // b for a, b in zip(box.begin, step, strict=True)]
            where = tuple(slice(None) if axis in kept else None for axis in range(block.ndim))
            form.write(store, level, begin, scale[where])
    return places.content() if job.labelled and this.base in this.writes else b""


def _read(job: Job, volume: Volume, box: Box) -> Array:
    """Return what a task reads of the volume, with the axes as they are written."""
    rank = len(volume.shape)
    begin, end = [0] * rank, list(volume.shape)
    kept = [axis for axis in job.order if axis is not None]
    for axis, low, high in zip(job.order, box.begin, box.end, strict=True):
        if axis is not None:
            begin[axis], end[axis] = low, high
    block = convert(volume.source.read(begin, end), volume.shown).transpose(kept)
    new = tuple(slice(None) if axis is not None else None for axis in job.order)
    return block[new]


class _Places:
    """Where labels are: pairs of one as it is written and of a block of `Segments`, a chunk."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.grid = [-(-size // BLOCK) for size in shape[:3]]
        self.pairs = [np.empty((0, 2), np.uint64)]

    def look(self, low: Sequence[int], chunk: Array) -> None:
        """Note the labels of a chunk."""
        labels = distinct(chunk.reshape(chunk.shape[:3], order="F").T)
        number = np.ravel_multi_index([a // BLOCK for a in low[:3]], self.grid)
        self.pairs.append(np.empty((len(labels), 2), np.uint64))
        self.pairs[-1][:, 0], self.pairs[-1][:, 1] = labels, number

    def content(self) -> bytes:
        """Return them as a file of NumPy."""
        file = io.BytesIO()
        np.save(file, np.concatenate(self.pairs))
        return file.getvalue()


def places_of(found: Sequence[bytes]) -> tuple[Array, Array]:
    """Return what tasks found: labels, and of each a block; by label, then by block."""
    tables = [np.load(io.BytesIO(one)) for one in found if one]
    pairs = np.concatenate([np.empty((0, 2), np.uint64), *tables])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order, 0], pairs[order, 1]


def _make_meshes(job: Job, store: Store, task: MeshTask) -> None:
    from .mesh import MeshMaker, encode
    from .precomputed import Precomputed

    form = job.form
    assert isinstance(form, Precomputed)
    volume = volume_of(job)
    segments = Segments(volume.source)
    segments.know(task.labels, task.blocks)
    maker = MeshMaker(volume, cache_bytes=0, segments=segments)
    shift = [a * r for a, r in zip(form.offset, form.resolution, strict=True)]
    bits = 8 * np.dtype(form.dtype).itemsize
    for number in np.unique(task.labels).tolist():
        negative = volume.source.dtype.kind == "i" and number >> (bits - 1)
        label = number - (1 << bits) if negative else number
        if form.meshes == "multires":
            several = maker.multires(label)
            if several is not None:
                form.write_multires(store, number, several)
            continue
        mesh = maker.mesh(label)
        if mesh is not None:
            count = int(np.frombuffer(mesh, "<u4", 1)[0])
            vertices = np.frombuffer(mesh, "<f4", 3 * count, 4).reshape(-1, 3).astype(np.float64)
            triangles = np.frombuffer(mesh, "<u4", -1, 4 + 12 * count).reshape(-1, 3)
            form.write_mesh(store, number, encode(vertices * _NANO + shift, triangles))
