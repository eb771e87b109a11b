"""Look at arrays and at images of a data package in Neuroglancer, in the browser.

Importing this package imports nothing else; each name is loaded when it is first used, and NumPy
with the first of those that needs it.
"""

from __future__ import annotations

_HOME: dict[str, str] = {}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
