"""From an asset to one mechanism: which rule chose it, and what to write where nothing does."""

from __future__ import annotations

import re
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data.errors import MechanismError, ResolveError
from nibabel_data.mechanisms import preferences
from nibabel_data.mechanisms.discovery import Catalogue
from nibabel_data.mechanisms.mechanism import Mechanism, MechanismPackage
from nibabel_data.mechanisms.preferences import context, select, select_globally
from nibabel_data.mechanisms.resolution import MechanismName, explain, resolve

from .laboratory import passive, write_package


@pytest.fixture(autouse=True)
def nothing_selected() -> Iterator[None]:
    yield
    preferences._script = {}


@pytest.fixture
def mods(site: Path) -> Path:
    """Install packages that have much in common."""
    text = passive()
    one = {("Kv1", "0"): text, ("Kv1", "high"): text, ("Na", "a"): text, ("Na", "b"): text}
    write_package(site, "one-mods:one", {**one, ("Only", "0"): text, ("Odd", "x"): text})
    write_package(site, "two-mods:two_mods", {("Kv1", "0"): text, ("Kv1", "low"): text})
    write_package(site, "twin-a:twin", {("Ca", "0"): text, ("hh", "0"): text})
    write_package(site, "twin-b:twin", {("Ca", "0"): text, ("Ca", "1"): text})
    return site


def asked(*arguments: Any, **more: Any) -> tuple[str, str]:
    name = resolve(*arguments, **more)
    return str(name).removeprefix("glia__"), name.rule


def test_what_needs_no_preference(mods: Path) -> None:
    assert asked("Only") == ("one__Only__0", "it is the only one")
    assert asked("Odd") == ("one__Odd__x", "it is the only one")
    assert asked("pas") == ("pas", "it is the only one")
    assert asked("IClamp")[0] == "IClamp"
    assert resolve("Only").mechanism.source == "one-mods 1.0"


def test_a_single_use(mods: Path) -> None:
    single = "this single use asks for it"
    assert asked("Kv1", "one") == ("one__Kv1__0", f"{single}; it is the default variant")
    assert asked("Kv1", pkg="one", variant="high") == ("one__Kv1__high", single)
    assert asked("Kv1", variant="high") == ("one__Kv1__high", single)
    assert asked(("Kv1", "low")) == ("two_mods__Kv1__low", single)
    assert asked(("Kv1", None, "two_mods"))[0] == "two_mods__Kv1__0"
    assert asked(("Kv1",), "two-mods", 0) == ("two_mods__Kv1__0", single)
    assert asked(("Kv1", 0, "two-mods")) == ("two_mods__Kv1__0", single)
    assert asked("glia__one__Kv1__high") == ("one__Kv1__high", single)
    assert asked("Only", "one", "0") == ("one__Only__0", "it is the only one")
    assert asked("hh", "NEURON")[0] == "hh"
    assert asked("hh", "twin")[0] == "twin__hh__0"


def test_a_name_that_was_resolved(mods: Path) -> None:
    name = resolve("Ca", "twin@twin-b", "0")
    assert resolve(name) is name
    assert isinstance(name, MechanismName)
    with pytest.raises(ResolveError):
        resolve(str(name))  # two packages have this name
    assert resolve(name, "twin@twin-a").mechanism.source == "twin-a 1.0"


def test_scopes(mods: Path) -> None:
    select_globally("Kv1", pkg="two-mods", variant="low")
    path = preferences.global_file()
    told = f"global preference of Kv1 in {path} (pkg='two-mods', variant='low') asks for it"
    assert asked("Kv1") == ("two_mods__Kv1__low", told)
    select("Kv1", pkg="one")
    assert asked("Kv1") == (
        "one__Kv1__0",
        "select('Kv1', pkg='one') asks for it; it is the default variant",
    )
    with context(pkg="two_mods"):
        told = told.replace(" asks for it", "")
        assert asked("Kv1") == (
            "two_mods__Kv1__low",
            f"context(pkg='two_mods') and {told} ask for it",
        )
        with context(assets={"Kv1": {"variant": "high"}}):
            assert asked("Kv1") == (
                "one__Kv1__high",
                "context(assets={'Kv1': {'variant': 'high'}}) asks for it",
            )
            assert asked("Kv1", "two_mods") == (
                "two_mods__Kv1__low",
                f"this single use and {told} ask for it",
            )
        with context({"Kv1": {"unset": True}}), pytest.raises(ResolveError, match="ambiguous"):
            resolve("Kv1")


def test_fields_are_merged(mods: Path) -> None:
    with context(pkg="one"), context(variant="high"):
        assert asked("Kv1") == (
            "one__Kv1__high",
            "context(variant='high') asks for it",
        )
    with context({"Kv1": {"pkg": "two_mods", "variant": "low"}}), context({"Kv1": "0"}):
        assert asked("Kv1")[0] == "two_mods__Kv1__0"
    select("Kv1", pkg="one", variant="high")
    with context({"Kv1": {"package": "one", "variant": "0"}}):
        assert asked("Kv1")[0] == "one__Kv1__0"


def test_a_wish_for_all_counts_as_far_as_it_can_be_met(mods: Path) -> None:
    with context(pkg="one", variant="0"):
        assert asked("Kv1")[0] == "one__Kv1__0"
        assert asked("Odd")[0] == "one__Odd__x"
        assert asked("hh", "twin")[0] == "twin__hh__0"
        assert explain("Odd").steps == (
            "variant='0' of context(pkg='one', variant='0') does not count: Odd has no such "
            "mechanism",
        )
    with context(pkg="nowhere"):
        assert asked("Only")[0] == "one__Only__0"


def test_preferences_that_cannot_be_met(mods: Path) -> None:
    select_globally("Kv1", pkg="gone")
    select_globally("Only", pkg="gone")
    assert asked("Only") == ("one__Only__0", "it is the only one")
    assert explain("Only").steps[0].endswith("does not count: it is not installed here")
    select("Kv1", pkg="gone")
    with pytest.raises(ResolveError) as info:
        resolve("Kv1")
    assert str(info.value).startswith("select('Kv1', pkg='gone'): there is no such mechanism.\n")
    assert "insert(section, 'Kv1', pkg='one', variant='high')" in str(info.value)
    assert asked("Kv1", "one", "high")[0] == "one__Kv1__high"
    assert asked("Kv1", "one")[0] == "one__Kv1__0"  # the package is decided further in
    with context({"Kv1": {"package": "one", "variant": "typo"}}):
        with pytest.raises(ResolveError, match="'typo'}}.: there is no such mechanism"):
            resolve("Kv1")
        assert asked("Kv1", variant="low")[0] == "two_mods__Kv1__low"


CALL = re.compile(r"insert\(section, '(\w+)', pkg='([^']+)', variant='(\w+)'\)")


@pytest.mark.parametrize("asset", ["Kv1", "Na", "Ca", "hh"])
def test_each_call_that_is_printed_chooses_one(asset: str, mods: Path) -> None:
    with pytest.raises(ResolveError) as info:
        resolve(asset)
    message = str(info.value)
    assert message.startswith(f"{asset} is ambiguous: ")
    calls = CALL.findall(message)
    chosen = {resolve(*call).mechanism for call in calls}
    assert len(calls) == len(chosen) == len(explain(asset).candidates)
    assert {one.asset for one in chosen} == {asset}
    command = re.search(r"mech select (\w+) --pkg=(\S+) --variant=(\S+)$", message)
    assert command is not None
    select_globally(*command.groups())
    assert resolve(asset).mechanism in chosen


def test_names_that_are_not_there(mods: Path) -> None:
    for wrong, told in (
        ("Kv2", "similar: Kv1"),
        ("kv1", "similar: Kv1"),
        ("ONLY", "similar: Only"),
        ("zzzzz", "no package has the mechanism 'zzzzz'.\nPackages: "),
        ("glia__one__Kv1", "a full name is glia__<package>__<asset>__<variant>"),
        ("glia__a__b__c", "no package has the mechanism 'b'"),
        ("", "no package has the mechanism ''"),
    ):
        with pytest.raises(ResolveError) as info:
            resolve(wrong)
        assert told in str(info.value), wrong
        assert explain(wrong).problem == str(info.value)
    for asset, pkg, variant in (("Only", "--", None), ("Only", "two_mods", None), ("Only", "", "")):
        with pytest.raises(ResolveError, match="is not there; there are:\n  insert"):
            resolve(asset, pkg, variant)
    for nothing in (3, None, (), (1,), ("a",) * 4, ["Kv1"]):
        with pytest.raises(ResolveError, match="is no asset"):
            resolve(nothing)  # type: ignore[arg-type]


def test_what_is_installed_meanwhile_is_seen(mods: Path) -> None:
    with pytest.raises(ResolveError):
        resolve("Later")
    write_package(mods, "late:late", {("Later", "0"): passive(), ("Only", "0"): passive()})
    assert asked("Later")[0] == "late__Later__0"
    write_package(mods, "later:later", {("Later", "0"): passive()})
    assert asked("Later", "later")[0] == "later__Later__0"


def mechanism(package: str, variant: str, path: str, source: str = "") -> Mechanism:
    return Mechanism(package, "X", variant, path, None, None, source or f"{package}-mods 1.0")


def catalogue(*mechanisms: Mechanism) -> Catalogue:
    return Catalogue(
        MechanismPackage(m.package, m.source, "/", "1.0", "glia", [m]) for m in mechanisms
    )


def test_one_file_too_many() -> None:
    twice = [mechanism("a", "0", "/1.mod"), mechanism("a", "0", "/2.mod")]
    problem = explain("X", catalogue=catalogue(*twice)).problem
    assert problem == (
        "a-mods 1.0 has the mechanism X, variant 0, more than once:\n  /1.mod\n  /2.mod\n"
        "Rename one of the files, or ask the author of a to."
    )
    found = explain("X", catalogue=catalogue(*twice, mechanism("b", "0", "/3.mod")))
    assert found.problem.endswith(
        "Or use another:\n  insert(section, 'X', pkg='b', variant='0')  # b-mods 1.0"
    )
    assert explain("X", "b", catalogue=catalogue(*twice, mechanism("b", "0", "/3.mod"))).chosen


def test_for_another_simulator() -> None:
    arbor = Mechanism("a", "X", "0", "/x.mod", "arbor", None, "a 1.0")
    problem = explain("X", catalogue=catalogue(arbor)).problem
    assert "for NEURON: it is there for Arbor only" in problem
    assert explain("X", catalogue=catalogue(arbor), dialect="arbor").chosen == arbor


def test_an_explanation_for_people_and_machines(mods: Path) -> None:
    with context(pkg="nowhere"):
        found = explain("Kv1", "one", "high")
        assert str(found).splitlines() == [
            "Kv1 is glia__one__Kv1__high: this single use asks for it",
            "candidates:",
            "    one Kv1 0  (one-mods 1.0)",
            "  * one Kv1 high  (one-mods 1.0)",
            "    two_mods Kv1 0  (two-mods 1.0)",
            "    two_mods Kv1 low  (two-mods 1.0)",
        ]
        told = explain("Only").to_json()
    assert told["name"] == "glia__one__Only__0"
    assert told["steps"] == ["context(pkg='nowhere') does not count: Only has no such mechanism"]
    assert str(explain("zzz")) == explain("zzz").problem
    assert explain("zzz").to_json()["name"] is None
    assert isinstance(explain("zzz").error(), MechanismError)


PACKAGES = st.sampled_from(["a", "b", "c", None])
VARIANTS = st.sampled_from(["0", "1", None])
SAID = st.lists(st.tuples(PACKAGES, VARIANTS), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("01")), min_size=1),
    SAID,
    PACKAGES,
    VARIANTS,
)
def test_what_is_chosen_has_what_the_innermost_asks(
    there: set[tuple[str, str]],
    scopes: list[tuple[str | None, str | None]],
    pkg: str | None,
    variant: str | None,
) -> None:
    from contextlib import ExitStack

    known = catalogue(*(mechanism(p, v, f"/{p}{v}") for p, v in sorted(there)))
    with ExitStack() as stack:
        for one_pkg, one_variant in scopes:
            stack.enter_context(context(pkg=one_pkg, variant=one_variant))
        found = explain("X", pkg, variant, catalogue=known)
    left = {(p, v) for p, v in there if pkg in (p, None) and variant in (v, None)}
    for asked_pkg, asked_variant in reversed(scopes):
        left = {one for one in left if one[0] == asked_pkg} or left
        left = {one for one in left if one[1] == asked_variant} or left
    if found.chosen is not None:
        assert (found.chosen.package, found.chosen.variant) in left
        assert found.problem == ""
        assert found.rule
    else:
        assert len(left) != 1
        assert found.problem


def test_a_warm_resolve_takes_microseconds(mods: Path) -> None:
    select("Kv1", pkg="one", variant="high")
    resolve("Kv1")
    fastest = min(timeit.repeat(lambda: resolve("Kv1"), number=500, repeat=7)) / 500
    assert fastest < 200e-6  # a tenth of it on a machine that does nothing else: see benchmarks
