"""The search path: the roots below which data packages lie, in order, each with its origin.

The locator walks `walk`, which reads what it needs when it gets there: a package found in the
first root costs no look at the last.  `get_data_path` and `search_path` give the whole.
"""

from __future__ import annotations

import os
import sys
import time
from os.path import join as pjoin

from . import ini
from .environment import expand_all, get_nipy_user_dir, system_dirs
from .errors import ConfigError, warn

__all__ = ["data_entries", "get_data_path", "search_path", "walk"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from .roots import Origin, Root

    # path (None: the file could not be used), kind, where, line, state, problem: a Root in the
    # making, whose state is found out later unless it is that of a file.
    # Values of classes wait until somebody asks for them, because importing dataclasses takes
    # longer than finding a package.
    RawRoot: TypeAlias = tuple[str | None, str, str, int | None, str, str]
    Read: TypeAlias = tuple[ini.Signature | None, tuple[RawRoot, ...]]
    DataPath: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def get_data_path() -> list[str]:
    """Return the directories below which data packages are looked for, in order.

    In order: ``NIPY_DATA_PATH``; section ``DATA``, key ``path``, of ``config.ini`` in the user
    directory; the same of every ``*.ini`` in the system directory, sorted by name;
    ``sys.prefix/share/nipy``; ``/usr/local/share/nipy`` if ``sys.prefix`` is ``/usr``; the user
    directory; then, where they exist, the other places where installers put data, and the roots
    of plug-ins (entry points of group ``nibabel_data.roots``).

    Returns
    -------
    list of str
        The directories, which need not exist; none twice.

    Warns
    -----
    DataWarning
        Once for an ini file that cannot be used; it is skipped.

    See Also
    --------
    search_path : the same with origins and states.

    Examples
    --------
    >>> os.environ['NIPY_DATA_PATH'] = os.pathsep.join(['/lab/data', '/lab/more'])
    >>> get_data_path()[:2]
    ['/lab/data', '/lab/more']
    >>> del os.environ['NIPY_DATA_PATH']
    """
    return [root[0] for root in walk() if root[0] is not None]


def search_path(data_path: DataPath | None = None) -> tuple[Root, ...]:
    """Return the search path as values: each root with its origin and its state.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead; a str is split at ``os.pathsep``.

    Returns
    -------
    tuple of Root
        In the order of the search.  An ini file that cannot be used stands where its roots would,
        with the path None.

    Examples
    --------
    >>> [root.state for root in search_path('/no/such/directory')]
    ['missing']
    """
    return tuple(_root(raw) for raw in walk(data_path, warn=False))


def walk(data_path: DataPath | None = None, *, warn: bool = True) -> Iterator[RawRoot]:
    """Yield the roots in order, none twice, each as late as possible.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to walk instead of the search path; a str is split at ``os.pathsep``.
    warn : bool, optional
        Whether to warn, once, about an ini file that cannot be used.

    Yields
    ------
    tuple
        Path or None, kind, where, line, state, problem: see `Root` and `Origin`.
    """
    seen = set()
    for root in _all_roots() if data_path is None else _given(data_path):
        path = root[0]
        if path is None:
            if warn:
                _warn_once(root)
            yield root
            continue
        key = _normal.get(path)
        if key is None:  # normpath cuts a path at a NUL
            if len(_normal) > _MOST_KEPT:
                _normal.clear()
            key = os.path.normcase(path if "\0" in path else os.path.normpath(path))
            _normal[path] = key
        if key not in seen:
            seen.add(key)
            yield root


_normal: dict[str, str] = {}
_MOST_KEPT = 10_000


def origin_of(raw: RawRoot) -> Origin:
    """Return the origin of a raw root as a value."""
    from .roots import Origin

    return Origin(raw[1], raw[2], raw[3])


def data_entries(text: str, path: str) -> list[tuple[str, int]]:
    r"""Return the directories that an ini file adds, unexpanded, each with its line.

    They stand in section ``DATA``, key ``path``, separated by ``os.pathsep`` or by lines; quotes
    around one are taken off, and empty ones are left out.

    Parameters
    ----------
    text : str
        The content of the file.
    path : str
        The file, for the error.

    Returns
    -------
    list of (str, int)
        Directory and line; empty if the file has no such entry.

    Raises
    ------
    ConfigError
        If the file is malformed, or has the section under a name of other case.

    Examples
    --------
    >>> data_entries('[DATA]\npath = /a\n  "/b c"\n', 'my.ini')
    [('/a', 2), ('/b c', 3)]
    """
    sections = ini.parse(text, path)
    options = sections.get("DATA")
    if options is None:
        for name in sections:
            if name.strip().upper() == "DATA":
                raise ConfigError(path, None, f"section [{name}] found, [DATA] needed")
        return []
    value, line = options.get("path") or sections.get("DEFAULT", {}).get("path") or ("", 1)
    numbers = ini.value_lines(text, line, value)
    if "%" in value:
        value = _interpolated(text, value)
    entries: list[tuple[str, int]] = []
    for number, piece in enumerate(value.split("\n")):
        line = numbers[min(number, len(numbers) - 1)]
        for entry in _unquoted(piece).split(os.pathsep):
            if "\0" in entry:
                raise ConfigError(path, line, "a NUL character in a path")
            if entry := _unquoted(entry):
                entries.append((entry, line))
    return entries


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text.count(text[0]) == 2:
        return text[1:-1].strip()
    return text


def _interpolated(text: str, literal: str) -> str:
    """Return the value as `nibabel.data` read it (``%%`` is ``%``), or literal if it could not."""
    import configparser

    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return parser.get("DATA", "path")
    except configparser.Error:
        return literal


def _given(data_path: DataPath) -> Iterator[RawRoot]:
    if isinstance(data_path, str):
        data_path = expand_all(data_path)
    elif isinstance(data_path, os.PathLike):
        data_path = [data_path]
    for path in data_path:
        root = os.fspath(path)
        if not isinstance(root, str):
            raise TypeError(f"data_path must hold str or os.PathLike[str], not {path!r}")
        yield root, "argument", "", None, "", ""


def _all_roots() -> Iterator[RawRoot]:
    for path in expand_all(os.environ.get("NIPY_DATA_PATH", "")):
        yield path, "variable", "NIPY_DATA_PATH", None, "", ""
    user_dir = get_nipy_user_dir()
    has_home = os.path.isabs(user_dir)  # else it would be a place in the working directory
    if has_home:
        yield from _expanded(_file_roots(pjoin(user_dir, "config.ini"), "user file")[1])
    for directory in system_dirs():
        yield from _expanded(_directory_roots(directory))
    yield pjoin(sys.prefix, "share", "nipy"), "prefix", "", None, "", ""
    if sys.prefix == "/usr":
        yield "/usr/local/share/nipy", "debian", "", None, "", ""
    if has_home:
        yield user_dir, "user directory", "", None, "", ""
    from .installers import installer_roots  # rarely needed: a package is found above

    yield from installer_roots()


def _expanded(roots: Iterable[RawRoot]) -> Iterator[RawRoot]:
    for root in roots:
        path = root[0]
        if path is not None and ("$" in path or "~" in path or os.name == "nt"):
            for expanded in expand_all(path):
                yield (expanded, *root[1:])
        else:
            yield root


# What was read, with the signature that it had: of each ini file, of each directory's listing, and
# of each directory as a whole.  Only what is settled is kept; a change changes the signature.
_files: dict[str, Read] = {}
_listings: dict[str, tuple[ini.Signature, tuple[str, ...]]] = {}
_directories: dict[str, tuple[tuple[str, ...], list[ini.Signature], tuple[RawRoot, ...]]] = {}


def _file_roots(path: str, kind: str) -> Read:
    """Return the roots that one ini file adds, or one entry that says why it adds none.

    With them stands the signature of the file, or None if they must not be kept.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            return None, _unusable(path, kind, None, "unreadable", "a link that leads nowhere")
        return None, ()
    except (OSError, ValueError) as error:
        return None, _unusable(path, kind, None, "unreadable", _reason(error))
    known = _files.get(path)
    if known is not None and known[0] == ini.signature(status):
        return known
    try:
        text, seen = ini.read_text(path)
        entries = data_entries(text, path)
    except FileNotFoundError:  # it went away in between
        return None, ()
    except ConfigError as error:
        return None, _unusable(path, kind, error.line, "malformed", error.problem)
    except OSError as error:
        return None, _unusable(path, kind, None, "unreadable", _reason(error))
    roots: tuple[RawRoot, ...]
    roots = tuple((entry, kind, path, line, "", "") for entry, line in entries)
    if not ini.settled(seen, time.time_ns()):
        return None, roots
    _files[path] = read = (seen, roots)
    return read


def _unusable(
    path: str, kind: str, line: int | None, state: str, problem: str
) -> tuple[RawRoot, ...]:
    return ((None, kind, path, line, state, problem),)


def _directory_roots(directory: str) -> tuple[RawRoot, ...]:
    """Return the roots that the ini files of a directory add."""
    try:
        files = _ini_files(directory)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError) as error:
        return _unusable(directory, "system file", None, "unreadable", _reason(error))
    known = _directories.get(directory)
    if known is not None and known[0] is files and _signatures(files) == known[1]:
        return known[2]
    reads = [_file_roots(path, "system file") for path in files]
    roots = tuple(root for _, of_file in reads for root in of_file)
    signatures = [seen for seen, _ in reads if seen is not None]
    if len(signatures) == len(files):
        _directories[directory] = files, signatures, roots
    return roots


def _signatures(files: tuple[str, ...]) -> list[ini.Signature] | None:
    try:
        return [ini.signature(os.stat(path)) for path in files]
    except OSError:
        return None


def _ini_files(directory: str) -> tuple[str, ...]:
    """Return the files ``*.ini`` of a directory, sorted, hidden ones left out as glob does."""
    now = ini.signature(os.stat(directory))
    known = _listings.get(directory)
    if known is not None and known[0] == now:
        return known[1]
    names = sorted(os.listdir(directory))
    files = tuple(
        pjoin(directory, name) for name in names if name.endswith(".ini") and name[0] != "."
    )
    if ini.settled(now, time.time_ns()):
        _listings[directory] = now, files
    return files


_warned: set[tuple[str, str]] = set()


def _warn_once(root: RawRoot) -> None:
    _, _, where, line, _, problem = root
    if (where, problem) not in _warned:
        warn(
            f"{ConfigError(where, line, problem)}; the data directories that it names are not "
            "searched (nibabel-data doctor says how to mend it)"
        )
        _warned.add((where, problem))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def _root(raw: RawRoot) -> Root:
    from pathlib import Path

    from .roots import Root

    path, state, problem = raw[0], raw[4], raw[5]
    if path is None:
        return Root(None, origin_of(raw), state, problem)
    state, problem = root_state(path)
    return Root(Path(path), origin_of(raw), state, problem)


def root_state(path: str) -> tuple[str, str]:
    """Return whether a root can be searched, and why not: ``(state, problem)``.

    Examples
    --------
    >>> root_state('/no/such/directory')
    ('missing', 'no such directory')
    """
    try:
        os.scandir(path).close()
    except FileNotFoundError:
        return "missing", "no such directory"
    except NotADirectoryError:
        return "not a directory", "not a directory"
    except PermissionError:
        return "unreadable", "no permission to read it"
    except (OSError, ValueError) as error:
        return "unreadable", _reason(error)
    return "searched", ""
