"""What a source says of its variables: units, defaults, limits; no engine is needed to know.

`nmodl.scan` reads what building a mechanism rests on; this reads what a person wants to know of it,
and takes nothing amiss.
"""

from __future__ import annotations

import re

__all__ = ["Described", "Ion", "Variable", "describe"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# As in nocmodl, a block of text ends at a line that begins with its END, and TITLE takes its line.
_UNREAD = re.compile(
    r"""
    [ \t]*\b(?:COMMENT|VERBATIM)\b.*?(?:^[ \t]*END(?:COMMENT|VERBATIM)\b[^\n]*|\Z)
    |^[ \t]*TITLE\b[^\n]*
    |[:?][^\n]*
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_BLOCK = re.compile(r"\b(NEURON|PARAMETER|ASSIGNED|STATE)\s*\{([^{}]*)\}?")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DECLARED = re.compile(
    rf"""
    \b([A-Za-z]\w*)(?:\s*\[\s*(\w+)\s*\])?
    (?:\s*=\s*({_NUMBER}|[A-Za-z]\w*))?
    (?:\s*FROM\s+\S+\s+TO\s+[^\s(]+)?
    (?:\s*START\s+\S+)?
    (?:\s*\(\s*([^()]*?)\s*\))?
    (?:\s*FROM\s+\S+\s+TO\s+[^\s(]+)?
    (?:\s*<\s*({_NUMBER})\s*,\s*({_NUMBER})\s*>)?
    """,
    re.VERBOSE,
)
_STATEMENT = re.compile(
    r"\b(RANGE|GLOBAL|POINTER|BBCOREPOINTER|USEION|READ|WRITE|VALENCE|NONSPECIFIC_CURRENT"
    r"|ELECTRODE_CURRENT|[A-Z][A-Z_]{2,}(?![\w]))|([A-Za-z]\w*|[-+]?\d+)"
)
_GIVEN = frozenset({"v", "t", "dt", "celsius", "area", "diam", "PI"})
"""What NEURON gives to every mechanism."""


class Ion:
    """How a mechanism uses an ion.

    Attributes
    ----------
    name : str
        Such as ``ca``.
    reads, writes : tuple of str
        Such as ``eca`` and ``ica``.
    valence : int or None
        Where it says one.
    """

    __slots__ = ("name", "reads", "valence", "writes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.reads: tuple[str, ...] = ()
        self.writes: tuple[str, ...] = ()
        self.valence: int | None = None

    def __str__(self) -> str:
        """Return it for people."""
        uses = [f"reads {' '.join(self.reads)}"] if self.reads else []
        uses += [f"writes {' '.join(self.writes)}"] if self.writes else []
        uses += [f"valence {self.valence}"] if self.valence is not None else []
        return f"{self.name} ({', '.join(uses)})" if uses else self.name

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "name": self.name,
            "reads": list(self.reads),
            "writes": list(self.writes),
            "valence": self.valence,
        }


class Variable:
    """A variable of a mechanism.

    Attributes
    ----------
    name : str
        As the source has it.
    what : str
        ``parameter`` (one for each place), ``global`` (one for all places), ``state`` or
        ``assigned``.
    units : str
        Such as ``S/cm2``; empty where it has none.
    default : str
        As the source writes it; empty where it gives none.
    limits : tuple of str
        The lowest and the highest value; empty where it gives none.
    size : str
        Of an array, the number of its values; else empty.
    """

    __slots__ = ("default", "limits", "name", "size", "units", "what")

    def __init__(
        self, name: str, what: str, units: str, default: str, limits: tuple[str, ...], size: str
    ) -> None:
        self.name = name
        self.what = what
        self.units = units
        self.default = default
        self.limits = limits
        self.size = size

    def __repr__(self) -> str:
        return f"<{self.what} {self.name} ({self.units})>"

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "name": self.name,
            "what": self.what,
            "units": self.units or None,
            "default": self.default or None,
            "limits": list(self.limits) or None,
            "size": self.size or None,
        }


class Described:
    """What a source says of itself.

    Attributes
    ----------
    ions : tuple of Ion
        Those that it uses.
    currents : tuple of str
        Those that belong to no ion.
    variables : tuple of Variable
        What a person can set or record: parameters, globals, states, other range variables.
    pointers : tuple of str
        What a model has to point somewhere before it runs.
    """

    __slots__ = ("currents", "ions", "pointers", "variables")

    def __init__(
        self,
        ions: tuple[Ion, ...],
        currents: tuple[str, ...],
        variables: tuple[Variable, ...],
        pointers: tuple[str, ...],
    ) -> None:
        self.ions = ions
        self.currents = currents
        self.variables = variables
        self.pointers = pointers


def describe(text: str) -> Described:
    """Return what a source says of its ions and variables.

    Parameters
    ----------
    text : str
        The source, as `nmodl.decode` returns it.

    Returns
    -------
    Described
        Of a text that is no NMODL, whatever looks like a declaration.

    Examples
    --------
    >>> said = describe('''NEURON { SUFFIX k USEION k READ ek WRITE ik RANGE g }
    ... PARAMETER { g = .01 (S/cm2) <0, 1e9>  q10 = 3 }''')
    >>> print(said.ions[0])
    k (reads ek, writes ik)
    >>> said.variables
    (<parameter g (S/cm2)>, <global q10 ()>)
    """
    text = _UNREAD.sub(" ", text)
    blocks = [(found[1], found[2]) for found in _BLOCK.finditer(text)]
    ions: dict[str, Ion] = {}
    listed: dict[str, list[str]] = {}
    for keyword, inside in blocks:
        if keyword == "NEURON":
            _read_neuron_block(inside, ions, listed)
    taken = _GIVEN.union(*((*ion.reads, *ion.writes) for ion in ions.values()))
    per_place, for_all = {*listed.get("RANGE", ())}, {*listed.get("GLOBAL", ())}
    variables: dict[str, Variable] = {}
    for keyword, inside in blocks:
        if keyword != "NEURON":
            for one in _declared(keyword, inside, per_place, for_all):
                if one.name in per_place or one.name not in taken:
                    variables.setdefault(one.name, one)
    order = ("parameter", "global", "state", "assigned")
    pointers = [*listed.get("POINTER", ()), *listed.get("BBCOREPOINTER", ())]
    currents = [
        *listed.get("NONSPECIFIC_CURRENT", ()),
        *listed.get("ELECTRODE_CURRENT", ()),
    ]
    shown = [one for one in variables.values() if one.name not in pointers]
    return Described(
        tuple(ions.values()),
        tuple(currents),
        tuple(sorted(shown, key=lambda one: order.index(one.what))),
        tuple(pointers),
    )


def _read_neuron_block(inside: str, ions: dict[str, Ion], listed: dict[str, list[str]]) -> None:
    statement = ""
    ion = Ion("")
    for found in _STATEMENT.finditer(inside):
        if found[1] is not None and not (statement == "USEION" and not ion.name):
            statement = found[1]
            if statement == "USEION":
                ion = Ion("")
            continue
        word = found[0]
        if statement == "USEION":
            if not ion.name:
                ion = ions.setdefault(word, Ion(word))
        elif statement == "READ":
            ion.reads += (word,)
        elif statement == "WRITE":
            ion.writes += (word,)
        elif statement == "VALENCE":
            if word.lstrip("+-").isdigit():
                ion.valence = int(word)
        else:
            listed.setdefault(statement, []).append(word)


def _declared(
    keyword: str, inside: str, per_place: set[str], for_all: set[str]
) -> Iterator[Variable]:
    for found in _DECLARED.finditer(inside):
        name, size, default, units, low, high = found.groups(default="")
        if keyword == "STATE":
            what = "state"
        elif name in for_all:
            what = "global"
        elif keyword == "ASSIGNED":
            if name not in per_place:  # it is the mechanism's own business
                continue
            what = "assigned"
        else:
            what = "parameter" if name in per_place else "global"
        yield Variable(name, what, units, default, (low, high) if low else (), size)
