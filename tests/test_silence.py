"""Reading never writes and opens no socket; importing loads nothing that it can do without."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data.cli.main import main

from .conftest import MakePackage, run_python

# An audit hook sees every file that is opened, whoever opens it.
WATCH = """
import os, sys
seen = []
def watch(event, args):
    if event == "open":
        path, mode, flags = args
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        named = not isinstance(path, int)  # else it was opened, and seen, by its name before
        python_own = str(path).endswith(("/dev/null", ".pyc")) or ".pyc." in str(path)
        if writes and named and not python_own:
            seen.append((event, str(path)))
    elif event.split(".")[0] in ("socket", "shutil", "tempfile", "subprocess"):
        seen.append((event, repr(args)))
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink",
                   "os.chmod", "os.utime", "os.truncate"):
        if ".pyc" not in repr(args) and "__pycache__" not in repr(args):
            seen.append((event, repr(args)))
sys.addaudithook(watch)
"""


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage, which loads modules and writes files, out of what is watched."""
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_package(files=("a.txt", "LICENSE"))
    make_package("root", "lab/bad", config="nonsense")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    return root


def test_the_watch_sees_writes(tmp_path: Path) -> None:
    out = run_python(f"{WATCH}\nopen({str(tmp_path / 'x')!r}, 'w').close(); print(len(seen))")
    assert out == "1\n"


def test_importing_and_every_reading_function(root: Path) -> None:
    code = f"""{WATCH}
import nibabel_data as nd
for name in nd.__all__:
    getattr(nd, name)
nd.get_data_path(), nd.search_path(), list(nd.iter_packages())
package = nd.make_datasource('nipy/templates')
package.list_files(), package.glob('*'), package._repr_html_(), package.config, package.origin
nd.explain('a/b').text(), bool(nd.datasource_or_bomber('a/b'))
try:
    nd.make_datasource('a/b')
except nd.DataError:
    pass
assert not seen, seen
"""
    run_python(code)


@pytest.mark.parametrize(
    "verb",
    [
        "path",
        "list",
        "find nipy/templates a.txt",
        "info nipy/templates",
        "explain nipy/templates",
        "explain a/b",
        "require nipy/templates a/b",
        "doctor",
        "--version",
    ],
)
@pytest.mark.parametrize("json", [False, True])
def test_every_reading_verb(verb: str, json: bool, root: Path) -> None:
    arguments = verb.split() + ["--json"] * (json and verb != "--version")
    code = f"""{WATCH}
from nibabel_data.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
assert not seen, seen
"""
    run_python(code)


def test_a_home_that_cannot_be_written(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = public_tmp / "root" / "nipy" / "templates"
    package.mkdir(parents=True)
    (package / "config.ini").write_text("[DEFAULT]\nversion = 0.3\n")
    (public_tmp / "home").mkdir(mode=0o555)
    monkeypatch.setenv("HOME", str(public_tmp / "home"))
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(public_tmp / "etc"))
    monkeypatch.setenv("NIPY_DATA_PATH", str(public_tmp / "root"))
    main(["doctor"])  # loads what it needs
    with unprivileged():
        for verb in ("path", "list", "find nipy/templates", "explain nipy/templates"):
            assert main(verb.split()) == 0
    assert os.listdir(public_tmp / "home") == []


def test_importing_loads_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import nibabel_data;"
        "print(sorted(set(sys.modules) - before))"
    )
    assert run_python(code) == "['__future__', 'nibabel_data']\n"


def test_locating_loads_only_modules_of_this_library(root: Path) -> None:
    code = """
import sys
before = set(sys.modules)
from nibabel_data import make_datasource
make_datasource({'relpath': 'nipy/templates', 'min version': '0.3'})
make_datasource('nipy/templates>=0.3,<1')
print(*sorted(set(sys.modules) - before))
"""
    loaded = run_python(code).split()
    assert {name.split(".")[0] for name in loaded} == {"__future__", "nibabel_data"}


def test_no_question_to_the_locator_loads_numpy_or_nibabel(root: Path) -> None:
    code = """
import sys, nibabel_data as nd
for name in nd.__all__:
    getattr(nd, name)
list(nd.iter_packages()), nd.explain('a/b').text(), nd.make_datasource('nipy/templates').config
print(*sorted({'numpy', 'nibabel', 'pytest'} & set(sys.modules)))
"""
    assert run_python(code) == "\n"
