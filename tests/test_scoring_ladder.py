"""A ladder: rungs are taken one above the other, of each candidate no further than it climbs; the lowest of them."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from itertl import faults
from itertl.config import ScoreConfig, build_recipe, load_recipe
from itertl.errors import RecipeError
from itertl.loop.telemetry import rung_counts, share_missed, share_surrogate_wrong
from itertl.records import Candidate, Problem, SamplingSettings, Score, Scored, Verdict
from itertl.sandbox.bounds import Bound
from itertl.scoring import synthesis
from itertl.scoring import text_checks as first_rungs
from itertl.scoring.candidates import score_candidates
from itertl.scoring.combine import climb
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem

RUNGS = ["scoring_hooks:rung_0", "scoring_hooks:rung_1", "scoring_hooks:rung_2"]


def items_of(codes: list[str], calls: Path) -> list[ScoreItem]:
    return [ScoreItem(code, header=str(calls)) for code in codes]


# ---- laziness


def test_a_rung_is_taken_only_where_the_one_below_is_held(tmp_path: Path) -> None:
    """All 27 ways that three rungs can go, each twice: every question is asked once, and none above the first
    failure."""
    codes = [" ".join(values) for values in itertools.product(["0", "0.5", "1"], repeat=3)] * 2
    done: list[int] = []
    found = score_items(
        items_of(codes, tmp_path / "calls"), RUNGS, rungs=RUNGS, on_done=done.append, effort=Effort(num_workers=2)
    )
    expected: Counter[str] = Counter()
    for code, row in zip(codes, found, strict=True):
        values = [float(v) for v in code.split()]
        reach = next((n for n, value in enumerate(values) if value < 1), 2) + 1
        assert [s.value for s in row] == values[:reach]
        assert [s.scorer for s in row] == RUNGS[:reach]
        expected.update({f"{n} {code}": 1 for n in range(reach)})
    assert Counter((tmp_path / "calls").read_text().splitlines()) == dict.fromkeys(expected, 1)
    assert sum(done) == len(codes)


def test_scorers_beside_the_ladder_are_taken_of_all(tmp_path: Path) -> None:
    names = [RUNGS[1], "scoring_hooks:length", RUNGS[0]]
    found = score_items(
        items_of(["0 1", "1 0.25"], tmp_path / "calls"), names, rungs=[RUNGS[0], RUNGS[1]], effort=Effort(num_workers=1)
    )
    assert [[s.scorer for s in row] for row in found] == [["scoring_hooks:length", RUNGS[0]], names]


def test_a_killed_climb_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [" ".join(values) for values in itertools.product(["0.5", "1"], repeat=3)]
    whole = score_items(items_of(codes, tmp_path / "calls"), RUNGS, rungs=RUNGS, effort=Effort(num_workers=1))
    (tmp_path / "calls").unlink()
    log = tmp_path / "log"
    for after in (3, 5, 4):

        class Stop(Exception):
            pass

        left = [after]

        def point(name: str, left: list[int] = left, stop: type[Exception] = Stop) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise stop

        monkeypatch.setattr(faults, "point", point)
        with pytest.raises(Stop):
            score_items(items_of(codes, tmp_path / "calls"), RUNGS, rungs=RUNGS, log=log, effort=Effort(num_workers=1))
    monkeypatch.setattr(faults, "point", lambda name: None)
    assert (
        score_items(items_of(codes, tmp_path / "calls"), RUNGS, rungs=RUNGS, log=log, effort=Effort(num_workers=1))
        == whole
    )
    most = Counter((tmp_path / "calls").read_text().splitlines()).most_common()
    assert sum(count - 1 for _, count in most) <= 3  # a kill may lose the one answer that was not yet written


def test_what_is_left_of_the_bound_ends_a_rung(tmp_path: Path) -> None:
    [slow, quick] = score_items(
        items_of(["-1 -2 1", "1 1 1"], tmp_path / "calls"),
        RUNGS,
        rungs=RUNGS,
        effort=Effort(bound=Bound(1.5), num_workers=1),
    )
    assert [s.value for s in quick] == [1, 1, 1]
    assert [(s.value, s.verdict) for s in slow] == [(1, Verdict.SCORED), (None, Verdict.UNDECIDED)]
    assert slow[1].detail.startswith("no answer within 0.")


# ---- heights


def scores(**values: float | Verdict | None) -> list[Score]:
    """A verdict stands for a score without a value."""
    return [
        Score(scorer=n, value=None, verdict=v)
        if isinstance(v, Verdict)
        else Score(scorer=n, value=v, verdict=Verdict.SCORED)
        for n, v in values.items()
    ]


CONFIG = ScoreConfig(
    scorers=("a", "b", "c"), combine="ladder", ladder={"a": 0.2, "b": (0.6, 0.8), "c": 1.0}, optional=("c",)
)


@pytest.mark.parametrize(
    ("given", "z", "held"),
    [
        (scores(a=0.5), 0.1, ""),
        (scores(a=1.0, b=0.0), 0.2, "a"),
        (scores(a=1.0, b=0.5), 0.4, "a"),  # half of the way from 0.2 to 0.6
        (scores(a=1.0, b=1.0, c=0.0), 0.8, "b"),
        (scores(a=1.0, b=1.0, c=0.5), 0.9, "b"),
        (scores(a=1.0, b=1.0, c=1.0), 1.0, "c"),
        (scores(a=1.0, b=1.0, c=Verdict.UNDECIDED), 0.8, "b"),  # an optional rung may stay open
        (scores(a=1.0, b=1.0, c=Verdict.UNJUDGEABLE), 0.8, "b"),
        (scores(a=1.0, b=1.0, c=Verdict.TOOL_FAILED), None, "b"),
        (scores(a=1.0, b=Verdict.UNDECIDED), None, "a"),
        (scores(a=Verdict.UNJUDGEABLE), None, ""),
    ],
)
def test_heights_by_hand(given: list[Score], z: float | None, held: str) -> None:
    found = climb(given, CONFIG)
    assert found.held == held
    assert found.z == (None if z is None else pytest.approx(z))


def test_a_needed_rung_that_was_not_scored_is_named() -> None:
    with pytest.raises(RecipeError, match="'b'"):
        climb(scores(a=1.0, c=1.0), CONFIG)


@pytest.mark.parametrize("rung", [(0.1, 0.8), (0.9, 0.8), (0.6, 0.2), (0.5, float("nan"))])
def test_heights_must_rise(rung: tuple[float, float], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"ladder": {"a": 0.2, "b": rung, "c": 1.0}})
    with pytest.raises(RecipeError, match=r"score\.ladder\.b"):
        score_candidates([], {}, config=config, out=tmp_path / "s.jsonl")


def test_heights_are_read_from_yaml(repository: Path) -> None:
    recipe = load_recipe(repository / "recipes" / "itertl-function.yaml")
    assert recipe.score.ladder["vectors"] == (0.6, 0.85)
    build_recipe(recipe.model_dump(mode="json"))


# ---- the lowest rungs, on real tools

HEADER = "module m(input clk, input [3:0] a, output reg [3:0] q, output p);\n"
REFERENCE = HEADER + "always @(posedge clk) q <= q + a;\nassign p = ^a;\nendmodule\n"


@pytest.mark.parametrize(
    ("body", "gate", "text", "synthesis_value", "detail"),
    [
        ("always @(posedge clk) q <= a;\nassign p = a[0];\nendmodule", 1, 1, 1, ""),
        ("endmodule", 1, 1, 0, "nothing drives p, q"),
        ("assign p = a[0];\nendmodule", 1, 1, 0, "nothing drives q"),
        ("assign p = 0;\nalways @* q = 4'd3;\nendmodule", 1, 1, 0.5, "every output is a constant"),
        ("assign p = a[0] & 1'b0;\nalways @(posedge clk) q <= 0;\nendmodule", 1, 1, 0.5, "every output is a constant"),
        ("initial $exit;\nassign p = a;\nendmodule", 0.5, 1, 0, "system-task"),
        ("always @(posedge clk) q <= ;\nendmodule", 1, None, 0, "expression"),
        ("other u(a);\nendmodule", 1, 1, 0, "unknown module"),
        ("always @(posedge clk or a) q <= a;\nassign p = a[0];\nendmodule", 1, 1, 0, "non-synthesizable"),
        ("always @* q = a inside {1, [2:3]};\nassign p = a[0];\nendmodule", 1, 1, 1, ""),
        ("always @* begin q = a; while (q > 3) q = q - 1; end\nassign p = a[0];\nendmodule", 1, 1, None, "loops"),
    ],
)
def test_low_rungs(body: str, gate: float, text: float | None, synthesis_value: float | None, detail: str) -> None:
    item = ScoreItem(HEADER + body, HEADER, REFERENCE, "m")
    assert first_rungs.gate(item).value == gate
    found = first_rungs.text(item)
    assert found.value == text if text is not None else (found.value is not None and 0.5 < found.value < 1)
    made = synthesis.score(item)
    assert made.value == synthesis_value and detail in made.detail
    assert (made.verdict is Verdict.UNDECIDED) == (synthesis_value is None)


def test_an_output_that_the_reference_leaves_open_or_constant_may_be_so() -> None:
    fixed = "module m(input a, output y, output z);\nassign y = 1'b1;\nendmodule\n"
    assert synthesis.score(ScoreItem(fixed, "", fixed, "m")).value == 1
    assert synthesis.score(ScoreItem(fixed.replace("1'b1", "1'b0"), "", fixed, "m")).value == 1


def test_text_without_code_is_below_code() -> None:
    assert first_rungs.gate(ScoreItem("", "", REFERENCE, "m")).verdict is Verdict.NO_CODE
    assert first_rungs.text(ScoreItem("just prose", "", REFERENCE, "m")).verdict is Verdict.NO_CODE


# ---- what a run watches


def scored(problem: Problem, index: int, *taken: Score) -> Scored:
    candidate = Candidate(
        problem_id=problem.id, index=index, policy="p", settings=SamplingSettings(), seed=0, text="", code="",
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    return Scored(candidate=candidate, scores=tuple(taken))


def test_the_watch_by_hand() -> None:
    """Four candidates that the paper's score calls perfect or not, and function right, wrong, or without a say."""
    problem = Problem.create(instruction="i", reference="r", source="s")
    rows = [
        scored(problem, 0, *scores(rtlcoder=1.0, syntax=1.0, vectors=1.0)),
        scored(problem, 1, *scores(rtlcoder=1.0, syntax=1.0, vectors=0.5)),
        scored(problem, 2, *scores(rtlcoder=1.0, syntax=0.0)),  # wrong without being run
        scored(problem, 3, *scores(rtlcoder=1.0, syntax=1.0, vectors=Verdict.UNJUDGEABLE)),
        scored(problem, 4, *scores(rtlcoder=0.3, syntax=0.0)),
    ]
    assert share_surrogate_wrong(rows) == pytest.approx(2 / 3)
    z = [1.0, 0.6, 0.0, None, 0.0]
    # ordered by z with beta 0.2: 1<0, 2<0, 4<0, 2<1, 4<1; the paper's score orders those with row 4 alone
    assert share_missed([list(zip(rows, z, strict=True))], 0.2) == pytest.approx(3 / 5)
    config = ScoreConfig(
        scorers=("rtlcoder", "syntax", "vectors"), combine="ladder", ladder={"syntax": 0.5, "vectors": 1.0}
    )
    assert rung_counts(rows, config) == {"": 2, "syntax": 2, "vectors": 1}


@pytest.mark.parametrize(("rung", "z"), [((0.6, 0.8), 0.6), (0.8, 0.2)])
def test_a_confirmed_counterexample_costs_what_vectors_gave(rung: float | tuple[float, float], z: float) -> None:
    """1 of vectors would be 0.8; a refutation falls to what a value just under 1 reaches there, or to the rung
    before."""
    config = ScoreConfig(
        scorers=("a", "vectors", "equivalence"), combine="ladder", optional=("equivalence",),
        ladder={"a": 0.2, "vectors": rung, "equivalence": 1.0},
    )  # fmt: skip
    below = [Score(scorer=name, value=1.0, verdict=Verdict.PASSED) for name in ("a", "vectors")]
    refuted = climb([*below, Score(scorer="equivalence", value=0.0, verdict=Verdict.WRONG_OUTPUT)], config)
    undecided = climb([*below, Score(scorer="equivalence", value=None, verdict=Verdict.UNDECIDED)], config)
    wrong = climb([below[0], Score(scorer="vectors", value=0.0, verdict=Verdict.WRONG_OUTPUT)], config)
    assert (refuted.z, refuted.held) == (pytest.approx(z), "a")
    assert (undecided.z, wrong.z) == (pytest.approx(0.8), pytest.approx(0.2))
