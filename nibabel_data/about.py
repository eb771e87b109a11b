"""What a package says of itself: licence and citation."""

from __future__ import annotations

import os

from .datasource import VersionedDatasource

__all__ = ["citation", "licence"]


def licence(package: VersionedDatasource) -> str | None:
    """Return the licence of a package: the key of its ``config.ini``, else the licence file.

    Parameters
    ----------
    package : VersionedDatasource
        The package.

    Returns
    -------
    str or None
        The value of ``license`` or ``licence``, or the path of a file LICENSE, LICENCE or
        COPYING; None if it carries neither.
    """
    defaults = package.config.defaults()
    named = defaults.get("license") or defaults.get("licence")
    return named or _file(package, ("license", "licence", "copying"))


def citation(package: VersionedDatasource) -> str | None:
    """Return the citation of a package: the key ``citation``, else the path of CITATION.cff.

    Parameters
    ----------
    package : VersionedDatasource
        The package.

    Returns
    -------
    str or None
        The text or the path; None if it carries neither.
    """
    return package.config.defaults().get("citation") or _file(package, ("citation",))


def _file(package: VersionedDatasource, stems: tuple[str, ...]) -> str | None:
    for name in sorted(os.listdir(package.base_path)):
        if name.split(".")[0].lower() in stems:
            return os.path.join(package.base_path, name)
    return None
