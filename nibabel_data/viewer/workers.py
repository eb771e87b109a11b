"""Who does the tasks: this process, others on this machine, or the workers of Dask."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Executor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ViewerError
from . import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from .tasks import Job, Task

__all__ = ["Crew", "do", "workers"]

_RETRIES = 3  # of a task whose worker of Dask goes
_CONNECT = 15  # seconds


class Crew(NamedTuple):
    """Who works, and how many tasks are given out at once; without an executor this thread does."""

    executor: Executor | None
    width: int


def do(crew: Crew, job: Job, work: Iterable[Task], told: Callable[[], object]) -> int:
    """Do tasks, in any order.

    Parameters
    ----------
    crew : Crew
        Who does them.
    job : Job
        What they are part of.
    work : iterable of Task
        What to do; taken as there is somebody free.
    told : callable
        Called after each.

    Returns
    -------
    int
        How many there were.

    Raises
    ------
    ViewerError
        If one failed; the others that were begun are finished.
    """
    count = 0
    if crew.executor is None:
        for task in work:
            tasks.run(job, task)
            count += 1
            told()
        return count
    pending: set[Future[None]] = set()
    finished: SimpleQueue[Future[None]] = SimpleQueue()

    def take(limit: int) -> None:
        nonlocal count
        while len(pending) > limit:
            future = finished.get()
            pending.discard(future)
            _result(future)
            count += 1
            told()

    try:
        for task in work:
            take(crew.width - 1)
            future = crew.executor.submit(tasks.run, job, task)
            pending.add(future)
            future.add_done_callback(finished.put)
        take(0)
    finally:
        for future in pending:
            future.cancel()
    return count


def _result(future: Future[None]) -> None:
    from concurrent.futures.process import BrokenProcessPool

    try:
        future.result()
    except BrokenProcessPool:
        raise ViewerError(
            "a worker process was ended from outside: perhaps there was not enough memory, or a "
            "script with jobs lacks if __name__ == '__main__'.\n"
            "What is done is kept: run it again, with fewer jobs."
        ) from None


@contextmanager
def workers(job: Job, jobs: int, scheduler: str | None, count: int) -> Iterator[Crew]:
    """Give those who do the tasks of a job.

    Parameters
    ----------
    job : Job
        Of which the source, if it is a path, is opened by each of them.
    jobs : int
        How many processes, or threads.
    scheduler : str or None
        The address of Dask's.
    count : int
        How many tasks there are about: no more workers than that are started.
    """
    if scheduler is not None:
        yield from _of_dask(job, scheduler)
        return
    jobs = min(jobs, count)
    if jobs <= 1:
        yield Crew(None, 1)
        return
    executor: Executor
    if isinstance(job.source, str) and not job.dest.startswith("memory://"):
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start)
    else:
        from concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(jobs)
    try:
        yield Crew(executor, 2 * jobs)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    import multiprocessing
    import os
    from multiprocessing.connection import wait as wait_for

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _of_dask(job: Job, address: str) -> Iterator[Crew]:
    try:
        import distributed
    except ImportError:
        raise ViewerError("--scheduler needs Dask: pip install 'nibabel-data[dask]'") from None
    if job.dest.startswith("memory://"):
        raise ViewerError(f"{job.dest} is the memory of one process: others cannot write to it.")
    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ViewerError(
            f"no scheduler of Dask answers at {address}: {error}\n"
            "Start one:  dask scheduler    and workers:  dask worker ADDRESS"
        ) from None
    try:
        cores = sum(client.ncores().values())
        if not cores:
            raise ViewerError(f"the scheduler at {address} has no workers: dask worker {address}")
        executor = client.get_executor(pure=False, retries=_RETRIES)
        try:
            yield Crew(executor, 4 * cores)
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()
