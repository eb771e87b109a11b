"""Running one hook of a build backend (PEP 517), in a process that does nothing else.

setuptools reads each file of a wheel as a whole, and so needs as much memory as the largest file.
Here its writer of wheels is replaced by one that reads in pieces.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
import io
import os
import stat
import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

__all__ = ["WheelWriter", "main"]

_PIECE = 1 << 20


class WheelWriter:
    """What ``bdist_wheel`` of setuptools uses of its ``WheelFile``.

    Every member has the time ``SOURCE_DATE_EPOCH``.

    Parameters
    ----------
    path : str
        The wheel.
    mode : str
        ``w``.
    compression : int, optional
        A method of `zipfile`.
    """

    __slots__ = ("_archive", "_compression", "_date", "_record")

    def __init__(self, path: str, mode: str, compression: int = zipfile.ZIP_DEFLATED) -> None:
        self._archive = zipfile.ZipFile(path, "w")
        self._compression = compression
        self._date = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
        self._record: list[tuple[str, str, str]] = []

    def __enter__(self) -> WheelWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def write_files(self, base: str) -> None:
        """Pack a tree, sorted, with the metadata at the end and the RECORD last of all.

        Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
        """
        names = []
        for here, _, files in os.walk(base):
            inside = os.path.relpath(here, base).replace(os.sep, "/")
            names += files if inside == "." else [f"{inside}/{name}" for name in files]
        names.sort(key=lambda name: (_is_metadata(name), name))
        (record,) = {
            f"{name.split('/')[0]}/RECORD" for name in names if name.endswith(".dist-info/WHEEL")
        }
        for name in names:
            if name != record:
                self._write(os.path.join(base, *name.split("/")), name)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self._record, (record, "", "")])
        info = zipfile.ZipInfo(record, self._date)
        info.external_attr = (0o644 | stat.S_IFREG) << 16
        self._archive.writestr(info, text.getvalue(), self._compression)

    def _write(self, path: str, name: str) -> None:
        info = zipfile.ZipInfo(name, self._date)
        info.external_attr = (0o644 | stat.S_IFREG) << 16
        info.compress_type = self._compression
        info.file_size = os.path.getsize(path)  # tells whether the large form of zip is needed
        sha256 = hashlib.sha256()
        with open(path, "rb") as file, self._archive.open(info, "w") as packed:
            while piece := file.read(_PIECE):
                sha256.update(piece)
                packed.write(piece)
        digest = base64.urlsafe_b64encode(sha256.digest()).decode().rstrip("=")
        self._record.append((name, f"sha256={digest}", str(info.file_size)))


def _is_metadata(name: str) -> bool:
    return name.split("/")[0].endswith(".dist-info")


def main(arguments: Sequence[str]) -> None:
    """Run a hook, and print the name of the file that it made as the last line.

    Parameters
    ----------
    arguments : sequence of str
        The backend as ``module:object``, the hook's name, and the directory for the result.
    """
    place, hook, out = arguments
    os.umask(0o022)
    sys.argv[1:] = []
    module, _, name = place.partition(":")
    backend = importlib.import_module(module)
    if module == "setuptools.build_meta":
        _pack_in_pieces()
    print(getattr(getattr(backend, name) if name else backend, hook)(out))


def _pack_in_pieces() -> None:
    # Before setuptools 70.1 the command was in the package wheel.
    for name in ("setuptools.command.bdist_wheel", "wheel._bdist_wheel", "wheel.bdist_wheel"):
        with suppress(ImportError):
            command: Any = importlib.import_module(name)
            command.WheelFile = WheelWriter
            return
