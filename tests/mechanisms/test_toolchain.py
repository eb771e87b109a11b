"""The parts that build: NEURON's translator and flags, and a compiler."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError, MechanismError
from nibabel_data.mechanisms import toolchain
from nibabel_data.mechanisms.toolchain import Neuron, find_compiler, find_neuron, which

from .conftest import needs_neuron

SUFFIX = "dylib" if sys.platform == "darwin" else "so"
NINE = """\
incdir := ${ROOT}/include
INCLUDES = -I. -I$(incdir) -I/of/the/builder
CXXCOMPILE = $(CXX) -O2 -std=c++17 -DHAVE_CONFIG_H
CCOMPILE = $(CC) -O2
"""
EIGHT = """\
COMPILE = $(CC) -O2 -DHAVE_CONFIG_H
CXXCOMPILE = $(CXX) -O2 -std=c++14
"""


def installation(root: Path, makefile: str = NINE) -> str:
    for name in ("bin", "lib", "include"):
        (root / name).mkdir(parents=True)
    (root / "bin" / "nocmodl").write_bytes(b"translator")
    (root / "bin" / "nrnmech_makefile").write_text(makefile)
    (root / "lib" / f"libnrniv.{SUFFIX}").write_bytes(b"core")
    return str(root)


def program(path: Path, says: str = "cc 1.0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{says}"\n')
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "CXX", "NRNHOME"):
        monkeypatch.delenv(name, raising=False)


@needs_neuron
def test_the_neuron_that_python_would_import_is_found_without_importing_it() -> None:
    neuron = find_neuron()
    assert os.access(neuron.nocmodl, os.X_OK)
    assert os.path.isfile(neuron.units)
    assert len(neuron.identity) == 16
    assert neuron.version in neuron.tag
    assert all(map(os.path.isfile, neuron.files()))


def test_without_neuron_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_import_directory", lambda: None)
    with pytest.raises(MechanismError, match=r"not installed.*\n.*pip install 'nibabel-data"):
        find_neuron()


@pytest.fixture
def imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a neuron that Python would import."""
    folder = tmp_path / "env" / "lib" / "python3" / "site-packages" / "neuron"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    spec = ModuleSpec("neuron", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    monkeypatch.delitem(sys.modules, "neuron", raising=False)
    return folder


@pytest.mark.parametrize("place", [".data", "../../../..", "named"])
def test_its_parts_are_in_the_wheel_the_prefix_or_where_the_user_says(
    place: str, imported_from: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NRNHOME", str(tmp_path / "named"))
    root = tmp_path / "named" if place == "named" else (imported_from / place).resolve()
    assert find_neuron_root(root) == str(root)


def find_neuron_root(root: Path) -> str:
    for name in ("bin", "lib", "include"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "bin" / "nocmodl").write_bytes(b"translator")
    (root / "bin" / "nrnmech_makefile").write_text(NINE)
    (root / "lib" / f"libnrniv.{SUFFIX}").write_bytes(b"core")
    return find_neuron().root


def test_without_translator_it_says_where_it_looked(
    imported_from: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    with pytest.raises(MechanismError, match=r"none of:\n  .*\.data\n[^$]*NRNHOME"):
        find_neuron()


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("neuron-9.0.2.dist-info", "9.0.2"),
        ("NEURON-8.2.6-py3.11.egg-info", "8.2.6"),
        ("neuron_nightly-9.1.dev3.dist-info", "9.1.dev3"),
        ("neuronal-1.0.dist-info", ""),
    ],
)
def test_the_version_is_what_the_metadata_say(
    name: str, version: str, imported_from: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation(imported_from / ".data")
    (imported_from.parent / name).mkdir()
    assert find_neuron().version == version


def test_flags_are_the_makefile_s_without_its_compiler(tmp_path: Path) -> None:
    root = installation(tmp_path / "nrn")
    flags = Neuron(root, "9.0.2").flags()
    assert flags == ["-O2", "-std=c++17", "-DHAVE_CONFIG_H", f"-I{root}/include"]


def test_flags_of_several_words_stay_together(tmp_path: Path) -> None:
    text = "CXXCOMPILE = /opt/builder/g++ -arch arm64 -DNAME='a b' $(CXX)\n"
    assert Neuron(installation(tmp_path / "nrn", text), "9.0").flags()[:3] == [
        "-arch",
        "arm64",
        "-DNAME=a b",
    ]


def test_neuron_8_writes_c(tmp_path: Path) -> None:
    root = installation(tmp_path / "eight", EIGHT)
    assert Neuron(root, "8.2.6").writes_c
    assert Neuron(root, "").writes_c  # the makefile says so
    assert Neuron(root, "8.2.6").flags()[:2] == ["-O2", "-DHAVE_CONFIG_H"]
    assert not Neuron(installation(tmp_path / "nine"), "").writes_c


@pytest.mark.parametrize("part", ["bin/nocmodl", "bin/nrnmech_makefile", f"lib/libnrniv.{SUFFIX}"])
def test_identity_follows_each_part_and_not_the_place(tmp_path: Path, part: str) -> None:
    one = Neuron(installation(tmp_path / "one"), "9.0.2")
    other = installation(tmp_path / "other")
    assert Neuron(other, "9.0.2").identity == one.identity
    with open(os.path.join(other, part), "ab") as file:
        file.write(b"# more\n")
    assert Neuron(other, "9.0.2").identity != one.identity


def test_a_neuron_without_its_library_is_told(tmp_path: Path) -> None:
    root = installation(tmp_path / "nrn")
    os.unlink(os.path.join(root, "lib", f"libnrniv.{SUFFIX}"))
    with pytest.raises(MechanismError, match=r"libnrniv.* is not in"):
        Neuron(root, "9.0.2")


def test_the_usual_compiler_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = program(tmp_path / "b" / "clang++", "clang 14")
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}:")
    assert find_compiler().command == [str(last)]
    assert find_compiler().version == "clang 14"
    first = program(tmp_path / "b" / "g++")
    assert find_compiler().command == [str(first)]
    with pytest.raises(BuildError, match=r"no compiler for C: gcc or cc or clang is not on PATH"):
        find_compiler(c=True)


@pytest.mark.parametrize("variable", ["CC", "CXX"])
def test_a_chosen_compiler_comes_first(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = program(tmp_path / "my compiler", "mine 3")
    monkeypatch.setenv(variable, f"'{chosen}' -march=native")
    compiler = find_compiler(c=variable == "CC")
    assert compiler.command == [str(chosen), "-march=native"]
    assert compiler.version == "mine 3"


def test_a_relative_name_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = program(tmp_path / "bin" / "mycc")  # each build has a working directory of its own
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "bin/mycc")
    assert find_compiler().command == [str(chosen)]
    monkeypatch.setenv("CXX", "mycc")
    monkeypatch.setenv("PATH", "bin")
    assert find_compiler().command == [str(chosen)]


def test_of_a_compiler_behind_another_the_version_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "ccache"
    launcher.write_text('#!/bin/sh\nexec "$@"\n')
    launcher.chmod(0o755)
    behind = program(tmp_path / "g++-14", "g++ 14")
    monkeypatch.setenv("CXX", f"{launcher} {behind}")
    cache = str(tmp_path / "cache")
    assert find_compiler(cache=cache).version == "g++ 14"
    assert find_compiler(cache=cache).files() == [str(launcher), str(behind)]
    program(behind, "g++ 14.2")
    assert find_compiler(cache=cache).version == "g++ 14.2"


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("/no/such/g++", r"CXX=/no/such/g\+\+: /no/such/g\+\+ is no program"),
        ("no-such-compiler -O1", r"CXX=.*: no-such-compiler is not on PATH"),
        ("'unbalanced", r"CXX='unbalanced: 'unbalanced is not on PATH"),
        ("/", r"CXX=/: / is no program"),
    ],
)
def test_a_chosen_compiler_that_is_not_there(
    chosen: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", chosen)
    with pytest.raises(BuildError, match=rf"no compiler for C\+\+: {told}[^$]*apt install g\+\+"):
        find_compiler()


def test_a_compiler_that_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "g++")
    broken.write_bytes(b"\x7fELF of another machine")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"g\+\+ cannot be run: exec format error"):
        find_compiler()
    program(tmp_path / "c++", "c++ 1")
    assert find_compiler().version == "c++ 1"


def test_what_it_says_is_kept_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    compiler = tmp_path / "g++"
    program(compiler, f"one$(echo x >> '{log}')")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cache = tmp_path / "cache"
    assert [find_compiler(cache=str(cache)).version for _ in range(3)] == ["one"] * 3
    assert log.read_text() == "x\n"
    program(compiler, "two and more")
    assert find_compiler(cache=str(cache)).version == "two and more"
    for broken in ("", "[]", '{"a": 3}', "7", "{" * 9):
        (cache / "compilers.json").write_text(broken)
        assert find_compiler(cache=str(cache)).version == "two and more"


def test_programs_are_found_as_a_shell_would(tmp_path: Path) -> None:
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tool").write_text("not executable")
    tool = program(tmp_path / "c" / "tool")
    path = os.pathsep.join(str(tmp_path / name) for name in "abc")
    assert which("tool", path) == str(tool)
    assert which("tool", "") is None
    assert which(str(tool), "") == str(tool)
    assert which(str(tmp_path), "") is None
