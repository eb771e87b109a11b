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

`common` says how things are compared.  Each figure has processes of its own, which see a data
package on ``NIPY_DATA_PATH``, and a user directory, a system directory and a home that are empty.
All lies in a temporary directory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from common import (
    BARE,
    SETTLE,
    Benchmark,
    Row,
    Times,
    check,
    compare,
    data_command,
    in_worker,
    isolated,
    main,
    python,
    run,
    take_turns,
    write_file,
)

import nibabel_data

WANTED = {"relpath": "nipy/templates", "min version": "0.3"}
SPECIFIER = "nipy/templates>=0.3,<1"

OURS = "nibabel_data"
NIBABEL = "nibabel.data"
POOCH = "import pooch"
STRING = "string form"
BOMBER = "bomber of nibabel_data"
NIBABEL_BOMBER = "nibabel.data "
COMMAND = "nibabel-data find"
STAT = "os.stat of each"
READ = "open and read"
WALK = "iter_packages"

GIVEN = ("NIPY_DATA_PATH", "NIPY_USER_DIR", "NIPY_SYSTEM_DIR", "HOME", "USERPROFILE")
"""Variables that the measured processes get, each set to a directory of that name."""

INI_FILES = 200

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


def commands() -> dict[str, list[str]]:
    def locate(module: str, definition: object) -> list[str]:
        return python(f"from {module} import make_datasource; make_datasource({definition!r})")

    def miss(module: str) -> list[str]:
        absent = {"relpath": "nipy/absent"}
        return python(f"from {module} import datasource_or_bomber as d; d({absent!r})")

    return {
        BARE: python("pass"),
        OURS: locate("nibabel_data", WANTED),
        NIBABEL: locate("nibabel.data", WANTED),
        STRING: locate("nibabel_data", SPECIFIER),
        BOMBER: miss("nibabel_data"),
        NIBABEL_BOMBER: miss("nibabel.data"),
        COMMAND: data_command("find", "nipy/templates"),
        POOCH: python("import pooch"),
    }


def time_processes(effort: Effort, environment: dict[str, str], directory: Path) -> Times:
    calls = {
        name: partial(run, command, environment, directory) for name, command in commands().items()
    }
    check(calls[COMMAND]() == f"{package_in(directory)}\n", "the command finds the package")
    return take_turns(calls, effort.processes)


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


def package_in(directory: Path) -> Path:
    return directory / "NIPY_DATA_PATH" / "nipy" / "templates"


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
    return isolated(directory, GIVEN)


def amount(roots: int) -> str:
    return f"one of {roots * PER_ROOT:,}"


def measure(quick: bool) -> list[Row]:
    effort = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        environment = prepare(directory)
        print("measuring: whole processes", file=sys.stderr)
        processes = time_processes(effort, environment, directory)
        workers = [in_worker(__file__, worker, quick, environment, directory) for worker in WORKERS]
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


BENCHMARK = Benchmark(
    script=Path(__file__),
    summary=(__doc__ or "").partition("\n")[0],
    measure=measure,
    workers=WORKERS,
    full=FULL,
    quick=QUICK,
    versions=("nibabel-data", "nibabel", "pooch"),
)

if __name__ == "__main__":
    main(BENCHMARK)
