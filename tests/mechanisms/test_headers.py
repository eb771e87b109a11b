"""NEURON's headers, compiled once for many mechanisms."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nibabel_data.mechanisms import headers, library
from nibabel_data.mechanisms.building import LIBRARY, translate_and_compile
from nibabel_data.mechanisms.headers import precompiled_header
from nibabel_data.mechanisms.library import toolchain
from nibabel_data.mechanisms.source import prepare

from .compilers import Compiler, mechanism, needs_compiler, quick_compiler
from .conftest import PAS

pytestmark = needs_compiler

KINETIC = (
    PAS.replace("BREAKPOINT {", "STATE { a b }\nBREAKPOINT {\n    SOLVE s METHOD sparse")
    + """
KINETIC s {
    ~ a <-> b (g*exp(-v/10), 0.1)
    CONSERVE a + b = 1
}
FUNCTION f(x (mV)) { f = exp(x/25) }
"""
)


@pytest.fixture(autouse=True)
def nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_refused", set())


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = quick_compiler(tmp_path / "compiler")
    monkeypatch.setenv("CXX", str(compiler.path))
    return compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that has the headers."""
    folder = tmp_path_factory.mktemp("headers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", str(quick_compiler(folder / "compiler").path))
        assert precompiled_header(str(folder / "cache"), toolchain())
    return folder / "cache"


def compiled(tmp_path: Path, name: str, text: str, *, precompiled: bool) -> Path:
    folder = tmp_path / f"{name}-{precompiled:d}"  # its length is seen in the library
    folder.mkdir()
    source = prepare(mechanism(tmp_path / "Pas.mod", text))
    translate_and_compile(str(folder), source, toolchain(), precompiled)
    return folder / LIBRARY


def machine_code(path: Path) -> str:
    command = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return out.replace(str(path), "")


def test_it_is_made_once(tmp_path: Path, quick: Compiler) -> None:
    flags = [precompiled_header(str(tmp_path / "cache"), toolchain()) for _ in range(3)]
    assert flags[0][0] == "-include"
    assert flags[0] == flags[1] == flags[2]
    assert quick.runs == 1
    assert Path(f"{flags[0][1]}.gch").stat().st_size > 100_000
    assert toolchain().digest() in flags[0][1]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump: apt install binutils")
def test_the_machine_code_is_the_same_as_without(tmp_path: Path) -> None:
    one = compiled(tmp_path, "kinetic", KINETIC, precompiled=True)
    other = compiled(tmp_path, "kinetic", KINETIC, precompiled=False)
    assert machine_code(one) == machine_code(other)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_header_that_is_damaged_is_done_without(
    damage: str, tmp_path: Path, quick: Compiler, made: Path
) -> None:
    shutil.copytree(made, library.cache_directory())
    _, header = precompiled_header(library.cache_directory(), toolchain())
    assert quick.runs == 0
    content = bytearray(Path(f"{header}.gch").read_bytes())
    content[20] ^= 0xFF
    if damage == "gone":
        os.unlink(header)
    else:
        end = len(content) // (2 if damage == "truncated" else 1)
        Path(f"{header}.gch").write_bytes(content[:end])
    assert compiled(tmp_path, damage, PAS, precompiled=True).stat().st_size


def test_where_it_cannot_be_kept_it_is_tried_once(tmp_path: Path, quick: Compiler) -> None:
    (tmp_path / "file").touch()
    for _ in range(3):
        assert precompiled_header(str(tmp_path / "file"), toolchain()) == []
    assert quick.runs == 0


def test_a_compiler_that_makes_none_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = Compiler(tmp_path / "picky", "exit 1\n", "picky 1.0")
    monkeypatch.setenv("CXX", str(picky.path))
    for _ in range(3):
        assert precompiled_header(str(tmp_path / "cache"), toolchain()) == []
    assert picky.runs == 1
    assert not list(tmp_path.rglob("*staging*"))


def test_none_for_clang_and_where_there_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Compiler(tmp_path / "clang", "exit 0\n", "Debian clang version 14")
    monkeypatch.setenv("CXX", str(clang.path))
    assert precompiled_header(str(tmp_path / "cache"), toolchain()) == []
    assert clang.runs == 0
    monkeypatch.setenv("CXX", "/no/compiler")
    assert precompiled_header(str(tmp_path / "cache"), toolchain()) == []
