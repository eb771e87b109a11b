"""The variables of a makefile, as far as NEURON's ``nrnmech_makefile`` needs them."""

from __future__ import annotations

import re

__all__ = ["variables"]

_ASSIGNMENT = re.compile(
    r"\s*(?:(?:export|override)\s+)?([A-Za-z_]\w*)\s*(:{0,3}=|\?=|\+=)\s*(.*)", re.ASCII
)
_EQUAL = re.compile(r"\((.*),(.*)\)|([\"'])(.*)\3\s*([\"'])(.*)\5")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_CONTINUED = re.compile(r"[ \t]*\\\r?\n[ \t]*")
_REFERENCE = re.compile(r"\$(?:\(([^()]*)\)|\{([^{}]*)\})")
_DOLLAR = "\0"  # what stands for $$ until all is expanded


def variables(text: str, given: dict[str, str]) -> dict[str, str]:
    r"""Return the variables of a makefile, expanded.

    Functions such as ``$(shell ...)`` are empty, conditions compare what is known, and a rule's
    lines are passed over.

    Parameters
    ----------
    text : str
        The makefile.
    given : dict of str
        Variables that the command line sets; the makefile does not change them.

    Returns
    -------
    dict of str
        By name.

    Examples
    --------
    >>> text = 'CXX = c++\nFLAGS = -O2\nRUN = $(CXX) $(FLAGS) -I${ROOT}'
    >>> known = variables(text, {'ROOT': '/n'})
    >>> known['RUN']
    'c++ -O2 -I/n'
    """
    raw = dict(given)
    taken: list[bool] = []  # of each condition around the line, whether its branch is taken
    done: list[bool] = []  # and whether one of its branches has been
    for line in _CONTINUED.sub(" ", text.replace("$$", _DOLLAR)).splitlines():
        word, _, rest = _COMMENT.sub("", line).strip().replace("(", " (", 1).partition(" ")
        if word in _CONDITIONS:
            taken.append(_holds(word, rest.strip(), raw))
            done.append(taken[-1])
        elif word == "else" and taken:
            again, _, rest = rest.strip().partition(" ")
            holds = again not in _CONDITIONS or _holds(again, rest.strip(), raw)
            taken[-1] = holds and not done[-1]
            done[-1] |= taken[-1]
        elif word == "endif" and taken:
            taken.pop()
            done.pop()
        elif all(taken) and not line.startswith("\t"):
            _assign(_COMMENT.sub("", line), raw, given)
    return {name: _expand(value, raw).replace(_DOLLAR, "$") for name, value in raw.items()}


_CONDITIONS = ("ifeq", "ifneq", "ifdef", "ifndef")


def _holds(kind: str, condition: str, known: dict[str, str]) -> bool:
    if kind in ("ifdef", "ifndef"):
        return bool(known.get(condition)) is (kind == "ifdef")
    found = _EQUAL.fullmatch(condition)
    if found is None:
        return False
    left, right = (found[1], found[2]) if found[3] is None else (found[4], found[6])
    return (_expand(left, known).strip() == _expand(right, known).strip()) is (kind == "ifeq")


def _assign(line: str, raw: dict[str, str], given: dict[str, str]) -> None:
    found = _ASSIGNMENT.fullmatch(line)
    if found is None or found[1] in given:
        return
    name, how, value = found.groups()
    value = value.strip()
    if how == "+=":
        raw[name] = f"{raw.get(name, '')} {value}".strip()
    elif ":" in how:
        raw[name] = _expand(value, raw)
    elif how == "=" or name not in raw:
        raw[name] = value


def _expand(value: str, known: dict[str, str]) -> str:
    """Replace references, innermost first; a function or an unknown name becomes nothing."""
    for _ in range(_DEEPEST):
        replaced = _REFERENCE.sub(lambda m: known.get((m[1] or m[2] or "").strip(), ""), value)
        if replaced == value:
            break
        value = replaced if len(replaced) < _LONGEST else ""
    return _REFERENCE.sub("", value)


_DEEPEST = 100
_LONGEST = 1 << 16
"""Characters: a variable in its own value has no end."""
