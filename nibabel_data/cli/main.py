"""The verbs of the command, and the way in.

What a verb does is in the module that its declaration names, imported when the verb is used, so
that finding one path in a script does not wait for what the others need.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings

from ..errors import DataError, DataWarning, DefinitionError
from . import arguments, package_arguments

__all__ = ["main", "parser"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_WINGS = (arguments.VERBS, package_arguments.VERBS)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Parameters
    ----------
    only : str, optional
        The one verb that will be parsed: leaving out the others saves what declaring them takes.
    """
    top = argparse.ArgumentParser(
        prog="nibabel-data",
        description="Find, check and show the data that neuroscience code needs.",
        epilog=arguments.EPILOG,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for wing in _WINGS:
        for verb in wing:
            if only in (None, verb.name):
                arguments.add_verb(verbs, verb)
    return top


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
    words = sys.argv[1:] if argv is None else list(argv)
    known = {verb.name: verb for wing in _WINGS for verb in wing}
    chosen = parser(words[0] if words and words[0] in known else None).parse_args(words)
    module, function = known[chosen.verb].module, known[chosen.verb].function
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name may be no text in any encoding
            stream.reconfigure(errors="surrogateescape")
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _show_warning
        try:
            verb = getattr(__import__(f"nibabel_data.cli.{module}", fromlist=[function]), function)
            status: int = verb(chosen)
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
