from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import DataError
from nibabel_data.files import (
    annex_command,
    content_state,
    escapes,
    human_size,
    is_pointer,
    walk_files,
)


def test_states(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "annexed").symlink_to(".git/annex/objects/aa/bb/KEY/KEY")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "annexed").symlink_to("../.git/annex/objects/aa/bb/KEY/KEY")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    expected = {
        "file": "file",
        "sub": "directory",
        "annexed": "absent",
        "sub/annexed": "absent",
        "broken": "dangling",
        "loop": "dangling",
        "fifo": "other",
        "none": "missing",
        "file/none": "missing",
        "nul\0": "missing",
        "\ud800": "missing",
    }
    assert {name: content_state(f"{tmp_path}/{name}") for name in expected} == expected


def test_content_that_was_fetched_is_a_file(tmp_path: Path) -> None:
    key = tmp_path / ".git" / "annex" / "objects" / "KEY"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"12345")
    (tmp_path / "T1.nii").symlink_to(key)
    assert list(walk_files(str(tmp_path))) == [("T1.nii", "file", 5)]


def test_the_command_names_the_dataset_and_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "my data" / ".git").mkdir(parents=True)
    path = str(tmp_path / "my data" / "sub" / "T1.nii")
    assert annex_command(path) == f"datalad get -d '{tmp_path}/my data' '{path}'"


def test_a_link_that_loops_does_not_loop_the_walk(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "sub" / "file").write_text("")
    assert [name for name, _, _ in walk_files(str(tmp_path))] == ["sub/file"]


@pytest.fixture
def deep_tmp(tmp_path: Path) -> Iterator[Path]:
    """Return a directory that is removed by a program without a limit of depth."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path], check=True)


def test_a_very_deep_tree_is_walked(deep_tmp: Path) -> None:
    names = ["d"] * 1500  # deeper than the interpreter's stack
    here = os.getcwd()
    try:
        os.chdir(deep_tmp)
        for name in names:
            os.mkdir(name)
            os.chdir(name)
        Path("leaf").write_text("")
    finally:
        os.chdir(here)
    assert [name for name, _, _ in walk_files(str(deep_tmp))] == ["/".join([*names, "leaf"])]


def test_a_tree_deeper_than_any_path_is_an_error(deep_tmp: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(deep_tmp)
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    with pytest.raises(DataError, match="File name too long"):
        list(walk_files(str(deep_tmp)))


def test_a_closed_directory_is_told_and_the_rest_is_walked(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (public_tmp / "closed").mkdir(mode=0)
    (public_tmp / "file").write_text("x")
    (public_tmp / "link").symlink_to("closed/annexed")
    with unprivileged():
        found = list(walk_files(str(public_tmp)))
        assert content_state(str(public_tmp / "closed" / "file")) == "unreadable"
        with pytest.raises(DataError, match="Permission denied"):
            list(walk_files(str(public_tmp / "closed")))
    assert found == [("file", "file", 1), ("link", "unreadable", 0), ("closed", "unreadable", 0)]


def test_a_pointer_in_place_of_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("/annex/objects/SHA256E-s10--ab.nii.gz\n")
    (tmp_path / "b").write_text("data")
    assert [is_pointer(f"{tmp_path}/{name}") for name in "abc"] == [True, False, False]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), False),
        (("a",), False),
        (("",), False),
        (("a", "..", "..", "b"), True),
        (("a", "/b"), True),
    ],
)
def test_escapes(parts: tuple[str, ...], expected: bool) -> None:
    assert escapes(*parts) is expected


def test_sizes_for_people() -> None:
    sizes = [0, 999, 1000, 1_500_000, 10**12, 10**16]
    assert [human_size(size) for size in sizes] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "1.0 TB",
        "10000.0 TB",
    ]
