"""Label tables: what the numbers of a segmentation stand for, and their colours.

Read are the lookup tables of FreeSurfer (``FreeSurferColorLUT.txt``), the atlas descriptions of FSL
(XML), the ``_dseg.tsv`` of BIDS, the label descriptions of ITK-SNAP, and plain lists of a number
and a name, as those beside the atlases of MRIcron.  A line that cannot be read is told of in
`LabelTable.problems`; the others count.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import MissingFileError, ViewerError

__all__ = ["Label", "LabelTable", "label_table", "read_labels"]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_MOST = 2**64 - 1
_LARGEST = 64 << 20  # bytes
_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})(?:[0-9a-fA-F]{2})?")
_SNAP = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\S+\s+\S+\s+\S+\s+"(.*)"\s*')
_MISSING = ("", "n/a", "na", "nan", "none")


class Label(NamedTuple):
    """What a number stands for: a name, and red, green and blue from 0 to 255, or None."""

    name: str
    rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What the numbers of a segmentation stand for.

    Attributes
    ----------
    labels : dict of int to Label
        In the order of the file.
    source : str
        The file; empty if there is none.
    problems : tuple of str
        What could not be read, each with file and line.
    """

    labels: dict[int, Label] = field(default_factory=dict)
    source: str = ""
    problems: tuple[str, ...] = ()

    def segment_properties(self) -> dict[str, object]:
        """Return it as the client's segment properties.

        The format is that of ``src/datasource/precomputed/segment_properties.md`` in Neuroglancer.
        Number 0, the background, is not among them.

        Examples
        --------
        >>> label_table({17: 'hippocampus'}).segment_properties()['inline']
        {'ids': ['17'], 'properties': [{'id': 'label', 'type': 'label', 'values': ['hippocampus']}]}
        """
        shown = {number: label for number, label in self.labels.items() if number}
        return {
            "@type": "neuroglancer_segment_properties",
            "inline": {
                "ids": [str(number) for number in shown],
                "properties": [
                    {
                        "id": "label",
                        "type": "label",
                        "values": [label.name for label in shown.values()],
                    }
                ],
            },
        }

    def segment_colors(self) -> dict[str, str]:
        """Return the colours, for ``segmentColors`` of a layer.

        Examples
        --------
        >>> label_table({17: ('hippocampus', (220, 216, 20))}).segment_colors()
        {'17': '#dcd814'}
        """
        return {
            str(number): "#{:02x}{:02x}{:02x}".format(*label.rgb)
            for number, label in self.labels.items()
            if number and label.rgb
        }


def label_table(labels: object) -> LabelTable:
    """Return a label table of whatever says it.

    Parameters
    ----------
    labels : LabelTable, mapping, str or os.PathLike
        A table; or the path of one, as for `read_labels`; or a mapping from number to a name, to
        ``(name, colour)``, or to a mapping with ``name`` and ``color``.  A colour is ``#rrggbb`` or
        three numbers from 0 to 255.

    Returns
    -------
    LabelTable
        The table.

    Raises
    ------
    ViewerError
        If it is none of these, or nothing in it can be read.

    Examples
    --------
    >>> label_table({1: 'left', 2: ('right', '#ff0000')}).labels[2]
    Label(name='right', rgb=(255, 0, 0))
    """
    from collections.abc import Mapping

    if isinstance(labels, LabelTable):
        return labels
    if isinstance(labels, str | os.PathLike):
        return read_labels(labels)
    if not isinstance(labels, Mapping):
        raise ViewerError(
            f"labels are a mapping from number to name or the path of a table, not {labels!r:.80}"
        )
    rows = _Rows("labels")
    for number, said in labels.items():
        name, color = said, None
        if isinstance(said, Mapping):
            name, color = said.get("name", ""), said.get("color")
        elif isinstance(said, list | tuple) and len(said) == 2:
            name, color = said
        rows.add(f"label {number!r:.40}", number, name, color)
    return rows.table("")


def read_labels(path: str | os.PathLike[str], *, offset: int | None = None) -> LabelTable:
    """Return the label table in a file, which its content tells the kind of.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    offset : int, optional
        For XML of FSL, what to add to an ``index`` to have the number in the image.  By default 0
        in an atlas of type Label, and 1 in any other: there the index counts the volumes of the
        probabilities from 0, and the number is that in the summary image, in which 0 is nothing.
        Where a label has a ``value``, that is its number.

    Returns
    -------
    LabelTable
        The table, with `LabelTable.problems`.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ViewerError
        If it cannot be read, or not one line of it can.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise MissingFileError(f"no label table {name}", name) from None
    except (OSError, ValueError) as error:
        raise ViewerError(f"cannot read the label table {name}: {error}") from None
    if len(content) > _LARGEST:
        raise ViewerError(f"{name} is larger than a label table can be, {_LARGEST >> 20} MiB")
    text = content.decode("utf-8-sig", errors="replace")
    rows = _Rows(name)
    if text.lstrip().startswith("<"):
        _read_fsl(text, rows, offset)
    elif "\0" in text:
        raise ViewerError(f"{name} is not a text: no label table")
    else:
        lines = text.splitlines()
        head = [word.strip().lower() for word in lines[0].split("\t")] if lines else []
        if "index" in head and ("name" in head or "abbreviation" in head):
            _read_bids(lines, head, rows)
        else:
            _read_lines(lines, rows)
    return rows.table(name)


class _Rows:
    """Labels as they are read, and what is wrong with the others."""

    __slots__ = ("labels", "problems", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        self.labels: dict[int, Label] = {}
        self.problems: list[str] = []

    def add(self, place: str, number: object, name: object, color: object) -> None:
        try:
            value = _number(number)
            if value in self.labels:
                raise ValueError(f"number {value} is there twice; the first counts")
            text = str(name).strip()
            self.labels[value] = Label(text or str(value), None)
            self.labels[value] = Label(text or str(value), _color(color))
        except ValueError as error:
            self.problem(place, str(error))

    def problem(self, place: str, what: str) -> None:
        self.problems.append(f"{self.where}, {place}: {what}")

    def table(self, source: str) -> LabelTable:
        if self.problems and not self.labels:
            raise ViewerError(f"no label can be read: {self.problems[0]}")
        return LabelTable(self.labels, source, tuple(self.problems))


def _number(said: object) -> int:
    import operator

    try:
        value = int(said, 10) if isinstance(said, str) else operator.index(said)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{said!r:.40} is not a whole number") from None
    if not 0 <= value <= _MOST:
        raise ValueError(f"number {value} is not from 0 to 2**64 - 1")
    return value


def _color(said: Any) -> tuple[int, int, int] | None:
    if said is None or (isinstance(said, str) and said.strip().lower() in _MISSING):
        return None
    if isinstance(said, str):
        found = _HEX.fullmatch(said.strip())
        if not found:
            raise ValueError(f"{said!r:.40} is not a colour: write #rrggbb")
        digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    try:
        red, green, blue = (_part(part) for part in tuple(said)[:3])
    except (TypeError, ValueError):
        raise ValueError(f"{said!r:.40} is not three numbers from 0 to 255") from None
    return red, green, blue


def _part(said: Any) -> int:
    value = int(said)
    if not 0 <= value <= 255 or value != float(said):
        raise ValueError
    return value


def _read_fsl(text: str, rows: _Rows, offset: int | None) -> None:
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ViewerError(f"{rows.where} defines entities, which no atlas needs: not read")
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError as error:
        raise ViewerError(f"{rows.where} is not well-formed XML: {error}") from None
    if offset is None:
        kind = (root.findtext("header/type") or "").strip().lower()
        offset = 0 if kind == "label" else 1
    for count, label in enumerate(root.iter("label"), 1):
        place = f"label {count}"
        name = " ".join("".join(label.itertext()).split())
        number: object = label.get("value")
        if number is None:
            number = label.get("index")
            if number is None:
                rows.problem(place, "has no index")
                continue
            try:
                number = _number(number) + offset
            except ValueError as error:
                rows.problem(place, str(error))
                continue
        rows.add(place, number, name, label.get("color"))
    if not rows.labels and not rows.problems:
        raise ViewerError(f"{rows.where} has no <label>: not an atlas of FSL")


def _read_bids(lines: list[str], head: list[str], rows: _Rows) -> None:
    columns: Mapping[str, int] = {word: place for place, word in enumerate(head)}
    named = columns.get("name", columns.get("abbreviation", 0))
    for line, text in enumerate(lines[1:], 2):
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) != len(head):
            rows.problem(f"line {line}", f"{len(cells)} columns rather than {len(head)}")
            continue
        color = cells[columns["color"]] if "color" in columns else None
        rows.add(f"line {line}", cells[columns["index"]], cells[named], color)


def _read_lines(lines: list[str], rows: _Rows) -> None:
    read: Callable[[str], tuple[str, str, object] | None]
    read = _snap_line if any(_SNAP.fullmatch(text) for text in lines) else _plain_line
    for line, text in enumerate(lines, 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        found = read(text)
        if found is None:
            rows.problem(f"line {line}", f"{text.strip()!r:.60} is not a number and a name")
        else:
            rows.add(f"line {line}", *found)


def _snap_line(text: str) -> tuple[str, str, object] | None:
    found = _SNAP.fullmatch(text)
    return (found[1], found[5], found.groups()[1:4]) if found else None


def _plain_line(text: str) -> tuple[str, str, object] | None:
    words = text.split()
    tail = 0  # how many of the last words are numbers: a colour, or one that means something else
    while tail < len(words) - 2 and tail < 4 and re.fullmatch(r"-?\d+(\.\d+)?", words[-1 - tail]):
        tail += 1
    if len(words) < 2:
        return None
    coded = tail == 1 and len(words) == 3 and len(words[2]) > 3  # a number of AAL, not "Area 44"
    color = words[len(words) - tail :] if tail in (3, 4) else None
    name = words[1 : len(words) - tail] if color or coded else words[1:]
    return words[0], " ".join(name), color
