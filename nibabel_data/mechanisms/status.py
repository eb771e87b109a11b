"""What has become of mechanisms: their kinds, whether they are built, or broken and why.

Nothing is built or loaded for it, and NEURON is not imported.  A source is read whole only where
something was built of one with its name, so that thousands are told in the time of reading them.
"""

from __future__ import annotations

import os
from os.path import join as pjoin

from ..errors import BuildError, MechanismError
from . import library, nmodl, store
from .collected import LIBRARIES
from .source import prepare

__all__ = ["State", "kind_of", "states"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .library import Toolchain
    from .mechanism import Mechanism


class State:
    """What has become of one mechanism.

    Attributes
    ----------
    mechanism : Mechanism
        The mechanism.
    kind : str
        As its source says: ``density``, ``point process``, ``artificial cell`` or ``functions``;
        empty if the source cannot be read.
    word : str
        ``built``, ``not built``, ``broken``, ``builtin`` of what NEURON brings itself; empty where
        it cannot be told: for Arbor, or without NEURON.
    library : str or None
        The library, if it is built.
    problem : BuildError or MechanismError or None
        Why it is broken.
    """

    __slots__ = ("kind", "library", "mechanism", "problem", "word")

    def __init__(self, mechanism: Mechanism, kind: str, word: str) -> None:
        self.mechanism = mechanism
        self.kind = kind
        self.word = word
        self.library: str | None = None
        self.problem: MechanismError | None = None

    @property
    def wrongly_declared(self) -> bool:
        """Whether its package says that it is of another kind."""
        declared = self.mechanism.declared
        return declared is not None and self.kind not in ("", "functions", declared)

    @property
    def reason(self) -> str:
        """Why it is broken, in one line; empty if it is not."""
        if self.problem is None:
            return ""
        first = getattr(self.problem, "first_error", "")
        return first or str(self.problem).partition("\n")[0]

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        one = self.mechanism
        return {
            "asset": one.asset,
            "variant": one.variant,
            "package": one.package,
            "source": one.source,
            "name": one.name,
            "kind": self.kind or None,
            "declared": one.declared,
            "dialect": one.dialect,
            "path": one.path or None,
            "state": self.word or None,
            "library": self.library,
            "problem": self.reason or None,
            "line": getattr(self.problem, "line", None),
        }


def states(mechanisms: Iterable[Mechanism], tools: Toolchain | None) -> list[State]:
    """Return what has become of mechanisms.

    Parameters
    ----------
    mechanisms : iterable of Mechanism
        Those of a catalogue.
    tools : Toolchain or None
        What builds; None if NEURON is not installed.

    Returns
    -------
    list of State
        In the same order.

    Examples
    --------
    >>> from nibabel_data.mechanisms.builtin import builtin_package
    >>> states(builtin_package().mechanisms, None)[0].word
    'builtin'
    """
    from ..searchpath import get_data_path

    if tools is None:
        return [_state(one) for one in mechanisms]
    tried = _Tried(tools, [store.cache_directory(), *_beside(get_data_path())])
    return [_state(one, tried) for one in mechanisms]


class _Tried:
    """Which names something was built of, whatever the source: looked up once for each directory.

    Attributes
    ----------
    tools : Toolchain
        What builds.
    """

    def __init__(self, tools: Toolchain, bases: list[str]) -> None:
        self.tools = tools
        self._anywhere = frozenset[str]().union(*map(self._listed, bases))
        self._beside: dict[str, frozenset[str]] = {}

    def has(self, one: Mechanism) -> bool:
        """Return whether anything was built of a name, for all or in its own package."""
        if one.name in self._anywhere:
            return True
        if one.root not in self._beside:
            self._beside[one.root] = frozenset[str]().union(*map(self._listed, _beside([one.root])))
        return one.name in self._beside[one.root]

    def _listed(self, base: str) -> frozenset[str]:
        try:
            folders = os.listdir(pjoin(base, self.tools.neuron.tag))
        except OSError:
            return frozenset()
        return frozenset(folder.rpartition("-")[0] for folder in folders)


def _beside(roots: Iterable[str]) -> list[str]:
    return [pjoin(root, LIBRARIES) for root in roots if root]


def _state(one: Mechanism, tried: _Tried | None = None) -> State:
    if not one.path:
        return State(one, one.declared or "", "builtin")
    try:
        kind = kind_of(one.path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        state = State(one, "", "broken")
        state.problem = BuildError(
            f"{one.path}: {reason}", mechanism=one.name, path=one.path, first_error=reason
        )
        return state
    if tried is None or one.dialect == "arbor":
        return State(one, kind, "")
    state = State(one, kind, "not built")
    if not tried.has(one):
        return state
    try:
        source = prepare(one)
        state.library = library.built(source, tried.tools, package_root=one.root)
        if state.library is None:
            state.problem = library.failure(source, tried.tools)
    except MechanismError as error:
        state.problem = error
    if state.library is not None:
        state.word = "built"
    elif state.problem is not None:
        state.word = "broken"
    return state


def kind_of(path: str) -> str:
    """Return the kind of the mechanism in a file: `nmodl.scan` is asked only where it may differ.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not any(word in content for word in _TELLING):
        return "density"
    return nmodl.scan(nmodl.decode(content)).kind


_TELLING = (b"POINT_PROCESS", b"ARTIFICIAL_CELL", b"nothing")
