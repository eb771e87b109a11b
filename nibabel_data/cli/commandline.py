"""The words of the command line: which verbs there are, and what is said to one.

Plain words are read without argparse (`plain`).
"""

from __future__ import annotations

from . import arguments, package_arguments, view_arguments
from .plain import Plain

__all__ = ["VERBS", "parser", "read_by_argparse", "read_words"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from .plain import Values

_WINGS = (arguments.VERBS, package_arguments.VERBS, arguments.MECHANISMS, view_arguments.VERBS)

VERBS = {verb.name: verb for wing in _WINGS for verb in wing}


def read_words(words: Sequence[str]) -> argparse.Namespace | Values:
    """Return what the words of a command line say, the verb among it.

    Parameters
    ----------
    words : sequence of str
        What follows the name of the command; if it is wrong, argparse ends the process.
    """
    verb = VERBS.get(words[0]) if words else None
    if verb is None:
        return parser().parse_args(words)
    plain = Plain(verb=verb.name)
    arguments.declare(plain, verb)
    return plain.read(words[1:]) or read_by_argparse(parser(verb.name), words)


def read_by_argparse(top: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Return what words say, options and others in any order.

    Parameters
    ----------
    top : argparse.ArgumentParser
        What `parser` returns.
    words : sequence of str
        As for `read_words`.  The parser of the verb itself reads them, and so ends the process, if
        they are wrong, with the usage of that verb.
    """
    import argparse

    known: dict[str, str] = {}
    verbs = _verbs_of(top)
    while verbs is not None and words and words[0] in verbs.choices:
        known[verbs.dest], top, words = words[0], verbs.choices[words[0]], words[1:]
        verbs = _verbs_of(top)
    if verbs is not None:
        return top.parse_args(words, argparse.Namespace(**known))
    chosen, left = top.parse_known_args(words, argparse.Namespace(**known))
    if not left:
        return chosen
    # By itself argparse gives what follows an option to no argument that has got a word before.
    return top.parse_intermixed_args(words, argparse.Namespace(**known))


def _verbs_of(
    parser: argparse.ArgumentParser,
) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    import argparse

    actions = parser._subparsers._group_actions if parser._subparsers is not None else []
    return next((one for one in actions if isinstance(one, argparse._SubParsersAction)), None)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Parameters
    ----------
    only : str, optional
        The one verb that will be parsed: leaving out the others saves what declaring them takes.
    """
    import argparse

    class Version(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            from .. import __version__

            print(f"nibabel-data {__version__}")
            parser.exit()

    top = argparse.ArgumentParser(
        prog="nibabel-data",
        description="Find, check and show the data that neuroscience code needs.",
        epilog=arguments.EPILOG,
    )
    top.add_argument(
        "--version",
        action=Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the version and exit",
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS.values():
        if only in (None, verb.name):
            arguments.add_verb(verbs, verb)
    return top
