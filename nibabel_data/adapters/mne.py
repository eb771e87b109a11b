"""MNE: its datasets, such as ``mne/MNE-sample-data``.

Each may have a place of its own (``MNE_DATASETS_SAMPLE_PATH`` and the like), then come
``MNE_DATA`` and, if that is not set, ``~/mne_data``; MNE takes every one of these from the
environment or else from ``~/.mne/mne-python.json``.  The version is the first line of the
dataset's ``version.txt``.

Source: ``mne.get_config`` and ``mne.datasets``, https://mne.tools/stable
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from .. import ini
from ..environment import expand
from ..errors import DataError
from .package import AdapterPackage, Place
from .places import directories, first_line, is_empty, unique

__all__ = ["look"]


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the places and what is there."""
    name = relpath.removeprefix("mne/")
    settings = _settings()
    home = Path(os.path.expanduser("~"))
    general = settings.get("MNE_DATA", Place(home / "mne_data", "default"))
    own = [
        place
        for key, place in sorted(settings.items())
        if key.startswith("MNE_DATASETS_") and key.endswith("_PATH")
    ]
    for place in unique([*own, general]):
        paths = directories(place.path, name)
        if place.path == general.path:
            yield general, [_package(path) for path in paths]
        else:  # the directory may hold anything else as well
            yield place, [_package(path) for path in paths if path.name.startswith("MNE-")]


def _package(path: Path) -> AdapterPackage:
    absent = is_empty(path)
    return AdapterPackage(
        f"mne/{path.name}",
        path,
        "mne",
        first_line(path / "version.txt") or None,
        note="an empty directory: MNE has not fetched it" if absent else "",
        absent=absent,
    )


def _settings() -> dict[str, Place]:
    """Return the directories that MNE's configuration names, by key."""
    file = Path(os.path.expanduser("~"), ".mne", "mne-python.json")
    try:
        stored = json.loads(ini.read_text(str(file))[0])
    except (OSError, ValueError, DataError):
        stored = {}
    found = {
        key: Place(Path(os.path.abspath(expand(value))), f"{key} in {file}")
        for key, value in (stored.items() if isinstance(stored, dict) else ())
        if isinstance(value, str) and key.startswith("MNE_DATA") and value
    }
    for key, value in os.environ.items():
        if key.startswith("MNE_DATA") and value:
            found[key] = Place(Path(os.path.abspath(expand(value))), key)
    return found
