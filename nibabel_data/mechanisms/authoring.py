"""Making a package of mechanisms, and building it.

The package is a data package like any other, with ``kind = mechanisms`` in its ``config.ini``:
`nibabel_data.package` builds, installs and verifies it.
"""

from __future__ import annotations

import os
from os.path import join as pjoin
from pathlib import Path

from ..datasource import CONFIG, VersionedDatasource
from ..errors import DataError, DefinitionError
from ..package.build import build as build_data_package
from ..package.layout import named_path
from ..package.new import check_relpath, license_text, write_package
from .collected import KIND
from .names import package_identifier
from .scaffold import Facts, package_texts

__all__ = ["PROJECT", "build_package", "mechanisms_name", "new_package", "package_path"]

PROJECT = "mechanisms"
"""The project of a package for which none is named."""

_SHOWN = 5


def new_package(
    name: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    license: str = "CC0-1.0",
    author: str = "",
) -> Path:
    """Make a complete, empty package of mechanisms.

    Parameters
    ----------
    name : str
        ``PACKAGE`` or ``PROJECT/PACKAGE``; the project is `PROJECT` if none is named.
    directory : str or os.PathLike, optional
        The distribution directory to be made, which must not exist or be empty; by default
        ``PROJECT-PACKAGE`` in the working directory.
    license : str, optional
        An SPDX identifier.
    author : str, optional
        Who made the mechanisms; by default the developers of the package.

    Returns
    -------
    pathlib.Path
        The distribution directory.

    Raises
    ------
    DefinitionError
        If the name, the licence or the author cannot be used.
    DataError
        If the directory holds something already, or cannot be written.  Then nothing is made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as here:
    ...     made = new_package('granule', f'{here}/granule')
    ...     sorted(path.name for path in (made / 'mechanisms' / 'granule').iterdir())
    ['CITATION.cff', 'LICENSE', 'README.rst', 'config.ini']
    """
    relpath = package_path(name)
    package = relpath.rpartition("/")[2]
    author = author.strip() or f"The {package} developers"
    if not author.isprintable():
        raise DefinitionError(f"the author {author!r} has a character that cannot be printed")
    texts = {"LICENSE": license_text(license, author).encode()}
    identifier = package_identifier(package)
    facts = Facts(relpath, identifier, license, texts, ((author, ""),))
    target = relpath.replace("/", "-") if directory is None else named_path(directory, "directory")
    return write_package(os.path.abspath(target), package_texts(facts, names_itself=True))


def package_path(name: str) -> str:
    """Return the path by which a new package will be asked for.

    Parameters
    ----------
    name : str
        ``PACKAGE`` or ``PROJECT/PACKAGE``.

    Raises
    ------
    DefinitionError
        If it is neither, or some system cannot hold it.

    Examples
    --------
    >>> package_path('granule'), package_path('mylab/granule')
    ('mechanisms/granule', 'mylab/granule')
    """
    return check_relpath(name if "/" in name else f"{PROJECT}/{name}")


def mechanisms_name(package: str, relpath: str) -> str:
    """Return what stands for a data package in the names of its mechanisms.

    Parameters
    ----------
    package : str
        Its directory.
    relpath : str
        ``<project>/<package>``.

    Raises
    ------
    DataError
        If its ``config.ini`` cannot be read.
    DefinitionError
        If it is no package of mechanisms.
    """
    config = VersionedDatasource(package).config.defaults()
    if config.get("kind", "").lower() != KIND:
        raise DefinitionError(
            f"{pjoin(package, CONFIG)} does not say that {relpath} is a package of mechanisms; "
            f"add to [DEFAULT] the line 'kind = {KIND}'"
        )
    return package_identifier(config.get("mechanisms_name") or relpath.rpartition("/")[2])


def build_package(
    directory: str | os.PathLike[str] = ".",
    outdir: str | os.PathLike[str] | None = None,
    wheel: bool = True,
    sdist: bool = True,
) -> list[Path]:
    """Build wheel and sdist of a package of mechanisms, as `nibabel_data.package.build.build` does.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        A distribution directory, or a package's directory.
    outdir : str or os.PathLike, optional
        Where the results go; ``dist`` in the working directory by default.
    wheel, sdist : bool, optional
        Which of the two to build.

    Returns
    -------
    list of pathlib.Path
        The sdist and the wheel.

    Raises
    ------
    DefinitionError
        If neither is wanted, or `outdir` lies in the package.
    DataError
        If `check_package` finds serious problems, or the backend fails.  Then nothing is written.
    """
    from .checking import check_package

    serious = [problem for problem in check_package(directory) if problem.serious]
    if serious:
        lines = [f"\n    {p.path}: {p.problem}\n        {p.mend}" for p in serious[:_SHOWN]]
        if len(serious) > _SHOWN:
            lines.append(f"\n    and {len(serious) - _SHOWN} more")
        raise DataError(
            f"{directory} cannot be built as it is:{''.join(lines)}\n"
            f"All of it: nibabel-data mech check {directory}"
        )
    return build_data_package(directory, outdir, wheel, sdist)
