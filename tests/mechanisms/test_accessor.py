"""What `insert` returns, with the real engine: values, records and descriptions of parameters."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from nibabel_data import mechanisms as m
from nibabel_data.errors import MechanismError

from .conftest import needs_neuron
from .laboratory import in_fork
from .test_engine import caught

pytestmark = needs_neuron


def rich(nseg: int = 3) -> Any:
    from neuron import h

    section = h.Section("a")
    section.nseg = nseg
    return m.insert(section, "Rich")


def run_for(ms: float) -> None:
    from neuron import h

    h.finitialize(-65)
    while h.t < ms - 1e-9:
        h.fadvance()


def test_get_and_set_by_position_and_everywhere(laboratory: Path) -> None:
    def run() -> None:
        inserted = rich()
        assert inserted.get("gbar") == inserted.gbar == 0.25
        inserted.set("gbar", 1)
        assert [inserted.get("gbar", x) for x in (0.1, 0.5, 0.9)] == [1, 1, 1]
        inserted.set("gbar", 2, x=0.9)
        assert [inserted.get("gbar", x=x) for x in (0.1, 0.5, 0.9)] == [1, 1, 2]
        inserted.set({"gbar": 3, "name": 5})
        assert (inserted.get("gbar", 0.1), inserted.get("name")) == (3, 5)
        inserted.set({"gbar": 4}, x=0)
        assert (inserted.get("gbar", 0.1), inserted.get("gbar")) == (4, 3)
        inserted.gbar = 6
        assert inserted.get("gbar", 0.1) == 6
        inserted.section.nseg = 5
        inserted.set("gbar", 7)
        assert [inserted.get("gbar", s.x) for s in inserted.section] == [7] * 5

    in_fork(run)


def test_arrays_and_globals(laboratory: Path) -> None:
    def run() -> None:
        inserted = rich()
        assert inserted.arr == [0, 0, 0]
        inserted.set("arr", [1, 2, 3], x=0.1)
        assert (inserted.get("arr", 0.1), inserted.get("arr")) == ([1, 2, 3], [0, 0, 0])
        inserted.arr = (4, 5, 6)
        assert inserted.get("arr", 0.9) == [4, 5, 6]
        assert "3 numbers are needed" in caught(inserted.set, "arr", [1, 2])
        assert "3 numbers are needed" in caught(inserted.set, "arr", 1)
        other = rich()
        inserted.shared = 9
        inserted.set("table", [1, 2])
        assert (other.shared, other.table) == (9, [1, 2])
        other.set("shared", 8, x=0.1)
        assert inserted.get("shared", 0.9) == 8

    in_fork(run)


def test_names_that_are_methods_here_or_in_neuron(laboratory: Path) -> None:
    def run() -> None:
        inserted = rich()
        assert inserted.get("name") == 4  # a method of NEURON's own object
        assert inserted.name == "glia__lab__Rich__0"  # an attribute of the accessor
        inserted.set("name", 6)
        assert inserted.get("name", 0.1) == 6
        assert "set('name', ...)" in caught(setattr, inserted, "name", 7)
        assert "set('record', ...)" in caught(setattr, inserted, "record", 7)
        assert inserted.twice(4) == 8  # a function of the mechanism

    in_fork(run)


def test_what_is_wrong(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        inserted = rich()
        told = caught(inserted.get, "gba")
        assert told.startswith("glia__lab__Rich__0 has no 'gba'; do you mean gbar?\nIt has gbar, ")
        assert "has no 'zzz'.\n" in caught(inserted.set, {"zzz": 1})
        with pytest.raises(AttributeError, match="do you mean gbar"):
            _ = inserted.gba
        assert not hasattr(inserted, "zzz")
        assert not hasattr(inserted, "_zzz")
        caught(setattr, inserted, "zzz", 1)
        assert "no value" in caught(inserted.set, "gbar")
        for value in ("x", None, [1], {}):
            assert "a number is needed" in caught(inserted.set, {"gbar": value})
        for x in (-0.1, 1.1, "x", None):
            if x is not None:
                assert "0 to 1" in caught(inserted.set, "gbar", 1, x=x)
                assert "0 to 1" in caught(inserted.get, "gbar", x)
                assert "0 to 1" in caught(inserted.record, "gbar", x)
        caught(inserted.set, {"gbar": 9, "zzz": 1})
        caught(inserted.set, {"gbar": 9, "name": "x"})
        assert inserted.gbar == 0.25
        assert h is not None

    in_fork(run)


def test_record(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        inserted = rich()
        state = inserted.record("m", x=0.9)
        synapse = m.insert(inserted.section, "Syn")
        current, conductance = synapse.record(), synapse.record("g")
        cell = m.insert(None, "Train", attributes={"interval": 4})
        connection = h.NetCon(cell.point_process, synapse.point_process, 0, 0.5, 1)
        events, count = cell.record(), m.insert(None, "Train").record("count")
        gc.collect()
        run_for(10)
        assert len(state) == len(current) == len(conductance)
        assert state[0] == 1
        assert state[len(state) - 1] == pytest.approx(2.718281828**-10, rel=0.1)
        assert conductance.max() > 0.9
        assert current.min() < 0
        assert list(events) == [1, 5, 9]
        assert count[len(count) - 1] == 1
        assert connection.valid()
        assert "record('i'), say" in caught(inserted.record)
        assert "global" in caught(inserted.record, "shared")
        assert "an array" in caught(inserted.record, "arr")
        assert "do you mean gbar" in caught(inserted.record, "gba")

    in_fork(run)


def test_a_record_keeps_what_it_records(laboratory: Path) -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        events = m.insert(None, "Train").record()
        current = m.insert(section, "Syn").record()
        gc.collect()
        run_for(12)
        assert list(events) == [1, 11]
        assert len(current) > 1
        assert len(section(0.5).point_processes()) == 1
        del events, current
        gc.collect()
        assert section(0.5).point_processes() == []
        assert len(list(h.List("NetCon"))) == 0

    in_fork(run)


def test_description(laboratory: Path) -> None:
    def run() -> tuple[str, str, str]:
        inserted = rich()
        parameters = inserted.parameters
        assert list(parameters) == ["gbar", "name", "i", "arr", "m", "kind", "shared", "table"]
        gbar = parameters["gbar"]
        assert (gbar.kind, gbar.units, gbar.size, gbar.default) == ("parameter", "S/cm2", 1, 0.25)
        assert repr(gbar) == "gbar (S/cm2), parameter"
        assert (parameters["arr"].size, parameters["arr"].kind) == (3, "assigned")
        assert (parameters["m"].kind, parameters["shared"].kind) == ("state", "global")
        assert {"gbar", "m", "get", "describe"} <= set(dir(inserted))
        assert repr(inserted) == "<density glia__lab__Rich__0 in a>"
        synapse = m.insert(inserted.section, "Syn")
        assert repr(synapse) == "<point process glia__lab__Syn__0 in a>"
        assert repr(m.insert(None, "Train")) == "<artificial cell glia__lab__Train__0>"
        hh = m.insert(inserted.section, "hh")
        return inserted.describe(), synapse.describe(), hh.describe()

    density, synapse, hh = in_fork(run)
    assert density.splitlines() == [
        "variable  kind       units   value",
        "gbar      parameter  S/cm2   0.25",
        "name      parameter  -       4",
        "i         assigned   mA/cm2  0",
        "arr       assigned   ms      [0, 0, 0]",
        "m         state      -       0",
        "kind      global     -       1",
        "shared    global     mV      2",
        "table     global     -       [0, 0]",
    ]
    assert "tau       parameter  ms     2" in synapse
    assert "g         state      uS     0" in synapse
    assert "gnabar    parameter  S/cm2   0.12" in hh


def test_after_it_was_removed(laboratory: Path) -> None:
    def run() -> None:
        inserted = rich()
        section = inserted.section
        inserted.remove()
        inserted.remove()
        synapse = m.insert(section, "Syn")
        synapse.remove()
        synapse.remove()
        assert section(0.5).point_processes() == []
        cell = m.insert(None, "Train")
        cell.remove()
        for gone, parameter in ((inserted, "gbar"), (synapse, "tau"), (cell, "interval")):
            told = {
                caught(gone.get, parameter),
                caught(gone.set, parameter, 1),
                caught(gone.set, parameter, 1, x=0.5),
                caught(gone.record, parameter),
                caught(gone.describe),
                caught(getattr, gone, parameter),
            }
            assert len(told) == 1
            (message,) = told
            assert "has been removed" in message or "no longer in a" in message
        caught(cell.record)
        caught(synapse.stimulate)
        again = m.insert(section, "Rich")
        assert (inserted.gbar, again.gbar) == (0.25, 0.25)

    in_fork(run)


def test_stimulate(laboratory: Path, site: Path, real_packages: Path) -> None:
    def run() -> None:
        synapse = m.insert(rich().section, "Syn")
        train = synapse.stimulate(number=3, start=1, interval=2, noise=0)
        assert (train.name, train.number) == ("NetStim", 3)
        gc.collect()
        run_for(10)
        assert synapse.seen == 3
        caught(synapse.stimulate, wrong=1)
        caught(rich().stimulate)
        assert "VecStim" in caught(synapse.stimulate, pattern=[1, 2])
        sys.path.append(str(real_packages))
        m.select("VecStim", pkg="patch_extensions")
        other = m.insert(rich().section, "Syn")
        other.stimulate(pattern=[1, 2, 4, 6], weight=0.1, delay=1)
        gc.collect()
        run_for(10)
        assert other.seen == 4
        with pytest.raises(TypeError):
            rich().__neuron__()
        assert synapse.__neuron__() is synapse.point_process

    in_fork(run)


def test_methods_of_a_point_process(laboratory: Path) -> None:
    def run() -> None:
        synapse = m.insert(rich().section, "Syn", x=0.5)
        assert synapse.get_loc() == 0.5
        assert isinstance(caught(synapse.get, "nothing"), str)
        with pytest.raises(MechanismError):
            synapse.get("get_loc")

    in_fork(run)


def test_a_name_that_python_refuses_has_the_one_that_neuron_gives_it() -> None:
    def run() -> None:
        from neuron import h

        section = h.Section("a")
        clamp = m.insert(section, "IClamp", attributes={"delay": 3, "dur": 1})
        assert clamp.get("delay") == clamp.get("del") == clamp.delay == 3
        clamp.delay = 4
        assert clamp.point_process.delay == 4

    in_fork(run)
