"""One shared library a mechanism: where it is, whether it is whole, making it when it is not there.

A build stands in a directory of its own, named by what it was made from::

    <cache>/mechanisms/neuron-9.0.2-<identity>/<name>-<source>/<compiler>/
        mechanism.so     the library
        build.json       its digest, and what made it

so that nothing that is there is ever wrong, only unused.  It appears by one rename, whole.  A lock
keeps others from doing the same work at the same time, and nothing but time is lost where locks do
not work.  A library is loaded only if its digest is right: NEURON ends with a bus error on one that
was cut short.
"""

from __future__ import annotations

import os
import sys
from os.path import join as pjoin

from ..errors import BuildError, DataError, warn
from .building import LIBRARY, translate_and_compile
from .toolchain import Compiler, Neuron, find_compiler, find_neuron

__all__ = ["Toolchain", "built", "cache_directory", "failure", "obtain", "toolchain"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Prepared

RECORD = "build.json"
FAILURE = "failure.json"
BUILDS = "mechanisms-built"
"""The directory of builds in a root of the data path, and in a package that carries its own."""

_WAIT = 600  # seconds for another process that builds the same


class Toolchain:
    """What builds: an installation of NEURON and, when it is needed, a compiler.

    Attributes
    ----------
    neuron : Neuron
        The installation.
    """

    __slots__ = ("_digest", "neuron")

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron
        self._digest: str | None = None

    def compiler(self) -> Compiler:
        """Return the compiler; `BuildError` if there is none."""
        return find_compiler(c=self.neuron.writes_c, cache=cache_directory())

    def files(self) -> list[str]:
        """Return the files that decide what is built: of NEURON, and the compiler."""
        return [*self.neuron.files(), self.compiler().command[0]]

    def digest(self) -> str:
        """Return twelve digits of what compiles: the compiler's version and the flags."""
        if self._digest is None:
            from hashlib import sha256

            compiler = self.compiler()
            flags = [f.replace(self.neuron.root, "") for f in self.neuron.flags()]
            told = [compiler.version, *compiler.command[1:], *flags, sys.platform]
            self._digest = sha256("\0".join(told).encode()).hexdigest()[:12]
        return self._digest


def toolchain() -> Toolchain:
    """Return what builds here.

    Raises
    ------
    MechanismError
        If NEURON is not installed.
    """
    return Toolchain(find_neuron())


def cache_directory() -> str:
    """Return the directory of what is built for this user: in the cache of this library."""
    from ..environment import cache_dir

    return pjoin(cache_dir(), "mechanisms")


def built(source: Prepared, tools: Toolchain, *, package_root: str = "") -> str | None:
    """Return the library of a mechanism, if it has been built and is whole; nothing is written.

    The user's own is one that this very compiler made.  Those that travel in the package, or stand
    in a root of the data path, suit whatever made them.

    Parameters
    ----------
    source : Prepared
        The mechanism.
    tools : Toolchain
        What would build it.
    package_root : str, optional
        The package's directory.

    Returns
    -------
    str or None
        The path.
    """
    inner = _place(source, tools)
    for base in _prebuilt(package_root):
        path = _newest_whole(pjoin(base, inner))
        if path is not None:
            return path
    own = [pjoin(cache_directory(), inner)]
    if _temporary is not None:
        own.append(pjoin(_temporary, inner))
    for folder in own:
        try:
            found = _whole(pjoin(folder, tools.digest()))
        except BuildError:  # no compiler here: what another one has made is better than nothing
            found = _newest_whole(folder)
        if found is not None:
            return found
    return None


def failure(source: Prepared, tools: Toolchain) -> BuildError | None:
    """Return what is remembered of a build that failed, if this same source has been tried."""
    try:
        folder = pjoin(cache_directory(), _place(source, tools), tools.digest())
        import json

        with open(pjoin(folder, FAILURE), encoding="utf-8") as file:
            told = json.load(file)
        return BuildError(
            str(told["message"]),
            mechanism=source.name,
            path=source.path,
            line=told["line"],
            first_error=str(told["first_error"]),
        )
    except (OSError, ValueError, LookupError, TypeError, BuildError):
        return None


def obtain(
    source: Prepared,
    tools: Toolchain,
    *,
    package: str = "",
    package_root: str = "",
    precompiled: bool = False,
    to: str | None = None,
) -> str:
    """Return the library of a mechanism, building it if there is none.

    Parameters
    ----------
    source : Prepared
        The mechanism.
    tools : Toolchain
        What builds it.
    package : str, optional
        Its package, for messages.
    package_root : str, optional
        Its package's directory, which may carry the library.
    precompiled : bool, optional
        Whether NEURON's headers are to be precompiled: it pays from the third mechanism on.
    to : str, optional
        Build there, and not in the user's cache.

    Returns
    -------
    str
        The path of the library.

    Raises
    ------
    BuildError
        If it does not build, now or when the same source was last tried.
    """
    if to is None:
        path = built(source, tools, package_root=package_root)
        if path is not None:
            return path
    inner = pjoin(_place(source, tools), tools.digest())
    base = to or _temporary or cache_directory()
    try:
        return _obtain_in(pjoin(base, inner), source, tools, package, precompiled)
    except _UnwritableError as error:
        if to is not None:
            raise DataError(f"cannot build in {to}: {error}") from error
        base = _temporary_cache(str(error))
        return _obtain_in(pjoin(base, inner), source, tools, package, precompiled)


class _UnwritableError(Exception):
    """A cache cannot be written."""


_temporary: str | None = None


def _temporary_cache(reason: str) -> str:
    global _temporary
    if _temporary is None:
        import atexit
        import shutil
        import tempfile

        _temporary = tempfile.mkdtemp(prefix="nibabel-data-mechanisms-")
        atexit.register(shutil.rmtree, _temporary, ignore_errors=True)
        warn(
            f"cannot write in the cache {cache_directory()} ({reason}): mechanisms are built in "
            f"{_temporary} and lost when this process ends.\n"
            "Name a directory that can be written in NIBABEL_DATA_CACHE."
        )
    return _temporary


def _place(source: Prepared, tools: Toolchain) -> str:
    return pjoin(tools.neuron.tag, f"{source.name}-{source.digest[:16]}")


def _prebuilt(package_root: str) -> Iterator[str]:
    if package_root:
        yield pjoin(package_root, BUILDS)
    from ..searchpath import get_data_path

    for root in get_data_path():
        yield pjoin(root, BUILDS)


def _newest_whole(folder: str) -> str | None:
    try:
        names = sorted(os.listdir(folder), key=lambda n: -os.stat(pjoin(folder, n)).st_mtime_ns)
    except OSError:
        return None
    paths = (_whole(pjoin(folder, name)) for name in names if not name.startswith("."))
    return next((path for path in paths if path is not None), None)


def _whole(folder: str) -> str | None:
    """Return the library of a directory, if its content is what was written."""
    path = pjoin(folder, LIBRARY)
    try:
        with open(pjoin(folder, RECORD), "rb") as file:
            told = file.read()
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    from hashlib import sha256

    return path if sha256(content).hexdigest().encode() in told else None


def _obtain_in(
    folder: str, source: Prepared, tools: Toolchain, package: str, precompiled: bool
) -> str:
    with _Lock(folder):
        path = _whole(folder)  # made by another process while this one waited
        if path is not None:
            return path
        known = failure(source, tools)
        if known is not None:
            raise known
        return _build(folder, source, tools, package, precompiled)


class _Lock:
    """One builder at a time, where locks work; it is released when its process ends, however."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: object = None

    def __enter__(self) -> None:
        parent = os.path.dirname(self._folder)
        try:
            os.makedirs(parent, exist_ok=True)
        except OSError as error:
            raise _unwritable(error) from error
        if not os.access(parent, os.W_OK):
            raise _UnwritableError(f"{parent}: permission denied")
        try:
            from filelock import FileLock, Timeout
        except ImportError:
            return
        lock = FileLock(pjoin(parent, ".lock"))
        try:
            lock.acquire(timeout=_WAIT)
        except (Timeout, OSError, NotImplementedError):
            return  # a file system without locks: the work may be done twice, and nothing else
        self._held = lock

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.release()  # type: ignore[attr-defined]


def _unwritable(error: OSError) -> _UnwritableError | BuildError:
    import errno

    reason = (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return _UnwritableError(f"{error.filename}: {reason}")
    return BuildError(
        f"cannot build in {error.filename or cache_directory()}: {reason}.\n"
        "Make room (nibabel-data mech cache --prune), or name another directory in "
        "NIBABEL_DATA_CACHE."
    )


def _build(folder: str, source: Prepared, tools: Toolchain, package: str, precompiled: bool) -> str:
    from ..package.staging import put_in_place, staging_directory

    try:
        with staging_directory(folder) as staged:
            try:
                record = translate_and_compile(staged, source, tools, precompiled)
            except BuildError as error:
                told = _with_place(error, source, package)
                if told.first_error and not _circumstance(told.first_error):
                    _remember(folder, staged, told)
                raise told from None
            _seal(staged, record)
            put_in_place(staged, folder)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise _unwritable(error.__cause__) from error
        raise
    except OSError as error:
        raise _unwritable(error) from error
    return pjoin(folder, LIBRARY)


def _seal(staged: str, record: dict[str, object]) -> None:
    import json
    from hashlib import sha256

    library = pjoin(staged, LIBRARY)
    with open(library, "rb") as file:
        digest = sha256(file.read()).hexdigest()
        os.fsync(file.fileno())
    for name in os.listdir(staged):
        if name != LIBRARY:
            os.unlink(pjoin(staged, name))
    with open(pjoin(staged, RECORD), "x", encoding="utf-8") as out:
        json.dump({"sha256": digest, **record}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


def _remember(folder: str, staged: str, error: BuildError) -> None:
    """Keep the failure until the source changes; what cannot be kept is found again."""
    import json
    from contextlib import suppress

    from ..package.staging import put_in_place

    told = {"message": str(error), "line": error.line, "first_error": error.first_error}
    with suppress(OSError):
        for name in os.listdir(staged):
            os.unlink(pjoin(staged, name))
        with open(pjoin(staged, FAILURE), "x", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
        put_in_place(staged, folder)


_CIRCUMSTANCES = ("No space left", "Killed", "out of memory", "Permission denied", "terminated")


def _circumstance(first_error: str) -> bool:
    """Whether a build failed by no fault of its source, and may succeed when tried again."""
    return any(sign in first_error for sign in _CIRCUMSTANCES)


def _with_place(error: BuildError, source: Prepared, package: str) -> BuildError:
    if str(error):
        return error
    where = source.path + (f", line {error.line}" if error.line else "")
    told = (
        f"{source.name} does not build"
        + (f" (package {package})" if package else "")
        + f":\n  {where}\n  {error.first_error}\n"
    )
    if _circumstance(error.first_error):
        told += "That is not the source's fault: free memory or disk space, and ask again."
    else:
        told += (
            "Mend the file, or ask the package's author to; it is tried again when the file "
            "changes.\nOther mechanisms are not affected."
        )
    return BuildError(
        told,
        mechanism=source.name,
        path=source.path,
        line=error.line,
        first_error=error.first_error,
    )
