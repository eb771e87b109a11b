"""Packages made for Glia, in the three forms that are in use, read without running them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nibabel_data.mechanisms.discovery import discover
from nibabel_data.mechanisms.glia import read_package
from nibabel_data.mechanisms.mechanism import MechanismPackage
from nibabel_data.mechanisms.static import Reader

from ..conftest import run_python
from .conftest import ASTROCYTE, ASTROCYTE_FILES, GLIA, Install

HEAD = "from pathlib import Path\nfrom glia import Mod, Package\nHERE = Path(__file__).parent\n"


def read(
    tmp_path: Path, text: str | bytes, entry: str = "cells:package"
) -> tuple[list[str], list[str]]:
    """Return the mechanisms of a module as ``asset/variant``, and the problems."""
    (tmp_path / "cells").mkdir(exist_ok=True)
    path = tmp_path / "cells" / "__init__.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    module, _, attribute = entry.partition(":")
    raw, _ = read_package(str(tmp_path), str(path), module, attribute)
    return [f"{one[0]}/{one[1]}" for one in raw[3]], list(raw[4])


def only(site_packages: tuple[MechanismPackage, ...]) -> MechanismPackage:
    (package,) = [one for one in site_packages if one.name != "NEURON"]
    return package


def test_glia(install: Install, site: Path) -> None:
    install()
    package = only(discover().packages)
    assert (package.name, package.source, package.version) == ("lab", "lab-mods 1.0", "1.0")
    assert (package.format, package.root) == ("glia", str(site / "lab_mods"))
    assert [(m.asset, m.variant, m.dialect, m.declared) for m in package.mechanisms] == [
        ("Na", "0", "neuron", "density"),
        ("Na", "0", "arbor", "density"),
        ("Na", "fast", None, "density"),
        ("AMPA", "0", None, "point process"),
        ("Train", "0", None, "artificial cell"),
    ]
    assert package.mechanisms[0].path == str(site / "lab_mods" / "mods" / "neuron" / "Na.mod")
    assert package.mechanisms[0].name == "glia__lab__Na__0"
    assert discover().problems == ()


def test_astrocyte(install: Install, site: Path) -> None:
    install("old-mods", ASTROCYTE, ASTROCYTE_FILES, top="old", entry="old")
    package = only(discover().packages)
    assert (package.name, package.format) == ("old", "astrocyte")
    assert [(m.asset, m.variant, m.dialect, m.declared) for m in package.mechanisms] == [
        ("Na", "granule", None, None),
        ("AMPA", "0", None, "point process"),
    ]
    assert package.mechanisms[0].path == str(site / "old" / "mod" / "glia__old__Na__granule.mod")
    assert discover().problems == ()


def test_a_module_below_a_package_that_is_not_imported(install: Install, site: Path) -> None:
    install(top="lab_mods/inner", entry="lab_mods.inner:package")
    (site / "lab_mods" / "__init__.py").write_text("raise RuntimeError('imported')")
    assert only(discover().packages).root == str(site / "lab_mods" / "inner")


@pytest.mark.parametrize(
    "text",
    [
        "import glia, os\n"
        "package = glia.Package('a', os.path.dirname(__file__), mods=[glia.Mod('x', 'A')])",
        "import glia as g, os.path as p\n"
        "HERE = p.dirname(p.abspath(__file__))\n"
        "package = g.Package(root=HERE, name='a', mods=(g.Mod('x', 'A'),))",
        "from glia import Package as P, Mod as M\nimport pathlib\n"
        "HERE = pathlib.Path(__file__).resolve().parents[0]\n"
        "package: P = P('a', HERE, mods=[M(relpath='x', asset_name='A')])",
        HEAD + "package = Package('a', HERE)\npackage.mods.append(Mod('x', 'A'))",
        HEAD + "package = Package('a', HERE)\npackage.mods.extend([Mod('x', 'A')])",
        HEAD + "package = Package('a', HERE)\npackage.mods += [Mod('x', 'A')]",
        HEAD + "MODS = [Mod('x', 'A')]\npackage = Package('a', str(HERE), mods=[*MODS])",
        HEAD + "MODS = [Mod('x', 'A')]\npackage = Package('a', HERE / 'mods', mods=MODS + [])",
        HEAD
        + "NAME = 'A'\npackage = Package(f'a', HERE.joinpath('b'), mods=[Mod(f'{NAME}.x', NAME)])",
        "try:\n    from glia import Mod, Package\nexcept ImportError:\n    Mod = Package = None\n"
        "from os.path import dirname\n"
        "package = Package('a', dirname(__file__), mods=[Mod('x', 'A')])",
        HEAD + "def make():\n    return Package('a', HERE, mods=[Mod('x', 'A')])\npackage = make()",
        HEAD + "def package():\n    return Package('a', HERE, mods=[Mod('x', 'A')])",
        HEAD + "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import y\n"
        "package = Package('a', HERE, mods=[Mod('x', 'A', variant=0)])\n"
        "import logging\nlogging.getLogger(__name__).info('made')\n"
        "if __name__ == '__main__':\n    package.mods.append(None)",
    ],
)
def test_forms_that_are_read(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == (["A/0"], [])


def test_an_object_that_is_imported_from_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "list.py").write_text(
        HEAD + "from .more import MODS\npackage = Package('a', HERE, mods=MODS)"
    )
    (tmp_path / "cells" / "more.py").write_text("import glia\nMODS = [glia.Mod('x', 'A')]")
    for text in (
        "from .list import package",
        "from cells.list import package",
        "from . import list as inner\npackage = inner.package",
        "from .list import *",
    ):
        assert read(tmp_path, text) == (["A/0"], [])


@pytest.mark.parametrize(
    ("text", "mods", "line", "problem"),
    [
        ("package = Package(", [], 1, "not Python"),
        ("x = 1", [], 1, "nothing is called 'package'"),
        (b"# \xff", [], 1, "not UTF-8"),
        ("\0", [], 1, "not Python"),
        ("(" * 5000, [], 1, ""),
        ("package = 3", [], 1, "no Package"),
        (HEAD + "package = Package(*X)", [], 4, "no text"),
        (HEAD + "package = Package('a', HERE, mods=3)", [], 4, "no list"),
        (HEAD + "package = Package('--', HERE)", [], 4, "cannot name a package"),
        (HEAD + "package = Package('a', 'mods')", [], 4, "working directory"),
        (HEAD + "package = Package('a', HERE, mods=[Mod(n, n) for n in 'AB'])", [], 4, "Mod(n, n)"),
        (
            HEAD + "package = Package('a', HERE, mods=[\nMod(f(), 'B'),\nMod('x', 'A')])",
            ["A/0"],
            5,
            "",
        ),
        (HEAD + "package = Package('a', HERE, mods=[\nMod('x', 'A'),\n3])", ["A/0"], 4, "no Mod"),
        (HEAD + "package = Package('a', HERE, mods=[Mod('x', 'A-b')])", [], 4, "try 'A_b'"),
        (
            HEAD + "package = Package('a', HERE, mods=[Mod('x', 'A', dialect='hoc')])",
            [],
            4,
            "dialect",
        ),
        (HEAD + "package = Package('a', HERE, mods=[Mod('x', 'A', new=1)])", ["A/0"], 4, "'new'"),
        (
            HEAD + "package = Package('a', HERE, mods=[Mod('x', 'A', is_point_process=X)])",
            ["A/0"],
            4,
            "X",
        ),
        (
            HEAD + "package = Package('a', HERE, mods=[Mod('x')])",
            [],
            4,
            "asset_name of a Mod is missing",
        ),
        (
            HEAD
            + "package = Package('a', HERE)\nfor n in 'AB':\n    package.mods.append(Mod(n, n))",
            [],
            5,
            "a loop would have to be run",
        ),
        (
            HEAD + "mods = [Mod('x', 'A')]\nif X:\n    mods.append(Mod('y', 'B'))\n"
            "package = Package('a', HERE, mods=[*mods])",
            ["A/0"],
            5,
            "a condition would have to be run",
        ),
        ("from .cells import package", [], 1, "circle"),
        ("from . import package", [], 1, "circle"),
        ("from cells import package as package", [], 1, "circle"),
        ("def package():\n    return package()", [], 2, "calls itself"),
        (HEAD + "package = Package('a', Path('\\0').resolve())", [], 4, "working directory"),
        ("from os.path import *\nimport os\npackage = os.path.realpath('\\0')", [], 3, "realpath"),
        ("import os\npackage = os.path.join()", [], 2, "os.path.join"),
        (
            HEAD + f"package = Package('a', HERE, mods=[Mod('x', 'A', variant=0x{'f' * 5000})])",
            [],
            4,
            "",
        ),
        (f"def package():\n    return -0x{'f' * 5000}", [], 2, "not a constant: ..."),
        ("from .absent import package", [], 1, "cells.absent.package is not found"),
        ("a = 'xxxxxxxx'\n" + "a = a + a\n" * 60 + "package = a", [], 1, "too much"),
        (
            "def f0(): return [1]\n"
            + "".join(f"def f{n}(): return [f{n - 1}(), f{n - 1}()]\n" for n in range(1, 40))
            + "package = f39()",
            [],
            1,
            "too much",
        ),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_line(
    text: str | bytes, mods: list[str], line: int, problem: str, tmp_path: Path
) -> None:
    read_mods, problems = read(tmp_path, text)
    assert read_mods == mods
    assert problems
    assert any(f"line {line}: " in one and problem in one for one in problems), problems


def test_one_bad_package_does_not_block_another(install: Install, site: Path) -> None:
    install()
    install("bad-syntax", "package = (", top="bad_syntax")
    install("bad-bytes", b"\xff", top="bad_bytes")
    install("bad-entry", "", top="bad_entry", entry="not_there:package")
    install("bad-name", "", top="bad_name", entry="1 2 3")
    install("bad-file", "", top="bad_file").joinpath("entry_points.txt").write_bytes(
        b"\xff[glia.package]"
    )
    catalogue = discover()
    assert only(catalogue.packages).name == "lab"
    told = sorted(problem.partition(":")[0] for problem in catalogue.problems)
    assert told == [f"bad-{what} 1.0" for what in ("bytes", "entry", "file", "name", "syntax")]
    (missing,) = [one for one in catalogue.problems if one.startswith("bad-entry")]
    assert "module 'not_there'" in missing


def test_a_declared_file_that_is_missing(install: Install, site: Path) -> None:
    install()
    (site / "lab_mods" / "mods" / "AMPA.mod").unlink()
    catalogue = discover()
    (problem,) = catalogue.problems
    assert problem.endswith("AMPA.mod is declared and is no file")
    assert len(catalogue.mechanisms_of("AMPA")) == 1


@pytest.mark.parametrize("layout", ["src", "."])
def test_an_editable_installation_that_says_where_its_project_is(
    install: Install, tmp_path: Path, layout: str
) -> None:
    project = tmp_path / "a project"
    info = install(where=project / layout)
    said = {"url": project.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(said))
    assert only(discover().packages).root == str(project / layout / "lab_mods")


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"url": 3}', '{"url": "file:///x"}'])
def test_a_damaged_note_of_an_editable_installation(
    install: Install, tmp_path: Path, said: str
) -> None:
    info = install(where=tmp_path / "elsewhere")
    (info / "direct_url.json").write_text(said)
    assert "is not found" in discover().problems[0]


def test_an_editable_installation_by_a_path_file(install: Install, tmp_path: Path) -> None:
    project = tmp_path / "project"
    info = install(where=project)
    (info.parent / "lab.pth").write_text(f"{project}\n")
    code = """
import site, sys
site.addsitedir(sys.argv[1])
from nibabel_data.mechanisms.discovery import discover
print([one.root for one in discover().packages if one.name == 'lab'])
print(sorted({'glia', 'lab_mods', 'numpy', 'neuron', 'importlib.metadata'} & set(sys.modules)))
"""
    out = run_python(code, str(info.parent))
    assert out.splitlines() == [str([str(project / "lab_mods")]), "[]"]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_no_text_raises(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read(Path(folder), text.encode("utf-8", "surrogatepass"))


PIECES = [
    "package", "Package", "Mod", "(", ")", "[", "]", "=", "+=", ".mods", ".append", "'a'", ",",
    "HERE", "\n", "def f():", "return ", "if ", "for x in ", "*", "f'{a}'", "import ", "from ", ".",
    ":", " ", "None", "lambda", "{", "}", "/", "class ", "try:\n pass\nfinally:", "0", "**",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_of_its_own_words_raises(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read(Path(folder), GLIA + text)
        read(Path(folder), HEAD + text)


NAMES = st.sampled_from(["package", "a", "b", "Package", "HERE"])
VALUES = st.recursive(
    st.sampled_from(["1", "'x'", "None", "package", "a", "b", "HERE", "__file__", "Mod('x', 'A')"]),
    lambda inner: st.one_of(
        st.builds("[{}, *{}]".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} / {})".format, inner, inner),
        st.builds("{}.{}".format, inner, st.sampled_from(["mods", "parent", "x", "append"])),
        st.builds("Package('n', {}, mods={})".format, inner, inner),
        st.builds("Mod({}, {})".format, inner, inner),
        st.builds("{}[0]".format, inner),
        st.builds("f'{{{}}}'".format, inner),
        st.builds("{}({})".format, inner, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds("{} = {}".format, NAMES, VALUES), max_size=8).map("\n".join))
def test_no_program_raises(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read(Path(folder), HEAD + text)


def test_a_reader_reads_no_other_package(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("import glia\npackage = glia.Package('a', '/', mods=[])")
    (tmp_path / "cells.py").write_text("from other import package")
    reader = Reader(str(tmp_path), "cells")
    assert reader.value("cells", "package") == "other.package"
    assert list(reader.modules) == ["cells"]


def test_the_packages_that_are_in_use(
    real_packages: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(real_packages), *sys.path])
    catalogue = discover()
    packages = {one.name: one for one in catalogue.packages}
    dbbs = packages["dbbs"].mechanisms
    assert (len(dbbs), packages["dbbs"].format) == (80, "glia")
    neuron = [one for one in dbbs if one.dialect == "neuron"]
    assert (len(neuron), sum(one.dialect == "arbor" for one in dbbs)) == (47, 33)
    assert sum(one.declared == "point process" for one in neuron) == 12
    old = packages["dbbs_mod_collection"]
    assert (len(old.mechanisms), old.format) == (42, "astrocyte")
    assert sum(one.declared == "point process" for one in old.mechanisms) == 9
    (vecstim,) = packages["patch_extensions"].mechanisms
    assert (vecstim.asset, vecstim.declared, vecstim.dialect) == (
        "VecStim",
        "artificial cell",
        None,
    )
    assert catalogue.problems == ()
    assert [one.package for one in catalogue.mechanisms_of("VecStim", "arbor")] == [
        "patch_extensions"
    ]
