from __future__ import annotations

import copy
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nibabel.data
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nibabel_data import (
    Bomber,
    BomberError,
    DataError,
    DataWarning,
    DefinitionError,
    VersionedDatasource,
    datasource_or_bomber,
    explain,
    find_data_dir,
    make_datasource,
)

from .conftest import MakePackage


def test_the_first_package_of_the_search_path(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_package("one", version="0.3"), make_package("two", version="0.4")
    monkeypatch.setenv("NIPY_DATA_PATH", f"{one}{os.pathsep}{two}")
    found = make_datasource("nipy/templates")
    assert isinstance(found, VersionedDatasource)
    assert found.base_path == os.path.join(one, "nipy", "templates")
    assert found.version == "0.3"
    assert str(found.origin) == "NIPY_DATA_PATH"
    assert VersionedDatasource(found.base_path).origin is None


def test_the_same_place_as_nibabel_finds(make_package: MakePackage) -> None:
    roots = [str(make_package("one", "a/b")), str(make_package("two"))]
    for definition in ({"relpath": "nipy/templates"}, {"relpath": "a/b", "min version": "0.3"}):
        ours = make_datasource(definition, data_path=roots)
        classic = nibabel.data.make_datasource(definition, data_path=roots)
        assert ours.base_path == classic.base_path
        assert ours.version == classic.version
        assert ours.get_filename("x") == classic.get_filename("x")


def test_too_old_a_copy_is_passed_over(make_package: MakePackage) -> None:
    roots = [make_package("one", version="0.1"), make_package("two", version="0.5")]
    for definition in (
        {"relpath": "nipy/templates", "min version": "0.3"},
        {"relpath": "nipy/templates", "version": ">=0.3,<1"},
        "nipy/templates>=0.3",
    ):
        assert make_datasource(definition, data_path=roots).version == "0.5"
        assert datasource_or_bomber(definition, data_path=roots).version == "0.5"
    assert [f.state for f in explain("nipy/templates>=0.3", roots).findings] == [
        "wrong version",
        "found",
    ]


def test_broken_copies_are_passed_over(tmp_path: Path, make_package: MakePackage) -> None:
    (tmp_path / "empty" / "nipy" / "templates").mkdir(parents=True)
    (tmp_path / "bare" / "nipy" / "templates" / "data").mkdir(parents=True)
    (tmp_path / "file" / "nipy").mkdir(parents=True)
    (tmp_path / "file" / "nipy" / "templates").write_text("")
    (tmp_path / "config" / "nipy" / "templates" / "config.ini").mkdir(parents=True)
    (tmp_path / "link" / "nipy").mkdir(parents=True)
    (tmp_path / "link" / "nipy" / "templates").symlink_to("templates")
    make_package("malformed", config="nonsense")
    make_package("unversioned", config="[DEFAULT]\n")
    names = ["none", "empty", "bare", "file", "config", "link", "malformed", "unversioned"]
    roots = [tmp_path / name for name in names]
    good = make_package("good")
    found = make_datasource("nipy/templates", data_path=[*roots, good])
    assert found.base_path == str(good / "nipy" / "templates")
    assert [f.state for f in explain("nipy/templates", [*roots, good]).findings] == [
        "not searched",
        "empty",
        "no config.ini",
        "not a directory",
        "malformed",
        "broken",
        "malformed",
        "malformed",
        "found",
    ]


@pytest.mark.parametrize("key", ["min version", "version"])
def test_a_version_that_cannot_be_ordered_never_suits(key: str, make_package: MakePackage) -> None:
    root = make_package(version="0.3.foo")
    assert make_datasource("nipy/templates", root).version == "0.3.foo"
    definition = {"relpath": "nipy/templates", key: "0.1" if key == "min version" else ">=0.1"}
    with pytest.raises(DataError, match=r"version 0\.3\.foo, but >=0\.1 is needed"):
        make_datasource(definition, root)
    assert isinstance(datasource_or_bomber(definition, root), Bomber)


def test_a_development_version_is_below_its_release(make_package: MakePackage) -> None:
    root = make_package(version="0.4.dev")
    bomber = datasource_or_bomber({"relpath": "nipy/templates", "min version": "0.4"}, root)
    assert not bomber
    found = datasource_or_bomber({"relpath": "nipy/templates", "min version": "0.3"}, root)
    assert found.version == "0.4.dev"


def test_data_path_may_be_anything_that_names_roots(make_package: MakePackage) -> None:
    root = make_package()
    string = os.pathsep.join(["/none", str(root)])
    paths: list[Any] = [root, str(root), string, [root], (str(root),), iter([root])]
    for data_path in paths:
        assert make_datasource("nipy/templates", data_path=data_path).version == "0.3"
    with pytest.raises(DataError, match="Searched nothing"):
        make_datasource("nipy/templates", data_path=[])


def test_not_found_with_paths_and_with_an_iterator() -> None:
    for data_path in ([Path("/none")], iter(["/none"]), Path("/none")):
        with pytest.raises(DataError, match=r"/none +data_path argument +no such directory"):
            make_datasource("nipy/templates", data_path=data_path)


def test_the_error_holds_its_explanation(make_package: MakePackage) -> None:
    with pytest.raises(DataError) as caught:
        make_datasource("nipy/templates>=0.4", make_package())
    explanation = caught.value.explanation
    assert explanation is not None
    assert str(caught.value) == explanation.text()
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.explanation == explanation


def test_a_root_one_level_too_deep_in_a_closed_directory(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (public_tmp / "nipy" / "templates").mkdir(parents=True)
    (public_tmp / "nipy" / "templates").chmod(0)
    explain("nipy/templates")
    with unprivileged(), pytest.raises(DataError):
        make_datasource("nipy/templates", public_tmp / "nipy")


def test_an_unknown_key_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(DataWarning) as caught:
        bomber: Any = datasource_or_bomber({"relpath": "a/b", "colour": "red"})
        assert not bomber
        assert not hasattr(bomber, "version")
        with pytest.raises(DataError):
            make_datasource({"relpath": "a/b", "colour": "red"})
    assert [warning.filename for warning in caught] == [__file__, __file__]


def test_a_package_that_is_a_link(make_package: MakePackage, tmp_path: Path) -> None:
    real = make_package("real")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "nipy").symlink_to(real / "nipy")
    found = make_datasource("nipy/templates", tmp_path / "root")
    assert found.base_path == str(tmp_path / "root" / "nipy" / "templates")


def test_a_root_without_permission_says_so(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    package = public_tmp / "root" / "nipy" / "templates"
    package.mkdir(parents=True)
    (package / "config.ini").write_text("[DEFAULT]\nversion = 0.3\n")
    explain("nipy/templates")  # loads what it needs
    for closed, said in (
        (public_tmp / "root", "no permission to read"),
        (package, "no permission to read"),
        (package / "config.ini", "no permission to read"),
    ):
        closed.chmod(0)
        with unprivileged(), pytest.raises(DataError, match=said) as caught:
            make_datasource("nipy/templates", public_tmp / "root")
        assert "not here" not in str(caught.value)
        closed.chmod(0o755)


@pytest.mark.parametrize("names", [("..",), ("/etc",), ("a", "..", "..")])
def test_find_data_dir_refuses_to_leave_its_roots(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="leads out"):
        find_data_dir(["/usr"], *names)


def test_find_data_dir(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two" / "a" / "b").mkdir(parents=True)
    (tmp_path / "one" / "a").write_text("")
    roots = [tmp_path / "none", tmp_path / "one", tmp_path / "two"]
    assert find_data_dir(roots, "a", "b") == str(tmp_path / "two" / "a" / "b")
    assert find_data_dir(map(str, roots), "a/b") == nibabel.data.find_data_dir(
        list(map(str, roots)), "a/b"
    )
    with pytest.raises(DataError, match='no directory "c" below'):
        find_data_dir(roots, "c")
    with pytest.raises(DataError, match="there is no root"):
        find_data_dir([], "c")


# Bombers ------------------------------------------------------------------------------------


def missing() -> Any:
    return datasource_or_bomber(
        {"relpath": "nipy/templates", "name": "nipy-templates", "install hint": "Get it."}
    )


def test_a_bomber_raises_when_it_is_used() -> None:
    bomber = missing()
    with pytest.raises(BomberError) as caught:
        bomber.get_filename()
    assert isinstance(caught.value, DataError)
    assert isinstance(caught.value, AttributeError)
    assert caught.value.explanation is not None
    for said in ("get_filename", "nipy/templates", "nipy-templates", "Get it.", "Searched"):
        assert said in str(caught.value)
    with pytest.raises(DataError, match="Trying to use the path"):
        os.fspath(bomber)


def test_a_bomber_is_false_and_readable() -> None:
    bomber = missing()
    assert not bomber
    assert not hasattr(bomber, "get_filename")
    assert repr(bomber) == "<Bomber: no data 'nipy/templates'; use it to see what to do>"
    assert bomber.name == "nipy/templates"
    assert bomber.msg.startswith("no data package 'nipy/templates'")


def test_the_classic_bomber() -> None:
    bomber = Bomber("example", "a message")
    assert not bomber
    assert bomber.msg == "a message"
    with pytest.raises(BomberError, match="a message"):
        bomber.any_attribute  # noqa: B018


def test_copies_of_a_bomber() -> None:
    for bomber in (missing(), Bomber("example", "a message")):
        copies = (copy.copy(bomber), copy.deepcopy(bomber), pickle.loads(pickle.dumps(bomber)))
        for other in copies:
            assert isinstance(other, Bomber)
            assert (other.name, other.msg) == (bomber.name, bomber.msg)
            assert not other


def test_a_bomber_finds_what_was_installed_since(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomber = missing()
    assert not bomber
    root = make_package(files=("T1.nii",))
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    assert bomber
    assert bomber.version == "0.3"
    assert bomber.get_filename("T1.nii") == str(root / "nipy" / "templates" / "T1.nii")
    assert os.fspath(bomber) == str(root / "nipy" / "templates")
    assert "found" in repr(bomber)


def test_a_wrong_definition_is_told_at_once() -> None:
    for definition in ({}, "..", {"relpath": "a", "version": "nonsense"}):
        with pytest.raises(DefinitionError):
            datasource_or_bomber(definition)


def test_a_package_that_goes_away_while_it_is_looked_at(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_package()
    from nibabel_data import ini

    read_text = ini.read_text

    def vanish(path: str) -> Any:
        shutil.rmtree(root)
        return read_text(path)

    monkeypatch.setattr(ini, "read_text", vanish)
    monkeypatch.setattr(shutil, "rmtree", lambda path, rm=shutil.rmtree: rm(path, True))
    with pytest.raises(DataError, match="no such directory"):
        make_datasource("nipy/templates", root)


def test_a_package_that_appears_while_the_error_is_written(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nibabel_data import locate

    root = make_package()
    monkeypatch.setattr(locate, "_find", lambda *_, **__: None)
    assert make_datasource("nipy/templates", root).version == "0.3"


# What holds for every input ------------------------------------------------------------------

relpaths = st.text(st.sampled_from("ab/.\\ \0é~$<>=!3"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(relpath=relpaths, content=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_only_data_errors_escape(tmp_path: Path, relpath: str, content: bytes) -> None:
    package = tmp_path / "root" / "a"
    package.mkdir(parents=True, exist_ok=True)
    (package / "config.ini").write_bytes(content)
    for asked in (relpath, {"relpath": relpath}, "a", "a>=0.1"):
        try:
            found = make_datasource(asked, tmp_path / "root")
        except DataError as error:
            if not isinstance(error, DefinitionError):
                assert explain(asked, tmp_path / "root").found is None
                assert not datasource_or_bomber(asked, tmp_path / "root")
        else:
            finding = explain(asked, tmp_path / "root").found
            assert finding is not None
            assert finding.version == found.version
            assert os.path.samefile(str(finding.path), found)


@pytest.mark.parametrize("root", ["/d" * 5000, "/" + "d" * 300, "a\0b", "\ud800"])
def test_roots_that_no_file_system_has(root: str) -> None:
    with pytest.raises(DataError) as caught:
        make_datasource("nipy/templates", [root])
    assert caught.value.explanation is not None
    assert caught.value.explanation.findings[0].state == "not searched"


@example(["~\0"])
@example(["~\ud800"])
@given(st.lists(st.text(max_size=8), max_size=4))
def test_any_data_path_is_searched_or_a_data_error(roots: list[str]) -> None:
    with pytest.raises(DataError):
        make_datasource("no/such-package", roots)
    with pytest.raises(DataError):
        make_datasource("no/such-package", os.pathsep.join(roots))
