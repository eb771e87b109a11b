from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import DataError, VersionedDatasource
from nibabel_data.cli.main import main
from nibabel_data.package import cache
from nibabel_data.package.cache import cache_entries, prune
from nibabel_data.package.verify import verify_directory

from ..conftest import MakePackage


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fetched(
    place: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Return a package whose file was fetched into the overlay, as it could not be written."""
    (tmp_path / "T1.nii").write_bytes(b"an image")
    digest = hashlib.sha256(b"an image").hexdigest()
    root = make_package(config="[DEFAULT]\nversion = 1\nregistry = registry.txt\n")
    package = root / "nipy" / "templates"
    url = (tmp_path / "T1.nii").as_uri()
    (package / "registry.txt").write_text(f"T1.nii sha256:{digest} {url}\n")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    file = VersionedDatasource(package).fetch("T1.nii")
    overlaid = place / "overlay" / overlay_key(package) / "T1.nii"
    overlaid.parent.mkdir(parents=True)
    shutil.move(file, overlaid)
    return package


def overlay_key(package: Path) -> str:
    from nibabel_data.package.overlay import overlay_dir
    from nibabel_data.package.registry import read_registry

    registry = read_registry(package)
    assert registry is not None
    return os.path.basename(overlay_dir(registry))


def age(place: Path) -> None:
    """Make everything below a directory old."""
    for here, folders, names in os.walk(place, topdown=False):
        for name in (*folders, *names):
            os.utime(os.path.join(here, name), (1, 1), follow_symlinks=False)


def test_an_empty_cache(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache_entries() == []
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"0 entries, 0 B, in {place}\n"
    assert not place.exists()


def test_what_an_installed_package_refers_to_stays(fetched: Path, place: Path) -> None:
    age(place)
    (entry,) = (entry for entry in cache_entries() if entry.kind == "fetched")
    assert (entry.package, entry.size, entry.in_use) == ("nipy/templates", 8, True)
    prune()
    assert VersionedDatasource(fetched).path("T1.nii", must_exist=True).read_bytes() == b"an image"


def test_what_no_package_refers_to_goes(fetched: Path, place: Path) -> None:
    verify_directory(fetched)
    (place / "downloads" / "abc").mkdir(parents=True)
    shutil.rmtree(fetched)
    assert prune() == []  # it changed a moment ago: somebody may be at work
    age(place)
    would = prune(dry_run=True)
    assert {"fetched", "download"} <= {entry.kind for entry in would}
    assert prune() == would
    assert cache_entries() == []


def test_everything_can_go(fetched: Path, place: Path) -> None:
    assert prune(everything=True)
    assert cache_entries() == []
    assert VersionedDatasource(fetched).fetch("T1.nii").read_bytes() == b"an image"


def test_what_cannot_be_removed_is_told(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(public_tmp))
    (public_tmp / "locks").mkdir(mode=0o755)
    (public_tmp / "locks" / "a.lock").write_text("")
    cache_entries()
    with unprivileged(), pytest.raises(DataError, match=r"cannot remove .*a\.lock: permission"):
        prune(everything=True)
    (public_tmp / "locks").chmod(0)
    with unprivileged(), pytest.raises(DataError, match=r"cannot list .*locks"):
        cache_entries()


def test_the_verb(fetched: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--json"]) == 0
    kinds = {entry["kind"] for entry in json.loads(capsys.readouterr().out)}
    assert "fetched" in kinds
    assert main(["cache"]) == 0
    assert "nipy/templates" in capsys.readouterr().out
    assert main(["cache", "--all", "--dry-run"]) == 0
    assert "would be removed from" in capsys.readouterr().out
    assert main(["cache", "--all"]) == 0
    assert cache.cache_entries() == []
