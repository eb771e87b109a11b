"""From the name of an asset to one mechanism, by what is preferred; and why that one."""

from __future__ import annotations

from functools import lru_cache

from ..errors import MechanismError, ResolveError
from . import names, preferences
from .discovery import discover
from .preferences import Preference

__all__ = ["MechanismName", "Resolution", "explain", "resolve"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .discovery import Catalogue, Mechanism

    Asset = str | tuple[str, ...]

SINGLE = "this single use"
ONLY = "it is the only one"
DEFAULT = "it is the default variant"


class MechanismName(str):
    """The name under which NEURON knows a mechanism, and how it was chosen.

    Attributes
    ----------
    mechanism : Mechanism
        The mechanism.
    rule : str
        What chose it.
    """

    __slots__ = ("mechanism", "rule")
    mechanism: Mechanism
    rule: str


class Resolution:
    """What was asked, what was found, and which rule chose.

    Attributes
    ----------
    asset : str
        The asset that was asked for.
    pkg, variant : str or None
        What the single use asked for.
    candidates : tuple of Mechanism
        Every mechanism of that asset.
    chosen : Mechanism or None
        The one that is used.
    rule : str
        What chose it, or why none is chosen.
    steps : tuple of str
        Each scope that was asked, innermost first, and what it did.
    problem : str
        What `resolve` raises; empty if one is chosen.
    """

    __slots__ = ("asset", "candidates", "chosen", "pkg", "problem", "rule", "steps", "variant")

    def __init__(self, asset: str, pkg: str | None, variant: str | None) -> None:
        self.asset = asset
        self.pkg = pkg
        self.variant = variant
        self.candidates: tuple[Mechanism, ...] = ()
        self.chosen: Mechanism | None = None
        self.rule = ""
        self.steps: tuple[str, ...] = ()
        self.problem = ""

    def error(self) -> ResolveError:
        """Return the error that says why none is chosen."""
        return ResolveError(self.problem)

    def __str__(self) -> str:
        """Return it for people."""
        if self.chosen is None:
            return self.problem
        lines = [f"{self.asset} is {self.chosen.name}: {self.rule}"]
        lines += [f"  {step}" for step in self.steps]
        if len(self.candidates) > 1:
            lines.append("candidates:")
            lines += [
                f"  {'*' if one is self.chosen else ' '} {one.package} {one.asset} {one.variant}"
                f"  ({one.source})"
                for one in self.candidates
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "asset": self.asset,
            "pkg": self.pkg,
            "variant": self.variant,
            "name": self.chosen.name if self.chosen else None,
            "rule": self.rule,
            "steps": list(self.steps),
            "problem": self.problem or None,
            "candidates": [
                {"name": c.name, "package": c.package, "variant": c.variant, "source": c.source}
                for c in self.candidates
            ],
        }


def resolve(asset: Asset, pkg: str | None = None, variant: str | None = None) -> MechanismName:
    """Return the full name of the mechanism that an asset stands for.

    Parameters
    ----------
    asset : str or tuple of str
        The asset; or ``(asset, variant)``, ``(asset, variant, package)``; or a full name; or what
        `resolve` has returned.
    pkg, variant : str, optional
        What this single use asks for.  ``pkg='name@distribution'`` tells packages of one name
        apart.

    Returns
    -------
    MechanismName
        A str with the attributes ``mechanism`` and ``rule``.

    Raises
    ------
    ResolveError
        If there is no such mechanism, or several between which nothing decides: with the candidates
        and the call that would choose each.

    Examples
    --------
    >>> resolve('pas')
    'pas'
    >>> resolve('pas').rule
    'it is the only one'
    """
    if isinstance(asset, MechanismName) and pkg is None and variant is None:
        return asset
    found = explain(asset, pkg, variant)
    if found.chosen is None:  # perhaps installed, or added, since this process looked
        found = explain(asset, pkg, variant, catalogue=discover(fresh=True))
    if found.chosen is None:
        raise found.error()
    name = MechanismName(found.chosen.name)
    name.mechanism = found.chosen
    name.rule = found.rule
    return name


def explain(
    asset: Asset,
    pkg: str | None = None,
    variant: str | None = None,
    *,
    catalogue: Catalogue | None = None,
    dialect: str = "neuron",
) -> Resolution:
    """Return how an asset is resolved: as `resolve`, but that there is none is not raised.

    The scopes are asked from the innermost to the outermost, each for the package and the variant
    that none further in has decided, until one mechanism is left.

    Parameters
    ----------
    asset, pkg, variant
        As in `resolve`.
    catalogue : Catalogue, optional
        The mechanisms to choose from, if not those of this machine.
    dialect : str, optional
        ``neuron`` or ``arbor``.

    Returns
    -------
    Resolution
        What was asked, found and chosen, and by which rule.
    """
    asset, pkg, variant = _asked(asset, pkg, variant)
    if catalogue is None:
        catalogue = discover()
    found = Resolution(asset, pkg, variant)
    found.candidates = catalogue.mechanisms_of(asset, dialect)
    if not found.candidates:
        found.problem = _unknown(asset, catalogue, dialect)
        return found
    left = [m for m in found.candidates if _suits(m, pkg, variant)]
    if not left:
        found.problem = _none_suits(found)
        return found
    choice = _Choice(found, left)
    for said in preferences.in_force(asset):
        if found.problem or (choice.askers and len(choice.left) == 1):
            break
        choice.narrow(said)
    found.steps = tuple(choice.steps)
    if not found.problem:
        _decide(found, choice.left, choice.rule())
    return found


class _Choice:
    """What is left of the candidates, scope by scope."""

    __slots__ = ("askers", "found", "free", "left", "steps")

    def __init__(self, found: Resolution, left: list[Mechanism]) -> None:
        self.found = found
        self.left = left
        self.askers = [SINGLE] if len(left) < len(found.candidates) else []
        self.free = {f for f in ("pkg", "variant") if getattr(found, f) is None}
        self.steps: list[str] = []

    def rule(self) -> str:
        """Return who has asked for what is left."""
        if not self.askers:
            return ""
        return f"{' and '.join(self.askers)} {'ask' if self.askers[1:] else 'asks'} for it"

    def narrow(self, said: Preference) -> None:
        """Leave what a scope prefers, of what the scopes further in have left open."""
        if said.asset is not None:
            self._take(said, self.free)
            return
        for field in ("pkg", "variant"):  # a wish: what can be granted of it counts
            self._take(said, self.free & {field})

    def _take(self, said: Preference, free: set[str]) -> None:
        pkg = said.pkg if "pkg" in free else None
        variant = said.variant if "variant" in free else None
        if pkg is None and variant is None:
            return
        narrowed = [m for m in self.left if _suits(m, pkg, variant)]
        if not narrowed:
            self._refuse(said, pkg, variant)
            return
        self.free -= {f for f, value in (("pkg", pkg), ("variant", variant)) if value is not None}
        asker = str(said) if len(narrowed) < len(self.left) else SINGLE
        if asker not in (SINGLE, *self.askers):
            self.askers.append(asker)
        self.left = narrowed

    def _refuse(self, said: Preference, pkg: str | None, variant: str | None) -> None:
        """Remark that a preference does not count; one that can never be met is a problem."""
        if any(_suits(m, pkg, variant) for m in self.found.candidates):
            reason = "a scope further in asks for another"
        elif said.asset is None:
            reason = f"{self.found.asset} has no such mechanism"
        elif said.scope == "global":
            reason = "it is not installed here"
        else:
            self.found.problem = (
                f"{said}: there is no such mechanism.\n{_list(self.found.candidates)}"
            )
            return
        part = "" if (pkg, variant) == (said.pkg, said.variant) else f"{_told(pkg, variant)} of "
        self.steps.append(f"{part}{said} does not count: {reason}")


def _asked(
    asset: Asset, pkg: str | None, variant: str | None
) -> tuple[str, str | None, str | None]:
    if not isinstance(asset, str):
        if not (isinstance(asset, tuple) and 1 <= len(asset) <= 3 and isinstance(asset[0], str)):
            raise ResolveError(
                f"{asset!r} is no asset: a name, or a tuple (asset, variant, package), is needed."
            )
        variant = asset[1] if len(asset) > 1 and asset[1] is not None else variant
        pkg = asset[2] if len(asset) > 2 and asset[2] is not None else pkg
        asset = asset[0]
    if variant is not None:
        variant = str(variant)  # 0 is what people write for '0'
    if names.is_full_name(asset):
        package, asset, variant = names.split_name(asset)
        if pkg is None or package not in _package(pkg)[0]:  # else it may say who brings it
            pkg = package
    return asset, pkg, variant


def _suits(mechanism: Mechanism, pkg: str | None, variant: str | None) -> bool:
    return (variant is None or mechanism.variant == variant) and (
        pkg is None or mechanism.package == pkg or _is_of(mechanism, pkg)
    )


def _is_of(mechanism: Mechanism, pkg: str) -> bool:
    called, source = _package(pkg)
    if source and source not in (mechanism.source, _bringer(mechanism)):
        return False
    return mechanism.package in called


@lru_cache(maxsize=256)
def _package(pkg: str) -> tuple[tuple[str, ...], str]:
    """Return the names that a package may have which is asked for, and who brings it."""
    name, _, source = pkg.partition("@")
    try:
        return (name, names.package_identifier(name)), source
    except MechanismError:
        return (name,), source


def _bringer(mechanism: Mechanism) -> str:
    """Return the source of a mechanism without its version."""
    return mechanism.source.rpartition(" ")[0] or mechanism.source


def _decide(found: Resolution, left: list[Mechanism], rule: str) -> None:
    if len(left) > 1 and len({(m.package, m.source) for m in left}) == 1:
        default = [m for m in left if m.variant == names.DEFAULT_VARIANT]
        if len(default) == 1:
            left, rule = default, f"{rule}; {DEFAULT}" if rule else DEFAULT
    if len(left) == 1:
        found.chosen = left[0]
        found.rule = rule or ONLY
        return
    found.problem = _several(found, left)


def _several(found: Resolution, left: list[Mechanism]) -> str:
    places = [(m.package, m.variant, m.source) for m in left]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        return _more_than_once(found, left, twice)
    pkg, variant = _asking(tuple(left))[0]
    return (
        f"{found.asset} is ambiguous: {len(left)} mechanisms suit, and nothing decides between "
        f"them.\n{_list(tuple(left))}\n"
        f"Or prefer one in every script: nibabel-data mech select {found.asset} --pkg={pkg} "
        f"--variant={variant}"
    )


def _more_than_once(found: Resolution, left: list[Mechanism], twice: tuple[str, str, str]) -> str:
    package, variant, source = twice
    files = [m.path for m in left if (m.package, m.variant, m.source) == twice]
    others = tuple(m for m in left if m.path not in files)
    return (
        f"{source} has the mechanism {found.asset}, variant {variant}, more than once:\n"
        + "".join(f"  {path}\n" for path in files)
        + f"Rename one of the files, or ask the author of {package} to."
        + (f"\nOr use another:\n{_list(others)}" if others else "")
    )


def _asking(mechanisms: tuple[Mechanism, ...]) -> list[tuple[str, str]]:
    """Return the package and the variant that have to be asked for to get each."""
    by_name = [m.name for m in mechanisms]
    return [
        # Of two packages of one name, who brings it tells which.
        (f"{m.package}@{_bringer(m)}" if by_name.count(m.name) > 1 else m.package, m.variant)
        for m in mechanisms
    ]


def _list(mechanisms: tuple[Mechanism, ...]) -> str:
    """Each with the call that chooses it."""
    calls = [_told(pkg, variant) for pkg, variant in _asking(mechanisms)]
    width = max(map(len, calls))
    return "\n".join(
        f"  insert(section, {m.asset!r}, {call}){' ' * (width - len(call))}  # {m.source}"
        for m, call in zip(mechanisms, calls, strict=True)
    )


def _told(pkg: str | None, variant: str | None) -> str:
    asked = (("pkg", pkg), ("variant", variant))
    return ", ".join(f"{field}={value!r}" for field, value in asked if value is not None)


def _none_suits(found: Resolution) -> str:
    return (
        f"{found.asset} with {_told(found.pkg, found.variant)} is not there; there are:\n"
        f"{_list(found.candidates)}"
    )


def _unknown(asset: str, catalogue: Catalogue, dialect: str) -> str:
    from difflib import get_close_matches

    told = f"no package has the mechanism {asset!r}"
    other = "arbor" if dialect == "neuron" else "neuron"
    if catalogue.mechanisms_of(asset, other):
        return f"{told} for {dialect.upper()}: it is there for {other.capitalize()} only."
    known = catalogue.assets()
    similar = get_close_matches(asset, known, n=3, cutoff=0.6)
    if not similar:
        similar = [one for one in known if one.lower() == asset.lower()]
    if similar:
        told += f"; similar: {', '.join(similar)}"
    if asset.startswith("glia__"):
        told += " (a full name is glia__<package>__<asset>__<variant>)"
    packages = [p.name for p in catalogue.packages if p.name != "NEURON"]
    told += f".\nPackages: {', '.join(packages) or 'none but NEURON itself'}."
    for problem in catalogue.problems[:3]:
        told += f"\nA problem: {problem}"
    return told + "\nList what is there:  nibabel-data mech list"
