"""The files of a new data package of mechanisms, before there is a mechanism in it."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field

from ..datasource import CONFIG
from ..package.new import pyproject_text
from .collected import KIND

__all__ = ["Facts", "package_texts"]

_CONFIG = """\
[DEFAULT]
version = {version}
kind = {kind}
{named}name = {dist}
description = {description}
license = {spdx}
license file = LICENSE
citation file = CITATION.cff
"""

_CITATION = """\
cff-version: 1.2.0
message: If you use these mechanisms, please cite them as below.
type: dataset
title: {title}
version: {version}
date-released: {today}
authors:
{authors}{license}{url}keywords:
  - NMODL
  - NEURON
  - data package
"""

_README = """\
{rule}
{title}
{rule}

{about}

Each file ``<asset>__<variant>.mod`` is a mechanism in NMODL, and is inserted by its name::

    import nibabel_data.mechanisms as m

    m.insert(section, "<asset>", variant="<variant>", pkg="{identifier}")

Files in a directory ``neuron`` or ``arbor`` are for that simulator alone.

Licence: {spdx}, see ``LICENSE``. To cite: ``CITATION.cff``.
"""

_DISTRIBUTION_README = """\
{rule}
{title}
{rule}

A package of mechanisms for NEURON and Arbor: ``{relpath}``, which lies in the directory of that
name. To put one there, from a file in NMODL::

    nibabel-data mech add FILE.mod

To release them::

    nibabel-data mech check
    nibabel-data mech build

To install them::

    pip install dist/*.whl
    nibabel-data mech list

The version is written in ``{relpath}/config.ini`` and nowhere else; ``nibabel-data bump minor .``
raises it.
"""

_ABOUT = """\
Say here what the mechanisms are: of which cells, fitted to which measurements, at which
temperature, and from which publications."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is written down of a package.

    Parameters
    ----------
    relpath : str
        ``<project>/<package>``.
    identifier : str
        What stands for it in the names of its mechanisms.
    license : str
        An SPDX identifier.
    license_texts : dict of bytes
        By file name, the first being LICENSE.
    authors : tuple of (str, str)
        Name and electronic address, which may be empty.
    version, description, about, url : str
        As they are to be written.
    """

    relpath: str
    identifier: str
    license: str
    license_texts: dict[str, bytes]
    authors: tuple[tuple[str, str], ...]
    version: str = "0.1"
    description: str = ""
    about: str = ""
    url: str = ""
    keywords: tuple[str, ...] = field(default=("NMODL", "NEURON", "data package"))


def package_texts(facts: Facts, *, names_itself: bool) -> dict[str, bytes]:
    """Return every file of a package but its mechanisms.

    Parameters
    ----------
    facts : Facts
        What is to be written.
    names_itself : bool
        Whether the package's directory is called as its mechanisms are, so that ``config.ini``
        need not say it.

    Returns
    -------
    dict of bytes
        By path below the distribution directory, with forward slashes.
    """
    relpath = facts.relpath
    dist, package = relpath.replace("/", "-"), relpath.rpartition("/")[2]
    description = facts.description or f"The mechanisms {relpath}"
    authors = "".join(
        f"  - name: {_quoted(name)}\n" + (f"    email: {_quoted(email)}\n" if email else "")
        for name, email in facts.authors
    )
    is_listed = not facts.license.startswith("LicenseRef")
    citation = _CITATION.format(
        title=_quoted(relpath),
        version=_quoted(facts.version),
        today=datetime.date.today().isoformat(),
        authors=authors,
        license=f"license: {facts.license}\n" if is_listed else "",
        url=f"url: {_quoted(facts.url)}\n" if facts.url else "",
    ).encode()
    config = _CONFIG.format(
        version=facts.version,
        kind=KIND,
        named="" if names_itself else f"mechanisms_name = {facts.identifier}\n",
        dist=dist,
        description=description,
        spdx=facts.license,
    )
    readme = _README.format(
        rule="=" * len(package),
        title=package,
        about=facts.about or _ABOUT,
        identifier=facts.identifier,
        spdx=facts.license,
    )
    table = {
        "readme": "README.rst",
        "license": facts.license,
        "license-files": list(facts.license_texts),
        "keywords": list(facts.keywords),
    }
    author = ", ".join(name for name, _ in facts.authors)
    files = {
        "pyproject.toml": pyproject_text(dist, relpath, description, table, author=author).encode(),
        "README.rst": _DISTRIBUTION_README.format(
            rule="=" * len(dist), title=dist, relpath=relpath
        ).encode(),
        "CITATION.cff": citation,
        f"{relpath}/{CONFIG}": config.encode(),
        f"{relpath}/README.rst": readme.encode(),
        f"{relpath}/CITATION.cff": citation,
    }
    for name, content in facts.license_texts.items():
        files[name] = files[f"{relpath}/{name}"] = content
    return files


def _quoted(text: str) -> str:
    """Return a text as YAML writes it, which is as JSON does."""
    return json.dumps(text, ensure_ascii=False)
