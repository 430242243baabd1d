"""Which iteration's checkpoint is a run's result, and when more iterations are of no use: by function on held-out
problems.

The paper's own curve falls after its fifth iteration, as the model still optimizes a score by which its
answers no longer differ. What is chosen by a benchmark is not an honest estimate on that benchmark: report another
one with it.
"""

import math
from collections.abc import Sequence

from itertl.config import SelectConfig
from itertl.records import EvalSummary, IterationMetrics


def rate(row: IterationMetrics, benchmark: str) -> float | None:
    """pass@1 on that benchmark (its name in the recipe; figures also carry its version), at the first of its
    temperatures.

    None where it was not judged.
    """
    found = _judged(row, benchmark)
    return None if found is None else found.pass_at_1


def _judged(row: IterationMetrics, benchmark: str) -> EvalSummary | None:
    return next((e for e in row.evals if e.benchmark.split(" ", 1)[0] == benchmark), None)


def best(metrics: Sequence[IterationMetrics], benchmark: str) -> IterationMetrics | None:
    """The trained iteration with the highest pass@1; of equals the one whose answers compile most often, then the one
    whose candidates had the highest mean z, then the latest, which has learnt longest. None where none was judged."""
    rated = [row for row in metrics if row.iterations > 0 and rate(row, benchmark) is not None]
    return max(rated, key=lambda row: _merit(row, benchmark)) if rated else None


def _merit(row: IterationMetrics, benchmark: str) -> tuple[float, ...]:
    found = _judged(row, benchmark)
    assert found is not None and found.pass_at_1 is not None
    z = row.telemetry.mean_z if row.telemetry is not None else None
    known = (found.compile_rate, z)
    return (found.pass_at_1, *(-math.inf if value is None else value for value in known), row.iterations)


def is_exhausted(metrics: Sequence[IterationMetrics], select: SelectConfig) -> bool:
    """Whether as many judgements as the recipe has patience for brought no new best, the untouched model's counted."""
    if select.benchmark is None or select.patience is None:
        return False
    rates = [value for row in metrics if (value := rate(row, select.benchmark)) is not None]
    since = len(rates) - 1 - rates.index(max(rates)) if rates else 0
    return since >= select.patience


def chosen(metrics: Sequence[IterationMetrics], select: SelectConfig) -> int:
    """Number of iterations that made the run's result: that of the best, else the last."""
    found = best(metrics, select.benchmark) if select.benchmark is not None else None
    return (found or metrics[-1]).iterations
