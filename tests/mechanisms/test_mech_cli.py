"""The command ``nibabel-data mech``, with small packages and the real NEURON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nibabel_data.cli.main import main
from nibabel_data.mechanisms import discovery, toolchain

from .conftest import PAS, needs_neuron

pty = pytest.importorskip("pty", reason="needs a terminal of POSIX")
termios = pytest.importorskip("termios", reason="needs a terminal of POSIX")

COMMAND = str(Path(sys.executable).with_name("nibabel-data"))
BROKEN = PAS.replace("i = g*(v - e)", "i = g*(v - nowhere)")
SYNAPSE = (
    "TITLE a synapse\n" + PAS.replace("SUFFIX", "POINT_PROCESS")
).replace("mA/cm2", "nA").replace("mA)", "nA)").replace("milliamp", "nanoamp")  # fmt: skip

Run = Callable[..., tuple[int, str, str]]
Package = Callable[..., Path]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        discovery.refresh()
        try:
            status = main(("mech", *arguments))
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return a function that makes a data package of mechanisms on the data path."""
    root = tmp_path / "root"
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))

    def make(name: str, **files: str) -> Path:
        folder = root / "lab" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.ini").write_text("[DEFAULT]\nversion = 1\nkind = mechanisms\n")
        for stem, text in files.items():
            (folder / f"{stem}.mod").write_text(text.replace("NAME", stem.partition("__")[0]))
        return folder

    return make


@pytest.fixture
def no_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_import_directory", lambda: None)


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.split("\n\n")[0].splitlines()]


@needs_neuron
def test_from_nothing_to_a_mechanism_that_runs(package: Package, run: Run) -> None:
    package("ours", Leak=PAS, Leak__fast=PAS, Bad=BROKEN, Syn=SYNAPSE)
    assert rows(run("list", "--package", "ours")[1]) == [
        ["ASSET", "VARIANT", "PACKAGE", "KIND", "STATE"],
        ["Bad", "0", "ours", "density", "not", "built"],
        ["Leak", "0", "*", "ours", "density", "not", "built"],
        ["Leak", "fast", "ours", "density", "not", "built"],
        ["Syn", "0", "ours", "point", "process", "not", "built"],
    ]

    status, out, err = run("compile", "Leak", "pas", "Bad")
    assert (status, err) == (1, "")
    assert out.splitlines()[:2] == [
        "built   glia__ours__Leak__0",
        "NEURON  pas (comes with it: nothing to build)",
    ]
    assert "failed  glia__ours__Bad__0 (package ours)\n" in out
    assert re.search(r"^    .*/Bad\.mod(, line \d+)?\n    .*nowhere", out, re.MULTILINE)
    assert "\n1 built, 0 there, 1 failed, in " in out

    status, out, err = run("compile", "Leak", "--json")
    told = json.loads(out)
    assert status == 0
    assert list(told["there"]) == ["glia__ours__Leak__0"]
    assert (told["built"], told["failed"]) == ({}, [])
    assert Path(told["there"]["glia__ours__Leak__0"]).is_file()

    status, out, err = run("list")
    assert (status, err) == (0, "")
    assert re.search(r"^Bad +0 +ours +density +broken$", out, re.MULTILINE)
    assert re.search(r"^Leak +0 +\* +ours +density +built$", out, re.MULTILINE)
    assert re.search(r"^hh +0 +NEURON +density +builtin$", out, re.MULTILINE)
    assert re.search(r"^broken: glia__ours__Bad__0\n    .*/Bad\.mod.*\n    .*nowhere", out, re.M)
    assert "1 built, 2 not built, 1 broken\n" in out
    told = {(one["asset"], one["variant"]): one for one in json.loads(run("list", "--json")[1])}
    assert told["Leak", "0"]["state"] == "built"
    assert told["Leak", "0"]["preferred"] is True
    assert told["Leak", "fast"]["preferred"] is False
    assert [row[1] for row in rows(run("list", "glia__ours__Leak__fast")[1])[1:]] == ["fast"]
    assert "nowhere" in told["Bad", "0"]["problem"]
    assert told["Syn", "0"]["kind"] == "point process"

    status, out, err = run("test", "Leak", "Syn", "hh")
    assert (status, err) == (0, "")
    assert rows(out)[1:] == [
        ["glia__ours__Leak__0", "runs"],
        ["glia__ours__Syn__0", "runs"],
        ["hh", "runs"],
    ]
    status, out, err = run("test", "Leak", "Bad", "--json")
    told = {one["name"]: one for one in json.loads(out)}
    assert status == 1
    assert told["glia__ours__Leak__0"] == {
        "name": "glia__ours__Leak__0",
        "ok": True,
        "problem": None,
    }
    assert "nowhere" in told["glia__ours__Bad__0"]["problem"]


@needs_neuron
def test_compile_everything_and_for_others(
    package: Package, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("ours", Leak=PAS)
    status, out, _ = run("compile", "--to", str(tmp_path / "site-wide"), "--jobs", "1")
    assert status == 0
    assert out == (
        f"built   glia__ours__Leak__0\n1 built, 0 there, 0 failed, in {tmp_path / 'site-wide'}\n"
    )
    assert "not built" in run("list", "Leak")[1]
    monkeypatch.setenv("NIPY_DATA_PATH", f"{tmp_path / 'root'}:{tmp_path / 'site-wide'}")
    assert "not built" not in run("list", "Leak")[1]
    assert run("compile")[1].startswith("0 built, 1 there, 0 failed, in ")


def test_wrong_usage(package: Package, run: Run) -> None:
    package("ours", Leak=PAS)
    for words in (
        [],
        ["lst"],
        ["list", "--dialect", "genesis"],
        ["show"],
        ["explain"],
        ["select", "--pkg", "ours"],
        ["select", "Leak"],
        ["select", "Leak", "--pkg", "ours", "--clear"],
        ["compile", "--jobs", "0"],
        ["compile", "--gpu"],
        ["compile", "--coreneuron", "--to", "x"],
        ["catalogue", "ours", "--jobs", "0"],
        ["cache", "--dry-run"],
        ["cache", "--prune", "--clear"],
        ["add", "Leak.txt"],
        ["new", "a/b/c"],
    ):
        status, out, err = run(*words)
        assert (status, out) == (2, ""), words
        assert "nibabel-data" in err


def test_mistyped_names_are_told_what_is_similar(package: Package, run: Run) -> None:
    package("ours", Leak=PAS)
    for verb in ("list", "show", "explain", "compile", "test"):
        status, out, err = run(verb, "Leek")
        assert status == 1, verb
        assert "similar: Leak" in out + err, verb
        assert "Traceback" not in err
    status, out, err = run("list", "--package", "our")
    assert (status, out) == (1, "")
    assert "similar: ours" in err
    assert "Or the package: ours" in run("show", "our")[2]
    assert run("show", "glia__ours__Leak__1")[0] == 1
    told = json.loads(run("list", "Leek", "--json")[1])
    assert "similar: Leak" in told["error"]


def test_nothing_installed(run: Run) -> None:
    status, out, _ = run("list")
    assert status == 0
    assert {row[2] for row in rows(out)[1:]} == {"NEURON"}
    assert run("select") == (
        0,
        f"nothing is selected in {os.environ['HOME']}/.nipy/mechanisms.ini\n",
        "",
    )
    status, out, _ = run("cache")
    assert status == 0
    assert out.startswith("0 entries, 0 B, in ")


def test_without_neuron_the_rest_is_told(package: Package, run: Run, no_neuron: None) -> None:
    package("ours", Leak=PAS)
    status, out, err = run("list", "Leak")
    assert (status, err) == (0, "")
    assert rows(out)[1] == ["Leak", "0", "ours", "density", "-"]
    assert "NEURON is not installed" in run("show", "Leak")[1]
    assert json.loads(run("list", "Leak", "--json")[1])[0]["state"] is None
    status, out, err = run("compile", "Leak")
    assert (status, out) == (1, "")
    assert "pip install 'nibabel-data[neuron]'" in err


def test_list_reads_what_arbor_has(package: Package, run: Run) -> None:
    folder = package("ours", Leak=PAS)
    (folder / "arbor").mkdir()
    (folder / "arbor" / "Leak.mod").write_text(PAS)
    (folder / "arbor" / "Only.mod").write_text(PAS)
    assert rows(run("list", "--dialect", "arbor")[1])[1:] == [
        ["Leak", "0", "ours", "density", "-"],
        ["Only", "0", "ours", "density", "-"],
    ]
    both = rows(run("list", "--dialect", "all", "--package", "ours")[1])
    assert [row[4] for row in both[1:]] == ["both", "arbor", "arbor"]
    status, _, err = run("list", "Only")
    assert status == 1
    assert "it is there for Arbor only" in err
    assert "nibabel-data mech catalogue ours" in run("show", "Only")[1]


def test_problems_stand_at_the_end_on_standard_error(
    package: Package, run: Run, install: Any
) -> None:
    install()
    package("ours", Leak=PAS, a__b__c=PAS)
    status, out, err = run("list")
    assert status == 0
    assert "a__b__c" not in out
    assert re.search(r"^nibabel-data: problem: lab/ours.*a__b__c\.mod", err, re.MULTILINE)
    assert "AMPA.mod is declared as point process, and its source makes it density" in err


def test_two_packages_of_one_name_are_told_apart(package: Package, run: Run, install: Any) -> None:
    install(files=("mods/neuron/Na.mod",))
    package("lab", Na=PAS)
    _, out, err = run("list", "Na")
    assert [row[:4] for row in rows(out)[1:]] == [
        ["Na", "0", "?", "lab@lab/lab"],
        ["Na", "0", "?", "lab@lab-mods"],
        ["Na", "fast", "?", "lab@lab-mods"],
    ]
    assert "?: insert() needs to be told which" in out
    assert "2 packages are called 'lab'" in err
    assert len(rows(run("list", "Na", "--package", "lab@lab-mods")[1])) == 3


def test_show(package: Package, run: Run) -> None:
    text = PAS.replace("g = 0.001 (S/cm2)", "g = 0.001 (S/cm2) <0, 1e9>").replace(
        "NONSPECIFIC_CURRENT i", "USEION ca READ cai WRITE ica VALENCE 2\n NONSPECIFIC_CURRENT i"
    )
    folder = package("ours", Leak=f"TITLE a leak\n{text}", **{f"Leak__v{n}": PAS for n in "123"})
    status, out, err = run("show", "glia__ours__Leak__0")
    assert (status, err) == (0, "")
    head, table = out.split("\n\n")
    assert head.splitlines()[0] == "Leak, variant 0, of ours"
    facts = dict(line.strip().split(maxsplit=1) for line in head.splitlines()[1:])
    assert facts["title"] == "a leak"
    assert facts["kind"] == "density"
    assert facts["ion"] == "ca (reads cai, writes ica, valence 2)"
    assert facts["current"] == "i (of no ion)"
    assert facts["file"] == f"{folder}/Leak.mod"
    assert facts["chosen"] == "yes: it is the default variant"
    assert [line.split() for line in table.splitlines()] == [
        ["VARIABLE", "WHAT", "DEFAULT", "UNITS", "LIMITS"],
        ["g", "parameter", "0.001", "S/cm2", "0", "to", "1e9"],
        ["e", "parameter", "-70", "mV"],
    ]
    told = json.loads(run("show", "Leak", "--json")[1])["mechanisms"]
    assert [one["variant"] for one in told] == ["0", "v1", "v2", "v3"]
    assert told[0]["ions"] == [{"name": "ca", "reads": ["cai"], "writes": ["ica"], "valence": 2}]
    assert told[0]["variables"][0]["units"] == "S/cm2"
    assert "nibabel-data mech show glia__ours__Leak__v1" in run("show", "Leak")[1]
    status, out, err = run("show", "ours")
    assert status == 0
    assert "package ours\n" in out
    assert re.search(r"^Leak +v1 +density +both +.* Leak__v1\.mod$", out, re.MULTILINE)
    assert json.loads(run("show", "ours", "--json")[1])["packages"][0]["format"] == "data package"


@needs_neuron
def test_what_is_shown_is_what_neuron_has(package: Package, run: Run) -> None:
    folder = package("ours", Leak=PAS)
    (folder / "Q.mod").write_text(
        "NEURON { SUFFIX Q RANGE a, b, c : no, d\n GLOBAL e }\nPARAMETER { a = 1 (mV) b=2 e = 3\n"
        "q10 = 3 dt (ms) }\nASSIGNED { c (ms) w (mV) v (mV) }\nSTATE { m n[2] }\n"
        "INITIAL { m = 0 n[0] = 0 n[1] = 0 c = 1 w = 2 }\n"
        "BREAKPOINT { c = a + b + e + q10 + w }\n"
    )
    told = json.loads(run("show", "Q", "--json")[1])["mechanisms"][0]["variables"]
    code = (
        "from neuron import h; import nibabel_data.mechanisms as m, json;"
        "s = h.Section(); name = m.insert(s, 'Q').name;"
        "ms = [h.MechanismStandard(name, k) for k in (1, 2, 3, -1)];"
        "r = h.ref('');"
        "print(json.dumps([[(x.name(r, i), r[0])[1] for i in range(int(x.count()))] for x in ms]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = [{n.replace("_glia__ours__Q__0", "") for n in some} for some in json.loads(out.stdout)]
    by_what: dict[str, set[str]] = {}
    for one in told:
        by_what.setdefault(one["what"], set()).add(one["name"])
    assert by_what["parameter"] == names[0] == {"a", "b"}
    assert by_what["assigned"] == names[1] == {"c"}
    assert by_what["state"] == names[2] == {"m", "n"}
    assert by_what["global"] == names[3] == {"e", "q10"}


def test_select_and_explain(package: Package, run: Run) -> None:
    package("ours", Leak__slow=PAS, Leak__fast=PAS)
    file = f"{os.environ['HOME']}/.nipy/mechanisms.ini"
    status, out, err = run("explain", "Leak")
    assert (status, err) == (1, "")
    assert out.startswith("Leak is ambiguous: 2 mechanisms suit")
    assert run("explain", "Leak", "--variant", "fast")[0] == 0
    assert json.loads(run("explain", "Leak", "--json")[1])["name"] is None
    assert run("select", "Leak", "--pkg=ours", "--variant=fast") == (
        0,
        f"selected: Leak (package ours, variant fast), in {file}\n",
        "",
    )
    status, out, _ = run("explain", "Leak")
    assert status == 0
    assert out.startswith("Leak is glia__ours__Leak__fast: global preference of Leak")
    assert re.search(r"^Leak +fast +\* +ours", run("list", "Leak")[1], re.MULTILINE)
    status, out, err = run("select", "Kv9", "--pkg", "elsewhere")
    assert status == 0
    assert "note: it is kept, though it chooses nothing here: no package has" in err
    status, out, err = run("select")
    assert rows(out) == [
        ["ASSET", "PACKAGE", "VARIANT", "NOTE"],
        ["Kv9", "elsewhere", "any", "not", "installed", "here"],
        ["Leak", "ours", "fast"],
    ]
    assert json.loads(run("select", "--json")[1])[1] == {
        "asset": "Leak",
        "pkg": "ours",
        "variant": "fast",
        "installed": True,
    }
    assert run("select", "Leak", "--clear")[1] == (
        f"forgotten: Leak (package ours, variant fast), in {file}\n"
    )
    assert run("select", "Leak", "--clear")[1] == f"nothing was selected for Leak in {file}\n"
    assert run("explain", "Leak")[0] == 1


@needs_neuron
def test_from_a_file_to_a_wheel(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("new", "granule", "--directory", "made", "--author", "Ana")
    assert (status, out.splitlines()[0]) == (0, f"made {tmp_path}/made")
    Path("Kv.mod").write_text(PAS.replace("NAME", "Kv"))
    status, out, _ = run("add", "Kv.mod", "--package", "made", "--variant", "high", "--json")
    assert status == 0
    assert json.loads(out)["name"] == "glia__granule__Kv__high"
    status, out, err = run("add", "Kv.mod", "--package", "made", "--variant", "high")
    assert (status, out) == (1, "")
    assert "--overwrite" in err
    assert (
        "replaced"
        in run("add", "Kv.mod", "--package", "made", "--variant", "high", "--overwrite")[1]
    )
    status, out, _ = run("check", "made")
    assert status == 0, out
    assert json.loads(run("check", "made", "--json")[1]) == [] or "note" in out
    Path("made/mechanisms/granule/Bad__0.mod").write_text("NEURON { SUFFIX Bad RANGE }\n}\n")
    status, out, _ = run("check", "made")
    assert status == 1
    assert "Bad__0.mod" in out
    status, out, err = run("build", "made")
    assert (status, out) == (1, "")
    assert "Bad__0.mod" in err
    Path("made/mechanisms/granule/Bad__0.mod").unlink()
    status, out, _ = run("build", "made", "--wheel", "-o", "dist")
    assert status == 0
    assert out.endswith(".whl\n")
    assert Path(out.strip()).is_file()


def test_add_to_ones_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "Kv.mod").write_text(PAS.replace("NAME", "Kv"))
    status, out, _ = run("add", str(tmp_path / "Kv.mod"), "--local")
    assert status == 0
    assert "glia__local__Kv__0" in out
    assert "local" in run("list", "Kv")[1]


def test_import(run: Run, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("import", "lab-mods", "--directory", "ours", "--name", "ana/lab")
    assert status == 0
    assert out.startswith(f"made {tmp_path}/ours of lab-mods 1.0\n")
    assert (tmp_path / "ours" / "ana" / "lab" / "neuron" / "Na__0.mod").is_file()
    assert run("import", "lab-modz")[0] == 1
    told = json.loads(run("import", "lab-mods", "--directory", "again", "--json")[1])
    assert "glia__lab__Na__0" in told["names"]


@needs_neuron
def test_cache(package: Package, run: Run, own_cache: Path) -> None:
    folder = package("ours", Leak=PAS, Bad=BROKEN)
    run("compile")
    status, out, _ = run("cache")
    assert status == 0
    assert re.search(r"^\S+ k?B +NEURON \S+ +library +glia__ours__Leak__0$", out, re.MULTILINE)
    assert re.search(r"^\S+ k?B +NEURON \S+ +failure +glia__ours__Bad__0$", out, re.MULTILINE)
    (folder / "Leak.mod").write_text(PAS.replace("NAME", "Leak") + ": changed\n")
    assert "unused: no package has this source" in run("cache")[1]
    told = json.loads(run("cache", "--prune", "--dry-run", "--json")[1])
    assert [(one["kind"], one["name"]) for one in told] == [("library", "glia__ours__Leak__0")]
    status, out, _ = run("cache", "--prune")
    assert "1 entry," in out
    assert f"removed from {own_cache}/mechanisms\n" in out
    assert "library" not in run("cache")[1]
    run("cache", "--clear")
    assert json.loads(run("cache", "--json")[1]) == []
    assert run("compile", "Leak")[0] == 0


@needs_neuron
def test_on_a_terminal_there_is_a_bar_and_colour(package: Package) -> None:
    package("ours", Leak=PAS)
    main_end, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen(
        [COMMAND, "mech", "compile", "Leak"],
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(terminal)
    out = b""
    while True:
        try:
            piece = os.read(main_end, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        out += piece
    assert process.wait() == 0
    os.close(main_end)
    assert b"compile:" in out
    assert b"1/1" in out
    assert b"\x1b[32mbuilt " in out


def test_other_verbs_do_not_pay_for_it() -> None:
    code = (
        "import sys; from nibabel_data.cli.main import main; main(['path']);"
        "print([n for n in sys.modules if 'mech' in n])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.endswith("[]\n")
