"""What the tests share: an isolated search path, packages made by hand, an unprivileged user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from nibabel_data import plugins, searchpath

PROJECT = Path(__file__).resolve().parents[1]
NOBODY = 65534

MakePackage = Callable[..., Path]


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a home, a user's and a system's directory of its own, all of them empty."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "etc").mkdir()
    monkeypatch.setenv("NIPY_SYSTEM_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "no-site-data"))
    for name in ("NIPY_DATA_PATH", "NIPY_USER_DIR", "NO_COLOR", "DESTDIR"):
        monkeypatch.delenv(name, raising=False)
    searchpath._files.clear()
    searchpath._listings.clear()
    searchpath._directories.clear()
    searchpath._warned.clear()
    plugins._known.clear()


@pytest.fixture
def make_package(tmp_path: Path) -> MakePackage:
    """Return a function that makes a data package, and returns its root."""

    def make(
        root: str | Path = "root",
        relpath: str = "nipy/templates",
        version: str = "0.3",
        config: str | bytes | None = None,
        files: tuple[str, ...] = (),
    ) -> Path:
        top = tmp_path / root
        package = top / relpath
        package.mkdir(parents=True, exist_ok=True)
        content = f"[DEFAULT]\nversion = {version}\n" if config is None else config
        if isinstance(content, str):
            content = content.encode()
        (package / "config.ini").write_bytes(content)
        for name in files:
            file = package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"data")
        return top

    return make


@pytest.fixture
def public_tmp() -> Iterator[Path]:
    """Return a temporary directory that every user can enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o755)
    shutil.rmtree(path)


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which permissions hold, also if the tests are run by root."""
    if os.name != "posix":
        pytest.skip("permissions of this kind are POSIX's")

    @contextmanager
    def context() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(user)

    return context


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """Run code in a fresh interpreter, and return what it printed; a failure fails the test."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
