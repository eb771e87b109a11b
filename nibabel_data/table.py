"""Aligned columns for a terminal and for messages."""

from __future__ import annotations

__all__ = ["aligned", "counted", "printable", "width"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def width(text: str) -> int:
    r"""Return how many columns of a terminal a text takes.

    Examples
    --------
    >>> width('abc'), width('\u8133')
    (3, 2)
    """
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    marks = sum(unicodedata.combining(letter) != 0 for letter in text)
    return len(text) + wide - marks


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Return one line a row, each column as wide as its widest cell.

    Parameters
    ----------
    rows : sequence of sequence of str
        The cells; rows may differ in length.
    gap : str, optional
        What stands between columns.

    Returns
    -------
    list of str
        The lines, without spaces at their ends.

    Examples
    --------
    >>> aligned([('a', 'long', 'x'), ('bbb', 'b', 'y')])
    ['a    long  x', 'bbb  b     y']
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [
        max((width(row[column]) for row in cells if column < len(row)), default=0)
        for column in range(columns)
    ]
    return [
        gap.join(cell + " " * (widths[at] - width(cell)) for at, cell in enumerate(row)).rstrip()
        for row in cells
    ]


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number of things as people say it.

    Parameters
    ----------
    number : int
        How many.
    one : str
        What they are called if there is one.
    several : str, optional
        What they are called otherwise; `one` with an s by default.

    Examples
    --------
    >>> counted(1, 'file'), counted(2, 'file'), counted(0, 'entry', 'entries')
    ('1 file', '2 files', '0 entries')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def printable(text: str) -> str:
    r"""Return a text without what would move the cursor: file names may hold anything.

    Examples
    --------
    >>> print(printable('a\nb\x1b'))
    a\nb\x1b
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
