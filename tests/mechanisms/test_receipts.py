"""A receipt holds as long as nothing that it rests on has changed, and counts for nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data.environment import cache_dir
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.receipts import Receipt, keep, recall

IONS = (("k", None), ("ca", 2.0), ("x", -1.5))


class Kept:
    """A mechanism with the files on which its receipt rests."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "Kv1__0.mod"
        self.included = folder / "rates.inc"
        self.compiler = folder / "g++"
        self.library = folder / "mechanism.so"
        for path in (self.source, self.included, self.compiler, self.library):
            path.write_bytes(b"content of " + path.name.encode())
            make_old(path)
        self.neuron = str(folder / "neuron" / "__init__.py")
        self.mechanism = Mechanism("lab", "Kv1", "0", str(self.source))

    def keep(self) -> None:
        receipt = Receipt(str(self.library), "abc", "density", IONS)
        files = [str(self.source), str(self.included), str(self.compiler)]
        keep(self.mechanism, self.neuron, receipt, files)

    def recall(self) -> Receipt | None:
        return recall(self.mechanism, self.neuron)

    @property
    def file(self) -> Path:
        (path,) = Path(cache_dir(), "mechanisms", "receipts").iterdir()
        return path


def make_old(path: Path) -> None:
    earlier = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(earlier, earlier))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    kept.keep()
    return kept


def test_it_says_what_the_answer_was(kept: Kept) -> None:
    receipt = kept.recall()
    assert receipt is not None
    assert receipt.library == str(kept.library)
    assert (receipt.digest, receipt.kind, receipt.ions) == ("abc", "density", IONS)


def test_without_one_there_is_no_answer(tmp_path: Path) -> None:
    assert Kept(tmp_path).recall() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.source.write_text("another content"),
        lambda kept: kept.source.touch(),
        lambda kept: kept.included.write_text("another"),
        lambda kept: kept.included.unlink(),
        lambda kept: kept.compiler.write_text("another"),
        lambda kept: kept.library.unlink(),
        lambda kept: kept.library.write_bytes(kept.library.read_bytes()[:-1]),
        lambda kept: kept.file.write_text(""),
        lambda kept: kept.file.write_bytes(b"\xff" * 100),
        lambda kept: kept.file.write_text(kept.file.read_text().replace("receipt 1", "receipt 2")),
        lambda kept: kept.file.write_text(kept.file.read_text().replace("ca:2.0", "ca:two")),
        lambda kept: kept.file.write_text("\n".join(kept.file.read_text().split("\n")[:4])),
    ],
)
def test_it_does_not_hold_when_something_changed(
    change: Callable[[Kept], object], kept: Kept
) -> None:
    change(kept)
    assert kept.recall() is None


def test_a_flipped_bit_of_the_library_is_seen_though_its_status_is_the_same(kept: Kept) -> None:
    status = kept.library.stat()
    content = bytearray(kept.library.read_bytes())
    content[3] ^= 1
    with open(kept.library, "r+b") as file:
        file.write(content)
    os.utime(kept.library, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert kept.recall() is None


@pytest.mark.parametrize("name", ["CXX", "CC", "PATH", "MODL_INCLUDE", "NRNHOME"])
def test_it_does_not_hold_under_other_variables(
    name: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/another")
    assert kept.recall() is None


def test_none_is_kept_of_a_file_that_changed_just_now(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.source.touch()  # it may change again, within the clock's grain
    kept.keep()
    assert kept.recall() is None


def test_each_file_and_each_neuron_has_its_own(kept: Kept) -> None:
    assert recall(kept.mechanism, "/elsewhere/neuron/__init__.py") is None
    twin = Mechanism("lab", "Kv1", "0", str(kept.included))
    assert recall(twin, kept.neuron) is None


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "file" / "cache"))
    kept = Kept(tmp_path)
    kept.keep()
    assert kept.recall() is None
