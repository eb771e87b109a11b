from __future__ import annotations

import asyncio
import contextvars
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from nibabel_data import (
    DataError,
    DataWarning,
    __version__,
    datasource_or_bomber,
    explain,
    iter_packages,
    make_datasource,
)
from nibabel_data.package.manifest import MANIFEST, hash_files, manifest_text, tree_hash
from nibabel_data.used import UsedData, used_data

from .conftest import MakePackage, run_python


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_package()
    make_package(relpath="lab/atlas", version="2.0")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    return root


def names(used: UsedData) -> list[str]:
    return [package.relpath for package in used]


def test_in_order_of_first_use_none_twice(root: Path) -> None:
    with used_data() as used:
        make_datasource("nipy/templates>=0.3")
        datasource_or_bomber({"relpath": "lab/atlas"})
        make_datasource("./nipy//templates/")
        with pytest.raises(DataError):
            make_datasource("lab/none")
        explain("lab/atlas")
        list(iter_packages())
    make_datasource("lab/atlas")
    assert names(used) == ["nipy/templates", "lab/atlas"]
    assert len(used) == 2
    first = used.packages[0]
    assert (first.version, first.path) == ("0.3", root / "nipy" / "templates")
    assert first.origin == "NIPY_DATA_PATH"
    assert repr(used) == "<UsedData: nipy/templates, lab/atlas>"


def test_two_copies_are_two(root: Path, make_package: MakePackage) -> None:
    second = make_package("second", version="0.4")
    with used_data() as used:
        make_datasource("nipy/templates")
        make_datasource("nipy/templates", data_path=second)
    assert [package.version for package in used] == ["0.3", "0.4"]


def test_a_bomber_that_finds_its_package(root: Path, make_package: MakePackage) -> None:
    bomber = datasource_or_bomber("lab/late")
    with used_data() as used:
        assert not bomber
        make_package(relpath="lab/late", version="3.0")
        assert bomber.version == "3.0"
        bomber.get_filename("x")
    assert names(used) == ["lab/late"]


def test_nested_blocks_both_record(root: Path) -> None:
    with used_data() as outer:
        make_datasource("nipy/templates")
        with used_data() as inner:
            make_datasource("lab/atlas")
        make_datasource("nipy/templates")
    assert names(outer) == ["nipy/templates", "lab/atlas"]
    assert names(inner) == ["lab/atlas"]


def test_an_error_ends_the_recording(root: Path) -> None:
    with suppress(DataError), used_data() as used:
        make_datasource("lab/atlas")
        make_datasource("lab/none")
    make_datasource("nipy/templates")
    assert names(used) == ["lab/atlas"]


def test_threads_do_not_see_each_other(root: Path) -> None:
    both = threading.Barrier(2)

    def work(name: str) -> list[str]:
        with used_data() as used:
            both.wait(10)
            make_datasource(name)
            both.wait(10)
        return names(used)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["nipy/templates", "lab/atlas"])) == [
            ["nipy/templates"],
            ["lab/atlas"],
        ]


def test_a_thread_that_runs_in_a_copy_of_the_context(root: Path) -> None:
    with used_data() as used:
        other = threading.Thread(
            target=contextvars.copy_context().run, args=(make_datasource, "lab/atlas")
        )
        other.start()
        other.join()
    assert names(used) == ["lab/atlas"]


def test_asyncio(root: Path) -> None:
    async def work(name: str) -> list[str]:
        with used_data() as used:
            await asyncio.sleep(0.01)
            await asyncio.to_thread(make_datasource, name)
            await asyncio.sleep(0.01)
        return names(used)

    async def both() -> list[list[str]]:
        return await asyncio.gather(work("nipy/templates"), work("lab/atlas"))

    with used_data() as outer:
        assert asyncio.run(both()) == [["nipy/templates"], ["lab/atlas"]]
    assert sorted(names(outer)) == ["lab/atlas", "nipy/templates"]


def test_many_threads_record_into_one_block(root: Path, make_package: MakePackage) -> None:
    wanted = [f"lab/p{number}" for number in range(40)]
    for name in wanted:
        make_package(relpath=name)
    with used_data() as used, ThreadPoolExecutor(8) as pool:
        for name in wanted * 3:
            pool.submit(contextvars.copy_context().run, make_datasource, name)
    assert sorted(names(used)) == sorted(wanted)


def test_the_tree_hash_is_that_of_the_manifest(root: Path) -> None:
    base = root / "nipy" / "templates"
    hashes = hash_files(str(base), ["config.ini"])
    with used_data() as used:
        make_datasource("nipy/templates")
        make_datasource("lab/atlas")
    (base / MANIFEST).write_text(manifest_text(hashes))  # read when it is asked for
    with_hash, without = used
    assert with_hash.tree_hash == tree_hash(hashes)
    assert without.tree_hash is None


def test_a_broken_manifest_is_a_warning(root: Path) -> None:
    (root / "lab" / "atlas" / MANIFEST).write_text("nonsense\n")
    with used_data() as used:
        make_datasource("lab/atlas")
    with pytest.warns(DataWarning, match="no tree hash of lab/atlas"):
        assert used.to_dict()["packages"][0]["tree_hash"] is None


def test_the_sentence(root: Path) -> None:
    base = root / "nipy" / "templates"
    hashes = hash_files(str(base), ["config.ini"])
    (base / MANIFEST).write_text(manifest_text(hashes))
    with used_data() as used:
        assert used.text() == "No data package was used."
        make_datasource("lab/atlas")
        assert used.text() == (
            f"The following data package was located with nibabel-data {__version__}: "
            "lab/atlas (2.0)."
        )
        make_datasource("nipy/templates")
    assert used.text() == (
        f"The following data packages were located with nibabel-data {__version__}: "
        f"lab/atlas (2.0) and nipy/templates (0.3, hash {tree_hash(hashes)[:12]})."
    )


def test_json_for_provenance(root: Path) -> None:
    with used_data() as used:
        make_datasource("lab/atlas")
    assert json.loads(used.to_json()) == used.to_dict()
    assert used.to_dict() == {
        "nibabel-data": __version__,
        "packages": [
            {
                "relpath": "lab/atlas",
                "version": "2.0",
                "path": str(root / "lab" / "atlas"),
                "origin": "NIPY_DATA_PATH",
                "tree_hash": None,
            }
        ],
    }


def test_a_relative_path_is_kept_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with used_data() as used:
        make_datasource("lab/atlas", data_path=root.name)
    os.chdir("/")
    assert used.packages[0].path == root / "lab" / "atlas"


def test_who_does_not_use_it_does_not_load_it(root: Path) -> None:
    code = """
import sys
from nibabel_data import make_datasource, locate
make_datasource('lab/atlas')
print(locate.recorder, 'nibabel_data.used' in sys.modules, 'contextvars' in sys.modules)
"""
    assert run_python(code) == "None False False\n"
