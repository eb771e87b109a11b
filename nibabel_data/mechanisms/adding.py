"""Putting a mechanism, with what it includes, into a package or the user's own collection."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from os.path import join as pjoin
from pathlib import Path

from ..atomic import replace_file
from ..environment import get_nipy_user_dir
from ..errors import DataError, DefinitionError, MechanismError
from ..package.layout import find_layout, named_path
from . import nmodl
from .authoring import mechanisms_name
from .collected import DIALECTS, KIND, LOCAL, read_collection
from .including import gather, included_files
from .mechanism import Mechanism
from .names import (
    DEFAULT_VARIANT,
    check_length,
    full_name,
    is_full_name,
    split_name,
    split_stem,
)

__all__ = ["Added", "add"]


@dataclass(frozen=True, slots=True)
class Added:
    """A mechanism that was put into a package.

    Parameters
    ----------
    name : str
        Its full name, by which NEURON will know it.
    kind : str
        ``density``, ``point process``, ``artificial cell`` or ``functions``, as the source says.
    asset, variant : str
        By which it is inserted.
    dialect : str or None
        The simulator that it is for; None if it is for all.
    path : pathlib.Path
        Where it is now.
    includes : tuple of pathlib.Path
        The files that it includes, and that were brought along.
    pointers : tuple of str
        Variables that a model has to point somewhere before it runs.
    replaced : bool
        Whether another file was there.
    """

    name: str
    kind: str
    asset: str
    variant: str
    dialect: str | None
    path: Path
    includes: tuple[Path, ...] = ()
    pointers: tuple[str, ...] = ()
    replaced: bool = False

    def __str__(self) -> str:
        done = "replaced" if self.replaced else "added"
        dialect = f", for {self.dialect}" if self.dialect else ""
        text = f"{done} {self.path}\n    {self.kind} {self.name}{dialect}"
        if self.includes:
            text += f"\n    with {', '.join(path.name for path in self.includes)}"
        if self.pointers:
            text += f"\n    whose POINTER {', '.join(self.pointers)} a model has to set"
        return text

    def to_json(self) -> dict[str, object]:
        """Return the same facts as values that JSON has."""
        return {
            "name": self.name,
            "kind": self.kind,
            "asset": self.asset,
            "variant": self.variant,
            "dialect": self.dialect,
            "path": str(self.path),
            "includes": [str(path) for path in self.includes],
            "pointers": list(self.pointers),
            "replaced": self.replaced,
        }


def add(
    file: str | os.PathLike[str],
    package_directory: str | os.PathLike[str] = ".",
    *,
    name: str | None = None,
    variant: str | None = None,
    dialect: str | None = None,
    local: bool = False,
    overwrite: bool = False,
) -> Added:
    """Copy a mechanism into a package, under the name by which it will be inserted.

    What it includes comes with it.  The names are taken from the source: a full name in its
    ``SUFFIX`` is split; a file name ``<asset>__<variant>.mod`` says both; else the asset is what
    ``SUFFIX``, ``POINT_PROCESS`` or ``ARTIFICIAL_CELL`` says.  The source may keep its own name:
    the full one is given to it when it is built.

    Parameters
    ----------
    file : str or os.PathLike
        The source, ``FILE.mod``.
    package_directory : str or os.PathLike, optional
        A distribution directory, or the package's own.
    name, variant : str, optional
        Other names for asset and variant than the source says.
    dialect : str, optional
        ``neuron`` or ``arbor``, if it is for that simulator alone.
    local : bool, optional
        Whether to add to the user's own collection, and not to a package.
    overwrite : bool, optional
        Whether to replace a mechanism that has these names, and included files that no other
        mechanism includes.

    Returns
    -------
    Added
        What was added.

    Raises
    ------
    DefinitionError
        If the dialect is neither, the file no ``.mod``, or the package not one of mechanisms.
    MechanismError
        If the names cannot be used, a file that is included is missing, or something else is where
        a file is to go.  Then nothing is changed.
    DataError
        If there is no package, or a file cannot be read or written.  Then nothing is changed.
    """
    path = os.path.abspath(named_path(file, "file"))
    if dialect is not None and dialect not in DIALECTS:
        raise DefinitionError(f"the dialect {dialect!r} is none of {', '.join(DIALECTS)}")
    if not path.endswith(".mod"):
        raise DefinitionError(f"{path} is no source in NMODL, whose name ends in .mod")
    root, package = _collection(package_directory, local)
    files = gather(path, os.path.basename(path))
    scanned = nmodl.scan(nmodl.decode(next(iter(files.values()))))
    asset, variant = _names(path, scanned, name, variant)
    try:
        full = full_name(package, asset, variant)
    except MechanismError as error:
        raise MechanismError(f"{path}: {error}; name it with --name and --variant") from None
    check_length(full, scanned.kind)
    target, old = _target(root, package, asset, variant, dialect, overwrite)
    folder = os.path.dirname(target)
    contents = dict(zip([target, *_beside(folder, files)], files.values(), strict=True))
    writing = _differing(contents, target, root, overwrite)
    _write(writing)
    from .discovery import refresh

    refresh()
    return Added(
        full,
        scanned.kind,
        asset,
        variant,
        dialect,
        Path(target),
        tuple(Path(one) for one in contents if one != target),
        scanned.pointers,
        old,
    )


def _collection(directory: str | os.PathLike[str], local: bool) -> tuple[str, str]:
    """Return the directory of a package, or of the user's own collection, and its name."""
    if local:
        user_dir = get_nipy_user_dir()
        if not os.path.isabs(user_dir):
            raise DataError("there is no home directory to keep mechanisms in; set NIPY_USER_DIR")
        return pjoin(user_dir, KIND), LOCAL
    try:
        layout = find_layout(directory)
    except DefinitionError:
        raise
    except DataError as error:
        raise DataError(
            f"{str(error).partition(';')[0]}; name the package with --package, make one with "
            "'nibabel-data mech new PACKAGE', or add to your own collection with --local"
        ) from error
    return layout.package, mechanisms_name(layout.package, layout.relpath)


def _names(
    path: str, scanned: nmodl.Source, name: str | None, variant: str | None
) -> tuple[str, str]:
    """Return asset and variant: what is said, else what the source or its file's name says."""
    stem = os.path.basename(path).removesuffix(".mod")
    suffix = scanned.suffix if scanned.kind != "functions" else None
    asset, own = suffix or stem, DEFAULT_VARIANT
    if is_full_name(asset):
        asset, own = split_name(asset)[1:]
    elif "__" in stem or suffix is None:
        try:
            asset, own = split_stem(stem)
        except MechanismError as error:
            if suffix is None and name is None:
                raise MechanismError(f"{error}; name it with --name") from None
    if name is not None and is_full_name(name):
        raise MechanismError(
            f"{name!r} is a full name: the package gives its own; say --name {split_name(name)[1]} "
            f"--variant {split_name(name)[2]}"
        )
    return name if name is not None else asset, variant if variant is not None else own


def _target(
    root: str, package: str, asset: str, variant: str, dialect: str | None, overwrite: bool
) -> tuple[str, bool]:
    """Return where a mechanism is to be, and whether it is there."""
    there = [one.path for one in _mechanisms(root, package) if _is(one, asset, variant, dialect)]
    usual = pjoin(root, dialect or "", f"{asset}__{variant}.mod")
    if len(there) > 1:
        raise MechanismError(
            f"{' and '.join(there)} are both {asset}, variant {variant}; remove all but one"
        )
    if there and not overwrite:
        raise MechanismError(
            f"{there[0]} is {asset}, variant {variant}, already; replace it with --overwrite, or "
            "give the new one another name with --variant"
        )
    if not there and os.path.lexists(usual):  # a broken link; other letters, where case is nothing
        raise MechanismError(f"{usual} is in the way; remove it, or choose another name")
    return (there[0], True) if there else (usual, False)


def _mechanisms(root: str, package: str) -> tuple[Mechanism, ...]:
    return read_collection(package, package, root, "", "data package", []).mechanisms


def _is(one: Mechanism, asset: str, variant: str, dialect: str | None) -> bool:
    return (one.asset, one.variant, one.dialect) == (asset, variant, dialect)


def _beside(folder: str, files: dict[str, bytes]) -> list[str]:
    return [pjoin(folder, *place.split("/")) for place in list(files)[1:]]


def _differing(
    contents: dict[str, bytes], target: str, root: str, overwrite: bool
) -> dict[str, bytes]:
    """Return what is to be written: what is there already, the same, is not."""
    writing: dict[str, bytes] = {}
    for path, content in contents.items():
        there = _content(path)
        if there == content and path != target:
            continue
        if there is not None and path != target:
            others = [one for one in _including(root, path) if one != target]
            if others or not overwrite:
                of = f" (of {', '.join(os.path.basename(one) for one in others)})" if others else ""
                hint = "" if others else ", or replace it with --overwrite"
                raise MechanismError(
                    f"{path} is there already, and is another file than the one that is "
                    f"included{of}; nothing was changed.  Rename one of the two{hint}"
                )
        writing[path] = content
    return writing


def _content(path: str) -> bytes | None:
    """Return what is in a file; None if there is none."""
    if not os.path.lexists(path):
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _including(root: str, path: str) -> list[str]:
    """Return the mechanisms of a collection that include a file."""
    found = []
    for one in _mechanisms(root, LOCAL):
        with suppress(MechanismError):  # one that cannot be read
            if path in (included.path for included in included_files(one.path)):
                found.append(one.path)
    return found


def _write(contents: dict[str, bytes]) -> None:
    """Write files, the mechanism last; where one cannot be written, put back those before it."""
    before: dict[str, bytes | None] = {}
    try:
        for path, content in reversed(contents.items()):
            old = _content(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            before[path] = old
            replace_file(path, content)
    except BaseException as error:
        for path, old in before.items():
            with suppress(OSError):
                if old is None:
                    os.unlink(path)
                else:
                    replace_file(path, old)
        if isinstance(error, OSError):
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot write {path}: {reason}; nothing was changed") from error
        raise
