"""From the name of an asset to one mechanism, by what is preferred; and why that one."""

from __future__ import annotations

from ..errors import ResolveError
from . import names, preferences
from .preferences import Preference

__all__ = ["MechanismName", "Resolution", "explain", "resolve"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .discovery import Catalogue, Mechanism

    Asset = str | tuple[str, ...]

SINGLE = "this single use asks for it"
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
        The asset; or ``(asset, variant)``, ``(asset, variant, package)``; or a full name.
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
    found = explain(asset, pkg, variant)
    if not found.candidates:  # perhaps installed, or added, since this process looked
        from .discovery import discover

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
    """Return how an asset is resolved: as `resolve`, but nothing is raised.

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
        from .discovery import discover

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
    steps: list[str] = []
    rule = SINGLE if len(left) < len(found.candidates) else ""
    for said in preferences.in_force(asset):
        if rule and len(left) == 1:
            break
        narrowed, remark = _narrow(said, left, found)
        if remark:
            steps.append(remark)
        if found.problem:
            break
        if len(narrowed) < len(left):
            rule = f"{said} asks for it"
        left = narrowed
    found.steps = tuple(steps)
    if not found.problem:
        _decide(found, left, rule)
    return found


def _asked(
    asset: Asset, pkg: str | None, variant: str | None
) -> tuple[str, str | None, str | None]:
    if not isinstance(asset, str):
        if not (isinstance(asset, tuple) and 1 <= len(asset) <= 3):
            raise ResolveError(
                f"{asset!r} is no asset: a name, or a tuple (asset, variant, package), is needed."
            )
        variant = asset[1] if len(asset) > 1 and asset[1] is not None else variant
        pkg = asset[2] if len(asset) > 2 and asset[2] is not None else pkg
        asset = asset[0]
    if variant is not None:
        variant = str(variant)  # 0 is what people write for '0'
    if asset.startswith("glia__"):
        pkg, asset, variant = names.split_name(asset)
    return asset, pkg, variant


def _suits(mechanism: Mechanism, pkg: str | None, variant: str | None) -> bool:
    return (variant is None or mechanism.variant == variant) and (
        pkg is None or mechanism.package == pkg or _is_of(mechanism, pkg)
    )


def _is_of(mechanism: Mechanism, pkg: str) -> bool:
    name, at, source = pkg.partition("@")
    if at and source not in (mechanism.source, mechanism.source.rpartition(" ")[0]):
        return False
    return mechanism.package in (name, names.package_identifier(name))


def _narrow(
    said: Preference, left: list[Mechanism], found: Resolution
) -> tuple[list[Mechanism], str]:
    """Return what a preference leaves, and a remark if it does not count; or set the problem."""
    if not any(_suits(m, said.pkg, said.variant) for m in found.candidates):
        if said.asset is None:
            return left, f"{said} does not count: {found.asset} has no such mechanism"
        if said.scope == "global":
            return left, f"{said} does not count: it is not installed here"
        found.problem = f"{said}: there is no such mechanism.\n{_list(found.candidates)}"
        return left, ""
    narrowed = [m for m in left if _suits(m, said.pkg, said.variant)]
    if not narrowed:
        return left, f"{said} does not count: a scope further in asks for another"
    return narrowed, ""


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
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        package, variant, source = twice[0]
        files = [m.path for m in left if (m.package, m.variant, m.source) == twice[0]]
        return (
            f"{source} has the mechanism {found.asset}, variant {variant}, more than once:\n"
            + "".join(f"  {path}\n" for path in files)
            + f"Rename one of the files, or ask the author of {package} to."
        )
    return (
        f"{found.asset} is ambiguous: {len(left)} mechanisms suit, and nothing decides between "
        f"them.\n{_list(tuple(left))}\n"
        f"Or prefer one in every script: nibabel-data mech select {found.asset} --pkg="
        f"{left[0].package} --variant={left[0].variant}"
    )


def _list(mechanisms: tuple[Mechanism, ...]) -> str:
    """Each with the call that chooses it."""
    by_name = [m.name for m in mechanisms]
    calls = []
    for m in mechanisms:
        pkg = m.package
        if by_name.count(m.name) > 1:  # two packages have this name
            pkg = f"{pkg}@{m.source.rpartition(' ')[0] or m.source}"
        calls.append(f"pkg={pkg!r}, variant={m.variant!r}")
    width = max(map(len, calls))
    return "\n".join(
        f"  insert(section, {m.asset!r}, {call}){' ' * (width - len(call))}  # {m.source}"
        for m, call in zip(mechanisms, calls, strict=True)
    )


def _none_suits(found: Resolution) -> str:
    asked = [f"{k} {v!r}" for k, v in (("package", found.pkg), ("variant", found.variant)) if v]
    return (
        f"{found.asset} of {' and '.join(asked)} is not there; there are:\n"
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
    packages = [p.name for p in catalogue.packages if p.name != "NEURON"]
    told += f".\nPackages: {', '.join(packages) or 'none but NEURON itself'}."
    for problem in catalogue.problems[:3]:
        told += f"\nA problem: {problem}"
    return told + "\nList what is there:  nibabel-data mech list"
