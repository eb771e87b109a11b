"""Wheel and sdist of a data package, byte for byte the same from the same files.

What is built is a copy in which every file has one time and one mode, so that neither shows in the
result.  It lies beside the results, not in the directory for temporary files, which is memory on
many machines.  Afterwards the wheel's own list of hashes is compared with the files: a backend that
left one out, as hatchling does for what ``.gitignore`` names, is found out.
"""

from __future__ import annotations

import base64
import csv
import gzip
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection
from os.path import join as pjoin
from pathlib import Path
from typing import Any

from ..atomic import replace_file
from ..datasource import VersionedDatasource
from ..errors import DataError, DefinitionError
from . import hook as hook_runner
from .check import Problem, check_package
from .layout import (
    Layout,
    build_backend,
    distribution_around,
    find_layout,
    left_out,
    licence_expression,
    read_pyproject,
)
from .manifest import LEFT_OUT, MANIFEST, hash_file, hash_files, manifest_text, package_files
from .new import pyproject_text
from .staging import staging_directory

__all__ = ["EPOCH", "build"]

EPOCH = 1580601600
"""2020-02-02, the time that hatchling gives every file; ``SOURCE_DATE_EPOCH`` overrides it."""

_SHOWN = 5
_LAST_LINES = 15

# In a process of its own, because backends change directory, environment and arguments.
_CHILD = "import sys; sys.path.append(sys.argv[1]); import {0}; {0}.main(sys.argv[2:])"


def build(
    directory: str | os.PathLike[str],
    outdir: str | os.PathLike[str] | None = None,
    wheel: bool = True,
    sdist: bool = True,
) -> list[Path]:
    """Build a data package, without the network.

    Of the source tree only ``manifest-sha256.txt`` in the package's directory is written.

    Parameters
    ----------
    directory : str or os.PathLike
        A distribution directory with a ``pyproject.toml`` for hatchling or setuptools, or with a
        ``setup.py``; or a directory with neither, or a package's directory, for which a
        ``pyproject.toml`` is made in the copy.
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
        If the package has serious problems, the backend is not installed or fails, or the result
        lacks a file.  Then nothing is written.
    """
    if not (wheel or sdist):
        raise DefinitionError("nothing to build: ask for the wheel, the sdist or both")
    layout = find_layout(directory)
    _check_is_alone(layout)
    _refuse_serious(check_package(directory), directory)
    out = os.path.abspath("dist" if outdir is None else outdir)
    if (os.path.realpath(out) + os.sep).startswith(os.path.realpath(layout.package) + os.sep):
        raise DefinitionError(
            f"the results cannot go to {out}: it lies in the package; choose another with -o"
        )
    hooks = [name for name, is_wanted in (("sdist", sdist), ("wheel", wheel)) if is_wanted]
    try:
        # Beside the results: on the same disk, so that putting them in place is a rename.
        with staging_directory(pjoin(out, "build")) as stage:
            return _build(layout, out, stage, hooks)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot build {layout.relpath}:{place}: {reason}") from error


def _check_is_alone(layout: Layout) -> None:
    """Refuse the package's directory if there is a distribution around it, with its own name."""
    above = distribution_around(layout.package)
    if layout.top is None and above is not None:
        raise DefinitionError(
            f"{layout.package} belongs to the distribution in {above}; "
            f"build that: nibabel-data build {above}"
        )


def _refuse_serious(problems: list[Problem], directory: str | os.PathLike[str]) -> None:
    serious = [problem for problem in problems if problem.serious]
    if not serious:
        return
    lines = [f"\n    {p.path}: {p.problem}\n        {p.mend}" for p in serious[:_SHOWN]]
    if len(serious) > _SHOWN:
        lines.append(f"\n    and {len(serious) - _SHOWN} more: nibabel-data check {directory}")
    raise DataError(f"{directory} cannot be built as it is:{''.join(lines)}")


def _build(layout: Layout, out: str, stage: str, kinds: list[str]) -> list[Path]:
    epoch = _epoch()
    copy, results = pjoin(stage, "source"), pjoin(stage, "results")
    os.mkdir(results)
    package = pjoin(copy, *layout.relpath.split("/"))
    if layout.top is not None:
        _copy_distribution(layout.top, copy, out, layout.package)
    _copy_tree(layout.package, package)
    hashes = hash_files(package, [path for path, _, _ in package_files(package)])
    manifest = manifest_text(hashes).encode()
    Path(package, MANIFEST).write_bytes(manifest)
    hashes[MANIFEST] = hash_file(pjoin(package, MANIFEST))
    backend = _backend(layout, copy)
    _normalize(copy, epoch)
    built = []
    for kind in kinds:
        result = pjoin(results, _run(backend, f"build_{kind}", copy, results, stage, epoch))
        if kind == "sdist":
            if backend.startswith("setuptools"):
                _rewrite_sdist(result, stage, epoch)
            found = _in_sdist(result, layout.relpath)
            expected: dict[str, Any] = {
                path: os.path.getsize(pjoin(package, *path.split("/"))) for path in hashes
            }
        else:
            found, expected = _in_wheel(result, layout.relpath), hashes
        _compare(os.path.basename(result), found, expected)
        built.append(result)
    if not _holds(pjoin(layout.package, MANIFEST), manifest):
        replace_file(pjoin(layout.package, MANIFEST), manifest)
    placed = [pjoin(out, os.path.basename(result)) for result in built]
    for result, place in zip(built, placed, strict=True):
        os.replace(result, place)
    return [Path(place) for place in placed]


def _epoch() -> int:
    """Return the time of every file: https://reproducible-builds.org/specs/source-date-epoch/."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return EPOCH
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise DefinitionError(
            f"SOURCE_DATE_EPOCH is {text!r}, which is no number of seconds since 1970"
        )
    return max(int(text), 315619200)  # 1980-01-02: a wheel, being a zip, has no time before 1980


def _copy_distribution(top: str, copy: str, out: str, package: str) -> None:
    """Copy what lies around the package, without what was built before."""
    os.mkdir(copy)
    for name in sorted(os.listdir(top)):
        source = pjoin(top, name)
        if left_out(name) or os.path.realpath(source) == os.path.realpath(out):
            continue
        if os.path.isdir(source) and not os.path.islink(source):
            _copy_tree(source, pjoin(copy, name), {package, out})
        elif os.path.isfile(source):
            shutil.copyfile(source, pjoin(copy, name))


def _copy_tree(source: str, target: str, skipped: Collection[str] = ()) -> None:
    """Copy the regular files of a directory, and of links what they lead to."""
    for here, directories, files in os.walk(source):
        directories[:] = [
            name
            for name in sorted(directories)
            if name not in LEFT_OUT and pjoin(here, name) not in skipped
        ]
        inside = os.path.relpath(here, source)
        there = target if inside == os.curdir else pjoin(target, inside)
        os.makedirs(there, exist_ok=True)
        for name in files:
            if name not in LEFT_OUT and os.path.isfile(pjoin(here, name)):
                shutil.copyfile(pjoin(here, name), pjoin(there, name))


def _normalize(copy: str, epoch: int) -> None:
    """Give every file and directory the same mode and time, wherever it came from."""
    for here, _, files in os.walk(copy, topdown=False):
        for name in files:
            os.chmod(pjoin(here, name), 0o644)
            os.utime(pjoin(here, name), (epoch, epoch))
        os.chmod(here, 0o755)
        os.utime(here, (epoch, epoch))


def _backend(layout: Layout, copy: str) -> str:
    """Return the backend, as ``module:object``; make a ``pyproject.toml`` if there is none."""
    project = read_pyproject(copy)
    if project is None and not os.path.exists(pjoin(copy, "setup.py")):
        Path(copy, "pyproject.toml").write_text(_generated(layout, copy), encoding="utf-8")
        backend = "hatchling.build"
    else:
        backend = build_backend(project or {})
    module = backend.partition(":")[0]
    if module not in ("hatchling.build", "setuptools.build_meta"):
        raise DataError(
            f"{layout.relpath} is built by {module}; nibabel-data builds with hatchling and "
            f"setuptools only: use 'python -m build {layout.top}'"
        )
    library = module.partition(".")[0]
    if importlib.util.find_spec(library) is None:
        command = "'nibabel-data[build]'" if library == "hatchling" else library
        raise DataError(f"building this package needs {library}: pip install {command}")
    return backend


def _generated(layout: Layout, copy: str) -> str:
    """Return a ``pyproject.toml`` made from what the package's ``config.ini`` says."""
    package = VersionedDatasource(pjoin(copy, *layout.relpath.split("/")))
    dist = re.sub(r"[^A-Za-z0-9._-]+", "-", layout.relpath.replace("/", "-")).strip("._-")
    if not dist:
        raise DataError(f"no distribution can be named after {layout.relpath!r}; rename it")
    defaults = package.config.defaults()
    described = defaults.get("description") or f"The data package {layout.relpath}"
    facts: dict[str, object] = {}
    named = licence_expression(defaults.get("license") or defaults.get("licence") or "")
    if named:
        facts["license"] = named
    texts = [
        f"{layout.relpath}/{name}"
        for name in sorted(os.listdir(package.base_path))
        if name.split(".")[0].lower() in ("license", "licence", "copying")
    ]
    if texts and all(re.fullmatch(r"[\w./-]+", text) for text in texts):
        facts["license-files"] = texts
    return pyproject_text(
        dist, layout.relpath, " ".join(described.split()), facts, version=str(package.version)
    )


def _run(backend: str, hook: str, copy: str, results: str, stage: str, epoch: int) -> str:
    """Run one hook of the backend (PEP 517) and return the name of the file that it made."""
    # -P: a file of the package named like a module must not be taken for it.
    child = _CHILD.format(hook_runner.__name__)
    library = os.path.abspath(pjoin(os.path.dirname(hook_runner.__file__), "..", ".."))
    command = [sys.executable, "-P", "-c", child, library, backend, hook, results]
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": stage,
        "TEMP": stage,
        "TMP": stage,
    }
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines = done.stdout.rstrip().split("\n")
    if done.returncode != 0:
        shown = "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])
        name = backend.partition(".")[0]
        raise DataError(f"{name} cannot build {hook.removeprefix('build_')}:{shown}")
    return os.path.basename(lines[-1].strip())


def _rewrite_sdist(path: str, stage: str, epoch: int) -> None:
    """Put the members of an sdist of setuptools in order, each with the same time and owner."""
    plain, rewritten = pjoin(stage, "sdist.tar"), pjoin(stage, "sdist.tar.gz")
    # Unpacked once: members are read in another order, and gzip goes back only by starting anew.
    with gzip.open(path) as packed, open(plain, "wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    with (
        tarfile.open(plain) as old,
        open(rewritten, "wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=epoch) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime = epoch
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    os.unlink(plain)
    os.replace(rewritten, path)


def _in_wheel(path: str, relpath: str) -> dict[str, Any]:
    """Return the hash of each file of the package in a wheel, as its RECORD says."""
    begin = re.compile(rf"[^/]+\.data/data/share/nipy/{re.escape(relpath)}/(.+)", re.DOTALL)
    found = {}
    with zipfile.ZipFile(path) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        with archive.open(record) as file:
            for name, digest, _ in csv.reader(io.TextIOWrapper(file, "utf-8", newline="")):
                match = begin.fullmatch(name)
                if match is not None:
                    packed = digest.removeprefix("sha256=")
                    padded = packed + "=" * (-len(packed) % 4)
                    found[match[1]] = base64.urlsafe_b64decode(padded).hex()
    return found


def _in_sdist(path: str, relpath: str) -> dict[str, Any]:
    """Return the size of each file of the package in an sdist."""
    with tarfile.open(path, "r|gz") as archive:
        sizes = {m.name.partition("/")[2]: m.size for m in archive if m.isfile()}
    begin = f"{relpath}/"
    return {name.removeprefix(begin): sizes[name] for name in sizes if name.startswith(begin)}


def _compare(name: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    differing = sorted(path for path in expected if found.get(path) != expected[path])
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise DataError(
            f"{name} was built, but lacks {differing[0]}{more} of the package; look into the "
            "pyproject.toml or setup.py, and into .gitignore, which hatchling obeys unless it has "
            "'ignore-vcs = true'"
        )


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False
