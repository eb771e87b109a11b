"""What a Python module assigns, found out without running it.

Packages of mechanisms declare their files in Python.  Importing them would run code of others, and
import Glia, to learn a list of names.  The few forms in which that list is written are evaluated
here: constants, paths made from ``__file__``, lists, objects and their attributes, calls of
functions without arguments.  Whatever else stands in a module is `Unknown`, and says its line.
"""

from __future__ import annotations

import ast
import builtins
import os
import warnings
from collections.abc import Callable
from typing import TypeVar

from .. import ini
from ..errors import ConfigError
from .values import Class, Dotted, Function, Made, Method, Module, Path, Scope, Unknown

__all__ = ["Reader", "file_of"]

_LARGEST = 1 << 24  # bytes of a module
_LONGEST = 100_000  # of a text or a list that a module makes
_MOST_STEPS = 1_000_000

Sized = TypeVar("Sized", str, list[object])


class _TooMuchError(Exception):
    """A module would take too long."""


def file_of(directory: str, name: str) -> str | None:
    """Return the source file of a module below a directory of ``sys.path``.

    Parameters
    ----------
    directory : str
        The directory.
    name : str
        The module's dotted name.

    Returns
    -------
    str or None
        Its file; None if there is none.
    """
    base = os.path.join(directory, *name.split("."))
    for path in (os.path.join(base, "__init__.py"), f"{base}.py"):
        try:
            if os.path.isfile(path):
                return path
        except ValueError:  # a NUL in the name
            return None
    return None


class Reader:
    """Reads modules of one import package.

    Parameters
    ----------
    directory : str
        The directory of ``sys.path`` in which they lie.
    top : str
        The name of the import package; no other's modules are read.

    Attributes
    ----------
    modules : dict
        Those that were read, by name.
    problems : list of str
        What could not be read, each with file and line.
    """

    def __init__(self, directory: str, top: str) -> None:
        self._directory = directory
        self._top = top
        self._steps = 0
        self._calling: list[ast.FunctionDef] = []
        # By identity; the object is held so that its identity stays its own.
        self._doubts: dict[int, tuple[object, list[Unknown]]] = {}
        self.modules: dict[str, Module] = {}
        self.problems: list[str] = []

    def value(self, name: str, attribute: str, path: str | None = None) -> object:
        """Return what a module assigns to a name.

        Parameters
        ----------
        name : str
            The module's dotted name.
        attribute : str
            The name; it may have dots.
        path : str, optional
            The module's file, if it is known.

        Returns
        -------
        object
            `Unknown` if it cannot be found out.
        """
        module = self._module(name, path)
        if module is None:
            return Unknown(Module(name, name), 1, "there is no such module")
        try:
            value = self._found(module.scope, attribute.partition(".")[0], module, 1)
            for part in attribute.split(".")[1:]:
                value = self._attribute(value, part, module, 1)
        except (RecursionError, _TooMuchError):
            return Unknown(module, 1, "too much is computed here")
        return value

    def call(self, function: object, module: Module) -> object:
        """Return what a function of a module returns, called without arguments."""
        try:
            return self._call(function, [], {}, module, 1)
        except (RecursionError, _TooMuchError):
            return Unknown(module, 1, "too much is computed here")

    def doubts(self, value: object) -> list[Unknown]:
        """Return the statements, passed over, that may have changed an object or a list."""
        return self._doubts.get(id(value), (value, []))[1]

    def _module(self, name: str, path: str | None = None) -> Module | None:
        if name in self.modules:
            return self.modules[name]
        path = path or file_of(self._directory, name)
        if path is None:
            return None
        module = self.modules[name] = Module(name, path)
        try:
            text, module.seen = ini.read_text(path, _LARGEST)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the code of others
                body = ast.parse(text).body
            self._run(body, module.scope, module)
        except ConfigError as error:
            self._problem(module, error.line or 1, error.problem)
        except OSError as error:
            self._problem(module, 1, f"cannot be read: {(error.strerror or str(error)).lower()}")
        except SyntaxError as error:
            self._problem(module, error.lineno or 1, f"not Python: {error.msg}")
        except (ValueError, MemoryError) as error:
            self._problem(module, 1, f"not Python: {error or 'nested too deeply'}")
        except (RecursionError, _TooMuchError):
            self._problem(module, 1, "too much is computed here")
        return module

    def _problem(self, module: Module, line: int, text: str) -> None:
        told = str(Unknown(module, line, text))
        if told not in self.problems:
            self.problems.append(told)

    # Statements.

    def _run(self, body: list[ast.stmt], scope: Scope, module: Module) -> object:
        """Carry out statements; return what a ``return`` among them gives, else Ellipsis."""
        for statement in body:
            self._count()
            match statement:
                case ast.Return(value=value):
                    return None if value is None else self._eval(value, scope, module)
                case ast.Try():
                    body = [*statement.body, *statement.orelse, *statement.finalbody]
                    result = self._run(body, scope, module)
                    if result is not ...:
                        return result
                case ast.If(test=test):
                    truth = self._truth(test, scope, module)
                    if truth is None:
                        self._pass_over(statement, scope, module)
                        continue
                    result = self._run(statement.body if truth else statement.orelse, scope, module)
                    if result is not ...:
                        return result
                case _:
                    self._carry_out(statement, scope, module)
        return ...

    def _carry_out(self, statement: ast.stmt, scope: Scope, module: Module) -> None:
        match statement:
            case ast.Import(names=names):
                for name in names:
                    top = name.name.partition(".")[0]
                    scope[name.asname or top] = Dotted(name.name if name.asname else top)
            case ast.ImportFrom():
                self._import_from(statement, scope, module)
            case ast.FunctionDef(name=name, decorator_list=[]):
                scope[name] = Function(module, statement)
            case ast.ClassDef(name=name):
                scope[name] = Class(name)
            case ast.Assign(targets=targets, value=value):
                result = self._eval(value, scope, module)
                for target in targets:
                    self._assign(target, result, scope, module)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._eval(value, scope, module), scope, module)
            case ast.AugAssign(target=target, op=ast.Add(), value=value):
                before = self._eval(target, scope, module)
                added = self._eval(value, scope, module)
                if isinstance(before, list) and isinstance(added, list):
                    self._extend(before, added)
                else:
                    total = self._sum(before, added, module, statement.lineno)
                    self._assign(target, total, scope, module)
            case ast.Expr(value=value):
                if not isinstance(value, ast.Constant):
                    result = self._eval(value, scope, module)
                    if isinstance(result, Unknown):
                        self._pass_over(statement, scope, module)
            case ast.Pass() | ast.Global() | ast.Nonlocal() | ast.AnnAssign():
                pass
            case _:
                self._pass_over(statement, scope, module)

    def _import_from(self, node: ast.ImportFrom, scope: Scope, module: Module) -> None:
        base = node.module or ""
        if node.level:
            inside = module.name.split(".")
            if not module.path.endswith("__init__.py"):
                inside.pop()
            inside = inside[: len(inside) - node.level + 1]
            base = ".".join([*inside, base] if base else inside)
        for name in node.names:
            if name.name != "*":
                scope[name.asname or name.name] = Dotted(f"{base}.{name.name}")
            elif self._is_own(base) and (other := self._module(base)) is not None:
                public = {n: v for n, v in other.scope.items() if not n.startswith("_")}
                scope.update(public)

    def _assign(self, target: ast.expr, value: object, scope: Scope, module: Module) -> None:
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Attribute(value=owner, attr=name):
                made = self._eval(owner, scope, module)
                if isinstance(made, Made):
                    made.attributes[name] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value if isinstance(value, list) and len(value) == len(targets) else None
                for position, one in enumerate(targets):
                    unread = Unknown(module, target.lineno, "what is assigned here is not read")
                    self._assign(one, values[position] if values else unread, scope, module)
            case _:
                self._pass_over(target, scope, module)

    def _pass_over(self, node: ast.stmt | ast.expr, scope: Scope, module: Module) -> None:
        """Give up what a statement assigns, and doubt what it may change."""
        what = _STATEMENTS.get(type(node), "this statement")
        doubt = Unknown(module, node.lineno, f"{what} would have to be run, and is passed over")
        for inner in ast.walk(node):
            self._count()
            if not isinstance(inner, ast.Name):
                continue
            value = scope.get(inner.id, module.scope.get(inner.id))
            if isinstance(inner.ctx, ast.Load):
                if isinstance(value, Made | list):
                    self._doubts.setdefault(id(value), (value, []))[1].append(doubt)
            else:
                why = "what is assigned here is not read"
                scope[inner.id] = Unknown(module, node.lineno, why)

    # Expressions.

    def _truth(self, test: ast.expr, scope: Scope, module: Module) -> bool | None:
        """Return whether a condition holds; None if that is not found out."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                truth = self._truth(operand, scope, module)
                return None if truth is None else not truth
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as op], comparators=[right]):
                a, b = self._eval(left, scope, module), self._eval(right, scope, module)
                if isinstance(a, str | int) and isinstance(b, str | int):
                    return (a == b) == isinstance(op, ast.Eq)
                return None
        value = self._eval(test, scope, module)
        if isinstance(value, Dotted):
            return False if value == "typing.TYPE_CHECKING" else None
        return bool(value) if isinstance(value, str | int | list | None) else None

    def _eval(self, node: ast.expr, scope: Scope, module: Module) -> object:
        self._count()
        line = node.lineno
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._found(scope, name, module, line)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self._eval(owner, scope, module), name, module, line)
            case ast.Call():
                return self._eval_call(node, scope, module)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._list(items, scope, module)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                a, b = self._eval(left, scope, module), self._eval(right, scope, module)
                return self._sum(a, b, module, line)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                a, b = self._eval(left, scope, module), self._eval(right, scope, module)
                if isinstance(a, str) and isinstance(b, str) and Path in (type(a), type(b)):
                    return Path(self._bounded(os.path.join(a, b)))
            case ast.JoinedStr(values=values):
                return self._joined(values, scope, module, line)
            case ast.Subscript(value=owner, slice=ast.Constant(value=int(number))):
                whole = self._eval(owner, scope, module)
                if isinstance(whole, Method) and whole.name == "parents" and number >= 0:
                    path = str(whole.of)
                    for _ in range(min(number, 100) + 1):
                        path = os.path.dirname(path)
                    return Path(path)
                if isinstance(whole, list) and -len(whole) <= number < len(whole):
                    return whole[number]
        try:
            what = ast.unparse(node)
        except ValueError:  # a number of more digits than Python writes
            what = "..."
        what = what if len(what) < 60 else what[:57] + "..."
        return Unknown(module, line, f"not a constant: {what}")

    def _found(self, scope: Scope, name: str, module: Module, line: int) -> object:
        value = scope.get(name, module.scope.get(name, self))
        if value is self:
            if hasattr(builtins, name):
                return Dotted(f"builtins.{name}")
            return Unknown(module, line, f"nothing is called {name!r} here")
        return self._imported(value, module, line) if isinstance(value, Dotted) else value

    def _is_own(self, dotted: str) -> bool:
        return dotted == self._top or dotted.startswith(f"{self._top}.")

    def _imported(self, dotted: Dotted, module: Module, line: int) -> object:
        """Return what a name of this import package stands for; one of another stays a name."""
        if not self._is_own(dotted):
            return dotted
        parent, _, name = dotted.rpartition(".")
        home = self._module(parent) if parent else None
        if home is not None and name in home.scope:
            value = home.scope[name]
            if value is dotted or value == dotted:  # `from . import module`, or a circle
                return dotted if self._module(dotted) else self._lost(dotted, module, line)
            if isinstance(value, Dotted):
                self._count()
                return self._imported(value, module, line)
            return value
        if self._module(dotted) is not None:
            return dotted
        return self._lost(dotted, module, line)

    def _lost(self, dotted: str, module: Module, line: int) -> Unknown:
        return Unknown(module, line, f"{dotted} is not found, or is imported in a circle")

    def _attribute(self, owner: object, name: str, module: Module, line: int) -> object:
        match owner:
            case Dotted():
                return self._imported(Dotted(f"{owner}.{name}"), module, line)
            case Made():
                if name == "mods" and name not in owner.attributes:
                    owner.attributes[name] = []
                if name in owner.attributes:
                    return owner.attributes[name]
            case Path():
                match name:
                    case "parent":
                        return Path(os.path.dirname(owner))
                    case "name":
                        return os.path.basename(owner)
                    case "stem":
                        return os.path.splitext(os.path.basename(owner))[0]
                return Method(owner, name)
            case list() | str():
                return Method(owner, name)
            case Unknown():
                return owner
        return Unknown(module, line, f"what .{name} is cannot be read")

    def _list(self, items: list[ast.expr], scope: Scope, module: Module) -> list[object]:
        values: list[object] = []
        for item in items:
            if isinstance(item, ast.Starred):
                value = self._eval(item.value, scope, module)
                self._extend(values, value if isinstance(value, list) else [value])
            else:
                values.append(self._eval(item, scope, module))
        return values

    def _joined(
        self, values: list[ast.expr], scope: Scope, module: Module, line: int
    ) -> str | Unknown:
        text = ""
        for value in values:
            if isinstance(value, ast.FormattedValue):
                plain = value.conversion == -1 and value.format_spec is None
                part = self._eval(value.value, scope, module)
            else:
                plain, part = True, self._eval(value, scope, module)
            if not plain or not isinstance(part, str):
                return Unknown(module, line, "a text that is computed")
            text = self._bounded(text + part)
        return text

    def _sum(self, a: object, b: object, module: Module, line: int) -> object:
        if isinstance(a, str) and isinstance(b, str) and not {type(a), type(b)} & {Path, Dotted}:
            return self._bounded(a + b)
        if isinstance(a, list) and isinstance(b, list):
            total: list[object] = []
            self._extend(total, a)
            self._extend(total, b)
            return total
        for value in (a, b):
            if isinstance(value, Unknown):
                return value
        return Unknown(module, line, "a sum that is not read")

    def _eval_call(self, node: ast.Call, scope: Scope, module: Module) -> object:
        function = self._eval(node.func, scope, module)
        if isinstance(function, Unknown):
            return function
        args = self._list(node.args, scope, module)
        keywords: Scope = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                return Unknown(module, node.lineno, "arguments that are computed (**)")
            keywords[keyword.arg] = self._eval(keyword.value, scope, module)
        return self._call(function, args, keywords, module, node.lineno)

    def _call(
        self, function: object, args: list[object], keywords: Scope, module: Module, line: int
    ) -> object:
        match function:
            case Function(node=node, module=home):
                if node in self._calling:
                    return Unknown(module, line, f"{node.name}() calls itself")
                if args or keywords:
                    return Unknown(module, line, f"a call of {node.name}() with arguments")
                self._calling.append(node)
                try:
                    result = self._run(node.body, {}, home)
                finally:
                    self._calling.pop()
                return None if result is ... else result
            case Dotted() if function in _PATHS:
                try:
                    if all(isinstance(arg, str) for arg in args) and not keywords:
                        return self._bounded(_PATHS[function](*map(str, args)))
                except (TypeError, ValueError):  # too few arguments, a NUL in a path
                    pass
                return Unknown(module, line, f"a call of {function} that is not read")
            case Dotted() | Class():
                kind = str(function) if isinstance(function, Dotted) else function.name
                made = Made(kind, module, line)
                made.args, made.attributes = args, keywords
                return made
            case Method(of=list() as values, name="append") if len(args) == 1:
                values.extend(self._bounded(args, values))
                return None
            case Method(of=list() as values, name="extend") if len(args) == 1:
                if isinstance(args[0], list):
                    self._extend(values, args[0])
                    return None
                return args[0] if isinstance(args[0], Unknown) else None
            case Method(of=Path() as path, name=name) if all(isinstance(a, str) for a in args):
                match name:
                    case "resolve":
                        return path if "\0" in path else Path(os.path.realpath(path))
                    case "absolute" | "expanduser":
                        return path
                    case "joinpath":
                        return Path(self._bounded(os.path.join(path, *map(str, args))))
                    case "as_posix" | "__str__" | "__fspath__":
                        return str(path)
        return Unknown(module, line, "a call that is not read")

    def _extend(self, values: list[object], more: list[object]) -> None:
        values.extend(self._bounded(list(more), values))
        if doubts := self.doubts(more):
            self._doubts.setdefault(id(values), (values, []))[1].extend(doubts)

    def _count(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _TooMuchError

    def _bounded(self, value: Sized, beside: list[object] | None = None) -> Sized:
        if len(value) + len(beside or ()) > _LONGEST:
            raise _TooMuchError
        return value


_PATHS: dict[str, Callable[..., str]] = {
    "builtins.str": lambda path: str(path),
    "os.fspath": lambda path: str(path),
    "os.path.abspath": lambda path: os.path.normpath(path),
    "os.path.basename": lambda path: os.path.basename(path),
    "os.path.dirname": lambda path: os.path.dirname(path),
    "os.path.join": lambda *parts: os.path.join(*parts),
    "os.path.normpath": lambda path: os.path.normpath(path),
    "os.path.realpath": lambda path: os.path.realpath(path),
    "pathlib.Path": lambda *parts: Path(os.path.join(*parts)),
    "pathlib.PurePath": lambda *parts: Path(os.path.join(*parts)),
}

_STATEMENTS = {
    ast.For: "a loop",
    ast.While: "a loop",
    ast.If: "a condition",
    ast.With: "a `with` block",
    ast.Expr: "a call",
}
