"""Tables of a run and of runs side by side, as plain grids (``grids``) that become rich tables, markdown or HTML."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from itertl.records import EvalSummary, IterationMetrics, PassAtK, Telemetry
from itertl.report import published, series
from itertl.report.grids import Fitted, Grid, rich_table
from itertl.report.series import Series
from itertl.runs import wording as text

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text


_TRAINING_COLUMNS = (
    "iterations", "loss", "CE", "ranking", "mean z", "parses", "active pairs", "hinged pairs", "KL (nats)",
)  # fmt: skip


def iteration_grid(metrics: Sequence[IterationMetrics]) -> Grid:
    """One row for each number of iterations done, 0 being the untouched model."""
    ordered = sorted(metrics, key=lambda m: m.iterations)
    followed = series.all_series(ordered)
    names = series.labels(followed)
    columns = [*_TRAINING_COLUMNS]
    for key in followed:
        columns += [f"{names[key]}: pass@1", "compiles", "correct/wrong/truncated/unjudged"]
    notes = ["pass@1 with its 95% interval over problems, in percent"] if followed else []
    if len({m.method for m in ordered if m.iterations > 0}) > 1:
        notes.append("the method changed within these iterations")
    rows = tuple(_iteration_row(m, followed) for m in ordered)
    return Grid("Iterations (0: the untouched model)", tuple(columns), rows, tuple(notes))


def _iteration_row(metrics: IterationMetrics, followed: Sequence[Series]) -> tuple[str, ...]:
    losses = text.number(metrics.loss), text.number(metrics.loss_ce), text.number(metrics.loss_ranking, 2)
    cells = [str(metrics.iterations), *losses, *_telemetry_cells(metrics.telemetry)]
    for key in followed:
        summary = series.summary_of(metrics, key)
        if summary is None:
            cells += [text.NOT_MEASURED] * 3
        else:
            rate = text.rate_with_interval(series.pass_1(summary))
            cells += [rate, text.percent(summary.compile_rate), text.counts(summary)]
    return tuple(cells)


def _telemetry_cells(telemetry: Telemetry | None) -> list[str]:
    if telemetry is None:
        return [text.NOT_MEASURED] * 5
    shares = (telemetry.share_parses, telemetry.share_active_pairs, telemetry.share_hinged_pairs)
    return [text.number(telemetry.mean_z), *(text.percent(s) for s in shares), text.number(telemetry.kl_old_new)]


def comparison_grid(runs: Mapping[str, Sequence[IterationMetrics]]) -> Grid:
    """One row a run: pass@1 untouched and after the last evaluated iteration, and the tokens it was trained on.

    Published figures follow, muted, where a run was judged on VerilogEval v1.
    """
    ordered = {name: sorted(metrics, key=lambda m: m.iterations) for name, metrics in runs.items()}
    followed = series.all_series(m for metrics in ordered.values() for m in metrics)
    names = series.labels(followed)
    columns = ["run", "method", "iterations", "reference tokens seen", "candidate tokens seen"]
    columns += [f"{names[key]}: pass@1" for key in followed]
    rows = [_run_row(name, metrics, followed) for name, metrics in ordered.items()]
    foreign = _published_rows(followed)
    notes = []
    if followed:
        notes.append("untouched model → after the last iteration that was judged, with the 95% interval")
    if foreign:
        notes.append(f"published figures: {published.SOURCE}; models of other sizes, judged by other hands")
        notes += _size_notes(ordered, followed)
    muted = frozenset(range(len(rows), len(rows) + len(foreign)))
    return Grid("Runs side by side", tuple(columns), tuple(rows + foreign), tuple(notes), muted)


def _run_row(name: str, metrics: Sequence[IterationMetrics], followed: Sequence[Series]) -> tuple[str, ...]:
    cells = [text.NOT_MEASURED] * 4
    if metrics:
        last = metrics[-1]
        counts = last.iterations, last.reference_tokens_seen, last.candidate_tokens_seen
        cells = [last.method, *map(text.count, counts)]
    return (name, *cells, *(_before_after(metrics, key) for key in followed))


def _before_after(metrics: Sequence[IterationMetrics], key: Series) -> str:
    judged = series.points(metrics, key)
    if not judged:
        return text.NOT_MEASURED
    after = text.rate_with_interval(series.pass_1(judged[-1].summary))
    if judged[-1].iterations == 0:
        return f"{after}, untouched"
    before = series.pass_1(judged[0].summary) if judged[0].iterations == 0 else None
    return f"{text.percent(before.value if before else None)} → {after}"


def is_published(metrics: Sequence[IterationMetrics]) -> bool:
    """Whether a benchmark with published figures was judged."""
    return any(key.published_split for key in series.all_series(metrics))


def best_of_temperatures_grid(metrics: Sequence[IterationMetrics]) -> Grid | None:
    """The paper's protocol: the best temperature of each iteration. None where no benchmark had several."""
    ordered = sorted(metrics, key=lambda m: m.iterations)
    best = {m.iterations: series.best_of_temperatures(m) for m in ordered}
    benchmarks = list(dict.fromkeys(name for found in best.values() for name in found))
    if not benchmarks:
        return None

    def cell(found: tuple[float | None, PassAtK] | None) -> str:
        if found is None:
            return text.NOT_MEASURED
        return f"{text.rate_with_interval(found[1])} at {series.temperature_name(found[0])}"

    rows = tuple((str(iterations), *(cell(found.get(b)) for b in benchmarks)) for iterations, found in best.items())
    flatters = "it chooses the temperature on the test set, so it flatters; read it beside a fixed one"
    return Grid("Best of the temperatures", ("iterations", *benchmarks), rows, (f"the paper's protocol: {flatters}",))


def gamed_grid(metrics: Sequence[IterationMetrics]) -> Grid | None:
    """Designs refused unrun in each iteration, and by which rules of the judge. None where there was none."""
    ordered = sorted(metrics, key=lambda m: m.iterations)
    followed = series.all_series(ordered)
    if not any(text.gamed(e) for m in ordered for e in m.evals):
        return None
    names = series.labels(followed)
    rows = []
    for m in ordered:
        found = [series.summary_of(m, key) for key in followed]
        rows.append((str(m.iterations), *(text.NOT_MEASURED if s is None else _gamed_cell(s) for s in found)))
    note = "designs that use what a design has no business with: refused before they ran, and counted as wrong"
    return Grid("Gamed designs, by rule", ("iterations", *(names[key] for key in followed)), tuple(rows), (note,))


def ladder_grid(metrics: Sequence[IterationMetrics]) -> Grid | None:
    """How far each iteration's candidates came on the recipe's ladder. None where there was no ladder."""
    ordered = [
        (m.iterations, t)
        for m in sorted(metrics, key=lambda m: m.iterations)
        if (t := m.telemetry) and t.rungs is not None
    ]
    names = list(dict.fromkeys(name for _, t in ordered for name in t.rungs or {}))
    if not names:
        return None
    columns = ("it", *(name or "none" for name in names), "wrong", "missed")
    rows = tuple(
        (
            str(iterations),
            *(text.percent((t.rungs or {}).get(name, 0) / t.candidates if t.candidates else None) for name in names),
            text.percent(t.share_surrogate_wrong), text.percent(t.share_missed_by_surrogate),
        )
        for iterations, t in ordered
    )  # fmt: skip
    notes = (
        "the highest rung that each candidate holds, in percent of candidates",
        "wrong: by function, of those that the paper's score calls perfect",
        "missed: by that score, of the pairs whose z differ by more than beta",
    )
    return Grid("The ladder", columns, rows, notes)


_GROUPS = {
    "groups": "problems", "of one z": "groups_of_equal_z", "with a right": "groups_with_right",
    "right": "candidates_right", "left out": "groups_left_out", "rejected": "candidates_rejected",
    "verified": "candidates_verified",
}  # fmt: skip


def groups_grid(metrics: Sequence[IterationMetrics]) -> Grid | None:
    """What each iteration's groups gave to learn from. None where function was not judged and no option chose some."""
    found = [(m.iterations, m.telemetry) for m in sorted(metrics, key=lambda m: m.iterations) if m.telemetry]
    rows = [
        (str(n), *(text.count(getattr(t, name)) for name in _GROUPS.values()), text.percent(t.share_compared_pairs))
        for n, t in found
        if t.candidates_right is not None or t.groups_left_out or t.candidates_rejected
    ]
    notes = (
        "of one z: groups whose candidates all have it; left out: those of them that train.groups keeps from training",
        "with a right, right: groups and candidates, by function; verified: those whose cross-entropy was taken",
        "rejected: candidates, by rejection sampling; compared: pairs, of those that training had",
    )
    return Grid("The groups", ("it", *_GROUPS, "compared"), tuple(rows), notes) if rows else None


def search_grid(metrics: Sequence[IterationMetrics]) -> Grid | None:
    """What the search behind each iteration's candidates took, and added to plain draws. None where there was none."""
    rows: list[tuple[str, ...]] = []
    for m in sorted(metrics, key=lambda m: m.iterations):
        if m.telemetry is None or (cost := m.telemetry.search) is None:
            continue
        numbers = cost.attempts, cost.completion_tokens, cost.tool_calls, cost.solved, cost.solved_at_once
        plain = text.NOT_MEASURED if cost.solved_by_plain is None else f"{cost.solved_by_plain:.1f}"
        rows.append((str(m.iterations), cost.strategy, cost.feedback, *map(text.count, numbers), plain))
    columns = ("it", "strategy", "looks at", "attempts", "tokens", "tool calls", "solved", "first draws", "plain draws")
    notes = (
        "solved: searches that found what is right by what they look at; first draws: by their first round",
        "plain draws: how many are expected of plain draws of as many tokens",
    )
    return Grid("Search behind the candidates", columns, tuple(rows), notes) if rows else None


def _gamed_cell(summary: EvalSummary) -> str:
    """For example ``"3 of 60: system-task 2, hierarchy 1"``."""
    total = f"{text.count(text.gamed(summary))} of {text.count(summary.total)}"
    rules = ", ".join(f"{name} {number}" for name, number in summary.gamed_by.items())
    return f"{total}: {rules}" if rules else total


def _published_rows(followed: Sequence[Series]) -> list[tuple[str, ...]]:
    splits: list[published.Split | None] = [key.published_split for key in followed]
    if not any(split is not None for split in splits):
        return []
    blank = [text.NOT_MEASURED] * 3
    return [
        (figure.model, "published", *blank,
         *(text.NOT_MEASURED if split is None else f"{figure.rate(split, 1):.1f}%" for split in splits))
        for figure in published.PASS_AT_1
    ]  # fmt: skip


def _size_notes(runs: Mapping[str, Sequence[IterationMetrics]], followed: Sequence[Series]) -> list[str]:
    """Say where a run judged only a part of the set that the published figures hold for."""
    notes = []
    for name, metrics in runs.items():
        for key in followed:
            split = key.published_split
            judged = series.points(metrics, key)
            if split and judged and judged[-1].summary.problems != published.FULL_SIZE[split]:
                have, full = judged[-1].summary.problems, published.FULL_SIZE[split]
                notes.append(f"{name} judged {have} problems of {key.benchmark}, the published figures hold for {full}")
    return list(dict.fromkeys(notes))


def iteration_table(metrics: Sequence[IterationMetrics]) -> "Group":
    """What ``iteration_grid`` holds, for a terminal of 80 columns: training in one table, each benchmark in its own."""
    from rich.console import Group

    wide = iteration_grid(metrics)
    fixed = len(_TRAINING_COLUMNS)
    short = ("it", "loss", "CE", "rank", "z", "parses", "active", "hinged", "KL")
    notes = ("z: mean over candidates", "active, hinged: share of pairs", "KL in nats a sequence")
    tables = [rich_table(Grid(wide.title, short, tuple(row[:fixed] for row in wide.rows), notes))]
    followed = series.all_series(sorted(metrics, key=lambda m: m.iterations))
    names = series.labels(followed)
    for number, key in enumerate(followed):
        first = fixed + 3 * number
        rows = tuple((row[0], *row[first : first + 3]) for row in wide.rows)
        columns = ("it", "pass@1 (95% interval)", "compiles", "correct/wrong/truncated/unjudged")
        tables.append(rich_table(Grid(names[key], columns, rows)))
    further = (make(metrics) for make in (ladder_grid, groups_grid, search_grid, gamed_grid))
    tables += [rich_table(grid) for grid in further if grid is not None]
    return Group(*tables)


def run_tables(runs: Mapping[str, Sequence[IterationMetrics]]) -> "list[Text | Group | Fitted]":
    """What ``itertl report`` prints: each run's iterations, then the runs side by side.

    One run alone is set beside the published figures, where VerilogEval v1 was judged, and beside nothing otherwise.
    """
    from rich.text import Text

    shown: list[Text | Group | Fitted] = []
    for name, metrics in runs.items():
        if len(runs) > 1:
            shown.append(Text(f"\n{text.one_line(name)}", style="bold"))
        shown.append(iteration_table(metrics))
    if len(runs) > 1 or any(is_published(metrics) for metrics in runs.values()):
        shown.append(rich_table(comparison_grid(runs)))
    return shown
