"""Directories and object storage: whole files, and nothing from outside."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer.stores import WORK, Folder, Store, open_store, safe_name


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    where = {
        "folder": str(tmp_path / "tree"),
        "file": f"file://{tmp_path}/tree",
        "memory": f"memory://{uuid.uuid4().hex}/tree",
    }[request.param]
    return open_store(where)


def test_what_is_written_is_read_and_listed(store: Store) -> None:
    assert list(store.names("")) == []
    assert store.read("a/b") is None
    store.write("a/b", b"one")
    store.write("a/b", b"two")
    store.write("a/c", b"")
    assert store.read("a/b") == b"two"
    assert store.read("a") is None
    assert sorted(store.names("a")) == ["b", "c"]
    assert store.part("a/b", 1, 9) == (b"wo", 3)
    assert store.part("a/x", 0, 1) is None


def test_a_store_goes_to_another_process(store: Store) -> None:
    store.write("a", b"x")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"x"


def test_what_was_only_for_the_work_goes_when_it_is_finished(store: Store) -> None:
    store.write("info", b"x")
    store.write(f"{WORK}/done/one", b"")
    store.tidy(finished=False)
    assert list(store.names(f"{WORK}/done")) == ["one"]
    store.tidy(finished=True)
    assert [name for name in store.names("") if name == WORK] == []
    store.clear()
    assert list(store.names("")) == []


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "tree" / WORK / "staged"
    folder.mkdir(parents=True)
    for pid in (gone.pid, os.getpid()):
        (folder / f"{socket.gethostname()}.{pid}.abc").write_bytes(b"part")
    (folder / "no.such.name").write_bytes(b"")
    Folder(str(tmp_path / "tree")).tidy(finished=False)
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([f"{socket.gethostname()}.{os.getpid()}.abc", "no.such.name"])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = Folder(str(tmp_path))
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        store.write("a", b"x")
    assert list((tmp_path / WORK / "staged").iterdir()) == []


def test_links_are_not_followed_out_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "out").symlink_to(tmp_path / "secret")
    (tree / "outside").symlink_to(tmp_path)
    (tree / "info").write_bytes(b"{}")
    (tree / "same").symlink_to(tree / "info")
    store = Folder(str(tree))
    assert store.read("out") is None
    assert store.read("outside/secret") is None
    assert store.part("out", 0, 6) is None
    assert store.read("same") == b"{}"


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "..", "a/../b", "/etc/passwd", "a//b", ".hidden", f"{WORK}/done/x", "a\\b"),
        *("a\0b", "%2e%2e/a", "a/" * 40 + "b", "x" * 300, "é", "a/."),
    ],
)
def test_a_name_that_leads_elsewhere_is_no_name(name: str) -> None:
    assert not safe_name(name)


@pytest.mark.parametrize("name", ["info", "8_8_40/0-64_-64-0_0-64", "mesh/12:0", "0/c/0/0/1"])
def test_names_of_trees_are_names(name: str) -> None:
    assert safe_name(name)


def test_a_file_is_no_place_for_a_tree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(tmp_path / "file")
    with pytest.raises(ViewerError, match="is a file"):
        store.names("")
    with pytest.raises(ViewerError, match="is a file"):
        store.write("a", b"")


def test_a_url_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ViewerError, match="nowhere://x cannot be opened"):
        open_store("nowhere://x")
