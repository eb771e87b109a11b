"""`precompute`: the scales, meshes and names of a volume written down, on one machine or on many.

The work is a list of tasks that only depends on the volume and on what is to be made of it.  What
was done stays done: after a stop of any kind, the same call goes on with what is left.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ViewerError
from . import tasks
from .jobs import make_job
from .plans import boxes
from .precomputed import Precomputed
from .stores import ABOUT, WORK, open_store
from .workers import do, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .stores import Store
    from .tasks import Job, Task
    from .volume import Volume
    from .workers import Crew

    Array = np.ndarray[Any, np.dtype[Any]]
    Progress = Callable[[str, int, int], object]

__all__ = ["Written", "precompute"]

_VERSION = 1
_ROOM = 128 << 20  # bytes of voxels that a task reads
_BLOCKS = 256  # of labels, in a task of meshes
_NAMED = 100_000  # labels that are listed if they have no names
_STATE = ("shader", "shaderControls", "segmentColors", "segments")


class Written(NamedTuple):
    """What `precompute` did.

    Attributes
    ----------
    dest : str
        The directory or URL.
    format : str
        ``precomputed`` or ``ome-zarr``.
    kind : str
        ``image`` or ``segmentation``.
    shape : tuple of int
        Of the volume, x first.
    scales : tuple of tuple of int
        The factors of each scale along x, y and z.
    tasks, done : int
        How many tasks there are, and how many of them were done now, not before.
    labels : int or None
        How many labels there are; None if it is not known.
    """

    dest: str
    format: str
    kind: str
    shape: tuple[int, ...]
    scales: tuple[tuple[int, ...], ...]
    tasks: int
    done: int
    labels: int | None


def precompute(
    source: object,
    dest: str | os.PathLike[str],
    *,
    format: str = "precomputed",
    kind: str | None = None,
    labels: object | None = None,
    voxel_size: float | Sequence[float] | Mapping[str, float] | None = None,
    units: str | Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    offset: Sequence[float] | None = None,
    meshes: bool = True,
    gzip: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    room: int = _ROOM,
) -> Written:
    """Write a volume at all its scales, with the meshes and the names of its segments.

    Parameters
    ----------
    source : str, os.PathLike or object
        As for `Viewer.add`: an image or its path; or the path of an array, ``volume.npy``,
        ``file.h5:/dataset``, a directory or URL of zarr or OME-Zarr; or an array of any library.
    dest : str or os.PathLike
        A directory, or a URL that fsspec knows: ``s3://bucket/name``.
    format : {'precomputed', 'ome-zarr'}
        The first has meshes and names, the second any axes.
    kind, labels, voxel_size, units, axes, offset
        As for `Viewer.add`.
    meshes : bool
        Whether to make those of the segments; of several resolutions if DracoPy is installed.
    gzip : bool
        Whether to compress the files of ``precomputed``.
    jobs : int
        How many worker processes, or threads if the source is an array, there are.  A script that
        says more than one is protected by ``if __name__ == "__main__":``.
    scheduler : str, optional
        The address of a scheduler of Dask, whose workers do the tasks.
    overwrite : bool
        Whether to remove a tree of something else, that `precompute` made, at `dest`.
    progress : callable, optional
        Told what is made, ``scales`` or ``meshes``, how many tasks of it are done, and of how many.
    room : int
        How many bytes of voxels a task reads; a worker takes about three times as much.

    Returns
    -------
    Written
        What was done.

    Raises
    ------
    ViewerError
        If the source cannot be read, or the format cannot have it, or at `dest` there is something
        else.  What was done stays.

    Examples
    --------
    >>> done = precompute(np.ones((70, 80, 90), 'u1'), 'memory://some/tree', voxel_size=1)
    >>> done.shape, done.scales
    ((90, 80, 70), ((1, 1, 1), (2, 2, 2)))
    """
    options = {
        "kind": kind,
        "labels": labels,
        "voxel_size": voxel_size,
        "units": units,
        "axes": axes,
        "offset": offset,
    }
    if isinstance(source, str | os.PathLike):
        source = _absolute(os.fspath(source))
        options["name"] = os.path.basename(source.rstrip("/")).partition(".")[0] or "volume"
    else:
        options["name"] = os.path.basename(os.fspath(dest).rstrip("/")) or "volume"
    if isinstance(dest, os.PathLike) or "://" not in str(dest):
        dest = os.path.abspath(dest)
    if room < 1:
        raise ViewerError("A task has room for some voxels: say how many bytes, or MiB.")
    if jobs < 1:
        raise ViewerError(f"The work is done by 1 worker or more, not by {jobs}.")
    layer = tasks.open_layer(source, options)
    volume = layer.volume
    if volume is None:
        raise ViewerError("Surfaces and tractograms have no scales: name an image or an array.")
    about = _about(layer, volume, source)
    job = make_job(source, options, volume, str(dest), format, meshes, gzip, room, about)
    store = open_store(dest)
    known = _begin(store, job, about, overwrite=overwrite)
    if known is not None:
        store.tidy(finished=True)
        return _written(job, known["tasks"], 0, known["labels"])
    scales = [
        tasks.ScaleTask(number, box)
        for number, one in enumerate(job.passes)
        for box in boxes(job.form.levels[one.base].shape, one.region)
    ]
    try:
        with workers(job, jobs, scheduler, len(scales)) as crew:
            total, count, found = _work(store, job, scales, crew, progress)
    finally:
        tasks.forget()
        store.tidy(finished=False)
    return _written(job, total, count, _finish(store, job, about, labels, found, total))


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _about(layer: Any, volume: Volume, source: object) -> dict[str, Any]:
    """Return what is to be known of a tree to show it, and of what it is made."""
    state = {key: layer.state[key] for key in _STATE if key in layer.state}
    return {
        "version": _VERSION,
        "complete": False,
        "source": _digest(_identity(volume, source)),
        "name": layer.name,
        "kind": volume.kind,
        "layer": state,
        "dimensions": layer.dimensions,
        "view": layer.view,
        "placed": layer.state["source"][0].get("transform"),
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _identity(volume: Volume, source: object) -> list[object]:
    """Return what tells one volume from another: size and date of a file, else some voxels."""
    from .opening import signature

    found: list[object] = [list(volume.shape), volume.source.dtype.str]
    if isinstance(source, str):
        found.append(signature(source))
        if os.path.isfile(source):
            return found
    seen = hashlib.sha256()
    for part in (0, 0.3, 0.5, 0.7, 1):
        begin = [round(part * max(0, size - 16)) for size in volume.shape]
        end = [min(a + 16, size) for a, size in zip(begin, volume.shape, strict=True)]
        seen.update(np.ascontiguousarray(volume.source.read(begin, end)).tobytes())
    return [*found, seen.hexdigest()]


def _begin(
    store: Store, job: Job, about: dict[str, Any], *, overwrite: bool
) -> dict[str, Any] | None:
    """Make sure that the tree is this one; return what is known of it if it is complete."""
    old = store.read(ABOUT)
    if old is None:
        if set(store.names("")) - {WORK}:
            raise ViewerError(
                f"{store.url} is not empty, and was not made by precompute: choose another place."
            )
    else:
        known = _parsed(old)
        if overwrite:
            store.clear()
        else:
            for key, what in (("source", "another source"), ("parameters", "other parameters")):
                if known.get(key) != about[key]:
                    raise ViewerError(
                        f"{store.url} is a tree of {what} ({known.get('name', 'unknown')}).\n"
                        "Choose another place, or replace it: --overwrite (overwrite=True)."
                    )
            if known.get("complete"):
                return known
    store.write(ABOUT, _json(about))
    for name, content in job.form.describe().items():
        store.write(name, content)
    store.tidy(finished=False)
    return None


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


def _work(
    store: Store, job: Job, scales: Sequence[Task], crew: Crew, progress: Progress | None
) -> tuple[int, int, Array | None]:
    """Do what is left; return how many tasks there are, how many were left, and the labels."""
    before = set(store.names(tasks.DONE))
    count = 0

    def stage(name: str, work: Sequence[Task]) -> None:
        nonlocal count
        left = [task for task in work if task.name not in before]
        at = len(work) - len(left)

        def told() -> None:
            nonlocal at
            at += 1
            if progress is not None:
                progress(name, at, len(work))

        if progress is not None:
            progress(name, at, len(work))
        count += do(crew, job, left, told)

    for number in range(len(job.passes)):
        stage("scales", [one for one in scales if one.name.startswith(f"scales-{number}-")])
    if not job.labelled:
        return len(scales), count, None
    found = [
        store.read(f"{tasks.DONE}/{one.name}") or b""
        for one in scales
        if one.name.startswith("scales-0-")
    ]
    labels, blocks = tasks.places_of(found)
    wanted = isinstance(job.form, Precomputed) and job.form.meshes
    meshes: list[Task] = list(_mesh_tasks(labels, blocks)) if wanted else []
    if meshes:
        stage("meshes", meshes)
    return len(scales) + len(meshes), count, np.unique(labels)


def _mesh_tasks(labels: Array, blocks: Array) -> Iterator[tasks.MeshTask]:
    """Yield tasks of labels of which the first blocks are near each other."""
    if not len(labels):
        return
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    ends = np.append(starts[1:], len(labels))
    order = np.lexsort((labels[starts], blocks[starts]))
    number = size = 0
    group: list[int] = []
    for one in order.tolist():
        group.append(one)
        size += int(ends[one] - starts[one])
        if size >= _BLOCKS or one == order[-1]:
            where = np.concatenate([np.arange(starts[each], ends[each]) for each in group])
            yield tasks.MeshTask(number, labels[where], blocks[where])
            number, size, group = number + 1, 0, []


def _finish(
    store: Store, job: Job, about: dict[str, Any], labels: object, found: Array | None, total: int
) -> int | None:
    """Write what is known only now; return how many labels there are."""
    form = job.form
    numbers = None if found is None else found.tolist()
    if form.kind == "segmentation" and isinstance(form, Precomputed):
        from .labels import LabelTable, label_table

        table = label_table(labels) if labels is not None else LabelTable()
        if labels is None and numbers is not None and len(numbers) <= _NAMED:
            table = label_table({number: str(number) for number in numbers} or {0: ""})
        form.write_properties(store, table.segment_properties())
    if form.kind == "image" and form.dtype != "uint8" and not about["layer"]:
        about["layer"] = {"shaderControls": {"normalized": {"range": _window(store, job)}}}
    count = None if numbers is None else len(numbers)
    about |= {"complete": True, "tasks": total, "labels": count}
    store.write(ABOUT, _json(about))
    store.tidy(finished=True)
    return count


def _window(store: Store, job: Job) -> list[float]:
    """Return the values shown as black and as white, of the coarsest scale."""
    from .survey import Survey

    shape = job.form.levels[-1].shape
    end = (*shape[:3], *job.form.chunk[3:])
    coarse = job.form.read(store, len(job.form.levels) - 1, (0,) * len(shape), end)
    values = coarse.astype(np.float64)
    return list(Survey(values[np.isfinite(values)], 0).window())


def _written(job: Job, total: int, count: int, labels: int | None) -> Written:
    form = job.form
    return Written(
        job.dest,
        form.name,
        form.kind,
        tuple(n for n, of in zip(form.levels[0].shape, job.order, strict=True) if of is not None),
        tuple(level.factors[:3] for level in form.levels),
        total,
        count,
        labels,
    )
