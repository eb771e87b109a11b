"""File names that every system can hold, and that show themselves as what they are.

Sources: https://learn.microsoft.com/windows/win32/fileio/naming-a-file for Windows; macOS takes
names that differ only in case, or in how an accent is composed, for the same name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = [
    "DEEPEST",
    "LONGEST_PATH",
    "collision",
    "folded",
    "name_problem",
    "path_problem",
    "relpath_problem",
    "shortened",
    "twins",
]

LONGEST_PATH = 200
"""Characters of a path in a package; Windows has 260 for the whole of it."""

DEEPEST = 100
"""Directories above a file in a package; no system holds thousands."""

_SHOWN = 300
_TURNING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e")
_TURNING |= frozenset("\u2066\u2067\u2068\u2069")
"""What turns the letters that follow round, so that gpj.exe reads as exe.jpg; and line ends."""

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
    turning = sorted(_TURNING.intersection(name))
    if turning:
        return f"the name has the invisible character {turning[0]!r}, and is not what it looks like"
    forbidden = sorted(_FORBIDDEN.intersection(name))
    if forbidden:
        return f"Windows does not allow {forbidden[0]!r} in a name"
    if name != name.rstrip(". "):
        return "Windows takes a dot or a space off the end of a name"
    stem = name.split(".")[0].rstrip().upper()
    return f"Windows reserves the name {stem}" if stem in _RESERVED else ""


def path_problem(path: str) -> str:
    """Return why a system cannot hold a path in a package; empty if all can.

    Parameters
    ----------
    path : str
        A relative path with forward slashes, in its normal form.

    Examples
    --------
    >>> path_problem('a:b/T1.nii')
    "Windows does not allow ':' in a name"
    """
    parts = path.split("/")
    if len(parts) > DEEPEST:
        return f"the path is too deep: {len(parts)} levels, and {DEEPEST} are the most"
    return next(filter(None, map(name_problem, parts)), "")


def relpath_problem(relpath: str) -> str:
    """Return why no package can stand at a path below a root; empty if one can.

    Parameters
    ----------
    relpath : str
        ``PROJECT/PACKAGE``.

    Examples
    --------
    >>> relpath_problem('.cache/atlas')
    "a name that begins with a dot is hidden, and is never found: '.cache'"
    """
    for part in relpath.split("/"):
        if part.startswith("."):
            return f"a name that begins with a dot is hidden, and is never found: {part!r}"
    return path_problem(relpath)


def shortened(path: str) -> str:
    """Return a path for a message, without the end if it is very long."""
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."


def folded(path: str) -> str:
    """Return what paths have in common that are one and the same on Windows or macOS.

    Examples
    --------
    >>> folded('T1.NII') == folded('t1.nii')
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def collision(paths: Iterable[str], manifest: str) -> str:
    """Return why not every system can hold the files of a package beside each other; empty if all.

    Parameters
    ----------
    paths : iterable of str
        The paths of its files, with forward slashes.
    manifest : str
        What its manifest is called, which is written beside them.

    Examples
    --------
    >>> collision(['a/L/y', 'a/l/x'], 'm.txt')
    "'a/l' is 'a/L' on some systems"
    >>> collision(['M.TXT'], 'm.txt')
    "'M.TXT' is 'm.txt' on some systems"
    >>> collision(['m.txt/a'], 'm.txt')
    "'m.txt/a' lies in 'm.txt', which is a file"
    """
    files = sorted(path for path in paths if path != manifest)
    folders: dict[str, None] = {}
    for path in files:
        if folded(path.partition("/")[0]) == folded(manifest) and "/" in path:
            return f"{path!r} lies in {path.partition('/')[0]!r}, which is a file"
        while (path := path.rpartition("/")[0]) and path not in folders:
            folders[path] = None
    for first, second in twins([manifest, *sorted(folders), *files]):
        return f"{second!r} is {first!r} on some systems"
    return ""


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
        key = folded(path)
        if key in seen:
            pairs.append((seen[key], path))
        else:
            seen[key] = path
    return pairs
