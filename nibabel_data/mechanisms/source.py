"""What is given to the translator for one mechanism: source under its full name, and includes.

The author's file is never touched.  What is built is a copy with the name replaced, plain ASCII,
and beside it the files that it includes; the digest of all of it says which build is right.
"""

from __future__ import annotations

import os
import re
from os.path import join as pjoin

from ..errors import BuildError
from . import names, nmodl

__all__ = ["Prepared", "prepare"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .discovery import Mechanism

_RECIPE = b"nibabel-data mechanism 1"
"""Changed when what is built from the same source changes."""

_LARGEST = 16 * 2**20  # bytes


class Prepared:
    """The source of one mechanism, ready for the translator.

    Attributes
    ----------
    name : str
        The name that NEURON will know.
    path : str
        The author's file.
    files : dict of bytes
        By file name, the first being ``<name>.mod``, what the translator reads.
    scanned : nmodl.Source
        Kind, ions and names, as the author's source declares them.
    folder : str
        Where the author's file is: headers included from C are looked for there.
    digest : str
        The SHA-256 of it all, hexadecimal.
    inputs : tuple of str
        Every file that was read for it: the author's, what it includes, headers.
    """

    __slots__ = ("digest", "files", "folder", "inputs", "name", "path", "scanned")

    def __init__(
        self,
        name: str,
        path: str,
        files: dict[str, bytes],
        scanned: nmodl.Source,
        digest: str,
        inputs: tuple[str, ...],
    ) -> None:
        self.name = name
        self.path = path
        self.files = files
        self.scanned = scanned
        self.folder = os.path.dirname(path)
        self.digest = digest
        self.inputs = inputs


def prepare(mechanism: Mechanism, *, name: str | None = None) -> Prepared:
    """Read the source of a mechanism and give it its full name.

    Parameters
    ----------
    mechanism : Mechanism
        One that has a file.
    name : str, optional
        Another name than its full one, for an engine with other rules.

    Returns
    -------
    Prepared
        What to build.

    Raises
    ------
    BuildError
        If the file, or one that it includes, cannot be read.
    MechanismError
        If a character of its code is not ASCII, or its name is too long.
    """
    name = name or mechanism.name
    path = mechanism.path
    text = nmodl.decode(_read(path, name, path, None))
    scanned = nmodl.scan(text)
    names.check_length(name, scanned.kind)
    included = _included(text, scanned.includes, name, path)
    old = scanned.suffix or os.path.basename(path).removesuffix(".mod")
    declared = scanned.names.union(
        *(nmodl.scan(content).names for _, _, content in included.values())
    )
    renamed = nmodl.to_ascii(nmodl.rename(text, name, stem=old, names=declared), path)
    files = {f"{name}.mod": _flat(renamed, included).encode("ascii")}
    for flat, source, content in included.values():
        if scanned.kind != "functions":
            content = nmodl.rename_verbatim(content, old, name, declared)
        files[flat] = _flat(nmodl.to_ascii(content, source), included).encode("ascii")
    headers = _headers(os.path.dirname(path), scanned.c_includes)
    inputs = (path, *(source for _, source, _ in included.values()), *headers)
    return Prepared(name, path, files, scanned, _digest(files, headers), inputs)


def _read(path: str, name: str, by: str, line: int | None) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        where = "" if path == by else f"\n  included by {by}" + (f", line {line}" if line else "")
        raise BuildError(
            f"{name} cannot be built: {path}: {reason}{where}\n"
            "Install its package again, or ask its author.",
            mechanism=name,
            path=by,
            line=line,
            first_error=f"{path}: {reason}",
        ) from error
    if len(content) > _LARGEST:
        raise BuildError(
            f"{name} cannot be built: {path} is larger than {_LARGEST // 2**20} MiB, which no "
            "NMODL source is.",
            mechanism=name,
            path=path,
        )
    return content


def _included(
    text: str, wanted: tuple[str, ...], name: str, path: str
) -> dict[str, tuple[str, str, str]]:
    """Of each name that is included, directly or not: its flat name, where it is, its text."""
    found: dict[str, tuple[str, str, str]] = {}
    waiting = [(one, path, text) for one in wanted]
    while waiting:
        one, by, by_text = waiting.pop(0)
        if one in found:
            continue
        line = _line_of(by_text, one)
        source = _located(one, [os.path.dirname(by), os.path.dirname(path)])
        content = nmodl.decode(_read(source, name, by, line))
        flat = os.path.basename(one)
        if flat in (used for used, _, _ in found.values()):
            flat = f"included{len(found)}_{flat}"
        found[one] = (flat, source, content)
        waiting += [(deeper, source, content) for deeper in nmodl.scan(content).includes]
    return found


def _located(wanted: str, folders: list[str]) -> str:
    """As ``nocmodl`` looks: beside the file, then in the directories of ``MODL_INCLUDE``."""
    folders += [f for f in os.environ.get("MODL_INCLUDE", "").split(os.pathsep) if f]
    paths = [pjoin(folder, wanted) for folder in folders]
    return next((path for path in paths if os.path.isfile(path)), paths[0])


def _line_of(text: str, included: str) -> int | None:
    at = text.find(f'"{included}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else None


def _flat(text: str, included: dict[str, tuple[str, str, str]]) -> str:
    """Name the included files as they stand beside the source."""
    for wanted, (flat, _, _) in included.items():
        if flat != wanted:
            text = re.sub(rf'(\bINCLUDE\s+)"{re.escape(wanted)}"', rf'\g<1>"{flat}"', text)
    return text


def _headers(folder: str, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Return the headers beside a source that its C text includes, directly or not, by path.

    Those that are not there are NEURON's, or the system's.
    """
    found: dict[str, bytes] = {}
    waiting = [pjoin(folder, header) for header in wanted]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        try:
            with open(path, "rb") as file:
                found[path] = file.read()
        except OSError:
            continue
        deeper = _HEADER.findall(found[path])
        waiting += [pjoin(os.path.dirname(path), os.fsdecode(header)) for header in deeper]
    return found


_HEADER = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


def _digest(files: dict[str, bytes], headers: dict[str, bytes]) -> str:
    from hashlib import sha256

    digest = sha256(_RECIPE)
    parts = [*files.items(), *((os.path.basename(path), headers[path]) for path in headers)]
    for file_name, content in parts:
        digest.update(b"\0%s\0%d\0" % (file_name.encode("utf-8", "replace"), len(content)))
        digest.update(content)
    return digest.hexdigest()
