"""nibabel-data finds, checks and shows the data that neuroscience code needs.

Data arrive as *data packages*: a directory whose ``config.ini`` names a version, found on a search
path that users, system administrators, distributions and Python installers can all add to.

>>> from nibabel_data import make_datasource
>>> package = make_datasource('nipy/examplepkg>=0.1', data_path='examples/nipy-examplepkg')
>>> package.version
'0.1'

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .datasource import Datasource as Datasource
    from .datasource import VersionedDatasource as VersionedDatasource
    from .definition import DEFAULT_INSTALL_HINT as DEFAULT_INSTALL_HINT
    from .environment import get_home_dir as get_home_dir
    from .environment import get_nipy_system_dir as get_nipy_system_dir
    from .environment import get_nipy_user_dir as get_nipy_user_dir
    from .errors import BomberError as BomberError
    from .errors import BuildError as BuildError
    from .errors import ConfigError as ConfigError
    from .errors import DataError as DataError
    from .errors import DataWarning as DataWarning
    from .errors import DefinitionError as DefinitionError
    from .errors import MechanismError as MechanismError
    from .errors import MissingFileError as MissingFileError
    from .errors import ResolveError as ResolveError
    from .errors import VersionError as VersionError
    from .errors import ViewerError as ViewerError
    from .explanation import Explanation as Explanation
    from .explanation import Finding as Finding
    from .explanation import explain as explain
    from .locate import Bomber as Bomber
    from .locate import datasource_or_bomber as datasource_or_bomber
    from .locate import find_data_dir as find_data_dir
    from .locate import make_datasource as make_datasource
    from .packagedef import PackageDef as PackageDef
    from .packages import Package as Package
    from .packages import iter_packages as iter_packages
    from .required import require as require
    from .roots import Origin as Origin
    from .roots import Root as Root
    from .searchpath import get_data_path as get_data_path
    from .searchpath import search_path as search_path
    from .used import UsedData as UsedData
    from .used import used_data as used_data
    from .version import DataVersion as DataVersion

__version__ = "0.1.0"

_HOME = {
    "Bomber": "locate",
    "BomberError": "errors",
    "BuildError": "errors",
    "ConfigError": "errors",
    "DEFAULT_INSTALL_HINT": "definition",
    "DataError": "errors",
    "DataVersion": "version",
    "DataWarning": "errors",
    "Datasource": "datasource",
    "DefinitionError": "errors",
    "Explanation": "explanation",
    "Finding": "explanation",
    "MechanismError": "errors",
    "MissingFileError": "errors",
    "Origin": "roots",
    "Package": "packages",
    "PackageDef": "packagedef",
    "ResolveError": "errors",
    "Root": "roots",
    "UsedData": "used",
    "VersionError": "errors",
    "VersionedDatasource": "datasource",
    "ViewerError": "errors",
    "datasource_or_bomber": "locate",
    "explain": "explanation",
    "find_data_dir": "locate",
    "get_data_path": "searchpath",
    "get_home_dir": "environment",
    "get_nipy_system_dir": "environment",
    "get_nipy_user_dir": "environment",
    "iter_packages": "packages",
    "make_datasource": "locate",
    "require": "required",
    "search_path": "searchpath",
    "used_data": "used",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if name == "testing":
        return __import__(f"{__name__}.testing", fromlist=["needs_data"])
    if home is None:
        raise AttributeError(f"module 'nibabel_data' has no attribute {name!r}")
    # Not importlib.import_module: importing importlib would cost more than the module.
    value: object = getattr(__import__(f"{__name__}.{home}", fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
