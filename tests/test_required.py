from __future__ import annotations

import warnings

import pytest

from nibabel_data import DataError, DataWarning, DefinitionError, require

from .conftest import MakePackage


def test_nothing_missing_is_silent(make_package: MakePackage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert require("nipy/templates>=0.3", data_path=make_package()) == ()
        assert require() == ()


def test_what_is_missing_is_returned_and_warned_about(make_package: MakePackage) -> None:
    with pytest.warns(DataWarning, match="name the directory") as caught:
        missing = require("nipy/templates", "a/b", {"relpath": "c/d"}, data_path=make_package())
    assert [answer.definition.relpath for answer in missing] == ["a/b", "c/d"]
    assert [str(warning.message) for warning in caught] == [answer.text() for answer in missing]
    assert caught[0].filename == __file__


def test_it_raises_if_asked() -> None:
    with pytest.raises(DataError, match="no data package 'a/b'") as caught:
        require("a/b", error=True)
    assert caught.value.explanation is not None


def test_a_wrong_definition_raises() -> None:
    with pytest.raises(DefinitionError):
        require("..")
