from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import pytest

from nibabel_data import DataError, DefinitionError, make_datasource
from nibabel_data.cli.main import main
from nibabel_data.package import build as building
from nibabel_data.package.build import build
from nibabel_data.package.check import check_package
from nibabel_data.package.manifest import MANIFEST
from nibabel_data.package.new import new_package
from nibabel_data.package.verify import verify_directory

from ..conftest import PROJECT, MakePackage

SOURCES = {
    "hatchling": PROJECT / "examples" / "nipy-examplepkg",
    "classic": PROJECT / "tests" / "packages" / "classic-datapkg",
    "bare": PROJECT / "tests" / "packages" / "classic-datapkg" / "nipy",
}
RELPATHS = {
    "hatchling": "nipy/examplepkg",
    "classic": "nipy/classicpkg",
    "bare": "nipy/classicpkg",
}
KINDS = list(SOURCES)


@pytest.fixture
def make_source(tmp_path: Path) -> MakePackage:
    """Return a function that copies a source tree, and returns what is to be built."""

    def make(kind: str, name: str = "source") -> Path:
        if kind == "bare":
            shutil.copytree(SOURCES[kind], tmp_path / name / "nipy")
            return tmp_path / name / "nipy" / "classicpkg"
        return shutil.copytree(SOURCES[kind], tmp_path / name)

    return make


def sums(paths: list[Path]) -> list[tuple[str, str]]:
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]


def tree(top: Path) -> dict[str, object]:
    return {
        str(path.relative_to(top)): (path.stat().st_mode, path.stat().st_mtime_ns)
        for path in top.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_twice(kind: str, make_source: MakePackage, tmp_path: Path) -> None:
    one = build(make_source(kind), tmp_path / "out1")
    other = make_source(kind, "another-name")
    # Made in another order, at another time, with other modes, by a person with another umask.
    for number, path in enumerate(sorted(other.rglob("*"), reverse=True)):
        if path.is_file():
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            path.chmod(0o777 if number % 2 else 0o600)
            os.utime(path, (10**9 + number, 10**9 + number))
    before = os.umask(0o077)
    try:
        two = build(other, tmp_path / "out2")
    finally:
        os.umask(before)
    assert len(one) == len(two) == 2
    assert sums(one) == sums(two)
    assert sums(build(other, tmp_path / "out2")) == sums(two)
    assert sorted(os.listdir(tmp_path / "out2")) == sorted(path.name for path in two)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_manifest_is_written(kind: str, make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source(kind)
    top = tmp_path / "source"
    before = tree(top)
    build(source, tmp_path / "out")
    after = tree(top)
    manifest = f"{RELPATHS[kind]}/{MANIFEST}"
    assert after.keys() - before.keys() == {manifest}
    assert {name: after[name] for name in before} == before
    package = top / RELPATHS[kind]
    assert verify_directory(package).ok
    done = subprocess.run(["sha256sum", "--quiet", "-c", MANIFEST], cwd=package)
    assert done.returncode == 0
    build(source, tmp_path / "out")
    assert tree(top)[manifest] == after[manifest]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_them(kind: str, make_source: MakePackage, tmp_path: Path) -> None:
    sdist, wheel = build(make_source(kind), tmp_path / "out")
    package = tmp_path / "source" / RELPATHS[kind]
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert MANIFEST in names
    stem = "-".join(wheel.name.split("-")[:2])
    assert wheel.name == f"{stem}-py3-none-any.whl"
    assert sdist.name == f"{stem}.tar.gz"
    begin = f"{stem}.data/data/share/nipy/{RELPATHS[kind]}/"
    with zipfile.ZipFile(wheel) as archive:
        members = archive.namelist()
        assert archive.testzip() is None
    assert {name.removeprefix(begin) for name in members if name.startswith(begin)} == names
    assert all(name.startswith((begin, f"{stem}.dist-info/")) for name in members)
    with tarfile.open(sdist) as archive_tar:
        inside = archive_tar.getmembers()
    begin = f"{stem}/{RELPATHS[kind]}/"
    assert {m.name.removeprefix(begin) for m in inside if m.name.startswith(begin)} - {
        "tables"
    } == names
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in inside} == {
        (0, 0, "", "", building.EPOCH)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_installed_and_located(
    kind: str, tool: str, make_source: MakePackage, tmp_path: Path
) -> None:
    (wheel,) = build(make_source(kind), tmp_path / "out", sdist=False)
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    quiet = ["--quiet", "--no-deps", "--no-index"]
    if tool == "pip":
        options = ["-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
    else:
        options = ["-m", "uv", "pip", "install", "--offline", "-p", str(python)]
    subprocess.run([sys.executable, *options, *quiet, str(wheel)], check=True)
    package = make_datasource(RELPATHS[kind], tmp_path / "env" / "share" / "nipy")
    assert package.version == ("0.1" if kind == "hatchling" else "0.2")
    result = verify_directory(package.base_path)
    assert result.ok
    assert result.against == "manifest"


@pytest.mark.parametrize("kind", KINDS)
def test_the_sdist_builds_the_same_package(
    kind: str, make_source: MakePackage, tmp_path: Path
) -> None:
    sdist, wheel = build(make_source(kind), tmp_path / "out")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (top,) = (tmp_path / "unpacked").iterdir()
    (again,) = build(top, tmp_path / "again", sdist=False)
    begin = wheel.name.split("-py3")[0] + ".data/"
    contents = []
    for path in (wheel, again):
        with zipfile.ZipFile(path) as archive_zip:
            data = [name for name in archive_zip.namelist() if name.startswith(begin)]
            contents.append({name: archive_zip.read(name) for name in data})
    assert contents[0] == contents[1]


def test_new_filled_checked_and_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = new_package("mylab/atlas", license="CC-BY-4.0", author="Ana Müller")
    shutil.copy(SOURCES["hatchling"] / "nipy" / "examplepkg" / "image.nii.gz", made / "mylab/atlas")
    monkeypatch.chdir(made)
    built = build(".")
    assert [str(path.relative_to(made)) for path in built] == [
        "dist/mylab_atlas-0.1.tar.gz",
        "dist/mylab_atlas-0.1-py3-none-any.whl",
    ]
    with zipfile.ZipFile(built[1]) as archive:
        metadata = archive.read("mylab_atlas-0.1.dist-info/METADATA").decode()
    assert "License-Expression: CC-BY-4.0\n" in metadata
    assert sums(build(made)) == sums(built)  # what lies in dist is not part of it


ODD = ("a b.txt", "\u00e9,'.txt", "[x].txt", ".hidden", "build/x", "#1", "%s", "!a")


@pytest.mark.parametrize("kind", KINDS)
def test_odd_names_and_empty_files(kind: str, make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source(kind)
    package = tmp_path / "source" / RELPATHS[kind]
    for name in (*ODD, f"bag/{MANIFEST}"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_bytes(b"")
    _, wheel = build(source, tmp_path / "out")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.partition(f"{RELPATHS[kind]}/")[2] for name in archive.namelist()}
    assert inside >= {*ODD, f"bag/{MANIFEST}", MANIFEST}


def test_a_real_brain_is_built_damaged_and_found_out(tmp_path: Path) -> None:
    nilearn = pytest.importorskip("nilearn")
    name = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    made = new_package("mylab/brain", tmp_path / "made")
    image = made / "mylab" / "brain" / name
    shutil.copyfile(Path(nilearn.__file__).parent / "datasets" / "data" / name, image)
    assert check_package(made) == []
    assert len(build(made, tmp_path / "out")) == 2
    content = bytearray(image.read_bytes())
    content[len(content) // 3] ^= 16
    image.write_bytes(content)
    assert [check.state for check in verify_directory(image.parent).amiss] == ["changed"]
    problem, stale = check_package(made)
    assert (stale.path, stale.serious) == (f"mylab/brain/{MANIFEST}", False)
    assert problem.path == f"mylab/brain/{name}"
    assert problem.problem.startswith("truncated or damaged")


def test_killed_while_it_builds(make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source("classic")
    text = (source / "setup.py").read_text()
    started = tmp_path / "started"
    wait = f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(60)\n"
    (source / "setup.py").write_text(wait + text)
    command = [sys.executable, "-m", "nibabel_data", "build", str(source), "-o", "out"]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (source / "nipy" / "classicpkg" / MANIFEST).exists()
    (source / "setup.py").write_text(text)
    built = build(source, "out")
    assert sorted(os.listdir("out")) == sorted(path.name for path in built)


def test_one_of_the_two(make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source("hatchling")
    assert [path.suffix for path in build(source, tmp_path / "o", sdist=False)] == [".whl"]
    assert [path.suffix for path in build(source, tmp_path / "o", wheel=False)] == [".gz"]
    with pytest.raises(DefinitionError, match="nothing to build"):
        build(source, wheel=False, sdist=False)


def test_metadata_of_a_package_with_neither(make_package: MakePackage, tmp_path: Path) -> None:
    config = '[DEFAULT]\nversion: 1.0rc1\nlicense = cc0-1.0\ndescription = Two\n  lines, "quoted"\n'
    root = make_package(relpath="lab/my atlas", config=config, files=("LICENSE", "a.txt"))
    _, wheel = build(root, tmp_path / "out")
    assert wheel.name == "lab_my_atlas-1.0rc1-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("lab_my_atlas-1.0rc1.dist-info/METADATA").decode()
        assert "lab_my_atlas-1.0rc1.data/data/share/nipy/lab/my atlas/a.txt" in archive.namelist()
    assert 'Summary: Two lines, "quoted"\n' in metadata
    assert "License-Expression: CC0-1.0\n" in metadata


def test_serious_problems_are_refused(make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source("hatchling")
    (source / "nipy" / "examplepkg" / "gone.nii").symlink_to("nowhere")
    (source / "nipy" / "examplepkg" / "aux").write_text("x")
    with pytest.raises(DataError) as caught:
        build(source, tmp_path / "out")
    assert str(caught.value) == (
        f"{source} cannot be built as it is:\n"
        "    nipy/examplepkg/aux: Windows reserves the name AUX\n"
        "        rename it\n"
        "    nipy/examplepkg/gone.nii: a link that leads nowhere: nowhere\n"
        "        replace the link by the file, or remove it"
    )
    assert not (tmp_path / "out").exists()
    assert not (source / "nipy" / "examplepkg" / MANIFEST).exists()


def test_links_and_annexed_files_are_packed_as_files(
    make_source: MakePackage, tmp_path: Path
) -> None:
    source = make_source("hatchling")
    annexed = source / ".git" / "annex" / "objects" / "x"
    annexed.parent.mkdir(parents=True)
    annexed.write_text("content")
    annexed.chmod(0o444)
    package = source / "nipy" / "examplepkg"
    (package / "a.txt").symlink_to("../../.git/annex/objects/x")
    sdist, wheel = build(source, tmp_path / "out")
    name = "nipy_examplepkg-0.1.data/data/share/nipy/nipy/examplepkg/a.txt"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(name) == b"content"
    with tarfile.open(sdist) as archive_tar:
        assert archive_tar.getmember("nipy_examplepkg-0.1/nipy/examplepkg/a.txt").isreg()


def test_a_file_that_the_backend_leaves_out_is_found_out(
    make_source: MakePackage, tmp_path: Path
) -> None:
    source = make_source("hatchling")
    text = (source / "pyproject.toml").read_text()
    (source / "pyproject.toml").write_text(text.replace("ignore-vcs = true", ""))
    (source / ".gitignore").write_text("image.nii.gz\n")
    with pytest.raises(DataError, match=r"was built, but lacks image\.nii\.gz of the package"):
        build(source, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
    assert not (source / "nipy" / "examplepkg" / MANIFEST).exists()


def test_a_classic_setup_py_that_names_too_few(make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source("classic")
    text = (source / "setup.py").read_text()
    (source / "setup.py").write_text(text.replace("sorted(filenames)", "sorted(filenames)[:1]"))
    with pytest.raises(DataError, match=r"lacks manifest-sha256\.txt of the package; look into"):
        build(source, tmp_path / "out")


def test_a_backend_that_fails_says_why(make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source("classic")
    (source / "setup.py").write_text("raise RuntimeError('this is old')\n")
    with pytest.raises(DataError, match=r"(?s)setuptools cannot build sdist:.*this is old"):
        build(source, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_another_backend(make_source: MakePackage) -> None:
    source = make_source("hatchling")
    (source / "pyproject.toml").write_text("[build-system]\nbuild-backend = 'flit_core.buildapi'\n")
    with pytest.raises(DataError, match="use 'python -m build"):
        build(source, "out")


def test_without_hatchling(make_source: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        build(make_source("hatchling"), "out")
    assert str(caught.value) == (
        "building this package needs hatchling: pip install 'nibabel-data[build]'"
    )


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_the_package_of_a_distribution_is_not_built_without_it(make_source: MakePackage) -> None:
    source = make_source("hatchling")
    with pytest.raises(DefinitionError, match=f"build that: nibabel-data build {source}"):
        build(source / "nipy" / "examplepkg")


def test_results_cannot_go_into_the_package(make_source: MakePackage) -> None:
    source = make_source("bare")
    with pytest.raises(DefinitionError, match="it lies in the package; choose another with -o"):
        build(source, source / "dist")
    assert not (source / "dist").exists()


def test_source_date_epoch(
    make_source: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source("classic")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (wheel,) = build(source, tmp_path / "out", sdist=False)
    with zipfile.ZipFile(wheel) as archive:
        assert {info.date_time[:3] for info in archive.infolist()} == {(2023, 11, 14)}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(DefinitionError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        build(source, tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory hold on Linux")
@pytest.mark.parametrize("kind", KINDS)
def test_files_larger_than_memory(kind: str, make_source: MakePackage, tmp_path: Path) -> None:
    source = make_source(kind)
    package = tmp_path / "source" / RELPATHS[kind]
    with (package / "large.bin").open("wb") as file:
        file.truncate(220 << 20)
    limit = 200 << 20

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    command = [sys.executable, "-m", "nibabel_data", "build", str(source), "-o", "out", "--wheel"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, preexec_fn=limited, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_verb(
    make_source: MakePackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_source("bare")
    assert main(["build", str(source)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/work/dist/nipy_classicpkg-0.2.tar.gz",
        f"{tmp_path}/work/dist/nipy_classicpkg-0.2-py3-none-any.whl",
    ]
    assert main(["build", str(source), "--sdist", "-o", "o"]) == 0
    assert os.listdir("o") == ["nipy_classicpkg-0.2.tar.gz"]
    assert main(["build", str(tmp_path)]) == 1
    assert "no data package" in capsys.readouterr().err
