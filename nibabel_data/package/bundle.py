"""A bundle: several packages in one zip, for a machine without a network.

It is an ordinary zip of ``<project>/<package>/...``, each package with its manifest, so that any
unzip can open it; `nibabel_data.package.install.install` checks every hash.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zipfile
from collections.abc import Iterable
from os.path import join as pjoin
from pathlib import Path

from ..errors import DataError
from .install import Progress
from .manifest import MANIFEST, manifest_text, package_files, read_manifest
from .registry import promised

__all__ = ["bundle"]

_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can hold: so that a bundle of the same files has the same bytes."""

_PACKED = (".gz", ".bz2", ".xz", ".zip", ".png", ".jpg", ".jpeg", ".mgz", ".zst")
"""Files that are not packed a second time."""


def bundle(
    packages: Iterable[tuple[str, str | os.PathLike[str]]],
    destination: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Path:
    """Write packages into one zip that `install` takes.

    Parameters
    ----------
    packages : iterable of (str, str or os.PathLike)
        For each its path below a root, with forward slashes, and its directory.
    destination : str or os.PathLike
        The zip; one that is there is replaced when the new one is whole.
    progress : callable, optional
        Called with the number of bytes of each file.

    Returns
    -------
    pathlib.Path
        The zip.

    Raises
    ------
    DataError
        If a file cannot be read, or its content is not here; nothing is written then.
    """
    target = os.path.abspath(os.fspath(destination))
    staged = f"{target}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        with zipfile.ZipFile(staged, "x", allowZip64=True) as archive:
            for relpath, directory in sorted(packages):
                _add(archive, relpath, os.fspath(directory), progress)
        os.replace(staged, target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {target}: {reason}") from error
    finally:
        if os.path.exists(staged):
            os.unlink(staged)
    return Path(target)


def _add(
    archive: zipfile.ZipFile,
    relpath: str,
    directory: str,
    progress: Progress | None,
) -> None:
    listed = read_manifest(directory)
    states = {path: state for path, state, _ in package_files(directory)}
    fetched = {path for path in promised(directory) if states.get(path) == "file"}
    own = set(listed) if listed is not None else states.keys() - fetched
    names = sorted(own | fetched)
    for path in names:
        if states.get(path) != "file":
            state = states.get(path, "missing")
            raise DataError(f"{pjoin(directory, path)} is {state}: it cannot go into a bundle")
    hashes = {}
    for path in names:
        info = _info(f"{relpath}/{path}")
        if path.lower().endswith(_PACKED):
            info.compress_type = zipfile.ZIP_STORED
        place = pjoin(directory, *path.split("/"))
        info.file_size = os.path.getsize(place)
        digest = hashlib.sha256()
        with open(place, "rb") as source, archive.open(info, "w") as out:
            while piece := source.read(1 << 20):
                digest.update(piece)
                out.write(piece)
        if path in own:
            hashes[path] = digest.hexdigest()
        if listed is not None and path in own and hashes[path] != listed[path]:
            raise DataError(f"{place} is not what its {MANIFEST} says: nibabel-data verify")
        if progress is not None:
            progress(info.file_size)
    archive.writestr(_info(f"{relpath}/{MANIFEST}"), manifest_text(hashes))


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    return info
