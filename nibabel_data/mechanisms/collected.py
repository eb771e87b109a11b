"""Directories of NMODL files: data packages of this kind, and the user's own collection.

A data package is one of mechanisms if section ``DEFAULT`` of its ``config.ini`` has ``kind =
mechanisms``.  The user's own lie in the directory ``mechanisms`` of the user's NIPY directory.  In
both a file says by its name what it is, as `nibabel_data.mechanisms.names.split_stem` reads it,
and by a directory ``neuron`` or ``arbor`` that it is for one of them.
"""

from __future__ import annotations

import os

from .. import ini
from ..environment import get_nipy_user_dir
from ..errors import ConfigError, MechanismError
from ..searchpath import walk
from .mechanism import Mechanism, MechanismPackage
from .names import package_identifier, split_stem

__all__ = [
    "BUILDS",
    "DIALECTS",
    "KIND",
    "LIBRARIES",
    "LOCAL",
    "data_packages",
    "read_collection",
    "user_packages",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..packages import Package
    from ..searchpath import DataPath

KIND = "mechanisms"
"""What ``kind`` is in the ``config.ini`` of a data package of mechanisms."""

LOCAL = "local"
"""The name of the user's own collection."""

DIALECTS = ("neuron", "arbor")
BUILDS = ("x86_64", "aarch64", "arm64")
"""Where ``nrnivmodl`` builds; with CoreNEURON there are copies of the files in them."""

LIBRARIES = "mechanisms-built"
"""The directory of libraries in a root of the data path, and in a package that carries its own."""


def user_packages() -> list[MechanismPackage]:
    """Return the user's own collection, in a list that is empty if there is none."""
    user_dir = get_nipy_user_dir()
    root = os.path.join(user_dir, "mechanisms")
    if not os.path.isabs(user_dir) or not os.path.isdir(root):
        return []
    return [read_collection(LOCAL, "user", root, "", "user", [])]


def data_packages(
    data_path: DataPath | None = None,
) -> tuple[list[MechanismPackage], list[str], list[str]]:
    """Return the data packages of mechanisms on the search path.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead of the search path.

    Returns
    -------
    packages : list of MechanismPackage
        In the order of the search.
    problems : list of str
        What is wrong with those that cannot be used.
    notes : list of str
        Which are not used because another is found before them.
    """
    packages: list[MechanismPackage] = []
    problems: list[str] = []
    notes: list[str] = []
    # Importing `packages` takes longer than seeing that there is nothing.
    if not any(raw[0] is not None and os.path.isdir(raw[0]) for raw in _roots(data_path)):
        return packages, problems, notes
    from ..packages import iter_packages

    for package in iter_packages(data_path):
        config = os.path.join(package.path, "config.ini")
        if package.version is None:
            if _may_be_meant(config):
                problems.append(f"{package.relpath}: {config}: {package.problem}")
            continue
        try:
            text, _ = ini.read_text(config)
            if KIND not in text:
                continue
            options = ini.parse(text, config).get("DEFAULT", {})
        except (OSError, ConfigError) as error:
            problems.append(f"{package.relpath}: {config}: {error}")
            continue
        if options.get("kind", ("", 0))[0].lower() != KIND:
            continue
        if package.shadowed_by is not None:
            notes.append(f"{package.path} is not used: {package.shadowed_by} is found before it")
            continue
        told: list[str] = []
        name = _name(package, options.get("mechanisms_name", ("", 0))[0], config, told)
        if not name:
            problems.extend(told)
            continue
        source = f"{package.relpath} {package.version}"
        root, version = str(package.path), str(package.version)
        packages.append(read_collection(name, source, root, version, "data package", told))
    return packages, problems, notes


def _roots(data_path: DataPath | None) -> Iterator[tuple[str | None, ...]]:
    for raw in walk(data_path, warn=False):
        yield raw[:1]


def _may_be_meant(config: str) -> bool:
    try:
        with open(config, "rb") as file:
            return KIND.encode() in file.read(ini.LARGEST)
    except OSError:
        return False


def _name(package: Package, said: str, config: str, problems: list[str]) -> str:
    for text in (said, package.relpath.rpartition("/")[2]):
        if text:
            try:
                return package_identifier(text)
            except MechanismError as error:
                problems.append(f"{package.relpath}: {config}: {error}")
    return ""


def read_collection(
    name: str, source: str, root: str, version: str, form: str, problems: list[str]
) -> MechanismPackage:
    """Return the package that a directory is.

    Parameters
    ----------
    name, source, root, version, form : str
        As in `MechanismPackage`; `form` is its ``format``.
    problems : list of str
        What is known to be wrong; what else is found is added.
    """
    mechanisms = []
    for path, dialect in _files(root, None, (), source, problems):
        try:
            asset, variant = split_stem(os.path.basename(path).removesuffix(".mod"))
        except MechanismError as error:
            problems.append(f"{source}: {path}: {error}")
            continue
        mechanisms.append(Mechanism(name, asset, variant, path, dialect, None, source, root))
    return MechanismPackage(name, source, root, version, form, mechanisms, problems)


def _files(
    directory: str, dialect: str | None, above: tuple[str, ...], source: str, problems: list[str]
) -> Iterator[tuple[str, str | None]]:
    """Yield the files of NMODL below a directory, sorted, each with its dialect."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{source}: {directory} cannot be read: {error.strerror or error}")
        return
    inner = []
    for entry in entries:
        name = entry.name
        if name[0] == "." or name in (*BUILDS, LIBRARIES):
            continue
        try:
            is_directory = entry.is_dir()
        except OSError:  # a link that loops
            continue
        if is_directory:
            inner.append((name, entry.path))
        elif name.endswith(".mod"):
            yield entry.path, dialect
    if not inner:
        return
    here = os.path.realpath(directory)
    if here in above:  # a link to a directory above it
        return
    for name, path in inner:
        of = name if name in DIALECTS else dialect
        yield from _files(path, of, (*above, here), source, problems)
