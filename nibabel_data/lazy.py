"""Public names of a package that are loaded when they are first used (PEP 562)."""

from __future__ import annotations

import sys

__all__ = ["attach"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def attach(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return what a package needs as its ``__getattr__`` and its ``__dir__``.

    Parameters
    ----------
    package : str
        The name of the package.
    homes : mapping of str to str
        By public name, the module that has it; one that begins with a dot is beside the package.

    Returns
    -------
    getattr, dir : callable
        The first loads a name and keeps it in the package.

    Examples
    --------
    >>> load, names_of = attach('nibabel_data.mechanisms', {'resolve': 'resolution'})
    >>> load('resolve')('pas')
    'pas'
    >>> 'resolve' in names_of()
    True
    """
    known = vars(sys.modules[package])

    def load(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        known[name] = getattr(import_module(f".{home}", package), name)
        return known[name]

    return load, lambda: sorted({*known, *homes})
