from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from nibabel_data import DataError, DataVersion
from nibabel_data.version import check_specifier, satisfies

plain = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers))
)
suffix = st.sampled_from(["", "a1", "rc2", ".dev0", ".post3", "+local.1", ".dev"])
versions = st.builds("{}{}{}".format, st.sampled_from(["", "v", "1!", "0!"]), plain, suffix)
operators = st.sampled_from([">=", "<=", "==", "!=", ">", "<", "~=", "==="])
clauses = st.builds("{}{}{}".format, operators, st.sampled_from(["", " "]), versions)
specifiers = st.lists(clauses, min_size=1, max_size=3).map(", ".join)


@given(versions, versions)
def test_order_is_that_of_packaging(one: str, other: str) -> None:
    mine, theirs = DataVersion(one), Version(other)
    assert (mine < other) == (Version(one) < theirs)
    assert (mine <= other) == (Version(one) <= theirs)
    assert (mine > other) == (Version(one) > theirs)
    assert (mine >= other) == (Version(one) >= theirs)
    assert (other < mine) == (theirs < Version(one))


@given(versions, specifiers)
def test_specifiers_are_those_of_packaging(version: str, specifier: str) -> None:
    try:
        expected = SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        with pytest.raises(DataError, match="not a version specifier"):
            check_specifier(specifier)
    else:
        assert check_specifier(specifier) == specifier
        assert satisfies(DataVersion(version), specifier) == expected


@given(st.lists(versions))
def test_sorting_and_hashing_agree_with_order_and_equality(texts: list[str]) -> None:
    ordered = sorted(map(DataVersion, texts))
    assert [Version(text) for text in ordered] == sorted(map(Version, texts))
    assert {DataVersion(text) for text in texts} == set(texts)
    assert all(hash(DataVersion(text)) == hash(text) for text in texts)


@given(st.text())
def test_any_text_is_a_version_or_a_data_error(text: str) -> None:
    try:
        version = DataVersion(text)
    except DataError as error:
        assert "is not a version" in str(error)
    else:
        assert version == text
        try:
            assert not version < text
        except DataError:
            assert not version.is_pep440


@given(st.text())
def test_any_text_is_a_specifier_or_a_data_error(text: str) -> None:
    try:
        check_specifier(text)
    except DataError as error:
        assert "not a version specifier" in str(error)


def test_equals_what_the_file_says() -> None:
    version = DataVersion("0.10")
    assert isinstance(version, str)
    assert version == "0.10"
    assert version != "0.1"
    assert version > "0.9"


def test_the_documented_idiom_is_right() -> None:
    assert not DataVersion("0.10") < "0.4"
    assert not "0.4" > DataVersion("0.10")


def test_the_same_release_in_two_spellings_is_neither_below_nor_above() -> None:
    short, long = DataVersion("0.3"), DataVersion("0.3.0")
    assert short <= long <= short
    assert not short < long
    assert not short > long
    assert short != long


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.10", (0, 10)), ("2024", (2024, 0)), ("v1.2", (1, 2)), ("1!2.0", (2, 0))],
)
def test_major_and_minor(text: str, numbers: tuple[int, int]) -> None:
    assert DataVersion(text).major_minor == numbers


def test_legacy_text_is_kept_but_not_ordered() -> None:
    version = DataVersion("0.3.foo")
    assert version.major_minor == (0, 3)
    assert not version.is_pep440
    assert not satisfies(version, ">=0.1")
    assert satisfies(version, "")
    with pytest.raises(DataError, match=r"'0\.3\.foo' cannot be ordered"):
        version < "0.4"  # noqa: B015


@pytest.mark.parametrize("text", ["", "abc", "0.1 # c", "'0.3'", "9" * 5000, "1." * 300 + "0"])
def test_not_a_version(text: str) -> None:
    with pytest.raises(DataError, match="is not a version"):
        DataVersion(text)


def test_comparing_with_no_version_is_a_data_error() -> None:
    with pytest.raises(DataError, match="'abc' cannot be ordered"):
        DataVersion("0.3") < "abc"  # noqa: B015


def test_what_is_no_version_cannot_be_compared() -> None:
    version = DataVersion("0.10")
    for other in (0.4, 3, None, (0, 4)):
        with pytest.raises(TypeError, match="not supported between"):
            version < other  # type: ignore[operator]  # noqa: B015
    assert version > Version("0.9")  # type: ignore[operator]


def test_copies() -> None:
    version = DataVersion("1.2rc1")
    for other in (copy.copy(version), copy.deepcopy(version), pickle.loads(pickle.dumps(version))):
        assert type(other) is DataVersion
        assert other == version


def test_packaging_still_refuses_what_we_refuse() -> None:
    with pytest.raises(InvalidVersion):
        Version("abc")
