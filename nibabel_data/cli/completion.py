"""``completion``: the script that teaches a shell the verbs, options and packages.

`shtab` (extra ``completion``) writes it from the parser.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .commandline import parser

__all__ = ["completion"]

_BASH = """
_nibabel_data_packages() {
  local name  # names are data: nothing in them may be expanded by the shell
  while IFS= read -r name; do
    [[ $name == "$1"* ]] && printf '%q\\n' "$name"
  done < <(nibabel-data list --names 2>/dev/null)
}
"""
_ZSH = """
_nibabel_data_packages() {
  local -a packages
  packages=(${(f)"$(nibabel-data list --names 2>/dev/null)"})
  compadd -a packages
}
"""


def completion(arguments: argparse.Namespace) -> int:
    """Print the script for one shell."""
    try:
        import shtab
    except ImportError:
        print(
            "nibabel-data: shell completion needs shtab: pip install 'nibabel-data[completion]'",
            file=sys.stderr,
        )
        return 1
    top = parser()
    packages = {"bash": "_nibabel_data_packages", "zsh": "_nibabel_data_packages"}
    for action in _all_actions(top):
        if action.metavar in ("RELPATH", "SPEC"):
            action.complete = packages
        elif action.metavar in ("PATH", "DIR"):
            action.complete = shtab.DIRECTORY
    preamble = {"bash": _BASH, "zsh": _ZSH}.get(arguments.shell, "")
    print(shtab.complete(top, arguments.shell, preamble=preamble))
    return 0


def _all_actions(of: argparse.ArgumentParser) -> list[Any]:
    actions: list[Any] = []
    for action in of._actions:
        actions.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for name in action.choices:
                actions.extend(_all_actions(action.choices[name]))
    return actions
