"""NEURON's headers, compiled once for all mechanisms that are built one after the other.

Reading them takes half a second of each build.  A header that the compiler refuses to use is passed
over by it without an error, and what does not build with it is built again without.
"""

from __future__ import annotations

import os
from os.path import join as pjoin

from ..errors import BuildError, DataError

__all__ = ["precompiled_header"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .library import Toolchain
    from .toolchain import Neuron

_HEADER = "nrn-mechanism.h"
_PROBE = "NEURON { SUFFIX probe }\n"


def precompiled_header(cache: str, tools: Toolchain) -> list[str]:
    """Return the flags that make the compiler use the precompiled headers, made if need be.

    Parameters
    ----------
    cache : str
        The directory to keep them in.
    tools : Toolchain
        The compiler and NEURON.

    Returns
    -------
    list of str
        The flags; empty where it does not pay (C) or cannot be done.
    """
    try:
        if tools.neuron.writes_c or "clang" in tools.compiler().version.lower():
            return []
    except BuildError:  # no compiler: whoever builds will say so
        return []
    folder = pjoin(cache, tools.neuron.tag, f"headers-{tools.digest()}")
    header = pjoin(folder, _HEADER)
    if os.path.isfile(f"{header}.gch"):
        return ["-include", header]
    if folder in _refused or not _make(folder, tools):
        _refused.add(folder)
        return []
    return ["-include", header]


_refused: set[str] = set()
"""Where they could not be made; this process does not try again."""


def _make(folder: str, tools: Toolchain) -> bool:
    import subprocess

    from ..package.staging import put_in_place, staging_directory

    try:
        with staging_directory(folder) as staged:
            header = pjoin(staged, _HEADER)
            with open(header, "x", encoding="ascii") as file:
                file.write(_beginning(staged, tools.neuron))
            compiling = [*tools.compiler().command, *tools.neuron.flags(), "-fPIC"]
            compiling += ["-x", "c++-header", header, "-o", f"{header}.gch"]
            if subprocess.run(compiling, capture_output=True, check=False).returncode != 0:
                return False
            put_in_place(staged, folder)
    except (OSError, DataError):
        return False
    return True


def _beginning(folder: str, neuron: Neuron) -> str:
    """Return what ``nocmodl`` writes before any mechanism: headers, and macros between them."""
    import subprocess

    with open(pjoin(folder, "probe.mod"), "x", encoding="ascii") as file:
        file.write(_PROBE)
    environment = {**os.environ, "MODLUNIT": neuron.units}
    translating = [neuron.nocmodl, "probe.mod"]
    subprocess.run(translating, cwd=folder, env=environment, capture_output=True, check=False)
    with open(pjoin(folder, "probe.cpp"), encoding="ascii") as file:
        lines = file.read().splitlines()
    declared = next((i for i, s in enumerate(lines) if s.startswith("static constexpr")), 0)
    return "".join(f"{line}\n" for line in lines[:declared] if "Created by" not in line)
