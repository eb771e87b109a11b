"""What is known of files that were hashed before, so that unchanged ones are not hashed again.

One text file a package, in the user's cache directory, with one line a file: the signature that it
had (time stamps, size, inode), its hash, and its path.  It is read and written line by line, so
that a package of a million files takes little more memory than the hashes themselves.

A file with another signature is hashed again; so is one that was written less than two seconds
before it was hashed, because the clock of its file system could hide a second change.  Losing the
cache costs time, nothing else.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress

from ..ini import settled, signature
from .unchanged import record_path, recorded_base

__all__ = ["Stamps"]

_FORM = "nibabel-data hashes 2"


class Stamps:
    """What is remembered of one package.

    Parameters
    ----------
    base : str
        The package's directory.
    """

    __slots__ = ("_base", "_files", "_now", "_path")

    def __init__(self, base: str) -> None:
        self._base = os.path.realpath(base)
        self._path = record_path(base, "files")
        self._now = time.time_ns()
        self._files: dict[str, str] | None = None

    def known(self, path: str, status: os.stat_result | None) -> str | None:
        """Return the hash of a file that has not changed since it was remembered, or None.

        Parameters
        ----------
        path : str
            The file below the package, with forward slashes.
        status : os.stat_result or None
            Its status now.
        """
        if self._files is None:
            self._files = dict(self._read())
        entry = self._files.get(path)
        if entry is None or status is None:
            return None
        seen, _, sha256 = entry.rpartition(" ")
        return sha256 if seen == _seen(status) else None

    def remember(self, path: str, sha256: str, status: os.stat_result) -> None:
        """Remember a hash, with the status that the file had before it was read."""
        if self._files is not None and settled(signature(status), self._now):
            self._files[path] = f"{_seen(status)} {sha256}"

    def save(self) -> None:
        """Write the hashes, whole or not at all; where that cannot be, do without."""
        if "\n" in self._base:
            return
        folder = os.path.dirname(self._path)
        with suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            descriptor, staged = tempfile.mkstemp(dir=folder, suffix=".tmp")
            try:
                with open(descriptor, "wb") as file:
                    file.write(os.fsencode(f"{_FORM}\n{self._base}\n"))
                    for path, entry in (self._files or {}).items():
                        if "\n" not in path:
                            file.write(os.fsencode(f"{entry} {path}\n"))
                os.replace(staged, self._path)
            except BaseException:
                os.unlink(staged)
                raise

    def _read(self) -> Iterator[tuple[str, str]]:
        """Yield path and entry of each line that is one."""
        if recorded_base(self._path) != self._base:
            return
        with suppress(OSError, UnicodeDecodeError), open(self._path, "rb") as file:
            if os.fsdecode(file.readline()).rstrip("\n") != _FORM:
                return
            file.readline()
            for line in file:
                words = os.fsdecode(line).rstrip("\n").split(" ", 6)
                if len(words) == 7:
                    yield words[6], " ".join(words[:6])


def _seen(status: os.stat_result) -> str:
    return " ".join(map(str, signature(status)))
