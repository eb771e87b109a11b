from __future__ import annotations

from nibabel_data.mechanisms.described import describe

SOURCE = """TITLE RANGE t : PARAMETER { t = 1 }
COMMENT
PARAMETER { commented = 1 }
ENDCOMMENT
NEURON {
    SUFFIX x
    USEION ca READ cai, eca WRITE ica VALENCE 2 REPRESENTS CHEBI:29108
    USEION READ WRITE iREAD VALENCE -1
    USEION k
    NONSPECIFIC_CURRENT i, i2 ELECTRODE_CURRENT ie
    RANGE g, e : , none
    RANGE tau, ica
    GLOBAL q10, inf
    POINTER from
    BBCOREPOINTER data
    THREADSAFE
}
PARAMETER {
    g = .001 (S/cm2) <0, 1e9> ? e = 3
    e = -70 (mV)  q10 = 3
    celsius (degC)
    eca (mV)
    n FROM 0 TO 10 (1)
    list[4] (ms)
    from
}
VERBATIM
PARAMETER { verbatim = 1 }
ENDVERBATIM
STATE { m h[3] (mM) FROM 0 TO 1 }
ASSIGNED { v (mV) ica (mA/cm2) tau (ms) hidden (ms) inf }
INITIAL { m = 0 }
"""


def test_all_that_a_source_may_say() -> None:
    said = describe(SOURCE)
    assert [str(ion) for ion in said.ions] == [
        "ca (reads cai eca, writes ica, valence 2)",
        "READ (writes iREAD, valence -1)",
        "k",
    ]
    assert said.currents == ("i", "i2", "ie")
    assert said.pointers == ("from", "data")
    found = {one.name: one for one in said.variables}
    assert [(one.name, one.what) for one in said.variables] == [
        ("g", "parameter"),
        ("e", "parameter"),
        ("q10", "global"),
        ("n", "global"),
        ("list", "global"),
        ("inf", "global"),
        ("m", "state"),
        ("h", "state"),
        ("ica", "assigned"),
        ("tau", "assigned"),
    ]
    assert found["g"].to_json() == {
        "name": "g",
        "what": "parameter",
        "units": "S/cm2",
        "default": ".001",
        "limits": ["0", "1e9"],
        "size": None,
    }
    assert (found["e"].default, found["e"].units) == ("-70", "mV")
    assert (found["h"].size, found["h"].units) == ("3", "mM")
    assert found["list"].size == "4"
    assert (found["n"].units, found["n"].default) == ("1", "")


def test_what_is_no_nmodl() -> None:
    for text in ("", "NEURON {", "PARAMETER { ( = }", "\x00{}{}", "NEURON { USEION }"):
        assert describe(text).variables == ()
