"""Locating data packages: the first on the search path that is well formed and suits.

`make_datasource` does only what it must: for each root it tries to read one file.  Why a root was
passed over is found out when somebody asks (`explain`), or when nothing was found.
"""

from __future__ import annotations

import os
from os.path import join as pjoin

from . import ini
from .datasource import CONFIG, VersionedDatasource, read_version
from .definition import DEFAULT_INSTALL_HINT, read, version_suits
from .errors import BomberError, DataError
from .files import escapes
from .searchpath import walk

__all__ = [
    "DEFAULT_INSTALL_HINT",
    "Bomber",
    "datasource_or_bomber",
    "find_data_dir",
    "make_datasource",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .definition import Definition
    from .searchpath import DataPath


recorder: Callable[[str, VersionedDatasource], object] | None = None
"""What is told of each package that is located, once `nibabel_data.used_data` has been used."""

_ADAPTERS = frozenset({"freesurfer", "fsl", "mne", "nilearn", "pooch", "templateflow"})
"""The first parts of relpaths that belong to other tools, as in `adapters.registry`."""


def find_data_dir(root_dirs: Iterable[str | os.PathLike[str]], *names: str) -> str:
    """Return the first directory of a name below any of several roots.

    Parameters
    ----------
    root_dirs : sequence of str or os.PathLike
        The roots, in the order of the search.
    *names : str
        The parts of the path below a root.

    Returns
    -------
    str
        The root and the names, joined.

    Raises
    ------
    DataError
        If no root has such a directory, or the names lead out of a root.

    See Also
    --------
    make_datasource : looks for a data package rather than for any directory.

    Examples
    --------
    >>> find_data_dir(['/no/such/root'], 'nipy', 'templates')
    Traceback (most recent call last):
    nibabel_data.errors.DataError: no directory "nipy/templates" below /no/such/root
    """
    roots = [root_dirs] if isinstance(root_dirs, str) else [os.fspath(root) for root in root_dirs]
    relative = pjoin(*names) if names else ""
    if escapes(relative):
        raise DataError(f'"{relative}" leads out of the directories that are searched')
    for root in roots:
        path = pjoin(root, relative)
        if os.path.isdir(path):
            return path
    searched = os.pathsep.join(roots) or "nothing: there is no root to search"
    raise DataError(f'no directory "{relative}" below {searched}')


def make_datasource(pkg_def: Definition, data_path: DataPath | None = None) -> VersionedDatasource:
    """Return the first data package on the search path that is the one asked for.

    A copy that is broken or of another version is passed over.  Where the search path has none,
    data that another tool holds are returned (``templateflow/tpl-MNI152NLin2009cAsym``; see
    `nibabel_data.adapters`).

    Parameters
    ----------
    pkg_def : str, dict or PackageDef
        ``'nipy/templates>=0.3'``; or a dict with the key ``relpath`` and, if wanted, ``name``,
        ``install hint``, ``min version`` and ``version`` (a PEP 440 specifier); or a
        `PackageDef`.
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to search instead of `get_data_path()`, and of what other tools hold; a str is split
        at ``os.pathsep``.

    Returns
    -------
    VersionedDatasource
        The package.

    Raises
    ------
    DataError
        If there is none: with every root that was searched, what was found there, and what to do
        next.  ``error.explanation`` holds the same as data.
    DefinitionError
        If `pkg_def` makes no sense.

    See Also
    --------
    explain : says the same without raising.
    datasource_or_bomber : waits with the error until the package is used.

    Examples
    --------
    >>> make_datasource('nipy/examplepkg>=0.1', data_path='examples/nipy-examplepkg').version
    '0.1'
    """
    if data_path is not None and not isinstance(data_path, str | os.PathLike):
        data_path = tuple(data_path)  # it may have to be walked a second time
    return _make(pkg_def, data_path)


def _make(
    pkg_def: Definition, data_path: DataPath | None, *, quiet: bool = False
) -> VersionedDatasource:
    found = _find(pkg_def, data_path, quiet=quiet)
    if found is not None:
        return found
    from .explanation import explain
    from .packagedef import PackageDef

    explanation = explain(PackageDef.of(pkg_def, quiet=True), data_path)
    finding = explanation.found
    if finding is not None and finding.path is not None:
        # An adapter of another distribution has it, or it appeared in between.
        located = finding.adapted or VersionedDatasource(finding.path)
        if recorder is not None:
            recorder(explanation.definition.relpath, located)
        return located
    raise explanation.error()


def _find(
    pkg_def: Definition, data_path: DataPath | None, *, quiet: bool = False
) -> VersionedDatasource | None:
    relpath, minimum, specifier = read(pkg_def, quiet=quiet)
    relative = relpath.replace("/", os.sep)
    for root in walk(data_path):
        if root[0] is None:
            continue
        base = pjoin(root[0], relative)
        config = pjoin(base, CONFIG)
        try:
            text, _ = ini.read_text(config)
            version = read_version(text, config)
        except (OSError, DataError):
            continue
        if version_suits(version, minimum, specifier):
            located = VersionedDatasource._located(base, config, text, version, root)
            if recorder is not None:
                recorder(relpath, located)
            return located
    if data_path is None and relpath.partition("/")[0] in _ADAPTERS:
        return _find_adapted(relpath, minimum, specifier)
    return None


def _find_adapted(relpath: str, minimum: str, specifier: str) -> VersionedDatasource | None:
    """Return what another tool holds; adapters that are no part of this library wait until then.

    Those are asked by `explain`, that is, before `make_datasource` raises: looking for them would
    slow down every module that names data which are not there.
    """
    from .adapters.registry import find

    adapted = find(relpath, minimum, specifier)
    if adapted is not None and recorder is not None:
        recorder(relpath, adapted)
    return adapted


def datasource_or_bomber(
    pkg_def: Definition, data_path: DataPath | None = None
) -> VersionedDatasource | Bomber:
    """Return a data package, or something that raises a clear error when it is used.

    For a module that names its data when it is imported, and must import without them.

    Parameters
    ----------
    pkg_def : str, dict or PackageDef
        As for `make_datasource`.
    data_path : str, os.PathLike or a sequence of them, optional
        As for `make_datasource`.

    Returns
    -------
    VersionedDatasource or Bomber
        A `Bomber` looks again each time it is used, and acts as the package once it is there.

    Raises
    ------
    DefinitionError
        If `pkg_def` makes no sense.

    Examples
    --------
    >>> templates = datasource_or_bomber('nipy/no-such-package')
    >>> bool(templates), hasattr(templates, 'get_filename')
    (False, False)
    """
    if data_path is not None and not isinstance(data_path, str | os.PathLike):
        data_path = tuple(data_path)
    found = _find(pkg_def, data_path)
    if found is not None:
        return found
    name = read(pkg_def, quiet=True)[0].replace("/", os.sep)
    bomber = Bomber(name, "")
    bomber._wanted = (pkg_def, data_path)
    return bomber


class Bomber:
    """Stands for data that are not there, and raises a clear error when it is used.

    Parameters
    ----------
    name : str
        What is not there.
    msg : str
        What to tell a person who uses it.

    Notes
    -----
    One made by `datasource_or_bomber` looks for its package again when it is used, so that
    installing the data is enough, without a restart.  It is false as long as they are not there.

    Examples
    --------
    >>> Bomber('atlas', 'Get it from the shelf.').path
    Traceback (most recent call last):
    nibabel_data.errors.BomberError: Trying to access attribute "path" of non-existent data "atlas"
    <BLANKLINE>
    Get it from the shelf.
    """

    _wanted: tuple[Any, Any] | None = None
    _found: VersionedDatasource | None = None

    def __init__(self, name: str, msg: str) -> None:
        self.name = name
        self._msg = msg

    @property
    def msg(self) -> str:
        """What to tell a person: as things are now."""
        error = self._look()
        return self._msg if error is None else str(error)

    def _look(self) -> DataError | None:
        """Look for the package again; return why it cannot be had, if so."""
        if self._found is not None or self._wanted is None:
            return None
        try:
            self._found = _make(*self._wanted, quiet=True)
        except DataError as error:
            return error
        return None

    def _bomb(self, use: str, error: DataError | None) -> BomberError:
        bomb = BomberError(f'{use} of non-existent data "{self.name}"\n\n{error or self._msg}\n')
        bomb.explanation = None if error is None else error.explanation
        return bomb

    def __getattr__(self, attr_name: str) -> Any:
        if attr_name.startswith("__"):  # copy, pickle and inspect probe these
            raise AttributeError(attr_name)
        error = self._look()
        if self._found is None:
            raise self._bomb(f'Trying to access attribute "{attr_name}"', error)
        return getattr(self._found, attr_name)

    def __fspath__(self) -> str:
        error = self._look()
        if self._found is None:
            raise self._bomb("Trying to use the path", error)
        return self._found.base_path

    def __bool__(self) -> bool:
        if self._found is None and self._wanted is not None:
            self._found = _find(*self._wanted, quiet=True)  # without explaining why not
        return self._found is not None

    def __repr__(self) -> str:
        if self._found is not None:
            return f"<Bomber that found {self._found!r}>"
        return f"<Bomber: no data {self.name!r}; use it to see what to do>"
