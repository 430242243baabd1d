"""Which checkpoint a run ends with, and when it ends early."""

from pathlib import Path

import pytest

from itertl.config import SelectConfig, build_recipe
from itertl.errors import RecipeError
from itertl.records import IterationMetrics, Verdict
from itertl.runs.selection import best, chosen, is_exhausted
from report_builder import metrics, summary, telemetry


def rows(*correct: int | None) -> list[IterationMetrics]:
    """Metrics of 0, 1, … iterations with so many of ten right; None: not judged."""
    return [
        metrics(
            n, [] if c is None else [summary({Verdict.PASSED: c, Verdict.WRONG_OUTPUT: 10 - c}, "held 1.0 (short)")]
        )
        for n, c in enumerate(correct)
    ]


@pytest.mark.parametrize(
    ("correct", "iterations"),
    [((0, 3, 5, 4), 2), ((9, 3, 3), 2), ((0, None, 2, None), 2), ((5, None), 1), ((5,), 0)],
)
def test_the_best_trained_iteration_is_chosen(correct: tuple[int | None, ...], iterations: int) -> None:
    assert chosen(rows(*correct), SelectConfig(benchmark="held")) == iterations


def test_of_equals_the_one_that_compiles_most_then_the_highest_z_then_the_latest() -> None:
    def row(n: int, compiled: int, z: float | None) -> IterationMetrics:
        verdicts = {Verdict.PASSED: 3, Verdict.WRONG_OUTPUT: compiled - 3, Verdict.SYNTAX_ERROR: 10 - compiled}
        return metrics(n, [summary(verdicts, "held")], telemetry=telemetry(mean_z=z))

    assert chosen([row(1, 8, 0.1), row(2, 7, 0.9), row(3, 6, 1.0)], SelectConfig(benchmark="held")) == 1
    assert chosen([row(1, 8, 0.1), row(2, 8, 0.9), row(3, 8, None)], SelectConfig(benchmark="held")) == 2
    assert chosen([row(1, 8, 0.5), row(2, 8, 0.5), row(3, 8, 0.5)], SelectConfig(benchmark="held")) == 3


def test_without_a_benchmark_the_last_is_chosen() -> None:
    assert chosen(rows(0, 9, 1), SelectConfig()) == 2
    assert best(rows(0, 9, 1), "other") is None


@pytest.mark.parametrize(
    ("correct", "patience", "ends"),
    [
        ((0, 3, 5, 4), 1, True),
        ((0, 3, 5, 4), 2, False),
        ((0, 3, 5, 4, 5), 2, True),  # as good is no better
        ((9, 3, 4), 2, True),  # the untouched model counts
        ((0, 3, None, 2), 2, False),  # what was not judged does not count
        ((0,), 1, False),
    ],
)
def test_patience(correct: tuple[int | None, ...], patience: int, ends: bool) -> None:
    assert is_exhausted(rows(*correct), SelectConfig(benchmark="held", patience=patience)) is ends


@pytest.mark.parametrize("select", [{"benchmark": "other"}, {"patience": 2}])
def test_a_recipe_that_cannot_select_is_refused(select: dict[str, object], repository: Path) -> None:
    with pytest.raises(RecipeError, match=r"select\.(benchmark|patience)"):
        build_recipe({"select": select, "evals": [{"benchmark": "synth-heldout"}]})
