"""What is not ours to replace or remove: files that a person added, packages of others."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from os.path import join as pjoin

from ..distributions import owner_of
from ..errors import DataError
from .held import held_files
from .layout import distribution_around
from .manifest import MANIFEST, package_files, read_manifest
from .registry import promised, read_registry
from .stamps import Stamps

__all__ = ["added_files", "carry", "keep_added", "keep_fetched", "refuse_foreign"]


def added_files(target: str) -> list[str]:
    """Return what a person added to a target: whatever is neither listed nor fetched.

    Also what is never part of a package (``.git``), links and empty directories.  The target may
    be exchanged for another version while it is looked at: then again.
    """
    while True:
        listed = read_manifest(target) or {}
        known = {MANIFEST, *listed, *promised(target)}
        added = [path for path in _everything(target) if path not in known]
        if (read_manifest(target) or {}) == listed:
            return sorted(added)


def _everything(target: str) -> Iterator[str]:
    """Yield every file, link and empty directory below a directory, with forward slashes."""
    for here, folders, names in os.walk(target):
        inside = os.path.relpath(here, target).replace(os.sep, "/")
        links = [name for name in folders if os.path.islink(pjoin(here, name))]
        for name in (*names, *links):
            path = name if inside == "." else f"{inside}/{name}"
            if not path.startswith(".nibabel-data."):
                yield path
        if not names and not folders and inside != ".":
            yield inside


def keep_added(target: str, staged: str) -> tuple[str, ...]:
    """Put what a person added to the old version into the new one."""
    if os.path.islink(target) or not os.path.isdir(target):
        return ()
    kept = []
    for path in added_files(target):
        source, place = pjoin(target, *path.split("/")), pjoin(staged, *path.split("/"))
        with suppress(FileNotFoundError):  # whoever added it took it away again
            if os.path.isfile(place) and os.path.isfile(source):
                if filecmp.cmp(source, place, shallow=False):
                    continue
                path, place = f"{path}.orig", f"{place}.orig"
            try:
                carry(source, place)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise DataError(
                    f"{source} was added to the old version, and stands in the way of the new; "
                    "move it away"
                ) from error
            kept.append(path)
    return tuple(kept)


def keep_fetched(target: str, staged: str) -> None:
    """Put what was fetched for the old version into the new one, if it promises the same.

    Files are not read for it, but one that is known to be damaged is left behind.
    """
    if os.path.islink(target) or not os.path.isdir(target):
        return
    now, damaged = promised(staged), _known_damaged(target)
    for path, mark in promised(target).items():
        place = pjoin(staged, *path.split("/"))
        if now.get(path) == mark and path not in damaged and not os.path.lexists(place):
            with suppress(FileNotFoundError):  # it was not fetched
                carry(pjoin(target, *path.split("/")), place)


def _known_damaged(target: str) -> set[str]:
    registry, stamps = read_registry(target), Stamps(target)
    held = {} if registry is None else held_files(registry, package_files(target))
    return {
        path
        for path, one in held.items()
        if stamps.known(one.known_as, one.status) not in (None, one.entry.digest)
    }


def carry(source: str, destination: str) -> None:
    """Let a file, a link or an empty directory stand at a second place, where nothing may be."""
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        os.makedirs(destination, exist_ok=True)
        return
    if os.path.lexists(destination):
        raise FileExistsError(destination)
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, destination, follow_symlinks=False)


def refuse_foreign(target: str, mend: str) -> None:
    """Refuse what a distribution owns, and what is the source of one."""
    owner = owner_of(target)
    if owner is not None:
        raise DataError(f"{target} belongs to {owner}: {mend}")
    around = distribution_around(target)
    if around is not None:
        raise DataError(f"{target} is the source of the distribution at {around}")
