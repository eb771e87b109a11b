"""What a name of a module can stand for, as `nibabel_data.mechanisms.static` reads it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ..ini import Signature

__all__ = ["Class", "Dotted", "Function", "Made", "Method", "Module", "Path", "Scope", "Unknown"]

Scope: TypeAlias = dict[str, object]


class Path(str):
    """A text that was made a path, so that ``/`` joins another to it."""

    __slots__ = ()


class Dotted(str):
    """The name of something that was imported, such as ``pathlib.Path``."""

    __slots__ = ()


class Unknown:
    """A value that is not computed here.

    Parameters
    ----------
    module : Module
        Where it stands.
    line : int
        Its line, counted from 1.
    why : str
        What it is.
    """

    __slots__ = ("line", "module", "why")

    def __init__(self, module: Module, line: int, why: str) -> None:
        self.module, self.line, self.why = module, line, why

    def __str__(self) -> str:
        return f"{self.module.path}, line {self.line}: {self.why}"


class Made:
    """An object that a module makes by calling a class.

    Parameters
    ----------
    kind : str
        The class: its dotted name if it was imported, else its name.
    module : Module
        Where it was made.
    line : int
        The line, counted from 1.

    Attributes
    ----------
    args : list
        The arguments that it was made with.
    attributes : dict
        The keyword arguments, and what was assigned to it since.
    """

    __slots__ = ("args", "attributes", "kind", "line", "module")

    def __init__(self, kind: str, module: Module, line: int) -> None:
        self.kind, self.module, self.line = kind, module, line
        self.args: list[object] = []
        self.attributes: Scope = {}


class Class:
    """A class that a module defines."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Function:
    """A function that a module defines."""

    __slots__ = ("module", "node")

    def __init__(self, module: Module, node: ast.FunctionDef) -> None:
        self.module, self.node = module, node


class Method:
    """A method of a list, a text or a path."""

    __slots__ = ("name", "of")

    def __init__(self, of: object, name: str) -> None:
        self.of, self.name = of, name


class Module:
    """A module that has been read, or could not be.

    Parameters
    ----------
    name : str
        Its dotted name.
    path : str
        Its file.

    Attributes
    ----------
    name, path : str
        As above.
    scope : dict
        Its names and their values.
    seen : tuple of int or None
        The signature of the file that was read.
    """

    __slots__ = ("name", "path", "scope", "seen")

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self.scope: Scope = {"__file__": path, "__name__": name}
        self.seen: Signature | None = None
