"""Tasks by themselves: any process can do one, again and again."""

from __future__ import annotations

import pickle
import uuid
from typing import Any

import numpy as np
import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer import tasks
from nibabel_data.viewer.jobs import make_job
from nibabel_data.viewer.plans import boxes
from nibabel_data.viewer.precomputed import Precomputed
from nibabel_data.viewer.stores import open_store
from nibabel_data.viewer.writing import _about


def _job(array: Any, format: str = "precomputed", **options: Any) -> tasks.Job:
    options = {"voxel_size": 1, "units": "mm", "name": "it", **options}
    layer = tasks.open_layer(array, options)
    about = _about(layer, layer.volume, array)
    dest = f"memory://{uuid.uuid4().hex}"
    return make_job(array, options, layer.volume, dest, format, True, False, 1 << 20, about)


@pytest.fixture
def labels() -> Any:
    array = np.zeros((150, 140, 130), "u4")
    array[10:100, 20:30, 40:110] = 5
    array[120:, 100:, 100:] = 2**32 - 1
    return array


def _tasks(job: tasks.Job) -> list[tasks.ScaleTask]:
    shape = job.form.levels[0].shape
    return [tasks.ScaleTask(0, box) for box in boxes(shape, job.passes[0].region)]


def _files(job: tasks.Job) -> dict[str, bytes | None]:
    store = open_store(job.dest)
    found = [f"{folder}/{n}" for folder in store.names("") for n in store.names(folder)]
    found += [f"{tasks.DONE}/{name}" for name in store.names(tasks.DONE)]
    return {name: store.read(name) for name in found}


def test_a_task_that_is_done_twice_writes_the_same(labels: Any) -> None:
    job = _job(labels)
    task = _tasks(job)[0]
    tasks.run(job, task)
    first = _files(job)
    assert f"{tasks.DONE}/{task.name}" in first
    tasks.run(pickle.loads(pickle.dumps(job)), pickle.loads(pickle.dumps(task)))
    assert _files(job) == first


def test_tasks_know_where_the_labels_are(labels: Any) -> None:
    job = _job(labels)
    store = open_store(job.dest)
    found = []
    for task in _tasks(job):
        tasks.run(job, task)
        found.append(store.read(f"{tasks.DONE}/{task.name}") or b"")
    numbers, blocks = tasks.places_of(found)
    grid = (3, 3, 3)
    for label in (5, 2**32 - 1):
        z, y, x = np.nonzero(labels == label)
        places = {(a // 64, b // 64, c // 64) for a, b, c in zip(x, y, z, strict=True)}
        expected = sorted(int(np.ravel_multi_index(place, grid)) for place in places)
        assert blocks[numbers == label].tolist() == expected
    assert set(numbers.tolist()) == {5, 2**32 - 1}


def test_axes_of_any_order_are_written_as_x_y_z(labels: Any) -> None:
    from nibabel_data.viewer import wrap

    turned = wrap(labels.transpose(1, 2, 0), ["y", "x", "z"], units="mm")
    job = _job(turned)
    for task in _tasks(job):
        tasks.run(job, task)
    shape = job.form.levels[0].shape
    assert shape == (130, 140, 150, 1)
    whole = job.form.read(open_store(job.dest), 0, (0, 0, 0, 0), shape)
    assert (whole[..., 0].T == labels).all()


def test_four_axes_of_space_are_refused() -> None:
    from nibabel_data.viewer import wrap

    four = wrap(np.ones((2, 3, 4, 5), "u1"), ["w", "z", "y", "x"], units="mm")
    with pytest.raises(ViewerError, match=r"up to three axes of space, and this has 4"):
        _job(four, kind="image")


def test_labels_are_compressed_and_images_are_not(labels: Any) -> None:
    for kind, encoding in (("segmentation", "compressed_segmentation"), ("image", "raw")):
        form = _job(labels, kind=kind).form
        assert isinstance(form, Precomputed)
        assert form.encoding == encoding
