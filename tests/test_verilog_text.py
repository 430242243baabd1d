"""Verilog as text: the lexer never raises, its offsets fit, and modules and names are found."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.verilog.header import derive_header, derive_top
from itertl.verilog.text import KEYWORDS, comment_before, modules, rename_identifiers, strip_comments, tokenize, tokens

FRAGMENTS = (
    "module ", "endmodule ", "macromodule", " m", "(", ");", "#(", "/*", "*/", "//", "\n", '"', "\\", "`define", "8'hFF",
    "'", " ", "a", "<<<=", "(*", "*)", "\x00", "\ud800", "é", "begin", "1.5e3", "$display", "\r\n", "'{", ":", "extern ",
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))


@settings(deadline=None, max_examples=400)
@given(TEXTS)
def test_never_raises_and_offsets_fit(code: str) -> None:
    stream = tokenize(code)
    position = 0
    for token in stream:
        assert code[token.start : token.end] == token.text
        assert token.start >= position
        position = token.end
    assert len(tokens(code)) == len(stream) == len(rename_identifiers(stream))
    spans = modules(code)
    for span in spans:
        assert code[span.start :].startswith(("module", "macromodule"))
        assert span.end <= len(code)
        assert not span.is_terminated or "endmodule" in code[span.start : span.end]
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert tokens(strip_comments(code)) == tokens(code)
    assert code.startswith(derive_header(code))
    assert isinstance(derive_top(code), str | None)
    assert isinstance(comment_before(code, len(code)), str)


def test_every_kind_of_token() -> None:
    code = """`timescale 1ns/1ps // c
    (* full_case *) assign \\a+b = $signed(8 'h F_x) <<< 'd3 !== 1.5e-3 ~^ "x // \\" y" &&& '1 ->> q[3 -: 2]; /* z */ always @( * )"""
    assert tokens(code) == [
        "`timescale", "1ns", "/", "1ps", "(*", "full_case", "*)", "assign", "\\a+b", "=", "$signed", "(", "8'hF_x", ")",
        "<<<", "'d3", "!==", "1.5e-3", "~^", '"x // \\" y"', "&&&", "'1", "->>", "q", "[", "3", "-:", "2", "]", ";",
        "always", "@", "(*)",
    ]  # fmt: skip
    assert {t.text: t.kind for t in tokenize(code)}["assign"] == "keyword"
    assert "endmodule" in KEYWORDS and "adder" not in KEYWORDS


def test_operators_are_not_lost() -> None:
    assert tokens("y = a & b") != tokens("y = a | b")
    assert tokens("a<=b") == ["a", "<=", "b"] and tokens("a===b") == ["a", "===", "b"]


def test_broken_text_ends_where_it_should() -> None:
    assert tokens('a "open\nb') == ["a", '"open', "b"]
    assert tokens("a /* open\nmodule m;") == ["a"]
    assert tokens("8'hz1 4'b1?0:x") == ["8'hz1", "4'b1?0", ":", "x"]


@pytest.mark.parametrize("piece", ["(*", "/*", '"\\', "1 ", "'", "module a;", "( ", "8   ", "(  *", "\\", "`"])
def test_linear_time(piece: str) -> None:
    """Ten times the text takes about ten times as long; quadratic work would take a hundred times."""

    def cost(repeats: int) -> float:
        code = piece * repeats
        start = time.process_time()
        modules(code)
        strip_comments(code)
        return time.process_time() - start

    small, large = (min(cost(repeats) for _ in range(3)) for repeats in (3000, 30000))
    assert large < 40 * small + 0.05


def test_modules_nested_unterminated_and_prose() -> None:
    def found(code: str) -> list[tuple[str, str, bool]]:
        return [(s.name, code[s.start : s.end], s.is_terminated) for s in modules(code)]

    assert found("The module you want:\nmodule a; endmodule : a // module b;") == [
        ("a", "module a; endmodule : a", True)
    ]
    assert found("module a; module b; endmodule endmodule") == [("a", "module a; module b; endmodule endmodule", True)]
    assert found("module a; module b; endmodule") == [("a", "module a; ", False), ("b", "module b; endmodule", True)]
    assert found("endmodule macromodule \\x+y (z); endmodule") == [("x+y", "macromodule \\x+y (z); endmodule", True)]
    assert found('"module q;" /* module r; */ extern module s(input a);') == []
    assert found("module a") == [("a", "module a", False)]


def test_strip_comments_keeps_lines_and_strings() -> None:
    assert strip_comments('a /* x\ny */ b // c\n"// no"') == 'a \n b \n"// no"'


def test_renaming_makes_copies_equal_and_keeps_structure() -> None:
    def renamed(code: str) -> list[str]:
        return rename_identifiers(tokenize(code))

    first = "module zero(output zero); assign zero = 1'b0; endmodule"
    assert renamed(first) == renamed("module Ref ( output y );\n assign y = 1'b0; // c\nendmodule")
    assert renamed("assign a = b & a;") != renamed("assign a = a & b;")
    assert renamed("\\a + a") == ["v0", "+", "v0"]
    two = "module h(input x); endmodule module t(input a); h u(.x(a)); endmodule"
    assert renamed(two) == renamed(two.replace("h(", "half(").replace("h u", "half u0"))
    assert renamed(two)[renamed(two).index("m0") :][0] == "m0"


@pytest.mark.parametrize(
    ("code", "header", "top"),
    [
        ("module m(input a, output y);\nassign y = a;\nendmodule", "module m(input a, output y);", "m"),
        ("// m (old);\nmodule m #(parameter W = (2), S = \");\") (\n input [W-1:0] a // x );\n);\nendmodule",
         "// m (old);\nmodule m #(parameter W = (2), S = \");\") (\n input [W-1:0] a // x );\n);", "m"),
        ("module automatic m import p::*; (input a); endmodule", "module automatic m import p::*; (input a);", "m"),
        ("module tb; endmodule", "", "tb"),
        ("module m(input a", "", "m"),
        ("no code", "", None),
        ("module h(input a); endmodule\nmodule t(input a); h #(1) u(a); endmodule", "module h(input a);", "t"),
        ("module a(input x); endmodule module b(input x); endmodule", "module a(input x);", None),
        ("module h(input a); endmodule module t(input a); reg t; reg h; h h(a); endmodule", "module h(input a);", "t"),
        ("module d(input a); endmodule module tb; d u(1); initial $dumpvars(0, tb, d); endmodule", "module d(input a);", "d"),
        ("module r(input a); if (1) begin : g r #(.N(1)) u(a); x y(a); end endmodule module x(input a); endmodule", "module r(input a);", "r"),
        ("module h(input a, output h); endmodule module t(input a); h u [1:0] (.a(a), .h(b)); endmodule : t", "module h(input a, output h);", "t"),
    ],
)  # fmt: skip
def test_header_and_top(code: str, header: str, top: str | None) -> None:
    assert derive_header(code) == header
    assert derive_top(code) == top


def test_comment_before_drops_marks_and_frames() -> None:
    code = "//=====\n// An adder.\n//   Adds.\n//=====\n\n/*\n * Two inputs.\n */\nmodule m; // inside\n"
    assert comment_before(code, code.index("module")) == "An adder.\n  Adds.\n\nTwo inputs."
