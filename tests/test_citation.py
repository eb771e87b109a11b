from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from nibabel_data import DataError, DataWarning, DefinitionError
from nibabel_data.citation import citations, cite
from nibabel_data.cli.main import main

from .conftest import PROJECT, MakePackage, run_python
from .test_silence import WATCH

CFF = """cff-version: 1.2.0
message: Cite it.
title: Templates & atlases of 100% {real} brains
type: dataset
authors:
  - given-names: Ana
    name-particle: de la
    family-names: Cruz_Vega
  - name: The Brain and Body Group
date-released: 2026-03-09
doi: 10.5281/zenodo.1_2
"""
CONFIG = "[DEFAULT]\nversion = {}\ncitation = Us, 2026.\n"


@pytest.fixture
def root(make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root with a package that has a CITATION.cff, one with a text alone, and neither."""
    root = make_package()
    (root / "nipy" / "templates" / "CITATION.cff").write_text(CFF)
    make_package(relpath="lab/text", config=CONFIG.format("1.0"))
    make_package(relpath="lab/none", version="2.0")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_bibtex_has_the_version_and_is_safe_in_tex(root: Path) -> None:
    assert (
        cite("nipy/templates")
        == r"""@misc{nipy:templates-0.3,
author = {de la Cruz\_Vega, Ana and {The Brain and Body Group}},
doi = {10.5281/zenodo.1_2},
month = {3},
title = {Templates \& atlases of 100\% \{real\} brains},
year = {2026},
version = {0.3}
}"""
    )


def test_the_other_styles(root: Path) -> None:
    title = "Templates & atlases of 100% {real} brains"
    assert cite("nipy/templates", style="apa") == (
        f"de la Cruz_Vega A., The Brain and Body Group (2026). {title} (version 0.3). "
        "DOI: 10.5281/zenodo.1_2"
    )
    assert cite("nipy/templates", style="plain") == (
        f"Ana de la Cruz_Vega, The Brain and Body Group (2026). {title} (version 0.3). "
        "https://doi.org/10.5281/zenodo.1_2"
    )
    assert cite("nipy/templates", style="cff") == f'{CFF}version: "0.3"'
    (root / "nipy" / "templates" / "CITATION.cff").write_text(
        "cff-version: 1.2.0\nmessage: m\ntitle: T\nauthors:\n- alias: ana\nurl: https://x.org\n"
    )
    assert cite("nipy/templates", style="apa") == (
        "ana (n.d.). T (version 0.3). URL: https://x.org"
    )
    assert cite("nipy/templates", style="plain") == "ana. T (version 0.3). https://x.org"


def test_a_version_in_the_file_stays(root: Path) -> None:
    file = root / "nipy" / "templates" / "CITATION.cff"
    file.write_text(f"{CFF}version: 0.3\n")
    assert cite("nipy/templates", style="cff") == f"{CFF}version: 0.3"
    file.write_text(f"{CFF}version: 0.2.1\n")
    with pytest.warns(DataWarning, match=r"cites version 0\.2\.1, but the package is version 0\.3"):
        assert "version = {0.2.1}" in cite("nipy/templates")


def test_another_name_of_the_file(root: Path, make_package: MakePackage) -> None:
    config = "[DEFAULT]\nversion = 1\ncitation file = doc/cite.cff\n"
    base = make_package(relpath="lab/doc", config=config, files=("doc/x",)) / "lab" / "doc"
    (base / "doc" / "cite.cff").write_text(CFF)
    assert cite("lab/doc", style="cff").startswith("cff-version")


def test_the_text_of_config_ini_is_the_fallback_of_plain(root: Path) -> None:
    assert cite("lab/text", style="plain") == "Us, 2026."
    with pytest.raises(DataError, match=r"nibabel-data cite lab/text --format plain"):
        cite("lab/text")


def test_a_package_that_states_none(root: Path) -> None:
    for style in ("bibtex", "plain"):
        with pytest.raises(DataError, match=r"lab/none states no citation: it has no CITATION"):
            cite("lab/none", style=style)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cff-version"),
        ("nonsense", "cff-version"),
        ("cff-version: 9.0\n", "cff-version"),
        ("cff-version: 1.2.0\ntitle: [\n", "not a citation file"),
        ("cff-version: 1.2.0\nmessage: m\nauthors: []\n", "not a citation file"),
        (CFF.replace("2026-03-09", "soon"), "soon"),
        (CFF.replace("title: Templates & atlases of 100% {real} brains\n", ""), "'title'"),
        (f"{CFF}...\n", "not a citation file"),
    ],
)
def test_a_malformed_file_is_named(text: str, said: str, root: Path) -> None:
    file = root / "nipy" / "templates" / "CITATION.cff"
    file.write_text(text)
    with pytest.raises(DataError) as info:
        cite("nipy/templates")
    assert str(file) in str(info.value)
    assert said in str(info.value)


def test_a_file_that_is_no_text(root: Path) -> None:
    file = root / "nipy" / "templates" / "CITATION.cff"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        cite("nipy/templates")
    file.unlink()
    file.mkdir()
    with pytest.raises(DataError, match=r"CITATION\.cff"):
        cite("nipy/templates")


def test_without_cffconvert(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cffconvert", None)
    for style in ("bibtex", "plain"):
        with pytest.raises(DataError, match=r"pip install 'nibabel-data\[cite\]'"):
            cite("nipy/templates", style=style)
    assert cite("lab/text", style="plain") == "Us, 2026."
    config = root / "nipy" / "templates" / "config.ini"
    config.write_text(CONFIG.format("0.3"))
    assert cite("nipy/templates", style="plain") == "Us, 2026."


def test_keys_are_distinct(make_package: MakePackage) -> None:
    names = ("a/b", "a/c d", "a/c@d", "a/c_d")
    for name in names:
        root = make_package(relpath=name)
        (root / name / "CITATION.cff").write_text(CFF)
    found = citations(*names, "./a//b", data_path=root)
    assert [citation.key for citation in found] == [
        "a:b-0.3",
        "a:c_d-0.3",
        "a:c_d-0.3_2",
        "a:c_d-0.3_3",
    ]
    assert [citation.text.split(",")[0] for citation in found] == [
        f"@misc{{{citation.key}" for citation in found
    ]


def test_wrong_questions(root: Path) -> None:
    with pytest.raises(DefinitionError, match="there are bibtex, apa, plain, cff"):
        cite("nipy/templates", style="mla")
    with pytest.raises(DataError, match="no data package"):
        cite("nipy/none")
    assert cite() == ""


def test_the_command(root: Path, run: Any) -> None:
    status, out, err = run("cite", "nipy/templates>=0.3")
    assert (status, err) == (0, "")
    assert out == cite("nipy/templates") + "\n"
    status, out, err = run("cite", "nipy/templates", "lab/text", "--format", "plain")
    assert (status, err) == (0, "")
    assert out.split("\n\n") == [cite("nipy/templates", style="plain"), "Us, 2026.\n"]


def test_the_command_says_which_package_states_none(root: Path, run: Any) -> None:
    status, out, err = run("cite", "nipy/templates", "lab/none")
    assert (status, out) == (1, cite("nipy/templates") + "\n")
    assert err.startswith("nibabel-data: lab/none states no citation")
    status, out, err = run("cite", "lab/none")
    assert (status, out) == (1, "")
    status, out, err = run("cite", "--json", "nipy/templates", "lab/none")
    facts = json.loads(out)
    assert (status, err) == (1, "")
    assert [(fact["relpath"], fact["version"], bool(fact["problem"])) for fact in facts] == [
        ("nipy/templates", "0.3", False),
        ("lab/none", "2.0", True),
    ]
    with pytest.raises(SystemExit, match="2"):
        run("cite", "lab/none", "--format", "mla")


def test_the_example_package() -> None:
    place = Path(PROJECT, "examples", "nipy-examplepkg")
    assert "version = {0.1}" in cite("nipy/examplepkg", data_path=place)


@pytest.mark.parametrize("style", ["bibtex", "plain"])
def test_nothing_is_written_and_no_socket_opened(
    style: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)
    run_python(f"""{WATCH}
from nibabel_data.cli.main import main
assert main(['cite', 'nipy/templates', '--format', {style!r}]) == 0
assert not seen, seen
""")
