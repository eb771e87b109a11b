"""Whether a package is as it was when nothing was amiss in it, by the signatures of its files.

Of each package in which nothing was amiss, one small file in the user's cache directory holds one
fingerprint of the names and signatures (time stamps, size, inode) of all its files.  While it holds
nothing else has to be looked at (but the RECORD of its distribution, if it was checked by that):
this is what ``verify`` of an unchanged package takes, so that
this module imports little, and asks the file system for no more than the status of each file.

Losing the cache costs time, nothing else.
"""

from __future__ import annotations

import marshal
import os
import time
from os.path import join as pjoin

from ..environment import cache_dir
from ..files import LEFT_OUT, PARTIAL
from ..ini import settled, signature

try:  # as the standard library's `random` does: `hashlib` loads OpenSSL, which takes 2 ms
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["Fingerprint", "forget", "is_unchanged", "record_path", "recorded_base"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..ini import Signature

_FORM = "nibabel-data verified 3"
_LARGEST = 1 << 16
_BY_DESCRIPTOR = os.scandir in os.supports_fd
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


def is_unchanged(base: str) -> tuple[str, int, int] | None:
    """Return what a package was checked against, and how many files, if it is still the same.

    Parameters
    ----------
    base : str
        The package's directory.

    Returns
    -------
    (str, int, int) or None
        What, how many files, and how many it promises that were not fetched; None if it has
        changed, or nothing is known of it, or something in it cannot be read.
    """
    lines = _lines(record_path(base, "clean"))
    if len(lines) != 8 or lines[:2] != [_FORM, os.path.realpath(base)]:
        return None
    if not lines[3].isdecimal() or not lines[4].isdecimal():
        return None
    now = Fingerprint(base, lines[6])
    if lines[7]:
        now.add_record(lines[7])
    if not now.text or now.text != lines[2]:
        return None
    return lines[5], int(lines[3][:18]), int(lines[4][:18])


def forget(base: str) -> None:
    """Forget that nothing was amiss in a package: a disk can damage a file without a trace."""
    try:
        os.unlink(record_path(base, "clean"))
    except OSError:
        return  # nothing was known, or nothing can be written


def record_path(base: str, kind: str) -> str:
    """Return the file of the cache in which something is remembered of a package.

    Parameters
    ----------
    base : str
        The package's directory.
    kind : str
        ``clean``: that nothing was amiss; ``files``: the hash of each file, see `stamps`.
    """
    name = blake2b(os.fsencode(os.path.realpath(base)), digest_size=16).hexdigest()
    return pjoin(cache_dir(), "verified", f"{name}.{kind}")


def recorded_base(path: str) -> str:
    """Return the package's directory of which such a file tells; empty if it tells of none."""
    lines = _lines(path)
    return lines[1] if len(lines) > 1 and lines[0].startswith("nibabel-data ") else ""


def _lines(path: str) -> list[str]:
    """Return the first lines of a file of the cache; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(_LARGEST)).split("\n")
    except (OSError, UnicodeDecodeError):
        return []


class Fingerprint:
    """The names and signatures of all files of a package, as they are now.

    Parameters
    ----------
    base : str
        The package's directory.
    overlay : str, optional
        The directory of its fetched files, if it is a thin package; it need not exist.

    Attributes
    ----------
    text : str
        One hash of them; empty if something cannot be read, or is a link that leads nowhere.
    """

    __slots__ = ("_base", "_overlay", "_record", "text")

    def __init__(self, base: str, overlay: str = "") -> None:
        self._base, self._overlay, self._record = base, overlay, ""
        digest = blake2b(digest_size=32)
        try:
            for directory in self._signatures():
                # Of this version marshal writes equal values as equal bytes; it is five times as
                # fast as repr.
                digest.update(marshal.dumps(directory, 2))
        except (OSError, ValueError):
            self.text = ""
        else:
            self.text = digest.hexdigest()

    def add_record(self, path: str, seen: Signature | None = None) -> None:
        """Take in the RECORD by which the package was checked.

        Parameters
        ----------
        path : str
            The file; empty if there is none to be looked at, so that nothing is to be remembered.
        seen : tuple of int, optional
            Its signature before it was read; that of now by default.
        """
        self._record = path
        try:
            seen = seen or signature(os.stat(path))
        except (OSError, ValueError):
            self.text = ""
        if self.text:
            both = f"{self.text} {path} {seen}"
            self.text = blake2b(os.fsencode(both), digest_size=32).hexdigest()

    def _signatures(self) -> Iterator[tuple[str, list[tuple[str, Signature]]]]:
        yield from _signatures(self._base)
        yield self._overlay, []
        if self._overlay and os.path.isdir(self._overlay):
            yield from _signatures(self._overlay)

    def keep(self, against: str, checked: int, unfetched: int = 0) -> None:
        """Remember that nothing is amiss, if the files are the same still, and old enough.

        Parameters
        ----------
        against : str
            What they were checked against.
        checked : int
            How many files were compared.
        unfetched : int, optional
            How many files the package promises that were not fetched.
        """
        base = os.path.realpath(self._base)
        counts = str(checked), str(unfetched)
        lines = (_FORM, base, self.text, *counts, against, self._overlay, self._record)
        if not self.text or any("\n" in line for line in lines):
            return
        now = time.time_ns()
        path = record_path(self._base, "clean")
        try:
            for _, files in self._signatures():
                # One that was written a moment ago could change again and keep its signature.
                if not all(settled(seen, now) for _, seen in files):
                    return
            again = Fingerprint(self._base, self._overlay)
            if self._record:
                again.add_record(self._record)
                if not settled(signature(os.stat(self._record)), now):
                    return
            if again.text != self.text:
                return
            from ..atomic import replace_file

            os.makedirs(os.path.dirname(path), exist_ok=True)
            replace_file(path, os.fsencode("\n".join(lines)))
        except (OSError, ValueError):
            return  # it is done without


def _signatures(base: str) -> Iterator[tuple[str, list[tuple[str, Signature]]]]:
    """Yield each directory of a package with its files, by name: the least that tells a change."""
    pending = [""]
    while pending:
        inside = pending.pop()
        here = base + inside
        # By its descriptor, the system need not find the directory anew for each file.
        place = os.open(here, _DIRECTORY) if _BY_DESCRIPTOR else here
        files = []
        try:
            with os.scandir(place) as scan:
                for entry in scan:
                    name = entry.name
                    if name in LEFT_OUT or (not inside and name.startswith(PARTIAL)):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{inside}{os.sep}{name}")
                    else:
                        files.append((name, signature(entry.stat())))
        finally:
            if isinstance(place, int):
                os.close(place)
        files.sort()
        yield inside, files
