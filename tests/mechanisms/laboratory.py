"""Packages of small mechanisms for the real engine, and a child of this process for each test.

What NEURON has loaded it never forgets, so that a test that loads something runs in a fork: NEURON
is imported once, and each child starts from there.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from .conftest import PAS

Result = TypeVar("Result")
Mods = Mapping[tuple[str, str], str]

RICH = """\
NEURON {
    SUFFIX Rich
    RANGE gbar, name, arr, m
    GLOBAL shared, table
    NONSPECIFIC_CURRENT i
}
DEFINE N 3
PARAMETER {
    gbar = 0.25 (S/cm2)
    name = 4
    kind = 1
    shared = 2 (mV)
}
ASSIGNED { v (mV) i (mA/cm2) arr[N] (ms) table[2] }
STATE { m }
INITIAL { m = 1 }
BREAKPOINT {
    SOLVE states METHOD cnexp
    i = 0
}
DERIVATIVE states { m' = -m }
FUNCTION twice(x) { twice = 2*x }
"""
SYNAPSE = """\
NEURON {
    POINT_PROCESS Syn
    RANGE tau, e, i, seen
    NONSPECIFIC_CURRENT i
}
PARAMETER { tau = 2 (ms) <1e-9, 1e9>  e = 0 (mV) }
ASSIGNED { v (mV) i (nA) seen }
STATE { g (uS) }
INITIAL { g = 0 seen = 0 }
BREAKPOINT {
    SOLVE state METHOD cnexp
    i = g*(v - e)
}
DERIVATIVE state { g' = -g/tau }
NET_RECEIVE(weight (uS)) { g = g + weight seen = seen + 1 }
"""
TRAIN = """\
NEURON { ARTIFICIAL_CELL Train RANGE interval, count }
PARAMETER { interval = 10 (ms) }
ASSIGNED { count }
INITIAL { count = 0 net_send(1, 1) }
NET_RECEIVE(w) { count = count + 1 net_event(t) net_send(interval, 1) }
"""
FUNCTIONS = """\
NEURON { SUFFIX nothing }
FUNCTION laboratory_square(x) { laboratory_square = x*x }
"""


def passive(g: float = 0.001) -> str:
    """Return a leak of some conductance, in S/cm2."""
    return PAS.replace("g = 0.001", f"g = {g}")


def ion(use: str) -> str:
    """Return a mechanism that uses an ion: ``xx READ xxi VALENCE 2``."""
    return (
        f"NEURON {{ SUFFIX NAME USEION {use} RANGE g }}\nPARAMETER {{ g = 1 }}\n"
        f"ASSIGNED {{ v {use.split()[2]} }}\nBREAKPOINT {{ }}\n"
    )


PACKAGES: dict[str, Mods] = {
    "lab-mods:lab": {
        ("Leak", "0"): passive(),
        ("Rich", "0"): RICH,
        ("Syn", "0"): SYNAPSE,
        ("Train", "0"): TRAIN,
        ("Square", "0"): FUNCTIONS,
        ("Two", "0"): ion("xx READ xxi VALENCE 2"),
        ("One", "0"): ion("xx READ xxi VALENCE 1"),
        ("Any", "0"): ion("xx READ xxi"),
        ("Half", "0"): ion("fr READ fri VALENCE 1.5"),
        ("Whole", "0"): ion("fr READ fri VALENCE 1"),
        ("BadNa", "0"): ion("na READ nai VALENCE 2"),
        ("BadCa", "0"): ion("ca READ cai VALENCE 1"),
        ("GoodCa", "0"): ion("ca READ cai VALENCE 2"),
    },
    "my-models:mine": {("Kv1", "0"): passive(1)},
    "not-my-models:not_my_models": {
        ("Kv1", "0"): passive(2),
        ("Kv1", "high_activity"): passive(3),
        ("HCN1", "0"): passive(4),
    },
    "some-pkg:some_pkg_name": {
        ("Kv1", "0"): passive(5),
        ("Kv1", "non_default"): passive(6),
        ("HCN1", "0"): passive(7),
        ("HCN1", "revised"): passive(8),
        ("Kir2_3", "0"): passive(9),
    },
}
"""By distribution and package."""


def write_package(site: Path, called: str, mods: Mods, version: str = "1.0") -> Path:
    """Install a package in the form of Glia; return the directory of its sources."""
    distribution, _, package = called.partition(":")
    top = distribution.replace("-", "_")
    sources = site / top / "mods"
    sources.mkdir(parents=True)
    declared = []
    for (asset, variant), text in mods.items():
        file = f"{asset}__{variant}.mod"
        (sources / file).write_text(text)
        kind = (", is_point_process=True" if "POINT_PROCESS" in text else "") + (
            ", is_artificial_cell=True" if "ARTIFICIAL_CELL" in text else ""
        )
        declared.append(f"    Mod('mods/{file}', {asset!r}, variant={variant!r}{kind}),\n")
    (site / top / "__init__.py").write_text(
        "from pathlib import Path\nfrom glia import Mod, Package\n"
        f"package = Package({package!r}, Path(__file__).resolve().parent, mods=[\n"
        + "".join(declared)
        + "])\n"
    )
    info = site / f"{top}-{version}.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[glia.package]\n{top}={top}:package\n")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    (info / "RECORD").write_text("")
    return sources


def in_fork(function: Callable[[], Result], seconds: int = 60) -> Result:
    """Call a function in a child of this process, and return what it returns."""
    import signal

    import neuron  # noqa: F401

    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(seconds)
        answer: tuple[bool, object]
        try:
            answer = True, function()
            told = pickle.dumps(answer)
        except BaseException:
            told = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(writing, "wb") as file:
            file.write(told)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    if not told:
        pytest.fail(f"NEURON ended the process: status {status}")
    done, result = pickle.loads(told)
    if not done:
        pytest.fail(result, pytrace=False)
    return result  # type: ignore[no-any-return]
