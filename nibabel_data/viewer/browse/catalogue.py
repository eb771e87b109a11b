"""What the page shows: packages, where they are from, and their files.

A page names a package or a file by an identifier that it was given; `Catalogue` looks that up in a
table, so that no path from a request reaches the file system.  All texts are printable: names of
files may hold anything.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, final

from ... import about
from ...errors import DataError
from ...files import human_size, walk_files
from ...packages import iter_packages
from ...searchpath import search_path
from ...table import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...packages import Package
    from ...roots import Root
    from ...searchpath import DataPath

    Json = dict[str, Any]

__all__ = ["PAGE", "Catalogue", "FileEntry", "kind_of"]

PAGE = 200
"""How many files are listed at a time."""

_IMAGES = (".nii", ".nii.gz", ".img", ".img.gz", ".mgh", ".mgz", ".mnc")
_SURFACES = (".surf.gii", ".pial", ".white", ".inflated", ".orig", ".sphere", ".smoothwm")
_TRACTS = (".trk", ".tck", ".trx", ".trk.gz", ".tck.gz")
_STATES = {"absent": "not fetched", "dangling": "broken link", "other": "not a file"}
_LISTED = 4  # packages of which the list of files is kept


class FileEntry(NamedTuple):
    """A file of a package.

    Attributes
    ----------
    path : str
        Below the package.
    state : str
        As `nibabel_data.files.content_state` says.
    size : int
        In bytes.
    """

    path: str
    state: str
    size: int


def kind_of(path: str) -> str:
    """Return what a file can be shown as: ``image``, ``surface``, ``tracts``; else empty.

    Examples
    --------
    >>> kind_of('T1.nii.gz'), kind_of('lh.pial'), kind_of('README')
    ('image', 'surface', '')
    """
    lower = path.lower()
    if lower.endswith(_IMAGES):
        return "image"
    if lower.endswith(_SURFACES):
        return "surface"
    return "tracts" if lower.endswith(_TRACTS) else ""


@final
class Catalogue:
    """The packages on the search path, as they were when it was last looked at.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead of the search path.
    """

    __slots__ = ("_data_path", "_files", "_listings", "_lock", "_packages", "_secret")

    def __init__(self, data_path: DataPath | None = None) -> None:
        self._data_path = data_path
        self._secret = secrets.token_bytes(32)
        self._packages: dict[str, Package] = {}
        self._files: dict[str, tuple[Package, str]] = {}
        self._listings: OrderedDict[str, list[FileEntry]] = OrderedDict()
        self._lock = threading.Lock()

    def scan(self) -> Json:
        """Look at the search path, and return its packages and its roots."""
        found = {self._id(str(package.path)): package for package in iter_packages(self._data_path)}
        roots = search_path(self._data_path)
        with self._lock:
            self._packages = found
            self._listings.clear()
        return {
            "packages": [_described(key, package) for key, package in found.items()],
            "roots": [_root(root) for root in roots],
        }

    def package(self, key: str) -> Package | None:
        """Return a package by its identifier."""
        return self._packages.get(key)

    def identifiers(self) -> list[str]:
        """Return the identifiers of all packages."""
        return list(self._packages)

    def file(self, key: str) -> str | None:
        """Return the path of a file by its identifier; None if none was given."""
        found = self._files.get(key)
        if found is None:
            return None
        package, inside = found
        if package.problem:
            return os.path.join(package.path, inside)
        return os.fspath(package.datasource().get_filename(*inside.split(os.sep)))

    def file_key(self, package: Package, inside: str) -> str:
        """Return the identifier of a file, from now on in the table."""
        key = self._id(str(package.path), inside)
        self._files[key] = package, inside
        return key

    def summary(self, key: str) -> Json:
        """Return of one package what takes reading it: files, size, licence, integrity.

        Parameters
        ----------
        key : str
            Its identifier, which is in the table.
        """
        from ...package.unchanged import is_unchanged

        package = self._packages[key]
        files = size = images = 0
        problem = ""
        try:
            for path, state, length in walk_files(str(package.path)):
                files, size = files + 1, size + length
                images += kind_of(path) == "image" and state == "file"
        except DataError as error:
            problem = printable(str(error))
        known = None if package.problem else is_unchanged(str(package.path))
        return {
            "id": key,
            "files": files,
            "bytes": size,
            "size": human_size(size),
            "images": images,
            "licence": _licence(package),
            "problem": problem,
            "integrity": _unverified() if known is None else _unchanged(*known),
        }

    def details(self, key: str) -> Json:
        """Return all that is said of one package; the list of its files is read again."""
        from ...distributions import owner_of

        package = self._packages[key]
        with self._lock:
            self._listings.pop(key, None)
        try:
            listing = self._listing(key)
        except DataError:
            listing = []
        summary = self.summary(key)
        return {
            **summary,
            **_described(key, package),
            "problem": printable(package.problem) or summary["problem"],
            "distribution": printable(owner_of(str(package.path)) or ""),
            "citation": _citation(package),
            "unfetched": sum(one.state == "absent" for one in listing),
        }

    def files(self, key: str, folder: str = "", text: str = "", start: int = 0) -> Json:
        """Return a part of the folders and files of a package.

        Parameters
        ----------
        key : str
            Its identifier, which is in the table.
        folder : str, optional
            The identifier of a folder; by default the package itself.
        text : str, optional
            If given, all files whose path holds it, in capitals or not, as one list.
        start : int, optional
            How many are left out at first.

        Raises
        ------
        DataError
            If the package cannot be read.
        KeyError
            If there is no such folder.
        """
        package = self._packages[key]
        listing = self._listing(key)
        inside = ""
        if folder:
            owner, inside = self._files[folder]
            if owner.path != package.path:
                raise KeyError(folder)
        if text:
            wanted = text.casefold()
            found = [one for one in listing if wanted in printable(one.path).casefold()]
            rows = [self._file(package, one, one.path) for one in found[start : start + PAGE]]
            return {"folders": [], "files": rows, "total": len(found), "start": start}
        folders, files = _children(listing, inside)
        names = sorted(folders)
        rows = [
            {
                "id": self.file_key(package, inside + name),
                "name": printable(name),
                "text": f"{counted(folders[name][0], 'file')}, {human_size(folders[name][1])}",
            }
            for name in names[start : start + PAGE]
        ]
        rest = slice(max(0, start - len(names)), max(0, start + PAGE - len(names)))
        return {
            "folders": rows,
            "files": [self._file(package, one, one.path[len(inside) :]) for one in files[rest]],
            "total": len(names) + len(files),
            "start": start,
        }

    def images(self, key: str, text: str = "", start: int = 0) -> Json:
        """Return a part of the files of a package that can be shown, at most 60.

        Parameters
        ----------
        key, text, start
            As for `files`.
        """
        package = self._packages[key]
        wanted = text.casefold()
        found = [
            one
            for one in self._listing(key)
            if one.state == "file"
            and kind_of(one.path)
            and wanted in printable(one.path).casefold()
        ]
        rows = [self._file(package, one, one.path) for one in found[start : start + 60]]
        return {"files": rows, "total": len(found), "start": start}

    def _listing(self, key: str) -> list[FileEntry]:
        with self._lock:
            kept = self._listings.get(key)
            if kept is not None:
                self._listings.move_to_end(key)
                return kept
        package = self._packages[key]
        listing = list(_every_file(package))
        with self._lock:
            self._listings[key] = listing
            while len(self._listings) > _LISTED:
                self._listings.popitem(last=False)
        return listing

    def _file(self, package: Package, one: FileEntry, name: str) -> Json:
        return {
            "id": self.file_key(package, one.path),
            "name": printable(name.replace(os.sep, "/")),
            "size": _STATES.get(one.state) or (human_size(one.size) if one.state == "file" else ""),
            "state": one.state,
            "kind": kind_of(one.path) if one.state == "file" else "",
        }

    def _id(self, *parts: str) -> str:
        text = b"\0".join(map(os.fsencode, parts))
        return blake2b(text, key=self._secret, digest_size=12).hexdigest()


def _every_file(package: Package) -> Iterator[FileEntry]:
    """Yield the files of a package: also those that were fetched for it, or can be."""
    from ...package.held import unfetched

    here = set()
    for path, state, size in walk_files(str(package.path)):
        here.add(path)
        yield FileEntry(path, state, size)
    try:
        promised = unfetched(package.path)
    except DataError:
        return
    for path in promised:
        own = path.replace("/", os.sep)
        if own not in here:
            yield FileEntry(own, "absent", 0)


def _children(
    listing: list[FileEntry], inside: str
) -> tuple[dict[str, tuple[int, int]], list[FileEntry]]:
    """Return the folders in a folder, each with how many files it has and their size; its files."""
    folders: dict[str, tuple[int, int]] = {}
    files = []
    for one in listing:
        if not one.path.startswith(inside):
            continue
        name, slash, _ = one.path[len(inside) :].partition(os.sep)
        if slash:
            count, size = folders.get(name + os.sep, (0, 0))
            folders[name + os.sep] = count + 1, size + one.size
        else:
            files.append(one)
    return folders, files


def _described(key: str, package: Package) -> Json:
    return {
        "id": key,
        "name": printable(package.relpath),
        "version": printable(str(package.version or "")),
        "place": printable(str(package.path)),
        "root": printable(str(package.root.path)),
        "origin": printable(str(package.root.origin)),
        "shadowed": printable(str(package.shadowed_by or "")),
        "problem": printable(package.problem),
    }


def _root(root: Root) -> Json:
    harmless = root.state in ("searched", "missing")
    return {
        "path": printable(str(root.path or "")),
        "origin": printable(str(root.origin)),
        "state": root.state,
        "problem": "" if harmless else printable(root.problem or root.state),
    }


def _licence(package: Package) -> str:
    return _said(package, about.licence)


def _citation(package: Package) -> str:
    return _said(package, about.citation)


def _said(package: Package, ask: Any) -> str:
    """Return what a package says of itself, a file by its name alone."""
    if package.problem:
        return ""
    try:
        said = ask(package.datasource()) or ""
    except (DataError, OSError):
        return ""
    base = str(package.path) + os.sep
    return printable(said.removeprefix(base))


def _unverified() -> Json:
    return {"state": "unverified", "text": "since it last changed"}


def _unchanged(against: str, checked: int, unfetched: int) -> Json:
    text = f"{counted(checked, 'file')} unchanged since verified, by {printable(against)}"
    if unfetched:
        text += f"; {counted(unfetched, 'file')} not fetched"
    return {"state": "ok", "text": text}
