"""A study's numbers: rates of every arm over seeds and problems, and each arm's difference to the control.

All is read from the run folders, as far as they have come. The difference is taken on the seeds and problems that both
have. Its interval covers seeds and problems; its p-value the problems alone, each with its mean over the seeds (a
sign-flip test): two or three seeds are too few for a test over seeds. p is corrected after Holm over all comparisons of
the study.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from itertl.errors import DataError
from itertl.evaluation import two_level
from itertl.evaluation.passk import exact_pass_at_k
from itertl.evaluation.significance import holm, sign_flip
from itertl.evaluation.summary import counts_by_problem
from itertl.loop.study.file import Study
from itertl.loop.study.fit import inherited
from itertl.records import EvalRow, EvalSummary, PassAtK
from itertl.report import series
from itertl.report.series import Series
from itertl.runs import selection, storage
from itertl.runs.read import Run, evaluation_file, read_run
from itertl.work.seeds import derive_seed

KS = (1, 5, 10)
UNTOUCHED = "untouched"  # the model that an arm begins with

Rates = Mapping[str, Fraction]  # problem -> pass@k of one seed


@dataclass(frozen=True, slots=True)
class ArmDifference:
    """pass@1 of the arm minus the control's, as rates, over the seeds and problems that both have; p before and after
    Holm."""

    value: float
    low: float
    high: float
    p_value: float
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm on one benchmark at one temperature. Tokens are means over the seeds; rates are in [0, 1]."""

    arm: str
    series: Series
    method: str
    seeds: tuple[int, ...]
    iterations: tuple[int, ...]  # of each seed: after how many this was judged
    problems: int
    reference_tokens: int
    candidate_tokens: int
    pass_at: Mapping[int, PassAtK]
    compile_rate: float | None
    difference: ArmDifference | None

    def to_json(self) -> dict[str, Any]:
        first, gap = self.pass_at[1], self.difference
        return {
            "arm": self.arm, "benchmark": self.series.name, "temperature": self.series.temperature,
            "search": self.series.search, "method": self.method,
            "seeds": len(self.seeds), "iterations": list(self.iterations), "problems": self.problems,
            "pass_at_1": first.value, "low": first.low, "high": first.high,
            "pass_at_k": {str(k): rate.model_dump(mode="json", exclude={"k"}) for k, rate in self.pass_at.items()},
            "compile_rate": self.compile_rate,
            "difference": None if gap is None else gap.value,
            "difference_low": None if gap is None else gap.low, "difference_high": None if gap is None else gap.high,
            "p": None if gap is None else gap.p_holm, "p_uncorrected": None if gap is None else gap.p_value,
            "reference_tokens": self.reference_tokens, "candidate_tokens": self.candidate_tokens,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class StudyResults:
    """All that is there of a study. ``runs``: each arm's by seed, only those that have been judged at all."""

    study: Study
    runs: Mapping[str, Mapping[int, Run]]
    table: tuple[ArmRow, ...]
    untouched: tuple[ArmRow, ...]  # the control's model before any training
    notes: tuple[str, ...]


def gather(study: Study, out: Path) -> StudyResults:
    """Read the runs of ``study`` in ``out``. Tokens count from the model that the base recipe names, what an arm's
    starting checkpoint has seen included. Raises DataError where a file of one cannot be read."""
    runs: dict[str, dict[int, Run]] = {arm.name: {} for arm in study.arms}
    notes: list[str] = []
    for arm, seed in study.jobs():
        folder = out / arm.name / f"seed-{seed}"
        run = read_run(folder, f"{arm.name}, seed {seed}") if (folder / "metrics.jsonl").is_file() else None
        if run is None or not run.metrics:
            notes.append(f"{arm.name}, seed {seed}: not begun")
            continue
        if not run.is_finished:
            notes.append(
                f"{arm.name}, seed {seed}: {run.iterations_done} of {run.recipe.iterations} iterations so far, and "
                "left out of the table"
            )
        references, candidates = inherited(study, arm, seed, out)
        since = [
            row.model_copy(
                update={"reference_tokens_seen": row.reference_tokens_seen + references,
                        "candidate_tokens_seen": row.candidate_tokens_seen + candidates},
            ) for row in run.metrics
        ]  # fmt: skip
        runs[arm.name][seed] = dataclasses.replace(run, metrics=tuple(since))
    judged = [
        (name, key) for name in runs for key in series.all_series(m for run in runs[name].values() for m in run.metrics)
    ]
    rows = [_row(study, runs, name, key) for name, key in judged]
    before = [_row(study, runs, name, key, untouched=True) for name, key in judged if name == study.control]
    return StudyResults(study, runs, _corrected(filter(None, rows)), tuple(filter(None, before)), tuple(notes))


def _row(
    study: Study, runs: Mapping[str, Mapping[int, Run]], name: str, key: Series, *, untouched: bool = False
) -> ArmRow | None:
    mine = {seed: found for seed, run in runs[name].items() if (found := _judged(run, key, untouched=untouched))}
    if not mine:
        return None
    rates = {k: {seed: _rates(runs[name][seed], point, key, k) for seed, point in mine.items()} for k in KS}
    pass_at = {
        k: two_level.estimate([_floats(r) for r in rates[k].values()], k, seed=derive_seed(0, "study", name, k))
        for k in KS
    }
    seen = [next(m for m in runs[name][s].metrics if m.iterations == point.iterations) for s, point in mine.items()]
    gap = None if name == study.control else _difference(runs, study.control, rates[1], key)
    return ArmRow(
        arm=UNTOUCHED if untouched else name, series=key, method="" if untouched else seen[0].method, seeds=tuple(mine),
        iterations=tuple(point.iterations for point in mine.values()),
        problems=len({task for of_seed in rates[1].values() for task in of_seed}),
        reference_tokens=round(sum(m.reference_tokens_seen for m in seen) / len(seen)),
        candidate_tokens=round(sum(m.candidate_tokens_seen for m in seen) / len(seen)),
        pass_at={k: rate for k, rate in pass_at.items() if k == 1 or rate.value is not None},
        compile_rate=_compile_rate([point.summary for point in mine.values()]), difference=gap,
    )  # fmt: skip


def _judged(run: Run, key: Series, *, untouched: bool = False) -> series.Point | None:
    """The run's result on that benchmark: of the iteration that its recipe selects, or the last judged before it. None
    for an unfinished run, and where only the untouched model was judged."""
    points = series.points(run.metrics, key)
    if untouched:
        return next((point for point in points if point.iterations == 0), None)
    if not run.is_finished:
        return None
    chosen = selection.chosen(run.metrics, run.recipe.select)
    trained = [point for point in points if 0 < point.iterations <= chosen]
    return max(trained, key=lambda point: point.iterations, default=None)


def _rates(run: Run, point: series.Point, key: Series, k: int) -> Rates:
    """pass@k of every problem from the verdicts on disk; none where the protocol gave fewer than k samples."""
    folder = run.folder / ("base" if point.iterations == 0 else f"iter-{point.iterations - 1:02d}")
    path = evaluation_file(folder, "eval", key.benchmark)
    if path is None:
        raise DataError(
            f"{folder}: no verdicts on {key.benchmark}, though metrics.jsonl has their rates; start the study again, "
            "which makes them again"
        )
    rows = [row for row in storage.read_records(path, EvalRow) if row.temperature == key.temperature]
    counts = counts_by_problem(rows, k)
    if any(n < k for n, _ in counts.values()):
        return {}
    return {task: exact_pass_at_k(n, c, k) for task, (n, c) in counts.items()}


def _floats(rates: Rates) -> dict[str, float]:
    return {task: float(rate) for task, rate in rates.items()}


def _compile_rate(summaries: Sequence[EvalSummary]) -> float | None:
    judged = sum(summary.total - summary.unjudged for summary in summaries)
    return sum(summary.compiled for summary in summaries) / judged if judged else None


def _difference(
    runs: Mapping[str, Mapping[int, Run]], control: str, rates: Mapping[int, Rates], key: Series
) -> ArmDifference | None:
    """To the control on the seeds that both have; None where there is none, or no problem that both judged."""
    deltas: dict[int, Rates] = {}
    for seed, mine in rates.items():
        point = _judged(runs[control][seed], key) if seed in runs[control] else None
        theirs = _rates(runs[control][seed], point, key, 1) if point else {}
        if shared := {task: mine[task] - theirs[task] for task in mine if task in theirs}:
            deltas[seed] = shared
    values = [_floats(of_seed) for of_seed in deltas.values()]
    average = two_level.mean(values)
    bounds = two_level.interval(values, seed=derive_seed(0, "study difference"))
    if average is None or bounds is None:
        return None
    tasks = dict.fromkeys(task for of_seed in deltas.values() for task in of_seed)
    of_task = [[of_seed[task] for of_seed in deltas.values() if task in of_seed] for task in tasks]
    means = [Fraction(sum(some), len(some)) for some in of_task]
    return ArmDifference(average, *bounds, sign_flip(means, seed=derive_seed(0, "study sign flip")).p_value)


def _corrected(rows: Iterable[ArmRow]) -> tuple[ArmRow, ...]:
    """The rows with p after Holm, over all that are compared with the control."""
    found = tuple(rows)
    adjusted = iter(holm([row.difference.p_value for row in found if row.difference]))
    return tuple(
        dataclasses.replace(row, difference=dataclasses.replace(row.difference, p_holm=next(adjusted)))
        if row.difference
        else row
        for row in found
    )
