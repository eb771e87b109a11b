"""``mech``: mechanisms for NEURON and Arbor; each of its verbs has a module ``mech_*``."""

from __future__ import annotations

from .mech_arguments import VERBS

__all__ = ["mech"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def mech(arguments: argparse.Namespace) -> int:
    """Do what the chosen verb of ``mech`` says."""
    verb = next(verb for verb in VERBS if verb.name == arguments.action)
    module = __import__(f"nibabel_data.cli.{verb.module}", fromlist=[verb.function])
    status: int = getattr(module, verb.function)(arguments)
    return status
