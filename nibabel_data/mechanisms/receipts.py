"""Which library a mechanism had last, told by the status of files alone.

To know that a library is the right one, its source is read, renamed and digested, and so are
NEURON's translator and flags.  A receipt says what the answer was, and from which files: as long as
none of them, and no variable that matters, has changed, the answer is the same.  The library itself
is read and checked each time.  Whatever is odd about a receipt, it does not count.
"""

from __future__ import annotations

import os
import time
from os.path import join as pjoin
from zlib import crc32

from ..ini import signature

__all__ = ["Receipt", "keep", "recall"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .mechanism import Mechanism

_FORM = "nibabel-data receipt 1"
_SETTLED = 2_000_000_000  # nanoseconds; a file that changed later may change again unseen
_VARIABLES = ("CC", "CXX", "MODL_INCLUDE", "NRNHOME", "PATH")


class Receipt:
    """What a mechanism was built into.

    Attributes
    ----------
    library : str
        The path of the library.
    digest : str
        Of its source.
    kind : str
        As its source declares it.
    ions : tuple of (str, float or None)
        The ions that it uses, with their valences where it gives them.
    """

    __slots__ = ("digest", "ions", "kind", "library")

    def __init__(
        self, library: str, digest: str, kind: str, ions: tuple[tuple[str, float | None], ...]
    ) -> None:
        self.library = library
        self.digest = digest
        self.kind = kind
        self.ions = ions


def recall(mechanism: Mechanism, neuron: str) -> Receipt | None:
    """Return the receipt of a mechanism if it still holds; nothing is written.

    Parameters
    ----------
    mechanism : Mechanism
        One that has a file.
    neuron : str
        The file from which NEURON is imported.

    Returns
    -------
    Receipt or None
        None if there is none, or anything has changed.
    """
    try:
        with open(_path(mechanism, neuron), encoding="utf-8") as file:
            lines = file.read().split("\n")
        form, variables, library, sum_, digest, kind, ions, *stamps = lines
        if form != _FORM or variables != _variables():
            return None
        for line in stamps:
            path, _, stamp = line.partition("\t")
            if path and stamp != _stamp(path):
                return None
        with open(library, "rb") as content:
            if str(crc32(content.read())) != sum_:
                return None
        return Receipt(library, digest, kind, _ions(ions))
    except (OSError, ValueError):
        return None


def keep(mechanism: Mechanism, neuron: str, receipt: Receipt, files: Iterable[str]) -> None:
    """Write the receipt of a mechanism; one that cannot be written is done without.

    Parameters
    ----------
    mechanism : Mechanism
        The mechanism.
    neuron : str
        The file from which NEURON is imported.
    receipt : Receipt
        What it was built into.
    files : iterable of str
        All files on which that rests: sources, translator, flags, compiler.
    """
    from contextlib import suppress

    from ..atomic import replace_file

    with suppress(OSError, ValueError):
        with open(receipt.library, "rb") as content:
            sum_ = crc32(content.read())
        files = list(dict.fromkeys(files))
        newest = max(os.stat(path).st_mtime_ns for path in files)
        if time.time_ns() - newest < _SETTLED or any(
            "\n" in path or "\t" in path for path in files
        ):
            return
        ions = " ".join(
            f"{ion}:{'' if valence is None else valence}" for ion, valence in receipt.ions
        )
        lines = [
            _FORM,
            _variables(),
            receipt.library,
            str(sum_),
            receipt.digest,
            receipt.kind,
            ions,
        ]
        lines += [f"{path}\t{_stamp(path)}" for path in files]
        path = _path(mechanism, neuron)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, "\n".join(lines).encode())


def _path(mechanism: Mechanism, neuron: str) -> str:
    from ..environment import cache_dir

    which = crc32(f"{mechanism.path}\n{neuron}".encode("utf-8", "surrogateescape"))
    return pjoin(cache_dir(), "mechanisms", "receipts", f"{mechanism.name}-{which:08x}")


def _variables() -> str:
    return "\t".join(f"{name}={os.environ.get(name, '')}" for name in _VARIABLES).replace("\n", " ")


def _stamp(path: str) -> str:
    return " ".join(map(str, signature(os.stat(path))))


def _ions(text: str) -> tuple[tuple[str, float | None], ...]:
    found = []
    for word in text.split():
        ion, _, valence = word.partition(":")
        found.append((ion, float(valence) if valence else None))
    return tuple(found)
