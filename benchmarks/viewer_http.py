"""What a client of a server of volumes waits for: chunks, chunks while meshes are made, a page."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common import check

__all__ = ["asked", "chromium", "painted", "served", "waited"]

HERE = Path(__file__).parent
CONNECTIONS = 16
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FINISHED = "viewer.layerManager.managedLayers.length >= 2 && viewer.isReady()"


@contextmanager
def served(name: str, argument: object) -> Iterator[dict[str, Any]]:
    """Run one of the servers; give its address and paths."""
    command = [sys.executable, str(HERE / "viewer_servers.py"), name, str(argument)]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            errors.seek(0)
            check(False, f"the server {name} starts:\n{errors.read()}")
        yield json.loads(line)
        process.stdin.close()
        process.kill()


def asked(server: dict[str, Any], volume: str, seconds: float) -> float:
    """Ask a server for chunks; return the seconds that one takes."""
    where = (server["host"], server["port"], CONNECTIONS, seconds)
    command = [sys.executable, str(HERE / "viewer_load.py"), *map(str, where)]
    paths = "\n".join(server["paths"][volume])
    done = subprocess.run(command, input=paths, stdout=subprocess.PIPE, text=True, check=True)
    answers = json.loads(done.stdout)
    return float(answers["seconds"] / answers["answers"])


def waited(server: dict[str, Any]) -> list[float]:
    """Ask for meshes, and meanwhile for chunks, one after the other; return what these took."""
    address, paths = (server["host"], server["port"]), server["paths"]
    asked_for(address, paths["image"][:1])
    with ExitStack() as stack:
        threads = [
            threading.Thread(target=asked_for, args=(address, [path])) for path in paths["meshes"]
        ]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        connection = http.client.HTTPConnection(*address)
        taken = []
        for path in itertools.cycle(paths["image"]):
            start = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            taken.append(time.perf_counter() - start)
            if not any(thread.is_alive() for thread in threads):
                break
            time.sleep(0.002)
    return taken


def asked_for(address: tuple[str, int], paths: list[str]) -> None:
    connection = http.client.HTTPConnection(*address)
    for path in paths:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        check(answer.status == 200, f"{path} is answered")


def painted(playwright: Any, url: str) -> float:
    """Open a page in a new browser; return how long it takes until it is complete."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function("typeof viewer === 'object'", timeout=60_000, polling=20)
    page.wait_for_function(FINISHED, timeout=120_000, polling=20)
    seconds = time.perf_counter() - start
    browser.close()
    return seconds


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)
