"""What a report follows through the iterations: one benchmark at one temperature is one series.

Answers that were searched for are a series of their own, by strategy and by what that looked at: no column, table or
difference holds them beside single draws, nor those that saw the reference beside those that did not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from itertl.records import EvalSummary, IterationMetrics, PassAtK
from itertl.report import published
from itertl.runs import wording as text


class Series(NamedTuple):
    """One benchmark at one temperature (None: stored completions, or not said).

    ``search``: how the answers were searched for, "" where each is a single draw.
    """

    benchmark: str
    temperature: float | None
    search: str = ""

    @property
    def name(self) -> str:
        """The benchmark's, without its version."""
        return self.benchmark.partition(" ")[0]

    @property
    def published_split(self) -> published.Split | None:
        """The split under which figures of single draws are published, or None."""
        return None if self.search else published.split_of(self.benchmark)


class Point(NamedTuple):
    """A series at one number of iterations."""

    iterations: int
    summary: EvalSummary


def series_of(summary: EvalSummary) -> Series:
    """The series that it is a point of."""
    cost = summary.search
    return Series(summary.benchmark, summary.temperature, text.searched(cost) if cost else "")


def all_series(metrics: Iterable[IterationMetrics]) -> list[Series]:
    """Every series of the metrics, in order of first appearance."""
    return list(dict.fromkeys(series_of(e) for m in metrics for e in m.evals))


def summary_of(metrics: IterationMetrics, series: Series) -> EvalSummary | None:
    """That series' evaluation, or None where this iteration was not evaluated on it."""
    return next((e for e in metrics.evals if series_of(e) == series), None)


def points(metrics: Iterable[IterationMetrics], series: Series) -> list[Point]:
    """The series' evaluations, by number of iterations; iterations that were not evaluated are left out."""
    found = ((m.iterations, summary_of(m, series)) for m in metrics)
    return sorted((Point(n, s) for n, s in found if s is not None), key=lambda p: p.iterations)


def full_name(series: Series) -> str:
    """The benchmark, and how its answers were searched for."""
    return ", ".join(filter(None, (series.benchmark, series.search)))


def pass_1(summary: EvalSummary | None) -> PassAtK | None:
    """pass@1 with its interval, or None where it was not estimated."""
    rates = summary.pass_at_k if summary is not None else ()
    return next((rate for rate in rates if rate.k == 1 and rate.value is not None), None)


def temperature_name(temperature: float | None) -> str:
    """0 -> "greedy", 0.2 -> "T 0.2", None -> "stored completions"."""
    if temperature is None:
        return "stored completions"
    return "greedy" if temperature == 0 else f"T {temperature:g}"


def labels(every: Sequence[Series]) -> Mapping[Series, str]:
    """Shortest telling name of each series: the temperature only where a benchmark has several, a search always."""
    several = Counter(benchmark for benchmark, _ in {(s.benchmark, s.temperature) for s in every})
    found: dict[Series, str] = {}
    for one in every:
        temperature = temperature_name(one.temperature) if several[one.benchmark] > 1 else ""
        found[one] = ", ".join(filter(None, (one.benchmark, temperature, one.search)))
    return found


def surrogate_gap(summary: EvalSummary) -> float | None:
    """Mean surrogate score minus pass rate on the same completions (section 3.2); None where either lacks."""
    rate = pass_1(summary)
    if summary.mean_surrogate is None or rate is None or rate.value is None:
        return None
    return summary.mean_surrogate - rate.value


def best_of_temperatures(metrics: IterationMetrics) -> dict[str, tuple[float | None, PassAtK]]:
    """The paper's protocol, for benchmarks with several temperatures: the temperature of the highest pass@1.

    It chooses on the test set, so it flatters; report it only beside a fixed temperature.
    """
    rated: dict[str, list[tuple[float | None, PassAtK]]] = {}
    for summary in metrics.evals:
        if rate := pass_1(summary):
            rated.setdefault(full_name(series_of(summary)), []).append((summary.temperature, rate))
    return {name: max(each, key=lambda one: one[1].value or 0.0) for name, each in rated.items() if len(each) > 1}
