from __future__ import annotations

import configparser
import copy
import os
import pickle
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel.data
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data import (
    ConfigError,
    DataError,
    Datasource,
    DataVersion,
    MissingFileError,
    VersionedDatasource,
)
from nibabel_data.datasource import read_version

from .conftest import MakePackage

FILES = ("a.txt", "sub/b.txt", "sub/deep/c.txt")


@pytest.fixture
def package(make_package: MakePackage) -> VersionedDatasource:
    return VersionedDatasource(make_package(files=FILES) / "nipy" / "templates")


def test_get_filename_joins_as_nibabel_does() -> None:
    for parts in ((), ("a",), ("a", "b.txt"), ("a/b", "c"), ("a", "..", "b")):
        expected = nibabel.data.Datasource("/base").get_filename(*parts)
        assert Datasource("/base").get_filename(*parts) == expected
    assert Datasource("rel").get_filename("x") == os.path.join("rel", "x")


@pytest.mark.parametrize(
    "parts", [("/etc/passwd",), ("..", ".."), ("..",), ("a", "../../b"), ("a", "/etc")]
)
def test_escapes_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="leads out of the package at /base"):
        Datasource("/base").get_filename(*parts)
    with pytest.raises(DataError):
        Datasource("/base").path(*parts)
    with pytest.raises(DataError):
        Datasource("/base").glob(os.path.join(*parts))


@given(st.lists(st.text(st.sampled_from("ab./\\~$ \0é"), max_size=6), max_size=5))
def test_no_path_leads_out(parts: list[str]) -> None:
    try:
        name = Datasource("/base/package").get_filename(*parts)
    except DataError:
        return
    normal = os.path.normpath(name.replace("\0", "0"))
    assert normal == "/base/package" or normal.startswith("/base/package/")


def test_path_is_a_path_and_can_check(package: VersionedDatasource) -> None:
    assert package.path("sub", "b.txt") == Path(package.base_path, "sub", "b.txt")
    assert package.path("sub", "b.txt", must_exist=True).read_bytes() == b"data"
    assert package.path("sub", must_exist=True).is_dir()
    assert package.path() == Path(package.base_path)
    assert package.path("not", "there") == Path(package.base_path, "not", "there")


def test_a_missing_file_is_told_with_near_names(package: VersionedDatasource) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        package.path("sub", "bb.txt", must_exist=True)
    assert isinstance(caught.value, MissingFileError)
    assert "did you mean 'sub/b.txt'" in str(caught.value)
    with pytest.raises(DataError, match=r"did you mean 'sub/deep/c\.txt'"):
        package.path("c.txt", must_exist=True)
    with pytest.raises(
        DataError, match=r"it holds a\.txt, config\.ini, sub/b\.txt, sub/deep/c\.txt$"
    ):
        package.path("zzzzzzzz", must_exist=True)


def test_annexed_content_that_is_absent_is_told_apart(package: VersionedDatasource) -> None:
    base = Path(package.base_path)
    (base / ".git").mkdir()
    (base / "T1.nii.gz").symlink_to(".git/annex/objects/xx/yy/SHA256E-s10--ab.nii.gz/SHA256E")
    (base / "broken").symlink_to("nowhere")
    assert package.list_files() == ["a.txt", "config.ini", "sub/b.txt", "sub/deep/c.txt"]
    assert set(package.list_files(absent=True)) - set(package.list_files()) == {
        "T1.nii.gz",
        "broken",
    }
    with pytest.raises(MissingFileError, match=f"datalad get -d {base} {base}/T1.nii.gz"):
        package.path("T1.nii.gz", must_exist=True)
    with pytest.raises(MissingFileError, match="a link to .*nowhere, which does not exist"):
        package.path("broken", must_exist=True)


def test_a_pointer_of_an_unlocked_branch_is_no_content(package: VersionedDatasource) -> None:
    Path(package.base_path, "a.txt").write_text("/annex/objects/SHA256E-s10--ab.txt\n")
    with pytest.raises(MissingFileError, match="datalad get") as caught:
        package.path("a.txt", must_exist=True)
    assert caught.value.filename == package.get_filename("a.txt")


def test_no_permission_is_not_taken_for_absence(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (public_tmp / "closed").mkdir(mode=0)
    (public_tmp / "a").write_text("")
    with unprivileged():
        source = Datasource(public_tmp)
        with pytest.raises(DataError, match="no permission to read") as caught:
            source.path("closed", "b.txt", must_exist=True)
        assert not isinstance(caught.value, FileNotFoundError)
        assert source.list_files() == ["a"]


def test_a_parent_behind_a_link_leads_out(package: VersionedDatasource, tmp_path: Path) -> None:
    Path(package.base_path, "link").symlink_to(tmp_path)
    assert package.get_filename("link", "x").endswith("link/x")
    with pytest.raises(DataError, match="leads out"):
        package.get_filename("link", "..", "secret")


def test_near_names_among_many_files_are_found_quickly(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"sub-{number:05}_task-rest_bold.nii.gz").write_bytes(b"")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "T1.nii").write_bytes(b"")
    with pytest.raises(MissingFileError, match="did you mean 'deep/T1.nii'"):
        Datasource(tmp_path).path("T1.nii", must_exist=True)


@pytest.mark.parametrize("kind", [str, Path, "{}/".format])
def test_list_files(kind: type, package: VersionedDatasource) -> None:
    source = Datasource(kind(package.base_path))
    assert source.list_files() == ["a.txt", "config.ini", "sub/b.txt", "sub/deep/c.txt"]
    assert source.list_files(relative=False) == [
        os.path.join(source.base_path, name) for name in source.list_files()
    ]
    assert sorted(source.list_files()) == sorted(
        nibabel.data.Datasource(package.base_path).list_files()
    )


def test_hidden_entries_are_listed_only_if_asked(package: VersionedDatasource) -> None:
    hidden = Path(package.base_path, ".git", "config")
    hidden.parent.mkdir()
    hidden.write_text("")
    Path(package.base_path, "sub", ".hidden").write_text("")
    assert not any(".git" in name or ".hidden" in name for name in package.list_files())
    assert {".git/config", "sub/.hidden"} <= set(package.list_files(hidden=True))


def test_a_missing_base_is_an_error() -> None:
    with pytest.raises(DataError, match="cannot list /no/such/base"):
        Datasource("/no/such/base").list_files()


def test_glob(package: VersionedDatasource) -> None:
    base = Path(package.base_path)
    (base / "sub" / ".hidden.txt").write_text("")
    assert package.glob("*.txt") == [base / "a.txt"]
    assert package.glob("sub/*.txt") == [base / "sub" / "b.txt"]
    assert package.glob("**/c.txt") == [base / "sub" / "deep" / "c.txt"]
    assert package.glob("sub/.h*") == [base / "sub" / ".hidden.txt"]
    assert package.glob("nothing*") == []
    (base / ".git").mkdir()
    assert base / ".git" not in package.glob("./*")
    assert package.glob(Path("*.txt")) == package.glob("*.txt")
    with pytest.raises(DataError, match="no such directory"):
        Datasource("/no/such/base").glob("*")
    for wrong in ("", "../*", "a/../../*", ".", "a" * 300 + "/x"):
        with pytest.raises(DataError):
            package.glob(wrong)


def test_it_is_a_path(package: VersionedDatasource) -> None:
    assert os.fspath(package) == package.base_path
    assert Path(package, "a.txt").exists()


def test_equality_is_that_of_kind_and_place(package: VersionedDatasource) -> None:
    again = VersionedDatasource(package.base_path + os.sep)
    assert package == again
    assert hash(package) == hash(again)
    assert package != Datasource(package.base_path)
    assert Datasource("/a") == Datasource(Path("/a"))
    assert Datasource("/a") != Datasource("/b")
    assert Datasource("/a") != "/a"


def test_repr_says_place_and_version(package: VersionedDatasource) -> None:
    assert repr(package) == f"VersionedDatasource({package.base_path!r}, version 0.3)"
    assert repr(Datasource("/a")) == "Datasource('/a')"


def test_html_is_a_tree_with_sizes(package: VersionedDatasource) -> None:
    Path(package.base_path, "<b>.txt").write_bytes(b"x" * 2000)
    page = package._repr_html_()
    assert "version 0.3" in page
    assert "<summary>sub/</summary>" in page
    assert "&lt;b&gt;.txt <small>2.0 kB</small>" in page
    assert page.count("<ul>") == page.count("</ul>")
    assert "cannot list /no" in Datasource("/no")._repr_html_()


def test_html_of_many_and_deep_files_is_bounded(tmp_path: Path) -> None:
    for number in range(2100):
        (tmp_path / f"{number:04}").write_bytes(b"")
    assert "and 100 more" in Datasource(tmp_path)._repr_html_()
    deep = tmp_path / "only"
    (deep / "/".join("d" * 900)).mkdir(parents=True)
    Path(deep, *("d" * 900), "leaf").write_bytes(b"")
    assert "leaf" in Datasource(deep)._repr_html_()
    subprocess.run(["rm", "-rf", deep], check=True)  # too deep for what removes tmp_path


def test_copies(package: VersionedDatasource) -> None:
    for other in (copy.deepcopy(package), pickle.loads(pickle.dumps(package))):
        assert other == package
        assert other.version == "0.3"
        assert type(other.version) is DataVersion


@pytest.mark.parametrize(
    ("text", "major", "minor", "number"),
    [
        ("0.10", 0, 10, 0.1),
        ("2024", 2024, 0, 2024.0),
        ("1", 1, 0, 1.0),
        ("v1.2", 1, 2, 1.2),
        ("1.2rc1", 1, 2, 1.2),
        ("1!2.0", 2, 0, 2.0),
        ("0.1.2.dev", 0, 1, 0.1),
        ("0.3.foo", 0, 3, 0.3),
    ],
)
def test_versions(
    text: str, major: int, minor: int, number: float, make_package: MakePackage
) -> None:
    package = VersionedDatasource(make_package(version=text) / "nipy" / "templates")
    assert package.version == text
    assert (package.major_version, package.minor_version) == (major, minor)
    assert package.version_no == number


@pytest.mark.parametrize("text", ["", "'0.3'", '"0.3"', "0.1 # c", "abc"])
def test_unusable_versions_name_file_line_and_value(text: str, make_package: MakePackage) -> None:
    base = make_package(version=text) / "nipy" / "templates"
    with pytest.raises(ConfigError) as caught:
        VersionedDatasource(base)
    assert (caught.value.path, caught.value.line) == (str(base / "config.ini"), 2)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"version = 0.3\n", 1, "before any [SECTION]"),
        (b"[DEFAULT]\nversion = 0.3\nversion = 0.4\n", 3, "a second 'version'"),
        ("[DEFAULT]\n# é\nversion = 0.3\n".encode("latin-1"), 2, "not UTF-8"),
        (b"\x00\xff\xfe\x01" * 20, 1, "not UTF-8"),
        (b"[default]\nversion = 0.3\n", None, "section [default] found, [DEFAULT] needed"),
        (b"[package]\nversion = 0.3\n", None, "section [package] found, [DEFAULT] needed"),
        (b"[DEFAULT]\nname = x\n", None, "it needs [DEFAULT] and a line 'version = 0.1'"),
        (b"", None, "no version"),
    ],
)
def test_malformed_config_names_file_and_line(
    content: bytes, line: int | None, problem: str, make_package: MakePackage
) -> None:
    base = make_package(config=content) / "nipy" / "templates"
    with pytest.raises(ConfigError) as caught:
        VersionedDatasource(base)
    assert (caught.value.path, caught.value.line) == (str(base / "config.ini"), line)
    assert problem in str(caught.value)


def test_a_byte_order_mark_is_accepted(make_package: MakePackage) -> None:
    base = make_package(config=b"\xef\xbb\xbf[DEFAULT]\nversion = 0.3\n") / "nipy" / "templates"
    package = VersionedDatasource(base)
    assert package.version == "0.3"
    assert package.config.get("DEFAULT", "version") == "0.3"


def test_config_is_a_parser_with_literal_values(make_package: MakePackage) -> None:
    config = "[DEFAULT]\nversion = 0.3\nnote = 50% done\n[other]\nx = 1\n"
    package = VersionedDatasource(make_package(config=config) / "nipy" / "templates")
    assert isinstance(package.config, configparser.ConfigParser)
    assert package.config.get("DEFAULT", "note") == "50% done"
    assert package.config.getint("other", "x") == 1


def test_another_config_file(make_package: MakePackage) -> None:
    base = make_package() / "nipy" / "templates"
    (base / "other.ini").write_text("[DEFAULT]\nversion = 7\n")
    assert VersionedDatasource(base, "other.ini").version == "7"
    assert VersionedDatasource(base, config_filename="other.ini").version == "7"


@pytest.mark.parametrize("base", ["/no/such/base", "a\0b", "\ud800"])
def test_no_package_there(base: str) -> None:
    with pytest.raises(DataError):
        VersionedDatasource(base)


@given(st.binary(max_size=60))
def test_any_config_is_a_version_or_a_config_error(content: bytes) -> None:
    try:
        read_version(content.decode("utf-8", "replace"), "config.ini")
    except ConfigError as error:
        assert str(error).startswith("config.ini")
