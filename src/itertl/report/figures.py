"""The paper's figures 2 and 3 and what section 3.2 asks to watch, drawn from one run or from runs side by side.

Each function returns an SVG text, or None where there is nothing to draw. Not measured is left out of a line, never
drawn as zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from itertl.records import EvalSummary, IterationMetrics, Verdict
from itertl.report import canvas, series
from itertl.report.curves import loss_figure
from itertl.report.series import Series
from itertl.runs import wording as text
from itertl.runs.read import Run, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _RateLine:
    """One line of figure 2: pass@1 in percent against the number of iterations, with its interval."""

    def __init__(self, name: str, judged: Sequence[series.Point], position: int) -> None:
        self.name, self.position = name, position
        self.x = [p.iterations for p in judged]
        rates = [series.pass_1(p.summary) for p in judged]
        self.y = [100 * finite(r.value if r else None) for r in rates]
        lows = [100 * finite(r.low if r else None) for r in rates]
        highs = [100 * finite(r.high if r else None) for r in rates]
        self.below = [_reach(y, low) for y, low in zip(self.y, lows, strict=True)]
        self.above = [_reach(high, y) for y, high in zip(self.y, highs, strict=True)]

    @property
    def is_empty(self) -> bool:
        return all(math.isnan(y) for y in self.y)


def _reach(upper: float, lower: float) -> float:
    """Length of one arm of an error bar; 0 where an end is not known (matplotlib takes no negative one)."""
    return max(0.0, upper - lower) if not math.isnan(upper - lower) else 0.0


def pass_rate_figure(runs: Sequence[Run]) -> str | None:
    """The paper's figure 2: pass@1 against the number of iterations, with 95% intervals; 0 is the untouched model.

    One run: one line a benchmark. Several runs: one panel a benchmark, one line a run.
    """
    followed = series.all_series(m for run in runs for m in run.metrics)
    names = series.labels(followed)
    if len(runs) == 1:
        lines = [_RateLine(names[s], series.points(runs[0].metrics, s), i) for i, s in enumerate(followed)]
        groups = {"": lines}
    else:
        groups = {
            names[s]: [_RateLine(run.name, series.points(run.metrics, s), i) for i, run in enumerate(runs)]
            for s in followed
        }
    drawn = {title: kept for title, lines in groups.items() if (kept := [line for line in lines if not line.is_empty])}
    if not drawn:
        return None
    columns = min(2, len(drawn))
    height = 3.6 * -(-len(drawn) // columns) + 0.35 * (len(runs) > 1)

    def plot(figure: "Figure") -> None:
        every = canvas.panels(figure, len(drawn), columns)
        for axes, (title, lines) in zip(every, drawn.items(), strict=True):
            _draw_pass_rates(axes, title, lines)

    return canvas.draw(7.2 if columns == 1 else 9.6, height, plot)


def _draw_pass_rates(axes: "Axes", title: str, lines: Sequence[_RateLine]) -> None:
    handles = []
    for order, line in enumerate(lines):
        shift = 0.05 * (order - (len(lines) - 1) / 2)  # so that error bars of several lines do not overlap
        colour = canvas.series_colour(line.position)
        handle = axes.errorbar(
            [x + shift for x in line.x], line.y, yerr=(line.below, line.above), color=colour,
            linestyle=canvas.line_style(line.position), marker="o", capsize=3, elinewidth=1.1,
        )  # fmt: skip
        handles.append(handle)
    if title:
        axes.set_title(text.one_line(title, 60))
    axes.set_xlabel("iterations (0: untouched model)")
    axes.set_ylabel("pass@1, %")
    axes.set_ylim(bottom=0)
    whole_numbers(axes, [x for line in lines for x in line.x])
    names = [text.one_line(line.name, 48) for line in lines]
    canvas.legend(axes, handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=min(2, len(names)))


def whole_numbers(axes: "Axes", found: Iterable[float]) -> None:
    """Ticks of the iteration axis: whole numbers, at most about a dozen, with room at both ends."""
    numbers = sorted({round(x) for x in found})
    low, high = numbers[0], numbers[-1]
    step = max(1, -(-(high - low) // 12))
    axes.set_xticks(range(low, high + 1, step))
    axes.set_xlim(low - 0.4, high + 0.4)


_SHARES = (
    ("candidates that parse, %", "share_parses", 100.0),
    ("mean z of candidates", "mean_z", 1.0),
    ("active pairs, %", "share_active_pairs", 100.0),
    ("hinged pairs, %", "share_hinged_pairs", 100.0),
    ("duplicate candidates, %", "share_duplicates", 100.0),
    ("truncated candidates, %", "share_truncated", 100.0),
    ("KL old → new, nats a sequence", "kl_old_new", 1.0),
)


def telemetry_figure(runs: Sequence[Run]) -> str | None:
    """Small multiples of what section 3.2 asks to watch, against the number of iterations; one line a run."""
    drawn: list[tuple[str, list[tuple[str, list[int], list[float], int]]]] = []
    for title, field, scale in _SHARES:
        lines = [(run.name, *_measured(run.metrics, field, scale), i) for i, run in enumerate(runs)]
        if kept := [line for line in lines if line[1]]:
            drawn.append((title, kept))
    if gaps := _gap_lines(runs):
        drawn.append(("surrogate gap: mean z − pass@1", gaps))
    if not drawn:
        return None

    def plot(figure: "Figure") -> None:
        for axes, (title, lines) in zip(canvas.panels(figure, len(drawn), 4), drawn, strict=True):
            _draw_telemetry(axes, title, lines)
        if len(runs) > 1:
            _run_legend(figure, [run.name for run in runs])

    rows = -(-len(drawn) // 4)
    return canvas.draw(2.55 * min(4, len(drawn)), 2.1 * rows + 0.3 * (len(runs) > 1), plot)


def _measured(metrics: Sequence[IterationMetrics], field: str, scale: float) -> tuple[list[int], list[float]]:
    """Where that field of the telemetry was measured, and what it was."""
    pairs = [(m.iterations, scale * finite(getattr(m.telemetry, field))) for m in metrics if m.telemetry is not None]
    known = [(n, value) for n, value in pairs if not math.isnan(value)]
    return [n for n, _ in known], [value for _, value in known]


def _gap_lines(runs: Sequence[Run]) -> list[tuple[str, list[int], list[float], int]]:
    """The gap on held-out sets: coloured by run, or by benchmark where there is one run."""
    lines = []
    names = series.labels(series.all_series(m for run in runs for m in run.metrics))
    for run_position, run in enumerate(runs):
        for position, (key, name) in enumerate(names.items()):
            gaps = [(p.iterations, series.surrogate_gap(p.summary)) for p in series.points(run.metrics, key)]
            known = [(n, gap) for n, gap in gaps if gap is not None and math.isfinite(gap)]
            if known:
                colour = position if len(runs) == 1 else run_position
                lines.append((name, [n for n, _ in known], [gap for _, gap in known], colour))
    return lines


def _draw_telemetry(axes: "Axes", title: str, lines: Sequence[tuple[str, list[int], list[float], int]]) -> None:
    for _, x, y, position in lines:
        axes.plot(x, y, color=canvas.series_colour(position), linestyle=canvas.line_style(position), marker="o")
    axes.set_title(title, fontsize=8.5, fontweight="normal")
    axes.tick_params(labelsize=8)
    whole_numbers(axes, [n for _, x, _, _ in lines for n in x])
    if title.endswith("%"):
        top = max(max(y) for _, _, y, _ in lines)
        axes.set_ylim(-2, max(10.0, min(102.0, top * 1.15 + 2)))


def _run_legend(figure: "Figure", names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=canvas.series_colour(i), linestyle=canvas.line_style(i), marker="o")
        for i in range(len(names))
    ]
    canvas.legend(figure, handles, [text.one_line(n, 40) for n in names], loc="outside lower center", ncols=3)


# In the order in which a completion fails later and later; then what is not the model's fault.
_VERDICTS: Mapping[str, tuple[str, str]] = {
    Verdict.PASSED: ("passed", "v-good"),
    Verdict.WRONG_OUTPUT: ("wrong output", "v-output"),
    Verdict.RUNTIME_ERROR: ("runtime error", "v-runtime"),
    Verdict.TIMEOUT: ("timeout", "v-timeout"),
    Verdict.COMPILE_ERROR: ("does not compile", "v-compile"),
    Verdict.ELABORATION_ERROR: ("does not elaborate", "v-elaboration"),
    Verdict.SYNTAX_ERROR: ("syntax error", "v-syntax"),
    Verdict.GAMED: ("gamed", "v-gamed"),
    Verdict.NO_CODE: ("no code", "v-none"),
    Verdict.TRUNCATED: ("truncated", "v-truncated"),
    "unjudged": ("unjudged (not the model's fault)", "v-ours"),
}


def verdict_shares(summary: EvalSummary) -> dict[str, float]:
    """Share of each verdict among all completions; the three that are not the model's fault count as "unjudged".

    A verdict of a name that this version does not know is counted as unjudged too, so that the shares add up to 1.
    """
    total = sum(summary.by_verdict.values())
    shares = dict.fromkeys(_VERDICTS, 0.0)
    for name, number in summary.by_verdict.items():
        shares[name if name in _VERDICTS else "unjudged"] += number / total if total else 0.0
    return shares


def verdict_figure(runs: Sequence[Run]) -> str | None:
    """Stacked bars of verdicts by number of iterations, one panel for each run and benchmark."""
    several = len(runs) > 1
    drawn: list[tuple[str, list[series.Point]]] = []
    for run in runs:
        names: Mapping[Series, str] = series.labels(series.all_series(run.metrics))
        for key, name in names.items():
            judged = [p for p in series.points(run.metrics, key) if sum(p.summary.by_verdict.values()) > 0]
            if judged:
                drawn.append((f"{run.name}: {name}" if several else name, judged))
    if not drawn:
        return None
    columns = 2 if len(drawn) > 1 else 1
    bars = [len(judged) for _, judged in drawn]
    each = 0.34 * max(bars) + 1.0
    rows = -(-len(drawn) // columns)

    def plot(figure: "Figure") -> None:
        used: dict[str, object] = {}
        for axes, (title, judged) in zip(canvas.panels(figure, len(drawn), columns), drawn, strict=True):
            _draw_verdicts(axes, title, judged, used)
        shown = [name for name in _VERDICTS if name in used]
        handles, labels = [used[n] for n in shown], [_VERDICTS[n][0] for n in shown]
        canvas.legend(figure, handles, labels, loc="outside lower center", ncols=4, fontsize=8.5)

    return canvas.draw(7.2 if columns == 1 else 9.6, each * rows + 0.6, plot)


def _draw_verdicts(axes: "Axes", title: str, judged: Sequence[series.Point], used: dict[str, object]) -> None:
    places = list(range(len(judged)))
    shares = [verdict_shares(p.summary) for p in judged]
    left = [0.0] * len(judged)
    for name, (_, colour) in _VERDICTS.items():
        widths = [100 * share[name] for share in shares]
        if any(widths):
            bars = axes.barh(places, widths, left=left, height=0.72, color=canvas.light(colour))
            used.setdefault(name, bars)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(places, ["untouched" if p.iterations == 0 else str(p.iterations) for p in judged])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of completions")
    axes.set_ylabel("iterations")
    axes.set_title(text.one_line(title, 60))


EVERY: Mapping[str, Callable[[Sequence[Run]], str | None]] = {
    "pass-rate": pass_rate_figure,
    "loss": loss_figure,
    "telemetry": telemetry_figure,
    "verdicts": verdict_figure,
}
