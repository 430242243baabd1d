"""Which iteration's checkpoint is a run's result, and when more iterations are of no use: by function on held-out problems.

The paper's own curve falls after its fifth iteration, as the model goes on to please a score that has nothing left to say.
What is chosen by a benchmark is no honest estimate on that benchmark: report another one beside it.
"""

from collections.abc import Sequence

from itertl.config import SelectConfig
from itertl.records import IterationMetrics


def rate(row: IterationMetrics, benchmark: str) -> float | None:
    """pass@1 on that benchmark (its name in the recipe; figures also carry its version), at the first of its temperatures.

    None where it was not judged.
    """
    return next((e.pass_at_1 for e in row.evals if e.benchmark.split(" ", 1)[0] == benchmark), None)


def best(metrics: Sequence[IterationMetrics], benchmark: str) -> IterationMetrics | None:
    """The trained iteration with the highest pass@1, the earliest of equals; None where none was judged."""
    rated = [(value, row) for row in metrics if row.iterations > 0 and (value := rate(row, benchmark)) is not None]
    return max(rated, key=lambda item: (item[0], -item[1].iterations))[1] if rated else None


def is_exhausted(metrics: Sequence[IterationMetrics], select: SelectConfig) -> bool:
    """Whether as many judgements as the recipe has patience for brought no new best, the untouched model's counted."""
    if select.benchmark is None or select.patience is None:
        return False
    rates = [value for row in metrics if (value := rate(row, select.benchmark)) is not None]
    since = len(rates) - 1 - rates.index(max(rates)) if rates else 0
    return since >= select.patience


def chosen(metrics: Sequence[IterationMetrics], select: SelectConfig) -> int:
    """Number of iterations after which the run's result stood: that of the best, else the last."""
    found = best(metrics, select.benchmark) if select.benchmark is not None else None
    return (found or metrics[-1]).iterations
