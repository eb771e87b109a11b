"""`used_data`: which data packages a piece of code located, for a methods section or provenance.

The locator tests one variable, which is set when `used_data` is used for the first time; a program
that does not use it pays nothing.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__, locate
from .datasource import VersionedDatasource
from .errors import DataError, warn
from .package.manifest import read_manifest, tree_hash

__all__ = ["UsedData", "UsedPackage", "used_data"]


@dataclass(frozen=True, slots=True)
class UsedPackage:
    """A data package that was located.

    Parameters
    ----------
    relpath : str
        The name by which it was asked for, with forward slashes.
    version : str or None
        Its version; None for data of another tool that states none.
    path : pathlib.Path
        Its directory.
    origin : str
        Who put it there: the variable, file or installer that names the root.
    """

    relpath: str
    version: str | None
    path: Path
    origin: str

    @property
    def tree_hash(self) -> str | None:
        """One SHA-256 for all its files, read from its manifest now; None if it has none.

        Nothing is hashed: `nibabel-data verify` says whether the files are those of the manifest.
        """
        try:
            hashes = read_manifest(str(self.path))
            return None if hashes is None else tree_hash(hashes)
        except DataError as error:  # at the end of a long run this must not raise
            warn(f"no tree hash of {self.relpath}: {error}")
            return None

    def to_dict(self) -> dict[str, str | None]:
        """Return everything as values that `json` can write."""
        return {
            "relpath": self.relpath,
            "version": self.version,
            "path": str(self.path),
            "origin": self.origin,
            "tree_hash": self.tree_hash,
        }

    def __str__(self) -> str:
        hashed = self.tree_hash
        facts = [self.version or "no version stated", *([f"hash {hashed[:12]}"] if hashed else [])]
        return f"{self.relpath} ({', '.join(facts)})"


class UsedData:
    """The data packages that the code in a `used_data` block located, in order of first use."""

    def __init__(self) -> None:
        self._packages: dict[UsedPackage, None] = {}

    @property
    def packages(self) -> tuple[UsedPackage, ...]:
        """The packages, in order of first use, none twice."""
        return tuple(self._packages)

    def __iter__(self) -> Iterator[UsedPackage]:
        return iter(self.packages)

    def __len__(self) -> int:
        return len(self._packages)

    def __repr__(self) -> str:
        return f"<UsedData: {', '.join(package.relpath for package in self) or 'none'}>"

    def text(self) -> str:
        """Return one sentence, for a methods section."""
        named = [str(package) for package in self]
        if not named:
            return "No data package was used."
        joined = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
        kind = "data package was" if len(named) == 1 else "data packages were"
        return f"The following {kind} located with nibabel-data {__version__}: {joined}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that `json` can write."""
        return {
            "nibabel-data": __version__,
            "packages": [package.to_dict() for package in self],
        }

    def to_json(self) -> str:
        """Return everything as JSON, for a provenance file."""
        return json.dumps(self.to_dict(), indent=2)


_recording: ContextVar[tuple[UsedData, ...]] = ContextVar("nibabel_data_used", default=())


@contextmanager
def used_data() -> Iterator[UsedData]:
    """Record which data packages the code in a ``with`` block locates.

    Those that `make_datasource` and `datasource_or_bomber` return are recorded, and those that a
    `Bomber` finds when it is used; what was located before the block is not, so that imports of
    libraries that name their data at import belong into it.

    Yields
    ------
    UsedData
        What was located, also after the block.

    Notes
    -----
    Blocks may be nested: the outer one records what the inner one does.  What other threads and
    other asyncio tasks do meanwhile is not recorded; tasks that the block starts, and
    `asyncio.to_thread`, are.  A thread that the block starts by itself begins with an empty
    context, as Python has it, and is recorded if it runs in a copy of this one:
    ``Thread(target=contextvars.copy_context().run, args=(function,))``.

    Examples
    --------
    >>> from nibabel_data import make_datasource
    >>> with used_data() as used:
    ...     package = make_datasource('nipy/examplepkg', data_path='examples/nipy-examplepkg')
    >>> [(package.relpath, package.version) for package in used]
    [('nipy/examplepkg', '0.1')]
    """
    locate.recorder = _record
    used = UsedData()
    token = _recording.set((*_recording.get(), used))
    try:
        yield used
    finally:
        _recording.reset(token)


def _record(relpath: str, found: VersionedDatasource) -> None:
    recording = _recording.get()
    if not recording:
        return
    package = UsedPackage(
        posixpath.normpath(relpath.replace(os.sep, "/")),
        str(found.version) if getattr(found, "is_stated", True) else None,
        Path(os.path.abspath(found.base_path)),
        str(found.origin or ""),
    )
    for used in recording:
        used._packages.setdefault(package)
