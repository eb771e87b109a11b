"""A web server of one's own, that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Handler", "Web", "serve"]

NONE: Mapping[str, str] = {}


class Web(ThreadingHTTPServer):
    """Files by path; for some paths, what is done in place of sending them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Callable[[Handler, int], object]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self.tags = True
        self.pause = 0.0
        self.lock = threading.Lock()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    @property
    def count(self) -> Counter[str]:
        return Counter(path for path, _ in self.requests)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Sends a file, or a part of it."""

    server: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.requests.append((path, headers))
            number = self.server.count[path]
        fault = self.server.faults.get(path)
        if fault is not None and fault(self, number) is not False:
            return
        content = self.server.files.get(path)
        if content is None:
            self.answer(404, b"not here")
            return
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start, asked = 0, re.match(r"bytes=(\d+)-", headers.get("range", ""))
        if asked and self.server.ranges and headers.get("if-range", tag) == tag:
            start = int(asked[1])
        extra = {"ETag": tag} if self.server.tags else {}
        if start >= len(content) > 0:
            self.answer(416, b"")
        elif start:
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], extra)
        else:
            self.answer(200, content, extra)

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] = NONE, cut: int | None = None
    ) -> bool:
        """Answer; with `cut` the connection breaks off after so many bytes of the body."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = body if cut is None else body[:cut]
        for place in range(0, len(sent), 1 << 16):
            self.wfile.write(sent[place : place + (1 << 16)])
            self.wfile.flush()
            time.sleep(self.server.pause)
        self.close_connection = cut is not None
        return True

    def log_message(self, *args: object) -> None:
        """Tests are silent."""


@contextmanager
def serve() -> Iterator[Web]:
    """Run a server as long as the context lasts."""
    web = Web()
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.shutdown()
        web.server_close()
        thread.join(5)
