"""FSL: the directories of ``$FSLDIR/data``, such as ``fsl/standard`` and ``fsl/atlases``.

Their version is FSL's, which ``$FSLDIR/etc/fslversion`` states.
"""

from __future__ import annotations

from collections.abc import Iterator

from .package import AdapterPackage, Place
from .places import directories, first_line, named_by

__all__ = ["look"]


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the place and what is there."""
    for place in named_by("FSLDIR") or [Place(None, "FSLDIR")]:
        if place.path is None:
            yield place, []
            continue
        # Releases before 6.0.6 add a hash: 6.0.5.1:57b01774.
        version = first_line(place.path / "etc" / "fslversion").split(":")[0] or None
        yield (
            place,
            [
                AdapterPackage(f"fsl/{path.name}", path, "fsl", version)
                for path in directories(place.path / "data", relpath.removeprefix("fsl/"))
            ],
        )
