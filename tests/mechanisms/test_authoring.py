"""Making a package of mechanisms, putting mechanisms into it, building and installing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from nibabel_data.errors import DataError, DefinitionError, MechanismError
from nibabel_data.mechanisms import adding, discovery
from nibabel_data.mechanisms.adding import add
from nibabel_data.mechanisms.authoring import build_package, new_package
from nibabel_data.mechanisms.checking import check_package
from nibabel_data.package.install import install

from .conftest import PAS, needs_neuron


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return the distribution directory of an empty package."""
    return new_package("cells", tmp_path / "cells")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a directory with a mechanism in it."""
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "leak.mod"
    path.write_text(PAS.replace("NAME", "Leak"))
    return path


def inside(package: Path) -> list[str]:
    """Return the mechanisms, and what they include, of the package."""
    base = package / "mechanisms" / "cells"
    files = (p.relative_to(base).as_posix() for p in base.rglob("*") if p.is_file())
    described = {"config.ini", "README.rst", "LICENSE", "CITATION.cff"}
    return sorted(file for file in files if file not in described)


# new


def test_a_new_package_is_complete(package: Path) -> None:
    assert sorted(path.name for path in package.iterdir()) == [
        "CITATION.cff",
        "LICENSE",
        "README.rst",
        "mechanisms",
        "pyproject.toml",
    ]
    (problem,) = check_package(package)
    assert problem.problem == "there is no mechanism in it yet"
    assert not problem.serious
    config = (package / "mechanisms" / "cells" / "config.ini").read_text()
    assert "kind = mechanisms\n" in config


def test_a_new_package_can_have_a_project_licence_and_author(tmp_path: Path) -> None:
    made = new_package("mylab/my-cells", tmp_path / "x", license="MIT", author="Ana Ångström")
    assert 'name = "mylab-my-cells"' in (made / "pyproject.toml").read_text()
    assert "Ångström" in (made / "CITATION.cff").read_text(encoding="utf-8")
    assert "SPDX identifier: MIT" in (made / "LICENSE").read_text(encoding="utf-8")


def test_it_is_made_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_package("cells") == tmp_path / "mechanisms-cells"


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "..", "my cells", "aux"])
def test_names_that_no_package_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError):
        new_package(name, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_nothing_is_made_where_something_is(package: Path) -> None:
    with pytest.raises(DataError, match="is not empty; choose another with --directory"):
        new_package("cells", package)
    with pytest.raises(DefinitionError, match="SPDX"):
        new_package("cells", package.parent / "x", license="no licence")
    assert not (package.parent / "x").exists()


# add


def test_kind_and_name_are_read_from_the_source(source: Path, package: Path) -> None:
    added = add(source, package)
    assert added.name == "glia__cells__Leak__0"
    assert added.kind == "density"
    assert added.path == package / "mechanisms" / "cells" / "Leak__0.mod"
    assert added.path.read_bytes() == source.read_bytes()
    assert str(added).splitlines()[1] == "    density glia__cells__Leak__0"
    assert json.loads(json.dumps(added.to_json()))["asset"] == "Leak"


@pytest.mark.parametrize(
    ("stem", "declared", "expected"),
    [
        ("k", "SUFFIX Kv1_1", ("Kv1_1", "0", "density")),
        ("Kv1__high", "SUFFIX Kv1", ("Kv1", "high", "density")),
        ("x", "SUFFIX glia__dbbs__Kv1__low", ("Kv1", "low", "density")),
        ("x", "POINT_PROCESS AMPA", ("AMPA", "0", "point process")),
        ("x", "ARTIFICIAL_CELL Train", ("Train", "0", "artificial cell")),
        ("Plain", "THREADSAFE", ("Plain", "0", "density")),
        ("glia__a__b__c", "THREADSAFE", ("b", "c", "density")),
        ("helpers", "SUFFIX nothing", ("helpers", "0", "functions")),
        ("not-a-name", "SUFFIX good", ("good", "0", "density")),
    ],
)
def test_where_the_names_come_from(
    stem: str, declared: str, expected: tuple[str, str, str], package: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"{stem}.mod"
    path.write_text(f"NEURON {{ {declared} }}\n")
    added = add(path, package)
    assert (added.asset, added.variant, added.kind) == expected
    assert added.path.name == f"{expected[0]}__{expected[1]}.mod"


def test_names_and_dialect_can_be_said(source: Path, package: Path) -> None:
    add(source, package, name="Kir", variant="slow")
    add(source, package, name="Kir", variant="slow", dialect="arbor")
    assert inside(package) == ["Kir__slow.mod", "arbor/Kir__slow.mod"]
    assert add(source, package, dialect="neuron").path.parent.name == "neuron"


def test_the_package_itself_can_be_named(source: Path, package: Path) -> None:
    add(source, package / "mechanisms" / "cells")
    assert inside(package) == ["Leak__0.mod"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "my-k"}, r"'my-k' cannot be the asset .* \(try 'my_k'\); name it with --name"),
        ({"variant": "a__b"}, r"'a__b' cannot be the variant"),
        ({"name": "glia__a__b__c"}, "is a full name: .* --name b --variant c"),
        ({"name": "x" * 300}, "NEURON takes 250"),
        ({"dialect": "nest"}, "'nest' is none of neuron, arbor"),
    ],
)
def test_names_that_cannot_be(
    options: dict[str, str], told: str, source: Path, package: Path
) -> None:
    with pytest.raises(DataError, match=told):
        add(source, package, **options)  # type: ignore[arg-type]
    assert inside(package) == []


def test_a_source_that_is_no_name_says_how_to_name_it(package: Path, tmp_path: Path) -> None:
    path = tmp_path / "my-leak.mod"
    path.write_text("NEURON { }\n")
    with pytest.raises(MechanismError, match=r"my-leak\.mod.*--name"):
        add(path, package)
    assert add(path, package, name="my_leak").asset == "my_leak"


def test_what_is_there_is_replaced_only_if_asked(source: Path, package: Path) -> None:
    first = add(source, package)
    before = first.path.read_bytes()
    source.write_bytes(before + b": more\n")
    with pytest.raises(MechanismError, match=r"Leak, variant 0, already; .*--overwrite"):
        add(source, package)
    assert first.path.read_bytes() == before
    again = add(source, package, overwrite=True)
    assert again.replaced
    assert again.path.read_bytes() == source.read_bytes()
    assert inside(package) == ["Leak__0.mod"]


def test_one_of_another_file_name_is_replaced_where_it_is(source: Path, package: Path) -> None:
    other = package / "mechanisms" / "cells" / "mods" / "Leak.mod"
    other.parent.mkdir()
    other.write_text("old")
    with pytest.raises(MechanismError, match="already"):
        add(source, package)
    assert add(source, package, overwrite=True).path == other
    assert inside(package) == ["mods/Leak.mod"]


def test_not_a_source_not_a_package(source: Path, package: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"whose name ends in \.mod"):
        add(tmp_path / "x.txt", package)
    with pytest.raises(DataError, match=r"missing\.mod: no such file"):
        add(tmp_path / "missing.mod", package)
    with pytest.raises(DataError, match="mech new PACKAGE"):
        add(source, tmp_path)
    config = package / "mechanisms" / "cells" / "config.ini"
    config.write_text("[DEFAULT]\nversion = 1\n")
    with pytest.raises(DefinitionError, match="add to \\[DEFAULT\\] the line 'kind = mechanisms'"):
        add(source, package)


def test_the_users_own_collection(source: Path, tmp_path: Path) -> None:
    assert discovery.discover().packages_named("local") == ()
    added = add(source, local=True)
    assert added.name == "glia__local__Leak__0"
    assert added.path.parent == tmp_path / "home" / ".nipy" / "mechanisms"
    (found,) = discovery.package("local").mechanisms
    assert found.name == added.name


# what is included


@pytest.fixture
def including(tmp_path: Path) -> Path:
    """Return a source that includes a file, which includes another, and two headers."""
    folder = tmp_path / "mine"
    (folder / "parts").mkdir(parents=True)
    (folder / "leak.mod").write_text(
        'INCLUDE "rates.inc"\nVERBATIM\n#include "parts/a.h"\n#include <math.h>\nENDVERBATIM\n'
        + PAS.replace("NAME", "Leak")
    )
    (folder / "rates.inc").write_text('INCLUDE "parts/deep.inc"\n')
    (folder / "parts" / "deep.inc").write_text("FUNCTION twice(x) { twice = 2*x }\n")
    (folder / "parts" / "a.h").write_text('#include "b.h"\n')
    (folder / "parts" / "b.h").write_text("#define B 1\n")
    return folder / "leak.mod"


def test_what_it_includes_comes_along(including: Path, package: Path) -> None:
    added = add(including, package)
    assert inside(package) == [
        "Leak__0.mod",
        "parts/a.h",
        "parts/b.h",
        "parts/deep.inc",
        "rates.inc",
    ]
    assert added.path.read_bytes() == including.read_bytes()
    assert len(added.includes) == 4
    assert [p for p in check_package(package) if p.serious] == []


def test_what_lies_elsewhere_comes_to_lie_beside_it(
    source: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "up.inc").write_text('INCLUDE "next.inc"\n')
    (tmp_path / "common" / "next.inc").write_text("FUNCTION once(x) { once = x }\n")
    (tmp_path / "modl").mkdir()
    (tmp_path / "modl" / "path.inc").write_text("FUNCTION thrice(x) { thrice = 3*x }\n")
    monkeypatch.setenv("MODL_INCLUDE", str(tmp_path / "modl"))
    text = 'INCLUDE "../common/up.inc"\nINCLUDE "path.inc"\n' + source.read_text()
    source.write_text(text)
    added = add(source, package)
    monkeypatch.delenv("MODL_INCLUDE")
    assert inside(package) == ["Leak__0.mod", "next.inc", "path.inc", "up.inc"]
    assert added.path.read_text() == text.replace("../common/", "")
    assert [p for p in check_package(package) if p.serious] == []


def test_a_missing_include_is_told_with_its_line(source: Path, package: Path) -> None:
    source.write_text('\nINCLUDE "gone.inc"\n' + source.read_text())
    with pytest.raises(MechanismError, match=r"leak\.mod, line 2 includes 'gone\.inc'"):
        add(source, package)
    assert inside(package) == []


def test_an_include_of_the_same_name_loses_nothing(
    including: Path, package: Path, tmp_path: Path
) -> None:
    add(including, package)
    add(including, package, variant="same")  # the same content
    kept = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}
    (including.parent / "rates.inc").write_text("FUNCTION other(x) { other = x }\n")
    for options in ({"variant": "new"}, {"overwrite": True}):
        with pytest.raises(MechanismError, match=r"rates\.inc is there already.*nothing was"):
            add(including, package, **options)  # type: ignore[arg-type]
        assert kept == {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}


def test_an_include_of_its_own_can_be_replaced(including: Path, package: Path) -> None:
    add(including, package)
    (including.parent / "rates.inc").write_text("FUNCTION other(x) { other = x }\n")
    with pytest.raises(MechanismError, match="already"):
        add(including, package)
    add(including, package, overwrite=True)
    assert "other" in (package / "mechanisms" / "cells" / "rates.inc").read_text()


def test_a_full_disk_leaves_nothing_behind(
    including: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    real = adding.replace_file

    def full(path: str, content: bytes) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, content)

    monkeypatch.setattr(adding, "replace_file", full)
    with pytest.raises(DataError, match="no space left on device; nothing was changed"):
        add(including, package)
    assert inside(package) == []


# build


@needs_neuron
def test_a_wheel_is_found_where_pip_installed_it(
    source: Path, package: Path, tmp_path: Path
) -> None:
    add(source, package)
    (wheel,) = build_package(package, tmp_path / "out", sdist=False)
    assert wheel.name == "mechanisms_cells-0.1-py3-none-any.whl"
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    options = ["--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    command = [sys.executable, "-m", "pip", *options, "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True)
    library = Path(discovery.__file__).parents[2]
    code = (
        "from nibabel_data.mechanisms import discovery\n"
        "for one in discovery.discover().packages[:-1]:\n"
        "    print(one.name, one.source, one.format, [m.name for m in one.mechanisms])\n"
        "    print(*one.problems)\n"
    )
    result = subprocess.run(
        [python, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(library), *_needed()])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    said = "cells mechanisms/cells 0.1 data package ['glia__cells__Leak__0']"
    assert result.stdout.split("\n")[:2] == [said, ""]


def _needed() -> list[str]:
    """Return where `packaging` is, which the environment made by the test has not."""
    import packaging

    return [str(Path(packaging.__file__).parents[1])]


def test_a_directory_is_found_where_it_was_installed(
    source: Path, package: Path, tmp_path: Path
) -> None:
    add(source, package, dialect="neuron")
    install(package, root=tmp_path / "root")
    catalogue = discovery.discover(tmp_path / "root")
    (found,) = catalogue.mechanisms_of("Leak")
    assert found.name == "glia__cells__Leak__0"
    assert found.dialect == "neuron"


@needs_neuron
def test_what_neuron_refuses_is_not_built(source: Path, package: Path, tmp_path: Path) -> None:
    source.write_text(source.read_text().replace("i = g*(v - e)", "i = = g"))
    add(source, package)
    with pytest.raises(DataError, match=r"Leak__0\.mod: NEURON does not translate it: line \d+"):
        build_package(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()
