"""What package is asked for: the classic dict, a string, or a `PackageDef`, read the same way.

`read` is what every call of the locator does first, so that it imports nothing; the value that
people meet is `nibabel_data.PackageDef` (module `packagedef`).
"""

from __future__ import annotations

import os

from .errors import DefinitionError, warn
from .version import DataVersion, check_specifier, satisfies

__all__ = ["DEFAULT_INSTALL_HINT", "KEYS", "read", "split_spec", "version_suits", "wanted"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from .packagedef import PackageDef

    Definition: TypeAlias = str | Mapping[str, Any] | PackageDef

DEFAULT_INSTALL_HINT = "If you have the package, have you set the path to the package correctly?"
KEYS = ("relpath", "name", "install hint", "min version", "version")
"""The keys of a classic definition that have a meaning."""


def read(definition: Definition, *, quiet: bool = False) -> tuple[str, str, str]:
    """Return what must be known to look for a package.

    Parameters
    ----------
    definition : str, dict or PackageDef
        ``'nipy/templates>=0.3'``; or a dict with the key ``relpath`` and any others of `KEYS`;
        or a `nibabel_data.PackageDef`.
    quiet : bool, optional
        Whether to say nothing of unknown keys, as they were told before.

    Returns
    -------
    relpath : str
        The package's directory below a root, with forward slashes.
    minimum : str
        The lowest version that will do; empty for any.
    specifier : str
        A PEP 440 specifier; empty for any.

    Raises
    ------
    DefinitionError
        If the definition makes no sense: no relpath, or one that leaves the root, a version that
        is none.
    TypeError
        If a value has the wrong type, such as a version given as a float.

    Examples
    --------
    >>> read('nipy/templates >=0.3,<1')
    ('nipy/templates', '', '>=0.3,<1')
    >>> read({'relpath': 'nipy/templates', 'min version': '0.3'})
    ('nipy/templates', '0.3', '')
    """
    if isinstance(definition, str):
        relpath, specifier = split_spec(definition)
        minimum = ""
    elif hasattr(definition, "get"):
        relpath, minimum, specifier = _read_mapping(definition, quiet)
    elif hasattr(definition, "min_version"):
        relpath, minimum, specifier = (
            definition.relpath,
            definition.min_version,
            definition.version,
        )
    else:
        raise TypeError(
            "a package is asked for with a string such as 'nipy/templates>=0.3', a dict or a "
            f"PackageDef, not with {type(definition).__name__}"
        )
    return _checked(relpath), minimum, specifier


def split_spec(spec: str) -> tuple[str, str]:
    """Split ``'nipy/templates>=0.3'`` into the path and the specifier, both checked.

    Returns
    -------
    (str, str)
        The path and the specifier, which may be empty.

    Raises
    ------
    DefinitionError
        If one of them makes no sense.

    Examples
    --------
    >>> split_spec('nipy/templates~=0.3')
    ('nipy/templates', '~=0.3')
    """
    for position, letter in enumerate(spec):
        if letter in "<>=!~":
            specifier = spec[position:].strip()
            return _checked(spec[:position].strip()), check_specifier(specifier)
    return _checked(spec.strip()), ""


def version_suits(version: DataVersion, minimum: str, specifier: str) -> bool:
    """Return whether `version` is one that was asked for."""
    if minimum and not (version.is_pep440 and version >= minimum):
        return False
    return satisfies(version, specifier)


def wanted(minimum: str, specifier: str) -> str:
    """Return the versions that were asked for as one specifier, for people to read.

    Returns
    -------
    str
        The specifier; empty for any version.

    Examples
    --------
    >>> wanted('0.3', '<1'), wanted('', '')
    ('>=0.3,<1', '')
    """
    return ",".join(part for part in (minimum and f">={minimum}", specifier) if part)


def _checked(relpath: object) -> str:
    """Return `relpath` if it is a path that stays below its root."""
    if not isinstance(relpath, str):
        raise TypeError(f"relpath must be a str, not {type(relpath).__name__}: {relpath!r}")
    parts = relpath.replace(os.sep, "/").split("/")
    if not any(part not in ("", ".") for part in parts):
        raise DefinitionError(f"relpath is empty: {relpath!r}; it is a path like 'nipy/templates'")
    if "\0" in relpath:
        raise DefinitionError(f"relpath has a NUL character: {relpath!r}")
    if relpath[0] in ("/", os.sep) or ".." in parts or os.path.splitdrive(relpath)[0]:
        raise DefinitionError(
            f"relpath {relpath!r} leaves the directory that is searched; "
            "it is a relative path like 'nipy/templates', without '..'"
        )
    return relpath


def _read_mapping(definition: Any, quiet: bool) -> tuple[Any, str, str]:
    if "relpath" not in definition:
        raise DefinitionError(
            f"the package definition {dict(definition)!r} has no key 'relpath'; "
            "it needs at least {'relpath': 'nipy/templates'}"
        )
    for key in definition:
        if key not in KEYS and not quiet:
            _warn_unknown(key)
    minimum = definition.get("min version") or ""
    specifier = definition.get("version") or ""
    for key, value in (("min version", minimum), ("version", specifier)):
        if not isinstance(value, str):
            raise TypeError(
                f"{key!r} must be a str such as '0.3', not {type(value).__name__} {value!r} "
                "(as a number, 0.10 would be 0.1)"
            )
    if minimum and not DataVersion(minimum).is_pep440:
        raise DefinitionError(f"'min version' {minimum!r} is not a PEP 440 version")
    return definition["relpath"], minimum, check_specifier(specifier) if specifier else ""


def _warn_unknown(key: object) -> None:
    import difflib

    near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(KEYS)}"
    extra = "; an upper bound goes into 'version', as '<1'" if key == "max version" else ""
    warn(f"unknown key {key!r} in a package definition is ignored{meant}{extra}")
