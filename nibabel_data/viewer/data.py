"""What a page loads by the key of a source: chunks, meshes, skeletons and files.

To a page a chunk that failed is one that is still to come, so that it is never ready.  A chunk of
an array that cannot be read is therefore sent as zeros, the page says so, and the error is logged;
one of an array that takes too long is refused with 503, after which the page asks again.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from ..errors import ViewerError
from .waiting import held, worked

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from .sources import Registry, Source
    from .trees import Tree

__all__ = ["CHUNKS", "DATA", "FRESH", "chunk", "file", "info", "mesh", "multires", "skeleton"]

DATA = "/neuroglancer/"
CHUNKS = f"{DATA}raw/"  # then a key, the factors of a scale, where a box begins and ends
CHUNK_SECONDS = 60.0
MESH_SECONDS = 600.0
_VOXELS = 1 << 21  # of one chunk
_NUMBERS = re.compile(r"[0-9]{1,10}(?:,[0-9]{1,10}){0,15}")
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_BYTES = "application/octet-stream"
_NO_MESH = bytes(4)  # of no vertices
FRESH = {"cache-control": "no-store"}


async def info(request: Request) -> Response:
    """Send the description of a volume or of a skeleton."""
    source = _registry(request).source(request.path_params["key"])
    if source.info is None:
        raise HTTPException(404)
    return JSONResponse(source.info(), headers=FRESH)


async def chunk(registry: Registry, scope: Scope, receive: Receive, send: Send) -> None:
    """Send voxels, past the routing table: to go through it takes longer than to copy them."""
    if scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(405)
    key, *box = scope["path"].removeprefix(CHUNKS).split("/")
    if len(box) != 3:
        raise HTTPException(404)
    source = registry.source(key)
    source.asked += 1
    read = source.chunk
    if read is None:
        raise HTTPException(404)
    scale, start, end = map(_numbers, box)
    if not len(scale) == len(start) == len(end):
        raise HTTPException(400)
    sizes = [b - a for a, b in zip(start, end, strict=True)]
    if min(sizes) < 0 or math.prod(sizes) > _VOXELS:
        raise HTTPException(400)
    try:
        if source.quick and max(scale) == 1:  # a copy takes less time than to hand it to a thread
            voxels = read(scale, start, end)
        else:
            work = partial(read, scale, start, end)
            voxels = await worked(receive, source.pool.run(work, CHUNK_SECONDS))
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:
        if isinstance(error, ViewerError) and error.__cause__ is None:
            raise HTTPException(404) from None  # no such chunk
        source.report(error)
        voxels = bytes(math.prod(sizes) * source.itemsize)
    headers = [
        (b"content-length", str(len(voxels)).encode()),
        (b"content-type", b"application/octet-stream"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": voxels})


async def mesh(request: Request) -> Response:
    """Send the mesh of an object; one of nothing if there is none."""
    source = _registry(request).source(request.path_params["key"])
    maker, pool = source.mesh, source.mesh_pool
    make = None if maker is None else lambda number: pool.mesh(maker, number, MESH_SECONDS)
    return await _object(request, source, make, _NO_MESH)


async def multires(request: Request) -> Response:
    """Send what there is to know of meshes of several resolutions, of one of them, or its parts."""
    source = _registry(request).source(request.path_params["key"])
    source.asked += 1
    maker, name = source.multires, request.path_params["name"]
    if maker is None:
        raise HTTPException(404)
    if name == "info":
        return JSONResponse(maker.info(), headers=FRESH)
    number = name.removesuffix(".index")
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        raise HTTPException(404)
    try:
        made = maker.known(int(number))
        if made is None:
            work: Coroutine[Any, Any, Any] = source.mesh_pool.mesh(maker, int(number), MESH_SECONDS)
            made = await held(request, work) or maker.nothing
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:
        source.report(error)
        made = maker.nothing
    if name != number:
        return Response(made.manifest, media_type=_BYTES, headers=FRESH)
    span, size = _span(request), len(made.data)
    if span is None:
        return Response(made.data, media_type=_BYTES, headers=FRESH)
    first, last = span
    begin = max(0, size - (last or 0)) if first is None else first
    end = size if first is None or last is None else min(size, last + 1)
    return _part(made.data[begin:end], begin, size, FRESH)


async def skeleton(request: Request) -> Response:
    """Send the skeleton of an object; one of nothing if there is none."""
    source = _registry(request).source(request.path_params["key"])
    read, pool = source.skeleton, source.pool
    make = None if read is None else lambda number: pool.run(partial(read, number), MESH_SECONDS)
    return await _object(request, source, make, bytes(8))


async def _object(
    request: Request,
    source: Source,
    make: Callable[[int], Coroutine[Any, Any, bytes | None]] | None,
    nothing: bytes,
) -> Response:
    source.asked += 1
    number = request.path_params["object"]
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        raise HTTPException(400)
    made = nothing
    if make is not None:
        try:
            answer = await held(request, make(int(number)))
            made = answer or nothing
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            source.report(error)
    return Response(made, media_type=_BYTES, headers=FRESH)


async def file(request: Request) -> Response:
    """Send a file of a ``precomputed`` source, or of a tree."""
    source = _registry(request).source(request.path_params["key"])
    if source.tree is not None:
        return await _tree_file(request, source, source.tree)
    found = source.files.get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return Response(found, media_type=_BYTES, headers=FRESH)


async def _tree_file(request: Request, source: Source, tree: Tree) -> Response:
    """Send a file of a tree, or the part of it that is asked for."""
    source.asked += 1
    span = _span(request)
    work = partial(tree.get, request.path_params["name"], span)
    try:
        found = await worked(request.receive, source.pool.run(work, CHUNK_SECONDS))
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:
        source.report(error)
        found = None
    if found is None:
        raise HTTPException(404)
    headers = {**FRESH, "content-encoding": "gzip"} if found.packed else FRESH
    if span is not None:
        return _part(found.content, found.begin, found.size, headers)
    return Response(found.content, media_type=_BYTES, headers=headers)


def _span(request: Request) -> tuple[int | None, int | None] | None:
    """Return the first and the last byte asked for; without the first, how many at the end."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return None
    first, last = (int(text) if text else None for text in asked.groups())
    return first, last


def _part(content: bytes, begin: int, size: int, headers: Mapping[str, str]) -> Response:
    """Return an answer with a part of something."""
    if not content:
        raise HTTPException(416, headers={"content-range": f"bytes */{size}"})
    where = {"content-range": f"bytes {begin}-{begin + len(content) - 1}/{size}"}
    return Response(content, 206, media_type=_BYTES, headers={**headers, **where})


def _numbers(text: str) -> tuple[int, ...]:
    if not _NUMBERS.fullmatch(text):
        raise HTTPException(400)
    return tuple(map(int, text.split(",")))


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry
