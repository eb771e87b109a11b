"""What was built, kept in directories that are named by what it was made from.

A directory appears by one rename, with the digest of its file beside it, so that whatever is there
is whole, and what is not whole is not used.  A lock keeps others from doing the same work at the
same time, and nothing but time is lost where locks do not work.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from os.path import join as pjoin

from ..errors import BuildError, DataError, warn

__all__ = [
    "LOCK",
    "RECORD",
    "Lock",
    "UnwritableError",
    "acquired",
    "bases",
    "cache_directory",
    "failure_text",
    "is_circumstance",
    "is_lack",
    "is_shortage",
    "obtain",
    "placed",
    "record",
    "refusal",
    "remember_refusal",
    "seal",
    "temporary_cache",
    "told_failure",
    "unwritable",
    "whole",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

RECORD = "build.json"
REFUSED = "refused.json"
LOCK = ".lock"

_WAIT = 600  # seconds for another process that builds the same
_SHORTAGES = ("No space left", "Killed", "out of memory", "Permission denied", "terminated")
_LACKS = ("No such file or directory", "cannot find -l")


class UnwritableError(Exception):
    """A cache cannot be written."""


def cache_directory() -> str:
    """Return the directory of what is built for this user: in the cache of this library."""
    from ..environment import cache_dir

    return pjoin(cache_dir(), "mechanisms")


def bases() -> list[str]:
    """Return the directories below which this process builds: the cache, the temporary one."""
    return [cache_directory(), *([] if _temporary is None else [_temporary])]


_temporary: str | None = None


def temporary_cache(reason: str) -> str:
    """Return a directory in the place of a cache that cannot be written, and warn of it once.

    Parameters
    ----------
    reason : str
        Why the cache cannot be.
    """
    global _temporary
    with _making_temporary:
        if _temporary is not None:
            return _temporary
        import atexit
        import tempfile

        try:
            _temporary = tempfile.mkdtemp(prefix="nibabel-data-mechanisms-")
        except OSError as error:
            raise BuildError(
                f"cannot write in the cache {cache_directory()} ({reason}), nor in a temporary "
                "directory.\nName a directory that can be written in NIBABEL_DATA_CACHE."
            ) from error
        atexit.register(_remove_temporary, _temporary, os.getpid())
    warn(
        f"cannot write in the cache {cache_directory()} ({reason}): mechanisms are built in "
        f"{_temporary} and lost when this process ends.\n"
        "Name a directory that can be written in NIBABEL_DATA_CACHE."
    )
    return _temporary


_making_temporary = threading.Lock()


def _remove_temporary(path: str, process: int) -> None:
    import shutil

    if os.getpid() == process:  # and not one that was forked off it
        shutil.rmtree(path, ignore_errors=True)


def obtain(place: str, file: str, make: Callable[[str], dict[str, Any]]) -> str:
    """Return a file of the cache, made if it is not there.

    Parameters
    ----------
    place : str
        Its directory, below the cache, named by what the file is made from.
    file : str
        Its name.
    make : callable
        Takes an empty directory, makes the file in it, and returns what is to be recorded.  What
        else it leaves there is removed.

    Returns
    -------
    str
        The path of the file.

    Raises
    ------
    BuildError
        If the disk is full; and whatever `make` raises.
    """
    for base in bases():
        path = whole(pjoin(base, place), file)
        if path is not None:
            return path
    try:
        return _obtain_in(pjoin(bases()[-1], place), file, make)
    except UnwritableError as error:
        return _obtain_in(pjoin(temporary_cache(str(error)), place), file, make)


def _obtain_in(folder: str, file: str, make: Callable[[str], dict[str, Any]]) -> str:
    with Lock(folder):
        path = whole(folder, file)  # made by another process while this one waited
        if path is not None:
            return path
        with placed(folder) as staged:
            seal(staged, file, make(staged))
    return pjoin(folder, file)


@contextmanager
def placed(folder: str) -> Iterator[str]:
    """Give an empty directory that becomes `folder`, at once, unless something goes wrong.

    Parameters
    ----------
    folder : str
        The directory that is to be made.

    Raises
    ------
    UnwritableError
        If another directory may do.
    BuildError
        If the disk is full.
    """
    from ..package.staging import put_in_place, staging_directory

    try:
        with staging_directory(folder) as staged:
            yield staged
            put_in_place(staged, folder)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise unwritable(error.__cause__) from error
        raise
    except OSError as error:
        raise unwritable(error) from error


def whole(folder: str, file: str) -> str | None:
    """Return the path of a file, if its content is what was written."""
    path = pjoin(folder, file)
    try:
        with open(pjoin(folder, RECORD), "rb") as opened:
            told = opened.read()
        with open(path, "rb") as opened:
            content = opened.read()
    except OSError:
        return None
    from hashlib import sha256

    return path if sha256(content).hexdigest().encode() in told else None


def record(path: str) -> dict[str, Any]:
    """Return what was recorded when a file was made."""
    import json

    with open(pjoin(os.path.dirname(path), RECORD), encoding="utf-8") as file:
        told = json.load(file)
    return told if isinstance(told, dict) else {}


def seal(staged: str, file: str, told: dict[str, Any]) -> None:
    """Leave a file and its record, and nothing else, in a directory.

    Parameters
    ----------
    staged : str
        The directory.
    file : str
        The name of the file.
    told : dict
        What to record beside its digest.
    """
    import json
    from hashlib import sha256

    from ..package.staging import remove_tree

    with open(pjoin(staged, file), "rb") as opened:
        digest = sha256(opened.read()).hexdigest()
        os.fsync(opened.fileno())
    for name in os.listdir(staged):
        if name != file:
            remove_tree(pjoin(staged, name))
    with open(pjoin(staged, RECORD), "x", encoding="utf-8") as out:
        json.dump({"sha256": digest, **told}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


class Lock:
    """One builder at a time, where locks work; it is released when its process ends, however.

    Parameters
    ----------
    folder : str
        The directory that is to be made.

    Raises
    ------
    UnwritableError
        On entering, if its parent cannot be written.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: Any = None

    def __enter__(self) -> None:
        parent = os.path.dirname(self._folder)
        try:
            os.makedirs(parent, exist_ok=True)
        except OSError as error:
            raise unwritable(error) from error
        if os.path.isdir(parent) and not os.access(parent, os.W_OK):  # or it was just pruned
            raise UnwritableError(f"{parent}: permission denied")
        _, self._held = acquired(parent, _WAIT)

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.release()


def acquired(folder: str, wait: float) -> tuple[bool, Any]:
    """Take the lock of a directory of builds.

    Parameters
    ----------
    folder : str
        The directory.
    wait : float
        How long to wait for whoever has it, in seconds.

    Returns
    -------
    free : bool
        Whether nobody else has it; so it seems where locks cannot be had.
    lock : filelock.FileLock or None
        What is to be released; None if there is nothing.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        return True, None
    lock = FileLock(pjoin(folder, LOCK))
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        return False, None
    except (OSError, NotImplementedError):
        return True, None  # a file system without locks: the work may be done twice, no more
    return True, lock


def unwritable(error: OSError) -> UnwritableError | BuildError:
    """Return what to raise where a directory cannot be written: another one may do, or not."""
    import errno

    reason = (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return UnwritableError(f"{error.filename}: {reason}")
    return BuildError(
        f"cannot build in {error.filename or cache_directory()}: {reason}.\n"
        "Make room (nibabel-data mech cache --prune), or name another directory in "
        "NIBABEL_DATA_CACHE."
    )


def is_circumstance(first_error: str) -> bool:
    """Return whether a build failed by no fault of its source, and may succeed another time."""
    return is_lack(first_error) or is_shortage(first_error)


def is_shortage(first_error: str) -> bool:
    """Return whether a build failed for want of memory, disk space or permission."""
    return any(sign in first_error for sign in _SHORTAGES)


def is_lack(first_error: str) -> bool:
    """Return whether a build failed because a file is not here, which may be installed later."""
    return any(sign in first_error for sign in _LACKS)


def refusal(place: str, mechanism: str, path: str) -> BuildError | None:
    """Return what is remembered of a source that was refused.

    Parameters
    ----------
    place : str
        A directory below the cache, named by the source and by what refused it.
    mechanism, path : str
        Its name, and the author's file.
    """
    return told_failure(pjoin(cache_directory(), place, REFUSED), mechanism, path)


def told_failure(file: str, mechanism: str, path: str) -> BuildError | None:
    """Return the error of which a file tells, as `failure_text` writes it; None if of none.

    Parameters
    ----------
    file : str
        The file.
    mechanism, path : str
        As in `refusal`.
    """
    import json

    try:
        with open(file, encoding="utf-8") as opened:
            told = json.load(opened)
        return BuildError(
            str(told["message"]),
            mechanism=mechanism,
            path=path,
            line=told["line"],
            first_error=str(told["first_error"]),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def failure_text(error: BuildError) -> str:
    """Return what is kept of an error."""
    import json

    told = {"message": str(error), "line": error.line, "first_error": error.first_error}
    return json.dumps(told, indent=1)


def remember_refusal(place: str, error: BuildError) -> None:
    """Keep it until the source changes; what cannot be kept is found again.

    Parameters
    ----------
    place : str
        As in `refusal`.
    error : BuildError
        What refused it, and why.
    """
    from ..atomic import replace_file

    if is_circumstance(error.first_error):
        return
    with suppress(OSError):
        folder = pjoin(cache_directory(), place)
        os.makedirs(folder, exist_ok=True)
        replace_file(pjoin(folder, REFUSED), failure_text(error).encode())
