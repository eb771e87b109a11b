"""`AdapterDatasource`: data of another tool, used as a data package is."""

from __future__ import annotations

import os
from pathlib import Path

from ..datasource import Datasource, VersionedDatasource
from ..errors import MissingFileError
from ..roots import Origin
from ..version import DataVersion
from .package import AdapterPackage, Place

__all__ = ["AdapterDatasource"]


class AdapterDatasource(VersionedDatasource):
    """Data of another tool, with the methods of a data package.

    Parameters
    ----------
    package : AdapterPackage
        What the adapter found.
    place : Place
        Where.

    Attributes
    ----------
    package : AdapterPackage
        As above.
    version : DataVersion
        The version that the tool states; ``0`` if it states none.
    is_stated : bool
        Whether it states one.  Where it does not, no version that is asked for suits.

    Notes
    -----
    There is no ``config.ini``: `config` holds what the tool states of version, licence and
    citation.
    """

    def __init__(self, package: AdapterPackage, place: Place) -> None:
        Datasource.__init__(self, package.path)
        self.package = package
        version = package.data_version
        self.is_stated = version is not None
        facts = {
            "version": version or "",
            "license": package.licence,
            "citation": package.citation,
        }
        lines = [f"{key} = {' '.join(value.split())}" for key, value in facts.items() if value]
        self._set(
            f"what {package.adapter} states",
            "\n".join(["[DEFAULT]", *lines, ""]),
            DataVersion("0") if version is None else version,
            None,
        )
        self._origin = Origin("adapter", f"{package.adapter} ({place.source})")

    @property
    def origin(self) -> Origin:
        """The adapter, and who named the place where it looked."""
        return self._origin

    def list_files(
        self, relative: bool = True, *, hidden: bool = False, absent: bool = False
    ) -> list[str]:
        """Return every file, as `Datasource.list_files` does; placeholders count as absent."""
        names = super().list_files(hidden=hidden, absent=absent)
        paths = {name: os.path.join(self.base_path, name) for name in names}
        return [
            name if relative else path
            for name, path in paths.items()
            if absent or not self._is_stub(path)
        ]

    def glob(self, pattern: str | os.PathLike[str]) -> list[Path]:
        """Return the paths that match, as `Datasource.glob` does; no placeholder is among them."""
        return [path for path in super().glob(pattern) if not self._is_stub(path)]

    def _is_stub(self, path: str | os.PathLike[str]) -> bool:
        try:
            return self.package.stubs and os.path.isfile(path) and os.path.getsize(path) == 0
        except OSError:
            return False

    def _check_exists(self, filename: str) -> None:
        if self._is_stub(filename):
            how = f"; fetch it with\n\n    {self.package.fetch}" if self.package.fetch else ""
            raise MissingFileError(
                f"{filename} is a placeholder: {self.package.adapter} has not fetched it{how}",
                filename,
            )
        super()._check_exists(filename)

    def __repr__(self) -> str:
        version = f"version {self.version!s}" if self.is_stated else "version not stated"
        return f"{type(self).__name__}({self.base_path!r}, {version})"
