"""`Viewer`: what a person adds, and what a page then shows of it."""

from __future__ import annotations

import os
import secrets
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from ..errors import ViewerError
from . import pagestate, screenshot, serving
from .callbacks import Callbacks
from .state import SharedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from .layers import Layer
    from .pools import MeshPool, Pool
    from .pyramid import Scales
    from .state import Json

__all__ = ["Viewer"]

_HEARD = 1.0  # seconds in which a page that shows a layer begins to load it again


@final
class Viewer:
    """Arrays and images in Neuroglancer, in the browser.

    Parameters
    ----------
    convention : {'radiological', 'neurological'}, optional
        How images that have a place in the body are turned: see `nibabel_data.viewer.upright`.

    Attributes
    ----------
    config : SharedState
        How the page behaves: Neuroglancer's ``ConfigState``.
    shared : SharedState
        What the page shows: Neuroglancer's ``ViewerState``.

    Examples
    --------
    >>> import numpy as np
    >>> viewer = Viewer()
    >>> viewer.add(np.zeros((3, 4, 5), 'uint8'), name='zeros', voxel_size=[4, 4, 40])
    'zeros'
    >>> viewer.state['dimensions']
    {'x': [4e-09, 'm'], 'y': [4e-09, 'm'], 'z': [4e-08, 'm']}
    >>> viewer.close()
    """

    def __init__(self, convention: str = "radiological") -> None:
        self.token = secrets.token_hex(20)
        self.shared = SharedState()
        self.config = SharedState({"actions": ["screenshot"]})
        self.streams = 0
        self.closed = False
        self._convention = convention
        self._desk = screenshot.Desk()
        self._layers: dict[str, Layer] = {}
        self._scales: dict[str, Scales] = {}  # by the key of the volume's source
        self._lock = threading.RLock()
        self._callbacks = Callbacks()
        self._seen: Json = {}
        self._registry = serving.registry()
        self._registry.add_page(self)

    # What is shown

    def add(
        self,
        data: object,
        name: str | None = None,
        *,
        kind: str | None = None,
        voxel_size: float | Sequence[float] | Mapping[str, float] | None = None,
        units: str | Sequence[str] | None = None,
        axes: Sequence[str] | None = None,
        offset: Sequence[float] | None = None,
        labels: object | None = None,
        segments: Iterable[int] | None = None,
        window: tuple[float, float] | None = None,
        shader: str | None = None,
        visible: bool = True,
    ) -> str:
        """Show an array, an image, a surface or a tractogram.

        Parameters
        ----------
        data : object
            An array ``(z, y, x)`` or ``(channel, z, y, x)``, of any library that `wrap` takes; an
            image of nibabel or the path of one, which is shown in the scanner's space; a `Mesh`, a
            `Skeleton`, or the path of a surface or a tractogram; points, as `read_points` returns
            them, or the path of a table of them.  It is kept, not copied, until it is removed; of a
            large array coarser scales are made in the background, in up to 1 GiB of memory.
        name : str, optional
            Of the layer; one that has the name already is replaced.
        kind : {'image', 'segmentation', 'points'}, optional
            By default a segmentation if there are labels, or three axes of uint32 or uint64, or the
            image looks like one.  A list or an array of points is told by this.
        voxel_size : float, sequence or mapping of float, optional
            Of an array: of each voxel along x, y and z, in this order (or one for each axis of
            `axes`, in theirs).  By default 1, or as the array has it.
        units : str or sequence of str, optional
            Of the voxel size: ``nm`` by default.
        axes : sequence of str, optional
            The names of the axes of an array, in its own order: ``"tzyx"``.
        offset : sequence of float, optional
            Where the first voxel of an array begins, in voxels along x, y and z.
        labels : LabelTable, mapping, str or os.PathLike, optional
            Names and colours of the segments, as `label_table` takes them.
        segments : iterable of int, optional
            Those that are chosen at first; by default all are shown.
        window : tuple of float, optional
            The values shown as black and as white; by default the 2nd and the 98th percentile.
        shader : str, optional
            How values become colours, in the client's language.
        visible : bool, optional
            Whether the layer is shown at first.

        Returns
        -------
        str
            The name of the layer.

        Raises
        ------
        ViewerError
            If it cannot be shown, or the viewer was closed.

        Warns
        -----
        UserWarning
            Once, if what is shown is not to the bit what is there.
        """
        self._check_open()
        try:
            from .layers import make_layer
        except ImportError as error:
            raise ViewerError(
                f"the viewer needs {error.name}: pip install 'nibabel-data[view]'"
            ) from None
        layer = make_layer(
            data,
            name,
            taken=self._layers,
            kind=kind,
            voxel_size=voxel_size,
            units=units,
            axes=axes,
            offset=offset,
            labels=labels,
            segments=segments,
            window=window,
            shader=shader,
            convention=self._convention,
        )
        if not visible:
            layer.state["visible"] = False
        if layer.volume is not None and layer.volume.shown.remark:
            remark = f"Layer {layer.name!r}: {layer.volume.shown.remark}"
            warnings.warn(remark, UserWarning, stacklevel=2)
        with self._lock:
            self._check_open()
            for source in layer.sources:
                source.failed = _Failed(self, layer.name)
                self._registry.add_source(source)
            self.shared.change(lambda state: pagestate.put(state, layer))
            old = self._layers.get(layer.name)
            self._layers[layer.name] = layer  # once a page's edits can no more lack it
            self._make_scales(layer)
        if old is not None:
            self._drop(old)
        return layer.name

    def remove(self, name: str) -> None:
        """Show a layer no more, and let go of its array.

        Raises
        ------
        ViewerError
            If there is none of this name.
        """
        self._layer(name)

        def without(state: Json) -> None:
            state["layers"] = [one for one in pagestate.layers(state) if one.get("name") != name]

        self.shared.change(without)
        with self._lock:
            layer = self._layers.pop(name, None)
        if layer is not None:
            self._drop(layer)

    def refresh(self, name: str | None = None) -> None:
        """Have pages load the data again: of one layer, or of all.

        Raises
        ------
        ViewerError
            If there is none of this name.
        """
        with self._lock:
            layers = list(self._layers.values()) if name is None else [self._layer(name)]
        new = {}
        for layer in layers:
            layer.refreshed = time.monotonic(), sum(source.asked for source in layer.sources)
            for source in layer.sources:
                source.mended()
            if layer.volume is not None:
                new[layer.sources[0].key] = layer.volume.refresh()
                scales = self._scales.get(layer.sources[0].key)
                if scales is not None:  # it was not removed meanwhile
                    scales.start()

        def apply(config: Json) -> None:
            config.setdefault("sourceGenerations", {}).update(new)
            for layer in layers:
                config.get("statusMessages", {}).pop(_message(layer.name), None)

        self.config.change(apply)
        large = [layer for layer in layers if layer.sources and layer.sources[0].multires]
        if large:
            from .layers import renew

            def again(state: Json) -> None:
                for layer in large:
                    renew(state, layer)

            self.shared.change(again)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the order of the page."""
        return tuple(str(layer.get("name")) for layer in pagestate.layers(self.shared.value))

    # What the page and Python share

    @property
    def state(self) -> Json:
        """A copy of the state of the page: Neuroglancer's JSON.  Set it to replace it."""
        return self.shared.value

    @state.setter
    def state(self, value: Json) -> None:
        self.shared.set(value)

    def txn(self) -> AbstractContextManager[Json]:
        """Change the state of the page: what a page did meanwhile is kept.

        Examples
        --------
        >>> viewer = Viewer()
        >>> with viewer.txn() as state:
        ...     state['layout'] = 'xy'
        >>> viewer.state
        {'layout': 'xy'}
        >>> viewer.close()
        """
        return self.shared.txn()

    def change(self, function: Callable[[Json], Any], retries: int = 100) -> Any:
        """Call a function on a copy of the state, and set it; again if a page was quicker."""
        return self.shared.change(function, retries)

    @property
    def dimensions(self) -> Json:
        """The axes that are shown, each with its scale and unit."""
        found = self.shared.value.get("dimensions")
        return found if isinstance(found, dict) else {}

    @property
    def position(self) -> tuple[float, ...] | None:
        """Where the page looks, along `dimensions`; None if there is nothing.  Set it to move."""
        return pagestate.position(self.shared.value)

    @position.setter
    def position(self, value: Sequence[float]) -> None:
        self._check_open()
        place = pagestate.numbers(value, float, "A position is numbers")
        axes = self.dimensions
        if axes and len(place) != len(axes):
            raise ViewerError(
                f"A position has a number for each of the axes {', '.join(axes)}, not {len(place)}."
            )
        self.shared.change(lambda state: state.__setitem__("position", place))

    def selected(self, name: str) -> tuple[int, ...]:
        """Return the segments that are chosen in a layer.

        Raises
        ------
        ViewerError
            If there is none of this name.
        """
        for layer in pagestate.layers(self.shared.value):
            if str(layer.get("name")) == name:
                return pagestate.segments(layer)
        raise self._unknown(name)

    def select(self, name: str, segments: Iterable[int]) -> None:
        """Choose segments in a layer; none of them: all are shown.

        Raises
        ------
        ViewerError
            If there is none of this name.
        """
        chosen = pagestate.chosen(segments)

        def apply(state: Json) -> None:
            for layer in pagestate.layers(state):
                if layer.get("name") == name:
                    layer["segments"] = chosen
                    return
            raise self._unknown(name)

        self.shared.change(apply)

    def on(self, event: str, callback: Callable[..., Any]) -> Callable[[], None]:
        """Call a function when something happens in a page.

        Parameters
        ----------
        event : str
            ``state``: the page changed the state; the function is given a copy.  ``position``: it
            moved; where to.  ``selection``: other segments were chosen; the name of the layer, and
            the segments.  Anything else is a key or a mouse button in the client's words, such as
            ``keyt``, ``shift+keys`` or ``alt+mousedown0``; the function is given an `Action`.
        callback : callable
            Called in a thread of the viewer's, one call at a time.  What it raises is logged.

        Returns
        -------
        callable
            Ends it.
        """
        self._check_open()
        self._callbacks.add(event, callback)
        self.config.change(self._callbacks.bind)

        def end() -> None:
            self._callbacks.remove(event, callback)
            self.config.change(self._callbacks.bind)

        return end

    def screenshot(
        self,
        path: str | os.PathLike[str] | None = None,
        size: tuple[int, int] | None = None,
        timeout: float = 30.0,
    ) -> bytes:
        """Take a picture of the page once all that it shows is there.

        If no page is open, one is opened in a browser without a window, if chromium is installed.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Where to write it.
        size : tuple of int, optional
            Width and height in pixels, without controls; by default as the page is.
        timeout : float, optional
            In seconds.

        Returns
        -------
        bytes
            A PNG.

        Raises
        ------
        ViewerError
            If there is no page and no browser, or it takes too long.
        """
        self._check_open()
        serving.start()
        picture = screenshot.take(self, self._desk, size, timeout)
        if path is not None:
            from ..atomic import replace_file

            replace_file(os.fspath(path), picture)
        return picture

    # What is kept of it

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write the state of the page as JSON; the data are not in it.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        from . import export

        with self._lock:
            keys = [source.key for layer in self._layers.values() for source in layer.sources]
        export.save_state(self.shared.value, keys, path)

    def load_state(self, path: str | os.PathLike[str]) -> None:
        """Show layers as they were when a state was saved, by their names.

        Parameters
        ----------
        path : str or os.PathLike
            What `save_state` wrote, here or in another process.

        Raises
        ------
        ViewerError
            If it is no state, or has a layer that was not added here.
        OSError
            If it cannot be read.
        """
        self._check_open()
        from . import export

        here = {str(one.get("name")): one for one in pagestate.layers(self.shared.value)}
        self.shared.set(export.load_state(path, here))

    def save_html(
        self,
        path: str | os.PathLike[str],
        *,
        voxels: int | None = None,
        picture: bytes | None = None,
    ) -> None:
        """Write a page that shows the layers without Python and without network.

        It holds the client and the voxels, and of the segments that are chosen their meshes.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        voxels : int, optional
            How many bytes of voxels, before they are compressed; by default 64 MiB.  If there are
            more, the largest volume is saved coarser, until there are not.
        picture : bytes, optional
            A PNG, seen until all is there; by default a screenshot, if a page is open.

        Raises
        ------
        ViewerError
            If an array cannot be read, or is too large.
        OSError
            If it cannot be written.
        """
        self._check_open()
        from . import export

        if picture is None and self.streams > 0:
            with suppress(ViewerError):
                picture = self.screenshot(timeout=5.0)
        state = self.shared.value
        with self._lock:
            layers = list(self._layers.values())
        export.save_html(
            state,
            layers,
            path,
            title=", ".join(self.layers),
            voxels=export.VOXELS if voxels is None else voxels,
            picture=picture,
        )

    # Where it is

    @property
    def url(self) -> str:
        """The address of the page; the server is started if need be.

        Raises
        ------
        ViewerError
            If the viewer was closed.
        """
        self._check_open()
        return f"{serving.start()}/v/{self.token}/"

    def local_url(self) -> str:
        """Return the address for a browser on this machine."""
        self._check_open()
        return f"{serving.start(near=True)}/v/{self.token}/"

    def requests(self) -> int:
        """Return how often pages asked for data."""
        with self._lock:
            return sum(one.asked for layer in self._layers.values() for one in layer.sources)

    def stale(self) -> bool:
        """Return whether pages were just told to load again, and have not begun to."""
        with self._lock:
            return any(
                time.monotonic() < layer.refreshed[0] + _HEARD
                and layer.refreshed[1] == sum(one.asked for one in layer.sources)
                for layer in self._layers.values()
            )

    def close(self) -> None:
        """Let go of all arrays, and make the address one of nothing."""
        with self._lock:
            if self.closed:
                return
            self.config.set({"statusMessages": {"closed": "This viewer was closed in Python."}})
            self.closed = True
            layers, self._layers = list(self._layers.values()), {}
        self._callbacks.close()
        self._registry.remove_page(self)
        for layer in layers:
            self._drop(layer)
        self.config.wake()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return "a viewer that was closed" if self.closed else self.url

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"at {self.url}" if serving.is_running() else "new"
        return f"<Viewer {where}: {self._count()}>"

    def _count(self) -> str:
        return f"{len(self._layers)} layer{'s' * (len(self._layers) != 1)}"

    def _repr_html_(self) -> str:
        if self.closed:
            return "<p>This viewer was closed.</p>"
        from . import notebook

        serving.expect_proxy(notebook.ancestors())
        return notebook.frame(self.url, serving.port(), f"v/{self.token}/")

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": f"Viewer of {self._count()}"}

    # What the server calls

    def action(self, name: str, state: Json) -> bool:
        """Take note of an action of a page; return False if nobody asked for it."""
        if name == "screenshot":
            self._desk.take(state.get("screenshot"))
            return True
        return self._callbacks.acted(name, state)

    def edited(self) -> None:
        """Take note that a page has changed the state."""
        state = self.shared.value
        shown = {str(layer.get("name")) for layer in pagestate.layers(state)}
        with self._lock:
            gone = [self._layers.pop(name) for name in list(self._layers) if name not in shown]
            seen, self._seen = self._seen, state
        for layer in gone:
            self._drop(layer)
        self._callbacks.changed(seen, state)

    def unreadable(self, name: str) -> None:
        """Have pages say that a layer cannot be read."""
        key, text = _message(name), f"Layer {name} cannot be read: see the messages of Python."
        if self.config.value.get("statusMessages", {}).get(key) != text:
            self.config.change(lambda c: c.setdefault("statusMessages", {}).__setitem__(key, text))

    def after_fork(self) -> None:
        """Start anew in a new process."""
        self._lock = threading.RLock()
        self.shared.after_fork()
        self.config.after_fork()
        self.streams = 0
        self._callbacks.after_fork()
        self._desk = screenshot.Desk()
        pools: list[Pool | MeshPool] = []
        for layer in self._layers.values():
            for source in layer.sources:
                pools += [source.pool, source.mesh_pool]
        for pool in pools:
            pool.after_fork()
        for scales in self._scales.values():
            scales.after_fork()

    def _check_open(self) -> None:
        if self.closed:
            raise ViewerError("This viewer was closed, or all were stopped: make a new one.")

    def _layer(self, name: str) -> Layer:
        layer = self._layers.get(name)
        if layer is None:
            raise self._unknown(name)
        return layer

    def _unknown(self, name: str) -> ViewerError:
        names = ", ".join(map(repr, self._layers)) or "there is none yet"
        return ViewerError(f"There is no layer {name!r} ({names}).")

    def _make_scales(self, layer: Layer) -> None:
        if layer.volume is not None:
            from .pyramid import Scales

            scales = Scales(layer.volume, f"layer {layer.name!r}")
            self._scales[layer.sources[0].key] = scales
            scales.start()

    def _drop(self, layer: Layer) -> None:
        keys = {source.key for source in layer.sources}
        for key in keys & self._scales.keys():
            self._scales.pop(key).stop()
        for source in layer.sources:
            self._registry.remove_source(source)

        def forget(config: Json) -> None:
            generations = config.get("sourceGenerations", {})
            for key in keys & generations.keys():
                del generations[key]
            if layer.name not in self._layers:
                config.get("statusMessages", {}).pop(_message(layer.name), None)

        self.config.change(forget)


class _Failed:
    """Tells a viewer that a layer failed."""

    __slots__ = ("_name", "_viewer")

    def __init__(self, viewer: Viewer, name: str) -> None:
        self._viewer = viewer
        self._name = name

    def __call__(self) -> None:
        self._viewer.unreadable(self._name)


def _message(name: str) -> str:
    return f"unreadable {name}"
