"""Where plain words are read without argparse, argparse reads the same in them."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data.cli import arguments
from nibabel_data.cli.commandline import VERBS, parser
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
            return vars(PARSERS[words[0]].parse_args(words))
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
        ["verify", "a", "--all", "b"],
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
