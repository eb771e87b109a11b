"""Turning a package made for Glia or Astrocyte into a data package of mechanisms.

The mechanisms keep their full names, so that models that insert them run as before.  What is known
of the distribution, version, authors and licence, is written down where a data package has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, DefinitionError, MechanismError
from ..package.layout import named_path
from ..package.new import license_text, write_package
from . import nmodl
from .authoring import package_path
from .foreign import foreign_package
from .including import gather
from .mechanism import Mechanism, MechanismPackage
from .names import package_identifier
from .published import Published
from .scaffold import Facts, package_texts

__all__ = ["Imported", "import_package"]


@dataclass(frozen=True, slots=True)
class Imported:
    """A data package that was made from another one; it can be used as its path.

    Parameters
    ----------
    path : pathlib.Path
        The distribution directory.
    relpath : str
        ``<project>/<package>``.
    source : str
        What it was made from, such as ``dbbs-catalogue 6.0.1``.
    version, license : str
        As they were written down.
    names : tuple of str
        The full names of its mechanisms, each once, sorted.
    files : int
        How many files it has of them, with those for several simulators.
    left_out : tuple of str
        What could not be taken along, and why.
    notes : tuple of str
        What should be looked at before it is published.
    """

    path: Path
    relpath: str
    source: str
    version: str
    license: str
    names: tuple[str, ...]
    files: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        lines = [f"made {self.path} of {self.source}"]
        many, files = len(self.names), self.files
        lines.append(
            f"    {self.relpath} {self.version}, {self.license}: {many} "
            f"mechanism{'s' * (many > 1)} in {files} file{'s' * (files > 1)}"
        )
        lines += [f"    left out: {one}" for one in self.left_out]
        lines += [f"    note: {one}" for one in self.notes]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Return the same facts as values that JSON has."""
        return {
            "path": str(self.path),
            "relpath": self.relpath,
            "source": self.source,
            "version": self.version,
            "license": self.license,
            "names": list(self.names),
            "files": self.files,
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }


def import_package(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Imported:
    """Make a data package of the mechanisms of a package for Glia or Astrocyte.

    Nothing of it is imported or run, and Glia is not needed.

    Parameters
    ----------
    source : str or os.PathLike
        The name of an installed distribution or of its package; a wheel; the directory of a
        project, or one into which distributions were installed; or ``local``, the user's own
        collection.
    directory : str or os.PathLike, optional
        The distribution directory to be made, which must not exist or be empty; by default
        ``PROJECT-PACKAGE`` in the working directory.
    name : str, optional
        ``PACKAGE`` or ``PROJECT/PACKAGE``; by default ``mechanisms/`` and the package's own name.
        The full names of the mechanisms stay the same.

    Returns
    -------
    Imported
        What was made, of what.

    Raises
    ------
    ResolveError
        If there is no such package, or several.
    DefinitionError
        If the name cannot be used.
    DataError
        If nothing of it can be taken along, or the directory holds something already, or cannot be
        written.  Then nothing is made.
    """
    with foreign_package(named_path(source, "source")) as (package, published):
        if package.format == "user" and name is None:
            raise DefinitionError("the user's own collection has no name yet: give it one (--name)")
        relpath = package_path(name or package.name)
        own = package_identifier(relpath.rpartition("/")[2])
        identifier = own if package.format == "user" else package.name
        files, names, left_out, notes = _mechanisms(package, identifier, relpath)
        if not files:
            why = "".join(f"\n    {one}" for one in (*left_out, *notes))
            raise DataError(f"{package.source} has no mechanism that can be imported{why}")
        facts = _facts(package, published, relpath, identifier, notes)
        target = relpath.replace("/", "-") if directory is None else directory
        texts = package_texts(facts, names_itself=own == identifier)
        path = write_package(os.path.abspath(named_path(target, "directory")), {**texts, **files})
        return Imported(
            path,
            relpath,
            package.source,
            facts.version,
            facts.license,
            tuple(sorted(set(names))),
            len(names),
            tuple(left_out),
            tuple(notes),
        )


def _mechanisms(
    package: MechanismPackage, identifier: str, relpath: str
) -> tuple[dict[str, bytes], list[str], list[str], list[str]]:
    """Return the files of the mechanisms, their names, what is left out, what is notable."""
    files: dict[str, bytes] = {}
    names: list[str] = []
    left_out: list[str] = []
    doubles = {one for group in package.duplicates for one in group[1:]}
    missing = [one for one in package.mechanisms if not os.path.isfile(one.path)]
    known = {f" {one.path} " for one in (*doubles, *missing)}
    notes = [p for p in package.problems if not any(path in f"{p} " for path in known)]
    for one in dict.fromkeys(package.mechanisms):
        folder = f"{relpath}/{one.dialect}" if one.dialect else relpath
        place = f"{one.asset}__{one.variant}.mod"
        try:
            brought = _brought(one, place, folder, files)
        except MechanismError as error:
            left_out.append(f"{one.name}{f', for {one.dialect}' if one.dialect else ''}: {error}")
            continue
        files.update(brought)
        names.append(Mechanism(identifier, one.asset, one.variant, one.path).name)
        kind = nmodl.scan(nmodl.decode(brought[f"{folder}/{place}"])).kind
        if one.declared is not None and kind not in (one.declared, "functions"):
            notes.append(
                f"{one.name} was declared as {one.declared}, and its source is that of a {kind}: "
                "that is what it is from now on"
            )
    return files, names, left_out, notes


def _brought(one: Mechanism, place: str, folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of one mechanism, where they do not disagree with those of another."""
    if f"{folder}/{place}" in files:
        raise MechanismError(f"another file is {place} already: {one.path}")
    brought = {f"{folder}/{at}": content for at, content in gather(one.path, place).items()}
    for at, content in brought.items():
        if files.get(at, content) != content:
            raise MechanismError(f"it includes another {at.rpartition('/')[2]} than others do")
    return brought


def _facts(
    package: MechanismPackage,
    published: Published,
    relpath: str,
    identifier: str,
    notes: list[str],
) -> Facts:
    from packaging.version import InvalidVersion, Version

    name = published.name or package.source
    version = published.version or package.version
    try:
        version = str(Version(version))
    except InvalidVersion:
        version = "0.1"
        notes.append("no version is known: config.ini says 0.1")
    authors = tuple((one or address, address if one else "") for one, address in published.authors)
    if not authors:
        authors = ((f"The authors of {name}", ""),)
        notes.append("no author is named: complete CITATION.cff and pyproject.toml")
    license, texts = published.license, dict(published.license_texts)
    if not license:
        license = "LicenseRef-unknown" if not texts else "LicenseRef-see-LICENSE"
        notes.append("the licence is not known: ask the authors, and complete config.ini")
    if not texts:
        author = ", ".join(one for one, _ in authors)
        texts = {"LICENSE": license_text(license, author).encode()}
    elif "LICENSE" not in texts:  # the first is the one that counts
        first = next(iter(texts))
        texts = {"LICENSE": texts.pop(first), **texts}
    made = {"glia": "for Glia", "astrocyte": "for Astrocyte"}.get(package.format, "of one user")
    about = f"The mechanisms of {name} {version}, a package {made}."
    if published.summary:
        about += f"\n\n{published.summary}"
    return Facts(
        relpath,
        identifier,
        license,
        texts,
        authors,
        version,
        published.summary or f"The mechanisms of {name}",
        about,
        published.url,
    )
