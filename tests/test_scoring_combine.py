"""z from several scores: by hand, and against a naive climb."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import ScoreConfig
from itertl.errors import RecipeError
from itertl.records import Score, Verdict
from itertl.scoring.combine import check_combination, combine


def scores(**values: float | None) -> list[Score]:
    """Scores by name; None is a fault of ours."""
    return [
        Score(scorer=name, value=value, verdict=Verdict.TOOL_FAILED if value is None else Verdict.SCORED)
        for name, value in values.items()
    ]


def config(**fields: object) -> ScoreConfig:
    return ScoreConfig.model_validate({"scorers": ("a", "b", "c"), **fields})


def test_weights_by_hand() -> None:
    """(2·0.5 + 1·1) / 3; without weights the plain mean."""
    weighted = config(weights={"a": 2.0, "b": 1.0})
    assert combine(scores(a=0.5, b=1.0, c=None), weighted) == pytest.approx(2 / 3)
    assert combine(scores(a=0.5, b=1.0, c=0.0), config()) == 0.5


def test_weights_need_every_score_that_has_a_weight() -> None:
    assert combine(scores(a=1.0, b=None, c=1.0), config()) is None
    assert combine(scores(a=1.0, b=None, c=1.0), config(weights={"a": 1.0, "b": 0.0})) == 1.0


LADDER = {"a": 1.0, "b": 3.0, "c": 4.0}


@pytest.mark.parametrize(
    ("a", "b", "c", "z"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.5, 1.0, 1.0, 0.125),  # half of the way to the first of four
        (1.0, 0.0, 1.0, 0.25),
        (1.0, 0.5, 1.0, 0.5),  # 1 + 0.5·(3 - 1) = 2 of 4
        (1.0, 1.0, 0.4, 0.85),
        (1.0, 1.0, 1.0, 1.0),
        (1.0, 0.5, None, 0.5),  # a rung above the first that is not held is not needed
        (1.0, None, 1.0, None),
        (None, 1.0, 1.0, None),
    ],
)
def test_ladder_by_hand(a: float | None, b: float | None, c: float | None, z: float | None) -> None:
    found = combine(scores(c=c, b=b, a=a), config(combine="ladder", ladder=LADDER))
    assert found == (None if z is None else pytest.approx(z))


unit = st.floats(0, 1)


@settings(deadline=None)
@given(unit, unit, unit, st.lists(st.floats(0.01, 100), min_size=3, max_size=3, unique=True))
def test_ladder_is_the_naive_climb_and_monotone(a: float, b: float, c: float, heights: list[float]) -> None:
    low, mid, high = sorted(heights)
    ladder = config(combine="ladder", ladder={"a": low, "b": mid, "c": high})
    if a < 1:
        expected = a * low
    elif b < 1:
        expected = low + b * (mid - low)
    else:
        expected = mid + c * (high - mid)
    z = combine(scores(a=a, b=b, c=c), ladder)
    assert z == pytest.approx(expected / high)
    assert z is not None and 0 <= z <= 1
    better = combine(scores(a=min(1.0, a + 0.1), b=b, c=c), ladder)
    assert better is not None and better >= z - 1e-12


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scorers": ()}, "score.scorers is empty"),
        ({"combine": "ladder"}, "score.ladder is empty"),
        ({"combine": "ladder", "ladder": {"a": 2.0, "b": 1.0}}, "score.ladder.b"),
        ({"combine": "ladder", "ladder": {"a": 0.0, "b": 1.0}}, "score.ladder.a"),
        ({"weights": {"a": -1.0}}, "score.weights.a"),
        ({"weights": {"a": 0.0, "b": 0.0}}, "all 0"),
        ({"weights": {"d": 1.0}}, "'d'"),
        ({"combine": "ladder", "ladder": {"d": 1.0}}, "'d'"),
    ],
)
def test_a_combination_that_makes_no_z_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_combination(config(**fields))


def test_a_climb_goes_on_above_hardware_that_yosys_cannot_make() -> None:
    ladder = ScoreConfig(
        scorers=("syntax", "synthesis", "vectors"),
        combine="ladder",
        ladder={"syntax": 0.3, "synthesis": 0.4, "vectors": (0.6, 1.0)},
    )

    def z(vectors: float | None, verdict: Verdict = Verdict.UNDECIDED) -> float | None:
        some = [
            Score(scorer="syntax", value=1.0, verdict=Verdict.PASSED),
            Score(scorer="synthesis", value=None, verdict=verdict),
        ]
        return combine(
            [
                *some,
                Score(
                    scorer="vectors",
                    value=vectors,
                    verdict=Verdict.SCORED if vectors is not None else Verdict.UNDECIDED,
                ),
            ],
            ladder,
        )

    assert (z(1.0), z(None), z(1.0, Verdict.TOOL_FAILED)) == (1.0, None, None)
    assert z(0.5) == pytest.approx(0.45)
    top = ScoreConfig(scorers=("syntax", "synthesis"), combine="ladder", ladder={"syntax": 0.3, "synthesis": 1.0})
    assert (
        combine(
            [
                Score(scorer="syntax", value=1.0, verdict=Verdict.PASSED),
                Score(scorer="synthesis", value=None, verdict=Verdict.UNDECIDED),
            ],
            top,
        )
        is None
    )


def test_a_score_that_was_not_taken_is_named() -> None:
    with pytest.raises(RecipeError, match="'c'"):
        combine(scores(a=1.0, b=1.0), config())


@pytest.mark.parametrize(
    ("verdict", "value", "coderl", "rltf"),
    [
        (Verdict.NO_CODE, 0.0, -1, -1), (Verdict.SYNTAX_ERROR, 0.7, -1, -1), (Verdict.COMPILE_ERROR, 0.0, -1, -1),
        (Verdict.GAMED, 0.0, -1, -1), (Verdict.TIMEOUT, 0.0, -0.6, -0.6), (Verdict.RUNTIME_ERROR, 0.5, -0.6, -0.6),
        (Verdict.WRONG_OUTPUT, 0.0, -0.3, -0.3), (Verdict.WRONG_OUTPUT, 0.5, -0.3, 0.35), (Verdict.PASSED, 1.0, 1, 1),
        (Verdict.SCORED, 0.9, -0.3, 0.87), (Verdict.SCORED, 1.0, 1, 1), (Verdict.TOOL_FAILED, None, None, None),
    ],
)  # fmt: skip
def test_shaped_rewards_by_hand(
    verdict: Verdict, value: float | None, coderl: float | None, rltf: float | None
) -> None:
    """-0.3 + 1.3 * 0.5 = 0.35; -0.3 + 1.3 * 0.9 = 0.87. The last scorer's verdict counts, the others do not."""
    scores = [Score(scorer="a", value=1.0, verdict=Verdict.PASSED), Score(scorer="b", value=value, verdict=verdict)]
    for name, expected in (("coderl", coderl), ("rltf", rltf)):
        found = combine(scores, ScoreConfig(scorers=("a", "b"), combine=name))  # type: ignore[arg-type]
        assert found == (None if expected is None else pytest.approx(expected))
    with pytest.raises(RecipeError, match="'c'"):
        combine(scores, ScoreConfig(scorers=("a", "c"), combine="coderl"))
