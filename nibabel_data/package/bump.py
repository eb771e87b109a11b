"""The release step: the next version, written in ``config.ini``."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from dataclasses import dataclass
from os.path import join as pjoin
from pathlib import Path

from .. import ini
from ..atomic import replace_file
from ..datasource import CONFIG, read_version
from ..errors import ConfigError, DataError, DefinitionError, VersionError
from ..version import DataVersion
from .layout import distribution_around, find_layout
from .manifest import MANIFEST, hash_file, manifest_text, read_manifest

__all__ = ["PARTS", "Bump", "bump", "next_version"]

PARTS = ("major", "minor", "micro")
"""The parts of a version that can be raised, from the left."""

_CITATION = "CITATION.cff"


@dataclass(frozen=True, slots=True)
class Bump:
    """What `bump` did.

    Parameters
    ----------
    old, new : DataVersion
        The version before and after.
    files : tuple of pathlib.Path
        The files that were changed.
    """

    old: DataVersion
    new: DataVersion
    files: tuple[Path, ...]


def next_version(version: str, part: str) -> DataVersion:
    """Return the next release after a version.

    Parameters
    ----------
    version : str
        A PEP 440 version.
    part : str
        One of `PARTS`.  The numbers behind it become 0.

    Returns
    -------
    DataVersion
        A release with as many numbers as `version` has, or as `part` needs.  A pre-release or
        development release becomes the release that it announces, if that raises `part`.

    Raises
    ------
    DefinitionError
        If `part` is none of them.
    VersionError
        If `version` has no order.

    Examples
    --------
    >>> next_version('0.1', 'micro'), next_version('1.4.2', 'minor'), next_version('0.3', 'major')
    ('0.1.1', '1.5.0', '1.0')
    >>> next_version('0.4.dev0', 'minor'), next_version('0.4.dev0', 'major')
    ('0.4', '1.0')
    """
    from packaging.version import InvalidVersion, Version

    if part not in PARTS:
        raise DefinitionError(f"{part!r} is no part of a version; the parts are {', '.join(PARTS)}")
    try:
        parsed = Version(version)
    except InvalidVersion:
        raise VersionError(
            f"{version!r} has no next version: it is not a PEP 440 version (such as 0.3)"
        ) from None
    at = PARTS.index(part)
    numbers = list(parsed.release) + [0] * (at + 1 - len(parsed.release))
    announces = parsed.is_prerelease and not parsed.is_postrelease
    if announces and not any(numbers[at + 1 :]):
        numbers = list(parsed.release)
    else:
        numbers[at:] = [numbers[at] + 1] + [0] * (len(numbers) - at - 1)
    epoch = f"{parsed.epoch}!" if parsed.epoch else ""
    return DataVersion(epoch + ".".join(map(str, numbers)))


def bump(
    directory: str | os.PathLike[str], part: str, *, date: datetime.date | None = None
) -> Bump:
    """Write the next version in a package's ``config.ini``, and nothing else of it.

    The keys ``version`` and ``date-released`` of ``CITATION.cff``, in the package and in the
    distribution directory, follow, where they exist; so do their lines in the package's manifest,
    where they were right before.

    Parameters
    ----------
    directory : str or os.PathLike
        A distribution directory or a package's directory.
    part : str
        ``major``, ``minor`` or ``micro``.
    date : datetime.date, optional
        The date of the release; today by default.

    Returns
    -------
    Bump
        The two versions, and the files that were changed.

    Raises
    ------
    DataError
        If there is no package, its version has no order, or a file cannot be written.
    """
    layout = find_layout(directory)
    config = pjoin(layout.package, CONFIG)
    try:
        text, _ = ini.read_text(config)
        old = read_version(text, config)
        new = next_version(old, part)
        released = date or datetime.date.today()
        changes = {}
        top = layout.top or distribution_around(layout.package)
        for folder in filter(None, (layout.package, top)):
            path = pjoin(folder, _CITATION)
            if os.path.isfile(path):
                before = _read(path)
                after = _with_citation(before, new, released)
                if after != before:
                    changes[path] = after
        # The last to be written but for the manifest: until then the package has the old version,
        # and bumping it again does the same.
        changes[config] = _with_version(_read(config), text, config, new)
        manifest = _with_hashes(layout.package, changes)
        if manifest is not None:
            changes[pjoin(layout.package, MANIFEST)] = manifest
        for path, content in changes.items():
            replace_file(path, content)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {error.filename or config}: {reason}") from error
    return Bump(old, new, tuple(Path(path) for path in changes))


def _with_hashes(base: str, changes: dict[str, bytes]) -> bytes | None:
    """Return the bytes of the manifest with the hashes of what is to be changed; None to leave it.

    What was stale stays so, for `check` to tell.
    """
    try:
        hashes = read_manifest(base) or {}
    except ConfigError:
        return None
    new = {}
    for path, content in changes.items():
        name = os.path.basename(path)
        if os.path.dirname(path) == base and hashes.get(name) == hash_file(path):
            new[name] = hashlib.sha256(content).hexdigest()
    return manifest_text({**hashes, **new}).encode() if new else None


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _with_version(content: bytes, text: str, config: str, new: str) -> bytes:
    """Return the bytes of ``config.ini`` with another value of version, the rest as it was."""
    value, number = ini.parse(text, config)["DEFAULT"]["version"]
    lines = content.splitlines(keepends=True)
    line = lines[number - 1]
    start = re.search(rb"[=:]", line)
    old = value.encode()
    if start is not None and line[start.end() :].strip() == old:
        at = line.index(old, start.end())
        lines[number - 1] = line[:at] + new.encode() + line[at + len(old) :]
    changed = b"".join(lines)
    after = changed.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    if read_version(after, config) != new:
        raise ConfigError(
            config, number, f"has a form that cannot be edited; write 'version = {new}' by hand"
        )
    return changed


def _with_citation(content: bytes, new: str, date: datetime.date) -> bytes:
    """Return the bytes of ``CITATION.cff`` with another version and date, where it has them."""
    # In quotes: YAML takes 0.10 for the number 0.1.
    for key, value in ((b"version", f'"{new}"'), (b"date-released", date.isoformat())):
        line = rb"(?m)^(%s:)[ \t]*(?:\"[^\"\r\n]*\"|'[^'\r\n]*'|[^#\s]*)(?=[ \t]*(?:#|\r?$))" % key
        content = re.sub(line, rb"\1 " + value.encode(), content, count=1)
    return content
