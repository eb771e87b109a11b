"""What the server answers for: pages by their tokens, and what they load by its key."""

from __future__ import annotations

import asyncio
import logging
import secrets
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Protocol, final

from starlette.exceptions import HTTPException

from .pools import MeshPool, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .mesh import MultiresMaker
    from .pools import Maker
    from .state import Json, SharedState
    from .trees import Tree

    class Page(Protocol):
        """What a viewer is to the server."""

        token: str
        shared: SharedState
        config: SharedState
        streams: int
        closed: bool

        def action(self, name: str, state: Json) -> bool:
            """Take note of an action of a page; return False if nobody asked for it."""

        def edited(self) -> None:
            """Take note that a page has changed the state."""


__all__ = ["Registry", "Source"]

_log = logging.getLogger(__name__)


@final
class Source:
    """Something that pages load by a key.

    Parameters
    ----------
    name : str
        For messages.
    info : callable, optional
        Returns the description of a volume or a skeleton.
    chunk : callable, optional
        Returns the bytes of a volume's chunk: factors, begin, end.
    itemsize : int, optional
        Bytes of a voxel.
    quick : bool, optional
        Whether a chunk of the full resolution is read as quickly as memory is.
    mesh : MeshMaker, optional
        What makes the meshes of its objects.
    multires : MultiresMaker, optional
        What makes meshes of several resolutions.
    skeleton : callable, optional
        Returns the bytes of the skeleton of an object.
    files : mapping of str to bytes, optional
        Of a ``precomputed`` source.
    tree : Tree, optional
        Files that are read as they are asked for.
    failed : callable, optional
        Told that reading failed.

    Attributes
    ----------
    key : str
        160 random bits.
    pool : Pool
    mesh_pool : MeshPool
        The threads of its reads, and of its meshes.
    asked : int
        How often pages asked for a part of it.
    """

    __slots__ = (
        *("_told", "asked", "chunk", "failed", "files", "info", "itemsize", "key", "mesh"),
        *("mesh_pool", "multires", "name", "pool", "quick", "skeleton", "tree"),
    )

    def __init__(
        self,
        name: str,
        *,
        info: Callable[[], Mapping[str, Any]] | None = None,
        chunk: Callable[..., bytes] | None = None,
        itemsize: int = 1,
        quick: bool = False,
        mesh: Maker | None = None,
        multires: MultiresMaker | None = None,
        skeleton: Callable[[int], bytes] | None = None,
        files: Mapping[str, bytes] | None = None,
        tree: Tree | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.key = secrets.token_hex(20)
        self.info = info
        self.chunk = chunk
        self.itemsize = itemsize
        self.quick = quick
        self.mesh = mesh
        self.multires = multires
        self.skeleton = skeleton
        self.files = dict(files or {})
        self.tree = tree
        self.failed = failed
        self.pool = Pool()
        self.mesh_pool = MeshPool(1)
        self.asked = 0
        self._told: set[str] = set()

    def report(self, error: BaseException) -> None:
        """Log an error of the array, each once, and have the page say that there is one."""
        message = f"{type(error).__name__}: {error}"[:500]
        if message not in self._told and len(self._told) < 20:
            self._told.add(message)
            _log.error("%s cannot be read: %s", self.name, message, exc_info=error)
        if self.failed is not None:
            self.failed()

    def mended(self) -> None:
        """Log errors again."""
        self._told.clear()

    def close(self) -> None:
        """Let go of the array."""
        self.info = self.chunk = self.mesh = self.multires = self.skeleton = self.failed = None
        self.files, self.tree = {}, None
        self.pool.close()
        self.mesh_pool.close()


@final
class Registry:
    """The pages and sources of a process, by token and key."""

    __slots__ = ("_pages", "_secret", "_sources", "browsers")

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._pages: dict[bytes, Page] = {}
        self._sources: dict[bytes, Source] = {}
        self.browsers: dict[str, list[asyncio.Event]] = {}  # what ends a stream, the oldest first

    def pages(self) -> Iterator[Page]:
        """Return all pages."""
        return iter(list(self._pages.values()))

    def add_page(self, page: Page) -> None:
        """Answer for a page from now on."""
        self._pages[self._digest(page.token)] = page

    def remove_page(self, page: Page) -> None:
        """Answer for a page no more."""
        self._pages.pop(self._digest(page.token), None)

    def add_source(self, source: Source) -> None:
        """Answer for a source from now on."""
        self._sources[self._digest(source.key)] = source

    def remove_source(self, source: Source) -> None:
        """Answer for a source no more, and let go of its array."""
        self._sources.pop(self._digest(source.key), None)
        source.close()

    def page(self, token: str) -> Page:
        """Return the page of a token, in a time that does not tell how much of it is right."""
        page = self._pages.get(self._digest(token))
        if page is None or not compare_digest(page.token.encode(), token.encode("utf-8")):
            raise HTTPException(404)
        return page

    def source(self, key: str) -> Source:
        """Return the source of a key, likewise."""
        source = self._sources.get(self._digest(key))
        if source is None or not compare_digest(source.key.encode(), key.encode("utf-8")):
            raise HTTPException(404)
        return source

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode("utf-8", "replace"), key=self._secret, digest_size=20).digest()
