"""One self-contained HTML page: no request to anywhere, every foreign text escaped, one script of ours.

A content security policy forbids what the page does not need, and allows the script by its hash alone, so that even a
text that slipped through could load or run nothing. The same run gives the same bytes: no date of making is on it. The
elements are in ``templates``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from itertl.report import across, embed, findings, gallery, html, tables, waveform
from itertl.report.catalogue import Catalogue
from itertl.report.grids import Grid
from itertl.report.paired import PairedDifference
from itertl.report.provenance import facts_grid, stages_grid
from itertl.report.series import Series
from itertl.runs import wording as text
from itertl.runs.read import Run
from itertl.runs.waves import read_waves

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "pass-rate": (
        "Pass@1 against the number of iterations",
        "How often the first answer is right. 0 is the untouched model; the bars are 95% intervals over the "
        "problems. Two points whose bars overlap widely may differ by the choice of problems alone.",
    ),
    "loss": (
        "Loss within each iteration",
        "One colour an iteration; the light line is each optimizer step, the dark one its exponential average; the "
        "axis is logarithmic. A later curve that lies lower has learnt from its newly sampled candidates, or has seen "
        "the same references once more.",
    ),
    "telemetry": (
        "What the loop did",
        "Across: the iteration. Its candidates come from the model of the iteration before. An active pair differs in "
        "z by more than β, a hinged one also violates the margin: without them nothing is ranked. KL says how far "
        "training moved the model. A growing surrogate gap means that z is satisfied faster than function is learnt.",
    ),
    "verdicts": (
        "What became of the completions",
        "Share of each verdict among all held-out completions, one bar an evaluated iteration. Gamed ones use what a "
        "design has no business with and were refused unrun. Unjudged ones are not the model's fault and enter no "
        "rate.",
    ),
}


@dataclass(frozen=True, slots=True)
class RunContent:
    """A run with what the page reads besides: paired differences, examples, and notes on examples."""

    run: Run
    paired: Mapping[Series, PairedDifference]
    examples: Sequence[gallery.BeforeAfter]
    notes: Sequence[str]
    waves: Mapping[tuple[str, str, str], Markup]  # benchmark, task, hash of the answer


def gather(run: Run) -> RunContent:
    """Read what the page needs. Raises DataError where a file of verdicts, samples or problems cannot be read."""
    waves = {(w.benchmark, w.task_id, w.completion_hash): waveform.svg(w) for w in read_waves(run.folder)}
    return RunContent(run, findings.differences(run), *gallery.examples(run), waves)


def render(
    contents: Sequence[RunContent], figures: Mapping[str, str], catalogue: Catalogue, *, is_served: bool = False
) -> str:
    """The page of one run or of runs side by side. ``figures``: name -> SVG text as ``figures.EVERY`` makes them.

    ``is_served``: the page of ``itertl view``, which asks its server for the texts; otherwise it holds as many as fit.
    """
    values = _values(contents, figures)
    if not catalogue.answers:
        return html.render("runs", answers=None, **values)
    code, source = embed.script()
    shown = _Answers(Markup(), code, source, len(catalogue.answers), (), tuple(catalogue.notes), is_served)
    if is_served:
        return html.render("runs", answers=replace(shown, data=embed.served_payload(catalogue)), **values)
    room = embed.PAGE_BYTES - len(html.render("runs", answers=shown, **values).encode()) - 1000  # the notes below
    packed = embed.payload(catalogue, room)
    return html.render("runs", answers=replace(shown, data=packed.data, left_out=packed.left_out), **values)


@dataclass(frozen=True, slots=True)
class _Answers:
    """The list of answers as its template takes it. ``source``: what allows ``code`` to run."""

    data: Markup
    code: Markup
    source: str
    number: int
    left_out: Sequence[str]
    notes: Sequence[str]
    served: bool


def _values(contents: Sequence[RunContent], figures: Mapping[str, str]) -> dict[str, Any]:
    runs = [content.run for content in contents]
    several = len(runs) > 1
    return {
        "title": "Runs side by side" if several else runs[0].name, "several": several,
        "views": [_view(content, is_alone=not several) for content in contents],
        "comparison": tables.comparison_grid({run.name: run.metrics for run in runs}) if several else None,
        "across": across.grids(runs) if several else (), "settings": settings_grid(runs),
        "drawn": figures, "captions": CAPTIONS,
    }  # fmt: skip


def _view(content: RunContent, *, is_alone: bool) -> dict[str, Any]:
    run = content.run
    return {
        "run": run, "sentences": findings.sentences(run, content.paired), "tiles": findings.tiles(run),
        "grids": list(_grids(run, is_alone=is_alone)) if run.metrics else [],
        "examples": content.examples, "waves": content.waves,
        "notes": content.notes, "facts": facts_grid(run), "stages": stages_grid(run),
    }  # fmt: skip


def _grids(run: Run, *, is_alone: bool) -> Iterator[tuple[Grid, str, str]]:
    """(grid, title above it, class of the style sheet) of a run's numbers."""
    yield tables.iteration_grid(run.metrics), "", ""
    plain = tables.best_of_temperatures_grid, tables.ladder_grid, tables.groups_grid, tables.search_grid
    for make, kind in (*((make, "") for make in plain), (tables.gamed_grid, "text")):
        if grid := make(run.metrics):
            yield grid, grid.title, kind
    if is_alone and tables.is_published(run.metrics):
        yield tables.comparison_grid({run.name: run.metrics}), "Beside published figures", ""


def settings_grid(runs: Sequence[Run]) -> Grid | None:
    """The recipe's keys in which the runs differ, side by side; None where they do not."""
    flat = [_leaves(run.recipe.model_dump(mode="json")) for run in runs]
    keys = [key for key in dict.fromkeys(k for tree in flat for k in tree) if len({tree.get(key) for tree in flat}) > 1]
    rows = tuple((key, *(tree.get(key, text.NOT_MEASURED) for tree in flat)) for key in keys)
    return Grid("Settings that differ", ("setting", *(run.name for run in runs)), rows) if rows else None


def _leaves(tree: object, at: str = "") -> dict[str, str]:
    if isinstance(tree, dict) and tree:
        return {k: v for key, node in tree.items() for k, v in _leaves(node, f"{at}.{key}" if at else str(key)).items()}
    if isinstance(tree, list) and tree:
        return {k: v for i, node in enumerate(tree) for k, v in _leaves(node, f"{at}.{i}").items()}
    return {at: text.NOT_MEASURED if tree is None else str(tree)}
