"""What the tests of mechanisms share: distributions made by hand, and the real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from nibabel_data.mechanisms import discovery

Install = Callable[..., Path]

MOD = "NEURON {\n    SUFFIX none\n}\n"
GLIA = """
from pathlib import Path

from glia import Mod, Package

package = Package(
    "lab",
    Path(__file__).resolve().parent,
    mods=[
        Mod("mods/neuron/Na.mod", "Na", dialect="neuron"),
        Mod("mods/arbor/Na.mod", "Na", dialect="arbor"),
        Mod("mods/Na_fast.mod", "Na", variant="fast"),
        Mod("mods/AMPA.mod", "AMPA", variant="0", is_point_process=True),
        Mod("mods/Train.mod", "Train", is_artificial_cell=True),
    ],
)
"""
GLIA_FILES = (
    "mods/neuron/Na.mod",
    "mods/arbor/Na.mod",
    "mods/Na_fast.mod",
    "mods/AMPA.mod",
    "mods/Train.mod",
)
ASTROCYTE = """
import os

class Package:
  def __init__(self):
    self.mods = []

class Mod:
  pass

def package():
  pkg = Package()
  pkg.path = os.path.dirname(__file__)
  pkg.name = os.path.basename(pkg.path)
  pkg.glia_version = "0.1.1"
  first = Mod()
  first.pkg_name = 'old'
  first.asset_name = 'Na'
  first.variant = 'granule'
  first.namespace = 'glia__old'
  first.pkg = pkg
  pkg.mods.append(first)
  second = Mod()
  second.pkg_name = 'old'
  second.asset_name = 'AMPA'
  second.variant = '0'
  second.namespace = 'glia__old'
  second._is_point_process = True
  second._is_artificial_cell = False
  second.pkg = pkg
  pkg.mods.append(second)
  return pkg
"""
ASTROCYTE_FILES = ("mod/glia__old__Na__granule.mod", "mod/glia__old__AMPA__0.mod")

PAS = """\
NEURON {
    SUFFIX NAME
    NONSPECIFIC_CURRENT i
    RANGE g, e
}
UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}
PARAMETER {
    g = 0.001 (S/cm2)
    e = -70 (mV)
}
ASSIGNED {
    v (mV)
    i (mA/cm2)
}
BREAKPOINT {
    i = g*(v - e)
}
"""
"""A source with nothing wrong in it, of a mechanism called NAME."""

needs_neuron = pytest.mark.skipif(
    find_spec("neuron") is None, reason="needs NEURON: pip install 'nibabel-data[neuron]'"
)

REAL = ("dbbs-catalogue==6.0.1", "dbbs-mod-collection==2.2.3", "nrn-patch==8.0.2", "errr")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache directory of its own, and nothing discovered."""
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    discovery.refresh()
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory that is the whole of ``sys.path`` for distributions."""
    site = tmp_path / "site"
    site.mkdir()
    hidden = [entry for entry in sys.path if not Path(entry or ".").name.endswith("-packages")]
    monkeypatch.setattr(sys, "path", [*hidden, str(site)])
    return site


@pytest.fixture
def install(site: Path) -> Install:
    """Return a function that makes an installed distribution, and returns its metadata."""

    def make(
        name: str = "lab-mods",
        module: str | bytes = GLIA,
        files: tuple[str, ...] = GLIA_FILES,
        *,
        top: str = "lab_mods",
        entry: str | None = None,
        version: str = "1.0",
        where: Path | None = None,
    ) -> Path:
        package = (where or site) / top
        package.mkdir(parents=True, exist_ok=True)
        content = module.encode() if isinstance(module, str) else module
        (package / "__init__.py").write_bytes(content)
        for file in files:
            path = package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(MOD)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        entry = f"{top}:package" if entry is None else entry
        (info / "entry_points.txt").write_text(f"[glia.package]\n{top}={entry}\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("")
        return info

    return make


@pytest.fixture(scope="session")
def real_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which the three packages that are in use are installed.

    ``NIBABEL_DATA_TEST_MECHANISMS`` names one; else pip is asked for them.
    """
    named = os.environ.get("NIBABEL_DATA_TEST_MECHANISMS")
    if named:
        return Path(named)
    target = tmp_path_factory.mktemp("mechanisms")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--retries=1", "--timeout=15", "--target", str(target)]
    result = subprocess.run([*command, *REAL], capture_output=True, text=True, timeout=300)
    if result.returncode:
        pytest.skip(f"pip cannot install {', '.join(REAL)}: {result.stderr.strip()[-200:]}")
    return target


def age(*paths: Path) -> None:
    """Make files and directories, and what is in them, an hour older than they are."""
    for path in paths:
        for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
            before = each.stat()
            os.utime(each, ns=(before.st_atime_ns, before.st_mtime_ns - 3600 * 10**9))


@pytest.fixture(scope="session")
def built_laboratory(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a directory of small packages, and a cache in which all of them are built."""
    from .laboratory import PACKAGES, in_fork, write_package

    if find_spec("neuron") is None:
        pytest.skip("needs NEURON: pip install 'nibabel-data[neuron]'")
    os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
    top = tmp_path_factory.mktemp("laboratory")
    site = top / "site"
    for called, mods in PACKAGES.items():
        write_package(site, called, mods)
    age(site)

    def build() -> dict[str, str]:
        from nibabel_data import mechanisms

        os.environ["NIBABEL_DATA_CACHE"] = str(top / "cache")
        sys.path.append(str(site))
        return {str(k): str(v) for k, v in mechanisms.compile(quiet=True).failed.items()}

    assert in_fork(build, seconds=300) == {}
    return site, top / "cache"


@pytest.fixture
def laboratory(
    built_laboratory: tuple[Path, Path], site: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let a test see the small packages, and what is installed in ``site``; return theirs."""
    packages, cache = built_laboratory
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(cache))
    monkeypatch.setenv("NEURON_MODULE_OPTIONS", "-nogui")
    discovery.refresh()
    return packages


@pytest.fixture(scope="session")
def pas_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library of `PAS`, as ``glia__lab__Pas__0``, that g++ has made."""
    from .compilers import built_once

    return built_once(tmp_path_factory.mktemp("pas"))
