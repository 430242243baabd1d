"""One benchmark, one policy: sample, judge, summarise. Each of the three resumes inside itself."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.config import EvalConfig, SampleConfig, ScoreConfig
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import judge
from itertl.evaluation.summary import summarize
from itertl.model.policy import Policy
from itertl.problems.retrieval import said
from itertl.progress import Reporter
from itertl.records import Attempt, Candidate, EvalSummary, SearchCost, content_hash
from itertl.runs import storage
from itertl.sampling.batching import sample_seed
from itertl.sampling.draw import SamplingJob
from itertl.scoring.candidates import score_candidates
from itertl.scoring.combine import combine
from itertl.scoring.engine import Effort
from itertl.search.drive import attempts_file, cost_of, draws_of, feedback_of, find_candidates
from itertl.search.strategy import open_strategy
from itertl.work.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """One benchmark on one policy: all that decides the verdicts, and where they go."""

    benchmark: Benchmark
    config: EvalConfig
    policy: Policy
    sample: SampleConfig
    score: ScoreConfig | None  # also take the recipe's z of the completions, to watch the gap between it and function
    seed: int
    folder: Path  # of ``samples-NAME.jsonl`` and ``eval-NAME.jsonl``
    cache: Path | None
    processes: int = 1  # that sample
    label: str = "eval"  # for progress
    with_seconds: bool = False  # also write how long each attempt of a search took

    def file(self, kind: str) -> Path:
        return self.folder / f"{kind}-{self.benchmark.name}.jsonl"


def evaluate_policy(job: EvaluationJob, reporter: Reporter) -> list[EvalSummary]:
    """Write samples and verdicts into the job's folder; a summary for each temperature.

    Greedy (temperature 0) draws one sample for each problem, other temperatures ``config.num_samples``.
    """
    benchmark, config, cache = job.benchmark, job.config, job.cache
    task_of = {p.id: p.upstream_id or p.id for p in benchmark.problems}

    def ahead(some: Sequence[Candidate]) -> None:
        judge(benchmark, [as_completion(c, task_of[c.problem_id]) for c in some], rule=config.rule, cache=cache)

    candidates = _draw_samples(job, reporter, ahead if cache else None)
    completions = [as_completion(c, task_of[c.problem_id]) for c in candidates]
    out = job.file("eval")
    with storage.taken_up(out) as partial:
        with reporter.stage(f"{job.label} judge {benchmark.name}", len(completions)) as tracker:
            rows = judge(benchmark, completions, rule=config.rule, partial=partial, cache=cache, tracker=tracker)
        examples = said(job.policy.prompt, benchmark.problems)
        marks = {"examples": examples} if examples else {}
        if job.sample.strategy is not None:
            marks |= {"strategy": job.sample.strategy, "feedback": feedback_of(job.sample)}
        if marks:
            rows = [row.model_copy(update=marks) for row in rows]
        storage.write_records(out, rows)
    z_of = {} if job.score is None else _surrogate(job, candidates, job.score, reporter)
    summaries: list[EvalSummary] = []
    costs = _costs(job)
    for temperature in config.temperatures:
        mine = [i for i, row in enumerate(rows) if row.temperature == temperature]
        summary = summarize([rows[i] for i in mine], benchmark=benchmark, seed=job.seed)
        known = [z for z in (z_of.get(i) for i in mine) if z is not None]
        mean = sum(known) / len(known) if known else None
        summaries.append(summary.model_copy(update={"mean_surrogate": mean, "search": costs.get(temperature)}))
    return summaries


def as_completion(candidate: Candidate, task_id: str) -> Completion:
    """A sampled candidate as a benchmark's judge wants it: the extracted code, a whole module."""
    return Completion(
        task_id, candidate.index, candidate.code, full_module=True, truncated=candidate.is_cut,
        temperature=candidate.settings.temperature,
    )  # fmt: skip


def _draw_samples(
    job: EvaluationJob, reporter: Reporter, ahead: Callable[[Sequence[Candidate]], object] | None
) -> list[Candidate]:
    """Sample every temperature; one file for each while at work, one for all at the end."""
    out, config = job.file("samples"), job.config
    everything: list[Candidate] = []
    parts: list[Path] = []
    for temperature in config.temperatures:
        sampling = _sampling(job, temperature)
        parts.append(part := _part(out, temperature))
        if (found := _drawn_before(part, sampling)) is not None:
            everything += found
            continue
        label = f"{job.label} sample {job.benchmark.name} T={temperature:g}"
        with reporter.stage(label, draws_of(sampling)) as tracker:
            effort = Effort(cache=job.cache)
            everything += find_candidates(
                sampling, part, effort=effort, tracker=tracker, ahead=ahead, with_seconds=job.with_seconds
            )
        if sampling.config.strategy is not None:
            storage.write_text(_plan_of(part), _plan(sampling))
    storage.write_records(out, everything)
    for part in parts:
        part.unlink(missing_ok=True)
        _plan_of(part).unlink(missing_ok=True)
    return everything


def _sampling(job: EvaluationJob, temperature: float) -> SamplingJob:
    config = job.config
    asked = {"temperature": temperature, "top_p": config.top_p, "max_new_tokens": config.max_new_tokens}
    return SamplingJob(
        job.benchmark.problems, job.policy, job.sample, derive_seed(job.seed, f"{temperature:g}"),
        num_samples=config.num_samples if temperature > 0 else 1,
        settings=job.sample.settings.model_copy(update=asked), processes=job.processes,
    )  # fmt: skip


def _part(out: Path, temperature: float) -> Path:
    return out.with_name(f"{out.stem}-t{temperature:g}.jsonl")


def _costs(job: EvaluationJob) -> dict[float, SearchCost]:
    """What the searches of each temperature took; none without a strategy."""
    if job.sample.strategy is None:
        return {}
    found: dict[float, SearchCost] = {}
    for temperature in job.config.temperatures:
        sampling = _sampling(job, temperature)
        attempts = storage.read_records(attempts_file(_part(job.file("samples"), temperature)), Attempt)
        found[temperature] = cost_of(sampling, attempts, (sampling.num_samples or 1) * len(sampling.problems))
    return found


def _drawn_before(part: Path, job: SamplingJob) -> list[Candidate] | None:
    """What an earlier call drew of exactly this (a problem's id is a hash of its text); None where there is none."""
    if not part.exists():
        return None
    found = storage.read_records(part, Candidate)
    wanted = Counter(problem.id for problem in job.problems for _ in range(job.num_samples or 1))
    if job.config.strategy is not None:  # its draws have seeds of their own, and maybe other models'
        plan = _plan_of(part)
        is_same = plan.exists() and plan.read_text(encoding="utf-8") == _plan(job)
    else:
        is_same = all(
            (c.policy, c.settings, c.seed) == (job.policy_name, job.asked, sample_seed(job.seed, c.problem_id, c.index))
            for c in found
        )
    return found if found and is_same and Counter(c.problem_id for c in found) == wanted else None


def _plan_of(part: Path) -> Path:
    return part.with_suffix(".plan")


def _plan(job: SamplingJob) -> str:
    """A hash of what a part's searches depend on beside its problems."""
    config = job.config
    settings = dict(open_strategy(str(config.strategy), config.strategy_options).settings())
    asked = job.asked.model_dump(mode="json")
    return content_hash([job.policy_name, asked, job.seed, config.strategy, dict(config.strategy_options), settings])


def _surrogate(
    job: EvaluationJob, candidates: list[Candidate], score: ScoreConfig, reporter: Reporter
) -> dict[int, float | None]:
    """z of the completions under the recipe's scorers, by position; empty where a problem lacks a reference."""
    by_id = {p.id: p for p in job.benchmark.problems}
    if any(p.reference is None for p in by_id.values()) or not candidates:
        return {}
    with reporter.stage(f"{job.label} score {job.benchmark.name}", len(candidates)) as tracker:
        scored = score_candidates(
            candidates, by_id, config=score, out=job.file("surrogate"), cache=job.cache, tracker=tracker
        )
    return dict(enumerate(combine(s.scores, score) for s in scored))
