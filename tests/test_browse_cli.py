"""``nibabel-data browse``: the address that it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("numpy", "nibabel", "neuroglancer", "uvicorn")),
    reason="needs the viewer: pip install 'nibabel-data[view]'",
)
START = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "os.execv(sys.executable, [sys.executable, '-m', 'nibabel_data', 'browse', *sys.argv[1:]])"
)


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_packages_are_served_until_ctrl_c(
    make_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path / "data", "lab/atlas", "0.1")
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "data"))
    port = free_port()
    with start("--no-browser", "--port", str(port)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        assert url.startswith(f"http://127.0.0.1:{port}/browse/")
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"<title>Data packages</title>" in page.read()
        with urllib.request.urlopen(f"{url}api/packages", timeout=30) as answer:
            assert json.load(answer)["packages"][0]["name"] == "lab/atlas"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_browser_is_opened_unless_it_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/seen\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    with start() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        assert "Ctrl-C" in process.stderr.readline()
        until = time.monotonic() + 20
        while not (seen := tmp_path / "seen").exists() or not seen.read_text():
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        process.wait(30)
    assert seen.read_text().strip() == url


@pytest.mark.parametrize(("port", "text"), [("99999", "not a port"), ("x", "not a port")])
def test_a_port_that_is_none_is_an_error(port: str, text: str) -> None:
    with start("--no-browser", "--port", port) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert text in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with start("--no-browser", "--port", str(taken.getsockname()[1])) as process:
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cannot listen on 127.0.0.1" in errors
