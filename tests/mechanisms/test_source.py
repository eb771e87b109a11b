"""What is given to the translator: the source under its full name, and what it includes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nibabel_data.errors import BuildError, MechanismError
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.source import Prepared, prepare

from .compilers import mechanism
from .conftest import PAS

NAME = "glia__lab__Pas__0"


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_inc", ".inc").replace("_h", ".h")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def prepared(folder: Path, text: str | bytes = PAS) -> Prepared:
    return prepare(mechanism(folder / "Pas.mod", text))


def texts(source: Prepared) -> dict[str, str]:
    return {name: content.decode("ascii") for name, content in source.files.items()}


def test_it_has_its_full_name(tmp_path: Path) -> None:
    source = prepared(tmp_path)
    assert source.name == NAME
    assert texts(source) == {f"{NAME}.mod": PAS.replace("NAME", NAME)}
    assert source.inputs == (source.path,)
    assert source.scanned.kind == "density"


def test_another_name_may_be_given(tmp_path: Path) -> None:
    source = prepare(mechanism(tmp_path / "Pas.mod"), name="pas_0")
    assert list(source.files) == ["pas_0.mod"]
    assert "SUFFIX pas_0" in texts(source)["pas_0.mod"]


def test_the_author_s_file_is_not_touched(tmp_path: Path) -> None:
    prepared(tmp_path, PAS.replace("\n", "\r\n"))
    assert (tmp_path / "Pas.mod").read_bytes() == PAS.replace("\n", "\r\n").encode()


def test_what_is_included_stands_beside_it(tmp_path: Path) -> None:
    write(tmp_path, in_inc="FUNCTION f() { f = 1 }")
    source = prepared(tmp_path, PAS + 'INCLUDE "in.inc"\n')
    assert list(source.files) == [f"{NAME}.mod", "in.inc"]
    assert source.inputs == (str(tmp_path / "Pas.mod"), str(tmp_path / "in.inc"))


def test_includes_of_other_directories_are_flattened(tmp_path: Path) -> None:
    write(tmp_path, common__x_inc="FUNCTION x() { x = 1 }\n", x_inc="FUNCTION y() { y = 1 }\n")
    text = PAS + 'INCLUDE "../common/x.inc"\nINCLUDE "../x.inc"\nINCLUDE   "x.inc" \n'
    write(tmp_path, mods__x_inc="FUNCTION z() { z = 1 }\n")
    source = prepared(tmp_path / "mods", text)
    names = list(source.files)[1:]
    assert len(set(names)) == 3
    lines = texts(source)[f"{NAME}.mod"].splitlines()[-3:]
    assert [line.split('"')[1] for line in lines] == names
    assert [texts(source)[name][9] for name in names] == ["x", "y", "z"]


def test_an_include_is_looked_for_beside_what_includes_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__in_inc='INCLUDE "same.inc"\n',
        b__in_inc='INCLUDE "same.inc"\nINCLUDE "top.inc"\n',
        a__same_inc="FUNCTION a() { a = 1 }\n",
        b__same_inc="FUNCTION b() { b = 1 }\n",
        top_inc="FUNCTION top() { top = 1 }\n",
    )
    source = prepared(tmp_path, PAS + 'INCLUDE "a/in.inc"\nINCLUDE "b/in.inc"\n')
    files = texts(source)
    inner = [files[name].split('"')[1] for name in list(files)[1:3]]
    assert [files[name][9] for name in inner] == ["a", "b"]
    assert "top.inc" in files


def test_one_file_under_two_names_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, sub__x_inc='INCLUDE "../sub/x.inc"\n')
    source = prepared(tmp_path, PAS + 'INCLUDE "sub/x.inc"\nINCLUDE "sub/../sub/x.inc"\n')
    assert list(source.files) == [f"{NAME}.mod", "x.inc"]
    assert texts(source)[f"{NAME}.mod"].count('INCLUDE "x.inc"') == 2


def test_an_include_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, far__x_inc="FUNCTION x() { x = 1 }\n")
    monkeypatch.setenv("MODL_INCLUDE", f"{tmp_path / 'nowhere'}:{tmp_path / 'far'}:")
    assert "x.inc" in prepared(tmp_path / "mods", PAS + 'INCLUDE "x.inc"\n').files


def test_a_missing_include_names_the_line(tmp_path: Path) -> None:
    write(tmp_path, a_inc='\n\nINCLUDE "gone.inc"\n')
    with pytest.raises(BuildError) as caught:
        prepared(tmp_path, PAS + 'INCLUDE "a.inc"\n')
    error = caught.value
    assert (error.mechanism, error.path, error.line) == (NAME, str(tmp_path / "a.inc"), 3)
    assert f"{tmp_path / 'gone.inc'}: no such file or directory" in str(error)
    assert f"included by {tmp_path / 'a.inc'}, line 3" in str(error)


@pytest.mark.parametrize("make", ["nothing", "directory", "huge"])
def test_a_file_that_cannot_be_read(make: str, tmp_path: Path) -> None:
    path = tmp_path / "Pas.mod"
    if make == "directory":
        path.mkdir()
    if make == "huge":
        with open(path, "wb") as file:
            file.truncate(17 * 2**20)
    with pytest.raises(BuildError, match=rf"{NAME} cannot be built: {path}"):
        prepare(Mechanism("lab", "Pas", "0", str(path)))


def test_non_ascii_text_is_transliterated_in_names_of_files_too(tmp_path: Path) -> None:
    (tmp_path / "naïve µ.inc").write_text("FUNCTION f() { f = 1 } : Müller\n")
    source = prepared(tmp_path, ": 5 µm²\r\n" + PAS + 'INCLUDE "naïve µ.inc"\r\n')
    flat = list(source.files)[1]
    assert flat.isascii()
    assert f'INCLUDE "{flat}"' in texts(source)[f"{NAME}.mod"]
    assert texts(source)[flat] == "FUNCTION f() { f = 1 } : Muller\n"


def test_a_character_of_the_code_is_told(tmp_path: Path) -> None:
    with pytest.raises(MechanismError, match=r"Pas\.mod, line 1, column 11.*MICRO SIGN"):
        prepared(tmp_path, "PARAMETER µ\n" + PAS)


def test_a_name_that_neuron_would_cut_is_told(tmp_path: Path) -> None:
    with pytest.raises(MechanismError, match=r"characters, and NEURON takes 250"):
        prepare(mechanism(tmp_path / f"{'x' * 250}.mod"))


def test_c_blocks_of_includes_follow_the_new_name(tmp_path: Path) -> None:
    write(tmp_path, in_inc="VERBATIM\nrates_NAME(1);\nENDVERBATIM\n")
    source = prepared(tmp_path, PAS + 'PROCEDURE rates(x) {}\nINCLUDE "in.inc"\n')
    assert f"rates_{NAME}(1);" in texts(source)["in.inc"]


def test_functions_keep_their_names(tmp_path: Path) -> None:
    text = 'NEURON { SUFFIX nothing }\nFUNCTION f() { f = 1 }\nINCLUDE "in.inc"\n'
    write(tmp_path, in_inc="VERBATIM\nf_nothing(1);\nENDVERBATIM\n")
    source = prepared(tmp_path, text)
    assert texts(source) == {f"{NAME}.mod": text, "in.inc": (tmp_path / "in.inc").read_text()}


C = 'VERBATIM\n#include "a.h"\n#include <math.h>\n#include "mech_api.h"\nENDVERBATIM\n'


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    write(tmp_path, in_inc='VERBATIM\n#include "b.h"\nENDVERBATIM\n')
    write(tmp_path, a_h='#include "sub/c.h"\n', b_h="//b\n", sub__c_h='#include "d.h"\n')
    write(tmp_path, sub__d_h='#include "../sub/d.h"\n#include "c.h"\n#include "../a.h"\n')
    text = PAS + C + 'INCLUDE "in.inc"\n'
    before = prepared(tmp_path, text)
    assert prepared(tmp_path, text).digest == before.digest
    names = [os.path.relpath(path, tmp_path) for path in before.inputs]
    assert sorted(names) == ["Pas.mod", "a.h", "b.h", "in.inc", "sub/c.h", "sub/d.h"]
    for name in names[1:]:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content + b"\n")
        assert prepared(tmp_path, text).digest != before.digest, name
        (tmp_path / name).write_bytes(content)
    assert prepared(tmp_path, text + " ").digest != before.digest


def test_the_digest_does_not_follow_the_place(tmp_path: Path) -> None:
    write(tmp_path / "one", a_h="//a\n")
    write(tmp_path / "other", a_h="//a\n")
    assert (
        prepared(tmp_path / "one", PAS + C).digest == prepared(tmp_path / "other", PAS + C).digest
    )
