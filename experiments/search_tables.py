"""Tables and the figure of ``search_curves.py``, from the rows of its ``curves.json``."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from itertl.report import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AXES = {"tokens": "At equal tokens (in greedy answers)", "draws": "By draws"}
_SIGHT = {False: "without the references in sight", True: "with the benchmark's references in sight: no measure of it"}


def markdown(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    lines = [f"# Search at test time: {title}", ""]
    for sight, words in _SIGHT.items():
        seen = [r for r in rows if (r["feedback"] == "reference") == sight]
        for axis, heading in _AXES.items():
            some = [r for r in seen if r["axis"] == axis]
            if some:
                lines += [f"## {heading}, {words}", "", *_table(some), ""]
        grid = _grid([r for r in seen if r["axis"] == "depth"])
        lines += [f"## Breadth k × depth, {words}", "", *grid] if grid else []
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = ("model", "search", "looks at", "budget", "pass rate", "to greedy", "to best-of at equal cost", "tokens",
               "prompt tokens", "tool calls", "seconds", "ran out")  # fmt: skip
    has_area = any(r["area_delay"] for r in rows)
    columns += ("area × delay, right answers",) * has_area
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for r in rows:
        bounds = f" ({100 * r['interval'][0]:.1f}–{100 * r['interval'][1]:.1f})" if r["interval"] else ""
        cells = [r["model"], r["search"], r["feedback"], r["at"], f"{100 * r['pass_rate']:.1f}%{bounds}"]
        cells += [_difference(r["to_greedy"]), _difference(r["to_best_of"])]
        cells += [f"{r[key]:.0f}" for key in ("tokens", "prompt_tokens")] + [f"{r['tool_calls']:.1f}"]
        cells += ["–" if r["seconds"] is None else f"{r['seconds']:.2f}", f"{r['ran_out']:.0%}"]
        cells += [f"{r['area_delay']:.2f}" if r["area_delay"] else "–"] * has_area
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _difference(found: Sequence[float] | None) -> str:
    if found is None:
        return "–"
    value, low, high = (100 * one for one in found)
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _grid(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """AutoChip's table: a row for each breadth, a column for each depth; searches that differ elsewhere apart."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for r in rows:
        others = {k: v for k, v in r["options"].items() if k not in ("breadth", "depth")}
        groups.setdefault(f"{r['model']}, repair {json.dumps(others)}", []).append(r)
    lines: list[str] = []
    for name, some in groups.items():
        depths = sorted({r["at"] for r in some})
        lines += [f"{name}: pass rate, mean tokens drawn", "", f"| k | {' | '.join(f'depth {d}' for d in depths)} |"]
        lines.append("|---" * (len(depths) + 1) + "|")
        for breadth in sorted({r["options"].get("breadth", 3) for r in some}):
            at = {r["at"]: r for r in some if r["options"].get("breadth", 3) == breadth}
            cells = [f"{100 * at[d]['pass_rate']:.1f}%, {at[d]['tokens']:.0f}" if d in at else "–" for d in depths]
            lines.append(f"| {breadth} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def figure(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row of panels for each model and sight: pass rate against tokens, tool calls and seconds."""
    some = [r for r in rows if r["axis"] == "tokens"]
    kinds = list(dict.fromkeys((r["model"], r["feedback"] == "reference") for r in some))
    axes_of = (("tokens", "tokens drawn a problem"), ("tool_calls", "tool calls"), ("seconds", "seconds"))
    names = list(dict.fromkeys(r["search"] for r in some))

    def plot(figure: "Figure") -> None:
        every = canvas.panels(figure, len(axes_of) * len(kinds), len(axes_of))
        for place, axes in enumerate(every):
            (model, sight), (key, label) = kinds[place // len(axes_of)], axes_of[place % len(axes_of)]
            for number, name in enumerate(names):
                line = [
                    r for r in some if (r["model"], r["feedback"] == "reference", r["search"]) == (model, sight, name)
                ]
                line = [r for r in line if r[key] is not None]
                x, y = [r[key] for r in line], [100 * r["pass_rate"] for r in line]
                colour, style = canvas.series_colour(number), canvas.line_style(number)
                axes.plot(x, y, marker="o", label=name, color=colour, linestyle=style)
            axes.set_xlabel(label)
            axes.set_xscale("symlog" if key != "tokens" else "log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            if key == "tokens":
                axes.set_title(f"{model}{', references in sight' if sight else ''}")
                axes.set_ylabel("pass rate, %")
        handles, labels = every[0].get_legend_handles_labels()
        canvas.legend(figure, handles, labels, loc="outside lower center", ncols=min(6, len(names)))

    return canvas.draw(10.2, 2.9 * len(kinds) + 0.5, plot)
