"""Mutants by class: what each class changes, on small designs, and properties of all mutants on many."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.judging import gate
from itertl.synth.edit import other_values
from itertl.synth.generate import generate
from itertl.synth.mutants import CLASSES, Mutant, mutants, one_point_mutants
from itertl.tools import slang


def changes(
    body: str, kind: str, ports: str = "input clk, rst, a, b, input [3:0] d, output reg [3:0] q, output y"
) -> set[tuple[str, str]]:
    """(what was there, what is there now), without spaces, of the mutants of one class."""
    text = f"module m({ports});\n{body}\nendmodule\n"
    return {(m.was.replace(" ", ""), m.now.replace(" ", "")) for m in one_point_mutants(text) if m.kind == kind}


CLOCKED = "always @(posedge clk or negedge rst) if (!rst) q <= 4'd5; else q <= d;"


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("operators", "assign y = a & ~b;", {("&", "|"), ("~", "")}),
        ("operators", "assign y = d <= 3;", {("<=", "<"), ("<=", ">=")}),
        ("operators", "assign y = ^d;", {("^", "~^")}),
        ("constants", "assign y = d == 4'd9;", {("4'd9", "4'd10"), ("4'd9", "4'd8"), ("4'd9", "4'd1")}),
        ("constants", "wire [1:0] t = d[3:2];", set[tuple[str, str]]()),
        ("edges", CLOCKED, {("posedge", "negedge")}),
        ("resets", CLOCKED, {("negedge", "posedge"), ("@(posedgeclkornegedgerst)", "@(posedgeclk)"), ("!rst", "!(!rst)"), ("4'd5", "4'd6")}),
        ("resets", "always @(posedge clk) begin if (rst == 1'b1) q <= 0; else q <= d; end",
         {("@(posedgeclk)", "@(posedgeclkorposedgerst)"), ("rst==1'b1", "!(rst==1'b1)"), ("0", "1")}),
        ("resets", "always @(posedge clk) if (a) q <= d + 1;", set[tuple[str, str]]()),
        ("widths", "reg [3:0] t; assign y = 2'd3;", {("3", "2"), ("3", "4"), ("2", "1")}),
        ("assignments", "always @(posedge clk) q <= d; ", {("<=", "=")}),
        ("assignments", "always @* for (integer i = 0; i < 4; i = i + 1) q[i] = d[i];", {("=", "<=")}),
        ("branches", "assign y = a ? b : (b | a);", {("b:(b|a)", "((b|a)):(b)")}),
        ("branches", "always @* case (d) 0: q = 1; default: q = 2; endcase", {("q=1;default:q=2;", "q=2;default:q=1;")}),
        ("branches", "always @* if (a) q = 1; else q = 2;", {("a", "!(a)")}),
        ("statements", "assign y = a; always @* if (a) q = 1; else q = 2;", {("assigny=a;", ""), ("q=1;", ";"), ("q=2;", ";"), ("elseq=2;", "")}),
        ("sensitivity", "always @(a or b) q = a & b;", {("@(aorb)", "@(a)"), ("@(aorb)", "@(b)")}),
        ("sensitivity", "always @* begin q = a; q[0] = b & q[1]; end", {("@*", "@(a)"), ("@*", "@(b)")}),
        ("selects", "assign y = d[2];", {("2", "1"), ("2", "3")}),
        ("selects", "wire [1:0] t = d[a +: 2];", {("a", "(a)+1"), ("a", "(a)-1")}),
        ("signedness", "wire signed [3:0] t = $signed(d);", {("signed", ""), ("$signed", "$unsigned"), ("", "signed")}),
    ],
)  # fmt: skip
def test_each_class_by_hand(kind: str, body: str, expected: set[tuple[str, str]]) -> None:
    assert changes(body, kind) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [("3", ["4", "2"]), ("8'hF0", ["8'hf1", "8'h70"]), ("4'sb1111", ["4'sb0000", "4'sb1110", "4'sb0111"]), ("1'b0", ["1'b1"]), ("4'b1?0x", []),
     ("'h7", ["'h8", "'h6"]), ("12'd1_0", ["12'd11", "12'd2058"]), ("3'o7", ["3'o0", "3'o6", "3'o3"])],
)  # fmt: skip
def test_other_values_keep_the_kind_of_the_literal(literal: str, expected: list[str]) -> None:
    assert other_values(literal) == expected


def one_place(text: str, mutant: Mutant) -> bool:
    """Whether replacing ``was`` by ``now`` once, on the line that the mutant names, makes it."""
    starts = [
        i for i in range(len(text) + 1) if text.startswith(mutant.was, i) and text.count("\n", 0, i) + 1 == mutant.line
    ]
    return any(text[:i] + mutant.now + text[i + len(mutant.was) :] == mutant.text for i in starts)


def test_generated_references_have_mutants_of_every_class() -> None:
    counts: Counter[str] = Counter()
    for problem in generate(3, 160)[::2]:
        text = problem.reference or ""
        found = list(one_point_mutants(text))
        assert found == list(one_point_mutants(text)), "the same mutants each time"
        assert len({m.text for m in found} | {text}) == len(found) + 1
        assert all(one_place(text, m) for m in found)
        counts.update(m.kind for m in found)
    assert set(counts) == set(CLASSES)


def test_most_mutants_elaborate() -> None:
    verdicts = Counter(
        isinstance(gate.examine(m.text, p.top or ""), gate.Design)
        for p in generate(4, 20)
        for m in list(one_point_mutants(p.reference or ""))[::7]
    )
    assert verdicts[True] > 20 * verdicts[False]


def test_macros_are_left_alone_and_their_texts_reached_when_expanded() -> None:
    code = "`define ADD(x, y) ((x) + (y))\nmodule m(input [3:0] a, b, output [3:0] s);\nassign s = `ADD(a, b) & 4'd3;\nendmodule\n"
    plain = list(one_point_mutants(code))
    assert all(
        m.text.startswith("`define ADD(x, y) ((x) + (y))\n") and "`ADD(a, b)" in m.text
        for m in plain
        if m.kind != "statements"
    )
    design = gate.examine(code, "m")
    assert isinstance(design, gate.Design)
    assert ("+", "-") in {(m.was, m.now) for m in one_point_mutants(design.text)}


def test_broken_text_has_no_mutants() -> None:
    assert list(one_point_mutants("module m(")) == list(one_point_mutants("")) == []


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ab+-[]();:?01'd éÄ\n"), max_size=40))
def test_odd_text_never_raises(inside: str) -> None:
    text = f"module m(input [3:0] a, b, output [3:0] d);\n/* ü */ assign d = {inside}a; always @(*) begin {inside} end\nendmodule\n"
    for mutant in one_point_mutants(text):
        assert mutant.text != text and not slang.parse(text).error


def test_classes_take_turns_in_the_order_given_and_the_seed_decides_within() -> None:
    text = "module m(input [3:0] a, b, output [3:0] d, e);\nassign d = a & b;\nassign e = a + 4'd3;\nendmodule\n"
    drawn = list(mutants(text, random.Random(1), ("statements", "operators")))
    assert [m.kind for m in drawn[:4]] == ["statements", "operators"] * 2
    wanted = [m for m in one_point_mutants(text) if m.kind in ("statements", "operators")]
    assert sorted(m.text for m in drawn) == sorted(m.text for m in wanted)
    assert drawn == list(mutants(text, random.Random(1), ("statements", "operators")))
    assert any(drawn != list(mutants(text, random.Random(n), ("statements", "operators"))) for n in range(2, 6))


def test_the_step_of_a_loop_stays() -> None:
    """What bounds the loop and what it does are changed, its step is not: a loop without end tells nothing of a test."""
    text = "module m(input [3:0] a, output reg y);\ninteger i;\nalways @* begin\n  y = 0;\n  for (i = 0; i < 4; i = i + 1)\n    y = y ^ a[i];\nend\nendmodule\n"
    heads = {line for mutant in one_point_mutants(text) for line in mutant.text.splitlines() if "for (" in line}
    assert len(heads) > 3 and all(head.endswith("; i = i + 1)") for head in heads)
