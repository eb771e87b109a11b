"""Archives that are made to do harm are refused, with the member's name."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibabel_data import DataError
from nibabel_data.package.archive import ArchiveError, check_name, open_archive
from nibabel_data.package.install import install

CONFIG = b"[DEFAULT]\nversion = 0.3\n"
GOOD = [("nipy/templates/config.ini", CONFIG), ("nipy/templates/a.txt", b"data")]


def make_tar(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"\0" * member.size))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def make_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename = name  # without what ZipInfo does to names
            archive.writestr(info, content)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def refused(archive: Path, tmp_path: Path) -> str:
    """Return why an archive is refused, having seen that it wrote nothing."""
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ArchiveError) as caught:
        install(archive, root=root)
    assert [path for path in root.rglob("*") if not path.is_dir()] == []
    return str(caught.value)


NAMES = [
    ("/etc/evil", "absolute path"),
    ("C:/evil", "absolute path"),
    ("../evil", "leads out"),
    ("nipy/templates/../../../evil", "leads out"),
    ("nipy\\..\\evil", "backslash"),
    ("nipy/templates/a\nb", "control character"),
    ("nipy/templates/a\x1b[31m", "control character"),
    ("nipy/templates/NUL", "Windows reserves"),
    ("nipy/templates/com1.txt", "Windows reserves"),
    ("nipy/templates/conin$", "Windows reserves"),
    ("nipy/templates/T1.nii:hidden", "does not allow ':'"),
    ("nipy/templates/what?", "does not allow '?'"),
    ("nipy/templates/a.txt.", "takes a dot or a space off"),
    ("nipy/templates/a.txt ", "takes a dot or a space off"),
    ("nipy/templates /b.txt", "takes a dot or a space off"),
    ("nipy/templates/a\x85b", "control character"),
    ("nipy/templates/a\u202egpj.exe", "is not what it looks like"),
    ("nipy/templates/a\u2066b", "is not what it looks like"),
    ("nipy/templates/a\u2028b", "is not what it looks like"),
    ("nipy/templates/config.ini", "stands twice"),
    ("nipy/templates/CONFIG.INI", "on some systems"),
    ("nipy/templates/a.txt/b", "lies below the file"),
]


@pytest.mark.parametrize(("name", "why"), NAMES)
@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names(name: str, why: str, make: Callable[..., Path], tmp_path: Path) -> None:
    reason = refused(make(tmp_path / "evil.zip", [*GOOD, (name, b"evil")]), tmp_path)
    assert why in reason
    assert repr(name) in reason


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"nipy/templates/\xff")
    reason = refused(make_tar(tmp_path / "evil.tar.gz", [*GOOD, (name, b"evil")]), tmp_path)
    assert "its bytes are not UTF-8" in reason
    assert "\\udcff" in reason


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("depth", [101, 3000])
def test_a_path_that_is_too_deep(depth: int, make: Callable[..., Path], tmp_path: Path) -> None:
    name = "d/" * depth + "a.txt"
    reason = refused(make(tmp_path / "deep.zip", [*GOOD, (name, b"evil")]), tmp_path)
    assert f"the path is too deep: {depth + 1} levels" in reason
    assert "damaged" not in reason
    assert len(reason) < 1000


@pytest.mark.parametrize("name", ["sub-01/ses-1/anat/sub-01_T1w (1).nii.gz", "Atlas+é脳~1,a=b.txt"])
def test_names_of_real_data(name: str) -> None:
    assert check_name(name) == name


def test_a_nul_in_a_name(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "evil.zip", [*GOOD, ("nipy/templates/aZb", b"evil")])
    archive.write_bytes(archive.read_bytes().replace(b"aZb", b"a\0b"))
    assert "control character" in refused(archive, tmp_path)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (link("nipy/templates/l", "/etc/passwd"), "is a link to '/etc/passwd'"),
        (link("nipy/templates/l", "../../../../etc/passwd"), "no file of the archive"),
        (link("nipy/templates/l", "nowhere"), "no file of the archive"),
        (link("nipy/templates/l", "../templates"), "no file of the archive"),
        (link("nipy/templates/l", "/etc/passwd", tarfile.LNKTYPE), "no file of the archive"),
        (link("nipy/templates/l", "../x", tarfile.LNKTYPE), "no file of the archive"),
        (special("nipy/templates/d", tarfile.CHRTYPE), "a device"),
        (special("nipy/templates/d", tarfile.BLKTYPE), "a device"),
        (special("nipy/templates/d", tarfile.FIFOTYPE), "a device"),
    ],
)
def test_links_and_devices(member: tarfile.TarInfo, why: str, tmp_path: Path) -> None:
    reason = refused(make_tar(tmp_path / "evil.tar.gz", [*GOOD, member]), tmp_path)
    assert why in reason
    assert member.name in reason


def test_a_link_and_then_a_file_through_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    members = [*GOOD, link("nipy/templates/l", str(out)), ("nipy/templates/l/evil", b"evil")]
    refused(make_tar(tmp_path / "evil.tar.gz", members), tmp_path)
    assert os.listdir(out) == []


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    make_zip(archive, GOOD)
    with zipfile.ZipFile(archive, "a") as opened:
        info = zipfile.ZipInfo("nipy/templates/l")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    assert "is a link or a device" in refused(archive, tmp_path)


def test_links_to_files_of_the_archive_become_copies(tmp_path: Path) -> None:
    members = [
        *GOOD,
        link("nipy/templates/sub/l", "../a.txt"),
        link("nipy/templates/h", "nipy/templates/a.txt", tarfile.LNKTYPE),
    ]
    (done,) = install(make_tar(tmp_path / "a.tar.gz", members), root=tmp_path / "root")
    for name in ("sub/l", "h"):
        copied = Path(done.path, name)
        assert copied.read_bytes() == b"data"
        assert not copied.is_symlink()
        assert copied.stat().st_nlink == 1


def test_a_bomb_by_its_declared_size(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "bomb.zip", [*GOOD, ("nipy/templates/huge", b"x" * 5000)])
    huge = bytes.fromhex("ffffff7f")
    archive.write_bytes(archive.read_bytes().replace((5000).to_bytes(4, "little"), huge))
    assert "would unpack to" in refused(archive, tmp_path)


def test_a_member_longer_than_it_declares(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "liar.zip", [*GOOD, ("nipy/templates/big", b"x" * 5000)])
    content = archive.read_bytes()
    size, lie = (5000).to_bytes(4, "little"), (50).to_bytes(4, "little")
    archive.write_bytes(content.replace(size, lie))
    reason = refused(archive, tmp_path)
    assert "big" in reason
    assert "longer than the 50 bytes declared" in reason or "damaged" in reason


def test_overlapping_members(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "b.zip", [*GOOD, ("nipy/templates/b1", b"x" * 5000)])
    with zipfile.ZipFile(archive, "a") as opened:
        twin = opened.getinfo("nipy/templates/b1")
        info = zipfile.ZipInfo("nipy/templates/b2")
        info.header_offset, info.CRC = twin.header_offset, twin.CRC
        info.compress_size, info.file_size = twin.compress_size, twin.file_size
        info.compress_type = twin.compress_type
        opened.filelist.append(info)
        opened.NameToInfo[info.filename] = info
        opened._didModify = True  # type: ignore[attr-defined]
    assert "overlaps" in refused(archive, tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 100, -30, -1])
@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_a_cut_archive(kind: str, keep: int, tmp_path: Path) -> None:
    content = [*GOOD, ("nipy/templates/image", os.urandom(50_000))]
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", content)
    else:
        archive = tmp_path / f"a.tar.{kind}"
        with tarfile.open(archive, f"w:{kind}") as opened:
            for name, data in content:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                opened.addfile(info, io.BytesIO(data))
    archive.write_bytes(archive.read_bytes()[:keep])
    assert "damaged" in refused(archive, tmp_path)


def test_a_changed_byte_is_found_out(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [*GOOD, ("nipy/templates/image", os.urandom(50_000))])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    assert "'image' is damaged" in refused(archive, tmp_path)


@settings(max_examples=200)
@given(st.text(st.sampled_from("ab./\\:\n\0~CONUL1 é"), max_size=12) | st.text(max_size=20))
def test_any_name_is_safe_or_refused(name: str) -> None:
    try:
        checked = check_name(name)
    except ArchiveError as error:
        assert repr(name) in str(error)
        assert str(error).isprintable()
        return
    parts = checked.split("/")
    assert ".." not in parts
    assert not checked.startswith("/")
    assert all(part.isprintable() or part for part in parts)
    assert os.path.normpath(os.path.join("/base", checked)).startswith("/base/")


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    members=st.lists(
        st.tuples(
            st.text(st.sampled_from("ab/.\\"), min_size=1, max_size=8),
            st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE]),
            st.text(st.sampled_from("ab/."), max_size=8),
        ),
        max_size=6,
    )
)
def test_any_tar_stays_inside(members: list[tuple[str, bytes, str]], tmp_path: Path) -> None:
    infos: list[tarfile.TarInfo | tuple[str, bytes]] = [*GOOD]
    for name, kind, target in members:
        infos.append(link(name, target, kind))
    archive = make_tar(tmp_path / "any.tar.gz", infos)
    try:
        with open_archive(str(archive)) as found:
            for member in found:
                assert check_name(member.name) == member.name
                with member.open() as stream:
                    assert len(stream.read()) == member.size
    except DataError as error:
        assert str(archive) in str(error)


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a/b/L/y", "a/b/l/x"], "'nipy/templates/a/b/l/x' lies in 'nipy/templates/a/b/L' on some"),
        (["Sub/é/x", "Sub/e\u0301/y"], "on some systems"),
        (["MANIFEST-SHA256.TXT"], "'MANIFEST-SHA256.TXT' is 'manifest-sha256.txt' on some systems"),
        (["manifest-sha256.txt/x"], "'manifest-sha256.txt/x' lies in 'manifest-sha256.txt', which"),
        (["Manifest-SHA256.txt/x"], "'Manifest-SHA256.txt/x' lies in"),
    ],
)
def test_names_that_are_one_on_some_systems(
    names: list[str], why: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    members = [*GOOD, *((f"nipy/templates/{name}", b"x") for name in names)]
    assert why in refused(make(tmp_path / "twins.zip", members), tmp_path)
    directory = tmp_path / "nipy" / "templates"
    for name, content in members:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        install(directory, root=tmp_path / "other")
    assert str(directory) in str(caught.value)


def test_what_is_no_archive_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_text("no archive")
    reason = refused(tmp_path / "a.tar.gz", tmp_path)
    assert "\n" not in reason
    assert reason.endswith("is damaged, or no archive: file could not be opened successfully")
