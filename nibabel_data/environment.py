"""Where the user's and the system's NIPY directories are.

The names and results of ``nibabel.environment``, with two repairs: an empty ``NIPY_USER_DIR`` is
as if unset, and ``~`` and ``$NAME`` in it are expanded.  New is `system_dirs`, which knows the
directory that suits Windows, and ``NIPY_SYSTEM_DIR``, which moves the system's directory (for an
administrator without root, a relocated prefix, a test).
"""

from __future__ import annotations

import os
from os.path import join as pjoin

__all__ = [
    "absolute",
    "cache_dir",
    "expand",
    "expand_all",
    "get_home_dir",
    "get_nipy_system_dir",
    "get_nipy_user_dir",
    "system_dirs",
]

_cache_dirs: dict[object, str] = {}
"""The cache directory by the variables that it depends on: `cache_dir` is asked for each file."""


def expand(path: str) -> str:
    """Return `path` with a leading ``~`` and every ``$NAME`` replaced; unknown names stay.

    Returns
    -------
    str
        The path.

    Examples
    --------
    >>> expand('/data') == '/data'
    True
    >>> expand('~/data') == os.path.join(os.path.expanduser('~'), 'data')
    True
    """
    if "$" in path or (os.name == "nt" and "%" in path):
        path = os.path.expandvars(path)
    return _with_home(path)


def expand_all(paths: str) -> list[str]:
    """Return the directories that a search string names, expanded, without empty ones.

    Parameters
    ----------
    paths : str
        Directories separated by ``os.pathsep``; a ``$NAME`` may stand for several.

    Returns
    -------
    list of str
        The directories.

    Examples
    --------
    >>> expand_all(os.pathsep.join(['/a', '', '/b']))
    ['/a', '/b']
    """
    if "$" in paths or (os.name == "nt" and "%" in paths):
        paths = os.path.expandvars(paths)
    return [_with_home(path) for path in paths.split(os.pathsep) if path]


def absolute(path: str) -> str:
    """Return `path` made absolute, or as it is where the working directory has been removed."""
    try:
        return os.path.abspath(path)
    except OSError:
        return path


def _with_home(path: str) -> str:
    if not path.startswith("~"):
        return path
    try:
        return os.path.expanduser(path)
    except ValueError:  # a name that no user can have
        return path


def get_home_dir() -> str:
    """Return the best guess at the home directory, which may not exist.

    Returns
    -------
    str
        The home directory.

    Examples
    --------
    >>> get_home_dir() == os.path.expanduser('~')
    True
    """
    return os.path.expanduser("~")


def get_nipy_user_dir() -> str:
    """Return the user's NIPY directory, which may not exist.

    That is ``NIPY_USER_DIR`` if set and not empty, else ``~/.nipy`` (``~/_nipy`` on Windows).

    Returns
    -------
    str
        The directory.

    Examples
    --------
    >>> os.environ['NIPY_USER_DIR'] = '/lab/me'
    >>> get_nipy_user_dir() == os.path.abspath('/lab/me')
    True
    >>> del os.environ['NIPY_USER_DIR']
    """
    chosen = os.environ.get("NIPY_USER_DIR")
    if chosen:
        return absolute(expand(chosen))
    return pjoin(get_home_dir(), ".nipy" if os.name == "posix" else "_nipy")


def get_nipy_system_dir() -> str | None:
    r"""Return the classic system-wide directory for NIPY configuration, which may not exist.

    That is ``NIPY_SYSTEM_DIR`` if set and not empty, else ``/etc/nipy`` on POSIX systems (macOS
    included) and ``C:\etc\nipy`` on Windows.  `system_dirs` returns every directory that is read.

    Returns
    -------
    str or None
        The directory; None on a system that has neither convention.

    Examples
    --------
    >>> get_nipy_system_dir() in ('/etc/nipy', r'C:\etc\nipy')
    True
    """
    chosen = os.environ.get("NIPY_SYSTEM_DIR")
    if chosen:
        return absolute(expand(chosen))
    return {"posix": "/etc/nipy", "nt": r"C:\etc\nipy"}.get(os.name)


def system_dirs() -> list[str]:
    r"""Return the directories whose ``*.ini`` files are read, the one to write to first.

    One on POSIX systems.  On Windows the one that `platformdirs` names
    (``C:\ProgramData\nipy``), then the classic ``C:\etc\nipy``.

    Returns
    -------
    list of str
        The directories, which may not exist.
    """
    classic = get_nipy_system_dir()
    directories = [] if classic is None else [classic]
    if os.name == "nt" and not os.environ.get("NIPY_SYSTEM_DIR"):
        import platformdirs

        directories.insert(0, platformdirs.site_config_dir("nipy", appauthor=False))
    return directories


def cache_dir() -> str:
    """Return the directory for what this library can make again, which may not exist.

    That is ``NIBABEL_DATA_CACHE`` if set and not empty, else the user's cache directory as
    `platformdirs` names it (``~/.cache/nibabel-data`` on Linux).  What was fetched for packages
    that cannot be written lies there, and what is known of verified files.

    Returns
    -------
    str
        The directory.

    Examples
    --------
    >>> os.environ['NIBABEL_DATA_CACHE'] = '/scratch/me/nibabel-data'
    >>> cache_dir() == os.path.abspath('/scratch/me/nibabel-data')
    True
    >>> del os.environ['NIBABEL_DATA_CACHE']
    """
    chosen = os.environ.get("NIBABEL_DATA_CACHE")
    if chosen:
        found = _cache_dirs.get(chosen)
        if found is None:
            found = absolute(expand(chosen))
            if found == chosen and not {"$", "%"} & set(chosen):  # the same from everywhere
                _cache_dirs[chosen] = found
        return found
    if os.name == "nt":
        return _platform_cache_dir()
    home = os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME")
    if home not in _cache_dirs:
        _cache_dirs[home] = _platform_cache_dir()
    return _cache_dirs[home]


def _platform_cache_dir() -> str:
    import platformdirs

    return platformdirs.user_cache_dir("nibabel-data", appauthor=False)
