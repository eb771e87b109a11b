"""Mechanisms in the real NEURON: inserted, found, removed, and what would end it found out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data import mechanisms as m
from nibabel_data.errors import DataWarning, MechanismError, ResolveError
from nibabel_data.mechanisms import engine

from .conftest import needs_neuron
from .laboratory import FUNCTIONS, in_fork, passive, write_package

pytestmark = needs_neuron


class Wrapper:
    """As the objects of nrn-patch and BSB are: one of NEURON's inside."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __neuron__(self) -> object:
        return self.inner


def caught(
    call: Callable[..., object],
    *arguments: object,
    error: type[Exception] = MechanismError,
    **more: object,
) -> str:
    """Return what an error says."""
    with pytest.raises(error) as info:
        call(*arguments, **more)
    return str(info.value)


def test_density_mechanisms(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section, later = h.Section("a"), h.Section("b")
        inserted = m.insert(section, "Leak", attributes={"g": 0.5})
        assert inserted.name == "glia__lab__Leak__0"
        assert (inserted.kind, inserted.section) == ("density", section)
        assert section.has_membrane("glia__lab__Leak__0")
        assert section(0.5).glia__lab__Leak__0.g == 0.5
        m.insert(later, "pas")  # NEURON's own
        again = m.insert(section, "Leak")  # a second time: nothing is reset
        assert again.g == 0.5
        assert m.get(section, "Leak").g == 0.5
        m.remove(section, "Leak")
        assert not section.has_membrane("glia__lab__Leak__0")
        m.insert(section, "glia__lab__Leak__0")
        m.insert(section, ("Leak", "0"))
        m.insert(section, ("Leak", 0, "lab"))
        m.insert(section, "Kv1", 0, "not-my-models")  # a hyphen is as good as an underscore

    in_fork(run)


@pytest.mark.parametrize("wrap", [Wrapper, lambda s: Wrapper(Wrapper(s)), lambda s: s])
def test_sections_segments_and_wrappers_of_them(
    wrap: Callable[[object], object], laboratory: Path
) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        section.nseg = 5
        assert m.insert(wrap(section), "Leak").section == section
        m.insert(wrap(section(0.3)), "Leak", attributes={"g": 7})
        assert [segment.glia__lab__Leak__0.g for segment in section] == [0.001, 7, *[0.001] * 3]
        m.insert(wrap(section), "Leak", attributes={"g": 8}, x=0.9)
        assert section(0.9).glia__lab__Leak__0.g == 8
        assert m.insert(wrap(section(0.3)), "Syn").point_process.get_loc() == pytest.approx(0.3)
        assert m.insert(wrap(section), "Syn", x=0.7).point_process.get_loc() == pytest.approx(0.7)
        assert m.insert(wrap(section), "Syn").point_process.get_loc() == pytest.approx(0.5)

    in_fork(run)


def test_nrn_patch(laboratory: Path, real_packages: Path) -> None:
    def run() -> None:
        sys.path.append(str(real_packages))
        warnings.simplefilter("ignore", DeprecationWarning)
        from patch import p

        section = p.Section()
        m.insert(section, "Leak", pkg="lab", attributes={"g": 2})
        assert section.__neuron__()(0.5).glia__lab__Leak__0.g == 2
        synapse = m.insert(section, "Syn", x=0.5)
        source = p.NetStim()
        source.number, source.start = 2, 1
        connection = p.NetCon(source, synapse, weight=0.01)
        assert synapse._connections[source] is connection
        p.finitialize(-65)
        p.continuerun(30)
        assert synapse.seen == 2
        train = synapse.stimulate(number=1, start=1)
        assert train.number == 1

    in_fork(run)


def test_attributes_that_are_wrong_leave_no_trace(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        for wrong in ({"g": 1, "gg": 2}, {"g": "x"}, {"g": [1, 2]}, {"g": None}):
            told = caught(m.insert, section, "Leak", attributes=wrong)
            assert "glia__lab__Leak__0" in told
            assert not section.has_membrane("glia__lab__Leak__0")
        for wrong in (2, -1, "x"):
            assert "0 to 1" in caught(m.insert, section, "Leak", attributes={"g": 1}, x=wrong)
            assert "0 to 1" in caught(m.insert, section, "Syn", x=wrong)
            assert not section.has_membrane("glia__lab__Leak__0")
        m.insert(section, "Leak")
        assert "do you mean" in caught(m.insert, section, "Rich", attributes={"gba": 1})
        caught(m.insert, section, "Leak", attributes={"g": 5, "gg": 2})
        assert section(0.5).glia__lab__Leak__0.g == 0.001  # none of them is set, and it stays
        caught(m.insert, section, "Syn", attributes={"tau": 5, "gg": 2})
        assert section(0.5).point_processes() == []

    in_fork(run)


def test_point_processes_and_artificial_cells(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        synapse = m.insert(section, "Syn", attributes={"tau": 3})
        assert (synapse.kind, synapse.tau, synapse.section) == ("point process", 3, section)
        cell = m.insert(None, "Train", attributes={"interval": 5})
        assert (cell.kind, cell.interval, cell.section) == ("artificial cell", 5, None)
        assert m.insert(section, "Train", x=0.5).section is None
        connection = h.NetCon(cell.point_process, synapse.point_process, 0, 0.1, 0.001)
        h.finitialize(-65)
        while h.t < 20:
            h.fadvance()
        assert (cell.count, synapse.seen) == (4, 4)
        assert connection.valid()
        assert m.insert(section, "IClamp", attributes={"amp": 0.1}, x=0.2).amp == 0.1
        assert "keep what insert() returned" in caught(m.get, section, "Syn")
        assert "is a NoneType" in caught(m.insert, None, "Syn")
        assert "is a str" in caught(m.insert, "a", "Leak")
        assert "no asset" in caught(m.insert, "Leak", section, error=ResolveError)

    in_fork(run)


def test_functions(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        for _ in range(2):
            told = caught(m.insert, h.Section("a"), "Square")
            assert "nothing to insert" in told
        assert h.laboratory_square(3) == 9
        assert [str(name) for name in m.load_library("Square")] == ["glia__lab__Square__0"]

    in_fork(run)


def test_get_of_what_is_not_there(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        section.insert("hh")
        told = caught(m.get, section, "Leak")
        assert told == (
            "glia__lab__Leak__0 is not in a, which has hh.\nInsert it:  insert(section, 'Leak')"
        )
        m.insert(h.Section("b"), "Leak")
        caught(m.remove, section, "Leak")
        assert m.get(section, "hh").gnabar == 0.12

    in_fork(run)


def test_a_wrong_declaration_is_told_once(laboratory: Path, site: Path) -> None:
    write_package(
        site, "liar:liar", {("Lie", "0"): "# POINT_PROCESS\n".replace("#", ":") + passive()}
    )

    def run() -> None:
        from neuron import h

        with pytest.warns(DataWarning, match="declares glia__liar__Lie__0 as point process"):
            assert m.insert(h.Section("a"), "Lie").kind == "density"
        assert m.insert(h.Section("b"), "Lie").kind == "density"  # a warning is an error here

    in_fork(run)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("Two", "One", "valence 1 "),
        ("One", "Two", "in this process it has 1"),
        ("Half", "Whole", "in this process it has 1.5"),
        ("Leak", "BadNa", "gives the ion na the valence 2"),
        ("Leak", "BadCa", "gives the ion ca the valence 1"),
        ("GoodCa", "BadCa", "in this process it has 2: NEURON would end"),
    ],
)
def test_a_clash_of_valences_is_found_before_neuron_ends(
    first: str, second: str, told: str, laboratory: Path
) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        m.insert(section, first)
        message = caught(m.insert, section, second)
        assert told in message
        assert f"{second}__0.mod" in message
        m.insert(section, "Rich")  # the session goes on
        h.finitialize(-65)
        h.fadvance()

    in_fork(run)


@pytest.mark.parametrize("names", [("Any", "Two"), ("Two", "Any"), ("Any", "One"), ("GoodCa",)])
def test_valences_that_agree(names: tuple[str, ...], laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        for name in names:
            m.insert(section, name)
        h.finitialize(-65)
        h.fadvance()

    in_fork(run)


def test_names_that_exist(laboratory: Path, site: Path) -> None:
    write_package(site, "other:other", {("Square", "0"): FUNCTIONS})

    def run() -> None:
        from neuron import h

        section = h.Section("a")
        h("glia__lab__Syn__0 = 3")
        assert "hides the mechanism" in caught(m.insert, section, "Syn")
        caught(m.insert, section, "Square", pkg="lab")
        told = caught(m.insert, section, "Square", pkg="other")
        assert "NEURON does not take glia__other__Square__0" in told
        assert "laboratory_square" in told
        m.insert(section, "Leak")

    in_fork(run)


def test_two_packages_of_one_name_are_not_mixed_up(laboratory: Path, site: Path) -> None:
    write_package(site, "first:twin", {("Leak", "0"): passive(11), ("Same", "0"): passive()})
    write_package(site, "second:twin", {("Leak", "0"): passive(12), ("Same", "0"): passive()})

    def run() -> None:
        from neuron import h

        section = h.Section("a")
        told = caught(m.insert, section, "Leak", pkg="twin", error=ResolveError)
        assert "pkg='twin@first'" in told
        assert m.insert(section, "Leak", pkg="twin@second").g == 12
        told = caught(m.insert, section, "Leak", pkg="twin@first")
        assert "cannot have another of that name" in told
        assert m.insert(h.Section("b"), "Leak", pkg="twin@second").g == 12
        m.insert(section, "Same", pkg="twin@first")
        m.insert(section, "Same", pkg="twin@second")  # the same source: no harm

    in_fork(run)


def test_a_source_that_changes_after_it_was_loaded(laboratory: Path, site: Path) -> None:
    sources = write_package(site, "moving:moving", {("Moving", "0"): passive(1)})
    path = sources / "Moving__0.mod"

    def run() -> None:
        from neuron import h

        assert m.insert(h.Section("a"), "Moving").g == 1
        os.utime(path)
        assert m.insert(h.Section("b"), "Moving").g == 1  # touched, and the same
        path.write_text(passive(2))
        with pytest.warns(DataWarning, match="has changed since glia__moving__Moving__0 was loa"):
            assert m.insert(h.Section("c"), "Moving").g == 1
        assert m.insert(h.Section("d"), "Moving").g == 1  # told once
        path.write_text(passive(1))
        assert m.insert(h.Section("e"), "Moving").g == 1
        path.unlink()
        with pytest.warns(DataWarning, match="has changed"):
            engine._told.clear()
            m.insert(h.Section("f"), "Moving")

    in_fork(run)
    path.write_text(passive(2))

    def anew() -> None:
        from neuron import h

        assert m.insert(h.Section("a"), "Moving").g == 2

    in_fork(anew)


def test_nothing_is_printed(laboratory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        for name in ("Leak", "Rich", "Syn", "Train", "Leak"):
            m.insert(section, name)
        m.load_library("Leak", "Syn")
        caught(m.insert, section, "BadNa")

    in_fork(run)
    assert capfd.readouterr() == ("", "")


def test_threads_that_insert_at_once(laboratory: Path, site: Path) -> None:
    write_package(site, "racing:racing", {("Racing", "0"): passive(3)})

    def run() -> None:
        from neuron import h

        sections = [h.Section(f"s{i}") for i in range(8)]
        problems: list[BaseException] = []

        def insert(section: object) -> None:
            try:
                assert m.insert(section, "Racing").g == 3
                m.insert(section, "Rich")
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=insert, args=(section,)) for section in sections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []

    in_fork(run)


def test_load_library(laboratory: Path, site: Path) -> None:
    write_package(site, "broken:broken", {("Broken", "0"): "NEURON { SUFFIX x\n"})

    def run() -> None:
        from neuron import h

        assert [str(n) for n in m.load_library("Leak", ("Kv1", "high_activity"))] == [
            "glia__lab__Leak__0",
            "glia__not_my_models__Kv1__high_activity",
        ]
        caught(m.load_library, "Leak", "Broken")
        caught(m.load_library, "Nowhere", error=ResolveError)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            loaded = m.load_library()
        assert "glia__lab__Rich__0" in loaded
        assert "glia__broken__Broken__0" not in loaded
        messages = "\n".join(str(one.message) for one in told)
        assert "glia__broken__Broken__0 is left out" in messages
        assert "NEURON would end" in messages  # One after Two, and BadNa
        assert h.laboratory_square(2) == 4

    in_fork(run)


def test_the_interface_of_glia(laboratory: Path) -> None:
    def run() -> None:
        import inspect

        from neuron import h

        import nibabel_data.mechanisms as g

        def parameters(function: Callable[..., object]) -> list[str]:
            return list(inspect.signature(function).parameters)

        assert parameters(g.insert)[:6] == ["section", "asset", "variant", "pkg", "attributes", "x"]
        assert parameters(g.resolve) == ["asset", "pkg", "variant"]
        assert parameters(g.select)[:3] == ["asset", "pkg", "variant"]
        assert parameters(g.context)[:3] == ["assets", "pkg", "variant"]
        section = h.Section("a")
        accessor = g.insert(section, "Leak", "0", "lab", attributes={"g": 1}, x=0.5)
        accessor.set_parameter("g", 3)
        assert accessor.get_parameter("g", 0.5) == 3
        assert g.resolve("Kv1", "mine", "0") == "glia__mine__Kv1__0"
        g.select("Kv1", "mine", "0")
        assert g.resolve("Kv1") == "glia__mine__Kv1__0"
        with g.context({"Kv1": {"package": "some_pkg_name"}}, "x", "y"):
            assert g.resolve("Kv1") == "glia__some_pkg_name__Kv1__0"
        assert g.package("lab").name == "lab"
        assert {"lab", "mine", "NEURON"} <= {package.name for package in g.get_packages()}
        assert g.compile() is not None
        assert callable(g.catalogue)

    in_fork(run)


def test_without_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neuron", None)
    assert "pip install" in caught(engine.interpreter)


IN_ITS_DIRECTORY = """
import warnings
warnings.simplefilter("always")
import nibabel_data.mechanisms as m
from neuron import h
section = h.Section("a")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(m.insert(section, "Leak").g, m.insert(section, "Rich").gbar)
    m.insert(section, "Leak")
for name in ("own",):
    section.insert(name)
print([str(one.message).partition(",")[0] for one in told])
h.finitialize(-65); h.fadvance()
"""


def test_a_directory_with_its_own_x86_64(laboratory: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "own.mod").write_text(passive().replace("NAME", "own"))
    (model / "same.mod").write_text(passive(42).replace("NAME", "glia__lab__Leak__0"))
    tool = Path(sys.executable).parent / "nrnivmodl"
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        [tool, "own.mod", "same.mod"],
        cwd=model,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    told = subprocess.run(
        [sys.executable, "-c", IN_ITS_DIRECTORY],
        cwd=model,
        env={**os.environ, "PYTHONPATH": str(laboratory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "42.0 0.25\n['NEURON had glia__lab__Leak__0 already']" in told.stdout
