"""``equivalence``: never proven what a simulation can tell apart, never refuted what is the same, on every known trap."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import equivalence_cases
from equivalence_cases import DIFFERENT, EQUAL, REFINED, Pair, clocked, examined, logic
from itertl.errors import ToolMissing
from itertl.evaluation.benchmarks import load
from itertl.judging import gate
from itertl.records import Score, Verdict
from itertl.scoring import interface
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.equivalence import aig, checks, flat, proof, recheck, rewrite, score, script, solver
from itertl.scoring.equivalence.flat import Style
from itertl.scoring.equivalence.proof import Proof, ProofOutcome
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors import cover
from itertl.synth.mutants import mutants
from itertl.tools import yosys
from itertl.work import pool

PAIRS: dict[str, Pair] = {
    **{f"equal: {name}": pair for name, pair in EQUAL.items()},
    **{f"equal, back: {name}": pair[::-1] for name, pair in EQUAL.items()},
    **{f"refined: {name}": pair for name, pair in REFINED.items()},
    **{f"refined, back: {name}": pair[::-1] for name, pair in REFINED.items()},
    **{f"different: {name}": pair for name, pair in DIFFERENT.items()},
    **{f"different, back: {name}": pair[::-1] for name, pair in DIFFERENT.items()},
}
SAME = [name for name in PAIRS if name.startswith(("equal", "refined:"))]
OTHER = [name for name in PAIRS if name not in SAME]
UNPROVEN = {  # right, but dividers are compared gate by gate, a made clock may glitch, an open net is Z in a simulator
    "refined: division by zero", "equal: gated clock, both", "equal, back: gated clock, both", "refined: X that a synthesizer folds",
}  # fmt: skip


def run_all(function: str, payloads: list[object]) -> list[object]:
    """In workers, as scoring does it; a stall or a crash is an error."""
    outcomes = dict(pool.map_unordered(function, payloads, num_workers=2, timeout_s=120))
    assert all(outcome.status == "ok" for outcome in outcomes.values()), outcomes
    return [outcomes[number].value for number in range(len(payloads))]


def items(pairs: list[Pair], top: str = "m") -> list[object]:
    return [ScoreItem(code=candidate, reference=reference, top=top) for reference, candidate in pairs]


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    found = run_all("itertl.scoring.equivalence.score:score", items(list(PAIRS.values())))
    return dict(zip(PAIRS, found, strict=True))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def proofs(request: pytest.FixtureRequest) -> dict[str, Proof]:
    """Of the pairs that tests ask for: without simulation, where the gate lets both texts through."""
    asking = [item for item in request.session.items if "proofs" in getattr(item, "fixturenames", ())]
    names = sorted({item.callspec.params["name"] for item in asking})  # type: ignore[attr-defined]
    found = run_all("equivalence_cases:prove_texts", [PAIRS[name] for name in names])
    return dict(zip(names, found, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SAME)
def test_equal_designs_are_proven(name: str, scores: dict[str, Score]) -> None:
    found = scores[name]
    if name in UNPROVEN and found.verdict in (Verdict.UNDECIDED, Verdict.UNJUDGEABLE):
        return
    assert (found.verdict, found.value) == (Verdict.PASSED, 1.0), found
    assert found.detail.startswith("proven: ")


@pytest.mark.parametrize("name", OTHER)
def test_different_designs_are_refuted(name: str, scores: dict[str, Score]) -> None:
    """By simulation or by a proof's counterexample; a clock that a register makes is at least never proven."""
    found = scores[name]
    assert found.value != 1.0, found
    assert found.verdict in (Verdict.WRONG_OUTPUT, Verdict.UNDECIDED, Verdict.UNJUDGEABLE), found
    if found.verdict is Verdict.WRONG_OUTPUT:
        assert found.value == 0.0
        assert found.detail.startswith("refuted: ")
    else:
        assert found.value is None


@pytest.mark.parametrize(
    "name", [name if n % 4 == 0 else pytest.param(name, marks=pytest.mark.slow) for n, name in enumerate(OTHER)]
)
def test_no_false_proof_even_without_simulation(name: str, proofs: dict[str, Proof]) -> None:
    assert proofs[name].outcome is not ProofOutcome.PROVEN, proofs[name]


def test_most_different_pairs_are_refuted(scores: dict[str, Score]) -> None:
    assert sum(scores[name].verdict is Verdict.WRONG_OUTPUT for name in OTHER) >= 0.8 * len(OTHER)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("equal: adder", Style.COMBINATIONAL), ("equal: synchronous reset", Style.CLOCKED), ("equal: asynchronous reset", Style.CLOCKED),
        ("equal: falling edge", Style.CLOCKED), ("equal: latch", Style.FREE), ("equal: two clocks", Style.FREE),
    ],
)  # fmt: skip
def test_how_time_is_modelled(name: str, style: Style, proofs: dict[str, Proof]) -> None:
    assert proofs[name].outcome is ProofOutcome.PROVEN
    assert proofs[name].detail.endswith(f"({style})")


ALL_X = [
    clocked("always @(posedge clk) q <= ~q;"),
    clocked("always @(posedge clk) if (rst & ~rst) q <= 0; else q <= q ^ d;"),
    clocked("always @* q = 1'bx;"),
    clocked("wire t; always @* q = t & d | t;"),
]


def test_a_reference_without_a_defined_output_proves_nothing() -> None:
    """Anything matches an X: without this every candidate would be right."""
    pairs = [(reference, clocked("always @(posedge clk) q <= d;")) for reference in ALL_X]
    for found in run_all("itertl.scoring.equivalence.score:score", items(pairs)):
        assert isinstance(found, Score)
        assert (found.verdict, found.value) == (Verdict.UNJUDGEABLE, None), found
    for found in run_all("equivalence_cases:prove_texts", list(pairs)):
        assert isinstance(found, Proof)
        assert found.outcome is not ProofOutcome.PROVEN, found


def test_state_that_is_never_defined_proves_nothing() -> None:
    """The output is defined, but hangs on a counter that starts as X: a netlist loses what a simulator goes on with."""
    hidden = clocked(
        "reg [3:0] c; always @(posedge clk) begin c <= c + 1; if (rst) q <= 0; else if (c == 9) q <= 1; end"
    )
    [found] = run_all(
        "equivalence_cases:prove_texts", [(hidden, clocked("always @(posedge clk) if (rst) q <= 0; else q <= q & d;"))]
    )
    assert isinstance(found, Proof)
    assert found.outcome is ProofOutcome.UNKNOWN
    assert found.is_references


HOSTILE_TOPS = [
    "m; exec -- touch hacked",
    'm"; exec -- touch hacked; "',
    "-auto-top",
    "m\nexec -- touch hacked",
    "\\m ;",
    "%n",
]


@pytest.mark.parametrize("top", HOSTILE_TOPS)
def test_a_name_runs_no_command(top: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = logic("always @* y = a;")
    found = score.score(ScoreItem(code=text, reference=text, top=top))
    assert (found.verdict, found.value) == (Verdict.UNJUDGEABLE, None)
    assert not list(tmp_path.iterdir())


def test_scripts_hold_no_name_of_a_design() -> None:
    """They are the same whatever the designs are called: names go through files."""
    words = {
        word
        for part in (script.flatten("gold"), *(script.to_aiger(style, x) for style in Style for x in (True, False)))
        for word in part
    }
    assert all("exec" not in word and ";" not in word for word in words)
    with pytest.raises(ValueError, match="itertl_top"):
        rewrite.for_yosys("module m(input a); itertl_top u(a); endmodule module itertl_top(input a); endmodule", "m")


def test_hostile_ports_and_modules_are_no_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("\\a;exec--touch-hacked ", "\\a|touch ", "\\$finish "):
        text = f"module m(input {name}, output y); assign y = {name}; endmodule"
        found = score.score(ScoreItem(code=text, reference=text, top="m"))
        assert found.value is None or found.verdict in (Verdict.GAMED, Verdict.PASSED)
    module = "module exec(input script, tee, output write_file); {} endmodule"
    pair = (module.format("assign write_file = script & tee;"), module.format("and (write_file, tee, script);"))
    [found] = run_all("itertl.scoring.equivalence.score:score", items([pair], "exec"))
    assert isinstance(found, Score)
    assert found.verdict is Verdict.PASSED
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("always @(a) y = a & b;", "the sensitivity list lacks b"), ("always @(a[0] or b) y = a & b;", "the sensitivity list lacks a"),
        ("always @(a or b) y = a & b;", ""), ("always @(a, b, s) begin : x integer i; y = 0; for (i = 0; i < 3; i = i + 1) y = y + a; end", ""),
        ("always @(a or b) begin y = 0; for (int i = 0; i < 3; i++) y = y ^ a ^ b; end", ""), ("always @* y = 1;", "never starts"),
        ("always_comb y = 1;", ""), ("assign #1 w = a; wire [3:0] w; always @* y = w;", "a delay"), ("always @* #1 y = a;", "a delay"),
        ("always @(posedge s[0]) y <= #1 b;", "a delay"), ("always @(posedge s[0] or b) y <= b;", "edges and levels"),
        ("function f; input x; f = x & b; endfunction always @* y = f(a[0]);", "f reads"),
        ("function f; input x; f = x; endfunction always @* y = f(a[0]);", ""),
        ("sub u(a[0]); always @* y = u.q;", "leads into an instance"), ("wand w; assign w = a[0]; always @* y = w;", "a net with a resolution"),
        ("initial begin y = 0; @(posedge s[0]) y = 1; end", "waits inside"), ("always @* begin wait (s[0]); y = a; end", "wait"),
        ("reg t; always @(posedge s[0]) t = a; always @(posedge s[0]) y <= t;", "t is set by ="),
        ("reg t; always @(posedge s[0]) t = a; always @(posedge s[0]) if (t) y <= 1;", "t is set by ="),
        ("reg t; always @(posedge s[0]) t = a; always @* y = t;", ""), ("integer i; always @(posedge s[0]) for (i = 0; i < 4; i = i + 1) y[i] <= a[i];", ""),
    ],
)  # fmt: skip
def test_hazards_are_named(body: str, expected: str) -> None:
    found = checks.hazard(examined(logic(body, "module sub(input a); wire q = a; endmodule")).text, "m")
    assert (expected in found) if expected else not found, found


def test_rewriting_takes_promises_away_and_nothing_else() -> None:
    text = examined(
        "module m #(parameter W = 4)(input clk, input [1:0] s, output reg [W-1:0] q, output logic z);\n"
        "(* keep *) wire m_; always_comb begin : m unique case (s) 2'b00: z = 1; 2'b01: z = 0; endcase end : m\n"
        "always_ff @(posedge clk) priority if (s) q <= 1;\nendmodule : m\n"
    ).text
    found = rewrite.for_yosys(text, "m")
    assert found == text.replace("module m ", "module itertl_top ").replace(
        "endmodule : m", "endmodule : itertl_top"
    ).replace("(* keep *)", "").replace("always_comb", "always @*").replace("unique", "").replace(
        "always_ff", "always"
    ).replace("priority", "")


def test_other_ports_are_told_before_anything_is_proven() -> None:
    other = "module m(input [3:0] a, b, input [1:0] s, output reg [4:0] y); always @* y = a; endmodule"
    [found] = run_all("itertl.scoring.equivalence.score:score", items([(logic("always @* y = a;"), other)]))
    assert isinstance(found, Score)
    assert (found.verdict, found.value) == (Verdict.ELABORATION_ERROR, 0.0)
    assert found.detail.startswith("ports: port y")


@pytest.mark.parametrize(
    ("code", "verdict", "value"),
    [
        ("", Verdict.NO_CODE, 0.0), ("module m(", Verdict.SYNTAX_ERROR, 0.0),
        (logic("always @* y = nothing;"), Verdict.ELABORATION_ERROR, 0.0), (logic("initial $finish;"), Verdict.GAMED, 0.0),
    ],
)  # fmt: skip
def test_what_the_gate_refuses_keeps_its_verdict(code: str, verdict: Verdict, value: float) -> None:
    found = score.score(ScoreItem(code=code, reference=logic("always @* y = a;"), top="m"))
    assert (found.verdict, found.value) == (verdict, value)


def test_no_reference_is_no_fault_of_the_candidate() -> None:
    found = score.score(ScoreItem(code=logic("always @* y = a;"), top="m"))
    assert (found.verdict, found.value) == (Verdict.UNJUDGEABLE, None)


@pytest.mark.parametrize(
    ("found", "verdict", "value"),
    [
        (Proof(ProofOutcome.PROVEN, ""), Verdict.PASSED, 1.0), (Proof(ProofOutcome.REFUTED, ""), Verdict.WRONG_OUTPUT, 0.0),
        (Proof(ProofOutcome.UNKNOWN, ""), Verdict.UNDECIDED, None), (Proof(ProofOutcome.TIMEOUT, ""), Verdict.UNDECIDED, None),
        (Proof(ProofOutcome.UNSUPPORTED, ""), Verdict.UNDECIDED, None), (Proof(ProofOutcome.PORTS, ""), Verdict.ELABORATION_ERROR, 0.0),
        (Proof(ProofOutcome.UNSUPPORTED, "", is_references=True), Verdict.UNJUDGEABLE, None),
    ],
)  # fmt: skip
def test_every_outcome_has_its_verdict(
    found: Proof, verdict: Verdict, value: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score.proof, "prove", lambda reference, candidate: found)
    got = score.score(ScoreItem(code=logic("always @* y = ~(~a);"), reference=logic("always @* y = a;"), top="m"))
    assert (got.verdict, got.value) == (verdict, value)
    assert got.detail.startswith(f"{found.outcome}: ")


def test_a_counterexample_that_the_simulator_does_not_confirm_refutes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gold = flat.Flat(
        (flat.FlatPort("a", True, 4), flat.FlatPort("b", True, 4), flat.FlatPort("s", True, 2)),
        (),
        False,
        False,
        None,
        frozenset(),
        False,
    )
    trace = proof.Trace(Style.COMBINATIONAL, gold, ({"a": "0101", "b": "0000", "s": "00"},))
    monkeypatch.setattr(
        score.proof, "prove", lambda reference, candidate: Proof(ProofOutcome.UNKNOWN, "a counterexample", trace)
    )
    got = score.score(ScoreItem(code=logic("always @* y = ~(~a);"), reference=logic("always @* y = a;"), top="m"))
    assert (got.verdict, got.value) == (Verdict.UNDECIDED, None)
    assert got.detail.startswith("unknown: ")


RARE = "module m(input clk, rst, input [47:0] x, output reg q); always @(posedge clk) if (rst) q <= 0; else q <= {0}; endmodule"


def test_the_proof_finds_what_random_vectors_cannot() -> None:
    """One word in 2 to the 48, made by arithmetic: the counterexample is played, and shows it."""
    pair = (
        RARE.format("^x"),
        RARE.format("(^x) ^ (x[47:24] + x[23:0] == 24'h123456 && x[47:24] - x[23:0] == 24'h3210fe)"),
    )
    [alone] = run_all("equivalence_cases:prove_texts", [pair])
    assert isinstance(alone, Proof)
    assert alone.trace is not None
    [found] = run_all("itertl.scoring.equivalence.score:score", items([pair]))
    assert isinstance(found, Score)
    assert (found.verdict, found.value) == (Verdict.WRONG_OUTPUT, 0.0), found


def test_a_proof_that_takes_too_long_ends() -> None:
    wide = "module m(input [23:0] a, b, output [47:0] y); assign y = {0}; endmodule"
    pair = (
        wide.format("a * b"),
        wide.format("(a + b) * (a + b) / 4 - (a > b ? (a - b) * (a - b) / 4 : (b - a) * (b - a) / 4)"),
    )
    [found] = run_all("equivalence_cases:prove_texts", [pair])
    assert isinstance(found, Proof)
    assert found.outcome in (ProofOutcome.TIMEOUT, ProofOutcome.UNKNOWN)


@pytest.mark.parametrize("name", ["equal: counting down", "equal: mux", "different: changed edge"])
def test_a_fresh_process_says_what_a_forked_one_says(name: str, proofs: dict[str, Proof]) -> None:
    """Here is no worker, so Yosys is started anew."""
    found = equivalence_cases.prove_texts(PAIRS[name])
    assert (found.outcome, found.detail) == (proofs[name].outcome, proofs[name].detail)


def test_missing_yosys_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "has_library", lambda: False)
    monkeypatch.setenv("ITERTL_YOSYS", "/nonexistent/yosys")
    with pytest.raises(ToolMissing, match="pip install pyosys"):
        proof.prove(examined(logic("always @* y = a;")), examined(logic("always @* y = ~(~a);")))


@st.composite
def networks(draw: st.DrawFn) -> aig.Aig:
    num_inputs, num_gates = draw(st.integers(0, 5)), draw(st.integers(0, 12))
    gates = tuple(
        (draw(st.integers(0, 2 * (num_inputs + number) + 1)), draw(st.integers(0, 2 * (num_inputs + number) + 1)))
        for number in range(num_gates)
    )
    return aig.Aig(num_inputs, (), (draw(st.integers(0, 2 * (num_inputs + num_gates) + 1)),), gates, {})


@settings(deadline=None, max_examples=200)
@given(networks())
def test_all_inputs_at_once_is_each_input_in_turn(network: aig.Aig) -> None:
    def value(row: int) -> bool:
        values = [False, *(bool(row >> number & 1) for number in range(network.num_inputs))]
        for left, right in network.gates:
            values.append((values[left >> 1] ^ bool(left & 1)) & (values[right >> 1] ^ bool(right & 1)))
        literal = network.outputs[0]
        return values[literal >> 1] ^ bool(literal & 1)

    rows = [row for row in range(1 << network.num_inputs) if value(row)]
    found = aig.exhausted(network, 0)
    assert found is not None
    assert bool(found) == bool(rows)
    if found:
        assert value(sum(1 << number for number, bit in enumerate(found[0]) if bit == "1"))
    assert aig.reached(network, [0]) <= bool(rows)


@st.composite
def machines(draw: st.DrawFn) -> aig.Aig:
    """Networks with registers that begin with 0 or 1."""
    num_inputs, num_latches, num_gates = draw(st.integers(0, 3)), draw(st.integers(1, 4)), draw(st.integers(0, 10))
    base = num_inputs + num_latches
    gates = tuple(tuple(draw(st.integers(0, 2 * (base + number) + 1)) for _ in "ab") for number in range(num_gates))
    literals = st.integers(0, 2 * (base + num_gates) + 1)
    latches = tuple((draw(literals), draw(st.integers(0, 1))) for _ in range(num_latches))
    return aig.Aig(num_inputs, latches, (draw(literals),), gates, {})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(machines())
def test_a_walk_through_all_states_is_one_step_after_the_other(network: aig.Aig) -> None:
    def step(state: tuple[bool, ...], row: int) -> list[bool]:
        values = [False, *(bool(row >> number & 1) for number in range(network.num_inputs)), *state]
        for left, right in network.gates:
            values.append((values[left >> 1] ^ bool(left & 1)) & (values[right >> 1] ^ bool(right & 1)))
        return [
            values[literal >> 1] ^ bool(literal & 1)
            for literal in (network.outputs[0], *(f for f, _ in network.latches))
        ]

    seen = set()
    todo = [tuple(bool(first) for _, first in network.latches)]
    is_ever = False
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            found = [step(state, row) for row in range(1 << network.num_inputs)]
            is_ever |= any(out for out, *_ in found)
            todo += [tuple(following) for _, *following in found]
    assert aig.explored(network, 0) is is_ever
    assert aig.reached(network, [0]) <= is_ever


def golden_pairs(data: Path) -> list[Pair]:
    """VerilogEval v2's reference with v1's for the same problem, both called m."""
    rows = [json.loads(line) for line in (data / "verilogeval_v1_human.jsonl").read_text().splitlines()]
    v1 = {row["task_id"]: row["prompt"] + row["canonical_solution"] for row in rows}
    files = sorted((data / "upstream/verilog-eval-v2/dataset_spec-to-rtl").glob("*_ref.sv"))
    return [
        (file.read_text().replace("RefModule", "m"), v1[file.name[:-7].split("_", 1)[1]].replace("top_module", "m"))
        for file in files
    ]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_golden_pairs(shared_data: Path) -> None:
    """156 pairs, of which 5 differ in their ports and 2 need a newer Icarus; none is refuted, at least 90 % are proven."""
    found = run_all("itertl.scoring.equivalence.score:score", items(golden_pairs(shared_data)))
    verdicts = Counter(s.verdict for s in found if isinstance(s, Score))
    assert len(found) == 156
    assert verdicts[Verdict.WRONG_OUTPUT] == 0, verdicts
    assert verdicts[Verdict.ELABORATION_ERROR] == 5, verdicts
    assert verdicts[Verdict.PASSED] >= 0.9 * 156, verdicts


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_no_mutant_that_differs_is_proven(shared_data: Path) -> None:
    """The proof alone, without simulation; what it proves must pass the simulation on several seeds, but for designs of which
    Yosys and Icarus read one expression differently, which only the simulation can tell.
    """
    pairs: list[Pair] = []
    for number, (reference, _) in enumerate(golden_pairs(shared_data)):
        for mutant in itertools.islice(mutants(reference, random.Random(number)), 7):
            if isinstance(gate.examine(mutant.text, "m"), gate.Design):
                pairs.append((reference, mutant.text))
    assert len(pairs) >= 700
    found = run_all("equivalence_cases:prove_texts", list(pairs))
    proven = [
        pair
        for pair, one in zip(pairs, found, strict=True)
        if isinstance(one, Proof) and one.outcome is ProofOutcome.PROVEN
    ]
    scores = run_all("itertl.scoring.vectors.score:score", items(proven))
    wrong = [
        pair
        for pair, one in zip(proven, scores, strict=True)
        if isinstance(one, Score) and one.verdict is Verdict.WRONG_OUTPUT
    ]
    assert all("$bits" in mutant for _, mutant in wrong), wrong


ORDER = {  # what each design hangs on, in the words that name it
    "k is read before it is set": logic("reg k; always @* begin y = a ^ {3'b0, k}; k = b[0]; end"),
    "the sensitivity list lacks k": logic("reg [1:0] k; always @* k[0] = b[0]; always @(a) begin k[1] = 0; y = a ^ k; end"),
    "the static local k of f is read": logic("function f(input p); reg k; begin f = k; k = p; end endfunction always @* y = {3'b0, f(a[0])};"),
    "f keeps its last result": logic("function f(input p); if (p) f = 1; endfunction always @* y = {3'b0, f(a[0])};"),
    "an edge of g, which logic makes": logic("wire g = a[0] & ~b[0]; always @(posedge g) y <= a;"),
    "a latch behind logic (g)": logic("wire g = a[0] & ~b[0]; always @* if (g) y = a;"),
    "an edge of g, a copy by <=": clocked("reg g; always @* g <= clk; always @(posedge g) q <= d;"),
    "what ends the run ($fatal)": clocked("always @(posedge clk) begin assert (!(d && rst)) else $fatal; q <= d; end"),
    "what ends the run ($finish)": clocked("always @(posedge clk) begin if (d && rst) $finish; q <= d; end"),
    "w, a register of two states": clocked("bit w; always @(posedge clk) w <= d; always @(posedge clk) q <= w;"),
    "t is set by = and then read through a wire": clocked("reg t; wire w = ~t; always @(posedge clk) begin t = d; q <= w; end"),
    "u is set by = and then read through a wire": clocked("reg u; wire w = u == 0; always @(posedge clk) begin if (rst) u = 0; else if (d) u = ~u; if (w) q <= d; end"),
    "t is set by = in one clocked process": clocked("reg t; wire w = ~t; always @(posedge clk) t = d; always @(posedge clk) q <= w;"),
}  # fmt: skip


@pytest.mark.parametrize("why", ORDER)
def test_what_hangs_on_the_order_of_events_is_named(why: str) -> None:
    assert checks.hazard(ORDER[why], "m").startswith(why)


@pytest.mark.parametrize(
    "body",
    [
        "reg s; wire w = ~s & d; always @(posedge clk) s = w; always @* q = s;",
        "reg s; wire w = ~s & d; always @(posedge clk) if (rst) s = 0; else s = w; always @* q = s;",
        "reg s; wire w = ~s; always @(posedge clk) begin q <= w; s = d; end",
        "reg t; always @(posedge clk) begin t = d; q <= ~t; end",
    ],
)
def test_what_is_read_through_a_wire_before_it_is_set_is_let_through(body: str) -> None:
    assert checks.hazard(clocked(body), "m") == ""


def test_data_that_comes_a_step_late_beside_several_clocks_is_not_proven() -> None:
    """Both clocks may move in one instant; with one clock its data lie still at its edge."""
    two = "module m(input c, input k, input d, output reg q, output reg p); always @(posedge k) p <= d; {} endmodule"
    late = two.format("reg w; always @* w <= c; always @(posedge c) q <= w ^ p;")
    one = "module m(input c, input d, output reg q); {} endmodule"
    pairs = [
        (two.format("always @(posedge c) q <= c ^ p;"), late),
        (
            one.format("always @(posedge c) q <= ~d;"),
            one.format("reg w; always @* w <= ~d; always @(posedge c) q <= w;"),
        ),
    ]
    several, alone = run_all("equivalence_cases:prove_texts", pairs)
    assert isinstance(several, Proof) and isinstance(alone, Proof)
    assert several.outcome is ProofOutcome.UNSUPPORTED and "w" in several.detail, several
    assert alone.outcome is ProofOutcome.PROVEN, alone


def test_loops_and_parts_that_are_set_in_order_are_let_through() -> None:
    adder = "reg [4:0] c; integer i; always @* begin c[0] = 0; for (i = 0; i < 4; i = i + 1) {c[i+1], y[i]} = a[i] + b[i] + c[i]; end"
    assert checks.hazard(logic(adder), "m") == ""


def test_a_counterexample_without_registers_is_kept(tmp_path: Path) -> None:
    """The solver writes the registers' first values before the inputs, and no such line where there is no register."""
    (tmp_path / "trace.txt").write_text("0101\n# DONE\n")
    assert solver._trace(tmp_path / "trace.txt", has_state=False) == ("0101",)  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "trace.txt").write_text("0\n11\n01\n# DONE\n")
    assert solver._trace(tmp_path / "trace.txt", has_state=True) == ("11", "01")  # pyright: ignore[reportPrivateUsage]


def test_a_proof_that_another_seed_contradicts_is_open() -> None:
    """Two proofs, one of them made up: the adder is not the subtracter."""
    pairs = [
        (logic("always @* y = a + b;"), logic("always @* y = b + a;")),
        (logic("always @* y = a + b;"), logic("always @* y = a - b;")),
    ]
    said = Score(scorer="equivalence", value=1.0, verdict=Verdict.PASSED, detail="proven: so it says")
    found, results = recheck.recheck(items(pairs), [(said,), (said,)], num_workers=1, timeout_s=60)  # type: ignore[arg-type]
    assert results == {0: "confirmed", 1: "contradicted"}
    detail = "proven, confirmed (simulation and induction agree): so it says"
    assert found[0] == (said.model_copy(update={"detail": detail}),)
    assert (found[1][0].verdict, found[1][0].value) == (Verdict.UNDECIDED, None)
    assert found[1][0].detail.startswith("unknown: proven, but contradicted: simulated anew: ")


def test_what_of_a_proof_was_only_simulated_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = logic("always @* y = a + b;"), logic("always @* y = b + a;")
    monkeypatch.setattr(recheck, "induced", lambda _: "open")
    assert recheck.again(items([pair])[0]) == ("simulated", "")
    monkeypatch.setattr(recheck, "SEEDS", (*recheck.SEEDS, "4"))
    monkeypatch.setattr(recheck, "simulated", lambda _: (3, ""))
    assert recheck.again(items([pair])[0]) == ("open", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("always @(posedge clk) if (rst) q <= 0; else q <= q + 4'd1;", "proven"),
        ("always @(posedge clk) if (rst) q <= 0; else q <= q == 4'd12 ? 4'd0 : q + 4'd1;", "differs"),
        ("always @(negedge clk) if (rst) q <= 0; else q <= q + 4'd1;", "differs"),
        ("always @(posedge clk) q <= rst ? 4'd0 : q + 4'd1; wire [3:0] w; always @* if", "open"),
    ],
)
def test_the_second_opinion_is_yosys_own(body: str, said: str) -> None:
    head = "module m(input clk, input rst, output reg [3:0] q);\n"
    reference = head + "always @(posedge clk) if (rst) q <= 0; else q <= q + 1;\nendmodule\n"
    assert recheck.induced(ScoreItem(code=head + body + "\nendmodule\n", reference=reference, top="m")) == said


def test_proofs_of_the_generator_are_confirmed_by_the_second_opinion() -> None:
    """A sample of bundled problems, each reference against a copy with a wire more."""
    problems = load("synth-heldout", limit=12).problems
    pairs = [
        (p.reference or "", (p.reference or "").replace("endmodule", "wire more = 1'b0;\nendmodule", 1))
        for p in problems
    ]
    asked = [
        ScoreItem(code=mine, reference=theirs, top=p.top) for (theirs, mine), p in zip(pairs, problems, strict=True)
    ]
    taken = score_items(asked, ["equivalence"], effort=Effort(num_workers=2, timeout_s=60))
    _, results = recheck.recheck(asked, taken, num_workers=2, timeout_s=60)
    assert list(results.values()).count("confirmed") >= 9, results
    assert not {"contradicted", "open"} & set(results.values()), results


def test_a_counterexample_is_one_for_the_other_candidates_of_its_problem() -> None:
    """A rare input that a proof finds, behind a delay that stops the proof: told by the company, in any order, and never of a right design."""
    head = "module m(input [23:0] a, input [23:0] b, input [23:0] c, output reg [23:0] y);\n"
    rare = "(((a + b) ^ (c << 3)) == ((b ^ (a >> 7)) - c)) && a[0] && b[1] && !c[2] && a[20]"
    delayed = "wire [23:0] w; assign #1 w = a & b ^ c; always @*"
    reference = head + "always @* y = a & b ^ c;\nendmodule\n"
    found_out = f"{head}always @* if ({rare}) y = ~c; else y = a & b ^ c;\nendmodule\n"
    hidden, right = (
        f"{head}{delayed} if ({rare}) y = ~c; else y = w;\nendmodule\n",
        f"{head}{delayed} y = w;\nendmodule\n",
    )
    other = "module m(input a, output y);\nassign #1 y = ~a;\nendmodule\n"
    asked = [ScoreItem(code=code, reference=reference, top="m") for code in (hidden, right, found_out)]
    asked.append(ScoreItem(code=other, reference=other.replace("#1", ""), top="m"))
    said = [scores[0] for scores in score_items(asked, ["equivalence"], effort=Effort(num_workers=2, timeout_s=60))]
    assert [s.value for s in said] == [0.0, None, 0.0, None]
    assert (
        said[0].detail.startswith("refuted: by the counterexample of another candidate: ")
        and said[0].verdict is Verdict.WRONG_OUTPUT
    )
    assert said[0].counterexample == said[2].counterexample != "" == said[1].counterexample
    alone = [
        scores[0] for scores in score_items(asked[:2], ["equivalence"], effort=Effort(num_workers=2, timeout_s=60))
    ]
    assert [s.value for s in alone] == [None, None]
    kept = Score.model_validate_json(said[0].model_dump_json())
    assert kept == said[0] and "counterexample" not in json.loads(said[1].model_dump_json())


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [
        (
            "if (rst) q <= 0; else if (a == 0) q <= q + 1;",
            "if (rst) n <= 0; else n <= n + 1; if (rst) q <= 0; else if (a == 0) q <= q + (n < 14'd9_999);",
        ),
        (
            "if (rst) q <= 0; else if (a == 0) q <= q + 1;",
            "n <= n + rst; if (rst & n < 14'd900) q <= 0; else if (a == 0) q <= q + 1;",
        ),
    ],
)
def test_what_fails_late_is_seen_where_no_proof_speaks(reference: str, wrong: str) -> None:
    """A copy by ``<= #1`` stops the proof; the wrong ones count cycles, or resets."""
    head = "module m(input clk, input rst, input [3:0] a, output reg [3:0] q);\nreg [13:0] n = 0;\n"
    codes = [
        f"{head}always @(posedge clk) begin {body.replace('<= q', '<= #1 q')} end\nendmodule\n"
        for body in (reference, wrong)
    ]
    plain = f"{head}always @(posedge clk) begin {reference} end\nendmodule\n"
    said = [
        scores[0]
        for scores in score_items(
            [ScoreItem(code=c, reference=plain, top="m") for c in codes],
            ["equivalence"],
            effort=Effort(num_workers=2, timeout_s=60),
        )
    ]
    assert said[0].value is None and said[0].detail.startswith("unsupported: a delay"), said[0]
    assert said[1].value == 0 and said[1].detail.startswith("refuted: "), said[1]


def test_each_branch_of_a_reference_is_reached() -> None:
    """The keys of a lock stand in no text as they must be given: the third is the sum of what came before."""
    text = """module m(input clk, input rst, input [7:0] k, output reg [7:0] y); reg [1:0] s;
    always @(posedge clk) if (rst) begin s <= 0; y <= 1; end else begin y <= y + k;
    case (s) 0: s <= k == 8'h5a; 1: s <= k == 8'h13 ? 2 : 0; 2: s <= k == y + 17 ? 3 : 0; 3: begin y <= k ^ y; s <= 0; end endcase end
    endmodule"""
    found = cover.sequences(text, interface.read(text, "m"))
    keys = [cycle["k"] for cycle in found[0]]
    at = keys.index(0x13)
    assert keys[at - 1] == 0x5A and keys[at + 1] == (1 + sum(keys[1 : at + 1]) + 17) % 256, found
    assert {"clk"}.isdisjoint(found[0][0]) and found[0][0]["rst"] == 1


CLOCKED_HEAD = "module m(input clk, input rst, input ld, input d, input [15:0] h, output reg [3:0] q);\n"
RARE_WORD = "h * h == 16'h8e61 && h[7]"


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [
        (  # one edge before the first reset leaves something behind
            "always @(posedge clk) if (rst) q <= 0; else q <= {q[2:0], d};",
            "reg f = 1, b = 0; always @(posedge clk) begin f <= 0; if (f && !rst) b <= 1; if (rst) q <= 0; else q <= {q[2:0], d ^ b}; end",
        ),
        (  # an if on an X takes the other branch, an & of it is X
            f"reg s; always @(posedge clk) if (ld) s <= d; always @* if (s && {RARE_WORD}) q = 1; else q = 0;",
            f"reg s; always @(posedge clk) if (ld) s <= d; always @* q = s & ({RARE_WORD});",
        ),
        (  # a type without X
            f"reg s; always @(posedge clk) if (ld) s <= d; always @* q = (s | ({RARE_WORD})) & {{4{{{RARE_WORD}}}}};",
            f"reg s; bit t; always @(posedge clk) if (ld) s <= d; always @* t = s; always @* q = (t | ({RARE_WORD})) & {{4{{{RARE_WORD}}}}};",
        ),
        (  # casex takes an X for anything
            f"reg s; always @(posedge clk) if (ld) s <= d; always @* if ({RARE_WORD}) casex (s) 1'b1: q = 1; default: q = 0; endcase else q = 2;",
            f"reg s; always @(posedge clk) if (ld) s <= d; always @* if ({RARE_WORD}) case (s) 1'b1: q = 1; default: q = 0; endcase else q = 2;",
        ),
    ],
)
def test_what_an_x_or_a_late_reset_hides_is_not_proven(reference: str, wrong: str) -> None:
    """Each differs in a plain simulation, behind a rare word or before the first reset; the reference against itself stays proven, where it may."""
    asked = [f"{CLOCKED_HEAD}{body}\nendmodule\n" for body in (reference, wrong)]
    assert prove_pair(asked[0], asked[1]).outcome is not ProofOutcome.PROVEN
    assert (
        prove_pair(asked[0], asked[0].replace("endmodule", "wire more = d;\nendmodule")).outcome is ProofOutcome.PROVEN
        or "casex" in reference
    )


def test_the_proof_of_one_value_of_a_parameter_is_none() -> None:
    reference = "module m #(parameter W = 4)(input [W-1:0] a, output [W-1:0] y);\nassign y = ~a;\nendmodule\n"
    wrong = reference.replace("~a", "W == 13 ? a : ~a")
    assert [prove_pair(reference, text).outcome for text in (wrong, reference.replace("~a", "a ^ {W{1'b1}}"))] == [
        ProofOutcome.UNSUPPORTED
    ] * 2
    assert prove_pair(reference, reference.replace("~a", "a")).trace is not None


def prove_pair(reference: str, candidate: str) -> Proof:
    mine, theirs = (gate.examine(text, "m") for text in (reference, candidate))
    assert isinstance(mine, gate.Design) and isinstance(theirs, gate.Design)
    return proof.prove(mine, theirs)
