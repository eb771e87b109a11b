"""Where packages may stand, and what a URL that fails says."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nibabel_data import DataError
from nibabel_data.cli.main import main
from nibabel_data.package import download
from nibabel_data.package.install import install

from ..conftest import MakePackage
from .web import Web, serve

CONFIG = "[DEFAULT]\nversion = 0.3\n"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as served:
        yield served


def packed(package: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(package, arcname="nipy/templates")
    return archive


PLACES = [
    (".cache/atlas", "is hidden"),
    ("lab/.atlas", "is hidden"),
    ("lab/a\nb", "control character"),
    ("lab/a\x1b[2J", "control character"),
    ("lab/a\u202eb", "is not what it looks like"),
    ("lab/a:b", "does not allow ':'"),
    ("lab/atlas.", "takes a dot or a space off"),
    ("lab /atlas", "takes a dot or a space off"),
    ("nul/atlas", "reserves the name NUL"),
    (os.fsdecode(b"lab/\xff"), "not UTF-8"),
]


@pytest.mark.parametrize(("relpath", "why"), PLACES)
def test_where_no_package_can_stand(relpath: str, why: str, tmp_path: Path) -> None:
    source = tmp_path / "source" / relpath
    source.mkdir(parents=True)
    (source / "config.ini").write_text(CONFIG)
    root = tmp_path / "root"
    with pytest.raises(DataError, match=why) as caught:
        install(source, root=root)
    assert repr(relpath) in str(caught.value)
    assert "--as PROJECT/PACKAGE" in str(caught.value)
    assert not root.exists()
    (done,) = install(source, root=root, relpath="lab/atlas")
    assert Path(done.path) == root / "lab" / "atlas"


@pytest.mark.parametrize("relpath", [".cache/atlas", "lab/atlas.", "lab/a\tb"])
def test_as_names_a_place_that_can_be(relpath: str, make_package: MakePackage) -> None:
    source = make_package() / "nipy" / "templates"
    with pytest.raises(DataError, match="cannot stand at"):
        install(source, root=source.parents[2] / "other", relpath=relpath)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Give a package deeper than Python may call itself, also to remove it."""
    top = tmp_path / "lab" / "atlas"
    top.mkdir(parents=True)
    (top / "config.ini").write_text(CONFIG)
    before, depth = os.getcwd(), 1500
    os.chdir(top)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("a.txt").write_text("")
    yield top
    Path("a.txt").unlink()
    for _ in range(depth):
        os.chdir("..")
        os.rmdir("d")
    os.chdir(before)


def test_a_directory_that_is_too_deep(deep: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the path is too deep: 1501 levels"):
        install(deep, root=tmp_path / "root")


@pytest.mark.parametrize(
    "name", ["atlas.tar.gz", "registry.txt.zip", "%0A.tar.gz", ".hidden.tar.gz"]
)
def test_a_url(name: str, web: Web, make_package: MakePackage, tmp_path: Path) -> None:
    content = packed(make_package() / "nipy" / "templates", tmp_path / "a.tar.gz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    web.files[name] = content
    (done,) = install(f"{web.url(name)}#sha256={digest}", root=tmp_path / "other")
    assert done.relpath == "nipy/templates"


def test_a_url_that_fails_says_the_command(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"{web.url('atlas.zip')}#sha256={'0' * 64}"
    assert main(["install", source, "--root", str(tmp_path / "root")]) == 1
    said = capsys.readouterr().err
    assert f"cannot download {web.url('atlas.zip')}:\n    404" in said
    assert said.endswith(f"\n\n    nibabel-data install '{source}'\n")
    assert "downloads" not in said
    assert not (tmp_path / "root").exists()


def test_a_url_with_another_hash(web: Web, tmp_path: Path) -> None:
    web.files["atlas.zip"] = b"other"
    with pytest.raises(DataError, match="5 bytes with sha256 .* but sha256 0000.* is expected"):
        install(f"{web.url('atlas.zip')}#sha256={'0' * 64}", root=tmp_path / "root")


def test_a_url_without_a_network(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIBABEL_DATA_OFFLINE", "1")
    source = f"{web.url('atlas.zip')}#sha256={'0' * 64}"
    with pytest.raises(DataError, match="NIBABEL_DATA_OFFLINE forbids") as caught:
        install(source, root=tmp_path / "root")
    assert f"nibabel-data install '{source}'" in str(caught.value)
    assert web.requests == []


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    source = f"http://me:secret@127.0.0.1:9/atlas.zip#sha256={'0' * 64}"
    with pytest.raises(DataError, match="cannot download http://127.0.0.1:9/atlas.zip") as caught:
        install(source, root=tmp_path / "root")
    assert "secret" not in str(caught.value)


def test_a_url_of_no_archive_is_refused_before_it_is_downloaded(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no archive"):
        install(f"{web.url('atlas')}#sha256={'0' * 64}", root=tmp_path / "root")
    assert web.requests == []


def test_a_cache_that_cannot_be_written(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", "/proc/none")
    with pytest.raises(DataError, match="cannot write /proc/none/.* NIBABEL_DATA_CACHE"):
        install(f"{web.url('atlas.zip')}#sha256={'0' * 64}", root=tmp_path / "root")
