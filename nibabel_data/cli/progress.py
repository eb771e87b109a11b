"""A bar for long work, where a person can see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

from .output import shown

__all__ = ["bar", "byte_bar", "say"]


def byte_bar(text: str) -> AbstractContextManager[Callable[[int], object] | None]:
    """Give what counts bytes on a bar, where standard error is a terminal and tqdm is there."""
    return _bar(unit="B", unit_scale=True, desc=text)


def bar(text: str, total: int) -> AbstractContextManager[Callable[[int], object] | None]:
    """Give what counts up to a total on a bar, where `byte_bar` would give one."""
    return _bar(total=total, desc=text)


@contextmanager
def _bar(**settings: Any) -> Iterator[Callable[[int], object] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(leave=False, **settings) as shown_bar:
        yield shown_bar.update


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once, above a bar if there is one; to standard output by default."""
    text = shown(text)
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None and sys.stderr.isatty():
        tqdm.tqdm.write(text, file=file or sys.stdout)
    else:
        print(text, file=file, flush=True)
