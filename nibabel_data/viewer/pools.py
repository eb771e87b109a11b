"""A few threads for the work of one source, so that one that blocks holds up no other.

The threads are daemons: an array that never answers does not keep Python from ending.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Protocol

    class Maker(Protocol):
        """What makes the meshes of a volume."""

        def mesh(self, label: int, cancelled: Callable[[], bool] | None = None) -> bytes | None:
            """Return the mesh of an object, or None if there is none."""


__all__ = ["BusyError", "MeshPool", "Pool"]

_IDLE = 5.0  # seconds after which a thread without work ends
_log = logging.getLogger(__name__)


class BusyError(Exception):
    """A pool has more work than it takes."""


class _Job:
    __slots__ = ("done", "dropped", "function", "loop")

    def __init__(
        self,
        function: Callable[[], Any],
        loop: asyncio.AbstractEventLoop | None = None,
        done: asyncio.Future[Any] | None = None,
    ) -> None:
        self.function = function
        self.loop = loop
        self.done = done
        self.dropped = False


@final
class Pool:
    """A number of threads, started as there is work.

    Parameters
    ----------
    size : int, optional
        How many at most.
    backlog : int, optional
        How much work may wait for one.
    """

    __slots__ = ("_active", "_backlog", "_closed", "_jobs", "_lock", "_size", "_threads")

    def __init__(self, size: int = 4, backlog: int = 512) -> None:
        self._size = size
        self._backlog = backlog
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._active = 0  # that wait, or are worked on
        self._threads = 0
        self._closed = False

    def submit(self, function: Callable[[], Any]) -> None:
        """Call a function soon; what it raises is logged.

        Raises
        ------
        BusyError
            If too much waits, or the pool is closed.
        """
        self._put(_Job(function))

    async def run(self, function: Callable[[], Any], limit: float) -> Any:
        """Call a function in a thread, and return what it returns.

        If whoever waits is cancelled, work that has not begun is not begun.

        Raises
        ------
        BusyError
            If too much waits, or the pool is closed.
        TimeoutError
            If it takes longer than the limit, in seconds.
        """
        import asyncio  # there already, if there is a server; not for an import of `Viewer`

        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        job = _Job(function, loop, done)
        self._put(job)
        timer = loop.call_later(limit, _give_up, done)
        try:
            return await done
        finally:
            job.dropped = True
            timer.cancel()

    def close(self) -> None:
        """Begin no more work."""
        with self._lock:
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)

    def after_fork(self) -> None:
        """Start anew in a new process, which has none of the threads."""
        self._lock = threading.Lock()
        self._jobs = queue.SimpleQueue()
        self._active = self._threads = 0

    def _put(self, job: _Job) -> None:
        with self._lock:
            if self._closed or self._active >= self._size + self._backlog:
                raise BusyError
            self._active += 1
            start = self._threads < min(self._size, self._active)
            self._threads += start
            self._jobs.put(job)
        if start:
            name = "nibabel-data-viewer-work"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._active >= self._threads:
                        continue  # what was put just now is for this thread
                    self._threads -= 1
                return
            if job is None:
                with self._lock:
                    self._threads -= 1
                return
            if not (job.dropped or self._closed):
                _do(job)
            elif job.loop is not None:
                _tell(job, None, BusyError())
            with self._lock:
                self._active -= 1
            del job  # and with it the array, while this waits for more


def _do(job: _Job) -> None:
    try:
        result, error = job.function(), None
    except BaseException as raised:
        result, error = None, raised
    if job.loop is not None:
        _tell(job, result, error)
    elif error is not None:
        _log.error("A callback of the viewer failed.", exc_info=error)


def _tell(job: _Job, result: Any, error: BaseException | None) -> None:
    assert job.loop is not None
    assert job.done is not None
    with suppress(RuntimeError):  # the server has ended
        job.loop.call_soon_threadsafe(_finish, job.done, result, error)


def _finish(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        done.set_exception(error)
    else:
        done.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))


@final
class MeshPool:
    """A few threads that make meshes, and stop making one that nobody waits for.

    Parameters
    ----------
    size : int, optional
        How many meshes are made at once.
    """

    __slots__ = ("_pool",)

    def __init__(self, size: int = 2) -> None:
        self._pool = Pool(size)

    async def mesh(self, maker: Maker, label: int, limit: float = 600.0) -> bytes | None:
        """Return what the maker's ``mesh`` does; stop making it if nobody waits any more.

        Raises
        ------
        ViewerError
            If the volume cannot be read.
        BusyError
            If too much waits, or the pool is closed.
        TimeoutError
            If it takes longer than the limit, in seconds.
        """
        gone = threading.Event()
        try:
            made: bytes | None = await self._pool.run(lambda: maker.mesh(label, gone.is_set), limit)
            return made
        finally:
            gone.set()

    def close(self) -> None:
        """Begin no more meshes."""
        self._pool.close()

    def after_fork(self) -> None:
        """Start anew in a new process, which has none of the threads."""
        self._pool.after_fork()


def _give_up(done: asyncio.Future[Any]) -> None:
    if not done.done():
        done.set_exception(TimeoutError())
