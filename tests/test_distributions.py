from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nibabel_data.distributions import installed_roots, owner_of

from .conftest import MakePackage


def add_distribution(site: Path, record: list[str], name: str = "lab-data") -> None:
    info = site / f"{name}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "RECORD").write_text("".join(f"{path},sha256=abc,10\n" for path in record))


@pytest.mark.parametrize("written", ["../../../share/nipy/", "../../share/nipy/", "share/nipy/"])
def test_the_owner_is_the_distribution_whose_record_lists_it(
    written: str, make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "python3" / "site-packages"
    place = os.path.normpath(site / written) if written != "../../share/nipy/" else site / written
    # pip --target writes ../../share although the files lie in the target itself.
    root = make_package(site / "share/nipy" if written == "../../share/nipy/" else Path(place))
    add_distribution(site, [f"{written}nipy/templates/config.ini", "lab.py"])
    monkeypatch.setattr(sys, "path", [str(site)])
    assert owner_of(root / "nipy" / "templates") == "lab-data 2.0"
    assert owner_of(make_package("other") / "nipy" / "templates") is None
    assert installed_roots() == {str(root): ["lab-data"]}


def test_the_owner_is_found_in_the_prefix_of_the_package(
    make_package: MakePackage, tmp_path: Path
) -> None:
    root = make_package("prefix/share/nipy")
    site = tmp_path / "prefix" / "lib" / "python3.11" / "site-packages"
    add_distribution(site, ["../../../share/nipy/nipy/templates/config.ini"])
    assert owner_of(root / "nipy" / "templates") == "lab-data 2.0"


def test_a_name_with_a_comma(
    make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_package("share/nipy", "a,b/c")
    add_distribution(tmp_path, ['"share/nipy/a,b/c/config.ini"'])
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert owner_of(root / "a,b" / "c") == "lab-data 2.0"


def test_distributions_without_record_or_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_distribution(tmp_path, ["lab.py"])
    (tmp_path / "lab-data-2.0.dist-info" / "RECORD").unlink()
    add_distribution(tmp_path, ["share/nipy/gone/config.ini"], name="gone-data")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_roots() == {}


def test_dpkg_owns_what_it_installed() -> None:
    if not Path("/usr/bin/dpkg-query").exists():
        pytest.skip("needs dpkg, as Debian has it")
    from nibabel_data import distributions

    assert distributions._dpkg_or_rpm("/usr/bin/dpkg-query") == "dpkg (dpkg)"
