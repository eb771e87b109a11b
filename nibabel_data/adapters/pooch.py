"""pooch: the caches of libraries that use it, such as ``pooch/scikit-image``.

A library that gives pooch its version has a directory for each version in its cache: the newest
that suits is taken, and its name is the version.  Of others no version is known.

Source: ``pooch.os_cache`` and ``pooch.create``, https://www.fatiando.org/pooch/latest/api/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import VersionError
from ..version import DataVersion
from .package import AdapterPackage, Place
from .places import cache_path, directories, is_empty, named_by

__all__ = ["KNOWN", "look"]

KNOWN = {
    "cedalion": "CEDALION_DATA_DIR",
    "ensaio": "ENSAIO_DATA_DIR",
    "librosa": "LIBROSA_DATA_DIR",
    "pooch": "",  # where pooch.retrieve puts files
    "scikit-image": "SKIMAGE_DATADIR",
    "scipy-data": "",
    "verde": "VERDE_DATA_DIR",
    "xarray_tutorial_data": "",
}
"""The name of a cache, and the variable that names another place for it."""


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the places and what is there."""
    asked = relpath.removeprefix("pooch/")
    for name in [asked] if asked in KNOWN else KNOWN if not asked else ():
        variable = KNOWN[name]
        places = named_by(variable) if variable else []
        for place in places or [Place(cache_path(name), "default")]:
            assert place.path is not None
            yield place, list(_packages(name, place.path))


def _packages(name: str, path: Path) -> Iterator[AdapterPackage]:
    if not path.is_dir():
        return
    versions = [
        (version, directory)
        for directory in directories(path)
        if (version := _version(directory.name)) is not None
    ]
    for version, directory in sorted(versions, reverse=True):
        yield _package(name, directory, version)
    if not versions:
        yield _package(name, path, None)


def _package(name: str, path: Path, version: str | None) -> AdapterPackage:
    absent = is_empty(path)
    note = "an empty cache" if absent else ""
    return AdapterPackage(f"pooch/{name}", path, "pooch", version, note=note, absent=absent)


def _version(name: str) -> DataVersion | None:
    if not name.removeprefix("v")[:1].isdigit():
        return None
    try:
        version = DataVersion(name.removeprefix("v"))
    except VersionError:
        return None
    return version if version.is_pep440 else None
