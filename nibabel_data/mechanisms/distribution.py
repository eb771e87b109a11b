"""Reading the metadata of one distribution that brings mechanisms, and finding its modules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from os.path import join as pjoin
from typing import TYPE_CHECKING

from .. import ini
from ..errors import ConfigError
from .glia import read_package
from .static import file_of

if TYPE_CHECKING:
    from .glia import RawPackage
    from .installed import Found, Seen

__all__ = ["read_distribution"]

_LARGEST = 1 << 24


def read_distribution(info: str) -> tuple[Found, Seen | None]:
    """Return what a distribution declares, and the files of Python that were read.

    Parameters
    ----------
    info : str
        Its ``.dist-info`` or ``.egg-info`` directory.

    Returns
    -------
    found : tuple
        Name and version as one text, version, packages, problems.
    seen : tuple or None
        Each file with its signature; None if one was not found, so that it may yet come.
    """
    name, version = _name_and_version(info)
    source = f"{name} {version}".strip()
    packages: list[RawPackage] = []
    problems: list[str] = []
    seen: dict[str, ini.Signature | None] = {}
    is_complete = True
    for target in _entry_points(info, source, problems):
        module, _, attribute = target.partition("[")[0].partition(":")
        module, attribute = module.strip(), attribute.strip()
        if not all(part.isidentifier() for part in module.split(".")):
            problems.append(f"{source}: the entry point {target!r} names no module")
            continue
        place = _place(os.path.dirname(info), info, module)
        if place is None:
            is_complete = False
            problems.append(
                f"{source}: the source of module {module!r}, which its entry point names, is not "
                "found"
            )
            continue
        package, modules = read_package(*place, module, attribute)
        seen.update((one.path, one.seen) for one in modules)
        told = tuple(f"{source}: {problem}" for problem in package[4])
        if package[0]:
            packages.append((*package[:4], told))
        else:
            problems.extend(told)
    found = (source, version, tuple(packages), tuple(problems))
    return found, tuple(seen.items()) if is_complete else None


def _name_and_version(info: str) -> tuple[str, str]:
    """Return them as the metadata write them, else as the name of the directory does."""
    stem = os.path.basename(info).rpartition(".")[0]
    name, _, rest = stem.partition("-")
    headers = {"Name": name.replace("_", "-"), "Version": rest.partition("-")[0]}
    for file in ("METADATA", "PKG-INFO"):
        with suppress(OSError, ConfigError):
            text, _ = ini.read_text(pjoin(info, file), _LARGEST)
            for line in text.partition("\n\n")[0].split("\n"):
                key, _, value = line.partition(":")
                if key in headers and value.strip():
                    headers[key] = value.strip()
            break
    return headers["Name"], headers["Version"]


def _entry_points(info: str, source: str, problems: list[str]) -> Iterator[str]:
    path = pjoin(info, "entry_points.txt")
    try:
        text, _ = ini.read_text(path, _LARGEST)
    except ConfigError as error:
        problems.append(f"{source}: {error}")
        return
    except OSError as error:
        problems.append(f"{source}: {path} cannot be read: {error.strerror or error}")
        return
    section = ""
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == "glia.package" and "=" in line and line[0] not in "#;":
            yield line.partition("=")[2].strip()


def _place(directory: str, info: str, module: str) -> tuple[str, str] | None:
    """Return the directory in which a module lies, as one of ``sys.path``, and its file.

    It is looked for beside the metadata; where Python would import it from; and, if it was
    installed to be edited, where its project lies.
    """
    for candidate in _directories(directory, info, module.partition(".")[0]):
        path = file_of(candidate, module)
        if path is not None:
            return candidate, path
    return None


def _directories(directory: str, info: str, top: str) -> Iterator[str]:
    yield directory
    yield from _imported_from(top)
    project = _edited_project(info)
    if project:
        yield pjoin(project, "src")
        yield project


def _imported_from(top: str) -> Iterator[str]:
    """Yield the directories in which Python finds an import package, which is not imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec(top)
        places = list(spec.submodule_search_locations or ()) if spec else []
    except Exception:  # code of finders: whatever it raises, it has found nothing
        return
    for place in places:
        if isinstance(place, str) and os.path.basename(place) == top:
            yield os.path.dirname(os.path.abspath(place))
    if spec is not None and not places and isinstance(spec.origin, str):
        yield os.path.dirname(os.path.abspath(spec.origin))


def _edited_project(info: str) -> str:
    """Return the directory of a project that was installed to be edited; empty if it was not.

    Source: https://packaging.python.org/en/latest/specifications/direct-url/
    """
    import json
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        with open(pjoin(info, "direct_url.json"), "rb") as file:
            said = json.loads(file.read(_LARGEST))
        url = urlsplit(said["url"])
        if url.scheme == "file" and said["dir_info"]["editable"] is True:
            return url2pathname(url.path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return ""
