"""Where installers really put data, with the real pip and uv; plug-ins that name roots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from platformdirs import PlatformDirs

from nibabel_data import DataWarning, get_data_path, installers, make_datasource, search_path

from .conftest import PROJECT

FIND = (
    "from nibabel_data import make_datasource as m; p = m('nipy/examplepkg');"
    "from nibabel_data.distributions import owner_of;"
    "assert owner_of(p) == 'nipy-examplepkg 0.1', owner_of(p);"
    "print(p.origin.kind, p.base_path)"
)
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
QUIET = ["--no-deps", "--no-index", "--no-warn-script-location"]


def run(command: list[str], **environment: str) -> str:
    result = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the example package as a wheel."""
    source = shutil.copytree(
        PROJECT / "examples" / "nipy-examplepkg", tmp_path_factory.mktemp("source") / "pkg"
    )
    out = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", str(out), str(source)])
    return str(next(out.glob("*.whl")))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return the python of a new environment, without pip."""
    venv.create(tmp_path / "env", with_pip=False)
    return tmp_path / "env" / "bin" / "python"


def find(python: Path | str, **environment: str) -> tuple[str, str]:
    """Return the kind of origin and the place of the example package, seen from a python."""
    # This library and its two dependencies come from here; nothing else of this environment.
    import packaging
    import platformdirs

    links = Path(os.environ["HOME"], "library")
    links.mkdir(exist_ok=True)
    for place in (PROJECT / "nibabel_data", packaging.__path__[0], platformdirs.__path__[0]):
        if not (links / Path(place).name).exists():
            (links / Path(place).name).symlink_to(place)
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(links)]))
    kind, place = run([str(python), "-c", FIND], PYTHONPATH=path, **environment).rsplit(" ", 1)
    return kind, place.strip()


def test_pip_into_an_environment(wheel: str, python: Path) -> None:
    run([*PIP, "--python", str(python), "install", *QUIET, wheel])
    assert find(python) == ("prefix", f"{python.parents[1]}/share/nipy/nipy/examplepkg")


def test_uv_pip_into_an_environment(wheel: str, python: Path) -> None:
    run([sys.executable, "-m", "uv", "pip", "install", "-q", "-p", str(python), "--offline", wheel])
    assert find(python) == ("prefix", f"{python.parents[1]}/share/nipy/nipy/examplepkg")


def test_uv_run_with(wheel: str, python: Path, tmp_path: Path) -> None:
    code = tmp_path / "find.py"
    code.write_text(FIND)
    script = tmp_path / "run.sh"
    script.write_text(f'exec "{sys.executable}" -m uv "$@"\n')
    command = ["bash", str(script), "run", "-q", "--no-project", "--offline", "-p", str(python)]
    links = Path(os.environ["HOME"], "library")
    with pytest.raises(AssertionError, match="no data package"):
        find(python)  # makes the links, and shows that nothing else leads there
    out = run([*command, "--with", wheel, "python", str(code)], PYTHONPATH=str(links))
    kind, place = out.split()
    assert kind in ("prefix", "installer")
    assert place.endswith("/share/nipy/nipy/examplepkg")
    assert not place.startswith(str(python.parents[1]))


def test_pip_user(wheel: str, tmp_path: Path) -> None:
    base = tmp_path / "userbase"
    system = os.path.realpath(sys.executable)  # an environment has no user site
    run([system, *PIP[1:], "install", "--user", *QUIET, wheel], PYTHONUSERBASE=str(base))
    place = find(system, PYTHONUSERBASE=str(base))
    assert place == ("user base", f"{base}/share/nipy/nipy/examplepkg")


def test_pip_target(wheel: str, python: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    run([*PIP, "install", "--target", str(target), *QUIET, wheel])
    place = find(python, PYTHONPATH=str(target))
    assert place == ("installer", f"{target}/share/nipy/nipy/examplepkg")


def test_pip_prefix(wheel: str, python: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    run([*PIP, "install", "--prefix", str(prefix), "--ignore-installed", *QUIET, wheel])
    (site,) = prefix.glob("lib/python*/site-packages")
    place = find(python, PYTHONPATH=str(site))
    assert place == ("installer", f"{prefix}/share/nipy/nipy/examplepkg")


def test_debian_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "local" / "lib" / "python3.11" / "dist-packages"
    site.mkdir(parents=True)
    share = tmp_path / "local" / "share" / "nipy"
    share.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    assert str(share) in get_data_path()


def test_base_python_of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "base" / "share" / "nipy"
    share.mkdir(parents=True)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "base"))
    assert search_path()[-1].path == share
    assert search_path()[-1].origin.kind == "base prefix"


def test_site_data_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "xdg" / "nipy"
    share.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_DIRS", os.pathsep.join([str(tmp_path / "no"), str(share.parent)]))
    assert search_path()[-1].path == share
    assert search_path()[-1].origin.kind == "site data"


@pytest.mark.parametrize("dirs", [None, "", " ", "/a:/b", "/a::/b", "~/a", "a", "b:/a"])
def test_site_data_directories_are_those_of_platformdirs(
    dirs: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dirs is None:
        monkeypatch.delenv("XDG_DATA_DIRS")
    else:
        monkeypatch.setenv("XDG_DATA_DIRS", dirs)
    joined = PlatformDirs("nipy", appauthor=False, multipath=True).site_data_dir
    for on_linux in (True, False):
        monkeypatch.setattr(installers, "_ON_LINUX", on_linux)
        assert installers._site_data_dirs() == joined.split(os.pathsep)


def test_the_working_directory_is_no_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share" / "nipy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path / "share" / "nipy") not in get_data_path()


def add_plugin(site: Path, name: str, value: str) -> None:
    """Install a distribution that has nothing but an entry point."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nibabel_data.roots]\nthe-root = {value}\n")


@pytest.mark.parametrize(
    "value", ["lab_data", "lab_data.where:ROOT", "lab_data.where:roots", "lab_data.where:path"]
)
def test_plugins_name_roots(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_package: object
) -> None:
    assert callable(make_package)
    package = make_package("site/lab_data", "lab/atlas", "2.0")
    (package / "__init__.py").write_text("")
    (package / "where.py").write_text(
        "from pathlib import Path\n"
        "path = Path(__file__).parent\n"
        "ROOT = str(path)\n"
        "def roots():\n    return [path, path / 'none']\n"
    )
    add_plugin(tmp_path / "site", "lab-plugin", value)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = make_datasource("lab/atlas")
    assert found.version == "2.0"
    assert str(found.origin) == "plug-in lab-plugin (the-root)"
    if value == "lab_data":
        assert "lab_data" not in sys.modules  # its directory is known without importing it
    for name in ("lab_data", "lab_data.where"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_module_here", "no package 'no_such_module_here'"),
        ("no_such_module_here:x", "No module named 'no_such_module_here'"),
        ("os:abort_not_there", "has no attribute 'abort_not_there'"),
        ("os:curdir", "a root must be an absolute path, a str, not '.'"),
        ("os:getpid", "TypeError"),
        ("sys:exit", "SystemExit"),
        ("os:fsencode", "TypeError"),
    ],
)
def test_a_plugin_that_fails_is_one_bad_entry(
    value: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_plugin(tmp_path / "site", "bad-plugin", value)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    bad = search_path()[-1]
    assert (bad.path, bad.state, bad.origin.kind) == (None, "malformed", "plug-in")
    assert problem in bad.problem
    with pytest.warns(DataWarning, match="bad-plugin"):
        get_data_path()


def test_a_function_of_a_plugin_is_asked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "one").mkdir(parents=True)
    (site / "asked.py").write_text("import os\ndef roots():\n    return os.environ['LAB_ROOT']\n")
    add_plugin(site, "asked-plugin", "asked:roots")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("LAB_ROOT", str(tmp_path))
    assert get_data_path()[-1] == str(tmp_path)
    monkeypatch.setenv("LAB_ROOT", str(site / "one"))
    assert get_data_path()[-1] == str(site / "one")
    monkeypatch.setenv("NIBABEL_DATA_PLUGINS", "0")
    assert get_data_path()[-1] != str(site / "one")
    sys.modules.pop("asked", None)


def test_a_plugin_that_looks_for_data_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "selfish.py").write_text(
        "from nibabel_data import datasource_or_bomber\n"
        "atlas = datasource_or_bomber('lab/atlas')\n"
        "def roots():\n    bool(atlas)\n    return '" + str(tmp_path) + "'\n"
    )
    add_plugin(site, "selfish-plugin", "selfish:roots")
    monkeypatch.syspath_prepend(str(site))
    import selfish

    assert not selfish.atlas
    assert get_data_path()[-1] == str(tmp_path)
    sys.modules.pop("selfish", None)


@pytest.mark.parametrize("odd", [Path("/tmp"), None, b"/tmp", 3])
def test_odd_entries_of_sys_path_are_passed_over(
    odd: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, odd])
    assert get_data_path()


def test_a_damaged_distribution_is_no_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_plugin(tmp_path / "site", "good-plugin", "os:devnull")
    bad = tmp_path / "site" / "bad-1.0.dist-info"
    bad.mkdir()
    (bad / "METADATA").write_text("Name: bad\nVersion: 1.0\n")
    (bad / "entry_points.txt").write_bytes(b"[nibabel_data.roots]\nx = \xe9\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert get_data_path()


def test_a_plugin_installed_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "late_data").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    assert str(site / "late_data") not in get_data_path()
    (site / "late_data" / "__init__.py").write_text("")
    add_plugin(site, "late-plugin", "late_data")
    assert str(site / "late_data") in get_data_path()
