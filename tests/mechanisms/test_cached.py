"""What is kept in the cache, and what pruning removes; also while others build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data.mechanisms import compile, discovery, library
from nibabel_data.mechanisms.cached import Cached, cached, prune
from nibabel_data.mechanisms.source import prepare

from .conftest import PAS, age, needs_neuron

pytestmark = needs_neuron

BROKEN = PAS.replace("i = g*(v - e)", "i = g*(v - nowhere)")
Package = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return a function that makes a data package of mechanisms on the data path."""
    root = tmp_path / "root"
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))

    def make(**files: str) -> Path:
        folder = root / "lab" / "ours"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.ini").write_text("[DEFAULT]\nversion = 1\nkind = mechanisms\n")
        for stem, text in files.items():
            (folder / f"{stem}.mod").write_text(text.replace("NAME", stem))
        discovery.refresh()
        return folder

    return make


def whats(entries: list[Cached] | tuple[Cached, ...]) -> list[tuple[str, str]]:
    found = [(e.kind, e.name.removeprefix("glia__ours__").removesuffix("__0")) for e in entries]
    return sorted(one for one in found if one[0] not in ("index", "other"))


def test_nothing_is_there(own_cache: Path) -> None:
    assert cached() == []
    assert prune(everything=True).removed == ()
    assert not own_cache.exists()


def test_what_is_in_use_stays(package: Package) -> None:
    package(Leak=PAS, Bad=BROKEN)
    compile(quiet=True)
    before = cached()
    assert whats(before) == [("failure", "Bad"), ("library", "Leak")]
    assert all(entry.engine.startswith("NEURON ") for entry in before if entry.engine)
    leak = next(entry for entry in before if entry.kind == "library")
    assert leak.size > 1000
    assert prune().removed == ()
    assert cached() == before


def test_what_no_package_has_any_more_goes(package: Package) -> None:
    folder = package(Leak=PAS, Kv=PAS, Bad=BROKEN)
    report = compile(quiet=True)
    (folder / "Leak.mod").unlink()
    (folder / "Bad.mod").write_text(PAS.replace("NAME", "Bad"))
    discovery.refresh()
    said = prune(dry_run=True)
    assert Path(report.libraries["glia__ours__Leak__0"]).exists()
    done = prune()
    assert done == said
    assert whats(done.removed) == [("failure", "Bad"), ("library", "Leak")]
    assert {entry.unused for entry in done.removed} == {"no package has this source"}
    assert not Path(report.libraries["glia__ours__Leak__0"]).parents[1].exists()
    assert Path(report.libraries["glia__ours__Kv__0"]).exists()
    assert compile("Bad").made == ["glia__ours__Bad__0"]


def test_a_source_that_is_moved_into_another_package_is_still_in_use(package: Package) -> None:
    folder = package(Leak=PAS)
    compile("Leak")
    other = folder.parents[1] / "team" / "ours"
    shutil.move(folder, other)
    discovery.refresh()
    assert prune().removed == ()


def test_builds_of_a_neuron_that_is_gone_go(package: Package) -> None:
    package(Leak=PAS)
    built = Path(compile("Leak").libraries["glia__ours__Leak__0"])
    tag = built.parents[2]
    gone = tag.with_name("neuron-8.0.0-0123456789abcdef")
    shutil.copytree(tag, gone)
    record = gone / built.relative_to(tag).with_name("build.json")
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "neuron_root": "/nowhere"}))
    done = prune()
    assert [entry.unused for entry in done.removed] == ["this NEURON 8.0.0 is not installed"]
    assert not gone.exists()
    assert built.exists()


def test_builds_of_the_neuron_of_another_environment_stay(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nibabel_data.mechanisms import toolchain

    package(Leak=PAS)
    built = Path(compile("Leak").libraries["glia__ours__Leak__0"])
    monkeypatch.setattr(toolchain, "_import_directory", lambda: None)
    assert prune().removed == ()
    assert built.exists()


def test_what_was_left_goes_when_its_process_is_gone(package: Package) -> None:
    package(Leak=PAS)
    built = Path(compile("Leak").libraries["glia__ours__Leak__0"])
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = os.uname().nodename.replace(".", "-")
    dead = built.parents[1] / f".abc.{host}.{process.pid}.00000000.nibabel-data-staging"
    alive = built.parents[1] / f".abc.{host}.{os.getppid()}.00000000.nibabel-data-staging"
    written = built.parents[3] / ".compilers.json.1.00000000.nibabel-data-tmp"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "x.cpp").write_text("//")
    written.write_text("{")
    age(written)
    done = prune()
    assert {entry.path for entry in done.removed} == {str(dead), str(written)}
    assert alive.exists()
    done = prune(everything=True)
    assert [entry.path for entry in done.busy] == [str(alive)]
    assert alive.exists()
    assert not built.exists()


def test_clear_removes_all_of_it_and_nothing_else(package: Package, tmp_path: Path) -> None:
    package(Leak=PAS, Kv=PAS, K2=PAS, Bad=BROKEN)
    compile(quiet=True)
    top = Path(library.cache_directory())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("")
    (top / "neuron-1.0-link").symlink_to(outside)
    (next(top.glob("neuron-9*")) / "glia__a__c__0-0000").symlink_to(outside)
    (top.parent / "fetched").write_text("")
    assert ("headers", "") in whats(cached()) or not list(top.rglob("*.gch"))
    prune(everything=True)
    assert cached() == []
    assert list(top.iterdir()) == []
    assert (outside / "precious").exists()
    assert (top.parent / "fetched").exists()
    assert compile("Leak").made == ["glia__ours__Leak__0"]


def test_a_build_that_another_process_has_locked_is_left(package: Package) -> None:
    filelock = pytest.importorskip("filelock")
    folder = package(Leak=PAS)
    built = Path(compile("Leak").libraries["glia__ours__Leak__0"])
    (folder / "Leak.mod").unlink()
    with filelock.FileLock(built.parents[1] / ".lock"):
        done = prune()
        assert (done.removed, len(done.busy)) == ((), 1)
        assert built.exists()
    assert len(prune().removed) == 1
    assert not built.exists()


def test_damaged_and_strange_things_are_no_error(package: Package) -> None:
    package(Leak=PAS)
    built = Path(compile("Leak").libraries["glia__ours__Leak__0"])
    built.with_name("build.json").write_text("{")
    top = built.parents[3]
    (top / "strange").mkdir()
    (top / "receipts").mkdir(exist_ok=True)
    (top / "receipts" / "glia__a__b__0-00000000").write_bytes(b"\xff\n")
    (top / "neuron-").mkdir()
    (top / "neuron-x" / "y").mkdir(parents=True)
    (top / "arbor-0-0" / "refused" / "x-0").mkdir(parents=True)
    done = prune()
    assert ("receipt", "glia__a__b__0") in [(entry.kind, entry.name) for entry in done.removed]
    assert built.exists()
    prune(everything=True)
    assert not built.exists()
    assert not (top / "strange").exists()


def test_a_cache_that_cannot_be_read_or_changed(
    package: Package, public_tmp: Path, unprivileged: Callable[..., object], own_cache: Path
) -> None:
    from nibabel_data.errors import DataError

    os.environ["NIBABEL_DATA_CACHE"] = str(public_tmp / "cache")
    place = public_tmp / "cache" / "mechanisms" / "neuron-1-0" / "glia__a__b__0-0" / "0"
    place.mkdir(parents=True)
    with unprivileged(), pytest.raises(DataError, match="cannot"):  # type: ignore[attr-defined]
        prune(everything=True)
    assert place.exists()
    os.environ["NIBABEL_DATA_CACHE"] = str(own_cache)


BUILDER = """
import sys
from nibabel_data.mechanisms import discovery, library
from nibabel_data.mechanisms.source import prepare
tools = library.toolchain()
one = discovery.discover().mechanisms_of("Leak")[0]
for number in range(int(sys.argv[1])):
    library.obtain(prepare(one), tools)
print("done")
"""


def test_others_build_while_everything_is_cleared_again_and_again(package: Package) -> None:
    package(Leak=PAS)
    builders = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", BUILDER, "3"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    removed = 0
    while any(builder.poll() is None for builder in builders):
        removed += len([e for e in prune(everything=True).removed if e.kind == "library"])
        prune()
    for builder in builders:
        out, err = builder.communicate()
        assert (out, err, builder.returncode) == ("done\n", "", 0)
    assert removed > 0
    source = prepare(discovery.discover().mechanisms_of("Leak")[0])
    assert os.path.isfile(library.obtain(source, library.toolchain()))


def test_of_coreneuron_and_arbor(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out by hand as `coreneuron` and `arbor` do, whose builds take long."""
    from nibabel_data.mechanisms import arbor

    folder = package(Leak=PAS, Kv=PAS)
    tag = Path(compile().libraries["glia__ours__Leak__0"]).parents[2]
    monkeypatch.setattr(arbor, "tag", lambda: "arbor-0.12.2-00")
    top = tag.parent

    def put(path: Path, **told: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told))
        return path

    names = ["glia__ours__Leak__0", "glia__ours__Kv__0"]
    put(tag / "coreneuron-1" / "build.json", mechanisms=names[1:])
    put(tag / "coreneuron-2" / "build.json", mechanisms=names)
    put(tag / "refused-coreneuron" / "glia__ours__Kv__0-0" / "refused.json")
    put(tag / ".lock")
    put(top / "arbor-0.12.2-00" / "ours-0" / "build.json")
    put(top / "arbor-0.12.2-00" / "gone-0" / "build.json")
    put(top / "arbor-0.12.2-00" / "modcc" / "ours-0.json")
    put(top / "arbor-0.12.2-00" / "refused" / "Leak-0" / "refused.json")
    put(top / "arbor-0.11-00" / "ours-0" / "build.json")
    assert {(entry.kind, entry.engine, entry.name) for entry in prune().removed} == {
        ("failure", f"CoreNEURON {tag.name.split('-')[1]}", "glia__ours__Kv__0"),
        ("catalogue", "Arbor 0.12.2", "gone"),
        ("failure", "Arbor 0.12.2", "Leak"),
        ("catalogue", "Arbor 0.11", "ours"),
    }
    (folder / "Leak.mod").unlink()
    discovery.refresh()
    assert {(entry.kind, entry.name) for entry in prune().removed} == {
        ("library", "glia__ours__Leak__0"),
        ("coreneuron", "coreneuron-2"),
    }
    prune(everything=True)
    assert list(top.iterdir()) == []
