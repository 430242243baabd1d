"""Rows become rates: an account that adds up, pass@k with intervals, and the paper's choice among temperatures.

A rate is over what could be judged. A completion that a tool of ours failed on is left out of its problem's n and c;
a problem none of whose completions could be judged is left out of pass@k. Both are counted as unjudged.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from itertl.errors import DataError
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.passk import estimate
from itertl.records import EvalRow, EvalSummary, Fault, PassAtK, Verdict

_COMPILED = (Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)


def summarize(
    rows: Sequence[EvalRow], *, benchmark: Benchmark, ks: Iterable[int] = (1, 5, 10), seed: int
) -> EvalSummary:
    """Summarize rows of one benchmark and rule. ``temperature`` is set where all rows share it.

    ``total == correct + wrong + truncated + unjudged`` counts completions. Where a second simulator judged some of the
    problems, ``simulator`` names both. Raises DataError where rows are of different benchmarks or rules: a mean over
    them would mean nothing.
    """
    require_one_kind(rows, benchmark.label)
    verdicts = Counter(row.verdict for row in rows)
    unjudged = sum(count for verdict, count in verdicts.items() if verdict.fault is Fault.OURS)
    correct, truncated = verdicts[Verdict.PASSED], verdicts[Verdict.TRUNCATED]
    wrong = sum(n for v, n in verdicts.items() if v.fault is Fault.MODEL and v is not Verdict.TRUNCATED)
    if correct + wrong + truncated + unjudged != len(rows):
        raise AssertionError(f"the account of {benchmark.name} does not add up: {dict(verdicts)} of {len(rows)}")
    temperatures = {row.temperature for row in rows}
    return EvalSummary(
        benchmark=benchmark.label, problems=len({row.task_id for row in rows}),
        total=len(rows), correct=correct, wrong=wrong, truncated=truncated, unjudged=unjudged,
        compiled=sum(verdicts[verdict] for verdict in _COMPILED),
        by_verdict=by_verdict(verdicts), gamed_by=gamed_by(rows),
        pass_at_k=tuple(estimate(list(counts_by_problem(rows, k).values()), k, seed=seed) for k in ks),
        temperature=temperatures.pop() if len(temperatures) == 1 else None,
        rule=rows[0].rule if rows else benchmark.default_rule,
        simulator=joined(row.simulator for row in rows), sandbox=joined(row.sandbox for row in rows),
        examples=joined(row.examples for row in rows),
    )  # fmt: skip


def require_one_kind(rows: Iterable[EvalRow], label: str) -> None:
    """Raise DataError where rows are not all of the benchmark ``label`` and of one rule."""
    kinds = sorted({(row.benchmark, row.rule, row.feedback == "reference") for row in rows})
    if len(kinds) > 1 or any(benchmark != label for benchmark, _, _ in kinds):
        if len({(benchmark, rule) for benchmark, rule, _ in kinds}) == 1:
            raise DataError(
                f"some rows of {label} come from a search that saw the reference, others not; summarize them separately"
            )
        found = "; ".join(f"{benchmark}, rule {rule}" for benchmark, rule, _ in kinds)
        raise DataError(f"rows of {found} cannot be summarized as {label}; judge them in one go")


def by_verdict(counts: Mapping[Verdict, int]) -> dict[str, int]:
    """The verdicts that occur, in their fixed order."""
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def rising(temperatures: Iterable[float | None]) -> tuple[float | None, ...]:
    """Temperatures from the lowest on; one that is not known comes first."""
    return tuple(sorted(temperatures, key=lambda t: -1.0 if t is None else t))


def joined(names: Iterable[str]) -> str:
    """Distinct names, the commonest first: ``"Icarus Verilog 11.0 + Verilator 5.38"``. Blank ones are left out."""
    return " + ".join(name for name, _ in Counter(name for name in names if name).most_common())


def gamed_by(rows: Iterable[EvalRow]) -> dict[str, int]:
    """Rule (what comes before the colon of the detail) -> designs that it refused unrun, the commonest first."""
    refused = (row.detail.partition(":")[0].strip() for row in rows if row.verdict is Verdict.GAMED)
    return dict(Counter(name or "(unnamed)" for name in refused).most_common())


def counts_by_problem(rows: Sequence[EvalRow], k: int) -> dict[str, tuple[int, int]]:
    """task_id -> (judged samples n, right ones c) of each problem that enters pass@k, by first appearance.

    Left out are problems that our fault, not the protocol, left with fewer than ``k`` judged samples: one broken run
    of a tool must not turn the whole benchmark's figure into "unknown".
    """
    asked = Counter(row.task_id for row in rows)
    judged: Counter[str] = Counter(row.task_id for row in rows if row.passed is not None)
    right: Counter[str] = Counter(row.task_id for row in rows if row.passed)
    return {task: (n, right[task]) for task in asked if (n := judged[task]) and n >= min(k, asked[task])}


def unjudged_as_failed(rows: Sequence[EvalRow]) -> list[tuple[int, int]]:
    """(samples n, right ones c) of each problem, what could not be judged counted as wrong."""
    asked: Counter[str] = Counter(row.task_id for row in rows)
    right: Counter[str] = Counter(row.task_id for row in rows if row.passed)
    return [(asked[task], right[task]) for task in asked]


@dataclass(frozen=True, slots=True)
class BestOf:
    """The paper's protocol for one k: the best of several temperatures, chosen on the test set itself."""

    temperature: float | None
    estimate: PassAtK


def best_of_temperatures(summaries: Mapping[float | None, EvalSummary]) -> dict[int, BestOf]:
    """For each k the temperature with the highest pass@k (paper, section 4.1); the lowest temperature of equals.

    This chooses on the test set, so it flatters: report it beside a protocol fixed in advance, never instead. The
    interval is that of the chosen temperature and does not know of the choice. A k that no temperature has is absent.
    """
    best: dict[int, BestOf] = {}
    for temperature in rising(summaries):
        for found in summaries[temperature].pass_at_k:
            held = best.get(found.k)
            if found.value is not None and (held is None or found.value > (held.estimate.value or 0.0)):
                best[found.k] = BestOf(temperature, found)
    return dict(sorted(best.items()))


def percent(found: PassAtK) -> str:
    """For example ``"53.4 [45.1, 61.2]"``; ``"–"`` where there is no estimate."""
    if found.value is None:
        return "–"
    value, low, high = (None if share is None else 100 * share for share in (found.value, found.low, found.high))
    return f"{value:.1f}" if low is None or high is None else f"{value:.1f} [{low:.1f}, {high:.1f}]"


def verdict_table(summaries: Sequence[EvalSummary]) -> Table:
    """One column a summary: pass@k with intervals, then the account by verdict."""
    table = Table(title=summaries[0].benchmark if summaries else None)
    table.add_column("", no_wrap=True)
    for summary in summaries:
        table.add_column("all" if summary.temperature is None else f"T {summary.temperature:g}", justify="right")
    for k in dict.fromkeys(found.k for summary in summaries for found in summary.pass_at_k):
        table.add_row(f"pass@{k} %", *(percent(_of_k(summary, k)) for summary in summaries))
    table.add_section()
    for name in ("problems", "total", "correct", "wrong", "truncated", "unjudged"):
        table.add_row(name, *(str(getattr(summary, name)) for summary in summaries))
    table.add_section()
    for verdict in Verdict:
        if any(verdict.value in summary.by_verdict for summary in summaries):
            table.add_row(verdict.value, *(str(summary.by_verdict.get(verdict.value, 0)) for summary in summaries))
    return table


def _of_k(summary: EvalSummary, k: int) -> PassAtK:
    return next((found for found in summary.pass_at_k if found.k == k), PassAtK(k=k, value=None))
