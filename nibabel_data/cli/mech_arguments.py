"""The verbs of ``mech``: what each takes, and where it is done."""

from __future__ import annotations

from .arguments import Verb, add_verb
from .package_arguments import add_place, add_results

__all__ = ["VERBS", "declare_verbs"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

ASSET = "such as Kv1_1, or a full name: glia__dbbs__Kv1_1__0"
ASSETS = f"{ASSET} (the default is everything)"
DIRECTORY = "a distribution directory, or the package's own (the default is here)"


def _choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pkg", metavar="PACKAGE", help="of this package")
    parser.add_argument("--variant", metavar="VARIANT", help="this variant")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("assets", metavar="ASSET", nargs="*", default=[], help=ASSETS)
    parser.add_argument("--package", metavar="PACKAGE", help="those of one package")
    parser.add_argument(
        "--dialect",
        choices=("neuron", "arbor", "all"),
        default="neuron",
        help="those for a simulator (the default is neuron)",
    )


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="an asset, a package, or the full name of a mechanism"
    )


def _select(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "asset", metavar="ASSET", nargs="?", help="such as Kv1_1 (without: list what is selected)"
    )
    _choice(parser)
    parser.add_argument("--clear", action="store_true", help="forget what is selected for it")


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help=ASSET)
    _choice(parser)


def _compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("assets", metavar="ASSET", nargs="*", default=[], help=ASSETS)
    parser.add_argument("--jobs", type=int, metavar="N", help="build N at a time (default: cores)")
    parser.add_argument(
        "--to", metavar="DIR", help="build for others, who have DIR on their data path"
    )
    parser.add_argument("--coreneuron", action="store_true", help="build for CoreNEURON, too")
    parser.add_argument("--gpu", action="store_true", help="of CoreNEURON, that for a GPU")


def _test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("assets", metavar="ASSET", nargs="*", default=[], help=ASSETS)


def _catalogue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="PACKAGE", help="the package whose catalogue to build")
    parser.add_argument("--jobs", type=int, metavar="N", help="build N at a time (default: cores)")
    parser.add_argument(
        "--gpu",
        choices=("cuda", "hip", "cuda-clang"),
        help="build for a GPU (the default is what Arbor itself is built for)",
    )


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="PACKAGE", help="such as granule, or mylab/granule")
    add_place(parser)
    parser.add_argument(
        "--license",
        metavar="SPDX",
        default="CC0-1.0",
        help="its licence, by the SPDX identifier (the default is CC0-1.0)",
    )
    parser.add_argument("--author", metavar="NAME", default="", help="who made the mechanisms")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.mod", help="the source; it is copied")
    parser.add_argument("--package", metavar="DIR", default=".", help=DIRECTORY)
    parser.add_argument("--name", metavar="ASSET", help="another name than the source gives it")
    parser.add_argument("--variant", metavar="VARIANT", help="the variant (the default is 0)")
    parser.add_argument(
        "--dialect", choices=("neuron", "arbor"), help="if it is for that simulator alone"
    )
    parser.add_argument(
        "--local", action="store_true", help="add to your own collection, and to no package"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what has that name already"
    )


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help=DIRECTORY)


def _build(parser: argparse.ArgumentParser) -> None:
    _check(parser)
    add_results(parser)


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="an installed package for Glia or Astrocyte, its wheel or directory; or local, your "
        "own collection",
    )
    add_place(parser)
    parser.add_argument("--name", metavar="PACKAGE", help="another name than it has")


def _cache(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--prune", action="store_true", help="remove what nobody needs")
    what.add_argument(
        "--clear", action="store_true", help="remove everything; it is built again when asked for"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what --prune or --clear would remove"
    )


VERBS = (
    Verb("list", "mech_list:list_mechanisms", "list the mechanisms, built, broken or not", _list),
    Verb("show", "mech_show:show", "show all of one mechanism, or of one package", _show),
    Verb("select", "mech_select:select", "prefer a package or a variant in every script", _select),
    Verb("explain", "mech_select:explain", "say which mechanism an asset is, and why", _explain),
    Verb("compile", "mech_compile:compile_all", "build mechanisms ahead of time", _compile),
    Verb("test", "mech_compile:test", "insert and run each mechanism", _test),
    Verb("catalogue", "mech_catalogue:catalogue", "build the catalogue of Arbor", _catalogue),
    Verb("new", "mech_package:new", "make a new, empty package of mechanisms", _new, json=False),
    Verb("add", "mech_package:add", "put a mechanism into a package", _add),
    Verb("check", "mech_package:check", "say what is wrong with a package of mechanisms", _check),
    Verb("build", "mech_package:build", "build wheel and sdist of a package", _build, json=False),
    Verb("import", "mech_package:import_", "make a package of one for Glia", _import),
    Verb("cache", "mech_cache:cache", "list what was built and is kept; prune it", _cache),
)


def declare_verbs(parser: argparse.ArgumentParser) -> None:
    """Declare all of them as actions of ``mech``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for verb in VERBS:
        add_verb(actions, verb)
