"""What a recipe says to do, as jobs for the stages: the one place that turns a recipe into their inputs.

``stages`` does them inside a run folder; ``sample``, ``train`` and ``evaluate`` here do one alone, on files.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from itertl.config import EvalConfig, Recipe, ScoreConfig
from itertl.doctor.node import machines
from itertl.errors import DataError
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.evaluate import EvaluationJob, evaluate_policy
from itertl.evaluation.files import account
from itertl.loop import shown
from itertl.model.policy import Policy, find_policy, sampled_policy
from itertl.model.prompt_form import with_form
from itertl.problems.load import from_config
from itertl.progress import Reporter
from itertl.records import EvalRow, Problem, Scored
from itertl.runs import storage
from itertl.runs.storage import cache_folder
from itertl.sampling.draw import SamplingJob
from itertl.sampling.lengths import settled
from itertl.scoring.candidates import effort_of
from itertl.scoring.engine import Effort
from itertl.scoring.score_file import read_scored
from itertl.search.drive import draws_of, find_candidates
from itertl.search.strategy import check_strategy
from itertl.training import launch
from itertl.training.methods import check_scores, resolve_method, with_signals
from itertl.training.round import TrainingJob
from itertl.work import engine
from itertl.work.seeds import derive_seed

Warn = Callable[[str], object]


def sampling(
    recipe: Recipe,
    problems: Sequence[Problem],
    policy: Policy,
    iteration: int,
    earlier: Mapping[str, float] | None = None,
) -> SamplingJob:
    """K - 1 candidates of each problem, or by a strategy and the mean z that ``earlier`` iterations found."""
    seed, processes = derive_seed(recipe.seed, "sample", iteration), engine.current().processes(recipe.compute)
    return SamplingJob(
        problems, policy, recipe.sample, seed, is_one_search=True, earlier=earlier or {}, processes=processes
    )


def scores(recipe: Recipe) -> ScoreConfig:
    """What a recipe scores by, with what its method needs beside. Raises RecipeError, UsageError."""
    return with_signals(resolve_method(recipe.method, recipe.train), recipe.score)


def effort(recipe: Recipe) -> Effort:
    """How the recipe's candidates are scored and looked at."""
    return effort_of(recipe.score, cache_folder())


def training_seed(recipe: Recipe, iteration: int) -> int:
    """Of one round."""
    return derive_seed(recipe.seed, "train", iteration)


def training(
    recipe: Recipe, scored: Sequence[Scored], problems: Sequence[Problem], policy: Policy, out: Path, iteration: int
) -> TrainingJob:
    """One round of training into the checkpoint ``out``; its log and state are beside it under its name."""
    return TrainingJob(
        scored, problems, policy, recipe.train, resolve_method(recipe.method, recipe.train), recipe.score,
        training_seed(recipe, iteration), out=out, log=train_log(out),
        state=train_log(out).with_name(f"{out.resolve().name}.train-state"), kl_problems=recipe.telemetry.kl_problems,
    )  # fmt: skip


def train_log(out: Path) -> Path:
    """Path of the log of the round whose checkpoint is ``out``."""
    out = out if out.name else out.resolve()
    return out.with_name(f"{out.name}.train.jsonl")


def evaluation(recipe: Recipe, benchmark: Benchmark, config: EvalConfig, policy: Policy, folder: Path) -> EvaluationJob:
    """One benchmark, judged in ``folder``."""
    seed = derive_seed(recipe.seed, "eval", benchmark.name)
    processes = engine.current().processes(recipe.compute)
    # the recipe's own strategy is for training
    own = {"strategy": config.strategy, "strategy_options": config.strategy_options}
    sample = recipe.sample.model_copy(update=own)
    return EvaluationJob(benchmark, config, policy, sample, None, seed, folder, cache_folder(), processes=processes)


def sample(
    recipe: Recipe, source: str, out: Path, beside: Path | None, *, reporter: Reporter, warn: Warn
) -> dict[str, Any]:
    """Sample the recipe's model on the problems of ``source``; writes ``out``, and the problems into ``beside``."""
    recipe = with_form(recipe, warn)
    is_own = source == recipe.data.label  # other problems are sampled as they are given
    data = recipe.data if is_own else recipe.data.of(source)
    loaded = shown.load(recipe, data)
    recipe = settled(recipe, lambda: loaded.problems)
    with machines(recipe.compute, warn):
        job = sampling(recipe, loaded.problems, sampled_policy(recipe), 0)
        with reporter.stage("sample", draws_of(job)) as tracker:
            drawn = find_candidates(job, out, effort=effort(recipe), tracker=tracker)
    if beside is not None:
        storage.write_records(beside, loaded.problems)
    return {
        "problems": len(loaded.problems),
        "skipped": loaded.skipped,
        "candidates": len(drawn),
        "out": str(out),
        "problems_file": None if beside is None else str(beside),
    }


def train(recipe: Recipe, scored: Path, problems: Path, out: Path, *, reporter: Reporter, warn: Warn) -> dict[str, Any]:
    """One round of training of the recipe's model on ``scored``; ``out`` is the checkpoint's folder. Raises DataError,
    also where a file that is needed is empty."""
    method = resolve_method(recipe.method, recipe.train)
    check_scores(method, recipe.score)
    pairs, rows = storage.read_records(problems, Problem), read_scored(scored)
    if not pairs:
        raise DataError(f"{problems}: holds no problem; give the problems.jsonl that the candidates belong to")
    if not rows and method.uses_candidates:
        what = "holds no scored candidate; give scored.jsonl of a run or of `itertl score`, or set method=sft"
        raise DataError(f"{scored}: {what} to train on the references alone")
    recipe = with_form(recipe, warn)
    examples = shown.of_recipe(recipe, lambda: from_config(recipe.data, recipe.seed), pairs)
    if examples is not None:
        pairs, notes = examples.given(pairs)
        for note, count in notes.items():
            warn(f"{note}: {count}")
    recipe = settled(recipe, lambda: pairs)
    policy = find_policy(recipe.model, recipe.prompt)
    with machines(recipe.compute, warn):
        result = launch.train(training(recipe, rows, pairs, policy, out, 0), recipe.compute, reporter)
    return {**dataclasses.asdict(result), "checkpoint": str(out)}


def evaluate(
    recipe: Recipe, benchmark: Benchmark, config: EvalConfig, out: Path, *, reporter: Reporter
) -> dict[str, Any]:
    """Sample the recipe's model on one benchmark and judge it; files in ``out``, which is there.

    The account is that of stored completions (``evaluation.files.account``), with a summary for each temperature in
    ``summaries`` and the folder in ``out``.
    """
    check_strategy(config.strategy, config.strategy_options, config.temperatures)
    with machines(recipe.compute, reporter.say):
        job = evaluation(recipe, benchmark, config, sampled_policy(recipe), out)
        job = dataclasses.replace(job, with_seconds=True)
        summaries = evaluate_policy(job, reporter)
    rows = storage.read_records(job.file("eval"), EvalRow)
    found = account(benchmark, rows, ks=[estimate.k for estimate in summaries[0].pass_at_k], seed=job.seed)
    shown = [s.model_dump(mode="json") for s in summaries]
    return {**found, "policy": job.policy.digest, "out": str(out), "summaries": shown}
