"""The tasks done by other processes: killed at any moment, of this machine or of Dask."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from nibabel_data.errors import ViewerError
from nibabel_data.viewer import precompute
from nibabel_data.viewer.stores import ABOUT, WORK

from .test_writing import tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux has them")
SETTINGS: Any = {"voxel_size": 1, "units": "um", "room": 1 << 20}
CALL = """
import sys
from nibabel_data.viewer import precompute
if __name__ == "__main__":
    precompute(sys.argv[1], sys.argv[2], voxel_size=1, units="um", room=1 << 20,
               jobs=int(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a file of labels, and the tree that is to be made of it."""
    folder = tmp_path_factory.mktemp("volume")
    labels = np.zeros((190, 250, 510), "u4")
    for number, corner in enumerate(np.random.default_rng(0).integers(0, 170, (20, 3)), 1):
        labels[tuple(slice(at, at + 20) for at in corner)] = number
    np.save(folder / "labels.npy", labels)
    precompute(folder / "labels.npy", folder / "tree", **SETTINGS)
    return folder / "labels.npy", tree(folder / "tree")


def _start(script: Path, *words: object) -> subprocess.Popen[bytes]:
    script.write_text(CALL)
    return subprocess.Popen([sys.executable, str(script), *map(str, words)])


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found |= {int(word) for word in task.read_text().split()}
    return found


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_any_moment_it_goes_on_and_makes_the_same_tree(
    volume: tuple[Path, dict[str, str]], tmp_path: Path, jobs: int
) -> None:
    source, expected = volume
    moments = random.Random(jobs)
    killed = workers = 0
    for _ in range(10):
        process = _start(tmp_path / "call.py", source, tmp_path / "t", jobs)
        done = tmp_path / "t" / WORK / "done"
        enough = (len(os.listdir(done)) if done.exists() else 0) + moments.randint(0, 2)
        while process.poll() is None:
            with suppress(FileNotFoundError):
                if len(os.listdir(done)) >= enough:
                    break
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        if process.poll() is not None:
            assert process.returncode == 0
            break
        children = _children(process.pid)
        workers = max(workers, len(children))
        process.kill()
        process.wait()
        killed += 1
        for _ in range(200):
            if all(map(_gone, children)):
                break
            time.sleep(0.05)
        assert all(map(_gone, children)), "a worker goes on without its parent"
    precompute(source, tmp_path / "t", **SETTINGS)
    assert killed
    assert workers >= jobs - 1
    assert tree(tmp_path / "t") == expected
    assert not (tmp_path / "t" / WORK).exists()


def test_killed_workers_are_said_and_what_was_done_is_kept(
    volume: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    source, expected = volume
    pids: list[int] = []

    def told(stage: str, done: int, of: int) -> None:
        if done and not pids:
            pids.extend(process.pid or 0 for process in multiprocessing.active_children())
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(ViewerError, match="worker process was ended.*\nWhat is done is kept"):
        precompute(source, tmp_path / "t", jobs=2, progress=told, **SETTINGS)
    assert (tmp_path / "t" / ABOUT).exists()
    again = precompute(source, tmp_path / "t", **SETTINGS)
    assert again.done < again.tasks
    assert tree(tmp_path / "t") == expected


def test_an_array_is_shared_by_threads(volume: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, expected = volume
    precompute(np.load(source), tmp_path / "t", jobs=4, **SETTINGS)
    made = tree(tmp_path / "t")
    assert made.pop(ABOUT) != expected[ABOUT]  # it is called otherwise
    assert made == {name: digest for name, digest in expected.items() if name != ABOUT}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler and two workers of Dask, as on three machines."""
    if find_spec("distributed") is None:
        pytest.skip("needs Dask: pip install 'nibabel-data[dask]'")
    folder = tmp_path_factory.mktemp("dask")
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    dask = [sys.executable, "-m", "dask"]
    file = folder / "scheduler.json"
    common = ["--no-dashboard"]
    words = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0"]
    processes = [subprocess.Popen([*words, "--scheduler-file", str(file), *common], **quiet)]
    for _ in range(300):
        if file.exists() and file.read_text().rstrip().endswith("}"):
            break
        time.sleep(0.1)
    words = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny"]
    words += common
    processes += [
        subprocess.Popen([*words, "--local-directory", str(folder / str(n))], **quiet)
        for n in range(2)
    ]
    import json

    import distributed

    address = json.loads(file.read_text())["address"]
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield address
    for process in reversed(processes):
        process.kill()
    for process in processes:
        process.wait(30)


def test_workers_of_dask_make_the_same_tree(
    volume: tuple[Path, dict[str, str]], tmp_path: Path, cluster: str
) -> None:
    source, expected = volume
    assert cluster.startswith("tcp://")
    stages: list[tuple[str, int, int]] = []
    done = precompute(
        source,
        tmp_path / "t",
        scheduler=cluster,
        progress=lambda *told: stages.append(told),
        **SETTINGS,
    )
    assert done.done == done.tasks
    assert tree(tmp_path / "t") == expected
    assert {stage for stage, _, _ in stages} == {"scales", "meshes"}


def test_what_the_workers_of_dask_cannot_do_is_told(tmp_path: Path, cluster: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((150, 150, 150), "u1"))
    with pytest.raises(ViewerError, match="memory of one process"):
        precompute(path, "memory://dask/t", scheduler=cluster)
    array = zarr.create_array(tmp_path / "b.zarr", data=np.load(path), chunks=(50, 50, 50))
    del array
    damaged = tmp_path / "b.zarr/c/0/0/2"
    damaged.write_bytes(b"damaged")
    with pytest.raises(ViewerError, match="could not be read"):
        precompute(tmp_path / "b.zarr", tmp_path / "t", scheduler=cluster, voxel_size=1)


def test_what_a_worker_of_dask_had_begun_is_done_by_another(
    volume: tuple[Path, dict[str, str]], tmp_path: Path, cluster: str
) -> None:
    source, expected = volume
    import distributed

    with distributed.Client(cluster, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    assert len(pids) == 2

    def told(stage: str, done: int, of: int) -> None:
        if done == 1 and not _gone(pids[0]):
            os.kill(pids[0], signal.SIGKILL)

    done = precompute(source, tmp_path / "t", scheduler=cluster, progress=told, **SETTINGS)
    assert _gone(pids[0])
    assert done.done == done.tasks
    assert tree(tmp_path / "t") == expected


def test_a_scheduler_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("nibabel_data.viewer.workers._CONNECT", 1)
    with pytest.raises(ViewerError, match="no scheduler of Dask answers at tcp://127.0.0.1:9:"):
        precompute(np.ones((9, 9, 9), "u1"), tmp_path / "t", scheduler="tcp://127.0.0.1:9")
