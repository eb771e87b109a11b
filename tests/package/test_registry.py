from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import ConfigError, ini
from nibabel_data.package.registry import parse_registry, read_registry, urls_of

from ..conftest import MakePackage

SHA256 = "ab" * 32
LINE = f"sub/a.txt {SHA256}"


def test_lines() -> None:
    text = f"# files\n\n  {LINE.upper().replace('SUB/A.TXT', 'sub/a.txt')}  https://a.org/a#b\n"
    text += f"'with space' md5:{'0' * 32} ftp://a.org/x s3://bucket/x\n./b sha1:{'1' * 40}"
    entries = parse_registry(text, "registry.txt")
    assert list(entries) == ["sub/a.txt", "with space", "b"]
    first, second, third = entries.values()
    assert (first.algorithm, first.digest, first.line) == ("sha256", SHA256, 3)
    assert first.urls == ("https://a.org/a#b",)
    assert (second.algorithm, second.urls) == ("md5", ("ftp://a.org/x", "s3://bucket/x"))
    assert third.urls == ()


def test_a_registry_of_pooch_is_read_as_pooch_reads_it(tmp_path: Path) -> None:
    pooch = pytest.importorskip("pooch", reason="pip install 'nibabel-data[fetch]'")
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "a.txt").write_text("a")
    (tmp_path / "data" / "b").write_text("b")
    pooch.make_registry(str(tmp_path / "data"), str(tmp_path / "registry.txt"))
    with (tmp_path / "registry.txt").open("a") as file:
        file.write(f"'c d' MD5:{'0' * 32} https://a.org/c\n# end\n")
    theirs = pooch.create(tmp_path, "https://a.org/")
    theirs.load_registry(tmp_path / "registry.txt")
    ours = parse_registry((tmp_path / "registry.txt").read_text(), "registry.txt")
    assert {path: theirs.registry[path].rpartition(":")[2] for path in theirs.registry} == {
        path: entry.digest for path, entry in ours.items()
    }
    assert {path: entry.urls[0] for path, entry in ours.items() if entry.urls} == theirs.urls


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.txt", "not a line of a registry"),
        ("a.txt abc", "sha256 has 64 hexadecimal digits"),
        (f"a.txt md5:{'0' * 31}", "md5 has 32 hexadecimal digits"),
        (f"a.txt xyz:{SHA256}", "no hash that hashlib knows: 'xyz'"),
        (f"a.txt shake_128:{SHA256}", "not a hash"),
        (f"../a.txt {SHA256}", "no path in the package"),
        (f"/etc/passwd {SHA256}", "no path in the package"),
        (f"a/../../b {SHA256}", "no path in the package"),
        (f"a//b {SHA256}", "no path in the package"),
        (f"a/ {SHA256}", "no path in the package"),
        (f"'a\\b' {SHA256}", "no path in the package"),
        (f"'a\0b' {SHA256}", "no path in the package"),
        (f"'a {SHA256}", "no closing quotation"),
        (f"{LINE} a.txt", "not a URL: 'a.txt'"),
        (f"{LINE} C:/a.txt", "not a URL"),
    ],
)
def test_bad_lines_name_file_line_and_problem(line: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_registry(f"# first\n{line}\n", "r.txt")
    assert str(caught.value).startswith("r.txt, line 2: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *("config.ini", "./registry.txt", "manifest-sha256.txt", "Config.INI", "registry.txt."),
        *(".git/config", "sub/.GIT/hooks/x", ".git", ".gitattributes", "a/__pycache__/b.pyc"),
        *(".DS_Store", ".nibabel-data.0123.part", ".datalad/config", "'.git /x'"),
    ],
)
def test_what_makes_a_package_is_never_fetched(path: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^r\.txt, line 2: .* cannot be fetched; remove the line"
    ):
        parse_registry(f"{LINE}\n{path} {SHA256}\n", "r.txt")


@pytest.mark.parametrize("path", ["sub/config.ini", "gitconfig", "a.git/x", "sub/registry.txt"])
def test_names_that_are_nearly_such(path: str) -> None:
    assert list(parse_registry(f"{path} {SHA256}\n", "r.txt")) == [path]


def test_a_path_stands_once() -> None:
    with pytest.raises(ConfigError, match=r"line 2: a second line for .sub/a\.txt"):
        parse_registry(f"{LINE}\n./{LINE}", "r.txt")


@given(st.text(st.sampled_from("a/.\\'\"# \n\t:0\0é"), max_size=40))
def test_any_text_is_a_registry_or_a_config_error(text: str) -> None:
    try:
        entries = parse_registry(text, "r.txt")
    except ConfigError as error:
        assert error.line is not None
        return
    assert entries == {}  # no line of these letters has a hash


@given(st.text(max_size=12).map(lambda text: text.replace("\n", "").replace("'", "")))
def test_no_path_leads_out(path: str) -> None:
    try:
        entries = parse_registry(f"'{path}' {SHA256}", "r.txt")
    except ConfigError:
        return
    for name in entries:
        assert os.path.normpath(f"/base/{name}").startswith("/base/")


def test_base_urls(make_package: MakePackage) -> None:
    config = "[DEFAULT]\nversion = 1\nurl = https://a.org/x/\n  s3://bucket/x\n"
    base = make_package(config=config) / "nipy" / "templates"
    (base / "registry.txt").write_text(f"'a b#c' {SHA256}\nown {SHA256} https://b.org/own\n")
    registry = read_registry(base)
    assert registry is not None
    first, second = registry.entries.values()
    assert urls_of(registry, first) == ("https://a.org/x/a%20b%23c", "s3://bucket/x/a b#c")
    assert urls_of(registry, second) == ("https://b.org/own",)


@pytest.mark.parametrize(
    ("url", "problem"), [("", "no URL for 'a'"), ("url = b.org", "line 3: not a URL")]
)
def test_no_base_url(url: str, problem: str, make_package: MakePackage) -> None:
    base = make_package(config=f"[DEFAULT]\nversion = 1\n{url}\n") / "nipy" / "templates"
    (base / "registry.txt").write_text(f"a {SHA256}\n")
    registry = read_registry(base)
    assert registry is not None
    with pytest.raises(ConfigError, match=problem):
        urls_of(registry, registry.entries["a"])


def test_the_key_is_of_paths_and_hashes(make_package: MakePackage) -> None:
    base = make_package() / "nipy" / "templates"
    keys = []
    for text in ("{b}\n{a} https://a.org/a\n", "# other mirrors\n{a}\n{b} https://b.org/b", "{a}"):
        lines = {"a": f"a {SHA256}", "b": f"b {SHA256}"}
        (base / "registry.txt").write_text(text.format(**lines))
        registry = read_registry(base)
        assert registry is not None
        keys.append(registry.key)
    assert keys[0] == keys[1] != keys[2]


def test_unreadable_registries(make_package: MakePackage) -> None:
    base = make_package() / "nipy" / "templates"
    assert read_registry(base) is None
    assert read_registry(base / "config.ini") is None
    (base / "registry.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_registry(base)
    (base / "registry.txt").unlink()
    (base / "registry.txt").mkdir()
    with pytest.raises(ConfigError, match="not a regular file"):
        read_registry(base)


@pytest.mark.parametrize("settled", [True, False])
def test_what_was_read_is_kept_until_the_file_changes(
    settled: bool, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ini, "settled", lambda seen, now: settled)
    base = make_package() / "nipy" / "templates"
    (base / "registry.txt").write_text(LINE)
    first = read_registry(base)
    assert (read_registry(base) is first) == settled
    (base / "registry.txt").write_text(f"b {SHA256}")
    again = read_registry(base)
    assert first is not None
    assert again is not None
    assert (list(first.entries), list(again.entries)) == (["sub/a.txt"], ["b"])
