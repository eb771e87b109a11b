"""What NEURON brings itself, so that it is found by name as any other mechanism is.

The table is that of NEURON 9; a test compares it with ``h.MechanismType``.  Left out, because
nobody inserts them by name: ``morphology`` and ``capacitance``, which every section has; the ions
(``na_ion``, ``k_ion``, ``ca_ion``), which come with what uses them; ``PointProcessMark``, which
only marks a place.
"""

from __future__ import annotations

from .mechanism import Mechanism, MechanismPackage

__all__ = ["BUILTIN", "NEURON", "builtin_package"]

NEURON = "NEURON"
"""The name of the package."""

BUILTIN = {
    "density": ("extracellular", "fastpas", "hh", "pas"),
    "point process": (
        "APCount",
        "AlphaSynapse",
        "Exp2Syn",
        "ExpSyn",
        "IClamp",
        "OClamp",
        "SEClamp",
        "VClamp",
    ),
    "artificial cell": ("IntFire1", "IntFire2", "IntFire4", "NetStim", "PatternStim"),
}
"""Names by kind."""


def builtin_package() -> MechanismPackage:
    """Return NEURON's own mechanisms as a package.

    Examples
    --------
    >>> pas = next(one for one in builtin_package().mechanisms if one.asset == 'pas')
    >>> pas.name, pas.declared, pas.source
    ('pas', 'density', 'NEURON')
    """
    return MechanismPackage(
        NEURON,
        NEURON,
        "",
        "",
        "builtin",
        (
            Mechanism(NEURON, name, "0", "", "neuron", kind, NEURON)
            for kind, names in BUILTIN.items()
            for name in names
        ),
    )
