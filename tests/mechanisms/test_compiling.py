"""Building many ahead of time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError, DataError, DataWarning
from nibabel_data.mechanisms import compiling, headers, library, store
from nibabel_data.mechanisms.compiling import compile, everything
from nibabel_data.mechanisms.toolchain import Neuron, find_neuron

from .compilers import Compiler, copying_compiler, needs_compiler
from .conftest import PAS

pytestmark = needs_compiler

Add = Callable[..., None]
BAD = PAS.replace("BREAKPOINT", "BREAK POINT")


@pytest.fixture(autouse=True)
def compiler(tmp_path: Path, pas_library: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = copying_compiler(tmp_path / "compiler", pas_library)
    monkeypatch.setenv("CXX", str(compiler.path))
    monkeypatch.setattr(store, "_temporary", None)
    monkeypatch.setattr(headers, "_refused", set())
    return compiler


@pytest.fixture
def neuron() -> Neuron:
    return find_neuron()


@pytest.fixture
def add(neuron: Neuron, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Return a function that adds mechanisms to a package on the data path."""
    package = tmp_path / "root" / "nipy" / "lab"
    package.mkdir(parents=True)
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1.0\nkind = mechanisms\n")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    monkeypatch.setattr(library, "find_neuron", lambda: neuron)  # it is in what `site` hides

    def add(*names: str, text: str = PAS) -> None:
        for name in names:
            (package / f"{name}.mod").write_text(text)

    return add


def test_everything_or_what_is_named(add: Add, compiler: Compiler) -> None:
    add("A", "B", "C__fast")
    report = compile("A", ("C", "fast"), "A")
    assert sorted(report.made) == ["glia__lab__A__0", "glia__lab__C__fast"]
    assert set(report.libraries) == set(report.made)
    report = compile()
    assert report.made == ["glia__lab__B__0"]
    assert len(report.libraries) == 3
    assert repr(report) == "<CompileReport: 3 libraries, 1 made now, 0 failed>"
    assert compile().made == []
    assert all(map(os.path.isfile, report.libraries.values()))


def test_one_that_is_bad_does_not_block_the_others(add: Add, compiler: Compiler) -> None:
    add("A", "C")
    add("B", text=BAD)
    with pytest.warns(DataWarning, match=r"glia__lab__B__0 does not build \(package lab\)"):
        report = compile()
    assert list(report.failed) == ["glia__lab__B__0"]
    assert len(report.libraries) == 2
    runs = compiler.runs
    report = compile(quiet=True)
    assert list(report.failed) == ["glia__lab__B__0"]
    assert compiler.runs == runs
    with pytest.raises(BuildError, match="glia__lab__B__0 does not build"):
        compile(strict=True)


def test_without_compiler_what_is_there_is_found(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    add("A")
    compile()
    add("B", "C", "D", "E")
    monkeypatch.setenv("CXX", "/no/compiler")
    report = compile(quiet=True)
    assert list(report.libraries) == ["glia__lab__A__0"]
    assert len(report.failed) == 4
    assert all("no compiler" in str(error) for error in report.failed.values())


def test_a_source_that_cannot_be_read_is_in_the_report(add: Add, tmp_path: Path) -> None:
    add("A", "B", text=PAS + 'INCLUDE "gone.inc"\n')
    add("C")
    report = compile(quiet=True)
    assert sorted(report.failed) == ["glia__lab__A__0", "glia__lab__B__0"]
    assert list(report.libraries) == ["glia__lab__C__0"]


def test_into_a_directory_for_others(
    add: Add, tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("A", "B")
    site = tmp_path / "built"
    report = compile(to=site)
    assert len(report.made) == 2
    assert all(Path(path).is_relative_to(site) for path in report.libraries.values())
    again = compile(to=site)
    assert again.made == []
    assert again.libraries == report.libraries
    assert compiler.runs == 2
    roots = os.pathsep.join([os.environ["NIPY_DATA_PATH"], str(site)])
    monkeypatch.setenv("NIPY_DATA_PATH", roots)
    monkeypatch.setenv("CXX", "/no/compiler")
    assert compile().libraries == report.libraries


def test_a_directory_that_cannot_be_written(add: Add, tmp_path: Path) -> None:
    add("A", "B")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot build in .*file"):
        compile(to=tmp_path / "file")


def test_a_cache_that_cannot_be_written_is_told_once(
    add: Add, tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(*"ABCDEF")
    (tmp_path / "file").touch()
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "file"))
    with pytest.warns(DataWarning) as warned:
        report = compile(jobs=4)
    assert len(warned) == 1
    assert len(report.libraries) == 6
    assert len({Path(path).parents[3] for path in report.libraries.values()}) == 1


def test_progress_counts_each(add: Add) -> None:
    add("A", "B")
    add("C", text=BAD)
    for _ in range(2):
        seen: list[int] = []
        compile(progress=seen.append, quiet=True)
        assert seen == [1, 1, 1]


def test_an_interruption_leaves_what_has_not_been_begun(add: Add, compiler: Compiler) -> None:
    add(*"ABCDEFGH")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile(jobs=1, progress=interrupt)
    assert compiler.runs < 5


@pytest.mark.parametrize("jobs", [None, 0, 1, 7, -1])
def test_any_number_of_jobs(jobs: int | None, add: Add) -> None:
    add("A", "B", "C")
    assert len(compile(jobs=jobs).libraries) == 3
    assert compiling.cores() >= 1


def test_what_two_files_claim_is_ambiguous(add: Add, tmp_path: Path) -> None:
    add("A")
    other = tmp_path / "root" / "nipy" / "lab" / "deeper"
    other.mkdir()
    (other / "A.mod").write_text(PAS)
    names, ambiguous = everything()
    assert names == []
    assert list(ambiguous) == ["glia__lab__A__0"]
    assert list(compile(quiet=True).failed) == ["glia__lab__A__0"]
