"""Installing under fire: killed, many at once, on a full disk, where nothing can be written."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import DataError, make_datasource
from nibabel_data.package.install import install
from nibabel_data.package.verify import verify_directory

from .killed import forking
from .web import serve

INSTALL = """
import sys
from nibabel_data.package.install import install
print(install(sys.argv[1], root=sys.argv[2], force=True)[0].version)
"""
KILLED = """
import filelock
from nibabel_data.package.install import install
def work(source, root):
    install(source, root=root, force=True)
"""
REMOVE = """
from nibabel_data.package.remove import remove as work
"""


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return two versions of a package, large enough to be killed half way."""
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    sources = []
    for version in ("0.3", "0.4"):
        package = tmp_path / version / "nipy" / "templates"
        package.mkdir(parents=True)
        (package / "config.ini").write_text(f"[DEFAULT]\nversion = {version}\n")
        for number in range(40):
            folder = package / f"sub{number % 5}"
            folder.mkdir(exist_ok=True)
            (folder / f"{version}-{number}.dat").write_bytes(version.encode() * 100_000)
        sources.append(package)
    return sources


def whole(root: Path) -> str | None:
    """Return the version that stands below a root, having seen that it is whole."""
    try:
        package = make_datasource("nipy/templates", root)
    except DataError:
        assert not (root / "nipy" / "templates").exists()
        return None
    result = verify_directory(package.base_path, full=True)
    assert result.ok, result
    return str(package.version)


def stray(root: Path) -> list[str]:
    return [name for name in os.listdir(root / "nipy") if name != "templates"]


def test_killed_at_any_moment_the_old_or_the_new_stands(
    versions: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    dice, seen = random.Random(20261121), set()
    with forking(KILLED) as forks:
        begun = time.monotonic()
        forks.start(versions[0], root)
        forks.wait()
        lasts = time.monotonic() - begun
        after = whole(root)
        for number in range(50):
            before = after
            longest = lasts * (1.2 + number / 20)  # a busy machine may have become slower since
            forks.kill(forks.start(versions[(number + 1) % 2], root), dice.random() * longest)
            after = whole(root)
            assert after in (before, "0.3", "0.4")
            seen.add((before, after))
    assert len({after for _, after in seen}) == 2
    install(versions[0], root=root, force=True)
    assert whole(root) == "0.3"
    assert stray(root) == []  # and the next run has cleaned up


def test_a_removal_that_is_killed_removes_all_or_nothing(
    versions: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    install(versions[0], root=root)
    mine = root / "nipy" / "templates" / "mine.txt"
    mine.write_text("mine")
    dice, seen = random.Random(7), []
    place = root / "nipy" / "templates"
    with forking(REMOVE) as forks:
        begun = time.monotonic()
        forks.start(place)
        forks.wait()
        lasts = time.monotonic() - begun
        for _ in range(50):
            if not (place / "config.ini").exists():
                install(versions[0], root=root, force=True)
            forks.kill(forks.start(place), dice.random() * lasts * 1.2)
            assert mine.read_text() == "mine"
            seen.append(not (place / "config.ini").exists())
            if not seen[-1]:
                amiss = verify_directory(place, full=True).amiss
                assert [(check.path, check.state) for check in amiss] == [("mine.txt", "extra")]
            lasts *= 0.97 if seen[-1] else 1.05  # a busy machine is not always as busy
    assert set(seen) == {True, False}


def test_sixteen_install_the_same_at_once(versions: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    processes = [start(INSTALL, versions[0], root) for _ in range(16)]
    results = [process.communicate(timeout=120) for process in processes]
    assert results == [("0.3\n", "")] * 16
    assert whole(root) == "0.3"
    assert stray(root) == []


def test_sixteen_install_two_versions_at_once(versions: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    processes = [start(INSTALL, versions[number % 2], root) for number in range(16)]
    readers = 0
    while any(process.poll() is None for process in processes):
        try:
            package = make_datasource("nipy/templates", root)
        except DataError:
            assert readers == 0  # once it is there, it never goes away
            continue
        readers += 1
        assert package.version in ("0.3", "0.4")
    assert [process.communicate()[1] for process in processes] == [""] * 16
    assert readers
    version = whole(root)
    names = make_datasource("nipy/templates", root).list_files()
    assert all(version in name for name in names if name.endswith(".dat"))
    assert stray(root) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of four megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_leaves_the_old_version(
    versions: list[Path], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small_disk.parent / "fits" / "nipy" / "templates"
    small.mkdir(parents=True)
    (small / "config.ini").write_text("[DEFAULT]\nversion = 0.2\n")
    install(small, root=small_disk)
    with pytest.raises(DataError, match=r"needs 12\.0 MB, but only .* are free"):
        install(versions[0], root=small_disk)
    free = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free("/"))  # as if it had been free
    with pytest.raises(DataError, match="no space left on device; nothing was changed"):
        install(versions[0], root=small_disk)
    assert whole(small_disk) == "0.2"
    assert stray(small_disk) == []


def test_a_read_only_file_system(versions: list[Path], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(DataError, match="read-only file system"):
        install(versions[0], root=small_disk)


def test_where_nobody_may_write(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    source = public_tmp / "source" / "nipy" / "templates"
    source.mkdir(parents=True)
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.3\n")
    (public_tmp / "root").mkdir(mode=0o555)
    with unprivileged(), pytest.raises(DataError, match=r"cannot write in .*permission denied"):
        install(source, root=public_tmp / "root")
    (source / "config.ini").chmod(0)
    with unprivileged(), pytest.raises(DataError, match=r"cannot read .*config\.ini"):
        install(source, root=public_tmp)


def test_sixteen_install_one_url_at_once(versions: list[Path], tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "t"), "zip", versions[0].parents[1]))
    content = archive.read_bytes()
    with serve() as web:
        web.files["t.zip"] = content
        url = f"{web.url()}t.zip#sha256={hashlib.sha256(content).hexdigest()}"
        processes = [start(INSTALL, url, tmp_path / "root") for _ in range(16)]
        results = [process.communicate(timeout=120) for process in processes]
        assert results == [("0.3\n", "")] * 16
        assert len(web.requests) <= 3
    assert whole(tmp_path / "root") == "0.3"
    assert stray(tmp_path / "root") == []
