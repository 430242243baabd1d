"""What the command line does beyond the loop: one stage alone, on files. Each function returns a JSON-able summary."""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl.config import EvalConfig, Recipe
from itertl.progress import Reporter
from itertl.records import EvalRow, Problem
from itertl.runs import outputs, storage
from itertl.work.seeds import derive_seed

if TYPE_CHECKING:
    from itertl.audit.audit import AuditReport
    from itertl.audit.function_report import FunctionReport
    from itertl.evaluation.compare import Comparison
    from itertl.evaluation.fingerprint import Fingerprint
    from itertl.evaluation.mutants import SelfTest
    from itertl.problems.load import LoadResult


def generate(
    recipe: Recipe,
    instruction: str | None,
    file: Path | None,
    header: str,
    *,
    best_of: int,
    scorer: str,
    out: Path | None,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Draw, rank and write; says on stderr what is written, how it scores, and where there is no code."""
    from itertl.model.prompt_form import with_form
    from itertl.sampling.lengths import settled
    from itertl.search import generate as generation

    problems = generation.problems_of(instruction, file, header, recipe)
    recipe = settled(with_form(recipe, warn), lambda: ())
    if recipe.prompt.header == "prefill" and not all(p.header.strip() for p in problems):
        warn("note: answers of this model go on from the module's header; give it by --header, and they are better")
    tell = None if quiet else lambda text: print(printable(text), end="", file=sys.stderr, flush=True)
    ranked = generation.generate(problems, recipe, best_of=best_of, scorer=scorer, show=tell)
    rows = [item.to_json() for item in ranked]
    if out is not None:
        storage.write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for row in rows if not quiet else []:
        of = f", best of {best_of}" if best_of > 1 else ""
        detail = f": {row['detail'].splitlines()[0]}" if row["detail"] else ""
        print(f"\n{row['scorer']}: {row['verdict']}{detail} ({row['finish_reason']}{of})", file=sys.stderr)
    without = [(row, problem) for row, problem in zip(rows, problems, strict=True) if not row["code"]]
    if without:
        which = "the answer holds" if len(rows) == 1 else f"{len(without)} of {len(rows)} answers hold"
        fixes = (
            ["raise sample.max_new_tokens"]
            if all(row["finish_reason"] == "length" for row, _ in without)
            else ["draw more by --best-of"]
        )
        fixes += (
            ["give the module's header by --header"]
            if not any(problem.header.strip() for _, problem in without)
            else []
        )
        warn(
            f"no code: {which} no Verilog module; {', '.join(fixes)}, or check that the model is asked as it was trained (prompt.*)"
        )
    return rows


def printable(text: str) -> str:
    """``text`` for a terminal: control characters, which could move its cursor or write its title, are shown as U+FFFD."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text.replace("\r\n", "\n"))


def warn(text: str) -> None:
    """A line on stderr, under ``--json`` too."""
    print(f"itertl: {text}", file=sys.stderr, flush=True)


def problems_beside(out: Path) -> Path | None:
    """Where ``sample`` puts the problems of its candidates: ``problems.jsonl`` beside them, or ``NAME.problems.jsonl`` where there
    is one that it did not make; None where the candidates go to a device or pipe."""
    if storage.is_node(out):
        return None
    beside = out.with_name("problems.jsonl")
    return (
        beside
        if not beside.exists() or outputs.is_made_by(beside, "sample")
        else out.with_name(f"{out.stem}.problems.jsonl")
    )


def sample(recipe: Recipe, source: str, out: Path, beside: Path | None, *, reporter: Reporter) -> dict[str, Any]:
    """Sample the recipe's model on the problems of ``source``; writes ``out``, and the problems into ``beside``."""
    from itertl.model.prompt_form import with_form
    from itertl.problems.load import from_config
    from itertl.sampling.draw import open_policy
    from itertl.sampling.draw import sample as sample_candidates
    from itertl.sampling.lengths import settled

    recipe = with_form(recipe, warn)
    is_own = source == recipe.data.source  # other problems are sampled as they are given
    data = recipe.data.model_copy(update={"source": source, **({} if is_own else {"holdout": None})})
    loaded = from_config(data, recipe.seed)
    recipe = settled(recipe, lambda: loaded.problems)
    model, policy = open_policy(recipe)
    total = len(loaded.problems) * recipe.sample.num_candidates
    with reporter.stage("sample", total) as tracker:
        drawn = sample_candidates(
            loaded.problems, model=model, policy=policy, config=recipe.sample, prompt=recipe.prompt,
            seed=derive_seed(recipe.seed, "sample", 0), out=out, tracker=tracker,
            trust_remote_code=recipe.model.trust_remote_code, revision=recipe.model.revision,
        )  # fmt: skip
    if beside is not None:
        storage.write_records(beside, loaded.problems)
    return {
        "problems": len(loaded.problems),
        "skipped": loaded.skipped,
        "candidates": len(drawn),
        "out": str(out),
        "problems_file": None if beside is None else str(beside),
    }


def train(recipe: Recipe, scored: Path, problems: Path, out: Path, *, reporter: Reporter) -> dict[str, Any]:
    """One round of training of the recipe's model on ``scored``; ``out`` is the checkpoint's folder."""
    from itertl.model import models
    from itertl.model.prompt_form import with_form
    from itertl.sampling.lengths import settled
    from itertl.scoring.files import read_scored
    from itertl.training.methods import resolve_method
    from itertl.training.stage import train as train_policy

    pairs = storage.read_records(problems, Problem)
    recipe = settled(with_form(recipe, warn), lambda: pairs)
    result = train_policy(
        read_scored(scored), pairs,
        model=models.resolve_model(recipe.model), out=out,
        log=train_log(out), state=train_log(out).with_name(f"{out.resolve().name}.train-state"), config=recipe.train,
        method=resolve_method(recipe.method, recipe.train), prompt=recipe.prompt, score=recipe.score,
        seed=derive_seed(recipe.seed, "train", 0), kl_problems=recipe.telemetry.kl_problems,
        stage=lambda total, done: reporter.stage("train", total, done), say=reporter.say, dtype=recipe.model.dtype,
        trust_remote_code=recipe.model.trust_remote_code, revision=recipe.model.revision,
    )  # fmt: skip
    return {**dataclasses.asdict(result), "checkpoint": str(out)}


def train_log(out: Path) -> Path:
    """Where the log of a round lies whose checkpoint is ``out``."""
    out = out if out.name else out.resolve()
    return out.with_name(f"{out.name}.train.jsonl")


def eval_model(
    recipe: Recipe, name: str, *, data: Path | None, out: Path, rule: str, temperatures: Sequence[float],
    num_samples: int, limit: int | None, shots: int, max_new_tokens: int, reporter: Reporter, force: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Sample the recipe's model on one benchmark and judge it; files in ``out``.

    The account is that of stored completions (``evaluation.files.account``), with a summary for each temperature in
    ``summaries`` and the folder in ``out``.
    """
    from itertl.evaluation import benchmarks
    from itertl.evaluation.evaluate import evaluate_policy
    from itertl.evaluation.files import account
    from itertl.model import models
    from itertl.model.prompt_form import with_form
    from itertl.sampling.draw import open_policy
    from itertl.sampling.lengths import settled

    recipe = settled(with_form(recipe, warn), lambda: ())
    benchmark = benchmarks.load(name, data, limit=limit, shots=shots)
    config = EvalConfig(
        benchmark=name, data=str(data) if data else None, limit=limit, num_samples=num_samples,
        temperatures=tuple(temperatures), top_p=recipe.sample.top_p, max_new_tokens=max_new_tokens, rule=rule,
    )  # fmt: skip
    model, policy = open_policy(recipe)
    files = [out / f"{kind}-{benchmark.name}.jsonl" for kind in ("samples", "eval")]
    seed = derive_seed(recipe.seed, "eval", benchmark.name)
    with outputs.writing("eval", files=files, inputs=[data], force=force):
        out.mkdir(parents=True, exist_ok=True)
        summaries = evaluate_policy(
            benchmark, config, model=model, policy=policy, sample_config=recipe.sample, prompt=recipe.prompt,
            score=None, seed=seed, folder=out, reporter=reporter, label="eval", cache=models.cache_folder(),
            loading={"trust_remote_code": recipe.model.trust_remote_code, "revision": recipe.model.revision},
        )  # fmt: skip
    rows = storage.read_records(files[1], EvalRow)
    found = account(benchmark, rows, ks=[estimate.k for estimate in summaries[0].pass_at_k], seed=seed)
    return {**found, "policy": policy, "out": str(out), "summaries": [s.model_dump(mode="json") for s in summaries]}


def eval_compare(a: Path, b: Path, *, temperatures: Sequence[float] | None) -> "Comparison":
    """Two result files, paired over their problems; ``temperatures`` keeps the rows of these alone."""
    from itertl.evaluation.compare import compare, read_results

    return compare(read_results(a, temperatures), read_results(b, temperatures))


def eval_self_test(
    name: str,
    *,
    data: Path | None,
    rule: str | None,
    limit: int | None,
    shots: int,
    num_workers: int,
    reporter: Reporter,
) -> "tuple[SelfTest, Fingerprint]":
    """Whether a benchmark's references pass on this machine, and broken ones fail; and what the simulator is."""
    from itertl.evaluation import benchmarks
    from itertl.evaluation.fingerprint import fingerprint
    from itertl.evaluation.mutants import self_test

    benchmark = benchmarks.load(name, data, limit=limit, shots=shots)
    found = fingerprint()
    with reporter.stage(f"self-test {benchmark.name}", 0) as tracker:
        return self_test(benchmark, rule=rule, num_workers=num_workers, tracker=tracker), found


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
        "dropped": loaded.dropped,
        "format": loaded.format,
        "out": str(out),
    }


def data_synth(count: int, out: Path, *, seed: int, families: Sequence[str], split: str) -> dict[str, Any]:
    """Generate problems into ``out``."""
    from itertl.synth import generate

    problems = generate(seed, count, families, split)
    storage.write_records(out, problems)
    return {"problems": len(problems), "families": len({p.family for p in problems}), "split": split, "out": str(out)}


def keep_sound(
    out: Path, problems: Sequence[Problem], report: "AuditReport", by_function: "FunctionReport | None"
) -> int:
    """Write the problems that have a reference and that no finding speaks against to ``out``; how many."""
    unsound = report.unsound_ids | (by_function.unsound_ids if by_function is not None else frozenset())
    kept = [problem for problem in problems if problem.reference is not None and problem.id not in unsound]
    storage.write_records(out, kept)
    return len(kept)


def data_audit(
    source: str, benchmark_names: Sequence[str], data: Path | None, *, format: str, filter: Mapping[str, object],
    check_tools: bool, function: bool, num_workers: int, reporter: Reporter,
) -> "tuple[AuditReport, LoadResult, FunctionReport | None]":  # fmt: skip
    """Audit the problems of ``source`` against the named benchmarks; also what was loaded, and, where
    ``function`` asks for it, what the references are as hardware."""
    from itertl.audit.audit import audit
    from itertl.evaluation import benchmarks
    from itertl.model import models
    from itertl.problems.load import load_problems

    loaded = load_problems(source, format=format, filter=filter)
    against = [p for name in benchmark_names for p in benchmarks.load(name, data).problems]
    report = audit(
        loaded.problems,
        benchmarks=against,
        check_tools=check_tools,
        num_workers=num_workers,
        places=loaded.places,
        reporter=reporter,
    )
    by_function = None
    if function:
        from itertl.audit.function import audit_function

        with reporter.stage("audit: function", 0) as tracker:
            by_function = audit_function(
                loaded.problems,
                num_workers=num_workers,
                cache=models.cache_folder(),
                on_done=tracker.advance,
                places=loaded.places,
            )
    return report, loaded, by_function
