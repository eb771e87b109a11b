from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data.doctor import Problem, diagnose

from .conftest import MakePackage
from .test_distributions import add_distribution


def kinds(problems: list[Problem]) -> list[str]:
    return [problem.kind for problem in problems]


def the(kind: str, problems: list[Problem]) -> Problem:
    (found,) = (problem for problem in problems if problem.kind == kind)
    return found


def test_all_is_well(make_package: MakePackage) -> None:
    assert diagnose(make_package()) == []
    assert diagnose() == []  # a prefix without data, and no user directory, are no problem


def test_a_malformed_ini(tmp_path: Path) -> None:
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text("[DATA]\npath = /a\npath = /b\n")
    etc = Path(os.environ["NIPY_SYSTEM_DIR"])
    (etc / "lab.ini").write_text("[data]\npath = /a\n")
    problems = diagnose()
    assert kinds(problems) == ["malformed ini", "malformed ini"]
    assert problems[0].where == str(home / "config.ini")
    assert problems[0].problem == "line 3: a second 'path' in [DATA]"
    assert problems[0].mend == f"edit line 3 of {home}/config.ini"
    assert "it needs [DATA]" in problems[1].mend


def test_an_unreadable_ini(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", str(public_tmp))
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(public_tmp / "none"))
    (public_tmp / "config.ini").write_text("")
    (public_tmp / "config.ini").chmod(0)
    diagnose()
    with unprivileged():
        problem = the("unreadable ini", diagnose())
    assert problem.mend == f"chmod a+r {public_tmp}/config.ini"


def test_roots_that_are_named_but_cannot_be_searched(
    tmp_path: Path,
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    (tmp_path / "file").write_text("")
    problems = diagnose([tmp_path / "no ne", tmp_path / "file"])
    assert kinds(problems) == ["missing root", "missing root"]
    assert problems[0].mend.startswith(f"mkdir -p '{tmp_path}/no ne', or take")
    (public_tmp / "closed").mkdir(mode=0)
    with unprivileged():
        problem = the("unreadable root", diagnose(public_tmp / "closed"))
    assert problem.mend == f"ask for permission: ls -ld {public_tmp}/closed"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("/a ; c", "a comment behind a path"),
        ("/a # c", "a comment behind a path"),
        ('"/a', "a quote that does not close"),
        ("$NO_SUCH_NAME/a", "a variable or user in it is not known"),
        ("~no_such_user/a", "a variable or user in it is not known"),
    ],
)
def test_odd_entries(entry: str, said: str) -> None:
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text(f"[DATA]\npath = {entry}\n")
    problem = the("odd entry", diagnose())
    assert said in problem.problem
    assert problem.mend == f"correct the entry in {home}/config.ini:2"


def test_a_root_that_is_a_package_itself(make_package: MakePackage) -> None:
    package = make_package() / "nipy" / "templates"
    problem = the("package as root", diagnose(package))
    assert problem.where == str(package)
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text("[DATA]\n")
    assert diagnose() == []  # the user's directory holds a config.ini of another kind


def test_a_package_without_permission(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    config = public_tmp / "nipy" / "templates" / "config.ini"
    config.parent.mkdir(parents=True)
    config.write_text("[DEFAULT]\nversion = 1\n")
    config.chmod(0)
    with unprivileged():
        problem = the("malformed package", diagnose(public_tmp))
    assert problem.mend == f"ask for permission: ls -ld {config}"


def test_a_relative_root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_package()
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("NIPY_DATA_PATH", root.name)
    assert "a relative path" in the("odd entry", diagnose()).problem


def test_an_empty_directory_left_by_an_uninstall(make_package: MakePackage) -> None:
    root = make_package()
    (root / "nipy" / "left" / "deep").mkdir(parents=True)
    (root / "nipy" / "templates" / "output").mkdir()
    (root / "nipy" / "broken").symlink_to("nowhere")
    (root / "alone").mkdir()
    (root / ".hidden").mkdir()
    problems = diagnose(root)
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("empty directory", f"{root}/alone"),
        ("dangling link", f"{root}/nipy/broken"),
        ("empty directory", f"{root}/nipy/left"),
    ]
    assert "find" in problems[0].mend
    assert [problem.serious for problem in problems] == [False, True, False]


def test_packages_that_cannot_be_used(make_package: MakePackage) -> None:
    root = make_package("root", "a/bad", config="nonsense")
    make_package("root", "a/foo", "0.3.foo")
    problems = diagnose(root)
    assert kinds(problems) == ["malformed package", "unordered version"]
    assert f"edit {root}/a/bad/config.ini" in problems[0].mend


def test_a_shadowed_copy_is_a_note(make_package: MakePackage, tmp_path: Path) -> None:
    one, two = make_package("one"), make_package("two", version="0.4")
    problem = the("shadowed copy", diagnose([one, two]))
    assert problem.where == str(two / "nipy" / "templates")
    assert str(one) in problem.problem
    assert not problem.serious
    (tmp_path / "link").symlink_to(one)
    assert diagnose([one, tmp_path / "link"]) == []  # the same directory by two names


def test_links_without_content(make_package: MakePackage) -> None:
    package = make_package() / "nipy" / "templates"
    (package / "broken").symlink_to("nowhere")
    (package / "annexed").symlink_to(".git/annex/objects/a/b/KEY/KEY")
    problems = diagnose(package.parents[1])
    dangling, absent = the("dangling link", problems), the("absent content", problems)
    assert dangling.mend == f"restore the file, or rm {package}/broken"
    assert dangling.serious
    assert absent.mend.startswith("datalad get ")
    assert not absent.serious


def test_a_directory_inside_that_cannot_be_read(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    package = public_tmp / "nipy" / "templates"
    (package / "closed").mkdir(parents=True)
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1\n")
    (package / "closed").chmod(0)
    with unprivileged():
        problem = the("unreadable directory", diagnose(public_tmp))
    assert problem.where == str(package / "closed")


def test_data_that_an_installer_put_out_of_sight(
    make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_package(tmp_path / "far" / "share" / "nipy")
    site = tmp_path / "near" / "python"
    add_distribution(site, ["../../far/share/nipy/nipy/templates/config.ini"])
    monkeypatch.syspath_prepend(str(site))
    problem = the("out of sight", diagnose())
    assert problem.where == str(root)
    assert problem.mend == f"nibabel-data config add {root}"
    assert not problem.serious


def test_variables_and_files_that_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc = tmp_path / "etc"
    (etc / "lab.ini").write_text("[DATA]\npaths = /a\n")
    (etc / "lab.conf").write_text("[DATA]\npath = /a\n")
    problems = diagnose()
    assert [(p.kind, p.where, p.serious) for p in problems] == [
        ("silent file", str(etc / "lab.conf"), False),
        ("silent file", str(etc / "lab.ini"), False),
    ]
    monkeypatch.setenv("NIPY_SYSTEM_DIR", "/no/such/dir")
    assert the("missing root", diagnose()).problem == "NIPY_SYSTEM_DIR names no directory"


def test_a_plugin_that_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .test_installers import add_plugin

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "emptyplug.py").write_text("ROOT = '/no/such/root'\n")
    add_plugin(tmp_path / "site", "empty-plugin", "emptyplug:ROOT")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert the("missing root", diagnose()).where == "/no/such/root"


def test_a_plugin_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .test_installers import add_plugin

    add_plugin(tmp_path / "site", "bad-plugin", "no_such_module_here")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    problem = the("malformed plug-in", diagnose())
    assert problem.mend == "update or uninstall the plug-in"
