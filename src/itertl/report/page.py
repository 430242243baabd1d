"""One self-contained HTML page: no script, no request to anywhere, every foreign text escaped.

A content security policy forbids what the page does not need, so that even a text that slipped through could load or
run nothing. The same run gives the same bytes: no date of making is on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itertl.report import canvas, findings, gallery, tables
from itertl.report.paired import Difference
from itertl.report.provenance import provenance_section
from itertl.report.series import Series
from itertl.report.tables import Grid
from itertl.report.theme import style_sheet
from itertl.runs import wording as text
from itertl.runs.read import Run

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

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
        "Across: the iteration. Its candidates come from the model of the iteration before. An active pair differs in z by more "
        "than β, a hinged one also violates the margin: without them nothing is ranked. KL says how far training moved "
        "the model. A growing surrogate gap means that z is satisfied faster than function is learnt.",
    ),
    "verdicts": (
        "What became of the completions",
        "Share of each verdict among all held-out completions, one bar an evaluated iteration. Gamed ones use what a "
        "design has no business with and were refused unrun. Unjudged ones are not the model's fault and enter no rate.",
    ),
}

MARK = " – itertl report</title>"  # by which a page is known to be one of ours


@dataclass(frozen=True, slots=True)
class Content:
    """A run with what the page reads besides: paired differences, examples, and notes on examples."""

    run: Run
    paired: Mapping[Series, Difference]
    examples: Sequence[gallery.Example]
    notes: Sequence[str]


def gather(run: Run) -> Content:
    """Read what the page needs. Raises DataError where a file of verdicts, samples or problems cannot be read."""
    return Content(run, findings.differences(run), *gallery.examples(run))


def render(contents: Sequence[Content], figures: Mapping[str, str]) -> str:
    """The page of one run or of runs side by side. ``figures``: name -> SVG text as ``figures.EVERY`` makes them."""
    runs = [content.run for content in contents]
    several = len(runs) > 1
    title = "Runs side by side" if several else runs[0].name
    body = [_top(title, runs)]
    for content in contents:
        body.append(_summary(content, heading=several))
    if several:
        body += ["<h2>Comparison</h2>", table(tables.comparison_grid({r.name: r.metrics for r in runs}))]
        body.append(settings_difference(runs))
    drawn = [figure(name, svg, CAPTIONS[name]) for name, svg in figures.items()]
    body += ["<h2>Figures</h2>", *drawn] if drawn else []
    body.append("<h2>Numbers</h2>")
    body += [_numbers(run, heading=several) for run in runs]
    body.append(_examples(contents))
    body.append("<h2>Where it comes from</h2>")
    body += [provenance_section(run, heading=several) for run in runs]
    body.append("<footer>Made by <code>itertl report</code>. This file needs nothing beside it.</footer>")
    return document(title, "\n".join(part for part in body if part))


def document(title: str, body: str) -> str:
    """A whole page around ``body``, which is HTML; ``title`` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text.html(title)}{MARK}\n<style>\n{style_sheet()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _top(title: str, runs: Sequence[Run]) -> str:
    kicker = "itertl report" if len(runs) == 1 else f"itertl report of {len(runs)} runs"
    state = _state(runs[0]) if len(runs) == 1 else ""
    return f'<header class="top"><p class="kicker">{kicker}</p><h1>{text.html(title)}</h1>{state}</header>'


def _state(run: Run) -> str:
    done = f"{run.iterations_done} of {run.recipe.iterations} iterations"
    if run.is_finished:
        return f'<span class="state done">finished: {done}</span>'
    return f'<span class="state open">unfinished: {done}</span>'


def _summary(content: Content, *, heading: bool) -> str:
    run = content.run
    head = f"<h2>{text.html(run.name)}</h2>{_state(run)}" if heading else ""
    said = " ".join(text.html(s) for s in findings.sentences(run, content.paired))
    tiles = "".join(
        f'<div class="tile"><div class="label">{text.html(t.label)}</div><div class="value">{text.html(t.value)}</div>'
        f'<div class="note">{text.html(t.note)}</div></div>'
        for t in findings.tiles(run)
    )
    return (
        f'<section>{head}<p class="summary">{said}</p>'
        + (f'<div class="tiles">{tiles}</div>' if tiles else "")
        + "</section>"
    )


def figure(name: str, svg: str, said: tuple[str, str]) -> str:
    """A drawing with its title and caption (``said``), as an element of a page."""
    title, caption = said
    drawing = canvas.inline(svg, name, text.html(title))
    if _is_narrow(svg):
        drawing = drawing.replace("<svg", '<svg class="narrow"', 1)
    return (
        f'<figure id="figure-{name}"><div class="scroll">{drawing}</div>'
        f"<figcaption><b>{text.html(title)}.</b> {text.html(caption)}</figcaption></figure>"
    )


def _is_narrow(svg: str) -> bool:
    """Whether a figure has one panel across, so that it may shrink to a phone's width."""
    return canvas.width_points(svg) < 560


def table(grid: Grid, kind: str = "") -> str:
    """The grid as an element of a page, its notes below; ``kind`` is a class of the style sheet."""
    head = "".join(f"<th>{text.html(c).replace('/', '/<wbr>')}</th>" for c in grid.columns)
    rows = "".join(_table_row(row, is_muted=i in grid.muted) for i, row in enumerate(grid.rows))
    notes = f'<p class="under">{text.html("; ".join(grid.notes))}</p>' if grid.notes else ""
    opening = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="scroll">{opening}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}'


def _table_row(row: Sequence[str], *, is_muted: bool) -> str:
    cells = "".join(f"<td>{text.html(cell)}</td>" for cell in row)
    return f'<tr class="muted">{cells}</tr>' if is_muted else f"<tr>{cells}</tr>"


def _numbers(run: Run, *, heading: bool) -> str:
    parts = [f"<h3>{text.html(run.name)}</h3>"] if heading else []
    if run.metrics:
        parts.append(table(tables.iteration_grid(run.metrics)))
        if best := tables.best_of_temperatures_grid(run.metrics):
            parts += [f"<h3>{text.html(best.title)}</h3>", table(best)]
        if ladder := tables.ladder_grid(run.metrics):
            parts += [f"<h3>{text.html(ladder.title)}</h3>", table(ladder)]
        if gamed := tables.gamed_grid(run.metrics):
            parts += [f"<h3>{text.html(gamed.title)}</h3>", table(gamed, "text")]
        if not heading and tables.is_published(run.metrics):
            parts += ["<h3>Beside published figures</h3>", table(tables.comparison_grid({run.name: run.metrics}))]
    if run.notes:
        parts.append('<ul class="notes">' + "".join(f"<li>{text.html(n)}</li>" for n in run.notes) + "</ul>")
    return "\n".join(parts)


def settings_difference(runs: Sequence[Run]) -> str:
    """The recipe's keys in which the runs differ, side by side."""
    flat = [_leaves(run.recipe.model_dump(mode="json")) for run in runs]
    keys = [key for key in dict.fromkeys(k for tree in flat for k in tree) if len({tree.get(key) for tree in flat}) > 1]
    if not keys:
        return '<p class="under">The recipes of these runs are equal.</p>'
    rows = tuple((key, *(tree.get(key, text.NOT_MEASURED) for tree in flat)) for key in keys)
    grid = Grid("Settings that differ", ("setting", *(run.name for run in runs)), rows)
    return f"<h3>{grid.title}</h3>" + table(grid, "text")


def _leaves(tree: object, at: str = "") -> dict[str, str]:
    if isinstance(tree, dict) and tree:
        return {k: v for key, node in tree.items() for k, v in _leaves(node, f"{at}.{key}" if at else str(key)).items()}
    if isinstance(tree, list) and tree:
        return {k: v for i, node in enumerate(tree) for k, v in _leaves(node, f"{at}.{i}").items()}
    return {at: text.NOT_MEASURED if tree is None else str(tree)}


def _examples(contents: Sequence[Content]) -> str:
    parts: list[str] = []
    for content in contents:
        if len(contents) > 1 and content.examples:
            parts.append(f"<h3>{text.html(content.run.name)}</h3>")
        parts += [_example(example, is_open=position == 0) for position, example in enumerate(content.examples)]
        parts += [f'<p class="under">{text.html(note)}</p>' for note in content.notes]
    if not parts:
        return ""
    intro = (
        "<p>Held-out problems before and after: won, lost, still failed and kept, the first of each in file order.</p>"
    )
    return "<h2>Examples</h2>" + intro + "\n".join(parts)


def _example(example: gallery.Example, *, is_open: bool) -> str:
    asked = example.problem.instruction if example.problem else ""
    header = example.problem.header if example.problem else ""
    question = "\n\n".join(part for part in (asked.strip(), header.strip()) if part)
    statement = f'<pre class="wrap">{text.html(question)}</pre>' if question else ""
    after = f"after iteration {example.iterations}"
    return (
        f"<details{' open' if is_open else ''}><summary>{text.html(example.task_id)} "
        f'<span class="hint">{text.html(example.benchmark)}: {text.html(example.kind)}</span></summary>{statement}'
        f'<div class="pair">{_answer("untouched", example.before)}{_answer(after, example.after)}</div></details>'
    )


def _answer(name: str, answer: gallery.Answer) -> str:
    candidate, row = answer
    verdict = text.html(row.verdict.replace("_", " "))
    detail = f" – {text.html(text.one_line(row.detail, 160))}" if row.detail else ""
    shown = candidate.code or candidate.text
    cut = shown[:6000] + ("\n… (cut here)" if len(shown) > 6000 else "")
    return (
        f'<div><h4>{text.html(name)}: <span class="verdict {"good" if row.passed else "bad"}">{verdict}</span>{detail}</h4>'
        f"<pre>{text.html(cut)}</pre></div>"
    )
