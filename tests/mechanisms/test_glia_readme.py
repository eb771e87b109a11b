"""Every example of the README of the classic Glia (0.5), against the real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nibabel_data.mechanisms as g
from nibabel_data.errors import ResolveError
from nibabel_data.mechanisms import preferences

from .conftest import needs_neuron
from .laboratory import in_fork

pytestmark = needs_neuron


@pytest.fixture(autouse=True)
def nothing_selected(laboratory: Path) -> Iterator[None]:
    yield
    preferences._script = {}


def names_in(section: object) -> list[str]:
    """Return the mechanisms that NEURON says are in a section."""
    return sorted(section.psection()["density_mechs"])  # type: ignore[attr-defined]


def test_usage() -> None:
    def run() -> list[str]:
        from neuron import h

        section = h.Section(name="soma")
        g.insert(section, "Leak")
        return names_in(section)

    assert in_fork(run) == ["glia__lab__Leak__0"]


def test_an_asset_that_several_packages_have_needs_a_preference() -> None:
    with pytest.raises(ResolveError, match="Kv1 is ambiguous: 5 mechanisms"):
        g.resolve("Kv1")


def test_single_use() -> None:
    def run() -> list[str]:
        from neuron import h

        section = h.Section()
        g.insert(section, "Kv1", pkg="not_my_models", variant="high_activity")
        g.insert(section, ("Kv1", "non_default", "some_pkg_name"))
        g.insert(section, ("HCN1", "revised"))
        return names_in(section)

    assert in_fork(run) == [
        "glia__not_my_models__Kv1__high_activity",
        "glia__some_pkg_name__HCN1__revised",
        "glia__some_pkg_name__Kv1__non_default",
    ]


def test_a_context_with_a_package() -> None:
    def run() -> list[str]:
        from neuron import h

        s = h.Section()
        with g.context(pkg="not_my_models"):
            g.insert(s, "Kv1")
            g.insert(s, "Kv1", variant="high_activity")
        return names_in(s)

    assert in_fork(run) == [
        "glia__not_my_models__Kv1__0",
        "glia__not_my_models__Kv1__high_activity",
    ]


ASSETS = {
    "Kv1": {"package": "not_my_models", "variant": "high_activity"},
    "HCN1": {"variant": "revised"},
}


def test_a_context_with_preferences_by_asset() -> None:
    def run() -> list[str]:
        from neuron import h

        s = h.Section()
        with g.context(assets=ASSETS):
            g.insert(s, "Kv1")
            g.insert(s, "HCN1")
            g.insert(s, "Kir2_3")  # not affected by the context
        return names_in(s)

    assert in_fork(run) == [
        "glia__not_my_models__Kv1__high_activity",
        "glia__some_pkg_name__HCN1__revised",
        "glia__some_pkg_name__Kir2_3__0",
    ]


def test_a_context_with_both() -> None:
    def run() -> list[str]:
        from neuron import h

        s = h.Section()
        with g.context(assets=ASSETS, package="some_pkg_name"):
            g.insert(s, "Kv1")
            g.insert(s, "HCN1")
            g.insert(s, "Leak")  # some_pkg_name has none
        return names_in(s)

    assert in_fork(run) == [
        "glia__lab__Leak__0",
        "glia__not_my_models__Kv1__high_activity",
        "glia__some_pkg_name__HCN1__revised",
    ]


def test_contexts_in_contexts() -> None:
    def run() -> list[str]:
        from neuron import h

        s = h.Section()
        with g.context(pkg="mine"):
            g.insert(s, "Kv1")
            within = g.context({"Kv1": {"package": "not_my_models"}})
            with within, g.context(variant="high_activity"):
                g.insert(s, "Kv1")
        return names_in(s)

    assert in_fork(run) == ["glia__mine__Kv1__0", "glia__not_my_models__Kv1__high_activity"]


def test_script_and_global_scope() -> None:
    preferences.select_globally("Kv1", pkg="some_pkg_name", variant="non_default")

    def run() -> tuple[list[str], list[str]]:
        from neuron import h

        section_global_kv1 = h.Section()
        section_local_kv1 = h.Section()
        g.insert(section_global_kv1, "Kv1")
        g.select("Kv1", pkg="not_my_models", variant="high_activity")
        g.insert(section_local_kv1, "Kv1")
        return names_in(section_global_kv1), names_in(section_local_kv1)

    assert in_fork(run) == (
        ["glia__some_pkg_name__Kv1__non_default"],
        ["glia__not_my_models__Kv1__high_activity"],
    )


def test_global_scope_from_the_command_line(laboratory: Path) -> None:
    command = ["mech", "select", "Kv1", "--pkg=some_pkg_name", "--variant=non_default"]
    result = subprocess.run(
        [sys.executable, "-m", "nibabel_data", *command],
        env={**os.environ, "PYTHONPATH": str(laboratory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if result.returncode == 2 and "mech" in result.stderr:
        pytest.skip("the command line has no mech yet")
    assert result.returncode == 0, result.stderr
    assert g.resolve("Kv1") == "glia__some_pkg_name__Kv1__non_default"
    assert g.resolve("Kv1").rule.startswith("global preference of Kv1 in ")
