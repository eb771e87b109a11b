from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import DataError, DefinitionError
from nibabel_data.cli.main import main
from nibabel_data.package.install import install
from nibabel_data.package.manifest import MANIFEST
from nibabel_data.package.new import new_package
from nibabel_data.package.remove import remove

from ..conftest import MakePackage
from .test_verify import seal


@pytest.fixture
def source(make_package: MakePackage) -> Path:
    return make_package("source", files=("a.txt", "sub/b.txt")) / "nipy" / "templates"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "root"


@pytest.fixture
def three(make_package: MakePackage) -> Path:
    """Return a directory of three packages."""
    for relpath in ("lab/a", "lab/b", "lab/c"):
        top = make_package("three", relpath, "1.0", files=("x.txt",))
    return top


def test_removing_takes_the_directory_and_its_empty_parent(source: Path, root: Path) -> None:
    remove(install(source, root=root)[0].path)
    assert os.listdir(root) == []


def test_several_are_looked_at_before_the_first_is_removed(
    three: Path, make_package: MakePackage, capsys: pytest.CaptureFixture[str]
) -> None:
    install(three, root=Path(os.environ["HOME"], ".nipy"))
    lab = Path(os.environ["HOME"], ".nipy", "lab")
    assert main(["remove", "lab/a", "lab/none"]) == 1
    (lab / "b" / MANIFEST).unlink()
    assert main(["remove", "lab/a", "lab/b"]) == 1
    assert f"{lab}/b has no {MANIFEST}" in capsys.readouterr().err
    assert sorted(os.listdir(lab)) == ["a", "b", "c"]
    assert main(["remove", "lab/a", "lab/c>=0.1", "lab/a"]) == 0
    assert capsys.readouterr().out == f"removed {lab}/a (3 files)\nremoved {lab}/c (3 files)\n"


def test_what_was_removed_before_an_error_is_told(
    three: Path,
    capsys: pytest.CaptureFixture[str],
    public_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    three = Path(shutil.copytree(three, public_tmp / "three"))
    public_tmp.chmod(0o777)
    monkeypatch.setenv("HOME", str(public_tmp))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(public_tmp / "cache"))
    monkeypatch.setenv("NIPY_DATA_PATH", f"{public_tmp}/one:{public_tmp}/other")
    with unprivileged():
        install(three / "lab" / "a", root=public_tmp / "one")
        install(three / "lab" / "b", root=public_tmp / "other")
        (public_tmp / "other" / "lab").chmod(0o555)
        assert main(["remove", "lab/a", "lab/b", "--json"]) == 1
        facts = json.loads(capsys.readouterr().out)
        assert [one["path"] for one in facts["results"]] == [f"{public_tmp}/one/lab/a"]
        assert "permission denied" in facts["error"]
        install(three / "lab" / "a", root=public_tmp / "one")
        assert main(["remove", "lab/a", "lab/b"]) == 1
    out, err = capsys.readouterr()
    assert out == f"removed {public_tmp}/one/lab/a (3 files)\n"
    assert "permission denied" in err


def test_the_source_of_a_distribution_is_never_removed(tmp_path: Path) -> None:
    top = new_package("my/brain", tmp_path / "my-brain")
    seal(top / "my" / "brain")
    with pytest.raises(DataError, match="is the source of the distribution at"):
        remove(top / "my" / "brain")
    assert (top / "my" / "brain" / "config.ini").exists()


@pytest.mark.parametrize("wrong", ["r\0", "", "\ud800"])
def test_a_path_that_no_directory_can_have(wrong: str) -> None:
    with pytest.raises(DefinitionError, match="the package's directory"):
        remove(wrong)


@pytest.mark.parametrize("wrong", [b"data", 3, None])
def test_a_path_is_text(wrong: object) -> None:
    with pytest.raises(TypeError, match="the package's directory must be a str or an os.PathLike"):
        remove(wrong)  # type: ignore[arg-type]
