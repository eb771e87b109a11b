"""Reading a plain command line without argparse, whose import and use take longer than most verbs.

Each verb declares what it takes to an `argparse.ArgumentParser`; `Plain` takes the same
declarations.  Where the words are plain, it gives the values that argparse would give; everything
else (options with values, abbreviations, help, errors) it leaves to argparse.  A test holds that
the two never disagree.
"""

from __future__ import annotations

__all__ = ["Plain", "Values"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_KNOWN = {"action", "const", "default", "dest", "help", "metavar", "nargs", "required", "type"}


class Values:
    """What the words say, as attributes, as in an `argparse.Namespace`."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Plain:
    """The declarations of one verb, made as to an `argparse.ArgumentParser`.

    Parameters
    ----------
    **values : object
        What is known before any word is read.
    """

    __slots__ = ("_flags", "_is_plain", "_positional", "_values")

    def __init__(self, **values: object) -> None:
        self._is_plain = True
        self._positional: list[tuple[str, str | None]] = []
        self._flags: dict[str, str] = {}
        self._values = values

    def add_argument(self, *names: str, **settings: Any) -> None:
        """Declare an argument as `argparse.ArgumentParser.add_argument` does."""
        nargs, action = settings.get("nargs"), settings.get("action")
        default = settings.get("default")
        if names[0][0] != "-":
            self._positional.append((names[0], nargs))
            self._values[names[0]] = [] if nargs == "*" and default is None else default
            known = nargs in (None, "?", "*", "+") and action is None and "type" not in settings
        else:
            long = [name for name in names if name.startswith("--")]
            dest = settings.get("dest") or long[0].lstrip("-").replace("-", "_")
            is_flag = action == "store_true"
            self._values[dest] = settings.get("default", False) if is_flag else default
            self._flags.update(dict.fromkeys(names if is_flag else (), dest))
            known = action in (None, "store_true") and not settings.get("required")
            known = known and not ("type" in settings and isinstance(default, str))
        self._is_plain &= known and _KNOWN.issuperset(settings)

    def __getattr__(self, name: str) -> Any:
        """Take any other declaration, and leave the whole to argparse then."""
        if name.startswith("__"):
            raise AttributeError(name)
        self._is_plain = False
        return lambda *_, **__: self

    def read(self, words: Sequence[str]) -> Values | None:
        """Return what the words say, or None if argparse has to be asked.

        Parameters
        ----------
        words : sequence of str
            What follows the verb.

        Examples
        --------
        >>> plain = Plain()
        >>> plain.add_argument('specs', nargs='*')
        >>> plain.add_argument('--all', action='store_true')
        >>> vars(plain.read(['a', '--all', 'b']))
        {'specs': ['a', 'b'], 'all': True}
        >>> plain.read(['--al']) is None
        True
        """
        values = dict(self._values)
        given: list[str] = []
        for word in words:
            if word[:1] == "-":
                if word not in self._flags:
                    return None
                values[self._flags[word]] = True
            else:
                given.append(word)
        if not self._is_plain or not self._place(given, values):
            return None
        result = Values()
        result.__dict__.update(values)
        return result

    def _place(self, given: list[str], values: dict[str, object]) -> bool:
        """Give the words to the positional arguments; return whether there is one way to do it."""
        for number, (name, nargs) in enumerate(self._positional):
            if nargs in ("*", "+"):
                if number + 1 < len(self._positional) or (nargs == "+" and not given):
                    return False
                if given:
                    values[name] = given
                return True
            if given:
                values[name] = given.pop(0)
            elif nargs is None:
                return False
        return not given
