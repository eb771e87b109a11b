"""What is preferred, in four scopes; the file that keeps it for every script."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data import ini
from nibabel_data.errors import DataWarning, MechanismError
from nibabel_data.mechanisms import preferences
from nibabel_data.mechanisms.preferences import (
    context,
    global_file,
    global_preferences,
    in_force,
    select,
    select_globally,
)


@pytest.fixture(autouse=True)
def nothing_selected() -> Iterator[None]:
    yield
    preferences._script = {}
    assert preferences._contexts.get() == ()


def said(asset: str = "Kv1") -> list[tuple[str, str | None, str | None]]:
    return [(one.scope, one.pkg, one.variant) for one in in_force(asset)]


def test_the_innermost_scope_stands_first() -> None:
    assert said() == []
    select_globally("Kv1", pkg="d")
    select("Kv1", pkg="c", variant="1")
    assert said() == [("script", "c", "1"), ("global", "d", None)]
    with context(pkg="b"), context(assets={"Kv1": {"package": "a"}, "Na": "2"}, variant="3"):
        assert said() == [
            ("context", "a", None),
            ("context", None, "3"),
            ("context", "b", None),
            ("script", "c", "1"),
            ("global", "d", None),
        ]
        assert said("Na")[0] == ("context", None, "2")
        assert said("other") == [("context", None, "3"), ("context", "b", None)]
    assert said() == [("script", "c", "1"), ("global", "d", None)]


def test_unset_forgets_what_is_around() -> None:
    select("Kv1", pkg="c")
    with context(pkg="b"):
        with context(assets={"Kv1": {"unset": True}}, variant="x"):
            assert said() == [("context", None, None)]
            assert said("Na") == [("context", None, "x"), ("context", "b", None)]
            with context(assets={"Kv1": {"pkg": "a"}}):
                assert said() == [("context", "a", None), ("context", None, None)]
        with context(assets={"Kv1": {"unset": True, "variant": "v"}}):
            assert said() == [("context", None, "v")]


def test_select_again_and_no_more() -> None:
    select("Kv1", pkg="a")
    select("Kv1", variant=1)  # type: ignore[arg-type]
    assert said() == [("script", None, "1")]
    select("Kv1")
    select("Kv1")
    assert said() == []
    select("Kv1", pkg="a", glbl=True)
    assert said() == [("global", "a", None)]


def test_numbers_are_variants() -> None:
    select("Kv1", variant=0)  # type: ignore[arg-type]
    select_globally("Kv1", variant=0)  # type: ignore[arg-type]
    outer = context(variant=0)  # type: ignore[arg-type]
    with outer, context({"Kv1": 0}), context({"Kv1": {"variant": 0}}):
        assert {one[2] for one in said()} == {"0"}
        assert len(said()) == 5


@pytest.mark.parametrize(
    ("assets", "problem"),
    [({"Kv1": {"packages": "x"}}, "Kv1'] has packages: only"), ({"Kv1": ("a",)}, "a dict such as")],
)
def test_assets_that_make_no_sense(assets: dict[str, object], problem: str) -> None:
    with pytest.raises(MechanismError, match=problem.replace("]", r"\]")):
        context(assets=assets)  # type: ignore[arg-type]


def test_an_error_ends_the_context() -> None:
    with pytest.raises(ZeroDivisionError), context(pkg="a"):
        raise ZeroDivisionError
    assert said() == []


def test_one_context_entered_again() -> None:
    lab = context(pkg="lab")
    with lab:
        with context(pkg="b"), lab:
            assert [one[1] for one in said()] == ["lab", "b", "lab"]
        assert [one[1] for one in said()] == ["lab"]


def test_threads_have_contexts_of_their_own_and_share_select() -> None:
    lab, seen, barrier = context(pkg="lab"), {}, threading.Barrier(2, timeout=10)
    select("Kv1", pkg="script")

    def first() -> None:
        with lab:
            barrier.wait()
            seen["first"] = said()
            barrier.wait()
        barrier.wait()

    def second() -> None:
        with context(pkg="other"):
            barrier.wait()
            with lab:
                seen["second"] = said()
                barrier.wait()
                barrier.wait()  # the first has left the context that both are in
                seen["left"] = said()

    with context(pkg="main"):
        threads = [threading.Thread(target=one) for one in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    script = ("script", "script", None)
    assert seen["first"] == [("context", "lab", None), script]
    assert seen["second"] == [("context", "lab", None), ("context", "other", None), script]
    assert seen["left"] == seen["second"]


def test_tasks_have_contexts_of_their_own() -> None:
    lab = context(pkg="lab")

    async def task(pkg: str) -> list[str | None]:
        with lab, context(pkg=pkg):
            await asyncio.sleep(0.001)
            return [one[1] for one in said()]

    async def all_of_them() -> list[list[str | None]]:
        with context(pkg="outer"):
            return list(await asyncio.gather(*(task(str(i)) for i in range(5))))

    assert asyncio.run(all_of_them()) == [[str(i), "lab", "outer"] for i in range(5)]


def test_how_a_preference_is_told() -> None:
    select("Kv1", pkg="a", variant="1")
    select_globally("Kv1", variant="2")
    with (
        context(pkg="b"),
        context({"Kv1": {"package": "c", "unset": False}, "Na": {"unset": True}}),
    ):
        assert [str(one) for one in in_force("Kv1")] == [
            "context(assets={'Kv1': {'package': 'c'}})",
            "context(pkg='b')",
            "select('Kv1', pkg='a', variant='1')",
            f"global preference of Kv1 in {global_file()} (variant='2')",
        ]
        assert str(in_force("Na")[0]) == "context(assets={'Na': {'unset': True}})"


PARTS = st.sampled_from(["a", "b", None])
SCOPES = st.lists(st.tuples(st.booleans(), PARTS, PARTS), max_size=5)


@settings(max_examples=100, deadline=None)
@given(SCOPES)
def test_any_nesting(scopes: list[tuple[bool, str | None, str | None]]) -> None:
    with ExitStack() as stack:
        expected = []
        for of_all, pkg, variant in scopes:
            if of_all:
                stack.enter_context(context(pkg=pkg, variant=variant))
            else:
                stack.enter_context(context({"Kv1": {"package": pkg, "variant": variant}}))
            if not of_all or pkg or variant:
                expected.insert(0, ("context", pkg, variant))
        assert said() == expected
    assert said() == []


# The file


def test_the_file_is_made_and_changed_and_emptied() -> None:
    path = Path(select_globally("Kv1", pkg="lab-mods", variant="high"))
    assert path == Path(global_file())
    assert path.read_text() == (
        "# Preferred packages and variants of mechanisms; nibabel-data mech select\n"
        "\n[Kv1]\npkg = lab-mods\nvariant = high\n"
    )
    select_globally("kv1", pkg="other@dist")  # asset names differ in case
    assert set(global_preferences()) == {"Kv1", "kv1"}
    select_globally("Kv1", pkg="b")
    assert said() == [("global", "b", None)]
    select_globally("Kv1")
    select_globally("never")
    assert set(global_preferences()) == {"kv1"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


BY_HAND = """\
; mine
[Kv1]
# because of the paper
PKG : lab
  continued
note = keep
variant = 0

[other]   # not a comment
unknown = 1
text = one
  two

[last]
variant = 3"""


def test_a_file_edited_by_hand_loses_nothing() -> None:
    path = Path(global_file())
    path.parent.mkdir(parents=True)
    path.write_text(BY_HAND)
    select_globally("Kv1", pkg="new")
    expected = BY_HAND.replace(
        "[Kv1]\n# because of the paper\nPKG : lab\n  continued\nnote = keep\nvariant = 0\n",
        "[Kv1]\npkg = new\n# because of the paper\nnote = keep\n",
    )
    assert path.read_text() == expected + "\n"
    select_globally("last")
    assert path.read_text() == expected.replace("[last]\nvariant = 3", "")
    select_globally("Kv1")
    assert "[Kv1]\n# because of the paper\nnote = keep\n" in path.read_text()
    assert global_preferences() == {}
    select_globally("Na", variant="1")
    assert path.read_text().endswith("\n[Na]\nvariant = 1\n")


NAMES = st.sampled_from(["A", "B", "b"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, PARTS, PARTS), max_size=8))
def test_any_sequence_of_changes(changes: list[tuple[str, str | None, str | None]]) -> None:
    text, expected = "# head\n[X]\nkept = 1\n", {}
    for asset, pkg, variant in changes:
        text = preferences._edited(text, preferences.Preference("global", asset, pkg, variant))
        expected.pop(asset, None)
        if pkg or variant:
            expected[asset] = {k: v for k, v in (("pkg", pkg), ("variant", variant)) if v}
    sections = ini.parse(text, "x")
    assert {k: v[0] for k, v in sections.pop("X").items()} == {"kept": "1"}
    found = {name: {k: v[0] for k, v in options.items()} for name, options in sections.items()}
    assert found == expected


@pytest.mark.parametrize("content", [b"no section\n", b"[A]\n[A]\n", b"\xff", b"[A\n"])
def test_a_damaged_file_is_warned_of_and_left_alone(content: bytes) -> None:
    path = Path(global_file())
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.warns(DataWarning, match="preferences of mechanisms cannot be read"):
        assert global_preferences() == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert said() == []  # once
    with pytest.raises(MechanismError, match="mechanisms.ini"):
        select_globally("Kv1", pkg="a")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("a b", "x"),
        ("a__b", "x"),
        ("A]", "x"),
        ("A", "x\ny"),
        ("A", "--"),
        ("A", "x", "y z"),
        ("A", ""),
    ],
)
def test_names_that_cannot_be(arguments: tuple[str, ...]) -> None:
    with pytest.raises(MechanismError):
        select_globally(*arguments)
    assert not os.path.exists(global_file())


def test_a_directory_that_cannot_be_written(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", str(public_tmp))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(public_tmp / "cache"))
    denied = pytest.raises(MechanismError, match="preference of Kv1 cannot be kept.*ermission")
    with unprivileged(), denied:
        select_globally("Kv1", pkg="a")
    monkeypatch.setenv("NIPY_USER_DIR", str(public_tmp / "file"))
    (public_tmp / "file").write_text("")
    with pytest.raises(MechanismError, match="cannot be kept"):
        select_globally("Kv1", pkg="a")


def test_processes_that_select_at_once() -> None:
    code = (
        "import sys; from nibabel_data.mechanisms.preferences import select_globally\n"
        "for i in range(5): select_globally(f'A{sys.argv[1]}x{i}', pkg='lab')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert len(global_preferences()) == 30


def test_another_process_is_seen() -> None:
    select_globally("Kv1", pkg="a")
    assert said() == [("global", "a", None)]
    code = (
        "from nibabel_data.mechanisms.preferences import select_globally\n"
        "select_globally('Kv1', pkg='b')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert said() == [("global", "b", None)]
    os.unlink(global_file())
    assert said() == []
