from __future__ import annotations

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibabel_data.errors import MechanismError
from nibabel_data.mechanisms.nmodl import (
    decode,
    rename,
    rename_c,
    rename_verbatim,
    scan,
    to_ascii,
)

NAME = "glia__pkg__k__0"

# A mechanism called as its ion, with C that calls its own functions, and the name in every place
# where it must stay.
CHANNEL = """\
TITLE k, SUFFIX k : not a comment ! nor this
COMMENT
  SUFFIX k
  x ENDCOMMENT
ENDCOMMENT
NEURON {  : SUFFIX na
  SUFFIX k  ? k
  USEION k READ ek WRITE ik VALENCE 1
  USEION ca READ cai VALENCE -2
  NONSPECIFIC_CURRENT i
  RANGE g, n_k
  GLOBAL q
}
UNITS { (mV) = (millivolt) F = (faraday) (coulomb) }
DEFINE SIZE 3
PARAMETER { g = 1 (S/cm2) <0, 1e9>  q = 2 (ms/degC) }
ASSIGNED { v (mV) ek (mV) ik (mA/cm2) cai (mM) i (mA/cm2) n_k a[SIZE] }
STATE { n FROM 0 TO 1 }
FUNCTION_TABLE tau(v)
INITIAL { rates(v) n = 0 }
BREAKPOINT {
  SOLVE states METHOD cnexp
  ik = g*n*(v - ek)
  i = 0
}
DERIVATIVE states { rates(v) n' = -n }
FUNCTION fast(x) { LOCAL m
  TABLE DEPEND q FROM 0 TO 10 WITH 20
  fast = x }
PROCEDURE rates(v) {
VERBATIM
  /* rates_k */ double ion_k = 1, n_k_k = 0;  // fast_k
  if (0) { fast_k(_threadargscomma_ 2.0); rates__k(_threadargscomma_ ion_k); _f_fast_k; }
  hoc_execerror("rates_k", "k"); usetable_k = n_k;
ENDVERBATIM
}
"""


def test_what_a_source_declares() -> None:
    source = scan(CHANNEL)
    assert (source.kind, source.suffix) == ("density", "k")
    assert source.title == "k, SUFFIX k : not a comment"
    assert source.ions == (("k", 1), ("ca", -2))
    assert source.names == set(
        "ek ik cai i g n_k q F SIZE v a n tau states fast rates".split()  # noqa: SIM905
    )
    assert (source.includes, source.c_includes) == ((), ())
    assert not source.has_bbcorepointer


@pytest.mark.parametrize(
    ("block", "kind", "suffix"),
    [
        ("SUFFIX k", "density", "k"),
        ("POINT_PROCESS Syn", "point process", "Syn"),
        ("ARTIFICIAL_CELL VecStim", "artificial cell", "VecStim"),
        ("THREADSAFE", "density", None),
        ("SUFFIX nothing", "functions", "nothing"),
        ("SUFFIX : k\n ? ca\n na", "density", "na"),
        ("SUFFIX a POINT_PROCESS b", "point process", "b"),  # as nocmodl: the last name counts
        ("SUFFIX k REPRESENTS NCIT:C17008 THREADSAFE", "density", "k"),
    ],
)
def test_kind_and_name(block: str, kind: str, suffix: str | None) -> None:
    for text in (f"NEURON {{ {block} }}", f"NEURON\n{{\n{block}\n}}\nPARAMETER {{ SUFFIX }}"):
        assert (scan(text).kind, scan(text).suffix) == (kind, suffix)


def test_files_that_it_includes() -> None:
    source = scan(
        'INCLUDE "a.inc"\n: INCLUDE "b.inc"\nINCLUDE\n"c.inc"\nVERBATIM\n#include "d.h"\n'
        '# include  "e.h"\n#include <math.h>\n// #include "f.h"\n/*\n#include "g.h"\n*/\n'
        'char* x = "/*";\n#include "d.h"\nINCLUDE "h.inc"\nENDVERBATIM\n'
    )
    assert source.includes == ("a.inc", "c.inc")
    assert source.c_includes == ("d.h", "e.h")


@pytest.mark.parametrize(
    ("valence", "value"),
    [
        ("", None),
        ("VALENCE 2", 2),
        ("CHARGE - 1", -1),
        ("VALENCE 2.0", 2),
        ("VALENCE 1.5", 1.5),
        ("VALENCE Z", 3),
        ("VALENCE x", None),
    ],
)
def test_valence_of_an_ion(valence: str, value: float | None) -> None:
    text = f"DEFINE Z 3\nNEURON {{ SUFFIX a USEION x READ xi {valence} RANGE b }}"
    assert scan(text).ions == (("x", value),)
    assert scan(text).names == {"Z", "xi", "b"}


def test_data_that_only_c_code_can_save() -> None:
    assert scan("NEURON { POINT_PROCESS a BBCOREPOINTER p }").has_bbcorepointer


def test_variables_that_a_model_has_to_point_somewhere() -> None:
    text = "NEURON { SUFFIX a POINTER p, q BBCOREPOINTER r RANGE s }"
    assert scan(text).pointers == ("p", "q")


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT\n x ENDCOMMENT\n ENDCOMMENT NEURON { SUFFIX c }\nNEURON { SUFFIX a }",
        "COMMENT ENDCOMMENT\nNEURON { SUFFIX a }",
        "COMMENT\nCOMMENT\nENDCOMMENT\nNEURON { SUFFIX a }\n: ENDCOMMENT",  # they do not nest
        "COMMENT NEURON { SUFFIX b }\n\tENDCOMMENT_\nNEURON { SUFFIX a }",
        "TITLE NEURON { SUFFIX b }\nNEURON { SUFFIX a }",
        "TITLE\nNEURON { SUFFIX b }\nNEURON { SUFFIX a }",  # the title is the next line
        "VERBATIM\nNEURON { SUFFIX b }\nENDVERBATIM\nNEURON { SUFFIX a }",
        'NEURON { SUFFIX a }\nFUNCTION f() { printf("}NEURON { SUFFIX b }") }',
        "NEURON { SUFFIX a }\n\x1a NEURON { SUFFIX b }",  # Ctrl-Z ends a file
        "NEURON { SUFFIX a }\nPROCEDURE NEURON_b() { SUFFIX b }",
    ],
)
def test_comments_titles_and_strings_declare_nothing(text: str) -> None:
    assert scan(text).suffix == "a"
    assert scan(rename(text, NAME)).suffix == NAME
    assert rename(text, NAME).replace(NAME, "a") == text


def test_renaming_touches_the_name_and_what_follows_from_it() -> None:
    before, after = CHANNEL.split("\n"), rename(CHANNEL, NAME).split("\n")
    changed = {
        old.strip(): new.strip() for old, new in zip(before, after, strict=True) if old != new
    }
    assert changed == {
        "SUFFIX k  ? k": f"SUFFIX {NAME}  ? k",
        "/* rates_k */ double ion_k = 1, n_k_k = 0;  // fast_k": (
            f"/* rates_k */ double ion_k = 1, n_k_{NAME} = 0;  // fast_k"
        ),
        "if (0) { fast_k(_threadargscomma_ 2.0); rates__k(_threadargscomma_ ion_k); _f_fast_k; }": (
            f"if (0) {{ fast_{NAME}(_threadargscomma_ 2.0); rates__{NAME}(_threadargscomma_ ion_k);"
            f" _f_fast_{NAME}; }}"
        ),
        'hoc_execerror("rates_k", "k"); usetable_k = n_k;': (
            f'hoc_execerror("rates_k", "k"); usetable_{NAME} = n_k;'
        ),
    }


def test_a_declared_variable_that_looks_like_a_function_stays() -> None:
    assert rename_c("n_k = f_k;", "k", NAME, {"n", "n_k", "f"}) == f"n_k = f_{NAME};"


def test_names_that_nocmodl_makes_follow() -> None:
    made = ["table_f", "_f_f", "_hoc_f", "_check_f", "setdata", "usetable", "nrn_init", "nrn_cur"]
    for base in [*made, "nrn_state", "nrn_jacob", "_net_receive", "_nrn_init_", "_nrn_current_"]:
        assert rename_c(f"{base}_k", "k", NAME, {"f"}) == f"{base}_{NAME}"
    for stays in ["ion_k", "table_g_k", "f_k2", "xf_k", "f_K", "2f_k", "k", "_k", "f_k_g"]:
        assert rename_c(stays, "k", NAME, {"f"}) == stays


def test_a_source_without_a_name_gets_one_on_the_line_of_the_brace() -> None:
    assert rename("NEURON {\n RANGE g\n}", "q") == "NEURON { SUFFIX q\n RANGE g\n}"
    assert rename("NEURON : {\n{RANGE g}", "q") == "NEURON : {\n{ SUFFIX q RANGE g}"


def test_a_source_without_a_neuron_block_gets_one_on_its_first_line() -> None:
    assert rename("TITLE a\nPARAMETER { g }", "q") == (
        "NEURON { SUFFIX q } TITLE a\nPARAMETER { g }"
    )
    assert scan(rename("", "q")).suffix == "q"


def test_without_a_name_the_stem_of_the_file_is_the_old_one() -> None:
    text = "FUNCTION f(x) {\nVERBATIM\n f_leak(1); f_k(1);\nENDVERBATIM\n}"
    assert " f_q(1); f_k(1);\n" in rename(text, "q", stem="leak")
    assert " f_leak(1); f_k(1);\n" in rename(text, "q")


def test_suffix_nothing_stays() -> None:
    text = "NEURON { SUFFIX nothing }\nFUNCTION f(x) {\nVERBATIM\nf_nothing();\nENDVERBATIM\n}"
    assert rename(text, NAME) == text


def test_names_of_included_files_count() -> None:
    text = "NEURON { SUFFIX k }\nVERBATIM\nf_k();\nENDVERBATIM"
    assert rename(text, "q") == text.replace("SUFFIX k", "SUFFIX q")
    assert rename(text, "q", names={"f"}) == text.replace("k ", "q ").replace("f_k", "f_q")


def test_an_included_file_follows_and_gets_no_name() -> None:
    text = 'FUNCTION g(x) {\nVERBATIM\nf_k(); g_k(); "f_k"; h_k();\nENDVERBATIM\n}\n: f_k'
    renamed = text.replace("f_k(); g_k()", "f_q(); g_q()")
    assert rename_verbatim(text, "k", "q", {"f"}) == renamed


@pytest.mark.parametrize("name", ["", "nothing", "a-b", "1a", "_a", "é", "a b", "a\n"])
def test_a_name_that_nmodl_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(MechanismError, match="cannot be the name of a mechanism in NMODL"):
        rename(CHANNEL, name)


def test_a_keyword_without_a_name_is_refused() -> None:
    with pytest.raises(MechanismError, match="line 2: .* no name follows"):
        rename("NEURON {\n SUFFIX }", NAME)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfa", "a"),
        ("µm".encode(), "µm"),
        (b"\xb5m", "µm"),
        (b"\xef\xbb\xbf\xb5m", "µm"),
    ],
)
def test_line_ends_byte_order_mark_and_latin_1(content: bytes, text: str) -> None:
    assert decode(content) == text


def test_comments_titles_and_strings_become_ascii() -> None:
    text = (
        "TITLE Müller–Ström ≠ x\n: τ = 5 µm², 37 °C ± 1, “x” → 日本 ½ Å\n"
        'COMMENT\n naïve\n é\n ENDCOMMENT é\nINCLUDE "ñ.inc"\n'
        "VERBATIM\n// α\n/* é */ printf(\"Δ’%c\", 'é');\nENDVERBATIM ü\nNEURON { SUFFIX a }\n"
    )
    assert to_ascii(text, "a.mod") == (
        "TITLE Muller-Strom <> x\n: tau = 5 um^2, 37 degC +/- 1, 'x' -> ?? 1/2 A\n"
        'COMMENT\n naive\n e\n ENDCOMMENT e\nINCLUDE "n.inc"\n'
        "VERBATIM\n// alpha\n/* e */ printf(\"Delta'%c\", 'e');\nENDVERBATIM u\n"
        "NEURON { SUFFIX a }\n"
    )
    assert to_ascii(CHANNEL, "a.mod") is CHANNEL


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("NEURON { SUFFIX a }\nPARAMETER { é = 1 }", "line 2, column 13: '.xe9' .LATIN SMALL"),
        ("UNITS { (µm) = (micron) }", "line 1, column 10: '.xb5' .MICRO SIGN"),
        (": ok é\nVERBATIM\n  x = é;\nENDVERBATIM", "line 3, column 7: "),
        ("\u00a0NEURON { }", "line 1, column 1: '.xa0' .NO-BREAK SPACE"),
        ("\u0080", "line 1, column 1: '.x80' .U.0080"),
    ],
)
def test_a_character_of_the_code_that_is_not_ascii_is_refused(text: str, place: str) -> None:
    with pytest.raises(MechanismError, match=rf"dir/a.mod, {place}"):
        to_ascii(text, "dir/a.mod")


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT\n ＥNDCOMMENT\nNEURON { SUFFIX a }\nENDCOMMENT",
        "COMMENT\n\u00a0ENDCOMMENT\n{\nENDCOMMENT",
        "COMMENT\n{\nENDCOMMENTé\nNEURON { SUFFIX a }",
        "VERBATIM\n/*\n\u200bENDVERBATIM\n*/\nENDVERBATIM",
        'VERBATIM\n"＂", "＼", \'’\' /* ＊／ */ /* *⁄ */ /* *÷ */ // ＼\nENDVERBATIM',
        'PROCEDURE f() { printf("”＂") }',
    ],
)
def test_no_comment_or_string_is_opened_or_closed(text: str) -> None:
    plain = to_ascii(text, "a.mod")
    assert plain.isascii()
    assert len(plain.splitlines()) == len(text.splitlines())
    assert scan(plain).suffix == scan(text).suffix
    if "VERBATIM" in text:
        assert (plain.count('"'), plain.count("\\"), plain.count("*/")) == (
            text.count('"'),
            text.count("\\"),
            text.count("*/"),
        )


# Texts made of the pieces on which a reader of NMODL can stumble.
WORDS = ["NEURON", "SUFFIX", "POINT_PROCESS", "USEION", "VALENCE", "RANGE", "FUNCTION", "TITLE"]
BLOCKS = ["COMMENT", "ENDCOMMENT", "VERBATIM", "ENDVERBATIM", "REPRESENTS", "INCLUDE", "DEFINE"]
NAMES = ["k", "f", "f_k", "f__k", "_f_f_k", "nothing", "1.5", "a:b", "2", "-"]
SIGNS = [
    "{",
    "}",
    "(",
    ")",
    " ",
    " ",
    "\n",
    "\n",
    ":",
    "?",
    '"',
    "'",
    "//",
    "/*",
    "*/",
    "\\",
    "\x1a",
]
ODDITIES = ["é", "µ", "“", "Ｅ", "\u00a0", "\u200b", "\u2028", "\x85", "\0", "ENDCOMMENTé", "＊／"]
piece = st.sampled_from([*WORDS, *BLOCKS, *NAMES, *SIGNS])
sources = st.lists(piece, max_size=30).map("".join) | st.lists(piece, max_size=30).map(" ".join)
neuron_block = st.sampled_from(["NEURON { SUFFIX k }\nFUNCTION f(x) { }\n", "NEURON {\n}\n", ""])
any_source = st.builds("{}{}{}".format, sources, neuron_block, sources)


@given(any_source)
def test_any_text_is_renamed_once_and_keeps_its_lines(text: str) -> None:
    try:
        renamed = rename(text, NAME, stem="f")
    except MechanismError as error:
        assert "no name follows" in str(error)
        return
    assert renamed.count("\n") == text.count("\n")
    assert rename(renamed, NAME, stem="f") == renamed
    if scan(text).kind == "functions":
        assert renamed == text
    else:
        assert scan(renamed).suffix == NAME
        assert scan(renamed).kind == scan(text).kind
    assert scan(renamed).ions == scan(text).ions


@given(any_source, st.text(st.characters(exclude_characters="\n\x1a\x04", codec="utf-8")))
def test_comments_are_untouched(text: str, comment: str) -> None:
    remark = f"COMMENT\n x {comment} f_k\nENDCOMMENT\n: {comment} SUFFIX k\n"
    try:
        assert remark in rename(remark + text, NAME)
    except MechanismError as error:
        assert "no name follows" in str(error)


@given(st.lists(piece | st.sampled_from(ODDITIES) | st.characters(), max_size=30).map("".join))
def test_any_text_becomes_ascii_and_declares_the_same(text: str) -> None:
    text = decode(text.encode("utf-8", "replace"))
    try:
        plain = to_ascii(text, "a.mod")
    except MechanismError as error:
        assert re.match(r"a\.mod, line \d+, column \d+: ", str(error))
        return
    assert plain.isascii()
    assert plain.count("\n") == text.count("\n")
    before, after = scan(text), scan(plain)
    assert (before.kind, before.suffix, before.ions) == (after.kind, after.suffix, after.ions)
    assert before.names == after.names


@given(st.binary(max_size=60))
def test_any_bytes_have_a_text(content: bytes) -> None:
    assert "\r" not in decode(content)
    scan(decode(content))


# The same with NEURON's own translator.

neuron = find_spec("neuron")
NEURON_DATA = Path(neuron.origin).parent / ".data" if neuron and neuron.origin else Path("absent")
needs_nocmodl = pytest.mark.skipif(
    not (NEURON_DATA / "bin" / "nocmodl").is_file(),
    reason="needs NEURON's translator: pip install 'nibabel-data[neuron]'",
)


def translate(folder: Path, name: str, content: bytes) -> str | None:
    """Return the C++ that nocmodl makes of a source; None where it refuses it."""
    (folder / f"{name}.mod").write_bytes(content)
    result = subprocess.run(
        [NEURON_DATA / "bin" / "nocmodl", f"{name}.mod", "-o", "out"],
        cwd=folder,
        env={**os.environ, "MODLUNIT": str(NEURON_DATA / "share" / "nrn" / "lib" / "nrnunits.lib")},
        capture_output=True,
        timeout=60,
    )
    return None if result.returncode else (folder / "out" / f"{name}.cpp").read_text()


BARE = "PARAMETER { g = 1 }\nFUNCTION f(x) { f = x }\n"


@needs_nocmodl
@pytest.mark.parametrize(
    "content",
    [
        CHANNEL.encode(),
        CHANNEL.replace("\n", "\r\n").encode(),
        CHANNEL.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + CHANNEL.encode(),
        CHANNEL.replace("? k", "? µ").encode(),
        CHANNEL.replace("fast_k\n", "é “x”\n").encode("utf-8"),
        CHANNEL.replace("? k", "? µ").encode("latin-1"),
        f"NEURON {{ THREADSAFE }}\n{BARE}".encode(),
        f"NEURON {{THREADSAFE}}\n{BARE}".encode(),
        f"TITLE a title\n{BARE}".encode(),
        f"COMMENT a\nENDCOMMENT\n{BARE}".encode(),
        f"VERBATIM\nstatic int a;\nENDVERBATIM\n{BARE}".encode(),
        f"\n{BARE}".encode(),
        BARE.encode(),
        f"NEURON {{ POINT_PROCESS Syn RANGE g }}\n{BARE}".encode(),
        f"NEURON {{ ARTIFICIAL_CELL Cell RANGE g }}\n{BARE}".encode(),
    ],
)
def test_nocmodl_knows_the_mechanism_by_its_new_name(content: bytes, tmp_path: Path) -> None:
    text = to_ascii(rename(decode(content), NAME), "a.mod")
    written = translate(tmp_path, "stem", text.encode("ascii"))
    assert written is not None
    assert f'*_mechanism[] = {{\n "7.7.0",\n"{NAME}",' in written
    defined = set(re.findall(rf"#define (\w+) \1_{NAME}\b", written))
    assert {"f", "fast"} & defined
    code = written.partition("nmodl_file_text")[0]
    code = re.sub(r'/\*.*?\*/|//[^\n]*|"[^"\n]*"', "", code, flags=re.DOTALL)
    assert not re.findall(r"\b(?:fast|rates|usetable|f)_+(?:k|stem)\b", code)


@needs_nocmodl
def test_nocmodl_keeps_functions_that_belong_to_no_mechanism(tmp_path: Path) -> None:
    text = f"NEURON {{ SUFFIX nothing }}\n{BARE}"
    written = translate(tmp_path, "stem", rename(text, NAME).encode())
    assert written is not None
    assert "extern double f(" in written
    assert NAME not in written


@needs_nocmodl
@pytest.mark.parametrize("content", ["TITLE é", ": é", "PARAMETER { é }"])
def test_nocmodl_takes_nothing_but_ascii(content: str, tmp_path: Path) -> None:
    assert translate(tmp_path, "stem", f"{content}\n{BARE}".encode()) is None


@needs_nocmodl
def test_nocmodl_ends_a_file_title_and_comment_where_we_do(tmp_path: Path) -> None:
    texts = [
        "COMMENT ENDCOMMENT\nNEURON { SUFFIX aa }\n",
        "COMMENT\n x ENDCOMMENT\nENDCOMMENT_ {\nNEURON { SUFFIX aa }\n",
        "TITLE\nNEURON { SUFFIX bb }\nNEURON { SUFFIX aa }\n",
        "NEURON { SUFFIX bb POINT_PROCESS aa }\n",
        "NEURON { SUFFIX aa }\n\x1a NEURON { SUFFIX bb }\n",
        "NEURON { SUFFIX aa REPRESENTS NCIT:C17008 }\n",
    ]
    for text in texts:
        written = translate(tmp_path, "stem", f"{text}".encode())
        assert written is not None, text
        assert f'"{scan(text).suffix}",' in written
        assert scan(text).suffix == "aa"
