"""nilearn: the directories in which its fetchers keep datasets, such as ``nilearn/fsaverage``.

They are looked for where ``nilearn.datasets.get_data_dirs`` does, and in that order:
``NILEARN_SHARED_DATA``, ``NILEARN_DATA``, ``~/nilearn_data``.  nilearn states no versions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .package import AdapterPackage, Place
from .places import directories, is_empty, named_by, unique

__all__ = ["look"]


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the places and what is there."""
    default = Place(Path(os.path.expanduser("~")) / "nilearn_data", "default")
    named = [
        *named_by("NILEARN_SHARED_DATA", several=True),
        *named_by("NILEARN_DATA", several=True),
    ]
    for place in unique([*named, default]):
        yield (
            place,
            [_package(path) for path in directories(place.path, relpath.removeprefix("nilearn/"))],
        )


def _package(path: Path) -> AdapterPackage:
    absent = is_empty(path)
    note = "an empty directory: nilearn has not fetched it" if absent else ""
    return AdapterPackage(f"nilearn/{path.name}", path, "nilearn", note=note, absent=absent)
