"""``serve``: trees that `precompute` wrote, in the browser."""

from __future__ import annotations

import argparse

from .pages import listen, show

__all__ = ["serve"]


def serve(arguments: argparse.Namespace) -> int:
    """Show trees in a browser until Ctrl-C, or write a picture of them."""
    from .. import viewer as wing
    from ..viewer.trees import open_tree

    trees = [open_tree(tree) for tree in arguments.trees]  # what is wrong is said before all else
    listen(arguments)
    viewer = wing.Viewer(convention=arguments.convention)
    try:
        for tree in trees:
            viewer.add(tree)
        show(viewer, arguments)
    finally:
        wing.stop()
    return 0
