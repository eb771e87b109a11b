"""The verbs of the command, and the way in.

What a verb does is in the module that `_VERBS` names, imported when the verb is used: finding one
path in a script must not wait for what the others need.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings

from ..errors import DataError, DataWarning, DefinitionError

__all__ = ["main", "parser"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = "Exit status: 0 done, 1 the answer is no, 2 wrong usage."
_SPEC = "a package and, if wanted, its versions: nipy/templates or 'nipy/templates>=0.3'"

# Verb: module, function, whether it takes --json, help.
_VERBS = {
    "path": ("search", "path", True, "show the search path: roots, origins, states"),
    "list": ("search", "list_packages", True, "list the packages, versions, shadowed copies"),
    "find": ("find", "find", True, "print the path of a package, or of a file in it"),
    "info": ("info", "info", True, "show one package: version, place, owner, licence, files"),
    "explain": ("search", "explain", True, "say why a package is found where it is, or not"),
    "require": ("search", "require", True, "check that packages are there"),
    "doctor": ("doctor", "doctor", True, "say what is wrong on the search path, and the mend"),
    "config": ("config", "config", False, "add a directory to the search path"),
    "demo": ("demo", "demo", False, "locate a real brain, and see the error for a missing one"),
    "completion": ("completion", "completion", False, "print the completion script for a shell"),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="nibabel-data",
        description="Find, check and show the data that neuroscience code needs.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (_, _, json, text) in _VERBS.items():
        verb = verbs.add_parser(name, help=text, description=f"{text.capitalize()}.", epilog=EPILOG)
        if json:
            verb.add_argument("--json", action="store_true", help="print JSON, for machines")
        _add_arguments(name, verb)
    return top


def _add_arguments(name: str, verb: argparse.ArgumentParser) -> None:
    if name == "list":
        verb.add_argument("--names", action="store_true", help="print the names alone")
    elif name == "find":
        verb.add_argument("spec", metavar="RELPATH", help=_SPEC)
        verb.add_argument(
            "parts", metavar="PART", nargs="*", default=[], help="a path inside the package"
        )
    elif name == "info":
        verb.add_argument("spec", metavar="RELPATH", help=_SPEC)
        verb.add_argument("--files", action="store_true", help="list every file")
    elif name == "explain":
        verb.add_argument("spec", metavar="RELPATH", help=_SPEC)
    elif name == "require":
        verb.add_argument("specs", metavar="SPEC", nargs="+", help=_SPEC)
    elif name == "config":
        _add_config_arguments(verb)
    elif name == "demo":
        verb.add_argument(
            "--example",
            action="store_true",
            help="use the small example package, even if a real brain is at hand",
        )
    elif name == "completion":
        verb.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def _add_config_arguments(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)
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


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> None:
        from .. import __version__

        print(f"nibabel-data {__version__}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 done, 1 the answer is no, 2 wrong usage (argparse exits with it by itself).
    """
    arguments = parser().parse_args(argv)
    module, function, _, _ = _VERBS[arguments.verb]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name may be no text in any encoding
            stream.reconfigure(errors="surrogateescape")
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _show_warning
        try:
            verb = getattr(__import__(f"nibabel_data.cli.{module}", fromlist=[function]), function)
            status: int = verb(arguments)
            sys.stdout.flush()
        except DefinitionError as error:
            print(f"nibabel-data: {error}", file=sys.stderr)
            return 2
        except DataError as error:
            print(f"nibabel-data: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:  # `nibabel-data list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            return 130
    return status


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"nibabel-data: warning: {message}", file=sys.stderr)
