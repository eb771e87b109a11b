"""The tree of a package's files as HTML, for notebooks."""

from __future__ import annotations

import os
from html import escape

from .errors import DataError
from .files import human_size, walk_files
from .table import counted

__all__ = ["html_tree"]

MOST_FILES = 2000
"""More files are counted, not shown."""

DEEPEST = 30
"""Folders below this depth are shown as one name."""

_ABSENT = {"absent": "content not fetched", "dangling": "broken link", "other": "not a file"}


def html_tree(title: str, base: str) -> str:
    """Return a tree of files with sizes; folders fold.

    Parameters
    ----------
    title : str
        The first line.
    base : str
        The directory.

    Returns
    -------
    str
        HTML; it says so if the directory cannot be listed.
    """
    try:
        entries = list(walk_files(base))
    except DataError as error:
        return f"<div><code>{escape(title)}</code><br>{escape(str(error))}</div>"
    tree: dict[str, object] = {}
    for relative, state, size in entries[:MOST_FILES]:
        *folders, name = relative.split(os.sep, DEEPEST)
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})  # type: ignore[assignment]
        place[name] = (state, size)
    total = human_size(sum(size for _, _, size in entries))
    left = len(entries) - MOST_FILES
    rest = f"<li>and {left} more</li>" if left > 0 else ""
    return (
        f"<div><code>{escape(title)}</code> &ndash; {counted(len(entries), 'file')}, {total}"
        f"<ul>{_items(tree)}{rest}</ul></div>"
    )


def _items(tree: dict[str, object]) -> str:
    return "".join(_item(name, content) for name, content in tree.items())


def _item(name: str, content: object) -> str:
    shown = escape(name)
    if isinstance(content, dict):
        return f"<li><details><summary>{shown}/</summary><ul>{_items(content)}</ul></details></li>"
    assert isinstance(content, tuple)
    state, size = content
    return f"<li>{shown} <small>{_ABSENT.get(state) or human_size(size)}</small></li>"
