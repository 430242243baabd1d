"""The structural likeness: equal trees for what it must not see, naive oracles, verdicts, odd and large text."""

import itertools
import json
import random
import re
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.judging import gate
from itertl.records import Fault, Verdict
from itertl.scoring import ast_likeness
from itertl.scoring.ast_effects import Effects, levels, merged
from itertl.scoring.ast_likeness import dice, score, subtrees
from itertl.scoring.ast_tree import GROUPS, NAME, NUMBER, Tree
from itertl.scoring.item import ScoreItem
from itertl.tools import slang
from itertl.verilog.header import derive_top
from itertl.verilog.text import tokenize

HEADER = "module m(input clk, input [3:0] n0, n1, n2, output reg [3:0] n3, output [3:0] n4);\n"


def value(code: str, reference: str) -> float:
    found = score(ScoreItem(code, "", reference, "m"))
    assert found.verdict is Verdict.SCORED and found.value is not None, found
    assert 0 <= found.value <= 1
    return found.value


def body(*items: str) -> str:
    return HEADER + "\n".join(items) + "\nendmodule\n"


REFERENCE = body(
    "wire [3:0] w = n0 & n1;",
    "assign n4 = (n0 > n1) ? w + n2 + 1 : {n0[0], n1[3:1]};",
    "always @(posedge clk) begin if (n0 == 4'd3) begin n3 <= n1 - n2; end else n3 <= n3 + 4'd1; end",
)

# the same structure, written otherwise
SAME = {
    "layout and comments": REFERENCE.replace(";", " ; // x\n"),
    "numbers": REFERENCE.replace("4'd3", "5").replace("4'd1", "4'b1010"),
    "order of items": body(*reversed(REFERENCE.removeprefix(HEADER).splitlines()[:-1])),
    "operands": REFERENCE.replace("n0 & n1", "n1 & n0").replace("w + n2 + 1", "1 + (n2 + w)").replace("n0 == 4'd3", "4'd3 == n0"),
    "comparison turned round": REFERENCE.replace("n0 > n1", "n1 < n0"),
    "parentheses and blocks": REFERENCE.replace("n1 - n2", "((n1) - (n2))").replace("else n3 <= n3 + 4'd1;", "else begin n3 <= n3 + 4'd1; end"),
    "wire and assign": REFERENCE.replace("wire [3:0] w = n0 & n1;", "wire [3:0] w; assign w = n0 & n1;"),
    "logic": REFERENCE.replace("wire", "logic").replace("logic [3:0] w = n0 & n1;", "logic [3:0] w; assign w = n0 & n1;"),
    "always_ff": REFERENCE.replace("always @", "always_ff @"),
    "names": re.sub(r"\bw\b", "carry", re.sub(r"\bn([012])\b", r"port_\1", REFERENCE)).replace("clk", "ck"),
    "body ports": "module m(clk, n0, n1, n2, n3, n4);\ninput clk; input [3:0] n0; input [3:0] n1, n2; output [3:0] n3, n4; reg [3:0] n3;\n"
    + REFERENCE.removeprefix(HEADER),
    "generate": REFERENCE.replace("assign n4", "generate assign n4").replace("[3:1]};", "[3:1]}; endgenerate"),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_what_it_must_not_see(what: str) -> None:
    assert SAME[what] != REFERENCE
    assert value(SAME[what], REFERENCE) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [("n0 & n1", "n0 | n1"), ("posedge", "negedge"), ("n1 - n2", "n2 * n1"), ("? w + n2 + 1 : {n0[0], n1[3:1]}", "? {n0[0], n1[3:1]} : w + n2 + 1"),
     ("n0[0]", "n0"), ("n3 <= n3", "n3 <= ~n3"), ("if (n0 == 4'd3)", "if (n0 != 4'd3)"),
     ("wire [3:0] w = n0 & n1;", "wire [3:0] w = n0 & n1, x = n0;"),
     ("output [3:0] n4", "output n4")],
)  # fmt: skip
def test_what_it_must_see(old: str, new: str) -> None:
    assert old in REFERENCE
    assert 0 < value(REFERENCE.replace(old, new), REFERENCE) < 1


def test_sequences_stay_sequences() -> None:
    """Only independent statements may change places; the order of a concatenation and of overlapping items counts."""
    swap = body("reg [3:0] t; always @* begin t = n0 + n1; n3 = t & n2; end")
    assert value(body("reg [3:0] t; always @* begin n3 = t & n2; t = n0 + n1; end"), swap) < 1
    free = body("reg [3:0] t; always @* begin t = n0 + n1; n3 = n1 & n2; end")
    assert value(body("reg [3:0] t; always @* begin n3 = n1 & n2; t = n0 + n1; end"), free) == 1
    late = body("always @(posedge clk) begin n3 <= n3 + 1; if (n0[0]) n3 <= 0; end")
    assert value(body("always @(posedge clk) begin if (n0[0]) n3 <= 0; n3 <= n3 + 1; end"), late) < 1
    two = body("reg a, b; always @(posedge clk) begin a <= b & n0; b <= ~a; end")
    assert value(body("reg a, b; always @(posedge clk) begin b <= ~a; a <= b & n0; end"), two) == 1
    plain = body("always @* case (n0) 0: n3 = n1; 1: n3 = n1 + n2; default: n3 = ~n0; endcase")
    assert value(body("always @* case (n0) default: n3 = ~n0; 1: n3 = n1 + n2; 0: n3 = n1; endcase"), plain) == 1
    casez = plain.replace("case (", "casez (")
    assert value(casez.replace("0: n3 = n1; 1: n3 = n1 + n2;", "1: n3 = n1 + n2; 0: n3 = n1;"), casez) < 1
    chosen = body("always @* case (1'b1) n0[0]: n3 = n1; n1[0]: n3 = n1 + n2; default: n3 = 0; endcase")
    assert (
        value(chosen.replace("n0[0]: n3 = n1; n1[0]: n3 = n1 + n2;", "n1[0]: n3 = n1 + n2; n0[0]: n3 = n1;"), chosen)
        < 1
    )
    states = body("localparam A = 0, B = 1; always @* case (n0) A: n3 = n1; B: n3 = n1 + n2; default: n3 = 0; endcase")
    assert value(states.replace("A: n3 = n1; B: n3 = n1 + n2;", "B: n3 = n1 + n2; A: n3 = n1;"), states) == 1


def test_stubs_stay_low() -> None:
    """Equal ports are one part of many: an empty module with the right header is not half right."""
    assert value(body(), REFERENCE) < 0.1
    assert value(body("assign n4 = n0;"), REFERENCE) < 0.2


EXPRESSION = st.recursive(
    st.sampled_from(["n0", "n1", "n2", "n5", "4'd7", "1", "n0[2:1]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "&", "^", "==", "<", ">>"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
        st.tuples(inner, inner).map(lambda t: "{" + f"{t[0]}, {t[1]}" + "}"),
        inner.map(lambda e: f"(~{e})"),
    ),
    max_leaves=6,
)
ITEM = st.one_of(
    EXPRESSION.map(lambda e: f"assign n4 = {e};"),
    st.tuples(EXPRESSION, EXPRESSION).map(lambda t: f"always @(posedge clk) if ({t[0]}) n3 <= {t[1]};"),
    st.tuples(EXPRESSION, EXPRESSION).map(lambda t: f"always @* begin n5 = {t[0]}; n6 = {t[1]}; end"),
)
ITEMS = st.lists(ITEM, min_size=1, max_size=5)
DECLARED = "reg [3:0] n5, n6;"


@settings(deadline=None, max_examples=60)
@given(items=ITEMS, others=ITEMS, seed=st.integers(0, 2**32))
def test_renamed_and_reordered_designs_are_equal(items: list[str], others: list[str], seed: int) -> None:
    rng = random.Random(seed)
    code, other = body(DECLARED, *items), body(DECLARED, *others)
    shuffled = [DECLARED, *items]
    rng.shuffle(shuffled)
    names = [f"x{n}" for n in range(7)]
    rng.shuffle(names)
    changed = re.sub(r"\bn([0-6])\b", lambda found: names[int(found[1])], body(*shuffled))
    assert value(code, code) == value(changed, code) == 1
    assert value(code, other) == value(other, code) == value(changed, other)


FLAT = st.builds(
    Effects, *[st.sets(st.sampled_from("abc"), max_size=2)] * 3, st.sampled_from([False, False, False, True])
)


def depends(a: Effects, b: Effects) -> bool:
    touched = [(x, y) for x, y in ((a, b), (b, a)) if x.writes & (y.reads | y.writes | y.later)]
    return bool(touched) or bool(a.later & b.later) or a.is_barrier or b.is_barrier


@settings(deadline=None)
@given(statements=st.lists(FLAT, max_size=6))
def test_levels_are_the_longest_chains_of_dependences(statements: list[Effects]) -> None:
    expected: list[int] = []
    for n, one in enumerate(statements):
        expected.append(max((1 + expected[m] for m in range(n) if depends(statements[m], one)), default=0))
    assert levels(statements) == expected


@settings(deadline=None, max_examples=50)
@given(statements=st.lists(FLAT, max_size=4))
def test_levels_tell_exactly_the_orders_that_swaps_reach(statements: list[Effects]) -> None:
    """Oracle: breadth-first over swaps of independent neighbours; an order is reached if and only if the level of each
    statement, and the order of dependent ones, is kept."""
    numbers = tuple(range(len(statements)))
    reached, todo = {numbers}, [numbers]
    while todo:
        order = todo.pop()
        for i in range(len(order) - 1):
            if not depends(statements[order[i]], statements[order[i + 1]]):
                swapped = (*order[:i], order[i + 1], order[i], *order[i + 2 :])
                if swapped not in reached:
                    reached.add(swapped)
                    todo.append(swapped)
    original = dict(zip(numbers, levels(statements), strict=True))
    for order in itertools.permutations(numbers):
        same = dict(zip(order, levels([statements[n] for n in order]), strict=True)) == original
        kept = all(
            order.index(a) < order.index(b)
            for a in numbers
            for b in numbers
            if a < b and depends(statements[a], statements[b])
        )
        assert (order in reached) == (same and kept)


def test_merging_is_the_union() -> None:
    whole = merged([Effects({"a"}, set(), {"q"}), Effects({"b", "c"}, {"a"}, set(), True), Effects()])
    assert whole == Effects({"a", "b", "c"}, {"a"}, {"q"}, True)
    assert merged([]) == Effects()


TREES = st.recursive(
    st.sampled_from([NAME, NUMBER, "x", "y"]).map(lambda label: Tree(label, [])),
    lambda inner: st.builds(
        Tree,
        st.sampled_from(["f", "g", "level"]),
        st.lists(inner, max_size=3),
        st.booleans(),
        st.sampled_from([False, False, True]),
    ),
    max_leaves=12,
)


def naive(tree: Tree) -> tuple[Any, list[Any]]:
    """(the tree as nested tuples, those of all subtrees that count)."""
    pairs = [naive(child) for child in tree.children]
    parts = [own for own, _ in pairs]
    own = (tree.label, tree.is_set, tuple(sorted(parts, key=repr)) if tree.is_set else tuple(parts))
    inside = [] if tree.is_whole else [one for _, found in pairs for one in found]
    return own, inside + ([own] if tree.label not in {NAME, NUMBER, *GROUPS} else [])


@settings(deadline=None)
@given(first=TREES, second=TREES)
def test_likeness_is_the_naive_one(first: Tree, second: Tree) -> None:
    """By hand: A = {f, f, x}, B = {f, x, y, y}: 2·2/7."""
    assert dice(Counter([b"f", b"f", b"x"]), Counter([b"f", b"x", b"y", b"y"])) == pytest.approx(4 / 7)
    a, b = naive(first)[1], naive(second)[1]
    left = list(b)
    common = sum(one in left and (left.remove(one) is None) for one in a)
    expected = 2 * common / (len(a) + len(b)) if a or b else 1.0
    assert dice(subtrees(first), subtrees(second)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("", Verdict.NO_CODE), ("I cannot do that.", Verdict.NO_CODE), ("module m(input a; endmodule", Verdict.SYNTAX_ERROR),
     ("module m(output y); assign y = q; endmodule", Verdict.ELABORATION_ERROR),
     ("module k; endmodule", Verdict.ELABORATION_ERROR),
     ("module m; initial $fopen(\"x\"); endmodule", Verdict.GAMED),
     (body("assign n4 = " + "(" * 5000 + "n0" + ")" * 5000 + ";"), Verdict.NO_CODE),
     (body("assign n4 = " + "n0 + " * 30000 + "n0;"), Verdict.GAMED)],
)  # fmt: skip
def test_what_is_no_design_scores_zero(code: str, verdict: Verdict) -> None:
    found = score(ScoreItem(code, "", REFERENCE, "m"))
    assert (found.value, found.verdict) == (0.0, verdict)
    assert found.detail


@pytest.mark.parametrize(
    ("reference", "top"), [(None, "m"), ("module m(", "m"), (REFERENCE, "m; exec"), (REFERENCE, "k")]
)
def test_a_reference_that_cannot_be_read_is_our_fault(reference: str | None, top: str) -> None:
    found = score(ScoreItem(REFERENCE, "", reference, top))
    assert (found.value, found.verdict, found.verdict.fault) == (None, Verdict.UNJUDGEABLE, Fault.OURS)


def test_large_texts_are_bounded() -> None:
    """Chains, lists and nests as large as the gate takes; each in seconds, with no recursion of Python's."""
    chain = body("assign n4 = " + "n0 + " * 5000 + "n1;")
    distinct = body(
        "".join(f"wire a{n};" for n in range(2000)), "assign n4 = " + " - ".join(f"a{n}" for n in range(2000)) + ";"
    )
    nest = body("always @* " + "".join(f"if (n0 == {n}) begin n3 = n1; " for n in range(150)) + "end " * 150)
    many = body("always @(posedge clk) begin", *[f"n3 <= n{n % 3} + {n};" for n in range(2000)], "end")
    for code in (chain, distinct, nest, many):
        start = time.process_time()
        assert value(code, code) == 1
        assert time.process_time() - start < 10


def test_it_takes_milliseconds_on_real_code(shared_data: Path) -> None:
    rows = [
        json.loads(line)
        for line in (shared_data / "verilogeval_v1_human.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    times: list[float] = []
    for row, other in itertools.pairwise(rows):
        ast_likeness._subtrees.cache_clear()
        references = [r["prompt"] + r["canonical_solution"] for r in (row, other)]
        start = time.process_time()
        assert score(ScoreItem(references[0], "", references[0], "top_module")).value == 1
        times.append(time.process_time() - start)
        apart = [score(ScoreItem(a, "", b, "top_module")).value for a, b in (references, references[::-1])]
        assert apart[0] == apart[1]
    assert statistics.median(times) < 0.02  # 4 ms on an idle core


def test_wrong_answers_are_less_alike_than_right_ones(shared_data: Path) -> None:
    problems = {
        row["task_id"]: row["prompt"] + row["canonical_solution"]
        for row in map(json.loads, (shared_data / "verilogeval_v1_human.jsonl").open())
    }
    values: dict[bool, list[float]] = {True: [], False: []}
    for number, line in enumerate((shared_data / "replay/dpskcoder7b_human.jsonl").open(encoding="utf-8")):
        row = json.loads(line)
        if number % 16 == 0 and row["full_module"]:
            found = score(ScoreItem(row["completion"], "", problems[row["task_id"]], "top_module"))
            if found.value is not None and found.verdict is Verdict.SCORED:
                values[row["passed"]].append(found.value)
    assert len(values[True]) > 10 and len(values[False]) > 10
    assert statistics.mean(values[True]) > statistics.mean(values[False]) + 0.2


def changed_design(text: str, top: str, rng: random.Random) -> str:
    """The same design with all names but the top's drawn anew, and the items of each module in another order."""
    names: dict[str, str] = {}
    numbers = rng.sample(range(10_000), 2000)
    renamed, at = "", 0
    for token in tokenize(text):
        renamed += text[at : token.start]
        is_name = token.kind == "identifier" and token.text != top
        renamed += names.setdefault(token.text, f"v{numbers[len(names)]}") if is_name else token.text
        at = token.end
    root = slang.parse(renamed).tree.root
    modules = [
        m
        for m in (root.members if root.kind.name == "CompilationUnit" else [root])
        if m.kind.name == "ModuleDeclaration"
    ]
    parts: list[str] = []
    for module in modules:
        items = [str(item) for item in module.members]
        rng.shuffle(items)
        parts.append(f"{module.header}\n" + "\n".join(items) + "\nendmodule\n")
    return "\n".join(parts)


def test_real_designs_renamed_and_reordered_score_one(shared_data: Path) -> None:
    tried = 0
    for number, line in enumerate((shared_data / "train_pairs.jsonl").open(encoding="utf-8")):
        reference = json.loads(line)["response"]
        top = derive_top(reference) if number % 20 == 0 else None
        design = gate.examine(reference, top) if top is not None else None
        if not isinstance(design, gate.Design) or "`" in design.text:
            continue
        code = changed_design(design.text, design.top, random.Random(number))
        if isinstance(gate.examine(code, design.top), gate.Design):  # some use what would be declared later
            assert score(ScoreItem(code, "", reference, top)).value == 1, line[:200]
            tried += 1
    assert tried > 50
