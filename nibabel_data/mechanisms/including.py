"""The files that a source includes: where they are, and taking them along with it.

``INCLUDE "x.inc"`` is looked for beside the file that says it, beside the mechanism's own file, and
in the directories of the variable ``MODL_INCLUDE``; ``#include "x.h"`` in C blocks beside the one
and the other.  Of the latter, those that are nowhere may be NEURON's own, or the system's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import join as pjoin

from ..errors import MechanismError
from . import nmodl

__all__ = ["Included", "gather", "included_files"]

_LARGEST = 16 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Included:
    """One file that a source includes, directly or not.

    Parameters
    ----------
    wanted : str
        Its name, as it is written.
    path : str
        Where it is; empty if it is nowhere.
    by : str
        The file that includes it.
    line : int or None
        The line that does, counted from 1.
    in_c : bool
        Whether a C block or a header does.
    """

    wanted: str
    path: str
    by: str
    line: int | None
    in_c: bool


def included_files(path: str) -> list[Included]:
    """Return what a source includes.

    Parameters
    ----------
    path : str
        The source.

    Returns
    -------
    list of Included
        Each statement once, those of the source first.

    Raises
    ------
    MechanismError
        If a file cannot be read.
    """
    found: list[Included] = []
    seen = {os.path.abspath(path)}
    waiting = [(os.path.abspath(path), False)]
    while waiting:
        by, is_header = waiting.pop(0)
        for one in _statements(by, is_header, os.path.dirname(os.path.abspath(path))):
            found.append(one)
            if one.path and one.path not in seen:
                seen.add(one.path)
                waiting.append((one.path, one.in_c))
    return found


def gather(path: str, name: str) -> dict[str, bytes]:
    """Return what has to stand in one directory so that a source builds there.

    Files below the directory of the source keep their place beside it.  Those from elsewhere come
    to stand beside it, and what includes them names them so.

    Parameters
    ----------
    path : str
        The source.
    name : str
        The name that it is to have.

    Returns
    -------
    dict of bytes
        By path below the directory, with forward slashes; the source is the first.

    Raises
    ------
    MechanismError
        If a file is missing or cannot be read, or two from elsewhere have one name.
    """
    path = os.path.abspath(path)
    statements = included_files(path)
    places = {path: name}
    for one in statements:
        if not one.path:
            if not one.in_c:
                raise MechanismError(_missing(one))
            continue
        place = os.path.relpath(one.path, os.path.dirname(path)).replace(os.sep, "/")
        if place.split("/")[0] == ".." or os.path.isabs(place):
            place = os.path.basename(one.path)
        other = next((p for p, at in places.items() if at == place and p != one.path), None)
        if other is not None:
            raise MechanismError(
                f"{path} includes {one.path} and {other}, which would both be {place} beside it; "
                "rename one of them"
            )
        places[one.path] = place
    files = {place: _read(source) for source, place in places.items()}
    for one in statements:
        if one.path:
            by = places[one.by]
            files[by] = _pointed(files[by], one, by, places[one.path], files)
    return files


def _statements(by: str, is_header: bool, folder: str) -> Iterator[Included]:
    text = nmodl.decode(_read(by))
    scanned = nmodl.scan(f"VERBATIM\n{text}\nENDVERBATIM\n" if is_header else text)
    beside = [os.path.dirname(by), folder]
    named = [f for f in os.environ.get("MODL_INCLUDE", "").split(os.pathsep) if f]
    for wanted in dict.fromkeys(scanned.includes):
        yield Included(wanted, _located(wanted, beside + named), by, _line(text, wanted), False)
    for wanted in scanned.c_includes:
        yield Included(wanted, _located(wanted, beside), by, _line(text, wanted), True)


def _located(wanted: str, folders: list[str]) -> str:
    paths = (os.path.abspath(pjoin(folder, wanted)) for folder in folders)
    return next((path for path in paths if os.path.isfile(path)), "")


def _line(text: str, wanted: str) -> int | None:
    at = text.find(f'"{wanted}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise MechanismError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(content) > _LARGEST:
        raise MechanismError(f"{path} is larger than {_LARGEST // 2**20} MiB: no source is")
    return content


def _missing(one: Included) -> str:
    line = f", line {one.line}" if one.line else ""
    return (
        f"{one.by}{line} includes {one.wanted!r}, which is not beside it; put it there, or name "
        "its directory in the variable MODL_INCLUDE"
    )


def _pointed(content: bytes, one: Included, by: str, place: str, files: dict[str, bytes]) -> bytes:
    """Return a file that includes another, naming it where it is to stand."""
    beside = os.path.normpath(pjoin(os.path.dirname(by), one.wanted)).replace(os.sep, "/")
    own = os.path.normpath(one.wanted).replace(os.sep, "/")
    if next((at for at in (beside, own) if at in files), None) == place:
        return content
    statement = rb"#[ \t]*include\s+" if one.in_c else rb"\bINCLUDE\s+"
    for encoding in ("utf-8", "latin-1"):
        wanted = re.escape(one.wanted.encode(encoding, "replace"))
        pattern = re.compile(rb"(" + statement + rb')"' + wanted + rb'"')
        if pattern.search(content):
            return pattern.sub(lambda m: m[1] + b'"' + os.fsencode(place) + b'"', content)
    raise MechanismError(
        f"{one.by}: its line that includes {one.wanted!r} cannot be changed to {place!r}; copy "
        "that file beside it, and name it without a directory"
    )
