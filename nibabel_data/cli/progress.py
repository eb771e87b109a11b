"""A bar for long work, where a person can see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["byte_bar"]


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
