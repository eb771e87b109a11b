from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nibabel_data.cli.main import main

from .conftest import PROJECT, MakePackage

pty = pytest.importorskip("pty", reason="needs a terminal of POSIX")

COMMAND = str(Path(sys.executable).with_name("nibabel-data"))


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_package(files=("ICBM152/2mm/T1.nii.gz", "LICENSE"))
    make_package(relpath="lab/bad", config="nonsense")
    monkeypatch.setenv("NIPY_DATA_PATH", f"{root}{os.pathsep}/none")
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_find_prints_one_path(root: Path, run: Any) -> None:
    package = f"{root}/nipy/templates"
    assert run("find", "nipy/templates") == (0, f"{package}\n", "")
    assert run("find", "nipy/templates>=0.3", "ICBM152", "2mm", "T1.nii.gz") == (
        0,
        f"{package}/ICBM152/2mm/T1.nii.gz\n",
        "",
    )
    status, out, _ = run("find", "--json", "nipy/templates", "LICENSE")
    assert status == 0
    assert json.loads(out) == {
        "path": f"{package}/LICENSE",
        "package": package,
        "version": "0.3",
        "origin": "NIPY_DATA_PATH",
    }


def test_find_says_what_is_missing(root: Path, run: Any) -> None:
    status, out, err = run("find", "nipy/template")
    assert (status, out) == (1, "")
    assert err.startswith("nibabel-data: no data package 'nipy/template' on the data path")
    assert "Did you mean nipy/templates?" in err
    status, out, err = run("find", "nipy/templates", "ICBM152", "1mm", "T1.nii.gz")
    assert (status, out) == (1, "")
    assert "did you mean 'ICBM152/2mm/T1.nii.gz'" in err
    status, out, err = run("find", "nipy/templates", "..", "x")
    assert (status, out) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [(), ("fnd",), ("find",), ("find", ".."), ("find", "a/b>=x"), ("require",), ("config",)],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], run: Any) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert "nibabel-data" in err


def test_path(root: Path, run: Any) -> None:
    status, out, err = run("path")
    rows = [line.split() for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert rows[0] == ["ROOT", "ORIGIN", "STATE"]
    assert rows[1] == [str(root), "NIPY_DATA_PATH", "searched"]
    assert rows[2] == ["/none", "NIPY_DATA_PATH", "missing"]
    facts = json.loads(run("path", "--json")[1])
    assert facts[0]["path"] == str(root)
    assert facts[0]["origin"]["kind"] == "variable"
    assert facts[1]["state"] == "missing"


def test_path_shows_a_bad_ini(run: Any) -> None:
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text("nonsense\n")
    status, out, _ = run("path")
    assert status == 0
    assert re.search(rf"- +{home}/config\.ini:1 +malformed: a line before any", out)


def test_a_bad_ini_is_one_line_of_warning(root: Path, run: Any) -> None:
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text("nonsense\n")
    make = root / "nipy" / "templates"
    os.environ["NIPY_DATA_PATH"] = "/none"
    etc = Path(os.environ["NIPY_SYSTEM_DIR"])
    (etc / "lab.ini").write_text(f"[DATA]\npath = {root}\n")
    status, out, err = run("find", "nipy/templates")
    assert (status, out) == (0, f"{make}\n")
    assert err.startswith(f"nibabel-data: warning: {home}/config.ini, line 1: ")
    assert err.count("\n") == 1


def test_list(root: Path, run: Any, make_package: MakePackage) -> None:
    second = make_package("second", version="0.4")
    os.environ["NIPY_DATA_PATH"] = f"{root}{os.pathsep}{second}"
    status, out, _ = run("list")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["PACKAGE", "VERSION", "PLACE", "ORIGIN", "NOTE"]
    assert "malformed config.ini line 1" in lines[1]
    assert lines[2].split()[:2] == ["nipy/templates", "0.3"]
    assert f"shadowed by {root}/nipy/templates" in lines[3]
    assert run("list", "--names") == (0, "nipy/templates\n", "")
    facts = json.loads(run("list", "--json")[1])
    assert [fact["version"] for fact in facts] == [None, "0.3", "0.4"]


def test_list_of_nothing(run: Any) -> None:
    status, out, err = run("list")
    assert (status, out) == (1, "")
    assert "nibabel-data config add" in err
    assert run("list", "--json") == (1, "[]\n", "")
    assert run("list", "--names") == (1, "", "")


def test_info(root: Path, run: Any) -> None:
    status, out, _ = run("info", "nipy/templates")
    facts = dict(line.split(maxsplit=1) for line in out.split("\n\n")[0].splitlines())
    assert status == 0
    assert facts == {
        "package": "nipy/templates",
        "version": "0.3",
        "place": f"{root}/nipy/templates",
        "origin": "NIPY_DATA_PATH",
        "distribution": "none that is known",
        "licence": f"{root}/nipy/templates/LICENSE",
        "citation": "none",
        "files": "3, 32 B",
    }
    assert "ICBM152/2mm/T1.nii.gz  4 B" in out
    facts = json.loads(run("info", "--json", "nipy/templates>=0.3")[1])
    assert facts["package"] == "nipy/templates"
    assert facts["size"] == 32
    assert {"path": "LICENSE", "state": "file", "size": 4} in facts["files"]
    assert run("info", "nipy/nothing")[0] == 1


def test_info_counts_more_files_than_it_shows(make_package: MakePackage, run: Any) -> None:
    root = make_package(files=tuple(f"{number:03}" for number in range(40)))
    os.environ["NIPY_DATA_PATH"] = str(root)
    assert "and 21 more (--files lists all)" in run("info", "nipy/templates")[1]
    assert "039" in run("info", "--files", "nipy/templates")[1]


def test_explain(root: Path, run: Any) -> None:
    status, out, err = run("explain", "nipy/templates")
    assert (status, err) == (0, "")
    assert out.startswith(f"nipy/templates 0.3 is at {root}/nipy/templates (NIPY_DATA_PATH)\n")
    status, out, err = run("explain", "nipy/templates>=9")
    assert (status, err) == (1, "")
    assert "version 0.3, but >=9 is needed" in out
    assert json.loads(run("explain", "--json", "nipy/templates>=9")[1])["found"] is None


def test_require(root: Path, run: Any) -> None:
    status, out, err = run("require", "nipy/templates")
    assert (status, err) == (0, "")
    assert out.startswith("ok: nipy/templates 0.3 is at ")
    status, out, err = run("require", "nipy/templates", "a/b>=1")
    assert status == 1
    assert out.endswith("missing: a/b>=1\n")
    assert "Searched, in order:" in err
    facts = json.loads(run("require", "--json", "nipy/templates", "a/b")[1])
    assert [fact["found"] is None for fact in facts] == [False, True]


def test_doctor(root: Path, run: Any) -> None:
    status, out, _ = run("doctor")
    assert status == 1
    assert "malformed package: " in out
    assert "    mend: mkdir -p /none" in out
    assert out.endswith("2 problems, 0 notes\n")
    assert {fact["kind"] for fact in json.loads(run("doctor", "--json")[1])} == {
        "malformed package",
        "missing root",
    }
    os.environ["NIPY_DATA_PATH"] = ""
    assert run("doctor") == (0, "all is well\n", "")


def test_config_add(root: Path, run: Any, tmp_path: Path) -> None:
    file = Path(os.environ["HOME"], ".nipy", "config.ini")
    assert run("config", "add", str(root)) == (0, f"{root} added to {file}\n", "")
    assert run("config", "add", str(root)) == (0, f"{root} is already in {file}\n", "")
    status, out, err = run("config", "add", "/not/yet", "--user")
    assert (status, out) == (0, f"/not/yet added to {file}\n")
    assert "does not exist yet" in err
    _, _, err = run("config", "add", f"{root}/nipy/templates")
    assert "is a package itself; name the directory above its project" in err
    status, out, err = run("config", "add", "/usr/share/nipy", "--system", "a/b")
    assert (status, out) == (1, "")
    assert run("config", "add", "/a", "--user", "--system", "x")[0] == 2


def test_config_add_for_packagers(run: Any, tmp_path: Path) -> None:
    os.environ["NIPY_SYSTEM_DIR"] = "/etc/nipy"
    os.environ["DESTDIR"] = str(tmp_path / "stage")
    status, out, err = run("config", "add", "/usr/share/nipy", "--system", "nipy_templates")
    written = tmp_path / "stage" / "etc" / "nipy" / "nipy_templates.ini"
    assert (status, out, err) == (0, f"/usr/share/nipy added to {written}\n", "")
    assert written.read_text() == "[DATA]\npath = /usr/share/nipy\n"
    mine = Path(os.environ["HOME"], ".nipy", "config.ini")
    assert run("config", "add", str(tmp_path)) == (0, f"{tmp_path} added to {mine}\n", "")


def test_help_and_version(run: Any) -> None:
    status, out, _ = run("--help")
    assert status == 0
    for verb in ("path", "list", "find", "info", "explain", "require", "doctor", "config", "demo"):
        assert re.search(rf"^    {verb}\b", out, re.MULTILINE)
        assert run(verb, "--help")[0] == 0
    status, out, _ = run("--version")
    assert (status, out) == (0, "nibabel-data 0.1.0\n")


@pytest.mark.parametrize(
    "command", [[COMMAND], [sys.executable, "-m", "nibabel_data"]], ids=["script", "module"]
)
def test_both_ways_in(command: list[str], root: Path) -> None:
    result = subprocess.run([*command, "find", "nipy/templates"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"{root}/nipy/templates\n")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Return what the command prints on a real terminal."""
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments], stdout=terminal, env={**os.environ, **environment}
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
    process.wait()
    os.close(main_end)
    return out.decode()


def test_colour_only_on_a_terminal_and_never_with_no_color(root: Path) -> None:
    assert "\x1b[" in on_a_terminal("path", TERM="xterm")
    assert "\x1b[" not in on_a_terminal("path", TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("path", TERM="dumb")
    piped = subprocess.run([COMMAND, "path"], capture_output=True, text=True).stdout
    assert "\x1b[" not in piped
    plain = re.sub(r"\x1b\[\d+m", "", on_a_terminal("path", TERM="xterm")).replace("\r", "")
    assert plain == piped


def test_a_closed_pipe_is_no_traceback(root: Path) -> None:
    result = subprocess.run(
        f"{COMMAND} path | true", shell=True, capture_output=True, text=True, cwd=PROJECT
    )
    assert result.stderr == ""


def test_a_name_that_is_no_text_is_printed_as_it_is(tmp_path: Path) -> None:
    package = os.fsencode(tmp_path) + b"/caf\xe9/a/b"
    os.makedirs(package)
    with open(package + b"/config.ini", "wb") as file:
        file.write(b"[DEFAULT]\nversion = 1\n")
    environment = {**os.environb, b"NIPY_DATA_PATH": os.path.dirname(os.path.dirname(package))}
    out = subprocess.run([COMMAND, "find", "a/b"], env=environment, capture_output=True).stdout
    assert out == package + b"\n"


EVIL = "a\x1b[2J\u202eb\r"
"""Clears the screen, turns letters round, and goes back to the beginning of the line."""
HARMLESS = r"a\x1b[2J\u202eb\r"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a package in which a name is evil, and whose manifest has another such name."""
    base = tmp_path / EVIL / "lab" / "atlas"
    base.mkdir(parents=True)
    (base / "config.ini").write_text("[DEFAULT]\nversion = 1\n")
    (base / EVIL).write_text("")
    (base / "manifest-sha256.txt").write_text(f"{'0' * 64}  gone{EVIL[:-1]}\n")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / EVIL))
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    return base


@pytest.mark.parametrize(
    "verb",
    [
        "path",
        "list",
        "info lab/atlas",
        "explain lab/atlas",
        "explain lab/none",
        "require lab/atlas lab/none",
        "verify lab/atlas",
        "verify --all",
        "check {base}",
        "bundle lab/atlas -o {top}/out.zip",
        "install {base} --root {top}",
        "remove lab/atlas",
        "fetch lab/atlas",
        "fetch lab/atlas none",
        "lock lab/atlas -o {top}/lock",
        "find lab/none",
        "find lab/atlas none",
    ],
)
def test_names_do_not_tell_a_terminal_what_to_do(verb: str, evil: Path, run: Any) -> None:
    words = [word.format(base=evil, top=evil.parents[1]) for word in verb.split(" ")]
    _, out, err = run(*words)
    assert HARMLESS in out + err
    for letter in set(EVIL) - set("a[2Jb"):
        assert letter not in out + err


def test_json_keeps_names_as_they_are(evil: Path, run: Any) -> None:
    _, out, _ = run("verify", "lab/atlas", "--json")
    names = {check["path"] for check in json.loads(out)[0]["amiss"]}
    assert {EVIL, f"gone{EVIL[:-1]}"} <= names


def test_a_path_is_exact_for_programs_and_harmless_on_a_terminal(evil: Path, run: Any) -> None:
    assert run("find", "lab/atlas")[1] == f"{evil}\n"
    assert str(evil).replace(EVIL, HARMLESS) in on_a_terminal("find", "lab/atlas")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8:strict"])
@pytest.mark.parametrize("verb", ["list", "find łódź/é", "find łódź/none", "path", "doctor"])
def test_a_stream_that_cannot_show_every_letter(
    verb: str, encoding: str, make_package: MakePackage
) -> None:
    root = make_package("root", "łódź/é")
    environment = {"NIPY_DATA_PATH": str(root), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [COMMAND, *verb.split()], env={**os.environ, **environment}, capture_output=True
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == (verb.endswith("none"))
    assert done.stdout or done.stderr


@pytest.mark.parametrize("end", [">&-", ">/dev/full", "2>&-", ">&- 2>&-"])
def test_closed_and_full_streams(end: str, root: Path) -> None:
    for verb in ("path", "find x/y"):
        done = subprocess.run(f"{COMMAND} {verb} {end}", shell=True, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert "no data package" not in done.stdout


def test_a_failure_is_json_where_json_is_asked(root: Path, run: Any) -> None:
    status, out, err = run("find", "--json", "nipy/nothing")
    assert status == 1
    facts = json.loads(out)
    assert facts["error"].startswith("no data package 'nipy/nothing'")
    assert facts["explanation"]["found"] is None
    assert "no data package" in err


def test_completion_runs_nothing_that_a_name_says(
    make_package: MakePackage, run: Any, tmp_path: Path
) -> None:
    root = make_package("root", "nipy/$(touch pwned)")
    make_package("root", "nipy/a b")
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash")[1])
    code = f"cd {tmp_path}; source {script}; _nibabel_data_packages ni"
    environment = {
        **os.environ,
        "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
        "NIPY_DATA_PATH": str(root),
    }
    done = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "nipy/\\$\\(touch\\ pwned\\)\nnipy/a\\ b\n"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_scripts(shell: str, run: Any) -> None:
    status, out, _ = run("completion", shell)
    assert status == 0
    assert "explain" in out


def test_bash_completes_verbs_and_packages(root: Path, run: Any, tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash")[1])
    function = re.search(r"complete -o \S+ -F (\S+) nibabel-data", script.read_text())
    assert function is not None

    def complete(*words: str) -> list[str]:
        code = (
            f"source {script}; COMP_WORDS=({' '.join(words)} ''); "
            f"COMP_CWORD={len(words)}; {function[1]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        environment = {**os.environ, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
        out = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True)
        return out.stdout.split()

    assert {"find", "doctor", "explain"} <= set(complete("nibabel-data"))
    assert "nipy/templates" in complete("nibabel-data", "find")


def test_completion_without_shtab_says_the_command(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, out, err = run("completion", "bash")
    assert (status, out) == (1, "")
    assert err == (
        "nibabel-data: shell completion needs shtab: pip install 'nibabel-data[completion]'\n"
    )
