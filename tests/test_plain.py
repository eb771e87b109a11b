"""Where plain words are read without argparse, argparse reads the same in them."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data.cli import arguments
from nibabel_data.cli.commandline import VERBS, parser, read_by_argparse, read_words
from nibabel_data.cli.plain import Plain

PARSERS = {name: parser(name) for name in VERBS}
OPTIONS = sorted(
    {
        option
        for name in VERBS
        for action in PARSERS[name]._subparsers._group_actions[0].choices[name]._actions  # type: ignore
        for option in action.option_strings
    }
)
WORDS = [*OPTIONS, "--al", "--js", "--", "-", "", "-1", "--all=1", "bash", "minor", "add", "a", "b"]


def by_argparse(words: list[str]) -> dict[str, object] | None:
    silent = io.StringIO()
    with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
        try:
            return vars(read_by_argparse(PARSERS[words[0]], words))
        except SystemExit:
            return None


def by_plain(words: list[str]) -> dict[str, object] | None:
    plain = Plain(verb=words[0])
    arguments.declare(plain, VERBS[words[0]])
    values = plain.read(words[1:])
    return None if values is None else vars(values)


@settings(max_examples=1000, deadline=None)
@given(verb=st.sampled_from(sorted(VERBS)), words=st.lists(st.sampled_from(WORDS), max_size=4))
def test_they_never_disagree(verb: str, words: list[str]) -> None:
    plain = by_plain([verb, *words])
    assert plain is None or plain == by_argparse([verb, *words])


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "a/b"],
        ["verify", "--all", "--json"],
        ["find", "a/b", "c", "d"],
        ["find", "a/b"],
        ["find", "a/b", "--json", "c"],
        ["verify", "a", "--all", "b"],
        ["list"],
        ["lock", "a/b", "--json"],
        ["remove", "a/b", "c/d"],
        ["check"],
    ],
)
def test_plain_words_need_no_argparse(words: list[str]) -> None:
    assert by_plain(words) == by_argparse(words) != None  # noqa: E711


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "--jobs", "2"],
        ["verify", "--help"],
        ["verify", "--nonsense"],
        ["find"],
        ["remove"],
        ["check", "a", "b"],
        ["config", "add", "x"],
        ["completion", "bash"],
        ["bundle", "a"],
        ["install", "a.zip"],
    ],
)
def test_the_rest_is_left_to_argparse(words: list[str]) -> None:
    assert by_plain(words) is None


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("fetch a/b --offline c d", {"spec": "a/b", "patterns": ["c", "d"], "offline": True}),
        ("fetch a/b --jobs 2 b/**", {"spec": "a/b", "patterns": ["b/**"], "jobs": 2}),
        ("fetch --jobs 2 a/b c --offline d", {"spec": "a/b", "patterns": ["c", "d"], "jobs": 2}),
        ("find a/b --json c", {"spec": "a/b", "parts": ["c"], "json": True}),
        ("bundle a/b -o x.zip c/d", {"specs": ["a/b", "c/d"], "output": "x.zip"}),
        ("bump minor", {"part": "minor", "directory": "."}),
        ("verify a/b --jobs 2 c/d", {"specs": ["a/b", "c/d"], "jobs": 2}),
        ("mech compile a --jobs 2 b", {"action": "compile", "assets": ["a", "b"], "jobs": 2}),
    ],
)
def test_options_stand_anywhere(words: str, values: dict[str, object]) -> None:
    found = vars(read_words(words.split()))
    assert found["verb"] == words.split()[0]
    assert {name: found[name] for name in values} == values


def test_what_follows_two_dashes_is_no_option() -> None:
    assert vars(read_words(["find", "a/b", "--json", "--", "c"]))["parts"] == ["c"]
    assert vars(read_words(["find", "--json", "a/b", "--", "-c"]))["parts"] == ["-c"]


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ("find a/b --nonsense c", "usage: nibabel-data find "),
        ("check a b", "usage: nibabel-data check "),
        ("fetch --offline", "usage: nibabel-data fetch "),
        ("config add", "usage: nibabel-data config add "),
        ("config", "usage: nibabel-data config "),
        ("mech compile --nonsense", "usage: nibabel-data mech compile "),
        ("nonsense", "usage: nibabel-data "),
    ],
)
def test_an_error_shows_the_usage_of_its_verb(
    words: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_words(words.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(usage)
