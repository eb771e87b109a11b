"""What the processes of one MPI program have to agree on.

MPI is never started here.  It is used if the program has it already: through mpi4py, or through
NEURON's own ``ParallelContext``.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from ..errors import MechanismError

__all__ = ["Ranks", "agree", "ranks", "together"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Ranks:
    """The processes of one program.

    Attributes
    ----------
    rank, size : int
        Which one this is, and how many there are.
    gather : callable
        Takes an object, returns those of all ranks, on every rank.
    """

    __slots__ = ("gather", "rank", "size")

    def __init__(self, rank: int, size: int, gather: Callable[[Any], list[Any]]) -> None:
        self.rank = rank
        self.size = size
        self.gather = gather


def ranks() -> Ranks:
    """Return the processes of this program; one that is alone if it does not use MPI.

    Examples
    --------
    >>> ranks().size
    1
    """
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        world = mpi.COMM_WORLD
        if world.Get_size() > 1:
            return Ranks(world.Get_rank(), world.Get_size(), world.allgather)
    neuron: Any = sys.modules.get("neuron")
    if neuron is not None:
        context = neuron.h.ParallelContext()
        if context.nhost() > 1:
            return Ranks(int(context.id()), int(context.nhost()), context.py_allgather)
    return Ranks(0, 1, lambda value: [value])


def agree(problem: Exception | None) -> None:
    """Raise on every rank if there is a problem on one.

    Every rank must call it.

    Parameters
    ----------
    problem : Exception or None
        That of this rank.

    Raises
    ------
    Exception
        That of this rank; a `MechanismError` that tells what another has, if this one has none.
    """
    among = ranks()
    told = among.gather(None if problem is None else _told(problem))
    if problem is not None:
        raise problem
    failed = [(rank, text) for rank, text in enumerate(told) if text is not None]
    if failed:
        rank, text = failed[0]
        raise MechanismError(f"on rank {rank} of {among.size}: {text}")


def _told(problem: Exception) -> str:
    is_ours = isinstance(problem, MechanismError)
    return str(problem) if is_ours else f"{type(problem).__name__}: {problem}"


@contextmanager
def together() -> Iterator[None]:
    """Run a block on every rank, and raise on all of them what one raises.

    Examples
    --------
    >>> with together():
    ...     pass
    """
    problem: Exception | None = None
    try:
        yield
    except Exception as error:
        problem = error
    agree(problem)
