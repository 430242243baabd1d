"""Trackers get the steps of all iterations once, go on in the same run, and never end a training."""

from pathlib import Path
from typing import Any

import pytest

from itertl.config import Recipe
from itertl.errors import RecipeError, ToolMissing
from itertl.loop import trackers
from itertl.loop.trackers import Trackers
from itertl.progress import Reporter
from itertl.records import EvalSummary, IterationMetrics, PassAtK, Telemetry, TrainStep
from itertl.runs import storage


def recipe(*names: str) -> Recipe:
    return Recipe.model_validate({"name": "mine", "train": {"report_to": list(names)}})


def row(step: int, loss: float) -> TrainStep:
    return TrainStep(
        step=step, epoch=1.0, loss=loss, loss_ce=0.5, loss_ranking=0.1, lam=0.5, grad_norm=1.0, learning_rate=1e-5,
        groups=1, tokens=10, pairs=3, pairs_active=2, pairs_hinged=1,
    )  # fmt: skip


def metrics(iterations: int) -> IterationMetrics:
    telemetry = Telemetry.model_validate(
        {name: 0 for name, field in Telemetry.model_fields.items() if field.is_required()}
        | {"mean_z": 0.25, "kl_old_new": 1.5, "candidates": 4, "rungs": {"": 1, "vectors": 3}}
    )
    summary = EvalSummary(
        benchmark="synth-heldout 1", problems=2, total=2, correct=1, wrong=1, truncated=0, unjudged=0, compiled=2,
        by_verdict={}, pass_at_k=(PassAtK(k=1, value=0.5),), temperature=0.0, rule="strict", simulator="x",
    )  # fmt: skip
    return IterationMetrics(
        iterations=iterations, method="itertl", telemetry=telemetry if iterations else None, loss=None, loss_ce=None,
        loss_ranking=None, evals=(summary,),
    )  # fmt: skip


def logged(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return lambda name: [(event.step, pytest.approx(event.value)) for event in board.Scalars(name)]


def test_tensorboard_has_each_step_once_over_a_kill(tmp_path: Path) -> None:
    log, reporter = tmp_path / "train.jsonl", Reporter(quiet=True)
    storage.write_records(log, [row(1, 0.9), row(2, 0.8)])
    first = Trackers(recipe("tensorboard"), tmp_path, reporter)
    first.iteration(metrics(0))
    for step, loss in ((1, 0.9), (2, 0.8)):
        reporter.measured({"loss": loss, "tokens_per_s": 5.0}, step)
    first.iteration(metrics(1), log)
    reporter.measured({"loss": 0.7}, 1)  # of iteration 2, and then it is killed

    again = Trackers(recipe("tensorboard"), tmp_path, reporter)
    again.iteration(metrics(0))
    again.iteration(metrics(1), log)
    for step, loss in ((1, 0.7), (2, 0.6)):  # the first is done again, from a saved state
        reporter.measured({"loss": loss}, step)
    again.close()

    board = logged(tmp_path)
    assert board("train/loss") == [(1, 0.9), (2, 0.8), (3, 0.7), (4, 0.6)]
    assert board("eval/synth-heldout_T0/pass_at_1") == [(0, 0.5), (2, 0.5)]
    assert board("iteration/z") == [(2, 0.25)] and board("rungs/vectors") == [(2, 0.75)]
    assert board("iteration/kl") == [(2, 1.5)] and board("train/tokens_per_s") == [(1, 5.0), (2, 5.0)]
    assert reporter.on_measured is None


def test_steps_that_were_not_seen_are_taken_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    storage.write_records(log, [row(1, 0.9), row(2, 0.8)])
    late = Trackers(recipe("tensorboard"), tmp_path, Reporter(quiet=True))
    late.iteration(metrics(1), log)
    late.close()
    assert logged(tmp_path)("train/loss") == [(1, 0.9), (2, 0.8)]


def test_a_tracker_that_fails_is_said_once_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking

    class Broken:
        def __init__(self, project: str, **options: object) -> None: ...

        def start(self) -> None: ...

        def store_init_configuration(self, values: object) -> None: ...

        def log(self, values: object, step: int) -> None:
            raise OSError("no route")

        def finish(self) -> None: ...

    said: list[str] = []
    reporter = Reporter(quiet=True)
    monkeypatch.setattr(reporter, "say", lambda text: said.append(str(text)))
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "trackio", Broken)
    found = Trackers(recipe("trackio", "tensorboard"), tmp_path, reporter)
    found.iteration(metrics(0))
    reporter.measured({"loss": 0.5}, 1)
    found.close()
    assert len(said) == 1 and "trackio" in said[0] and "no route" in said[0]
    assert logged(tmp_path)("train/loss") == [(1, 0.5)]


def test_the_trackers_run_is_named_and_offline_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no netrc
    project, options = trackers._options("wandb", "mine", tmp_path, {"wandb": "abc"})
    assert (project, options["id"], options["mode"], options["resume"]) == ("mine", "abc", "offline", "allow")
    monkeypatch.setenv("WANDB_API_KEY", "x")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens
    assert trackers._options("wandb", "mine", tmp_path, {})[1]["mode"] == "offline"


def test_what_is_not_installed_or_unknown_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    from itertl.config import build_recipe

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"wandb is not installed: pip install 'itertl\[wandb\]'") as caught:
        trackers.check(recipe("wandb"))
    assert caught.value.exit_status == 2
    trackers.check(Recipe())  # none asked for: none needed
    with pytest.raises(RecipeError, match=r"train\.report_to"):
        build_recipe({}, ["train.report_to=[tensorbord]"])
