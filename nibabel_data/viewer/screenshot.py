"""Pictures of a page: asked of one that is open, or of a browser without a window."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, final

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .state import Json, SharedState

    class Page(Protocol):
        """What a viewer is to this module."""

        config: SharedState
        streams: int
        closed: bool

        def local_url(self) -> str:
            """Return its address on this machine."""

        def requests(self) -> int:
            """Return how often pages asked for data."""

        def stale(self) -> bool:
            """Return whether pages were just told to load again, and have not begun to."""


__all__ = ["Desk", "find_browser", "headless", "take"]

_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
)
_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = (1280, 960)
_PLAIN = {"showUIControls": False, "showPanelBorders": False}
_QUIET = 0.1  # seconds in which a page asks for no data, after a picture
_LARGEST = 8192  # pixels along a side


@final
class Desk:
    """Where the screenshots that pages send are waited for."""

    __slots__ = ("_arrived", "_replies", "busy")

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self._arrived = threading.Condition()
        self._replies: dict[str, Json | None] = {}

    def expect(self) -> str:
        """Return a new name for a screenshot, the reply to which is then kept."""
        name = secrets.token_hex(8)
        with self._arrived:
            self._replies[name] = None
        return name

    def take(self, reply: Any) -> None:
        """Keep a reply, if it is expected and is the first."""
        name = reply.get("id") if isinstance(reply, dict) else None
        with self._arrived:
            if isinstance(name, str) and self._replies.get(name, reply) is None:
                self._replies[name] = reply
                self._arrived.notify_all()

    def wait(self, name: str, until: float) -> Json | None:
        """Return the reply, or None if it does not come until then, by `time.monotonic`."""
        with self._arrived:
            self._arrived.wait_for(
                lambda: self._replies.get(name) is not None, max(0.0, until - time.monotonic())
            )
            return self._replies.pop(name, None)


def take(
    page: Page, desk: Desk, size: tuple[int, int] | None = None, timeout: float = 30.0
) -> bytes:
    """Return a picture of a page once it has all that it shows.

    Parameters
    ----------
    page : Page
        If it is open nowhere, a browser without a window is started for it, and ended.
    desk : Desk
        Where the page's replies arrive.
    size : tuple of int, optional
        Width and height in pixels, and then without controls; by default as the page is.
    timeout : float, optional
        In seconds.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ViewerError
        If no page is open and there is no browser, or it takes too long.
    """
    if size is not None:
        width, height = (int(side) for side in size)
        if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
            raise ViewerError(f"A screenshot of {width} x {height} pixels cannot be made.")
        size = width, height
    until = time.monotonic() + timeout
    with desk.busy:
        if page.streams > 0:
            return _asked(page, desk, size, until, timeout)
        with headless(page.local_url(), size or _SIZE) as browser:
            while page.streams == 0:
                if browser.poll() is not None:
                    raise ViewerError(f"The browser ended by itself ({browser.returncode}).")
                if time.monotonic() > until or page.closed:
                    raise ViewerError(f"The browser did not open the page within {timeout:g} s.")
                time.sleep(0.02)
            return _asked(page, desk, size, until, timeout)


def _asked(
    page: Page, desk: Desk, size: tuple[int, int] | None, until: float, timeout: float
) -> bytes:
    before = page.config.value
    wanted, resized = size, False

    def restore(config: Json) -> None:
        for key in ("screenshot", "viewerSize", "showUIControls", "showPanelBorders"):
            config.pop(key, None)
            if key != "screenshot" and key in before:
                config[key] = before[key]

    try:
        while True:
            while page.stale() and time.monotonic() < until:
                time.sleep(0.01)
            requests = page.requests()
            name = desk.expect()
            asked: Json = {"screenshot": name}
            if size is not None:
                asked |= {"viewerSize": wanted, **_PLAIN}
            page.config.change(partial(_ask, asked))
            reply = desk.wait(name, until)
            if reply is None:
                raise ViewerError(
                    f"The page did not have all that it shows within {timeout:g} s. It may still "
                    "load, or be in a tab that is not looked at; give a longer timeout, or look at "
                    "what the page says."
                )
            # A page may have painted before it heard of a new size, or of what changed just now.
            # One that had the size may have panels as small as beside controls: first another.
            if size is not None and (reply.get("width"), reply.get("height")) != size:
                wanted, resized = size, True
            elif size is not None and not resized:
                wanted = size[0], size[1] + 1
            else:
                time.sleep(_QUIET)
                if page.requests() == requests or time.monotonic() > until - _QUIET:
                    break
    finally:
        page.config.change(restore)
    try:
        picture = base64.b64decode(reply.get("image") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        picture = b""
    if not picture.startswith(_PNG):
        raise ViewerError("The page sent something that is no picture.")
    return picture


def _ask(asked: Json, config: Json) -> None:
    config.update(asked)


def find_browser() -> str | None:
    """Return the path of a browser that can be without a window, or None."""
    for name in _BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    return next((path for path in _APPLICATIONS if os.path.exists(path)), None)


@contextmanager
def headless(url: str, size: tuple[int, int] = _SIZE) -> Iterator[subprocess.Popen[bytes]]:
    """Have a page open in a browser without a window.

    Parameters
    ----------
    url : str
        The page.  It is not in the arguments of the browser, which every user can read.
    size : tuple of int, optional
        Of the page, in pixels.

    Raises
    ------
    ViewerError
        If there is no browser.
    """
    browser = find_browser()
    if browser is None:
        raise ViewerError(
            "No page of this viewer is open, and no browser is installed that could open one "
            "without a window: open the viewer's address, or install chromium."
        )
    with tempfile.TemporaryDirectory(
        prefix="nibabel-data-", ignore_cleanup_errors=True
    ) as directory:
        start = os.path.join(directory, "start.html")
        with open(start, "w", encoding="utf-8") as file:
            file.write(f'<meta http-equiv="refresh" content="0;url={url}">')
        command = [browser, *_FLAGS, f"--user-data-dir={os.path.join(directory, 'profile')}"]
        command.append("--window-size={},{}".format(*size))
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # the sandbox does not work for root
        process = subprocess.Popen(
            [*command, f"file://{start}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        import signal

        with suppress(ProcessLookupError):  # the group is its own: see start_new_session
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(3)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
