"""Threads and processes that locate while others edit: each sees the old state or the new one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nibabel_data import get_data_path, make_datasource

from .conftest import MakePackage

LOCATE = """
import sys, time
from nibabel_data import get_data_path, make_datasource
allowed = set(sys.argv[1:3])
ends, seen = time.monotonic() + 3, set()
while time.monotonic() < ends:
    found = make_datasource('nipy/templates')
    first = get_data_path()[0]
    assert first in allowed, first
    assert found.base_path in {root + '/nipy/templates' for root in allowed}, found
    assert found.version in ('0.3', '0.4'), found.version
    seen.add(first)
print(len(seen))
"""


def replace(path: Path, text: str) -> None:
    """Write a file as an editor or an installer does: beside it, then renamed."""
    staged = path.with_suffix(f".{threading.get_ident()}.tmp")
    staged.write_text(text)
    os.replace(staged, path)


@pytest.fixture
def two(make_package: MakePackage) -> tuple[Path, Path]:
    return make_package("one", version="0.3"), make_package("two", version="0.4")


@pytest.fixture
def user_ini(two: tuple[Path, Path]) -> Path:
    path = Path(os.environ["HOME"], ".nipy", "config.ini")
    path.parent.mkdir()
    path.write_text(f"[DATA]\npath = {two[0]}\n")
    return path


def edit(user_ini: Path, two: tuple[Path, Path], stop: threading.Event) -> None:
    system = Path(os.environ["NIPY_SYSTEM_DIR"])
    number = 0
    while not stop.is_set():
        number += 1
        replace(user_ini, f"[DATA]\npath = {two[number % 2]}\n")
        replace(system / f"{number % 7}.ini", "[DATA]\npath = /other\n")
        (system / f"{number % 5}.ini").unlink(missing_ok=True)


def test_sixteen_processes(user_ini: Path, two: tuple[Path, Path]) -> None:
    stop = threading.Event()
    editor = threading.Thread(target=edit, args=(user_ini, two, stop))
    editor.start()
    command = [sys.executable, "-W", "error", "-c", LOCATE, *map(str, two)]
    try:
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(16)
        ]
        results = [process.communicate(timeout=120) for process in processes]
    finally:
        stop.set()
        editor.join()
    assert [error for _, error in results if error] == []
    assert "2\n" in [out for out, _ in results]  # and somebody saw both


def test_threads(user_ini: Path, two: tuple[Path, Path]) -> None:
    failures: list[BaseException] = []
    stop = threading.Event()
    allowed = {str(root) for root in two}

    def locate() -> None:
        try:
            for _ in range(300):
                assert get_data_path()[0] in allowed
                assert make_datasource("nipy/templates").version in ("0.3", "0.4")
        except BaseException as error:
            failures.append(error)

    editor = threading.Thread(target=edit, args=(user_ini, two, stop))
    readers = [threading.Thread(target=locate) for _ in range(8)]
    for thread in (editor, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    editor.join()
    assert failures == []
