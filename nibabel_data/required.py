"""`require`: the check after an installation, that the data a program needs are there."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from .errors import DataWarning
from .explanation import Explanation, explain

if TYPE_CHECKING:
    from .definition import Definition
    from .searchpath import DataPath

__all__ = ["require"]


def require(
    *pkg_defs: Definition, data_path: DataPath | None = None, error: bool = False
) -> tuple[Explanation, ...]:
    """Check that data packages are there, and warn with instructions where one is not.

    For a ``setup.py`` after installing, for a library when it is imported, and for the shell
    (``nibabel-data require``).

    Parameters
    ----------
    *pkg_defs : str, dict or PackageDef
        The packages, as for `make_datasource`.
    data_path : str, os.PathLike or a sequence of them, optional
        As for `make_datasource`.
    error : bool, optional
        Whether to raise for the first package that is missing, rather than warn.

    Returns
    -------
    tuple of Explanation
        One for each package that is missing; empty if all are there.

    Raises
    ------
    DataError
        If `error`, and a package is missing.
    DefinitionError
        If a definition makes no sense.

    Warns
    -----
    DataWarning
        For each package that is missing.

    Examples
    --------
    >>> require('nipy/examplepkg>=0.1', data_path='examples/nipy-examplepkg')
    ()
    """
    missing = []
    for pkg_def in pkg_defs:
        explanation = explain(pkg_def, data_path)
        if explanation.found is not None:
            continue
        if error:
            raise explanation.error()
        warnings.warn(explanation.text(), DataWarning, stacklevel=2)
        missing.append(explanation)
    return tuple(missing)
