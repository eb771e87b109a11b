from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import ConfigError, DefinitionError
from nibabel_data.cli.main import main
from nibabel_data.package.lock import (
    Locked,
    Wanted,
    compare,
    lock,
    read_lock,
    read_wanted,
    write_lock,
)

from ..conftest import MakePackage


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return two_packages(make_package, monkeypatch, tmp_path)


def two_packages(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Put two packages on the search path; return their root, in the working directory."""
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    root = make_package("here", files=("a.txt", "sub/b.txt"))
    make_package("here", "lab/atlas", "2.0", files=("c.txt",))
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    monkeypatch.chdir(tmp_path)
    return root


def locked_now() -> list[Locked]:
    return lock([Wanted("nipy/templates>=0.3", "data.zip"), Wanted("lab/atlas")])


def test_the_file_is_one_line_a_fact_in_stable_order(root: Path) -> None:
    write_lock(locked_now(), "data.lock")
    text = Path("data.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line.partition(" = ")[0] for line in lines] == [
        *("format", "", "[[package]]", "name", "version", "tree"),
        *("", "[[package]]", "name", "version", "tree", "source"),
    ]
    assert tomllib.loads(text)["package"][0]["name"] == "lab/atlas"
    write_lock(list(reversed(locked_now()))[::-1], "again.lock")
    assert Path("again.lock").read_text() == text
    assert read_lock("data.lock") == locked_now()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.builds(Locked, texts, texts, texts, texts)))
def test_what_is_written_is_read_back(packages: list[Locked]) -> None:
    path = os.path.join(os.environ["HOME"], "any.lock")
    write_lock(packages, path)
    assert read_lock(path) == packages


def test_what_is_as_locked_and_what_differs(root: Path, make_package: MakePackage) -> None:
    locked = locked_now()
    assert compare(locked) == []
    (root / "lab" / "atlas" / "c.txt").write_text("other")
    (difference,) = compare(locked)
    assert difference.locked.name == "lab/atlas"
    assert difference.problem == f"other files of version 2.0: {root}/lab/atlas"
    make_package("here", "nipy/templates", "0.4")
    assert "version 0.4 is found" in compare(locked)[1].problem
    (root / "nipy" / "templates" / "config.ini").unlink()
    assert "no data package 'nipy/templates'" in compare(locked)[1].problem


def test_an_added_file_is_a_difference(root: Path) -> None:
    locked = locked_now()
    (root / "lab" / "atlas" / "more.txt").write_text("")
    assert len(compare(locked)) == 1


def test_what_a_project_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(
        "[tool.nibabel-data]\npackages = [\n  'nipy/templates>=0.3',\n"
        "  {spec = 'lab/atlas', source = 'atlas.zip'},\n]\n"
    )
    assert read_wanted(file) == [Wanted("nipy/templates>=0.3"), Wanted("lab/atlas", "atlas.zip")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("atlas.zip", "../project/sub/atlas.zip"),
        ("../atlas.zip", "../project/atlas.zip"),
        ("./data/", "../project/sub/data"),
        ("/store/atlas.zip", "/store/atlas.zip"),
        ("https://example.org/a.zip#sha256=0", "https://example.org/a.zip#sha256=0"),
        ("", ""),
    ],
)
def test_a_source_is_written_as_seen_from_the_lock(
    source: str, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "project" / "sub" / "pyproject.toml"
    file.parent.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    entry = f"{{spec = 'lab/atlas', source = '{source}'}}"
    file.write_text(f"[tool.nibabel-data]\npackages = [{entry}]\n")
    assert read_wanted(file, tmp_path / "run" / "data.lock") == [Wanted("lab/atlas", expected)]
    assert read_wanted(file, file.parent / "data.lock") == [Wanted("lab/atlas", source)]
    assert read_wanted(file) == [Wanted("lab/atlas", source)]


@pytest.mark.parametrize("wrong", ["", "l\0", "\ud800"])
def test_a_lock_that_no_file_can_be(wrong: str) -> None:
    for call in (read_lock, read_wanted):
        with pytest.raises(DefinitionError):
            call(wrong)
    with pytest.raises(DefinitionError):
        write_lock([], wrong)
    with pytest.raises(TypeError, match="the lock file must be a str"):
        read_lock(b"data.lock")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[tool]\n", "it needs"),
        ("[tool.nibabel-data]\npackages = []\n", "it needs"),
        ("[tool.nibabel-data]\npackages = [3]\n", "a package is a spec"),
        ("tool = 3\n", "it needs"),
        ("[tool]\nnibabel-data = [1]\n", "it needs"),
        ("nonsense", "not TOML"),
        (None, "no such file"),
    ],
)
def test_a_pyproject_that_asks_for_nothing(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_wanted(tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    "content",
    [
        "format = 2\n",
        "x",
        "format = 1\npackage = 3\n",
        "format = 1\n[[package]]\nname = 'a'\n",
        "format = 1\n[[packages]]\nname = 'a'\nversion = '1'\ntree = 'sha256:0'\n",
    ],
)
def test_a_malformed_lock(content: str, tmp_path: Path) -> None:
    (tmp_path / "data.lock").write_text(content)
    with pytest.raises(ConfigError, match=r"data\.lock"):
        read_lock(tmp_path / "data.lock")


def test_the_verbs(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["lock", "nipy/templates", "lab/atlas"]) == 0
    assert capsys.readouterr().out.endswith("2 packages locked in data.lock\n")
    assert main(["verify", "--locked"]) == 0
    assert main(["sync", "--frozen"]) == 0
    capsys.readouterr()
    (root / "lab" / "atlas" / "c.txt").write_text("other")
    assert main(["sync", "--frozen"]) == 1
    assert "differs: lab/atlas 2.0: other files" in capsys.readouterr().out
    assert main(["verify", "--locked", "data.lock", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["locked"]["name"] == "lab/atlas"
    assert main(["lock"]) == 1  # no pyproject.toml here
    assert main(["lock", "no/such"]) == 1
    assert main(["verify", "--locked", "none.lock"]) == 1


@pytest.mark.parametrize(
    ("name", "said"), [("sub/b.txt", "changed sub/b.txt"), ("new.txt", "extra new.txt")]
)
def test_what_is_amiss_is_not_locked(
    name: str,
    said: str,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["install", str(root), "--root", "installed"]) == 0
    installed = Path("installed", "nipy", "templates")
    monkeypatch.setenv("NIPY_DATA_PATH", os.path.abspath("installed"))
    (installed / name).write_text("other")
    capsys.readouterr()
    assert main(["lock", "nipy/templates"]) == 1
    error = capsys.readouterr().err
    assert f"is not what its manifest says: {said}; all of it: nibabel-data verify" in error
    assert not Path("data.lock").exists()
