"""Writing the entry of an ini file that adds a directory to the search path.

The text of a file is edited, not written anew, so that comments, order and other sections stay.
The new text is read back before it replaces the old, in one rename.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import ini
from .environment import expand, get_nipy_user_dir, system_dirs
from .errors import DataError
from .searchpath import data_entries

__all__ = ["Change", "add_data_path"]


@dataclass(frozen=True, slots=True)
class Change:
    """What `add_data_path` did.

    Parameters
    ----------
    file : pathlib.Path
        The ini file.
    path : str
        The directory that it names.
    written : bool
        False if the file named it already.
    """

    file: Path
    path: str
    written: bool


def add_data_path(
    path: str | os.PathLike[str],
    *,
    system: str | None = None,
    destdir: str | os.PathLike[str] | None = None,
) -> Change:
    """Add a directory to the search path, in the user's or the system's configuration.

    Parameters
    ----------
    path : str or os.PathLike
        The directory below which packages lie.  It need not exist yet; one that is relative is
        taken from the working directory.
    system : str, optional
        The name of a file of the system's directory, with or without ``.ini``, such as
        ``nipy_templates``; by default the user's ``config.ini`` is written.
    destdir : str or os.PathLike, optional
        Write the file below this directory instead, as packagers do; `path` is not changed.

    Returns
    -------
    Change
        The file, and whether it was written: a directory that it names already is left alone.

    Raises
    ------
    DataError
        If `path` cannot be written in an ini file, or the file there is malformed (it is left as
        it is), or cannot be written.
    """
    directory = _representable(os.path.abspath(expand(os.fspath(path))))
    target = _target(system)
    if destdir:
        target = os.path.join(os.path.abspath(destdir), os.path.relpath(target, os.sep))
    # Through a link, so that what it leads to is edited and the link stays.
    target = os.path.realpath(target)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with _one_writer(os.path.dirname(target)):
            return _add(target, directory)
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {(error.strerror or str(error)).lower()}"
            + ("; the system's directory needs root: sudo, or --user" if system else "")
        ) from error


def _add(target: str, directory: str) -> Change:
    mode = 0o666 & ~_umask()
    try:
        text, _ = ini.read_text(target)
        mode = os.stat(target).st_mode & 0o7777
    except FileNotFoundError:
        text = ""
    if any(expand(entry) == directory for entry, _ in data_entries(text, target)):
        return Change(Path(target), directory, False)
    changed = _with_entry(text, target, directory.replace("%", "%%"))
    if directory not in [expand(entry) for entry, _ in data_entries(changed, target)]:
        raise DataError(f"{target} has a form that cannot be edited; add {directory} by hand")
    _replace(target, changed, mode)
    return Change(Path(target), directory, True)


def _with_entry(text: str, target: str, entry: str) -> str:
    """Return the text with one more directory in section DATA, key path."""
    sections = ini.parse(text, target)
    lines = text.split("\n")
    if "DATA" not in sections:
        head = text if not text or text.endswith("\n") else text + "\n"
        return f"{head}{head and chr(10)}[DATA]\npath = {entry}\n"
    if "path" not in sections["DATA"]:
        at = next(n for n, line in enumerate(lines) if line.strip().startswith("[DATA]"))
        inherited = sections.get("DEFAULT", {}).get("path", ("", 0))[0]
        value = os.pathsep.join([*inherited.split("\n"), entry]) if inherited else entry
        lines.insert(at + 1, f"path = {value}")
        return "\n".join(lines)
    value, line = sections["DATA"]["path"]
    last = line - 1
    for piece in value.split("\n")[1:]:  # the value goes on over these lines
        last += 1
        while last < len(lines) - 1 and piece not in lines[last]:
            last += 1
    separator = os.pathsep if value else " "
    lines[last] = lines[last].rstrip() + separator + entry
    return "\n".join(lines)


def _representable(directory: str) -> str:
    why = ""
    if os.pathsep in directory:
        why = f"{os.pathsep!r} separates directories there"
    elif not directory.isprintable():
        why = "it has a character that cannot be printed"
    elif directory != directory.strip() or directory[0] in "'\"" or directory[-1] in "'\"":
        why = "spaces and quotes at its ends would be taken off"
    if why:
        raise DataError(f"the directory {directory!r} cannot stand in an ini file: {why}")
    return directory


def _target(system: str | None) -> str:
    if system is None:
        return os.path.join(get_nipy_user_dir(), "config.ini")
    name = system.removesuffix(".ini")
    if not name or name.startswith(".") or os.path.basename(name) != name or "\0" in name:
        raise DataError(f"{system!r} is no name for a file of the system's directory")
    directories = system_dirs()
    if not directories:
        raise DataError("this system has no directory for NIPY configuration")
    return os.path.join(directories[0], name + ".ini")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _one_writer(directory: str) -> Iterator[None]:
    """Keep two writers of one directory from losing each other's entry, where locks are had."""
    try:
        import fcntl
    except ImportError:  # Windows: the rename is atomic all the same
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # without locks too, the rename is atomic
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: str, text: str, mode: int) -> None:
    descriptor, staged = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(staged, mode)
        os.replace(staged, target)
    except BaseException:
        os.unlink(staged)
        raise
