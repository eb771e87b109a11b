"""The way into the command.

What a verb does is in the module that its declaration names, imported when the verb is used, so
that finding one path in a script does not wait for what the others need.
"""

from __future__ import annotations

import io
import os
import sys
import warnings

from ..errors import DataError, DataWarning, DefinitionError
from .commandline import VERBS, read_words
from .output import shown

__all__ = ["main"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


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
    chosen = read_words(words)
    module, function = VERBS[chosen.verb].module, VERBS[chosen.verb].function
    _make_streams_safe()
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _show_warning
        try:
            verb = getattr(__import__(f"nibabel_data.cli.{module}", fromlist=[function]), function)
            status: int = verb(chosen)
            sys.stdout.flush()
        except DataError as error:
            _tell(error, as_json=getattr(chosen, "json", False))
            return 2 if isinstance(error, DefinitionError) else 1
        except BrokenPipeError:  # `nibabel-data list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            print(f"nibabel-data: {shown(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return status


def _make_streams_safe() -> None:
    """Let every name be printed, whatever the terminal can show, and closed streams be no error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as we run
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):  # a file name need not be text in any encoding
        utf8 = out.encoding.lower().replace("-", "") == "utf8"
        out.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")


def _tell(error: DataError, *, as_json: bool) -> None:
    sys.stdout.flush()
    print(f"nibabel-data: {shown(error)}", file=sys.stderr)
    if as_json:
        from .output import print_json

        explained = None if error.explanation is None else error.explanation.to_dict()
        told: dict[str, object] = {"error": str(error), "explanation": explained}
        if error.results:
            from dataclasses import asdict

            told["results"] = [asdict(one) for one in error.results]
        print_json(told)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"nibabel-data: warning: {shown(message)}", file=sys.stderr)
