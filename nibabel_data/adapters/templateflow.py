"""TemplateFlow: its templates, such as ``templateflow/tpl-MNI152NLin2009cAsym``.

They lie in ``TEMPLATEFLOW_HOME``, by default the user's cache directory.  TemplateFlow fills it
with a skeleton: every file of every template, but images and surfaces empty until they are asked
for.  So an empty file is a placeholder, and a template with nothing else is not here.

Templates have no version: ``TemplateFlowVersion`` in ``template_description.json`` is that of the
description's format, as ``BIDSVersion`` is, and the same for all of them.

Source: https://www.templateflow.org/usage/archive/
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import ini
from ..errors import DataError
from ..files import walk_files
from .package import AdapterPackage, Place
from .places import cache_path, directories, named_by, unique

__all__ = ["look"]

_TEXT = (".json", ".tsv", ".txt", ".md")
"""Files that the skeleton has with their content."""


def look(relpath: str) -> Iterator[tuple[Place, list[AdapterPackage]]]:
    """Yield the places and what is there."""
    classic = Path(os.path.expanduser("~"), ".cache", "templateflow")  # before version 24
    places = named_by("TEMPLATEFLOW_HOME") or unique(
        [Place(cache_path("templateflow"), "default"), Place(classic, "default")]
    )
    for place in places:
        paths = directories(place.path, relpath.removeprefix("templateflow/"))
        yield place, [_package(path) for path in paths if path.name.startswith("tpl-")]


def _package(path: Path) -> AdapterPackage:
    here, all_files = _count(path)
    note = f"{here} of {all_files} files fetched" if here < all_files else ""
    if not here:
        note = "placeholders only: TemplateFlow has not fetched it"
    facts = _description(path)
    licence = facts.get("License")
    return AdapterPackage(
        f"templateflow/{path.name}",
        path,
        "templateflow",
        note=note,
        absent=not here,
        stubs=True,
        fetch=f"templateflow get {path.name.removeprefix('tpl-')}",
        licence=licence if isinstance(licence, str) and "LICENSE" not in licence else "",
        citation=_citation(facts),
    )


def _count(path: Path) -> tuple[int, int]:
    """Return how many data files of a template are here, and how many it has."""
    here = all_files = 0
    try:
        for name, state, size in walk_files(str(path)):
            if os.path.basename(name).startswith("tpl-") and not name.endswith(_TEXT):
                all_files += 1
                here += state == "file" and size > 0
    except DataError:  # a directory that cannot be read: what was seen until then
        pass
    return here, all_files


def _description(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(ini.read_text(str(path / "template_description.json"))[0])
    except (OSError, ValueError, DataError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _citation(facts: dict[str, Any]) -> str:
    """Return authors, name and references in one line; empty without references."""
    links = facts.get("ReferencesAndLinks") or []
    links = list(links.values()) if isinstance(links, dict) else links
    if not isinstance(links, list) or not links:
        return ""
    authors = facts.get("Authors")
    names = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    parts = [names, str(facts.get("Name") or ""), "; ".join(map(str, links))]
    return ". ".join(part for part in parts if part)
