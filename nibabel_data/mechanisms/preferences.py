"""Which package and variant of an asset is preferred: in four scopes, the innermost first.

A single use says it in its call; `context` for the calls within a ``with`` block, of this thread or
task alone; `select` for the rest of the script; and what the user keeps for every script stands in
``mechanisms.ini`` of the user's NIPY directory.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from os.path import join as pjoin

from ..environment import cache_dir, get_nipy_user_dir
from ..errors import MechanismError

__all__ = [
    "Preference",
    "context",
    "global_file",
    "global_preferences",
    "in_force",
    "select",
    "select_globally",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from types import TracebackType

    Assets = Mapping[str, Mapping[str, object] | str | int]


class Preference:
    """What one scope prefers for one asset, or for all of them.

    Attributes
    ----------
    pkg, variant : str or None
        What is preferred; None leaves it to the scopes around.
    scope : str
        ``context``, ``script`` or ``global``.
    asset : str or None
        The asset; None if it is for all, and then no more than a wish.
    unset : bool
        Whether the scopes around are not asked.

    Notes
    -----
    A variant may be given as a number, since ``0`` is what people write for ``'0'``.
    """

    __slots__ = ("asset", "pkg", "scope", "unset", "variant")

    def __init__(
        self,
        scope: str,
        asset: str | None,
        pkg: object,
        variant: object,
        unset: bool = False,
    ) -> None:
        self.scope = scope
        self.asset = asset
        self.pkg = None if pkg is None else str(pkg)
        self.variant = None if variant is None else str(variant)
        self.unset = unset

    def __str__(self) -> str:
        """Return the call or the command that made it."""
        asked = _arguments(self.pkg, self.variant)
        if self.scope == "context":
            if self.asset is None:
                return f"context({', '.join(asked)})"
            said = {"package": self.pkg, "variant": self.variant, "unset": self.unset or None}
            kept = {key: value for key, value in said.items() if value is not None}
            return f"context(assets={{{self.asset!r}: {kept}}})"
        if self.scope == "script":
            return f"select({', '.join([repr(self.asset), *asked])})"
        return f"global preference of {self.asset} in {global_file()} ({', '.join(asked)})"


def _arguments(pkg: str | None, variant: str | None) -> list[str]:
    return [f"{k}={v!r}" for k, v in (("pkg", pkg), ("variant", variant)) if v is not None]


# By context: a tuple, outermost first, of (for all, by asset).
_Level = tuple["Preference | None", dict[str, Preference]]
_contexts: ContextVar[tuple[_Level, ...]] = ContextVar("nibabel_data_mechanisms", default=())

# Replaced as a whole and never changed, so that a thread reads the old one or the new.
_script: dict[str, Preference] = {}


class context:  # noqa: N801  (Glia's name; it reads as a function)
    """Prefer packages and variants within a ``with`` block, of this thread or task alone.

    Blocks nest to any depth, and the innermost is asked first.  One context may be entered again.

    Parameters
    ----------
    assets : dict, optional
        By asset, a dict with ``package`` (or ``pkg``) and ``variant``, or a variant; with
        ``'unset': True``, what this block says of every asset and what the scopes around prefer is
        forgotten for it.
    pkg, variant : str, optional
        For every other asset, where it has them.
    package : str, optional
        The same as `pkg`.

    Raises
    ------
    MechanismError
        If `assets` makes no sense.

    Examples
    --------
    >>> with context(pkg='lab', assets={'Kv1': {'variant': 'high'}}):
    ...     pass
    """

    __slots__ = ("_level",)

    def __init__(
        self,
        assets: Assets | None = None,
        pkg: str | None = None,
        variant: str | None = None,
        *,
        package: str | None = None,
    ) -> None:
        general = Preference("context", None, pkg or package, variant)
        by_asset = {asset: _of_asset(asset, said) for asset, said in (assets or {}).items()}
        said_of_all = general.pkg is not None or general.variant is not None
        self._level: _Level = (general if said_of_all else None, by_asset)

    def __enter__(self) -> None:
        _contexts.set((*_contexts.get(), self._level))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not by a token: one context may be entered by several threads and tasks at once.
        levels = [*_contexts.get()]
        innermost = max(i for i, level in enumerate(levels) if level is self._level)
        del levels[innermost]
        _contexts.set(tuple(levels))


def _of_asset(asset: str, said: object) -> Preference:
    if isinstance(said, (str, int)):
        return Preference("context", asset, None, said)
    if not isinstance(said, dict):
        raise MechanismError(
            f"assets[{asset!r}] is {said!r}: a dict such as {{'package': 'dbbs', 'variant': '0'}} "
            "is needed."
        )
    known = {"package", "pkg", "variant", "unset"}
    strange = [str(key) for key in said if key not in known]
    if strange:
        raise MechanismError(
            f"assets[{asset!r}] has {', '.join(strange)}: only package, variant and unset are "
            "known."
        )
    return Preference(
        "context",
        asset,
        said.get("package", said.get("pkg")),
        said.get("variant"),
        bool(said.get("unset")),
    )


def select(
    asset: str,
    pkg: str | None = None,
    variant: str | None = None,
    *,
    glbl: bool = False,
) -> None:
    """Prefer a package and a variant of an asset for the rest of the script, in every thread.

    Parameters
    ----------
    asset : str
        The asset.
    pkg, variant : str, optional
        What is preferred.  With neither, what was selected before is forgotten.
    glbl : bool, optional
        Whether it is to be kept for every script of this user.

    Raises
    ------
    MechanismError
        If `glbl`, and it cannot be kept.

    Examples
    --------
    >>> select('Kv1', pkg='lab', variant='high')
    >>> select('Kv1')
    """
    global _script
    if glbl:
        select_globally(asset, pkg, variant)
        return
    changed = {name: said for name, said in _script.items() if name != asset}
    if pkg is not None or variant is not None:
        changed[asset] = Preference("script", asset, pkg, variant)
    _script = changed


def in_force(asset: str) -> list[Preference]:
    """Return what is preferred for an asset, the innermost scope first.

    Parameters
    ----------
    asset : str
        The asset.

    Returns
    -------
    list of Preference
        In each ``with`` block, what is said of the asset stands before what is said of all.
    """
    found: list[Preference] = []
    for general, by_asset in reversed(_contexts.get()):
        own = by_asset.get(asset)
        if own is not None:
            found.append(own)
            if own.unset:
                return found
        if general is not None:
            found.append(general)
    selected = _script.get(asset)
    if selected is not None:
        found.append(selected)
    kept = global_preferences().get(asset)
    if kept is not None:
        found.append(kept)
    return found


def global_file() -> str:
    """Return the file of the user's preferences, which may not exist."""
    return pjoin(get_nipy_user_dir(), "mechanisms.ini")


_kept: tuple[object, dict[str, Preference]] = (None, {})


def global_preferences() -> dict[str, Preference]:
    """Return what the user prefers in every script, by asset.

    The file is read again when its status changes.  One that cannot be read is warned of once, and
    is as if empty.
    """
    global _kept
    path = global_file()
    try:
        status = os.stat(path)
    except OSError:
        return {}
    from .. import ini

    seen = (path, ini.signature(status))
    if _kept[0] != seen:
        _kept = (seen, _read(path))
    return _kept[1]


def _read(path: str) -> dict[str, Preference]:
    from .. import ini
    from ..errors import DataError, warn

    try:
        text, _ = ini.read_text(path)
        sections = ini.parse(text, path)
    except (OSError, DataError) as error:
        warn(f"the preferences of mechanisms cannot be read: {error}")
        return {}
    found = {}
    for asset, options in sections.items():
        values = {option: value[0] for option, value in options.items()}
        pkg, variant = values.get("pkg") or None, values.get("variant") or None
        if pkg or variant:
            found[asset] = Preference("global", asset, pkg, variant)
    return found


def select_globally(asset: str, pkg: str | None = None, variant: str | None = None) -> str:
    """Keep a preference for every script of this user; with neither, forget it.

    Parameters
    ----------
    asset : str
        The asset.
    pkg, variant : str, optional
        What is preferred.

    Returns
    -------
    str
        The file that was changed, by one rename.  All else in it stays: comments, too.

    Raises
    ------
    MechanismError
        If it cannot be written, or what is there is damaged: it is then left as it is.
    """
    from .. import ini
    from ..atomic import replace_file
    from ..errors import DataError

    said = Preference("global", asset, pkg, variant)
    _check(said)
    path = global_file()
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _one_writer():
            text = ini.read_text(path)[0] if os.path.exists(path) else _HEAD
            ini.parse(text, path)
            replace_file(path, _edited(text, said).encode())
    except (OSError, DataError) as error:
        raise MechanismError(f"the preference of {asset} cannot be kept: {error}") from error
    return path


_HEAD = "# Preferred packages and variants of mechanisms; nibabel-data mech select\n"


def _check(said: Preference) -> None:
    """Say what is wrong with the names in it."""
    from .names import DEFAULT_VARIANT, full_name, package_identifier

    asset = said.asset or ""
    full_name("local", asset, DEFAULT_VARIANT if said.variant is None else said.variant)
    if said.pkg is not None:
        package_identifier(said.pkg.partition("@")[0])
        if not said.pkg.isprintable() or said.pkg != said.pkg.strip():
            raise MechanismError(f"{said.pkg!a} is no package's name.")


@contextmanager
def _one_writer() -> Iterator[None]:
    """Let one process at a time change the file, where locks work: else the last one wins."""
    lock = None
    with suppress(ImportError, OSError, NotImplementedError, TimeoutError):
        from filelock import FileLock

        os.makedirs(cache_dir(), exist_ok=True)
        lock = FileLock(pjoin(cache_dir(), "mechanisms.ini.lock"))
        lock.acquire(timeout=_WAIT)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


_WAIT = 10  # seconds; a preference is written in milliseconds


def _edited(text: str, said: Preference) -> str:
    """Return the text of the file with one preference changed, and every other line as it was."""
    values = {"pkg": said.pkg, "variant": said.variant}
    wanted = [f"{key} = {value}" for key, value in values.items() if value is not None]
    lines = text.splitlines()
    headers = [i for i, line in enumerate(lines) if line.startswith("[")]
    begin = next((i for i in headers if lines[i].rstrip() == f"[{said.asset}]"), None)
    if begin is None:
        if wanted:
            lines += ["", f"[{said.asset}]", *wanted]
    else:
        end = next((i for i in headers if i > begin), len(lines))
        kept = _without(lines[begin + 1 : end], values)
        lines[begin:end] = [lines[begin], *wanted, *kept] if wanted or any(kept) else []
    return "".join(f"{line}\n" for line in lines)


def _without(lines: list[str], options: Collection[str]) -> list[str]:
    """Leave options out, each with the lines that continue its value."""
    kept, left_out = [], False
    for line in lines:
        if not (left_out and line[:1].isspace() and line.strip()):
            left_out = line.replace(":", "=").partition("=")[0].strip().lower() in options
        if not left_out:
            kept.append(line)
    return kept
