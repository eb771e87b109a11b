"""Where a library is, whether it is whole, making it: with a compiler that takes no time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError, DataError, DataWarning
from nibabel_data.mechanisms import library, store
from nibabel_data.mechanisms.library import Toolchain, built, failure, toolchain
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.source import prepare

from .compilers import Compiler, copying_compiler, mechanism, needs_compiler, obtain
from .conftest import PAS

pytestmark = needs_compiler

BAD = PAS.replace("BREAKPOINT", "BREAK POINT")


@pytest.fixture
def pas(tmp_path: Path) -> Mechanism:
    return mechanism(tmp_path / "Pas.mod")


@pytest.fixture(autouse=True)
def compiler(tmp_path: Path, pas_library: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = copying_compiler(tmp_path / "compiler", pas_library)
    monkeypatch.setenv("CXX", str(compiler.path))
    return compiler


@pytest.fixture(autouse=True)
def no_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_temporary", None)


def test_it_is_built_once(pas: Mechanism, compiler: Compiler, own_cache: Path) -> None:
    path = obtain(pas)
    assert obtain(pas) == path
    assert compiler.runs == 1
    assert path.is_relative_to(own_cache / "mechanisms")
    assert sorted(os.listdir(path.parent)) == ["build.json", "mechanism.so"]
    assert json.loads((path.parent / "build.json").read_text())["source"] == pas.path


def test_looking_writes_nothing(pas: Mechanism, own_cache: Path) -> None:
    tools = toolchain()
    tools.digest()
    before = sorted(own_cache.rglob("*"))
    assert built(prepare(pas), tools) is None
    assert failure(prepare(pas), tools) is None
    assert sorted(own_cache.rglob("*")) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
        lambda path: path.unlink(),
        lambda path: (path.parent / "build.json").unlink(),
        lambda path: (path.parent / "build.json").write_text("{"),
        lambda path: (path.parent / "build.json").write_bytes(b"\xff\0"),
        lambda path: shutil.rmtree(path.parent),
        lambda path: (shutil.rmtree(path.parent), path.parent.write_text("a file")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_what_is_not_whole_is_made_again(
    damage: Callable[[Path], object], pas: Mechanism, compiler: Compiler, pas_library: Path
) -> None:
    path = obtain(pas)
    damage(path)
    assert built(prepare(pas), toolchain()) is None
    assert obtain(pas) == path
    assert path.read_bytes() == pas_library.read_bytes()
    assert compiler.runs == 2


def test_another_source_has_its_own(pas: Mechanism, tmp_path: Path) -> None:
    before = obtain(pas)
    mechanism(tmp_path / "Pas.mod", PAS + "\n")
    assert obtain(pas) != before
    assert before.exists()


def test_another_compiler_has_its_own(
    pas: Mechanism, tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = obtain(pas)
    newer = Compiler(tmp_path / "newer", f'exec "{compiler.path}" "$@"\n', "copying 2.0")
    monkeypatch.setenv("CXX", str(newer.path))
    assert built(prepare(pas), toolchain()) is None
    other = obtain(pas)
    assert other.parent != path.parent
    assert other.parent.parent == path.parent.parent
    monkeypatch.setenv("CXX", f"{newer.path} -O3")
    assert obtain(pas) not in (path, other)
    monkeypatch.setenv("CXX", str(compiler.path))
    assert obtain(pas) == path


def test_without_compiler_what_any_has_made_is_used(
    pas: Mechanism, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = obtain(pas)
    monkeypatch.setenv("CXX", "/no/compiler")
    assert obtain(pas) == path
    with pytest.raises(BuildError, match=r"no compiler for C\+\+: CXX=/no/compiler"):
        obtain(mechanism(tmp_path / "Other.mod"))


def test_a_failure_is_remembered_until_the_source_changes(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = mechanism(tmp_path / "Pas.mod", BAD)
    with pytest.raises(BuildError, match=r"glia__lab__Pas__0 does not build \(package lab\)") as e:
        obtain(one)
    first = e.value
    assert (first.path, first.mechanism) == (one.path, "glia__lab__Pas__0")
    assert first.line in (19, 20)
    with monkeypatch.context() as without:
        without.setattr(library, "translate_and_compile", None)
        with pytest.raises(BuildError) as e:
            obtain(one)
    assert str(e.value) == str(first)
    assert (e.value.line, e.value.first_error) == (first.line, first.first_error)
    mechanism(tmp_path / "Pas.mod")
    assert obtain(one).exists()
    assert compiler.runs == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"message": 1}', "\0"])
def test_a_memory_of_failure_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    one = mechanism(tmp_path / "Pas.mod", BAD)
    with pytest.raises(BuildError):
        obtain(one)
    (kept,) = (tmp_path / "cache").rglob("failure.json")
    kept.write_text(content)
    assert failure(prepare(one), toolchain()) is None
    with pytest.raises(BuildError, match="does not build"):
        obtain(one)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("x.o: No space left on device", "free memory or disk space"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "free memory or disk"),
        ("fatal error: gsl/gsl.h: No such file or directory", "Install what it needs"),
        ("cannot find -lgsl", "Install what it needs"),
    ],
)
def test_what_passes_is_not_remembered(
    message: str, advice: str, pas: Mechanism, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> dict[str, object]:
        raise BuildError("", first_error=message)

    with monkeypatch.context() as failing:
        failing.setattr(library, "translate_and_compile", fail)
        with pytest.raises(BuildError, match=advice):
            obtain(pas)
    assert failure(prepare(pas), toolchain()) is None
    assert obtain(pas).exists()


def test_a_build_in_a_root_of_the_data_path_needs_no_compiler(
    pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "site"
    path = obtain(pas, to=str(root / "mechanisms-built"))
    assert path.is_relative_to(root)
    monkeypatch.setenv("CXX", "/no/compiler")
    with pytest.raises(BuildError, match="no compiler"):
        obtain(pas)
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    assert obtain(pas) == path
    path.write_bytes(b"corrupt")
    with pytest.raises(BuildError, match="no compiler"):
        obtain(pas)


def test_what_is_built_for_others_they_can_read(pas: Mechanism, tmp_path: Path) -> None:
    base = tmp_path / "site" / "mechanisms-built"
    before = os.umask(0o077)
    try:
        path = obtain(pas, to=str(base))
    finally:
        os.umask(before)
    for here in [path, path.with_name("build.json")]:
        assert here.stat().st_mode & 0o444 == 0o444
    for folder in path.parents[: path.parents.index(base) + 1]:
        assert folder.stat().st_mode & 0o555 == 0o555


def test_a_build_may_travel_in_the_package(
    pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = obtain(pas, to=str(tmp_path / "package" / "mechanisms-built"))
    monkeypatch.setenv("CXX", "/no/compiler")
    assert obtain(pas, package_root=str(tmp_path / "package")) == path


def test_what_was_built_for_another_neuron_is_not_used(
    pas: Mechanism, tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "site"
    obtain(pas, to=str(root / "mechanisms-built"))
    neuron = toolchain().neuron
    (tag,) = os.listdir(root / "mechanisms-built")
    other = tag.replace(neuron.identity, "0" * 16)
    os.rename(root / "mechanisms-built" / tag, root / "mechanisms-built" / other)
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    assert obtain(pas).is_relative_to(tmp_path / "cache")
    assert compiler.runs == 2


def test_where_it_cannot_be_written_others_are_told(
    pas: Mechanism, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot build in .*file"):
        obtain(pas, to=str(tmp_path / "file" / "mechanisms-built"))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "file"))
    with pytest.warns(DataWarning, match=r"cannot write in the cache[^$]*NIBABEL_DATA_CACHE") as w:
        path = obtain(pas)
        assert obtain(mechanism(tmp_path / "Other.mod")).exists()
    assert len(w) == 1
    assert obtain(pas) == path
    bad = mechanism(tmp_path / "Bad.mod", BAD)
    with pytest.raises(BuildError):
        obtain(bad)
    assert failure(prepare(bad), toolchain()) is not None  # remembered here too


def test_not_even_a_temporary_cache(
    pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "file"))

    def no_directory(**_: str) -> str:
        raise FileNotFoundError(2, "No usable temporary directory")

    monkeypatch.setattr("tempfile.mkdtemp", no_directory)
    with pytest.raises(BuildError, match="nor in a temporary directory"):
        obtain(pas)


def test_a_temporary_cache_is_removed_by_its_own_process_alone(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    store._remove_temporary(str(folder), os.getpid() + 1)  # of one that was forked
    assert folder.exists()
    store._remove_temporary(str(folder), os.getpid())
    assert not folder.exists()


def test_a_compiler_that_makes_nothing(
    pas: Mechanism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = Compiler(tmp_path / "lazy", "exit 0\n", "lazy 1.0")
    monkeypatch.setenv("CXX", str(lazy.path))
    with pytest.raises(BuildError, match=r"cannot build in .*mechanism\.so: no such file"):
        obtain(pas)


def test_files_are_those_that_decide(compiler: Compiler) -> None:
    tools: Toolchain = toolchain()
    assert str(compiler.path) in tools.files()
    assert tools.neuron.nocmodl in tools.files()
    assert all(map(os.path.isfile, tools.files()))
