"""What drives an output, found in the text; and the scorer that says which outputs are right."""

import json
from pathlib import Path

import pytest

from itertl.config import ScoreConfig, TrainConfig
from itertl.errors import RecipeError
from itertl.records import Score, Signal, Verdict
from itertl.scoring import signals
from itertl.scoring.combine import combine
from itertl.scoring.drivers import slices
from itertl.scoring.item import ScoreItem
from itertl.scoring.score_file import read_scored
from itertl.scoring.score_lines import interpret
from itertl.training.methods import resolve_method, with_signals

HEAD = "module m(input clk, input a, b, input [1:0] s, output reg y, output z, output [3:0] g);\n"


def driving(body: str, output: str, head: str = HEAD, top: str = "m") -> list[str] | None:
    code = f"{head}{body}\nendmodule\n"
    found = slices(code, top)[output]
    return None if found is None else [code[start:end] for start, end in found]


@pytest.mark.parametrize(("body", "output", "expected"), [
    ("wire t = a & b; // drives y's z\nassign z = t;\nalways @(posedge clk) y <= a;", "z",
     ["wire t = a & b;", "assign z = t;"]),
    ("assign z = a, g[0] = b;", "g", ["g[0] = b"]),
    ("always @(posedge clk) begin\nif (a) y <= 1;\nelse if (b) y <= q; else r <= 0;\nend\nreg r, q;", "y",
     ["always", "@(posedge clk)", "if (a)", "y <= 1;", "else", "if (b)", "y <= q;"]),
    ("always @* case (s)\n2'd0, 2'd1: y = a;\n2'd2: r = b;\ndefault: y = r;\nendcase", "y",
     ["always", "@*", "case (s)", "2'd0, 2'd1:", "y = a;", "2'd2:", "r = b;", "default:", "y = r;"]),
    ("function f(input x); f = x ^ k; endfunction\nlocalparam k = 1, j = 2;\nassign z = f(a), g = b;", "z",
     ["function f(input x); f = x ^ k; endfunction", "k = 1", "z = f(a)"]),
    ("task t(input x, output o); o = ~x; endtask\nreg r;\nalways @* t(a, r);\nassign z = r;\nassign g = b;", "z",
     ["task t(input x, output o); o = ~x; endtask", "always", "@*", "t(a, r);", "assign z = r;"]),
    ("genvar i;\nfor (i = 0; i < 4; i = i + 1) begin : k\nwire w = s[0];\nassign g[i] = w;\nend", "g",
     ["for (i = 0; i < 4; i = i + 1)", "wire w = s[0];", "assign g[i] = w;"]),
    ("and (z, a, t), (u, a, b);\nnot n(t, v, b);", "z", ["(z, a, t)", "not n(t, v, b);"]),
    ("reg [1:0] c = 0;\nalways @(posedge clk) c <= c + 1;\nassign z = g2[c];\nassign g = b;\nwire [3:0] g2 = s;", "z",
     ["reg [1:0] c = 0;", "always", "@(posedge clk)", "c <= c + 1;", "assign z = g2[c];", "wire [3:0] g2 = s;"]),
    ("/* überall */ assign z = a; // größer\nassign g = 4'b0;", "g", ["assign g = 4'b0;"]),
    ("assign z = 1'b0;\nassign g = 4'd1;\nwire b0 = a, d1 = b;", "g", ["assign g = 4'd1;"]),
    ("assign z = a;", "g", None),  # nothing drives it
    ("assign z = u.q, g = a;\nsub u(.q(y));\nendmodule\nmodule sub(output q); assign q = 0;", "g", None),
    ("sub u(.*);\nendmodule\nmodule sub(output z); assign z = 0;", "z", None),
    ("`define T a\nassign z = `T;", "z", None),
    ("assign \\z = a;\nassign g = \\z ;", "g", None),
    ("always @(posedge clk) begin wait (a); y <= 1; end\nassign z = a;", "z", None),
])  # fmt: skip
def test_what_drives_an_output(body: str, output: str, expected: list[str] | None) -> None:
    assert driving(body, output) == expected


def test_drivers_are_followed_through_instances_by_their_ports() -> None:
    """What a submodule makes of its inputs counts, and no other output of it, nor another instance's connections."""
    body = "wire t = a, u = b;\nsub one(.i(t), .j(u), .p(z), .q());\nsub two(u, t, , w);\nwire w;\nendmodule\n"
    body += "module sub(i, j, p, q);\ninput i, j;\noutput p, q;\nassign p = ~i;\nassign q = j;"
    found = driving(body, "z")
    assert found == ["t = a", "u = b", "sub one(.i(t), .j(u), .p(z), .q());", "sub two(u, t, , w);", "assign p = ~i;"]
    assert slices("module m(input a, output y); assign y = ;", "m") == slices("module n; endmodule", "m") == {}


REFERENCE = HEAD + "always @(posedge clk) y <= a;\nassign z = a & b;\nassign g = {s, s};\nendmodule\n"
WRONG = REFERENCE.replace("a & b", "a | b").replace("{s, s}", "{2'b0, s}")


def scored(code: str, reference: str | None = REFERENCE) -> Score:
    return signals.score(ScoreItem(code, "", reference, "m"))


def test_the_scorer_says_which_outputs_are_right_and_where_they_are_made() -> None:
    found = scored(WRONG)
    assert (found.value, found.verdict, found.detail) == (pytest.approx(1 / 3), Verdict.SCORED, "wrong: z, g")
    assert [(s.output, s.is_right) for s in found.signals] == [("y", True), ("z", False), ("g", False)]
    texts = [[WRONG[slice(*at)] for at in s.spans or ()] for s in found.signals]
    assert texts == [["always", "@(posedge clk)", "y <= a;"], ["assign z = a | b;"], ["assign g = {2'b0, s};"]]
    assert [REFERENCE[slice(*at)] for at in found.signals[2].reference_spans or ()] == ["assign g = {s, s};"]
    right = scored(REFERENCE)
    assert right.value == 1 and all(s.is_right and s.spans == s.reference_spans for s in right.signals)


def test_a_text_that_does_not_run_has_no_output_right_and_no_slice() -> None:
    found = scored(WRONG.replace("assign z", "assign"))
    assert (found.value, found.verdict) == (0.0, Verdict.SYNTAX_ERROR)
    assert [(s.is_right, s.spans) for s in found.signals] == [(False, None)] * 3
    assert found.signals[1].reference_spans is not None
    for reference in (None, "module m("):
        open_ = scored(WRONG, reference)
        assert open_.value is None and open_.verdict is Verdict.UNJUDGEABLE and not open_.signals


def test_signals_survive_a_file_of_scores_and_cost_other_scores_no_bytes(tmp_path: Path) -> None:
    found = scored(WRONG)
    assert Score.model_validate_json(found.model_dump_json()) == found
    assert "signals" not in Score(scorer="syntax", value=1.0, verdict=Verdict.PASSED).model_dump_json()
    source = Path(tmp_path, "c.jsonl")
    row = {"reference": REFERENCE, "completion": WRONG, "top": "m"}
    line = interpret(row, "line 1", ("signals",), dict)
    kept = json.loads(json.dumps(line.write(row, [(found,)], None)))["scores"]["signals"]["signals"]
    assert tuple(Signal.model_validate(one) for one in kept) == found.signals
    old = '{"schema": "itertl.scored/1", "candidate": {"schema": "itertl.candidate/1", "problem_id": "p", "index": 0, '
    old += '"policy": "m", "settings": {}, "seed": 1, "text": "", "code": "", "finish_reason": "stop", '
    old += '"prompt_tokens": 1, "completion_tokens": 1}, "scores": [{"scorer": "vectors", "value": 0.5, '
    old += '"verdict": "wrong_output"}]}\n'
    source.write_text(old.replace('"schema": "itertl.candidate/1", ', ""))
    assert read_scored(source)[0].scores[0].signals == ()


def test_credit_by_signal_takes_the_scorer_beside_vectors_and_leaves_z_alone() -> None:
    method = resolve_method("itertl", TrainConfig(credit="signal"))
    taken = Score(scorer="vectors", value=0.5, verdict=Verdict.WRONG_OUTPUT)
    more = Score(scorer="signals", value=0.9, verdict=Verdict.SCORED)
    rtlcoder = Score(scorer="rtlcoder", value=0.25, verdict=Verdict.SCORED)
    for given in (
        ScoreConfig(scorers=("rtlcoder", "vectors")),
        ScoreConfig(scorers=("vectors",), combine="ladder", ladder={"vectors": 1.0}),
        ScoreConfig(scorers=("rtlcoder", "vectors"), combine="rltf"),
    ):
        wanted = with_signals(method, given)
        assert set(wanted.scorers) == {*given.scorers, "signals"} and with_signals(method, wanted) == wanted
        assert combine([rtlcoder, more, taken], wanted) == combine([rtlcoder, taken], given)
        assert with_signals(resolve_method("itertl", TrainConfig()), given) == given
    with pytest.raises(RecipeError, match=r"train\.credit: signal .*\['rtlcoder'\].*score\.ladder.*score\.scorers"):
        with_signals(method, ScoreConfig())
    for name, options, key in (
        ("grpo", {}, "credit"), ("brio", {}, "credit"), ("sft", {}, "credit"), ("itertl-softmax", {}, "softmax"),
        ("itertl", {"length_normalizer": "sequence"}, "length_normalizer"),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=rf"train\.{key}"):
            resolve_method(name, TrainConfig.model_validate({"credit": "signal", **options}))
