from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import ConfigError, DataError
from nibabel_data.package.manifest import (
    MANIFEST,
    hash_files,
    in_threads,
    manifest_text,
    package_files,
    parse_manifest,
    read_manifest,
    tree_hash,
)

hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
paths = st.text(min_size=1).filter(
    lambda path: not path.startswith(("/", "./")) and ".." not in path.split("/")
)


@given(st.dictionaries(paths, hashes))
def test_what_is_written_is_read_back(files: dict[str, str]) -> None:
    try:
        text = manifest_text(files)
    except DataError as error:
        assert "cannot stand in a manifest" in str(error)
        return
    if all(path == path.strip() and "\0" not in path for path in files):
        assert parse_manifest(text, "m") == files


@given(st.text(max_size=100))
def test_any_text_is_a_manifest_or_a_config_error(text: str) -> None:
    try:
        parse_manifest(text, "m")
    except ConfigError as error:
        assert error.line is not None


def test_sha256sum_verifies_it_without_this_library(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ä b.txt").write_text("x")
    (tmp_path / "a%20.txt").write_text("y")
    names = [path for path, _, _ in package_files(str(tmp_path))]
    (tmp_path / MANIFEST).write_text(manifest_text(hash_files(str(tmp_path), names)))
    command = ["sha256sum", "-c", MANIFEST]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count(": OK") == 2
    (tmp_path / "a%20.txt").write_text("z")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


def test_a_manifest_of_sha256sum_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    out = subprocess.run(["sha256sum", "-b", "./a"], cwd=tmp_path, capture_output=True, text=True)
    assert parse_manifest(out.stdout, "m") == {"a": hashlib.sha256(b"x").hexdigest()}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("nonsense\n", 1, "not a line of a manifest"),
        ("0" * 64 + "  a\n" + "1" * 64 + "  a\n", 2, "a second line for 'a'"),
        ("0" * 64 + "  ../a\n", 1, "outside the package"),
        ("\n" + "0" * 64 + "  /a\n", 2, "outside the package"),
    ],
)
def test_malformed_manifests_name_the_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_manifest(text, "m")
    assert caught.value.line == line


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_manifest(str(tmp_path)) is None
    (tmp_path / MANIFEST).write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_manifest(str(tmp_path))


def test_files_of_version_control_are_no_part_of_a_package(tmp_path: Path) -> None:
    for name in (".git/config", ".bidsignore", "a/.datalad/x", "a/b", ".DS_Store", MANIFEST):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path for path, _, _ in package_files(str(tmp_path))] == [".bidsignore", "a/b"]


def test_the_tree_hash_is_that_of_the_manifest() -> None:
    files = {"b": "1" * 64, "a": "0" * 64}
    assert tree_hash(files) == hashlib.sha256(manifest_text(files).encode()).hexdigest()
    assert tree_hash(files) == tree_hash(dict(reversed(files.items())))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none: no such file"):
        hash_files(str(tmp_path), ["none"])


def test_in_threads_keeps_the_order_and_few_items_waiting() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(5000):
            taken += 1
            yield number

    for number, result in enumerate(in_threads(lambda item: -item, items(), 4)):
        assert result == -number
        assert taken <= number + 1001


def test_in_threads_ends_at_the_first_error() -> None:
    called = []

    def fail(item: int) -> None:
        called.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="^0$"):
        list(in_threads(fail, range(100_000), 2))
    assert len(called) < 2000


def test_lines_are_counted_as_they_are_split() -> None:
    good = f"{'0' * 64}  a"
    for text in (f"{good}\n\nbad", f"{good}\n\nbad\n", f"\n{good}\nbad\n{good}"):
        with pytest.raises(ConfigError, match="line 3: not a line"):
            parse_manifest(text, "m.txt")
    assert parse_manifest("", "m.txt") == parse_manifest("\n\n", "m.txt") == {}
