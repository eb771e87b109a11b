"""``browse``: a page with every data package, in the browser."""

from __future__ import annotations

import argparse

from .pages import listen, until_interrupted

__all__ = ["browse"]


def browse(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from .. import viewer as wing
    from ..viewer.browse import CataloguePage

    listen(arguments)
    page = CataloguePage()
    try:
        until_interrupted(page, open_browser=not arguments.no_browser)
    finally:
        page.close()
        wing.stop()
    return 0
