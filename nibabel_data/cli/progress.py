"""A bar for long work, where a person can see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from .output import shown

__all__ = ["byte_bar", "say"]


@contextmanager
def byte_bar(text: str) -> Iterator[Callable[[int], object] | None]:
    """Give what counts bytes on a bar, where standard error is a terminal and tqdm is there."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(unit="B", unit_scale=True, desc=text, leave=False) as bar:
        yield bar.update


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line at once, above a bar if there is one; to standard output by default."""
    text = shown(text)
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None and sys.stderr.isatty():
        tqdm.tqdm.write(text, file=file or sys.stdout)
    else:
        print(text, file=file, flush=True)
