"""Packages of mechanisms made for Glia, read without importing them or Glia.

Three forms are in use.  Of Glia 1 and later, the entry point of group ``glia.package`` names an
object::

    package = Package("dbbs", Path(__file__).resolve().parent, mods=[
        Mod("mods/neuron/AMPA__0.mod", "AMPA", is_point_process=True, dialect="neuron"),
        Mod("mods/Leak.mod", "Leak", variant="GABA"),
    ])

where a mod without a dialect is for every simulator.  Of Glia 0 and Astrocyte it names a module
with a function ``package()``, which makes an object with the attributes ``name``, ``path`` and
``mods``; the file of each mod is ``mod/<namespace>__<asset>__<variant>.mod``.

Source: the packages ``dbbs-catalogue`` 6, ``nrn-patch`` 8 and ``dbbs-mod-collection`` 2, and
https://github.com/dbbs-lab/glia.
"""

from __future__ import annotations

import os
from typing import TypeAlias

from ..errors import MechanismError
from .names import DEFAULT_VARIANT, full_name, package_identifier
from .static import Reader
from .values import Dotted, Function, Made, Module, Unknown

__all__ = ["RawMechanism", "RawPackage", "read_package"]

# asset, variant, path below the root, dialect, declared
RawMechanism: TypeAlias = tuple[str, str, str, str | None, str | None]
# name, root, format, mechanisms, problems without their source
RawPackage: TypeAlias = tuple[str, str, str, tuple[RawMechanism, ...], tuple[str, ...]]

_DIALECTS = (None, "neuron", "arbor")
_FLAGS = (("is_point_process", "point process"), ("is_artificial_cell", "artificial cell"))
_NAMED = ("relpath", "asset_name")  # what may stand without its name
_MOD_KEYS = {*_NAMED, "variant", "is_point_process", "is_artificial_cell", "dialect", "builtin"}


def read_package(
    directory: str, path: str, module: str, attribute: str
) -> tuple[RawPackage, list[Module]]:
    """Return the package that an entry point names, and the modules that were read for it.

    Parameters
    ----------
    directory : str
        The directory of ``sys.path`` in which the module lies.
    path : str
        The module's file.
    module, attribute : str
        As the entry point names them; the attribute may be empty.

    Returns
    -------
    package : tuple
        Name, root, format, mechanisms, problems.  Whatever cannot be read is a problem, with file
        and line, and the rest is there; the name is empty if there is no package.
    modules : list of Module
        With the signature of each file.

    Examples
    --------
    >>> here = 'examples/no-such-package'
    >>> read_package(here, f'{here}/cells.py', 'cells', 'package')[0][4]
    ('examples/no-such-package/cells.py, line 1: cannot be read: no such file or directory',)
    """
    reader = Reader(directory, module.partition(".")[0])
    value = reader.value(module, attribute or "package", path)
    package = _Package(reader, os.path.dirname(path))
    if not reader.problems or not isinstance(value, Unknown):
        package.read(value, reader.modules[module])
    raw = (
        package.name,
        package.root,
        package.format,
        tuple(package.mechanisms),
        (*reader.problems, *package.problems),
    )
    return raw, list(reader.modules.values())


class _Package:
    """A package in the making."""

    def __init__(self, reader: Reader, root: str) -> None:
        self._reader = reader
        self.name = ""
        self.root = root
        self.format = "glia"
        self.mechanisms: list[RawMechanism] = []
        self.problems: list[str] = []

    def _problem(self, module: Module, line: int, why: str) -> None:
        told = str(Unknown(module, line, why))
        if told not in self.problems:
            self.problems.append(told)

    def read(self, value: object, module: Module) -> None:
        if isinstance(value, Function):  # as Astrocyte writes it
            value = self._reader.call(value, module)
        if isinstance(value, Unknown):
            self.problems.append(str(value))
            return
        if not isinstance(value, Made) or value.kind.rpartition(".")[2] != "Package":
            self._problem(module, 1, "what the entry point names is no Package")
            return
        if value.kind == "Package":
            self.format = "astrocyte"
            read_mod = self._read_old_mod
        else:
            read_mod = self._read_mod
        self._read_head(value)
        mods = value.attributes.get("mods", [])
        self._tell_doubts(value, mods)
        if isinstance(mods, Unknown):
            self.problems.append(str(mods))
        elif not isinstance(mods, list):
            if mods is not None:
                self._problem(value.module, value.line, "its mods are no list that can be read")
        else:
            for mod in mods:
                if isinstance(mod, Unknown):
                    self.problems.append(str(mod))
                elif not isinstance(mod, Made) or mod.kind.rpartition(".")[2] != "Mod":
                    at = mod if isinstance(mod, Made) else value
                    self._problem(at.module, at.line, "one of its mods is no Mod")
                else:
                    self._tell_doubts(mod)
                    read_mod(mod)

    def _tell_doubts(self, *values: object) -> None:
        for value in values:
            for doubt in self._reader.doubts(value):
                self._problem(doubt.module, doubt.line, doubt.why)

    def _read_head(self, made: Made) -> None:
        for position, key in enumerate(("name", "root" if self.format == "glia" else "path")):
            value = made.args[position] if len(made.args) > position else made.attributes.get(key)
            if isinstance(value, Unknown):
                self.problems.append(str(value))
            elif not isinstance(value, str) or isinstance(value, Dotted):
                self._problem(made.module, made.line, f"the {key} of the Package is no text")
            elif key == "name":
                try:
                    self.name = str(package_identifier(value))
                except MechanismError as error:
                    self._problem(made.module, made.line, str(error))
            elif not os.path.isabs(value):
                why = f"its root {value!r} depends on the working directory"
                self._problem(made.module, made.line, f"{why}; taken from beside the module")
                self.root = str(os.path.normpath(os.path.join(self.root, value)))
            else:
                self.root = str(os.path.normpath(value))

    def _read_mod(self, mod: Made) -> None:
        given = dict(zip(_NAMED, mod.args, strict=False)) | mod.attributes
        if len(mod.args) > 2:
            self._problem(mod.module, mod.line, "a Mod has more than two arguments without a name")
        for key in sorted(given.keys() - _MOD_KEYS):
            self._problem(mod.module, mod.line, f"a Mod has no argument {key!r} that is known here")
        dialect = given.get("dialect")
        declared = "density"
        for key, kind in _FLAGS:
            if self._is_set(mod, given.get(key, False)):
                declared = kind
        relpath = given.get("relpath")
        if not isinstance(relpath, str) or isinstance(relpath, Dotted) or not relpath:
            self._refuse(mod, "relpath", relpath)
        elif dialect not in _DIALECTS:
            self._refuse(mod, "dialect", dialect)
        else:
            self._add(mod, given, relpath, dialect if isinstance(dialect, str) else None, declared)

    def _read_old_mod(self, mod: Made) -> None:
        given = mod.attributes
        flags = [(given.get(f"_{key}"), kind) for key, kind in _FLAGS]
        declared = None
        if any(flag is not None for flag, _ in flags):
            set_ = [kind for flag, kind in flags if self._is_set(mod, flag)]
            declared = set_[-1] if set_ else "density"
        pkg = given.get("pkg_name", self.name)
        namespace = given.get("namespace", f"glia__{pkg}" if isinstance(pkg, str) else None)
        parts = (namespace, given.get("asset_name"), given.get("variant", DEFAULT_VARIANT))
        for key, part in zip(("namespace", "asset_name", "variant"), parts, strict=True):
            if not isinstance(part, str):
                self._refuse(mod, key, part)
                return
        relpath = os.path.join("mod", f"{'__'.join(map(str, parts))}.mod")
        self._add(mod, given, relpath, None, declared)

    def _is_set(self, mod: Made, flag: object) -> bool:
        if isinstance(flag, Unknown):
            self.problems.append(str(flag))
        elif not isinstance(flag, bool | int | None):
            self._problem(mod.module, mod.line, "a flag of a Mod is neither True nor False")
        else:
            return bool(flag)
        return False

    def _refuse(self, mod: Made, key: str, value: object) -> None:
        if isinstance(value, Unknown):
            self.problems.append(str(value))
        else:
            shown = ascii(value[:60]) if isinstance(value, str) else f"of {type(value).__name__}"
            what = "missing" if value is None else f"{shown}, which is not possible"
            self._problem(mod.module, mod.line, f"the {key} of a Mod is {what}")

    def _add(
        self,
        mod: Made,
        given: dict[str, object],
        relpath: str,
        dialect: str | None,
        declared: str | None,
    ) -> None:
        asset, variant = given.get("asset_name"), given.get("variant", DEFAULT_VARIANT)
        if type(variant) is int and abs(variant) < 1_000_000:
            variant = str(variant)
        if not isinstance(asset, str) or not isinstance(variant, str):
            wrong = ("variant", variant) if isinstance(asset, str) else ("asset_name", asset)
            self._refuse(mod, *wrong)
            return
        try:
            full_name(self.name or "unnamed", asset, variant)
        except MechanismError as error:
            self._problem(mod.module, mod.line, str(error))
            return
        relpath = str(os.path.normpath(relpath))
        self.mechanisms.append((str(asset), str(variant), relpath, dialect, declared))
