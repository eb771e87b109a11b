from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from nibabel_data import ConfigError, DataError, DefinitionError, VersionError
from nibabel_data.cli.main import main
from nibabel_data.package.bump import PARTS, bump, next_version
from nibabel_data.package.manifest import MANIFEST
from nibabel_data.package.new import new_package
from nibabel_data.package.verify import verify_directory

from ..conftest import MakePackage
from .test_verify import seal

DAY = datetime.date(2024, 5, 17)


@pytest.mark.parametrize(
    ("version", "major", "minor", "micro"),
    [
        ("0.1", "1.0", "0.2", "0.1.1"),
        ("0.3", "1.0", "0.4", "0.3.1"),
        ("1.4.2", "2.0.0", "1.5.0", "1.4.3"),
        ("0.9", "1.0", "0.10", "0.9.1"),
        ("2024", "2025", "2024.1", "2024.0.1"),
        ("1.2.3.4", "2.0.0.0", "1.3.0.0", "1.2.4.0"),
        ("0.4.dev0", "1.0", "0.4", "0.4"),
        ("1.0rc1", "1.0", "1.0", "1.0"),
        ("0.4.1.dev0", "1.0.0", "0.5.0", "0.4.1"),
        ("2.0a1.post3", "3.0", "2.1", "2.0.1"),
        ("1.0.post1", "2.0", "1.1", "1.0.1"),
        ("1.0.post1.dev2", "2.0", "1.1", "1.0.1"),
        ("1.0+lab.3", "2.0", "1.1", "1.0.1"),
        ("1!2.0", "1!3.0", "1!2.1", "1!2.0.1"),
        ("v1.2", "2.0", "1.3", "1.2.1"),
    ],
)
def test_the_next_version(version: str, major: str, minor: str, micro: str) -> None:
    assert tuple(next_version(version, part) for part in PARTS) == (major, minor, micro)


@pytest.mark.parametrize("part", ["", "patch", "Major"])
def test_a_part_that_is_none(part: str) -> None:
    with pytest.raises(DefinitionError, match="the parts are major, minor, micro"):
        next_version("0.1", part)


def test_a_version_without_order() -> None:
    with pytest.raises(VersionError, match=r"'0\.3\.foo' has no next version"):
        next_version("0.3.foo", "minor")


numbers = st.lists(st.integers(0, 3000), min_size=1, max_size=5).map(
    lambda release: ".".join(map(str, release))
)
suffixes = st.sampled_from(["", "a1", "rc2", ".dev0", ".post1", "b1.dev3", "+x", ".post1.dev1"])
versions = st.builds(lambda e, n, s: e + n + s, st.sampled_from(["", "1!"]), numbers, suffixes)


@given(versions, st.sampled_from(PARTS))
def test_the_next_version_is_a_later_release(version: str, part: str) -> None:
    new = Version(next_version(version, part))
    old = Version(version)
    assert new > old
    assert not new.is_prerelease
    assert not new.is_postrelease
    assert new.local is None
    assert len(new.release) >= len(old.release)
    assert new.epoch == old.epoch
    at = PARTS.index(part)
    assert not any(new.release[at + 1 :]) or new.release == old.release
    assert (*new.release, 0, 0)[:at] == (*old.release, 0, 0)[:at]


def test_only_the_version_of_the_file_changes(make_package: MakePackage) -> None:
    content = (
        b"\xef\xbb\xbf# version = 9\r\n[other]\r\nversion = 7\r\n\r\n[DEFAULT]\r\n"
        b"; note\r\nname = version = 0.3\r\n  VERSION :\t0.3  \r\nx = caf\xc3\xa9"
    ).replace(b"  VERSION", b"VERSION")
    package = make_package(config=content) / "nipy" / "templates"
    (package / "config.ini").chmod(0o640)
    done = bump(package, "minor")
    assert (done.old, done.new) == ("0.3", "0.4")
    assert done.files == (package / "config.ini",)
    assert (package / "config.ini").read_bytes() == content.replace(b":\t0.3 ", b":\t0.4 ")
    assert stat.S_IMODE((package / "config.ini").stat().st_mode) == 0o640
    assert os.listdir(package) == ["config.ini"]


def test_a_link_stays_a_link(make_package: MakePackage, tmp_path: Path) -> None:
    package = make_package() / "nipy" / "templates"
    (package / "config.ini").rename(tmp_path / "real.ini")
    (package / "config.ini").symlink_to(tmp_path / "real.ini")
    bump(package, "micro")
    assert (package / "config.ini").is_symlink()
    assert "0.3.1" in (tmp_path / "real.ini").read_text()


def test_citations_follow(make_package: MakePackage) -> None:
    top = make_package()
    here = top / "nipy" / "templates" / "CITATION.cff"
    here.write_bytes(
        b"cff-version: 1.2.0\nversion: 0.3  # ours\r\ndate-released: '2020-01-01'\n"
        b"references:\n  - version: 0.3\n    date-released: 2020-01-01\n"
    )
    (top / "CITATION.cff").write_text('cff-version: 1.2.0\ntitle: x\nversion: "0.3"')
    done = bump(top, "minor", date=DAY)
    assert done.files == (here, top / "CITATION.cff", here.with_name("config.ini"))
    assert here.read_bytes() == (
        b'cff-version: 1.2.0\nversion: "0.4"  # ours\r\ndate-released: 2024-05-17\n'
        b"references:\n  - version: 0.3\n    date-released: 2020-01-01\n"
    )
    assert (top / "CITATION.cff").read_text() == 'cff-version: 1.2.0\ntitle: x\nversion: "0.4"'


def test_the_distribution_is_found_from_the_package(tmp_path: Path) -> None:
    made = new_package("mylab/atlas", tmp_path / "made")
    done = bump(made / "mylab" / "atlas", "major", date=DAY)
    assert len(done.files) == 3
    assert 'version: "1.0"\ndate-released: 2024-05-17\n' in (made / "CITATION.cff").read_text()


@pytest.mark.parametrize(
    "config", ["nonsense", "[DEFAULT]\n", "[DEFAULT]\nversion = 0.3.foo\n", "[x]\nversion = 1\n"]
)
def test_a_file_that_cannot_be_bumped_is_left(config: str, make_package: MakePackage) -> None:
    package = make_package(config=config) / "nipy" / "templates"
    with pytest.raises(DataError):
        bump(package, "minor")
    assert (package / "config.ini").read_text() == config


def test_a_form_that_cannot_be_edited(make_package: MakePackage) -> None:
    config = "[DEFAULT]\nversion =\n  0.3\n"
    package = make_package(config=config) / "nipy" / "templates"
    with pytest.raises(ConfigError):
        bump(package, "minor")
    assert (package / "config.ini").read_text() == config


def test_a_failed_write_loses_nothing(
    make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package() / "nipy" / "templates"
    before = (package / "config.ini").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no space left on device"):
        bump(package, "minor")
    assert (package / "config.ini").read_bytes() == before
    assert os.listdir(package) == ["config.ini"]


def test_a_manifest_that_was_right_stays_right(make_package: MakePackage) -> None:
    package = seal(make_package(files=("a.txt", "CITATION.cff")) / "nipy" / "templates")
    (package / "CITATION.cff").write_text("version: 0.3\n")
    seal(package)
    done = bump(package, "minor")
    assert done.files[-1] == package / MANIFEST
    assert verify_directory(package).ok
    (package / "a.txt").write_text("other")
    (package / "config.ini").write_text("[DEFAULT]\nversion = 0.5\n")
    stale = (package / MANIFEST).read_text()
    assert bump(package, "minor").files[-1] == package / MANIFEST  # of CITATION.cff
    assert [check.path for check in verify_directory(package).amiss] == ["a.txt", "config.ini"]
    assert (package / MANIFEST).read_text() != stale
    (package / MANIFEST).write_text("nonsense\n")
    bump(package, "minor")
    assert (package / MANIFEST).read_text() == "nonsense\n"


def test_no_package(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data package in .*nibabel-data new PROJECT/PACKAGE"):
        bump(tmp_path, "minor")


def test_the_verb(make_package: MakePackage, capsys: pytest.CaptureFixture[str]) -> None:
    top = make_package()
    assert main(["bump", "minor", str(top)]) == 0
    ini = top / "nipy" / "templates" / "config.ini"
    assert capsys.readouterr().out == f"0.3 -> 0.4\n    {ini}\n"
    assert ini.read_text() == "[DEFAULT]\nversion = 0.4\n"
    with pytest.raises(SystemExit):
        main(["bump", "patch", str(top)])


lines = st.sampled_from(
    ["# c", "; version = 1", "x = 1", "[o]", "version = 9", "  more", "", "name: version", "y ="]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(lines, max_size=5), st.lists(lines, max_size=5), st.sampled_from(["\n", "\r\n"]))
@example(["[o]", "version = 9"], [], "\n")
def test_every_other_byte_stays(
    make_package: MakePackage, head: list[str], tail: list[str], end: str
) -> None:
    text = end.join([*head, "[DEFAULT]", "version = 0.3", *tail])
    package = make_package(config=text.encode()) / "nipy" / "templates"
    try:
        bump(package, "minor")
    except DataError:
        assert (package / "config.ini").read_bytes() == text.encode()
        return
    expected = end.join([*head, "[DEFAULT]", "version = 0.4", *tail])
    assert (package / "config.ini").read_bytes() == expected.encode()
