"""Processes that are killed at any moment, many of them, without waiting for imports each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Forks", "forking"]

_FORKING = """
import json, os, sys
exec(sys.argv[1])
for line in sys.stdin:
    child = os.fork()
    if not child:
        work(*json.loads(line))
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until then its number is not given to another
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Forks:
    """Forks processes of their own that do some work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *arguments: object) -> int:
        """Start ``work(*arguments)``; return the number of the process."""
        return int(self._ask(json.dumps([str(argument) for argument in arguments])))

    def kill(self, process: int, seconds: float) -> bool:
        """Kill it after some time; return whether it was not done yet."""
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        return os.WIFSIGNALED(int(self._ask("")))

    def wait(self) -> None:
        """Wait until it is done, which has to be well."""
        assert int(self._ask("")) == 0

    def _ask(self, text: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def forking(code: str) -> Iterator[Forks]:
    """Give what forks processes; `code` imports what is needed, and defines ``work``."""
    command = [sys.executable, "-W", "error", "-c", _FORKING, code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Forks(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)
