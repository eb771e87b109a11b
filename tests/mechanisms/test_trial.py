"""Trying each mechanism in a process of its own: what crashes NEURON is found out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nibabel_data import mechanisms as m
from nibabel_data.errors import MechanismError, ResolveError
from nibabel_data.mechanisms import trial

from .conftest import needs_neuron
from .laboratory import in_fork, passive, write_package

pytestmark = needs_neuron


def harmful(c: str, head: str = "", more: str = "") -> str:
    """Return a mechanism that runs a line of C at each step."""
    return (
        f"{head}NEURON {{ SUFFIX NAME RANGE g NONSPECIFIC_CURRENT i {more} }}\n"
        "PARAMETER { g = 1 }\nASSIGNED { v i p }\n"
        f"BREAKPOINT {{\n  i = 0\nVERBATIM\n{c}\nENDVERBATIM\n}}\n"
    )


HARMFUL = {
    ("Aborts", "0"): harmful("abort();"),
    ("Exits", "0"): harmful("exit(3);"),
    ("Leaves", "0"): harmful("_exit(0);", "VERBATIM\n#include <unistd.h>\nENDVERBATIM\n"),
    ("NaN", "0"): passive().replace("i = g*(v - e)", "i = log(-1)"),
    ("Hangs", "0"): harmful("for (;;) {}"),
    ("Points", "0"): harmful("", more="POINTER p").replace("i = 0", "i = 0*p"),
    ("Broken", "0"): "NEURON { SUFFIX x\n",
}


def test_what_is_wrong_with_each(laboratory: Path, site: Path) -> None:
    write_package(site, "harm:harm", HARMFUL)
    sound = ("Rich", "Syn", "Train", "Two", "One", "Square")
    named = ["Aborts", "Exits", "Leaves", "NaN", "Points", "Broken", "pas", "IClamp"]
    results = m.test(*named, *sound)
    told = {name.removeprefix("glia__harm__"): problem for name, problem in results.items()}
    assert told.pop("Broken__0").startswith("glia__harm__Broken__0 does not build")
    assert told.pop("NaN__0").startswith("the membrane potential is nan after ")
    assert told == {
        "Aborts__0": "NEURON crashes with SIGABRT",
        "Exits__0": "NEURON ends with exit status 3",
        "Leaves__0": "NEURON ends the process",
        "Points__0": "",
        "pas": "",
        "IClamp": "",
        **{
            f"glia__lab__{name}__0": "" for name in ("Rich", "Syn", "Train", "Two", "One", "Square")
        },
    }

    def hang() -> str:
        trial._SECONDS = 1
        return trial._in_fork("Hangs")

    assert in_fork(hang) == "it runs for more than 1 s"


def test_what_is_not_there(laboratory: Path) -> None:
    with pytest.raises(ResolveError):
        m.test("Nowhere")


def test_a_trial_that_does_not_start(laboratory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [m.resolve("pas")]
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MechanismError, match="trial of 1 mechanisms did not start"):
        trial._in_another_process(names)


def test_a_trial_that_stops_in_between(
    laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\necho \'nibabel-data-trial ["pas", ""]\'\nexit 7\n')
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    assert trial._in_another_process([m.resolve("pas"), m.resolve("hh")]) == {
        "pas": "",
        "hh": "it was not tried: the trial ended with exit status 7",
    }
