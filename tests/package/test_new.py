from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibabel_data import DataError, DefinitionError, make_datasource
from nibabel_data.cli.main import main
from nibabel_data.package.check import check_package
from nibabel_data.package.names import name_problem, twins
from nibabel_data.package.new import LICENSES, new_package

from ..conftest import PROJECT

TREE = {
    "CITATION.cff",
    "LICENSE",
    "README.rst",
    "mylab/atlas/CITATION.cff",
    "mylab/atlas/LICENSE",
    "mylab/atlas/README.rst",
    "mylab/atlas/config.ini",
    "pyproject.toml",
}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, which is empty."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def files(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def test_the_tree_is_complete_and_found(work: Path) -> None:
    made = new_package("mylab/atlas")
    assert made == work / "mylab-atlas"
    assert files(made) == TREE
    package = make_datasource("mylab/atlas", data_path=made)
    assert package.version == "0.1"
    assert package.config.defaults()["license"] == "CC0-1.0"
    notes = check_package(made)
    assert [(note.problem, note.serious) for note in notes] == [
        ("the package has no data yet", False)
    ]


def test_it_has_the_keys_of_the_example() -> None:
    made = new_package("mylab/atlas", "made", author='Ana "Q" Müller')
    project = tomllib.loads((made / "pyproject.toml").read_text())
    example = tomllib.loads((PROJECT / "examples/nipy-examplepkg/pyproject.toml").read_text())
    assert project["project"].keys() == example["project"].keys()
    assert project["build-system"] == example["build-system"]
    assert project["tool"]["hatch"].keys() == example["tool"]["hatch"].keys()
    assert project["project"]["authors"] == [{"name": 'Ana "Q" Müller'}]
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {"mylab/atlas": "share/nipy/mylab/atlas"}


@pytest.mark.parametrize("spdx", [*LICENSES, "GPL-3.0-or-later", "LicenseRef-ours"])
def test_licence_and_citation(spdx: str) -> None:
    made = new_package("mylab/atlas", "made", license=spdx, author="Ana: #1 'Q'")
    text = (made / "LICENSE").read_text()
    assert spdx in text
    assert "Ana: #1 'Q'" in text
    assert "https://" in text
    if spdx in LICENSES:
        assert LICENSES[spdx][2] in text
    cff = made / "mylab" / "atlas" / "CITATION.cff"
    cffconvert = Path(sys.executable).with_name("cffconvert")
    done = subprocess.run([cffconvert, "--validate", "-i", cff], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_licence_is_written_as_it_is_listed() -> None:
    made = new_package("mylab/atlas", "made", license="cc-by-4.0")
    project = tomllib.loads((made / "pyproject.toml").read_text())
    assert project["project"]["license"] == "CC-BY-4.0"
    assert LICENSES["CC-BY-4.0"][2] in (made / "LICENSE").read_text()


def test_modes_follow_the_umask() -> None:
    before = os.umask(0o027)
    try:
        made = new_package("mylab/atlas")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert stat.S_IMODE((made / "LICENSE").stat().st_mode) == 0o640


def test_a_name_without_a_project() -> None:
    with pytest.raises(DefinitionError, match="'mylab' is not PROJECT/PACKAGE, such as mylab/atla"):
        new_package("mylab")


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a b/c", "a/con", "é/b", "a/b\n", "-/-"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(DefinitionError):
        new_package(name)
    assert os.listdir() == []


@pytest.mark.parametrize(
    "options",
    [{"license": "free for all"}, {"license": "Foo-1.0"}, {"license": ""}, {"author": "A\nB"}],
)
def test_other_words_that_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        new_package("mylab/atlas", **options)
    assert os.listdir() == []


def test_what_is_there_stays(work: Path) -> None:
    (work / "full").mkdir()
    (work / "full" / "mine.txt").write_text("mine")
    (work / "file").write_text("mine")
    (work / "link").symlink_to("nowhere")
    for name, why in (
        ("full", "is not empty"),
        ("file", "is not a directory"),
        ("link", "is a link that leads nowhere"),
    ):
        with pytest.raises(DataError, match=f"{name} {why}; choose another with --directory"):
            new_package("mylab/atlas", name)
    assert files(work) >= {"full/mine.txt", "file"}
    assert os.listdir(work / "full") == ["mine.txt"]


def test_an_empty_directory_is_used(work: Path) -> None:
    (work / "empty").mkdir()
    assert files(new_package("mylab/atlas", work / "empty")) == TREE


def test_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(DataError, match="no space left on device; nothing was changed"):
        new_package("mylab/atlas")
    assert os.listdir() == []


def test_no_permission(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    with unprivileged(), pytest.raises(DataError, match="permission denied"):
        new_package("mylab/atlas", public_tmp / "x")
    assert os.listdir(public_tmp) == []


def test_the_verb(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mylab/atlas", "--license", "PDDL-1.0", "--author", "Ana"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines() == [
        f"made {work}/mylab-atlas",
        f"put the data into {work}/mylab-atlas/mylab/atlas, "
        f"then: nibabel-data check {work}/mylab-atlas",
    ]
    assert main(["new", "mylab/atlas"]) == 1
    assert main(["new", "mylab"]) == 2


parts = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(parts, parts), st.text(max_size=12))
def test_any_name_is_made_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: tuple[str, str], author: str
) -> None:
    top = tmp_path_factory.mktemp("any")
    try:
        made = new_package("/".join(name), top / "made", author=author)
    except DefinitionError:
        assert os.listdir(top) == []
        return
    tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))
    assert make_datasource("/".join(name), data_path=made).version == "0.1"
    assert not any(problem.serious for problem in check_package(made))


@pytest.mark.parametrize(
    "name",
    ["T1.nii.gz", "été.txt", "CONtrast.nii", "com10", ".gitignore", "a b", "a.b.c", "脳.gii"],
)
def test_names_for_every_system(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "con",
        "Aux.nii.gz",
        "COM1",
        "lpt9.txt",
        "com¹",
        "nul .x",
        "a:b",
        "a?",
        "a\\b",
        "a|b",
        "<",
        '"',
        "a\n",
        "a\x7f",
        "a\0",
        "a.",
        "a ",
        "a\udcff",
    ],
)
def test_names_that_some_system_cannot_hold(name: str) -> None:
    assert name_problem(name)


@given(st.lists(st.text(alphabet="aAéEé\u0301/", min_size=1, max_size=4), unique=True))
def test_twins_are_told_once_each(paths: list[str]) -> None:
    pairs = twins(paths)
    assert len(paths) - len(pairs) == len(set(paths) - {b for _, b in pairs})
    assert twins([a for a in paths if a not in {b for _, b in pairs}]) == []


def test_twins() -> None:
    assert twins(["a", "A/b", "a/B"]) == [("A/b", "a/B")]
    assert twins(["\u00e9", "e\u0301"]) == [("\u00e9", "e\u0301")]
    assert twins(["stra\u00dfe", "strasse"]) == [("stra\u00dfe", "strasse")]
