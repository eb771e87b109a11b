"""Ask a server for the same things again and again, over many connections at once.

A process of its own, in which nothing is done but to send requests and to throw away the answers:
``python viewer_load.py HOST PORT CONNECTIONS SECONDS``, with the paths on standard input, one a
line.  It prints JSON: how many answers there were, in how many seconds, of how many bytes.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

__all__ = ["load"]

RECEIVED = 1 << 20
"""Bytes that are taken from a connection at once."""


class Connection:
    """One connection, with one request under way."""

    __slots__ = ("left", "next", "socket")

    def __init__(self, address: tuple[str, int], first: int) -> None:
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.next = first
        self.left = -1  # bytes of the answer; before its head is there, -1

    def ask(self, requests: list[bytes]) -> None:
        self.socket.send(requests[self.next % len(requests)])
        self.next += 1
        self.left = -1

    def take(self, buffer: memoryview) -> int:
        """Take what has come of an answer; return how many bytes of the body."""
        count = self.socket.recv_into(buffer)
        if not count:
            raise SystemExit("the server has closed a connection")
        if self.left >= 0:
            self.left -= count
            return count
        head, _, _ = bytes(buffer[: min(count, 4096)]).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"the server answers {head[:60]!r}")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = count - len(head) - 4
                self.left = int(line.partition(b":")[2]) - body
                return body
        raise SystemExit("the server does not say how long an answer is")


def load(
    address: tuple[str, int], paths: list[str], connections: int, seconds: float
) -> dict[str, float]:
    host = f"{address[0]}:{address[1]}"
    requests = [f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for path in paths]
    buffer = memoryview(bytearray(RECEIVED))
    selector = selectors.DefaultSelector()
    for number in range(connections):
        one = Connection(address, number * len(paths) // connections)
        selector.register(one.socket, selectors.EVENT_READ, one)
        one.ask(requests)
    answers = size = 0
    begin = time.perf_counter()
    until = begin + seconds
    while answers < connections or time.perf_counter() < until:
        for key, _ in selector.select(1.0):
            one = key.data
            size += one.take(buffer)
            if one.left == 0:
                answers += 1
                one.ask(requests)
    return {"answers": answers, "seconds": time.perf_counter() - begin, "bytes": size}


if __name__ == "__main__":
    host, port, connections, seconds = sys.argv[1:]
    paths = sys.stdin.read().split()
    print(json.dumps(load((host, int(port)), paths, int(connections), float(seconds))))
