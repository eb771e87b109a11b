"""The one server of a process: uvicorn in a thread of its own, started when it is first needed.

It has its own event loop, so that it works in Jupyter, whose loop runs already, as in a script.
"""

from __future__ import annotations

import atexit
import errno
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from ..errors import ViewerError
from .guard import Guard, is_loopback, is_wildcard

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .sources import Registry

__all__ = [
    "allow",
    "expect_proxy",
    "is_running",
    "port",
    "registry",
    "set_server_bind_address",
    "start",
    "stop",
]

HEADER_SECONDS = 10.0  # for the whole of a request's head
KEEP_ALIVE_SECONDS = 30
STALL_SECONDS = 60.0  # in which a client takes nothing of what it is sent
MAX_HEADER = 64 << 10  # bytes
MAX_CONNECTIONS = 4096
_START_SECONDS = 20.0
_VIEW = "pip install 'nibabel-data[view]'"

_lock = threading.RLock()
_address: tuple[str, int] = ("127.0.0.1", 0)
_allowed: list[str] = []
_sources: list[str] = []
_registry: Registry | None = None
_running: _Running | None = None


@final
class _Running:
    """A server that runs."""

    __slots__ = ("address", "guard", "listening", "pid", "port", "server", "thread")

    def __init__(self, address: tuple[str, int]) -> None:
        uvicorn = _uvicorn()
        from .server import make_app

        self.pid = os.getpid()
        self.address = address[0]
        self.guard = Guard(self.address)
        for host in _allowed:
            self.guard.allow(host)
        for source in _sources:
            self.guard.allow_source(source)
        self.listening = _listen(*address)
        self.port = int(self.listening.getsockname()[1])
        config = uvicorn.Config(
            make_app(registry(), self.guard),
            http=_protocol(),
            ws="none",
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            limit_concurrency=_most(),
        )
        config.load()
        config.loaded_app = config.app  # without uvicorn's own log of addresses, of level 5
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._run, name="nibabel-data-viewer", daemon=True)
        self.thread.start()
        self._await_start()

    def _run(self) -> None:
        self.server.run(sockets=[self.listening])

    def _await_start(self) -> None:
        import time

        until = time.monotonic() + _START_SECONDS
        while not self.server.started:
            if not self.thread.is_alive() or time.monotonic() > until:
                self.listening.close()
                raise ViewerError("The server of the viewer did not start.")
            time.sleep(0.001)

    def end(self) -> None:
        self.server.should_exit = True
        if threading.current_thread() is not self.thread:
            self.thread.join(_START_SECONDS)
        self.listening.close()


def registry() -> Registry:
    """Return what the server answers for; it may be filled before there is a server."""
    global _registry
    with _lock:
        if _registry is None:
            _uvicorn()
            from .sources import Registry

            _registry = Registry()
        return _registry


def start(*, near: bool = False) -> str:
    """Start the server, unless it runs, and return its address, without a last slash.

    Parameters
    ----------
    near : bool, optional
        Return the address for this machine alone.

    Raises
    ------
    ViewerError
        If it cannot be started.
    """
    global _running
    with _lock:
        if _running is None:
            _running = _Running(_address)
        address = _running.address
        if near and is_wildcard(address):
            host = "[::1]" if ":" in address else "127.0.0.1"
        else:
            host = _shown(address)
        return f"http://{host}:{_running.port}"


def expect_proxy(frames: Iterable[str] = ()) -> None:
    """Let the server be asked for by the name of a proxy that only the browser knows.

    Parameters
    ----------
    frames : iterable of str, optional
        Origins of pages that may have the page of a viewer in a frame.
    """
    with _lock:
        start()
        assert _running is not None
        _running.guard.proxied = True
        _running.guard.frames.update(frames)


def port() -> int:
    """Return the port of the server, started if need be."""
    with _lock:
        start()
        assert _running is not None
        return _running.port


def is_running() -> bool:
    """Return whether the server runs."""
    return _running is not None


def stop() -> None:
    """End the server and every viewer: their addresses are no more, and arrays are let go of."""
    global _running, _registry
    with _lock:
        running, _running = _running, None
        known, _registry = _registry, None
    if known is not None:
        for page in known.pages():
            close = getattr(page, "close", None)
            if close is not None:
                close()
    if running is not None:
        running.end()


def set_server_bind_address(address: str = "127.0.0.1", port: int = 0) -> None:
    """Say where the server listens, before it is started.

    Parameters
    ----------
    address : str, optional
        ``127.0.0.1``: this machine alone.  ``0.0.0.0`` or ``::``: every machine that can reach it;
        who has the address of a viewer then sees what it shows, unencrypted.
    port : int, optional
        By default any that is free.

    Raises
    ------
    ViewerError
        If the server runs already, or the port is none.
    """
    global _address
    if not (isinstance(port, int) and 0 <= port < 65536):
        raise ViewerError(f"{port!r} is not a port: give a number from 0 to 65535")
    with _lock:
        if _running is not None and (address, port) != _address:
            raise ViewerError(
                f"The server already listens on {_running.address}:{_running.port}. Set its "
                "address before the first viewer is shown, or call nibabel_data.viewer.stop(), "
                "which ends the viewers there are."
            )
        _address = (address, port)


def allow(*, host: str | None = None, source: str | None = None) -> None:
    """Let the server be asked for by another name, or its pages load data from another server.

    Parameters
    ----------
    host : str, optional
        The name of a proxy in front, ``hub.example.org``.
    source : str, optional
        An origin, ``https://storage.googleapis.com``, from which layers load data.

    Raises
    ------
    ViewerError
        If it is not of that form.
    """
    with _lock:
        check = _running.guard if _running is not None else Guard()
        if host is not None:
            check.allow(host)
            _allowed.append(host)
        if source is not None:
            check.allow_source(source)
            _sources.append(source)


def _listen(address: str, port: int) -> socket.socket:
    plain = address.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((plain, port))
        listening.listen(1024)
    except (OSError, UnicodeError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = f"{reason}. Name another port, or none: then any is taken that is free"
        raise ViewerError(f"The server cannot listen on {address}:{port}: {reason}") from error
    listening.setblocking(False)
    return listening


def _shown(address: str) -> str:
    """Return a host by which a bound address can be reached."""
    plain = address.strip("[]")
    if is_wildcard(plain):
        name = socket.getfqdn()
        if not is_loopback(name) and _resolves(name):
            return name
        plain = _outward()
    return f"[{plain}]" if ":" in plain else plain


def _most() -> int:
    """Return how many connections there may be, so that files can still be opened."""
    if sys.platform == "win32":
        return 400
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, min(MAX_CONNECTIONS, soft // 2 if soft > 0 else MAX_CONNECTIONS))


def _resolves(name: str) -> bool:
    try:
        return not is_loopback(str(socket.getaddrinfo(name, None)[0][4][0]))
    except (OSError, UnicodeError):
        return False


def _outward() -> str:
    """Return the number of this machine towards others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            number = str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
    return "127.0.0.1" if is_wildcard(number) else number


def _uvicorn() -> Any:
    try:
        import httptools  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ViewerError(f"the viewer needs {error.name}: {_VIEW}") from None
    return uvicorn


def _protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, with limits to what a client may take its time with."""
    import logging

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    most = _most()
    quiet = logging.getLogger(f"{__name__}.http")
    quiet.setLevel(logging.CRITICAL)  # a request that is none is no matter for the user

    class Protocol(HttpToolsProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.logger = quiet
            self.access_log = False  # tokens are in addresses
            self._head = 0
            self._deadline: asyncio.TimerHandle | None = None
            self._pauses = 0
            self._watched = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
                return
            self._begin()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
                self._begin()
            if self._deadline is not None:
                self._head += len(data)
            super().data_received(data)
            if self._deadline is not None and self._head > MAX_HEADER:
                self._late()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._pauses += 1
            if not self._watched:
                self._watch((0, 0))

        def on_headers_complete(self) -> None:
            self._end()
            super().on_headers_complete()

        def _begin(self) -> None:
            self._head = 0
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._late)

        def _end(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _watch(self, before: tuple[int, int]) -> None:
            now = self._pauses, self.transport.get_write_buffer_size()
            self._watched = now[1] > 0 and self.flow.write_paused and now != before
            if self._watched:
                self.loop.call_later(STALL_SECONDS, self._watch, now)
            elif now == before:
                self.transport.abort()

        def _late(self) -> None:
            self._end()
            if not self.transport.is_closing():
                self.transport.abort()

    return Protocol


def _after_fork() -> None:
    """Forget, in a new process, the server of the old one, which goes on there."""
    global _lock, _running
    _lock = threading.RLock()
    running, _running = _running, None
    if running is not None:
        with suppress(OSError):
            os.close(running.listening.detach())
    if _registry is not None:
        for page in _registry.pages():
            after = getattr(page, "after_fork", None)
            if after is not None:
                after()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)
