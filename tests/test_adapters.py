"""Data of other tools, in the layouts that those tools write."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from nibabel_data import (
    Bomber,
    DataError,
    DataWarning,
    MissingFileError,
    VersionedDatasource,
    datasource_or_bomber,
    explain,
    locate,
    make_datasource,
    plugins,
    require,
)
from nibabel_data.adapters import registry
from nibabel_data.adapters.package import AdapterPackage, Place
from nibabel_data.adapters.registry import BUILT_IN, find, iter_adapter_packages, search
from nibabel_data.adapters.source import AdapterDatasource
from nibabel_data.citation import cite
from nibabel_data.cli.main import main
from nibabel_data.used import used_data

from .conftest import MakePackage, run_python
from .test_silence import WATCH

VARIABLES = (
    *("TEMPLATEFLOW_HOME", "NILEARN_DATA", "NILEARN_SHARED_DATA", "FSLDIR", "FREESURFER_HOME"),
    *("SUBJECTS_DIR", "MNE_DATA", "XDG_CACHE_HOME", "SKIMAGE_DATADIR", "VERDE_DATA_DIR"),
    *("CEDALION_DATA_DIR", "ENSAIO_DATA_DIR", "LIBROSA_DATA_DIR"),
)
DESCRIPTION = {
    "Authors": ["Fonov V", "Evans AC"],
    "BIDSVersion": "1.1.0",
    "Identifier": "MNI152NLin2009cAsym",
    "License": "See LICENSE file",
    "Name": "ICBM 152 Nonlinear Asymmetric v. 2009c atlas",
    "ReferencesAndLinks": ["https://doi.org/10.1016/j.neuroimage.2010.07.033"],
    "TemplateFlowVersion": "1.0.0",
}
MNI = "templateflow/tpl-MNI152NLin2009cAsym"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # Coverage loads modules and writes files in what run_python runs.
    for name in {*VARIABLES, *(name for name in os.environ if name.startswith(("MNE_", "COV")))}:
        monkeypatch.delenv(name, raising=False)
    plugins._known.clear()
    monkeypatch.setattr(registry, "_warned", set())


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HOME"])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def write(path: Path, text: str = "data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def skeleton(top: Path, *fetched: str, name: str = "MNI152NLin2009cAsym") -> Path:
    """Lay out a template as TemplateFlow's skeleton does: descriptions whole, images empty."""
    base = top / f"tpl-{name}"
    write(base / "template_description.json", json.dumps({**DESCRIPTION, "Identifier": name}))
    write(base / "LICENSE", "the terms")
    write(base / f"tpl-{name}_desc-brain_label.json", "{}")
    write(base / f"tpl-{name}_atlas-X_dseg.tsv", "index\tname\n")
    for image in ("res-01_T1w", "res-02_T1w", "res-01_desc-brain_mask"):
        file = f"tpl-{name}_{image}.nii.gz"
        write(base / file, "an image" if image in fetched else "")
    return base


def names() -> list[str]:
    return [package.relpath for package in iter_adapter_packages()]


# TemplateFlow


def test_a_template_that_was_fetched(home: Path) -> None:
    images = ("res-01_T1w", "res-02_T1w", "res-01_desc-brain_mask")
    base = skeleton(home / ".cache" / "templateflow", *images)
    found = make_datasource(MNI)
    assert isinstance(found, AdapterDatasource)
    assert isinstance(found, VersionedDatasource)
    assert found.base_path == str(base)
    assert (found.version, found.is_stated, found.package.note) == ("0", False, "")
    assert str(found.origin) == "data of templateflow (default)"
    assert len(found.list_files()) == 7
    assert found.path("LICENSE", must_exist=True) == base / "LICENSE"
    assert "version" not in found.config.defaults()  # TemplateFlowVersion is that of the format
    assert repr(found) == f"AdapterDatasource({str(base)!r}, version not stated)"


def test_a_skeleton_is_not_here(home: Path) -> None:
    base = skeleton(home / ".cache" / "templateflow")
    with pytest.raises(DataError) as info:
        make_datasource(MNI)
    message = str(info.value)
    assert f"{base.parent}  data of templateflow (default)" in message
    assert "placeholders only: TemplateFlow has not fetched it" in message
    assert message.endswith("templateflow get MNI152NLin2009cAsym")
    explanation = info.value.explanation
    assert explanation is not None
    assert explanation.findings[-1].state == "absent"
    assert not datasource_or_bomber(MNI)


def test_placeholders_among_files(home: Path) -> None:
    base = skeleton(home / ".cache" / "templateflow", "res-02_T1w")
    found = make_datasource(MNI)
    assert isinstance(found, AdapterDatasource)
    assert found.package.note == "1 of 3 files fetched"
    here, stub = f"{base.name}_res-02_T1w.nii.gz", f"{base.name}_res-01_T1w.nii.gz"
    assert here in found.list_files()
    assert stub not in found.list_files()
    assert stub in found.list_files(absent=True)
    assert found.list_files(relative=False)[-1] == str(base / found.list_files()[-1])
    assert found.glob("*.nii.gz") == [base / here]
    assert found.path(here, must_exist=True) == base / here
    with pytest.raises(MissingFileError, match="templateflow get MNI152NLin2009cAsym"):
        found.path(stub, must_exist=True)
    assert found.get_filename(stub) == str(base / stub)  # not looked at, as always


def test_a_datalad_clone(home: Path) -> None:
    base = skeleton(home / ".cache" / "templateflow", "res-01_T1w", "res-02_T1w")
    for image in base.glob("*.nii.gz"):
        image.unlink()
        image.symlink_to("../.git/annex/objects/ab/cd/MD5E-s1--x/MD5E-s1--x")
    assert not datasource_or_bomber(MNI)
    assert explain(MNI).findings[-1].state == "absent"


def test_where_templateflow_keeps_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classic = skeleton(home / ".cache" / "templateflow", "res-01_T1w")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert make_datasource(MNI).base_path == str(classic)
    now = skeleton(tmp_path / "xdg" / "templateflow", "res-01_T1w")
    assert make_datasource(MNI).base_path == str(now)
    chosen = skeleton(tmp_path / "chosen", "res-01_T1w")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(chosen.parent))
    found = make_datasource(MNI)
    assert found.base_path == str(chosen)
    assert str(found.origin) == "data of templateflow (TEMPLATEFLOW_HOME)"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "none"))
    assert not datasource_or_bomber(MNI)


def test_the_default_is_that_of_pooch_and_platformdirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    from nibabel_data.adapters.places import cache_path

    for value in (None, str(tmp_path / "xdg")):
        if value:
            monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_path("scikit-image") == pooch.os_cache("scikit-image")


def test_citation_and_licence_of_a_template(home: Path, run: Any) -> None:
    base = skeleton(home / ".cache" / "templateflow", "res-01_T1w")
    citation = (
        "Fonov V, Evans AC. ICBM 152 Nonlinear Asymmetric v. 2009c atlas. "
        "https://doi.org/10.1016/j.neuroimage.2010.07.033"
    )
    assert cite(MNI, style="plain") == citation
    facts = json.loads(run("info", MNI, "--json")[1])
    assert facts["citation"] == citation
    assert facts["licence"] == str(base / "LICENSE")  # "See LICENSE file" says less
    write(base / "template_description.json", json.dumps({**DESCRIPTION, "License": "CC0"}))
    assert json.loads(run("info", MNI, "--json")[1])["licence"] == "CC0"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Authors": 3, "ReferencesAndLinks": 4}', "\0"])
def test_a_description_that_is_none(text: str, home: Path) -> None:
    base = skeleton(home / ".cache" / "templateflow", "res-01_T1w")
    write(base / "template_description.json", text)
    assert make_datasource(MNI).config.defaults() == {}


# FSL


def fsl(top: Path, version: str = "6.0.7.4\n") -> Path:
    write(top / "etc" / "fslversion", version)
    write(top / "data" / "standard" / "MNI152_T1_2mm.nii.gz")
    write(top / "data" / "atlases" / "HarvardOxford-Cortical.xml")
    write(top / "data" / "README")
    return top


def test_fsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = fsl(tmp_path / "fsl")
    assert names() == []
    monkeypatch.setenv("FSLDIR", str(top))
    assert names() == ["fsl/atlases", "fsl/standard"]
    found = make_datasource("fsl/standard>=6.0.5,<7")
    assert (found.version, found.base_path) == ("6.0.7.4", str(top / "data" / "standard"))
    assert found.major_version == 6
    assert found.list_files() == ["MNI152_T1_2mm.nii.gz"]
    assert found.config["DEFAULT"]["version"] == "6.0.7.4"
    with pytest.raises(DataError, match=r"version 6\.0\.7\.4, but >=7 is needed"):
        make_datasource("fsl/standard>=7")


@pytest.mark.parametrize(
    ("text", "version"), [("6.0.5.1:57b01774\n", "6.0.5.1"), ("", None), ("unknown\n", None)]
)
def test_versions_of_fsl(
    text: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl", text)))
    found = make_datasource("fsl/standard")
    assert isinstance(found, AdapterDatasource)
    assert found.is_stated is (version is not None)
    assert found.version == (version or "0")
    if version is None:  # what is not stated suits no wish, not even that of 0
        for wish in ("fsl/standard>=0", "fsl/standard==0"):
            assert not datasource_or_bomber(wish)
        with pytest.raises(DataError, match="version not stated, but >=0 is needed"):
            make_datasource({"relpath": "fsl/standard", "min version": "0"})


def test_a_variable_that_is_not_set(home: Path) -> None:
    with pytest.raises(DataError) as info:
        make_datasource("fsl/standard")
    assert "data of fsl (FSLDIR)" in str(info.value)
    assert "FSLDIR is not set" in str(info.value)


# FreeSurfer


def subject(top: Path, name: str) -> Path:
    return write(top / name / "surf" / "lh.white").parents[1]


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        ("build-stamp.txt", "freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460", "7.4.1"),
        ("build-stamp.txt", "freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.0-2beb96c", "6.0.0"),
        ("build-stamp.txt", "freesurfer-macOS-darwin_x86_64-8.0.0-beta-20241111", "8.0.0beta"),
        ("build-stamp.txt", "freesurfer-linux-centos7_x86_64-dev-20240101-abc", None),
        ("VERSION", "7.2.0", "7.2.0"),
        ("none", "", None),
    ],
)
def test_freesurfer(
    file: str,
    text: str,
    version: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    top = tmp_path / "freesurfer"
    write(top / file, text + "\n")
    write(top / "average" / "RB_all.gca")
    base = subject(top / "subjects", "fsaverage")
    write(top / "subjects" / "README", "")
    write(top / "subjects" / "sample-001.mgz")
    (top / "subjects" / "no-subject").mkdir()
    monkeypatch.setenv("FREESURFER_HOME", str(top))
    monkeypatch.setenv("SUBJECTS_DIR", str(top / "subjects"))
    assert names() == ["freesurfer/subjects/fsaverage", "freesurfer/average"]
    found = make_datasource("freesurfer/subjects/fsaverage")
    assert isinstance(found, AdapterDatasource)
    assert found.base_path == str(base)
    assert found.package.version == version
    assert found.is_stated is (version is not None)
    assert make_datasource("freesurfer/average").list_files() == ["RB_all.gca"]


def test_subjects_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "freesurfer"
    write(top / "build-stamp.txt", "freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460\n")
    subject(top / "subjects", "fsaverage")
    subject(top / "subjects", "bert")
    own = tmp_path / "study"
    subject(own, "sub-01")
    (own / "fsaverage").symlink_to(top / "subjects" / "fsaverage")
    (own / "fsaverage6").symlink_to(top / "subjects" / "none")
    monkeypatch.setenv("FREESURFER_HOME", str(top))
    monkeypatch.setenv("SUBJECTS_DIR", str(own))
    found = {
        package.path: package.version
        for package in iter_adapter_packages()
        if package.relpath.startswith("freesurfer/subjects/")
    }
    assert found == {
        own / "fsaverage": "7.4.1",
        own / "sub-01": None,
        top / "subjects" / "bert": "7.4.1",
        top / "subjects" / "fsaverage": "7.4.1",
    }
    assert make_datasource("freesurfer/subjects/fsaverage").base_path == str(own / "fsaverage")
    assert make_datasource("freesurfer/subjects/bert>=7").version == "7.4.1"
    states = [finding.state for finding in explain("freesurfer/subjects/fsaverage").findings]
    assert states[-2:] == ["found", "shadowed"]


# nilearn


def test_nilearn(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "nilearn_data" / "haxby2001" / "subj2" / "bold.nii.gz")
    write(tmp_path / "a" / "fsaverage" / "pial_left.gii.gz")
    write(tmp_path / "b" / "haxby2001" / "mask.nii.gz")
    (tmp_path / "b" / "development_fmri").mkdir()
    monkeypatch.setenv("NILEARN_DATA", os.pathsep.join([str(tmp_path / "b"), "", "~/none"]))
    monkeypatch.setenv("NILEARN_SHARED_DATA", str(tmp_path / "a"))
    from nilearn.datasets import get_data_dirs

    places = [str(searched.place.path) for searched in search("nilearn") if searched.place]
    assert places == [
        os.path.expanduser(path) for path in get_data_dirs() if path
    ]  # the same, in the same order
    assert names() == [
        "nilearn/fsaverage",
        "nilearn/development_fmri",
        "nilearn/haxby2001",
        "nilearn/haxby2001",
    ]
    assert make_datasource("nilearn/haxby2001").list_files() == ["mask.nii.gz"]
    with pytest.raises(DataError, match="an empty directory: nilearn has not fetched it"):
        make_datasource("nilearn/development_fmri")


# MNE


def test_mne(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = home / "mne_data"
    write(default / "MNE-sample-data" / "version.txt", "0.9.1\n")
    write(default / "mTRF_1.5" / "speech_data.mat")
    write(default / "MNE-sample-data-processed.tar.gz")
    assert names() == ["mne/MNE-sample-data", "mne/mTRF_1.5"]
    assert make_datasource("mne/MNE-sample-data>=0.9").version == "0.9.1"

    stored = tmp_path / "stored"
    write(stored / "MNE-testing-data" / "version.txt", "0.150\n")
    single = tmp_path / "single"
    write(single / "MNE-sample-data" / "version.txt", "1.0\n")
    write(single / "my thesis" / "chapter.tex")  # the directory is not MNE's alone
    config = {
        "MNE_DATA": str(stored),
        "MNE_DATASETS_SAMPLE_PATH": str(single),
        "MNE_DATASETS_TESTING_PATH": str(stored),
        "MNE_USE_CUDA": "false",
        "MNE_DATASETS_SPM_PATH": 3,
    }
    write(home / ".mne" / "mne-python.json", json.dumps(config))
    assert names() == ["mne/MNE-sample-data", "mne/MNE-testing-data"]
    found = make_datasource("mne/MNE-sample-data")
    assert (found.version, found.base_path) == ("1.0", str(single / "MNE-sample-data"))
    assert str(found.origin) == (
        f"data of mne (MNE_DATASETS_SAMPLE_PATH in {home}/.mne/mne-python.json)"
    )
    monkeypatch.setenv("MNE_DATA", str(default))
    assert make_datasource("mne/mTRF_1.5").version == "0"
    monkeypatch.setenv("MNE_DATASETS_SAMPLE_PATH", str(default))
    assert make_datasource("mne/MNE-sample-data").version == "0.9.1"


@pytest.mark.parametrize("text", ["", "{", "[]", "\0", '{"MNE_DATA": ""}'])
def test_a_configuration_of_mne_that_is_none(text: str, home: Path) -> None:
    write(home / ".mne" / "mne-python.json", text)
    write(home / "mne_data" / "MNE-sample-data" / "x")
    assert names() == ["mne/MNE-sample-data"]


# pooch


def test_pooch(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / ".cache"
    write(cache / "scikit-image" / "0.9.3" / "data" / "brain.tiff")
    write(cache / "scikit-image" / "0.25.0" / "data" / "brain.tiff")
    write(cache / "scikit-image" / "main" / "data" / "brain.tiff")
    write(cache / "scipy-data" / "face.dat")
    write(cache / "mozilla" / "secret")
    (cache / "ensaio").mkdir()
    assert names() == [
        "pooch/ensaio",
        "pooch/scikit-image",
        "pooch/scikit-image",
        "pooch/scipy-data",
    ]
    assert make_datasource("pooch/scikit-image").version == "0.25.0"
    older = make_datasource("pooch/scikit-image<0.10")
    assert older.base_path == str(cache / "scikit-image" / "0.9.3")
    assert make_datasource("pooch/scipy-data").list_files() == ["face.dat"]
    for name in ("pooch/ensaio", "pooch/mozilla", "pooch/scikit-image>=1"):
        assert not datasource_or_bomber(name)
    write(tmp_path / "verde" / "v1.8.0" / "caribbean.csv")
    monkeypatch.setenv("VERDE_DATA_DIR", str(tmp_path / "verde"))
    assert make_datasource("pooch/verde").version == "1.8.0"


def test_a_cache_that_pooch_made(home: Path, tmp_path: Path) -> None:
    import pooch

    source = write(tmp_path / "face.dat")
    pooch.create(
        pooch.os_cache("verde"),
        source.parent.as_uri() + "/",
        version="v1.8.0",
        env="VERDE_DATA_DIR",
        registry={"face.dat": None},
    )
    made = pooch.create(pooch.os_cache("verde"), "", version="v1.8.0", env="VERDE_DATA_DIR")
    write(Path(made.abspath) / "face.dat")
    found = make_datasource("pooch/verde")
    assert (found.version, found.base_path) == ("1.8.0", str(made.abspath))


# All of them


def test_the_locator_knows_which_names_are_theirs() -> None:
    assert frozenset(BUILT_IN) == locate._ADAPTERS


def test_a_data_package_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_package: MakePackage
) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    root = make_package(relpath="fsl/standard", version="1.0")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    found = make_datasource("fsl/standard")
    assert (type(found), found.version) == (VersionedDatasource, "1.0")
    answer = explain("fsl/standard")
    assert answer.findings[0].state == "found"
    assert answer.findings[-1].detail == "version 6.0.7.4, shadowed by the one above"
    assert make_datasource("fsl/standard>=2").version == "6.0.7.4"
    assert make_datasource("fsl/standard", data_path=root).version == "1.0"


def test_roots_that_are_given_are_all_that_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    assert make_datasource("fsl/standard")
    with pytest.raises(DataError) as info:
        make_datasource("fsl/standard", data_path=tmp_path)
    assert "FSLDIR" not in str(info.value)


def test_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    assert make_datasource("fsl//standard/").version == "6.0.7.4"
    for name in ("fsl", "fsl/", "fsl/.", "fsl/standard/MNI152_T1_2mm.nii.gz", "fsl/Standard"):
        assert not datasource_or_bomber(name)
    assert explain("fsl").found is None
    assert explain("fsl/standrd").near == ("fsl/standard",)
    answer = explain("fsl/standard/MNI152_T1_2mm.nii.gz")
    assert "nibabel-data find fsl/standard MNI152_T1_2mm.nii.gz" in answer.text()


def test_an_ordinary_miss_loads_no_adapter(home: Path) -> None:
    code = """
import sys
from nibabel_data import datasource_or_bomber
assert not datasource_or_bomber('nipy/templates')
print(*sorted(name for name in sys.modules if 'adapters' in name or name == 'dataclasses'))
"""
    assert run_python(code) == "\n"


def test_no_library_of_another_tool_is_imported(home: Path) -> None:
    code = """
import sys
from nibabel_data.adapters.registry import iter_adapter_packages
list(iter_adapter_packages())
print(*sorted({'nilearn', 'pooch', 'templateflow', 'mne', 'nibabel', 'numpy'} & set(sys.modules)))
"""
    assert run_python(code) == "\n"


@pytest.mark.parametrize(
    "verb", ["list --adapters", "list --adapters --json", f"find {MNI} LICENSE", "explain fsl/none"]
)
def test_nothing_is_written_and_no_socket_opened(
    verb: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    skeleton(home / ".cache" / "templateflow", "res-01_T1w")
    write(home / ".mne" / "mne-python.json", "{}")
    run_python(f"""{WATCH}
from nibabel_data.cli.main import main
main({verb.split()!r})
assert not seen, seen
""")


def test_copies_and_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    found = make_datasource("fsl/standard")
    for twin in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert twin == found
        assert (twin.version, str(twin.origin)) == ("6.0.7.4", str(found.origin))


def test_a_bomber_finds_what_a_tool_has_fetched_meanwhile(home: Path) -> None:
    bomber = datasource_or_bomber(MNI)
    assert isinstance(bomber, Bomber)
    skeleton(home / ".cache" / "templateflow", "res-01_T1w")
    assert bomber.version == "0"
    assert bool(bomber)


def test_they_are_among_what_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    skeleton(tmp_path / "tf", "res-01_T1w")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "tf"))
    with used_data() as used:
        make_datasource("fsl/standard")
        make_datasource(MNI)
    assert [(package.relpath, package.version) for package in used] == [
        ("fsl/standard", "6.0.7.4"),
        (MNI, None),
    ]
    assert "no version stated" in used.text()
    assert require("fsl/standard", MNI) == ()


def test_the_explanation_as_text_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    skeleton(tmp_path / "tf", "res-01_T1w")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "tf"))
    status, out, _ = run("explain", MNI)
    assert status == 0
    assert out.startswith(f"{MNI} (version not stated) is at {tmp_path}/tf/tpl-MNI152")
    facts = json.loads(run("explain", MNI, "--json")[1])
    assert facts["found"]["version"] is None
    assert facts["found"]["origin"]["where"] == "templateflow (TEMPLATEFLOW_HOME)"
    status, out, _ = run("find", MNI, "LICENSE")
    assert (status, out) == (0, f"{tmp_path}/tf/tpl-MNI152NLin2009cAsym/LICENSE\n")
    answer = explain(MNI)
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, make_package: MakePackage
) -> None:
    assert run("list", "--adapters")[0] == 1
    top = fsl(tmp_path / "fsl")
    monkeypatch.setenv("FSLDIR", str(top))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "tf"))
    base = skeleton(tmp_path / "tf")
    skeleton(tmp_path / "tf", "res-01_T1w", name="MNI152Lin")
    root = make_package(relpath="fsl/atlases", version="1.0")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    status, out, err = run("list", "--adapters")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert rows == [
        "PACKAGE VERSION PLACE ORIGIN NOTE",
        f"fsl/atlases 1.0 {root}/fsl/atlases NIPY_DATA_PATH",
        f"fsl/atlases 6.0.7.4 {top}/data/atlases fsl (FSLDIR) shadowed by {root}/fsl/atlases",
        f"fsl/standard 6.0.7.4 {top}/data/standard fsl (FSLDIR)",
        f"templateflow/tpl-MNI152Lin - {tmp_path}/tf/tpl-MNI152Lin templateflow "
        "(TEMPLATEFLOW_HOME) 1 of 3 files fetched",
        f"{MNI} - {base} templateflow (TEMPLATEFLOW_HOME) "
        "placeholders only: TemplateFlow has not fetched it",
    ]
    assert run("list")[1].count("\n") == 2
    assert run("list", "--adapters", "--names")[1].split() == [
        "fsl/atlases",
        "fsl/standard",
        "templateflow/tpl-MNI152Lin",
    ]
    facts = json.loads(run("list", "--adapters", "--json")[1])
    assert facts[1] == {
        "relpath": "fsl/atlases",
        "version": "6.0.7.4",
        "path": f"{top}/data/atlases",
        "root": str(top),
        "adapter": "fsl",
        "source": "FSLDIR",
        "shadowed_by": f"{root}/fsl/atlases",
        "absent": False,
        "note": "",
    }
    assert [fact.get("absent") for fact in facts] == [None, False, False, False, True]


def test_places_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(write(tmp_path / "file")))
    monkeypatch.setenv("FSLDIR", "/no\nsuch")
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("SUBJECTS_DIR", "relative")
    assert names() == []
    details = [finding.detail for finding in explain(MNI).findings]
    assert details[-1] == "not a directory"


# Adapters of other distributions


def add_plugin(site: Path, name: str, value: str, group: str = "nibabel_data.adapters") -> None:
    info = site / f"{name}-plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that installs a distribution with an adapter, given its code."""
    site = tmp_path / "site"

    def install(code: str, name: str = "labstore") -> None:
        module = f"{name}_plugin_module"
        write(site / f"{module}.py", code)
        add_plugin(site, name, f"{module}:look")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


STORE = """
from pathlib import Path
from nibabel_data.adapters.package import AdapterPackage, Place
def look(relpath):
    top = Path({top!r})
    yield Place(top, "the shelf"), [
        AdapterPackage("labstore/mice", top / "mice", "labstore", "2.0"),
        AdapterPackage("labstore/rats", top / "rats", "labstore", "three"),
    ]
"""


def test_an_adapter_of_another_distribution(plugin: Any, tmp_path: Path) -> None:
    write(tmp_path / "store" / "mice" / "a.nii")
    plugin(STORE.format(top=str(tmp_path / "store")))
    found = make_datasource("labstore/mice>=1")
    assert (found.version, found.list_files()) == ("2.0", ["a.nii"])
    assert str(found.origin) == "data of labstore (the shelf)"
    assert names() == ["labstore/mice", "labstore/rats"]
    rats = find("labstore/rats")
    assert rats is not None
    assert not rats.is_stated  # "three" is no version
    assert find("labstore/rats", "1") is None
    with used_data() as used:
        bomber = datasource_or_bomber("labstore/mice")
        assert bomber.version == "2.0"  # such are asked when the data are used
    assert [package.relpath for package in used] == ["labstore/mice"]
    with pytest.raises(DataError, match=r"Did you mean labstore/mice\?"):
        make_datasource("labstore/mic")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise RuntimeError('no store today')", "RuntimeError: no store today"),
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("x = 1", "has no attribute 'look'"),
        ("look = 3", "TypeError"),
        ("def look(relpath):\n    raise SystemExit('stop')", "SystemExit: stop"),
        ("def look(relpath):\n    yield 1", "TypeError"),
        ("def look(relpath):\n    yield 1, []", "a place must be a Place"),
        (
            "from nibabel_data.adapters.package import Place\n"
            "def look(relpath):\n    yield Place(None, 'x'), [3]",
            "not an AdapterPackage: int",
        ),
        (STORE.format(top="/").replace('"labstore",', '"lab",'), "does not begin with 'lab/'"),
        (STORE.format(top="/").replace("labstore", "lab"), "a package of the adapter 'lab'"),
    ],
)
def test_one_that_fails_is_one_bad_entry(
    code: str, problem: str, plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    plugin(code)
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    with pytest.warns(DataWarning, match="labstore-plugin") as warned:
        assert names() == ["fsl/atlases", "fsl/standard"]
    assert problem in str(warned[0].message)
    assert names() == ["fsl/atlases", "fsl/standard"]  # warned about once
    with pytest.raises(DataError) as info:
        make_datasource("labstore/mice")
    assert problem in str(info.value)
    registry._warned.clear()
    status, _, err = run("list", "--adapters")
    assert status == 0
    assert err.startswith("nibabel-data: warning: plug-in labstore-plugin (labstore): ")


def test_a_built_in_one_cannot_be_replaced(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(STORE.format(top=str(tmp_path)), name="fsl")
    monkeypatch.setenv("FSLDIR", str(fsl(tmp_path / "fsl")))
    assert names() == ["fsl/atlases", "fsl/standard"]


def test_plugins_can_be_turned_off(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(STORE.format(top=str(tmp_path)))
    monkeypatch.setenv("NIBABEL_DATA_PLUGINS", "0")
    assert names() == []


def test_an_adapter_that_is_installed_later_is_seen(plugin: Any, tmp_path: Path) -> None:
    assert names() == []
    plugin(STORE.format(top=str(tmp_path)))
    assert names() == ["labstore/mice", "labstore/rats"]


def test_a_package_says_whose_it_is() -> None:
    with pytest.raises(ValueError, match="does not begin with 'fsl/'"):
        AdapterPackage("standard", Path("/x"), "fsl")
    assert AdapterDatasource(
        AdapterPackage("a/b", Path("/x"), "a", citation="two\nlines"), Place(None, "s")
    ).config.defaults() == {"citation": "two lines"}
