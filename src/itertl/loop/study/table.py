"""A study as tables (page, terminal, Markdown, CSV): its arms next to each other and to the published figures.

What is counted is ``study.results``'s; the figures are ``plots``'s.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from itertl.loop.study import plots
from itertl.loop.study.results import KS, ArmRow, StudyResults
from itertl.records import PassAtK
from itertl.report import grids, html, page, published, series
from itertl.report.grids import Grid
from itertl.report.series import Series
from itertl.report.write import check_ours, write_page
from itertl.runs import storage
from itertl.runs import wording as text

_NOTES = (
    "95% intervals over seeds and problems",
    "difference: pass@1 minus the control's, on the seeds and problems that both have",
    "p: sign-flip test over problems, each with its mean over the seeds, after Holm over all comparisons of the study",
)


def arm_grids(results: StudyResults, *, narrow: bool = False) -> list[Grid]:
    """One grid for each benchmark and temperature, the published figures below where there are some; then, where a
    benchmark has several temperatures, the paper's own protocol, the best of them. ``narrow``: fewer columns, for a
    terminal."""
    every = list(dict.fromkeys(row.series for row in (*results.untouched, *results.table)))
    grids = [_arm_grid(results, key, narrow=narrow) for key in every]
    for protocol in dict.fromkeys(key._replace(temperature=None) for key in every):
        if sum(key._replace(temperature=None) == protocol for key in every) > 1:
            grids.append(_best_grid(results, protocol))
    return grids


def _arm_grid(results: StudyResults, key: Series, *, narrow: bool) -> Grid:
    rows, ks = _rows_and_ks(results, lambda row: row.series == key)
    rates = [f"pass@{k}" for k in ks]
    if narrow:
        columns = ["arm", "seeds", "ref. tokens", "cand. tokens", *rates, "compiles", "to control", "p"]
    else:
        columns = [
            "arm", "method", "seeds", "iterations", "reference tokens", "candidate tokens", *rates, "compiles",
            f"difference to {results.study.control}", "p (Holm)",
        ]  # fmt: skip
    ours = [_cells(row, ks, narrow=narrow) for row in rows]
    blank = text.NOT_MEASURED
    foreign = [
        (model, *([blank] * 3 if narrow else ["published", *[blank] * 4]), *found, *[blank] * 3)
        for model, *found in _published_rates(key, ks)
    ]
    muted = frozenset(range(len(ours), len(ours) + len(foreign)))
    title = ", ".join(filter(None, (key.name, series.temperature_name(key.temperature), key.search)))
    return Grid(title, tuple(columns), (*ours, *foreign), (*_NOTES, *_published_notes(key, rows)), muted)


def _rows_and_ks(results: StudyResults, is_shown: Callable[[ArmRow], bool]) -> tuple[list[ArmRow], list[int]]:
    rows = [row for row in (*results.untouched, *results.table) if is_shown(row)]
    return rows, [k for k in KS if any(k in row.pass_at for row in rows)]


def _cells(row: ArmRow, ks: Sequence[int], *, narrow: bool) -> tuple[str, ...]:
    gap = row.difference
    shown = (
        text.NOT_MEASURED if gap is None else f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    )
    iterations = "/".join(str(n) for n in dict.fromkeys(row.iterations))
    tokens = text.count(row.reference_tokens), text.count(row.candidate_tokens)
    seeds = str(len(row.seeds))
    head = (row.arm, seeds) if narrow else (row.arm, row.method or text.NOT_MEASURED, seeds, iterations)
    rates = [text.rate_with_interval(row.pass_at.get(k)) for k in ks]
    cells = (*head, *tokens, *rates, text.percent(row.compile_rate), shown, _p(gap.p_holm if gap else None))
    return tuple(cell.replace(" (", "\n(") for cell in cells) if narrow else cells


def _p(value: float | None) -> str:
    if value is None:
        return text.NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _published_rates(key: Series, ks: Sequence[int]) -> list[tuple[str, ...]]:
    """Model and pass@k of every published row, where the benchmark is one of theirs."""
    split = key.published_split
    if split is None:
        return []
    return [(figure.model, *(_published_rate(figure.rate(split, k)) for k in ks)) for figure in published.PASS_AT_1]


def _published_rate(rate: float | None) -> str:
    return text.NOT_MEASURED if rate is None else f"{rate:.1f}%"


def _published_notes(key: Series, rows: Sequence[ArmRow]) -> list[str]:
    split = key.published_split
    if split is None:
        return []
    notes = [
        f"published figures: {published.SOURCE}, the paper's own the best of four temperatures; models of other "
        "sizes, judged by other hands"
    ]
    full = published.FULL_SIZE[split]
    if partial := sorted({row.problems for row in rows} - {full}):
        notes.append(f"judged here: {', '.join(map(str, partial))} problems, the published figures hold for {full}")
    return notes


def _best_grid(results: StudyResults, protocol: Series) -> Grid:
    """The paper's protocol: for each arm and k the best of the temperatures of ``protocol``, which has none."""
    rows, ks = _rows_and_ks(results, lambda row: row.series._replace(temperature=None) == protocol)
    lines = [
        (arm, *(_best([row for row in rows if row.arm == arm], k) for k in ks))
        for arm in dict.fromkeys(row.arm for row in rows)
    ]
    foreign = _published_rates(protocol, ks)
    note = "the paper's protocol: it chooses the temperature on the test set, so it flatters"
    muted = frozenset(range(len(lines), len(lines) + len(foreign)))
    title = ", ".join(filter(None, (protocol.name, protocol.search))) + ": best of the temperatures"
    return Grid(title, ("arm", *(f"pass@{k}" for k in ks)), tuple(lines + foreign), (note,), muted)


def _best(rows: Sequence[ArmRow], k: int) -> str:
    known = [row for row in rows if k in row.pass_at and row.pass_at[k].value is not None]
    if not known:
        return text.NOT_MEASURED
    row = max(known, key=lambda row: row.pass_at[k].value or 0.0)
    return f"{text.rate_with_interval(row.pass_at[k])} at {series.temperature_name(row.series.temperature)}"


def csv_text(results: StudyResults) -> str:
    """One line for each arm, benchmark and temperature; rates in [0, 1], an empty cell for what was not measured."""
    columns = [
        "arm", "method", "benchmark", "temperature", "search", "seeds", "iterations", "problems", "reference_tokens",
        "candidate_tokens", *(name for k in KS for name in (f"pass_at_{k}", f"pass_at_{k}_low", f"pass_at_{k}_high")),
        "compile_rate", "difference", "difference_low", "difference_high", "p_holm", "p_uncorrected",
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in (*results.untouched, *results.table):
        gap = row.difference
        rates = [row.pass_at.get(k, PassAtK(k=k, value=None)) for k in KS]
        writer.writerow([
            row.arm, row.method, row.series.name, row.series.temperature, row.series.search, len(row.seeds),
            "/".join(map(str, row.iterations)), row.problems, row.reference_tokens, row.candidate_tokens,
            *(value for rate in rates for value in (rate.value, rate.low, rate.high)), row.compile_rate,
            *((gap.value, gap.low, gap.high, gap.p_holm, gap.p_value) if gap else [None] * 5),
        ])  # fmt: skip
    return out.getvalue()


def markdown(results: StudyResults) -> str:
    """Every grid as Markdown, and what is missing."""
    seeds = ", ".join(map(str, results.study.seeds))
    head = f"# {text.one_line(results.study.name)}\n\ncontrol {results.study.control}, seeds {seeds}\n"
    missing = "".join(f"- {text.one_line(note)}\n" for note in results.notes)
    return "\n".join([head, *(grids.markdown(grid) for grid in arm_grids(results)), missing])


def write(results: StudyResults, out: Path) -> Path:
    """Write ``report.html``, ``figures/``, ``table.md`` and ``table.csv`` into the study's folder; the page's path."""
    check_ours(out)
    drawn = {name: svg for name, draw in plots.EVERY.items() if (svg := draw(results)) is not None}
    storage.write_text(out / "table.md", markdown(results))
    storage.write_text(out / "table.csv", csv_text(results))
    return write_page(out, render(results, drawn), plots.EVERY, drawn).page


def render(results: StudyResults, figures: Mapping[str, str]) -> str:
    """The page of a study."""
    runs = [(name, seed, run) for name, found in results.runs.items() for seed, run in found.items()]
    return html.render(
        "study",
        results.study.name,
        study=results.study,
        remarks=results.notes,
        grids=arm_grids(results),
        drawn=figures,
        captions=plots.CAPTIONS,
        settings=page.settings_grid([next(iter(found.values())) for found in results.runs.values() if found]),
        links=[(f"{name}/seed-{seed}/report.html", run.name) for name, seed, run in runs],
    )
