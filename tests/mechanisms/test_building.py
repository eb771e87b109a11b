"""From a source to a library: what each step says when it fails."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError
from nibabel_data.mechanisms.building import LIBRARY, translate, translate_and_compile
from nibabel_data.mechanisms.library import toolchain
from nibabel_data.mechanisms.source import prepare

from .compilers import Compiler, mechanism, needs_compiler, quick_compiler, run_in_neuron
from .conftest import PAS

pytestmark = needs_compiler

C_ERROR = PAS + "VERBATIM\n  int x = no_such_name;\nENDVERBATIM\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "staged"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = quick_compiler(tmp_path / "compiler")
    monkeypatch.setenv("CXX", str(compiler.path))
    return compiler


def make(folder: Path, text: str, *, precompiled: bool = False) -> dict[str, object]:
    source = prepare(mechanism(folder.parent / "Pas.mod", text))
    return translate_and_compile(str(folder), source, toolchain(), precompiled)


def refused(folder: Path, text: str) -> BuildError:
    with pytest.raises(BuildError) as caught:
        make(folder, text)
    return caught.value


def test_the_library_is_one_that_neuron_takes(folder: Path, quick: Compiler) -> None:
    record = make(folder, PAS)
    assert record["name"] == "glia__lab__Pas__0"
    assert record["source"] == str(folder.parent / "Pas.mod")
    assert str(record["compiler"]).startswith("g++")
    assert json.dumps(record)
    assert quick.runs == 1
    run_in_neuron((folder / LIBRARY, "glia__lab__Pas__0"), directory=folder)


def test_only_translated(folder: Path) -> None:
    source = prepare(mechanism(folder.parent / "Pas.mod"))
    assert translate(str(folder), source, toolchain().neuron) == "glia__lab__Pas__0.cpp"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (PAS.replace("i = g*(v - e)", "i = g*(v - e"), 21, "syntax error"),
        (PAS + "BREAKPOINT {\n", 22, "syntax error"),
        (PAS + "FUNCTION g(x) { g = x }\n", 22, "g used as both variable and function"),
        ("NEURON { SUFFIX NAME }\nBREAKPOINT { SOLVE no METHOD cnexp }\n", 2, "no"),
    ],
)
def test_what_the_translator_refuses(
    text: str, line: int | None, told: str, folder: Path, quick: Compiler
) -> None:
    error = refused(folder, text)
    assert str(error) == ""
    assert told in error.first_error
    if line is not None:
        assert error.line is not None
        assert abs(error.line - line) <= 1, error.first_error
    assert quick.runs == 0


def test_what_the_compiler_refuses(folder: Path) -> None:
    error = refused(folder, C_ERROR)
    assert "no_such_name" in error.first_error
    assert C_ERROR.splitlines()[(error.line or 0) - 1] == "  int x = no_such_name;"


def test_an_error_in_a_header_beside_the_source(tmp_path: Path) -> None:
    place = tmp_path / "with a blank"
    (place / "staged").mkdir(parents=True)
    (place / "bad.h").write_text("int x = no_such_name;\n")
    error = refused(place / "staged", PAS + 'VERBATIM\n#include "bad.h"\nENDVERBATIM\n')
    assert "'no_such_name' was not declared" in error.first_error


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("kill -11 $$\n", r"c\+\+ crashed with signal 11"),
        ("echo 'ccache: error: read-only file system' >&2; exit 1\n", r"ccache: error: read-only"),
        ("exit 3\n", r"exit status 3"),
        ("echo 'cc1plus: fatal error: cannot execute' >&2; exit 1\n", r"cannot execute"),
    ],
)
def test_where_the_compiler_itself_fails_no_source_is_at_fault(
    body: str, told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Compiler(tmp_path / "broken", body, "broken 1.0")
    monkeypatch.setenv("CXX", str(broken.path))
    with pytest.raises(
        BuildError, match=rf"nothing can be built.*broken 1\.0[^$]*{told}"
    ) as caught:
        make(folder, PAS)
    assert caught.value.first_error == ""


def test_a_compiler_that_is_killed_is_not_tried_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = Compiler(tmp_path / "victim", "kill -9 $$\n", "victim 1.0")
    monkeypatch.setenv("CXX", str(victim.path))
    assert refused(folder, PAS).first_error == "c++ was Killed by signal 9"
    assert victim.runs == 1


def test_of_the_linker_the_reason_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "echo 'collect2: error: ld returned 1 exit status' >&2\n"
        "echo '/usr/bin/ld: final link failed: No space left on device' >&2\nexit 1\n"
    )
    monkeypatch.setenv("CXX", str(Compiler(tmp_path / "full", body, "full 1.0").path))
    assert refused(folder, PAS).first_error.endswith("final link failed: No space left on device")


def test_a_compiler_that_cannot_be_started(
    folder: Path, quick: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = toolchain()
    tools.digest()
    monkeypatch.setattr("nibabel_data.mechanisms.toolchain._says", lambda *_: "gone 1.0")
    quick.path.write_bytes(b"no program")
    source = prepare(mechanism(folder.parent / "Pas.mod"))
    with pytest.raises(BuildError, match=r"cannot run .*: exec format error"):
        translate_and_compile(str(folder), source, tools, False)


def test_nothing_of_a_probe_stays(folder: Path) -> None:
    refused(folder, C_ERROR)
    assert all(entry.is_file() for entry in os.scandir(folder))


def test_what_does_not_build_with_precompiled_headers_is_built_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'case "$*" in *"-include "*) exit 1;; *) exec g++ "$@" -O0;; esac\n'
    compiler = Compiler(tmp_path / "picky", body)
    monkeypatch.setenv("CXX", str(compiler.path))
    make(folder, PAS, precompiled=True)
    assert (folder / LIBRARY).exists()
    assert compiler.runs == 3  # the headers, with them, without them


def test_the_environment_s_language_does_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    assert "was not declared" in refused(folder, C_ERROR).first_error


def test_make_and_perl_are_not_needed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = tmp_path / "only"
    only.mkdir()
    for name in ("g++", "as", "ld"):
        os.symlink(str(shutil.which(name)), only / name)
    monkeypatch.setenv("PATH", str(only))
    monkeypatch.delenv("CXX")
    make(folder, PAS)
    run_in_neuron((folder / LIBRARY, "glia__lab__Pas__0"), directory=folder)
