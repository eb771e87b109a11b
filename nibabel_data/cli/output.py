"""How the verbs print: JSON for machines; aligned, and coloured on a terminal, for people."""

from __future__ import annotations

import os
import sys

from ..table import aligned, counted, printable

__all__ = [
    "as_is",
    "coloured",
    "paint",
    "print_differences",
    "print_json",
    "print_table",
    "shown",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..package.lock import Difference

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def coloured() -> bool:
    """Return whether standard output is a terminal that wants colour (https://no-color.org)."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, colour: str) -> str:
    """Return `text` in a colour where colour is wanted; as it is for the colour ``''``.

    Examples
    --------
    >>> paint('plain', '')
    'plain'
    """
    if not colour or not coloured():
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def shown(text: object) -> str:
    r"""Return a text of several lines without what would move the cursor or turn the letters round.

    Names of files and what manifests say may hold anything, and must not tell a terminal what to
    do.  JSON keeps them as they are.

    Examples
    --------
    >>> print(shown('a\x1b[2J\nb'))
    a\x1b[2J
    b
    """
    return "\n".join(map(printable, str(text).split("\n")))


def as_is(text: object) -> str:
    """Return a text as it is, for another program; on a terminal as `shown` gives it."""
    return shown(text) if sys.stdout.isatty() else str(text)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str] = ()
) -> None:
    """Print rows below a header, aligned; `colours` names one for each row, or ``''``."""
    lines = aligned([header, *rows])
    print(paint(lines[0], "bold"))
    for number, line in enumerate(lines[1:]):
        print(paint(line, colours[number] if colours else ""))


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    import json

    print(json.dumps(value, indent=2))


def print_differences(
    differences: Sequence[Difference], *, locked: int, path: str, as_json: bool
) -> None:
    """Print how what is on the search path differs from a lock file of so many packages."""
    if as_json:
        from dataclasses import asdict

        print_json([asdict(difference) for difference in differences])
        return
    for difference in differences:
        one = difference.locked
        text = shown(f"{one.name} {one.version}: {difference.problem}")
        print(f"{paint('differs', 'red')}: {text}")
    if not differences:
        packages = counted(locked, "package is", "packages are")
        print(f"{paint('ok', 'green')}: {packages} as {shown(path)} says")
