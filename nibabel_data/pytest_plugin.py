"""The marker ``needs_data`` for pytest.

``@pytest.mark.needs_data('nipy/templates>=0.3')`` skips a test where the package is missing, with
the explanation as the reason.  ``--needs-data=fail`` makes that a failure, for a machine that
should have the data.
"""

from __future__ import annotations

import pytest

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--needs-data",
        choices=("skip", "fail"),
        default="skip",
        help="what becomes of a test marked needs_data whose data package is missing",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs_data(*packages): skip unless these data packages, such as 'nipy/templates>=0.3', "
        "are on the data path",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted: list[str] = []
    for mark in item.iter_markers("needs_data"):
        if mark.kwargs or not mark.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker needs_data takes packages, and nothing else: "
                "@pytest.mark.needs_data('nipy/templates>=0.3')"
            )
        wanted.extend(mark.args)
    if not wanted:
        return
    from .testing import missing_reason

    if reason := missing_reason(*wanted):
        if item.config.getoption("--needs-data") == "fail":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
