"""Verifying packages while the page goes on: one at a time, read in full."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from ...files import human_size
from ...package.verify import verify_directory
from ...table import counted, printable
from ..pools import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...package.verify import Verification

__all__ = ["Verifications"]

_SHOWN = 500  # files that are amiss


class _Job:
    """A package that is verified."""

    __slots__ = ("done", "lock", "result", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.result: dict[str, Any] | None = None
        self.lock = threading.Lock()

    def add(self, size: int) -> None:
        with self.lock:
            self.done += size


@final
class Verifications:
    """What is verified, or was, by the identifier of the package."""

    __slots__ = ("_jobs", "_lock", "_pool")

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._pool = Pool(1)

    def start(self, key: str, base: str, total: int, name: Callable[[str], str]) -> None:
        """Begin to verify a package, unless it is being done.

        Parameters
        ----------
        key : str
            The identifier of the package.
        base : str
            Its directory.
        total : int
            How many bytes its files have.
        name : callable
            Returns the identifier of a file from its path in the package.

        Raises
        ------
        BusyError
            If too many wait.
        """
        with self._lock:
            running = self._jobs.get(key)
            if running is not None and running.result is None:
                return
            job = self._jobs[key] = _Job(total)
        try:
            self._pool.submit(lambda: _verify(job, base, name))
        except BaseException:
            with self._lock:
                self._jobs.pop(key, None)
            raise

    def status(self, key: str) -> dict[str, Any]:
        """Return how far it is, or what was found; ``state`` is ``none`` if nobody asked."""
        with self._lock:
            job = self._jobs.get(key)
        if job is None:
            return {"state": "none"}
        if job.result is not None:
            return job.result
        return {
            "state": "running",
            "done": min(job.done, job.total),
            "total": job.total,
            "text": f"{human_size(job.done)} of {human_size(job.total)} read",
        }

    def close(self) -> None:
        """Begin no more."""
        self._pool.close()


def _verify(job: _Job, base: str, name: Callable[[str], str]) -> None:
    try:
        job.result = _described(verify_directory(base, full=True, progress=job.add), name)
    except Exception as error:
        job.result = {"state": "unknown", "text": f"cannot be verified: {printable(str(error))}"}


def _described(found: Verification, name: Callable[[str], str]) -> dict[str, Any]:
    amiss = [
        {
            "id": name(check.path),
            "name": printable(check.path),
            "state": check.state,
            "detail": printable(check.detail),
        }
        for check in found.amiss[:_SHOWN]
    ]
    against = f"by {printable(found.against)}" if found.against else ""
    if found.problem:
        state, text = "unknown", printable(found.problem)
    elif found.amiss:
        state = "amiss"
        text = f"{counted(len(found.amiss), 'file')} amiss of {found.checked}, {against}"
    else:
        state, text = "ok", f"{counted(found.checked, 'file')} read and right, {against}"
    if found.not_fetched:
        text += f"; {counted(found.not_fetched, 'file')} not fetched"
    more = len(found.amiss) - len(amiss)
    return {"state": state, "text": text, "amiss": amiss, "more": more}
