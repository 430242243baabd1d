"""The paper's figures 2 and 3 and what section 3.2 asks to watch, drawn from one run or from runs side by side.

Each function returns an SVG text, or None where there is nothing to draw. Not measured is left out of a line, never
drawn as zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from itertl.records import EvalSummary, IterationMetrics, Verdict
from itertl.report import canvas, series
from itertl.report.curves import loss_figure
from itertl.runs import wording as text
from itertl.runs.read import Run, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Line(NamedTuple):
    """One line of a panel, against the number of iterations ``x``. ``arms``: of its error bars, below and above."""

    name: str
    x: Sequence[int]
    y: Sequence[float]
    position: int  # of its colour and style
    arms: tuple[Sequence[float], Sequence[float]] = ((), ())


def _rate_line(name: str, judged: Sequence[series.Point], position: int) -> _Line:
    """pass@1 in percent with its interval; an arm of unknown length is 0 (matplotlib takes no negative one)."""
    rates = [series.pass_1(p.summary) for p in judged]
    low, y, high = ([100 * finite(getattr(rate, field, None)) for rate in rates] for field in ("low", "value", "high"))
    below = [b - a if b > a else 0.0 for a, b in zip(low, y, strict=True)]
    above = [b - a if b > a else 0.0 for a, b in zip(y, high, strict=True)]
    return _Line(name, [p.iterations for p in judged], y, position, (below, above))


def pass_rate_figure(runs: Sequence[Run]) -> str | None:
    """The paper's figure 2: pass@1 against the number of iterations, with 95% intervals; 0 is the untouched model.

    One run: one line a benchmark. Several runs: one panel a benchmark, one line a run.
    """
    followed = series.all_series(m for run in runs for m in run.metrics)
    names = series.labels(followed)
    if len(runs) == 1:
        groups = {"": [_rate_line(names[s], series.points(runs[0].metrics, s), i) for i, s in enumerate(followed)]}
    else:
        groups = {
            names[s]: [_rate_line(run.name, series.points(run.metrics, s), i) for i, run in enumerate(runs)]
            for s in followed
        }
    known = {title: [line for line in lines if not all(map(math.isnan, line.y))] for title, lines in groups.items()}
    drawn = {title: lines for title, lines in known.items() if lines}
    if not drawn:
        return None
    columns = min(2, len(drawn))
    height = 3.6 * -(-len(drawn) // columns) + 0.35 * (len(runs) > 1)

    def plot(figure: "Figure") -> None:
        every = canvas.panels(figure, len(drawn), columns)
        for axes, (title, lines) in zip(every, drawn.items(), strict=True):
            _draw_pass_rates(axes, title, lines)

    return canvas.draw(7.2 if columns == 1 else 9.6, height, plot)


def _draw_pass_rates(axes: "Axes", title: str, lines: Sequence[_Line]) -> None:
    handles = []
    for order, line in enumerate(lines):
        shift = 0.05 * (order - (len(lines) - 1) / 2)  # so that error bars of several lines do not overlap
        colour = canvas.series_colour(line.position)
        handle = axes.errorbar(
            [x + shift for x in line.x], line.y, yerr=line.arms, color=colour,
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
    panels = [
        (title, [_known(run.name, _measured(run.metrics, field, scale), i) for i, run in enumerate(runs)])
        for title, field, scale in _SHARES
    ]
    panels.append(("surrogate gap: mean z − pass@1", _gap_lines(runs)))
    drawn = [(title, kept) for title, lines in panels if (kept := [line for line in lines if line.x])]
    if not drawn:
        return None

    def plot(figure: "Figure") -> None:
        for axes, (title, lines) in zip(canvas.panels(figure, len(drawn), 4), drawn, strict=True):
            _draw_telemetry(axes, title, lines)
        if len(runs) > 1:
            _run_legend(figure, [run.name for run in runs])

    rows = -(-len(drawn) // 4)
    return canvas.draw(2.55 * min(4, len(drawn)), 2.1 * rows + 0.3 * (len(runs) > 1), plot)


def _known(name: str, found: Iterable[tuple[int, float]], position: int) -> _Line:
    """The line of what was measured."""
    known = [(n, value) for n, value in found if not math.isnan(value)]
    return _Line(name, [n for n, _ in known], [value for _, value in known], position)


def _measured(metrics: Sequence[IterationMetrics], field: str, scale: float) -> list[tuple[int, float]]:
    """That field of the telemetry after each number of iterations, NaN where it was not measured."""
    return [(m.iterations, scale * finite(getattr(m.telemetry, field))) for m in metrics if m.telemetry is not None]


def _gap_lines(runs: Sequence[Run]) -> list[_Line]:
    """The gap on held-out sets: coloured by run, or by benchmark where there is one run."""
    lines: list[_Line] = []
    names = series.labels(series.all_series(m for run in runs for m in run.metrics))
    for run_position, run in enumerate(runs):
        for position, (key, name) in enumerate(names.items()):
            gaps = [(p.iterations, finite(series.surrogate_gap(p.summary))) for p in series.points(run.metrics, key)]
            lines.append(_known(name, gaps, position if len(runs) == 1 else run_position))
    return lines


def _draw_telemetry(axes: "Axes", title: str, lines: Sequence[_Line]) -> None:
    for line in lines:
        style = canvas.line_style(line.position)
        axes.plot(line.x, line.y, color=canvas.series_colour(line.position), linestyle=style, marker="o")
    axes.set_title(title, fontsize=8.5, fontweight="normal")
    axes.tick_params(labelsize=8)
    whole_numbers(axes, [n for line in lines for n in line.x])
    if title.endswith("%"):
        top = max(max(line.y) for line in lines)
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
    drawn: list[tuple[str, list[series.Point]]] = []
    for run in runs:
        for key, name in series.labels(series.all_series(run.metrics)).items():
            judged = [p for p in series.points(run.metrics, key) if sum(p.summary.by_verdict.values()) > 0]
            if judged:
                drawn.append((f"{run.name}: {name}" if len(runs) > 1 else name, judged))
    if not drawn:
        return None
    columns = 2 if len(drawn) > 1 else 1
    each = 0.34 * max(len(judged) for _, judged in drawn) + 1.0
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
