"""The variables of a makefile, as far as NEURON's ``nrnmech_makefile`` needs them."""

from __future__ import annotations

import re

__all__ = ["variables"]

_ASSIGNMENT = re.compile(r"^\s*([A-Za-z_]\w*)\s*(:=|\?=|\+=|=)\s*(.*)$")
_CONDITION = re.compile(r"^\s*(ifeq|ifneq)\s*\((.*),(.*)\)\s*$")
_REFERENCE = re.compile(r"\$(?:\(([^()]*)\)|\{([^{}]*)\})")


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
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.strip()
        condition = _CONDITION.match(line)
        if condition is not None:
            kind, left, right = condition.groups()
            same = _expand(left, raw).strip() == _expand(right, raw).strip()
            taken.append(same is (kind == "ifeq"))
        elif bare.startswith(("ifdef ", "ifndef ")):
            kind, _, name = bare.partition(" ")
            taken.append(bool(raw.get(name.strip())) is (kind == "ifdef"))
        elif bare == "else" and taken:
            taken[-1] = not taken[-1]
        elif bare == "endif" and taken:
            taken.pop()
        elif all(taken) and not line.startswith("\t"):
            _assign(line, raw, given)
    return {name: _expand(value, raw) for name, value in raw.items()}


def _assign(line: str, raw: dict[str, str], given: dict[str, str]) -> None:
    found = _ASSIGNMENT.match(line)
    if found is None or found[1] in given:
        return
    name, how, value = found.groups()
    value = value.partition(" #")[0].strip()
    if how == "+=":
        raw[name] = f"{raw.get(name, '')} {value}".strip()
    elif how == ":=":
        raw[name] = _expand(value, raw)
    elif how == "=" or name not in raw:
        raw[name] = value


def _expand(value: str, known: dict[str, str], depth: int = 20) -> str:
    """Replace references, innermost first; a function or an unknown name becomes nothing."""
    for _ in range(depth):
        replaced = _REFERENCE.sub(lambda m: known.get((m[1] or m[2] or "").strip(), ""), value)
        if replaced == value:
            break
        value = replaced
    return value
