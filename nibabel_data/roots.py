"""`Root` and `Origin`: a directory of the search path, and who put it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Origin", "Root"]

_SENTENCES = {
    "variable": "{where}",
    "user file": "{place}",
    "system file": "{place}",
    "prefix": "Python prefix (sys.prefix)",
    "debian": "Debian's /usr/local",
    "user directory": "NIPY user directory",
    "user base": "pip install --user",
    "base prefix": "base Python of this environment",
    "site data": "system data directories (platformdirs)",
    "plug-in": "plug-in {where}",
    "adapter": "data of {where}",
    "installer": "installed beside {where}",
    "argument": "data_path argument",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who put a root on the search path.

    Parameters
    ----------
    kind : str
        One of ``variable``, ``user file``, ``system file``, ``prefix``, ``debian``,
        ``user directory``, ``user base``, ``base prefix``, ``site data``, ``plug-in``,
        ``installer``, ``adapter``, ``argument``.
    where : str
        The variable's name, the file, the plug-in or the directory; empty where `kind` says all.
    line : int or None
        The line of the file, counted from 1.

    Examples
    --------
    >>> print(Origin('system file', '/etc/nipy/nipy_templates.ini', 2))
    /etc/nipy/nipy_templates.ini:2
    """

    kind: str
    where: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where}:{self.line}"
        return _SENTENCES[self.kind].format(where=self.where, place=place)


@dataclass(frozen=True, slots=True)
class Root:
    """One entry of the search path.

    Parameters
    ----------
    path : pathlib.Path or None
        The directory; None for an ini file that could not be used, so that nobody knows which
        directories it was to add.
    origin : Origin
        Who put it there.
    state : str
        ``searched``; ``missing``, ``unreadable`` or ``not a directory``; for an ini file
        ``malformed`` or ``unreadable``.
    problem : str
        Why it is not searched; empty where it is.
    """

    path: Path | None
    origin: Origin
    state: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.path or '-'} ({self.origin}): {self.problem or self.state}"
