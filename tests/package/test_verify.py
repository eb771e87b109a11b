from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import DataError
from nibabel_data.cli.main import main
from nibabel_data.package import stamps, unchanged, verify
from nibabel_data.package.manifest import MANIFEST, hash_files, manifest_text, package_files
from nibabel_data.package.verify import verify_directory

from ..conftest import MakePackage
from ..test_installers import PIP, QUIET, run, wheel  # noqa: F401
from .thin import make_thin, overlay_of, put_into_overlay


def seal(base: Path) -> Path:
    """Write the manifest of a package."""
    names = [path for path, _, _ in package_files(str(base))]
    (base / MANIFEST).write_text(manifest_text(hash_files(str(base), names)))
    return base


@pytest.fixture
def package(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    root = make_package(files=("a.txt", "sub/b.txt", "sub/c.txt"))
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    return seal(root / "nipy" / "templates")


def states(base: Path, **options: bool) -> dict[str, str]:
    return {check.path: check.state for check in verify_directory(base, **options).amiss}


def test_an_intact_package(package: Path) -> None:
    result = verify_directory(package)
    assert result.ok
    assert (result.against, result.checked, result.hashed) == ("manifest", 4, 4)


def test_everything_that_can_be_amiss_is_told_apart(package: Path) -> None:
    (package / "a.txt").write_bytes(b"DATA")
    (package / "sub" / "b.txt").unlink()
    (package / "new.txt").write_text("")
    (package / "sub" / "c.txt").unlink()
    (package / "sub" / "c.txt").symlink_to("../.git/annex/objects/a/b/KEY/KEY")
    assert (
        states(package)
        == {
            "a.txt": "changed",
            "sub/b.txt": "missing",
            "new.txt": "extra",
            "sub/c.txt": "absent",
        }
        | {}
    )


def test_one_bit_is_found_out(package: Path) -> None:
    content = bytearray((package / "a.txt").read_bytes())
    content[0] ^= 1
    (package / "a.txt").write_bytes(content)
    assert states(package) == {"a.txt": "changed"}


def test_an_unreadable_file(
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", "/proc/none")
    (public_tmp / "config.ini").write_text("[DEFAULT]\nversion = 1\n")
    seal(public_tmp)
    (public_tmp / "config.ini").chmod(0)
    with unprivileged():
        assert states(public_tmp, full=True) == {"config.ini": "unreadable"}


def test_nothing_to_check_against_is_no_success(make_package: MakePackage) -> None:
    result = verify_directory(make_package() / "nipy" / "templates")
    assert not result.ok
    assert result.problem.startswith("nothing to check against")
    assert "cannot list" in verify_directory("/no/such/package").problem


def test_a_malformed_manifest_is_told(package: Path) -> None:
    (package / MANIFEST).write_text("nonsense\n")
    assert "line 1: not a line of a manifest" in verify_directory(package).problem


def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be one that was written long ago."""
    monkeypatch.setattr(stamps, "settled", lambda seen, now: True)
    monkeypatch.setattr(unchanged, "settled", lambda seen, now: True)


def test_an_unchanged_package_is_not_read_again(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    assert verify_directory(package).hashed == 4
    monkeypatch.setattr(verify, "hash_file", lambda path: pytest.fail(f"read {path}"))
    monkeypatch.setattr(verify, "read_manifest", lambda path: pytest.fail(f"read {path}"))
    again = verify_directory(package)
    assert again.ok
    assert (again.against, again.checked, again.hashed) == ("manifest", 4, 0)


def test_only_what_changed_is_read_again(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(monkeypatch)
    verify_directory(package)
    os.utime(package / "a.txt", (1, 1))
    result = verify_directory(package)
    assert result.ok
    assert result.hashed == 1
    assert verify_directory(package, full=True).hashed == 4


def test_a_change_that_keeps_size_and_time_is_found(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    verify_directory(package)
    status = (package / "a.txt").stat()
    (package / "a.txt").write_bytes(b"DATA")
    os.utime(package / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert states(package) == {"a.txt": "changed"}
    assert states(package) == {"a.txt": "changed"}  # a package that is amiss is never clean


def test_a_new_manifest_is_believed_at_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(monkeypatch)
    verify_directory(package)
    text = (package / MANIFEST).read_text()
    (package / MANIFEST).write_text(text.replace(text[:64], "0" * 64, 1))
    assert list(states(package).values()) == ["changed"]


def test_a_file_of_this_moment_is_read_again(package: Path) -> None:
    assert verify_directory(package).hashed == 4
    assert verify_directory(package).hashed == 4


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"form": 1}', '{"form": 1, "base": 3}', "[" * 9999, "3"]
)
def test_a_damaged_cache_costs_time_alone(
    content: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    verify_directory(package)
    for file in Path(os.environ["NIBABEL_DATA_CACHE"], "verified").iterdir():
        file.write_text(content)
    result = verify_directory(package)
    assert result.ok
    assert result.hashed == 4


def test_a_cache_that_cannot_be_written_does_no_harm(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", "/proc/none")
    old(monkeypatch)
    assert verify_directory(package).ok
    assert verify_directory(package).hashed == 4


@pytest.mark.parametrize("line", ["", "1 2 3", "1 2 3 4 5 6 7 8", "a b c d e f g", "\xff\0"])
def test_a_damaged_line_of_the_cache(
    line: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    verify_directory(package)
    for file in Path(os.environ["NIBABEL_DATA_CACHE"], "verified").iterdir():
        lines = file.read_text().split("\n")
        file.write_bytes("\n".join([*lines[:2], line, *lines[3:]]).encode("latin-1"))
    os.utime(package / "a.txt", (1, 1))
    assert verify_directory(package).ok
    (package / "a.txt").write_text("other")
    assert states(package) == {"a.txt": "changed"}


def test_a_manifest_that_is_no_file_does_not_block(package: Path) -> None:
    (package / MANIFEST).unlink()
    os.mkfifo(package / MANIFEST)
    assert "not a regular file" in verify_directory(package).problem


@pytest.mark.usefixtures("package")
def test_what_pip_installed_is_checked_by_its_record(
    wheel: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    prefix = tmp_path / "prefix"
    run([*PIP, "install", "--prefix", str(prefix), "--ignore-installed", *QUIET, wheel])
    base = prefix / "share" / "nipy" / "nipy" / "examplepkg"
    result = verify_directory(base)
    assert result.ok
    assert result.against == "RECORD of nipy-examplepkg 0.1"
    assert result.checked == len(list(base.iterdir()))
    (base / "image.nii.gz").write_bytes(b"damaged")
    (base / "labels.nii.gz").unlink()
    assert states(base) == {"image.nii.gz": "changed", "labels.nii.gz": "missing"}


def test_the_verb(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "nipy/templates"]) == 0
    assert capsys.readouterr().out == f"ok: {package} (4 files, by manifest)\n"
    (package / "a.txt").write_text("other")
    assert main(["verify", "--all", "--json"]) == 1
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["amiss"] == [{"path": "a.txt", "state": "changed", "detail": ""}]
    assert main(["verify", "nipy/templates"]) == 1
    assert "    changed    a.txt\n" in capsys.readouterr().out
    (package / MANIFEST).unlink()
    assert main(["verify", "nipy/templates"]) == 1
    assert "nothing to check against" in capsys.readouterr().out
    assert main(["verify"]) == 2
    shutil.rmtree(package)
    assert main(["verify", "nipy/templates"]) == 1


# ---- thin packages


@pytest.fixture(params=["sha256", "md5"])
def thin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path / "root"))
    base = tmp_path / "root" / "nipy" / "templates"
    return seal(make_thin(base, tmp_path / "shelf", algorithm=request.param))


def put(base: Path, where: str, content: bytes = b"an image") -> Path:
    """Put the file T1.nii, as if it had been fetched."""
    if where == "overlay":
        return put_into_overlay(base, "T1.nii", content)
    (base / "T1.nii").write_bytes(content)
    return base / "T1.nii"


def test_what_is_not_fetched_is_nothing_amiss(thin: Path) -> None:
    result = verify_directory(thin)
    assert (result.ok, result.checked, result.not_fetched) == (True, 2, 2)
    put(thin, "package")
    result = verify_directory(thin)
    assert (result.ok, result.checked, result.not_fetched) == (True, 3, 1)
    put_into_overlay(thin, "sub/labels.txt", b"labels")
    result = verify_directory(thin)
    assert (result.ok, result.checked, result.not_fetched) == (True, 4, 0)


@pytest.mark.parametrize("where", ["package", "overlay"])
def test_fetched_files_are_checked_by_the_hash_of_the_registry(where: str, thin: Path) -> None:
    put(thin, where)
    assert verify_directory(thin).ok
    place = put(thin, where, b"AN IMAGE")
    (check,) = verify_directory(thin).amiss
    assert (check.path, check.state) == ("T1.nii", "changed")
    assert f"{place} is not what registry.txt, line 1, promises" in check.detail
    assert check.detail.endswith("nibabel-data fetch nipy/templates T1.nii")


@pytest.mark.parametrize("where", ["package", "overlay"])
def test_fetched_files_that_have_not_changed_are_not_read_again(
    where: str, thin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    place = put(thin, where)
    assert verify_directory(thin).hashed == 3
    with monkeypatch.context() as patch:
        patch.setattr(verify, "hash_file", lambda *_: pytest.fail("read"))
        patch.setattr(verify, "read_registry", lambda _: pytest.fail("read"))
        result = verify_directory(thin)
        assert (result.ok, result.checked, result.hashed, result.not_fetched) == (True, 3, 0, 1)
    put_into_overlay(thin, "sub/labels.txt", b"labels")
    result = verify_directory(thin)
    assert (result.ok, result.checked, result.hashed, result.not_fetched) == (True, 4, 1, 0)
    status = place.stat()
    put(thin, where, b"AN IMAGE")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert states(thin) == {"T1.nii": "changed"}
    assert states(thin) == {"T1.nii": "changed"}
    place.unlink()
    assert verify_directory(thin).ok
    assert verify_directory(thin, full=True).hashed == 3


def test_what_stands_in_the_place_of_a_promised_file(thin: Path) -> None:
    (thin / "T1.nii").symlink_to("../.git/annex/objects/a/b/KEY/KEY")
    result = verify_directory(thin)
    assert (result.amiss, result.not_fetched) == ((), 2)  # fetching it puts it into the overlay
    put_into_overlay(thin, "T1.nii", b"an image")
    assert verify_directory(thin).not_fetched == 1
    (thin / "sub").mkdir()
    (thin / "sub" / "labels.txt").symlink_to("nowhere")
    (check,) = verify_directory(thin).amiss
    assert (check.path, check.state) == ("sub/labels.txt", "missing")
    assert check.detail == "a link that leads nowhere"


def test_a_directory_in_the_overlay_is_no_file(thin: Path) -> None:
    (overlay_of(thin) / "T1.nii").mkdir(parents=True)
    assert verify_directory(thin).not_fetched == 2


def test_the_fetched_files_of_what_has_no_manifest(
    thin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (thin / MANIFEST).unlink()
    put(thin, "overlay")
    result = verify_directory(thin)
    assert not result.ok
    assert result.problem.endswith("only what was fetched was checked, by registry.txt")
    assert (result.checked, result.amiss) == (1, ())
    put(thin, "overlay", b"AN IMAGE")
    assert states(thin) == {"T1.nii": "changed"}
    assert main(["verify", "nipy/templates"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("unknown: ")
    assert "    changed    T1.nii: " in out


@pytest.mark.parametrize("where", ["package", "overlay"])
def test_a_lock_holds_only_while_fetched_files_are_right(
    where: str,
    thin: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = verify.tree_of(thin)
    put(thin, where)
    assert verify.tree_of(thin) == tree
    monkeypatch.chdir(tmp_path)
    assert main(["lock", "nipy/templates"]) == 0
    assert main(["verify", "--locked"]) == 0
    place = put(thin, where, b"AN IMAGE")
    capsys.readouterr()
    assert main(["verify", "--locked"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("differs: nipy/templates 0.3: ")
    assert str(place) in out
    assert "nibabel-data fetch nipy/templates T1.nii" in out
    assert main(["lock", "nipy/templates"]) == 1
    assert "registry.txt, line 1" in capsys.readouterr().err
    assert main(["fetch", "nipy/templates", "T1.nii"]) == 0
    assert main(["verify", "--locked"]) == 0


def test_the_verb_counts_what_is_not_fetched(
    thin: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    for known in ("", ", 2 unchanged since they were read"):
        assert main(["verify", "nipy/templates"]) == 0
        said = f"ok: {thin} (2 files, by manifest{known}, 2 files not fetched)\n"
        assert capsys.readouterr().out == said
    assert main(["verify", "--json", "nipy/templates"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["not_fetched"] == 2
    put(thin, "overlay", b"AN IMAGE")
    assert main(["verify", "nipy/templates"]) == 1
    assert f"amiss: {thin} (by manifest, 1 file not fetched)\n" in capsys.readouterr().out


def test_all_packages_are_also_those_that_cannot_be_used(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    assert main(["verify", "--all"]) == 0
    (package / "config.ini").write_text("[DEFAULT]\nversiom = 0.3\n")
    capsys.readouterr()
    assert main(["verify", "--all"]) == 1
    assert "    changed    config.ini\n" in capsys.readouterr().out


def test_nothing_on_the_search_path_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", str(tmp_path))
    assert main(["verify", "--all", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert said.err.startswith("no data package on the search path")


def test_a_link_to_a_directory_is_told(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch)
    assert verify_directory(package).ok
    (package / "more").symlink_to(tmp_path)
    assert states(package) == {"more": "extra"}
    assert states(package) == {"more": "extra"}  # it is never taken for unchanged
    (package / "more").unlink()
    (package / "sub").rename(tmp_path / "sub")
    (package / "sub").symlink_to(tmp_path / "sub")
    found = {check.path: (check.state, check.detail) for check in verify_directory(package).amiss}
    assert found["sub"] == ("extra", "a link to a directory, which is not followed")
    assert found["sub/b.txt"] == ("missing", "what is there is no part of the package")


def test_what_stands_in_the_place_of_a_file(package: Path) -> None:
    (package / "a.txt").unlink()
    os.mkfifo(package / "a.txt")
    (package / "sub" / "b.txt").unlink()
    (package / "sub" / "b.txt").mkdir()
    found = {check.path: check.detail for check in verify_directory(package).amiss}
    assert found == {
        "a.txt": "no file, but a device, a pipe or a socket",
        "sub/b.txt": "no file, but a directory",
    }


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("words", [["no/such"], ["nipy/templates"], ["--all"]])
def test_locked_takes_no_package(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lock", "nipy/templates"]) == 0
    assert main(["verify", *words, "--locked"]) == 2
    assert "--locked compares every package of the lock file" in capsys.readouterr().err


@pytest.mark.usefixtures("package")
def test_locked_and_full_reads_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["lock", "nipy/templates"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(verify, "hash_file", lambda *_: pytest.fail("read"))
        assert main(["verify", "--locked"]) == 0
    monkeypatch.setattr(verify, "hash_file", lambda *_: "0" * 64)
    assert main(["verify", "--locked"]) == 0
    assert main(["verify", "--locked", "--full"]) == 1


def test_what_full_finds_is_not_forgotten(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(monkeypatch)
    assert verify_directory(package).ok
    with monkeypatch.context() as patch:  # the disk damaged a file: no time stamp tells of it
        patch.setattr(verify, "hash_file", lambda *_: "0" * 64)
        assert verify_directory(package).ok
        assert not verify_directory(package, full=True).ok
    assert not verify_directory(package).ok
    assert verify_directory(package, full=True).ok
    assert verify_directory(package).hashed == 0


def test_a_pointer_of_git_annex_is_absent(package: Path) -> None:
    (package / "a.txt").write_text("/annex/objects/MD5E-s4--abc.txt\n")
    (check,) = verify_directory(package).amiss
    assert (check.path, check.state) == ("a.txt", "absent")


def test_locked_names_a_file(
    package: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--locked", "nipy/templates"]) == 1
    assert "what follows --locked is a lock file, not a package" in capsys.readouterr().err
    assert main(["lock", "nipy/templates"]) == 0
    assert capsys.readouterr().out.endswith("1 package locked in data.lock\n")
    assert main(["verify", "--locked"]) == main(["sync", "--frozen"]) == 0
    assert capsys.readouterr().out == "ok: 1 package is as data.lock says\n" * 2
    (package / "a.txt").write_text("other")
    assert main(["sync", "--frozen"]) == 1
    assert "ok" not in capsys.readouterr().out


def test_a_package_that_is_named_twice_is_verified_once(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package.parent / "link").symlink_to(package)
    assert main(["verify", "nipy/templates", "nipy/templates>=0.1"]) == 0
    assert capsys.readouterr().out == f"ok: {package} (4 files, by manifest)\n"


@pytest.mark.parametrize("link", [True, False])
def test_a_pointer_is_not_locked(link: bool, package: Path) -> None:
    (package / MANIFEST).unlink()
    (package / "a.txt").unlink()
    if link:
        (package / "a.txt").symlink_to("../.git/annex/objects/a/b/KEY/KEY")
    else:
        (package / "a.txt").write_text("/annex/objects/MD5E-s4--abc.txt\n")
    with pytest.raises(DataError, match=r"the content of .*a\.txt is not here; .*datalad get -d"):
        verify.tree_of(package)


@pytest.mark.parametrize("change", ["edit", "delete", "remove"])
def test_a_change_of_the_record_is_seen(
    change: str, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    old(monkeypatch)
    prefix = tmp_path / "prefix"
    base = make_package(prefix / "share" / "nipy", files=("a.txt",)) / "nipy" / "templates"
    info = prefix / "lib" / "python3.11" / "site-packages" / "rc-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rc\nVersion: 1\n")
    hashes = hash_files(str(base), ["a.txt", "config.ini"])
    rows = []
    for name, digest in hashes.items():
        packed = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
        rows.append(f"../../../share/nipy/nipy/templates/{name},sha256={packed},1\n")
    (info / "RECORD").write_text("".join(rows))
    for hashed in (2, 0):
        result = verify_directory(base)
        assert (result.ok, result.against, result.hashed) == (True, "RECORD of rc 1", hashed)
    assert unchanged.is_unchanged(str(base)) is not None
    if change == "edit":
        (info / "RECORD").write_text(rows[1])
    elif change == "delete":
        (info / "RECORD").unlink()
    else:
        shutil.rmtree(info)
    assert unchanged.is_unchanged(str(base)) is None
    result = verify_directory(base)
    if change == "edit":
        assert [(check.path, check.state) for check in result.amiss] == [("a.txt", "extra")]
    else:
        assert result.problem.startswith("nothing to check against")
