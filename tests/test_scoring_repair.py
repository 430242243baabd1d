"""``repair``: one token from a text that compiles. Real tools on small designs; the floor that it gives z."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import ScoreConfig, load_recipe
from itertl.errors import RecipeError
from itertl.records import Score, Verdict
from itertl.scoring import repair
from itertl.scoring.combine import check_combination, combine, heights
from itertl.scoring.item import ScoreItem
from itertl.verilog import text as verilog_text

TEXT = """module adder(input clk, input [3:0] a, input [3:0] b, output reg [4:0] sum, output odd);
  wire [4:0] next;
  integer n;
  assign next = a + b; // größer
  always @(posedge clk) begin
    case (b)
      4'd0: sum <= a;
      default: sum <= next;
    endcase
  end
  assign odd = sum[0];
endmodule
"""


def take(code: str) -> Score:
    return repair.score(ScoreItem(code, "", TEXT, "adder"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("a + b;", "a + b", "';' put in at line 4"),
        ("4'd0: sum <= a;", "4'd0: sum <= a", "';' put in"),
        ("    endcase\n", "", "'endcase' put in"),
        ("    endcase\n  end\n", "    endcase\n", "'end' put in"),
        ("endcase\n", "endcase\n end\n", "'end' left out"),
        ("endmodule\n", "", "'endmodule' put in"),
        ("posedge clk)", "posedge clk", "')' put in"),
        ("a, input", "a input", "',' put in"),
        ("odd);", "odd)", "';' put in at line 1"),
        ("assign odd", "asign odd", "'asign' called 'assign'"),
        ("endmodule", "endmodul", "'endmodule' in place of 'endmodul'"),
        ("assign odd = sum", "assign odd = smu", "'smu' called 'sum'"),
        ("output reg", "output", "sum made variables"),
        (
            "  wire [4:0] next;\n  integer n;\n  assign next",
            "  integer n;\n  always @* next",
            "next;' put in at line 1",
        ),
        ("module adder", "module add", "'add' called 'adder'"),
        ("output odd", "output is_odd", "'odd'"),
        ("reg [4:0] sum", "reg [5:0] sum", "5 bits for 'sum'"),
        ("input [3:0] b", "input b", "4 bits for 'b'"),
    ],
)
def test_one_token_from_right(old: str, new: str, what: str) -> None:
    found = take(TEXT.replace(old, new, 1).replace("odd = sum", "is_odd = sum" if "is_odd" in new else "odd = sum"))
    assert (found.value, found.verdict) == (1.0, Verdict.SCORED)
    assert what in found.detail


def test_a_fixed_text_is_worth_what_its_outputs_are() -> None:
    found = take(TEXT.replace("a + b;", "a").replace("assign odd = sum[0];", "assign odd = 0;"))
    assert found.value is not None and 0 < found.value < 0.5


def test_a_variable_of_ports_that_are_names_alone() -> None:
    reference = "module m(input clk, input a, output reg x, output reg y); always @(posedge clk) begin x <= a; y <= ~a; end endmodule"
    code = "module m(clk, a, x, y);\ninput clk, a;\noutput x, y;\nreg x;\nalways @(posedge clk) begin x <= a; y <= ~a; end\nendmodule"
    found = repair.score(ScoreItem(code, "", reference, "m"))
    assert found.value == 1.0 and "'reg  y;' put in at line 3" in found.detail


def test_each_token_more_that_the_parser_asks_for_halves_the_value() -> None:
    code = TEXT.replace("a + b;", "a + b").replace("sum <= a;", "sum <= a")
    assert take(code).value == 0.5
    assert take(code.replace("odd);", "odd)")).value == 0.25
    assert take(code.replace("odd);", "odd)").replace("sum[0];", "sum[0]")).value == 0


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (TEXT, Verdict.SCORED),  # nothing to mend
        ("", Verdict.NO_CODE),
        ("an adder of a and b, registered", Verdict.NO_CODE),
        (TEXT.replace("a + b;", "a + * b;").replace("endcase", ""), Verdict.SYNTAX_ERROR),  # two mistakes
        (
            TEXT.replace("a + b;", "a + b").replace("endmodule", "initial $fdisplay(1, n); endmodule"),
            Verdict.SCORED,
        ),  # gamed, once it is fixed
        (TEXT.replace("a + b;", "a + b") + "//" + " " * repair.MAX_CHARS, Verdict.SYNTAX_ERROR),
    ],
)
def test_what_is_worth_nothing(code: str, verdict: Verdict) -> None:
    found = take(code)
    assert (found.value, found.verdict) == (0.0, verdict), found.detail


def test_without_a_reference_there_is_nothing_to_say() -> None:
    assert repair.score(ScoreItem("module m(", "", None, "m")).verdict is Verdict.UNJUDGEABLE
    assert repair.score(ScoreItem("module m(", "", "module m(", "m")).verdict is Verdict.UNJUDGEABLE


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(verilog_text.tokenize(TEXT)) - 1), st.sampled_from(["", "begin", ";", "é"]))
def test_a_token_changed_is_looked_at_in_bounded_time_and_the_same_way(number: int, new: str) -> None:
    token = verilog_text.tokenize(TEXT)[number]
    code = f"{TEXT[: token.start]} {new} {TEXT[token.end :]}"
    asked = repair.ports_of(TEXT, "adder")
    assert asked is not None
    repair.ports_of.cache_clear()
    first = list(repair.fixes(code, "adder", asked))
    assert len(first) <= repair.TRIES and repair.ports_of.cache_info().misses <= repair.CHECKS + 2
    assert list(repair.fixes(code, "adder", asked)) == first
    assert all(repair.ports_of(mend.text, "adder") == asked for mend in first)


CONFIG = ScoreConfig(
    scorers=("gate", "vectors", "repair"),
    combine="ladder",
    ladder={"gate": 0.2, "vectors": (0.6, 0.8)},
    floor={"repair": (0.3, 0.5)},
)


@pytest.mark.parametrize(
    ("gate", "fixed", "z"),
    [
        (0.5, 0.0, 0.1),
        (0.5, 0.01, 0.302),
        (0.5, 0.5, 0.4),
        (0.5, 1.0, 0.5),
        (1.0, 1.0, 0.5),
        (0.5, Verdict.UNDECIDED, 0.1),
        (0.5, Verdict.TOOL_FAILED, None),
    ],
)
def test_a_floor_by_hand(gate: float, fixed: float | Verdict, z: float | None) -> None:
    """Heights over the top of 0.8: 0.302 means (0.3 + 0.01·0.2) / 0.8."""
    scores = [
        Score(scorer="gate", value=gate, verdict=Verdict.SCORED),
        Score(scorer="vectors", value=0.0, verdict=Verdict.WRONG_OUTPUT),
    ]
    is_open = isinstance(fixed, Verdict)
    scores.append(
        Score(scorer="repair", value=None if is_open else fixed, verdict=fixed if is_open else Verdict.SCORED)
    )
    assert combine(scores, CONFIG) == (None if z is None else pytest.approx(z / 0.8))
    with pytest.raises(RecipeError, match="'repair'"):
        combine(scores[:2], CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"floor": {"repair": (0.5, 0.3)}}, r"score\.floor\.repair"),
        ({"floor": {"repair": (0.5, 0.9)}}, r"ladder's top"),
        ({"floor": {"gate": (0.1, 0.3)}}, "rung of score.ladder"),
        ({"floor": {"text": (0.1, 0.3)}}, "'text'"),
        ({"combine": "weights", "ladder": {}}, "score.floor is for a ladder"),
    ],
)
def test_a_floor_that_cannot_hold_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_combination(CONFIG.model_copy(update=change))


def test_the_recipes_floor_stands_between_wrong_and_right(repository: Path) -> None:
    config = load_recipe(repository / "recipes" / "itertl-function.yaml").score
    low, high = config.floor["repair"]
    stub, passing = heights(config.ladder["syntax"])[1], heights(config.ladder["vectors"])[1]
    assert stub <= low < high < passing - 0.2
