"""Catalogues of Arbor, with the real modcc and compiler."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nibabel_data.errors import BuildError, DataWarning, MechanismError, ResolveError
from nibabel_data.mechanisms import arbor as arbor_wing
from nibabel_data.mechanisms import discovery, store
from nibabel_data.mechanisms.arbor import build_catalogue, catalogue
from nibabel_data.mechanisms.nmodl import rename

needs_arbor = pytest.mark.skipif(
    find_spec("arbor") is None or not (find_spec("cmake") or shutil.which("cmake")),
    reason="needs Arbor and cmake: pip install 'nibabel-data[arbor]'",
)

LEAK = """\
NEURON {
    SUFFIX anything
    NONSPECIFIC_CURRENT i
    RANGE g, e
}
UNITS {
    (mV) = (millivolt)
    (S) = (siemens)
}
PARAMETER {
    g = 0.001 (S/cm2)
    e = -70 (mV)
}
BREAKPOINT {
    i = g*(v - e)
}
"""
REFUSED = LEAK.replace("BREAKPOINT", "ASSIGNED {\n    v (mV)\n}\nBREAKPOINT")
"""As NEURON has it: modcc does not take a v that is declared."""
NOT_CPP = LEAK.replace("    i = g", "    LOCAL class\n    class = g\n    i = class")
"""What modcc takes, and the compiler does not."""
SOURCES = {
    "arbor/Leak.mod": LEAK,
    "arbor/Leak__slow.mod": LEAK.replace("0.001", "0.0001"),
    "both/Leak.mod": "TITLE one for both, in the place of which there is one for Arbor",
    "neuron/Only.mod": LEAK,
    "both/Refused__0.mod": REFUSED,
    "arbor/Keyword.mod": NOT_CPP,
}

Write = Callable[..., Path]


def write_package(root: Path, name: str, sources: dict[str, str]) -> Path:
    folder = root / "nipy" / name
    for file, text in sources.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    (folder / "config.ini").write_text("[DEFAULT]\nversion = 1.0\nkind = mechanisms\n")
    return folder


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a package where it is found."""
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "data"))

    def make(name: str, sources: dict[str, str]) -> Path:
        folder = write_package(tmp_path / "data", name, sources)
        discovery.refresh()
        return folder

    return make


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a package, and a cache in which it is built."""
    top = tmp_path_factory.mktemp("channels")
    write_package(top / "data", "channels", SOURCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIPY_DATA_PATH", str(top / "data"))
        patch.setenv("NIBABEL_DATA_CACHE", str(top / "cache"))
        patch.setenv("PATH", "/usr/bin:/bin")  # the environment need not be activated
        discovery.refresh()
        build_catalogue("channels")
    return top


@pytest.fixture
def channels(once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIPY_DATA_PATH", str(once / "data"))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(once / "cache"))
    discovery.refresh()
    return once


def no_process(*_: object, **__: object) -> Any:
    raise AssertionError("a process was started")


def voltage_after(found: Any, name: str, milliseconds: float) -> float:
    import arbor
    from arbor import units

    tree = arbor.segment_tree()
    tree.append(arbor.mnpos, arbor.mpoint(-10, 0, 0, 10), arbor.mpoint(10, 0, 0, 10), tag=1)
    decor = arbor.decor().set_property(Vm=-40 * units.mV).paint("(all)", arbor.density(name))
    model = arbor.single_cell_model(arbor.cable_cell(tree, decor))
    model.properties.catalogue = found
    model.probe("voltage", "(location 0 0.5)", tag="v", frequency=10 * units.kHz)
    model.run(tfinal=milliseconds * units.ms)
    return float(model.traces[0].value[-1])


@needs_arbor
def test_what_is_built_and_what_is_refused(channels: Path) -> None:
    report = build_catalogue("channels")
    assert report.built == ("Leak", "Leak_slow")
    assert Path(report.path).name == "channels-catalogue.so"
    assert set(report.failed) == {"Refused", "Keyword"}
    refused = report.failed["Refused"]
    assert isinstance(refused, BuildError)
    assert refused.path.endswith("both/Refused__0.mod")
    assert refused.line == REFUSED[: REFUSED.index("v (mV)")].count("\n") + 1
    assert refused.first_error == (
        "the symbol 'v' is defined as a builtin and cannot be used as an ASSIGNED here"
    )
    assert "(package channels)" in str(refused)
    keyword = report.failed["Keyword"]
    assert isinstance(keyword, BuildError)
    assert keyword.first_error  # each compiler has its own words


@needs_arbor
def test_arbor_simulates_with_it(channels: Path) -> None:
    with pytest.warns(DataWarning, match=r"2 mechanisms of channels(.|\n)*Keyword: .*") as told:
        found = catalogue("channels")
    assert len(told) == 1
    assert sorted(found.keys()) == ["Leak", "Leak_slow"]
    assert voltage_after(found, "Leak", 40) == pytest.approx(-70, abs=0.01)
    assert -69 < voltage_after(found, "Leak_slow", 5) < -40


@needs_arbor
def test_a_source_may_say_where_its_package_is_from(channels: Path) -> None:
    assert build_catalogue("channels@nipy/channels").built == ("Leak", "Leak_slow")


@needs_arbor
def test_nothing_is_run_when_nothing_has_changed(
    channels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", no_process)
    report = build_catalogue("channels")
    assert report.built == ("Leak", "Leak_slow")
    assert set(report.failed) == {"Refused", "Keyword"}


@needs_arbor
def test_a_change_in_what_is_refused_builds_nothing_else(
    channels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build_catalogue("channels").path
    file = channels / "data" / "nipy" / "channels" / "both" / "Refused__0.mod"
    monkeypatch.setattr(arbor_wing, "_make", no_process)
    try:
        file.write_text(f": tried again\n{REFUSED}")
        report = build_catalogue("channels")
    finally:
        file.write_text(REFUSED)
    assert report.path == before
    assert getattr(report.failed["Refused"], "line", 0) == 16


@needs_arbor
def test_what_the_compiler_refused_is_not_tried_again(channels: Path, tmp_path: Path) -> None:
    """Another mechanism changes: all are built again, but for that one."""
    tools = arbor_wing._Arbor(None)
    (known,) = (channels / "cache" / "mechanisms" / tools.tag / "refused").iterdir()
    assert known.name.startswith("Keyword-")


@needs_arbor
def test_a_damaged_catalogue_is_built_again(write: Write) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    first = build_catalogue("one").path
    content = Path(first).read_bytes()
    Path(first).write_bytes(content[:1000])
    again = build_catalogue("one")
    assert again.path == first
    assert len(Path(first).read_bytes()) == len(content)
    folder = Path(first).parent
    assert sorted(p.name for p in folder.iterdir()) == ["build.json", "one-catalogue.so"]


@needs_arbor
def test_where_the_cache_cannot_be_written(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(store, "_temporary", None)
    with pytest.warns(DataWarning, match="cannot write in the cache"):
        path = build_catalogue("one").path
    assert Path(path).is_file()
    shutil.rmtree(str(store._temporary))


@needs_arbor
def test_every_one_is_refused(write: Write) -> None:
    write("old", {"Refused.mod": REFUSED, "Other.mod": REFUSED})
    with pytest.raises(BuildError, match="none of the 2 mechanisms of nipy/old 1.0") as told:
        build_catalogue("old")
    assert "Other.mod, line 15: the symbol 'v'" in str(told.value)


@needs_arbor
def test_two_files_of_one_name_in_arbor(write: Write) -> None:
    write("twins", {"Na__fast.mod": LEAK, "Na_fast.mod": LEAK})
    with pytest.raises(BuildError, match="2 files would be Na_fast in Arbor"):
        build_catalogue("twins")


def test_a_package_for_neuron_alone(write: Write) -> None:
    write("ours", {"neuron/Leak.mod": LEAK})
    write("theirs", {"arbor/Leak.mod": LEAK})
    with pytest.raises(ResolveError, match="only for NEURON.\nPackages that have: theirs"):
        build_catalogue("ours")
    with pytest.raises(ResolveError, match="no package of mechanisms is called 'nobody'"):
        build_catalogue("nobody")


def test_arbor_is_not_installed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(MechanismError, match=r"pip install 'nibabel-data\[arbor\]'"):
        build_catalogue("one")
    monkeypatch.setitem(sys.modules, "arbor", None)
    with pytest.raises(MechanismError, match=r"pip install 'nibabel-data\[arbor\]'"):
        catalogue("one")


@needs_arbor
@pytest.mark.parametrize(
    ("program", "advice"), [("cmake", r"pip install 'nibabel-data\[arbor\]'"), ("make", "apt")]
)
def test_a_program_is_missing(
    write: Write, monkeypatch: pytest.MonkeyPatch, program: str, advice: str
) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    there = arbor_wing.which
    monkeypatch.setattr(
        arbor_wing, "which", lambda name, path: None if name == program else there(name, path)
    )
    with pytest.raises(BuildError, match=f"with {program}, which is not on PATH(.|\n)*{advice}"):
        build_catalogue("one")


@needs_arbor
def test_no_compiler(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(BuildError, match="no compiler"):
        build_catalogue("one")


@needs_arbor
def test_a_gpu_that_this_arbor_does_not_have(write: Write) -> None:
    import arbor

    write("one", {"arbor/Leak.mod": LEAK})
    with pytest.raises(MechanismError, match="no GPU that Arbor knows: cuda, hip"):
        build_catalogue("one", gpu="abacus")
    if not arbor.config()["gpu"]:
        with pytest.raises(MechanismError, match="built without a GPU"):
            build_catalogue("one", gpu="cuda")


@needs_arbor
@pytest.mark.skipif(
    shutil.which("mpirun") is None or find_spec("mpi4py") is None,
    reason="needs mpirun and mpi4py: apt install openmpi-bin; pip install mpi4py",
)
def test_ranks_fail_together_and_agree(write: Write, tmp_path: Path) -> None:
    write("one", {"arbor/Leak.mod": LEAK})
    write("old", {"arbor/Refused.mod": REFUSED})
    script = tmp_path / "ranks.py"
    script.write_text(
        "from mpi4py import MPI\n"
        "from nibabel_data.mechanisms.arbor import build_catalogue\n"
        "path = build_catalogue('one').path\n"
        "try:\n"
        "    build_catalogue('old')\n"
        "except Exception as error:\n"
        "    told = type(error).__name__\n"
        f"with open({str(tmp_path)!r} + '/rank' + str(MPI.COMM_WORLD.Get_rank()), 'w') as out:\n"
        "    out.write(f'{told} {path}')\n"
    )
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"]
    result = subprocess.run(
        [*mpirun, sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMPI_MCA_btl_vader_single_copy_mechanism": "none"},
    )
    assert result.returncode == 0, result.stderr
    told = [(tmp_path / f"rank{rank}").read_text().split() for rank in (0, 1)]
    assert [one[0] for one in told] == ["BuildError", "MechanismError"]
    assert told[0][1] == told[1][1]


@pytest.mark.parametrize(
    ("output", "line", "first"),
    [
        (
            "\x1b[1;33mWarnings:\n\x1b[1;35m  * \x1b[1;37mm/Ca.mod:(line 13,col 19) \x1b[0mica is "
            "RANGE\n\x1b[1;31merror trace:\n\x1b[0m\x1b[1;31m  * \x1b[0m\x1b[1;37mm/Ca.mod:(line "
            "42,col 5) \x1b[0mthe symbol is wrong (line 42,col 5).\n",
            42,
            "the symbol is wrong",
        ),
        ("error: m/c.mod:(line 141,col 7) \n  expected neither\n", 141, "expected neither"),
        ("error: m/y.mod (line 4,col 34) \n  the variable\nerror trace:\n  * m", 4, "the variable"),
        ("error trace:\nInput file is empty: m/e.mod", None, "Input file is empty: m/e.mod"),
        ("what is this\n", None, "what is this"),
        ("", None, ""),
    ],
)
def test_what_modcc_says(output: str, line: int | None, first: str) -> None:
    assert arbor_wing._first_error(output) == (line, first)


@pytest.mark.parametrize(
    "keyword", ["JUNCTION_PROCESS", "VOLTAGE_PROCESS", "REVERSAL_POTENTIAL_PROCESS"]
)
def test_what_only_arbor_has_is_renamed(keyword: str) -> None:
    assert rename(f"NEURON {{ {keyword} gj }}", "Gap") == f"NEURON {{ {keyword} Gap }}"
