from __future__ import annotations

from pathlib import Path

import pytest

from nibabel_data import DataError, VersionedDatasource, iter_packages
from nibabel_data.packages import package_names

from .conftest import MakePackage


def test_every_package_with_its_shadow(make_package: MakePackage, tmp_path: Path) -> None:
    one = make_package("one", "nipy/templates", "0.3")
    make_package("one", "single", "1.0")
    make_package("one", "broken/pkg", config="nonsense")
    two = make_package("two", "nipy/templates", "0.4")
    make_package("two", "broken/pkg", "2.0")
    make_package("two", ".hidden/pkg")
    make_package("two", "too/deep/here")
    (two / "nipy" / "empty").mkdir()
    (two / "file").write_text("")
    found = list(iter_packages([one, tmp_path / "none", two]))
    assert [(p.relpath, p.version, p.shadowed_by is not None, bool(p.problem)) for p in found] == [
        ("broken/pkg", None, False, True),
        ("nipy/templates", "0.3", False, False),
        ("single", "1.0", False, False),
        ("broken/pkg", "2.0", False, False),
        ("nipy/templates", "0.4", True, False),
    ]
    assert found[0].problem.startswith("malformed config.ini line 1: ")
    assert found[4].shadowed_by == one / "nipy" / "templates"
    assert str(found[4].root.path) == str(two)
    assert found[1].datasource() == VersionedDatasource(one / "nipy" / "templates")
    with pytest.raises(DataError):
        found[0].datasource()


def test_the_search_path_is_the_default(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(make_package()))
    (package,) = iter_packages()
    assert str(package.root.origin) == "NIPY_DATA_PATH"


def test_links_that_loop_end(make_package: MakePackage) -> None:
    root = make_package()
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to("self")
    assert [package.relpath for package in iter_packages(root)] == ["nipy/templates"]


def test_names_of_what_may_be_packages(make_package: MakePackage) -> None:
    root = make_package("root", "a/b")
    make_package("root", "single")
    (root / "c" / "d").mkdir(parents=True)
    assert package_names([root, root, "/none"]) == ["a/b", "single"]
