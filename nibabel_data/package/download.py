"""One file from the first of several URLs that gives it, checked by its hash.

The mirrors are tried in turn; one that may do better later is tried again after a pause, with the
others, for a few rounds.  What has arrived is gone on with, from whichever mirror: the hash of the
whole decides.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from ..errors import DataError
from .partial import Partial
from .transport import PIECE, TransferError, Transport, shown

__all__ = ["Progress", "StoppedError", "download"]

Progress = Callable[[int], object]
"""Is called with the number of bytes of each piece that arrives."""

ROUNDS = 5
"""How often a mirror is tried while nothing more arrives."""

FIRST_PAUSE = 0.5
"""Seconds after the first round; the double after each that follows."""

LONGEST_PAUSE = 30.0


class StoppedError(DataError):
    """Another thread wants no more of this."""


def download(
    urls: Sequence[str],
    partial: Partial,
    transport: Transport,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Fill a partial until it is the whole file and right.

    Parameters
    ----------
    urls : sequence of str
        The mirrors, at least one.
    partial : Partial
        What is there already, and where the rest goes.
    transport : Transport
        What opens a URL.
    progress : callable, optional
        As `Progress` says.
    stop : threading.Event, optional
        When set, this ends within one piece.

    Raises
    ------
    TransferError
        If no mirror gives the file; a line for each.
    DataError
        If it cannot be written.
    """
    stop = stop or threading.Event()
    problems: dict[str, str] = {}
    left, rounds, most = list(urls), 0, partial.size
    while not partial.is_right:
        wait = 0.0
        for url in tuple(left):
            try:
                _from_one(url, partial, transport, progress, stop)
                return
            except TransferError as error:
                problems[url] = str(error)
                wait = max(wait, error.wait)
                if not error.again:
                    left.remove(url)
        rounds += 1
        if partial.size >= most + PIECE:  # it breaks off, but it gets on
            most, rounds = partial.size, 0
        if not left or rounds >= ROUNDS:
            lines = [f"{shown(url)}: {problems[url]}" for url in urls if url in problems]
            raise TransferError("\n".join(lines), again=bool(left))
        pause = min(FIRST_PAUSE * 2 ** max(rounds - 1, 0), LONGEST_PAUSE)
        if stop.wait(max(wait, pause * random.uniform(0.5, 1.0))):
            raise StoppedError("stopped")


def _from_one(
    url: str,
    partial: Partial,
    transport: Transport,
    progress: Progress | None,
    stop: threading.Event,
) -> None:
    resumed, kind = _receive(url, partial, transport, progress, stop)
    if resumed and not partial.is_right:
        # What was here is of another file, or the file changed in between: once more, the whole.
        partial.restart()
        _, kind = _receive(url, partial, transport, progress, stop)
    if not partial.is_right:
        problem = f"{partial.size} bytes with {partial.found}, but {partial.expected} is expected"
        partial.restart()
        raise TransferError(f"{problem} (a web page)" if kind == "text/html" else problem)


def _receive(
    url: str,
    partial: Partial,
    transport: Transport,
    progress: Progress | None,
    stop: threading.Event,
) -> tuple[bool, str]:
    """Take what a URL gives; return whether it was added to what was here, and its media type."""
    with transport.open(url, partial.size, partial.validator_of(url)) as reply:
        resumed = reply.start > 0
        if not resumed:
            partial.restart(url, reply.validator)
        try:
            for piece in reply.pieces:
                if stop.is_set():
                    raise StoppedError("stopped")
                partial.write(piece)
                if progress is not None:
                    progress(len(piece))
        except TransferError:
            if not partial.is_right:  # a server may count wrong, and yet have sent it all
                raise
        if reply.size is not None and partial.size < reply.size and not partial.is_right:
            problem = f"broke off after {partial.size} of {reply.size} bytes"
            raise TransferError(problem, again=True)
        return resumed, reply.kind
