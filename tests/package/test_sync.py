from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nibabel_data import ConfigError, DataError, DefinitionError, make_datasource
from nibabel_data.cli.main import main
from nibabel_data.package.bundle import bundle
from nibabel_data.package.install import install
from nibabel_data.package.lock import Locked, Wanted, compare, lock, read_lock, write_lock
from nibabel_data.package.remove import remove
from nibabel_data.package.sync import sync

from ..conftest import MakePackage
from ..test_installers import PIP, QUIET, run, wheel  # noqa: F401
from .test_lock import locked_now, two_packages


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return two_packages(make_package, monkeypatch, tmp_path)


def test_sync_installs_exactly_that_on_another_machine(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(locked_now(), "data.lock")
    names = ("nipy/templates", "lab/atlas")
    bundle([(name, root / name) for name in names], "data.zip")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "there"))
    with pytest.raises(DataError, match="names no source for it.*--from SOURCE"):
        sync("data.lock", root=tmp_path / "there")
    done = sync("data.lock", root=tmp_path / "there", source="data.zip")
    assert {one.name for one in done} | {"lab/atlas"} == set(names)
    assert compare(read_lock("data.lock")) == []
    assert sync("data.lock", root=tmp_path / "there") == []


NAMES = ("lab/atlas", "lab/more", "nipy/templates")


@pytest.fixture
def there(
    root: Path, make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the root of another machine, with a lock of three packages and a bundle of them."""
    make_package("here", "lab/more", "1.0", files=("d.txt",))
    write_lock(lock([Wanted(name, "data.zip") for name in NAMES]), "data.lock")
    bundle([(name, root / name) for name in NAMES], "data.zip")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "there"))
    return tmp_path / "there"


def test_sync_never_replaces_what_a_person_added(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("data.zip", root=there, only="lab/atlas")
    mine = there / "lab" / "atlas" / "my notes.txt"
    mine.write_text("mine")
    for _ in range(2):  # the first time did no harm
        with pytest.raises(DataError) as caught:
            sync("data.lock", root=there)
        assert str(caught.value) == (
            "nothing was installed; mend this, then run the same again:\n"
            f"    lab/atlas 2.0: {there}/lab/atlas holds what was not installed: my notes.txt; "
            f"move it away, for example: mv '{mine}' ."
        )
    assert mine.read_text() == "mine"
    assert sorted(os.listdir(there)) == ["lab"]
    assert os.listdir(there / "lab") == ["atlas"]
    shutil.move(mine, ".")
    assert [one.name for one in sync("data.lock", root=there)] == ["lab/more", "nipy/templates"]
    assert main(["sync", "--root", str(there)]) == 0
    assert capsys.readouterr().out == "everything is as data.lock says\n"


def test_sync_never_replaces_what_was_made_by_hand(there: Path) -> None:
    by_hand = there / "lab" / "atlas"
    by_hand.mkdir(parents=True)
    (by_hand / "config.ini").write_text("[DEFAULT]\nversion = 1.0\n")
    (there / "lab" / "more").write_text("a file")
    install("data.zip", root=there, only="nipy/templates")
    (there / "nipy" / "templates" / "manifest-sha256.txt").write_text("nonsense\n")
    (there / "nipy" / "templates" / "a.txt").write_text("other")
    with pytest.raises(DataError) as caught:
        sync("data.lock", root=there)
    atlas, more, templates = str(caught.value).splitlines()[1:]
    assert f"no manifest-sha256.txt; move it away: mv {by_hand} atlas.mine" in atlas
    assert f"{there}/lab/more is not a directory" in more
    assert f"line 1: not a line of a manifest: 'HASH  PATH' is needed; {''}move it" in templates
    assert os.listdir(by_hand) == ["config.ini"]
    for name in NAMES:
        shutil.move(there / name, f"{name.rpartition('/')[2]}.mine")
    assert len(sync("data.lock", root=there)) == 3


def test_sync_replaces_what_is_older_damaged_or_empty(
    there: Path, root: Path, make_package: MakePackage
) -> None:
    make_package("old", "lab/atlas", "1.9", files=("gone.txt",))
    install(there.parent / "old", root=there)
    (there / "lab" / "more" / "sub").mkdir(parents=True)
    (there / "lab" / "more" / ".DS_Store").write_text("of no interest")
    install("data.zip", root=there, only="nipy/templates")
    (there / "nipy" / "templates" / "a.txt").write_text("damaged")
    assert [one.name for one in sync("data.lock", root=there)] == list(NAMES)
    assert sync("data.lock", root=there) == []


def test_sync_looks_at_every_source_first(there: Path, root: Path) -> None:
    locked = read_lock("data.lock")
    bundle([("lab/atlas", root / "lab" / "atlas")], "atlas.zip")
    sources = ("data.zip", "atlas.zip", "none.zip")
    changed = [
        Locked(one.name, one.version, one.tree, source)
        for one, source in zip(locked, sources, strict=True)
    ]
    write_lock(changed, "data.lock")
    with pytest.raises(DataError) as caught:
        sync("data.lock", root=there)
    assert str(caught.value).splitlines()[1:] == [
        "    lab/more 1.0: no package 'lab/more' in atlas.zip; it has lab/atlas",
        "    nipy/templates 0.3: none.zip does not exist",
    ]
    assert not there.exists()
    write_lock([Locked(*NAMES[:1], "2.0", "x", "https://example.org/a.zip")], "data.lock")
    with pytest.raises(DataError, match="is to be installed by its hash"):
        sync("data.lock", root=there)


def test_what_sync_did_before_an_error_is_told(
    there: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = read_lock("data.lock")
    wrong = Locked(NAMES[2], "0.3", "sha256:0", "data.zip")
    write_lock([*locked[:2], wrong], "data.lock")
    assert main(["sync", "--root", str(there), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in facts["results"]] == list(NAMES[:2])
    assert "data.zip holds other files than are locked" in facts["error"]
    for name in NAMES[:2]:
        remove(there / name)
    assert main(["sync", "--root", str(there)]) == 1
    out, err = capsys.readouterr()
    assert out == (f"lab/atlas 2.0 installed in {there}\nlab/more 1.0 installed in {there}\n")
    assert "data.zip holds other files than are locked" in err
    write_lock(locked, "data.lock")
    assert [one.name for one in sync("data.lock", root=there)] == [NAMES[2]]


def test_sync_says_that_a_variable_is_not_for_it(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESTDIR", str(there.parent / "stage"))
    assert main(["sync", "--root", str(there)]) == 0
    assert "note: DESTDIR is set, but not used" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sync", "--root", str(there), "--prefix", "/usr"])


def test_a_package_stands_once_in_a_lock(there: Path) -> None:
    write_lock([*read_lock("data.lock"), *read_lock("data.lock")], "data.lock")
    with pytest.raises(ConfigError, match="lab/atlas stands in it twice"):
        sync("data.lock", root=there)


def test_sync_refuses_a_source_that_holds_other_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(lock([Wanted("lab/atlas", "data.zip")]), "data.lock")
    (root / "lab" / "atlas" / "c.txt").write_text("other")
    bundle([("lab/atlas", root / "lab" / "atlas")], "data.zip")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "there"))
    with pytest.raises(DataError, match="other files than are locked"):
        sync("data.lock", root=tmp_path / "there")
    with pytest.raises(DataError):
        make_datasource("lab/atlas")


def test_sync_says_when_another_copy_is_found_first(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(lock([Wanted("lab/atlas", "data.zip")]), "data.lock")
    bundle([("lab/atlas", root / "lab" / "atlas")], "data.zip")
    (root / "lab" / "atlas" / "c.txt").write_text("other")
    place = tmp_path / "there"
    with pytest.raises(DataError, match=f"{place} is not on the search path; add it: nibabel-data"):
        sync("data.lock", root=place)
    monkeypatch.setenv("NIPY_DATA_PATH", f"{root}{os.pathsep}{place}")
    with pytest.raises(DataError, match=r"lab/atlas \(NIPY_DATA_PATH\) is found before .*there"):
        sync("data.lock", root=place)
    assert not place.exists()
    monkeypatch.setenv("NIPY_DATA_PATH", f"{place}{os.pathsep}{root}")
    assert [one.name for one in sync("data.lock", root=place)] == ["lab/atlas"]


def test_a_lock_of_a_project_elsewhere_can_be_installed(
    there: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "shelf").mkdir(parents=True)
    shutil.move("data.zip", tmp_path / "project" / "shelf")
    (tmp_path / "project" / "pyproject.toml").write_text(
        "[tool.nibabel-data]\npackages = [{spec = 'lab/atlas', source = 'shelf/data.zip'}]\n"
    )
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    wanted = ["lock", "--pyproject", "project/pyproject.toml"]
    assert main([*wanted, "-o", "link/data.lock"]) == 0
    assert main([*wanted, "-o", "project/data.lock"]) == 0
    assert main(wanted) == 0
    monkeypatch.setenv("NIPY_DATA_PATH", str(there))
    sources = ("../../project/shelf/data.zip", "shelf/data.zip", "project/shelf/data.zip")
    for place, source in zip(("link", "project", "."), sources, strict=True):
        assert [one.source for one in read_lock(f"{place}/data.lock")] == [source]
        assert len(sync(f"{place}/data.lock", root=there)) == 1
        remove(there / "lab" / "atlas")


@pytest.mark.parametrize("wrong", ["", "l\0", "\ud800"])
def test_a_path_that_no_file_can_have(wrong: str, tmp_path: Path) -> None:
    write_lock([], tmp_path / "data.lock")
    with pytest.raises(DefinitionError, match="the lock file"):
        sync(wrong, root=tmp_path)
    with pytest.raises(DefinitionError, match="the root"):
        sync(tmp_path / "data.lock", root=wrong)
    with pytest.raises(DefinitionError, match="the source"):
        sync(tmp_path / "data.lock", root=tmp_path, source=wrong)


def test_sync_leaves_to_pip_what_pip_installed(
    wheel: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = tmp_path / "env"
    run([*PIP, "install", "--prefix", str(prefix), "--ignore-installed", *QUIET, wheel])
    place = prefix / "share" / "nipy"
    monkeypatch.setenv("NIPY_DATA_PATH", str(place))
    write_lock([Locked("nipy/examplepkg", "9", "sha256:0", wheel)], tmp_path / "data.lock")
    with pytest.raises(DataError, match=r"belongs to nipy-examplepkg .*: upgrade that, or"):
        sync(tmp_path / "data.lock", root=place)
    assert make_datasource("nipy/examplepkg").version != "9"
