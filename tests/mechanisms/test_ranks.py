"""What the ranks of one program agree on, where there is one, and where there are stand-ins."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nibabel_data.errors import MechanismError, ResolveError
from nibabel_data.mechanisms import ranks


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return what the other ranks say; this one is the second."""
    told: list[str | None] = []

    def gather(mine: Any) -> list[Any]:
        return [*told[:1], mine, *told[1:]]

    monkeypatch.setattr(ranks, "ranks", lambda: ranks.Ranks(1, 3, gather))
    return told


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.delitem(sys.modules, "neuron", raising=False)
    alone = ranks.ranks()
    assert (alone.rank, alone.size, alone.gather("x")) == (0, 1, ["x"])
    ranks.agree(None)
    with pytest.raises(ResolveError, match="mine"):
        ranks.agree(ResolveError("mine"))


def test_the_problem_of_one_is_that_of_all(others: list[str | None]) -> None:
    others[:] = [None, None]
    ranks.agree(None)
    with pytest.raises(ZeroDivisionError, match="mine"), ranks.together():
        raise ZeroDivisionError("mine")
    others[:] = [None, "theirs"]
    with pytest.raises(MechanismError, match="^on rank 2 of 3: theirs$"), ranks.together():
        pass
    with pytest.raises(ResolveError, match="mine"), ranks.together():
        raise ResolveError("mine")


def test_an_interrupt_is_not_kept(others: list[str | None]) -> None:
    others[:] = [None, "theirs"]
    with pytest.raises(KeyboardInterrupt), ranks.together():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("initialized", "finalized", "size", "expected"),
    [(True, False, 4, 4), (True, False, 1, 1), (False, False, 4, 1), (True, True, 4, 1)],
)
def test_mpi4py(
    initialized: bool, finalized: bool, size: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SimpleNamespace(Get_rank=lambda: 0, Get_size=lambda: size, allgather=list)
    stand_in = SimpleNamespace(
        COMM_WORLD=world, Is_initialized=lambda: initialized, Is_finalized=lambda: finalized
    )
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", stand_in)
    monkeypatch.delitem(sys.modules, "neuron", raising=False)
    assert ranks.ranks().size == expected


def test_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(nhost=lambda: 3.0, id=lambda: 2.0, py_allgather=list)
    stand_in = SimpleNamespace(h=SimpleNamespace(ParallelContext=lambda: context))
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setitem(sys.modules, "neuron", stand_in)
    found = ranks.ranks()
    assert (found.rank, found.size) == (2, 3)
