"""Removing packages that were installed without Python packaging, all or nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from os.path import join as pjoin

from ..errors import DataError
from .kept import added_files, carry, refuse_foreign
from .layout import named_path
from .manifest import MANIFEST, read_manifest
from .staging import put_in_place, staging_directory

__all__ = ["Removed", "check_removal", "remove"]


@dataclass(frozen=True, slots=True)
class Removed:
    """What `remove` did.

    Parameters
    ----------
    path : str
        The package's directory.
    files : int
        How many files were removed.
    kept : tuple of str
        Files that a person had added, which were kept.
    """

    path: str
    files: int
    kept: tuple[str, ...] = ()


def check_removal(path: str | os.PathLike[str]) -> str:
    """Return the directory or the link that `remove` would remove, if it may.

    Parameters
    ----------
    path : str or os.PathLike
        The package's directory.

    Returns
    -------
    str
        The same, absolute.

    Raises
    ------
    DataError
        If it has no manifest, or belongs to a distribution.
    """
    target = os.path.abspath(named_path(path, "package's directory"))
    if os.path.islink(target):
        return target
    listed = read_manifest(target)
    refuse_foreign(target, "remove that, for example with pip uninstall")
    if listed is None:
        raise DataError(f"{target} has no {MANIFEST}, which would say what is to be removed")
    return target


def remove(path: str | os.PathLike[str]) -> Removed:
    """Remove a package that was installed by this library, at once.

    Parameters
    ----------
    path : str or os.PathLike
        The package's directory.  If it is a link, the link alone is removed.

    Returns
    -------
    Removed
        What was removed, and what was kept because a person had added it.

    Raises
    ------
    DataError
        If it has no manifest, or belongs to a distribution; nothing is removed then.
    """
    target = check_removal(path)
    try:
        if os.path.islink(target):
            os.unlink(target)
            return Removed(target, 1)
        return _remove_directory(target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot remove {target}: {reason}") from error


def _remove_directory(target: str) -> Removed:
    listed = read_manifest(target) or {}
    added = tuple(added_files(target))
    with staging_directory(target) as staged:
        for name in added:
            carry(pjoin(target, *name.split("/")), pjoin(staged, *name.split("/")))
        if added:
            put_in_place(staged, target)
        else:
            os.rename(target, pjoin(staged, "removed"))
    with suppress(OSError):  # the project's directory, if this was its last package
        os.rmdir(os.path.dirname(target))
    return Removed(target, len(listed) + 1, added)
