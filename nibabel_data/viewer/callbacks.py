"""Functions of the user's that are called when something happens in a page."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

from . import pagestate
from .pools import BusyError, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import Json

__all__ = ["Action", "Callbacks"]

_CHANGES = ("position", "selection", "state")  # which need no word to the page


class Action(NamedTuple):
    """What a page tells of a key or a click.

    Attributes
    ----------
    event : str
        As it was given to `Viewer.on`.
    position : tuple of float or None
        Under the mouse, in the units of `Viewer.dimensions`.
    values : dict
        Of each layer, the value under the mouse.
    state : dict
        Of the page.
    """

    event: str
    position: tuple[float, ...] | None
    values: Json
    state: Json


@final
class Callbacks:
    """The functions of one viewer, by events; they are called in a thread, one call at a time."""

    __slots__ = ("_functions", "_lock", "_pool")

    def __init__(self) -> None:
        self._functions: dict[str, list[Callable[..., Any]]] = {}
        self._lock = threading.Lock()
        self._pool = Pool(1)

    def add(self, event: str, function: Callable[..., Any]) -> None:
        """Call a function at an event, from now on."""
        with self._lock:
            self._functions.setdefault(event, []).append(function)

    def remove(self, event: str, function: Callable[..., Any]) -> None:
        """Call it no more."""
        with self._lock:
            if function in self._functions.get(event, ()):
                self._functions[event].remove(function)
            if not self._functions.get(event):
                self._functions.pop(event, None)

    def bind(self, config: Json) -> None:
        """Put into the configuration of a page which keys and clicks it is to tell."""
        events = [event for event in tuple(self._functions) if event not in _CHANGES]
        config["actions"] = ["screenshot", *(f"on:{event}" for event in events)]
        bindings: dict[str, Json] = {"viewer": {}, "dataView": {}}
        for event in events:
            mouse = any(word in event for word in ("mouse", "click", "wheel", "touch"))
            bindings["dataView" if mouse else "viewer"][event] = f"on:{event}"
        config["inputEventBindings"] = bindings

    def acted(self, name: str, state: Json) -> bool:
        """Take note of an action of a page; return False if nobody asked for it."""
        event = name.removeprefix("on:")
        if event == name or event not in self._functions:
            return False
        try:
            place = tuple(float(number) for number in state.get("mousePosition") or ()) or None
        except (TypeError, ValueError):
            place = None
        values, whole = state.get("selectedValues"), state.get("viewerState")
        action = Action(
            event,
            place,
            values if isinstance(values, dict) else {},
            whole if isinstance(whole, dict) else {},
        )
        self._call(event, action)
        return True

    def changed(self, before: Json, state: Json) -> None:
        """Take note that a page has changed the state."""
        if not self._functions:
            return
        self._call("state", state)
        if pagestate.position(state) != pagestate.position(before):
            self._call("position", pagestate.position(state))
        chosen = {str(one.get("name")): pagestate.segments(one) for one in pagestate.layers(before)}
        for one in pagestate.layers(state):
            name = str(one.get("name"))
            if pagestate.segments(one) != chosen.get(name, ()):
                self._call("selection", name, pagestate.segments(one))

    def close(self) -> None:
        """Call nothing any more."""
        with self._lock:
            self._functions = {}
        self._pool.close()

    def after_fork(self) -> None:
        """Start anew in a new process, which has none of the threads."""
        self._lock = threading.Lock()
        self._pool.after_fork()

    def _call(self, event: str, *arguments: object) -> None:
        for function in tuple(self._functions.get(event, ())):
            try:
                self._pool.submit(partial(function, *arguments))
            except BusyError:
                return  # the callbacks are slower than the page
