"""``serve``: trees that `precompute` wrote, in the browser."""

from __future__ import annotations

import argparse

from .pages import listen, show

__all__ = ["serve"]


def serve(arguments: argparse.Namespace) -> int:
    """Show trees in a browser until Ctrl-C, or write a picture of them."""
    from .. import viewer as wing
    from ..viewer.trees import open_tree

    for tree in arguments.trees:
        open_tree(tree)  # says what is wrong, before anything is shown
    listen(arguments)
    viewer = wing.Viewer(convention=arguments.convention)
    try:
        for tree in arguments.trees:
            viewer.add(open_tree(tree))
        show(viewer, arguments)
    finally:
        wing.stop()
    return 0
