"""Changing a package all at once: staged beside it, then put in place by one rename.

Whoever is killed leaves the old package or the new one, whole, and a staging directory that the
next run removes.  Nothing here rests on a lock: a staging name belongs to one process alone, and
putting in place is one system call where the system has it (Linux, macOS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os.path import join as pjoin

from ..atomic import is_alive
from ..errors import DataError

__all__ = ["clean_stale", "exchange", "is_staged", "is_stale", "put_in_place", "staging_directory"]

_SUFFIX = ".nibabel-data-staging"
_ASIDE = ".old"
_OLD = 24 * 3600
"""Seconds after which what another machine staged is taken for abandoned."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux: include/uapi/linux/fs.h; macOS: RENAME_SWAP has the same value


@contextmanager
def staging_directory(target: str) -> Iterator[str]:
    """Give an empty directory beside `target`, of this process alone, and remove it at the end.

    Parameters
    ----------
    target : str
        What the staged directory is to become; its parent is made if need be.

    Yields
    ------
    str
        The directory.  After `put_in_place` it holds what stood at `target`, or is gone.

    Raises
    ------
    DataError
        If it cannot be made.
    """
    parent, name = os.path.split(target)
    try:
        os.makedirs(parent, exist_ok=True)
        clean_stale(parent)
        host = socket.gethostname().replace(".", "-") or "localhost"
        mark = f"{host}.{os.getpid()}.{secrets.token_hex(4)}"
        staged = pjoin(parent, f".{name}.{mark}{_SUFFIX}")
        os.mkdir(staged)
    except OSError as error:
        raise DataError(
            f"cannot write in {parent}: {(error.strerror or str(error)).lower()}"
        ) from (error)
    try:
        yield staged
    finally:
        with suppress(OSError):  # what cannot be removed now, the next run removes
            remove_tree(staged)


def remove_tree(path: str) -> None:
    """Remove whatever stands at a path, if something does."""
    if not os.path.lexists(path):
        return
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # directories in it are write-protected
        for here, _, _ in os.walk(path):
            os.chmod(here, 0o700)
        shutil.rmtree(path)


def clean_stale(parent: str) -> list[str]:
    """Remove what processes that are gone have staged in a directory; return what was removed."""
    removed = []
    for name in os.listdir(parent):
        path = pjoin(parent, name)
        if is_staged(name) and is_stale(path):
            target, mark = _target_and_mark(name)
            with suppress(OSError):  # another process may be cleaning as well
                if mark.endswith(_ASIDE) and not os.path.lexists(pjoin(parent, target[1:])):
                    os.rename(path, pjoin(parent, target[1:]))  # killed between two renames
                else:
                    remove_tree(path)
                    removed.append(path)
    return removed


def is_staged(name: str) -> bool:
    """Return whether a name is that of something staged."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def is_stale(path: str) -> bool:
    """Return whether the process is gone that staged something.

    A process of this machine is gone if no process has its number; of one of another machine
    nobody knows, so that its staging must be a day old.
    """
    target, mark = _target_and_mark(os.path.basename(path))
    pid = mark.partition(".")[0]
    return not is_alive(int(pid)) if target and pid.isdigit() else _is_old(path)


def _target_and_mark(name: str) -> tuple[str, str]:
    """Return what a staged name stands for, and whose it is; no target if of another machine."""
    host = socket.gethostname().replace(".", "-") or "localhost"
    target, _, mark = name.removesuffix(_SUFFIX).rpartition(f".{host}.")
    return target, mark


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > _OLD
    except OSError:
        return False


def put_in_place(staged: str, target: str) -> bool:
    """Make `staged` stand at `target`, at once; what stood there then stands at `staged`.

    Parameters
    ----------
    staged : str
        A directory or a link, in the parent of `target`.
    target : str
        A path, where a directory, a link or nothing stands.

    Returns
    -------
    bool
        Whether something stood there.
    """
    while True:
        if not os.path.lexists(target):
            try:
                os.rename(staged, target)
                return False
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
        try:
            exchange(staged, target)
            return True
        except FileNotFoundError:  # it was removed in between
            continue


def exchange(one: str, other: str) -> None:
    """Exchange two paths of one directory, at once where the system can.

    Source: ``renameat2`` with ``RENAME_EXCHANGE`` (Linux), ``renamex_np`` with ``RENAME_SWAP``
    (macOS).  Elsewhere, and on file systems without it, by three renames: for a moment neither
    name stands at `other`.

    Raises
    ------
    OSError
        If one of them is not there, or the directory cannot be written.
    """
    code = _exchange_at_once(os.fsencode(one), os.fsencode(other))
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        _exchange_by_renames(one, other)
    elif code:
        raise OSError(code, os.strerror(code), other)


def _exchange_at_once(one: bytes, other: bytes) -> int:
    """Return 0, or the error number."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _RENAME_EXCHANGE)
        else:
            failed = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    except (AttributeError, OSError, TypeError):  # no such function; no such library (Windows)
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0


def _exchange_by_renames(one: str, other: str) -> None:
    aside = f"{one.removesuffix(_SUFFIX)}{_ASIDE}{_SUFFIX}"
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except BaseException:
        os.rename(aside, other)
        raise
    os.rename(aside, one)
