"""The places beyond the classic search path where installers really put ``share/nipy``.

Measured with pip, uv, pipx, setuptools and Debian's pip; each place is a root only where it
exists.  The way to each is a handful of `stat` calls.  Files that only a distribution's RECORD
knows of are looked for when somebody asks (module `distributions`), because reading every RECORD
of an environment takes a quarter of a second.
"""

from __future__ import annotations

import os
import site
import sys
from _thread import get_ident
from os.path import join as pjoin

from .plugins import entry_points_of, named_by

__all__ = ["installer_roots", "plugin_roots"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint
    from typing import Any

    from .searchpath import RawRoot

ENTRY_POINT_GROUP = "nibabel_data.roots"
_ON_LINUX: bool = sys.platform == "linux"


def installer_roots() -> Iterator[RawRoot]:
    """Yield the roots after the classic ones, those that exist, in order.

    Yields
    ------
    tuple
        As `nibabel_data.searchpath.walk` does.
    """
    for path, kind, where in _places():
        if os.path.isdir(path):
            yield path, kind, where, None, "", ""
    yield from _plugin_roots()


def _places() -> Iterator[tuple[str, str, str]]:
    if site.ENABLE_USER_SITE:  # pip install --user
        yield pjoin(site.getuserbase(), "share", "nipy"), "user base", ""
    if sys.base_prefix != sys.prefix:
        yield pjoin(sys.base_prefix, "share", "nipy"), "base prefix", ""
        if sys.base_prefix == "/usr":
            yield "/usr/local/share/nipy", "base prefix", ""
    for prefix, entry in _installed_prefixes():
        yield pjoin(prefix, "share", "nipy"), "installer", entry
    for directory in _site_data_dirs():
        yield directory, "site data", ""


def _installed_prefixes() -> Iterator[tuple[str, str]]:
    """Yield the prefix to which each directory of ``sys.path`` belongs.

    That of ``X/lib/python3.11/site-packages`` is X: so the ephemeral environment of ``uv run
    --with``, a ``pip install --prefix`` and Debian's ``X/local/lib/python3.11/dist-packages`` are
    found.  ``pip install --target X`` makes X both, and is known by the ``.dist-info`` in it; the
    working directory is not taken for one.
    """
    for entry in sys.path:
        if not isinstance(entry, str) or not os.path.isabs(entry):
            continue
        head, leaf = os.path.split(entry.rstrip(os.sep))
        if leaf in ("site-packages", "dist-packages"):
            above, lib = os.path.split(head)
            yield (os.path.dirname(above) if lib.startswith("python") else above), entry
        if os.path.isdir(pjoin(entry, "share", "nipy")) and _has_distributions(entry):
            yield entry, entry


def _has_distributions(directory: str) -> bool:
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(directory))
    except OSError:
        return False


def _site_data_dirs() -> list[str]:
    """Return the system's data directories for ``nipy``, as `platformdirs` names them.

    On Linux they are read from the one variable that names them, because every program whose
    data are missing comes here, and importing `platformdirs` would double what it waits.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    if _ON_LINUX:
        named = os.environ.get("XDG_DATA_DIRS", "").split(os.pathsep)
        absolute = [path for path in named if os.path.isabs(path)]
        return [pjoin(path, "nipy") for path in absolute or ["/usr/local/share", "/usr/share"]]
    from platformdirs import PlatformDirs

    joined = PlatformDirs("nipy", appauthor=False, multipath=True).site_data_dir
    return [path for path in joined.split(os.pathsep) if path]


_asking: set[int] = set()
"""Threads that are asking plug-ins."""


def plugin_roots() -> list[RawRoot]:
    """Return every root that a plug-in names, also one that does not exist."""
    thread = get_ident()
    if thread in _asking:
        return []  # a plug-in that looks for data itself does not find those of plug-ins
    _asking.add(thread)
    try:
        return [root for point in entry_points_of(ENTRY_POINT_GROUP) for root in _roots_of(point)]
    finally:
        _asking.discard(thread)


def _plugin_roots() -> list[RawRoot]:
    return [root for root in plugin_roots() if root[0] is None or os.path.isdir(root[0])]


def _roots_of(point: EntryPoint) -> list[RawRoot]:
    """Return the roots that one plug-in names; a plug-in that fails is one bad entry.

    ``name = package`` names the directory of that package, which is not imported;
    ``name = package.module:thing`` a path, several, or a function that returns them.
    """
    if _is_being_imported(point.module):
        return []  # it looks for data while it is imported: its own come once it is
    where = named_by(point)
    try:
        paths = _named_by(point)
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises, one bad entry
        problem = f"the plug-in failed: {type(error).__name__}: {_text(error)}"
        return [(None, "plug-in", where, None, "malformed", problem)]
    return [(path, "plug-in", where, None, "", "") for path in paths]


def _is_being_imported(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(no message)"


def _named_by(point: EntryPoint) -> list[str]:
    value: Any
    if point.attr:
        value = point.load()
        value = value() if callable(value) else value
    else:
        from importlib.util import find_spec

        spec = find_spec(point.module)
        value = list(spec.submodule_search_locations or []) if spec else []
        if not value:
            raise ModuleNotFoundError(f"no package {point.module!r}")
    if isinstance(value, str | os.PathLike):
        value = [value]
    paths = [os.fspath(path) for path in value]
    for path in paths:
        if not isinstance(path, str) or not os.path.isabs(path):
            raise ValueError(f"a root must be an absolute path, a str, not {path!r}")
    return paths
