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


@pytest.mark.parametrize("config", [None, b"nonsense", b"[DEFAULT]\nversiom = 1\n", b"\xff\xfe"])
def test_a_package_whose_config_is_lost_or_damaged(
    config: bytes | None,
    three: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    install(three, root=root)
    place = root / "lab" / "a"
    (place / "config.ini").unlink()
    if config is not None:
        (place / "config.ini").write_bytes(config)
    for words in (["verify", "lab/a"], ["verify", "--all"]):
        assert main(words) == 1
        state = "missing" if config is None else "changed"
        told = f"amiss: {place} (by manifest)\n    {state}    config.ini\n"
        assert told in capsys.readouterr().out
    assert main(["find", "lab/a"]) == 1
    if config is None:
        assert f"{place} was installed, and has lost its config.ini" in capsys.readouterr().err
    assert main(["remove", "lab/a>=1"]) == 1
    assert place.exists()
    assert main(["remove", "lab/a"]) == 0
    assert f"removed {place} (3 files)\n" in capsys.readouterr().out
    assert sorted(os.listdir(root / "lab")) == ["b", "c"]


def test_a_directory_that_was_not_installed_is_no_damaged_package(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    for folder, manifest in (("lab/a", None), ("lab/bag", f"{'0' * 64}  data/x\n")):
        (root / folder).mkdir(parents=True)
        (root / folder / "x.txt").write_text("")
        if manifest is not None:
            (root / folder / MANIFEST).write_text(manifest)
    assert main(["verify", "--all"]) == 1
    assert capsys.readouterr().err.startswith("no data package on the search path")
    assert main(["verify", "lab/a"]) == main(["remove", "lab/a"]) == 1
    assert "a directory without a config.ini" in capsys.readouterr().err


def test_what_is_as_it_was_made_and_cannot_be_used(
    three: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    install(three, root=root)
    (root / "lab" / "a" / "config.ini").write_text("nonsense")
    seal(root / "lab" / "a")
    assert main(["verify", "lab/a"]) == 1
    assert "malformed config.ini" in capsys.readouterr().err
