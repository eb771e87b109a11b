"""Measure how fast data packages are proved intact, installed and fetched, beside other tools.

All figures come from one run, because only times of one run on one machine can be compared:

- `verify_directory` of 2 GiB in 2,000 files that lie in memory (the page cache), of which nothing
  is known, beside ``sha256sum`` of the same files.  Many builds of ``sha256sum`` do without the
  processor's SHA instructions, so that `hashlib`, in one thread, stands beside it as well.
- The same again, unchanged, beside the first time and beside `os.stat` of each file, which is the
  least that any check must do; and the command ``nibabel-data verify`` without the time that
  Python takes to start (an old pip, such as 23, writes a command that imports re: 5 ms more).
- ``nibabel-data install`` of 1 GiB in 200 files on one file system, beside ``cp -a`` and then
  ``sha256sum``; and the most memory that it took.
- ``fetch`` of a file that is there, beside `os.stat` of it; and of one of 1 GiB, beside
  ``pooch.retrieve``, which hashes it each time.
- The most memory that each verb that reads or writes data takes for a package of one file, of 1 GiB
  and of 64 MiB.

`common` says how things are compared.  Memory is that of the process or of the largest that it
started, whichever is more; it hardly differs from run to run, so that it is measured once.  Data
are random bytes, which cannot be packed.  What was written is not awaited on the disk, neither by
us nor by ``cp``.  Each figure has a temporary directory of its own; 6 GiB must be free there.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
    shown_bytes,
    take_turns,
    write_file,
)

from nibabel_data import VersionedDatasource
from nibabel_data.package.manifest import MANIFEST, hash_file, hash_files, manifest_text, workers
from nibabel_data.package.overlay import overlay_dir
from nibabel_data.package.registry import REGISTRY, read_registry
from nibabel_data.package.verify import verify_directory

MIB = 1 << 20
FREE = 6 << 30
MEMORY = 100 * MIB
"""Bytes that an install may take."""

SPEC, THIN = "lab/atlas", "lab/thin"
GIVEN = ("NIPY_DATA_PATH", "NIPY_USER_DIR", "NIPY_SYSTEM_DIR", "NIBABEL_DATA_CACHE", "HOME")
"""Variables that the measured processes get, each set to a directory of that name."""

FIRST = "the first time"
SECOND = "verify, second time"
AGAIN = "verify again"
COMMAND = "nibabel-data verify"
BEYOND = "beyond the start of Python"
SHA256SUM = "sha256sum"
HASHLIB = "hashlib, 1 thread"
STAT = "os.stat of each"

INSTALL = "nibabel-data install"
COPY = "cp -a, sha256sum"
COPY_HASHLIB = "cp -a, hashlib"
PEAK = "peak of install"
LIMIT = shown_bytes(MEMORY)

FETCH = "ds.fetch"
FETCH_CACHED = "ds.fetch, in the cache"
STAT_ONE = "os.stat"
FETCH_LARGE = "ds.fetch, large"
POOCH = "pooch.retrieve"

VERBS = ("verify", "install", "bundle", "build", "fetch", "remove")

# In the process itself: what it inherits from the one that started it would count with rusage.
MEASURED = """
import resource, sys
from nibabel_data.cli.main import main
if main(sys.argv[1:]):
    sys.exit('nibabel-data failed')
with open('/proc/self/status') as file:
    own = next(int(line.split()[1]) for line in file if line.startswith('VmHWM'))
print(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024)
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds of what is long and of what is short; and how much data, in bytes."""

    long: int
    processes: int
    calls: int
    verified: int
    installed: int
    fetched: int
    sizes: tuple[int, int]


FULL = Effort(3, 41, 101, 2000, 200, 1024 * MIB, (64 * MIB, 1024 * MIB))
QUICK = Effort(1, 2, 3, 2000 // 64, 200 // 64, 16 * MIB, (MIB, 16 * MIB))
VERIFIED = 2048 * MIB // FULL.verified
INSTALLED = 1024 * MIB // FULL.installed
"""Bytes of one file of those that are verified, and of those that are installed."""


def time_verify(effort: Effort, directory: Path) -> Times:
    environment = dict(os.environ)
    base = directory / "NIPY_DATA_PATH" / SPEC
    names = write_package(base, effort.verified, VERIFIED)
    places = [str(base / name) for name in names]
    sums = [SHA256SUM, *names]
    # The form is the same; that sha256sum agrees is what makes the comparison one.
    (base / MANIFEST).write_text(run(sums, environment, base), encoding="utf-8")
    os.sync()
    time.sleep(SETTLE)

    def verify(hashed: int) -> None:
        result = verify_directory(base)
        done = (result.ok, result.checked, result.hashed)
        check(done == (True, len(names), hashed), f"{hashed} files are hashed, and all are right")

    again = partial(verify, 0)
    times = take_turns(
        {
            FIRST: partial(verify, len(names)),
            SECOND: again,
            SHA256SUM: partial(run, sums, environment, base),
            HASHLIB: lambda: [hash_file(place) for place in places],
        },
        effort.long,
        before={FIRST: forget},
    )
    command, bare = data_command("verify", SPEC), python("pass")
    check("unchanged" in run(command, environment, directory), "the command hashes nothing again")
    times |= take_turns(
        {
            AGAIN: again,
            STAT: lambda: [os.stat(place) for place in places],
            COMMAND: partial(run, command, environment, directory),
            BARE: partial(run, bare, environment, directory),
        },
        effort.processes,
    )
    # Python's start is taken away round by round, so that what remains has rounds as well.
    pairs = zip(times[COMMAND], times[BARE], strict=True)
    return times | {BEYOND: [whole - start for whole, start in pairs]}


def forget() -> None:
    shutil.rmtree(os.environ["NIBABEL_DATA_CACHE"])


def time_install(effort: Effort, directory: Path) -> Times:
    environment = dict(os.environ)
    source, root = directory / "source" / SPEC, directory / "NIPY_DATA_PATH"
    names = write_package(source, effort.installed, INSTALLED)
    os.sync()
    copied = directory / "copied"
    peaks: list[float] = []

    def install() -> None:
        peaks.append(peak(directory, "install", source, "--root", root))

    def copy(hashed: Callable[[], object]) -> None:
        run(["cp", "-a", str(source), str(copied)], environment, directory)
        hashed()

    def clear() -> None:  # what is removed at once is never written to the disk
        for place in (root / SPEC, copied):
            shutil.rmtree(place, ignore_errors=True)
        # A virtual machine may have to ask its host for memory: nobody is to pay that for others.
        shutil.copytree(source, copied)
        shutil.rmtree(copied)

    times = take_turns(
        {
            INSTALL: install,
            COPY: partial(copy, lambda: run([SHA256SUM, *names], environment, copied)),
            COPY_HASHLIB: partial(copy, lambda: [hash_file(copied / name) for name in names]),
        },
        effort.long,
        before=dict.fromkeys((INSTALL, COPY, COPY_HASHLIB), clear),
    )
    return times | {PEAK: [max(peaks)], LIMIT: [MEMORY]}


def time_fetch(effort: Effort, directory: Path) -> Times:
    import pooch

    base, far = directory / "NIPY_DATA_PATH" / SPEC, directory / "far"
    large = write_package(base, 1, effort.fetched)[-1]
    far.mkdir()
    (base / "small").write_bytes(b"small")
    digests = {name: hash_file(base / name) for name in (large, "small")}
    lines = [f"{name} sha256:{digest} {far.as_uri()}" for name, digest in digests.items()]
    lines.append(f"cached sha256:{digests['small']} {far.as_uri()}")
    write_file(base / REGISTRY, "\n".join(lines) + "\n")
    write_file(base / "config.ini", f"[DEFAULT]\nversion = 0.5\nurl = {far.as_uri()}\n")
    registry = read_registry(str(base))
    assert registry is not None
    cached = write_file(Path(overlay_dir(registry)) / "cached", "small")
    time.sleep(SETTLE)
    ds = VersionedDatasource(base)
    small = str(base / "small")
    check(str(ds.fetch("small")) == small, "the file is in the package")
    check(str(ds.fetch("cached")) == cached, "the file is in the cache")
    short = {
        FETCH: lambda: ds.fetch("small"),
        FETCH_CACHED: lambda: ds.fetch("cached"),
        STAT_ONE: lambda: os.stat(small),
    }
    retrieve = partial(
        pooch.retrieve, (far / large).as_uri(), f"sha256:{digests[large]}", large, base
    )
    times = take_turns(short, effort.calls, repeats=20)
    return times | take_turns({FETCH_LARGE: lambda: ds.fetch(large), POOCH: retrieve}, effort.long)


def measure_memory(effort: Effort, directory: Path) -> Times:
    peaks: Times = {verb: [] for verb in VERBS}
    root, out = directory / "NIPY_DATA_PATH", directory / "out"
    for size in effort.sizes:
        base, thin = root / SPEC, root / THIN
        names = write_package(base, 1, size)
        manifest = manifest_text(hash_files(str(base), names))
        (base / MANIFEST).write_text(manifest, encoding="utf-8")
        write_file(thin / "config.ini", "[DEFAULT]\nversion = 0.5\nregistry = registry.txt\n")
        url = (base / names[-1]).as_uri()
        write_file(thin / REGISTRY, f"large sha256:{hash_file(base / names[-1])} {url}\n")
        verbs: dict[str, tuple[str | Path, ...]] = {
            "verify": (SPEC, "--full"),
            "install": (base, "--root", out),
            "bundle": (SPEC, "-o", out / "bundle.zip"),
            "build": (base, "-o", out),
            "fetch": (THIN,),
            "remove": (SPEC,),
        }
        for verb in VERBS:
            out.mkdir()
            peaks[verb].append(peak(directory, verb, *verbs[verb]))
            shutil.rmtree(out)
        check((thin / "large").stat().st_size == size, "the file is fetched")
        check(not base.exists(), "the package is removed")
        shutil.rmtree(thin)
    return peaks


def peak(directory: Path, *arguments: str | Path) -> float:
    """Run ``nibabel-data`` with some arguments; return the most memory it took, in bytes."""
    command = python(MEASURED, *map(str, arguments))
    return float(run(command, os.environ, directory).splitlines()[-1])


WORKERS = {
    "verify": time_verify,
    "install": time_install,
    "fetch": time_fetch,
    "memory": measure_memory,
}


def write_package(base: Path, count: int, size: int) -> list[str]:
    """Write a package of `count` files of `size` bytes; return the names of all its files."""
    write_file(
        base / "config.ini",
        "[DEFAULT]\nversion = 0.5\nname = Atlas\nlicense = CC0-1.0\n",
    )
    write_file(base / "LICENSE", "CC0-1.0\n")
    block = os.urandom(MIB)
    names = [f"part{number // 100:02}/{number:04}.bin" for number in range(count)]
    for number, name in enumerate(names):
        place = base / name
        place.parent.mkdir(exist_ok=True)
        with open(place, "wb") as file:
            for begin in range(0, size, MIB):
                piece = b"%08d%08d" % (number, begin // MIB) + block[16:]
                file.write(piece[: size - begin])
    return sorted(["config.ini", "LICENSE", *names])


def measure(quick: bool) -> list[Row]:
    check(os.path.exists("/proc/self/status"), "the system says how much memory a process takes")
    check(bool(shutil.which(SHA256SUM) and shutil.which("cp")), "sha256sum and cp are there")
    return rows_of(QUICK if quick else FULL, *(in_directory(name, quick) for name in WORKERS))


def in_directory(name: str, quick: bool) -> Times:
    """Run one of `WORKERS` in a directory that has room for it."""
    needed = FREE // 64 if quick else FREE
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary).resolve()
        free = shutil.disk_usage(directory).free
        check(free >= needed, f"{shown_bytes(needed)} are free in {directory.parent}")
        return in_worker(__file__, name, quick, isolated(directory, GIVEN), directory)


def rows_of(
    effort: Effort, verify: Times, install: Times, fetch: Times, memory: Times
) -> list[Row]:
    first = f"verify, {shown_bytes(effort.verified * VERIFIED)} in {effort.verified:,} files"
    again = "verify again, unchanged"
    copy = f"install, {shown_bytes(effort.installed * INSTALLED)} in {effort.installed} files"
    one = f"ds.fetch, file of {shown_bytes(effort.fetched)} in the package"
    small, large = map(shown_bytes, effort.sizes)
    return [
        compare(first, verify, FIRST, SHA256SUM, 1 / (0.9 * workers(None))),
        compare(first, verify, FIRST, HASHLIB),
        compare(again, verify, SECOND, FIRST, 1 / 50),
        compare(again, verify, AGAIN, STAT, 3),
        compare("the command again, without Python's start", verify, BEYOND, STAT, 3),
        compare("the command again", verify, COMMAND, BARE),
        compare(copy, install, INSTALL, COPY, 1.15),
        compare(copy, install, INSTALL, COPY_HASHLIB),
        compare(f"{copy}, memory", install, PEAK, LIMIT, 1, "B"),
        compare("ds.fetch, file in the package", fetch, FETCH, STAT_ONE, 10),
        compare("ds.fetch, file in the cache", fetch, FETCH_CACHED, STAT_ONE, 10),
        compare(one, fetch, FETCH_LARGE, POOCH),
        *(
            compare(
                f"{verb}, memory for a file of {large}",
                {verb: [memory[verb][1]], small: [memory[verb][0]]},
                verb,
                small,
                1.2,
                "B",
            )
            for verb in VERBS
        ),
    ]


def tools() -> dict[str, object]:
    """Return which code the hashes come from, on which most figures depend."""
    line = subprocess.run([SHA256SUM, "--version"], capture_output=True, text=True, check=True)
    return {"hashlib": ssl.OPENSSL_VERSION, SHA256SUM: line.stdout.partition("\n")[0]}


BENCHMARK = Benchmark(
    script=Path(__file__),
    summary=(__doc__ or "").partition("\n")[0],
    measure=measure,
    workers=WORKERS,
    full=FULL,
    quick=QUICK,
    versions=("nibabel-data", "pooch", "hatchling"),
    facts=tools,
)

if __name__ == "__main__":
    main(BENCHMARK)
