"""What the benchmarks share: taking turns, comparing, and showing the result.

The things that are compared take turns (A B C A B C), since a machine is never equally busy for
long.  A ratio is the median of the ratios of neighbours, ours divided by the peer's; the times are
medians as well.  The first round is not counted: it fills the caches of the file system, and of
Python's bytecode.  Garbage collection is left as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Generic, TypeAlias, TypeVar

from nibabel_data.table import aligned, width

__all__ = [
    "BARE",
    "SETTLE",
    "Benchmark",
    "Row",
    "Times",
    "check",
    "compare",
    "data_command",
    "in_worker",
    "isolated",
    "main",
    "python",
    "run",
    "shown_bytes",
    "take_turns",
    "write_file",
]

Times: TypeAlias = dict[str, list[float]]
"""Seconds (or bytes), one value a round, by what was measured."""

Effort = TypeVar("Effort")

HEADER = ("figure", "ours", "beside", "its time", "ratio", "target", "reached")
BARE = "python -c pass"

SETTLE = 2.5
"""Seconds; what is younger than two is not kept, as its time stamp could still deceive."""

KEPT = ("PATH", "SYSTEMROOT")
"""Variables that the measured processes get as they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: medians, in seconds or in `unit`; without target, information."""

    figure: str
    ours: float
    beside: str
    peer: float
    ratio: float
    target: float | None
    reached: bool | None
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class Benchmark(Generic[Effort]):
    """One script: what it measures, with how much effort, and beside which distributions."""

    script: Path
    summary: str
    measure: Callable[[bool], list[Row]]
    workers: Mapping[str, Callable[[Effort, Path], Times]]
    full: Effort
    quick: Effort
    versions: tuple[str, ...]
    facts: Callable[[], dict[str, object]] = dict
    slow: str = ""
    """The peer that can be left out, since it takes minutes: the option is ``--without-NAME``."""
    measure_rest: Callable[[bool], list[Row]] | None = None
    measure_parts: Callable[..., list[Row]] | None = None
    """Measures the workers named in ``parts=``: the option is ``--only``."""
    extra: str = ""
    """The part that is measured only if it is asked for: the option is ``--NAME``."""

    @property
    def marks(self) -> tuple[str, str]:
        """The comments in a README between which the table stands."""
        figures = f".. figures of {self.script.stem}:"
        return f"{figures} begin", f"{figures} end"


def compare(
    figure: str,
    times: Times,
    ours: str,
    beside: str,
    target: float | None = None,
    unit: str = "s",
) -> Row:
    ratio = median(a / b for a, b in zip(times[ours], times[beside], strict=True))
    reached = None if target is None else ratio <= target
    medians = median(times[ours]), median(times[beside])
    return Row(figure, medians[0], beside, medians[1], ratio, target, reached, unit)


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> Times:
    """Time the calls in turn, after a round that is not counted; give seconds for one call.

    What is to be done `before` a call is not timed.
    """
    times: Times = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            if before is not None and name in before:
                before[name]()
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if number:
                times[name].append((time.perf_counter() - start) / repeats)
    return times


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def data_command(*arguments: str) -> list[str]:
    script = shutil.which("nibabel-data", path=os.path.dirname(sys.executable))
    check(script is not None, "nibabel-data is installed beside this Python")
    return [str(script), *arguments]


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
    # Run in `directory`, because `python -c` imports what lies in the working directory.
    out = subprocess.PIPE
    done = subprocess.run(
        command, env=environment, cwd=directory, stdout=out, text=True, check=True
    )
    return done.stdout


def in_worker(
    script: str, name: str, quick: bool, environment: Mapping[str, str], directory: Path
) -> Times:
    """Run one of a script's workers in a process of its own."""
    print(f"measuring: {name}", file=sys.stderr)
    command = [sys.executable, str(Path(script).resolve()), "--worker", name]
    times: Times = json.loads(run(command + ["--quick"] * quick, environment, directory))
    return times


def isolated(directory: Path, given: Iterable[str]) -> dict[str, str]:
    """Return an environment in which each variable `given` is a new directory of that name."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    for name in given:
        (directory / name).mkdir(exist_ok=True)
        environment[name] = str(directory / name)
    return environment


def write_file(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def check(holds: bool, claim: str) -> None:
    if not holds:
        raise SystemExit(f"nothing can be measured, because it is not so that {claim}")


def machine(versions: Iterable[str]) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in versions},
    }


def shown_time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            break
    return f"{seconds / size:.3g} {unit}"


def shown_bytes(size: float) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 0.995 * (1 << power) or unit == "KiB":
            break
    return f"{size / (1 << power):.3g} {unit}"


def shown_ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"1/{1 / ratio:.3g}" if ratio < 0.5 else f"{ratio:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    reached = "" if row.reached is None else "yes" if row.reached else "no"
    shown = shown_bytes if row.unit == "B" else shown_time
    values = (shown(row.ours), row.beside, shown(row.peer))
    return (row.figure, *values, shown_ratio(row.ratio), shown_ratio(row.target), reached)


def facts_of(row: Row) -> dict[str, object]:
    """Return a row for JSON; the unit only where it is not seconds."""
    facts = asdict(row)
    if row.unit == "s":
        del facts["unit"]
    return facts


def rst_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a simple table of reStructuredText."""
    lines = [HEADER, *rows]
    rule = tuple("=" * max(map(width, column)) for column in zip(*lines, strict=True))
    return aligned([rule, HEADER, rule, *lines[1:], rule])


def put_into(readme: Path, marks: tuple[str, str], lines: Sequence[str]) -> None:
    """Replace what stands between the two comments `marks`."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    check(bool(begin and end), f"{readme} has the comments {marks}")
    table = "\n".join(lines)
    readme.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def parts_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of names, of those that there are."""

    def read(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return chosen

    return read


def main(benchmark: Benchmark[Effort], argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=benchmark.summary)
    result = benchmark.script.with_suffix(".json")
    parser.add_argument("--quick", action="store_true", help="measure little: only a smoke test")
    parser.add_argument("--json", metavar="FILE", type=Path, default=result, help="write JSON here")
    parser.add_argument("--readme", metavar="FILE", type=Path, help="put the table into this file")
    parser.add_argument("--worker", choices=benchmark.workers, help=argparse.SUPPRESS)
    measure = benchmark.measure
    if benchmark.measure_rest is not None:
        described = "leave out what takes minutes: no result is kept, but for --json"
        name = f"--without-{benchmark.slow}"
        parser.add_argument(name, action="store_true", dest="rest", help=described)
    if benchmark.measure_parts is not None:
        names = [name for name in benchmark.workers if name != benchmark.extra]
        described = f"measure only these of {','.join(names)}: no result is kept, but for --json"
        parser.add_argument("--only", metavar="PART,PART", type=parts_of(names), help=described)
        described = f"measure beside {benchmark.extra} too, installed for it: minutes more"
        parser.add_argument(
            f"--{benchmark.extra}", action="store_true", dest="extra", help=described
        )
    arguments = parser.parse_args(argv)
    some = benchmark.measure_parts is not None and arguments.only is not None
    if benchmark.measure_parts is not None:
        chosen = [*(arguments.only or names), *[benchmark.extra] * arguments.extra]
        measure = partial(benchmark.measure_parts, parts=chosen)
    rest = benchmark.measure_rest is not None and arguments.rest
    if benchmark.measure_rest is not None and rest:
        if arguments.readme:
            parser.error("a table is of one run, with nothing left out")
        measure = benchmark.measure_rest
    if some and arguments.readme:
        parser.error("a table is of one run, with nothing left out")
    if arguments.worker:
        effort = benchmark.quick if arguments.quick else benchmark.full
        print(json.dumps(benchmark.workers[arguments.worker](effort, Path.cwd())))
        return
    rows = measure(arguments.quick)
    table = [cells(row) for row in rows]
    print("\n".join(aligned([HEADER, *table])))
    facts = {**machine(benchmark.versions), **benchmark.facts()}
    content = {"machine": facts, "quick": arguments.quick, "rows": [*map(facts_of, rows)]}
    if (rest or some) and arguments.json == result:
        return  # what was measured in full stays
    arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.readme:
        put_into(arguments.readme, benchmark.marks, rst_table(table))
