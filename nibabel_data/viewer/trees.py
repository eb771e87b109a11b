"""Trees that `precompute`, or another program, wrote: what the server sends of one, and its layer.

A name that a page asks for is looked up in the tree if each part of it is a plain one, and it stays
in the tree when its links are followed.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple, final

from ..errors import MissingFileError, ViewerError
from .layers import Layer
from .precomputed import MESHES
from .server import HERE
from .sources import Source
from .spaces import upright
from .stores import ABOUT, open_store, safe_name

if TYPE_CHECKING:
    from .stores import Store

__all__ = ["File", "Tree", "is_tree", "open_tree", "tree_layer"]

_ABSENT = re.compile(rf"{MESHES}/[0-9]{{1,20}}(:0|\.index)")
_STATE = ("shader", "shaderControls", "segmentColors", "segments")
_VIEW = (
    *("crossSectionOrientation", "crossSectionScale", "position"),
    *("projectionOrientation", "projectionScale"),
)


class File(NamedTuple):
    """A file of a tree, or a part of it.

    Attributes
    ----------
    content : bytes
        What is asked for.
    packed : bool
        Whether it is compressed by gzip.
    begin : int
        Where in the file it begins.
    size : int
        Of the whole file, in bytes.
    """

    content: bytes
    packed: bool
    begin: int
    size: int


@final
class Tree:
    """The files of a tree, read as they are asked for.

    Parameters
    ----------
    store : Store
        Where they are.

    Attributes
    ----------
    about : dict
        What `precompute` left to be known of it.

    Examples
    --------
    >>> store = open_store('memory://examples/tree')
    >>> store.write('info', b'{}')
    >>> tree = Tree(store)
    >>> tree.get('info'), tree.get('../info')
    (File(content=b'{}', packed=False, begin=0, size=2), None)
    """

    __slots__ = ("about", "store")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.about = _parsed(store.read(ABOUT))

    @property
    def name(self) -> str:
        """What it is called: as what it was made of, or as its directory."""
        return str(self.about.get("name") or os.path.basename(self.store.url.rstrip("/")))

    def get(self, name: str, asked: tuple[int | None, int | None] | None = None) -> File | None:
        """Return a file; None if there is none.

        Parameters
        ----------
        name : str
            Its name in the tree.  If the file is there compressed, its name has ``.gz`` added.
        asked : tuple of (int or None, int or None), optional
            The first and the last byte; without the first, how many there are at the end.
        """
        if not safe_name(name):
            return None
        if asked is not None:
            return self._part(name, asked)
        content = self.store.read(name)
        if content is not None:
            return File(content, False, 0, len(content))
        content = self.store.read(f"{name}.gz")
        if content is not None:
            return File(content, True, 0, len(content))
        absent = _ABSENT.fullmatch(name)
        if absent is None:
            return None
        # Of a mesh that is not there the client waits for ever, unless it hears that it is empty.
        content = b'{"fragments":[]}' if absent[1] == ":0" else _no_multires()
        return File(content, False, 0, len(content))

    def _part(self, name: str, asked: tuple[int | None, int | None]) -> File | None:
        first, last = asked
        known = self.store.part(name, 0, 0)
        if known is None:
            return None
        size = known[1]
        if first is None:
            first, last = max(0, size - (last or 0)), None
        end = size if last is None else min(size, last + 1)
        found = self.store.part(name, first, end)
        return None if found is None else File(found[0], False, first, size)


def _no_multires() -> bytes:
    from .multires import EMPTY

    return EMPTY.manifest


def open_tree(where: str | os.PathLike[str]) -> Tree:
    """Return the tree in a directory or at a URL.

    Raises
    ------
    MissingFileError
        If there is no such directory.
    ViewerError
        If it is neither ``precomputed`` nor zarr 3.
    """
    store = open_store(where)
    if "://" not in store.url and not os.path.isdir(store.url):
        raise MissingFileError(f"no such directory: {store.url}", store.url)
    if all(store.read(name) is None for name in ("info", "zarr.json")):
        raise ViewerError(
            f"{store.url} is no tree that can be shown: it has neither info (of precomputed) nor "
            "zarr.json (of zarr 3).\nMake one:  nibabel-data precompute SOURCE DEST"
        )
    return Tree(store)


def is_tree(where: str | os.PathLike[str]) -> bool:
    """Return whether a directory was made by `precompute` or is ``precomputed``, or it is a URL."""
    text = os.fspath(where)
    if "://" in text:
        return True
    return any(os.path.isfile(os.path.join(text, name)) for name in (ABOUT, "info"))


def tree_layer(
    tree: Tree,
    name: str,
    *,
    kind: str | None = None,
    convention: str = "radiological",
) -> Layer:
    """Return the layer of a tree, placed as what it was made of.

    Parameters
    ----------
    tree : Tree
        What is shown.
    name : str
        Of the layer.
    kind : {'image', 'segmentation'}, optional
        By default what the tree says.
    convention : {'radiological', 'neurological'}, optional
        As for `upright`.
    """
    about, info = tree.about, _parsed(tree.store.read("info"))
    said = about.get("kind") or info.get("type")
    layer = Layer(name, kind or (said if said in ("image", "segmentation") else "image"))
    scheme = "precomputed" if info else "zarr3"
    source = Source(f"Layer {name!r}", tree=tree)
    layer.sources.append(source)
    place: dict[str, Any] = {"url": f"{scheme}://{HERE}/neuroglancer/files/{source.key}"}
    if isinstance(about.get("transform"), dict):
        place["transform"] = about["transform"]
    layer.state["source"] = [place]
    layer.state |= _known(about.get("layer"), _STATE)
    dimensions = about.get("dimensions")
    layer.dimensions = dimensions if isinstance(dimensions, dict) else {}
    layer.view = _known(about.get("view"), _VIEW)
    if "crossSectionOrientation" in layer.view:
        layer.view |= upright(convention)
    return layer


def _known(found: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found} if isinstance(found, dict) else {}


def _parsed(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
