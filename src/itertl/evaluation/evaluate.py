"""One benchmark, one policy: sample, judge, summarise. Each of the three resumes inside itself."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from itertl.config import EvalConfig, PromptConfig, SampleConfig, ScoreConfig
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.judge import Completion, judge
from itertl.evaluation.summary import summarize
from itertl.progress import Reporter
from itertl.records import Candidate, EvalSummary
from itertl.runs import storage
from itertl.sampling.draw import sample
from itertl.scoring.candidates import score_candidates
from itertl.scoring.combine import combine
from itertl.work.seeds import derive_seed


def evaluate_policy(
    benchmark: Benchmark,
    config: EvalConfig,
    *,
    model: str | Path,
    policy: str,
    sample_config: SampleConfig,
    prompt: PromptConfig,
    score: ScoreConfig | None,
    seed: int,
    folder: Path,
    reporter: Reporter,
    label: str,
    cache: Path | None,
    loading: Mapping[str, Any],
) -> list[EvalSummary]:
    """Write ``samples-NAME.jsonl`` and ``eval-NAME.jsonl`` into ``folder`` and return a summary for each temperature.

    Greedy (temperature 0) draws one sample for each problem, other temperatures ``config.num_samples``. ``score``:
    also take the recipe's z of the completions, to watch the gap between it and function.
    """
    task_of = {p.id: p.upstream_id or p.id for p in benchmark.problems}

    def ahead(some: Sequence[Candidate]) -> None:
        judge(benchmark, [as_completion(c, task_of[c.problem_id]) for c in some], rule=config.rule, cache=cache)

    candidates = draw_samples(
        benchmark, config, model=model, policy=policy, sample_config=sample_config, prompt=prompt, seed=seed,
        folder=folder, reporter=reporter, label=label, loading=loading, ahead=ahead if cache else None,
    )  # fmt: skip
    completions = [as_completion(c, task_of[c.problem_id]) for c in candidates]
    out = folder / f"eval-{benchmark.name}.jsonl"
    partial = storage.partial_of(out)
    with reporter.stage(f"{label} judge {benchmark.name}", len(completions)) as tracker:
        rows = judge(benchmark, completions, rule=config.rule, partial=partial, cache=cache, tracker=tracker)
    storage.write_records(out, rows)
    partial.unlink(missing_ok=True)
    z_of = {} if score is None else _surrogate(benchmark, candidates, score, folder, cache, reporter, label)
    summaries: list[EvalSummary] = []
    for temperature in config.temperatures:
        mine = [i for i, row in enumerate(rows) if row.temperature == temperature]
        summary = summarize([rows[i] for i in mine], benchmark=benchmark, seed=seed)
        known = [z for z in (z_of.get(i) for i in mine) if z is not None]
        mean = sum(known) / len(known) if known else None
        summaries.append(summary.model_copy(update={"mean_surrogate": mean}))
    return summaries


def as_completion(candidate: Candidate, task_id: str) -> Completion:
    """A sampled candidate as a benchmark's judge wants it: the extracted code, a whole module."""
    return Completion(
        task_id=task_id,
        index=candidate.index,
        text=candidate.code,
        full_module=True,
        truncated=candidate.is_cut,
        temperature=candidate.settings.temperature,
    )


def draw_samples(
    benchmark: Benchmark,
    config: EvalConfig,
    *,
    model: str | Path,
    policy: str,
    sample_config: SampleConfig,
    prompt: PromptConfig,
    seed: int,
    folder: Path,
    reporter: Reporter,
    label: str,
    loading: Mapping[str, Any],
    ahead: Callable[[Sequence[Candidate]], object] | None = None,
) -> list[Candidate]:
    """Sample every temperature of ``config``; one file for each while at work, one for all at the end."""
    out = folder / f"samples-{benchmark.name}.jsonl"
    everything: list[Candidate] = []
    parts: list[Path] = []
    for temperature in config.temperatures:
        settings = sample_config.settings.model_copy(
            update={"temperature": temperature, "top_p": config.top_p, "max_new_tokens": config.max_new_tokens}
        )
        count = config.num_samples if temperature > 0 else 1
        part = out.with_name(f"{out.stem}-t{temperature:g}.jsonl")
        if part.exists():
            found = storage.read_records(part, Candidate)
            asked = Counter(
                problem.id for problem in benchmark.problems for _ in range(count)
            )  # an id tells the prompt's text as well
            same = all(c.policy == policy and c.settings == settings for c in found)
            if found and same and Counter(c.problem_id for c in found) == asked:
                everything += found
                parts.append(part)
                continue
        with reporter.stage(
            f"{label} sample {benchmark.name} T={temperature:g}", count * len(benchmark.problems)
        ) as tracker:
            everything += sample(
                benchmark.problems, model=model, policy=policy, config=sample_config, prompt=prompt,
                seed=derive_seed(seed, f"{temperature:g}"), out=part, num_samples=count, settings=settings,
                tracker=tracker, ahead=ahead, **loading,
            )  # fmt: skip
        parts.append(part)
    storage.write_records(out, everything)
    for part in parts:
        part.unlink(missing_ok=True)
    return everything


def _surrogate(
    benchmark: Benchmark,
    candidates: list[Candidate],
    score: ScoreConfig,
    folder: Path,
    cache: Path | None,
    reporter: Reporter,
    label: str,
) -> dict[int, float | None]:
    """z of the benchmark's completions under the recipe's scorers, by position; empty where a problem lacks a reference."""
    by_id = {p.id: p for p in benchmark.problems}
    if any(p.reference is None for p in benchmark.problems) or not candidates:
        return {}
    out = folder / f"surrogate-{benchmark.name}.jsonl"
    with reporter.stage(f"{label} score {benchmark.name}", len(candidates)) as tracker:
        scored = score_candidates(candidates, by_id, config=score, out=out, cache=cache, tracker=tracker)
    return dict(enumerate(combine(s.scores, score) for s in scored))
