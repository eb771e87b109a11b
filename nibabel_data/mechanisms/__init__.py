"""Packages of NMODL mechanisms: found, built once, inserted in NEURON by name.

>>> import nibabel_data.mechanisms as m
>>> m.resolve('hh')
'hh'

    section = h.Section()
    m.insert(section, 'Kv1_1')

The names of the module ``glia`` are here with the same arguments.  Importing this package imports
nothing else; each name is loaded when it is first used, and NEURON when a section is touched.
"""

from __future__ import annotations

from ..lazy import attach as _attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..errors import BuildError as BuildError
    from ..errors import MechanismError as MechanismError
    from ..errors import ResolveError as ResolveError
    from .accessor import InsertedMechanism as InsertedMechanism
    from .accessor import Parameter as Parameter
    from .arbor import catalogue as catalogue
    from .compiling import CompileReport as CompileReport
    from .compiling import compile as compile
    from .discovery import Catalogue as Catalogue
    from .discovery import discover as discover
    from .discovery import get_packages as get_packages
    from .discovery import package as package
    from .engine import get as get
    from .engine import insert as insert
    from .engine import load_library as load_library
    from .engine import remove as remove
    from .mechanism import Mechanism as Mechanism
    from .mechanism import MechanismPackage as MechanismPackage
    from .preferences import context as context
    from .preferences import select as select
    from .resolution import MechanismName as MechanismName
    from .resolution import Resolution as Resolution
    from .resolution import explain as explain
    from .resolution import resolve as resolve
    from .trial import test as test

_HOME = {
    "BuildError": ".errors",
    "Catalogue": "discovery",
    "CompileReport": "compiling",
    "InsertedMechanism": "accessor",
    "Mechanism": "mechanism",
    "MechanismError": ".errors",
    "MechanismName": "resolution",
    "MechanismPackage": "mechanism",
    "Parameter": "accessor",
    "Resolution": "resolution",
    "ResolveError": ".errors",
    "catalogue": "arbor",
    "compile": "compiling",
    "context": "preferences",
    "discover": "discovery",
    "explain": "resolution",
    "get": "engine",
    "get_packages": "discovery",
    "insert": "engine",
    "load_library": "engine",
    "package": "discovery",
    "remove": "engine",
    "resolve": "resolution",
    "select": "preferences",
    "test": "trial",
}

__all__ = [*_HOME]

__getattr__, __dir__ = _attach(__name__, _HOME)
