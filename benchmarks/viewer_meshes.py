"""Time the first mesh of a volume and further ones, in a process of its own.

``python viewer_meshes.py {ours,official} FILE SMALL LABEL...`` reads the labels in FILE, makes the
mesh of SMALL first and then those of LABEL..., and prints JSON: the seconds of the first and of
each further one, and how many bytes the first took at most, above what the labels take.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["meshes"]


def ours(labels: Array) -> Callable[[int], object]:
    from nibabel_data.viewer.mesh import MeshMaker
    from nibabel_data.viewer.volume import Volume

    return MeshMaker(Volume(labels, kind="segmentation")).mesh


def official(labels: Array) -> Callable[[int], object]:
    neuroglancer: Any = import_module("neuroglancer")
    space = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=[1, 1, 1])
    volume = neuroglancer.LocalVolume(labels, space, volume_type="segmentation")
    make: Callable[[int], object] = volume.get_object_mesh
    return make


def meshes(name: str, file: str, wanted: list[int]) -> dict[str, float | list[float]]:
    make = {"ours": ours, "official": official}[name](np.load(file))
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the most memory is counted from now
    before = memory("VmRSS")
    seconds = []
    for number, label in enumerate(wanted):
        start = time.perf_counter()
        made = make(label)
        seconds.append(time.perf_counter() - start)
        assert made, label
        if number == 0:
            most = memory("VmHWM")
    return {"first": seconds[0], "further": seconds[1:], "bytes": most - before}


def memory(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) * 1024


if __name__ == "__main__":
    print(json.dumps(meshes(sys.argv[1], sys.argv[2], [*map(int, sys.argv[3:])])))
