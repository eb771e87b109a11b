from __future__ import annotations

import pickle

import pytest

from nibabel_data import errors
from nibabel_data.errors import BuildError, DataError, MechanismError, ResolveError


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n.endswith("Error")])
def test_every_error_is_a_data_error(name: str) -> None:
    assert issubclass(getattr(errors, name), DataError)


def test_a_mechanism_that_is_not_found_is_a_lookup_error() -> None:
    assert issubclass(ResolveError, MechanismError)
    assert issubclass(ResolveError, LookupError)
    assert str(ResolveError("no Kv1_1")) == "no Kv1_1"


def test_a_build_error_says_what_where_and_why() -> None:
    error = BuildError(
        "it fails", mechanism="glia__a__b__0", path="b.mod", line=3, first_error="syntax error"
    )
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "it fails"
        assert (each.mechanism, each.path, each.line) == ("glia__a__b__0", "b.mod", 3)
        assert each.first_error == "syntax error"
    assert BuildError("it fails").line is None
