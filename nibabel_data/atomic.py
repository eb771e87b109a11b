"""Replacing one file, whole or not at all; whether a process that was writing is still there."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress

__all__ = ["is_alive", "replace_file"]

_STAGED = ".nibabel-data-tmp"
_ABANDONED = 3600  # seconds


def replace_file(path: str, content: bytes, *, everybody: bool = False) -> None:
    """Write a file by one rename: whoever reads it finds the old content or the new.

    Parameters
    ----------
    path : str
        The file.  If it is a link, what it leads to is replaced, and the link stays.  If it exists
        it keeps its mode and its owner; if not, its mode follows the umask.
    content : bytes
        What it is to hold.
    everybody : bool, optional
        Whether a new file may be read by all, whatever the umask is.

    Raises
    ------
    OSError
        If it cannot be written; then the old file is as it was.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    for left in os.listdir(folder):  # by writers that were killed
        if left.startswith(f".{name}.") and left.endswith(_STAGED):
            _remove_if_abandoned(os.path.join(folder, left))
    staged = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}{_STAGED}")
    try:
        with open(staged, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _take_over(target, staged, everybody)
        os.replace(staged, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(staged)
        raise


def _take_over(target: str, staged: str, everybody: bool) -> None:
    try:
        before = os.stat(target)
    except FileNotFoundError:
        if everybody:
            os.chmod(staged, 0o644)
        return
    if hasattr(os, "chown") and os.stat(staged).st_uid != before.st_uid:
        os.chown(staged, before.st_uid, before.st_gid)
    os.chmod(staged, before.st_mode & 0o7777)


def _remove_if_abandoned(path: str) -> None:
    pid = path.split(".")[-3]
    with suppress(OSError, ValueError):  # a living process has it, or nobody can tell
        if time.time() - os.lstat(path).st_mtime < _ABANDONED:
            return  # perhaps of another machine
        if not is_alive(int(pid)):
            os.unlink(path)


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine has a number; True where nobody can tell.

    Parameters
    ----------
    pid : int
        The number.

    Returns
    -------
    bool
        Always True on Windows, where asking as POSIX does would end the process.

    Examples
    --------
    >>> is_alive(os.getpid())
    True
    """
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
