"""Finding a package made for Glia or Astrocyte: installed, in a wheel, or in a directory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import join as pjoin
from typing import Any

from ..errors import DataError, ResolveError
from ..package.layout import read_pyproject, table
from .distribution import read_distribution
from .glia import RawPackage, read_package
from .mechanism import Mechanism, MechanismPackage
from .published import Published, from_metadata, from_project
from .static import file_of

__all__ = ["foreign_package"]

_FORMATS = ("glia", "astrocyte", "user")
_METADATA = (".dist-info", ".egg-info")
_LARGEST = 1 << 30  # bytes of a wheel, unpacked


@contextmanager
def foreign_package(source: str) -> Iterator[tuple[MechanismPackage, Published]]:
    """Give the package that a name or a path means, and what its metadata say.

    Parameters
    ----------
    source : str
        The name of an installed distribution or of its package; a wheel; the directory of a
        project, or one into which distributions were installed; or ``local``.

    Yields
    ------
    package : MechanismPackage
        Its files are there until the end of the context.
    published : Published
        Empty for the user's own collection.

    Raises
    ------
    ResolveError
        If there is no such package, or several.
    DataError
        If it cannot be read.
    """
    is_path = os.sep in source or source in (os.curdir, os.pardir) or source.endswith(".whl")
    installed = [] if is_path else _installed(source)
    if installed or not os.path.lexists(source):
        if not installed:
            raise ResolveError(_not_found(source, is_path))
        yield _one(installed, source)
    elif os.path.isdir(source):
        yield _one(list(_in_directory(os.path.abspath(source))), source)
    else:
        with _unpacked(source) as folder:
            yield _one(list(_in_site(folder)), source)


def _one(
    found: list[tuple[MechanismPackage, Published]], source: str
) -> tuple[MechanismPackage, Published]:
    if len(found) == 1:
        return found[0]
    if not found:
        raise ResolveError(
            f"{source} holds no package for Glia or Astrocyte: neither an entry point of group "
            "glia.package, nor a module that makes a Package"
        )
    several = ", ".join(f"{one.name} of {one.source}" for one, _ in found)
    raise ResolveError(
        f"{source} means {len(found)} packages: {several}; name one of them, as "
        "PACKAGE@DISTRIBUTION"
    )


def _not_found(source: str, is_path: bool) -> str:
    if is_path:
        return f"{source}: no such file or directory"
    from .discovery import discover

    names = [one.name for one in discover().packages if one.format in _FORMATS]
    there = f"there are: {', '.join(names)}" if names else "none is installed"
    return f"no package for Glia or Astrocyte, installed or a path, is called {source!r}; {there}"


def _installed(source: str) -> list[tuple[MechanismPackage, Published]]:
    from importlib.metadata import PackageNotFoundError, distribution

    from .discovery import discover

    catalogue = discover(fresh=True)
    named = [one for one in catalogue.packages_named(source) if one.format in _FORMATS]
    if not named:
        named = [
            one
            for one in catalogue.packages
            if one.format in _FORMATS[:2] and _normal(_bringer(one)) == _normal(source)
        ]
    found = []
    for package in named:
        published = Published()
        if package.format != "user":
            try:
                there = distribution(_bringer(package))
                info = str(getattr(there, "_path", ""))  # as `importlib.metadata` has it
                published = from_metadata(there.metadata, info)  # type: ignore[arg-type]
            except PackageNotFoundError:
                pass
        found.append((package, published))
    return found


def _bringer(package: MechanismPackage) -> str:
    return package.source.removesuffix(f" {package.version}")


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _in_directory(top: str) -> Iterator[tuple[MechanismPackage, Published]]:
    """Yield the packages of a directory of installed distributions, or of a project."""
    if any(
        name.endswith(_METADATA) and os.path.isdir(pjoin(top, name)) for name in os.listdir(top)
    ):
        packages = list(_in_site(top))
        if packages:
            yield from packages
            return
    project = read_pyproject(top) or {}
    published = from_project(table(project, "project"), top)
    source = f"{published.name or os.path.basename(top)} {published.version}".strip()
    for raw in _in_project(top, project):
        yield _package(raw, source, published.version), published


def _in_site(folder: str) -> Iterator[tuple[MechanismPackage, Published]]:
    from importlib.metadata import Distribution

    for name in sorted(os.listdir(folder)):
        info = pjoin(folder, name)
        if name.endswith(_METADATA) and os.path.isfile(pjoin(info, "entry_points.txt")):
            (source, version, raws, problems), _ = read_distribution(info)
            published = from_metadata(Distribution.at(info).metadata, info)  # type: ignore[arg-type]
            for raw in raws:
                yield _package(raw, source, version), published
            if problems and not raws:
                raise DataError("\n".join(problems))


def _in_project(top: str, project: dict[str, Any]) -> Iterator[RawPackage]:
    """Yield what the entry points of a project name, else what a module in it makes."""
    folders = [folder for folder in (pjoin(top, "src"), top) if os.path.isdir(folder)]
    for target in table(project, "project", "entry-points", "glia.package").values():
        module, _, attribute = str(target).partition(":")
        for folder in folders:
            path = file_of(folder, module.strip())
            if path is not None:
                yield read_package(folder, path, module.strip(), attribute.strip())[0]
                return
    if os.path.isfile(pjoin(top, "__init__.py")):
        folders = [os.path.dirname(top)]
        modules = [os.path.basename(top)]
    else:
        modules = sorted({name for folder in folders for name in os.listdir(folder)})
    for folder in folders:
        for module in modules:
            path = pjoin(folder, module, "__init__.py")
            if module.isidentifier() and os.path.isfile(path):
                raw = read_package(folder, path, module, "")[0]
                if raw[0]:
                    yield raw


def _package(raw: RawPackage, source: str, version: str) -> MechanismPackage:
    name, root, form, mechanisms, problems = raw
    return MechanismPackage(
        name,
        source,
        root,
        version,
        form,
        [
            Mechanism(name, asset, variant, pjoin(root, relpath), dialect, declared, source)
            for asset, variant, relpath, dialect, declared in mechanisms
        ],
        problems,
    )


@contextmanager
def _unpacked(wheel: str) -> Iterator[str]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nibabel-data-import-") as folder:
        try:
            with zipfile.ZipFile(wheel) as archive:
                if sum(one.file_size for one in archive.infolist()) > _LARGEST:
                    raise DataError(f"{wheel} is larger than {_LARGEST >> 20} MiB, unpacked")
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{wheel} cannot be read as a wheel: {error}") from error
        yield folder
