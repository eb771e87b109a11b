from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nibabel_data import (
    ConfigError,
    DataError,
    DefinitionError,
    VersionedDatasource,
    make_datasource,
)
from nibabel_data.cli.main import main
from nibabel_data.package.bundle import bundle
from nibabel_data.package.cache import cache_entries
from nibabel_data.package.install import Installed, install, install_root
from nibabel_data.package.manifest import MANIFEST
from nibabel_data.package.remove import remove
from nibabel_data.package.verify import tree_of, verify_directory

from ..conftest import PROJECT, MakePackage
from ..test_installers import PIP, QUIET, run, wheel  # noqa: F401
from .test_verify import seal
from .thin import make_thin

FILES = ("a.txt", "sub/b.txt")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NIBABEL_DATA_CACHE", str(tmp_path / "cache"))
    mask = os.umask(0o022)
    yield
    os.umask(mask)


@pytest.fixture
def source(make_package: MakePackage) -> Path:
    return make_package("source", files=FILES) / "nipy" / "templates"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def names(path: str | Path) -> list[str]:
    return VersionedDatasource(path).list_files(hidden=True)


def test_a_package_directory(source: Path, root: Path) -> None:
    (done,) = install(source, root=root)
    assert (done.relpath, done.version, done.before, done.changed) == (
        "nipy/templates",
        "0.3",
        None,
        True,
    )
    assert done.path == str(root / "nipy" / "templates")
    assert names(done.path) == ["a.txt", "config.ini", MANIFEST, "sub/b.txt"]
    assert verify_directory(done.path).ok
    assert make_datasource("nipy/templates", root).base_path == done.path
    assert os.listdir(root / "nipy") == ["templates"]
    assert not (source / MANIFEST).exists()


def test_a_directory_with_packages_below(make_package: MakePackage, root: Path) -> None:
    top = make_package("dist", "nipy/templates")
    make_package("dist", "nipy/data", "0.4")
    assert [one.relpath for one in install(top, root=root)] == ["nipy/data", "nipy/templates"]


def test_the_example_package_in_every_form(wheel: str, root: Path, tmp_path: Path) -> None:  # noqa: F811
    source = PROJECT / "examples" / "nipy-examplepkg"
    archives = [wheel]
    for form in ("zip", "tar", "gztar", "bztar", "xztar"):
        archives.append(shutil.make_archive(str(tmp_path / f"example-{form}"), form, source))
    hashes = set()
    for number, archive in enumerate([source, *archives]):
        (done,) = install(archive, root=root / str(number))
        assert done.relpath == "nipy/examplepkg"
        assert verify_directory(done.path).ok
        hashes.add(Path(done.path, MANIFEST).read_text())
    assert len(hashes) == 1


def test_an_archive_of_the_package_alone_must_be_named(source: Path, root: Path) -> None:
    archive = shutil.make_archive(str(root.parent / "templates"), "gztar", source)
    with pytest.raises(DataError, match="--as PROJECT/PACKAGE"):
        install(archive, root=root)
    (done,) = install(archive, root=root, relpath="my/templates")
    assert done.relpath == "my/templates"
    with pytest.raises(DataError, match="leaves the directory"):
        install(archive, root=root, relpath="../templates")


def test_the_same_again_changes_nothing(source: Path, root: Path) -> None:
    seal(source)
    (first,) = install(source, root=root)
    before = os.stat(first.path)
    (again,) = install(source, root=root)
    assert not again.changed
    assert os.stat(first.path) == before


def test_an_upgrade_replaces(source: Path, root: Path) -> None:
    install(source, root=root)
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.4\n")
    (source / "a.txt").unlink()
    (source / "c.txt").write_text("new")
    (done,) = install(source, root=root)
    assert (done.before, done.version, done.kept) == ("0.3", "0.4", ())
    assert names(done.path) == ["c.txt", "config.ini", MANIFEST, "sub/b.txt"]
    assert verify_directory(done.path).ok


def test_a_downgrade_asks_for_force(source: Path, root: Path) -> None:
    install(source, root=root)
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.2\n")
    with pytest.raises(DataError, match=r"0\.3 is installed, which is newer than 0\.2; --force"):
        install(source, root=root)
    assert make_datasource("nipy/templates", root).version == "0.3"
    (done,) = install(source, root=root, force=True)
    assert done.version == "0.2"


def test_what_a_person_added_survives_an_upgrade_and_a_removal(source: Path, root: Path) -> None:
    (done,) = install(source, root=root)
    mine = Path(done.path, "notes", "mine.txt")
    mine.parent.mkdir()
    mine.write_text("mine")
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.4\n")
    (done,) = install(source, root=root)
    assert done.kept == ("notes/mine.txt",)
    assert mine.read_text() == "mine"
    gone = remove(done.path)
    assert (gone.files, gone.kept) == (4, ("notes/mine.txt",))
    assert mine.read_text() == "mine"
    assert [path for path in Path(done.path).rglob("*") if path.is_file()] == [mine]
    with pytest.raises(DataError):
        make_datasource("nipy/templates", root)


def test_what_was_not_installed_here_is_left_alone(
    source: Path, root: Path, make_package: MakePackage, tmp_path: Path
) -> None:
    byhand = make_package("root", version="0.1", files=("mine.txt",)) / "nipy" / "templates"
    for refused in (lambda: install(source, root=root), lambda: remove(byhand)):
        with pytest.raises(DataError, match=f"has no {MANIFEST}"):
            refused()
    assert names(byhand) == ["config.ini", "mine.txt"]
    (done,) = install(source, root=root, force=True)
    assert done.kept == ("config.ini.orig", "mine.txt")  # nobody knows whose they were


def test_what_pip_installed_is_left_to_pip(wheel: str, tmp_path: Path) -> None:  # noqa: F811
    prefix = tmp_path / "prefix"
    run([*PIP, "install", "--prefix", str(prefix), "--ignore-installed", *QUIET, wheel])
    root = prefix / "share" / "nipy"
    (root / "nipy" / "examplepkg" / MANIFEST).unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"belongs to nipy-examplepkg 0\.1"):
        install(wheel, root=root)
    with pytest.raises(DataError, match="pip uninstall"):
        remove(root / "nipy" / "examplepkg")


def test_a_package_that_is_not_what_its_manifest_says(source: Path, root: Path) -> None:
    seal(source)
    (source / "a.txt").write_text("damaged")
    (source / "extra.txt").write_text("extra")
    with pytest.raises(DataError, match=r"does not hold what its .* says: a\.txt, extra\.txt"):
        install(source, root=root)
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_links_inside_a_directory_become_files(source: Path, root: Path) -> None:
    (source / "link.txt").symlink_to("a.txt")
    (done,) = install(source, root=root)
    assert not Path(done.path, "link.txt").is_symlink()
    assert Path(done.path, "link.txt").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere", "a link that leads nowhere"),
        (".git/annex/objects/a/b/K/K", "datalad get"),
        ("sub", "is a link to a directory"),
    ],
)
def test_links_that_cannot_be_installed(target: str, said: str, source: Path, root: Path) -> None:
    (source / "link").symlink_to(target)
    with pytest.raises(DataError, match=said):
        install(source, root=root)


def test_a_link_uses_the_directory_in_place(source: Path, root: Path) -> None:
    (done,) = install(source, root=root, link=True)
    assert Path(done.path).is_symlink()
    (source / "later.txt").write_text("")
    assert "later.txt" in names(done.path)
    assert not install(source, root=root, link=True)[0].changed
    (done,) = install(source, root=root)  # a copy in place of the link
    assert not Path(done.path).is_symlink()
    with pytest.raises(DataError, match="--force replaces it by a link"):
        install(source, root=root, link=True)
    (done,) = install(source, root=root, link=True, force=True)
    remove(done.path)
    assert source.is_dir()
    assert not Path(done.path).exists()


def test_modes_follow_the_umask(source: Path, root: Path) -> None:
    (source / "a.txt").chmod(0o600)
    os.umask(0o027)
    (done,) = install(source, root=root)
    assert stat.S_IMODE(os.stat(f"{done.path}/a.txt").st_mode) == 0o640
    assert stat.S_IMODE(os.stat(f"{done.path}/sub").st_mode) == 0o750
    assert stat.S_IMODE(os.stat(f"{done.path}/{MANIFEST}").st_mode) == 0o640


def test_a_shared_store_is_readable_by_all(source: Path, root: Path) -> None:
    os.umask(0o077)
    install(source, root=root, shared=True)
    for here, _, files in os.walk(root):
        assert stat.S_IMODE(os.stat(here).st_mode) == 0o755
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(here, name)).st_mode) == 0o644


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"root": "/a"}, "/a"),
        ({"prefix": "/usr"}, "/usr/share/nipy"),
        ({"system": True}, "/usr/local/share/nipy"),
        ({"system": True, "prefix": "/usr", "destdir": "/stage"}, "/stage/usr/share/nipy"),
    ],
)
def test_where_packages_go(options: dict[str, str], expected: str) -> None:
    assert install_root(**options) == expected  # type: ignore[arg-type]
    assert install_root() == os.path.join(os.environ["HOME"], ".nipy")


def test_a_bundle_goes_to_a_machine_without_a_network(
    make_package: MakePackage, root: Path, tmp_path: Path
) -> None:
    top = make_package("source", files=FILES)
    make_package("source", "nipy/data", "0.4", files=("x.nii.gz",))
    packages = [(name, top / name) for name in ("nipy/templates", "nipy/data")]
    made = bundle(packages, tmp_path / "data.zip")
    first = made.read_bytes()
    os.utime(top / "nipy" / "data" / "x.nii.gz", (1, 1))
    assert bundle(reversed(packages), tmp_path / "data.zip").read_bytes() == first
    done = install(made, root=root)
    assert [one.relpath for one in done] == ["nipy/data", "nipy/templates"]
    assert all(verify_directory(one.path).ok for one in done)
    subprocess.run(["python3", "-m", "zipfile", "-t", made], check=True, capture_output=True)
    assert os.listdir(tmp_path).count("data.zip") == 1


def test_a_bundle_of_what_is_not_whole_is_refused(source: Path, tmp_path: Path) -> None:
    seal(source)
    (source / "a.txt").unlink()
    with pytest.raises(DataError, match=r"a\.txt is missing"):
        bundle([("nipy/templates", source)], tmp_path / "data.zip")
    assert not [name for name in os.listdir(tmp_path) if name.startswith("data.zip")]


@pytest.mark.parametrize("content", ["file", "nothing", "empty"])
def test_what_is_no_source(content: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    if content == "file":
        path.write_text("")
    elif content == "empty":
        path.mkdir()
    with pytest.raises(DataError, match="thing"):
        install(path, root=root)


def test_a_tar_within_a_tar_is_no_package(tmp_path: Path, root: Path) -> None:
    inner = tmp_path / "inner.tar"
    with tarfile.open(inner, "w"):
        pass
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "inner.tar")
    with pytest.raises(DataError, match="no data package in"):
        install(tmp_path / "outer.zip", root=root)


def test_the_verbs(
    source: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, root: Path
) -> None:
    place = Path(os.environ["HOME"], ".nipy", "nipy", "templates")
    assert main(["install", str(source)]) == 0
    assert capsys.readouterr() == (f"nipy/templates 0.3 installed at {place}\n", "")
    assert main(["verify", "nipy/templates"]) == 0
    assert main(["bundle", "nipy/templates", "-o", str(tmp_path / "b.zip")]) == 0
    capsys.readouterr()
    assert main(["install", str(tmp_path / "b.zip"), "--root", str(root), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["version"] == "0.3"
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.4\n")
    assert main(["install", str(source), "--root", str(root)]) == 0
    out, err = capsys.readouterr()
    assert "nipy/templates 0.4 (in place of 0.3) installed at" in out
    assert f"{place} (NIPY user directory) is found before it" in err
    assert main(["remove", "nipy/templates"]) == 0
    assert capsys.readouterr().out == f"removed {place} (4 files)\n"
    assert main(["install", str(tmp_path / "none")]) == 1


@pytest.mark.parametrize(
    ("option", "below"),
    [(["--prefix", "/usr"], "usr/share/nipy"), (["--system"], "usr/local/share/nipy")],
)
def test_a_packager_stages_below_destdir(
    option: list[str],
    below: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DESTDIR", str(tmp_path / "stage"))
    os.umask(0o077)
    assert main(["install", str(source), *option]) == 0
    assert capsys.readouterr().err == ""
    staged = tmp_path / "stage" / below
    package = make_datasource("nipy/templates", staged)
    assert package.version == "0.3"
    assert stat.S_IMODE(os.stat(package.get_filename("a.txt")).st_mode) == 0o644
    assert stat.S_IMODE(os.stat(staged).st_mode) == 0o755
    assert main(["install", str(source), *option, "--destdir", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / below / "nipy" / "templates" / "a.txt").exists()


def test_installing_again_mends_what_is_damaged(source: Path, root: Path) -> None:
    install(source, root=root)
    (done,) = install(Path(root, "nipy", "templates"), root=root.with_name("second"))
    damaged = Path(done.path, "a.txt")
    content = damaged.read_bytes()
    damaged.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    Path(done.path, "mine.txt").write_text("mine")
    again = root.with_name("second")
    (done,) = install(Path(root, "nipy", "templates"), root=again)
    assert (done.changed, done.kept) == (True, ("mine.txt",))
    assert damaged.read_bytes() == content
    assert not install(Path(root, "nipy", "templates"), root=again)[0].changed


def test_a_pointer_of_git_annex_is_no_content(source: Path, root: Path) -> None:
    (source / "a.txt").write_text("/annex/objects/MD5E-s4--abc.txt\n")
    with pytest.raises(DataError, match=r"the content of .*a\.txt is not here"):
        install(source, root=root)
    assert not root.exists()


def test_a_link_is_not_staged(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = tmp_path / "stage"
    assert main(["install", "--link", str(source), "--destdir", str(stage)]) == 2
    monkeypatch.setenv("DESTDIR", str(stage))
    assert main(["install", "--link", str(source), "--system"]) == 2
    assert "--link leaves a link to a directory of this machine" in capsys.readouterr().err
    assert not stage.exists()


@pytest.mark.parametrize("option", [["--root", "ROOT"], ["--user"], []])
def test_destdir_is_not_for_a_root_or_a_user(
    option: list[str],
    source: Path,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DESTDIR", str(tmp_path / "stage"))
    words = [word.replace("ROOT", str(root)) for word in option]
    assert main(["install", str(source), *words]) == 0
    assert "note: DESTDIR is set, but not used, as " in capsys.readouterr().err
    place = root if words[:1] == ["--root"] else Path(os.environ["HOME"], ".nipy")
    assert make_datasource("nipy/templates", place).version == "0.3"
    assert not (tmp_path / "stage").exists()
    assert main(["install", str(source), *words, "--destdir", str(tmp_path / "stage")]) == 0
    assert (tmp_path / "stage" / os.path.relpath(place, "/") / "nipy" / "templates").is_dir()


@pytest.mark.parametrize(
    "words",
    [
        *(["--prefix", "/usr", "--system"], ["--user", "--system"], ["--user", "--prefix", "/usr"]),
        *(["--root", "/a", "--system"], ["--root", "/a", "--user"], ["--root", "", "--prefix", ""]),
    ],
)
def test_one_place_is_named(
    words: list[str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["install", str(source), *words])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--root", ""], ["--prefix", ""], ["--as", ""]])
def test_an_empty_place_is_not_the_working_directory(
    words: list[str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", str(source), *words]) == 2
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("relpath", "said"),
    [
        ("one", "'one' names no project: .* write --as PROJECT/one"),
        ("nipy/t/sub", "has 3 parts: .* write for example --as nipy/sub"),
        ("x>=3", "names a version, but a place has none: .* write --as PROJECT/x"),
        ("nipy/x==3", "names a version, but a place has none: .* write --as nipy/x"),
        ("nipy/t>=x", "x"),
        ("/etc/nipy", "leaves the directory"),
        ("nipy/t\0", "NUL"),
    ],
)
def test_a_place_is_a_project_and_a_package(
    relpath: str, said: str, source: Path, root: Path
) -> None:
    with pytest.raises(DataError, match=said):
        install(source, root=root, relpath=relpath)
    assert not root.exists()


def test_a_wrong_place_is_wrong_usage(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for relpath in ("one", "nipy/t/sub", "x>=3"):
        assert main(["install", str(source), "--as", relpath]) == 2
        assert f"nibabel-data: --as {relpath!r} " in capsys.readouterr().err
    assert main(["install", str(source), "--as", "./my//templates/"]) == 0
    assert capsys.readouterr().out.startswith("my/templates 0.3 installed at ")


@pytest.fixture
def three(make_package: MakePackage) -> Path:
    """Return a directory of three packages."""
    for relpath in ("lab/a", "lab/b", "lab/c"):
        top = make_package("three", relpath, "1.0", files=("x.txt",))
    return top


def test_several_are_looked_at_before_the_first_is_installed(three: Path, root: Path) -> None:
    install(three / "lab" / "c", root=root)
    (three / "lab" / "c" / "config.ini").write_text("[DEFAULT]\nversion = 0.9\n")
    with pytest.raises(DataError, match=r"lab/c 1\.0 is installed, which is newer than 0\.9"):
        install(three, root=root)
    assert os.listdir(root / "lab") == ["c"]
    archive = shutil.make_archive(str(root.parent / "three"), "gztar", three)
    with pytest.raises(DataError, match=r"lab/c 1\.0 is installed, which is newer than 0\.9"):
        install(archive, root=root)
    (three / "lab" / "c" / MANIFEST).write_text("nonsense")
    with pytest.raises(ConfigError, match=f"lab/c/{MANIFEST}, line 1"):
        install(three, root=root)
    with pytest.raises(DataError, match="a directory of its own"):
        install(three, root=root, link=True)
    assert os.listdir(root / "lab") == ["c"]
    (three / "lab" / "c" / MANIFEST).unlink()
    remove(root / "lab" / "c")
    (root / "lab" / "c").mkdir(parents=True)
    (root / "lab" / "c" / "mine.txt").write_text("")
    with pytest.raises(DataError, match="it was not installed here"):
        install(three, root=root)
    assert os.listdir(root / "lab") == ["c"]


def damage(package: Path) -> None:
    """Let a package hold something else than its manifest says, of the same size."""
    seal(package)
    (package / "x.txt").write_bytes(b"DATA")


def test_what_was_done_before_an_error_is_told(
    three: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(three / "lab" / "c")
    told: list[Installed] = []
    with pytest.raises(DataError, match="lab/c does not hold what") as caught:
        install(three, root=root, done=told.append)
    assert [one.relpath for one in told] == ["lab/a", "lab/b"]
    assert caught.value.results == tuple(told)
    assert main(["install", str(three)]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["lab/a", "lab/b"]
    assert "lab/c does not hold what" in err
    assert main(["install", str(three), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [one["relpath"] for one in facts["results"]] == ["lab/a", "lab/b"]
    assert "lab/c does not hold what" in facts["error"]


@pytest.mark.parametrize("wrong", ["r\0", "", "\ud800"])
def test_a_path_that_no_file_can_have(wrong: str, source: Path, root: Path) -> None:
    with pytest.raises(DefinitionError, match="the source"):
        install(wrong, root=root)
    with pytest.raises(DefinitionError, match="the root"):
        install(source, root=wrong)
    for options in ({"root": wrong}, {"prefix": wrong}):
        with pytest.raises(DefinitionError):
            install_root(**options)  # type: ignore[arg-type]
    assert not root.exists()


@pytest.mark.parametrize("wrong", [b"data.zip", 3, None])
def test_a_path_is_text(wrong: object, source: Path, root: Path) -> None:
    said = "must be a str or an os.PathLike of str, not " + type(wrong).__name__
    with pytest.raises(TypeError, match=f"the source {said}"):
        install(wrong, root=root)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"the root {said}"):
        install(source, root=wrong)  # type: ignore[arg-type]
    if wrong is not None:
        with pytest.raises(TypeError, match="relpath must be a str"):
            install(source, root=root, relpath=wrong)  # type: ignore[arg-type]


def test_errors_name_the_source_and_not_what_was_staged(source: Path, root: Path) -> None:
    (source / "config.ini").write_bytes(b"[DEFAULT]\nversion = 0.3\nregistry = registry.txt\n")
    (source / "registry.txt").write_text("a line that is none\n")
    with pytest.raises(ConfigError, match=rf"^{source}/registry\.txt, line 1: ") as caught:
        install(source, root=root)
    archive = shutil.make_archive(str(root.parent / "t"), "zip", source.parents[1])
    with pytest.raises(ConfigError, match=rf"^nipy/templates/registry\.txt of {archive}, line 1"):
        install(archive, root=root)
    assert "staging" not in str(caught.value)


def test_an_error_of_the_system_names_its_file(
    source: Path,
    public_tmp: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    copied = public_tmp / "nipy" / "templates"
    shutil.copytree(source, copied)
    (copied / "a.txt").chmod(0)
    public_tmp.chmod(0o777)
    with unprivileged(), pytest.raises(DataError) as caught:
        install(copied, root=public_tmp / "root")
    assert str(caught.value) == (
        f"cannot install nipy/templates at {public_tmp}/root/nipy/templates: "
        f"{copied}/a.txt: permission denied; nothing was changed"
    )


@pytest.fixture
def thin(make_package: MakePackage, tmp_path: Path) -> Path:
    """Return a package that carries one file, and promises another."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "T1.nii").write_bytes(b"an image")
    digest = hashlib.sha256(b"an image").hexdigest()
    top = make_package("thin", config="[DEFAULT]\nversion = 0.3\nregistry = registry.txt\n")
    package = top / "nipy" / "templates"
    url = (tmp_path / "shelf" / "T1.nii").as_uri()
    (package / "registry.txt").write_text(f"T1.nii sha256:{digest} {url}\n")
    return package


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("form", ["directory", "archive"])
def test_what_a_source_holds_of_the_promised_is_what_was_promised(
    form: str, sealed: bool, algorithm: str, root: Path, tmp_path: Path
) -> None:
    base = make_thin(
        tmp_path / "top" / "nipy" / "templates", tmp_path / "shelf", algorithm=algorithm
    )
    if sealed:
        seal(base)

    def source() -> str:
        if form == "directory":
            return str(base)
        return shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "top")

    (base / "T1.nii").write_bytes(b"AN IMAGE")
    with pytest.raises(DataError) as caught:
        install(source(), root=root)
    assert "T1.nii is not what registry.txt, line 1, promises: " in str(caught.value)
    assert f"Get {source()} again" in str(caught.value)
    assert ".nibabel-data-staging" not in str(caught.value)
    assert not (root / "nipy" / "templates").exists()
    (base / "T1.nii").write_bytes(b"an image")
    (done,) = install(source(), root=root)
    assert "T1.nii" not in Path(done.path, MANIFEST).read_text()
    assert verify_directory(done.path).ok
    assert verify_directory(done.path).checked == 3


def test_a_damaged_file_that_was_fetched_is_not_carried_over(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nibabel_data.package.stamps.settled", lambda seen, now: True)
    source = make_thin(tmp_path / "source", tmp_path / "shelf")
    (done,) = install(source, root=root, relpath="nipy/templates")
    for name in ("T1.nii", "sub/labels.txt"):
        VersionedDatasource(done.path).fetch(name)
    Path(done.path, "T1.nii").write_bytes(b"AN IMAGE")
    assert not verify_directory(done.path).ok
    install(source, root=root, relpath="nipy/templates", force=True)
    result = verify_directory(done.path)
    assert (result.ok, result.not_fetched) == (True, 1)
    assert Path(done.path, "sub", "labels.txt").read_bytes() == b"labels"


def test_what_was_fetched_is_part_of_a_package_but_not_of_its_manifest(
    thin: Path, root: Path, tmp_path: Path
) -> None:
    (done,) = install(thin, root=root)
    tree = tree_of(done.path)
    package = VersionedDatasource(done.path)
    assert package.fetch("T1.nii").read_bytes() == b"an image"
    assert verify_directory(done.path).ok
    assert verify_directory(done.path).checked == 3
    assert tree_of(done.path) == tree
    made = bundle([("nipy/templates", done.path)], tmp_path / "data.zip")
    (tmp_path / "shelf" / "T1.nii").unlink()
    (other,) = install(made, root=tmp_path / "offline")
    assert Path(other.path, "T1.nii").read_bytes() == b"an image"
    assert verify_directory(other.path).ok
    assert tree_of(other.path) == tree
    Path(other.path, "T1.nii").write_bytes(b"damaged!")
    assert [(c.path, c.state) for c in verify_directory(other.path).amiss] == [
        ("T1.nii", "changed")
    ]
    assert remove(other.path).kept == ()
    assert not Path(other.path).exists()


def test_what_was_fetched_survives_an_upgrade_only_if_it_is_still_promised(
    thin: Path, root: Path
) -> None:
    (done,) = install(thin, root=root)
    VersionedDatasource(done.path).fetch("T1.nii")
    (thin / "config.ini").write_text("[DEFAULT]\nversion = 0.4\nregistry = registry.txt\n")
    assert install(thin, root=root)[0].kept == ()
    assert Path(done.path, "T1.nii").read_bytes() == b"an image"
    (thin / "config.ini").write_text("[DEFAULT]\nversion = 0.5\nregistry = registry.txt\n")
    (thin / "registry.txt").write_text(f"T1.nii sha256:{'0' * 64} file:///none\n")
    install(thin, root=root)
    assert not Path(done.path, "T1.nii").exists()


def test_a_url_with_its_hash(
    source: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "t"), "zip", source.parents[1]))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (done,) = install(f"{archive.as_uri()}#sha256={digest}", root=root)
    assert done.version == "0.3"
    (kept,) = (entry for entry in cache_entries() if entry.kind == "download")
    assert os.path.basename(kept.path) == digest  # for others, until it is pruned
    with pytest.raises(DataError, match="by its hash: .*#sha256=HASH"):
        install(archive.as_uri(), root=root)
    with pytest.raises(DataError, match="is expected"):
        install(f"{archive.as_uri()}#sha256={'0' * 64}", root=root)
    monkeypatch.setenv("NIBABEL_DATA_OFFLINE", "1")
    with pytest.raises(DataError, match="NIBABEL_DATA_OFFLINE"):
        install(f"https://127.0.0.1/t.zip#sha256={'1' * 64}", root=root)


def test_a_link_never_takes_the_place_of_what_it_leads_to(source: Path, root: Path) -> None:
    (done,) = install(source, root=root)
    for place in (done.path, root):
        with pytest.raises(DataError, match="nothing to link"):
            install(place, root=root, link=True, force=True)
    inner = shutil.copytree(source, Path(done.path, "nipy", "templates"))
    with pytest.raises(DataError, match="which the link would replace"):
        install(inner, root=root, link=True, force=True)
    shutil.rmtree(inner.parent)
    Path(done.path, "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds notes\.txt, which was not installed"):
        install(source, root=root, link=True, force=True)
    assert Path(done.path, "a.txt").exists()


def test_whatever_a_person_added_is_kept(source: Path, root: Path, tmp_path: Path) -> None:
    (done,) = install(source, root=root)
    place = Path(done.path)
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_text("ref")
    (place / "linked").symlink_to(tmp_path)
    (place / "empty").mkdir()
    (place / "README").write_text("mine")
    (source / "README").write_text("theirs")
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.4\n")
    (done,) = install(source, root=root)
    assert done.kept == (".git/HEAD", "README.orig", "empty", "linked")
    assert (place / "README").read_text() == "theirs"
    assert (place / "README.orig").read_text() == "mine"
    assert (place / "linked").is_symlink()
    remove(place)
    assert sorted(os.listdir(place)) == [".git", "README.orig", "empty", "linked"]


def test_what_stands_in_the_way_is_named(source: Path, root: Path) -> None:
    (done,) = install(source, root=root)
    Path(done.path, "notes").write_text("mine")
    (source / "notes").mkdir()
    (source / "notes" / "a").write_text("")
    (source / "config.ini").write_text("[DEFAULT]\nversion = 0.4\n")
    with pytest.raises(DataError, match="notes was added to the old version, and stands"):
        install(source, root=root)
    assert make_datasource("nipy/templates", root).version == "0.3"


def test_a_damaged_package_is_mended_by_installing_it_again(source: Path, root: Path) -> None:
    seal(source)
    (done,) = install(source, root=root)
    Path(done.path, "a.txt").unlink()
    assert install(source, root=root)[0].changed
    assert verify_directory(done.path).ok
    Path(done.path, "a.txt").write_bytes(b"DATA")  # as long as before
    assert install(source, root=root, force=True)[0].changed
    assert verify_directory(done.path).ok


def test_only_directories_that_it_made_are_opened(source: Path, tmp_path: Path) -> None:
    os.umask(0o077)
    private = tmp_path / "private"
    private.mkdir()
    install(source, root=private / "deep" / "store", shared=True)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "deep").stat().st_mode) == 0o755


def test_protected_directories_leave_nothing_behind(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    os.chmod(public_tmp, 0o777)
    package = public_tmp / "source" / "nipy" / "templates"
    (package / "ro").mkdir(parents=True)
    (package / "config.ini").write_text("[DEFAULT]\nversion = 0.3\n")
    (package / "ro" / "a").write_text("")
    with unprivileged():
        (done,) = install(package, root=public_tmp / "root")
        os.chmod(os.path.join(done.path, "ro"), 0o555)
        remove(done.path)
    assert os.listdir(public_tmp / "root") == []


def test_files_of_version_control_in_an_archive_are_left_out(
    source: Path, root: Path, tmp_path: Path
) -> None:
    for name in (".git/hooks/post-checkout", ".DS_Store"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("evil")
    archive = shutil.make_archive(str(tmp_path / "t"), "gztar", source.parents[1])
    (done,) = install(archive, root=root)
    assert verify_directory(done.path).ok
    assert not Path(done.path, ".git").exists()


def test_a_package_that_stands_twice_in_an_archive(
    source: Path, root: Path, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        shutil.copytree(source, tmp_path / "twice" / name / "nipy" / "templates")
    archive = shutil.make_archive(str(tmp_path / "t"), "zip", tmp_path / "twice")
    with pytest.raises(DataError, match="more than once"):
        install(archive, root=root)


def test_a_bundle_of_a_damaged_package_is_refused(source: Path, tmp_path: Path) -> None:
    seal(source)
    (source / "a.txt").write_bytes(b"DATA")
    with pytest.raises(DataError, match=r"a\.txt is not what"):
        bundle([("nipy/templates", source)], tmp_path / "data.zip")
