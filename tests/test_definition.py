from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import DataError, DataWarning, DefinitionError, PackageDef, make_datasource
from nibabel_data.definition import DEFAULT_INSTALL_HINT, read, split_spec


@pytest.mark.parametrize(
    "definition",
    [
        "nipy/templates>=0.3",
        " nipy/templates >=0.3 ",
        {"relpath": "nipy/templates", "version": ">=0.3"},
        PackageDef("nipy/templates", version=">=0.3"),
    ],
)
def test_three_ways_to_ask(definition: Any) -> None:
    assert read(definition) == ("nipy/templates", "", ">=0.3")


def test_the_classic_definition() -> None:
    definition = {
        "relpath": "nipy/templates",
        "name": "nipy-templates",
        "install hint": "Get it.",
        "min version": "0.3",
    }
    assert read(definition) == ("nipy/templates", "0.3", "")
    assert PackageDef.of(definition) == PackageDef(
        "nipy/templates", name="nipy-templates", install_hint="Get it.", min_version="0.3"
    )


def test_the_install_hint_has_a_default_and_can_be_none() -> None:
    assert PackageDef.of("a/b").install_hint == DEFAULT_INSTALL_HINT
    assert PackageDef.of({"relpath": "a/b"}).install_hint == DEFAULT_INSTALL_HINT
    assert PackageDef.of({"relpath": "a/b", "install hint": None}).install_hint is None


def test_a_definition_is_shown_as_a_specifier() -> None:
    assert str(PackageDef("a/b", min_version="0.3", version="<1")) == "a/b>=0.3,<1"


@pytest.mark.parametrize(
    "relpath", ["/etc", "..", "nipy/../../etc", "", ".", "./.", "//", "a/..", "a\0b", "/"]
)
def test_relpaths_that_leave_the_root_or_name_nothing(relpath: str) -> None:
    for definition in (relpath, {"relpath": relpath}):
        with pytest.raises(DefinitionError, match="relpath"):
            read(definition)
    with pytest.raises(DefinitionError, match="relpath"):
        PackageDef(relpath)


@pytest.mark.parametrize("definition", [{}, {"name": "x"}])
def test_no_relpath(definition: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match="no key 'relpath'"):
        make_datasource(definition)


@pytest.mark.parametrize("key", ["min version", "version"])
def test_a_version_as_a_number_is_a_type_error(key: str) -> None:
    with pytest.raises(TypeError, match=r"must be a str such as '0\.3', not float 0\.9"):
        read({"relpath": "a/b", key: 0.9})


@pytest.mark.parametrize("definition", [None, 3, ["a/b"], {"relpath": 3}, {"relpath": None}])
def test_wrong_types(definition: Any) -> None:
    with pytest.raises(TypeError):
        read(definition)


@pytest.mark.parametrize(
    "definition",
    [
        "a/b>>0.3",
        "a/b>=abc",
        {"relpath": "a/b", "version": "0.3"},
        {"relpath": "a/b", "min version": "abc"},
        {"relpath": "a/b", "min version": "0.3.foo"},
    ],
)
def test_versions_that_are_none(definition: Any) -> None:
    with pytest.raises(DefinitionError if "version" not in str(definition) else DataError):
        read(definition)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("min_version", "did you mean 'min version'"),
        ("max version", "an upper bound goes into 'version', as '<1'"),
        ("colour", "known are relpath, name"),
    ],
)
def test_unknown_keys_warn_with_the_nearest(key: str, said: str) -> None:
    with pytest.warns(DataWarning, match=f"unknown key '{key}'") as caught:
        read({"relpath": "a/b", key: "1"})
    assert said in str(caught[0].message)


@given(st.text(max_size=30))
def test_any_string_is_a_definition_or_a_data_error(text: str) -> None:
    try:
        relpath, specifier = split_spec(text)
    except DataError:
        return
    assert relpath
    assert text.strip().startswith(relpath)
    assert specifier in text


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PackageDef("a/b").relpath = "c/d"  # type: ignore[misc]
