"""Time how a volume is written as a ``precomputed`` tree, in a process of its own, on one core.

``python viewer_precompute.py {ours,igneous} FILE DEST {u8,labels}`` prints JSON: the seconds of the
``tree``; of ours also of a ``copy`` of the array to a file, which is the least there is to write.
Both write chunks of 64³ at three scales, labels as ``compressed_segmentation``, nothing packed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["with_igneous"]

SCALES = 3


def ours(file: str, dest: str, kind: str) -> dict[str, float]:
    from nibabel_data.viewer import precompute

    array = np.load(file, mmap_mode="r")
    Path(dest).mkdir(parents=True)
    start = time.perf_counter()
    np.save(Path(dest, "copy.npy"), array)
    copied = time.perf_counter() - start
    Path(dest, "copy.npy").unlink()
    start = time.perf_counter()
    precompute(array, dest, kind=kind, meshes=False)
    return {"tree": time.perf_counter() - start, "copy": copied}


def igneous(file: str, dest: str, kind: str) -> dict[str, float]:
    volumes: Any = import_module("cloudvolume").CloudVolume
    tasks: Any = import_module("igneous.task_creation")
    queue: Any = import_module("taskqueue").LocalTaskQueue(parallel=1, progress=False)
    array = np.load(file, mmap_mode="r").T
    url = Path(dest).resolve().as_uri()
    start = time.perf_counter()
    info = volumes.create_new_info(
        num_channels=1,
        layer_type=kind,
        data_type=array.dtype.name,
        encoding="compressed_segmentation" if kind == "segmentation" else "raw",
        resolution=[1, 1, 1],
        voxel_offset=[0, 0, 0],
        volume_size=array.shape,
        chunk_size=[64, 64, 64],
    )
    volume = volumes(url, info=info, compress=False, progress=False)
    volume.commit_info()
    volume[:, :, :] = np.asarray(array)[..., None]
    made = tasks.create_downsampling_tasks(
        url, mip=0, num_mips=SCALES - 1, factor=(2, 2, 2), compress=False
    )
    queue.insert(made)
    queue.execute()
    return {"tree": time.perf_counter() - start}


def with_igneous(place: Path) -> str:
    """Install igneous in an environment of its own; return its Python."""
    print("installing: igneous", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    executable = str(place / "bin" / "python")
    # A later zfpy, which it brings along, keeps zarr from being imported.
    wanted = ["igneous-pipeline", "zfpy==1.0.0"]
    pip = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True, stdout=sys.stderr)
    return executable


if __name__ == "__main__":
    name, file, dest, volume = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    kind = "segmentation" if volume == "labels" else "image"
    with open(os.devnull, "w") as nothing, redirect_stderr(nothing):  # bars of progress
        facts = {"ours": ours, "igneous": igneous}[name](file, dest, kind)
    print(json.dumps(facts))
