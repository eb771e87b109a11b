"""Who may ask: names of this server, where a page may be from, and what it may load.

A page elsewhere can have a browser send requests to this machine, by a name that it points there
(DNS rebinding) or across sites; it cannot choose what the browser then says in ``Host`` and
``Origin``.  The token of a viewer is the first defence, this is the second.
"""

from __future__ import annotations

import os
import re
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, final

from ..errors import ViewerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Guard", "is_loopback", "is_wildcard"]

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?|vscode-webview)://([^/?#@\s]+)")
_MAX_HOSTS = 32
_HUB = "JUPYTERHUB_SERVICE_PREFIX"


@final
class Guard:
    """The rules of one server.

    Parameters
    ----------
    address : str, optional
        What the server is bound to.

    Attributes
    ----------
    hosts : set of str
        Names that the user allowed, in small letters: of a proxy, or of this machine.
    sources : set of str
        Origins of data that pages may load, besides this server.
    frames : set of str
        Origins of pages, besides this machine's, that may have the page of a viewer in a frame.
    proxied : bool
        Whether a proxy is expected of which only the browser knows the name; see `learn`.
    """

    __slots__ = ("_own", "_wildcard", "frames", "hosts", "proxied", "sources")

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.hosts: set[str] = set()
        self.sources: set[str] = set()
        self.frames: set[str] = set()
        self.proxied = False
        self._wildcard = is_wildcard(address)
        self._own = {address.lower().strip("[]")}
        if not is_loopback(address):
            name = socket.gethostname().lower()
            self._own |= {name, name.partition(".")[0], socket.getfqdn().lower()}

    def allow(self, host: str) -> None:
        """Let the server be asked for by another name, with or without a port or a scheme.

        Raises
        ------
        ViewerError
            If it is no name.
        """
        match = _HOST.fullmatch(host.partition("://")[2].partition("/")[0] or host)
        if match is None:
            raise ViewerError(f"{host!r} is not the name of a host")
        self.hosts.add(match[1].lower().strip("[]"))

    def learn(self, host: str) -> bool:
        """Know the server by a name from now on, if a proxy is expected; return whether it is so.

        Parameters
        ----------
        host : str
            What a request said that named a viewer's token.  Who has that needs no other name to
            be answered, so that no more is given away.
        """
        match = _HOST.fullmatch(host)
        if match is None or not self.proxied or len(self.hosts) >= _MAX_HOSTS:
            return False
        self.hosts.add(match[1].lower().strip("[]").rstrip("."))
        return True

    def allow_source(self, origin: str) -> None:
        """Let pages load data from another server.

        Raises
        ------
        ViewerError
            If it is not like ``https://host`` or ``https://host:port``.
        """
        origin = origin.rstrip("/")
        if not re.fullmatch(r"https?://[A-Za-z0-9.*_-]+(:[0-9]{1,5})?", origin):
            raise ViewerError(f"{origin!r} is not like https://host: give no path")
        self.sources.add(origin)

    def refusal(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Return why a request is not answered, as a sentence; None if it is.

        In JupyterHub (``JUPYTERHUB_SERVICE_PREFIX`` is set) requests come by way of the hub, with
        its public name, which this machine does not know: any name will do, but the page has still
        to be of that name, or of the same origin in the browser's own words.

        Parameters
        ----------
        method : str
            ``GET`` or another.
        headers : mapping
            With names in small letters.
        """
        host = headers.get("host", "")
        match = _HOST.fullmatch(host)
        if match is None:
            return "This request does not say properly by which name it asks for the server."
        hub = _HUB in os.environ
        trusted = hub or self.proxied
        if not (hub or self._knows(match[1].lower().strip("[]").rstrip("."))):
            return (
                "This server is not known by the name that it was asked for. If that is the name "
                "of a proxy, allow it in Python: nibabel_data.viewer.allow(host=...)."
            )
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site")
        if origin is not None and not self._same(origin, host, trusted and site == "same-origin"):
            return "This request is from a page of another origin."
        if method not in ("GET", "HEAD") and site in ("cross-site", "same-site") and not origin:
            return "This request is from a page of another site."
        return None

    def policy(self) -> str:
        """Return the ``Content-Security-Policy`` of the pages."""
        allowed = sorted(self.hosts)
        frames = [f"{scheme}://{host}:*" for host in allowed for scheme in ("http", "https")]
        local = ["http://localhost:*", "http://127.0.0.1:*", "vscode-webview:"]
        sources = sorted(self.sources)
        return "; ".join(
            (
                "default-src 'none'",
                # The client compiles its decoders of labels and annotations from text.
                "script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'",
                "worker-src 'self' blob:",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                " ".join(["connect-src 'self' blob: data:", *sources]),
                "base-uri 'none'",
                "form-action 'none'",
                " ".join(["frame-ancestors 'self'", *local, *frames, *sorted(self.frames)]),
            )
        )

    def _knows(self, name: str) -> bool:
        if name in self._own or name in self.hosts or is_loopback(name):
            return True
        return self._wildcard and _is_address(name)  # a number cannot be pointed elsewhere

    def _same(self, origin: str, host: str, browser_says_so: bool) -> bool:
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return False
        name = _HOST.fullmatch(match[2])
        return (
            match[2].lower() == host.lower()
            or browser_says_so
            or (name is not None and name[1].lower().strip("[]") in self.hosts)
        )


def is_loopback(name: str) -> bool:
    """Return whether a name or number of a host is always this machine."""
    name = name.lower().strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ip_address(name).is_loopback


def is_wildcard(name: str) -> bool:
    """Return whether an address stands for all of this machine."""
    name = name.strip("[]")
    return name == "" or (_is_address(name) and ip_address(name).is_unspecified)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
