"""What the page asks of this server, as functions in a routing table.

All is below ``/browse/<token>/``, and addresses are relative, so that a proxy may put something in
front.  ``ID`` is what the server named a package, a folder or a file by.

================================ =================================================================
``GET  ./``, ``browse.js`` ...   the page
``GET  api/packages``            the packages and the roots; the search path is looked at anew
``GET  api/summaries``           a line of JSON for each package, as each is read: files, size,
                                 licence, integrity
``GET  api/package/ID``          all that is said of one package
``GET  api/images/ID``           what of it can be shown: ``?q=`` text, ``?start=`` how many before
``GET  api/files/ID``            its folders and files: ``?folder=ID``, or ``?q=`` and ``?start=``
``GET  api/thumbnail/ID``        a PNG of an image; 422 and a sentence if there is none
``POST api/verify/ID``           begin to verify a package
``GET  api/verify/ID``           how far that is, or what was found
``POST open``                    a form, ``file=ID`` once or more: leads to a new viewer
================================ =================================================================
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import os
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from ...errors import DataError
from ...table import printable
from ..pools import BusyError
from ..waiting import worked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from ...packages import Package
    from .session import CataloguePage

__all__ = ["POLICY", "ROUTES"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the page may load: from this server alone, and nothing that stands in the page itself."""

_SECONDS = 120.0
_MAX_FORM = 64 << 10  # bytes
_MAX_FILES = 16  # in one viewer
_STATIC = {
    "": ("index.html", "text/html; charset=utf-8"),
    "browse.css": ("browse.css", "text/css; charset=utf-8"),
    "browse.js": ("browse.js", "text/javascript; charset=utf-8"),
    "files.js": ("files.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_FRESH = {"cache-control": "no-store"}
_log = logging.getLogger(__name__)


async def _redirect(request: Request) -> Response:
    return RedirectResponse(f"{_page(request).token}/", 308)


async def _static(request: Request) -> Response:
    _page(request)
    found = _STATIC.get(request.path_params.get("name", ""))
    if found is None:
        raise HTTPException(404)
    name, kind = found
    headers = {
        "cache-control": "no-cache",
        "content-type": kind,
        "content-security-policy": POLICY,
        "cross-origin-opener-policy": "same-origin",
    }
    return Response(_content(name), headers=headers)


@cache
def _content(name: str) -> bytes:
    return Path(__file__).with_name("static").joinpath(name).read_bytes()


async def _packages(request: Request) -> Response:
    page = _page(request)
    return _json(await _done(request, page, page.catalogue.scan))


async def _summaries(request: Request) -> Response:
    page = _page(request)

    async def lines() -> AsyncIterator[bytes]:
        for key in page.catalogue.identifiers():
            work = partial(page.catalogue.summary, key)
            try:
                found = await page.summaries.run(work, _SECONDS)
            except KeyError:  # it has gone since
                continue
            except (BusyError, TimeoutError, DataError, OSError) as error:
                found = {"id": key, "problem": printable(str(error)) or "takes too long to read"}
            yield json.dumps(found).encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=_FRESH)


async def _package(request: Request) -> Response:
    page, key, _ = _known(request)
    return _json(await _done(request, page, partial(page.catalogue.details, key)))


async def _images(request: Request) -> Response:
    page, key, _ = _known(request)
    text, start = _asked(request)
    return _json(await _done(request, page, partial(page.catalogue.images, key, text, start)))


async def _files(request: Request) -> Response:
    page, key, _ = _known(request)
    text, start = _asked(request)
    folder = request.query_params.get("folder", "")
    work = partial(page.catalogue.files, key, folder, text, start)
    return _json(await _done(request, page, work))


async def _thumbnail(request: Request) -> Response:
    page = _page(request)
    path = await _done(request, page, partial(page.catalogue.file, request.path_params["key"]))
    if path is None:
        raise HTTPException(404)
    work = page.pictures.run(lambda: page.thumbnails.get(path), _SECONDS)
    made = await worked(request.receive, work)
    headers = {"cache-control": "no-cache", **({"etag": made.tag} if made.tag else {})}
    if made.problem:
        problem = printable(made.problem.replace(path, os.path.basename(path)))
        return Response(problem, 422, media_type="text/plain", headers=_FRESH)
    if made.tag and request.headers.get("if-none-match") == made.tag:
        return Response(status_code=304, headers=headers)
    return Response(made.picture, media_type="image/png", headers=headers)


async def _verify(request: Request) -> Response:
    page, key, package = _known(request)
    if request.method == "POST":
        summary = await _done(request, page, partial(page.catalogue.summary, key))

        def name(inside: str) -> str:
            return page.catalogue.file_key(package, inside.replace("/", os.sep))

        try:
            page.verifications.start(key, str(package.path), summary["bytes"], name)
        except BusyError:
            raise HTTPException(503, headers={"retry-after": "2"}) from None
    return _json(page.verifications.status(key))


async def _open(request: Request) -> Response:
    page = _page(request)
    form = await _form(request)
    keys = form.get("only") or form.get("file") or []
    try:
        if not keys:
            raise DataError("No file was chosen: choose one or more, and try again.")
        if len(keys) > _MAX_FILES:
            raise DataError(f"At most {_MAX_FILES} files are shown together.")
        paths = [await _done(request, page, partial(page.catalogue.file, key)) for key in keys]
        if None in paths:
            raise DataError("This page is older than the server: reload it, and try again.")
        viewer = await page.open([path for path in paths if path is not None])
    except BusyError:
        return _sorry("Too much is being opened at once: try again in a moment.", 503)
    except TimeoutError:
        return _sorry("The file takes too long to read.", 503)
    except DataError as error:
        return _sorry(str(error), 422)
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:  # of a damaged file anything may come
        _log.error("A file cannot be shown: %s", type(error).__name__, exc_info=error)
        return _sorry(f"{type(error).__name__}: {error}", 422)
    return RedirectResponse(f"../../v/{viewer.token}/", 303, headers=_FRESH)


def _page(request: Request) -> CataloguePage:
    from .session import page_of

    page = page_of(request.path_params["token"], request.app.state.registry)
    if page is None:
        raise HTTPException(404)
    return page


def _known(request: Request) -> tuple[CataloguePage, str, Package]:
    """Return the page, and the package that is asked for."""
    page, key = _page(request), request.path_params["key"]
    package = page.catalogue.package(key)
    if package is None:
        raise HTTPException(404)
    return page, key, package


def _asked(request: Request) -> tuple[str, int]:
    start = request.query_params.get("start", "0")
    if not (start.isascii() and start.isdigit() and len(start) < 10):
        raise HTTPException(400)
    return request.query_params.get("q", "")[:200], int(start)


async def _done(request: Request, page: CataloguePage, work: Callable[[], Any]) -> Any:
    """Return what some reading of files returns; a package may have gone meanwhile."""
    try:
        return await worked(request.receive, page.pool.run(work, _SECONDS))
    except KeyError:
        raise HTTPException(404) from None
    except (DataError, OSError):
        raise HTTPException(422) from None


async def _form(request: Request) -> dict[str, list[str]]:
    from urllib.parse import parse_qs

    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 10):
        raise HTTPException(411)
    if int(length) > _MAX_FORM:
        raise HTTPException(413, headers={"connection": "close"})
    try:
        async with asyncio.timeout(30.0):
            body = await request.body()
        return parse_qs(body.decode("ascii"), max_num_fields=1000)
    except TimeoutError:
        raise HTTPException(408, headers={"connection": "close"}) from None
    except ValueError:
        raise HTTPException(400) from None


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json", headers=_FRESH)


def _sorry(problem: str, status: int) -> Response:
    lines = "".join(f"<p>{html.escape(printable(line))}</p>" for line in problem.split("\n"))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Cannot be shown</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="browse.css">'
        f'<main class="sorry"><h1>This cannot be shown</h1>{lines}'
        '<p><a href="./">All data packages</a></p></main></html>'
    )
    headers = {**_FRESH, "content-security-policy": POLICY}
    return Response(page, status, media_type="text/html", headers=headers)


_AT = "/browse/{token}"

ROUTES = (
    Route(_AT, _redirect),
    Route(f"{_AT}/", _static),
    Route(f"{_AT}/open", _open, methods=["POST"]),
    Route(f"{_AT}/api/packages", _packages),
    Route(f"{_AT}/api/summaries", _summaries),
    Route(f"{_AT}/api/package/{{key}}", _package),
    Route(f"{_AT}/api/images/{{key}}", _images),
    Route(f"{_AT}/api/files/{{key}}", _files),
    Route(f"{_AT}/api/thumbnail/{{key}}", _thumbnail),
    Route(f"{_AT}/api/verify/{{key}}", _verify, methods=["GET", "POST"]),
    Route(f"{_AT}/{{name}}", _static),
)
"""For the server's routing table."""
