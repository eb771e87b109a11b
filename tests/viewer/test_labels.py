"""Label tables of every kind, what is wrong in them, and what the client is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibabel_data.errors import DataError, MissingFileError, ViewerError
from nibabel_data.viewer.labels import Label, LabelTable, label_table, read_labels

MRICRON = Path("/usr/share/mricron/templates")

FREESURFER = """\
#$Id: FreeSurferColorLUT.txt
#No. Label Name:                            R   G   B   A

0   Unknown                                 0   0   0   0
4   Left-Lateral-Ventricle                  120 18  134 0
17  Left-Hippocampus                        220 216 20  0
seventeen Left-Amygdala                     103 255 255 0
18  Left-Amygdala                           103 256 255 0
17  Left-Hippocampus-again                  1   2   3   0
999
1002 ctx-lh-caudalanteriorcingulate         125 100 160 0
"""


def read(tmp_path: Path, content: str | bytes, name: str = "labels.txt", **options: Any) -> Any:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labels(path, **options)


def test_freesurfer(tmp_path: Path) -> None:
    table = read(tmp_path, FREESURFER)
    assert table.labels == {
        0: Label("Unknown", (0, 0, 0)),
        4: Label("Left-Lateral-Ventricle", (120, 18, 134)),
        17: Label("Left-Hippocampus", (220, 216, 20)),
        18: Label("Left-Amygdala"),
        1002: Label("ctx-lh-caudalanteriorcingulate", (125, 100, 160)),
    }
    path = tmp_path / "labels.txt"
    assert table.source == str(path)
    assert [problem.partition(": ")[0] for problem in table.problems] == [
        f"{path}, line {line}" for line in (7, 8, 9, 10)
    ]
    assert "not a whole number" in table.problems[0]
    assert "from 0 to 255" in table.problems[1]
    assert "twice" in table.problems[2]
    assert "not a number and a name" in table.problems[3]


def fsl(kind: str, labels: str) -> str:
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<atlas version="1.0"><header>'
        f"<name>A</name><type>{kind}</type></header><data>{labels}</data></atlas>"
    )


POLES = (
    '<label index="0" x="48" y="94" z="35">Frontal Pole</label>'
    '<label index="1" x="25" y="70" z="32">Insular\n Cortex</label>'
)


@pytest.mark.parametrize(
    ("kind", "offset", "first"),
    [
        ("Probabalistic", None, 1),  # FSL's own spelling
        ("Probabilistic", None, 1),
        ("Label", None, 0),
        ("Label", 1, 1),
        ("Probabalistic", 0, 0),
    ],
)
def test_fsl(kind: str, offset: int | None, first: int, tmp_path: Path) -> None:
    table = read(tmp_path, fsl(kind, POLES), "atlas.xml", offset=offset)
    assert table.labels == {first: Label("Frontal Pole"), first + 1: Label("Insular Cortex")}


def test_fsl_with_values_and_bad_labels(tmp_path: Path) -> None:
    labels = '<label index="0" value="7">A</label><label>B</label><label index="x">C</label>'
    table = read(tmp_path, fsl("Probabalistic", labels), "atlas.xml")
    assert table.labels == {7: Label("A")}
    assert "label 2: has no index" in table.problems[0]
    assert "label 3: 'x' is not a whole number" in table.problems[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<atlas><data>", "well-formed"),
        ("<html></html>", "no <label>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><atlas>&b;</atlas>', "entities"),
        (b"PK\0\0", "not a text"),
        ("name only\nand more\n", "no label can be read"),
    ],
)
def test_what_is_no_table(content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match=said):
        read(tmp_path, content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no label table"):
        read_labels(tmp_path / "absent.tsv")
    with pytest.raises(ViewerError, match="cannot read"):
        read_labels(tmp_path)


def test_bids(tmp_path: Path) -> None:
    content = (
        "\ufeffindex\tname\tabbreviation\tcolor\tmapping\n"
        "0\tBackground\tBG\t#000000\t0\n"
        "1\tGray Matter\tGM\t#ff53bb\t1\n"
        "2\tWhite Matter\tWM\tn/a\t2\n"
        "3\tshort\n"
        "4\tBone\tB\tred\t8\n"
    )
    table = read(tmp_path, content, "a_dseg.tsv")
    assert table.labels == {
        0: Label("Background", (0, 0, 0)),
        1: Label("Gray Matter", (255, 83, 187)),
        2: Label("White Matter"),
        4: Label("Bone"),
    }
    assert "line 5: 2 columns rather than 5" in table.problems[0]
    assert "line 6: 'red' is not a colour" in table.problems[1]


def test_itk_snap(tmp_path: Path) -> None:
    content = (
        "# ITK-SnAP Label Description File\n"
        '    0     0    0    0        0  0  0    "Clear Label"\n'
        '    1   255    0    0        1  1  1    "Left hippocampus"\n'
        "    2   nothing\n"
    )
    table = read(tmp_path, content, "a.label")
    assert table.labels[1] == Label("Left hippocampus", (255, 0, 0))
    assert "line 4" in table.problems[0]


def test_numbers_and_names(tmp_path: Path) -> None:
    content = "1 Precentral_L 2001\n2 Area 44\n3 CSF\n4 Left Thalamus 0 118 14\n5 V1 2\n"
    names = {number: label.name for number, label in read(tmp_path, content).labels.items()}
    assert names == {1: "Precentral_L", 2: "Area 44", 3: "CSF", 4: "Left Thalamus", 5: "V1 2"}
    assert read(tmp_path, content).labels[4].rgb == (0, 118, 14)


def test_a_mapping() -> None:
    table = label_table(
        {
            1: "left",
            np.int64(2): ("right", "#0f0"),
            "3": {"name": "middle", "color": (1, 2, 3)},
            4: ("", [255, 255, 255, 0]),
            -1: "below",
            2**64: "above",
            "x": "word",
        }
    )
    assert table.labels == {
        1: Label("left"),
        2: Label("right", (0, 255, 0)),
        3: Label("middle", (1, 2, 3)),
        4: Label("4", (255, 255, 255)),
    }
    assert len(table.problems) == 3
    assert label_table(table) is table
    with pytest.raises(ViewerError, match="mapping"):
        label_table([1, 2])
    with pytest.raises(ViewerError, match="no label can be read"):
        label_table({"x": "y"})
    assert label_table({}) == LabelTable()


def test_what_the_client_is_given() -> None:
    table = label_table({0: ("nothing", "#000000"), 17: ("hippocampus", "#dcd814"), 18: "amygdala"})
    properties = table.segment_properties()
    assert properties == {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": ["17", "18"],
            "properties": [{"id": "label", "type": "label", "values": ["hippocampus", "amygdala"]}],
        },
    }
    assert table.segment_colors() == {"17": "#dcd814"}
    assert json.loads(json.dumps(properties)) == properties


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.text(alphabet='0123456789 \t\n"#a<>/=', max_size=120).map(str.encode),
        st.text(alphabet="0123456789\t\nax#", max_size=80).map(
            lambda text: b"index\tname\tcolor\n" + text.encode()
        ),
    )
)
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        table = read(tmp_path, content)
    except DataError:
        return
    json.dumps([table.segment_properties(), table.segment_colors()])
    assert all(0 <= number < 2**64 for number in table.labels)


def test_the_names_of_mricron() -> None:
    path = MRICRON / "aal.nii.txt"
    if not path.exists():
        pytest.skip("needs the atlases of mricron-data: apt-get install mricron-data")
    table = read_labels(path)
    assert table.labels[1].name == "Precentral_L"
    assert len(table.labels) == 116
