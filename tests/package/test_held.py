from __future__ import annotations

from pathlib import Path

import pytest

from nibabel_data import ConfigError, DataError
from nibabel_data.package import held
from nibabel_data.package.fetch import fetch_file
from nibabel_data.package.held import Held, held_files, unfetched
from nibabel_data.package.manifest import package_files
from nibabel_data.package.registry import read_registry
from nibabel_data.package.stamps import Stamps

from ..conftest import MakePackage
from .thin import make_thin, overlay_of, put_into_overlay


@pytest.fixture(params=["sha256", "md5", "blake2b"])
def thin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    base = tmp_path / "root" / "nipy" / "templates"
    return make_thin(base, tmp_path / "shelf", algorithm=request.param)


def found(base: Path) -> dict[str, Held]:
    registry = read_registry(base)
    assert registry is not None
    return held_files(registry, package_files(str(base)))


def test_what_is_here_and_where(thin: Path) -> None:
    assert found(thin) == {}
    assert unfetched(thin) == ["T1.nii", "sub/labels.txt"]
    fetch_file(thin, "T1.nii")
    place = put_into_overlay(thin, "sub/labels.txt", b"labels")
    put_into_overlay(thin, "stray.txt", b"of nobody")
    here = found(thin)
    assert {path: one.place for path, one in here.items()} == {
        "T1.nii": str(thin / "T1.nii"),
        "sub/labels.txt": str(place),
    }
    assert [here[path].is_outside for path in sorted(here)] == [False, True]
    assert unfetched(thin) == []


def test_the_one_in_the_package_is_the_one_that_is_used(thin: Path) -> None:
    put_into_overlay(thin, "T1.nii", b"an image")
    fetch_file(thin, "sub/labels.txt")
    (thin / "T1.nii").write_bytes(b"an image")
    assert found(thin)["T1.nii"].place == str(thin / "T1.nii")


def test_damage_is_told_by_the_hash_of_the_registry(thin: Path) -> None:
    put_into_overlay(thin, "T1.nii", b"an image")
    (one,) = found(thin).values()
    assert one.damage() == ""
    Path(one.place).write_bytes(b"AN IMAGE")
    said = one.damage()
    assert said.startswith(f"{one.place} is not what registry.txt, line 1, promises: ")
    assert one.entry.algorithm in said
    assert one.entry.digest in said
    assert one.mend == "nibabel-data fetch nipy/templates T1.nii"
    Path(one.place).unlink()
    with pytest.raises(FileNotFoundError):
        one.damage()


def test_what_is_known_is_not_read_again(thin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nibabel_data.package.stamps.settled", lambda seen, now: True)
    fetch_file(thin, "T1.nii")
    put_into_overlay(thin, "sub/labels.txt", b"labels")
    stamps = Stamps(str(thin))
    assert [one.damage(stamps) for one in found(thin).values()] == ["", ""]
    stamps.save()
    monkeypatch.setattr(held, "hash_file", lambda *_: pytest.fail("read"))
    assert [one.damage(Stamps(str(thin))) for one in found(thin).values()] == ["", ""]


def test_an_ordinary_package_promises_nothing(make_package: MakePackage, tmp_path: Path) -> None:
    base = make_package(files=("a.txt",)) / "nipy" / "templates"
    assert unfetched(base) == []
    (base / "registry.txt").write_text("nonsense")
    with pytest.raises(ConfigError, match="line 1"):
        unfetched(base)


def test_an_overlay_that_is_no_directory(thin: Path) -> None:
    overlay_of(thin).parent.mkdir(parents=True)
    overlay_of(thin).write_text("")
    assert found(thin) == {}
    (thin / "registry.txt").unlink()
    with pytest.raises(DataError):
        unfetched(thin / "none" / "\0")
