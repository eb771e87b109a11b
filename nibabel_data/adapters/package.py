"""`Place` and `AdapterPackage`: where an adapter looks, and what it found there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import VersionError
from ..version import DataVersion

__all__ = ["AdapterPackage", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A directory in which an adapter looks.

    Parameters
    ----------
    path : pathlib.Path or None
        The directory, which need not exist; None if nobody has said which.
    source : str
        Who says so: a variable's name, a file, or ``default``.
    """

    path: Path | None
    source: str


@dataclass(frozen=True, slots=True)
class AdapterPackage:
    """Data of another tool, as a package.

    Parameters
    ----------
    relpath : str
        The name under which it is located: the adapter's name, a slash, the name of the data.
    path : pathlib.Path
        Its directory.
    adapter : str
        The adapter's name.
    version : str or None
        The version, where the tool states one.
    note : str
        What a person should know; empty if nothing.
    absent : bool
        Whether nothing of it is here: the tool has made the directory, but not fetched the data.
    stubs : bool
        Whether empty files in it are placeholders for files that the tool has not fetched.
    fetch : str
        The tool's command that fetches it; empty if there is none.
    licence : str
        Its licence, where the tool states one.
    citation : str
        Its citation, where the tool states one.

    Raises
    ------
    ValueError
        If `relpath` does not begin with the adapter's name.

    Examples
    --------
    >>> AdapterPackage('fsl/standard', Path('/opt/fsl/data/standard'), 'fsl', '6.0.7').version
    '6.0.7'
    """

    relpath: str
    path: Path
    adapter: str
    version: str | None = None
    note: str = ""
    absent: bool = False
    stubs: bool = False
    fetch: str = ""
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        if not self.relpath.startswith(f"{self.adapter}/"):
            raise ValueError(f"relpath {self.relpath!r} does not begin with '{self.adapter}/'")

    @property
    def data_version(self) -> DataVersion | None:
        """The version as one that can be compared; None if none is stated, or it is no version."""
        try:
            return None if self.version is None else DataVersion(self.version)
        except VersionError:
            return None
