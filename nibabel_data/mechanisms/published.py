"""What the metadata of a distribution say: version, authors, licence.

Source: https://packaging.python.org/en/latest/specifications/core-metadata/ and, for a project that
is not built, https://packaging.python.org/en/latest/specifications/pyproject-toml/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from email.utils import getaddresses
from os.path import join as pjoin
from typing import Any

__all__ = ["Published", "from_metadata", "from_project", "spdx_of"]

_LARGEST = 1 << 20

_TEXTS = (  # in the text of a licence, from the particular to the general
    (r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3", "AGPL-3.0-only"),
    (r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3", "LGPL-3.0-only"),
    (r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 2\.1", "LGPL-2.1-only"),
    (r"GNU GENERAL PUBLIC LICENSE\s+Version 3", "GPL-3.0-only"),
    (r"GNU GENERAL PUBLIC LICENSE\s+Version 2", "GPL-2.0-only"),
    (r"Apache License\s+Version 2\.0", "Apache-2.0"),
    (r"CC0 1\.0 Universal", "CC0-1.0"),
    (r"Attribution 4\.0 International", "CC-BY-4.0"),
    (r"Redistribution and use in source(?s:.)*Neither the name", "BSD-3-Clause"),
    (r"Redistribution and use in source", "BSD-2-Clause"),
    (r"Permission is hereby granted, free of charge, to any person", "MIT"),
)
_NAMES = (  # in the name of a licence, as people write it
    (r"affero|agpl", "AGPL-3.0"),
    (r"(lesser|lgpl).*3", "LGPL-3.0"),
    (r"(lesser|lgpl).*2", "LGPL-2.1"),
    (r"(general public|gpl|gnu).*3", "GPL-3.0"),
    (r"(general public|gpl|gnu).*2", "GPL-2.0"),
    (r"apache", "Apache-2.0"),
    (r"cc0", "CC0-1.0"),
    (r"cc[ -]by[ -]4", "CC-BY-4.0"),
    (r"bsd.*2|simplified bsd", "BSD-2-Clause"),
    (r"bsd.*3|new bsd|modified bsd", "BSD-3-Clause"),
    (r"\bmit\b", "MIT"),
)


@dataclass(frozen=True, slots=True)
class Published:
    """What is known of a distribution.

    Parameters
    ----------
    name, version, summary, url : str
        As its metadata say; empty where they do not.
    license : str
        An SPDX identifier; empty if none is known.
    license_texts : dict of bytes
        By file name.
    authors : tuple of (str, str)
        Name and electronic address, one of which may be empty.
    """

    name: str = ""
    version: str = ""
    summary: str = ""
    url: str = ""
    license: str = ""
    license_texts: dict[str, bytes] = field(default_factory=dict)
    authors: tuple[tuple[str, str], ...] = ()


def from_metadata(metadata: Message, info: str) -> Published:
    """Return what a distribution's metadata say.

    Parameters
    ----------
    metadata : email.message.Message
        What is in ``METADATA`` or ``PKG-INFO``.
    info : str
        The directory that it is in.
    """
    texts: dict[str, bytes] = {}
    for name in metadata.get_all("License-File", []):
        for folder in (pjoin(info, "licenses"), info):
            content = _content(pjoin(folder, str(name)))
            if content is not None:
                texts[_flat(str(name))] = content
                break
    classifiers = [str(one) for one in metadata.get_all("Classifier", [])]
    said = [str(metadata.get("License-Expression", "")), str(metadata.get("License", ""))]
    said += [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    urls = [str(one).partition(",")[2].strip() for one in metadata.get_all("Project-URL", [])]
    return Published(
        str(metadata.get("Name", "")),
        str(metadata.get("Version", "")),
        _line(str(metadata.get("Summary", ""))),
        _known(str(metadata.get("Home-page", ""))) or next(iter(urls), ""),
        spdx_of(said, texts.values()),
        texts,
        _authors(str(metadata.get("Author", "")), str(metadata.get("Author-email", ""))),
    )


def from_project(project: dict[str, Any], top: str) -> Published:
    """Return what the table ``project`` of a ``pyproject.toml`` says, and the licence beside it.

    Parameters
    ----------
    project : dict
        The table; empty if there is none.
    top : str
        The directory of the project.
    """
    texts: dict[str, bytes] = {}
    for name in sorted(os.listdir(top)):
        if name.split(".")[0].lower() in ("license", "licence", "copying"):
            content = _content(pjoin(top, name))
            if content is not None:
                texts[_flat(name)] = content
    said = project.get("license", "")
    if isinstance(said, dict):
        said = said.get("text", "")
    listed = project.get("authors", [])
    authors = [
        (_line(str(one.get("name", ""))), str(one.get("email", "")))
        for one in listed
        if isinstance(one, dict)
    ]
    urls = project.get("urls", {})
    return Published(
        str(project.get("name", "")),
        str(project.get("version", "")),
        _line(str(project.get("description", ""))),
        next((str(url) for url in urls.values()), "") if isinstance(urls, dict) else "",
        spdx_of([str(said)], texts.values()),
        texts,
        tuple(one for one in authors if any(one)),
    )


def spdx_of(names: Iterable[str], texts: Iterable[bytes]) -> str:
    """Return the SPDX identifier of a licence.

    Parameters
    ----------
    names : iterable of str
        How it is called, by those who may know it best first.
    texts : iterable of bytes
        Its text, or several.

    Returns
    -------
    str
        The identifier; empty if it is not known, or names and text are not of one licence.

    Examples
    --------
    >>> spdx_of(['GPLv3'], []), spdx_of(['GNU General Public License v3 or later (GPLv3+)'], [])
    ('GPL-3.0-only', 'GPL-3.0-or-later')
    >>> spdx_of([], [b'Permission is hereby granted, free of charge, to any person obtaining'])
    'MIT'
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    for name in filter(None, map(_line, names)):
        try:
            if " " not in name:
                return str(canonicalize_license_expression(name))
        except InvalidLicenseExpression:
            pass
        for pattern, spdx in _NAMES:
            if len(name) < 200 and re.search(pattern, name, re.IGNORECASE):
                if "GPL" not in spdx:
                    return spdx
                later = re.search(r"later|\+", name, re.IGNORECASE)
                return f"{spdx}-{'or-later' if later else 'only'}"
    for text in texts:
        for pattern, spdx in _TEXTS:
            if re.search(pattern, text.decode("utf-8", "replace")):
                return spdx
    return ""


def _authors(names: str, addresses: str) -> tuple[tuple[str, str], ...]:
    known = [(_line(name), address) for name, address in getaddresses([addresses]) if address]
    named = [_line(name) for name in names.split(",") if _known(name)]
    if len(named) == 1 and len(known) == 1 and not known[0][0]:
        return ((named[0], known[0][1]),)
    there = {name for name, _ in known}
    return (*((name, "") for name in named if name not in there), *known)


def _known(text: str) -> str:
    text = _line(text)
    return "" if text.upper() == "UNKNOWN" else text


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _flat(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return None
