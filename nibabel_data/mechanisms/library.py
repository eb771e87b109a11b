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

from ..errors import BuildError, DataError
from . import store
from .building import LIBRARY, translate_and_compile
from .collected import LIBRARIES
from .store import UnwritableError, cache_directory, is_circumstance
from .toolchain import Compiler, Neuron, find_compiler, find_neuron

__all__ = [
    "Toolchain",
    "built",
    "built_in",
    "cache_directory",
    "failure",
    "obtain",
    "toolchain",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Prepared

FAILURE = "failure.json"


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
        return [*self.neuron.files(), *self.compiler().files()]

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
    for base in store.bases():
        folder = pjoin(base, inner)
        try:
            found = store.whole(pjoin(folder, tools.digest()), LIBRARY)
        except BuildError:  # no compiler here: what another one has made is better than nothing
            found = _newest_whole(folder)
        if found is not None:
            return found
    return None


def built_in(base: str, source: Prepared, tools: Toolchain) -> str | None:
    """Return the library that this compiler made in a directory of builds, if it is whole."""
    try:
        return store.whole(pjoin(base, _place(source, tools), tools.digest()), LIBRARY)
    except BuildError:
        return None


def failure(source: Prepared, tools: Toolchain) -> BuildError | None:
    """Return what is remembered of a build that failed, if this same source has been tried."""
    try:
        inner = pjoin(_place(source, tools), tools.digest())
    except BuildError:
        return None
    files = [pjoin(base, inner, FAILURE) for base in store.bases()]
    told = (store.told_failure(file, source.name, source.path) for file in files)
    return next((error for error in told if error is not None), None)


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
    base = to or store.bases()[-1]
    try:
        path = _obtain_in(pjoin(base, inner), source, tools, package, precompiled)
        if to is not None:
            _let_everybody_read(path, to)
        return path
    except UnwritableError as error:
        if to is not None:
            raise DataError(f"cannot build in {to}: {error}") from error
        base = store.temporary_cache(str(error))
        return _obtain_in(pjoin(base, inner), source, tools, package, precompiled)


def _let_everybody_read(path: str, base: str) -> None:
    """Whatever the umask: what is built for others, they can read."""
    if os.name == "nt":
        return
    folder = os.path.dirname(path)
    for name in (LIBRARY, store.RECORD):
        _add_mode(pjoin(folder, name), 0o444)
    while len(folder) >= len(base):
        _add_mode(folder, 0o555)
        folder = os.path.dirname(folder)


def _add_mode(path: str, mode: int) -> None:
    status = os.stat(path)
    if status.st_mode & mode != mode and status.st_uid == os.geteuid():
        os.chmod(path, status.st_mode & 0o7777 | mode)


def _place(source: Prepared, tools: Toolchain) -> str:
    return pjoin(tools.neuron.tag, f"{source.name}-{source.digest[:16]}")


def _prebuilt(package_root: str) -> Iterator[str]:
    if package_root:
        yield pjoin(package_root, LIBRARIES)
    from ..searchpath import get_data_path

    for root in get_data_path():
        yield pjoin(root, LIBRARIES)


def _newest_whole(folder: str) -> str | None:
    try:
        names = sorted(os.listdir(folder), key=lambda n: -os.stat(pjoin(folder, n)).st_mtime_ns)
    except OSError:
        return None
    paths = (
        store.whole(pjoin(folder, name), LIBRARY) for name in names if not name.startswith(".")
    )
    return next((path for path in paths if path is not None), None)


def _obtain_in(
    folder: str, source: Prepared, tools: Toolchain, package: str, precompiled: bool
) -> str:
    with store.Lock(folder):
        path = store.whole(folder, LIBRARY)  # made by another process while this one waited
        if path is not None:
            return path
        known = failure(source, tools)
        if known is not None:
            raise known
        return _build(folder, source, tools, package, precompiled)


def _build(folder: str, source: Prepared, tools: Toolchain, package: str, precompiled: bool) -> str:
    with store.placed(folder) as staged:
        try:
            record = translate_and_compile(staged, source, tools, precompiled)
        except BuildError as error:
            told = _with_place(error, source, package)
            if told.first_error and not is_circumstance(told.first_error):
                _remember(folder, staged, told)
            raise told from None
        store.seal(staged, LIBRARY, record)
    return pjoin(folder, LIBRARY)


def _remember(folder: str, staged: str, error: BuildError) -> None:
    """Keep the failure until the source changes; what cannot be kept is found again."""
    from contextlib import suppress

    from ..package.staging import put_in_place

    with suppress(OSError):
        for name in os.listdir(staged):
            os.unlink(pjoin(staged, name))
        with open(pjoin(staged, FAILURE), "x", encoding="utf-8") as file:
            file.write(store.failure_text(error))
        put_in_place(staged, folder)


def _with_place(error: BuildError, source: Prepared, package: str) -> BuildError:
    if str(error):
        return error
    where = source.path + (f", line {error.line}" if error.line else "")
    told = (
        f"{source.name} does not build"
        + (f" (package {package})" if package else "")
        + f":\n  {where}\n  {error.first_error}\n"
    )
    if store.is_lack(error.first_error):
        told += "Install what it needs, or ask the package's author what that is, and ask again."
    elif is_circumstance(error.first_error):
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
