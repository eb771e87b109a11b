"""`Datasource` and `VersionedDatasource`: a data package on disk."""

from __future__ import annotations

import os
from os.path import join as pjoin

from . import ini
from .environment import absolute
from .errors import ConfigError, DataError, MissingFileError, VersionError
from .files import annex_command, content_state, escapes, is_pointer, walk_files
from .version import DataVersion

__all__ = ["CONFIG", "Datasource", "VersionedDatasource", "names_registry", "read_version"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import configparser
    from collections.abc import Callable
    from pathlib import Path

    from .package.download import Progress
    from .roots import Origin
    from .searchpath import RawRoot

_in_overlay: Callable[[str, str, Callable[[str], bool]], str] | None = None
_path: type[Path] | None = None
"""What `Datasource.fetch` takes from modules that not everyone needs, once it was needed."""

_IS_POSIX = os.name == "posix"

CONFIG = "config.ini"
"""The file that makes a directory a data package."""

MOST_COMPARED = 2000
"""A spelling is not compared with more names than these."""


class Datasource:
    """A directory of data files.

    Parameters
    ----------
    base_path : str or os.PathLike
        The directory; it need not exist yet.

    Attributes
    ----------
    base_path : str
        The directory, as it was given.

    Examples
    --------
    >>> repository = Datasource('/data/templates')
    >>> repository.get_filename('ICBM152', 'T1.nii.gz') == pjoin(
    ...     '/data/templates', 'ICBM152', 'T1.nii.gz')
    True
    """

    _thin = False
    """Whether files that are not here may have been fetched, and lie in the overlay."""

    def __init__(self, base_path: str | os.PathLike[str]) -> None:
        self.base_path = os.fspath(base_path)

    def get_filename(self, *path_parts: str | os.PathLike[str]) -> str:
        """Return the path of a file of this source; whether it exists is not looked at.

        Parameters
        ----------
        *path_parts : str or os.PathLike
            The parts of the path below `base_path`; none gives `base_path` itself.

        Returns
        -------
        str
            The joined path.

        Raises
        ------
        DataError
            If the path leads out of `base_path`.

        See Also
        --------
        path : the same as a `pathlib.Path`, which can check.

        Examples
        --------
        >>> Datasource('/data').get_filename('..', 'etc', 'passwd')
        Traceback (most recent call last):
        nibabel_data.errors.DataError: '../etc/passwd' leads out of the package at /data
        """
        filename = self._inside(path_parts)
        if self._thin and not os.path.exists(filename):
            return _fetched(self.base_path, filename, os.path.exists)
        return filename

    def _inside(self, path_parts: tuple[str | os.PathLike[str], ...]) -> str:
        """Return the path of a file in this directory, which must not lead out of it."""
        parts = [os.fspath(part) for part in path_parts]
        for part in parts:
            if not _IS_POSIX or ".." in part or part[:1] == "/":  # else nothing leads out
                self._refuse_escapes(parts)
                break
        return pjoin(self.base_path, *parts)

    def _refuse_escapes(self, parts: list[str]) -> None:
        if escapes(*parts) or self._leaves_by_a_link(parts):
            raise DataError(f"{pjoin(*parts)!r} leads out of the package at {self.base_path}")

    def path(self, *parts: str | os.PathLike[str], must_exist: bool = False) -> Path:
        """Return the path of a file or directory of this source.

        Parameters
        ----------
        *parts : str or os.PathLike
            The parts of the path below `base_path`; none gives `base_path` itself.
        must_exist : bool, optional
            Whether to raise if nothing is there, or only a link without its content.

        Returns
        -------
        pathlib.Path
            The joined path.

        Raises
        ------
        DataError
            If the path leads out of `base_path`.
        MissingFileError
            If `must_exist` and it does not: with near names, or with the command that fetches
            the content of a git-annex or DataLad file.
        """
        from pathlib import Path

        filename = self.get_filename(*parts)
        if must_exist:
            self._check_exists(filename)
        return Path(filename)

    def list_files(
        self, relative: bool = True, *, hidden: bool = False, absent: bool = False
    ) -> list[str]:
        """Return every file of this source, also those in sub-directories, sorted.

        Parameters
        ----------
        relative : bool, optional
            Whether the paths are relative to `base_path`.
        hidden : bool, optional
            Whether to list entries whose name begins with a dot (``.git``), and what is below.
        absent : bool, optional
            Whether to list links whose content is not here, too.

        Returns
        -------
        list of str
            The paths.

        Raises
        ------
        DataError
            If the directory is not there or cannot be read.  A directory below it that cannot be
            read is left out.
        """
        left_out = {"unreadable"} if absent else {"unreadable", "absent", "dangling"}
        names = sorted(
            name
            for name, state, _ in walk_files(self.base_path, hidden=hidden)
            if state not in left_out
        )
        if self._thin:
            from .package.overlay import overlay_files

            places = {name: pjoin(self.base_path, name) for name in names}
            places = {**overlay_files(self.base_path, hidden=hidden), **places}
            return sorted(places) if relative else [places[name] for name in sorted(places)]
        return names if relative else [pjoin(self.base_path, name) for name in names]

    def glob(self, pattern: str | os.PathLike[str]) -> list[Path]:
        """Return the paths below this source that match a pattern, sorted.

        Parameters
        ----------
        pattern : str or os.PathLike
            As `pathlib.Path.glob` takes it: ``*``, ``?``, ``[ab]``, and ``**`` for any depth.
            A part matches hidden names only if it begins with a dot itself.

        Returns
        -------
        list of pathlib.Path
            The paths, absolute if `base_path` is; empty if nothing matches.

        Raises
        ------
        DataError
            If the pattern leads out of `base_path`, or is none; if the directory is not there, or
            changes while it is looked at.
        """
        from pathlib import Path

        pattern = os.fspath(pattern)
        parts = pattern.replace(os.sep, "/").split("/")
        if escapes(pattern) or ".." in parts:
            raise DataError(f"pattern {pattern!r} leads out of the package at {self.base_path}")
        base = Path(self.base_path)
        if not base.is_dir():
            raise DataError(f"cannot list {base}: no such directory")
        shown = any(part.startswith(".") and part != "." for part in parts)
        try:
            found = sorted(base.glob(pattern))
        except (ValueError, NotImplementedError, IndexError) as error:
            raise DataError(f"{pattern!r} is no pattern: {error}") from None
        except (OSError, RecursionError) as error:
            raise DataError(f"cannot look for {pattern!r} in {base}: {error}") from error
        here = [
            path
            for path in found
            if shown or not any(p.startswith(".") for p in path.relative_to(base).parts)
        ]
        if self._thin:
            from .package.overlay import overlay_glob

            places = {path.relative_to(base): path for path in here}
            places = {**overlay_glob(self.base_path, pattern, hidden=shown), **places}
            return [places[inside] for inside in sorted(places)]
        return here

    def _leaves_by_a_link(self, parts: list[str]) -> bool:
        """Return whether a ``..`` stands behind a link, so that it leads elsewhere."""
        names = [name for part in parts for name in part.replace(os.sep, "/").split("/")]
        return any(
            name == os.pardir and os.path.islink(pjoin(self.base_path, *names[:number]))
            for number, name in enumerate(names)
        )

    def _check_exists(self, filename: str) -> None:
        state = content_state(filename)
        if state == "unreadable":
            raise DataError(f"no permission to read {filename}")
        if state == "absent" or (state == "file" and is_pointer(filename)):
            raise MissingFileError(
                f"{filename} is a DataLad or git-annex file whose content is not here; "
                f"fetch it with\n\n    {annex_command(filename)}",
                filename,
            )
        if state == "dangling":
            target = os.path.realpath(filename)
            raise MissingFileError(
                f"{filename} is a link to {target}, which does not exist", filename
            )
        if state == "missing":
            raise MissingFileError(self._not_there(filename), filename)

    def _not_there(self, filename: str) -> str:
        import difflib

        wanted = os.path.relpath(filename, self.base_path)
        message = f"no file {wanted!r} in the package at {self.base_path}"
        try:
            names = self.list_files(absent=True)
        except DataError as error:
            return f"{message}: {error}"
        folders = {os.path.dirname(name) for name in names} - {""}
        folder, base = os.path.split(wanted)
        if len(names) > MOST_COMPARED:  # comparing takes long: those beside it first
            names.sort(key=lambda name: os.path.dirname(name) != folder)
            names, all_names = names[:MOST_COMPARED], names
        else:
            all_names = names
        near = [name for name in all_names if os.path.basename(name) == base]
        near += difflib.get_close_matches(wanted, [*names, *folders], n=3, cutoff=0.5)
        if near:
            return (
                f"{message}; did you mean {' or '.join(map(repr, list(dict.fromkeys(near))[:3]))}?"
            )
        more = f" and {len(all_names) - 5} more" if len(all_names) > 5 else ""
        return f"{message}; it holds {', '.join(all_names[:5]) or 'no file'}{more}"

    def __fspath__(self) -> str:
        return self.base_path

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Datasource):
            return NotImplemented
        return type(self) is type(other) and self._place() == other._place()

    def __hash__(self) -> int:
        return hash(self._place())

    def _place(self) -> str:
        return os.path.normcase(absolute(self.base_path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_path!r})"

    def _repr_html_(self) -> str:
        from .htmltree import html_tree

        return html_tree(repr(self), self.base_path)


class VersionedDatasource(Datasource):
    """A data package: a directory with a file ``config.ini`` that names its version.

    ::

        [DEFAULT]
        version = 0.3

    Parameters
    ----------
    base_path : str or os.PathLike
        The directory.
    config_filename : str, optional
        Another name for ``config.ini``, relative to `base_path`.

    Attributes
    ----------
    version : DataVersion
        The version: a str, equal to what the file says, that is ordered by PEP 440.

    Raises
    ------
    DataError
        If the file cannot be read, is malformed, or has no usable version.
    """

    def __init__(
        self, base_path: str | os.PathLike[str], config_filename: str | None = None
    ) -> None:
        super().__init__(base_path)
        config = self.get_filename(config_filename or CONFIG)
        try:
            text, _ = ini.read_text(config)
        except OSError as error:
            raise ConfigError(config, None, f"cannot be read: {error.strerror}") from None
        self._set(config, text, read_version(text, config), None)

    def _set(self, config: str, text: str, version: DataVersion, root: RawRoot | None) -> None:
        self.version = version
        self._thin = names_registry(text)
        self._config_file = config
        self._config_text = text
        self._config: configparser.ConfigParser | None = None
        self._root = root

    @classmethod
    def _located(
        cls, base_path: str, config: str, text: str, version: DataVersion, root: RawRoot
    ) -> VersionedDatasource:
        """Return the package whose ``config.ini`` the locator has read already."""
        self = cls.__new__(cls)
        self.base_path = base_path
        self._set(config, text, version, root)
        return self

    @property
    def config(self) -> configparser.ConfigParser:
        """The content of ``config.ini``; values are literal, ``%`` has no meaning."""
        if self._config is None:
            import configparser

            self._config = configparser.ConfigParser(interpolation=None)
            self._config.read_string(self._config_text, source=self._config_file)
        return self._config

    @property
    def origin(self) -> Origin | None:
        """Who put the root on the search path below which this package was found, if it was."""
        if self._root is None:
            return None
        from .searchpath import origin_of

        return origin_of(self._root)

    def fetch(
        self,
        *parts: str | os.PathLike[str],
        offline: bool | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Return the path of a file of this package, downloaded if it is not here.

        What may be downloaded stands in the package's ``registry.txt``, with its hash, which is
        checked before the file becomes visible.  Nothing else of this class uses the network.

        Parameters
        ----------
        *parts : str or os.PathLike
            The parts of the path below `base_path`.
        offline : bool, optional
            Whether to do without the network; by default what the variable
            ``NIBABEL_DATA_OFFLINE`` says.
        progress : callable, optional
            Called with the number of bytes of each piece that arrives: the ``update`` of a bar of
            tqdm, for example.

        Returns
        -------
        pathlib.Path
            The file: in the package, or in the user's cache if the package cannot be written.

        Raises
        ------
        MissingFileError
            If the package neither has the file nor says where it is; if it cannot be downloaded.
        DataError
            If the path leads out of the package, or the file cannot be written.
        """
        global _path
        if _path is None:
            from pathlib import Path

            _path = Path
        filename = self._inside(parts)
        if os.path.isfile(filename):  # it was checked before it got its name
            return _path(filename)
        if self._thin:
            place = _fetched(self.base_path, filename, os.path.isfile)
            if place is not filename:
                return _path(place)
        from .package.fetch import fetch_file

        return fetch_file(self.base_path, pjoin("", *parts), offline=offline, progress=progress)

    def _not_there(self, filename: str) -> str:
        promises = ""
        if self._thin or os.path.exists(pjoin(self.base_path, "registry.txt")):
            from .package.overlay import not_fetched

            promises = not_fetched(self.base_path, filename)
        return promises or super()._not_there(filename)

    @property
    def major_version(self) -> int:
        """The first number of the version."""
        return self.version.major_minor[0]

    @property
    def minor_version(self) -> int:
        """The second number of the version; 0 if there is none."""
        return self.version.major_minor[1]

    @property
    def version_no(self) -> float:
        """The first two numbers as a float, kept for old callers: 0.10 is 0.1.

        Compare `version` instead.
        """
        major, minor = self.version.major_minor
        return float(f"{major}.{minor}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_path!r}, version {self.version!s})"


def _fetched(base: str, filename: str, is_there: Callable[[str], bool]) -> str:
    """Return where a file is that was fetched into the overlay; else `filename` itself."""
    global _in_overlay
    if _in_overlay is None:
        from .package.overlay import in_overlay

        _in_overlay = in_overlay
    return _in_overlay(base, filename, is_there)


def names_registry(text: str) -> bool:
    r"""Return whether the text of a ``config.ini`` may mean that there is a ``registry.txt``.

    To look for that file would cost every package a system call for each file that is asked for.

    Examples
    --------
    >>> names_registry('[DEFAULT]\nversion = 1\nregistry = registry.txt\n')
    True
    """
    return "registry" in text or "\nurl" in text


def read_version(text: str, path: str) -> DataVersion:
    r"""Return the version that the text of a package's ``config.ini`` names.

    Parameters
    ----------
    text : str
        The content.
    path : str
        The file, for the error.

    Returns
    -------
    DataVersion
        The version.

    Raises
    ------
    ConfigError
        If the text is malformed, or has no version that can be used.

    Examples
    --------
    >>> read_version('[DEFAULT]\nversion = 0.3\n', 'config.ini')
    '0.3'
    >>> read_version('[package]\nversion = 0.3\n', 'a.ini')
    Traceback (most recent call last):
    nibabel_data.errors.ConfigError: a.ini: no version: section [package] found, [DEFAULT] needed
    """
    sections = ini.parse(text, path)
    options = sections.get("DEFAULT", {})
    if "version" not in options:
        if "DEFAULT" not in sections and sections:
            found = ", ".join(f"[{name}]" for name in sections)
            raise ConfigError(path, None, f"no version: section {found} found, [DEFAULT] needed")
        raise ConfigError(path, None, "no version: it needs [DEFAULT] and a line 'version = 0.1'")
    value, line = options["version"]
    try:
        return DataVersion(value)
    except VersionError as error:
        quoted = " without quotes" if value[:1] in ("'", '"') else ""
        comment = " without a comment behind it" if "#" in value or ";" in value else ""
        raise ConfigError(path, line, f"version {error}{quoted}{comment}") from None
