from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
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
def umask() -> Iterator[Callable[[int], int]]:
    """Return what sets the mask of new files, which is put back at the end."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


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


def test_a_system_file_is_readable_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int]
) -> None:
    umask(0o077)
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(tmp_path / "deep" / "etc"))
    change = add_data_path("/usr/share/nipy", system="nipy_templates")
    assert stat.S_IMODE(change.file.parent.stat().st_mode) == 0o755
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
        ('[DATA]\npath = "/a:/b"\n', '[DATA]\npath = "/a:/b"\n    /new\n'),
        ("[DATA]\npath =\n  # was /b\n  /b\n", "[DATA]\npath =\n  # was /b\n  /b:/new\n"),
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


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(DataError, match="a shell variable that is not set"):
        add_data_path("")


def test_without_a_home_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no home directory; set NIPY_USER_DIR"):
        add_data_path("/a")
    assert "~" not in os.listdir(tmp_path)


def test_a_link_out_of_destdir_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_SYSTEM_DIR", "/etc/nipy")
    (tmp_path / "host").mkdir()
    (tmp_path / "stage" / "etc").mkdir(parents=True)
    (tmp_path / "stage" / "etc" / "nipy").symlink_to(tmp_path / "host")
    with pytest.raises(DataError, match="leads out of it"):
        add_data_path("/usr/share/nipy", system="lab", destdir=tmp_path / "stage")
    assert os.listdir(tmp_path / "host") == []


def test_line_ends_and_byte_order_mark_stay(user_ini: Path) -> None:
    user_ini.write_bytes(b"\xef\xbb\xbf[DATA]\r\npath = /a\r\n")
    add_data_path("/new")
    assert user_ini.read_bytes() == b"\xef\xbb\xbf[DATA]\r\npath = /a:/new\r\n"


def test_the_owner_of_a_file_stays(user_ini: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, who alone can give files away")
    user_ini.write_text("[DATA]\npath = /a\n")
    os.chown(user_ini, 65534, 65534)
    add_data_path("/new")
    assert (user_ini.stat().st_uid, user_ini.stat().st_gid) == (65534, 65534)


def test_a_protected_file_is_left_alone(user_ini: Path) -> None:
    user_ini.write_text("[DATA]\npath = /a\n")
    user_ini.chmod(0o444)
    with pytest.raises(DataError, match="is write-protected"):
        add_data_path("/new")


def test_what_a_killed_writer_left_is_removed(user_ini: Path) -> None:
    left = user_ini.with_name(".config.ini.4194399.abcd.nibabel-data-tmp")
    left.write_text("")
    alive = left.with_name(f".config.ini.{os.getpid()}.abcd.nibabel-data-tmp")
    alive.write_text("")
    for file in (left, alive):
        os.utime(file, (1, 1))
    add_data_path("/new")
    alive.unlink()
    assert os.listdir(user_ini.parent) == ["config.ini"]


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
