"""``precompute``: a volume at all scales, with meshes and names, as files for the client."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, contextmanager
from typing import Any

from ..errors import DataError, ViewerError
from .output import print_json, shown

__all__ = ["precompute"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def precompute(arguments: argparse.Namespace) -> int:
    """Write a tree; say what was done."""
    source = _source(arguments.source, arguments.file)
    try:
        from ..viewer.writing import precompute as make
    except ImportError as error:
        raise ViewerError(
            f"precompute needs {error.name}: pip install 'nibabel-data[precompute]'"
        ) from None
    with _told_of_interruption(), _Bars() as bars:
        done = make(
            source,
            arguments.dest,
            format=arguments.format,
            kind=arguments.kind,
            labels=arguments.labels,
            voxel_size=_numbers(arguments.voxel_size),
            units=arguments.units,
            axes=arguments.axes.split(",") if arguments.axes else None,
            meshes=not arguments.no_meshes,
            gzip=arguments.gzip,
            jobs=arguments.jobs or os.cpu_count() or 1,
            scheduler=arguments.scheduler,
            overwrite=arguments.overwrite,
            progress=bars.told,
            room=arguments.room << 20,
        )
    if arguments.json:
        print_json(done._asdict())
        return 0
    size = " x ".join(map(str, done.shape))
    has = [_count(len(done.scales), "scale")]
    if done.labels is not None:
        has.append(_count(done.labels, "label"))
    before = done.tasks - done.done
    print(shown(f"{done.dest}: {done.format}, {done.kind} of {size}, {', '.join(has)}"))
    print(f"{_count(done.done, 'task')} done" + (f", {before} were done before" if before else ""))
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _source(source: str, file: str | None) -> str:
    """Return what is read: a path or URL as it is given, or a file of a data package."""
    from .view import paths_named

    if file is None and (":/" in source or os.path.exists(source)):
        return source
    paths = paths_named(source, [] if file is None else [file])
    if len(paths) != 1:
        raise DataError(f"one volume is written at a time: not both {' and '.join(paths)}")
    return paths[0]


def _numbers(text: str | None) -> list[float] | float | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise ViewerError(
            f"{text!r} is no voxel size: say 1 or, along x, y and z, 1,1,2.5"
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


@contextmanager
def _told_of_interruption() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is left", file=sys.stderr)
        raise


class _Bars:
    """A bar for each stage of the work, where a person can see it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._stage: tuple[str, int] = ("", 0)
        self._at = 0
        self._update: Callable[[int], Any] | None = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def told(self, stage: str, done: int, total: int) -> None:
        """Show how much of a stage is done."""
        from .progress import bar

        if (stage, total) != self._stage:
            self._stack.close()
            self._update = self._stack.enter_context(bar(stage, total))
            self._stage, self._at = (stage, total), 0
        if self._update is not None:
            self._update(done - self._at)
        self._at = done
