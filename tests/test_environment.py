from __future__ import annotations

import os
from pathlib import Path

import nibabel.environment
import platformdirs
import pytest

from nibabel_data import get_home_dir, get_nipy_system_dir, get_nipy_user_dir
from nibabel_data.environment import cache_dir, expand, system_dirs


def test_results_are_those_of_nibabel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIPY_SYSTEM_DIR")
    assert get_home_dir() == nibabel.environment.get_home_dir()
    assert get_nipy_user_dir() == nibabel.environment.get_nipy_user_dir()
    assert get_nipy_system_dir() == nibabel.environment.get_nipy_system_dir()


def test_user_dir_follows_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", "/lab/me")
    assert get_nipy_user_dir() == os.path.abspath("/lab/me")


def test_empty_user_dir_is_as_if_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", "")
    assert get_nipy_user_dir() == os.path.join(get_home_dir(), ".nipy")


@pytest.mark.parametrize("value", ["~/nip", "$HOME/nip"])
def test_user_dir_is_expanded(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIPY_USER_DIR", value)
    assert get_nipy_user_dir() == os.path.join(os.environ["HOME"], "nip")


def test_system_dir_follows_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(tmp_path))
    assert get_nipy_system_dir() == str(tmp_path)
    assert system_dirs() == [str(tmp_path)]


def test_windows_reads_the_suitable_and_the_classic_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NIPY_SYSTEM_DIR")
    monkeypatch.setattr("nibabel_data.environment.os.name", "nt")
    monkeypatch.setattr("platformdirs.site_config_dir", lambda *_, **__: r"C:\ProgramData\nipy")
    assert system_dirs() == [r"C:\ProgramData\nipy", r"C:\etc\nipy"]


def test_unknown_names_stay() -> None:
    assert expand("/a/$NO_SUCH_NAME/b") == "/a/$NO_SUCH_NAME/b"
    assert expand("~no_such_user_here/b") == "~no_such_user_here/b"


def test_the_cache_follows_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("NIBABEL_DATA_CACHE", "here")
        assert cache_dir() == str(tmp_path / name / "here")
        monkeypatch.setenv("LAB", name)
        monkeypatch.setenv("NIBABEL_DATA_CACHE", "/lab/$LAB")
        assert cache_dir() == os.path.abspath(f"/lab/{name}")
        monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / name))
        assert cache_dir() == cache_dir() == str(tmp_path / name)
    monkeypatch.delenv("NIBABEL_DATA_CACHE")
    for name in ("a", "b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        expected = platformdirs.user_cache_dir("nibabel-data", appauthor=False)
        assert cache_dir() == cache_dir() == expected
