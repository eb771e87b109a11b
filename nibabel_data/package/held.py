"""What is here of the files that a thin package promises, and whether it is what was promised.

A file that was fetched got its name after its hash was found right.  What has happened to it since
is what `nibabel_data.package.verify`, ``bundle`` and the verb ``fetch`` ask here: by the hash of
the registry, whichever algorithm that is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import join as pjoin

from ..files import walk_status
from .manifest import hash_file, package_files
from .overlay import fetch_command, overlay_dir
from .registry import Entry, Registry, read_registry
from .stamps import Stamps

__all__ = ["Held", "held_files", "unfetched"]

Files = Iterable[tuple[str, str, os.stat_result | None]]


@dataclass(frozen=True, slots=True)
class Held:
    """A promised file that is here.

    Parameters
    ----------
    base : str
        The package's directory.
    entry : Entry
        What the registry says of it.
    place : str
        Where it is: in the package, or in the overlay.
    status : os.stat_result
        Its status.
    """

    base: str
    entry: Entry
    place: str
    status: os.stat_result

    @property
    def is_outside(self) -> bool:
        """Whether it is in the overlay."""
        return self.place != pjoin(self.base, *self.entry.path.split("/"))

    @property
    def known_as(self) -> str:
        """What `nibabel_data.package.stamps.Stamps` knows its hash by."""
        name = self.place if self.is_outside else self.entry.path
        algorithm = self.entry.algorithm
        return name if algorithm == "sha256" else f"{algorithm}\0{name}"

    def damage(self, stamps: Stamps | None = None) -> str:
        """Return how it differs from what was promised; empty if it does not.

        Parameters
        ----------
        stamps : Stamps, optional
            What is known of files that were hashed before, so that it need not be read.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        digest = None if stamps is None else stamps.known(self.known_as, self.status)
        if digest is None:
            before = os.stat(self.place)
            digest = hash_file(self.place, self.entry.algorithm)
            if stamps is not None:
                stamps.remember(self.known_as, digest, before)
        return self.difference(digest)

    def difference(self, digest: str) -> str:
        """Return how a hash differs from the one that was promised; empty if it does not."""
        return self.entry.difference(self.place, digest)

    @property
    def mend(self) -> str:
        """The command that fetches it again."""
        return fetch_command(self.base, self.entry.path)


def held_files(registry: Registry, files: Files) -> dict[str, Held]:
    """Return the promised files that are here: in the package, or else in the overlay.

    Parameters
    ----------
    registry : Registry
        The package's registry.
    files : iterable of (str, str, os.stat_result or None)
        What lies in the package, as `nibabel_data.package.manifest.package_files` returns it.

    Returns
    -------
    dict
        By path, with forward slashes.

    Raises
    ------
    DataError
        If the overlay cannot be listed.
    """
    base, entries = registry.base, registry.entries
    held = {}
    folder = overlay_dir(registry)
    if os.path.isdir(folder):
        for name, state, status in walk_status(folder, hidden=True):
            path = name.replace(os.sep, "/")
            if path in entries and state == "file" and status is not None:
                held[path] = Held(base, entries[path], pjoin(folder, name), status)
    for path, state, status in files:
        if path in entries and state == "file" and status is not None:
            held[path] = Held(base, entries[path], pjoin(base, *path.split("/")), status)
    return held


def unfetched(base: str | os.PathLike[str]) -> list[str]:
    """Return the files that a package promises, and that are neither in it nor in the overlay.

    Parameters
    ----------
    base : str or os.PathLike
        The package's directory.

    Returns
    -------
    list of str
        Paths with forward slashes, sorted.

    Raises
    ------
    DataError
        If the package or its registry cannot be read.
    """
    registry = read_registry(base)
    if registry is None:
        return []
    return sorted(registry.entries.keys() - held_files(registry, package_files(registry.base)))
