from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nibabel_data import DataError
from nibabel_data.cli.main import main
from nibabel_data.package import check
from nibabel_data.package.check import Problem, check_package
from nibabel_data.package.images import image_problem
from nibabel_data.package.install import install
from nibabel_data.package.manifest import MANIFEST, hash_files, manifest_text

from ..conftest import PROJECT, MakePackage

EXAMPLE = PROJECT / "examples" / "nipy-examplepkg"
CARRIED = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return a copy of the example, in which nothing is wrong."""
    return shutil.copytree(EXAMPLE, tmp_path / "top")


@pytest.fixture
def package(top: Path) -> Path:
    return top / "nipy" / "examplepkg"


def the_one(directory: Path) -> Problem:
    (problem,) = check_package(directory)
    return problem


def test_nothing_is_wrong(top: Path, package: Path) -> None:
    assert check_package(top) == []
    assert check_package(str(package)) == []


def test_no_package(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        problem = the_one(directory)
        assert problem.path == "."
        assert problem.serious
        assert problem.mend == "lay it out as <project>/<package>/config.ini"


def test_more_than_one_package(top: Path, package: Path) -> None:
    shutil.copytree(package, top / "nipy" / "second")
    assert "more than one data package" in the_one(top).problem
    assert "nipy/examplepkg, nipy/second" in the_one(top).problem
    assert check_package(package) == []


def test_what_was_built_is_no_package(top: Path, package: Path) -> None:
    for place in ("build/x", "dist/x", ".git/x", "nipy_examplepkg.egg-info/x"):
        shutil.copytree(package, top / place)
    assert check_package(top) == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("nonsense", "line 1: a line before any [SECTION]: 'nonsense'"),
        ("[DEFAULT]\n", "no version: it needs [DEFAULT] and a line 'version = 0.1'"),
        ("[DEFAULT]\nversion = x\n", "line 2: version 'x' is not a version"),
        ("[DEFAULT]\nversion = 0.3.foo\n", "the version '0.3.foo' is not a PEP 440 version"),
        ("[package]\nversion = 1\n", "no version: section [package] found, [DEFAULT] needed"),
    ],
)
def test_config(config: str, problem: str, package: Path) -> None:
    (package / "config.ini").write_text(config)
    found = the_one(package)
    assert (found.path, found.serious) == ("config.ini", True)
    assert found.problem.startswith(problem)


def test_licence_citation_and_data(make_package: MakePackage) -> None:
    root = make_package(files=("README",))
    found = check_package(root)
    assert {problem.path for problem in found} == {"nipy/templates/config.ini"}
    assert [problem.problem for problem in found] == [
        "no licence: nobody may use the data",
        "nothing says how to cite the data",
        "the package has no data yet",
    ]
    assert not any(problem.serious for problem in found)
    make_package(files=("LICENCE.txt", "CITATION.cff", "a/b.txt"))
    assert check_package(root) == []


def test_links(package: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_text("a")
    (package / "in.txt").symlink_to("README.rst")
    assert check_package(package) == []
    (package / "gone.txt").symlink_to("nowhere")
    (package / "out.txt").symlink_to(tmp_path / "outside" / "a.txt")
    (package / "dir").symlink_to(tmp_path / "outside")
    found = {problem.path: problem for problem in check_package(package)}
    assert found["gone.txt"].problem == "a link that leads nowhere: nowhere"
    assert found["out.txt"].problem.startswith("a link that leads outside: ")
    assert found["dir"].problem == "a link to a directory, which is not followed"
    assert len(found) == 3
    assert all(problem.serious and problem.mend for problem in found.values())


def test_annexed_content(package: Path, tmp_path: Path) -> None:
    here = tmp_path / "top" / ".git" / "annex" / "objects" / "aa" / "here"
    here.parent.mkdir(parents=True)
    here.write_text("data")
    (package / "here.txt").symlink_to("../../.git/annex/objects/aa/here")
    (package / "away.nii").symlink_to("../../.git/annex/objects/bb/away")
    problem = the_one(package)
    assert (problem.path, problem.serious) == ("away.nii", True)
    assert problem.mend == f"fetch it: datalad get -d {tmp_path}/top {package}/away.nii"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no FIFO")
def test_what_is_no_file(package: Path) -> None:
    os.mkfifo(package / "pipe")
    assert the_one(package).problem == "not a file that can be packed"


def test_unreadable(
    public_tmp: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    package = shutil.copytree(EXAMPLE / "nipy" / "examplepkg", public_tmp / "nipy" / "pkg")
    (package / "secret.txt").write_text("x")
    (package / "secret.txt").chmod(0)
    (package / "shut").mkdir()
    (package / "shut").chmod(0)
    with unprivileged():
        found = check_package(package)
    assert [(problem.path, problem.problem) for problem in found] == [
        ("secret.txt", "cannot be read: permission denied"),
        ("shut", "cannot be listed: permission denied"),
    ]
    assert found[0].mend == f"make it readable: chmod u+r {package}/secret.txt"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("AUX.txt", "Windows reserves the name AUX"),
        ("a:b", "Windows does not allow ':' in a name"),
        ("a\\b", "Windows does not allow '\\\\' in a name"),
        ("dot.", "Windows takes a dot or a space off the end of a name"),
        ("a\nb", "the name has a control character"),
        ("a\udcff", "the name is no text"),
    ],
)
def test_names(name: str, problem: str, package: Path) -> None:
    (package / "sub").mkdir()
    (package / "sub" / name).write_text("x")
    found = the_one(package)
    assert (found.path, found.mend, found.serious) == (f"sub/{name}", "rename it", True)
    assert found.problem.startswith(problem)


def test_names_that_collide(package: Path) -> None:
    for name in ("T1", "t1"):
        (package / name).mkdir()
        (package / name / "x.txt").write_text("x")
    for name in ("\u00e9.txt", "e\u0301.txt"):
        (package / name).write_text("x")
    found = check_package(package)
    assert {problem.path for problem in found} == {"t1", "t1/x.txt", "\u00e9.txt"}
    assert found[0].problem == "on Windows and macOS this is the same name as 'T1'"


def test_long_paths(package: Path) -> None:
    deep = package / ("d" * 150) / ("e" * 50)
    deep.mkdir(parents=True)
    problem = the_one(package)
    assert problem.problem == "its path has 201 characters; Windows allows 260 in all"
    assert not problem.serious


def save(path: Path, data: np.ndarray) -> bytes:
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), path)
    return path.read_bytes()


IMAGE = np.random.default_rng(0).integers(0, 255, (20, 20, 20), np.uint8)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz", "a.mgh", "sub/a.NII.GZ"])
def test_images_that_are_whole_or_truncated(name: str, package: Path) -> None:
    path = package / name
    path.parent.mkdir(exist_ok=True)
    image_class = nibabel.MGHImage if ".mg" in name else nibabel.Nifti1Image
    lower = path.with_name(path.name.lower())
    nibabel.save(image_class(IMAGE, np.eye(4)), lower)
    content = lower.read_bytes()
    lower.rename(path)
    assert check_package(package) == []
    # The last 20 bytes of an .mgh file are an optional footer, no data.
    for kept in (len(content) - (21 if ".mgh" in name else 1), len(content) // 2, 100, 0):
        path.write_bytes(content[:kept])
        problem = the_one(package)
        assert (problem.path, problem.serious) == (name, True)
        assert problem.mend == "replace it by an intact copy, or remove it"


def test_a_stream_that_ends_well_but_too_early(package: Path, tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii", IMAGE)
    (package / "a.nii.gz").write_bytes(gzip.compress(content[:-1]))
    problem = the_one(package).problem
    assert problem == "truncated: its header promises 8352 bytes, it holds 8351"
    (package / "a.nii.gz").write_bytes(gzip.compress(content))
    assert check_package(package) == []


def test_one_wrong_bit(package: Path, tmp_path: Path) -> None:
    content = bytearray(save(tmp_path / "a.nii.gz", IMAGE))
    content[len(content) // 2] ^= 1
    (package / "a.nii.gz").write_bytes(content)
    assert "truncated or damaged" in the_one(package).problem


def test_what_nibabel_cannot_open(package: Path) -> None:
    for name in ("a.nii", "b.gii", "c.mgh", "d.mnc", "e.img"):
        (package / name).write_bytes(b"this is no image" * 100)
    found = {problem.path: problem for problem in check_package(package)}
    assert set(found) == {"a.nii", "b.gii", "c.mgh", "d.mnc", "e.img"}
    assert all(p.problem.startswith(("nibabel cannot open it: ", "trunc")) for p in found.values())
    assert [path for path, problem in found.items() if not problem.serious] == ["e.img"]


def test_the_images_that_nibabel_carries(tmp_path: Path) -> None:
    whole = [p for p in CARRIED.iterdir() if p.name.lower().endswith((".nii", ".nii.gz", ".mgz"))]
    assert len(whole) > 5
    assert [path.name for path in whole if image_problem(str(path))] == []


def test_without_nibabel_gzip_is_read_all_the_same(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (package / "a.nii").write_bytes(b"no image")
    content = (package / "image.nii.gz").read_bytes()
    (package / "image.nii.gz").write_bytes(content[:-4])
    assert the_one(package).path == "image.nii.gz"


def test_a_manifest_is_compared_by_name(package: Path) -> None:
    names = sorted(path.name for path in package.iterdir())
    hashes = hash_files(str(package), names)
    lines = [f"{hashes[name]}  {name}\n" for name in names]
    (package / MANIFEST).write_text("".join(lines))
    assert check_package(package) == []
    (package / MANIFEST).write_text("".join([*lines[1:], f"{'0' * 64}  gone.txt\n"]))
    problem = the_one(package)
    assert problem.problem == "stale: 2 of the names in it and of those here are not in both"
    assert (problem.path, problem.serious) == (MANIFEST, False)
    assert problem.mend == f"nibabel-data build {package.parents[1]} writes it anew"
    (package / MANIFEST).write_text("nonsense\n")
    assert "not a line of a manifest" in the_one(package).problem


def edit(top: Path, before: str, after: str) -> None:
    text = (top / "pyproject.toml").read_text()
    assert before in text
    (top / "pyproject.toml").write_text(text.replace(before, after))


@pytest.fixture
def promising(package: Path) -> Path:
    """Return the package, in which a registry promises one file, well."""
    digest = hashlib.sha256(b"an image").hexdigest()
    (package / "registry.txt").write_text(f"2mm/T1.txt {digest} https://a.org/T1.txt\n")
    with (package / "config.ini").open("a") as file:
        file.write("registry = registry.txt\n")
    return package


def test_a_thin_package(top: Path, promising: Path) -> None:
    assert check_package(top) == []
    (promising / "2mm").mkdir()
    (promising / "2mm" / "T1.txt").write_bytes(b"an image")
    assert check_package(top) == []


def test_a_registry_that_config_does_not_name(top: Path, promising: Path) -> None:
    config = promising / "config.ini"
    config.write_text(config.read_text().replace("registry = registry.txt\n", ""))
    problem = the_one(top)
    assert problem.path == "nipy/examplepkg/config.ini"
    assert problem.problem.startswith("does not name registry.txt")
    assert problem.mend == "add to [DEFAULT] the line 'registry = registry.txt'"
    assert problem.serious


@pytest.mark.parametrize(
    ("line", "path", "problem"),
    [
        ("a.txt", "registry.txt", "line 2: not a line of a registry"),
        (f"config.ini {'0' * 64}", "registry.txt", "line 2: 'config.ini' makes the package"),
        (f"a.txt {'0' * 64}", "registry.txt", "line 2: no URL for 'a.txt', and no key 'url'"),
        (f"'a:b.txt' {'0' * 64} https://a.org/", "a:b.txt", "':'"),
        (f"IMAGE.nii.gz {'0' * 64} https://a.org/", "IMAGE.nii.gz", "same name as 'image.nii.gz'"),
        (
            f"image.nii.gz {'0' * 64} https://a.org/",
            "image.nii.gz",
            "not what registry.txt, line 2",
        ),
        (f"image.nii.gz md5:{'0' * 32} https://a.org/", "image.nii.gz", "promises: md5 "),
    ],
)
def test_what_is_wrong_with_a_registry(
    line: str, path: str, problem: str, top: Path, promising: Path
) -> None:
    with (promising / "registry.txt").open("a") as file:
        file.write(line)
    found = the_one(top)
    assert found.path == f"nipy/examplepkg/{path}"
    assert problem in found.problem
    assert found.mend
    assert found.serious


def test_base_urls_that_are_none(top: Path, promising: Path) -> None:
    (promising / "registry.txt").write_text(f"a.txt {'0' * 64}\n")
    with (promising / "config.ini").open("a") as file:
        file.write("url = elsewhere\n")
    assert the_one(top).path == "nipy/examplepkg/config.ini"
    assert "not a URL: 'elsewhere'" in the_one(top).problem


def test_shared_data_that_miss_the_package(top: Path) -> None:
    edit(top, '"share/nipy/nipy/examplepkg"', '"share/nipy/examplepkg"')
    problem = the_one(top)
    assert (problem.path, problem.serious) == ("pyproject.toml", True)
    assert problem.mend.endswith('"nipy/examplepkg" = "share/nipy/nipy/examplepkg"')


@pytest.mark.parametrize(
    "line", ['"nipy" = "share/nipy/nipy"', '"./nipy/examplepkg/" = "share/nipy/nipy/examplepkg/"']
)
def test_other_ways_to_share(line: str, top: Path) -> None:
    edit(top, '"nipy/examplepkg" = "share/nipy/nipy/examplepkg"', line)
    assert check_package(top) == []


@pytest.mark.parametrize("text", ["nonsense", "tool = 3\n[build-system]\nbuild-backend = 'x'\n"])
def test_a_pyproject_that_cannot_be_used(text: str, top: Path) -> None:
    (top / "pyproject.toml").write_text(text)
    assert the_one(top).path == "pyproject.toml"


def test_a_classic_package_and_one_with_neither(top: Path) -> None:
    classic = PROJECT / "tests" / "packages" / "classic-datapkg"
    assert not any(problem.serious for problem in check_package(classic))
    (top / "pyproject.toml").unlink()
    assert check_package(top) == []


def test_a_pointer_of_git_annex(top: Path, package: Path) -> None:
    (package / "table.tsv").write_text("/annex/objects/MD5E-s4--abc.tsv\n")
    problem = the_one(top)
    assert (problem.path, problem.serious) == ("nipy/examplepkg/table.tsv", True)
    assert problem.problem == "the content of this annexed file is not here"


def test_a_licence_that_cannot_be_built(top: Path) -> None:
    place = top / "pyproject.toml"
    text = place.read_text()
    licence = next(line for line in text.splitlines() if line.startswith("license ="))
    place.write_text(text.replace(licence, 'license = "Foo-1.0"'))
    problem = the_one(top)
    assert (problem.path, problem.serious) == ("pyproject.toml", True)
    assert "the licence 'Foo-1.0' is no SPDX expression" in problem.problem
    place.write_text(text.replace(licence, 'license = { text = "our own" }'))
    assert check_package(top) == []


def test_files_that_git_hides_from_hatchling(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(top, "ignore-vcs = true", "ignore-vcs = false")
    (top / ".gitignore").write_text("*.nii.gz\n")
    assert not the_one(top).serious  # no repository: it can only be guessed
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    problem = the_one(top)
    assert problem.serious
    assert problem.problem == (
        "the wheel would lack 2 files that git ignores: nipy/examplepkg/image.nii.gz and others"
    )
    monkeypatch.setattr(check.shutil, "which", lambda name: None)
    assert the_one(top).problem == "the wheel lacks the files that .gitignore names"
    edit(top, "ignore-vcs = false", "ignore-vcs = true")
    assert check_package(top) == []


def test_the_verb(top: Path, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(top)]) == 0
    assert capsys.readouterr().out == f"ok: {top}\n"
    (package / "LICENSE").unlink()
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1\ncitation = x\n")
    assert main(["check", str(top)]) == 0
    assert capsys.readouterr().out == (
        "note: nipy/examplepkg/config.ini: no licence: nobody may use the data\n"
        "    add a file LICENSE, and 'license = ' with its SPDX identifier\n"
    )
    (package / "a:\n").write_text("x")
    assert main(["check", "--json", str(top)]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [fact["serious"] for fact in facts] == [True, False]
    assert facts[0].keys() == {"path", "problem", "mend", "serious"}


def test_checking_changes_nothing(top: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in top.rglob("*")}
    check_package(top)
    assert {path: path.stat().st_mtime_ns for path in top.rglob("*")} == before


def test_a_manifest_is_compared_by_hash(top: Path, package: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in package.iterdir())
    (package / MANIFEST).write_text(manifest_text(hash_files(str(package), names)))
    (package / "config.ini").write_text((package / "config.ini").read_text() + "# more\n")
    for directory in (top, package):
        problem = the_one(directory)
        assert not problem.serious
        assert problem.problem == "stale: it has another hash for config.ini"
        assert problem.mend == f"nibabel-data build {top} writes it anew"
    with pytest.raises(DataError) as caught:
        install(package, root=tmp_path / "root")
    assert f"write the manifest anew: nibabel-data build {top})" in str(caught.value)
    (package / "labels.nii.gz").write_bytes(b"")
    assert "config.ini and 1 more" in next(p.problem for p in check_package(top) if not p.serious)
