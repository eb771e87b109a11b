"""A bundle: several packages in one zip, for a machine without a network.

It is an ordinary zip of ``<project>/<package>/...``, each package with its manifest, so that any
unzip can open it; `nibabel_data.package.install.install` checks every hash.  What was fetched for a
thin package goes with it, also from the overlay; in the bundle it stands in the package.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import join as pjoin
from pathlib import Path
from typing import IO

from ..definition import split_spec
from ..errors import DataError, DefinitionError
from ..files import is_pointer
from .held import Held, held_files
from .install import Progress
from .manifest import MANIFEST, manifest_text, package_files, read_manifest
from .names import collision, path_problem, relpath_problem, shortened
from .registry import read_registry
from .staging import staging_directory

__all__ = ["bundle"]

_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can hold: so that a bundle of the same files has the same bytes."""

_PACKED = (".gz", ".bz2", ".xz", ".zip", ".png", ".jpg", ".jpeg", ".mgz", ".zst")
"""Files that are not packed a second time."""


def bundle(
    packages: Iterable[tuple[str, str | os.PathLike[str]]],
    destination: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Path:
    """Write packages into one zip that `install` takes.

    Parameters
    ----------
    packages : iterable of (str, str or os.PathLike)
        For each its path below a root, with forward slashes, and its directory.  One that is named
        twice is written once.
    destination : str or os.PathLike
        The zip, whose name ends in ``.zip``; one that is there is replaced when the new one is
        whole.
    progress : callable, optional
        Called with the number of bytes of each file.

    Returns
    -------
    pathlib.Path
        The zip.

    Raises
    ------
    DefinitionError
        If no package is named, or one by what is no path below a root; or the destination has
        another ending.
    DataError
        If a file cannot be read, is damaged, has a name that not every system can hold, or its
        content is not here; nothing is written then.
    """
    target = os.path.abspath(os.fspath(destination))
    if not target.lower().endswith(".zip"):
        raise DefinitionError(f"a bundle is a zip, and the name of {target} does not end in .zip")
    chosen = _chosen(packages)
    try:
        # Its directory is removed by the next run if this one is killed.
        with staging_directory(target) as staged:
            made = pjoin(staged, "bundle.zip")
            with zipfile.ZipFile(made, "x", allowZip64=True) as archive:
                for relpath, directory in sorted(chosen.items()):
                    _add(archive, relpath, directory, progress)
            os.replace(made, target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {_reason(error)}") from error
    return Path(target)


def _chosen(packages: Iterable[tuple[str, str | os.PathLike[str]]]) -> dict[str, str]:
    """Return directory by path below a root, each package once."""
    chosen: dict[str, str] = {}
    for name, package in packages:
        relpath, specifier = split_spec(name)
        relpath = "/".join(part for part in relpath.split("/") if part not in ("", "."))
        if specifier or relpath.count("/") != 1:
            raise DefinitionError(f"{name!r} is not the path of a package: <project>/<package>")
        if problem := relpath_problem(relpath):
            raise DefinitionError(f"{name!r} cannot stand in a bundle: {problem}")
        directory = os.fspath(package)
        other = chosen.setdefault(relpath, directory)
        if os.path.realpath(other) != os.path.realpath(directory):
            raise DefinitionError(
                f"{relpath} can stand in a bundle only once, but two are named: "
                f"{other} and {directory}"
            )
    if not chosen:
        raise DefinitionError("no package for the bundle: name at least one")
    return chosen


@dataclass(frozen=True, slots=True)
class _Member:
    """A file that goes into a bundle: where it lies, and what its hashes have to be."""

    path: str
    place: str
    own: bool
    """Whether the package carries it, so that its manifest names it."""

    sha256: str | None
    """What the manifest says; None if there is none."""

    held: Held | None
    """What the registry says, if it promises the file."""


def _add(archive: zipfile.ZipFile, relpath: str, base: str, progress: Progress | None) -> None:
    hashes = {}
    for member in _members(base):
        sha256 = _write(archive, f"{relpath}/{member.path}", member)
        if member.own:
            hashes[member.path] = sha256
        if progress is not None:
            progress(archive.infolist()[-1].file_size)
    archive.writestr(_info(f"{relpath}/{MANIFEST}"), manifest_text(hashes))


def _members(base: str) -> list[_Member]:
    """Return what goes into a bundle of a package, sorted."""
    listed, registry, files = read_manifest(base), read_registry(base), package_files(base)
    states = {path: state for path, state, _ in files}
    held = {} if registry is None else held_files(registry, files)
    promised = set() if registry is None else registry.entries.keys()
    own = listed.keys() if listed is not None else states.keys() - promised
    members = []
    if problem := collision(own | held.keys(), MANIFEST):
        raise DataError(f"{base} cannot go into a bundle: {problem}; rename one of the two")
    for path in sorted(own | held.keys()):
        place = pjoin(base, *path.split("/"))
        if problem := path_problem(path):
            raise DataError(f"{shortened(place)!r} cannot go into a bundle: {problem}; rename it")
        state = states.get(path, "missing")
        if state == "file" and is_pointer(place):
            state = "absent"
        if path in own and state != "file":
            raise DataError(f"{place} is {state}: it cannot go into a bundle")
        one = held.get(path)
        place = place if one is None else one.place
        sha256 = None if listed is None else listed.get(path)
        members.append(_Member(path, place, path in own, sha256, one))
    return members


def _write(archive: zipfile.ZipFile, name: str, member: _Member) -> str:
    """Copy a file into the zip, comparing what is copied; return its SHA-256."""
    info = _info(name)
    if name.lower().endswith(_PACKED):
        info.compress_type = zipfile.ZIP_STORED
    algorithm = "sha256" if member.held is None else member.held.entry.algorithm
    sha256 = hashlib.sha256()
    digest = sha256 if algorithm == "sha256" else hashlib.new(algorithm, usedforsecurity=False)
    with _opened(member.place) as source:
        info.file_size = os.fstat(source.fileno()).st_size
        with archive.open(info, "w") as out:
            while piece := _piece(source, member.place):
                sha256.update(piece)
                if digest is not sha256:
                    digest.update(piece)
                out.write(piece)
    if member.sha256 not in (None, sha256.hexdigest()):
        raise DataError(f"{member.place} is not what its {MANIFEST} says: nibabel-data verify")
    damage = "" if member.held is None else member.held.difference(digest.hexdigest())
    if member.held is not None and damage:
        raise DataError(f"{damage}; get it again:\n\n    {member.held.mend}")
    return sha256.hexdigest()


def _opened(place: str) -> IO[bytes]:
    try:
        return open(place, "rb")
    except OSError as error:
        raise DataError(f"cannot read {place}: {_reason(error)}") from error


def _piece(source: IO[bytes], place: str) -> bytes:
    try:
        return source.read(1 << 20)
    except OSError as error:
        raise DataError(f"cannot read {place}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    return info
