from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel.data
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import ConfigError, DataWarning, get_data_path, search_path, searchpath
from nibabel_data.searchpath import data_entries


def write_ini(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def age(path: Path) -> None:
    """Make a file one that was written long ago, as far as its signature tells."""
    searchpath.ini._SETTLE_NS, kept = -1, searchpath.ini._SETTLE_NS
    try:
        get_data_path()
    finally:
        searchpath.ini._SETTLE_NS = kept
    assert str(path) in searchpath._files


@pytest.fixture
def user_ini() -> Path:
    return Path(os.environ["HOME"], ".nipy", "config.ini")


@pytest.fixture
def system_dir() -> Path:
    return Path(os.environ["NIPY_SYSTEM_DIR"])


def test_the_order_of_the_sources(
    user_ini: Path, system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", os.pathsep.join(["/variable/1", "/variable/2"]))
    write_ini(user_ini, "[DATA]\npath = /user/ini\n")
    write_ini(system_dir / "b.ini", "[DATA]\npath = /system/b\n")
    write_ini(system_dir / "a.ini", f"[DATA]\npath = /system/a{os.pathsep}/system/a2\n")
    write_ini(system_dir / ".hidden.ini", "[DATA]\npath = /system/hidden\n")
    write_ini(system_dir / "readme.txt", "[DATA]\npath = /system/readme\n")
    assert get_data_path() == [
        "/variable/1",
        "/variable/2",
        "/user/ini",
        "/system/a",
        "/system/a2",
        "/system/b",
        os.path.join(sys.prefix, "share", "nipy"),
        str(user_ini.parent),
    ]
    assert [(root.origin.kind, root.origin.line) for root in search_path()] == [
        ("variable", None),
        ("variable", None),
        ("user file", 2),
        ("system file", 2),
        ("system file", 2),
        ("system file", 2),
        ("prefix", None),
        ("user directory", None),
    ]


def test_the_classic_sources_are_those_of_nibabel(
    user_ini: Path, system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", os.pathsep.join(["/v/1", "/v/ 2"]))
    write_ini(user_ini, "[DATA]\npath = /u\n")
    write_ini(system_dir / "z.ini", "[DATA]\nPATH: /z\n[OTHER]\na = b\n")
    write_ini(system_dir / "y.ini", f"[DEFAULT]\npath = /y{os.pathsep}/y2\n[DATA]\n")
    monkeypatch.setattr(nibabel.data, "get_nipy_system_dir", lambda: str(system_dir))
    for prefix in (sys.prefix, "/usr"):
        monkeypatch.setattr(sys, "prefix", prefix)
        classic = nibabel.data.get_data_path()
        assert get_data_path()[: len(classic)] == classic
        assert ("/usr/local/share/nipy" in classic) == (prefix == "/usr")


def test_what_does_not_exist_after_the_classic_six_is_left_out() -> None:
    assert {root.origin.kind for root in search_path()} == {"prefix", "user directory"}


@pytest.mark.parametrize("value", [":/a", "/a:", "/a::/a", "/a:/a", "/a:/a/", "/a:/x/../a"])
def test_empty_and_repeated_entries_are_dropped(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", value.replace(":", os.pathsep))
    assert [root for root in get_data_path() if root.startswith(("/a", "/x"))] == ["/a"]
    assert "" not in get_data_path()


def test_a_package_in_the_working_directory_is_not_found_by_an_empty_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIPY_DATA_PATH", os.pathsep)
    assert all(os.path.isabs(root) for root in get_data_path())


@pytest.mark.parametrize("written", ["~/data", "$HOME/data", "${HOME}/data"])
def test_home_and_variables_are_expanded(
    written: str, user_ini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.path.join(os.environ["HOME"], "data")
    write_ini(user_ini, f"[DATA]\npath = {written}\n")
    assert get_data_path()[0] == data
    write_ini(user_ini, "")
    monkeypatch.setenv("NIPY_DATA_PATH", written)
    assert get_data_path()[0] == data


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        ("[DATA]\npath = /data/100%\n", [("/data/100%", 2)]),
        ("[DATA]\npath = /data/100%%\n", [("/data/100%", 2)]),
        ("[DATA]\nbase = /b\npath = %(base)s/d\n", [("/b/d", 3)]),
        ("[DATA]\npath = /a\n  /b\n", [("/a", 2), ("/b", 3)]),
        ("[DATA]\npath =\n  /a\n  # c\n  /b\n", [("/a", 3), ("/b", 5)]),
        ("[DATA]\npath =\n  # /b is gone\n  /b\n", [("/b", 4)]),
        ("[DATA]\npath = /a\n\n  /b\n", [("/a", 2), ("/b", 4)]),
        ('[DATA]\npath = "/a b"\n', [("/a b", 2)]),
        ("[DATA]\npath = '/a':\"/b c\"\n", [("/a", 2), ("/b c", 2)]),
        ("[DATA]\npath = /a : /b\n", [("/a", 2), ("/b", 2)]),
        ("[DATA]\npath = /a ; c\n", [("/a ; c", 2)]),
        ("[DATA]\npath =\n", []),
        ("[DATA]\nother = 1\n", []),
        ("[OTHER]\npath = /a\n", []),
        ("", []),
    ],
)
def test_entries_of_an_ini_file(content: str, entries: list[tuple[str, int]]) -> None:
    if os.pathsep != ":":
        pytest.skip("the examples separate by a colon")
    assert data_entries(content, "a.ini") == entries


@given(
    st.lists(st.sampled_from(["/a", " ", ":", '"', "'", "%", "\n", "\n ", "~", "$A", "\0", "#"]))
)
def test_any_value_gives_clean_entries_or_a_config_error(pieces: list[str]) -> None:
    content = "[DATA]\npath = " + "".join(pieces)
    try:
        entries = data_entries(content, "a.ini")
    except ConfigError:
        return
    lines = content.split("\n")
    for entry, line in entries:
        assert entry == entry.strip() != ""
        assert os.pathsep not in entry
        assert entry.replace("%", "") in lines[line - 1].replace("%", "")


BROKEN = {
    "malformed": (b"[DATA\npath = /x\n", 1, "before any [SECTION]"),
    "duplicate": (b"[DATA]\npath = /x\npath = /y\n", 3, "a second 'path' in [DATA]"),
    "latin-1": ("[DATA]\npath = /é\n".encode("latin-1"), 2, "not UTF-8"),
    "wrong case": (b"[data]\npath = /x\n", None, "section [data] found, [DATA] needed"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("place", ["user", "system"])
def test_one_bad_ini_is_one_bad_entry(
    broken: str, place: str, user_ini: Path, system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, line, problem = BROKEN[broken]
    file = write_ini(user_ini if place == "user" else system_dir / "a.ini", content)
    write_ini(system_dir / "z.ini", "[DATA]\npath = /good\n")
    monkeypatch.setenv("NIPY_DATA_PATH", "/first")
    with pytest.warns(DataWarning, match="doctor") as caught:
        assert get_data_path()[:2] == ["/first", "/good"]
    assert str(file) in str(caught[0].message)
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        get_data_path()
    bad = next(root for root in search_path() if root.path is None)
    assert (bad.state, bad.origin.where, bad.origin.line) == ("malformed", str(file), line)
    assert problem in bad.problem


def test_a_byte_order_mark_is_accepted(user_ini: Path) -> None:
    write_ini(user_ini, b"\xef\xbb\xbf[DATA]\npath = /bom\n")
    assert get_data_path()[0] == "/bom"


def test_an_unreadable_ini_is_told(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", str(public_tmp))
    write_ini(public_tmp / "config.ini", "[DATA]\npath = /x\n").chmod(0)
    search_path()  # loads what it needs
    with unprivileged():
        bad = next(root for root in search_path() if root.path is None)
        with pytest.warns(DataWarning, match="permission denied"):
            get_data_path()
    assert (bad.state, bad.problem) == ("unreadable", "permission denied")


def test_states_of_roots(
    tmp_path: Path,
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    roots = search_path([tmp_path, tmp_path / "none", tmp_path / "file", tmp_path / "loop"])
    assert [root.state for root in roots] == [
        "searched",
        "missing",
        "not a directory",
        "unreadable",
    ]
    assert "symbolic links" in roots[3].problem
    (public_tmp / "closed").mkdir(mode=0)
    with unprivileged():
        (closed,) = search_path(public_tmp / "closed")
    assert (closed.state, closed.problem) == ("unreadable", "no permission to read it")


def test_a_string_is_one_search_string() -> None:
    roots = search_path(os.pathsep.join(["/a", "", "/b"]))
    assert [str(root.path) for root in roots] == ["/a", "/b"]
    assert {root.origin.kind for root in roots} == {"argument"}


def test_bytes_are_refused_with_a_clear_error() -> None:
    with pytest.raises(TypeError, match="data_path must hold str"):
        search_path([b"/a"])  # type: ignore[list-item]


@pytest.mark.parametrize("place", ["variable", "ini"])
def test_an_empty_variable_is_not_the_working_directory(
    place: str, user_ini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("TWO", os.pathsep.join(["/a", "/b"]))
    value = os.pathsep.join(["$EMPTY", "$TWO"])
    if place == "ini":
        write_ini(user_ini, f"[DATA]\npath = {value}\n")
    else:
        monkeypatch.setenv("NIPY_DATA_PATH", value)
    assert get_data_path()[:2] == ["/a", "/b"]
    assert "" not in get_data_path()


@pytest.mark.parametrize("name", ["NIPY_USER_DIR", "NIPY_SYSTEM_DIR"])
def test_a_working_directory_that_is_gone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv(name, "relative")
    assert get_data_path()


def test_a_link_that_leads_nowhere_is_told(system_dir: Path) -> None:
    (system_dir / "a.ini").symlink_to("nowhere")
    bad = next(root for root in search_path() if root.path is None)
    assert (bad.state, bad.problem) == ("unreadable", "a link that leads nowhere")


def test_files_of_the_system_are_read_in_the_order_of_their_names(
    system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "badc":
        write_ini(system_dir / f"{name}.ini", f"[DATA]\npath = /{name}\n")
    monkeypatch.setattr(os, "listdir", lambda _: ["d.ini", "b.ini", "c.ini", "a.ini"])
    assert get_data_path()[:4] == ["/a", "/b", "/c", "/d"]


def test_a_warm_system_file_that_is_edited_in_place_is_read_again(system_dir: Path) -> None:
    files = [write_ini(system_dir / f"{name}.ini", f"[DATA]\npath = /{name}\n") for name in "ab"]
    age(files[0])
    assert get_data_path()[:2] == ["/a", "/b"]
    assert str(system_dir) in searchpath._directories
    write_ini(files[1], "[DATA]\npath = /c\n")
    assert get_data_path()[:2] == ["/a", "/c"]


def test_what_is_not_settled_is_not_kept(
    user_ini: Path, system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchpath.ini, "signature", lambda status: (0, 0, 0, 0, 0))
    monkeypatch.setattr(searchpath.ini, "settled", lambda seen, now: False)
    write_ini(system_dir / "a.ini", "[DATA]\npath = /sys\n")
    write_ini(user_ini, "[DATA]\npath = /one\n")
    assert get_data_path()[:2] == ["/one", "/sys"]
    write_ini(user_ini, "[DATA]\npath = /two\n")
    write_ini(system_dir / "b.ini", "[DATA]\npath = /new\n")
    assert get_data_path()[:3] == ["/two", "/sys", "/new"]


@pytest.mark.parametrize("call", ["get_data_path()", "make_datasource('nipy/templates', None)"])
def test_a_warning_names_the_line_of_the_caller(
    call: str, user_ini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nibabel_data

    write_ini(user_ini, "nonsense")
    with pytest.warns(DataWarning) as caught:
        exec(
            compile(f"try: {call}\nexcept DataError: pass", "caller.py", "exec"),
            {name: getattr(nibabel_data, name) for name in nibabel_data.__all__}
            | {"__name__": "caller"},
        )
    assert [warning.filename for warning in caught] == ["caller.py"]


def test_changes_are_seen_at_the_next_call(
    user_ini: Path, system_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ini(user_ini, "[DATA]\npath = /one\n")
    first = write_ini(system_dir / "a.ini", "[DATA]\npath = /sys\n")
    age(user_ini)
    assert get_data_path()[:2] == ["/one", "/sys"]
    write_ini(user_ini, "[DATA]\npath = /two\n")  # as long as before
    assert get_data_path()[:2] == ["/two", "/sys"]
    age(user_ini)
    write_ini(system_dir / "b.ini", "[DATA]\npath = /new\n")
    assert get_data_path()[:3] == ["/two", "/sys", "/new"]
    age(first)
    first.unlink()
    assert get_data_path()[:2] == ["/two", "/new"]
    monkeypatch.setenv("NIPY_DATA_PATH", "/variable")
    assert get_data_path()[0] == "/variable"
    monkeypatch.setenv("NIPY_USER_DIR", "/elsewhere")
    assert "/two" not in get_data_path()


def test_two_edits_within_a_tick_of_the_clock_are_both_seen(user_ini: Path) -> None:
    for number in range(200):
        write_ini(user_ini, f"[DATA]\npath = /{number:03}\n")
        assert get_data_path()[0] == f"/{number:03}"


def test_an_edit_that_keeps_size_and_mtime_is_seen(user_ini: Path) -> None:
    write_ini(user_ini, "[DATA]\npath = /one\n")
    age(user_ini)
    status = user_ini.stat()
    time.sleep(0.02)
    write_ini(user_ini, "[DATA]\npath = /two\n")
    os.utime(user_ini, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert get_data_path()[0] == "/two"


def test_unchanged_files_are_not_read_again(
    user_ini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ini(user_ini, "[DATA]\npath = /one\n")
    age(user_ini)
    monkeypatch.setattr(searchpath.ini, "read_text", lambda path: pytest.fail(f"read {path}"))
    assert get_data_path()[0] == "/one"


def test_no_home_does_not_mean_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert all(os.path.isabs(root) for root in get_data_path())
