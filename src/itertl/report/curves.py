"""The paper's figure 3: the loss curves of each iteration, raw light and smoothed dark, on a log scale."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from itertl.records import TrainStep
from itertl.report import canvas
from itertl.runs import wording as text
from itertl.runs.read import Run, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def smooth(values: Sequence[float], keep: float) -> list[float]:
    """Exponential average with its start-up bias removed: ``s_t = Σ keep^(t-i)·v_i / Σ keep^(t-i)``, i ≤ t.

    ``keep`` in [0, 1): 0 gives the values back. A NaN is skipped: it adds to neither sum, and its place repeats the
    average before it (NaN where there is none).
    """
    if not 0 <= keep < 1:
        raise ValueError(f"keep is {keep}; it must be at least 0 and below 1")
    total = weight = 0.0
    averages: list[float] = []
    for value in values:
        total, weight = keep * total, keep * weight
        if not math.isnan(value):
            total, weight = total + value, weight + 1.0
        averages.append(total / weight if weight > 0 else math.nan)
    return averages


def keep_for(steps: int) -> float:
    """How strongly a curve of so many steps is smoothed: over about a tenth of them, at most 0.95."""
    return min(0.95, max(0.0, 1 - 10 / steps)) if steps else 0.0


_PARTS: tuple[tuple[str, Callable[[TrainStep], float]], ...] = (
    ("loss", lambda step: step.loss),
    ("reference cross-entropy", lambda step: step.loss_ce),
    ("ranking loss", lambda step: step.loss_ranking),
)


def loss_figure(runs: Sequence[Run]) -> str | None:
    """One row a run, one panel for each of loss, cross-entropy and ranking loss; one colour an iteration.

    A value that is zero or below has no place on a log scale: it is left out, and the panel says how many were. A
    panel without a positive value is linear. None where no run has a step on record.
    """
    drawn = [run for run in runs if any(run.train.values())]
    if not drawn:
        return None

    def plot(figure: "Figure") -> None:
        every = canvas.panels(figure, len(_PARTS) * len(drawn), len(_PARTS))
        for row, run in enumerate(drawn):
            title = f"{text.one_line(run.name, 36)}: " if len(runs) > 1 else ""
            for axes, (name, value_of) in zip(every[row * len(_PARTS) :], _PARTS, strict=False):
                _draw_part(axes, run, value_of)
                axes.set_title(title + name if title and name == "loss" else name)
        _legend(figure, sorted({n for run in drawn for n, steps in run.train.items() if steps}))

    return canvas.draw(10.2, 2.9 * len(drawn) + 0.35, plot)


def _draw_part(axes: "Axes", run: Run, value_of: Callable[[TrainStep], float]) -> None:
    total = max(run.train)
    hidden = every = 0
    is_log = any(finite(value_of(s)) > 0 for steps in run.train.values() for s in steps)
    for number, steps in run.train.items():
        if not steps:
            continue
        raw = [finite(value_of(s)) for s in steps]
        dark = smooth(raw, keep_for(len(raw)))
        if is_log:
            hidden += sum(value <= 0 for value in raw)
            raw, dark = _positive(raw), _positive(dark)
        every += len(steps)
        colour, x = canvas.ordered_colour(number - 1, total), [s.step for s in steps]
        dot = "o" if len(x) == 1 else None
        axes.plot(x, raw, color=colour, alpha=0.3, linewidth=0.9, marker=dot)
        axes.plot(x, dark, color=colour, linewidth=1.7, marker=dot)
    if is_log:
        axes.set_yscale("log")
        axes.grid(visible=False, which="minor")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(_minor_labels(axes))
    if hidden:
        note = f"{hidden} of {every} steps not above zero,\nso not on a log scale"
        axes.text(
            0.98, 0.97, note, transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=canvas.light("soft")
        )
    axes.tick_params(which="both", labelsize=8)
    axes.set_xlabel("optimizer step of the iteration")


def _positive(values: Sequence[float]) -> list[float]:
    return [value if value > 0 else math.nan for value in values]


def _minor_labels(axes: "Axes") -> Callable[[float, float], str]:
    """Label the minor ticks only where less than a decade is shown, or no number would be seen at all."""

    def label(value: float, _: float) -> str:
        low, high = axes.get_ylim()
        lead = value / 10 ** math.floor(math.log10(value) + 1e-9)
        narrow = low > 0 and high / low < 10
        return f"{value:g}" if narrow and round(lead) in (1, 2, 3, 5, 7) else ""

    return label


def _legend(figure: "Figure", numbers: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    total = max(numbers)
    shown = numbers if len(numbers) <= 12 else [*numbers[:: -(-len(numbers) // 11)], total]
    shown = sorted(set(shown))
    handles = [Line2D([], [], color=canvas.ordered_colour(n - 1, total), linewidth=2) for n in shown]
    names = [f"iteration {n}" for n in shown]
    canvas.legend(figure, handles, names, loc="outside lower center", ncols=min(7, len(shown)))
