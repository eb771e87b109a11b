"""What is known of files that were hashed before, so that unchanged ones are not hashed again.

Two small JSON files a package, in the user's cache directory.  One holds, for each file, the
signature that it had (time stamps, size, inode) and its hash.  The other holds one fingerprint of
all signatures together, of a package in which nothing was amiss: while it holds, nothing but the
signatures has to be looked at.

A file with another signature is hashed again; so is one that was written less than two seconds
before it was hashed, because the clock of its file system could hide a second change.  Losing the
cache costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from os.path import join as pjoin
from typing import Any

from ..environment import cache_dir
from ..ini import settled, signature

__all__ = ["Stamps", "fingerprint"]

_FORM = 1


def fingerprint(files: Iterable[tuple[str, str, os.stat_result | None]]) -> str:
    """Return one hash of the names, states and signatures of files.

    Parameters
    ----------
    files : iterable of (str, str, os.stat_result or None)
        As `nibabel_data.package.manifest.package_files` returns them.
    """
    lines = [
        (path, state, None if status is None else signature(status))
        for path, state, status in files
    ]
    return hashlib.sha256(repr(lines).encode()).hexdigest()


class Stamps:
    """What is remembered of one package.

    Parameters
    ----------
    base : str
        The package's directory.
    """

    __slots__ = ("_base", "_files", "_folder", "_name", "_now")

    def __init__(self, base: str) -> None:
        self._base = os.path.realpath(base)
        self._folder = pjoin(cache_dir(), "verified")
        self._name = hashlib.sha256(os.fsencode(self._base)).hexdigest()[:32]
        self._now = time.time_ns()
        self._files: dict[str, list[Any]] | None = None

    def clean(self, print_of_all: str) -> tuple[str, int] | None:
        """Return what a package was checked against, and how many files, if it is still the same.

        Parameters
        ----------
        print_of_all : str
            The `fingerprint` of its files now, the manifest's among them.
        """
        known = self._read("clean")
        if known.get("fingerprint") != print_of_all:
            return None
        checked = known.get("checked")
        return str(known.get("against")), checked if isinstance(checked, int) else 0

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
            files = self._read("files").get("files")
            self._files = files if isinstance(files, dict) else {}
        entry = self._files.get(path)
        if not isinstance(entry, list) or status is None:
            return None
        return str(entry[-1]) if entry[:-1] == list(signature(status)) else None

    def remember(self, path: str, sha256: str, status: os.stat_result) -> None:
        """Remember a hash, with the status that the file had before it was read."""
        seen = signature(status)
        if self._files is not None and settled(seen, self._now):
            self._files[path] = [*seen, sha256]

    def save(self) -> None:
        """Write the hashes, whole or not at all; where that cannot be, do without."""
        self._write("files", {"files": self._files or {}})

    def save_clean(
        self,
        files: Iterable[tuple[str, str, os.stat_result | None]],
        print_of_all: str,
        against: str,
        checked: int,
    ) -> None:
        """Write that nothing is amiss, if every file is old enough to tell a change."""
        if all(s is not None and settled(signature(s), self._now) for _, _, s in files):
            content = {"fingerprint": print_of_all, "against": against, "checked": checked}
            self._write("clean", content)

    def _read(self, kind: str) -> dict[str, Any]:
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            with open(pjoin(self._folder, f"{self._name}.{kind}"), encoding="utf-8") as file:
                content: dict[str, Any] = json.load(file)
            if content.get("form") == _FORM and content.get("base") == self._base:
                return content
        return {}

    def _write(self, kind: str, content: dict[str, Any]) -> None:
        with suppress(OSError, UnicodeEncodeError):
            os.makedirs(self._folder, exist_ok=True)
            descriptor, staged = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    json.dump({"form": _FORM, "base": self._base, **content}, file)
                os.replace(staged, pjoin(self._folder, f"{self._name}.{kind}"))
            except BaseException:
                os.unlink(staged)
                raise
