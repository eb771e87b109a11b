from __future__ import annotations

import configparser
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import ConfigError, DataError, ini

# Texts made of the pieces on which parsers of ini files differ.
SECTIONS = ["[DATA]", "[DEFAULT]", "[a]b]", "[]"]
WORDS = ["path", "Path", "version", "rem ", "/a:/b", "0.3", "%", "%(a)s", '"', "#", ";"]
SIGNS = ["=", ":", " = ", " ", "\t", "\n", "\n", "\n", "\r\n", "\r"]
ODDITIES = ["\x0b", "\x1c", "\u2028", "\xa0", "é", "\0"]
piece = st.sampled_from([*SECTIONS, *WORDS, *SIGNS, *ODDITIES])
ini_like = st.lists(piece, max_size=25).map("".join) | st.text(max_size=60)


def by_configparser(text: str) -> dict[str, dict[str, str]] | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    sections = {name: dict(parser[name]) for name in parser.sections()}
    return {"DEFAULT": dict(parser.defaults()), **sections}


@given(ini_like)
def test_values_are_those_of_configparser(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as read_text returns it
    expected = by_configparser(text)
    if expected is None:
        with pytest.raises(ConfigError):
            ini.parse(text, "a.ini")
        return
    sections = ini.parse(text, "a.ini")
    defaults = {option: value for option, (value, _) in sections.get("DEFAULT", {}).items()}
    found = {
        name: {**defaults, **{option: value for option, (value, _) in options.items()}}
        for name, options in {"DEFAULT": {}, **sections}.items()
    }
    assert found == expected


@given(ini_like)
def test_lines_are_lines_of_the_text(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        sections = ini.parse(text, "a.ini")
    except ConfigError:
        return
    lines = text.split("\n")
    for options in sections.values():
        for option, (_, line) in options.items():
            assert option in lines[line - 1].lower()


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_a_config_error(content: bytes) -> None:
    path = os.path.join(os.environ["HOME"], "any.ini")
    Path(path).write_bytes(content)
    try:
        text, _ = ini.read_text(path)
        ini.parse(text, path)
    except DataError as error:
        assert path in str(error)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("version = 0.3\n", 1, "before any [SECTION]"),
        ("[A]\nx = 1\nX = 2\n", 3, "a second 'x' in [A]"),
        ("[A]\n[B]\n[A]\n", 3, "a second [A]"),
        ("[A]\n\nnonsense\n", 3, "neither [SECTION] nor 'key = value': 'nonsense'"),
    ],
)
def test_malformed_text_names_the_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ini.parse(text, "a.ini")
    assert (caught.value.path, caught.value.line) == ("a.ini", line)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"a.ini, line {line}: ")


def test_values_over_several_lines_have_the_line_of_their_key() -> None:
    text = "[DEFAULT]\nx = 1\n[A]\n# c\ny: 1\n  2\nz = 3\n"
    assert ini.parse(text, "a.ini") == {
        "DEFAULT": {"x": ("1", 2)},
        "A": {"y": ("1\n2", 5), "z": ("3", 7)},
    }


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_bytes(b"\xef\xbb\xbf[A]\r\nx = 1\ry = 2\n")
    assert ini.parse(ini.read_text(str(file))[0], "a") == {"A": {"x": ("1", 2), "y": ("2", 3)}}


def test_latin_1_names_the_line_and_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_bytes("[A]\nx = é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"line 2: not UTF-8 text \(byte 0xe9\)"):
        ini.read_text(str(file))


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ini")
    with pytest.raises(ConfigError, match="not a regular file"):
        ini.read_text(str(tmp_path / "a.ini"))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        ini.read_text(str(tmp_path))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConfigError, match="too many for such a file"):
        ini.read_text(str(file))


def test_a_file_without_a_size_is_read_whole() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    assert "VmSize" in ini.read_text("/proc/self/status")[0]


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_impossible_names(path: str) -> None:
    with pytest.raises(ConfigError, match="no file can have this name"):
        ini.read_text(path)


def test_a_file_of_this_moment_is_not_settled(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_text("[A]\n")
    _, seen = ini.read_text(str(file))
    now = time.time_ns()
    assert not ini.settled(seen, now)
    assert ini.settled(seen, now + 3_000_000_000)
