"""`PackageDef`: the definition of a package as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .definition import DEFAULT_INSTALL_HINT, read, wanted
from .errors import DefinitionError
from .version import DataVersion, check_specifier

if TYPE_CHECKING:
    from .definition import Definition

__all__ = ["PackageDef"]


@dataclass(frozen=True, slots=True)
class PackageDef:
    """What package is asked for.

    Parameters
    ----------
    relpath : str
        The package's directory below a root, with forward slashes, such as ``nipy/templates``.
    name : str, optional
        The name under which the package is distributed, for the error message.
    install_hint : str or None, optional
        What a person can do to get it, for the error message.
    min_version : str, optional
        The lowest version that will do.
    version : str, optional
        A PEP 440 specifier that the version must satisfy.

    Raises
    ------
    DefinitionError
        If a value makes no sense.
    TypeError
        If a value has the wrong type.

    Examples
    --------
    >>> PackageDef('nipy/templates', version='>=0.3').wanted
    '>=0.3'
    """

    relpath: str
    name: str = ""
    install_hint: str | None = DEFAULT_INSTALL_HINT
    min_version: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "min_version", "version", "install_hint"):
            value = getattr(self, field)
            if not isinstance(value, str) and not (field == "install_hint" and value is None):
                raise TypeError(f"{field} must be a str, not {type(value).__name__} {value!r}")
        if self.min_version and not DataVersion(self.min_version).is_pep440:
            raise DefinitionError(f"min_version {self.min_version!r} is not a PEP 440 version")
        if self.version:
            check_specifier(self.version)
        read({"relpath": self.relpath})

    @classmethod
    def of(cls, definition: Definition, *, quiet: bool = False) -> PackageDef:
        """Return a definition of any kind as a `PackageDef`.

        Parameters
        ----------
        definition : str, dict or PackageDef
            As `nibabel_data.make_datasource` takes it.
        quiet : bool, optional
            Whether to say nothing of unknown keys.

        Returns
        -------
        PackageDef
            The same as a value.

        Examples
        --------
        >>> PackageDef.of('nipy/templates>=0.3') == PackageDef('nipy/templates', version='>=0.3')
        True
        """
        if isinstance(definition, cls):
            return definition
        relpath, minimum, specifier = read(definition, quiet=quiet)
        if isinstance(definition, str):
            return cls(relpath, version=specifier)
        if not isinstance(definition, Mapping):
            raise TypeError(f"not a package definition: {definition!r}")
        hint = definition.get("install hint", DEFAULT_INSTALL_HINT)
        return cls(
            relpath,
            name=str(definition.get("name") or ""),
            install_hint=None if hint is None else str(hint),
            min_version=minimum,
            version=specifier,
        )

    @property
    def wanted(self) -> str:
        """The versions that will do, as one PEP 440 specifier; empty for any."""
        return wanted(self.min_version, self.version)

    def __str__(self) -> str:
        return self.relpath + self.wanted
