"""Building under fire, with the real engine: what may happen to a person, each done for real."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError, DataWarning
from nibabel_data.mechanisms import store
from nibabel_data.mechanisms.mechanism import Mechanism

from ..conftest import NOBODY
from .compilers import (
    OBTAIN,
    Compiler,
    copying_compiler,
    mechanism,
    needs_compiler,
    obtain,
    quick_compiler,
    run_in_neuron,
    start,
)
from .conftest import PAS

pytestmark = needs_compiler

C_ERROR = PAS + "VERBATIM\n  int x = no_such_name;\nENDVERBATIM\n"
NAME = "glia__lab__Pas__0"


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    monkeypatch.setattr(store, "_temporary", None)
    compiler = quick_compiler(tmp_path / "compiler")
    monkeypatch.setenv("CXX", str(compiler.path))
    return compiler


@pytest.fixture
def copying(tmp_path: Path, pas_library: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """Choose a compiler that takes no time and makes the real library of `PAS`."""
    compiler = copying_compiler(tmp_path / "copying", pas_library)
    monkeypatch.setenv("CXX", str(compiler.path))
    return compiler


@pytest.fixture
def pas(tmp_path: Path) -> Mechanism:
    return mechanism(tmp_path / "Pas.mod")


# --- no compiler ------------------------------------------------------------------------------


def test_no_compiler_and_then_there_is_one(
    pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, path = os.environ["CXX"], os.environ["PATH"]
    (tmp_path / "empty").mkdir()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for _ in range(2):
        with pytest.raises(BuildError, match=r"no compiler for C\+\+[^$]*apt install g\+\+"):
            obtain(pas)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("CXX", chosen)
    run_in_neuron((obtain(pas), NAME), directory=tmp_path)


def test_a_launcher_before_the_compiler_and_no_environment(
    pas: Mechanism, tmp_path: Path, quick: Compiler
) -> None:
    launcher = tmp_path / "my launcher"
    launcher.write_text('#!/bin/sh\nexec "$@"\n')
    launcher.chmod(0o755)
    only = tmp_path / "only"  # no python, make, perl, nrnivmodl
    only.mkdir()
    for name in ("sh", "g++", "as", "ld"):
        os.symlink(str(shutil.which(name)), only / name)
    process = subprocess.run(
        [sys.executable, "-c", OBTAIN, pas.path],
        env={
            "PATH": str(only),
            "CXX": f"'{launcher}' {quick.path} -O0",
            "NIBABEL_DATA_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    run_in_neuron((Path(process.stdout.strip()), NAME), directory=tmp_path)


# --- sources that do not build ----------------------------------------------------------------


def test_a_bad_source_is_compiled_once_and_blocks_no_other(
    pas: Mechanism, tmp_path: Path, quick: Compiler
) -> None:
    bad = mechanism(tmp_path / "Bad.mod", C_ERROR)
    with pytest.raises(BuildError, match=r"glia__lab__Bad__0 does not build \(package lab\)") as e:
        obtain(bad)
    assert f"{bad.path}, line 23\n  'no_such_name' was not declared" in str(e.value)
    runs = quick.runs
    with pytest.raises(BuildError) as again:
        obtain(bad)
    assert str(again.value) == str(e.value)
    assert quick.runs == runs
    good = obtain(pas)
    mechanism(tmp_path / "Bad.mod")
    run_in_neuron((good, NAME), (obtain(bad), "glia__lab__Bad__0"), directory=tmp_path)


def test_a_header_of_a_library_may_be_installed_later(tmp_path: Path) -> None:
    text = PAS + "VERBATIM\n#include <lab_later.h>\nENDVERBATIM\n"
    one = mechanism(tmp_path / "Pas.mod", text)
    with pytest.raises(BuildError, match=r"lab_later\.h: No such file[^$]*Install what it needs"):
        obtain(one)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "lab_later.h").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CPATH", str(tmp_path / "include"))
        assert obtain(one).exists()


def test_sources_as_people_write_them_are_built_and_inserted(tmp_path: Path) -> None:
    rates = "FUNCTION rates(x) { rates = x }\n"
    calls = "PROCEDURE p() {\nVERBATIM\n  rates_NAME(_threadargscomma_ 1.);\nENDVERBATIM\n}\n"
    (tmp_path / "common" / "deeper").mkdir(parents=True)
    (tmp_path / "common" / "x.inc").write_text('INCLUDE "deeper/naïve.inc"\n')
    (tmp_path / "common" / "deeper" / "naïve.inc").write_text(rates)
    mods = tmp_path / "mods"
    mods.mkdir()
    (mods / "x.h").write_text("#define ONE 1.\n")
    header = 'VERBATIM\n#include "x.h"\nstatic double one = ONE;\nENDVERBATIM\n'
    nameless = PAS.replace("    SUFFIX NAME\n", "")
    made = [
        mechanism(mods / "In.mod", PAS + 'INCLUDE "../common/x.inc"\n'),
        mechanism(mods / "Head.mod", PAS + header),
        mechanism(mods / "Accent.mod", ": Müller, 5 µm² “α”\n" + PAS),
        mechanism(mods / "Crlf.mod", PAS.replace("\n", "\r\n")),
        mechanism(mods / "Nameless.mod", nameless),
        mechanism(mods / "Calls.mod", PAS + rates + calls),
        mechanism(mods / "has-a hyphen.v2.mod", nameless),
        mechanism(mods / "other" / "In.mod", PAS, package="other_lab"),
    ]
    built = [(obtain(one, precompiled=True), one.name) for one in made]
    run_in_neuron(*built, directory=tmp_path)
    before = obtain(made[1])
    (mods / "x.h").write_text("#define ONE 1.5\n")
    assert obtain(made[1]) != before
    assert obtain(made[0]) == built[0][0]


# --- many at once -----------------------------------------------------------------------------


def whole_and_same(outputs: list[tuple[str, str]], library: bytes) -> None:
    assert [err for _, err in outputs] == [""] * len(outputs)
    assert {Path(out.strip()).read_bytes() for out, _ in outputs} == {library}


def nothing_staged(cache: Path) -> bool:
    return not any("staging" in path.name for path in cache.rglob("*"))


def test_sixteen_at_first_use_with_the_real_compiler(
    pas: Mechanism, tmp_path: Path, quick: Compiler
) -> None:
    outputs = [p.communicate(timeout=120) for p in [start(pas.path) for _ in range(16)]]
    (path,) = {out for out, _ in outputs}
    whole_and_same(outputs, Path(path.strip()).read_bytes())
    assert quick.runs <= 2
    run_in_neuron((Path(path.strip()), NAME), directory=tmp_path)


@pytest.mark.parametrize("locks", ["true", "always succeed"])
def test_sixteen_at_first_use_again_and_again(
    locks: str, pas: Mechanism, pas_library: Path, copying: Compiler, tmp_path: Path
) -> None:
    """Twenty times in all; correctness must not rest on locks."""
    environment: dict[str, str | Path] = {}
    if locks != "true":
        (tmp_path / "fake").mkdir()
        (tmp_path / "fake" / "filelock.py").write_text(
            "class Timeout(TimeoutError): pass\n"
            "class FileLock:\n"
            "    def __init__(self, path): pass\n"
            "    def acquire(self, timeout): pass\n"
            "    def release(self): pass\n"
        )
        environment["PYTHONPATH"] = tmp_path / "fake"
    for number in range(10):
        cache, before = tmp_path / f"cache{number}", copying.runs
        more = {**environment, "NIBABEL_DATA_CACHE": cache}
        started = [start(pas.path, **more) for _ in range(16)]
        whole_and_same([p.communicate(timeout=60) for p in started], pas_library.read_bytes())
        assert nothing_staged(cache)
        if locks == "true":
            assert copying.runs - before <= 2


# --- killed -----------------------------------------------------------------------------------


def kill(process: subprocess.Popen[str], *, group: bool) -> None:
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def no_half_library(cache: Path, library: bytes | None) -> bool:
    """Return whether there is one, having seen that what is there is whole."""
    found = [p for p in cache.rglob("mechanism.so") if "staging" not in str(p)]
    for path in found:
        assert (path.parent / "build.json").exists()
        assert library is None or path.read_bytes() == library
    return bool(found)


@pytest.mark.usefixtures("copying")
def test_killed_at_any_moment(pas: Mechanism, pas_library: Path, own_cache: Path) -> None:
    cache = own_cache
    begun = time.monotonic()
    assert start(pas.path).communicate()[1] == ""
    lasts, content = time.monotonic() - begun, pas_library.read_bytes()
    dice, seen = random.Random(20261121), set()
    for number in range(30):
        if no_half_library(cache, content):
            shutil.rmtree(cache)
        process = start(pas.path)
        time.sleep(lasts * (0.3 + 0.9 * dice.random()))
        kill(process, group=bool(number % 2))
        seen.add(no_half_library(cache, content))
    assert len(seen) == 2, "the moments were all too early, or all too late"
    shutil.rmtree(cache, ignore_errors=True)
    process = start(pas.path)  # and one that is surely half way
    while not any("staging" in path.name for path in cache.rglob("*")):
        time.sleep(0.005)
    kill(process, group=True)
    assert not nothing_staged(cache)
    out, err = start(pas.path).communicate(timeout=60)
    assert err == ""
    assert Path(out.strip()).read_bytes() == content
    assert nothing_staged(cache)


def test_the_real_compiler_is_killed(pas: Mechanism, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for seconds in (0.3, 0.6):
        process = start(pas.path)
        time.sleep(seconds)
        kill(process, group=True)
        no_half_library(cache, None)
    run_in_neuron((obtain(pas), NAME), directory=tmp_path)
    assert nothing_staged(cache)


def test_only_the_compiler_is_killed(
    pas: Mechanism, tmp_path: Path, quick: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = Compiler(tmp_path / "victim", "kill -9 $$\n")
    monkeypatch.setenv("CXX", str(victim.path))
    with pytest.raises(BuildError, match="free memory or disk space"):
        obtain(pas)
    monkeypatch.setenv("CXX", str(quick.path))
    assert obtain(pas).exists()


# --- what lies about --------------------------------------------------------------------------


def test_a_stale_lock(pas: Mechanism, copying: Compiler) -> None:
    first = obtain(pas)
    shutil.rmtree(first.parent)
    (first.parents[1] / ".lock").write_text("4194303 a process of last year")
    begun = time.monotonic()
    assert obtain(pas) == first
    assert time.monotonic() - begun < 10


def test_a_lock_that_cannot_be_one(pas: Mechanism, copying: Compiler) -> None:
    first = obtain(pas)
    shutil.rmtree(first.parent)
    lock = first.parents[1] / ".lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    assert obtain(pas) == first


def test_neuron_never_sees_a_library_that_is_damaged(pas: Mechanism, copying: Compiler) -> None:
    path = obtain(pas)
    whole = path.read_bytes()
    os.truncate(path, len(whole) // 2)  # NEURON would end with a bus error
    assert run_and_insert(pas.path)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 3] ^= 4
    path.write_bytes(flipped)
    assert run_and_insert(pas.path)
    path.unlink()
    assert run_and_insert(pas.path)


def run_and_insert(path: str) -> bool:
    code = (
        "import sys; from neuron import h\n"
        "from nibabel_data.mechanisms import engine\n"
        "from nibabel_data.mechanisms.mechanism import Mechanism\n"
        "engine.load(Mechanism('lab', 'Pas', '0', sys.argv[1]))\n"
        f"h.Section().insert('{NAME}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return True


# --- no room, no permission -------------------------------------------------------------------


UNPRIVILEGED = """
import os, sys, warnings
from nibabel_data.mechanisms import library
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.source import prepare
pas, cache, user = sys.argv[1:]
source, tools = prepare(Mechanism("lab", "Pas", "0", pas)), library.toolchain()
library.obtain(source, tools)  # all is imported: an interpreter of root's may be root's alone
import shutil, tempfile
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
os.environ["NIBABEL_DATA_CACHE"] = cache
warnings.simplefilter("always")
path = library.obtain(source, tools)
assert library.obtain(source, tools) == path
print(path, os.path.getsize(path))
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions of this kind are POSIX's")
def test_a_home_and_a_cache_that_cannot_be_written(pas_library: Path, public_tmp: Path) -> None:
    for name in ("home", "cache"):
        (public_tmp / name).mkdir(mode=0o555)
    for name in ("tmp", "copying"):
        (public_tmp / name).mkdir()
        (public_tmp / name).chmod(0o777)
    shutil.copyfile(pas_library, public_tmp / "for-all.so")
    compiler = copying_compiler(public_tmp / "copying", public_tmp / "for-all.so")
    one = mechanism(public_tmp / "Pas.mod")
    environment = {
        "HOME": str(public_tmp / "home"),
        "TMPDIR": str(public_tmp / "tmp"),
        "CXX": f"sh {compiler.path}",
    }
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, one.path, str(public_tmp / "cache"), str(NOBODY)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if "nocmodl: permission denied" in done.stderr:
        pytest.skip("NEURON is not for every user here")
    assert done.returncode == 0, done.stderr
    path, size = done.stdout.split()
    assert Path(path).is_relative_to(public_tmp / "tmp")
    assert int(size) == pas_library.stat().st_size
    assert len(re.findall(r"cannot write in the cache .*permission denied", done.stderr)) == 1
    assert os.listdir(public_tmp / "tmp") == []  # removed at exit
    assert os.listdir(public_tmp / "cache") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 400 kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("free", [0, 48, 120])
def test_a_full_disk(
    free: int, small_disk: Path, pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(small_disk))
    with open(small_disk / "full", "wb") as file:
        file.write(b"x" * ((400 - free) * 1024))
    with pytest.raises(BuildError, match=r"(?i)no space left|Make room|free memory"):
        obtain(pas)
    assert not list(small_disk.rglob("failure.json"))
    assert not list(small_disk.rglob("mechanism.so"))
    assert nothing_staged(small_disk)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    if free == 120:
        run_in_neuron((obtain(pas), NAME), directory=tmp_path)


# --- another NEURON ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def neuron8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which NEURON 8.2.6 is installed, for ``PYTHONPATH``.

    ``NIBABEL_DATA_TEST_NEURON8`` names one; else pip is asked for it.
    """
    named = os.environ.get("NIBABEL_DATA_TEST_NEURON8")
    if named:
        return Path(named)
    target = tmp_path_factory.mktemp("neuron8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--retries=1", "--timeout=15", "--target", str(target)]
    command += ["neuron==8.2.6", "numpy<2", "find_libpython", "packaging", "setuptools<81"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if result.returncode:
        pytest.skip(f"pip cannot install neuron==8.2.6: {result.stderr.strip()[-200:]}")
    return target


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_neuron_8_in_c(
    neuron8: Path, pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(neuron8))
    out, err = start(pas.path).communicate(timeout=120)
    assert err == ""
    path = Path(out.strip())
    assert "neuron-8.2.6-" in str(path)
    run_in_neuron((path, NAME), directory=tmp_path)
    bad = mechanism(tmp_path / "bad" / "Pas.mod", C_ERROR)
    _, err = start(bad.path).communicate(timeout=120)
    assert re.search(r"bad/Pas\.mod, line 23\n.*no_such_name", err), err
    monkeypatch.delenv("PYTHONPATH")
    assert "neuron-8" not in str(obtain(pas))


# --- warnings ---------------------------------------------------------------------------------


def test_no_warning_where_all_is_well(pas: Mechanism, recwarn: pytest.WarningsRecorder) -> None:
    obtain(pas)
    assert not [w for w in recwarn if issubclass(w.category, DataWarning)]
