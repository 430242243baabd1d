"""Is the difference between two evaluations more than noise? A paired bootstrap over problems.

Both policies answered the same problems, so what is resampled is the difference on each problem: much narrower than
comparing two separate intervals, and what the question asks. It covers the choice of problems, not that of training
seeds: one run says nothing about how another seed would have done.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from itertl.records import EvalRow


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of after − before over shared problems, as rates in [-1, 1], with the bounds of its 95% interval."""

    value: float
    low: float
    high: float
    problems: int

    @property
    def is_noise(self) -> bool:
        """Whether the interval contains zero."""
        return self.low <= 0 <= self.high


def pass_rates(rows: Iterable[EvalRow], temperature: float | None) -> dict[str, float]:
    """Share of passed completions of each task at that temperature; unjudged rows count neither way."""
    passed: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row.temperature == temperature and row.passed is not None:
            passed[row.task_id].append(row.passed)
    return {task: sum(verdicts) / len(verdicts) for task, verdicts in passed.items()}


def paired_difference(
    before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0, resamples: int = 4000
) -> PairedDifference | None:
    """Bootstrap the mean difference over the tasks that both have. None where they share fewer than two."""
    import numpy as np

    shared = sorted(before.keys() & after.keys())
    if len(shared) < 2:
        return None
    deltas = np.array([after[task] - before[task] for task in shared])
    generator = np.random.default_rng(seed)
    means = np.array([deltas[generator.integers(0, len(deltas), len(deltas))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return PairedDifference(float(deltas.mean()), float(low), float(high), len(shared))
