from __future__ import annotations

from pathlib import Path

import pytest

from nibabel_data import VersionedDatasource
from nibabel_data.about import citation, licence

from .conftest import PROJECT, MakePackage


@pytest.mark.parametrize("key", ["license", "licence", "License"])
def test_the_key_comes_first(key: str, make_package: MakePackage) -> None:
    config = f"[DEFAULT]\nversion = 1\n{key} = CC0-1.0\ncitation = Us, 2026\n"
    root = make_package(config=config, files=("LICENSE", "CITATION.cff"))
    package = VersionedDatasource(root / "nipy" / "templates")
    assert licence(package) == "CC0-1.0"
    assert citation(package) == "Us, 2026"


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.txt", "COPYING", "license.md"])
def test_else_the_file(name: str, make_package: MakePackage) -> None:
    base = make_package(files=(name, "CITATION.cff")) / "nipy" / "templates"
    assert licence(VersionedDatasource(base)) == str(base / name)
    assert citation(VersionedDatasource(base)) == str(base / "CITATION.cff")


def test_neither(make_package: MakePackage) -> None:
    package = VersionedDatasource(make_package() / "nipy" / "templates")
    assert licence(package) is None
    assert citation(package) is None


def test_the_example_package_says_both() -> None:
    place = Path(PROJECT, "examples", "nipy-examplepkg", "nipy", "examplepkg")
    package = VersionedDatasource(place)
    assert licence(package) == "CC0-1.0"
    assert citation(package)
