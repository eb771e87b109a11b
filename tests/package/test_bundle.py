"""Bundles of thin packages, and what a bundle that is killed leaves; see also test_install."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from nibabel_data import DataError, DefinitionError, MissingFileError, make_datasource
from nibabel_data.cli.main import main
from nibabel_data.package.bundle import bundle
from nibabel_data.package.fetch import fetch_file, fetch_package
from nibabel_data.package.install import install
from nibabel_data.package.verify import tree_of, verify_directory

from ..conftest import MakePackage
from .thin import make_thin, put_into_overlay

NAME = "nipy/templates"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["sha256", "md5"])
def thin(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an installed package that promises two files."""
    source = make_thin(tmp_path / "source", tmp_path / "shelf", algorithm=request.param)
    (done,) = install(source, root=tmp_path / "root", relpath=NAME)
    return Path(done.path)


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        return sorted(name.removeprefix(f"{NAME}/") for name in file.namelist())


CARRIED = ["config.ini", "manifest-sha256.txt", "registry.txt"]


def test_what_was_fetched_goes_with_it_whatever_its_hash(thin: Path, tmp_path: Path) -> None:
    fetch_file(thin, "T1.nii")
    made = bundle([(NAME, thin)], tmp_path / "data.zip")
    assert names(made) == ["T1.nii", *CARRIED]
    (done,) = install(made, root=tmp_path / "there")
    result = verify_directory(done.path)
    assert (result.ok, result.checked, result.not_fetched) == (True, 3, 1)
    assert tree_of(done.path) == tree_of(thin)


def test_what_lies_in_the_overlay_is_in_the_package_on_the_other_machine(
    thin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_overlay(thin, "T1.nii", b"an image")
    put_into_overlay(thin, "sub/labels.txt", b"labels")
    made = bundle([(NAME, thin)], tmp_path / "data.zip")
    # The other machine has neither the network nor this cache.
    shutil.rmtree(tmp_path / "shelf")
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "other cache"))
    (done,) = install(made, root=tmp_path / "there")
    package = make_datasource(NAME, tmp_path / "there")
    assert package.fetch("T1.nii", offline=True) == Path(done.path, "T1.nii")
    assert fetch_file(done.path, "sub/labels.txt", offline=True).read_bytes() == b"labels"
    assert {one.state for one in fetch_package(done.path, offline=True)} == {"present"}
    assert tree_of(done.path) == tree_of(thin)


@pytest.mark.parametrize("where", ["package", "overlay"])
def test_damaged_files_are_not_passed_on(where: str, thin: Path, tmp_path: Path) -> None:
    place = thin / "T1.nii"
    if where == "overlay":
        place = put_into_overlay(thin, "T1.nii", b"")
    place.write_bytes(b"AN IMAGE")
    with pytest.raises(DataError, match=r"nibabel-data fetch nipy/templates T1\.nii") as caught:
        bundle([(NAME, thin)], tmp_path / "data.zip")
    assert str(place) in str(caught.value)
    assert "registry.txt, line 1" in str(caught.value)
    assert not [name for name in os.listdir(tmp_path) if "data.zip" in name]


def test_a_pointer_of_git_annex_is_not_passed_on(tmp_path: Path) -> None:
    base = tmp_path / "root" / NAME
    base.mkdir(parents=True)
    (base / "config.ini").write_text("[DEFAULT]\nversion = 1\n")
    (base / "a.txt").write_text("/annex/objects/MD5E-s4--abc.txt\n")
    with pytest.raises(DataError, match=r"a\.txt is absent: it cannot go into a bundle"):
        bundle([(NAME, base)], tmp_path / "data.zip")


def test_the_verb_says_what_is_not_fetched(
    thin: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    target = tmp_path / "data.zip"
    assert main(["bundle", NAME, NAME, "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{target}\n"
    assert err.startswith(f"nibabel-data: note: 2 files of the package at {thin} not fetched")
    assert err.count("nibabel-data fetch nipy/templates\n") == 1
    fetch_file(thin, "T1.nii")
    assert main(["bundle", NAME, "-o", str(target)]) == 0
    assert "note: 1 file of the package" in capsys.readouterr().err
    put_into_overlay(thin, "sub/labels.txt", b"labels")
    assert main(["bundle", NAME, "-o", str(target)]) == 0
    assert capsys.readouterr() == (f"{target}\n", "")


def test_a_file_that_is_carried_and_promised_is_compared_with_both(
    thin: Path, tmp_path: Path
) -> None:
    (thin / "T1.nii").write_bytes(b"AN IMAGE")
    manifest = thin / "manifest-sha256.txt"
    digest = hashlib.sha256(b"AN IMAGE").hexdigest()
    manifest.write_text(f"{manifest.read_text()}{digest}  T1.nii\n")
    with pytest.raises(DataError, match=r"registry\.txt, line 1"):
        bundle([(NAME, thin)], tmp_path / "data.zip")
    (check,) = verify_directory(thin).amiss
    assert "registry.txt, line 1" in check.detail
    (thin / "T1.nii").write_bytes(b"an image")
    with pytest.raises(DataError, match=r"T1\.nii is not what its manifest-sha256\.txt says"):
        bundle([(NAME, thin)], tmp_path / "data.zip")
    (thin / "T1.nii").unlink()
    put_into_overlay(thin, "T1.nii", b"an image")
    with pytest.raises(DataError, match=r"T1\.nii is missing"):
        bundle([(NAME, thin)], tmp_path / "data.zip")


# ---- which packages


def test_a_package_that_is_named_twice_is_written_once(
    make_package: MakePackage, tmp_path: Path
) -> None:
    base = make_package(files=("a.txt",)) / "nipy" / "templates"
    (tmp_path / "link").symlink_to(base)
    once = bundle([(NAME, base)], tmp_path / "once.zip")
    twice = bundle([(NAME, base), ("nipy//templates/", tmp_path / "link")], tmp_path / "twice.zip")
    assert twice.read_bytes() == once.read_bytes()


def test_two_copies_of_a_package_are_refused(make_package: MakePackage, tmp_path: Path) -> None:
    one, other = (make_package(root) / "nipy" / "templates" for root in ("one", "other"))
    with pytest.raises(DefinitionError) as caught:
        bundle([(NAME, one), (NAME, other)], tmp_path / "data.zip")
    assert f"two are named: {one} and {other}" in str(caught.value)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="name at least one"):
        bundle([], tmp_path / "sub" / "data.zip")
    assert not (tmp_path / "sub").exists()


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "", ".", "x", "a/b/c", "a/b>=1", "a/\0", "a/.."]
)
def test_what_is_no_path_of_a_package(name: str, make_package: MakePackage, tmp_path: Path) -> None:
    base = make_package() / "nipy" / "templates"
    with pytest.raises(DefinitionError):
        bundle([(name, base)], tmp_path / "data.zip")
    assert not (tmp_path / "data.zip").exists()


# ---- when it goes wrong

BUNDLE = """
import sys
from nibabel_data.package.bundle import bundle
bundle([("nipy/templates", sys.argv[1])], sys.argv[2], progress=lambda size: print(flush=True))
"""


def test_killed_it_leaves_the_old_bundle_and_the_next_cleans_up(
    make_package: MakePackage, tmp_path: Path
) -> None:
    base = make_package() / "nipy" / "templates"
    for number in range(8):
        (base / f"{number}.dat").write_bytes(os.urandom(4_000_000))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "data.zip").write_text("the old one")
    command = [sys.executable, "-c", BUNDLE, str(base), str(folder / "data.zip")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # one file is written
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (folder / "data.zip").read_text() == "the old one"
    (left,) = set(os.listdir(folder)) - {"data.zip"}
    assert left.startswith(".data.zip.")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert os.listdir(folder) == ["data.zip"]
    assert install(folder / "data.zip", root=tmp_path / "there")[0].changed


def test_one_that_is_being_written_is_left_alone(make_package: MakePackage, tmp_path: Path) -> None:
    base = make_package() / "nipy" / "templates"
    (base / "large.dat").write_bytes(os.urandom(20_000_000))
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", BUNDLE, str(base), str(folder / "one.zip")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not os.listdir(folder):
        time.sleep(0.01)
    bundle([(NAME, base)], folder / "other.zip")
    assert process.wait(timeout=60) == 0
    assert sorted(os.listdir(folder)) == ["one.zip", "other.zip"]
    assert (folder / "one.zip").read_bytes() == (folder / "other.zip").read_bytes()


def test_ctrl_c_leaves_nothing(make_package: MakePackage, tmp_path: Path) -> None:
    def stop(size: int) -> None:
        raise KeyboardInterrupt

    base = make_package(files=("a.txt",)) / "nipy" / "templates"
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        bundle([(NAME, base)], tmp_path / "out" / "data.zip", progress=stop)
    assert os.listdir(tmp_path / "out") == []


def test_errors_name_the_file_that_cannot_be_read_or_written(
    thin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / "data.zip").mkdir(parents=True)
    with pytest.raises(DataError, match=r"cannot write .*data\.zip: is a directory"):
        bundle([(NAME, thin)], tmp_path / "out" / "data.zip")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write in"):
        bundle([(NAME, thin)], tmp_path / "file" / "data.zip")
    fetch_file(thin, "T1.nii")
    place = thin / "T1.nii"
    before = open

    def refuse(path: str, *rest: str) -> object:
        if path == str(place):
            raise PermissionError(13, "Permission denied", path)
        return before(path, *rest)

    monkeypatch.setattr("nibabel_data.package.bundle.open", refuse, raising=False)
    with pytest.raises(DataError, match=f"cannot read {place}: permission denied"):
        bundle([(NAME, thin)], tmp_path / "other.zip")
    with pytest.raises(MissingFileError):
        fetch_file(thin, "none")


@pytest.mark.parametrize("name", ["data.tar", "data", "data.zip.part", "data.tar.gz"])
def test_a_bundle_is_a_zip(name: str, thin: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=f"a bundle is a zip, .*{name} does not end in"):
        bundle([(NAME, thin)], tmp_path / name)
    assert bundle([(NAME, thin)], tmp_path / "DATA.ZIP").exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (("a:b",), "Windows does not allow ':' in a name"),
        (("aux/x.txt",), "Windows reserves the name AUX"),
        (("d/" * 101 + "x",), "the path is too deep"),
        (("L/y", "l/x"), "'l' is 'L' on some systems"),
        (("A.txt", "a.txt"), "'a.txt' is 'A.txt' on some systems"),
    ],
)
def test_names_that_install_would_refuse(
    files: tuple[str, ...], why: str, make_package: MakePackage, tmp_path: Path
) -> None:
    base = make_package(files=files) / "nipy" / "templates"
    with pytest.raises(DataError) as caught:
        bundle([(NAME, base)], tmp_path / "data.zip")
    assert why in str(caught.value)
    assert not (tmp_path / "data.zip").exists()
    with pytest.raises(DefinitionError, match="Windows does not allow"):
        bundle([("nipy/a:b", base)], tmp_path / "data.zip")
