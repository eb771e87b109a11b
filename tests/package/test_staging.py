from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nibabel_data import DataError
from nibabel_data.package import staging
from nibabel_data.package.staging import clean_stale, exchange, put_in_place, staging_directory


def make(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).write_text("")
    return path


@pytest.fixture(params=["at once", "by renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by renames":
        monkeypatch.setattr(staging, "_exchange_at_once", lambda *_: errno.ENOSYS)
    return str(request.param)


def test_two_directories_are_exchanged(way: str, tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", "1"), make(tmp_path / "other", "2")
    exchange(str(one), str(other))
    assert (os.listdir(one), os.listdir(other)) == (["2"], ["1"])
    assert sorted(os.listdir(tmp_path)) == ["etc", "home", "one", "other"]


def test_what_is_not_there_cannot_be_exchanged(way: str, tmp_path: Path) -> None:
    one = make(tmp_path / "one", "1")
    with pytest.raises(FileNotFoundError):
        exchange(str(one), str(tmp_path / "none"))
    assert os.listdir(one) == ["1"]


@pytest.mark.parametrize("stands", ["nothing", "directory", "empty", "link", "file"])
def test_put_in_place(way: str, stands: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if stands == "directory":
        make(target, "old")
    elif stands == "empty":
        target.mkdir()
    elif stands == "link":
        target.symlink_to(tmp_path)
    elif stands == "file":
        target.write_text("")
    staged = make(tmp_path / "staged", "new")
    replaced = put_in_place(str(staged), str(target))
    assert os.listdir(target) == ["new"]
    assert not target.is_symlink()
    assert replaced == (stands != "nothing")


def test_a_staging_directory_is_removed_whatever_happens(tmp_path: Path) -> None:
    target = tmp_path / "root" / "package"
    with pytest.raises(KeyboardInterrupt), staging_directory(str(target)) as staged:
        (Path(staged) / "file").write_text("")
        assert os.path.dirname(staged) == str(target.parent)
        assert os.path.basename(staged).startswith(".package.")
        raise KeyboardInterrupt
    assert os.listdir(target.parent) == []


def test_what_a_killed_process_staged_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys; from nibabel_data.package.staging import staging_directory\n"
        "with staging_directory(sys.argv[1]) as staged:\n"
        "    open(staged + '/file', 'w').close(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "root" / "package")])
    (left,) = os.listdir(tmp_path / "root")
    assert left.endswith(".nibabel-data-staging")
    assert clean_stale(str(tmp_path / "root")) == [str(tmp_path / "root" / left)]
    assert os.listdir(tmp_path / "root") == []


def test_what_a_living_process_stages_is_left_alone(tmp_path: Path) -> None:
    with staging_directory(str(tmp_path / "package")) as staged:
        assert clean_stale(str(tmp_path)) == []
        assert os.path.isdir(staged)


def test_what_another_machine_staged_is_removed_after_a_day(tmp_path: Path) -> None:
    foreign = tmp_path / ".package.elsewhere.1.abcd.nibabel-data-staging"
    foreign.mkdir()
    assert clean_stale(str(tmp_path)) == []
    os.utime(foreign, (1, 1))
    assert clean_stale(str(tmp_path)) == [str(foreign)]


def test_killed_between_two_renames_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import errno, os, sys
from nibabel_data.package import staging
staging._exchange_at_once = lambda *_: errno.ENOSYS
rename = os.rename
def die(one, other):
    rename(one, other)
    os.kill(os.getpid(), 9)
with staging.staging_directory(sys.argv[1]) as staged:
    os.rename = die
    staging.put_in_place(staged, sys.argv[1])
"""
    target = make(tmp_path / "package", "old")
    subprocess.run([sys.executable, "-c", code, str(target)])
    assert not target.exists()
    clean_stale(str(tmp_path))
    assert os.listdir(target) == ["old"]
    clean_stale(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["etc", "home", "package"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match="cannot write in"),
        staging_directory(str(tmp_path / "file" / "package")),
    ):
        pass
