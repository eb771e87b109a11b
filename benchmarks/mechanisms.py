"""Measure how fast mechanisms are found, built and inserted, beside Glia and beside the compiler.

All figures come from one run, because only times of one run on one machine can be compared.  The
packages are dbbs-catalogue (47 mods for NEURON) and nrn-patch (one); those that are timed have
fresh caches and homes of their own:

- The first insert of ``Kv1_1`` when nothing is built, whole process, beside Glia's, and beside
  ``nocmodl``, ``g++`` and the linker called for that mod by hand.
- The same when nothing has changed, beside a script that imports NEURON, loads that one library and
  inserts, and beside Glia's.
- The same after one byte of that mod has changed, beside Glia's.
- The build of all mods, beside ``make`` on all cores with a library for each, and beside
  ``glia compile``.
- The import of ``insert``, without the time that Python takes to start.
- 1,000 packages of 50 mods: ``resolve`` when they are known; how long one of them takes to be
  discovered, beside one of 100; the next process, beside the first.

`common` says how things are compared.  Glia (nmodl-glia 8) has an environment of its own, which is
made in the cache directory, with the same NEURON.  It compiles everything at its first insert and
at each change: minutes, so that each is timed once, without a round before it, and
``--without-glia`` leaves it out.  At its first call it would also make a package with cookiecutter
and install it with pip, which puts an older Glia in the place of this one; it finds that package's
directory there, and is so measured without that work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from common import (
    BARE,
    SETTLE,
    Benchmark,
    Row,
    Times,
    check,
    compare,
    in_worker,
    isolated,
    main,
    python,
    run,
    take_turns,
    write_file,
)

from nibabel_data.environment import cache_dir
from nibabel_data.mechanisms.compiling import everything
from nibabel_data.mechanisms.resolution import resolve
from nibabel_data.mechanisms.toolchain import find_compiler, find_neuron

PACKAGES = ("dbbs-catalogue==6.0.1", "nrn-patch==8.0.2")
GLIA = "nmodl-glia==8.0.2"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
GIVEN = ("NIPY_USER_DIR", "NIPY_SYSTEM_DIR", "NIBABEL_DATA_CACHE", "HOME")
"""Variables that the measured processes get, each set to a directory of that name."""

GLIA_BIN = "BENCHMARK_GLIA_BIN"
"""The variable that tells a worker where the commands of Glia's environment are, if it is there."""

MOD = "dbbs_catalogue/mods/neuron/Kv1_1__0.mod"
SUFFIX = "glia__dbbs__Kv1_1__0"

FIRST, HAND, GLIA_FIRST = "first insert", "by hand", "Glia's first insert"
START, LOAD, GLIA_START = "start", "neuron, load, insert", "Glia"
CHANGED, GLIA_CHANGED = "changed", "Glia, changed"
ALL, GLIA_ALL = "compile", "glia compile"
MAKE = f"make -j{os.cpu_count()}"
IMPORT, BEYOND, LONGEST_IMPORT = "import", "beyond the start of Python", "15 ms"
RESOLVE, LONGEST_RESOLVE = "resolve", "20 µs"
ONE_OF_MANY, ONE_OF_FEW, AGAIN, COLD = "one of 1,000", "one of 100", "again", "the first time"

INSERT = """
import nibabel_data.mechanisms as m
from neuron import h
section = h.Section('soma')
m.insert(section, 'Kv1_1')
"""
LOAD_AND_INSERT = f"""
import sys
from neuron import h
h.nrn_load_dll(sys.argv[1])
section = h.Section('soma')
section.insert({SUFFIX!r})
"""
GLIA_INSERT = """
import glia
from patch import p
section = p.Section()
glia.insert(section, 'Kv1_1')
"""
COMPILE = """
import nibabel_data.mechanisms as m
report = m.compile(quiet=True)
print(len(report.made), len(report.failed))
"""
IMPORTED = """
from nibabel_data.mechanisms import insert
import sys
if {'numpy', 'neuron'} & set(sys.modules):
    sys.exit('numpy or neuron is imported')
"""
DISCOVER = """
import time
from nibabel_data.mechanisms import discover
start = time.perf_counter()
catalogue = discover(remember=bool({remember}))
print(time.perf_counter() - start)
if len(catalogue.packages) < {packages}:
    raise SystemExit('packages are missing')
"""
MAKEFILE = """
all: {libraries}
%.so: %.mod
	MODLUNIT={units} {nocmodl} $<
	echo 'extern "C" void _$*_reg(); extern "C" void modl_reg() {{ _$*_reg(); }}' > reg_$*.cpp
	{compiler} {flags} -fPIC -I. -c $*.cpp reg_$*.cpp
	{compiler} -shared -fPIC -Wl,-soname,$@ $*.o reg_$*.o -o $@ {link}
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds of whole builds, of one build, of processes and of calls; of how much."""

    whole: int
    builds: int
    processes: int
    calls: int
    packages: tuple[int, int]
    mods: int


FULL = Effort(2, 7, 21, 101, (100, 1000), 50)
QUICK = Effort(0, 1, 2, 3, (3, 30), 5)


def time_insert(effort: Effort, directory: Path) -> Times:
    site = directory / "site"
    shutil.copytree(os.environ["PYTHONPATH"], site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    cache = Path(environment["NIBABEL_DATA_CACHE"])
    time.sleep(SETTLE)
    insert = partial(run, python(INSERT), environment, directory)
    hand = partial(build_by_hand, site / MOD, directory / "hand")
    times = take_turns(
        {FIRST: insert, HAND: hand},
        effort.builds,
        before={
            FIRST: partial(shutil.rmtree, cache, ignore_errors=True),
            HAND: partial(shutil.rmtree, directory / "hand", ignore_errors=True),
        },
    )
    (library,) = cache.rglob("mechanism.so")
    time.sleep(SETTLE)
    starts: dict[str, Callable[[], object]] = {
        START: insert,
        LOAD: partial(run, python(LOAD_AND_INSERT, str(library)), environment, directory),
    }
    glia = glia_insert(directory)
    if glia is not None:
        times[GLIA_FIRST] = [seconds(glia)]
        starts[GLIA_START] = glia
    times |= take_turns(starts, effort.processes)
    change = {CHANGED: partial(change_a_byte, site / MOD)}
    times |= take_turns({CHANGED: insert}, effort.builds, before=change)
    check(len([*cache.rglob("mechanism.so")]) == effort.builds + 2, "each change is built")
    if glia is not None:
        place = next(Path(os.environ[GLIA_BIN]).parent.glob(f"lib/python*/site-packages/{MOD}"))
        kept = place.read_bytes()
        change_a_byte(place)
        try:
            times[GLIA_CHANGED] = [seconds(glia)]
        finally:
            place.write_bytes(kept)
    return times


def build_by_hand(mod: Path, directory: Path) -> None:
    """Make the library of one mod as NEURON's own makefile would: translate, compile, link."""
    neuron = find_neuron()
    compiler = find_compiler(cache=None).command
    directory.mkdir()
    shutil.copy(mod, directory)
    environment = {**os.environ, "MODLUNIT": neuron.units}
    stem = mod.stem
    run_quietly([neuron.nocmodl, mod.name], environment, directory)
    registering = f'extern "C" void _{stem}_reg(); extern "C" void modl_reg() {{ _{stem}_reg(); }}'
    write_file(directory / "reg.cpp", registering)
    compiling = [*compiler, *neuron.flags(), "-fPIC", "-I.", "-c", f"{stem}.cpp", "reg.cpp"]
    run(compiling, environment, directory)
    linking = [*compiler, "-shared", "-fPIC", f"-Wl,-soname,{stem}.so", f"{stem}.o", "reg.o"]
    run([*linking, "-o", f"{stem}.so", *neuron.link_flags()], environment, directory)


def run_quietly(command: list[str], environment: Mapping[str, str], directory: Path) -> None:
    """As `run`, and what it says of its progress is not shown; of a failure, all."""
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True)
    check(done.returncode == 0, f"{command} succeeds:\n{done.stdout}{done.stderr}")


def change_a_byte(place: Path) -> None:
    """Change a letter of the title, which is no code."""
    content = bytearray(place.read_bytes())
    at = content.index(b"TITLE ") + len(b"TITLE ")
    content[at] = ord("A") + (content[at] + 1) % 26
    place.write_bytes(content)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def glia_environment(home: Path) -> dict[str, str] | None:
    """Return the environment in which Glia's commands run, with an empty home; None without it."""
    commands = os.environ.get(GLIA_BIN)
    if commands is None:
        return None
    # The directory of the package that it would make, and install with pip: see above.
    (home / ".local" / "share" / "Glia" / "8" / "local").mkdir(parents=True)
    kept = {name: os.environ[name] for name in ("NEURON_MODULE_OPTIONS",)}
    return {**kept, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}


def glia_insert(directory: Path) -> Callable[[], object] | None:
    environment = glia_environment(directory / "glia")
    if environment is None:
        return None
    command = [f"{os.environ[GLIA_BIN]}/python", "-c", GLIA_INSERT]
    return partial(run_quietly, command, environment, directory)


def time_build(effort: Effort, directory: Path) -> Times:
    if not effort.whole:
        return {}
    mods = [Path(name.mechanism.path) for name in everything()[0]]
    environment, made = dict(os.environ), directory / "made"
    cache = environment["NIBABEL_DATA_CACHE"]

    def prepare_make() -> None:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for mod in mods:
            shutil.copy(mod, made)
        write_file(made / "makefile", makefile([mod.stem for mod in mods]))

    def compile_all() -> None:
        told = run(python(COMPILE), environment, directory).split()
        check(told == [str(len(mods)), "0"], f"all {len(mods)} mods are built")

    def make() -> None:
        run_quietly(["make", f"-j{os.cpu_count()}", "--silent"], environment, made)
        check(len([*made.glob("*.so")]) == len(mods), f"make builds all {len(mods)} mods")

    times: Times = {ALL: [], MAKE: []}
    for _ in range(effort.whole):  # no round before: it would take as long as all the rest
        shutil.rmtree(cache, ignore_errors=True)
        times[ALL].append(seconds(compile_all))
        prepare_make()
        times[MAKE].append(seconds(make))
    glia = glia_environment(directory / "glia")
    if glia is not None:
        command = [f"{os.environ[GLIA_BIN]}/glia", "compile"]
        times[GLIA_ALL] = [seconds(partial(run_quietly, command, glia, directory))]
    return times | {"mods": [float(len(mods))]}


def makefile(stems: list[str]) -> str:
    neuron = find_neuron()
    return MAKEFILE.format(
        libraries=" ".join(f"{stem}.so" for stem in stems),
        units=neuron.units,
        nocmodl=neuron.nocmodl,
        compiler=" ".join(find_compiler(cache=None).command),
        flags=" ".join(neuron.flags()),
        link=" ".join(neuron.link_flags()),
    )


def time_import(effort: Effort, directory: Path) -> Times:
    environment = dict(os.environ)
    calls = {name: partial(run, python(code), environment, directory) for name, code in _STARTS}
    times = take_turns(calls, 2 * effort.processes)
    # Python's start is taken away round by round, so that what remains has rounds as well.
    pairs = zip(times[IMPORT], times[BARE], strict=True)
    beyond = [whole - start for whole, start in pairs]
    return {BEYOND: beyond, LONGEST_IMPORT: [0.015] * len(beyond)}


_STARTS = ((IMPORT, IMPORTED), (BARE, "pass"))


def time_catalogue(effort: Effort, directory: Path) -> Times:
    few, many = effort.packages
    sites = {count: directory / f"site{count}" for count in effort.packages}
    for count, site in sites.items():
        for number in range(count):
            write_package(site, number, effort.mods)
    time.sleep(SETTLE)
    cache = Path(os.environ["NIBABEL_DATA_CACHE"])

    def discover(count: int, remember: bool) -> float:
        environment = {**os.environ, "PYTHONPATH": str(sites[count])}
        code = DISCOVER.format(remember=int(remember), packages=count)
        return float(run(python(code), environment, directory))

    times: Times = {name: [] for name in (ONE_OF_FEW, ONE_OF_MANY, COLD, AGAIN)}
    for number in range(effort.builds + 1):
        shutil.rmtree(cache, ignore_errors=True)
        measured = (discover(few, False), discover(many, False))
        discover(many, True)
        if number:  # as everywhere, the first round is not counted
            times[ONE_OF_FEW].append(measured[0] / few)
            times[ONE_OF_MANY].append(measured[1] / many)
            times[COLD].append(measured[1])
            times[AGAIN].append(discover(many, False))
    sys.path.append(str(sites[many]))
    asset = f"A{many // 2}_{effort.mods // 2}"
    check(resolve(asset) == f"glia__p{many // 2}__{asset}__0", "an asset is resolved")
    times |= take_turns({RESOLVE: lambda: resolve(asset)}, effort.calls, repeats=1000)
    return times | {LONGEST_RESOLVE: [20e-6] * effort.calls}


def write_package(site: Path, number: int, mods: int) -> None:
    """Write what pip would of a package for Glia, but for its mods, at which nobody looks."""
    lines = ["from pathlib import Path", "from glia import Mod, Package", "package = Package("]
    lines += [f'    "p{number}", Path(__file__).resolve().parent, mods=[']
    for mod in range(mods):
        asset = f"A{number}_{mod}"
        lines.append(f'        Mod("mods/{asset}__0.mod", "{asset}", dialect="neuron"),')
    write_file(site / f"p{number}" / "__init__.py", "\n".join([*lines, "])", ""]))
    info = site / f"p{number}-1.0.dist-info"
    write_file(info / "METADATA", f"Metadata-Version: 2.1\nName: p{number}\nVersion: 1.0\n")
    write_file(info / "entry_points.txt", f"[glia.package]\np{number} = p{number}:package\n")
    recorded = [f"p{number}/mods/A{number}_{mod}__0.mod,," for mod in range(mods)]
    write_file(info / "RECORD", "\n".join([f"p{number}/__init__.py,,", *recorded, ""]))


WORKERS = {
    "import": time_import,
    "catalogue": time_catalogue,
    "insert": time_insert,
    "build": time_build,
}


def site_of_packages() -> Path:
    """Return a directory with the packages, installed by pip into the cache when first asked."""
    return made_once("packages", lambda place: pip(sys.executable, "--target", str(place)))


def bin_of_glia() -> Path:
    """Return where the commands of Glia's environment are; it is made when first asked for."""
    neuron = find_neuron().version

    def make(place: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip(str(place / "bin" / "python"), GLIA, f"neuron=={neuron}")

    return made_once(f"{GLIA}-neuron-{neuron}", make) / "bin"


def pip(executable: str, *arguments: str) -> None:
    more = ["--no-deps"] if "--target" in arguments else []
    subprocess.run([executable, *PIP, *more, *arguments, *PACKAGES], check=True)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    place = Path(cache_dir(), "benchmarks", name)
    complete = place.with_name(f"{name}.complete")
    wanted = json.dumps([sys.version, *PACKAGES])
    if not complete.exists() or complete.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        print(f"installing into {place}", file=sys.stderr)
        make(place)
        write_file(complete, wanted)
    return place


NOTES: dict[str, object] = {}
"""What the JSON says beside the figures."""


def measure(quick: bool) -> list[Row]:
    try:
        commands = bin_of_glia()
    except subprocess.CalledProcessError as error:
        return left_out(quick, f"its environment cannot be made ({error})")
    return measured(quick, {GLIA_BIN: str(commands)})


def left_out(quick: bool, why: str = "--without-glia says so") -> list[Row]:
    NOTES["not measured"] = f"{GLIA}: {why}"
    print(f"not measured: {NOTES['not measured']}", file=sys.stderr)
    return measured(quick, {})


def measured(quick: bool, more: dict[str, str]) -> list[Row]:
    check(shutil.which("make") is not None, "make is there")
    NOTES["compiler"] = find_compiler(cache=None).version
    packages = {"PYTHONPATH": str(site_of_packages()), "NEURON_MODULE_OPTIONS": "-nogui", **more}
    times: Times = {}
    for name in WORKERS:
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary).resolve()
            environment = isolated(directory, GIVEN) | packages
            times |= in_worker(__file__, name, quick, environment, directory)
    return rows_of(QUICK if quick else FULL, times)


def rows_of(effort: Effort, times: Times) -> list[Row]:
    first, start = "first insert, nothing built", "start, nothing changed"
    changed = "one byte changed, then insert"
    many = effort.packages[1]
    scale = f"{many:,} packages of {effort.mods}"
    rows = [
        beside_glia(first, times, FIRST, GLIA_FIRST, 1 / 40),
        [compare(first, times, FIRST, HAND, 1.3)],
        [compare(start, times, START, LOAD, 1.1)],
        beside_glia(start, times, START, GLIA_START, 1 / 2),
        beside_glia(changed, times, CHANGED, GLIA_CHANGED, 1 / 40),
        whole_rows(times),
        [compare("import insert, beyond Python's start", times, BEYOND, LONGEST_IMPORT, 1)],
        [compare(f"resolve, {scale}", times, RESOLVE, LONGEST_RESOLVE, 1)],
        [compare(f"discover, one of {many:,} packages", times, ONE_OF_MANY, ONE_OF_FEW, 1.25)],
        [compare(f"discover, {scale}, next process", times, AGAIN, COLD)],
    ]
    return [row for group in rows for row in group]


def whole_rows(times: Times) -> list[Row]:
    if ALL not in times:
        return []
    figure = f"build of all {times['mods'][0]:.0f}"
    return [
        compare(figure, times, ALL, MAKE, 1),
        *beside_glia(figure, times, ALL, GLIA_ALL, 1 / 2),
    ]


def beside_glia(figure: str, times: Times, ours: str, glia: str, target: float) -> list[Row]:
    """Return the row beside Glia, if that was measured: round by round, or once."""
    if glia not in times:
        return []
    rounds = times
    if len(times[ours]) != len(times[glia]):
        rounds = {ours: [median(times[ours])], glia: times[glia]}
    return [compare(figure, rounds, ours, glia, target)]


BENCHMARK = Benchmark(
    script=Path(__file__),
    summary=(__doc__ or "").partition("\n")[0],
    measure=measure,
    workers=WORKERS,
    full=FULL,
    quick=QUICK,
    versions=("nibabel-data", "neuron", "filelock"),
    facts=lambda: {**NOTES, "packages": [*PACKAGES, GLIA]},
    slow="glia",
    measure_rest=left_out,
)

if __name__ == "__main__":
    main(BENCHMARK)
