"""`CataloguePage`: one page at an address of its own, and the viewers that it opened."""

from __future__ import annotations

import os
import secrets
import time
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, final

from ...errors import ViewerError
from .. import serving
from ..pools import Pool
from .catalogue import Catalogue
from .checking import Verifications

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from ...searchpath import DataPath
    from ..sources import Registry
    from ..state import Json
    from ..viewer import Viewer
    from .thumbnails import Thumbnails

__all__ = ["CataloguePage", "page_of"]

IDLE = 300.0  # seconds after which a viewer without a page is closed
MOST = 32  # viewers at a time
_OPEN_SECONDS = 120.0
_LOOK = 15.0  # seconds between looks at which viewers have a page

_pages: dict[str, CataloguePage] = {}


class _Opened:
    """A viewer, and when it was last seen to have a page."""

    __slots__ = ("seen", "viewer")

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.seen = time.monotonic()


@final
class CataloguePage:
    """A page with every data package on the search path; a click shows an image in a `Viewer`.

    Parameters
    ----------
    data_path : str, os.PathLike or a sequence of them, optional
        Roots to look at instead of the search path.

    Raises
    ------
    ViewerError
        If the server cannot be started.

    Examples
    --------
    >>> with CataloguePage('examples/nipy-examplepkg') as page:
    ...     print(page.url)
    http://127.0.0.1:.../browse/.../
    """

    __slots__ = (
        *("_opened", "_openers", "_registry", "_thumbnails", "_timer", "catalogue", "closed"),
        *("pictures", "pool", "summaries", "token", "verifications"),
    )

    def __init__(self, data_path: DataPath | None = None) -> None:
        self.token = secrets.token_hex(20)
        self.catalogue = Catalogue(data_path)
        self.verifications = Verifications()
        self.pool = Pool(4)
        self.summaries = Pool(1)  # of all packages: on a disk that hangs they take no other's turn
        self.pictures = Pool(2, backlog=256)
        self._openers = Pool(2, backlog=8)
        self.closed = False
        self._thumbnails: Thumbnails | None = None
        self._opened: list[_Opened] = []
        self._timer: asyncio.TimerHandle | None = None
        self._registry = serving.registry()
        for old in [page for page in _pages.values() if page._registry is not self._registry]:
            old.close()
        _pages[self.token] = self

    @property
    def url(self) -> str:
        """The address of the page; the server is started if need be.

        Raises
        ------
        ViewerError
            If the page was closed.
        """
        return self._address(near=False)

    def local_url(self) -> str:
        """Return the address for a browser on this machine."""
        return self._address(near=True)

    def close(self) -> None:
        """Make the address one of nothing, and close the viewers that were opened from it."""
        if self.closed:
            return
        self.closed = True
        _pages.pop(self.token, None)
        for one in self._opened:
            one.viewer.close()
        self._opened = []
        for pool in (self.pool, self.summaries, self.pictures, self._openers):
            pool.close()
        self.verifications.close()

    def __enter__(self) -> CataloguePage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _address(self, *, near: bool) -> str:
        if self.closed:
            raise ViewerError("This page was closed: make a new one.")
        return f"{serving.start(near=near)}/browse/{self.token}/"

    # What the server calls

    def answers_for(self, registry: Registry) -> bool:
        """Return whether a server with this registry is the one of this page."""
        return registry is self._registry and not self.closed

    @property
    def thumbnails(self) -> Thumbnails:
        """The pictures; NumPy is imported for the first of them."""
        if self._thumbnails is None:
            from .thumbnails import Thumbnails

            self._thumbnails = Thumbnails()
        return self._thumbnails

    async def open(self, paths: Sequence[str]) -> Viewer:
        """Return a new viewer that shows files: labels above images, else in their order.

        It is closed when no page has shown it for a while, see `IDLE`.

        Raises
        ------
        ViewerError
            If one cannot be shown.
        BusyError
            If too much is asked for at once.
        TimeoutError
            If it takes too long.
        """
        import asyncio

        self._look()
        if len(self._opened) >= MOST:
            raise ViewerError(f"{MOST} viewers are open. Close the tabs of some, and try again.")
        viewer: Viewer = await self._openers.run(partial(_viewer, paths), _OPEN_SECONDS)
        self._opened.append(_Opened(viewer))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look_again)
        return viewer

    def _look_again(self) -> None:
        import asyncio

        self._look()
        loop = asyncio.get_running_loop()
        again = bool(self._opened) and not self.closed
        self._timer = loop.call_later(_LOOK, self._look_again) if again else None

    def _look(self) -> None:
        """Close the viewers whose page has gone; the one that waits longest if there are many."""
        now = time.monotonic()
        for one in self._opened:
            if one.viewer.streams > 0:
                one.seen = now
        waiting = sorted(
            (one for one in self._opened if not one.viewer.streams), key=lambda one: one.seen
        )
        ended = [one for one in waiting if now - one.seen > IDLE or one.viewer.closed]
        if not ended and len(self._opened) >= MOST:
            ended = waiting[:1]
        for one in ended:
            self._opened.remove(one)
            one.viewer.close()


def page_of(token: str, registry: Registry) -> CataloguePage | None:
    """Return the page of a token, in a time that does not tell how much of it is right."""
    found = None
    for page in list(_pages.values()):
        if compare_digest(page.token.encode(), token.encode("utf-8", "replace")):
            found = page
    return found if found is not None and found.answers_for(registry) else None


def _viewer(paths: Sequence[str]) -> Viewer:
    from ..viewer import Viewer

    viewer = Viewer()
    try:
        for path in paths:
            viewer.add(path)
        viewer.change(_labels_above)
    except BaseException:
        viewer.close()
        raise
    return viewer


def _labels_above(state: Json) -> None:
    state["layers"] = sorted(state["layers"], key=lambda layer: layer["type"] == "segmentation")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pages.clear)
