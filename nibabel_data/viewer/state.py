"""A state in JSON that Python and the pages of a viewer share.

Each change has a generation, a text.  A page says on which generation its change rests, and is
refused if that is not the last one; Python's changes are merged with what a page did meanwhile.
"""

from __future__ import annotations

import copy
import json
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Json = dict[str, Any]

__all__ = ["ConflictError", "SharedState", "decode", "merge", "plain"]

_EXACT = 2**53  # beyond, a page's numbers are not whole: they are sent as text
_DEPTH = 100
_MISSING: Any = object()


class ConflictError(ViewerError):
    """The state is not any more what the change rests on."""


@final
class SharedState:
    """A state in JSON, with a generation; for any thread.

    Parameters
    ----------
    value : dict, optional
        What it is at first.

    Examples
    --------
    >>> state = SharedState({'layout': '4panel'})
    >>> with state.txn() as value:
    ...     value['layout'] = '3d'
    >>> state.value
    {'layout': '3d'}
    """

    __slots__ = ("_count", "_generation", "_listeners", "_lock", "_prefix", "_text", "_value")

    def __init__(self, value: Json | None = None) -> None:
        self._lock = threading.Lock()
        self._prefix = secrets.token_hex(8)
        self._count = 0
        self._generation = f"{self._prefix}.0"
        self._value: Json = plain(value or {})
        self._text: str | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def value(self) -> Json:
        """A copy of the state."""
        return self.snapshot()[0]

    @property
    def generation(self) -> str:
        """The text that names the last change."""
        return self._generation

    def snapshot(self) -> tuple[Json, str]:
        """Return a copy of the state, and its generation."""
        with self._lock:
            value, generation = self._value, self._generation
        return copy.deepcopy(value), generation  # a value is never changed, but replaced

    def encoded(self) -> tuple[str, str]:
        """Return the state as text, and its generation."""
        with self._lock:
            if self._text is None:
                self._text = json.dumps(self._value, separators=(",", ":"))
            return self._text, self._generation

    def set(
        self, value: Json, *, generation: str | None = None, expected: str | None = None
    ) -> str:
        """Replace the state.

        Parameters
        ----------
        value : dict
            The new state: JSON, or what `plain` makes JSON of.
        generation : str, optional
            The new generation; by default a new one, unless nothing is changed.
        expected : str, optional
            The generation on which the new state rests.

        Returns
        -------
        str
            The generation of the state as it is now.

        Raises
        ------
        ConflictError
            If the state has another generation than was expected.
        ViewerError
            If it is not JSON.
        """
        value = plain(value)
        if not isinstance(value, dict):
            raise ViewerError(f"A state is a mapping, not {type(value).__name__}.")
        with self._lock:
            if expected is not None and expected != self._generation:
                raise ConflictError("The state has changed meanwhile.")
            if generation is None and value == self._value:
                return self._generation
            self._count += 1
            self._value, self._text = value, None
            self._generation = generation or f"{self._prefix}.{self._count}"
            new, listeners = self._generation, tuple(self._listeners)
        for listener in listeners:
            listener()
        return new

    def change(self, function: Callable[[Json], Any], retries: int = 100) -> Any:
        """Call a function on a copy of the state and set it; again if there was another change.

        Parameters
        ----------
        function : callable
            Changes its argument; may be called several times.
        retries : int, optional
            How often at most.

        Returns
        -------
        object
            What the function returned.

        Raises
        ------
        ConflictError
            If there was another change each time.
        """
        for _ in range(max(1, retries)):
            value, generation = self.snapshot()
            result = function(value)
            try:
                self.set(value, expected=generation)
            except ConflictError:
                continue
            return result
        raise ConflictError(f"The state was changed by others {retries} times in a row.")

    @contextmanager
    def txn(self) -> Iterator[Json]:
        """Give a copy of the state to change, and set it at the end.

        What a page changed meanwhile is kept, unless it is the same thing.  After an error nothing
        is set.
        """
        base, _ = self.snapshot()
        mine = copy.deepcopy(base)
        yield mine
        wanted = plain(mine)

        def apply(theirs: Json) -> None:
            merged = merge(base, wanted, theirs)
            theirs.clear()
            theirs.update(merged)

        self.change(apply)

    def wake(self) -> None:
        """Call all who listen, although nothing has changed."""
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call something after each change, in the thread that made it; return what ends that."""
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def end() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return end

    def after_fork(self) -> None:
        """Forget, in a new process, a lock that another thread held and who listened."""
        self._lock = threading.Lock()
        self._listeners = []


def merge(base: Any, mine: Any, theirs: Any) -> Any:
    """Return what both sides made of a value; where both changed one thing, it is as in `mine`.

    Lists of mappings with a ``name``, as of layers, are merged by name.

    Examples
    --------
    >>> merge({'a': 1, 'b': 1}, {'a': 2, 'b': 1}, {'a': 1, 'b': 1, 'c': 3})
    {'a': 2, 'b': 1, 'c': 3}
    """
    if mine == base:
        return theirs
    if theirs in (base, mine):
        return mine
    if all(isinstance(one, dict) for one in (base, mine, theirs)):
        return _merge_mappings(base, mine, theirs)
    named = [_by_name(one) for one in (base, mine, theirs)]
    if all(one is not None for one in named):
        return list(_merge_mappings(*named).values())
    return mine


def _merge_mappings(base: Any, mine: Any, theirs: Any) -> Json:
    merged = {}
    for key in dict.fromkeys((*mine, *theirs)):
        value = merge(*(one.get(key, _MISSING) for one in (base, mine, theirs)))
        if value is not _MISSING:
            merged[key] = value
    return merged


def _by_name(value: Any) -> Json | None:
    if not isinstance(value, list):
        return None
    named = {one["name"]: one for one in value if isinstance(one, dict) and _named(one)}
    return named if len(named) == len(value) else None


def _named(value: Json) -> bool:
    return isinstance(value.get("name"), str)


def plain(value: Any, _depth: int = 0) -> Any:
    """Return a value as JSON has it: NumPy's numbers and arrays, tuples and sets too.

    Raises
    ------
    ViewerError
        For anything else, a number that is not finite, or too deep a nesting.

    Examples
    --------
    >>> plain({'segments': {3, 2**60}})
    {'segments': [3, '1152921504606846976']}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii():
            value = value.encode("utf-8", "replace").decode()  # half of a pair is no text
        return str(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= _EXACT else str(int(value))
    if isinstance(value, float):
        if value - value != 0:
            raise ViewerError(f"{value} is not a number that a page can be told.")
        return float(value)
    if _depth > _DEPTH:
        raise ViewerError("A state is not so deep.")
    if isinstance(value, dict):
        return {str(plain(str(key))): plain(one, _depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, _depth + 1) for one in value]
    if isinstance(value, set | frozenset):
        return [plain(one, _depth + 1) for one in sorted(value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), _depth + 1)
    raise ViewerError(f"A page cannot be told a {type(value).__name__}.")


def decode(text: bytes | str) -> Any:
    """Return what a text of JSON says.

    Raises
    ------
    ViewerError
        If it is not JSON, or has numbers that are not.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ViewerError("The text is not JSON.") from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
