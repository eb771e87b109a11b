"""Packages made for Glia or Astrocyte, turned into data packages."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import packaging.licenses
import packaging.version  # noqa: F401
import pytest

from nibabel_data.datasource import VersionedDatasource
from nibabel_data.errors import DataError, DefinitionError, ResolveError
from nibabel_data.mechanisms import discovery
from nibabel_data.mechanisms.adding import add
from nibabel_data.mechanisms.authoring import build_package
from nibabel_data.mechanisms.checking import check_package
from nibabel_data.mechanisms.collected import data_packages
from nibabel_data.mechanisms.importing import import_package
from nibabel_data.mechanisms.published import spdx_of

from .conftest import ASTROCYTE, ASTROCYTE_FILES, MOD, PAS, Install, needs_neuron


def found_in(root: Path) -> dict[str, tuple[str | None, str]]:
    """Return what discovery finds below a root: dialect and path by full name and dialect."""
    (package,) = data_packages(root)[0]
    assert package.problems == ()
    return {
        f"{one.name} {one.dialect}": (one.dialect, os.path.relpath(one.path, package.root))
        for one in package.mechanisms
    }


def test_a_package_of_glia(install: Install, tmp_path: Path) -> None:
    info = install()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: lab-mods\nVersion: 1.2\nSummary: Cells, 50 % of them\n"
        "Author: Bo Builder\nAuthor-email: Ana Ångström <ana@example.org>\n"
        "License-Expression: MIT\nLicense-File: LICENSE.txt\n"
        "Project-URL: Source, https://example.org/lab\n",
        encoding="utf-8",
    )
    (info / "licenses").mkdir()
    (info / "licenses" / "LICENSE.txt").write_text("the text")
    made = import_package("lab", tmp_path / "made")
    assert os.fspath(made) == str(tmp_path / "made")
    assert (made.relpath, made.version, made.license) == ("mechanisms/lab", "1.2", "MIT")
    assert (len(made.names), made.files, made.left_out) == (4, 5, ())
    assert found_in(made.path) == {
        "glia__lab__AMPA__0 None": (None, "AMPA__0.mod"),
        "glia__lab__Na__0 arbor": ("arbor", "arbor/Na__0.mod"),
        "glia__lab__Na__0 neuron": ("neuron", "neuron/Na__0.mod"),
        "glia__lab__Na__fast None": (None, "Na__fast.mod"),
        "glia__lab__Train__0 None": (None, "Train__0.mod"),
    }
    package = VersionedDatasource(made.path / "mechanisms" / "lab")
    assert package.version == "1.2"
    assert package.config.defaults()["description"] == "Cells, 50 % of them"
    assert "mechanisms_name" not in package.config.defaults()
    assert (made.path / "mechanisms" / "lab" / "LICENSE").read_text() == "the text"
    citation = (made.path / "CITATION.cff").read_text(encoding="utf-8")
    assert "Bo Builder" in citation
    assert 'name: "Ana Ångström"\n    email: "ana@example.org"' in citation
    assert "https://example.org/lab" in citation


def test_kinds_that_were_declared_wrongly_are_told(install: Install, tmp_path: Path) -> None:
    install()  # all of its sources are those of density mechanisms
    made = import_package("lab-mods", tmp_path / "made")
    assert sum("was declared as" in note for note in made.notes) == 2
    assert "glia__lab__AMPA__0 was declared as point process" in str(made)


def test_another_name_keeps_the_full_names(install: Install, tmp_path: Path) -> None:
    install()
    made = import_package("lab@lab-mods", tmp_path / "made", "ours/golgi-cells")
    assert made.relpath == "ours/golgi-cells"
    assert "glia__lab__Na__fast None" in found_in(made.path)
    config = (made.path / "ours" / "golgi-cells" / "config.ini").read_text()
    assert "mechanisms_name = lab\n" in config
    assert json.loads(json.dumps(made.to_json()))["names"][0] == "glia__lab__AMPA__0"


def test_a_package_of_astrocyte(install: Install, tmp_path: Path) -> None:
    install("old-mods", ASTROCYTE, ASTROCYTE_FILES, top="old", entry="old")
    made = import_package("old", tmp_path / "made")
    assert [one.split()[0] for one in found_in(made.path)] == [
        "glia__old__AMPA__0",
        "glia__old__Na__granule",
    ]
    assert made.license == "LicenseRef-unknown"
    assert any("licence" in note for note in made.notes)
    assert any("no author" in note for note in made.notes)


def test_what_is_included_comes_along(install: Install, tmp_path: Path) -> None:
    info = install()
    mods = info.parent / "lab_mods" / "mods"
    (mods / "common.inc").write_text("FUNCTION once(x) { once = x }\n")
    for path in (mods / "AMPA.mod", mods / "Train.mod"):
        path.write_text('INCLUDE "common.inc"\n' + MOD)
    (mods / "neuron" / "Na.mod").write_text('INCLUDE "../common.inc"\n' + MOD)
    made = import_package("lab", tmp_path / "made")
    base = made.path / "mechanisms" / "lab"
    assert (base / "common.inc").exists()
    assert (base / "neuron" / "Na__0.mod").read_text() == 'INCLUDE "common.inc"\n' + MOD
    assert made.left_out == ()


def test_one_bad_file_keeps_none_of_the_others(install: Install, tmp_path: Path) -> None:
    info = install()
    mods = info.parent / "lab_mods" / "mods"
    (mods / "Na_fast.mod").unlink()
    (mods / "AMPA.mod").write_text('INCLUDE "gone.inc"\n' + MOD)
    made = import_package("lab", tmp_path / "made")
    assert made.names == ("glia__lab__Na__0", "glia__lab__Train__0")
    fast, ampa = made.left_out
    assert fast.startswith("glia__lab__Na__fast: ")
    assert "no such file" in fast
    assert "line 1 includes 'gone.inc'" in ampa
    for path in mods.rglob("*.mod"):
        path.unlink()
    with pytest.raises(DataError, match="no mechanism that can be imported"):
        import_package("lab", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_names_that_mean_nothing(install: Install, tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="'lab'; none is installed"):
        import_package("lab", tmp_path / "made")
    install()
    with pytest.raises(ResolveError, match="there are: lab"):
        import_package("other", tmp_path / "made")
    with pytest.raises(ResolveError, match="no such file"):
        import_package("./other", tmp_path / "made")
    with pytest.raises(ResolveError, match="NEURON"):
        import_package("NEURON", tmp_path / "made")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResolveError, match="holds no package"):
        import_package(tmp_path / "empty", tmp_path / "made")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x").touch()
    with pytest.raises(DataError, match="is not empty"):
        import_package("lab", tmp_path / "made")


def test_two_packages_of_one_name(install: Install, tmp_path: Path) -> None:
    install()
    install("other-mods", top="other_mods")
    with pytest.raises(ResolveError, match="PACKAGE@DISTRIBUTION"):
        import_package("lab", tmp_path / "made")
    assert import_package("lab@other-mods", tmp_path / "made").source == "other-mods 1.0"


def test_a_wheel_and_a_directory(
    install: Install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    wheel = tmp_path / "lab_mods-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in site.rglob("*"):
            archive.write(path, path.relative_to(site))
    direct = import_package(site, tmp_path / "direct")
    made = import_package(wheel, tmp_path / "made")
    assert made.source == direct.source == "lab-mods 1.0"
    assert found_in(made.path) == found_in(direct.path)
    wheel.write_bytes(b"PK, but no wheel")
    with pytest.raises(DataError, match="cannot be read as a wheel"):
        import_package(wheel, tmp_path / "x")


@pytest.mark.parametrize("place", ["src", "."])
@pytest.mark.parametrize("has_entry_point", [True, False])
def test_the_source_of_a_project(
    place: str, has_entry_point: bool, install: Install, tmp_path: Path
) -> None:
    top = tmp_path / "project"
    install(where=top / place)
    entry = '[project.entry-points."glia.package"]\nlab = "lab_mods:package"\n'
    (top / "pyproject.toml").write_text(
        '[project]\nname = "lab-mods"\nversion = "3.1"\nlicense = { text = "MIT" }\n'
        'authors = [{ name = "Ana" }]\n' + entry * has_entry_point
    )
    made = import_package(top, tmp_path / "made")
    assert (made.source, made.version, made.license) == ("lab-mods 3.1", "3.1", "MIT")
    assert made.files == 5


def test_the_users_own_collection_is_published(tmp_path: Path) -> None:
    path = tmp_path / "Kv.mod"
    path.write_text(PAS.replace("NAME", "Kv"))
    add(path, local=True)
    with pytest.raises(DefinitionError, match="--name"):
        import_package("local", tmp_path / "made")
    made = import_package("local", tmp_path / "made", "cells")
    assert made.names == ("glia__cells__Kv__0",)
    assert list(found_in(made.path)) == ["glia__cells__Kv__0 None"]


@pytest.mark.parametrize(
    ("name", "spdx"),
    [
        ("GPLv3", "GPL-3.0-only"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.1-or-later"),
        ("MIT License", "MIT"),
        ("mit", "MIT"),
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("UNKNOWN", ""),
        ("all rights reserved", ""),
    ],
)
def test_licences_as_people_call_them(name: str, spdx: str) -> None:
    assert spdx_of([name], []) == spdx


# the real ones

REFUSED = [
    "HCN1__golgi.mod",
    "Na__granule_cell.mod",
    "Na__granule_cell_FHF.mod",
    "cdp5__0.mod",
    "cdp5__CAM.mod",
    "cdp5__CAM_GoC.mod",
    "cdp5__CR.mod",
]
"""Of dbbs-mod-collection, by NEURON 9."""


@needs_neuron
@pytest.mark.parametrize(
    ("distribution", "package", "version", "license", "files", "refused"),
    [
        ("dbbs-catalogue", "dbbs", "6.0.1", "GPL-3.0-only", 80, []),
        ("dbbs-mod-collection", "dbbs_mod_collection", "2.2.3", "GPL-3.0-only", 42, REFUSED),
        ("nrn-patch", "patch_extensions", "8.0.2", "GPL-3.0-or-later", 1, []),
    ],
)
def test_the_real_packages(
    distribution: str,
    package: str,
    version: str,
    license: str,
    files: int,
    refused: list[str],
    real_packages: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(real_packages)])
    before = discovery.discover(fresh=True).package(package)
    assert before is not None
    for source in (distribution, package):
        made = import_package(source, tmp_path / source)
        assert (made.version, made.license, made.files) == (version, license, files)
        assert made.left_out == ()
        assert made.notes == ()
    names = {f"{one.name} {one.dialect}" for one in before.mechanisms}
    assert found_in(made.path).keys() == names
    problems = [p for p in check_package(made) if p.serious]
    assert [Path(p.path).name for p in problems] == refused
    for problem in problems:
        (made.path / problem.path).unlink()
    (wheel,) = build_package(made, tmp_path / "out", sdist=False)
    assert wheel.name.endswith(f"-{version}-py3-none-any.whl")
