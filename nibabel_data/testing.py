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

    Returns
    -------
    str
        The explanation of each that is missing.
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

    def decorate(test: Test) -> Test:
        skipped: Any = unittest.skipIf(bool(reason), reason)(test)
        if "pytest" in sys.modules:  # its plain classes know nothing of unittest's skips
            import pytest

            skipped = pytest.mark.skipif(bool(reason), reason=reason or "all data are there")(
                skipped
            )
        marked: Test = skipped
        return marked

    return decorate
