"""FreeSurfer: ``freesurfer/average`` and subjects, such as ``freesurfer/subjects/fsaverage``.

Subjects are looked for in ``$SUBJECTS_DIR``, then in ``$FREESURFER_HOME/subjects``.  What lies
below ``$FREESURFER_HOME``, or is a link into it, has the version of FreeSurfer; other subjects are
somebody's own, and have none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .package import AdapterPackage, Place
from .places import directories, first_line, named_by

__all__ = ["look"]

_SUBJECTS = "freesurfer/subjects/"
_AVERAGE = "freesurfer/average"
_MARKS = ("surf", "mri", "label")
"""A directory with one of these is a subject."""

# freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460
# freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.0-2beb96c
_VERSION = re.compile(r"(?:^|[-\s])v?(\d+(?:\.\d+)+)(-?(?:alpha|beta|rc))?")


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the places and what is there."""
    home = (named_by("FREESURFER_HOME") or [Place(None, "FREESURFER_HOME")])[0]
    version = _version(home.path)
    own = None if home.path is None else home.path / "subjects"
    for place in named_by("SUBJECTS_DIR"):
        if place.path != own:
            yield place, list(_subjects(place.path, relpath, home.path, version))
    packages = list(_subjects(own, relpath, home.path, version))
    if home.path is not None and relpath in ("", _AVERAGE):
        packages += [
            AdapterPackage(_AVERAGE, path, "freesurfer", version)
            for path in directories(home.path, "average")
        ]
    yield home, packages


def _subjects(
    directory: Path | None, relpath: str, home: Path | None, version: str | None
) -> Iterator[AdapterPackage]:
    if relpath and not relpath.startswith(_SUBJECTS):
        return
    for path in directories(directory, relpath.removeprefix(_SUBJECTS)):
        if any((path / mark).is_dir() for mark in _MARKS):
            stated = version if home is not None and _is_below(path, home) else None
            yield AdapterPackage(_SUBJECTS + path.name, path, "freesurfer", stated)


def _is_below(path: Path, home: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home))


def _version(home: Path | None) -> str | None:
    for name in ("build-stamp.txt", "VERSION"):
        found = None if home is None else _VERSION.search(first_line(home / name))
        if found is not None:
            return found[1] + (found[2] or "").removeprefix("-")
    return None
