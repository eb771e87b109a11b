"""The files of a package: walking them, their sizes, and content that is not here.

A DataLad dataset or git-annex repository holds each large file as a link into
``.git/annex/objects``; until ``datalad get`` has fetched the content, the link dangles.  That is
another thing than a file, and another thing than a link that somebody broke.
"""

from __future__ import annotations

import os
import stat
from os.path import join as pjoin

from .errors import DataError

__all__ = [
    "LEFT_OUT",
    "MANIFEST",
    "PARTIAL",
    "annex_command",
    "content_state",
    "escapes",
    "human_size",
    "is_pointer",
    "walk_files",
    "walk_status",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

LEFT_OUT = frozenset(
    {".git", ".gitattributes", ".gitmodules", ".datalad", ".hg", ".svn", ".DS_Store"}
    | {"Thumbs.db", "__pycache__"}
)
"""Names that are never part of a package: of version control, and of file managers."""

MANIFEST = "manifest-sha256.txt"
"""The file of a package that holds the hash of every other."""

PARTIAL = ".nibabel-data."
"""How the names of what is half fetched begin, in the directory of a package."""


def escapes(*parts: str) -> bool:
    """Return whether the joined `parts` lead out of the directory that they start from.

    Returns
    -------
    bool
        By the names alone; links are not looked at.

    Examples
    --------
    >>> escapes('a', '..', 'b'), escapes('..', 'b'), escapes('/etc/passwd')
    (False, True, True)
    """
    if not parts:
        return False
    joined = pjoin(*parts)
    if (
        any(part[:1] in ("/", os.sep) for part in parts)
        or os.path.isabs(joined)
        or os.path.splitdrive(joined)[0]
    ):
        return True
    normal = os.path.normpath(joined)
    return normal == os.pardir or normal.startswith(os.pardir + os.sep)


def content_state(path: str) -> str:
    """Return what stands at a path.

    Parameters
    ----------
    path : str
        Any path.

    Returns
    -------
    str
        ``file``, ``directory``, ``absent`` (an annexed file without its content), ``dangling``
        (any other link that leads nowhere), ``missing``, ``unreadable`` (no permission to see
        it), or ``other`` (a socket, a device).
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return "unreadable"
    except (OSError, ValueError):
        try:
            target = os.readlink(path)
        except (OSError, ValueError):
            return "missing"
        return "absent" if _is_annexed(target) else "dangling"
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def is_pointer(path: str, status: os.stat_result | None = None) -> bool:
    """Return whether a file holds, in place of its content, the name of it in a git-annex.

    So do files of an unlocked branch, and on systems without links.

    Source: https://git-annex.branchable.com/internals/pointer_file/

    Parameters
    ----------
    path : str
        The file.
    status : os.stat_result, optional
        Its status, where that is known: a file that is too large for a pointer is not opened.
    """
    if status is not None and status.st_size >= 32768:
        return False
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size < 32768 and file.read(15) == b"/annex/objects/"
    except (OSError, ValueError):
        return False


def _is_annexed(target: str) -> bool:
    parts = target.replace("\\", "/").split("/")
    return ".git" in parts and "annex" in parts and "objects" in parts


def annex_command(path: str) -> str:
    """Return the command that fetches the content of an annexed file.

    Examples
    --------
    >>> annex_command('/data/nipy/templates/T1.nii.gz')
    'datalad get -d /data/nipy/templates /data/nipy/templates/T1.nii.gz'
    """
    import shlex

    directory = top = os.path.dirname(path)
    while directory != os.path.dirname(directory):
        if os.path.lexists(pjoin(directory, ".git")):
            top = directory
            break
        directory = os.path.dirname(directory)
    return f"datalad get -d {shlex.quote(top)} {shlex.quote(path)}"


def walk_files(base: str, *, hidden: bool = False) -> Iterator[tuple[str, str, int]]:
    """Yield every entry below a directory that is not a directory, in sorted order.

    Links to directories are not followed, as `nibabel.data` does not.

    Parameters
    ----------
    base : str
        The directory.
    hidden : bool, optional
        Whether to take entries whose name begins with a dot, and what lies below them.

    Yields
    ------
    relative : str
        The path below `base`.
    state : str
        As `content_state` returns it; never ``missing``.
    size : int
        Bytes; 0 if the content is not here.

    Raises
    ------
    DataError
        If `base` cannot be read.  A directory below it that cannot be is yielded as unreadable.
    """
    for relative, state, status in walk_status(base, hidden=hidden):
        yield relative, state, 0 if status is None or state != "file" else status.st_size


def walk_status(
    base: str, *, hidden: bool = False, without: Container[str] = ()
) -> Iterator[tuple[str, str, os.stat_result | None]]:
    """Yield what `walk_files` does, with the whole status in place of the size.

    Parameters
    ----------
    base, hidden
        As for `walk_files`.
    without : container of str, optional
        Names that are left out, with what lies below them.

    Yields
    ------
    relative, state : str
        As from `walk_files`.
    status : os.stat_result or None
        None if the content is not here.
    """
    pending = [""]
    while pending:
        inside = pending.pop()
        try:
            with os.scandir(pjoin(base, inside) if inside else base) as scan:
                entries = sorted(scan, key=lambda entry: entry.name, reverse=True)
        except (OSError, ValueError) as error:
            if inside and isinstance(error, FileNotFoundError):
                continue  # it went away while we walked
            if inside and isinstance(error, PermissionError):
                yield inside, "unreadable", None
                continue
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DataError(f"cannot list {pjoin(base, inside)}: {reason}") from error
        here = []
        for entry in entries:
            name = entry.name
            if name in without or (name[0] == "." and not hidden):
                continue
            relative = f"{inside}{os.sep}{name}" if inside else name
            if entry.is_dir(follow_symlinks=False):
                pending.append(relative)
            else:
                here.append((relative, entry))
        for relative, entry in reversed(here):
            state, status = _state_and_status(entry)
            if state != "directory":
                yield relative, state, status


def _state_and_status(entry: os.DirEntry[str]) -> tuple[str, os.stat_result | None]:
    try:
        status = entry.stat()
    except OSError:
        return content_state(entry.path), None
    if stat.S_ISREG(status.st_mode):
        return "file", status
    return ("directory" if stat.S_ISDIR(status.st_mode) else "other"), status


def human_size(size: float) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> human_size(999), human_size(2_000_000), human_size(2_500_000_000)
    ('999 B', '2.0 MB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
