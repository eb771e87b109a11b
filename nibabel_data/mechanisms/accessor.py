"""What `insert` returns: the parameters of a mechanism where it is, by their short names."""

from __future__ import annotations

from ..errors import MechanismError

__all__ = ["InsertedMechanism", "Parameter"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
        Of a parameter.
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
        NEURON's own object, of a point process or an artificial cell.

    Examples
    --------
    >>> import nibabel_data.mechanisms as m  # doctest: +SKIP
    >>> leak = m.insert(section, 'pas', attributes={'g': 1e-4})  # doctest: +SKIP
    >>> leak.set('g', 2e-4, x=0.1)  # doctest: +SKIP
    >>> leak.get('g', x=0.9)  # doctest: +SKIP
    0.0001
    """

    __slots__ = (
        "__weakref__",
        "_connections",
        "_h",
        "_kept",
        "_known",
        "kind",
        "name",
        "point_process",
        "section",
    )

    def __init__(
        self, h: Any, section: Any, name: MechanismName, kind: str, point_process: Any
    ) -> None:
        set_ = object.__setattr__
        set_(self, "_h", h)
        set_(self, "section", section)
        set_(self, "name", name)
        set_(self, "kind", kind)
        set_(self, "point_process", point_process)
        set_(self, "_known", None)
        set_(self, "_connections", {})  # what nrn-patch looks for in what it connects
        set_(self, "_kept", [])

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every variable that can be read, by its short name, with units and kind."""
        if self._known is None:
            object.__setattr__(self, "_known", _described(self._h, self.name, self.kind))
        known: dict[str, Parameter] = self._known
        return known

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
        if found.kind == "global":
            return getattr(self._h, f"{parameter}_{self.name}")
        value = getattr(self._at(0.5 if x is None else x), parameter)
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
        numbers = {name: self._numbers(name, said) for name, said in values.items()}
        if self.point_process is not None:
            places = [self.point_process]
        elif x is None:
            places = [getattr(segment, self.name) for segment in self.section]
        else:
            places = [self._at(x)]
        for name, said in numbers.items():
            if self.parameters[name].kind == "global":
                setattr(self._h, f"{name}_{self.name}", said[0])
                continue
            for place in places:
                if self.parameters[name].size > 1:
                    for i, number in enumerate(said):
                        getattr(place, name)[i] = number
                else:
                    setattr(place, name, said[0])

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
            One value a time step.

        Raises
        ------
        MechanismError
            If there is no such variable.
        """
        vector = self._h.Vector()
        if parameter is None:
            if self.kind == "artificial cell":
                connection = self._h.NetCon(self.point_process, None)
                connection.record(vector)
                vector.nibabel_data_source = connection  # lives as long as the vector
                return vector
            if self.kind != "point process" or "i" not in self.parameters:
                raise MechanismError(
                    f"what of {self.name}? It has {', '.join(self.parameters)}: record('i'), say."
                )
            parameter = "i"
        if self._parameter(parameter).kind == "global":
            raise MechanismError(
                f"{parameter} of {self.name} is global: it does not change by itself."
            )
        vector.record(getattr(self._at(x), f"_ref_{parameter}"))
        return vector

    def remove(self) -> None:
        """Take it out of its section; a point process or an artificial cell ceases to be."""
        if self.point_process is None:
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

    def stimulate(self, *args: Any, **kwargs: Any) -> Any:
        """Stimulate a point process through nrn-patch, as Glia's accessor does."""
        if self.point_process is None:
            raise MechanismError(f"{self.name} is a density mechanism: it cannot be stimulated.")
        try:
            from patch import p
        except ImportError as error:
            raise MechanismError(
                "stimulate() is of nrn-patch.\nInstall it:  pip install nrn-patch"
            ) from error
        return p.PointProcess(self.point_process).stimulate(*args, **kwargs)

    def _at(self, x: float) -> Any:
        if self.point_process is not None:
            return self.point_process
        if self.section is None or self.kind != "density":
            raise MechanismError(f"{self.name} has been removed.")
        try:
            return getattr(self.section(x), self.name)
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, AttributeError):
                raise MechanismError(
                    f"{self.name} is no longer in {self.section.name()}."
                ) from error
            raise MechanismError(f"x is {x!r}: a number from 0 to 1 is needed.") from error

    def _parameter(self, name: str) -> Parameter:
        try:
            return self.parameters[name]
        except KeyError:
            raise self._unknown(name) from None

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
            needed = "a number" if found.size == 1 else f"{found.size} numbers"
            raise MechanismError(f"{name} of {self.name} is {value!r}: {needed} is needed.")
        return numbers

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self.parameters:
            return self.get(name)
        if self.point_process is not None and hasattr(self.point_process, name):
            return getattr(self.point_process, name)  # its methods: play, loc, ...
        raise AttributeError(str(self._unknown(name)))

    def __setattr__(self, name: str, value: Any) -> None:
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
