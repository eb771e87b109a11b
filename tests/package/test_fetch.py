from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from nibabel_data import (
    ConfigError,
    DataError,
    MissingFileError,
    VersionedDatasource,
    make_datasource,
)
from nibabel_data.cli.main import main
from nibabel_data.package import download, fetch, partial, transport
from nibabel_data.package.fetch import Fetched, fetch_file, fetch_package, is_offline
from nibabel_data.package.registry import Entry, read_registry
from nibabel_data.package.stamps import Stamps

from ..conftest import MakePackage, run_python
from ..test_silence import WATCH
from .killed import forking
from .thin import make_thin, overlay_of, put_into_overlay
from .web import Handler, Web, serve

pytest.importorskip("requests", reason="pip install 'nibabel-data[fetch]'")

T1 = "ICBM152/2mm/T1.nii.gz"
CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(transport, "LONGEST_WAIT", 0.05)
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NIBABEL_DATA_OFFLINE", raising=False)


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as server:
        server.files[T1] = CONTENT
        yield server


@pytest.fixture
def thin(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that makes a thin package of one file, and returns its directory."""

    def make(*urls: str, content: bytes = CONTENT, root: str = "root", version: str = "1") -> Path:
        base = [url for url in urls if url.endswith("/")]
        config = f"[DEFAULT]\nversion = {version}\nregistry = registry.txt\nurl = {' '.join(base)}"
        top = make_package(root, config=config, files=("here.txt",))
        own = [url for url in urls if not url.endswith("/")]
        line = " ".join([T1, sha256(content), *own])
        (top / "nipy" / "templates" / "registry.txt").write_text(f"{line}\n")
        monkeypatch.setenv("NIPY_DATA_PATH", str(top))
        return top / "nipy" / "templates"

    return make


def strays(base: Path) -> list[str]:
    return [path.name for path in base.rglob(".*")]


# ---- the ordinary cases


def test_a_file_is_fetched_once(web: Web, thin: Callable[..., Path]) -> None:
    base = thin(web.url())
    package = make_datasource("nipy/templates")
    assert package.fetch("ICBM152", "2mm", "T1.nii.gz") == base / T1
    assert (base / T1).read_bytes() == CONTENT
    assert package.fetch(T1) == package.path(T1, must_exist=True) == base / T1
    assert fetch_file(base, T1) == base / T1
    assert web.count == {T1: 1}
    assert strays(base) == []


def test_a_file_that_is_there_is_proof_enough(web: Web, thin: Callable[..., Path]) -> None:
    base = thin(web.url())
    package = VersionedDatasource(base)
    (base / "registry.txt").write_text("nonsense")
    assert package.fetch("here.txt") == base / "here.txt"
    assert web.count == {}


def test_a_file_that_is_there_is_not_read_again(
    thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = VersionedDatasource(thin("http://127.0.0.1:9/"))
    package.fetch("here.txt")  # loads what it needs
    monkeypatch.setattr("builtins.open", lambda path, *_: pytest.fail(f"opened {path}"))
    monkeypatch.setattr(os, "open", lambda path, *_: pytest.fail(f"opened {path}"))
    assert package.fetch("here.txt").name == "here.txt"


@pytest.mark.parametrize("parts", [("nothing.txt",), ("..", "x"), ("ICBM152",), ("sub",), ()])
def test_what_is_not_in_the_registry(parts: tuple[str, ...], thin: Callable[..., Path]) -> None:
    base = thin("http://127.0.0.1:9/")
    (base / "sub").mkdir()
    with pytest.raises(DataError):
        VersionedDatasource(base).fetch(*parts)


def test_errors_name_the_next_command(thin: Callable[..., Path]) -> None:
    package = VersionedDatasource(thin("http://127.0.0.1:9/"))
    with pytest.raises(MissingFileError, match=f"\n    nibabel-data fetch nipy/templates {T1}$"):
        package.path(T1, must_exist=True)
    with pytest.raises(MissingFileError, match=r"not fetched yet:\n\n .* nipy/templates ICBM152$"):
        package.path("ICBM152", must_exist=True)
    for call in (package.fetch, lambda name: package.path(name, must_exist=True)):
        with pytest.raises(MissingFileError, match=f"did you mean '{T1}'"):
            call("ICBM152/T1.nii.gz")


def test_an_ordinary_package(make_package: MakePackage) -> None:
    base = make_package(files=("a.txt",)) / "nipy" / "templates"
    package = VersionedDatasource(base)
    assert package.fetch("a.txt") == base / "a.txt"
    with pytest.raises(MissingFileError, match="no file 'b' in the package"):
        package.fetch("b")
    assert fetch_package(base) == []


def test_modes_follow_the_umask(web: Web, thin: Callable[..., Path]) -> None:
    for mask, content in ((0o022, CONTENT), (0o007, OTHER)):
        web.files[T1] = content
        base = thin(web.url(), content=content, root=f"root{mask}")
        before = os.umask(mask)
        try:
            fetch_file(base, T1)
        finally:
            os.umask(before)
        assert (base / T1).stat().st_mode & 0o777 == 0o666 & ~mask
        assert (base / T1).parent.stat().st_mode & 0o777 == 0o777 & ~mask


def test_other_hashes(web: Web, thin: Callable[..., Path]) -> None:
    base = thin()
    line = f"{T1} md5:{hashlib.md5(CONTENT).hexdigest()} {web.url(T1)}"
    (base / "registry.txt").write_text(line)
    assert fetch_file(base, T1).read_bytes() == CONTENT
    (base / T1).unlink()
    (base / "registry.txt").write_text(line.replace("md5:", "md5:").replace(line.split()[1], "x"))
    with pytest.raises(ConfigError, match="line 1"):
        fetch_file(base, T1)


def test_file_urls_need_no_network(tmp_path: Path, thin: Callable[..., Path]) -> None:
    mirror = tmp_path / "a mirror" / T1
    mirror.parent.mkdir(parents=True)
    mirror.write_bytes(CONTENT)
    base = thin((tmp_path / "a mirror").as_uri() + "/")
    assert fetch_file(base, T1, offline=True).read_bytes() == CONTENT
    (base / T1).unlink()
    mirror.unlink()
    with pytest.raises(MissingFileError, match="no such file"):
        fetch_file(base, T1)
    base = thin(f"file://elsewhere/{T1}", root="second")
    with pytest.raises(MissingFileError, match="names no host: elsewhere"):
        fetch_file(base, T1)


def test_progress_counts_bytes(web: Web, thin: Callable[..., Path]) -> None:
    pieces: list[int] = []
    VersionedDatasource(thin(web.url())).fetch(T1, progress=pieces.append)
    assert sum(pieces) == len(CONTENT)
    assert len(pieces) > 1


def test_memory_does_not_grow_with_the_file(web: Web, thin: Callable[..., Path]) -> None:
    content = random.Random(2).randbytes(1 << 20) * 32
    web.files[T1] = content
    base = thin(web.url(), content=content)
    fetch_package(base, ["here.txt"])
    tracemalloc.start()
    try:
        fetch_file(base, T1)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# ---- mirrors, retries


def test_mirrors_in_turn(web: Web, thin: Callable[..., Path]) -> None:
    base = thin("http://127.0.0.1:9/refused", web.url("missing"), web.url(T1))
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert web.count == {"missing": 1, T1: 1}


def test_base_urls_are_mirrors_too(web: Web, thin: Callable[..., Path]) -> None:
    base = thin(web.url("nothing/"), web.url())
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert web.count == {f"nothing/{T1}": 1, T1: 1}


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_plain_no_is_not_asked_again(status: int, web: Web, thin: Callable[..., Path]) -> None:
    web.faults[T1] = lambda handler, number: handler.answer(status, b"")
    with pytest.raises(MissingFileError, match=f"{T1}: {status} "):
        fetch_file(thin(web.url()), T1)
    assert web.count == {T1: 1}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, web: Web, thin: Callable[..., Path]) -> None:
    def busy(handler: Handler, number: int) -> object:
        wait = {"Retry-After": ("3600", "Fri, 01 Jan 2100 00:00:00 GMT", "?")[number % 3]}
        return number < 4 and handler.answer(status, b"busy", wait)

    web.faults[T1] = busy
    assert fetch_file(thin(web.url()), T1).read_bytes() == CONTENT
    assert web.count == {T1: 4}


def test_retries_end(web: Web, thin: Callable[..., Path]) -> None:
    web.faults[T1] = lambda handler, number: handler.answer(503, b"")
    with pytest.raises(MissingFileError, match="503 Service Unavailable"):
        fetch_file(thin(web.url()), T1)
    assert web.count == {T1: download.ROUNDS}


def test_a_silent_server(
    web: Web, thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", (0.1, 0.1))
    monkeypatch.setattr(download, "ROUNDS", 2)
    web.faults[T1] = lambda handler, number: time.sleep(0.3)
    with pytest.raises(MissingFileError, match=r"no answer within 0\.1 seconds"):
        fetch_file(thin(web.url()), T1)


def test_endless_redirects(web: Web, thin: Callable[..., Path]) -> None:
    web.faults[T1] = lambda handler, number: handler.answer(302, b"", {"Location": f"/{T1}"})
    with pytest.raises(MissingFileError, match="more than 10 redirects"):
        fetch_file(thin(web.url()), T1)
    assert web.count[T1] <= 12


def test_a_redirect(web: Web, thin: Callable[..., Path]) -> None:
    web.faults["old"] = lambda handler, number: handler.answer(301, b"", {"Location": f"/{T1}"})
    assert fetch_file(thin(web.url("old")), T1).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://[", "http:///x", "http://a b/", "nonsense:x", "file:\\"])
def test_urls_that_are_none(url: str, thin: Callable[..., Path]) -> None:
    base = thin()
    (base / "registry.txt").write_text(f"{T1} {sha256(CONTENT)} '{url}'")
    with pytest.raises(DataError):
        fetch_file(base, T1)


def test_a_proxy(web: Web, thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url())
    there = "http://data.invalid/T1"
    web.files[there] = CONTENT
    assert fetch_file(thin(there), T1).read_bytes() == CONTENT
    assert web.count == {there: 1}


# ---- wrong content


def test_a_wrong_hash(web: Web, thin: Callable[..., Path]) -> None:
    web.files[T1] = OTHER
    base = thin(web.url())
    with pytest.raises(MissingFileError) as caught:
        fetch_file(base, T1)
    for part in (web.url(T1), sha256(CONTENT), sha256(OTHER), "300000 bytes"):
        assert part in str(caught.value)
    assert web.count == {T1: 1}
    assert not (base / T1).exists()
    assert strays(base) == []


def test_a_wrong_mirror_before_a_right_one(web: Web, thin: Callable[..., Path]) -> None:
    web.files["wrong"] = OTHER
    assert fetch_file(thin(web.url("wrong"), web.url(T1)), T1).read_bytes() == CONTENT


def test_an_error_page_with_status_200(web: Web, thin: Callable[..., Path]) -> None:
    page = {"Content-Type": "text/html; charset=utf-8"}
    web.faults[T1] = lambda handler, number: handler.answer(200, b"<h1>Sorry</h1>", page)
    base = thin(web.url())
    with pytest.raises(MissingFileError, match=r"14 bytes with sha256 .* \(a web page\)"):
        fetch_file(base, T1)
    assert not (base / T1).exists()


def test_a_file_that_is_declared_as_encoded_is_not_unpacked(
    web: Web, thin: Callable[..., Path]
) -> None:
    import gzip

    packed = gzip.compress(CONTENT)
    web.faults[T1] = lambda handler, number: handler.answer(
        200, packed, {"Content-Encoding": "gzip"}
    )
    assert fetch_file(thin(web.url(), content=packed), T1).read_bytes() == packed


@pytest.mark.parametrize("length", [0, 1000, 299_999])
def test_a_length_that_is_too_small(length: int, web: Web, thin: Callable[..., Path]) -> None:
    lie = {"Content-Length": str(length)}
    web.faults[T1] = lambda handler, number: handler.answer(200, CONTENT, lie, cut=10**9)
    base = thin(web.url())
    with pytest.raises(MissingFileError, match=f"{length} bytes with sha256"):
        fetch_file(base, T1)
    assert not (base / T1).exists()
    del web.faults[T1]
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert strays(base) == []


@pytest.mark.parametrize("length", [300_001, 10**12])
def test_a_length_that_is_too_large(length: int, web: Web, thin: Callable[..., Path]) -> None:
    lie = {"Content-Length": str(length)}
    web.faults[T1] = lambda handler, number: handler.answer(200, CONTENT, lie, cut=10**9)
    base = thin(web.url())
    assert fetch_file(base, T1).read_bytes() == CONTENT  # the hash decides
    assert strays(base) == []


# ---- transfers that break off


def break_off(*after: int) -> Callable[[Handler, int], object]:
    """Return a fault: the first answers break off after so many bytes."""

    def fault(handler: Handler, number: int) -> object:
        if number > len(after):
            return False
        content = handler.server.files[handler.path[1:]]
        tag = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'} if handler.server.tags else {}
        return handler.answer(200, content, tag, cut=after[number - 1])

    return fault


@pytest.mark.parametrize("tags", [True, False])
def test_a_transfer_is_resumed(tags: bool, web: Web, thin: Callable[..., Path]) -> None:
    web.tags = tags
    web.faults[T1] = break_off(200_000)
    base = thin(web.url())
    assert fetch_file(base, T1).read_bytes() == CONTENT
    first, second = (headers for _, headers in web.requests)
    start = int(second["range"].removeprefix("bytes=").removesuffix("-"))
    assert 200_000 - transport.PIECE <= start <= 200_000
    assert "range" not in first
    assert ("if-range" in second) == tags
    assert strays(base) == []


def test_it_is_resumed_as_often_as_it_gets_on(web: Web, thin: Callable[..., Path]) -> None:
    content = CONTENT * 3

    def fault(handler: Handler, number: int) -> object:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        part = (
            {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        )
        return handler.answer(206 if start else 200, content[start:], part, cut=100_000)

    web.faults[T1] = fault
    assert fetch_file(thin(web.url(), content=content), T1).read_bytes() == content
    assert web.count[T1] > download.ROUNDS


def test_a_server_that_ignores_ranges(web: Web, thin: Callable[..., Path]) -> None:
    web.ranges = False
    web.faults[T1] = break_off(200_000)
    assert fetch_file(thin(web.url()), T1).read_bytes() == CONTENT
    assert web.count == {T1: 2}


@pytest.mark.parametrize("status", [206, 416])
def test_a_range_that_was_not_asked_for(status: int, web: Web, thin: Callable[..., Path]) -> None:
    def fault(handler: Handler, number: int) -> object:
        if number == 2:
            wrong = {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"}
            return handler.answer(status, CONTENT[5:], wrong)
        return break_off(100_000)(handler, number)

    web.faults[T1] = fault
    assert fetch_file(thin(web.url()), T1).read_bytes() == CONTENT
    assert "range" not in web.requests[2][1]


@pytest.mark.parametrize("tags", [True, False])
def test_a_file_that_changes_between_two_ranges(
    tags: bool, web: Web, thin: Callable[..., Path]
) -> None:
    web.tags = tags
    web.files[T1] = OTHER

    def fault(handler: Handler, number: int) -> object:
        if number == 1:
            return break_off(200_000)(handler, number)
        web.files[T1] = CONTENT
        return False

    web.faults[T1] = fault
    base = thin(web.url())
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert web.count == {T1: 2 if tags else 3}  # without a tag the hash tells
    assert strays(base) == []


def test_another_mirror_goes_on(web: Web, thin: Callable[..., Path]) -> None:
    web.files["first"] = CONTENT
    web.faults["first"] = break_off(*[200_000] * 9)
    assert fetch_file(thin(web.url("first"), web.url(T1)), T1).read_bytes() == CONTENT
    assert "range" in web.requests[1][1]
    assert "if-range" not in web.requests[1][1]  # a tag is the server's that gave it


def test_ctrl_c_leaves_a_partial_that_is_resumed(web: Web, thin: Callable[..., Path]) -> None:
    base = thin(web.url())
    arrived: list[int] = []

    def interrupt(size: int) -> None:
        arrived.append(size)
        if sum(arrived) > 150_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_file(base, T1, progress=interrupt)
    assert not (base / T1).exists()
    assert any(name.endswith(".part") for name in strays(base))
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert web.requests[1][1]["range"] == f"bytes={sum(arrived)}-"
    assert "if-range" in web.requests[1][1]
    assert strays(base) == []


# ---- partials of other processes


def part(base: Path, owner: str, pid: int, content: bytes) -> Path:
    path = base / f".nibabel-data.{sha256(CONTENT)[:16]}.{owner}-{pid}.abcd{len(content):x}.part"
    path.write_bytes(content)
    return path


@pytest.fixture
def gone() -> int:
    """Return the number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_largest_partial_of_dead_processes_is_resumed(
    web: Web, thin: Callable[..., Path], gone: int
) -> None:
    base, machine = thin(web.url()), partial._machine()
    for size in (100, 200_000, 5):
        part(base, machine, gone, CONTENT[:size])
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert web.requests[0][1]["range"] == "bytes=200000-"
    assert strays(base) == []


def test_a_whole_partial_needs_no_server(thin: Callable[..., Path], gone: int) -> None:
    base = thin("http://127.0.0.1:9/")
    part(base, partial._machine(), gone, CONTENT)
    assert fetch_file(base, T1).read_bytes() == CONTENT


def test_a_wrong_partial_is_thrown_away(web: Web, thin: Callable[..., Path], gone: int) -> None:
    base = thin(web.url())
    for content in (OTHER[:200_000], OTHER, OTHER + OTHER):
        part(base, partial._machine(), gone, content)
        assert fetch_file(base, T1).read_bytes() == CONTENT
        assert strays(base) == []
        (base / T1).unlink()


def test_a_partial_of_the_living_or_of_elsewhere_is_left_alone(
    web: Web, thin: Callable[..., Path]
) -> None:
    base = thin(web.url())
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        left = [
            part(base, partial._machine(), process.pid, CONTENT[:1000]),
            part(base, "elsewhere-7", process.pid, CONTENT[:2000]),
        ]
        old = part(base, "elsewhere-7", process.pid, CONTENT[:3000])
        os.utime(old, (1e9, 1e9))
        assert fetch_file(base, T1).read_bytes() == CONTENT
    finally:
        process.communicate(b"\n", timeout=10)
    assert [path.stat().st_size for path in left] == [1000, 2000]
    assert not old.exists()
    assert "range" not in web.requests[0][1]


def test_a_partial_that_is_a_link_is_not_followed(
    web: Web, thin: Callable[..., Path], gone: int, tmp_path: Path
) -> None:
    base = thin(web.url())
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = part(base, partial._machine(), gone, b"")
    path.unlink()
    path.symlink_to(victim)
    assert fetch_file(base, T1).read_bytes() == CONTENT
    assert victim.read_bytes() == b"precious"


# ---- many processes; killed ones

FETCH = """
import sys
from nibabel_data.package import download, fetch
download.FIRST_PAUSE = 0.01
if sys.argv[3] == 'fake lock':
    import filelock
    class Fake:
        def __init__(self, *args): pass
        def acquire(self, **options): pass
        def release(self): pass
    filelock.FileLock = Fake
print(fetch.fetch_file(sys.argv[1], sys.argv[2]).stat().st_size)
"""


def start(base: Path, lock: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FETCH, str(base), T1, lock],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("lock", ["real lock", "fake lock"])
def test_sixteen_processes(lock: str, web: Web, thin: Callable[..., Path]) -> None:
    web.pause = 0.3
    base = thin(web.url())
    processes = [start(base, lock) for _ in range(16)]
    results = [process.communicate(timeout=60) for process in processes]
    assert results == [(f"{len(CONTENT)}\n", "")] * 16
    assert (base / T1).read_bytes() == CONTENT
    assert strays(base) == []
    if lock == "real lock":
        assert web.count[T1] <= 3


def test_threads(web: Web, thin: Callable[..., Path]) -> None:
    web.pause = 0.05
    base = thin(web.url())
    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: fetch_file(base, T1), range(8)))
    assert places == {base / T1}
    assert (base / T1).read_bytes() == CONTENT
    assert web.count[T1] <= 3
    assert strays(base) == []


WORK = """
import filelock, requests
from nibabel_data.package import download, fetch
download.FIRST_PAUSE = 0.01
work = fetch.fetch_file
"""


def test_killed_at_random_moments(web: Web, thin: Callable[..., Path]) -> None:
    chance = random.Random(20)
    web.pause = 0.02
    content = CONTENT * 4
    web.files[T1] = content
    base = thin(web.url(), content=content)
    seen = set()
    with forking(WORK) as forks:
        for number in range(50):
            before, ends = len(web.requests), time.monotonic() + 10
            process = forks.start(base, T1)
            if number % 3:  # most of them while something arrives
                while len(web.requests) == before and time.monotonic() < ends:
                    time.sleep(0.001)
            forks.kill(process, chance.uniform(0, 0.2))
            seen.add((base / T1).exists())
            if (base / T1).exists():
                assert (base / T1).read_bytes() == content
                (base / T1).unlink()
            assert len(strays(base)) <= 2  # one partial, and what the server said of it
    assert seen == {True, False}
    resumed = sum("range" in headers for _, headers in web.requests)
    assert resumed >= 3
    assert fetch_file(base, T1).read_bytes() == content
    assert strays(base) == []


# ---- where nothing can be written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system of half a megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(web: Web, thin: Callable[..., Path], small_disk: Path) -> None:
    content = CONTENT * 4
    web.files[T1] = content
    base = thin(web.url(), content=content, root="small/root")
    with pytest.raises(DataError, match="cannot write .*: no space left on device"):
        fetch_file(base, T1)
    assert not (base / T1).exists()
    assert strays(base) == []
    assert sorted(path.name for path in base.iterdir()) == [
        "config.ini",
        "here.txt",
        "registry.txt",
    ]


def test_a_full_disk_by_errno(
    web: Web, thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def opened(path: str, mode: str = "r", **options: Any) -> Any:
        return Full(path, "x+") if mode == "x+b" else open(path, mode, **options)

    monkeypatch.setattr(partial, "open", opened, raising=False)
    base = thin(web.url())
    with pytest.raises(DataError, match="no space left on device"):
        fetch_file(base, T1)
    assert strays(base) == []
    monkeypatch.undo()
    assert fetch_file(base, T1).read_bytes() == CONTENT


def shut(path: Path) -> None:
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o555)


@pytest.fixture
def readonly(
    web: Web,
    public_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> Iterator[Path]:
    """Return a thin package that cannot be written, and a cache that can, as another user."""
    base = public_tmp / "root" / "nipy" / "templates"
    (base / "ICBM152").mkdir(parents=True)
    (base / "ICBM152" / "notes.txt").write_text("x")
    (base / "config.ini").write_text("[DEFAULT]\nversion = 1\nregistry = registry.txt\n")
    lines = [f"{T1} {sha256(CONTENT)} {web.url(T1)}"]
    lines += [f"{name} {sha256(b'data')} {web.url('d')}" for name in ("b.hdr", "b.img", ".dot")]
    (base / "registry.txt").write_text("\n".join(lines))
    web.files["d"] = b"data"
    cache = public_tmp / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(cache))
    monkeypatch.setenv("NIPY_DATA_PATH", str(public_tmp / "root"))
    shut(base)
    with unprivileged():
        yield base


def test_the_overlay(readonly: Path, web: Web) -> None:
    package = make_datasource("nipy/templates")
    assert package.get_filename(T1) == str(readonly / T1)
    place = package.fetch(T1)
    cache = Path(os.environ["NIBABEL_DATA_CACHE"])
    assert place.is_relative_to(cache / "overlay")
    assert place.read_bytes() == CONTENT
    assert package.fetch(T1) == package.path(T1, must_exist=True) == place
    assert package.get_filename(*T1.split("/")) == str(place)
    assert web.count == {T1: 1}
    assert package.get_filename("b.hdr") == str(readonly / "b.hdr")
    assert fetch_file(readonly, ".dot").name == ".dot"
    pair = package.fetch("b.hdr"), package.fetch("b.img")
    assert pair[0].parent == pair[1].parent  # nibabel looks for one beside the other


def test_the_locator_merges_the_overlay(readonly: Path, web: Web) -> None:
    package = make_datasource("nipy/templates")
    here = ["ICBM152/notes.txt", "config.ini", "registry.txt"]
    assert package.list_files() == here
    assert package.glob("**/*.nii.gz") == []
    package.fetch(".dot")
    place = package.fetch(T1)
    assert package.list_files() == sorted([T1, *here])
    assert package.list_files(hidden=True) == sorted([".dot", T1, *here])
    assert str(place) in package.list_files(relative=False)
    assert str(readonly / "config.ini") in package.list_files(relative=False)
    assert package.glob("**/*.nii.gz") == package.glob(T1) == [place]
    assert package.glob("ICBM152/*") == [place.parent, readonly / "ICBM152" / "notes.txt"]
    assert package.glob("*") == [readonly / name for name in ("ICBM152", *here[1:])]
    assert package.path("ICBM152", "2mm") == place.parent


def test_a_new_version_does_not_take_the_old_files(readonly: Path, web: Web) -> None:
    package = make_datasource("nipy/templates")
    old = package.fetch(T1)
    other = readonly.parents[2] / "cache" / "nipy" / "templates"
    other.mkdir(parents=True)
    (other / "config.ini").write_text("[DEFAULT]\nversion = 2\nregistry = registry.txt\n")
    web.files["new"] = OTHER
    (other / "registry.txt").write_text(f"{T1} {sha256(OTHER)} {web.url('new')}")
    shut(other)
    new = VersionedDatasource(other)
    assert new.get_filename(T1) == str(other / T1)
    assert new.fetch(T1).read_bytes() == OTHER
    assert old.read_bytes() == CONTENT


def test_neither_package_nor_cache_can_be_written(
    readonly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(readonly / "cache"))
    with pytest.raises(DataError, match="permission denied; .* NIBABEL_DATA_CACHE"):
        make_datasource("nipy/templates").fetch(T1)


def test_a_cache_that_cannot_be_written_does_not_matter_otherwise(
    web: Web, thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", "/proc/no-such-place")
    assert fetch_file(thin(web.url()), T1).read_bytes() == CONTENT


def test_links_are_neither_followed_out_nor_replaced(
    web: Web, thin: Callable[..., Path], tmp_path: Path
) -> None:
    base = thin(web.url())
    outside = tmp_path / "outside"
    outside.mkdir()
    (base / "ICBM152").symlink_to(outside)
    assert fetch_file(base, T1).is_relative_to(tmp_path / "cache")
    assert list(outside.iterdir()) == []
    (base / "ICBM152").unlink()
    annexed = base / T1
    annexed.parent.mkdir(parents=True)
    annexed.symlink_to(".git/annex/objects/xx/SHA256E")
    package = VersionedDatasource(base)
    assert package.fetch(T1).is_relative_to(tmp_path / "cache")
    assert annexed.is_symlink()


# ---- offline


def test_offline_opens_no_socket(thin: Callable[..., Path], monkeypatch: Any) -> None:
    base = thin("http://127.0.0.1:9/", "https://a.invalid/T1", "s3://bucket/T1")
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)
    code = f"""{WATCH}
import nibabel_data as nd
from nibabel_data.cli.main import main
package = nd.make_datasource('nipy/templates')
for offline in (None, True):
    try:
        package.fetch({T1!r}, offline=offline)
    except nd.MissingFileError as error:
        print(error)
assert main(['fetch', 'nipy/templates']) == 1
del os.environ['NIBABEL_DATA_OFFLINE']
assert main(['fetch', '--offline', 'nipy/templates', 'here.txt']) == 0
assert main(['fetch', '--offline', 'nipy/templates']) == 1
package.get_filename({T1!r}), package.path({T1!r}), package.list_files(), package.glob('**/*')
assert not seen, seen
"""
    out = run_python(code, NIBABEL_DATA_OFFLINE="1")
    assert out.count(f"{T1!r} of the package at {base} is not here") == 2
    assert f"    nibabel-data fetch nipy/templates {T1}\n" in out


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False), ("no", False)]
)
def test_the_variable(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIBABEL_DATA_OFFLINE", value)
    assert is_offline() is offline
    assert is_offline(not offline) is not offline


# ---- other transports, missing extras


class Fsspec(types.ModuleType):
    """Stands for fsspec: reads one object, and fails as it is told."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__("fsspec")
        self.errors = list(errors)

    def open(self, url: str, mode: str) -> Any:
        assert (url, mode) == ("s3://bucket/T1", "rb")
        if self.errors:
            raise self.errors.pop(0)
        return io.BytesIO(CONTENT)


@pytest.mark.parametrize("errors", [(), (RuntimeError("throttled"),)])
def test_fsspec(
    errors: tuple[Exception, ...], thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", Fsspec(*errors))
    assert fetch_file(thin("s3://bucket/T1"), T1).read_bytes() == CONTENT


def test_errors_of_fsspec(thin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", Fsspec(ImportError("Install s3fs to access S3")))
    with pytest.raises(MissingFileError, match="s3://bucket/T1: Install s3fs to access S3"):
        fetch_file(thin("s3://bucket/T1"), T1)


@pytest.mark.parametrize(
    ("module", "url", "sentence"),
    [
        ("fsspec", "gs://bucket/T1", "gs: URLs need fsspec, .*: pip install fsspec"),
        ("requests", "https://a.invalid/", r"needs requests, .* 'nibabel-data\[fetch\]'"),
        ("pooch", "doi:10.5281/zenodo.1/T1", r"need pooch, .* 'nibabel-data\[fetch\]'"),
    ],
)
def test_a_missing_extra_is_one_sentence(
    module: str, url: str, sentence: str, thin: Callable[..., Path], monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingFileError, match=sentence):
        fetch_file(thin(url), T1)


def test_without_filelock(web: Web, thin: Callable[..., Path], monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    assert fetch_file(thin(web.url()), T1).read_bytes() == CONTENT


def test_a_doi_is_resolved_by_pooch(web: Web, thin: Callable[..., Path], monkeypatch: Any) -> None:
    pooch = pytest.importorskip("pooch", reason="pip install 'nibabel-data[fetch]'")
    asked: list[str] = []

    class Repository:
        def download_url(self, name: str) -> str:
            asked.append(name)
            return web.url(T1)

    def find(doi: str, **options: object) -> Repository:
        asked.append(doi)
        return Repository()

    monkeypatch.setattr(pooch.downloaders, "doi_to_repository", find)
    assert fetch_file(thin("doi:10.5281/zenodo.1/"), T1).read_bytes() == CONTENT
    assert asked == ["10.5281/zenodo.1", T1]


# ---- several files, the command


@pytest.fixture
def several(web: Web, thin: Callable[..., Path]) -> Path:
    base = thin(web.url())
    lines = []
    for number in range(9):
        name = f"{'ab'[number % 2]}/{number}.txt"
        web.files[name] = str(number).encode()
        lines.append(f"{name} {sha256(str(number).encode())}\n")
    (base / "registry.txt").write_text("".join(lines))
    return base


@pytest.mark.parametrize(
    ("patterns", "numbers"),
    [
        ([], "024681357"),
        (["a"], "02468"),
        (["a/"], "02468"),
        (["a/*.txt", "b/3.txt"], "024683"),
        (["*/[12].txt"], "21"),
        (["**/5.txt"], "5"),
        (["**"], "024681357"),
        (["b/?.txt", "b/1.txt"], "1357"),
    ],
)
def test_patterns(patterns: list[str], numbers: str, several: Path) -> None:
    results = fetch_package(several, patterns)
    assert "".join(result.path[2] for result in results) == numbers
    assert {result.state for result in results} == {"fetched"}
    for result in results:
        assert Path(result.place).read_text() == result.path[2]
    assert {result.state for result in fetch_package(several, patterns)} == {"present"}


def test_a_pattern_that_matches_nothing(several: Path) -> None:
    with pytest.raises(MissingFileError, match="did you mean 'a/0.txt'"):
        fetch_package(several, ["a", "0.txt"])
    with pytest.raises(DataError, match="leads out"):
        fetch_package(several, ["../*"])
    (result,) = fetch_package(several, ["here.txt"])
    assert result == Fetched("here.txt", "present", str(several / "here.txt"))


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_one_that_fails_does_not_stop_the_others(jobs: int, several: Path, web: Web) -> None:
    del web.files["a/4.txt"]
    results = fetch_package(several, jobs=jobs)
    assert len(results) == 9
    (failed,) = [result for result in results if result.problem]
    assert (failed.path, failed.state, failed.place) == ("a/4.txt", "failed", "")
    assert "404 Not Found" in failed.problem


def test_an_error_of_ours_is_not_swallowed(several: Path) -> None:
    def broken(size: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch_package(several, progress=broken)


def test_ctrl_c_ends_all_threads(several: Path, web: Web) -> None:
    web.files["a/0.txt"] = CONTENT
    (several / "registry.txt").write_text(f"a/0.txt {sha256(CONTENT)}\n")
    web.pause = 2
    command = [sys.executable, "-m", "nibabel_data", "fetch", "nipy/templates"]
    # Who runs the tests in the background of a shell passes on that Ctrl-C is ignored.
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command)
    finally:
        signal.signal(signal.SIGINT, heard)
    while not web.requests:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert not (several / "a" / "0.txt").exists()


def test_the_command(several: Path, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "nipy/templates", "b", "--jobs", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(several / "b" / f"{number}.txt") for number in (1, 3, 5, 7)]
    assert err == ""
    del web.files["a/4.txt"]
    assert main(["fetch", "nipy/templates", "a/4.txt", "b/1.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{several / 'b' / '1.txt'}\n"
    assert err.startswith("nibabel-data: cannot fetch 'a/4.txt'")
    assert main(["fetch", "--json", "nipy/templates", "a/4.txt", "b/1.txt"]) == 1
    failed, present = json.loads(capsys.readouterr().out)
    assert failed["state"] == "failed"
    assert present == {
        "path": "b/1.txt",
        "state": "present",
        "place": str(several / "b" / "1.txt"),
        "problem": "",
    }
    assert main(["fetch", "nipy/templates", "nothing"]) == 1
    assert main(["find", "nipy/templates", "a/2.txt"]) == 1
    assert "nibabel-data fetch nipy/templates a/2.txt" in capsys.readouterr().err


def test_without_the_network_one_list_and_one_command(
    several: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "nipy/templates", "--offline", "a", "b/1.txt", "here.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{several / 'here.txt'}\n"
    names = "".join(
        f"    {name}\n" for name in [*(f"a/{n}.txt" for n in (0, 2, 4, 6, 8)), "b/1.txt"]
    )
    assert err == (
        f"nibabel-data: 6 files of the package at {several} are not here, or damaged, and "
        f"NIBABEL_DATA_OFFLINE or --offline forbids to fetch them:\n{names}\n"
        "Where there is a network, run\n\n"
        "    nibabel-data fetch nipy/templates a b/1.txt here.txt\n"
    )
    assert main(["fetch", "nipy/templates", "--offline", "b/1.txt"]) == 1
    assert "forbids to fetch it; where there is a network" in capsys.readouterr().err


# ---- files that were damaged after they were fetched


@pytest.fixture(params=["sha256", "md5"])
def shelved(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    base = tmp_path / "root" / "nipy" / "templates"
    return make_thin(base, tmp_path / "shelf", algorithm=request.param)


@pytest.mark.parametrize("where", ["package", "overlay"])
def test_what_is_damaged_is_fetched_again(
    where: str, shelved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shelved / "T1.nii"
    if where == "overlay":
        place = put_into_overlay(shelved, "T1.nii", b"")
    place.write_bytes(b"AN IMAGE")
    assert fetch_file(shelved, "T1.nii") == place  # which never reads what is there
    assert place.read_bytes() == b"AN IMAGE"
    assert main(["fetch", "nipy/templates", "T1.nii"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{place}\n"
    assert err.startswith(f"nibabel-data: note: {place} is not what registry.txt, line 1, promises")
    assert err.endswith("it was fetched again\n")
    assert place.read_bytes() == b"an image"
    assert strays(shelved) == strays(overlay_of(shelved)) == []
    assert main(["fetch", "nipy/templates", "T1.nii"]) == 0
    assert capsys.readouterr() == (f"{place}\n", "")


def test_what_is_here_is_read_only_if_it_changed(
    shelved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nibabel_data.package.stamps.settled", lambda seen, now: True)
    assert {one.state for one in fetch_package(shelved)} == {"fetched"}
    assert {one.state for one in fetch_package(shelved)} == {"present"}
    with monkeypatch.context() as patch:
        patch.setattr("nibabel_data.package.held.hash_file", lambda *_: pytest.fail("read"))
        assert {one.state for one in fetch_package(shelved)} == {"present"}
        assert [one.state for one in fetch_package(shelved, ["config.ini"])] == ["present"]
        assert {one.state for one in fetch_package(shelved)} == {"present"}
    (shelved / "T1.nii").write_bytes(b"AN IMAGE")
    assert [one.state for one in fetch_package(shelved)] == ["mended", "present"]


def test_what_is_damaged_and_cannot_be_fetched(shelved: Path, tmp_path: Path) -> None:
    registry = shelved / "registry.txt"
    registry.write_text(registry.read_text().replace("file:///", "http://127.0.0.1:9/"))
    place = shelved / "T1.nii"
    place.write_bytes(b"AN IMAGE")
    (result,) = fetch_package(shelved, ["T1.nii"], offline=True)
    assert (result.state, result.place) == ("failed", "")
    assert result.problem.startswith(f"{place} is not what registry.txt, line 1, promises")
    assert "forbids to fetch it again; where there is a network" in result.problem
    assert place.read_bytes() == b"AN IMAGE"
    (tmp_path / "elsewhere").write_bytes(b"AN IMAGE")
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    (result,) = fetch_package(shelved, ["T1.nii"])
    assert f"a link to {tmp_path / 'elsewhere'}, which is not replaced" in result.problem
    assert place.is_symlink()


def test_what_is_damaged_in_a_package_that_cannot_be_written(
    readonly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NIPY_USER_DIR", "NIPY_SYSTEM_DIR"):  # those of the test are root's
        monkeypatch.setenv(name, str(readonly / "none"))
    place = readonly / "ICBM152" / "notes.txt"
    with pytest.raises(PermissionError):
        place.write_text("y")
    registry = read_registry(readonly)
    assert registry is not None
    entry = Entry("ICBM152/notes.txt", "sha256", sha256(b"y"), ("file:///none",), 1)
    promise = dataclasses.replace(registry, entries={entry.path: entry})
    (result,) = fetch._Fetch(promise, None, None, Stamps(str(readonly))).many([entry], 1)
    assert f"{place} is damaged, and cannot be replaced: permission denied" in result.problem


def test_a_damaged_file_that_cannot_be_read(shelved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_file(shelved, "T1.nii")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("nibabel_data.package.held.hash_file", refuse)
    (result,) = fetch_package(shelved, ["T1.nii"])
    assert result.problem == f"cannot read {shelved / 'T1.nii'}: input/output error"


def test_eight_processes_mend_one_file(shelved: Path) -> None:
    (shelved / "T1.nii").write_bytes(b"AN IMAGE")
    command = [sys.executable, "-m", "nibabel_data", "fetch", "nipy/templates", "T1.nii"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [process.wait(timeout=120) for process in running] == [0] * 8
    assert (shelved / "T1.nii").read_bytes() == b"an image"
    assert strays(shelved) == []


# ---- packages whose config.ini does not name their registry


def test_a_registry_that_config_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    base = make_thin(tmp_path / "root" / "nipy" / "templates", tmp_path / "shelf", config="")
    package = make_datasource("nipy/templates")
    with pytest.raises(MissingFileError, match=r"not fetched yet:\n\n .*fetch nipy/templates T1"):
        package.path("T1.nii", must_exist=True)
    place = put_into_overlay(base, "T1.nii", b"an image")
    assert package.fetch("T1.nii") == place
    assert package.get_filename("T1.nii") == str(base / "T1.nii")
    with pytest.raises(MissingFileError) as caught:
        package.path("T1.nii", must_exist=True)
    assert f"is fetched, to {place}, but not looked for there" in str(caught.value)
    assert f"add to [DEFAULT] of {base / 'config.ini'} the line" in str(caught.value)
    assert main(["find", "nipy/templates", "T1.nii"]) == 1
    assert capsys.readouterr().err.endswith("\n\n    registry = registry.txt\n")
    with (base / "config.ini").open("a") as file:
        file.write("registry = registry.txt\n")
    assert make_datasource("nipy/templates").path("T1.nii", must_exist=True) == place


def test_the_command_for_a_package_that_has_all(
    make_package: MakePackage, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(make_package()))
    assert main(["fetch", "nipy/templates"]) == 0
    assert "nothing to fetch" in capsys.readouterr().err


def test_fetch_waits_for_nobody_who_is_stalled(
    web: Web, thin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filelock = pytest.importorskip("filelock", reason="pip install 'nibabel-data[fetch]'")
    base = thin(web.url())
    locks = tmp_path / "cache" / "locks"
    locks.mkdir(parents=True)
    monkeypatch.setattr(partial, "_STALLED", 0.0)
    monkeypatch.setattr(partial, "_LOOK", 0.1)
    with filelock.FileLock(locks / f"{sha256(CONTENT)[:32]}.lock"):
        assert fetch_file(base, T1).read_bytes() == CONTENT
