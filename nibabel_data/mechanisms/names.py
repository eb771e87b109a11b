"""Names of mechanisms: ``glia__<package>__<asset>__<variant>``.

The full name is what NEURON knows a mechanism by.  Two underscores stand between the parts, so that
none of them may have two underscores in it, or one at an end.  The format is that of Glia, so that
the mechanisms of packages made for it keep the names that models have written down.
"""

from __future__ import annotations

import re

from ..errors import MechanismError

__all__ = [
    "DEFAULT_VARIANT",
    "check_length",
    "full_name",
    "is_full_name",
    "package_identifier",
    "split_name",
    "split_stem",
]

DEFAULT_VARIANT = "0"
"""The variant of an asset for which none is named."""

_PREFIX = "glia"
_PART = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")
_NOT_IDENTIFIER = re.compile(r"[^A-Za-z0-9]+")
_LONGEST = {"density": 250, "point process": 99, "artificial cell": 99}
_FORM = "glia__<package>__<asset>__<variant>"


def full_name(package: str, asset: str, variant: str = DEFAULT_VARIANT) -> str:
    """Return the name by which NEURON knows a mechanism.

    Parameters
    ----------
    package : str
        The package's part of the name, as `package_identifier` makes it of any text.
    asset : str
        What the mechanism is, for example ``Kv1_1``.
    variant : str, optional
        Which one of those.

    Returns
    -------
    str
        ``glia__<package>__<asset>__<variant>``.

    Raises
    ------
    MechanismError
        If a part is not made of ASCII letters, digits and single underscores between them, or if
        the package begins with a digit.

    Examples
    --------
    >>> full_name('dbbs', 'Kv1_1')
    'glia__dbbs__Kv1_1__0'
    >>> full_name('my-mods', 'Kv1_1')
    Traceback (most recent call last):
    nibabel_data.errors.MechanismError: 'my-mods' cannot be the package in a mechanism's name: it
    has '-' in it, where only ASCII letters, digits and underscores may be (try 'my_mods')
    """
    for kind, part in (("package", package), ("asset", asset), ("variant", variant)):
        problem = _problem(kind, part)
        if problem:
            better = _identifier(part, kind == "package")
            advice = f" (try {better!r})" if better else ""
            raise MechanismError(
                f"{_shown(part)} cannot be the {kind} in a mechanism's name: {problem}{advice}"
            )
    return f"{_PREFIX}__{package}__{asset}__{variant}"


def split_name(name: str) -> tuple[str, str, str]:
    """Return the parts of a full name.

    Parameters
    ----------
    name : str
        ``glia__<package>__<asset>__<variant>``.

    Returns
    -------
    package, asset, variant : str
        Its parts.

    Raises
    ------
    MechanismError
        If `name` is not a full name.

    Examples
    --------
    >>> split_name('glia__dbbs__Kv1_1__0')
    ('dbbs', 'Kv1_1', '0')
    """
    parts = name.split("__")
    if len(parts) != 4 or parts[0] != _PREFIX:
        raise MechanismError(f"{_shown(name)} is not the full name of a mechanism, {_FORM}")
    _, package, asset, variant = parts
    try:
        full_name(package, asset, variant)
    except MechanismError as error:
        raise MechanismError(f"{_shown(name)} is not a full name: {error}") from None
    return package, asset, variant


def is_full_name(name: str) -> bool:
    """Return whether `name` is the full name of a mechanism.

    Examples
    --------
    >>> is_full_name('glia__dbbs__Kv1_1__0'), is_full_name('Kv1_1')
    (True, False)
    """
    parts = name.split("__")
    return (
        len(parts) == 4
        and parts[0] == _PREFIX
        and not parts[1][:1].isdigit()
        and all(_PART.fullmatch(part) for part in parts[1:])
    )


def package_identifier(text: str) -> str:
    """Return what stands for a package in the names of its mechanisms.

    Parameters
    ----------
    text : str
        The name of a distribution or of a data package.

    Returns
    -------
    str
        The same with a single underscore for whatever is not an ASCII letter or a digit, and with
        ``p`` before a digit at its beginning.  Texts that differ only in that become the same.

    Raises
    ------
    MechanismError
        If there is not one ASCII letter or digit in it.

    Examples
    --------
    >>> package_identifier('my-mods.v2')
    'my_mods_v2'
    >>> package_identifier('3dcells')
    'p3dcells'
    """
    identifier = _identifier(text, True)
    if not identifier:
        raise MechanismError(
            f"{_shown(text)} cannot name a package of mechanisms: it has no ASCII letter or digit"
        )
    return identifier


def split_stem(stem: str) -> tuple[str, str]:
    """Return the asset and the variant that the name of a source file says.

    Parameters
    ----------
    stem : str
        The file's name without ``.mod``: ``<asset>``, ``<asset>__<variant>`` or a full name.

    Returns
    -------
    asset, variant : str
        The variant is `DEFAULT_VARIANT` where the stem names none.

    Raises
    ------
    MechanismError
        If it is none of the three.

    Examples
    --------
    >>> split_stem('Kv1_1'), split_stem('Na__granule_cell'), split_stem('glia__dbbs__Ca__L')
    (('Kv1_1', '0'), ('Na', 'granule_cell'), ('Ca', 'L'))
    """
    if is_full_name(stem):
        return split_name(stem)[1:]
    asset, _, variant = stem.partition("__")
    if "__" not in stem:
        variant = DEFAULT_VARIANT
    for kind, part in (("asset", asset), ("variant", variant)):
        problem = _problem(kind, part)
        if problem:
            raise MechanismError(
                f"{_shown(stem + '.mod')} does not say which mechanism it is, as <asset>.mod, "
                f"<asset>__<variant>.mod or {_FORM}.mod: its {kind} would be {_shown(part)}, "
                f"and {problem}"
            )
    return asset, variant


def check_length(name: str, kind: str) -> None:
    """Refuse a name that NEURON would cut.

    Parameters
    ----------
    name : str
        The name of a mechanism.
    kind : str
        ``density``, ``point process``, ``artificial cell`` or ``functions``, as `nmodl.scan` says.

    Raises
    ------
    MechanismError
        If the name of a density mechanism has more than 250 characters (from 256 its range
        variables vanish), or that of a point process or artificial cell more than 99 (``hname()``
        is cut there).

    Examples
    --------
    >>> check_length('glia__dbbs__Kv1_1__0', 'density')
    """
    longest = _LONGEST.get(kind, 250)
    if len(name) > longest:
        raise MechanismError(
            f"the name {_shown(name)} has {len(name)} characters, and NEURON takes {longest} "
            f"({kind}): choose a shorter package, asset or variant"
        )


def _problem(kind: str, part: str) -> str:
    """Return why a text cannot be a part of a name, as the end of a sentence; empty if it can."""
    if not part:
        return "it is empty"
    if kind == "package" and part[0] in "0123456789":
        return "it begins with a digit"
    if _PART.fullmatch(part):
        return ""
    if "__" in part:
        return "two underscores stand between the parts of a name, and may not be in one"
    for character in part:
        if not (character.isascii() and (character.isalnum() or character == "_")):
            return (
                f"it has {character!a} in it, where only ASCII letters, digits and "
                "underscores may be"
            )
    return "it begins or ends with an underscore"


def _identifier(text: str, is_package: bool) -> str:
    identifier = _NOT_IDENTIFIER.sub("_", text).strip("_")
    return f"p{identifier}" if is_package and identifier[:1].isdigit() else identifier


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
