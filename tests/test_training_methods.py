"""Methods by name, the options that override them, and the plan of steps."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.config import ScoreConfig, TrainConfig
from itertl.errors import RecipeError, UsageError
from itertl.training.methods import METHODS, check_scores, resolve_method
from itertl.training.schedule import learning_rate, num_steps, plan_steps


def test_table_holds_the_published_choices() -> None:
    paper, released = METHODS["itertl"], METHODS["rtlcoder"]
    assert (paper.alpha, paper.beta, paper.softmax, paper.length_normalizer) == (0.3, 0.2, False, "response")
    assert (paper.ce_reduction, paper.ranking_weight, paper.policy, paper.single_round) == (
        "mean",
        "stop_gradient_ce",
        "current",
        False,
    )
    assert (released.softmax, released.length_normalizer, released.ranking_weight) == (True, "sequence", "product")
    assert (released.policy, released.single_round, released.max_prompt_share) == ("base", True, 0.5)
    assert METHODS["itertl-softmax"].softmax and METHODS["itertl-softmax"].ranking_weight == "stop_gradient_ce"
    assert not METHODS["sft"].uses_candidates


def test_recipe_overrides_what_it_sets_and_nothing_else() -> None:
    plain = resolve_method("rtlcoder", TrainConfig())
    assert plain == METHODS["rtlcoder"]
    changed = resolve_method("rtlcoder", TrainConfig(alpha=0.0, softmax=False, ranking_weight=0.5))
    assert (changed.alpha, changed.softmax, changed.ranking_weight) == (0.0, False, 0.5)
    assert (changed.beta, changed.length_normalizer) == (0.2, "sequence")


@pytest.mark.parametrize(("name", "near"), [("itretl", "itertl"), ("rtlcode", "rtlcoder"), ("zzz", "sft")])
def test_unknown_method_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=near):
        resolve_method(name, TrainConfig())


@pytest.mark.parametrize(
    "options",
    [
        {"beta": -0.1}, {"ranking_weight": -1.0}, {"max_prompt_share": 0.0}, {"negative_floor": -0.5},
        {"verified_share": 1.5}, {"max_verified": 0}, {"accept_beta": 0.0}, {"accept_share": 0.0},
        {"negative_floor": 0.5, "softmax": True},
    ],
)  # fmt: skip
def test_values_that_no_loss_can_use_are_refused_by_key(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"train.{next(iter(options))}"):
        resolve_method("itertl", TrainConfig(**options))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 3), st.integers(0, 99))
def test_every_epoch_holds_every_group_once_and_resuming_goes_on(
    groups: int, size: int, epochs: int, seed: int
) -> None:
    config = TrainConfig(groups_per_step=size, epochs=epochs)
    steps = list(plan_steps(groups, config, seed))
    assert [s.step for s in steps] == list(range(1, num_steps(groups, config) + 1))
    per_epoch = math.ceil(groups / size)
    for epoch in range(epochs):
        seen = [i for s in steps[epoch * per_epoch : (epoch + 1) * per_epoch] for i in s.indices]
        assert sorted(seen) == list(range(groups))
        assert steps[(epoch + 1) * per_epoch - 1].epoch == epoch + 1
    for after in range(len(steps) + 1):
        assert list(plan_steps(groups, config, seed, after=after)) == steps[after:]


def test_epochs_are_shuffled_and_differ_by_seed() -> None:
    config = TrainConfig(groups_per_step=64, epochs=2)
    first, second = (s.indices for s in plan_steps(50, config, 1))
    (other, _) = (s.indices for s in plan_steps(50, config, 2))
    assert len({first, second, other, tuple(range(50))}) == 4


def test_learning_rate_by_hand() -> None:
    """10 steps, warm-up 0.2: steps 1 and 2 at 1/2 and 2/2; then 8 steps fall from 1 by 1/8 (linear) or along a
    half cosine."""
    linear = TrainConfig(learning_rate=1.0, schedule="linear", warmup_ratio=0.2)
    assert [learning_rate(s, 10, linear) for s in range(1, 11)] == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    cosine = TrainConfig(learning_rate=1.0, schedule="cosine")
    assert learning_rate(1, 4, cosine) == 1.0
    assert learning_rate(3, 4, cosine) == pytest.approx(0.5)
    assert learning_rate(9, 10, TrainConfig(learning_rate=3e-4)) == 3e-4


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("itertl", {"negatives": "beside-right"}, "train.negatives: beside-right"),
        ("itertl", {"group_weight": "difficulty"}, "train.group_weight: difficulty"),
        ("verified", {}, "method verified"),
        ("itertl", {"ce_target": "verified"}, "ce_target verified"),
        ("itertl", {"negatives": "near"}, "train.negatives: near"),
    ],
)
def test_what_no_scorer_says_is_not_asked(name: str, options: dict[str, Any], key: str) -> None:
    method = resolve_method(name, TrainConfig(**options))
    with pytest.raises(RecipeError, match=key):
        check_scores(method, ScoreConfig(scorers=("rouge-l",)))
    check_scores(method, ScoreConfig(scorers=("rouge-l", "vectors")))


def test_later_options_are_in_the_settings_only_where_they_are_used() -> None:
    """A run from before them is skipped as done, not begun again."""
    assert "groups" not in METHODS["itertl"].settings() and METHODS["itertl"].settings()["alpha"] == 0.3
    assert resolve_method("itertl", TrainConfig(groups="mixed")).settings()["groups"] == "mixed"
    assert METHODS["rso"].settings()["accept_beta"] == 0.5
    assert not {"groups", "negative_floor", "from"} & TrainConfig().model_dump(mode="json").keys()
    assert TrainConfig(**{"from": "start"}).model_dump(mode="json")["from"] == "start"
