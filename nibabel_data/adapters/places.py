"""What the adapters share: the directories that variables name, and those below a place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import ini
from ..environment import expand
from ..errors import DataError
from .package import Place

__all__ = ["cache_path", "directories", "first_line", "is_empty", "named_by", "unique"]


def named_by(variable: str, *, several: bool = False) -> list[Place]:
    """Return the places that an environment variable names; none if it is unset or empty.

    Parameters
    ----------
    variable : str
        Its name.
    several : bool, optional
        Whether it may name more than one, separated by ``os.pathsep``.
    """
    value = os.environ.get(variable, "")
    paths = value.split(os.pathsep) if several else [value]
    return [Place(Path(os.path.abspath(expand(path))), variable) for path in paths if path.strip()]


def cache_path(name: str) -> Path:
    """Return the user's cache directory for a program, as `platformdirs` names it.

    It is called as TemplateFlow and pooch call it, without an author, so that the answer is theirs.
    """
    import platformdirs

    return Path(platformdirs.user_cache_dir(name))


def unique(places: Iterable[Place]) -> list[Place]:
    """Return the places in order, none twice."""
    seen: dict[Path | None, Place] = {}
    for place in places:
        seen.setdefault(place.path, place)
    return list(seen.values())


def directories(place: Path | None, name: str = "") -> Iterator[Path]:
    """Yield the directories in a place, sorted, hidden ones left out.

    Parameters
    ----------
    place : pathlib.Path or None
        Where to look; nothing is yielded if it is not there or cannot be read.
    name : str, optional
        The one that is asked for, rather than all.
    """
    if place is None or name.startswith("."):
        return
    try:
        names = [name] if name else sorted(os.listdir(place))
    except OSError:
        return
    for each in names:
        if each[0] != "." and os.path.isdir(place / each):
            yield place / each


def is_empty(directory: Path) -> bool:
    """Return whether nothing is in a directory; False if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def first_line(file: Path) -> str:
    """Return the first line of a small text file, stripped; empty if it cannot be read."""
    try:
        text, _ = ini.read_text(str(file))
    except (OSError, DataError):
        return ""
    return text.partition("\n")[0].strip()
