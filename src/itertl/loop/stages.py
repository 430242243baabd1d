"""The stages of a run: what each reads, writes and depends on. ``loop.run`` puts them in order.

Each function names its settings and the hashes of its inputs to ``RunFolder.stage`` and calls the module that does the
work. Settings hold what can change the result and nothing else: the number of workers or how often a resumable state
is saved makes no stage stale.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from itertl.config import EvalConfig
from itertl.errors import DataError
from itertl.evaluation import benchmarks, by_function
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.evaluate import evaluate_policy
from itertl.loop import jobs
from itertl.loop.prepare import Task
from itertl.loop.telemetry import candidate_telemetry
from itertl.model.policy import Policy
from itertl.records import (
    Attempt,
    Candidate,
    EvalSummary,
    IterationMetrics,
    Scored,
    SearchCost,
    Telemetry,
    content_hash,
)
from itertl.runs import storage
from itertl.runs.folder import RunFolder
from itertl.runs.storage import cache_folder
from itertl.sampling.draw import SamplingJob
from itertl.scoring.candidates import score_ahead, score_candidates
from itertl.scoring.combine import combine
from itertl.scoring.scorers import check_tools
from itertl.search.drive import attempts_file, cost_of, draws_of, find_candidates
from itertl.search.strategy import open_strategy
from itertl.tools import icarus
from itertl.training import launch
from itertl.training.round import TrainResult


def sample(run: RunFolder, task: Task, policy: Policy, iteration: int) -> Path | None:
    """K - 1 candidates for each problem. None for a method that uses no candidates.

    A method of a single round (RTLCoder's) samples the untouched model in iteration 0 and keeps the candidates.
    """
    if not task.method.uses_candidates:
        return None
    folder, config = run.iteration(iteration), run.recipe.sample
    if task.method.single_round and iteration > 0:
        return run.iteration(0).path / "candidates.jsonl"
    earlier = _mean_z(run, iteration)
    job = jobs.sampling(run.recipe, task.problems, policy, iteration, earlier)
    out = folder.path / "candidates.jsonl"

    def ahead(some: Sequence[Candidate]) -> None:
        score_ahead(some, task.by_id, config=run.recipe.score, cache=cache_folder())

    def work() -> dict[str, Any]:
        with run.reporter.stage(f"{folder.name} sample", draws_of(job)) as tracker:
            drawn = find_candidates(job, out, effort=jobs.effort(run.recipe), tracker=tracker, ahead=ahead)
        summary = {"candidates": len(drawn), "completion_tokens": sum(c.completion_tokens for c in drawn)}
        return summary if config.strategy is None else summary | {"search": _searched(run, job, out, len(drawn))}

    run.stage(
        folder,
        "sample",
        settings={"sample": config.model_dump(mode="json"), "prompt": run.recipe.prompt.model_dump(mode="json")},
        inputs={"problems": task.problems_hash, "policy": policy.digest}
        | ({"earlier": content_hash(earlier)} if earlier else {}),
        outputs=[out.name] if config.strategy is None else [out.name, attempts_file(out).name],
        seed=job.seed,
        work=work,
    )
    return out


def _mean_z(run: RunFolder, iteration: int) -> dict[str, float]:
    """Of each problem's candidates in all iterations before this one, for a strategy that adapts; else empty."""
    config = run.recipe.sample
    if config.strategy is None or not open_strategy(config.strategy, config.strategy_options).adapts:
        return {}
    values: dict[str, list[float]] = {}
    for number in range(iteration):
        for row in storage.read_records(run.iteration(number).path / "scored.jsonl", Scored):
            z = combine(row.scores, run.recipe.score)
            values.setdefault(row.candidate.problem_id, []).extend([] if z is None else [z])
    return {ident: sum(found) / len(found) for ident, found in values.items() if found}


def _searched(run: RunFolder, job: SamplingJob, out: Path, answers: int) -> dict[str, Any]:
    """What the searches behind an iteration's candidates took, and what they added to plain draws."""
    attempts = storage.read_records(attempts_file(out), Attempt)
    cost = cost_of(job, attempts, answers)
    run.reporter.say(
        f"{cost.strategy}: {cost.attempts} attempts, {cost.completion_tokens} tokens, {cost.tool_calls} tool calls; "
        f"{cost.solved} of {len(job.problems)} problems solved by what it looks at ({cost.feedback}), "
        f"{cost.solved_at_once} by the first draws"
        + (
            ""
            if cost.solved_by_plain is None
            else f", {cost.solved_by_plain:.1f} expected of plain draws of as many tokens"
        )
    )
    return cost.model_dump(mode="json")


def score(run: RunFolder, task: Task, candidates: Path | None, iteration: int) -> Path | None:
    """Every scorer of the recipe on every candidate."""
    if candidates is None:
        return None
    if task.method.single_round and iteration > 0:
        return run.iteration(0).path / "scored.jsonl"
    folder, config = run.iteration(iteration), run.recipe.score
    out = folder.path / "scored.jsonl"

    def work() -> dict[str, Any]:
        rows = storage.read_records(candidates, Candidate)
        with run.reporter.stage(f"{folder.name} score", len(rows)) as tracker:
            scored = score_candidates(rows, task.by_id, config=config, out=out, cache=cache_folder(), tracker=tracker)
        values = [combine(s.scores, config) for s in scored]
        unscored = sum(v is None for v in values)
        if unscored:
            _report_unscored(run, scored, unscored)
        return {"scored": len(scored), "unscored": unscored}

    run.stage(
        folder,
        "score",
        settings={
            "scorers": list(config.scorers),
            "timeout_s": config.timeout_s,
            "versions": check_tools(config.scorers),
            "budget_s": config.budget_s,
            "memory_mb": config.memory_mb,
            **({"rungs": list(config.ladder)} if config.combine == "ladder" else {}),
        },
        inputs={"candidates": run.hash(candidates), "problems": task.problems_hash},
        outputs=[out.name],
        seed=0,
        work=work,
    )
    return out


def _report_unscored(run: RunFolder, scored: Sequence[Scored], unscored: int) -> None:
    """How many candidates have no z, and why the first has none. Raises DataError where none has one."""
    config = run.recipe.score
    first = next(one for one in scored if combine(one.scores, config) is None)
    missing = (f"{s.scorer}: {s.verdict}: {s.detail or 'no detail'}"[:300] for s in first.scores if s.value is None)
    reason = next(missing, "no score")
    if unscored == len(scored):
        raise DataError(
            f"{run.recipe.data.label}: not one of {unscored} candidates could be scored, so that training would see "
            f"references alone; the first: {reason}. Fix the references (itertl data audit --function), choose other "
            "scorers, or method=sft"
        )
    run.reporter.say(
        f"[red]{unscored} of {len(scored)} candidates could not be scored, by our fault, and are left out[/red]; the "
        f"first: {escape(reason)}"
    )


def train(
    run: RunFolder, task: Task, scored: Path | None, policy: Policy, iteration: int
) -> tuple[Policy, TrainResult]:
    """One round of training from ``policy``. Returns the new policy and what training measured."""
    folder, recipe = run.iteration(iteration), run.recipe
    seed, out = jobs.training_seed(recipe, iteration), folder.path / "checkpoint"

    def work() -> dict[str, Any]:
        rows = [] if scored is None else storage.read_records(scored, Scored)
        job = jobs.training(recipe, rows, task.problems, policy, out, iteration)
        job = dataclasses.replace(
            job, log=folder.path / "train.jsonl", state=folder.path / "train-state",
            label=f"{folder.name} train",
        )  # fmt: skip
        return dataclasses.asdict(launch.train(job, recipe.compute, run.reporter))

    settings = recipe.train.model_dump(mode="json", exclude={"save_every_steps", "save_every_seconds", "report_to"})
    record = run.stage(
        folder,
        "train",
        settings={
            "train": settings,
            "method": task.method.settings(),
            "prompt": recipe.prompt.model_dump(mode="json"),
            "combine": recipe.score.model_dump(
                mode="json", include={"combine", "weights", "ladder", "floor", "optional"}
            ),
            "dtype": recipe.model.dtype,
            "kl_problems": recipe.telemetry.kl_problems,
        },
        inputs={"problems": task.problems_hash, "policy": policy.digest}
        | ({} if scored is None else {"scored": run.hash(scored)}),
        outputs=["checkpoint", "train.jsonl"],
        seed=seed,
        work=work,
    )
    after = policy.trained(out, record.outputs["checkpoint"], f"{folder.name}/checkpoint")
    return after, TrainResult(**record.summary)


def evaluate(run: RunFolder, task: Task, policy: Policy, iteration: int | None) -> tuple[EvalSummary, ...]:
    """Sample and judge the benchmarks that are due after this iteration."""
    due = [item for item in task.benchmarks if item[0].is_due(iteration, run.recipe.iterations)]
    return tuple(summary for item in due for summary in _evaluate_one(run, policy, iteration, *item))


def _evaluate_one(
    run: RunFolder, policy: Policy, iteration: int | None, config: EvalConfig, benchmark: Benchmark, digest: str
) -> list[EvalSummary]:
    folder, recipe = run.iteration(iteration), run.recipe
    job = jobs.evaluation(recipe, benchmark, config, policy, folder.path)
    job = dataclasses.replace(
        job, score=recipe.score if recipe.telemetry.surrogate_on_evals else None, label=folder.name
    )

    def work() -> dict[str, Any]:
        return {"summaries": [s.model_dump(mode="json") for s in evaluate_policy(job, run.reporter)]}

    record = run.stage(
        folder,
        f"eval-{benchmark.name}",
        settings={
            "eval": config.model_dump(mode="json", exclude={"data", "every"}),
            "benchmark": benchmark.version,
            "sample": recipe.sample.model_dump(
                mode="json",
                include={"backend", "dtype", "batch_size", "options", "stop_at_module", "stop_at_repetition"},
            ),
            "prompt": recipe.prompt.model_dump(mode="json"),
            "simulator": icarus.version() if benchmark.default_rule != benchmarks.FUNCTION else by_function.versions(),
            "surrogate": recipe.score.model_dump(mode="json", exclude={"num_workers"})
            if recipe.telemetry.surrogate_on_evals
            else None,
        },
        inputs={"policy": policy.digest, "benchmark": digest},
        outputs=[job.file("samples").name, job.file("eval").name],
        seed=job.seed,
        work=work,
    )
    return [EvalSummary.model_validate(s) for s in record.summary["summaries"]]


def untouched_metrics(task: Task, evals: tuple[EvalSummary, ...]) -> IterationMetrics:
    """Row 0 of the metrics: what the model could do before any training."""
    return IterationMetrics(
        iterations=0, method=task.method.name, telemetry=None, loss=None, loss_ce=None, loss_ranking=None, evals=evals
    )


def iteration_metrics(
    run: RunFolder,
    task: Task,
    scored: Path | None,
    trained: TrainResult,
    evals: tuple[EvalSummary, ...],
    before: IterationMetrics,
) -> IterationMetrics:
    """One row of ``metrics.jsonl``: telemetry of section 3.2, losses of the last epoch, benchmarks."""
    telemetry: Telemetry | None = None
    if scored is not None:
        rows = storage.read_records(scored, Scored)
        telemetry = candidate_telemetry(rows, run.recipe.score, task.by_id, trained, beta=task.method.beta)
        sampled = run.iteration(before.iterations).manifest().stages.get("sample")
        if sampled is not None and "search" in sampled.summary:
            telemetry = telemetry.model_copy(update={"search": SearchCost.model_validate(sampled.summary["search"])})
    return IterationMetrics(
        iterations=before.iterations + 1,
        method=task.method.name,
        telemetry=telemetry,
        loss=trained.loss,
        loss_ce=trained.loss_ce,
        loss_ranking=trained.loss_ranking,
        evals=evals,
        train_tokens=trained.tokens,
        reference_tokens_seen=before.reference_tokens_seen + trained.reference_tokens,
        candidate_tokens_seen=before.candidate_tokens_seen + trained.candidate_tokens,
    )
