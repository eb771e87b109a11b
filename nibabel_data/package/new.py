"""Making the tree of a new data package, ready to be filled, built and installed."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..datasource import CONFIG
from ..errors import DataError, DefinitionError
from .layout import licence_expression
from .names import name_problem
from .staging import staging_directory

__all__ = [
    "LICENSES",
    "check_relpath",
    "license_text",
    "new_package",
    "pyproject_text",
    "write_package",
]

LICENSES = {
    "CC0-1.0": (
        "CC0 1.0 Universal",
        "{author} made the files of this package. To the extent possible under law, they have\n"
        "waived all copyright and related or neighbouring rights to these files.\n\n"
        "You may copy, change, distribute and use them, for any purpose, without asking.",
        "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    ),
    "CC-BY-4.0": (
        "Creative Commons Attribution 4.0 International",
        "Copyright {author}.\n\n"
        "You may copy, change, distribute and use the files of this package, for any purpose, if\n"
        "you name their authors and this licence, and say what you changed.",
        "https://creativecommons.org/licenses/by/4.0/legalcode",
    ),
    "PDDL-1.0": (
        "Open Data Commons Public Domain Dedication and License 1.0",
        "{author} made the database in this package and its contents, and dedicated both to the\n"
        "public domain.\n\n"
        "You may copy, change, distribute and use them, for any purpose, without asking.",
        "https://opendatacommons.org/licenses/pddl/1-0/",
    ),
    "ODbL-1.0": (
        "Open Data Commons Open Database License 1.0",
        "Copyright {author}.\n\n"
        "You may copy, change, distribute and use the database in this package, if you name its\n"
        "authors and this licence, and offer what you derive from it under the same licence.",
        "https://opendatacommons.org/licenses/odbl/1-0/",
    ),
}
"""For each licence by SPDX identifier: its name, what it says in short, and its full text."""

_OTHER_LICENSE = """\
SPDX identifier: {spdx}

Copyright {author}.

The files of this package are under the licence of that identifier. Replace this file with its
text, which for identifiers of the SPDX list is at
https://spdx.org/licenses/{spdx}.html
"""

_LICENSE = """\
{title} (SPDX identifier: {spdx})

{summary}
They come with no warranty of any kind.

The full text of the licence is at
{url}
"""

_CONFIG = """\
[DEFAULT]
version = 0.1
name = {dist}
description = The data package {relpath}
license = {spdx}
license file = LICENSE
citation file = CITATION.cff
"""

_CITATION = """\
cff-version: 1.2.0
message: If you use these data, please cite them as below.
type: dataset
title: "{relpath}"
version: "0.1"
date-released: {today}
authors:
  - name: {author}
{license}keywords:
  - data package
  - neuroimaging
"""

_README = """\
{rule}
{title}
{rule}

Say here what the data are: of whom or what, measured how, in which space and which units, and
which file holds what.

Licence: {spdx}, see ``LICENSE``. To cite: ``CITATION.cff``.
"""

_DISTRIBUTION_README = """\
{rule}
{title}
{rule}

The data package ``{relpath}``, which lies in the directory of that name. Put the data there, and
describe them in its ``README.rst``.

To release it::

    nibabel-data check .
    nibabel-data build .

To install it, and find it::

    pip install dist/*.whl
    nibabel-data find {relpath}

The version is written in ``{relpath}/config.ini`` and nowhere else; ``nibabel-data bump minor .``
raises it.
"""

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = {name}
description = {description}
{facts}requires-python = ">=3"
{version}
[tool.hatch.build]
# A .gitignore that names *.nii.gz would silently take the data out.
ignore-vcs = true

# Nothing to import: without this line hatchling looks for a module and fails.
[tool.hatch.build.targets.wheel]
include = ["nothing"]

# From this tree to <prefix>/share/nipy/<relpath>.
[tool.hatch.build.targets.wheel.shared-data]
"{relpath}" = "share/nipy/{relpath}"

[tool.hatch.build.targets.sdist]
include = ["/{relpath}", "/CITATION.cff"]
"""

_DYNAMIC_VERSION = """\
dynamic = ["version"]

# The version is written once, in the config.ini that is installed with the data.
[tool.hatch.version]
path = "{relpath}/config.ini"
pattern = '^version *= *(?P<version>\\S+)'
"""

_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def new_package(
    name: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    license: str = "CC0-1.0",
    author: str = "",
) -> Path:
    """Make a complete, empty data package.

    Parameters
    ----------
    name : str
        ``PROJECT/PACKAGE``: the path by which the package will be asked for.
    directory : str or os.PathLike, optional
        The distribution directory to be made, which must not exist or be empty; by default
        ``PROJECT-PACKAGE`` in the working directory.
    license : str, optional
        An SPDX identifier.  Of those in `LICENSES` the file LICENSE says what they mean; of others
        it says which one it is.
    author : str, optional
        Who made the data; by default the developers of the project.

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
    """
    relpath = check_relpath(name)
    dist = relpath.replace("/", "-")
    target = os.path.abspath(dist if directory is None else directory)
    author = author.strip() or f"The {relpath.split('/')[0]} developers"
    if not author.isprintable():
        raise DefinitionError(f"the author {author!r} has a character that cannot be printed")
    known = licence_expression(license)
    if known == "":
        raise _no_licence(license)
    files = _files(relpath, dist, known or license, author)
    return write_package(target, {path: text.encode() for path, text in files.items()})


def write_package(target: str, files: Mapping[str, bytes]) -> Path:
    """Make a distribution directory, whole or not at all.

    Parameters
    ----------
    target : str
        The directory, absolute; it must not exist, or be empty.
    files : mapping
        The content of every file by its path, with forward slashes.

    Returns
    -------
    pathlib.Path
        The directory.

    Raises
    ------
    DataError
        If the directory holds something already, or cannot be written.  Then nothing is made.
    """
    _check_is_free(target)
    with staging_directory(target) as staged:
        try:
            for path, content in files.items():
                file = Path(staged, *path.split("/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            with suppress(FileNotFoundError):
                os.rmdir(target)  # Windows cannot rename onto an empty directory
            os.rename(staged, target)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot make {target}: {reason}; nothing was changed") from error
    return Path(target)


def pyproject_text(
    dist: str,
    relpath: str,
    description: str,
    facts: Mapping[str, object],
    *,
    author: str | None = None,
    version: str | None = None,
) -> str:
    """Return the ``pyproject.toml`` of a data package, for hatchling.

    Parameters
    ----------
    dist : str
        The name of the distribution.
    relpath : str
        ``<project>/<package>``.
    description : str
        One line.
    facts : mapping
        More keys of the table ``project``, with values that are the same in JSON and TOML.
    author : str, optional
        Who made the data.
    version : str, optional
        The version; by default it is read from ``config.ini``.
    """
    lines = "".join(f"{key} = {_quoted(value)}\n" for key, value in facts.items())
    if author is not None:
        lines += f"authors = [{{ name = {_quoted(author)} }}]\n"
    if version is None:
        version_text = _DYNAMIC_VERSION.format(relpath=relpath)
    else:
        version_text = f"version = {_quoted(version)}\n"
    return _PYPROJECT.format(
        name=_quoted(dist),
        description=_quoted(description),
        facts=lines,
        version=version_text,
        relpath=relpath,
    )


def _quoted(value: object) -> str:
    """Return a text or a list of texts as TOML and YAML write it, which JSON does too."""
    return json.dumps(value, ensure_ascii=False)


def check_relpath(name: str) -> str:
    """Return the name of a package, if a new one can have it.

    Parameters
    ----------
    name : str
        ``PROJECT/PACKAGE``.

    Raises
    ------
    DefinitionError
        If it is anything else, or some system cannot hold it.

    Examples
    --------
    >>> check_relpath('mylab/atlas')
    'mylab/atlas'
    """
    parts = name.split("/")
    if len(parts) != 2:
        raise DefinitionError(
            f"{name!r} is not PROJECT/PACKAGE, such as {parts[0] or 'mylab'}/atlas: the project is "
            "whose data they are, the package which of them"
        )
    for part in parts:
        if not _PART.fullmatch(part):
            raise DefinitionError(
                f"{part!r} in {name!r} is no name for a project or package: it needs letters "
                "a to z, digits, and within it dots, dashes and underscores"
            )
        problem = name_problem(part)
        if problem:
            raise DefinitionError(f"{name!r} cannot be the name of a package: {problem}")
    return name


def _check_is_free(target: str) -> None:
    try:
        if not os.listdir(target):
            return
        why = "is not empty"
    except FileNotFoundError:
        if not os.path.islink(target):
            return
        why = "is a link that leads nowhere"
    except NotADirectoryError:
        why = "is not a directory"
    except OSError as error:
        why = f"cannot be read: {(error.strerror or str(error)).lower()}"
    raise DataError(f"{target} {why}; choose another with --directory, or move it away")


def _files(relpath: str, dist: str, spdx: str, author: str) -> dict[str, str]:
    """Return the text of every file by its path."""
    is_listed = not spdx.startswith("LicenseRef")
    licence = license_text(spdx, author)
    citation = _CITATION.format(
        relpath=relpath,
        today=datetime.date.today().isoformat(),
        author=_quoted(author),
        license=f"license: {spdx}\n" if is_listed else "",
    )
    facts = {
        "readme": "README.rst",
        "license": spdx,
        "license-files": ["LICENSE"],
        "keywords": ["data package", "neuroimaging"],
    }
    package = relpath.split("/")[1]
    return {
        "pyproject.toml": pyproject_text(
            dist, relpath, f"The data package {relpath}", facts, author=author
        ),
        "README.rst": _DISTRIBUTION_README.format(
            rule="=" * len(dist), title=dist, relpath=relpath
        ),
        "LICENSE": licence,
        "CITATION.cff": citation,
        f"{relpath}/{CONFIG}": _CONFIG.format(dist=dist, relpath=relpath, spdx=spdx),
        f"{relpath}/README.rst": _README.format(rule="=" * len(package), title=package, spdx=spdx),
        f"{relpath}/LICENSE": licence,
        f"{relpath}/CITATION.cff": citation,
    }


def license_text(spdx: str, author: str) -> str:
    """Return the content of the file LICENSE.

    Parameters
    ----------
    spdx : str
        The SPDX identifier.
    author : str
        Who made the data.

    Raises
    ------
    DefinitionError
        If the identifier is none.

    Examples
    --------
    >>> license_text('CC0-1.0', 'Ana Author').partition('(')[0]
    'CC0 1.0 Universal '
    """
    if not _SPDX.fullmatch(spdx):
        raise _no_licence(spdx)
    if spdx not in LICENSES:
        return _OTHER_LICENSE.format(spdx=spdx, author=author)
    title, summary, url = LICENSES[spdx]
    return _LICENSE.format(title=title, spdx=spdx, summary=summary.format(author=author), url=url)


def _no_licence(text: str) -> DefinitionError:
    return DefinitionError(
        f"{text!r} is no SPDX identifier of a licence, such as {', '.join(LICENSES)} "
        "(https://spdx.org/licenses); one of your own is LicenseRef-NAME"
    )
