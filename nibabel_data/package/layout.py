"""Where the data package lies in the directory that a person names.

A *distribution directory* is what is published: ``pyproject.toml`` or ``setup.py``, and the data
package at ``<project>/<package>`` in it.  The package's directory itself, with ``config.ini``, is
accepted too.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from os.path import join as pjoin
from typing import Any

from ..datasource import CONFIG
from ..definition import split_spec
from ..errors import ConfigError, DataError, DefinitionError
from .manifest import LEFT_OUT

__all__ = [
    "Layout",
    "build_backend",
    "distribution_around",
    "find_layout",
    "left_out",
    "licence_expression",
    "named_path",
    "package_relpath",
    "package_relpaths",
    "read_pyproject",
    "table",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """A data package in the making.

    Parameters
    ----------
    package : str
        The directory that holds ``config.ini``.
    relpath : str
        The path by which it will be asked for: ``<project>/<package>``.
    top : str or None
        The distribution directory; None if the package's directory was named.
    """

    package: str
    relpath: str
    top: str | None


def named_path(path: str | os.PathLike[str], what: str) -> str:
    """Return a path that a person named as a str, if a file can have it.

    Parameters
    ----------
    path : str or os.PathLike
        The path.
    what : str
        What it is the path of, for the error.

    Raises
    ------
    DefinitionError
        If it is empty, or no file can have such a name.
    TypeError
        If it is not of text, but bytes or a number.

    Examples
    --------
    >>> named_path('data', 'root')
    'data'
    >>> named_path('', 'root')
    Traceback (most recent call last):
    nibabel_data.errors.DefinitionError: the root is empty: name a path
    """
    text: object = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        hint = "; os.fsdecode makes a str of it" if isinstance(text, bytes) else ""
        raise TypeError(
            f"the {what} must be a str or an os.PathLike of str, not {type(text).__name__}: "
            f"{path!r}{hint}"
        )
    if not text:
        raise DefinitionError(f"the {what} is empty: name a path")
    if "\0" in text:
        raise DefinitionError(f"the {what} has a NUL character, which no path can have: {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise DefinitionError(
            f"the {what} has a character that no path can have here: {text!r}"
        ) from None
    return text


def package_relpath(relpath: str) -> str:
    """Return where a person wants a package to stand below a root, in its normal form.

    Parameters
    ----------
    relpath : str
        ``PROJECT/PACKAGE``.

    Raises
    ------
    DefinitionError
        If it is anything else: a path of another depth, or one with a version.
    TypeError
        If it is not a str.

    Examples
    --------
    >>> package_relpath('mylab/atlas/')
    'mylab/atlas'
    >>> package_relpath('atlas')
    Traceback (most recent call last):
    nibabel_data.errors.DefinitionError: --as 'atlas' names no project: ...
    """
    if not isinstance(relpath, str):
        raise TypeError(f"relpath must be a str, not {type(relpath).__name__}: {relpath!r}")
    path, specifier = split_spec(relpath)
    parts = [part for part in path.replace(os.sep, "/").split("/") if part not in ("", ".")]
    place = "/".join(parts if len(parts) > 1 else ["PROJECT", *parts])
    if specifier:
        raise DefinitionError(
            f"--as {relpath!r} names a version, but a place has none: the version is that of the "
            f"package's {CONFIG}; write --as {place}"
        )
    if len(parts) < 2:
        raise DefinitionError(
            f"--as {relpath!r} names no project: a package stands at PROJECT/PACKAGE below the "
            f"root; write --as {place}"
        )
    if len(parts) > 2:
        raise DefinitionError(
            f"--as {relpath!r} has {len(parts)} parts: a package stands at PROJECT/PACKAGE below "
            f"the root, no deeper; write for example --as {parts[0]}/{parts[-1]}"
        )
    return place


def find_layout(directory: str | os.PathLike[str]) -> Layout:
    """Return where the one data package of a directory lies.

    Parameters
    ----------
    directory : str or os.PathLike
        A distribution directory or a package's directory.

    Raises
    ------
    DataError
        If there is no package in it, or more than one.

    Examples
    --------
    >>> find_layout('examples/nipy-examplepkg').relpath
    'nipy/examplepkg'
    """
    top = os.path.abspath(named_path(directory, "directory"))
    if os.path.lexists(pjoin(top, CONFIG)):
        relpath = "/".join(top.split(os.sep)[-2:]).strip("/")
        return Layout(top, relpath, None)
    found = package_relpaths(top)
    if not found:
        raise DataError(
            f"no data package in {top}: no {CONFIG} in it, nor in a directory "
            "<project>/<package> below; 'nibabel-data new PROJECT/PACKAGE' makes a package"
        )
    if len(found) > 1:
        raise DataError(
            f"more than one data package in {top}: {', '.join(found)}; "
            "give each its own distribution directory"
        )
    return Layout(pjoin(top, *found[0].split("/")), found[0], top)


def package_relpaths(top: str) -> list[str]:
    """Return the paths ``<project>/<package>`` below a directory that hold a ``config.ini``.

    Parameters
    ----------
    top : str
        The directory.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return [
            f"{project}/{package}"
            for project in _directories(top)
            for package in _directories(pjoin(top, project))
            if os.path.lexists(pjoin(top, project, package, CONFIG))
        ]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot list {error.filename}: {reason}") from error


def _directories(path: str) -> list[str]:
    with os.scandir(path) as scan:
        names = [entry.name for entry in scan if entry.is_dir()]
    return sorted(name for name in names if not left_out(name))


def distribution_around(package: str) -> str | None:
    """Return the distribution directory that a package's directory lies in; None if in none.

    Parameters
    ----------
    package : str
        The package's directory, absolute.
    """
    above = os.path.dirname(os.path.dirname(package))
    known = ("pyproject.toml", "setup.py")
    return above if any(os.path.exists(pjoin(above, name)) for name in known) else None


def left_out(name: str) -> bool:
    """Return whether a name in a distribution directory is none of its sources.

    Examples
    --------
    >>> left_out('dist'), left_out('mylab_atlas.egg-info'), left_out('mylab')
    (True, True, False)
    """
    built = name in ("build", "dist") or name.endswith(".egg-info")
    return built or name in LEFT_OUT or (name.startswith(".") and name != ".gitignore")


def read_pyproject(top: str) -> dict[str, Any] | None:
    """Return the content of a distribution's ``pyproject.toml``; None if it has none.

    Parameters
    ----------
    top : str
        The distribution directory.

    Raises
    ------
    ConfigError
        If it cannot be read, or is malformed.
    """
    path = pjoin(top, "pyproject.toml")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(path, None, (error.strerror or str(error)).lower()) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, None, f"not TOML: {error}") from None


def table(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return the table at a path of keys in TOML; an empty one if there is none.

    Examples
    --------
    >>> table({'tool': {'hatch': {'a': 1}}}, 'tool', 'hatch'), table({'tool': 3}, 'tool', 'hatch')
    ({'a': 1}, {})
    """
    for key in keys:
        inside = content.get(key)
        content = inside if isinstance(inside, dict) else {}
    return content


def build_backend(pyproject: dict[str, Any]) -> str:
    """Return the build backend that a ``pyproject.toml`` names; without one it is setuptools.

    Source: https://peps.python.org/pep-0518/ and https://peps.python.org/pep-0517/

    Examples
    --------
    >>> build_backend({})
    'setuptools.build_meta:__legacy__'
    """
    named = table(pyproject, "build-system").get("build-backend")
    return named if isinstance(named, str) else "setuptools.build_meta:__legacy__"


def licence_expression(text: str) -> str | None:
    """Return a licence in the form that a wheel's metadata take.

    Parameters
    ----------
    text : str
        What somebody wrote.

    Returns
    -------
    str or None
        The SPDX expression; empty if it is none; None if that cannot be told, as the installed
        ``packaging`` is older than 24.2.

    Examples
    --------
    >>> licence_expression('cc-by-4.0'), licence_expression('free for all')
    ('CC-BY-4.0', '')
    """
    try:
        from packaging.licenses import (
            InvalidLicenseExpression,
            canonicalize_license_expression,
        )
    except ImportError:
        return None
    try:
        return str(canonicalize_license_expression(text)) if text else ""
    except InvalidLicenseExpression:
        return ""
