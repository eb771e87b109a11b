"""For the tests of libraries that need data: skip where the data are not."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .explanation import explain

if TYPE_CHECKING:
    from .definition import Definition

__all__ = ["missing_reason", "needs_data"]

Test = TypeVar("Test", bound=Callable[..., Any])


def missing_reason(*pkg_defs: Definition) -> str:
    """Return why tests that need these packages cannot run; empty if they can.

    Parameters
    ----------
    *pkg_defs : str, dict or PackageDef
        The packages, as for `nibabel_data.make_datasource`.
    """
    missing = [answer for answer in map(explain, pkg_defs) if answer.found is None]
    return "\n\n".join(answer.text() for answer in missing)


def needs_data(*pkg_defs: Definition) -> Callable[[Test], Test]:
    """Return a decorator that skips a test, or a class of them, where data packages are missing.

    Parameters
    ----------
    *pkg_defs : str, dict or PackageDef
        The packages, as for `nibabel_data.make_datasource`.

    Returns
    -------
    callable
        A decorator for pytest and for unittest; the reason of the skip is the explanation.

    Examples
    --------
    >>> @needs_data('nipy/no-such-package')
    ... def test_templates():
    ...     raise AssertionError('not run')
    """
    reason = missing_reason(*pkg_defs)
    if "pytest" in sys.modules:
        import pytest

        return pytest.mark.skipif(bool(reason), reason=reason or "all data are there")
    return unittest.skipIf(bool(reason), reason)
