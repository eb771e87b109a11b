"""What there is: found quickly, changed by nothing, two of one name told apart."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data.errors import ResolveError
from nibabel_data.mechanisms import discovery, installed
from nibabel_data.mechanisms.discovery import (
    Catalogue,
    Mechanism,
    MechanismPackage,
    discover,
    refresh,
)

from ..conftest import MakePackage, run_python
from ..test_silence import WATCH
from .conftest import ASTROCYTE, ASTROCYTE_FILES, GLIA, GLIA_FILES, Install, age

CONFIG = "[DEFAULT]\nversion = 0.2\nkind = mechanisms\n"


def package(
    name: str = "lab", source: str = "lab-mods 1.0", *mechanisms: Mechanism
) -> MechanismPackage:
    return MechanismPackage(name, source, "/lab", source.partition(" ")[2], "glia", mechanisms)


def mechanism(
    asset: str = "Na", variant: str = "0", dialect: str | None = None, path: str = "/x"
) -> Mechanism:
    return Mechanism("lab", asset, variant, path, dialect, "density", "lab-mods 1.0")


def names(catalogue: Catalogue) -> list[str]:
    return [one.name for one in catalogue.packages]


def test_a_mechanism_is_a_value() -> None:
    one = mechanism()
    assert one == mechanism()
    assert one != mechanism(variant="fast")
    assert one != "Na"
    assert len({one, mechanism()}) == 1
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.asset = "K"
    with pytest.raises(AttributeError):
        del one.asset
    assert repr(one) == "<Mechanism glia__lab__Na__0 of lab-mods 1.0>"


def test_those_of_a_dialect_stand_for_those_of_all() -> None:
    both, own, other = mechanism(), mechanism(dialect="neuron"), mechanism("Na", "fast", "arbor")
    catalogue = Catalogue([package("lab", "lab-mods 1.0", both, own, other)])
    assert catalogue.mechanisms_of("Na") == (own,)
    assert catalogue.mechanisms_of("Na", "arbor") == (both, other)
    assert catalogue.mechanisms_of("Na", None) == (both, own, other)
    assert catalogue.mechanisms_of("K") == ()
    assert catalogue.assets() == ["Na"]
    assert catalogue.duplicates == ()


def test_two_declarations_of_one_are_both_kept_and_told() -> None:
    one, two = mechanism(path="/a.mod"), mechanism(path="/b.mod")
    catalogue = Catalogue([package("lab", "lab-mods 1.0", one, two)])
    assert catalogue.mechanisms_of("Na") == (one, two)
    assert catalogue.duplicates == ((one, two),)
    assert "Na, variant 0 is declared 2 times: /a.mod and /b.mod" in catalogue.problems[0]


def test_two_packages_of_one_name() -> None:
    one, two = package(), package("lab", "other 2.0")
    catalogue = Catalogue([one, two])
    assert catalogue.packages_named("lab") == (one, two)
    assert catalogue.package("lab@other") is two
    assert catalogue.package("lab@lab-mods 1.0") is one
    assert catalogue.package("nobody") is None
    with pytest.raises(ResolveError, match="lab@lab-mods or lab@other"):
        catalogue.package("lab")
    assert catalogue.problems == (
        "2 packages are called 'lab' (lab-mods 1.0, other 2.0); to say which, write "
        "lab@lab-mods or lab@other",
    )


def test_packages_as_glia_gives_them(install: Install, site: Path) -> None:
    install()
    assert [one.name for one in discovery.get_packages()] == ["lab", "NEURON"]
    assert discovery.package("lab").source == "lab-mods 1.0"
    with pytest.raises(ResolveError, match="there are: lab, NEURON"):
        discovery.package("nobody")


def test_everything_in_its_order(
    install: Install, make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    install("old-mods", ASTROCYTE, ASTROCYTE_FILES, top="old", entry="old")
    root = make_package("root", "nipy/my-cells", config=CONFIG, files=("K.mod",))
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    own = tmp_path / "home" / ".nipy" / "mechanisms"
    own.mkdir(parents=True)
    (own / "Na__mine.mod").write_text("")
    catalogue = discover()
    assert names(catalogue) == ["local", "my_cells", "lab", "old", "NEURON"]
    assert [one.source for one in catalogue.packages[:2]] == ["user", "nipy/my-cells 0.2"]
    assert [one.name for one in catalogue.mechanisms_of("Na")] == [
        "glia__local__Na__mine",
        "glia__lab__Na__0",
        "glia__lab__Na__fast",
        "glia__old__Na__granule",
    ]
    assert catalogue.problems == catalogue.notes == ()


def test_a_data_package(make_package: MakePackage, site: Path) -> None:
    files = (
        "K.mod", "K__slow.mod", "deep/er/glia__other__Ca__L.mod", "neuron/Na.mod", "arbor/x/Na.mod",
        "x86_64/K.mod", ".hidden/K.mod", "readme.txt", "not a name.mod",
    )  # fmt: skip
    root = make_package("root", "nipy/cells", config=CONFIG, files=files)
    catalogue = discover(root)
    found = catalogue.packages[0]
    assert (found.name, found.version, found.format) == ("cells", "0.2", "data package")
    assert [(one.asset, one.variant, one.dialect, one.declared) for one in found.mechanisms] == [
        ("K", "0", None, None),
        ("K", "slow", None, None),
        ("Na", "0", "arbor", None),
        ("Ca", "L", None, None),
        ("Na", "0", "neuron", None),
    ]
    assert found.mechanisms[3].name == "glia__cells__Ca__L"
    (problem,) = catalogue.problems
    assert "not a name.mod" in problem


def test_a_data_package_that_names_itself(make_package: MakePackage, site: Path) -> None:
    root = make_package("root", "nipy/cells", config=CONFIG + "mechanisms_name = kv\n")
    make_package("root", "nipy/other", config="[DEFAULT]\nversion = 1\nkind = images\n")
    make_package("root", "nipy/plain", files=("K.mod",))
    assert names(discover(root)) == ["kv", "NEURON"]


def test_a_data_package_found_twice(make_package: MakePackage, site: Path) -> None:
    first = make_package("first", "nipy/cells", config=CONFIG)
    second = make_package("second", "nipy/cells", config=CONFIG.replace("0.2", "0.3"))
    catalogue = discover([first, second])
    assert names(catalogue) == ["cells", "NEURON"]
    assert catalogue.packages[0].source == "nipy/cells 0.2"
    assert catalogue.problems == ()
    (note,) = catalogue.notes
    assert note.startswith(str(second / "nipy" / "cells"))


def test_a_malformed_data_package(make_package: MakePackage, site: Path) -> None:
    root = make_package("root", "nipy/cells", config="kind = mechanisms\n")
    make_package("root", "nipy/other", config="nonsense")
    catalogue = discover(root)
    assert names(catalogue) == ["NEURON"]
    (problem,) = catalogue.problems
    assert "nipy/cells" in problem
    assert "line 1" in problem


def test_links_that_loop(make_package: MakePackage, site: Path) -> None:
    root = make_package("root", "nipy/cells", config=CONFIG, files=("sub/K.mod",))
    (root / "nipy" / "cells" / "sub" / "up").symlink_to(root / "nipy" / "cells")
    (root / "nipy" / "cells" / "self").symlink_to("self")
    assert len(discover(root).packages[0].mechanisms) == 1


def test_a_directory_that_cannot_be_read(
    public_tmp: Path, site: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    inner = public_tmp / "nipy" / "cells" / "secret"
    inner.mkdir(parents=True)
    (inner.parent / "config.ini").write_text(CONFIG)
    (inner.parent / "K.mod").write_text("")
    discover(public_tmp)  # loads what it needs
    inner.chmod(0)
    with unprivileged():
        catalogue = discover(public_tmp, fresh=True)
    assert len(catalogue.mechanisms_of("K")) == 1
    assert any("secret cannot be read" in problem for problem in catalogue.problems)


@pytest.mark.parametrize("said", ["--", "\u5b57"])
def test_a_data_package_whose_name_is_none(
    said: str, make_package: MakePackage, site: Path
) -> None:
    root = make_package("root", "nipy/cells", config=CONFIG + f"mechanisms_name = {said}\n")
    make_package("root", f"nipy/{said}", config=CONFIG)
    catalogue = discover(root)
    assert names(catalogue) == ["cells", "NEURON"]
    assert len(catalogue.problems) == 2


def test_two_files_of_one_mechanism(make_package: MakePackage, site: Path) -> None:
    root = make_package("root", "nipy/cells", config=CONFIG, files=("K.mod", "K__0.mod"))
    catalogue = discover(root)
    assert len(catalogue.mechanisms_of("K")) == 2
    (problem,) = catalogue.problems
    assert "K.mod and " in problem


def test_the_first_of_two_installations_counts(
    install: Install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    before = tmp_path / "before"
    site.rename(before)
    site.mkdir()
    install("Lab.Mods", version="2.0")
    monkeypatch.setattr(sys, "path", [str(before), *sys.path])
    (found,) = discover().packages_named("lab")
    assert found.source == "lab-mods 1.0"


def test_it_is_made_once_in_a_process(
    install: Install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = discover()
    assert discover() is first
    install()
    assert discover() is first
    refresh()
    second = discover()
    assert names(second) == ["lab", "NEURON"]
    assert discover() is second
    assert discover(fresh=True) is not second
    assert discover(tmp_path) is not discover()
    assert discover([tmp_path]) is discover([str(tmp_path)])
    now = discover()
    monkeypatch.setenv("NIPY_USER_DIR", str(tmp_path / "me"))
    assert discover() is not now


@pytest.fixture
def settled(install: Install, site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a distribution that may be remembered at once."""
    install()
    monkeypatch.setattr(installed, "settled", lambda seen, now: True)
    return site


def remembered(cache: Path) -> list[Path]:
    return list(cache.rglob("catalogue-*"))


def test_reading_does_not_write(settled: Path, own_cache: Path) -> None:
    discover()
    assert not own_cache.exists()


def test_what_is_remembered_is_not_read_again(
    settled: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = discover(remember=True)
    assert len(remembered(own_cache)) == 1
    monkeypatch.setitem(sys.modules, "nibabel_data.mechanisms.distribution", None)
    refresh()
    after = discover()
    assert [p.mechanisms for p in after.packages] == [p.mechanisms for p in before.packages]
    with pytest.raises(ImportError):
        discover(fresh=True)


@pytest.mark.parametrize("change", ["module", "record", "entry points", "removed", "added"])
def test_a_change_is_seen(change: str, settled: Path, install: Install) -> None:
    discover(remember=True)
    refresh()
    module = settled / "lab_mods" / "__init__.py"
    info = settled / "lab_mods-1.0.dist-info"
    match change:
        case "module":
            module.write_text(GLIA.replace('"Train"', '"Drain"'))
            assert discover().mechanisms_of("Drain")
            assert not discover().mechanisms_of("Train")
        case "record":
            before = module.stat()
            module.write_text(GLIA.replace('"Train"', '"Drain"'))
            os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
            (info / "RECORD").write_text("lab_mods/__init__.py,,\n")
            assert discover().mechanisms_of("Drain")
        case "entry points":
            (info / "entry_points.txt").write_text("[console_scripts]\n")
            assert names(discover()) == ["NEURON"]
        case "removed":
            for path in info.iterdir():
                path.unlink()
            info.rmdir()
            assert names(discover()) == ["NEURON"]
        case "added":
            install("old-mods", ASTROCYTE, ASTROCYTE_FILES, top="old", entry="old")
            assert names(discover()) == ["lab", "old", "NEURON"]


def test_a_module_that_comes_later_is_found(settled: Path, install: Install) -> None:
    install("late", "", (), top="early", entry="late:package")
    assert discover(remember=True).problems
    refresh()
    (settled / "late.py").write_text(GLIA)
    assert len(discover().packages_named("lab")) == 2


def test_nothing_is_remembered_that_could_change_unseen(
    install: Install, site: Path, own_cache: Path
) -> None:
    install()
    discover(remember=True)  # written a moment ago
    assert remembered(own_cache) == []
    age(site)
    discover(remember=True)  # of which the ctime tells
    assert remembered(own_cache) == []


@pytest.mark.parametrize("content", [b"", b"\n\n", b"nonsense", b"cut", b"changed"])
def test_a_damaged_memory_is_none(content: bytes, settled: Path, own_cache: Path) -> None:
    discover(remember=True)
    (file,) = remembered(own_cache)
    whole = file.read_bytes()
    if content == b"cut":
        content = whole[:-10]
    elif content == b"changed":
        content = whole.replace(b"Train", b"Drain")
    file.write_bytes(content)
    refresh()
    assert discover(remember=True).mechanisms_of("Train")
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written(
    public_tmp: Path,
    settled: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (public_tmp / "cache").mkdir(mode=0o555)
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(public_tmp / "cache"))
    discover(remember=True)
    with unprivileged():
        discover(fresh=True, remember=True)
    monkeypatch.setenv("NIBABEL_DATA_CACHE", os.devnull)
    assert discover(fresh=True, remember=True).packages


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage, which loads modules and writes files, out of what is watched."""
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("unmeasured")
def test_nothing_is_imported_written_or_run(install: Install, site: Path) -> None:
    install(module=GLIA + "\nraise RuntimeError('imported')\n")
    install("old-mods", ASTROCYTE, ASTROCYTE_FILES, top="old", entry="old")
    code = f"""{WATCH}
sys.path.append(sys.argv[1])
from nibabel_data.mechanisms.discovery import discover
before = set(sys.modules)
assert len(discover().packages) == 3, discover().problems
assert not seen, seen
foreign = {{"glia", "lab_mods", "old", "numpy", "neuron", "importlib.metadata"}}
print(sorted(foreign & set(sys.modules)))
"""
    assert run_python(code, str(site)) == "[]\n"


@pytest.mark.usefixtures("unmeasured")
def test_importing_the_catalogue_loads_little() -> None:
    heavy = "ast", "json", "importlib.metadata", "dataclasses", "pathlib", "numpy", "inspect"
    code = (
        "import sys, nibabel_data.mechanisms.discovery\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert run_python(code) == "[]\n"


def test_names_of_files_are_not_looked_at_to_discover(install: Install, site: Path) -> None:
    install(files=())
    catalogue = discover()
    assert len(catalogue.mechanisms_of("Na")) == 2
    assert len(catalogue.problems) == len(GLIA_FILES)
