"""What the tests of building share: small sources, compilers that count, a NEURON to load into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from nibabel_data.mechanisms import library
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.source import prepare

from .conftest import PAS

needs_compiler = pytest.mark.skipif(
    find_spec("neuron") is None or shutil.which("g++") is None,
    reason="needs NEURON and g++: pip install 'nibabel-data[neuron]'; apt install g++",
)

OBTAIN = """
import sys
from nibabel_data.mechanisms import library
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.source import prepare
source = prepare(Mechanism("lab", "Pas", "0", sys.argv[1]))
print(library.obtain(source, library.toolchain(), package="lab"))
"""
"""A program that builds the mechanism of a file, if need be, and prints its library."""

INSERT = """
import sys
from neuron import h
for library, name in zip(sys.argv[1::2], sys.argv[2::2]):
    assert h.nrn_load_dll(library) == 1.0, library
    section = h.Section()
    section.insert(name)
    assert section.has_membrane(name)
h.finitialize(-65)
h.fadvance()
print("inserted", end="")
"""
"""A program that loads libraries in NEURON, and inserts and runs the mechanism of each."""


def mechanism(path: Path, text: str | bytes = PAS, package: str = "lab") -> Mechanism:
    """Write a source, and return its mechanism."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    asset = "".join(c for c in path.stem if c.isascii() and c.isalnum())
    return Mechanism(package, asset, "0", str(path), "neuron", "density", "lab 1.0")


def obtain(one: Mechanism, **more: str | bool) -> Path:
    """Build a mechanism, if need be, and return its library."""
    source = prepare(one)
    return Path(library.obtain(source, library.toolchain(), package=one.package, **more))


def run_in_neuron(*libraries: tuple[Path, str], directory: Path) -> None:
    """Load libraries in a NEURON of their own, and insert what is in them."""
    words = [str(word) for pair in libraries for word in pair]
    command = [sys.executable, "-c", INSERT, *words]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "inserted"), done.stderr


class Compiler:
    """A program for ``CXX`` that writes down each time that it compiles."""

    def __init__(self, folder: Path, body: str, version: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "c++"
        self._log = folder / "log"
        told = f"echo '{version}'" if version else 'exec g++ "$@"'
        self.path.write_text(
            f'#!/bin/sh\ncase "$*" in *--version) {told}; exit;; esac\n'
            f'printf x >> "{self._log}"\n{body}'
        )
        self.path.chmod(0o755)

    @property
    def runs(self) -> int:
        """How often it has compiled."""
        return self._log.stat().st_size if self._log.exists() else 0


def quick_compiler(folder: Path) -> Compiler:
    """Return g++ that does not optimise."""
    return Compiler(folder, 'exec g++ "$@" -O0\n')


def copying_compiler(folder: Path, library: Path) -> Compiler:
    """Return what takes no time: it writes a library that is there, in two halves."""
    half = library.stat().st_size // 2
    return Compiler(
        folder,
        'while [ "$1" != -o ]; do shift; done\n'
        f'head -c {half} "{library}" > "$2"; sleep 0.05; tail -c +{half + 1} "{library}" >> "$2"\n',
        "copying 1.0",
    )


def start(*arguments: str | Path, **environment: str | Path) -> subprocess.Popen[str]:
    """Start `OBTAIN` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", OBTAIN, *map(str, arguments)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def built_once(folder: Path) -> Path:
    """Build the mechanism ``glia__lab__Pas__0``, of `PAS`, and return its library."""
    one = mechanism(folder / "Pas.mod")
    compiler = quick_compiler(folder / "compiler")
    process = start(one.path, NIBABEL_DATA_CACHE=folder / "cache", CXX=compiler.path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return Path(out.strip())
