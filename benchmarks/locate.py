"""Measure how fast data packages are located: this project beside nibabel, pooch and bare Python.

All figures come from one run, because only times of one run on one machine can be compared:

- Whole processes: ``python -c`` with one call of `make_datasource`, of ``nibabel_data`` and of
  ``nibabel.data``; with `datasource_or_bomber` for a package that is not there, which is what a
  library costs its users who lack its data; with ``import pooch``; with nothing; and the command
  ``nibabel-data find``.
- The same call again in a process that has made it before.
- `get_data_path` again, with 200 unchanged ini files in the system directory, beside
  ``nibabel.data`` and beside `os.stat` of each file, which is the least that any check must do.
- `iter_packages` over 10,000 packages, beside merely opening and reading their ``config.ini``;
  and the time for one package among 1,000, 10,000 and 100,000.

The things that are compared take turns (A B C A B C), since a machine is never equally busy for
long.  A ratio is the median of the ratios of neighbours, ours divided by the peer's; the times are
medians as well.  The first round is not counted: it fills the caches of the file system, and of
Python's bytecode.  Garbage collection is left as it is.

Each figure has processes of its own, which see a data package on ``NIPY_DATA_PATH``, and a user
directory, a system directory and a home that are empty.  All lies in a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import nibabel_data
from nibabel_data.table import aligned, width

Times: TypeAlias = dict[str, list[float]]
"""Seconds, one value a round, by what was timed."""

WANTED = {"relpath": "nipy/templates", "min version": "0.3"}
SPECIFIER = "nipy/templates>=0.3,<1"
MARKS = (".. figures of locate: begin", ".. figures of locate: end")
HEADER = ("figure", "ours", "beside", "its time", "ratio", "target", "reached")

OURS = "nibabel_data"
NIBABEL = "nibabel.data"
BARE = "python -c pass"
POOCH = "import pooch"
STRING = "string form"
BOMBER = "bomber of nibabel_data"
NIBABEL_BOMBER = "nibabel.data "
COMMAND = "nibabel-data find"
STAT = "os.stat of each"
READ = "open and read"
WALK = "iter_packages"

KEPT = ("PATH", "SYSTEMROOT")
GIVEN = ("NIPY_DATA_PATH", "NIPY_USER_DIR", "NIPY_SYSTEM_DIR", "HOME", "USERPROFILE")
"""Variables of the measured processes: kept as they are, and set to a directory of that name."""

INI_FILES = 200
SETTLE = 2.5
"""Seconds; what is younger than two is not kept, as its time stamp could still deceive."""

PROJECTS, PACKAGES = 25, 20
PER_ROOT = PROJECTS * PACKAGES
ROOTS = 20
"""How many roots hold the 10,000 packages of the main figure."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds, of what; and how many roots are walked, least first."""

    processes: int
    calls: int
    repeats: int
    walks: int
    roots: tuple[int, ...]


FULL = Effort(processes=41, calls=101, repeats=20, walks=7, roots=(2, ROOTS, 10 * ROOTS))
QUICK = Effort(processes=3, calls=5, repeats=3, walks=2, roots=(2, ROOTS))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: median times in seconds; a line without target is information."""

    figure: str
    ours: float
    beside: str
    peer: float
    ratio: float
    target: float | None
    reached: bool | None


def compare(figure: str, times: Times, ours: str, beside: str, target: float | None = None) -> Row:
    ratio = median(a / b for a, b in zip(times[ours], times[beside], strict=True))
    reached = None if target is None else ratio <= target
    return Row(figure, median(times[ours]), beside, median(times[beside]), ratio, target, reached)


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 1) -> Times:
    """Time the calls in turn, after a round that is not counted; give seconds for one call."""
    times: Times = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if number:
                times[name].append((time.perf_counter() - start) / repeats)
    return times


def commands() -> dict[str, list[str]]:
    def python(code: str) -> list[str]:
        return [sys.executable, "-c", code]

    def locate(module: str, definition: object) -> list[str]:
        return python(f"from {module} import make_datasource; make_datasource({definition!r})")

    def miss(module: str) -> list[str]:
        absent = {"relpath": "nipy/absent"}
        return python(f"from {module} import datasource_or_bomber as d; d({absent!r})")

    script = shutil.which("nibabel-data", path=os.path.dirname(sys.executable))
    check(script is not None, "nibabel-data is installed beside this Python")
    return {
        BARE: python("pass"),
        OURS: locate("nibabel_data", WANTED),
        NIBABEL: locate("nibabel.data", WANTED),
        STRING: locate("nibabel_data", SPECIFIER),
        BOMBER: miss("nibabel_data"),
        NIBABEL_BOMBER: miss("nibabel.data"),
        COMMAND: [str(script), "find", "nipy/templates"],
        POOCH: python("import pooch"),
    }


def time_processes(effort: Effort, environment: dict[str, str], directory: Path) -> Times:
    calls = {
        name: partial(run, command, environment, directory) for name, command in commands().items()
    }
    check(calls[COMMAND]() == f"{package_in(directory)}\n", "the command finds the package")
    return take_turns(calls, effort.processes)


def run(command: list[str], environment: dict[str, str], directory: Path) -> str:
    # Run in `directory`, because `python -c` imports what lies in the working directory.
    out = subprocess.PIPE
    done = subprocess.run(
        command, env=environment, cwd=directory, stdout=out, text=True, check=True
    )
    return done.stdout


def time_again(effort: Effort, directory: Path) -> Times:
    modules = {OURS: nibabel_data, NIBABEL: import_module(NIBABEL)}
    calls = {name: partial(module.make_datasource, WANTED) for name, module in modules.items()}
    places = {str(call().base_path) for call in calls.values()}
    check(places == {str(package_in(directory))}, "both find the package")
    return take_turns(calls, effort.calls, effort.repeats)


def time_search_path(effort: Effort, directory: Path) -> Times:
    nibabel: Any = import_module(NIBABEL)  # by name: it has few type hints
    system = directory / "many"
    os.environ["NIPY_SYSTEM_DIR"] = str(system)
    nibabel.get_nipy_system_dir = lambda: str(system)  # it knows no variable for this
    files = write_ini_files(system)
    time.sleep(SETTLE)
    theirs = nibabel.get_data_path()
    check(nibabel_data.get_data_path()[: len(theirs)] == theirs, "both have one search path")
    calls = {
        OURS: nibabel_data.get_data_path,
        NIBABEL: nibabel.get_data_path,
        STAT: lambda: [os.stat(file) for file in files],
    }
    return take_turns(calls, effort.calls, effort.repeats)


def time_walk(effort: Effort, directory: Path) -> Times:
    roots, configs = write_packages(directory, effort.roots[-1])

    def walk(count: int) -> None:
        found = list(nibabel_data.iter_packages(roots[:count]))
        check(len(found) == count * PER_ROOT, "every package is found")

    def read() -> None:
        for config in configs[: ROOTS * PER_ROOT]:
            with open(config) as file:
                file.read()

    walks = {amount(count): partial(walk, count) for count in effort.roots}
    times = take_turns({READ: read, **walks}, effort.walks)
    times[WALK] = times[amount(ROOTS)]
    for count in effort.roots:
        times[amount(count)] = [seconds / count / PER_ROOT for seconds in times[amount(count)]]
    return times


WORKERS = {"calls again": time_again, "search path": time_search_path, "walks": time_walk}


def in_worker(name: str, quick: bool, environment: dict[str, str], directory: Path) -> Times:
    """Run one of `WORKERS` in a process of its own."""
    print(f"measuring: {name}", file=sys.stderr)
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", name]
    times: Times = json.loads(run(command + ["--quick"] * quick, environment, directory))
    return times


def package_in(directory: Path) -> Path:
    return directory / "NIPY_DATA_PATH" / "nipy" / "templates"


def write_file(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_ini_files(directory: Path) -> list[str]:
    return [
        write_file(directory / f"data{number:03}.ini", f"[DATA]\npath = /srv/data{number:03}\n")
        for number in range(INI_FILES)
    ]


def write_package(directory: Path, number: int, release: str) -> str:
    return write_file(
        directory / "config.ini",
        f"[DEFAULT]\nversion = {release}\nname = Package {number}\n"
        "license = BSD-3-Clause\ncitation = The makers of the package\n",
    )


def write_packages(directory: Path, count: int) -> tuple[list[str], list[str]]:
    """Write `count` roots of packages, no two of one version; return roots and config files."""
    roots = [directory / f"root{number:03}" for number in range(count)]
    places = (
        roots[root] / f"project{project:02}" / f"package{root:03}{package:02}"
        for root, project, package in product(range(count), range(PROJECTS), range(PACKAGES))
    )
    configs = [
        write_package(place, number, f"{number // 1000}.{number % 1000}.1")
        for number, place in enumerate(places)
    ]
    return [str(root) for root in roots], configs


def prepare(directory: Path) -> dict[str, str]:
    """Write the package that is looked for; return the environment that all processes get."""
    write_package(package_in(directory), 0, "0.5")
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    for name in GIVEN:
        (directory / name).mkdir(exist_ok=True)
        environment[name] = str(directory / name)
    return environment


def check(holds: bool, claim: str) -> None:
    if not holds:
        raise SystemExit(f"nothing can be measured, because it is not so that {claim}")


def amount(roots: int) -> str:
    return f"one of {roots * PER_ROOT:,}"


def measure(quick: bool) -> list[Row]:
    effort = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        environment = prepare(directory)
        print("measuring: whole processes", file=sys.stderr)
        processes = time_processes(effort, environment, directory)
        workers = [in_worker(worker, quick, environment, directory) for worker in WORKERS]
    return rows_of(effort, processes, *workers)


def rows_of(effort: Effort, processes: Times, again: Times, path: Times, walk: Times) -> list[Row]:
    process = "make_datasource, whole process"
    many = f"get_data_path again, {INI_FILES} files"
    few, *more = map(amount, effort.roots)
    return [
        compare(process, processes, OURS, NIBABEL, 1 / 8),
        compare(process, processes, OURS, BARE, 2.5),
        compare(process, processes, OURS, POOCH),
        compare("the same with a specifier", processes, STRING, BARE),
        compare("datasource_or_bomber, data missing", processes, BOMBER, NIBABEL_BOMBER),
        compare("nibabel-data find, whole process", processes, COMMAND, BARE, 3.5),
        compare("make_datasource again", again, OURS, NIBABEL, 1 / 4),
        compare(many, path, OURS, NIBABEL, 1 / 40),
        compare(many, path, OURS, STAT),
        compare(f"iter_packages, {ROOTS * PER_ROOT:,} packages", walk, WALK, READ, 6),
        *(compare(f"iter_packages, {name}", walk, name, few) for name in more),
    ]


def machine() -> dict[str, object]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in ("nibabel-data", "nibabel", "pooch")},
    }


def shown_time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            break
    return f"{seconds / size:.3g} {unit}"


def shown_ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"1/{1 / ratio:.3g}" if ratio < 0.5 else f"{ratio:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    reached = "" if row.reached is None else "yes" if row.reached else "no"
    times = (shown_time(row.ours), row.beside, shown_time(row.peer))
    return (row.figure, *times, shown_ratio(row.ratio), shown_ratio(row.target), reached)


def rst_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a simple table of reStructuredText."""
    lines = [HEADER, *rows]
    rule = tuple("=" * max(map(width, column)) for column in zip(*lines, strict=True))
    return aligned([rule, HEADER, rule, *lines[1:], rule])


def put_into(readme: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the two comments that `MARKS` names."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    check(bool(begin and end), f"{readme} has the comments {MARKS}")
    table = "\n".join(lines)
    readme.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    result = Path(__file__).with_suffix(".json")
    parser.add_argument("--quick", action="store_true", help="measure little: only a smoke test")
    parser.add_argument("--json", metavar="FILE", type=Path, default=result, help="write JSON here")
    parser.add_argument("--readme", metavar="FILE", type=Path, help="put the table into this file")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.worker:
        effort = QUICK if arguments.quick else FULL
        print(json.dumps(WORKERS[arguments.worker](effort, Path.cwd())))
        return
    rows = measure(arguments.quick)
    table = [cells(row) for row in rows]
    print("\n".join(aligned([HEADER, *table])))
    content = {"machine": machine(), "quick": arguments.quick, "rows": [*map(asdict, rows)]}
    arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.readme:
        put_into(arguments.readme, rst_table(table))


if __name__ == "__main__":
    main()
