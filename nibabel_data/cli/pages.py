"""What the verbs that open a page have in common: files or serving, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys

from ..errors import ViewerError
from .output import shown

__all__ = ["listen", "show", "until_interrupted"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from ..viewer import Viewer

    class Page(Protocol):
        """What has an address."""

        @property
        def url(self) -> str:
            """For anybody."""

        def local_url(self) -> str:
            """For a browser on this machine."""


def listen(arguments: argparse.Namespace) -> None:
    """Choose the port, if one is named."""
    if arguments.port:
        from .. import viewer as wing

        wing.set_server_bind_address(port=arguments.port)


def show(viewer: Viewer, arguments: argparse.Namespace) -> None:
    """Write the files that are asked for; if none are, serve until Ctrl-C."""
    for path in filter(None, (arguments.screenshot, arguments.save)):
        if not os.path.isdir(os.path.dirname(path) or ".") or os.path.isdir(path):
            raise ViewerError(f"{path} cannot be written: name a file in a directory that is there")
    if arguments.screenshot:
        viewer.screenshot(arguments.screenshot, timeout=arguments.timeout)
        print(shown(arguments.screenshot))
    if arguments.save:
        viewer.save_html(arguments.save)
        print(shown(arguments.save))
    if not (arguments.screenshot or arguments.save):
        until_interrupted(viewer, open_browser=not arguments.no_browser)


def until_interrupted(page: Page, *, open_browser: bool) -> None:
    """Print the address of a page, open it, and wait for Ctrl-C."""
    import threading
    import webbrowser

    try:
        print(page.url, flush=True)
        print("Ctrl-C ends it.", file=sys.stderr)
        if open_browser:
            webbrowser.open(page.local_url())
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)
