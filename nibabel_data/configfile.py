"""Writing the entry of an ini file that adds a directory to the search path.

The text of a file is edited, not written anew, so that comments, order and other sections stay.
The new text is read back before it replaces the old, in one rename.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import ini
from .atomic import replace_file
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
    if not os.fspath(path):
        raise DataError("the directory is an empty text (a shell variable that is not set?)")
    directory = _representable(_made_absolute(expand(os.fspath(path))))
    target = _target(system)
    if destdir:
        target = _below(_made_absolute(os.fspath(destdir)), target)
    else:
        target = os.path.realpath(target)  # a link stays, what it leads to is edited
    folder = os.path.dirname(target)
    try:
        _make_folders(folder, everybody=system is not None)
        with _one_writer(folder):
            return _add(target, directory, everybody=system is not None)
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {(error.strerror or str(error)).lower()}"
            + ("; the system's directory needs root: sudo, or --user" if system else "")
        ) from error


def _made_absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError as error:
        raise DataError(f"{path!r} is relative, and there is no working directory") from error


def _below(destdir: str, target: str) -> str:
    """Return the target below a staging directory; refuse one that a link leads out of it."""
    staged = os.path.realpath(destdir + os.path.splitdrive(target)[1])
    if not staged.startswith(os.path.realpath(destdir) + os.sep):
        raise DataError(f"a link below {destdir} leads out of it, to {staged}: nothing was written")
    return staged


def _make_folders(folder: str, *, everybody: bool) -> None:
    """Make a directory and those above it; for the system's, let everybody enter what is made."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path)
        if everybody:
            os.chmod(path, 0o755)


def _add(target: str, directory: str, *, everybody: bool) -> Change:
    try:
        text, _ = ini.read_text(target)
        protected = not os.stat(target).st_mode & 0o222
    except FileNotFoundError:
        text, protected = "", False
    entries = [entry for entry, _ in data_entries(text, target)]
    if any(expand(entry) == directory for entry in entries):
        return Change(Path(target), directory, False)
    if protected:
        raise DataError(f"{target} is write-protected; allow it with: chmod u+w {target}")
    changed = _with_entry(text, target, directory.replace("%", "%%"))
    if [entry for entry, _ in data_entries(changed, target)] != [*entries, directory]:
        raise DataError(f"{target} has a form that cannot be edited; add {directory} by hand")
    replace_file(target, _in_form_of(target, changed), everybody=everybody)
    return Change(Path(target), directory, True)


def _in_form_of(target: str, text: str) -> bytes:
    """Return the text with the line ends and the byte order mark that the file has."""
    try:
        with open(target, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        content = b""
    if b"\r\n" in content:
        text = text.replace("\n", "\r\n")
    return text.encode("utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8")


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
    last = ini.value_lines(text, line, value)[-1] - 1
    if value.rstrip().endswith(("'", '"')):  # what is quoted as a whole takes nothing behind it
        lines.insert(last + 1, f"    {entry}")
    else:
        lines[last] = lines[last].rstrip() + (os.pathsep if value else " ") + entry
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
        if not os.path.isabs(get_nipy_user_dir()):
            raise DataError("there is no home directory; set NIPY_USER_DIR")
        return os.path.join(get_nipy_user_dir(), "config.ini")
    name = system.removesuffix(".ini")
    if not name or name.startswith(".") or os.path.basename(name) != name or "\0" in name:
        raise DataError(f"{system!r} is no name for a file of the system's directory")
    directories = system_dirs()
    if not directories:
        raise DataError("this system has no directory for NIPY configuration")
    return os.path.join(directories[0], name + ".ini")


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
