"""Reading NMODL: what a source declares, its mechanism's name replaced, its text made ASCII.

The source is cut as NEURON's own translator, ``nocmodl``, cuts it: comments, strings, titles and C
blocks are passed over, so that a word in them is never taken for a declaration.  What is no NMODL
at all is left for the translator to refuse.

Source of the grammar: ``src/nmodl/lex.lpp``, ``parse1.ypp`` and ``io.cpp`` of NEURON; of the names
in C: ``nocpout.cpp``.
"""

from __future__ import annotations

import re

from ..errors import MechanismError

__all__ = ["Source", "decode", "rename", "rename_c", "rename_verbatim", "scan", "to_ascii"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

# A text is a row of these.  Each keyword begins with a capital, so that what begins with a small
# letter, and all else that means nothing here, goes by in one piece (rest).  As in nocmodl: a block
# ends at a line that begins with its END, and the rest of that line is lost; TITLE at the end of a
# line takes the next one; Ctrl-D and Ctrl-Z end the file.
_ONTOLOGY = r"REPRESENTS(?!\w)[^\n]*?(?:[A-Za-z]\w*+:\w*+\]?|(?=\n)|\Z)"
_TOKEN = re.compile(
    rf"""
    (?P<rest>(?:[a-z0-9_.][\w.]*+|[^\w.:?"{{}}\x04\x1a])++)
    |(?P<comment>[:?][^\n]*+)
    |(?P<brace>[{{}}])
    |(?P<string>"[^"]*+")
    |COMMENT(?!\w)(?P<block>(?:(?![ \t]*+ENDCOMMENT(?![A-Za-z]))[^\n]*+\n)*+)[^\n]*+
    |VERBATIM(?!\w)(?P<verbatim>(?:(?![ \t]*+ENDVERBATIM(?![A-Za-z]))[^\n]*+\n)*+)[^\n]*+
    |TITLE(?!\w)(?P<title>\n?[^\n]*+)
    |(?P<ontology>{_ONTOLOGY})
    |(?P<word>[A-Z]\w*+)
    |(?P<end>[\x04\x1a].*)
    |(?P<stray>")
    """,
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_IN_BLOCK = re.compile(
    rf"[:?][^\n]*+|{_ONTOLOGY}|([A-Za-z]\w*+|[0-9.]++(?:[eE][-+]?[0-9]++)?|[(){{}}<>-])", re.ASCII
)
_C_TOKEN = re.compile(
    r"""
    (?P<rest>(?:[^\w"'/]|/(?![/*]))++)
    |(?P<word>[A-Za-z_]\w*+)
    |(?P<number>[0-9](?:[\w.]|'(?=\w))*+)
    |(?P<comment>//(?:\\\n|[^\n])*+|/\*.*?(?:\*/|\Z))
    |(?P<string>"(?:\\.|[^"\\\n])*+")
    |(?P<character>'(?:\\.|[^'\\\n])*+')
    |(?P<stray>["'])
    """,
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_C_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_BLANK = r"(?:[ \t\n]|[:?][^\n]*+)*+"
_NAME_NEXT = re.compile(rf"{_BLANK}([A-Za-z]\w*+)", re.ASCII)
_FILE_NEXT = re.compile(rf'{_BLANK}"([^"]*+)"')
_INTEGER_NEXT = re.compile(rf"{_BLANK}([A-Za-z]\w*+){_BLANK}([0-9]++)", re.ASCII)

_KINDS = ("density", "point process", "artificial cell")
_NAMING = {
    "SUFFIX": 0, "POINT_PROCESS": 1, "ARTIFICIAL_CELL": 2,
    "VOLTAGE_PROCESS": 0, "REVERSAL_POTENTIAL_PROCESS": 0, "JUNCTION_PROCESS": 1,  # of Arbor
}  # fmt: skip
_PROCEDURES = frozenset({
    "FUNCTION", "PROCEDURE", "FUNCTION_TABLE", "DERIVATIVE", "KINETIC", "LINEAR", "NONLINEAR",
    "DISCRETE",
})  # fmt: skip
_DECLARING = frozenset({"PARAMETER", "ASSIGNED", "STATE", "CONSTANT", "INDEPENDENT", "UNITS"})
_LISTING = frozenset({
    "RANGE", "GLOBAL", "POINTER", "BBCOREPOINTER", "EXTERNAL", "RANDOM", "NONSPECIFIC_CURRENT",
    "ELECTRODE_CURRENT", "READ", "WRITE",
})  # fmt: skip
_NOT_NAMES = frozenset({"FROM", "TO", "BY", "WITH", "START", "SWEEP"})

# In the C that nocmodl writes ``rates`` is ``rates_k`` or ``rates__k``, ``nrn_init`` is
# ``_nrn_init__k``: what it puts before a declared name, and the names of its own making.
_C_PREFIXES = ("_f_", "table_", "_hoc_", "_npy_", "_check_")
_C_NAMES = frozenset({
    "usetable", "setdata", "_setdata", "_hoc_setdata", "_check_table_thread", "nrn_init",
    "nrn_cur", "nrn_state", "nrn_jacob", "nrn_alloc", "_nrn_init", "_nrn_initial", "_nrn_cur",
    "_nrn_current", "_nrn_state", "_nrn_jacob", "_nrn_alloc", "_net_receive", "_net_init",
    "_net_buf_receive",
})  # fmt: skip

# Characters that Unicode does not take apart into ASCII, or not into what is read as the same.  No
# value begins with a slash, or has in it what ends a comment, a string or a title.
_SIGNS = {
    "µ": "u", "μ": "u", "°": "deg", "±": "+/-", "×": "x", "·": ".", "÷": "div",
    "²": "^2", "³": "^3", "¹": "^1", "⁻": "^-", "⁺": "^+",
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-",
    "‘": "'", "’": "'", "‚": "'", "′": "'", "´": "'", "“": "'", "”": "'", "„": "'", "″": "''",
    "«": "<<", "»": ">>", "…": "...", "•": "-", "≤": "<=", "≥": ">=", "≠": "<>", "≈": "~",
    "∼": "~", "≃": "~", "≡": "=", "→": "->", "←": "<-", "↔": "<->", "⇌": "<->", "⇒": "=>",
    "√": "sqrt", "∞": "inf", "∆": "Delta", "∑": "sum", "∫": "int", "∂": "d", "∙": ".", "⋅": ".",
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "ð": "d", "©": "(c)", "®": "(R)", "€": "EUR",
    "£": "GBP", "¼": "1/4", "½": "1/2", "¾": "3/4",
}  # fmt: skip


class Source:
    """What a source declares.

    Attributes
    ----------
    kind : str
        ``density``, ``point process``, ``artificial cell``, or ``functions`` for ``SUFFIX
        nothing``, which is no mechanism and whose functions keep their names.
    suffix : str or None
        The name that it gives its mechanism; None where it gives none, and the file's stem is it.
    includes : tuple of str
        The files of its ``INCLUDE`` statements.
    c_includes : tuple of str
        The files of ``#include "..."`` in its C blocks.
    ions : tuple of (str, float or None)
        The ions that it uses, and the valence where it says one.
    names : frozenset of str
        The names that it declares: functions, procedures, variables, constants.
    pointers : tuple of str
        The variables of its ``POINTER`` statements, which a model has to point somewhere.
    title : str
        The text of its ``TITLE``.
    has_bbcorepointer : bool
        Whether it has data that only its own C code can save.
    """

    __slots__ = (
        "_names_at",
        "_opening",
        "_verbatim_at",
        "c_includes",
        "has_bbcorepointer",
        "includes",
        "ions",
        "kind",
        "names",
        "pointers",
        "suffix",
        "title",
    )

    def __init__(self) -> None:
        self.kind = "density"
        self.suffix: str | None = None
        self.includes: tuple[str, ...] = ()
        self.c_includes: tuple[str, ...] = ()
        self.ions: tuple[tuple[str, float | None], ...] = ()
        self.names: frozenset[str] = frozenset()
        self.pointers: tuple[str, ...] = ()
        self.title = ""
        self.has_bbcorepointer = False
        self._names_at: list[tuple[int, int]] = []  # begin and end of what gives it its name
        self._opening: int | None = None  # just behind the brace of its NEURON block
        self._verbatim_at: list[tuple[int, int]] = []

    def __repr__(self) -> str:
        return f"Source(kind={self.kind!r}, suffix={self.suffix!r})"


def decode(content: bytes) -> str:
    r"""Return the text of a source file.

    Parameters
    ----------
    content : bytes
        What is in it: UTF-8, with or without a byte order mark, else taken for Latin-1.

    Returns
    -------
    str
        The text, each line ended by a newline character alone.

    Examples
    --------
    >>> decode(b'TITLE caf\xe9\r\n')
    'TITLE café\n'
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        if content.startswith(b"\xef\xbb\xbf"):
            text = text[3:]
    text = text.removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def scan(text: str) -> Source:
    """Read what a source declares.

    Parameters
    ----------
    text : str
        The source, as `decode` returns it.

    Returns
    -------
    Source
        What it declares; of a text that is no NMODL, whatever looks like a declaration.

    Examples
    --------
    >>> source = scan('NEURON { SUFFIX k USEION k READ ek WRITE ik VALENCE 1 } : SUFFIX na')
    >>> source.kind, source.suffix, source.ions
    ('density', 'k', (('k', 1),))
    """
    source = Source()
    names: set[str] = set()
    includes: list[str] = []
    c_includes: list[str] = []
    integers: dict[str, str] = {}
    blocks: list[tuple[str, int, int]] = []
    keyword, block, begin, depth, end = "", "", 0, 0, len(text)
    for token in _TOKEN.finditer(text):
        group = token.lastgroup
        if group == "word":
            word = token[0]
            if depth == 0:
                keyword = word
            if word in _PROCEDURES:
                if found := _NAME_NEXT.match(text, token.end()):
                    names.add(found[1])
            elif word == "INCLUDE":
                if found := _FILE_NEXT.match(text, token.end()):
                    includes.append(found[1])
            elif word == "DEFINE" and (found := _INTEGER_NEXT.match(text, token.end())):
                integers[found[1]] = found[2]
        elif group == "brace":
            if token[0] == "{":
                if depth == 0:
                    block, begin, keyword = keyword, token.end(), ""
                depth += 1
            elif depth:
                depth -= 1
                if depth == 0:
                    blocks.append((block, begin, token.start()))
        elif group == "verbatim":
            source._verbatim_at.append(token.span("verbatim"))
            c_includes += _c_includes(token["verbatim"])
        elif group == "title":
            source.title = source.title or token["title"].partition("!")[0].strip()
        elif group == "end":
            end = token.start()
    if depth:
        blocks.append((block, begin, end))
    names.update(integers)
    for block, begin, end in blocks:
        if block == "NEURON":
            _read_neuron_block(source, text, begin, end, names, integers)
        elif block in _DECLARING:
            _read_declarations(text, begin, end, names)
    if source.suffix == "nothing":
        source.kind = "functions"
    source.names = frozenset(names)
    source.includes = tuple(includes)
    source.c_includes = tuple(dict.fromkeys(c_includes))
    return source


def rename(text: str, name: str, *, stem: str = "", names: Collection[str] = frozenset()) -> str:
    r"""Return a source with the name of its mechanism replaced.

    Only what gives the mechanism its name, and what follows from it in C blocks, is touched, so
    that comments, variables and ions of the same name stay.  Every line keeps its number.

    Parameters
    ----------
    text : str
        The source, as `decode` returns it.
    name : str
        The new name.  ``SUFFIX nothing`` stays what it is.
    stem : str, optional
        The stem of the file, which is the old name of a mechanism to which the source gives none.
    names : collection of str, optional
        What the files that it includes declare, beside what it declares itself.

    Returns
    -------
    str
        The source under its new name; the same text if it has that name already.

    Raises
    ------
    MechanismError
        If `name` is not a name in NMODL, or if a keyword such as ``SUFFIX`` has no name after it.

    Examples
    --------
    >>> rename('NEURON { SUFFIX k USEION k READ ek }  : SUFFIX k', 'glia__a__k__0')
    'NEURON { SUFFIX glia__a__k__0 USEION k READ ek }  : SUFFIX k'
    >>> rename('NEURON {\n THREADSAFE }', 'glia__a__k__0')
    'NEURON { SUFFIX glia__a__k__0\n THREADSAFE }'
    """
    if not (name.isidentifier() and name.isascii()) or name[0] == "_" or name == "nothing":
        raise MechanismError(f"{name!a} cannot be the name of a mechanism in NMODL")
    source = scan(text)
    for begin, end in source._names_at:
        if begin == end:
            line = text.count("\n", 0, begin) + 1
            raise MechanismError(f"line {line}: a mechanism is to be named, but no name follows")
    if source.kind == "functions":
        return text
    pieces: list[tuple[int, int, str]] = []
    if source._names_at:
        pieces += [(*at, name) for at in source._names_at if text[slice(*at)] != "nothing"]
    elif source._opening is not None:
        blank = "" if text[source._opening : source._opening + 1].isspace() else " "
        pieces.append((source._opening, source._opening, f" SUFFIX {name}{blank}"))
    else:
        pieces.append((0, 0, f"NEURON {{ SUFFIX {name} }} "))
    old = source.suffix or stem
    if old and old != name:
        known = source.names.union(names)
        for begin, end in source._verbatim_at:
            pieces.append((begin, end, rename_c(text[begin:end], old, name, known)))
    return _replaced(text, pieces)


def rename_verbatim(text: str, old: str, new: str, names: Collection[str]) -> str:
    r"""Return a source with the names that follow from its mechanism's name replaced in C blocks.

    It is for a file that another one includes; `rename` does it in the file itself.

    Parameters
    ----------
    text : str
        The source, as `decode` returns it.
    old, new : str
        The name of the mechanism, before and after.
    names : collection of str
        What the source that includes it declares, beside what it declares itself.

    Returns
    -------
    str
        The source; every line keeps its number.

    Examples
    --------
    >>> print(rename_verbatim('VERBATIM\n x = rates_k(2);  // rates_k\nENDVERBATIM', 'k', 'q',
    ...                       {'rates'}))
    VERBATIM
     x = rates_q(2);  // rates_k
    ENDVERBATIM
    """
    source = scan(text)
    known = source.names.union(names)
    pieces = [
        (begin, end, rename_c(text[begin:end], old, new, known))
        for begin, end in source._verbatim_at
    ]
    return _replaced(text, pieces)


def rename_c(text: str, old: str, new: str, names: Collection[str]) -> str:
    """Return C text with the names that ``nocmodl`` makes from a mechanism's name replaced.

    Parameters
    ----------
    text : str
        C or C++; its comments and strings stay.
    old, new : str
        The name of the mechanism, before and after.
    names : collection of str
        What the source declares.  A name that is itself declared stays.

    Returns
    -------
    str
        The text, where ``f_old`` and ``f__old`` of a declared ``f`` have become those of `new`.

    Examples
    --------
    >>> rename_c('rates_k(ion_k, "rates_k");', 'k', 'glia__a__k__0', {'rates'})
    'rates_glia__a__k__0(ion_k, "rates_k");'
    """
    ending = f"_{old}"
    if ending not in text or old == new:
        return text

    def follow(token: re.Match[str]) -> str:
        word = token[0]
        if token.lastgroup == "word" and word.endswith(ending) and word not in names:
            base = word[: -len(ending)]
            if _is_made(base, names) or (base[-1:] == "_" and _is_made(base[:-1], names)):
                return f"{base}_{new}"
        return word

    return _C_TOKEN.sub(follow, text)


def to_ascii(text: str, path: str) -> str:
    """Return a source that has nothing but ASCII in it, which is all that ``nocmodl`` takes.

    Parameters
    ----------
    text : str
        The source, as `decode` returns it.
    path : str
        The file, for the error.

    Returns
    -------
    str
        The source with the characters in comments, titles and strings written in ASCII, or as a
        question mark.  Every line keeps its number, and what was a comment is one.

    Raises
    ------
    MechanismError
        If there is such a character anywhere else, where it may mean something.

    Examples
    --------
    >>> to_ascii('tau = 1 : Müller, 5 µm², “α”', 'a.mod')
    "tau = 1 : Muller, 5 um^2, 'alpha'"
    """
    if text.isascii():
        return text
    plain = _written(text, path, _plain)
    if _shape(plain) != _shape(text):  # such as a full-width ENDCOMMENT
        plain = _written(text, path, lambda _: "?")
    return plain


def _read_neuron_block(
    source: Source, text: str, begin: int, end: int, names: set[str], integers: dict[str, str]
) -> None:
    if source._opening is None:
        source._opening = begin
    ions = dict(source.ions)
    keyword = ion = sign = ""
    for token in _IN_BLOCK.finditer(text, begin, end):
        word = token[1]
        if word is None:
            continue
        if word in _NAMING:
            source.kind = _KINDS[max(_NAMING[word], _KINDS.index(source.kind))]
            at = token.end(), token.end()
            if found := _NAME_NEXT.match(text, token.end(), end):
                source.suffix, at = found[1], found.span(1)
            source._names_at.append(at)
            keyword = "" if at[0] == at[1] else word
        elif keyword in _NAMING:
            keyword = ""  # the name, which was read with its keyword
        elif word in _LISTING or word in ("USEION", "THREADSAFE", "VALENCE", "CHARGE"):
            keyword, sign = word, ""
            source.has_bbcorepointer |= word == "BBCOREPOINTER"
        elif keyword == "USEION":
            ion, keyword = word, ""
            ions.setdefault(ion, None)
        elif keyword in ("VALENCE", "CHARGE"):
            if word == "-":
                sign = "-"
            else:
                ions[ion] = _valence(sign + integers.get(word, word))
                keyword = ""
        elif keyword in _LISTING and word[0].isalpha():
            names.add(word)
            if keyword == "POINTER":
                source.pointers += (word,)
    ions.pop("", None)
    source.ions = tuple(ions.items())


def _read_declarations(text: str, begin: int, end: int, names: set[str]) -> None:
    depth = 0
    for token in _IN_BLOCK.finditer(text, begin, end):
        word = token[1]
        if word == "(":
            depth += 1
        elif word == ")":
            depth = max(0, depth - 1)
        elif word and depth == 0 and word[0].isalpha() and word not in _NOT_NAMES:
            names.add(word)


def _valence(text: str) -> float | None:
    try:
        valence = float(text)
    except ValueError:
        return None
    return int(valence) if valence == valence // 1 else valence


def _c_includes(text: str) -> list[str]:
    if "include" not in text:
        return []
    if "/*" in text:
        text = _C_TOKEN.sub(lambda token: "" if token.lastgroup == "comment" else token[0], text)
    return _C_INCLUDE.findall(text)


def _is_made(name: str, names: Collection[str]) -> bool:
    """Return whether `nocmodl` puts the mechanism's name behind this one, in C."""
    return (
        name in names
        or name in _C_NAMES
        or any(name.startswith(p) and name[len(p) :] in names for p in _C_PREFIXES)
    )


def _replaced(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    parts, last = [], 0
    for begin, end, piece in sorted(pieces):
        parts += [text[last:begin], piece]
        last = end
    return "".join([*parts, text[last:]])


def _written(text: str, path: str, write: Callable[[str], str]) -> str:
    """Return the text with `write` applied to each character that is not ASCII."""
    parts = []
    for begin, end, group in _pieces(text):
        piece = text[begin:end]
        if not piece.isascii():
            if group in ("rest", "ontology"):
                raise _not_ascii(text, begin, end, path)
            piece = "".join([c if c.isascii() else write(c) for c in piece])
            if group == "character":
                piece = (
                    f"'{piece[1:-1].replace(chr(39), '`')}'" if chr(39) in piece[1:-1] else piece
                )
        parts.append(piece)
    return "".join(parts)


def _pieces(text: str) -> Iterable[tuple[int, int, str]]:
    """Yield the tokens of a text, those of its C blocks among them: begin, end, group."""
    for token in _TOKEN.finditer(text):
        group = str(token.lastgroup)
        if group != "verbatim":
            yield *token.span(), group
            continue
        begin, end = token.span("verbatim")
        yield token.start(), begin, "word"
        for inner in _C_TOKEN.finditer(text, begin, end):
            yield *inner.span(), str(inner.lastgroup)
        yield end, token.end(), "block"


def _shape(text: str) -> list[tuple[str, int]]:
    return [(group, text.count("\n", begin, end)) for begin, end, group in _pieces(text)]


def _not_ascii(text: str, begin: int, end: int, path: str) -> MechanismError:
    import unicodedata

    at = next(i for i in range(begin, end) if not text[i].isascii())
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    called = unicodedata.name(text[at], f"U+{ord(text[at]):04X}")
    return MechanismError(
        f"{path}, line {line}, column {column}: {text[at]!a} ({called}) stands outside comments "
        "and strings, where NMODL takes ASCII alone"
    )


def _plain(character: str) -> str:
    """Return what stands for a character in ASCII: nothing for an accent, "?" for the unknown."""
    import unicodedata

    if character in _SIGNS:
        return _SIGNS[character]
    category = unicodedata.category(character)
    if category in ("Mn", "Cf"):
        return ""
    if category == "Zs":
        return " "
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and words[1:3] in (["SMALL", "LETTER"], ["CAPITAL", "LETTER"]):
        letter = words[4 if words[3] == "FINAL" else 3].lower()
        return letter if words[1] == "SMALL" else letter.capitalize()
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return "?"
    plain = "".join([p if p.isascii() else "/" if p == "\u2044" else _plain(p) for p in parts])
    is_harmless = plain[:1] != "/" and all(p.isalnum() or p in " .,()+<=>^_~/-" for p in plain)
    return plain if plain and is_harmless else "?"
