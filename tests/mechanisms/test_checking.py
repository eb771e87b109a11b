"""What is wrong with a package of mechanisms, by NEURON's own translator."""

from __future__ import annotations

from pathlib import Path

import pytest

from nibabel_data.errors import MechanismError
from nibabel_data.mechanisms import checking, discovery
from nibabel_data.mechanisms.authoring import new_package
from nibabel_data.mechanisms.checking import check_mechanisms, check_package
from nibabel_data.package.check import Problem

from .conftest import PAS, Install, needs_neuron

ION = """
NEURON { SUFFIX NAME USEION ION READ eION VALENCE NUMBER RANGE g }
PARAMETER { g = 1 }
ASSIGNED { eION (millivolt) }
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return the directory of the one package of a distribution with one sound mechanism."""
    made = new_package("cells", tmp_path / "cells") / "mechanisms" / "cells"
    (made / "Leak__0.mod").write_text(PAS.replace("NAME", "Leak"))
    return made


def found(package: Path) -> list[tuple[str, str]]:
    return [(one.path, one.problem) for one in check_package(package)]


def only(package: Path) -> Problem:
    (problem,) = check_package(package)
    return problem


@needs_neuron
def test_nothing_is_wrong(package: Path) -> None:
    assert found(package) == []


@needs_neuron
def test_paths_are_below_what_was_named(package: Path) -> None:
    (package / "Bad.mod").write_text("NEURON {{")
    (problem,) = check_package(package.parents[1])
    assert problem.path == "mechanisms/cells/Bad.mod"


def test_what_the_package_wing_finds_is_found(package: Path) -> None:
    (package / "aux.txt").write_text("")
    assert ("aux.txt", "Windows reserves the name AUX") in found(package)
    (problem,) = check_package(package / "no-such-directory")
    assert problem.serious


def test_it_must_say_that_it_is_one(package: Path) -> None:
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1\n")
    problem = next(p for p in check_package(package) if "kind" in p.problem)
    assert problem.serious
    assert problem.mend == "add to [DEFAULT] the line 'kind = mechanisms'"


@needs_neuron
@pytest.mark.parametrize(
    ("text", "line"),
    [("i = g*(v - e)", "line 20: syntax error"), ("SUFFIX NAME", "line 2: ")],
)
def test_a_source_that_neuron_refuses(text: str, line: str, package: Path) -> None:
    (package / "Bad.mod").write_text(PAS.replace(text, "i = = g"))
    problem = only(package)
    assert problem.path == "Bad.mod"
    assert problem.serious
    assert problem.problem.startswith(f"NEURON does not translate it: {line}")


@needs_neuron
def test_units_are_told_and_not_serious(package: Path) -> None:
    (package / "Un.mod").write_text(PAS.replace("e = -70 (mV)", "e = -70 (S)"))
    problem = only(package)
    assert not problem.serious
    assert problem.problem == (
        "units: line 20: The units of the previous two expressions are not conformable: "
        "i = g*(v - e) (1 sec-coul2/m2-kg and 0.001 m2-kg/sec2-coul)"
    )


@needs_neuron
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my-leak.mod", "it has '-' in it"),
        ("a__b__c.mod", "two underscores stand between"),
        ("Leak.MOD", "does not end in .mod"),
    ],
)
def test_file_names(name: str, told: str, package: Path) -> None:
    (package / name).write_text(PAS)
    problem = only(package)
    assert problem.path == name
    assert told in problem.problem
    assert problem.mend.startswith("rename it to")


@needs_neuron
def test_names_that_neuron_would_cut(package: Path) -> None:
    text = PAS.replace("SUFFIX NAME", "POINT_PROCESS NAME").replace("mA/cm2", "nA")
    (package / f"{'x' * 100}.mod").write_text(text)
    problem = only(package)
    assert "NEURON takes 99 (point process)" in problem.problem
    assert problem.mend == "choose a shorter package, asset or variant"


@needs_neuron
def test_two_files_of_one_mechanism(package: Path) -> None:
    (package / "Leak.mod").write_text(PAS)
    (package / "neuron").mkdir()
    (package / "neuron" / "Leak.mod").write_text(PAS)  # for another dialect, which is fine
    problem = only(package)
    assert problem.serious
    assert (problem.path, problem.problem) == (
        "Leak__0.mod",
        "it is Leak, variant 0, as Leak.mod is",
    )


@needs_neuron
def test_one_suffix_twice_is_fine(package: Path) -> None:
    (package / "Leak__fast.mod").write_text((package / "Leak__0.mod").read_text())
    assert found(package) == []


@needs_neuron
def test_a_suffix_of_another_full_name_is_told(package: Path) -> None:
    (package / "Kv.mod").write_text(PAS.replace("NAME", "glia__dbbs__Kv__low"))
    problem = only(package)
    assert not problem.serious
    assert problem.problem.endswith("glia__dbbs__Kv__low, and it will be glia__cells__Kv__0")
    (package / "config.ini").write_text(
        (package / "config.ini").read_text() + "mechanisms_name = dbbs\n"
    )
    (package / "Kv.mod").rename(package / "Kv__low.mod")
    assert found(package) == []


@needs_neuron
def test_includes_and_headers(package: Path) -> None:
    (package / "A.mod").write_text('\nINCLUDE "gone.inc"\n' + PAS)
    problem = only(package)
    assert problem.problem.startswith("line 2: it includes a file that is missing: ")
    assert problem.problem.endswith("gone.inc: no such file or directory")
    header = 'VERBATIM\n#include "gone.h"\n#include "nrnconf.h"\nENDVERBATIM\n'
    (package / "A.mod").write_text(header + PAS)
    problem = only(package)
    assert not problem.serious
    assert problem.problem == "line 2: 'gone.h' is neither beside it nor among NEURON's own headers"


@needs_neuron
def test_letters_that_are_not_ascii(package: Path) -> None:
    (package / "A.mod").write_text(PAS + ": größe\nTITLE µ\n", encoding="utf-8")
    assert found(package) == []
    (package / "A.mod").write_text(PAS.replace("RANGE g", "RANGE gµ"), encoding="utf-8")
    problem = only(package)
    assert problem.problem.startswith("line 4, column 12: '\\xb5' (MICRO SIGN) stands outside")
    assert problem.mend == "write it in ASCII, or put it into a comment"


@needs_neuron
def test_valences_that_neuron_cannot_have_together(package: Path) -> None:
    for name, ion, valence in (("A", "mg", "2"), ("B", "mg", "2"), ("C", "mg", "1")):
        text = ION.replace("NAME", name).replace("ION", ion).replace("USEmg", "USEION")
        (package / f"{name}.mod").write_text(text.replace("NUMBER", valence))
    problem = only(package)
    assert problem.serious
    assert problem.path == "C.mod"
    assert problem.problem == (
        "it gives the ion mg the valence 1, and A.mod gives it 2: NEURON cannot have both"
    )
    (package / "C.mod").unlink()
    text = ION.replace("NAME", "D").replace("ION", "ca").replace("USEca", "USEION")
    (package / "D.mod").write_text(text.replace("NUMBER", "1"))
    assert "and NEURON itself gives it 2" in only(package).problem


@needs_neuron
def test_what_nrnivmodl_left(package: Path) -> None:
    (package / "x86_64").mkdir()
    (package / "x86_64" / "Leak__0.mod").write_text("nonsense")
    problem = only(package)
    assert (problem.path, problem.serious) == ("x86_64", False)


def test_without_neuron_it_says_so(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MechanismError("NEURON is not installed in this environment.\nInstall it")

    monkeypatch.setattr(checking, "find_neuron", missing)
    (package / "Bad.mod").write_text("NEURON {{")
    problem = only(package)
    assert not problem.serious
    assert problem.problem.startswith("the sources were not translated: NEURON is not installed")
    assert "nibabel-data[neuron]" in problem.mend


@needs_neuron
def test_files_for_arbor_are_not_translated_for_neuron(package: Path) -> None:
    (package / "arbor").mkdir()
    (package / "arbor" / "Bad.mod").write_text("NEURON {{")
    problem = only(package)
    assert not problem.serious
    assert problem.problem == "1 file is for Arbor, whose translator modcc was not asked"


def test_a_package_of_glia_and_what_it_declares_wrongly(install: Install) -> None:
    info = install()
    mods = info.parent / "lab_mods" / "mods"
    for path in mods.rglob("*.mod"):
        path.write_text(PAS)
    (mods / "Train.mod").write_text("NEURON { ARTIFICIAL_CELL Train }")
    (mods / "Na_fast.mod").unlink()
    told = {p.path: p.problem for p in check_mechanisms(discovery.package("lab")) if p.serious}
    assert told == {
        "mods/AMPA.mod": "it is declared as point process, and its source is that of a density",
        "mods/Na_fast.mod": "it is declared and is no file",
    }


@needs_neuron
def test_the_line_of_units_is_that_of_the_file_also_after_an_include(package: Path) -> None:
    (package / "many.inc").write_text("UNITS {\n (um) = (micron)\n\n\n}\n")
    text = 'INCLUDE "many.inc"\n' + PAS.replace("e = -70 (mV)", "e = -70 (S)")
    (package / "Un.mod").write_text(text)
    assert only(package).problem.startswith("units: line 21: The units of the previous two")
