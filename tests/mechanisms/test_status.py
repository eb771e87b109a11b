from __future__ import annotations

import os
from pathlib import Path

from nibabel_data.mechanisms import library
from nibabel_data.mechanisms.mechanism import Mechanism
from nibabel_data.mechanisms.nmodl import decode, scan
from nibabel_data.mechanisms.status import kind_of, states

from .conftest import PAS, needs_neuron


def mechanism(path: Path, name: str = "Leak", **more: str) -> Mechanism:
    return Mechanism("lab", name, "0", str(path), source="lab 1", root=str(path.parent), **more)


def test_kinds_are_those_of_scan(tmp_path: Path) -> None:
    for number, text in enumerate(
        (
            PAS,
            PAS.replace("SUFFIX", "POINT_PROCESS"),
            PAS.replace("SUFFIX", "ARTIFICIAL_CELL"),
            PAS.replace("SUFFIX NAME", "SUFFIX nothing"),
            f"{PAS}: POINT_PROCESS nothing\n",
            f"COMMENT\nNEURON {{ ARTIFICIAL_CELL x }}\nENDCOMMENT\n{PAS}",
        )
    ):
        path = tmp_path / f"{number}.mod"
        path.write_text(text)
        assert kind_of(str(path)) == scan(decode(path.read_bytes())).kind


def test_a_missing_file_and_a_wrong_declaration(tmp_path: Path) -> None:
    gone, wrong = states(
        [mechanism(tmp_path / "no.mod"), mechanism(_written(tmp_path), declared="point process")],
        None,
    )
    assert (gone.word, gone.kind, gone.reason) == ("broken", "", "no such file or directory")
    assert not gone.wrongly_declared
    assert (wrong.word, wrong.kind, wrong.wrongly_declared) == ("", "density", True)


@needs_neuron
def test_nothing_is_written_to_tell(tmp_path: Path, own_cache: Path) -> None:
    state = states([mechanism(_written(tmp_path))], library.toolchain())[0]
    assert (state.word, state.library, state.problem) == ("not built", None, None)
    assert not own_cache.exists()


@needs_neuron
def test_what_is_there_is_told(tmp_path: Path) -> None:
    from nibabel_data.mechanisms.source import prepare

    tools = library.toolchain()
    one = mechanism(_written(tmp_path))
    path = library.obtain(prepare(one), tools)
    state = states([one], tools)[0]
    assert (state.word, state.library) == ("built", path)
    _written(tmp_path, PAS + ": changed\n")
    assert states([one], tools)[0].word == "not built"
    os.unlink(one.path)
    assert states([one], tools)[0].word == "broken"


def _written(folder: Path, text: str = PAS) -> Path:
    path = folder / "Leak.mod"
    path.write_text(text.replace("NAME", "Leak"))
    return path
