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
    read = _read_all(name, path)
    main, *included = read
    scanned = main.scanned
    names.check_length(name, scanned.kind)
    old = scanned.suffix or os.path.basename(path).removesuffix(".mod")
    declared = scanned.names.union(*(file.scanned.names for file in included))
    files = {main.flat: nmodl.rename(main.text, name, stem=old, names=declared)}
    for file in included:
        files[file.flat] = file.text
        if scanned.kind != "functions":
            files[file.flat] = nmodl.rename_verbatim(file.text, old, name, declared)
    plain = {
        file.flat: nmodl.to_ascii(_flat(files[file.flat], file), file.path).encode("ascii")
        for file in read
    }
    wanted = dict.fromkeys(header for file in read for header in file.scanned.c_includes)
    headers = _headers(os.path.dirname(path), tuple(wanted))
    inputs = (*(file.path for file in read), *headers)
    return Prepared(name, path, plain, scanned, _digest(plain, headers), inputs)


class _File:
    """One that is read: where it is, what it is called beside the source, what it includes."""

    __slots__ = ("flat", "included", "path", "scanned", "text")

    def __init__(self, path: str, flat: str, text: str) -> None:
        self.path = path
        self.flat = flat
        self.text = text
        self.scanned = nmodl.scan(text)
        self.included: dict[str, str] = {}  # by the name in the text, the flat name


def _read_all(name: str, path: str) -> list[_File]:
    """Read a source and what it includes, directly or not; the source is the first."""
    main = _File(path, f"{name}.mod", nmodl.decode(_read(path, name, path, None)))
    known = {os.path.realpath(path): main}
    waiting = [main]
    while waiting:
        by = waiting.pop(0)
        for wanted in by.scanned.includes:
            found = _located(wanted, [os.path.dirname(by.path), os.path.dirname(path)])
            key = os.path.realpath(found)
            if key not in known:
                text = nmodl.decode(_read(found, name, by.path, _line_of(by.text, wanted)))
                known[key] = _File(found, _flat_name(wanted, list(known.values())), text)
                waiting.append(known[key])
            by.included[wanted] = known[key].flat
    return list(known.values())


def _flat_name(wanted: str, used: list[_File]) -> str:
    """Return a name in plain ASCII that no other file has."""
    flat = re.sub(r"[^\w.+-]", "_", os.path.basename(wanted), flags=re.ASCII)
    return f"included{len(used)}_{flat}" if flat in (file.flat for file in used) else flat


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


def _located(wanted: str, folders: list[str]) -> str:
    """As ``nocmodl`` looks: beside the file, then in the directories of ``MODL_INCLUDE``."""
    folders += [f for f in os.environ.get("MODL_INCLUDE", "").split(os.pathsep) if f]
    paths = [pjoin(folder, wanted) for folder in folders]
    return next((path for path in paths if os.path.isfile(path)), paths[0])


def _line_of(text: str, included: str) -> int | None:
    at = text.find(f'"{included}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else None


def _flat(text: str, file: _File) -> str:
    """Name the included files as they stand beside the source."""
    return _INCLUDE.sub(lambda m: f'{m[1]}"{file.included.get(m[2], m[2])}"', text)


_INCLUDE = re.compile(r'(\bINCLUDE\s*)"([^"\n]*)"', re.ASCII)


def _headers(folder: str, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Return the headers beside a source that its C text includes, directly or not, by path.

    Those that are not there are NEURON's, or the system's.
    """
    found: dict[str, bytes] = {}
    waiting = [pjoin(folder, header) for header in wanted]
    while waiting:
        path = os.path.realpath(waiting.pop(0))
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
