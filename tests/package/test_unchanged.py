"""A package in which nothing changed is known again, and every change is seen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nibabel_data.cli.main import main
from nibabel_data.package import unchanged
from nibabel_data.package.manifest import package_files
from nibabel_data.package.unchanged import Fingerprint, is_unchanged, record_path, recorded_base

from ..conftest import MakePackage, run_python
from .test_verify import seal


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(unchanged, "settled", lambda seen, now: True)
    base = tmp_path / "atlas"
    for name in ("config.ini", "sub/a.txt", "sub/deep/b.txt"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    return base


def keep(base: Path, overlay: str = "") -> None:
    Fingerprint(str(base), overlay).keep("manifest", 3)


def test_it_is_known_again_with_what_it_was_checked_against(base: Path) -> None:
    assert is_unchanged(str(base)) is None
    keep(base)
    assert is_unchanged(str(base)) == ("manifest", 3, 0)
    assert recorded_base(record_path(str(base), "clean")) == str(base)


def same_size_and_time(base: Path) -> None:
    file = base / "sub" / "a.txt"
    status = file.stat()
    file.write_text("SUB/a.txt")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def broken_link(base: Path) -> None:
    (base / "link").symlink_to("nowhere")


CHANGES: list[Callable[[Path], object]] = [
    lambda base: (base / "sub" / "a.txt").write_text("other"),
    lambda base: (base / "sub" / "a.txt").unlink(),
    lambda base: (base / "sub" / "new").write_text(""),
    lambda base: (base / "sub" / ".hidden").write_text(""),
    lambda base: (base / "sub" / "a.txt").rename(base / "sub" / "z.txt"),
    lambda base: (base / "sub" / "deep").rename(base / "sub" / "other"),
    lambda base: (base / "sub" / "a.txt").chmod(0),
    lambda base: shutil.rmtree(base),
    same_size_and_time,
    broken_link,
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change: Callable[[Path], object], base: Path) -> None:
    keep(base)
    change(base)
    assert is_unchanged(str(base)) is None


def test_what_is_no_part_of_a_package_does_not_matter(base: Path) -> None:
    keep(base)
    (base / ".git").mkdir()
    (base / ".git" / "index").write_text("")
    (base / ".nibabel-data.0.part").write_text("")
    names = {path for path, _, _ in package_files(str(base))}
    assert names == {"config.ini", "sub/a.txt", "sub/deep/b.txt"}
    assert is_unchanged(str(base)) is not None


def test_the_files_of_the_overlay_are_looked_at_too(base: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    keep(base, str(overlay))
    assert is_unchanged(str(base)) is not None
    overlay.mkdir()
    assert is_unchanged(str(base)) is None
    (overlay / "fetched").write_text("a")
    keep(base, str(overlay))
    assert is_unchanged(str(base)) is not None
    (overlay / "fetched").write_text("b")
    assert is_unchanged(str(base)) is None


def test_what_changed_while_it_was_verified_is_not_kept(base: Path) -> None:
    before = Fingerprint(str(base))
    (base / "config.ini").write_text("other")
    before.keep("manifest", 3)
    assert is_unchanged(str(base)) is None


def test_a_file_of_this_moment_is_not_kept(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(base.parent / "cache"))
    keep(base)
    assert not os.path.exists(record_path(str(base), "clean"))


@pytest.mark.parametrize("line", range(8))
@pytest.mark.parametrize("text", ["", "0", "x" * 70_000, "9" * 5000, "\xff", "\n"])
def test_a_damaged_record_costs_time_alone(line: int, text: str, base: Path) -> None:
    keep(base)
    record = Path(record_path(str(base), "clean"))
    lines = record.read_text().split("\n")
    record.write_bytes("\n".join([*lines[:line], text, *lines[line + 1 :]]).encode("latin-1"))
    known = is_unchanged(str(base))
    assert known is None or line in (3, 4, 5) or lines[line] == text, known


def test_a_link_to_a_package_is_the_package(base: Path) -> None:
    (base.parent / "link").symlink_to(base)
    keep(base)
    assert is_unchanged(str(base.parent / "link")) == ("manifest", 3, 0)


def test_names_that_are_no_text(base: Path) -> None:
    odd = base / os.fsdecode(b"\xff\n")
    odd.write_text("")
    keep(base)
    assert is_unchanged(str(base)) is not None
    odd.unlink()
    assert is_unchanged(str(base)) is None


def test_a_directory_with_a_line_break_is_never_known(base: Path) -> None:
    odd = base.rename(base.parent / "a\nb")
    keep(odd)
    assert is_unchanged(str(odd)) is None


def test_without_descriptors(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Fingerprint(str(base)).text
    monkeypatch.setattr(unchanged, "_BY_DESCRIPTOR", False)
    assert Fingerprint(str(base)).text == text != ""


def test_the_command_loads_little(
    base: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_package()
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    seal(root / "nipy" / "templates")
    assert main(["verify", "nipy/templates"]) == 0
    code = """
import sys
before = set(sys.modules)
from nibabel_data.cli.main import main
main(["verify", "nipy/templates"])
print(*sorted(set(sys.modules) - before), sep="\\n")
"""
    first, *loaded = run_python(code).splitlines()
    assert "unchanged since they were read" in first
    others = {name for name in loaded if not name.startswith("nibabel_data")}
    assert others <= {"__future__", "_blake2", "marshal", "warnings"}


def test_the_record_is_looked_at_too(base: Path, tmp_path: Path) -> None:
    record = tmp_path / "RECORD"
    record.write_text("a")
    before = Fingerprint(str(base))
    before.add_record(str(record))
    before.keep("RECORD of x 1", 3)
    assert is_unchanged(str(base)) == ("RECORD of x 1", 3, 0)
    record.write_text("b")
    assert is_unchanged(str(base)) is None
    seen = (1, 2, 3, 4, 5)  # it changed while it was read
    before = Fingerprint(str(base))
    before.add_record(str(record), seen)
    before.keep("RECORD of x 1", 3)
    assert is_unchanged(str(base)) is None
    before.add_record("")
    assert before.text == ""
