"""What a page asks of this server, as functions in a routing table.

A page is at ``/v/<token>/``, what it shares with Python at ``/events``, ``/state`` and ``/action``,
and what it shows at ``/neuroglancer``, under the key of each source; tokens and keys are 160 random
bits.  The protocol is that of ``src/python_integration/api.ts`` and ``src/datasource/python`` of
Neuroglancer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import ViewerError
from . import client, data
from .browse.pages import ROUTES as BROWSE
from .data import CHUNKS, DATA, FRESH
from .state import ConflictError, decode
from .waiting import browser, gone, is_direct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .guard import Guard
    from .sources import Registry
    from .state import Json

    Handler = Callable[[Request], Awaitable[Response]]


__all__ = ["HERE", "make_app"]

HERE = "http://viewer.invalid"  # in a state, for the address at which a page reaches this server
BODY_SECONDS = 30.0
HEARTBEAT_SECONDS = 15.0
MAX_STATE = 8 << 20  # bytes
MAX_ACTION = 96 << 20  # a screenshot
MAX_STREAMS = 1024  # of one viewer
MAX_TABS = 4  # streams to one browser, which has six connections for all its tabs

_CLIENT = re.compile(r"[0-9a-zA-Z]{1,64}")
_ROOTS = ("v", "events", "state", "action", "neuroglancer", "browse")
_UNDER_PREFIX = re.compile(r"/(?:v|events|state|action|neuroglancer|browse)/.*", re.DOTALL)
_PAGE = re.compile(r"/v/([0-9a-f]{40})/$")
_log = logging.getLogger(__name__)


def make_app(registry: Registry, guard: Guard) -> ASGIApp:
    """Return the application.

    Parameters
    ----------
    registry : Registry
        What there is to answer for; it may change.
    guard : Guard
        Who may ask.
    """
    table = [
        Route("/neuroglancer/mesh/{key}/{object}", data.mesh),
        Route("/neuroglancer/multires/{key}/{generation}/{name}", data.multires),
        Route("/neuroglancer/info/{key}", data.info),
        Route("/neuroglancer/skeletoninfo/{key}", data.info),
        Route("/neuroglancer/skeleton/{key}/{object}", data.skeleton),
        Route("/neuroglancer/files/{key}/{name:path}", data.file),
        Route("/state/{token}", _state, methods=["POST"]),
        Route("/action/{token}", _action, methods=["POST"]),
        Route("/v/{token}", _redirect),
        Route("/v/{token}/{name:path}", _static),
        *BROWSE,
    ]
    app = Starlette(routes=table, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    app.state.registry = registry
    app.state.guard = guard
    app.state.held = Counter()
    app.state.lingering = {}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = guard.refusal(scope["method"], headers)
        if refusal is not None and guard.proxied and _names_page(registry, scope["path"]):
            guard.learn(headers.get("host", ""))
            refusal = guard.refusal(scope["method"], headers)
        if refusal is None and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            refusal = "This request names two hosts."
        if refusal is not None:
            await Response(refusal, 403, media_type="text/plain")(scope, receive, send_guarded)
            return
        path = scope["path"]
        if path.split("/", 2)[1:2] and path.split("/", 2)[1] not in _ROOTS:
            match = _UNDER_PREFIX.search(path)  # a proxy left its own part in front
            if match is not None:
                scope = {**scope, "path": match[0], "raw_path": match[0].encode()}
        try:
            if scope["path"].startswith(CHUNKS):
                await data.chunk(registry, scope, receive, send_guarded)
            elif scope["path"].startswith("/events/"):
                await _events(registry, scope, receive, send_guarded, headers)
            else:
                await app(scope, receive, send_guarded)
        except HTTPException as refused:
            await Response(status_code=refused.status_code)(scope, receive, send_guarded)
        except (ClientDisconnect, ConnectionError):
            return
        except Exception as error:
            _log.error("A request failed: %s", type(error).__name__, exc_info=error)
            if not begun:
                await Response(status_code=500)(scope, receive, send_guarded)

    return answer


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers=error.headers)


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


def _names_page(registry: Registry, path: str) -> bool:
    match = _PAGE.search(path)
    if match is not None:
        with suppress(HTTPException):
            return registry.page(match[1]) is not None
    return False


async def _redirect(request: Request) -> Response:
    page = _registry(request).page(request.path_params["token"])
    return RedirectResponse(f"{page.token}/", 308)


async def _static(request: Request) -> Response:
    _registry(request).page(request.path_params["token"])
    file = await run_in_threadpool(client.source().get, request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    guard: Guard = request.app.state.guard
    headers = {
        "cache-control": "private, max-age=31536000, immutable" if file.immutable else "no-cache",
        "etag": file.tag,
        "vary": "accept-encoding",
        "content-type": file.type,
    }
    if file.type.startswith(("text/html", "text/javascript")):
        headers["content-security-policy"] = guard.policy()
    known = request.headers.get("if-none-match", "").replace("W/", "")
    if file.tag in re.split(r"[\s,]+", known):
        return Response(status_code=304, headers=headers)
    accepted = request.headers.get("accept-encoding", "")
    if file.packed is not None and re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accepted):
        return Response(file.packed, headers={**headers, "content-encoding": "gzip"})
    return Response(file.body, headers=headers)


async def _state(request: Request) -> Response:
    page = _registry(request).page(request.path_params["token"])
    body = await _body(request, MAX_STATE)
    here = _here(dict(request.headers), page.token)
    message = _mapping(body.replace(f"{here}{DATA}".encode(), f"{HERE}{DATA}".encode()))
    state, number, rests_on, who = (message.get(key) for key in ("s", "g", "pg", "c"))
    if not (
        isinstance(state, dict)
        and isinstance(number, int)
        and isinstance(rests_on, str)
        and isinstance(who, str)
        and _CLIENT.fullmatch(who)
    ):
        raise HTTPException(400)
    try:
        generation = page.shared.set(state, generation=f"{who}/{number}", expected=rests_on)
    except ConflictError:
        raise HTTPException(412) from None
    except ViewerError:
        raise HTTPException(400) from None
    page.edited()
    return JSONResponse({"g": generation}, headers=FRESH)


async def _action(request: Request) -> Response:
    page = _registry(request).page(request.path_params["token"])
    message = _mapping(await _body(request, MAX_ACTION))
    name, state = message.get("action"), message.get("state")
    if not isinstance(name, str) or not isinstance(state, dict):
        raise HTTPException(400)
    if not page.action(name, state):
        raise HTTPException(404)
    return Response(headers=FRESH)


def _mapping(body: bytes) -> Json:
    try:
        message = decode(body)
    except ViewerError:
        raise HTTPException(400) from None
    if not isinstance(message, dict):
        raise HTTPException(400)
    return message


async def _body(request: Request, limit: int) -> bytes:
    said = request.headers.get("content-length", "0")
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise HTTPException(400)
    if int(said) > limit:
        raise HTTPException(413, headers={"connection": "close"})
    parts, total = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                total += len(part)
                if total > limit:
                    raise HTTPException(413, headers={"connection": "close"})
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, headers={"connection": "close"}) from None
    return b"".join(parts)


def _here(headers: Mapping[str, str], token: str) -> str:
    """Return the address at which a page reaches this server, also behind a proxy."""
    match = re.match(
        rf"(https?://[A-Za-z0-9.:_\[\]-]+(?:/[A-Za-z0-9._~%@:+/-]*?)?)/v/{re.escape(token)}/",
        headers.get("referer", ""),
    )
    return match[1] if match is not None else f"http://{headers.get('host', '')}"


async def _events(
    registry: Registry, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]
) -> None:
    """Send each new state to a page, until it goes."""
    from urllib.parse import parse_qs

    if scope["method"] != "GET":
        raise HTTPException(405)
    page = registry.page(scope["path"].removeprefix("/events/"))
    try:
        query = parse_qs(scope["query_string"].decode("ascii"), True, max_num_fields=16)
    except ValueError:
        raise HTTPException(400) from None
    who = query.get("c", [""])[0]
    if not _CLIENT.fullmatch(who) or "gc" not in query:
        raise HTTPException(400)
    if page.streams >= MAX_STREAMS:
        raise HTTPException(503)
    # The state before the configuration: a screenshot is asked for of what is then shown.
    states = [
        (name, state, query[f"g{name}"][0])
        for name, state in (("s", page.shared), ("c", page.config))
        if f"g{name}" in query
    ]
    here = _here(headers, page.token)
    loop, wake, end = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    tabs = registry.browsers.setdefault(browser(scope, headers), []) if is_direct(headers) else []
    tabs.append(end)
    while len(tabs) > MAX_TABS:  # that page asks again in a second
        tabs.pop(0).set()

    def changed() -> None:
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(wake.set)

    ends = [state.listen(changed) for _, state, _ in states]
    page.streams += 1
    leaves = asyncio.ensure_future(gone(receive))
    try:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream"),
                    (b"cache-control", b"no-cache, no-transform"),
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )
        known = {name: generation for name, _, generation in states}
        first = True
        while not leaves.done():
            wake.clear()
            last = page.closed or end.is_set()
            text = b":\n\n" if first else b""  # a proxy passes it on, and the page sees it is heard
            first = False
            for name, state, _ in states:
                value, generation = state.encoded()
                if generation == known[name]:
                    continue
                known[name] = generation
                if generation.partition("/")[0] != who:
                    value = value.replace(HERE + DATA, here + DATA)
                    message = f'{{"k":"{name}","s":{value},"g":"{generation}"}}'
                    text += f"data: {message}\n\n".encode()
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            if last:
                break
            woken = [asyncio.ensure_future(event.wait()) for event in (wake, end)]
            done, _ = await asyncio.wait(
                (*woken, leaves), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in woken:
                task.cancel()
            if not done:
                await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
        if not leaves.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        leaves.cancel()
        if end in tabs:
            tabs.remove(end)
        for forget in ends:
            forget()
        page.streams -= 1
