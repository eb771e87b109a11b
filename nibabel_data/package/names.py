"""File names that every system can hold.

Sources: https://learn.microsoft.com/windows/win32/fileio/naming-a-file for Windows; macOS takes
names that differ only in case, or in how an accent is composed, for the same name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["LONGEST_PATH", "name_problem", "twins"]

LONGEST_PATH = 200
"""Characters of a path in a package; Windows has 260 for the whole of it."""

_FORBIDDEN = frozenset('<>:"|?*\\')
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
_RESERVED |= {f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"}


def name_problem(name: str) -> str:
    """Return why a system cannot hold a file or directory of this name; empty if all can.

    Parameters
    ----------
    name : str
        One name, not a path.

    Examples
    --------
    >>> name_problem('T1.nii.gz')
    ''
    >>> name_problem('aux.txt')
    'Windows reserves the name AUX'
    >>> name_problem('what?')
    "Windows does not allow '?' in a name"
    """
    if any(unicodedata.category(letter) == "Cs" for letter in name):
        return "the name is no text: its bytes are not UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "the name has a control character, which a manifest or Windows does not allow"
    forbidden = sorted(_FORBIDDEN.intersection(name))
    if forbidden:
        return f"Windows does not allow {forbidden[0]!r} in a name"
    if name != name.rstrip(". "):
        return "Windows takes a dot or a space off the end of a name"
    stem = name.split(".")[0].rstrip().upper()
    return f"Windows reserves the name {stem}" if stem in _RESERVED else ""


def twins(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return the paths that are one and the same on Windows or macOS, in pairs.

    Parameters
    ----------
    paths : iterable of str
        Paths of files and directories, with forward slashes.

    Examples
    --------
    >>> twins(['a/T1.nii', 'a/t1.nii', 'b/T1.nii'])
    [('a/T1.nii', 'a/t1.nii')]
    """
    seen: dict[str, str] = {}
    pairs = []
    for path in paths:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        if key in seen:
            pairs.append((seen[key], path))
        else:
            seen[key] = path
    return pairs
