"""What is read from the state of a page, and put into it: Neuroglancer's ``ViewerState``.

A page is anybody's: nothing of its state is taken for granted.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .layers import Layer
    from .state import Json

__all__ = ["chosen", "layers", "numbers", "position", "put", "segments"]


def layers(state: Json) -> list[Json]:
    """Return the layers of a state.

    Examples
    --------
    >>> layers({'layers': [{'name': 'T1'}, 'nonsense']})
    [{'name': 'T1'}]
    """
    found = state.get("layers")
    if not isinstance(found, list):
        return []
    return [layer for layer in found if isinstance(layer, dict)]


def segments(layer: Json) -> tuple[int, ...]:
    """Return the segments that are chosen in a layer.

    Examples
    --------
    >>> segments({'segments': ['1', '!2', '30']})
    (1, 30)
    """
    found = []
    for said in layer.get("segments") or () if isinstance(layer.get("segments"), list) else ():
        text = str(said)
        # One that is starred but not shown begins with !, and none has more than 64 bits.
        if text.isascii() and text.isdigit() and len(text) <= 20:
            found.append(int(text))
    return tuple(found)


def chosen(segments: Iterable[int]) -> list[str]:
    """Return segments as a layer has them, in its ``segments``.

    Raises
    ------
    ViewerError
        If one is no whole number.

    Examples
    --------
    >>> chosen((1, 30))
    ['1', '30']
    """
    return [str(one) for one in numbers(segments, operator.index, "Segments are whole numbers")]


def numbers(values: object, convert: Callable[[Any], Any], what: str) -> list[Any]:
    """Return the numbers that a user gave.

    Parameters
    ----------
    values : iterable
        What was given.
    convert : callable
        Makes a number of one of them, or raises.
    what : str
        The beginning of the message.

    Raises
    ------
    ViewerError
        If they are no numbers.

    Examples
    --------
    >>> numbers((1, 2), float, 'A position is numbers')
    [1.0, 2.0]
    """
    try:
        return [convert(one) for one in values]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ViewerError(f"{what}, not {values!r:.80}: give a list of them.") from None


def position(state: Json) -> tuple[float, ...] | None:
    """Return where a page looks; None if it does not say.

    Examples
    --------
    >>> position({'position': [1, 2.5]}), position({})
    ((1.0, 2.5), None)
    """
    place = state.get("position")
    if not isinstance(place, list):
        return None
    numbers = tuple(float(n) for n in place if isinstance(n, int | float))
    return numbers if len(numbers) == len(place) and all(map(math.isfinite, numbers)) else None


def put(state: Json, layer: Layer) -> None:
    """Put a layer into a state, in place of one of its name if there is one."""
    found = layers(state)
    for place, one in enumerate(found):
        if one.get("name") == layer.name:
            found[place] = layer.state
            break
    else:
        found.append(layer.state)
    state["layers"] = found
    dimensions = state.setdefault("dimensions", {})
    first = not dimensions
    for name, scale in layer.dimensions.items():
        dimensions.setdefault(name, scale)
    if "position" in state and len(state["position"]) != len(dimensions):
        del state["position"]  # of fewer axes; the page takes the middle
    if first:
        for key, value in layer.view.items():
            state.setdefault(key, value)
