"""``mech select`` and ``mech explain``: which mechanism an asset is."""

from __future__ import annotations

import argparse
import sys

from ..errors import DefinitionError
from ..mechanisms import resolution
from ..mechanisms.preferences import global_file, global_preferences, select_globally
from .output import paint, print_json, print_table, shown

__all__ = ["explain", "select"]


def select(arguments: argparse.Namespace) -> int:
    """Keep a preference for every script, forget one, or list them."""
    asset, pkg, variant = arguments.asset, arguments.pkg, arguments.variant
    chooses = pkg is not None or variant is not None
    if asset is None:
        if chooses or arguments.clear:
            raise DefinitionError("name the asset: nibabel-data mech select ASSET ...")
        return _list(arguments)
    if chooses == arguments.clear:
        raise DefinitionError(
            f"say what to prefer for {asset}, with --pkg or --variant or both; or forget it, with "
            "--clear"
        )
    before = global_preferences().get(asset)
    was = "" if before is None else _said(before.pkg, before.variant)
    file = select_globally(asset, pkg, variant)
    found = resolution.explain(asset, pkg, variant)
    installed = arguments.clear or found.chosen is not None
    if arguments.json:
        print_json({"asset": asset, "pkg": pkg, "variant": variant, "file": file,
                    "installed": installed})  # fmt: skip
    elif arguments.clear:
        done = f"forgotten: {asset} ({was})," if was else f"nothing was selected for {asset}"
        print(shown(f"{done} in {file}"))
    else:
        print(shown(f"selected: {asset} ({_said(pkg, variant)}), in {file}"))
    sys.stdout.flush()
    if not installed:
        print(
            f"nibabel-data: note: it is kept, though it chooses nothing here: "
            f"{shown(found.problem)}",
            file=sys.stderr,
        )
    return 0


def _said(pkg: str | None, variant: str | None) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in (("package", pkg), ("variant", variant)) if value
    )


def _list(arguments: argparse.Namespace) -> int:
    kept = sorted(global_preferences().items())
    installed = [
        resolution.explain(asset, one.pkg, one.variant).chosen is not None for asset, one in kept
    ]
    if arguments.json:
        print_json([
            {"asset": asset, "pkg": one.pkg, "variant": one.variant, "installed": there}
            for (asset, one), there in zip(kept, installed, strict=True)
        ])  # fmt: skip
    elif not kept:
        print(f"nothing is selected in {shown(global_file())}")
    else:
        rows = [
            (asset, one.pkg or "any", one.variant or "any", "" if there else "not installed here")
            for (asset, one), there in zip(kept, installed, strict=True)
        ]
        colours = ["" if there else "dim" for there in installed]
        print_table(("ASSET", "PACKAGE", "VARIANT", "NOTE"), rows, colours)
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """Print what is chosen and by which rule; status 1 if nothing is."""
    found = resolution.explain(arguments.asset, arguments.pkg, arguments.variant)
    if arguments.json:
        print_json(found.to_json())
    else:
        headline, _, rest = str(found).partition("\n")
        print(paint(shown(headline), "red" if found.chosen is None else "green"))
        if rest:
            print(shown(rest))
    return 1 if found.chosen is None else 0
