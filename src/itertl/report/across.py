"""Runs side by side in numbers: compile rates, means over training seeds, and paired tests against the first run."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from itertl.records import EvalRow, canonical_json
from itertl.report import series
from itertl.report.findings import ends, eval_folder
from itertl.report.grids import Grid
from itertl.report.paired import paired_difference, pass_rates
from itertl.report.series import Series
from itertl.runs import storage
from itertl.runs import wording as text
from itertl.runs.read import Run, evaluation_file

# 97.5% quantiles of Student's t with 1, 2, … degrees of freedom; from the last on, the normal one serves to 2%
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
      2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)  # fmt: skip


class Mean(NamedTuple):
    """A mean and the bounds of its 95% interval; None of one value alone."""

    value: float
    low: float | None
    high: float | None


def grids(runs: Sequence[Run]) -> list[Grid]:
    """The tables that the runs have something for. Raises DataError where a file of verdicts cannot be read."""
    made = (compile_grid(runs), seeds_grid(runs), paired_grid(runs))
    return [grid for grid in made if grid is not None]


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """The mean of one value a seed, with Student's t interval: seeds drawn at random, the problems being given."""
    average, count = math.fsum(values) / len(values), len(values)
    if count < 2:
        return Mean(average, None, None)
    spread = math.sqrt(math.fsum((v - average) ** 2 for v in values) / (count - 1))
    half = (_T[count - 2] if count - 2 < len(_T) else 1.96) * spread / math.sqrt(count)
    return Mean(average, average - half, average + half)


def sign_test(better: int, worse: int) -> float:
    """Two-sided exact p of so many problems better and worse, where each is as likely: McNemar's test."""
    n, k = better + worse, min(better, worse)
    return min(1.0, 2 * math.fsum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def compile_grid(runs: Sequence[Run]) -> Grid | None:
    """Compile rates, untouched and after the last iteration that was judged."""
    followed = series.all_series(m for run in runs for m in run.metrics)
    names = series.labels(followed)
    rows = tuple((run.name, *(_compiles(run, key) for key in followed)) for run in runs)
    note = "completions that got past the compiler, of those judged: untouched model → after the last iteration judged"
    return Grid("Compile rates", ("run", *(names[key] for key in followed)), rows, (note,)) if followed else None


def _compiles(run: Run, key: Series) -> str:
    judged = series.points(run.metrics, key)
    rates = [text.percent(judged[at].summary.compile_rate) for at in (0, -1)] if judged else [text.NOT_MEASURED]
    return " → ".join(rates if len(judged) > 1 else rates[:1])


def seeds_grid(runs: Sequence[Run]) -> Grid | None:
    """Means over the runs that differ in their seed alone. None where no two do."""
    arms = [arm for arm in _arms(runs) if len(arm) > 1]
    followed = series.all_series(m for arm in arms for run in arm for m in run.metrics)
    if not followed:
        return None
    names = series.labels(followed)
    columns = [head for key in followed for head in (f"{names[key]}: pass@1", "compiles")]
    rows = []
    for arm in arms:
        seeds = ", ".join(str(run.recipe.seed) for run in arm)
        rows.append(
            (", ".join(run.name for run in arm), seeds, *(cell for key in followed for cell in _mean(arm, key)))
        )
    note = "mean after the last iteration judged, with Student's 95% interval over seeds; the problems are given"
    return Grid("Means over seeds", ("runs", "seeds", *columns), tuple(rows), (note,))


def _arms(runs: Sequence[Run]) -> list[list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        tree = run.recipe.model_dump(mode="json", exclude={"seed", "name"})
        found[canonical_json(tree)].append(run)
    return [arm for arm in found.values() if len({run.recipe.seed for run in arm}) == len(arm)]


def _mean(arm: Sequence[Run], key: Series) -> Iterator[str]:
    last = [judged[-1].summary for run in arm if (judged := series.points(run.metrics, key))]
    for rates in ([s.pass_at_1 for s in last], [s.compile_rate for s in last]):
        known = [rate for rate in rates if rate is not None]
        if len(known) < 2:
            yield text.NOT_MEASURED
            continue
        mean = mean_over_seeds(known)
        low, high = max(0.0, mean.low or 0.0), min(1.0, mean.high if mean.high is not None else 1.0)
        yield f"{text.percent(mean.value)} ({text.interval(low, high)})"


def paired_grid(runs: Sequence[Run]) -> Grid | None:
    """Each run against the first on the problems that both were judged on, after the last iteration of each."""
    followed = series.all_series(m for run in runs for m in run.metrics)
    names = series.labels(followed)
    rows = [
        (run.name, names[key], *cells)
        for key in followed
        for first in [_rates(runs[0], key)]
        for run in runs[1:]
        if (cells := _compared(first, _rates(run, key)))
    ]
    notes = (
        f"against {runs[0].name}, in points of pass@1: the paired bootstrap's 95% interval over problems, and the "
        f"exact sign test over problems that differ; of many comparisons some are small by chance",
    )
    heads = ("run", "benchmark", "difference (95% interval)", "problems", "better/worse", "p")
    return Grid("Paired tests", heads, tuple(rows), notes) if rows else None


def _rates(run: Run, key: Series) -> Mapping[str, float]:
    before, after = ends(run, key)
    point = after or before
    file = evaluation_file(run.folder / eval_folder(point.iterations), "eval", key.benchmark) if point else None
    return pass_rates(storage.read_records(file, EvalRow), key.temperature) if file else {}


def _compared(first: Mapping[str, float], other: Mapping[str, float]) -> tuple[str, ...]:
    """Cells of one comparison; empty where fewer than two problems are shared."""
    found = paired_difference(first, other)
    if found is None:
        return ()
    shared = first.keys() & other.keys()
    better, worse = (sum(sign * (other[t] - first[t]) > 0 for t in shared) for sign in (1, -1))
    gain = f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return gain, str(found.problems), f"{better}/{worse}", text.number(sign_test(better, worse), 2)
