from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from nibabel_data import PackageDef, explain

from .conftest import MakePackage


def test_the_whole_text(
    make_package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_package("old", version="0.2")
    make_package("bad", config="[DEFAULT]\n\nnonsense\n")
    (tmp_path / "empty" / "nipy" / "templates").mkdir(parents=True)
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text(f"[DATA]\npath = {tmp_path}/bad\n  {tmp_path}/empty\n")
    monkeypatch.setenv("NIPY_DATA_PATH", f"{tmp_path}/none{os.pathsep}{old}")
    monkeypatch.setattr("sys.prefix", "/the/prefix")
    monkeypatch.setattr("sys.base_prefix", "/the/prefix")
    answer = explain(
        {
            "relpath": "nipy/templates",
            "name": "nipy-templates",
            "install hint": "Get it from the shelf.",
            "min version": "0.3",
            "version": "<1",
        }
    )
    squeezed = "\n".join(" ".join(line.split()) for line in answer.text().split("\n"))
    assert squeezed == (
        f"""no data package 'nipy/templates' (version >=0.3,<1) on the data path

Searched, in order:
{tmp_path}/none NIPY_DATA_PATH no such directory
{old} NIPY_DATA_PATH version 0.2, but >=0.3,<1 is needed
{tmp_path}/bad {home}/config.ini:2 malformed config.ini line 3: neither [SECTION] nor 'key = value': 'nonsense'
{tmp_path}/empty {home}/config.ini:3 an empty directory (left behind by an uninstall?)
/the/prefix/share/nipy Python prefix (sys.prefix) no such directory
{home} NIPY user directory not here

You may need the package "nipy-templates".

Get it from the shelf.

Next: mend {tmp_path}/bad/nipy/templates/config.ini, then

nibabel-data find 'nipy/templates>=0.3,<1'"""  # noqa: E501
    )


def test_what_is_found_and_what_it_shadows(make_package: MakePackage) -> None:
    roots = [make_package("one"), make_package("two", version="0.4")]
    answer = explain("nipy/templates", roots)
    assert answer.found is not None
    assert answer.found.version == "0.3"
    assert answer.found.path == roots[0] / "nipy" / "templates"
    assert [finding.state for finding in answer.findings] == ["found", "shadowed"]
    assert answer.findings[1].detail == "version 0.4, shadowed by the one above"
    assert answer.next_steps() == []
    assert answer.headline().startswith(f"nipy/templates 0.3 is at {roots[0]}/nipy/templates")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("nipy/template", ("nipy/templates",)),
        ("nipi/templates", ("nipy/templates",)),
        ("templates", ("nipy/templates",)),
        ("other/templates", ("nipy/templates",)),
        ("something/else", ()),
    ],
)
def test_near_names(asked: str, near: tuple[str, ...], make_package: MakePackage) -> None:
    answer = explain(asked, make_package())
    assert answer.near == near
    assert ("Did you mean nipy/templates?" in answer.text()) == bool(near)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[DEFAULT]\nversion = 0.2\n", "install a version >=0.3, then"),
        ("[DEFAULT]\n", "mend "),
        (None, "in data_path"),
    ],
)
def test_the_next_command(config: str | None, said: str, make_package: MakePackage) -> None:
    root = make_package("root", "a/b" if config is None else "nipy/templates", config=config)
    assert said in explain("nipy/templates>=0.3", root).next_steps()[-1]


@pytest.mark.parametrize("deep", ["nipy", "nipy/templates"])
def test_a_root_that_is_too_deep(
    deep: str, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIPY_DATA_PATH", "")
    root = make_package()
    os.environ["NIPY_DATA_PATH"] = str(root / deep)
    answer = explain("nipy/templates")
    assert answer.findings[0].state == "too deep"
    assert answer.findings[0].detail == f"not here: it is below {root}, which is to be named"
    assert answer.next_steps()[-1].endswith(f"nibabel-data config add {root}")


def test_a_path_inside_a_package_is_told_apart(make_package: MakePackage) -> None:
    steps = explain("nipy/templates/ICBM152/T1.nii", make_package()).next_steps()
    assert steps[0] == "nipy/templates is the package; what follows is a path inside it."
    assert steps[-1].endswith("nibabel-data find nipy/templates ICBM152/T1.nii")


def test_a_leftover_does_not_hide_a_near_name(make_package: MakePackage) -> None:
    root = make_package()
    (root / "nipy" / "template").mkdir()
    assert explain("nipy/template", root).near == ("nipy/templates",)


def test_an_ini_that_may_have_named_the_package_is_to_be_mended_first() -> None:
    home = Path(os.environ["HOME"], ".nipy")
    home.mkdir()
    (home / "config.ini").write_text("nonsense")
    answer = explain("nipy/templates")
    assert "nibabel-data doctor" in answer.next_steps()[-1]
    assert f"{home}/config.ini:1" in answer.text()


def test_a_dangling_link_is_told(make_package: MakePackage, tmp_path: Path) -> None:
    root = make_package("root", "a/b")
    (root / "a" / "c").symlink_to("nowhere")
    (root / "a" / "d").mkdir()
    (root / "a" / "d" / "config.ini").symlink_to("nowhere")
    assert explain("a/c", root).findings[0].detail == (
        f"a link to {root}/a/nowhere, which does not exist"
    )
    assert explain("a/d", root).findings[0].detail == "config.ini is a link that leads nowhere"


def test_as_json(make_package: MakePackage) -> None:
    answer = explain("nipy/templates>=0.4", make_package())
    facts = json.loads(json.dumps(answer.to_dict()))
    assert facts["found"] is None
    assert facts["asked"]["relpath"] == "nipy/templates"
    assert facts["searched"][0]["state"] == "wrong version"
    assert facts["searched"][0]["version"] == "0.3"
    assert facts["next"] == answer.next_steps()
    found = explain("nipy/templates", make_package()).to_dict()["found"]
    assert found["path"].endswith("nipy/templates")


def test_it_is_a_value() -> None:
    answer = explain("nipy/templates", "/none")
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert answer.definition == PackageDef("nipy/templates")
    assert str(answer) == answer.text()


def test_names_that_would_move_the_cursor_are_escaped(make_package: MakePackage) -> None:
    root = make_package("a\nb\x1b[31m")
    text = explain("nipy/other", root).text()
    assert "\x1b" not in text
    assert r"a\nb\x1b[31m" in text
