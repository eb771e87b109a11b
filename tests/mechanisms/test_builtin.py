"""NEURON's own mechanisms are those that the table names."""

from __future__ import annotations

import importlib.util
import json

import pytest

from nibabel_data.mechanisms.builtin import BUILTIN, NEURON, builtin_package
from nibabel_data.mechanisms.mechanism import KINDS

from ..conftest import run_python

LEFT_OUT = {"morphology", "capacitance", "na_ion", "k_ion", "ca_ion", "PointProcessMark"}

ASK = """
import json
from neuron import h
names = []
for kind in (0, 1):
    of_kind, name = h.MechanismType(kind), h.ref("")
    found = {}
    for number in range(int(of_kind.count())):
        of_kind.select(number)
        of_kind.selected(name)
        found[name[0]] = bool(of_kind.is_artificial(number))
    names.append(found)
print(json.dumps(names))
"""


def test_each_has_its_plain_name() -> None:
    package = builtin_package()
    assert {one.name for one in package.mechanisms} == {
        n for names in BUILTIN.values() for n in names
    }
    assert {one.declared for one in package.mechanisms} == set(KINDS)
    assert all(
        (one.package, one.path, one.source) == (NEURON, "", NEURON) for one in package.mechanisms
    )
    assert package.problems == ()


def test_the_table_is_that_of_the_neuron_that_is_installed() -> None:
    if importlib.util.find_spec("neuron") is None:
        pytest.skip("needs NEURON: pip install neuron")
    density, points = json.loads(run_python(ASK).splitlines()[-1])
    assert set(density) - LEFT_OUT == set(BUILTIN["density"])
    artificial = {name for name, is_artificial in points.items() if is_artificial}
    assert artificial == set(BUILTIN["artificial cell"])
    assert set(points) - artificial - LEFT_OUT == set(BUILTIN["point process"])
