"""`DataVersion`: the version of a data package, a str that is ordered as PEP 440 says.

Plain release numbers (``0.3``, ``2024``, ``1.10.2``) are compared here, without importing
`packaging`, because that import takes longer than locating a package does.  Everything else, and
every specifier with more to it than ``>=``, ``>``, ``<=``, ``<``, ``==`` or ``!=`` and a plain
number, goes to `packaging`; a test holds that the two never disagree.
"""

from __future__ import annotations

from .errors import DefinitionError, VersionError

__all__ = ["DataVersion", "check_specifier", "satisfies"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

LONGEST = 200
"""A longer text is no version; it would only stall the parser."""


class DataVersion(str):
    """A version: equal to the text in the file, ordered by PEP 440.

    Parameters
    ----------
    text : str
        A PEP 440 version, or a text that ``nibabel.data`` accepted because its first two parts
        are numbers (``0.3.foo``), which is kept but cannot be ordered.

    Raises
    ------
    VersionError
        If `text` is neither.  Also from ``<``, ``<=``, ``>``, ``>=``, if one side cannot be
        ordered.

    Notes
    -----
    Equality and hash are those of the text, because a value that equals the str ``'0.3'`` must
    hash as it does.  So ``0.3`` and ``0.3.0`` are different texts, neither of which is below the
    other: ``a <= b and b <= a`` asks whether two versions mean the same release.

    Source: https://packaging.python.org/en/latest/specifications/version-specifiers/

    Examples
    --------
    >>> version = DataVersion('0.9')
    >>> version == '0.9', version < '0.10', '0.9' < '0.10'
    (True, True, False)
    >>> sorted([DataVersion('0.10'), DataVersion('0.9'), DataVersion('0.10rc1')])
    ['0.9', '0.10rc1', '0.10']
    >>> DataVersion('abc')
    Traceback (most recent call last):
    nibabel_data.errors.VersionError: 'abc' is not a version (a version is like 0.3, 1.2rc1 or 2024)
    """

    __slots__ = ()

    def __new__(cls, text: str) -> DataVersion:  # noqa: D102
        if _release(text) is None and not _is_pep440(text) and not _legacy_numbers(text):
            raise VersionError(
                f"{_shown(text)} is not a version (a version is like 0.3, 1.2rc1 or 2024)"
            )
        return str.__new__(cls, text)

    def __getnewargs__(self) -> tuple[str]:
        return (str(self),)

    @property
    def is_pep440(self) -> bool:
        """Whether this version can be ordered."""
        return _release(self) is not None or _is_pep440(self)

    @property
    def major_minor(self) -> tuple[int, int]:
        """The first two numbers; a missing second one is 0."""
        numbers = _legacy_numbers(self) or _parse(self).release
        return (numbers[0], numbers[1] if len(numbers) > 1 else 0)

    # The four methods take any str or Version, also on the left: Python asks the subclass first.
    def __lt__(self, other: str) -> bool:
        keys = _keys(self, other)
        return NotImplemented if keys is None else bool(keys[0] < keys[1])

    def __le__(self, other: str) -> bool:
        keys = _keys(self, other)
        return NotImplemented if keys is None else bool(keys[0] <= keys[1])

    def __gt__(self, other: str) -> bool:
        keys = _keys(self, other)
        return NotImplemented if keys is None else bool(keys[0] > keys[1])

    def __ge__(self, other: str) -> bool:
        keys = _keys(self, other)
        return NotImplemented if keys is None else bool(keys[0] >= keys[1])


def check_specifier(specifier: str) -> str:
    """Return `specifier` if it is one of PEP 440.

    Parameters
    ----------
    specifier : str
        For example ``'>=0.3,<1'``; empty asks for nothing.

    Returns
    -------
    str
        The same.

    Raises
    ------
    DefinitionError
        If it is not one.

    Examples
    --------
    >>> check_specifier('>=0.3,<1')
    '>=0.3,<1'
    """
    if _plain_clauses(specifier) is None:
        _specifiers(specifier)
    return specifier


def satisfies(version: DataVersion, specifier: str) -> bool:
    """Return whether `version` is one that `specifier` asks for.

    A pre-release counts: it is on the path because somebody put it there.

    Parameters
    ----------
    version : DataVersion
        The version that was found.
    specifier : str
        A PEP 440 specifier; empty is satisfied by every version.

    Returns
    -------
    bool
        False also for a version that cannot be ordered, unless nothing is asked.

    Examples
    --------
    >>> satisfies(DataVersion('0.10'), '>=0.3,<1')
    True
    >>> satisfies(DataVersion('0.4.dev'), '>=0.4')
    False
    """
    if not specifier:
        return True
    mine, clauses = _release(version), _plain_clauses(specifier)
    if mine is not None and clauses is not None:
        return all(compare(mine, theirs) for compare, theirs in clauses)
    if not version.is_pep440:
        return False
    return _specifiers(specifier).contains(str(version), prereleases=True)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _release(text: str) -> tuple[int, ...] | None:
    """Return the numbers of a plain release without zeros at the end, or None."""
    if len(text) > LONGEST:
        return None
    parts = text.split(".")
    for part in parts:
        if not (part.isascii() and part.isdigit()):
            return None
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _legacy_numbers(text: str) -> tuple[int, int] | None:
    """Return the first two dotted parts if both are numbers, as ``nibabel.data`` reads them."""
    if len(text) > LONGEST:
        return None
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isascii() and part.isdigit() for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1])


def _parse(text: str) -> Version:
    from packaging.version import InvalidVersion, Version

    try:
        if len(text) > LONGEST:
            raise InvalidVersion(text)
        return Version(text)
    except InvalidVersion:
        raise VersionError(
            f"{_shown(text)} cannot be ordered: it is not a PEP 440 version"
        ) from None


def _is_pep440(text: str) -> bool:
    try:
        _parse(text)
    except VersionError:
        return False
    return True


def _keys(mine: str, theirs: object) -> tuple[Any, Any] | None:
    """Return two values that are ordered as the two versions are; None for what is no version.

    A `packaging.version.Version` is one; a float is not: as a number, 0.10 would be 0.1.
    """
    if not isinstance(theirs, str):
        if not hasattr(theirs, "release"):
            return None
        theirs = str(theirs)
    plain = _release(mine), _release(theirs)
    if None in plain:
        return _parse(str(mine)), _parse(str(theirs))
    return plain


_COMPARISONS = {
    ">=": tuple.__ge__,
    "<=": tuple.__le__,
    "==": tuple.__eq__,
    "!=": tuple.__ne__,
    ">": tuple.__gt__,
    "<": tuple.__lt__,
}


def _plain_clauses(specifier: str) -> list[tuple[Any, tuple[int, ...]]] | None:
    """Return the comparisons of a specifier of plain release numbers, or None."""
    clauses = []
    for clause in specifier.split(","):
        clause = clause.strip()
        operator = clause[:2] if clause[:2] in _COMPARISONS else clause[:1]
        release = _release(clause[len(operator) :].strip())
        if operator not in _COMPARISONS or release is None:
            return None
        clauses.append((_COMPARISONS[operator], release))
    return clauses


def _specifiers(specifier: str) -> SpecifierSet:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if len(specifier) > 10 * LONGEST:
            raise InvalidSpecifier(specifier)
        return SpecifierSet(specifier)
    except InvalidSpecifier:
        raise DefinitionError(
            f"{_shown(specifier)} is not a version specifier (a specifier is like '>=0.3,<1')"
        ) from None
