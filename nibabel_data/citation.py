"""Citing data packages: from their ``CITATION.cff``, through `cffconvert` (extra ``cite``).

cffconvert knows CITATION.cff, not data packages nor TeX; so the version of the package is added
where the file leaves it to ``config.ini``, and what TeX would take for a command is escaped.

Source: https://github.com/citation-file-format/citation-file-format/blob/main/schema-guide.md
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import ini
from .datasource import VersionedDatasource
from .definition import read
from .errors import ConfigError, DataError, DefinitionError, warn
from .locate import make_datasource

if TYPE_CHECKING:
    from .definition import Definition
    from .searchpath import DataPath

__all__ = ["CITATION", "STYLES", "Citation", "citations", "cite"]

CITATION = "CITATION.cff"
STYLES = ("bibtex", "apa", "plain", "cff")

_TEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


@dataclass(frozen=True, slots=True)
class Citation:
    """How one data package is to be cited.

    Parameters
    ----------
    relpath : str
        The package.
    version : str or None
        Its version; None for data of another tool that states none.
    key : str
        Its BibTeX key, which no other package cited with it has.
    text : str
        The citation; empty if there is a problem.
    problem : str
        Why there is none; empty if there is one.
    """

    relpath: str
    version: str | None
    key: str
    text: str
    problem: str = ""


def cite(*pkg_defs: Definition, style: str = "bibtex", data_path: DataPath | None = None) -> str:
    """Return the citations of data packages.

    Parameters
    ----------
    *pkg_defs : str, dict or PackageDef
        The packages, as for `make_datasource`.
    style : str, optional
        ``bibtex``; ``apa``; ``plain``, a line with full names; or ``cff``, the content of
        ``CITATION.cff`` with the version of the package.
    data_path : str, os.PathLike or a sequence of them, optional
        As for `make_datasource`.

    Returns
    -------
    str
        One citation after the other, separated by an empty line.

    Raises
    ------
    DataError
        If a package is not there, states no citation, or cffconvert is not there.
    DefinitionError
        If a definition makes no sense, or there is no such style.

    Examples
    --------
    >>> print(cite('nipy/examplepkg', style='plain', data_path='examples/nipy-examplepkg'))
    The nibabel-data developers. nipy-examplepkg: a phantom image and its labels (version 0.1).
    """
    found = citations(*pkg_defs, style=style, data_path=data_path)
    for citation in found:
        if citation.problem:
            raise DataError(citation.problem)
    return "\n\n".join(citation.text for citation in found)


def citations(
    *pkg_defs: Definition, style: str = "bibtex", data_path: DataPath | None = None
) -> list[Citation]:
    """Return the citation of each of several packages, or why it has none.

    Parameters
    ----------
    *pkg_defs, style, data_path
        As for `cite`.

    Returns
    -------
    list of Citation
        One for each package, in order, none twice.

    Raises
    ------
    DataError
        If a package is not there.
    DefinitionError
        If a definition makes no sense, or there is no such style.
    """
    if style not in STYLES:
        raise DefinitionError(f"no citation style {style!r}; there are {', '.join(STYLES)}")
    found: list[Citation] = []
    places: set[str] = set()
    for pkg_def in pkg_defs:
        package = make_datasource(pkg_def, data_path)
        place = os.path.abspath(package.base_path)
        if place not in places:
            places.add(place)
            relpath = posixpath.normpath(read(pkg_def)[0].replace(os.sep, "/"))
            found.append(_cited(package, relpath, style, {citation.key for citation in found}))
    return found


def _cited(package: VersionedDatasource, relpath: str, style: str, taken: set[str]) -> Citation:
    version = str(package.version) if getattr(package, "is_stated", True) else None
    key = _key(relpath, version, taken)
    try:
        return Citation(relpath, version, key, _text(package, relpath, version, key, style))
    except DataError as error:
        return Citation(relpath, version, key, "", str(error))


def _key(relpath: str, version: str | None, taken: set[str]) -> str:
    """Return a BibTeX key, made of letters that every program takes, that is not taken yet."""
    name = relpath if version is None else f"{relpath}-{version}"
    key = base = re.sub(r"[^A-Za-z0-9:._-]", "_", name.replace("/", ":"))
    number = 1
    while key in taken:
        number += 1
        key = f"{base}_{number}"
    return key


def _text(
    package: VersionedDatasource, relpath: str, version: str | None, key: str, style: str
) -> str:
    stated = package.config.defaults()
    path = package.get_filename(stated.get("citation file") or CITATION)
    try:
        text, _ = ini.read_text(path)
    except FileNotFoundError:
        return _without_cff(relpath, stated.get("citation"), style)
    except OSError as error:
        raise ConfigError(path, None, (error.strerror or str(error)).lower()) from None
    try:
        import cffconvert  # type: ignore[import-untyped]
    except ImportError:
        if style == "plain" and stated.get("citation"):
            return stated["citation"]
        raise DataError(
            f"citing {relpath} from {path} needs cffconvert: pip install 'nibabel-data[cite]'"
        ) from None
    try:
        cff = cffconvert.Citation(text)
        if "version" not in cff.cffobj and version is not None:
            text = f"{text.rstrip()}\nversion: {json.dumps(version)}\n"
            cff = cffconvert.Citation(text)
        converted = _converted(cff, key, style)
    except Exception as error:  # cffconvert checks little, and raises whatever comes
        raise ConfigError(path, None, _problem(text, error)) from error
    _compare(path, cff.cffobj.get("version"), version)
    return converted


def _without_cff(relpath: str, stated: str | None, style: str) -> str:
    if stated and style == "plain":
        return stated
    if stated:
        raise DataError(
            f"{relpath} states its citation as a text alone, without a {CITATION}; it is printed "
            f"by\n\n    nibabel-data cite {relpath} --format plain"
        )
    raise DataError(f"{relpath} states no citation: it has no {CITATION}")


def _converted(cff: Any, key: str, style: str) -> str:
    facts: dict[str, Any] = cff.cffobj
    if style == "cff":
        return str(cff.as_cff()).strip()
    if style == "apa":
        facts.setdefault("date-released", "n.d.")  # APA's words for "no date"
        return " ".join(str(cff.as_apalike()).split())
    if style == "plain":
        return _plain(facts)
    facts["title"] = str(facts["title"]).translate(_TEX)
    facts["authors"] = [_tex_author(author) for author in facts["authors"]]
    entry = str(cff.as_bibtex(key)).strip().removesuffix("}").rstrip()
    if "version" in facts:  # cffconvert leaves it out
        entry += f",\nversion = {{{str(facts['version']).translate(_TEX)}}}"
    return f"{entry}\n}}"


def _tex_author(author: dict[str, Any]) -> dict[str, Any]:
    names = {
        key: str(value).translate(_TEX) if "name" in key or key == "alias" else value
        for key, value in author.items()
    }
    # A group has one name; without braces BibTeX takes its last word for a surname.
    return {**names, "name": f"{{{names['name']}}}"} if "name" in names else names


def _plain(facts: dict[str, Any]) -> str:
    names = ", ".join(_full_name(author) for author in facts["authors"])
    year = f" ({str(facts['date-released'])[:4]})" if "date-released" in facts else ""
    version = f" (version {facts['version']})" if "version" in facts else ""
    doi = f"https://doi.org/{facts['doi']}" if "doi" in facts else ""
    link = doi or str(facts.get("url") or facts.get("repository") or "")
    title = str(facts["title"])
    return " ".join(f"{names}{year}. {title}{version}. {link}".split())


def _full_name(author: dict[str, Any]) -> str:
    keys = ("given-names", "name-particle", "family-names", "name-suffix")
    person = " ".join(str(author[key]) for key in keys if author.get(key))
    return person or str(author.get("name") or author["alias"])


def _problem(text: str, error: Exception) -> str:
    """Return what is wrong with a file that could not be converted."""
    try:
        import cffconvert

        cffconvert.Citation(text).validate()
    except Exception as reason:
        error = reason
    said = getattr(error, "message", "") or str(error) or type(error).__name__
    return f"not a citation file that cffconvert reads: {' '.join(str(said).split())}"


def _compare(path: str, cited: object, version: str | None) -> None:
    if version is not None and str(cited) != version:
        warn(f"{path} cites version {cited}, but the package is version {version}")
