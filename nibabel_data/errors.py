"""The errors and the warning of this library: `DataError` and its family.

Everything that goes wrong with data raises one of these, so that one ``except DataError`` is
enough.  Where a class has a second parent from the standard library, it is so that a caller who
knows nothing of this library catches it too.
"""

from __future__ import annotations

import sys

__all__ = [
    "BomberError",
    "BuildError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "DefinitionError",
    "MechanismError",
    "MissingFileError",
    "ResolveError",
    "VersionError",
    "ViewerError",
    "warn",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .explanation import Explanation


class DataError(Exception):
    """Data were asked for and cannot be given.

    Attributes
    ----------
    explanation : nibabel_data.Explanation or None
        When a package was looked for: what was asked, and what each root held.  The same facts as
        in the message, as data.
    results : tuple
        When several packages were worked on: what was done for those before the one that failed,
        as the function would have returned it.
    """

    explanation: Explanation | None = None
    results: tuple[Any, ...] = ()


class BomberError(DataError, AttributeError):
    """An attribute of a `Bomber` was used: its data package is not there.

    It is an `AttributeError` as well, so that ``hasattr`` and introspection see False rather than
    an error.
    """


class DefinitionError(DataError, ValueError):
    """The description of the package that was asked for makes no sense."""


class VersionError(DataError, ValueError):
    """A text is not a version, or cannot be ordered as one."""


class MissingFileError(DataError, FileNotFoundError):
    """A package is there, but not the file that was asked of it (or not its content).

    Parameters
    ----------
    message : str
        What to tell.
    filename : str
        The file.
    """

    def __init__(self, message: str, filename: str = "") -> None:
        import errno

        super().__init__(message)
        self.errno = errno.ENOENT
        self.filename = filename

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigError(DataError):
    """A configuration file cannot be used.

    Parameters
    ----------
    path : str
        The file.
    line : int or None
        The line at fault, counted from 1, where there is one.
    problem : str
        What is wrong, as the end of a sentence that begins with the place.

    Examples
    --------
    >>> print(ConfigError('/etc/nipy/a.ini', 3, 'no "=" after the key'))
    /etc/nipy/a.ini, line 3: no "=" after the key
    """

    def __init__(self, path: str, line: int | None, problem: str) -> None:
        super().__init__(path, line, problem)
        self.path = path
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}, line {self.line}"
        return f"{place}: {self.problem}"


class MechanismError(DataError):
    """A mechanism was asked for and cannot be given."""


class ResolveError(MechanismError, LookupError):
    """No mechanism, or more than one, answers to what was asked for."""


class BuildError(MechanismError):
    """A mechanism cannot be built from its source.

    Parameters
    ----------
    message : str
        What to tell.
    mechanism : str, optional
        The full name of the mechanism.
    path : str, optional
        The file of its source.
    line : int or None, optional
        The line at fault, counted from 1, where there is one.
    first_error : str, optional
        The first error of the translator or the compiler, in its own words.
    """

    def __init__(
        self,
        message: str,
        *,
        mechanism: str = "",
        path: str = "",
        line: int | None = None,
        first_error: str = "",
    ) -> None:
        super().__init__(message)
        self.mechanism = mechanism
        self.path = path
        self.line = line
        self.first_error = first_error


class ViewerError(DataError):
    """Something cannot be shown, or the viewer cannot be used."""


class DataWarning(UserWarning):
    """Data, or a file that says where data are, need a person's attention."""


def warn(message: str) -> None:
    """Give a `DataWarning` that names the line, outside this library, that led to it."""
    import warnings

    package = __name__.partition(".")[0]
    level, frame = 2, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == package and frame.f_back:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, DataWarning, stacklevel=level)
