from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel.data
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nibabel_data import DataError, get_data_path
from nibabel_data.configfile import add_data_path
from nibabel_data.searchpath import data_entries


@pytest.fixture
def user_ini() -> Path:
    path = Path(os.environ["HOME"], ".nipy", "config.ini")
    path.parent.mkdir()
    return path


def test_the_user_file_is_the_default(tmp_path: Path) -> None:
    change = add_data_path(tmp_path)
    assert change.file == Path(os.environ["HOME"], ".nipy", "config.ini")
    assert change.file.read_text() == f"[DATA]\npath = {tmp_path}\n"
    assert change.written
    assert get_data_path()[0] == str(tmp_path)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    first = add_data_path(tmp_path)
    before = first.file.stat()
    second = add_data_path(str(tmp_path) + os.sep)
    assert not second.written
    assert first.file.stat() == before


def test_a_system_file_is_readable_by_all(tmp_path: Path) -> None:
    os.umask(0o022)
    change = add_data_path("/usr/share/nipy", system="nipy_templates")
    assert change.file == Path(os.environ["NIPY_SYSTEM_DIR"], "nipy_templates.ini")
    assert stat.S_IMODE(change.file.stat().st_mode) == 0o644
    assert "/usr/share/nipy" in get_data_path()
    assert add_data_path("/usr/share/nipy", system="nipy_templates.ini").written is False


def test_destdir_moves_the_file_not_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_SYSTEM_DIR", "/etc/nipy")
    change = add_data_path("/usr/share/nipy", system="lab", destdir=tmp_path / "stage")
    assert change.file == tmp_path / "stage" / "etc" / "nipy" / "lab.ini"
    assert change.file.read_text() == "[DATA]\npath = /usr/share/nipy\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[DATA]\npath = /new\n"),
        ("# mine\n[OTHER]\nx = 1", "# mine\n[OTHER]\nx = 1\n\n[DATA]\npath = /new\n"),
        ("[DATA]\n# none yet\n", "[DATA]\npath = /new\n# none yet\n"),
        ("[DATA]\npath = /a ; c\nx = 1\n", "[DATA]\npath = /a ; c:/new\nx = 1\n"),
        ("[DATA]\nPATH:/a\n", "[DATA]\nPATH:/a:/new\n"),
        ("[DATA]\npath =\n", "[DATA]\npath = /new\n"),
        ("[DATA]\npath = /a\n  # c\n  /b\n[O]\n", "[DATA]\npath = /a\n  # c\n  /b:/new\n[O]\n"),
        ("[DEFAULT]\npath = /d\n[DATA]\n", "[DEFAULT]\npath = /d\n[DATA]\npath = /d:/new\n"),
    ],
)
def test_the_rest_of_a_file_stays(before: str, after: str, user_ini: Path) -> None:
    user_ini.write_text(before)
    add_data_path("/new")
    assert user_ini.read_text() == after


def test_mode_and_link_of_a_file_stay(user_ini: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.ini"
    real.write_text("[DATA]\npath = /a\n")
    real.chmod(0o600)
    user_ini.symlink_to(real)
    add_data_path("/new")
    assert user_ini.is_symlink()
    assert real.read_text() == "[DATA]\npath = /a:/new\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_percent_sign_is_read_back_by_nibabel_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = add_data_path("/data/100%")
    assert get_data_path()[0] == "/data/100%"
    assert nibabel.data._cfg_value(str(change.file)) == "/data/100%"


@pytest.mark.parametrize(
    "path", ["/a:/b", "/a\n/b", "/a ", "'/a'", "/with\x1b", "/a\0b", "/\ud800"]
)
def test_what_cannot_stand_in_an_ini_file_is_refused(path: str) -> None:
    with pytest.raises(DataError, match="cannot stand in an ini file"):
        add_data_path(path if path.startswith("/") else "/x/" + path)
    assert not Path(os.environ["HOME"], ".nipy", "config.ini").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", ".hidden", "a\0b"])
def test_names_that_are_no_file_of_the_system_directory(name: str) -> None:
    with pytest.raises(DataError, match="is no name for a file"):
        add_data_path("/a", system=name)


@pytest.mark.parametrize("content", [b"nonsense\n", b"[DATA]\npath = \xe9\n", b"[data]\n"])
def test_a_malformed_file_is_left_as_it_is(content: bytes, user_ini: Path) -> None:
    user_ini.write_bytes(content)
    with pytest.raises(DataError, match=r"config\.ini"):
        add_data_path("/new")
    assert user_ini.read_bytes() == content
    assert os.listdir(user_ini.parent) == ["config.ini"]


def test_no_permission_says_what_to_do(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(public_tmp / "etc"))
    with unprivileged(), pytest.raises(DataError, match="needs root: sudo, or --user"):
        add_data_path("/a", system="lab")
    assert os.listdir(public_tmp) == []


def test_a_failed_write_loses_nothing(user_ini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_ini.write_text("[DATA]\npath = /a\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no space left on device"):
        add_data_path("/new")
    assert user_ini.read_text() == "[DATA]\npath = /a\n"
    assert os.listdir(user_ini.parent) == ["config.ini"]


def _add(number: int) -> bool:
    return add_data_path(f"/data/{number}").written


def test_sixteen_writers_lose_no_entry(user_ini: Path) -> None:
    with ProcessPoolExecutor(16) as pool:
        assert all(pool.map(_add, range(64)))
    entries = [entry for entry, _ in data_entries(user_ini.read_text(), "config.ini")]
    assert sorted(entries) == sorted(f"/data/{number}" for number in range(64))
    assert os.listdir(user_ini.parent) == ["config.ini"]


pieces = st.sampled_from(
    ["[DATA]", "[DEFAULT]", "[O]", "path", "x", " = ", "/a", ":", "\n", "\n", " "]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, max_size=14).map("".join))
@example("[DATA]\npath = /a\n\n  /b\n")
def test_any_file_keeps_its_entries_or_is_left_alone(user_ini: Path, content: str) -> None:
    user_ini.write_text(content)
    try:
        before = data_entries(content, "config.ini")
        add_data_path("/new")
    except DataError:
        assert user_ini.read_text() == content
        return
    after = [entry for entry, _ in data_entries(user_ini.read_text(), "config.ini")]
    assert after == [entry for entry, _ in before] + ["/new"]
