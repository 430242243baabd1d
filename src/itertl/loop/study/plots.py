"""A study's figures: the paper's figures 2 to 4 with a band over seeds, and the surrogate gap of section 3.2."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from itertl.loop.study.results import StudyResults
from itertl.records import EvalSummary
from itertl.report import canvas, series
from itertl.report.curves import loss_figure
from itertl.report.figures import telemetry_figure, whole_numbers
from itertl.report.series import Series
from itertl.runs import wording as text
from itertl.runs.read import Run
from itertl.training.methods import Method, resolve_method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "pass-rate": (
        "Pass@1 against the number of iterations",
        "The paper's figure 2: the line is the mean over seeds, the band reaches from the lowest to the highest seed. "
        "0 is the model that the arm began with.",
    ),
    "loss": (
        "Loss within each iteration",
        "The paper's figure 3, of each arm's first seed: one colour an iteration, each optimizer step light, the "
        "average dark, log scale.",
    ),
    "softmax": ("With and without softmax", "The paper's figure 4: arms that differ in the softmax of eq. 13 alone."),
    "gap": (
        "The surrogate gap",
        "Section 3.2: mean z minus pass@1 on the same held-out completions. Where it grows, the score is satisfied "
        "faster than function is learnt.",
    ),
    "telemetry": (
        "What the loop did",
        "Of each arm's first seed. An active pair differs in z by more than β; without them nothing is ranked.",
    ),
}


class _Line(NamedTuple):
    """One arm: for each number of iterations the values of its seeds."""

    name: str
    position: int
    values: Mapping[int, Sequence[float]]


def _lines(
    results: StudyResults, key: Series, value_of: Callable[[EvalSummary], float | None], arms: Sequence[str] | None
) -> list[_Line]:
    found = []
    for position, (name, runs) in enumerate(results.runs.items()):
        values: dict[int, list[float]] = {}
        for run in runs.values():
            for point in series.points(run.metrics, key):
                value = value_of(point.summary)
                if value is not None and math.isfinite(value):
                    values.setdefault(point.iterations, []).append(value)
        if values and (arms is None or name in arms):
            found.append(_Line(name, position, dict(sorted(values.items()))))
    return found


def _figure(
    results: StudyResults,
    label: str,
    value_of: Callable[[EvalSummary], float | None],
    arms: Sequence[str] | None = None,
) -> str | None:
    """A panel for each benchmark and temperature, a line for each of ``arms`` (None: all). None for no line."""
    every = series.all_series(m for runs in results.runs.values() for run in runs.values() for m in run.metrics)
    names = series.labels(every)
    drawn = [(names[key], lines) for key in every if (lines := _lines(results, key, value_of, arms))]
    if not drawn:
        return None
    columns = min(2, len(drawn))

    def plot(figure: "Figure") -> None:
        for axes, (title, lines) in zip(canvas.panels(figure, len(drawn), columns), drawn, strict=True):
            _draw(axes, title, label, lines)

    return canvas.draw(7.2 if columns == 1 else 9.6, 3.9 * -(-len(drawn) // columns), plot)


def _draw(axes: "Axes", title: str, label: str, lines: Sequence[_Line]) -> None:
    handles = []
    for line in lines:
        x, values, colour = list(line.values), line.values.values(), canvas.series_colour(line.position)
        middle = [sum(some) / len(some) for some in values]
        axes.fill_between(x, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.18, linewidth=0)
        handles += axes.plot(x, middle, color=colour, linestyle=canvas.line_style(line.position), marker="o")
    axes.set_title(text.one_line(title, 60))
    axes.set_xlabel("iterations (0: before training)")
    axes.set_ylabel(label)
    whole_numbers(axes, [n for line in lines for n in line.values])
    names = [text.one_line(line.name, 40) for line in lines]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
    canvas.legend(axes, handles, names, **place, ncols=min(3, len(lines)))


def _pass_1(summary: EvalSummary) -> float | None:
    return None if summary.pass_at_1 is None else 100 * summary.pass_at_1


def _firsts(results: StudyResults) -> list[Run]:
    """The first seed's run of each arm, under the arm's name."""
    return [dataclasses.replace(next(iter(runs.values())), name=name) for name, runs in results.runs.items() if runs]


def softmax_pairs(results: StudyResults) -> list[str]:
    """Arms that differ from another in the softmax of eq. 13 alone."""
    kinds: dict[str, tuple[bool, tuple[Method, object]]] = {}
    for run in _firsts(results):
        method = resolve_method(run.recipe.method, run.recipe.train)
        rest = run.recipe.model_dump(exclude={"name": True, "seed": True, "method": True, "train": {"softmax"}})
        kinds[run.name] = method.softmax, (dataclasses.replace(method, name="", softmax=False), rest)
    return [name for name, (has, rest) in kinds.items() if (not has, rest) in kinds.values()]


EVERY: Mapping[str, Callable[[StudyResults], str | None]] = {
    "pass-rate": lambda results: _figure(results, "pass@1, %", _pass_1),
    "loss": lambda results: loss_figure(_firsts(results)),
    "softmax": lambda results: _figure(results, "pass@1, %", _pass_1, softmax_pairs(results)),
    "gap": lambda results: _figure(results, "mean z − pass@1", series.surrogate_gap),
    "telemetry": lambda results: telemetry_figure(_firsts(results)) if _firsts(results) else None,
}
