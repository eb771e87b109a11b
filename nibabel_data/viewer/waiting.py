"""Waiting for work that a page asked for: not longer than it does, nor on all its connections.

A browser has six connections to a server for all its tabs, and asks for the meshes of a page at
once: while it waits for those on each connection, no image is loaded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .pools import BusyError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Coroutine, Mapping
    from typing import Any, TypeVar

    from starlette.requests import Request
    from starlette.types import Receive, Scope

    _T = TypeVar("_T")

__all__ = ["browser", "gone", "held", "is_direct", "worked"]

MAX_MESHES = 4  # that one browser waits for at once: or images would wait for them, too
PATIENCE_SECONDS = 1.0  # with which it waits for one more
LINGER_SECONDS = 20.0  # for which a mesh is still made after its request was put off


async def worked(receive: Receive, work: Awaitable[_T]) -> _T:
    """Return what a pool makes of some work, which is dropped if the page goes before it begins."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait((task,), timeout=0.02)
        if not done:
            leaves = asyncio.ensure_future(gone(receive))
            try:
                await asyncio.wait((task, leaves), return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaves.cancel()
            if not task.done():
                raise ClientDisconnect
        return task.result()
    except (BusyError, TimeoutError):
        raise HTTPException(503, headers={"retry-after": "2"}) from None
    finally:
        task.cancel()


async def held(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Return a mesh, or put its request off if the browser has no connection left meanwhile.

    The mesh is made all the same: the page asks again after a second.
    """
    waiting: Counter[str] = request.app.state.held
    lingering: dict[str, asyncio.Task[_T]] = request.app.state.lingering
    headers, path = dict(request.headers), request.url.path
    who = browser(request.scope, headers) if is_direct(headers) else ""
    task = lingering.pop(path, None)
    if task is None:
        task = asyncio.ensure_future(work)
    else:
        work.close()
    if who and waiting[who] >= MAX_MESHES:
        await asyncio.wait((task,), timeout=PATIENCE_SECONDS)
        if not task.done() and waiting[who] >= MAX_MESHES:
            lingering[path] = task
            asyncio.get_running_loop().call_later(LINGER_SECONDS, _end, lingering, path)
            raise HTTPException(503, headers={"retry-after": "1"})
    waiting[who] += 1
    try:
        return await worked(request.receive, task)
    finally:
        waiting[who] -= 1
        if not waiting[who]:
            del waiting[who]


def _end(lingering: dict[str, asyncio.Task[Any]], path: str) -> None:
    task = lingering.pop(path, None)
    if task is not None and not task.cancel() and not task.cancelled():
        task.exception()  # of which the next request is told


async def gone(receive: Receive) -> None:
    """Return when the page has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def is_direct(headers: Mapping[str, str]) -> bool:
    """Return whether a browser asks by itself, rather than a proxy with connections of its own."""
    return "sec-fetch-mode" in headers and not any(
        name.startswith("x-forwarded") or name == "via" for name in headers
    )


def browser(scope: Scope, headers: Mapping[str, str]) -> str:
    """Return what tells one browser from another."""
    return f"{(scope.get('client') or ('',))[0]} {headers.get('host')} {headers.get('user-agent')}"
