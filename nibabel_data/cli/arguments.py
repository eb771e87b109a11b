"""The verbs of the locator: what each takes, and where it is done."""

from __future__ import annotations

__all__ = ["EPILOG", "MECHANISMS", "SPEC", "VERBS", "Verb", "add_verb", "declare"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

EPILOG = "Exit status: 0 done, 1 the answer is no, 2 wrong usage."
SPEC = "a package and, if wanted, its versions: nipy/templates or 'nipy/templates>=0.3'"


class Verb:
    """A verb of the command line: its name and help, and the function that does it."""

    __slots__ = ("add", "function", "help", "json", "module", "name")

    def __init__(
        self,
        name: str,
        place: str,
        text: str,
        add: Callable[[argparse.ArgumentParser], object] | None = None,
        *,
        json: bool = True,
    ) -> None:
        self.name = name
        self.module, self.function = place.split(":")
        self.help = text
        self.add = add
        self.json = json


def add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], verb: Verb) -> None:
    """Add a verb to the parser of the command line."""
    text = f"{verb.help[0].upper()}{verb.help[1:]}."
    declare(verbs.add_parser(verb.name, help=verb.help, description=text, epilog=EPILOG), verb)


def declare(parser: Any, verb: Verb) -> None:
    """Declare what a verb takes, to argparse or to `plain.Plain`; those that read: ``--json``."""
    if verb.json:
        parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    if verb.add is not None:
        verb.add(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--names", action="store_true", help="print the names alone")
    parser.add_argument(
        "--adapters",
        action="store_true",
        help="list what other tools hold, too: TemplateFlow, nilearn, FSL, FreeSurfer, MNE, pooch",
    )


def _find(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="RELPATH", help=SPEC)
    parser.add_argument(
        "parts", metavar="PART", nargs="*", default=[], help="a path inside the package"
    )


def _info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="RELPATH", help=SPEC)
    parser.add_argument("--files", action="store_true", help="list every file")


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="RELPATH", help=SPEC)


def _require(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="+", help=SPEC)


def _config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "add a directory to the search path, in an ini file"
    add = actions.add_parser("add", help=text, description=f"{text.capitalize()}.", epilog=EPILOG)
    add.add_argument("path", metavar="PATH", help="the directory below which packages lie")
    place = add.add_mutually_exclusive_group()
    place.add_argument(
        "--user", action="store_true", help="in the user's config.ini (this is the default)"
    )
    place.add_argument(
        "--system",
        metavar="NAME",
        help="in NAME.ini of the system's directory, /etc/nipy on Unix",
    )
    add.add_argument(
        "--destdir",
        metavar="DIR",
        help="write below DIR, for distribution packagers (with --system the default is the "
        "variable DESTDIR)",
    )


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--example",
        action="store_true",
        help="use the small example package, even if a real brain is at hand",
    )


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def _mech(parser: argparse.ArgumentParser) -> None:
    from .mech_arguments import declare_verbs

    declare_verbs(parser)


VERBS = (
    Verb("path", "search:path", "show the search path: roots, origins, states"),
    Verb("list", "search:list_packages", "list the packages, versions, shadowed copies", _list),
    Verb("find", "find:find", "print the path of a package, or of a file in it", _find),
    Verb("info", "info:info", "show one package: version, place, owner, licence, files", _info),
    Verb("explain", "search:explain", "say why a package is found where it is, or not", _explain),
    Verb("require", "search:require", "check that packages are there", _require),
    Verb("doctor", "doctor:doctor", "say what is wrong on the search path, and the mend"),
    Verb("config", "config:config", "add a directory to the search path", _config, json=False),
    Verb(
        "demo",
        "demo:demo",
        "locate a real brain, and see the error for a missing one",
        _demo,
        json=False,
    ),
    Verb(
        "completion",
        "completion:completion",
        "print the completion script for a shell",
        _completion,
        json=False,
    ),
)

MECHANISMS = (
    Verb(
        "mech",
        "mech:mech",
        "find, build and package mechanisms for NEURON and Arbor",
        _mech,
        json=False,
    ),
)
