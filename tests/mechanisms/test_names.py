from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data.errors import MechanismError
from nibabel_data.mechanisms.names import (
    check_length,
    full_name,
    is_full_name,
    package_identifier,
    split_name,
    split_stem,
)

part = st.text("abzAZ09_", max_size=6) | st.text(max_size=4)


def test_the_variant_is_0_unless_one_is_named() -> None:
    assert full_name("dbbs", "Kv1_1") == "glia__dbbs__Kv1_1__0"
    assert full_name("dbbs", "Na", "granule_cell_FHF") == "glia__dbbs__Na__granule_cell_FHF"


@given(part, part, part)
def test_a_name_that_can_be_made_is_taken_apart_again(
    package: str, asset: str, variant: str
) -> None:
    try:
        name = full_name(package, asset, variant)
    except MechanismError:
        assert not is_full_name(f"glia__{package}__{asset}__{variant}")
        return
    assert split_name(name) == (package, asset, variant)
    assert is_full_name(name)
    assert split_stem(name) == split_stem(f"{asset}__{variant}") == (asset, variant)


@given(st.text("agli_0-", max_size=20).map(lambda text: f"glia__{text}") | st.text(max_size=30))
def test_a_text_is_a_full_name_if_it_can_be_taken_apart(text: str) -> None:
    if is_full_name(text):
        assert full_name(*split_name(text)) == text
    else:
        with pytest.raises(MechanismError):
            split_name(text)


@pytest.mark.parametrize(
    ("package", "asset", "variant", "problem"),
    [
        ("my-mods", "K", "0", "'my-mods' cannot be the package .* it has '-' .*try 'my_mods'"),
        ("3d", "K", "0", "'3d' cannot be the package .* begins with a digit .try 'p3d'"),
        ("a", "K.mod", "0", "'K.mod' cannot be the asset .* has '.' in it.*try 'K_mod'"),
        ("a", "K__1", "0", "the asset .* two underscores stand between .*try 'K_1'"),
        ("a_", "K", "0", "'a_' cannot be the package .* begins or ends with an underscore"),
        ("a", "_K", "0", "'_K' cannot be the asset .* begins or ends with an underscore"),
        ("a", "K", "", "'' cannot be the variant .* it is empty$"),
        ("a", "K", "é", r"'\\xe9' cannot be the variant .* where only ASCII letters"),
        ("a", "K", "0\n", "the variant .* has '.n' in it"),
    ],
)
def test_the_error_says_which_part_and_why_and_a_better_one(
    package: str, asset: str, variant: str, problem: str
) -> None:
    with pytest.raises(MechanismError, match=problem):
        full_name(package, asset, variant)


@pytest.mark.parametrize(
    "name",
    [
        "Kv1_1",
        "glia__dbbs__Kv1_1",
        "glia__a__b__c__d",
        "Glia__a__b__0",
        "glia____b__0",
        "glia__1__b__0",
    ],
)
def test_what_is_no_full_name(name: str) -> None:
    assert not is_full_name(name)
    with pytest.raises(MechanismError, match="full name"):
        split_name(name)


def test_names_of_distributions_become_identifiers() -> None:
    assert package_identifier("dbbs") == "dbbs"
    assert package_identifier("my-mods.v2") == "my_mods_v2"
    assert package_identifier(" my -- mods_") == "my_mods"
    assert package_identifier("3d cells") == "p3d_cells"
    with pytest.raises(MechanismError, match="no ASCII letter or digit"):
        package_identifier("--")


@given(st.text())
def test_every_identifier_of_a_package_can_be_in_a_name(text: str) -> None:
    try:
        identifier = package_identifier(text)
    except MechanismError:
        return
    assert split_name(full_name(identifier, "K"))[0] == identifier
    assert package_identifier(identifier) == identifier


def test_a_file_name_says_asset_and_variant() -> None:
    assert split_stem("Kv1_1") == ("Kv1_1", "0")
    assert split_stem("Na__granule_cell") == ("Na", "granule_cell")
    assert split_stem("glia__dbbs_mod_collection__cdp5__CAM_GoC") == ("cdp5", "CAM_GoC")


@pytest.mark.parametrize("stem", ["", "K__", "__0", "K__a__b", "my-channel", "K v", "Kï"])
def test_a_file_name_that_says_none_is_refused(stem: str) -> None:
    with pytest.raises(MechanismError, match="does not say which mechanism it is"):
        split_stem(stem)


@pytest.mark.parametrize(
    ("kind", "longest"), [("density", 250), ("point process", 99), ("artificial cell", 99)]
)
def test_a_name_that_neuron_would_cut_is_refused(kind: str, longest: int) -> None:
    name = full_name("a", "K", "x" * (longest - len("glia__a__K__")))
    check_length(name, kind)
    with pytest.raises(MechanismError, match=f"has {longest + 1} characters, .* {longest} .{kind}"):
        check_length(name + "x", kind)
