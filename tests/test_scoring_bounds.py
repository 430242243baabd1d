"""The bound of one candidate: time and memory over all its scorers and tools, on designs that want too much of
either."""

import json
from collections import deque
from pathlib import Path

import pytest

from itertl.records import Score, Verdict
from itertl.sandbox.bounds import Bound
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.tools import slang
from itertl.work import pool
from itertl.work.pool import Job, Outcome, Workers

PORTS = "module t(input [7:0] a, input [7:0] b, output [7:0] y);\n"
SUM = "assign y = a + b;\nendmodule\n"
CLOCKED = "module t(input clk, input [7:0] a, output reg [7:0] y);\nalways @(posedge clk) y <= a;\n"
MACROS = "`define A0 a+a+a+a+a+a+a+a\n" + "".join(
    f"`define A{n} {'+'.join([f'`A{n - 1}'] * 8)}\n" for n in range(1, 10)
)
ENDLESS = PORTS + "reg c = 0;\ninitial forever #0 c = ~c;\n" + SUM
TREE = PORTS + "leaf #(30) u(a[0]);\n" + SUM + (
    "module leaf #(parameter N = 1)(input i);\ngenerate if (N > 0) begin : g leaf #(N-1) l(i); leaf #(N-1) r(i); end "
    "endgenerate\nendmodule\n"
)  # fmt: skip
CASES = "".join(f"16'd{n * 37 % 65536}: k <= {n % 251};\n" for n in range(2500))


def taken(code: str, names: list[str], bound: Bound, log: Path | None = None) -> dict[str, Score]:
    reference = CLOCKED + "endmodule\n" if "posedge clk" in code else PORTS + SUM
    [row] = score_items(
        [ScoreItem(code, "", reference, "t")], names, log=log, effort=Effort(bound=bound, num_workers=1)
    )
    return {score.scorer: score for score in row}


def outcome(function: str, payload: object, memory_mb: int | None = None) -> Outcome:
    with Workers(f"scoring_hooks:{function}", 1) as workers:
        [(_, found)] = workers.work(deque([Job(0, payload, 20.0, memory_mb)]))
    return found


def test_a_worker_that_holds_too_much_is_ended_and_the_next_goes_on() -> None:
    with Workers("scoring_hooks:holds_memory", 1) as workers:
        jobs = deque(Job(number, mebibytes, 20.0, 150) for number, mebibytes in enumerate((10, 400, 20)))
        found = dict(workers.work(jobs))
    assert [found[n].status for n in range(3)] == ["ok", "spent", "ok"]
    assert found[1].detail.startswith(f"{pool.ALL}: more than 150 MiB")
    assert found[1].seconds < 10


def test_processor_time_is_told_from_a_crash() -> None:
    found = outcome("burns", 0.2)
    assert (found.status, found.detail) == ("spent", "processor time")


def test_what_is_uncounted_does_not_count() -> None:
    found = outcome("counts", 0.3)
    spent_s, uncounted_s, left_s = found.value
    assert 0.3 <= spent_s < 0.5
    assert (uncounted_s, left_s) == (200, 100)


def test_a_text_that_is_too_much_to_read_is_tried_once() -> None:
    """``gate`` falls by it; those that would read it again are told so, and ``text``, which only parses, finds
    it itself."""
    names = ["gate", "vectors", "equivalence", "ast", "text"]
    found = taken(MACROS + PORTS + "assign y = b + `A9;\nendmodule\n", names, Bound(20.0, 256))
    assert {name: (score.value, score.verdict) for name, score in found.items()} == dict.fromkeys(
        names, (0.0, Verdict.TIMEOUT)
    )
    assert "(memory" in found["text"].detail


def test_a_design_of_too_many_parts_is_not_elaborated() -> None:
    found = taken(TREE, ["gate", "syntax", "synthesis", "ast"], Bound(20.0))
    assert {name: (score.value, score.verdict) for name, score in found.items()} == {
        "gate": (1.0, Verdict.PASSED), "syntax": (0.0, Verdict.TIMEOUT), "synthesis": (0.0, Verdict.TIMEOUT),
        "ast": (0.0, Verdict.TIMEOUT),
    }  # fmt: skip
    assert found["syntax"].detail == slang.TOO_LARGE
    many = "wire [9999:0] w;\ngenvar i; generate for (i = 0; i < 10000; i = i + 1) begin : g assign w[i] = a[i % 8]; end endgenerate\n"
    assert slang.check(PORTS + many + SUM, "t").verdict is Verdict.PASSED


def test_a_tool_gets_what_is_left_and_those_after_it_nothing() -> None:
    """The simulation would have 3 s of its own. It had all of the bound, so that its end is the text's doing."""
    found = taken(ENDLESS, ["vectors", "equivalence", "icarus", "synthesis"], Bound(1.0))
    assert (found["vectors"].value, found["vectors"].verdict) == (0.0, Verdict.TIMEOUT)
    assert "of the candidate's bound" in found["vectors"].detail
    assert (found["equivalence"].value, found["equivalence"].verdict) == (0.0, Verdict.TIMEOUT)
    for name in ("icarus", "synthesis"):
        assert (found[name].value, found[name].verdict) == (None, Verdict.UNDECIDED)
        assert found[name].detail == "the scorers before it took the candidate's bound of 1 s"


def test_what_is_nested_too_deeply_for_us_is_undecided() -> None:
    chain = " else ".join(f"if ({{a,b}} == 16'd{n}) r = a + b;" for n in range(900))
    found = taken(
        PORTS + f"reg [7:0] r; always @* begin r = a + b; {chain} end\nassign y = r;\nendmodule\n",
        ["synthesis", "equivalence"],
        Bound(20.0),
    )
    assert {(score.value, score.verdict) for score in found.values()} == {(None, Verdict.UNDECIDED)}


HUNGRY = {
    "macros": MACROS + PORTS + "assign y = b + `A9;\nendmodule\n",
    "tree of instances": TREE,
    "endless simulation": ENDLESS,
    "long sum": PORTS + "assign y = b + a" + "+a-a" * 6000 + ";\nendmodule\n",
    "many cases": CLOCKED + "reg [15:0] k;\nalways @(posedge clk) case ({a, y})\n" + CASES + "endcase\nendmodule\n",
    "wide product": PORTS + "wire [2047:0] p = {256{a}}, q = {256{b}};\nwire [4095:0] m = (p * q) % (q | 1);\nassign y = (a + b) ^ {8{(^m) & 1'b0}};\nendmodule\n",
    "unrolled loops": PORTS + "reg [7:0] r; integer i, j; always @* begin r = a + b;\nfor (i = 0; i < 2000; i = i + 1) for (j = 0; j < 2000; j = j + 1) "
    "r = r + ((i ^ j) & 0); end\nassign y = r;\nendmodule\n",
    "constant function": PORTS + "function automatic integer f(input integer n); f = n < 2 ? n : f(n-1) + f(n-2); endfunction\n"
    "localparam P = f(40);\nassign y = a + b + (P & 0);\nendmodule\n",
    "wide replication": PORTS + "wire [8388607:0] w = {1048576{a}} ^ {1048576{b}};\nassign y = a + b + ((^w) & 1'b0);\nendmodule\n",
    "growing queue": PORTS + "integer q[$]; initial begin while (1) q.push_back(1); end\n" + SUM,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", HUNGRY)
def test_hungry_designs_stay_within_the_bound(kind: str, tmp_path: Path) -> None:
    """All scorers: no tool is blamed, and the seconds that each took sum up to at most one more than the
    bound's, twice."""
    names = ["gate", "text", "syntax", "synthesis", "vectors", "equivalence", "ppa", "rtlcoder", "ast", "icarus"]
    found = taken(HUNGRY[kind], names, Bound(10.0, 1024), tmp_path / "log")
    assert [score.scorer for score in found.values()] == names
    assert {score.verdict for score in found.values()}.isdisjoint(
        {Verdict.TOOL_FAILED, Verdict.TOOL_MISSING, Verdict.UNJUDGEABLE}
    )
    seconds = [json.loads(line)["seconds"] for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(seconds) < 22
