"""What `insert` returns: the parameters of a mechanism where it is, by their short names."""

from __future__ import annotations

from functools import cache

from ..errors import MechanismError

__all__ = ["InsertedMechanism", "Parameter"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .resolution import MechanismName

_KINDS = {1: "parameter", 2: "assigned", 3: "state", -1: "global"}
"""By the number that NEURON's MechanismStandard asks for."""


_MOST_SHOWN = 4  # values of an array


class Parameter:
    """One range variable of a mechanism.

    Attributes
    ----------
    name : str
        The short name, such as ``gbar``.
    kind : str
        ``parameter`` (may be set), ``assigned`` or ``state`` (computed), ``global`` (may be set,
        one value for all places).
    units : str
        As the source declares them; empty if it does not.
    size : int
        1, or how many elements an array has.
    default : float or None
        Of a parameter that is no array.
    """

    __slots__ = ("default", "kind", "name", "size", "units")

    def __init__(self, name: str, kind: str, units: str, size: int, default: float | None) -> None:
        self.name = name
        self.kind = kind
        self.units = units
        self.size = size
        self.default = default

    def __repr__(self) -> str:
        units = f" ({self.units})" if self.units else ""
        return f"{self.name}{units}, {self.kind}"


class InsertedMechanism:
    """A mechanism in a section, a point process, or an artificial cell.

    Attributes
    ----------
    name : MechanismName
        The name in NEURON.
    kind : str
        ``density``, ``point process`` or ``artificial cell``.
    section : h.Section or None
        Where it is.
    point_process : hoc object or None
        NEURON's own object, of a point process or an artificial cell: what ``h.NetCon`` takes.

    Notes
    -----
    A variable may also be read and set as an attribute, if it is not called as a method or an
    attribute of this class is.

    Examples
    --------
    >>> from neuron import h
    >>> import nibabel_data.mechanisms as m
    >>> section = h.Section('soma')
    >>> section.nseg = 3
    >>> leak = m.insert(section, 'pas', attributes={'g': 1e-4})
    >>> leak.set('g', 2e-4, x=0.1)
    >>> leak.get('g', x=0.1), leak.get('g', x=0.9), leak.parameters['g'].units
    (0.0002, 0.0001, 'S/cm2')
    """

    __slots__ = (
        "__weakref__",
        "_connections",
        "_h",
        "_kept",
        "kind",
        "name",
        "point_process",
        "section",
    )

    def __init__(
        self,
        h: Any,
        section: Any,
        name: MechanismName,
        kind: str,
        point_process: Any = None,
    ) -> None:
        set_ = object.__setattr__
        set_(self, "_h", h)
        set_(self, "section", section)
        set_(self, "name", name)
        set_(self, "kind", kind)
        set_(self, "point_process", point_process)
        set_(self, "_connections", {})  # what nrn-patch looks for in what it connects
        set_(self, "_kept", [])

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every variable that can be read, by its short name, with units and kind."""
        known = _descriptions.get(self.name)
        if known is None:
            known = _descriptions[self.name] = _described(self._h, self.name, self.kind)
        return known

    def become(self, point_process: Any) -> None:
        """Take NEURON's object of a point process or an artificial cell; what `insert` calls."""
        object.__setattr__(self, "point_process", point_process)

    def check(self, values: Mapping[str, Any]) -> dict[str, list[float]]:
        """Return the numbers that are to be set, by short name.

        Parameters
        ----------
        values : dict
            Values by short names.

        Raises
        ------
        MechanismError
            If there is no such parameter, or a value is no number.
        """
        return {name: self._numbers(name, said) for name, said in values.items()}

    def get(self, parameter: str, x: float | None = None) -> Any:
        """Return the value of a variable.

        Parameters
        ----------
        parameter : str
            Its short name.
        x : float, optional
            Where, from 0 to 1, of a density mechanism; the middle if not given.

        Returns
        -------
        float, or list of float of an array
            The value, in the variable's units.

        Raises
        ------
        MechanismError
            If there is no such variable, or no such place.
        """
        found = self._parameter(parameter)
        value = getattr(*self._variable(found, 0.5 if x is None else x))
        return [value[i] for i in range(found.size)] if found.size > 1 else value

    def set(
        self,
        parameter: str | Mapping[str, Any],
        value: Any = None,
        /,
        x: float | None = None,
    ) -> None:
        """Set a parameter, or several; of those that are no parameters, none is set.

        Parameters
        ----------
        parameter : str or dict
            The short name, or values by short names.
        value : float or sequence of float
            The value, in the parameter's units.
        x : float, optional
            Where, from 0 to 1, of a density mechanism; everywhere if not given.

        Raises
        ------
        MechanismError
            If there is no such parameter, no such place, or the value is no number.
        """
        if isinstance(parameter, str):
            if value is None:
                raise MechanismError(f"no value is given for {parameter} of {self.name}.")
            values: Mapping[str, Any] = {parameter: value}
        else:
            values = parameter
        numbers = self.check(values)
        if x is not None or self.kind != "density":
            places = [0.5 if x is None else x]
        else:
            places = [segment.x for segment in self.section]
        for place in places:
            self._place(place)  # all of them before one is set
        for name, said in numbers.items():
            found = self._parameter(name)
            for place in places[:1] if found.kind == "global" else places:
                owner, attribute = self._variable(found, place)
                if found.size == 1:
                    setattr(owner, attribute, said[0])
                    continue
                array = getattr(owner, attribute)
                for i, number in enumerate(said):
                    array[i] = number

    def record(self, parameter: str | None = None, x: float = 0.5) -> Any:
        """Return a vector that fills with a variable's values while the simulation runs.

        Parameters
        ----------
        parameter : str, optional
            The short name.  Of a point process that is a synapse or an electrode, its current
            ``i`` if not given; of an artificial cell, the times of its events.
        x : float, optional
            Where, from 0 to 1, of a density mechanism.

        Returns
        -------
        h.Vector
            One value a time step, or one an event.  As long as it lives, so does what it records.

        Raises
        ------
        MechanismError
            If there is no such variable.
        """
        if parameter is None:
            if self.kind == "artificial cell":
                return self._events()
            if self.kind != "point process" or "i" not in self.parameters:
                raise MechanismError(
                    f"what of {self.name}? It has {', '.join(self.parameters)}: record('i'), say."
                )
            parameter = "i"
        found = self._parameter(parameter)
        if found.kind == "global" or found.size > 1:
            why = "global: it does not change by itself" if found.size == 1 else "an array"
            raise MechanismError(f"{parameter} of {self.name} cannot be recorded: it is {why}.")
        owner, attribute = self._variable(found, x)
        vector = _recording()()
        vector.record(getattr(owner, f"_ref_{attribute}"))
        vector.origin = self
        return vector

    def _events(self) -> Any:
        vector = _recording()()
        connection = self._h.NetCon(self._place(0.5), None)
        connection.record(vector)
        vector.origin = (self, connection)
        return vector

    def remove(self) -> None:
        """Take it out of its section; a point process or an artificial cell ceases to be."""
        if self.kind == "density":
            self.section.uninsert(str(self.name))
        object.__setattr__(self, "point_process", None)

    def describe(self) -> str:
        """Return a table of the variables: name, kind, units and value."""
        from ..table import aligned

        rows = [("variable", "kind", "units", "value")]
        for p in self.parameters.values():
            rows.append((p.name, p.kind, p.units or "-", _shown(self.get(p.name))))
        return "\n".join(aligned(rows))

    def set_parameter(self, param: str, value: Any, x: float | None = None) -> None:
        """As `set`: the name that Glia has."""
        self.set(param, value, x=x)

    def get_parameter(self, param: str, x: float | None = None) -> Any:
        """As `get`: the name that Glia has."""
        return self.get(param, x)

    def stimulate(
        self,
        pattern: Sequence[float] | None = None,
        weight: float = 0.04,
        delay: float = 0.0,
        **attributes: float,
    ) -> InsertedMechanism:
        """Send events to a point process, as the method of that name of nrn-patch does.

        Parameters
        ----------
        pattern : sequence of float, optional
            The times of the events, in ms; they are played by a ``VecStim``, which a package has to
            bring (nrn-patch does).  A ``NetStim`` sends them if not given.
        weight : float, optional
            Of the connection.
        delay : float, optional
            Of the connection, in ms.
        **attributes
            Of the ``NetStim``: ``interval``, ``number``, ``start``, ``noise``.

        Returns
        -------
        InsertedMechanism
            What sends them.

        Raises
        ------
        MechanismError
            If it is a density mechanism, or there is no ``VecStim``.
        """
        from .engine import insert

        if self.kind == "density":
            raise MechanismError(f"{self.name} is a density mechanism: it cannot be stimulated.")
        target = self._place(0.5)
        sender = insert(None, "NetStim" if pattern is None else "VecStim", attributes=attributes)
        if pattern is not None:
            times = self._h.Vector(pattern)
            sender.point_process.play(times)
            sender.__ref__(times)
        connection = self._h.NetCon(sender.point_process, target, 0, delay, weight)
        sender.__ref__(connection)
        self.__ref__(connection)
        self.__ref__(sender)
        return sender

    def _place(self, x: float) -> Any:
        """Return what has the variables: the point process, or the segment."""
        if self.kind != "density":
            if self.point_process is None:
                raise MechanismError(f"{self.name} has been removed.")
            return self.point_process
        try:
            segment = self.section(float(x))
        except (ValueError, TypeError) as error:
            raise MechanismError(f"x is {x!r}: a number from 0 to 1 is needed.") from error
        if not self.section.has_membrane(str(self.name)):
            raise MechanismError(f"{self.name} is no longer in {self.section.name()}.")
        return segment

    def _variable(self, found: Parameter, x: float) -> tuple[Any, str]:
        """Return NEURON's object that has a variable, and the name that it has there."""
        if found.kind == "global":
            return self._h, f"{found.name}_{self.name}"
        place = self._place(x)
        # Not of the mechanism: it has names of its own, `name` and `segment`.
        return place, f"{found.name}_{self.name}" if self.kind == "density" else found.name

    def _parameter(self, name: str) -> Parameter:
        found = self.parameters.get(name) or self.parameters.get(_ALIASES.get(name, ""))
        if found is None:
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> MechanismError:
        from difflib import get_close_matches

        similar = get_close_matches(name, list(self.parameters), n=2)
        hint = f"; do you mean {' or '.join(similar)}?" if similar else "."
        return MechanismError(
            f"{self.name} has no {name!r}{hint}\nIt has {', '.join(self.parameters) or 'none'}."
        )

    def _numbers(self, name: str, value: Any) -> list[float]:
        found = self._parameter(name)
        try:
            numbers = [float(one) for one in value] if found.size > 1 else [float(value)]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != found.size:
            needed = "a number is" if found.size == 1 else f"{found.size} numbers are"
            raise MechanismError(f"{name} of {self.name} is {value!r}: {needed} needed.")
        return numbers

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self.parameters or _ALIASES.get(name) in self.parameters:
            return self.get(name)
        owner = self._place(0.5)  # of NEURON's own object: methods, and functions of the source
        if self.kind == "density":
            owner = getattr(owner, self.name)
        if hasattr(owner, name):
            return getattr(owner, name)
        raise AttributeError(str(self._unknown(name)))

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise MechanismError(f"{name} is no parameter here; of one, write set({name!r}, ...).")
        self.set(name, value)

    def __dir__(self) -> Iterator[str]:
        return iter(sorted({*object.__dir__(self), *self.parameters}))

    def __neuron__(self) -> Any:
        """Return NEURON's own object; what nrn-patch calls."""
        if self.point_process is None:
            raise TypeError(f"{self.name} is a density mechanism: NEURON has no object for it.")
        return self.point_process

    def __ref__(self, other: Any) -> None:
        """Keep an object alive; what nrn-patch calls."""
        self._kept.append(other)

    def __deref__(self, other: Any) -> None:
        """Keep it no longer; what nrn-patch calls."""
        self._kept.remove(other)

    def __repr__(self) -> str:
        place = f" in {self.section.name()}" if self.section is not None else ""
        return f"<{self.kind} {self.name}{place}>"


_ALIASES = {"delay": "del"}
"""Names that Python refuses, as NEURON itself names them for Python."""

_descriptions: dict[str, dict[str, Parameter]] = {}
"""By the name of a mechanism: what NEURON knows does not change."""


@cache
def _recording() -> Any:
    """Return a class of vectors that can keep what they record from alive."""
    from neuron import h, hclass

    class Recording(hclass(h.Vector)):  # type: ignore[misc]
        """A vector with the attribute ``origin``."""

    return Recording


def _described(h: Any, name: str, kind: str) -> dict[str, Parameter]:
    """Source: NEURON's MechanismStandard, which lists the variables of a mechanism by kind."""
    found: dict[str, Parameter] = {}
    for number, said in _KINDS.items():
        standard = h.MechanismStandard(str(name), number)
        reference = h.ref("")
        for index in range(int(standard.count())):
            size = int(standard.name(reference, index))
            long = reference[0]
            suffixed = kind == "density" or number == -1
            short = long.removesuffix(f"_{name}") if suffixed else long
            units = h.units(long if suffixed else f"{name}.{short}")
            default = standard.get(long) if number == 1 and size == 1 else None
            found[short] = Parameter(short, said, units, max(size, 1), default)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list):
        more = f", ... ({len(value)} values)" if len(value) > _MOST_SHOWN else ""
        return f"[{', '.join(f'{one:g}' for one in value[:_MOST_SHOWN])}{more}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
