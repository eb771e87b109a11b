"""Measure the viewer beside the official package neuroglancer, and beside plain NumPy.

All figures come from one run, because only times of one run on one machine can be compared:

- ``import`` of the viewer and of ``neuroglancer``, whole processes, without what numpy takes; and
  the same with a first viewer that is served.
- Chunks of 64³ over HTTP to 16 connections: as the official server sends them by default, and as
  the same server of ours sends a body that is always at hand, without a volume or a routing table.
- An output chunk of 64³, each voxel the mean of 2³ or 4³: of all that a volume of 256³ has.
- The scales of a volume down to 1/8, beside ``array.sum()`` of each, the volume included.
- The first mesh of a volume of 513 labels (that of a small object), the memory it takes above the
  labels, and further meshes, each simplified as is the default.
- How long a chunk of an image takes, one after the other, while eight meshes of a large volume are
  made: half of them, and 99 in 100, take less.
- From opening a page to the last pixel, in Chromium without a GPU: the MNI brain, and its grey
  matter as eight segments with meshes, in four panels.  Each time the server is a new process, and
  the browser has nothing in its cache.
- The scales of an image and of labels written as a ``precomputed`` tree, in one process, for a
  gigavoxel; with ``--igneous`` beside that program, installed for it in an environment of its own.

`common` says how things are compared.  The load is of one process that sends requests over raw
sockets and throws away what comes; it has a core of its own if there are two.  Of a server that
answers with a constant body, it takes 7,000 to 13,000 chunks of u8 a second.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
from common import (
    Benchmark,
    Row,
    Times,
    compare,
    in_worker,
    isolated,
    main,
    python,
    run,
    take_turns,
)
from viewer_http import asked, chromium, painted, served, waited
from viewer_precompute import with_igneous
from viewer_servers import CHUNK, VOLUMES, volumes, write_labels, write_regions

HERE = Path(__file__).parent
GIVEN = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
IGNEOUS = "igneous"
IGNEOUS_PYTHON = "IGNEOUS_PYTHON"
"""The variable with the Python that has igneous."""

OURS, OFFICIAL, CONSTANT = "ours", "official", "constant"
NEUROGLANCER = "neuroglancer"
NUMPY = "import numpy"
END = "import os; os._exit(0)"
LIMIT = "50 ms"
SCALES = [(2,) * 3, (4,) * 3, (8,) * 3]
NOTES: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds of what; how long one asks; and how many voxels a side there are."""

    processes: int
    rounds: int
    seconds: float
    calls: int
    long: int
    served: int
    edge: int
    pages: int


FULL = Effort(9, 5, 0.6, 7, 3, 256, 512, 3)
QUICK = Effort(1, 1, 0.1, 1, 1, 64, 64, 1)


def time_imports(effort: Effort, directory: Path) -> Times:
    ours = "import numpy; from nibabel_data.viewer import Viewer"
    official = "import numpy; from neuroglancer import Viewer"
    commands = {
        NUMPY: NUMPY,
        "import": ours,
        "official import": official,
        "first": f"{ours}; Viewer().url; {END}",
        "official first": f"{official}; Viewer().get_viewer_url(); {END}",
    }
    environment = dict(os.environ)
    calls = {
        name: partial(run, python(code), environment, directory) for name, code in commands.items()
    }
    times = take_turns(calls, effort.processes)
    least = times.pop(NUMPY)
    # A process that does nothing more than numpy is not measured as less than nothing.
    return {
        name: [max(whole - start, 1e-5) for whole, start in zip(some, least, strict=True)]
        for name, some in times.items()
    }


def time_downsampling(effort: Effort, directory: Path) -> Times:
    from nibabel_data.viewer import downsample

    average: Any = import_module("neuroglancer.downsample").downsample_with_averaging
    times: Times = {}
    for (name, array), factor in itertools.product(volumes(4 * CHUNK), (2, 4)):
        if name == "labels":
            continue
        factors, edge = (factor,) * array.ndim, factor * CHUNK
        corners = itertools.product(range(0, 4 * CHUNK, edge), repeat=array.ndim)
        blocks = [array[tuple(slice(a, a + edge) for a in corner)] for corner in corners]
        ours = partial(downsample.pyramid, steps=[factors], threads=2)  # as a volume does
        calls: dict[str, Callable[[], object]] = {
            f"{OURS} {name} {factor}": partial(for_each, ours, blocks),
            f"{OFFICIAL} {name} {factor}": partial(
                for_each, partial(average, factor=factors), blocks
            ),
        }
        measured = take_turns(calls, effort.calls)
        times |= {key: [each / len(blocks) for each in some] for key, some in measured.items()}
    return times


def for_each(call: Callable[[Any], object], arguments: list[Any]) -> None:
    for argument in arguments:
        call(argument)


def time_pyramids(effort: Effort, directory: Path) -> Times:
    from nibabel_data.viewer import downsample

    times: Times = {}
    for name, array in volumes(effort.edge):
        method = "mode" if name == "labels" else "average"
        make = partial(downsample.pyramid, array, SCALES, method, threads=os.cpu_count() or 1)
        levels = [array, *make()]
        calls: dict[str, Callable[[], object]] = {
            f"{OURS} {name}": make,
            f"sum {name}": lambda levels=levels: [level.sum() for level in levels],  # type: ignore[misc]
        }
        times |= take_turns(calls, effort.long)
    return times


def time_meshes(effort: Effort, directory: Path) -> Times:
    file, labels = write_labels(effort.edge, directory)
    small, others = labels[-1], [labels[place] for place in range(3, len(labels) - 1, 64)]
    times: Times = {}
    for _, name in itertools.product(range(effort.long), (OURS, OFFICIAL)):
        script = str(HERE / "viewer_meshes.py")
        command = [sys.executable, script, name, file, *map(str, (small, *others))]
        facts = json.loads(run(command, os.environ, directory))
        times.setdefault(f"{name} first", []).append(facts["first"])
        times.setdefault(f"{name} further", []).extend(facts["further"])
        times.setdefault(f"{name} memory", []).append(facts["bytes"])
    return times


def time_chunks(effort: Effort, directory: Path) -> Times:
    times: Times = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(name, effort.served))
            for name in (OURS, CONSTANT, OFFICIAL)
        }
        for volume in VOLUMES:
            for number, (name, server) in itertools.product(
                range(effort.rounds + 1), servers.items()
            ):
                each = asked(server, volume, effort.seconds)
                if number:
                    times.setdefault(f"{name} {volume}", []).append(each)
    return times


def time_latency(effort: Effort, directory: Path) -> Times:
    file, _ = write_labels(effort.edge, directory)
    times: Times = {}
    for name in (OURS, OFFICIAL):
        with served(f"{name}-meshes", file) as server:
            taken = waited(server)
        cuts = quantiles(taken, n=100) if len(taken) > 1 else taken * 99
        times |= {f"{name} p50": [cuts[49]], f"{name} p99": [min(cuts[98], max(taken))]}
        times[f"{name} asked"] = [float(len(taken))]
    return times | {LIMIT: [0.05]}


def time_pages(effort: Effort, directory: Path) -> Times:
    sync_api: Any = import_module("playwright.sync_api")
    regions = directory / "regions.npy"
    write_regions(regions)
    times: Times = {OURS: [], OFFICIAL: []}
    with sync_api.sync_playwright() as playwright:
        for number in range(effort.pages + 1):  # the first fills the caches of the file system
            for name in times:
                with served(f"{name}-brain", regions) as server:
                    seconds = painted(playwright, server["url"])
                if number:
                    times[name].append(seconds)
    return times


def time_precompute(effort: Effort, directory: Path) -> Times:
    executables = {OURS: sys.executable}
    if IGNEOUS_PYTHON in os.environ:
        executables[IGNEOUS] = os.environ[IGNEOUS_PYTHON]
    times: Times = {}
    for name, array in volumes(effort.edge):
        if name not in ("u8", "labels"):
            continue
        file, dest = directory / f"{name}.npy", directory / "tree"
        per_gigavoxel = 1e9 / array.size
        np.save(file, array)
        for number, (peer, executable) in itertools.product(
            range(effort.long + 1), executables.items()
        ):
            script = str(HERE / "viewer_precompute.py")
            command = [executable, script, peer, str(file), str(dest), name]
            facts = json.loads(run(command, os.environ, directory).splitlines()[-1])
            shutil.rmtree(dest)
            if number:
                for what, seconds in facts.items():
                    each = times.setdefault(f"{peer} {name} {what}", [])
                    each.append(seconds * per_gigavoxel)
        file.unlink()
    return times


WORKERS = {
    "import": time_imports,
    "chunks": time_chunks,
    "downsample": time_downsampling,
    "pyramid": time_pyramids,
    "meshes": time_meshes,
    "latency": time_latency,
    "page": time_pages,
    "precompute": time_precompute,
}


def missing(part: str) -> str:
    """Return why a part cannot be measured here; empty if it can be."""
    needs = {"page": ("playwright", "nilearn", "nibabel"), "import": (), "precompute": ()}
    for module in (*needs.get(part, ()), NEUROGLANCER):
        if find_spec(module) is None:
            return f"{module} is not installed: pip install 'nibabel-data[test]'"
    if part == "page" and chromium() is None:
        return "there is no chromium"
    return ""


def measure_parts(quick: bool, parts: Collection[str]) -> list[Row]:
    effort = QUICK if quick else FULL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary).resolve()
        environment = isolated(directory, GIVEN)
        if IGNEOUS in parts:
            made = os.environ.get(IGNEOUS_PYTHON) or with_igneous(directory / IGNEOUS)
            environment |= {IGNEOUS_PYTHON: made}
        elif "precompute" in parts:
            left_out(IGNEOUS, f"ask for it with --{IGNEOUS}")
        for part in WORKERS:
            if part not in parts:
                continue
            reason = missing(part)
            if reason:
                left_out(part, reason)
                continue
            place = directory / part
            place.mkdir()
            rows += ROWS[part](effort, in_worker(__file__, part, quick, environment, place))
            shutil.rmtree(place)
    return rows


def left_out(what: str, why: str) -> None:
    NOTES.setdefault("not measured", {})[what] = why  # type: ignore[index]
    print(f"not measured: {what}: {why}", file=sys.stderr)


def rows_of_imports(effort: Effort, times: Times) -> list[Row]:
    beyond = "beyond numpy's own import"
    return [
        compare(f"import, {beyond}", times, "import", "official import", 1 / 3),
        compare(f"import and the first viewer, {beyond}", times, "first", "official first"),
    ]


def rows_of_chunks(effort: Effort, times: Times) -> list[Row]:
    rows = []
    for volume in VOLUMES:
        figure, ours = f"chunk of {CHUNK}³ {volume}, 16 connections", f"{OURS} {volume}"
        rows.append(compare(figure, times, ours, f"{OFFICIAL} {volume}", 1 / 10))
        rows.append(compare(figure, times, ours, f"{CONSTANT} {volume}", 1 / 0.7))
    return rows


def rows_of_downsampling(effort: Effort, times: Times) -> list[Row]:
    return [
        compare(
            f"chunk of {name}, averaged {factor}x",
            times,
            f"{OURS} {name} {factor}",
            f"{OFFICIAL} {name} {factor}",
            1 / 10,
        )
        for name, factor in itertools.product([*VOLUMES][:-1], (2, 4))
    ]


def rows_of_pyramids(effort: Effort, times: Times) -> list[Row]:
    return [
        compare(f"pyramid of {effort.edge}³ {name}", times, f"{OURS} {name}", f"sum {name}", 2)
        for name in VOLUMES
    ]


def rows_of_meshes(effort: Effort, times: Times) -> list[Row]:
    first = f"first mesh, small object in {effort.edge}³"
    return [
        compare(first, times, f"{OURS} first", f"{OFFICIAL} first", 1 / 10),
        compare(f"{first}, memory", times, f"{OURS} memory", f"{OFFICIAL} memory", 1 / 4, "B"),
        compare(
            "each further mesh, simplified", times, f"{OURS} further", f"{OFFICIAL} further", 1 / 2
        ),
    ]


def rows_of_latency(effort: Effort, times: Times) -> list[Row]:
    figure = "image chunk while 8 meshes are made"
    return [
        compare(f"{figure}, p50", times, f"{OURS} p50", f"{OFFICIAL} p50"),
        compare(f"{figure}, p99", times, f"{OURS} p99", f"{OFFICIAL} p99"),
        compare(f"{figure}, p99", times, f"{OURS} p99", LIMIT, 1),
    ]


def rows_of_pages(effort: Effort, times: Times) -> list[Row]:
    figure = "page open to complete paint, T1 and 8 meshes"
    return [compare(figure, times, OURS, OFFICIAL, 0.6)]


def rows_of_precompute(effort: Effort, times: Times) -> list[Row]:
    rows = []
    for name in ("u8", "labels"):
        figure, ours = f"precompute {name}, a gigavoxel on one core", f"{OURS} {name} tree"
        if f"{IGNEOUS} {name} tree" in times:
            rows.append(compare(figure, times, ours, f"{IGNEOUS} {name} tree", 1))
        rows.append(compare(figure, times, ours, f"{OURS} {name} copy"))
    return rows


ROWS: dict[str, Callable[[Effort, Times], list[Row]]] = {
    "import": rows_of_imports,
    "chunks": rows_of_chunks,
    "downsample": rows_of_downsampling,
    "pyramid": rows_of_pyramids,
    "meshes": rows_of_meshes,
    "latency": rows_of_latency,
    "page": rows_of_pages,
    "precompute": rows_of_precompute,
}

BENCHMARK = Benchmark(
    script=Path(__file__),
    summary=(__doc__ or "").partition("\n")[0],
    measure=partial(measure_parts, parts=[*WORKERS]),
    workers=WORKERS,
    full=FULL,
    quick=QUICK,
    versions=("nibabel-data", NEUROGLANCER, "numpy", "starlette", "uvicorn"),
    facts=lambda: NOTES,
    measure_parts=measure_parts,
    extra=IGNEOUS,
)

if __name__ == "__main__":
    main(BENCHMARK)
