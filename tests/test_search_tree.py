"""Search by a tree of designs, edits to them, tests that the model writes, and an aim beyond being right."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itertl.config import PromptConfig
from itertl.errors import UsageError
from itertl.model.prompts import EncodedPrompt, Turn
from itertl.records import Attempt, Examined, Problem, Verdict
from itertl.runs.storage import read_records
from itertl.sampling.backend import Generation
from itertl.sampling.batching import SampleRequest
from itertl.sandbox.bounds import Bound
from itertl.search import edits, feedback, look, own_tests, uct
from itertl.search.drive import attempts_file, find_candidates
from itertl.search.generate import Ranked
from itertl.search.strategy import Ask, open_strategy
from itertl.search.tree_code import TreeCode, reward
from test_search import BROKEN, HEADER, RIGHT, WRONG, Scripted, attempt, job, problem


def naive(
    parents: dict[int, int | None], rewards: dict[int, float], count: int, children: int, c: float
) -> list[int | None]:
    """UCT by recursion, all counted anew at each step."""
    chosen: list[int | None] = []

    def inside(node: int | None, top: int | None) -> bool:
        return node == top or (node is not None and inside(parents[node], top))

    def seen(top: int | None) -> list[float]:
        mine = [rewards[n] for n in parents if inside(n, top)]
        return mine + [0.0 for n in chosen if inside(n, top)]

    def bound(child: int) -> float:
        mine = seen(child)
        return sum(mine) / len(mine) + c * math.sqrt(math.log(len(seen(parents[child]))) / len(mine))

    def down(node: int | None) -> list[int | None]:
        below = [n for n in parents if parents[n] == node]
        if len(below) + chosen.count(node) < children:
            return [node]
        tried = (down(child) for child in sorted(below, key=lambda n: (-bound(n), n)))
        return next((found for found in tried if found), [])

    for _ in range(count):
        chosen += down(None)
    return chosen


@st.composite
def trees(draw: Callable[[Any], Any]) -> tuple[dict[int, int | None], dict[int, float]]:
    size = draw(st.integers(0, 14))
    parents = {n: draw(st.sampled_from([None, *range(n)])) for n in range(size)}
    return parents, {n: draw(st.integers(0, 8)) / 8 for n in range(size)}


@given(trees(), st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.4]))
def test_uct_chooses_what_a_naive_recursion_chooses(
    tree: tuple[dict[int, int | None], dict[int, float]], count: int, children: int, c: float
) -> None:
    parents, rewards = tree
    found = uct.select(parents, rewards, count, children=children, c=c)
    assert found == naive(parents, rewards, count, children, c)


def test_a_tree_grows_where_rewards_are_and_ends_at_its_budget_or_when_right() -> None:
    """Three children of the root, rewards 0.1, 0.84, 0.2: the second is the first to be expanded, and of two
    expansions at once the second goes there too, since 0.42 with two visits is still more than 0.2."""
    assert [reward(rank) for rank in (-2, -1, 0, 0.5, 1, 7)] == pytest.approx([0, 0.1, 0.2, 0.6, 1, 1])
    assert list(TreeCode(width=2).next([])) == [Ask(2)]
    first = [attempt(0, -1.0), attempt(1, 0.8), attempt(2, 0.0)]
    assert list(TreeCode(width=2).next(first[:2])) == [Ask(1), Ask(1, (1,))]
    assert list(TreeCode(width=2, c=0).next(first)) == [Ask(2, (1,))]
    assert list(TreeCode(width=9, nodes=4, edits="blocks").next(first)) == [Ask(1, (1,), is_edit=True)]
    assert list(TreeCode(nodes=3).next(first)) == []
    assert list(TreeCode().next([*first[:2], attempt(2, 1.0)])) == []


def block(search: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{new}\n>>>>>>> REPLACE\n"


def test_blocks_change_what_they_name_and_nothing_else() -> None:
    code = "module m(input a, output y, z);\n  assign y = a;\n  assign z = a;\nendmodule\n"
    swapped = code.replace("y = a", "y = ~a")
    for text in (
        block("  assign y = a;", "  assign y = ~a;"),
        "Here:\n```verilog\n" + block("assign y = a;", "  assign y = ~a;") + "```\nDone.",  # indentation apart
        block("y = a", "y = ~a"),  # a part of a line
        block("  assign y = a;\n  assign z = a;", "  assign y = ~a;\n  assign z = a;").replace("\n", "\r\n"),
        block("y = a", "y = b") + block("y = b", "y = ~a"),  # one after the other
        swapped,  # no block: a whole module
        block("nowhere", "x") + swapped,
    ):
        found = edits.edited(code, text)
        assert (found.code.strip(), found.trouble) == (swapped.strip(), ""), text
    removed = edits.edited(code, block("  assign z = a;", "x").replace("\nx\n", "\n"))
    assert removed == edits.Edited(code.replace("  assign z = a;\n", ""))
    for text, why in (
        ("I would invert y.", "no SEARCH/REPLACE block"),
        (block("y = a", "y = b") + block("assign w = a;", "x"), r"Block 2 ('assign w = a;') does not apply"),
        (block("a;", "b;"), "2 places"),
        (block("", "b"), "searches for nothing"),
        (block(code, "assign y = ~a;"), "not a module"),
        ("<<<<<<< SEARCH\nassign y = a;\n=======\nassign y", "not complete"),
    ):
        found = edits.edited(code, text)
        assert found.code == code and why in found.trouble


BENCH = """module tb; reg clk = 0, rst = 1; reg [3:0] d = 7; wire [3:0] q; integer i, errors = 0;
keep dut(.clk(clk), .rst(rst), .d(d), .q(q));
always #5 clk = ~clk;
initial begin
  repeat (2) @(negedge clk);
  if (q !== 0) begin $display("FAIL: rst=1 got %h", q); errors = errors + 1; end else $display("PASS: reset");
  rst = 0;
  for (i = 0; i < 4; i = i + 1) begin
    d = i + 3; @(negedge clk);
    if (q !== d) begin $display("FAIL: d=%h got %h", d, q); errors = errors + 1; end else $display("PASS: d=%h", d);
  end
  $display("Errors: %0d", errors);
  $finish;
end
endmodule
"""
LIAR = HEADER + 'initial begin $display("PASS: all"); $finish; end\nalways @(posedge clk) q <= 1;\nendmodule\n'


def test_a_design_has_the_share_of_the_checks_that_it_passes_and_cannot_print_one() -> None:
    def run(code: str, test: str = BENCH) -> tuple[Verdict, float, str]:
        said = own_tests.trial(own_tests.Trial(test, code, "keep", Bound()))
        return said.verdict, said.rank, said.message

    assert run(RIGHT) == (Verdict.PASSED, 1.0, "")
    assert run(WRONG) == (Verdict.WRONG_OUTPUT, 4 / 6, "FAIL: rst=1 got 1\nErrors: 1")
    verdict, share, message = run(LIAR)
    assert (verdict, share) == (Verdict.WRONG_OUTPUT, 0) and "ended before" in message
    quiet = BENCH.replace('else $display("PASS: reset");', "").replace('else $display("PASS: d=%h", d);', "")
    assert run(RIGHT, quiet)[1] == 1 > run(LIAR, quiet)[1] == 0  # silence counts where the testbench ends the run
    assert run(RIGHT, BENCH.replace("integer i", "integer i integer"))[0] in own_tests.MISFITS


def test_what_a_testbench_prints_is_read_from_its_words() -> None:
    marks = {
        "PASS: a=%b": "P", "Test %0d failed": "F", "All tests passed!": "P", "TEST_FAILED": "F", "Mismatch at %t": "F",
        "Errors: %0d": "N", "%0d errors in %0d tests": "N", "No errors": "P", "Passed: %0d, Failed: %0d": "",
        "FAIL: the correct sum is %d": "F", "a=%b y=%b": "", "Passing %d on": "",
    }  # fmt: skip
    for text, mark in marks.items():
        assert own_tests._mark(f'"{text}"', "$display") == mark, text
    assert own_tests._mark('"q is %h"', "$error") == "F"
    for line, is_passed in (("N Errors: 0", True), ("N 0 errors in 20 tests", True), ("N 3 errors in 20", False)):
        assert [found for found, _ in own_tests._check(f"itertl:{line}")] == [is_passed]
    for test, why in (
        (BENCH.replace("keep dut", "kept dut"), "does not instantiate"),
        ("module tb; keep k(1, 1, 1, q); initial $display(\"PASS\"); endmodule", "could fail"),
        ("", "no module"),
    ):  # fmt: skip
        found = own_tests.announced(test, "keep")
        assert isinstance(found, str) and why in found
    with_own = own_tests.announced(f"{WRONG}{BENCH}", "keep")
    assert isinstance(with_own, own_tests.Bench) and with_own.root == "tb" and "next" not in with_own.text


SMALL = HEADER + "always @(posedge clk) q <= d & {4{~rst}};\nendmodule\n"
CLUMSY = HEADER + "reg [3:0] n;\nalways @(posedge clk) n <= rst ? 4'hf : ~d;\nalways @* q = ~n;\nendmodule\n"
NO_RESET = HEADER + "always @(posedge clk) q <= d;\nendmodule\n"


class Improving(Scripted):
    """Answers with one of the script's texts for the last code of the conversation ("": none), by the number."""

    script: Mapping[str, Sequence[str]] = {}
    tests: Sequence[str] = ()

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        is_edit = bool(turns) and turns[-1].message.endswith(edits.REQUEST)
        assert config.header == ("append" if is_edit else "prefill") and bool(config.opening) != is_edit
        return super().encode(problem, config, turns)

    def _answer(self, request: SampleRequest) -> Generation:
        instruction, turns = json.loads(request.prompt.text)
        texts = self.script[turns[-1][0].strip() if turns else ""]
        if "testbench" in instruction:
            assert request.header == own_tests.HEADER and "Keep d" in instruction and HEADER.strip() in instruction
            texts = self.tests
        elif turns and turns[-1][1].endswith(edits.REQUEST):
            assert request.header == "" and request.top is None
        return Generation(texts[request.index % len(texts)], "stop", (1, 2, 3))


def open_improving(
    model: object, *, script: Mapping[str, Sequence[str]], tests: Sequence[str] = (), **more: object
) -> Improving:
    del model, more
    backend = Improving()
    backend.script = {code.strip(): texts for code, texts in script.items()}
    backend.tests = tests
    return backend


def search(
    strategy: str,
    out: Path,
    script: dict[str, list[str]],
    options: dict[str, Any],
    tests: Sequence[str] = (),
    asked_for: Problem | None = None,
) -> tuple[str, list[Attempt]]:
    """The answer's code, and the attempts."""
    made = job(strategy, options=options, problems=1)
    made = made if asked_for is None else replace(made, problems=[asked_for])
    model = {"backend": f"{__name__}:open_improving", "options": {"script": script, "tests": list(tests)}}
    form = PromptConfig(header="prefill", opening="```verilog\n")
    asked = replace(made, config=made.config.model_copy(update=model), policy=replace(made.policy, prompt=form))
    [found] = find_candidates(asked, out)
    return found.code.strip(), list(read_records(attempts_file(out), Attempt))


@pytest.mark.usefixtures("here")
def test_a_tree_of_edits_ends_at_the_right_design(tmp_path: Path) -> None:
    """The first edit makes the code compile, the second is right in odd draws and applies to nothing in even ones."""
    right = NO_RESET.replace("q <= d;", "if (rst) q <= 0; else q <= d;")
    script = {
        "": [BROKEN],
        BROKEN: [block("q <= missing;", "q <= d;")],
        NO_RESET: [block("absent", "x"), block("q <= d;", "if (rst) q <= 0; else q <= d;")],
    }
    options = {"edits": "blocks", "feedback": "reference", "width": 2}
    code, attempts = search("tree-code", tmp_path / "c.jsonl", script, options)
    assert code == right.strip()
    for a in attempts:
        if a.parent is not None:
            parent = attempts[a.parent]
            assert a.shown == ((a.parent, parent.examined.message),)
            if "absent" in a.candidate.text:
                assert a.candidate.code == parent.candidate.code and a.examined.rank == parent.examined.rank
                assert a.examined.message.startswith("Block 1 ('absent') does not apply")
    assert any("absent" in a.candidate.text for a in attempts)


@pytest.mark.usefixtures("here")
def test_tests_that_the_model_writes_lead_to_the_right_design_and_bad_ones_are_left_out(tmp_path: Path) -> None:
    tests = [
        BENCH,
        BENCH.replace("integer i", "integer i integer"),
        BENCH.replace("q !== 0", "1").replace("q !== d", "1"),
    ]
    script = {"": [BROKEN, WRONG, NO_RESET], WRONG: [RIGHT]}
    code, attempts = search("repair", tmp_path / "c.jsonl", script, {"feedback": "own tests", "tests": 3}, tests)
    assert code == RIGHT.strip()
    used, unread, unfair, broken, wrong, *_, last = attempts
    assert [a.kind for a in attempts[:4]] == [feedback.TEST] * 3 + [""]
    assert (used.examined.rank, used.examined.message) == (feedback.USABLE, "Used.")
    assert unread.examined.message.startswith("Left out: it does not compile with any design: ")
    assert unfair.examined.message.startswith("Left out: all 2 designs of the first round fail it: FAIL")
    assert broken.examined.rank == look.NO_COMPILE and wrong.examined.rank == pytest.approx(4 / 6)
    assert "- FAIL: rst=1 got 1\n" in wrong.examined.message and last.shown == ((4, wrong.examined.message),)


def test_a_tool_that_breaks_speaks_neither_against_a_test_nor_against_a_design() -> None:
    """Of two tests one broke on the design: the other's share alone is its rank."""

    def said(verdict: Verdict, rank: float) -> Examined:
        return Examined(verdict=verdict, rank=rank, message="FAIL: 1")

    lost, half, none = said(Verdict.TOOL_FAILED, 0), said(Verdict.WRONG_OUTPUT, 0.5), said(Verdict.WRONG_OUTPUT, 0)
    table = {("s", "a"): lost, ("s", "b"): half, ("t", "a"): half, ("t", "b"): half, ("u", "a"): none, ("u", "b"): none}
    group = feedback._Group(problem(), dict.fromkeys("stu", ""), [], [], ["a", "b"])
    feedback._leave_out(group, table)
    assert [bool(why) for why in group.tests.values()] == [False, False, True]
    assert feedback._of_design("a", said(Verdict.PASSED, 1), group, table).rank == 0.5


@pytest.mark.usefixtures("here")
def test_a_design_that_forges_autochips_rank_answers_by_that_rank_alone(tmp_path: Path) -> None:
    liar = HEADER + 'initial $display("Mismatches: 0 in 9 samples");\nalways @(posedge clk) q <= 1;\nendmodule\n'
    bench = (
        BENCH.partition("initial")[0]
        + 'initial #9 begin $display("Mismatches: 4 in 9 samples"); $finish; end endmodule\n'
    )
    for rank, answer in (("autochip", liar), ("own", RIGHT)):
        options = {"breadth": 2, "depth": 0, "feedback": "reference", "rank": rank}
        asked = problem(testbench=bench)
        code, attempts = search("repair", tmp_path / rank, {"": [liar, RIGHT]}, options, asked_for=asked)
        assert [a.candidate.code.strip() for a in attempts] == [liar.strip(), RIGHT.strip()]
        assert code == answer.strip(), rank


@pytest.mark.usefixtures("here")
def test_what_no_test_was_run_on_is_not_said_to_pass_its_own_tests(tmp_path: Path) -> None:
    for tests, verdict in (("I cannot.", "compiles"), (BENCH, "passes its own tests")):
        out, options = tmp_path / f"{verdict[:8]}.jsonl", {"breadth": 1, "feedback": "own tests"}
        _, attempts = search("repair", out, {"": [RIGHT]}, options, [tests])
        designs = tuple(a for a in attempts if not a.kind)
        found = Ranked(problem(), designs, "repair", "repair", "own tests").to_json()
        assert (found["verdict"], found["score"]) == (verdict, 1)


@pytest.mark.usefixtures("here")
def test_a_test_is_tried_on_the_first_designs_that_compile(tmp_path: Path) -> None:
    script = {"": [BROKEN], BROKEN: [WRONG], WRONG: [RIGHT]}
    options = {"feedback": "own tests", "width": 1, "children": 1}
    code, attempts = search(
        "tree-code", tmp_path / "c.jsonl", script, options, [RIGHT + BENCH.replace("module tb", "module keep_tb")]
    )
    assert code == RIGHT.strip() and [a.kind for a in attempts] == [feedback.TEST, "", "", ""]
    assert attempts[0].examined.rank == feedback.UNTRIED and attempts[0].candidate.code.startswith("module keep")
    assert [a.examined.rank for a in attempts[1:]] == [look.NO_COMPILE, pytest.approx(4 / 6), 1]


@pytest.mark.usefixtures("here")
def test_an_aim_ends_at_the_cheapest_design_that_is_proven_equal(tmp_path: Path) -> None:
    script = {"": [CLUMSY], CLUMSY: [NO_RESET, SMALL]}
    options = {"draws": 1, "scorer": "syntax", "aim": "ppa", "aim_rounds": 1, "aim_breadth": 2}
    code, (first, small, unequal) = search("best-of", tmp_path / "c.jsonl", script, options)
    assert code == SMALL.strip()
    assert unequal.examined.cost is None and unequal.examined.proof.startswith("refuted")
    assert small.examined.proof.startswith("proven")
    assert small.examined.cost is not None and first.examined.cost is not None
    assert 0 < small.examined.cost < first.examined.cost
    assert small.shown == ((0, first.examined.message),)
    told = re.search(r"it has (\d+) cells, and (\d+) of them on its longest path", first.examined.message)
    assert told is not None and int(told[1]) * int(told[2]) == first.examined.cost


def test_an_aim_goes_on_from_the_cheapest_and_orders_by_cost() -> None:
    """Repair ends in its second round, where attempt 3 is right; what fills up later has no path and does not count."""

    def costly(number: int, turn: int, path: Sequence[int], cost: float | None, proof: str = "") -> Attempt:
        made = attempt(number, 1.0 if cost is not None else 0.0, turn=turn, path=path)
        said = made.examined.model_copy(update={"cost": cost, "proof": proof})
        return made.model_copy(update={"examined": said})

    found = open_strategy("repair", {"breadth": 3, "aim": "ppa", "aim_rounds": 2, "aim_breadth": 2})
    first = [attempt(0, 0.1), attempt(1, 0.8), attempt(2, 0.3)]
    right = [costly(3, 1, [1], 60.0), costly(4, 1, [1], 40.0), attempt(5, 0.2, turn=1, path=[1])]
    assert list(found.next(first)) == [Ask(3, (1,))]
    assert list(found.next([*first, *right])) == [Ask(2, (3,))]
    aimed = [costly(6, 2, [3], 50.0, "proven: the same"), costly(7, 2, [3], None, "refuted: another")]
    assert list(found.next([*first, *right, *aimed])) == [Ask(2, (6,))]
    last = [costly(8, 3, [6], 30.0, "proven: the same"), costly(9, 3, [6], 70.0, "proven: the same")]
    filled = [costly(10, 4, [], 1.0)]
    everything = [*first, *right, *aimed, *last, *filled]
    assert list(found.next(everything)) == []
    assert list(found.order(everything)) == [8, 6, 3, 9, 4, 10, 1, 2, 5, 0, 7]
    assert list(found.next([*first, *[attempt(n, 0.2, turn=1, path=[1]) for n in (3, 4, 5)]])) == [Ask(3, (1,))]


@pytest.mark.usefixtures("here")
def test_options_of_trees_tests_and_aims_that_cannot_be_are_named(tmp_path: Path) -> None:
    text = tmp_path / "not.lib"
    text.write_text("nothing")
    for name, options, why in (
        ("tree-code", {"c": -1}, "strategy_options.c .* 1.4"),
        ("tree-code", {"edits": "diff"}, "whole, blocks"),
        ("tree-code", {"width": 0}, "whole number"),
        ("tree-code", {"width": 10**9}, "to 1000000"),
        ("repair", {"feedback": "tests"}, "compiler, own tests, reference"),
        ("repair", {"tests": 2}, "own tests"),
        ("repair", {"aim": "power"}, "ppa"),
        ("cluster", {"aim_rounds": 2}, "aim: ppa"),
        ("cluster", {"aim": "ppa", "aim_rounds": 0}, "aim_rounds"),
        ("cluster", {"aim": "ppa", "aim_round": 1}, "aim_rounds"),
        ("best-of", {"aim": "ppa", "liberty": str(tmp_path / "none.lib")}, "liberty .* Liberty file"),
    ):
        with pytest.raises(UsageError, match=why):
            open_strategy(name, options)
    with pytest.raises(UsageError, match="header for each problem, and kept-1"):
        open_strategy("repair", {"feedback": "own tests"}).check([problem(header="", upstream_id="kept-1")])
    with pytest.raises(UsageError, match="liberty: Yosys cannot map to"):
        open_strategy("cluster", {"aim": "ppa", "liberty": str(text)}).check([problem()])
