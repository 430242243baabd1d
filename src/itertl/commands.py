"""What the command line does beyond the loop: one stage alone, on files. Each function returns a JSON-able summary."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl import storage
from itertl.config import EvalConfig, Recipe
from itertl.progress import Reporter
from itertl.records import Problem
from itertl.seeds import derive_seed

if TYPE_CHECKING:
    from itertl.problems.audit import AuditReport


def sample(recipe: Recipe, source: str, out: Path, *, reporter: Reporter) -> dict[str, Any]:
    """Sample the recipe's model on the problems of ``source``; writes ``out`` and the problems beside it."""
    from itertl import models
    from itertl.problems.load import from_config
    from itertl.sampling.stage import sample as sample_candidates

    data = recipe.data.model_copy(update={"source": source})
    loaded = from_config(data, recipe.seed)
    model = models.resolve_model(recipe.model)
    total = len(loaded.problems) * recipe.sample.num_candidates
    with reporter.stage("sample", total) as tracker:
        drawn = sample_candidates(
            loaded.problems, model=model, policy=models.policy_id(model), config=recipe.sample, prompt=recipe.prompt,
            seed=derive_seed(recipe.seed, "sample", 0), out=out, tracker=tracker,
            trust_remote_code=recipe.model.trust_remote_code, revision=recipe.model.revision,
        )  # fmt: skip
    problems = out.with_name("problems.jsonl")
    storage.write_records(problems, loaded.problems)
    return {
        "problems": len(loaded.problems),
        "skipped": loaded.skipped,
        "candidates": len(drawn),
        "out": str(out),
        "problems_file": str(problems),
    }


def train(recipe: Recipe, scored: Path, problems: Path, out: Path, *, reporter: Reporter) -> dict[str, Any]:
    """One round of training of the recipe's model on ``scored``."""
    from itertl import models
    from itertl.scoring.files import read_scored
    from itertl.training.methods import resolve_method
    from itertl.training.stage import train as train_policy

    result = train_policy(
        read_scored(scored), storage.read_records(problems, Problem),
        model=models.resolve_model(recipe.model), out=out,
        log=out.with_name(f"{out.name}.train.jsonl"), state=out.with_name(f"{out.name}.train-state"), config=recipe.train,
        method=resolve_method(recipe.method, recipe.train), prompt=recipe.prompt, score=recipe.score,
        seed=derive_seed(recipe.seed, "train", 0), kl_problems=recipe.telemetry.kl_problems,
        stage=lambda total, done: reporter.stage("train", total, done), say=reporter.say, dtype=recipe.model.dtype,
        trust_remote_code=recipe.model.trust_remote_code, revision=recipe.model.revision,
    )  # fmt: skip
    return {**dataclasses.asdict(result), "checkpoint": str(out)}


def eval_model(
    recipe: Recipe, name: str, *, data: Path | None, out: Path, rule: str, temperatures: Sequence[float],
    num_samples: int, limit: int | None, max_new_tokens: int, reporter: Reporter,
) -> dict[str, Any]:  # fmt: skip
    """Sample the recipe's model on one benchmark and judge it; files in ``out``, both protocols in the summary."""
    from itertl import models
    from itertl.evaluation import benchmarks
    from itertl.evaluation.stage import evaluate_policy
    from itertl.evaluation.summary import best_of_temperatures

    benchmark = benchmarks.load(name, data, limit=limit)
    config = EvalConfig(
        benchmark=name, data=str(data) if data else None, limit=limit, num_samples=num_samples,
        temperatures=tuple(temperatures), max_new_tokens=max_new_tokens, rule=rule,
    )  # fmt: skip
    model = models.resolve_model(recipe.model)
    out.mkdir(parents=True, exist_ok=True)
    summaries = evaluate_policy(
        benchmark, config, model=model, policy=models.policy_id(model), sample_config=recipe.sample, prompt=recipe.prompt,
        score=None, seed=derive_seed(recipe.seed, "eval", benchmark.name), folder=out, reporter=reporter, label="eval",
        cache=None, loading={"trust_remote_code": recipe.model.trust_remote_code, "revision": recipe.model.revision},
    )  # fmt: skip
    found: dict[str, Any] = {"out": str(out), "summaries": [s.model_dump(mode="json") for s in summaries]}
    if len(summaries) > 1:
        best = best_of_temperatures({s.temperature: s for s in summaries})
        found["best_of_temperatures"] = {k: {"temperature": b.temperature, **b.estimate.model_dump()} for k, b in best.items()}
    return found


def data_import(
    source: str, out: Path, *, format: str, columns: Mapping[str, str], filter: Mapping[str, object],
    limit: int | None, header: str, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Other formats in, ``problems.jsonl`` out, and an account of every row."""
    from itertl.problems.load import load_problems

    loaded = load_problems(source, format=format, columns=columns, filter=filter, limit=limit, seed=seed, header=header)
    storage.write_records(out, loaded.problems)
    with_reference = sum(p.reference is not None for p in loaded.problems)
    return {
        "problems": len(loaded.problems),
        "with_reference": with_reference,
        "skipped": loaded.skipped,
        "notes": loaded.notes,
        "format": loaded.format,
        "out": str(out),
    }


def data_synth(count: int, out: Path, *, seed: int, families: Sequence[str], split: str) -> dict[str, Any]:
    """Generate problems into ``out``."""
    from itertl.problems.synth import generate

    problems = generate(seed, count, families, split)
    storage.write_records(out, problems)
    return {"problems": len(problems), "families": len({p.family for p in problems}), "split": split, "out": str(out)}


def data_audit(
    source: str, benchmark_names: Sequence[str], data: Path | None, *, format: str, filter: Mapping[str, object],
    check_tools: bool, num_workers: int,
) -> "tuple[AuditReport, dict[str, Any]]":  # fmt: skip
    """Audit the problems of ``source`` against the named benchmarks; also what loading left out or changed."""
    from itertl.evaluation import benchmarks
    from itertl.problems.audit import audit
    from itertl.problems.load import load_problems

    loaded = load_problems(source, format=format, filter=filter)
    against = [p for name in benchmark_names for p in benchmarks.load(name, data).problems]
    report = audit(loaded.problems, benchmarks=against, check_tools=check_tools, num_workers=num_workers)
    return report, {"format": loaded.format, "skipped": loaded.skipped, "notes": loaded.notes}
