"""Tables, figures and page, on synthetic run folders made of the real records."""

import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import report_builder as make
from itertl.audit.report import AuditReport, Contamination, Member
from itertl.errors import DataError
from itertl.evaluation.summary import verdict_table
from itertl.loop.run import RunResult
from itertl.loop.waves import write_waves
from itertl.records import IterationMetrics, PassAtK, SearchCost, Verdict
from itertl.report import canvas, embed, figures, findings, gallery, grids, published, series, tables, waveform
from itertl.report.curves import keep_for, smooth
from itertl.report.paired import paired_difference, pass_rates
from itertl.report.write import make_report
from itertl.runs import read as rundata
from itertl.runs import wording as text
from itertl.runs.storage import write_records, write_text
from itertl.runs.waves import Lane, Wave, read_waves

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{}}$x^2$\x00\x1b[31m\ud800\u202e_]]>-->"


def shown(table: object, width: int = 120) -> str:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        console = Console(width=width, record=True, file=nowhere)
        console.print(table)
    return console.export_text()


class _Page(HTMLParser):
    """Collects tags, ids and unbalanced elements of a page."""

    VOID = frozenset({"meta", "wbr", "br", "img", "link", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_self_contained(page: str) -> _Page:
    """Balanced, unique ids, no script but ours, no handler, and nothing that makes a browser ask anyone."""
    code, source = embed.script()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert [attributes for attributes, _ in scripts] in ([], [' type="application/json" id="answers"', ""])
    for attributes, content in scripts:
        assert json.loads(content) if attributes else content == code
    assert (f"script-src {source}" in page) == bool(scripts) and "connect-src" not in page.replace(code, "")
    page = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    parsed = _Page(page)
    assert parsed.open == []
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {t for t, _ in parsed.tags}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "foreignobject", "base"}
    )
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    references = re.findall(r"url\(([^)]*)\)", page) + re.findall(r'xlink:href="([^"]*)"', page)
    assert all(r.startswith("#") and r[1:] in ids for r in references)
    assert "@import" not in page
    page.encode("utf-8")
    return parsed


# --- numbers as text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.41, "0.410"),
        (12.345, "12.3"),
        (0.0, "0"),
        (1e-5, "1.0e-05"),
        (123456, "123456"),
        (None, "–"),
        (math.nan, "–"),
        (-2.5, "-2.50"),
    ],
)
def test_number(value: float | None, expected: str) -> None:
    assert text.number(value, 2 if value == 1e-5 else 3) == expected


@given(st.text())
def test_printable_text_survives_utf8_and_xml(raw: str) -> None:
    cleaned = text.printable(raw + "\ud800\x00\r\n")
    cleaned.encode("utf-8")
    ElementTree.fromstring(f"<a>{escape(cleaned)}</a>")
    assert "\r" not in cleaned
    assert "\n" not in text.one_line(raw)


# --- tables


RUNGS = ("gate", "text", "syntax", "synthesis", "vectors", "equivalence", "ppa")


def terminal_tables() -> dict[str, object]:
    """The widest tables of every command."""
    every = [make.summary({Verdict.PASSED: 3, Verdict.ELABORATION_ERROR: 5}, temperature=t) for t in (0, 0.2, 0.5, 0.8)]
    full = dict.fromkeys(("", *RUNGS), 192)
    rows = [make.metrics(0, every), make.metrics(1, every, telemetry=make.telemetry(rungs=full))]
    own = [
        make.metrics(1, telemetry=make.telemetry(rungs={"": 1, "a_package_of_mine.its_module:the_scorer": 2, **full}))
    ]
    member = Member(id="x" * 16, upstream_id=None, source="s", where="/a/long/path/of/somebody/pairs.jsonl:1200")
    overlap = Contamination(kind="code after renaming", problem=member, task="Prob007_long_name", benchmark="v" * 22,
                            value=0.7, evidence="assign y = a ;" * 20)  # fmt: skip
    audited = AuditReport(
        problems=9, with_reference=9, benchmark_tasks=1, duplicates=(), contamination=(overlap,), bad_references=(),
        references_passed=9, unjudged={}, thresholds={},
    )  # fmt: skip
    return {
        "ladder": tables.iteration_table(rows), "own scorer": tables.iteration_table(own),
        "runs": grids.rich_table(tables.comparison_grid({"a-run-of-a-long-name": rows, "another": rows})),
        "verdicts": verdict_table(every), "audit": audited.render(),
    }  # fmt: skip


@pytest.mark.parametrize("name", terminal_tables())
def test_no_head_is_broken_within_a_word_at_80_columns(name: str) -> None:
    out = shown(terminal_tables()[name], 80)
    assert max(map(len, out.splitlines())) <= 80
    wanted = {
        "ladder": (*RUNGS, "missed", "truncated"),
        "own scorer": (*RUNGS, "missed", "a_package_of_mine.its_module:the_scorer"),
        "runs": ("reference", "candidate", "iterations", "synth-heldout", "pass@1", "a-run-of-a-long-name"),
        "verdicts": ("elaboration_error", "T 0.8"), "audit": ("kind", "problem", "common", "share"),
    }[name]  # fmt: skip
    for word in wanted:
        assert word in out, (word, out)


def test_heads_are_shortened_before_a_table_is_parted() -> None:
    grid = grids.Grid("T", ("it", "equivalence", "synthesis"), (("1", "5%", "6%"),), ("note",))
    assert grids.fitted(grid, 28) == [grid]  # 2 + 11 + 9, two gaps of 2 and 2 at the ends
    (short,) = grids.fitted(grid, 20)
    assert short.columns == ("it", "equ.", "synthes.") and short.notes == (
        "note", "equ.: equivalence", "synthes.: synthesis",
    )  # fmt: skip
    first, second = grids.fitted(grid, 12)
    assert (first.columns, second.columns) == (("it", "equivalence"), ("it", "synthesis"))
    assert second.rows == (("1", "6%"),) and (first.notes, second.notes) == ((), ("note",))


def test_iteration_table_shows_every_number() -> None:
    judged = make.summary({Verdict.PASSED: 3, Verdict.WRONG_OUTPUT: 4, Verdict.TRUNCATED: 2, Verdict.TOOL_FAILED: 1})
    rows = [make.metrics(0, [judged]), make.metrics(1, [judged], loss=0.512, telemetry=make.telemetry(kl_old_new=None))]
    out = shown(tables.iteration_table(rows), 100)
    for expected in ("0.512", "0.610", "40.0%", "45.0%", "30.0%", "33.3% (", "77.8%", "3/4/2/1", "synth-heldout"):
        assert expected in out, out
    narrow = "".join(shown(tables.iteration_table(rows), 60).split())
    assert "3/4/2/1" in narrow and "0.512" in narrow


def test_tables_of_nothing_and_of_none() -> None:
    nothing = dict.fromkeys(("mean_z", "share_parses", "share_active_pairs", "share_hinged_pairs", "kl_old_new"))
    empty = make.summary({}, pass_at_k=())
    rows = [make.metrics(0), make.metrics(1, [empty], loss=None, telemetry=make.telemetry(**nothing))]
    assert "–" in shown(tables.iteration_table(rows))
    shown(tables.iteration_table([]))
    assert grids.markdown(tables.iteration_grid([])).startswith("**")
    assert "| 1 | – |" in grids.markdown(tables.iteration_grid(rows))
    assert "0/0/0/0" in grids.markdown(tables.iteration_grid(rows))
    shown(grids.rich_table(tables.comparison_grid({})))
    shown(grids.rich_table(tables.comparison_grid({"a": [], "b": rows})))


def test_markdown_is_one_rectangle_whatever_the_names_hold() -> None:
    rows = [make.metrics(0, [make.summary({Verdict.PASSED: 1}, benchmark="a|b\n<script>[x](y)")])]
    lines = [line for line in grids.markdown(tables.iteration_grid(rows)).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<script" not in "".join(lines)


def test_names_are_no_markup_in_a_terminal() -> None:
    rows = [make.metrics(0, [make.summary({Verdict.PASSED: 1}, benchmark="[red]b[/red]")])]
    assert "[red]b[/red]" in shown(tables.iteration_table(rows), 160)
    assert "[bold]x" in shown(grids.rich_table(tables.comparison_grid({"[bold]x": rows})), 200)


def test_rows_are_in_order_and_skipped_evaluations_are_dashes() -> None:
    judged = make.summary({Verdict.PASSED: 1})
    grid = tables.iteration_grid([make.metrics(2, [judged]), make.metrics(1), make.metrics(0, [judged])])
    assert [row[0] for row in grid.rows] == ["0", "1", "2"]
    assert set(grid.rows[1][9:]) == {"–"}


def test_published_figures_only_beside_verilogeval_v1() -> None:
    ours = [make.metrics(0, [make.summary({Verdict.PASSED: 1})])]
    assert "GPT-4" not in shown(grids.rich_table(tables.comparison_grid({"a": ours})), 200)
    machine = make.summary({Verdict.PASSED: 2, Verdict.WRONG_OUTPUT: 2}, benchmark="verilogeval-v1-machine")
    out = shown(grids.rich_table(tables.comparison_grid({"a": [make.metrics(0, [machine])], "b": ours})), 220)
    assert "GPT-4" in out and "60.0%" in out and "43.5%" not in out
    assert "published" in out and "other sizes" in " ".join(out.split())
    assert "a judged 4 problems" in " ".join(out.split())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("verilogeval-v1-machine", "machine"), ("VerilogEval v1 Human", "human"), ("verilogeval_human", "human"),
        ("verilogeval-v2-human", None), ("verilogeval-v1", None), ("synth-heldout", None), ("human", None), ("", None),
    ],
)  # fmt: skip
def test_which_published_set(name: str, expected: str | None) -> None:
    assert published.split_of(name) == expected


def test_published_gains_are_those_the_paper_states() -> None:
    """The paper gives its relative gain over RTLCoder-10k as 12.5% (Machine) and 16.9% (Human)."""
    by_name = {p.model: p for p in published.PASS_AT_1}
    ours, theirs = by_name["ITERTL-DeepSeek 6.7B, 10k pairs"], by_name["RTLCoder-DeepSeek 6.7B, 10k pairs"]
    assert round(100 * (ours.machine / theirs.machine - 1), 1) == 12.5
    assert round(100 * (ours.human / theirs.human - 1), 1) == 16.9


# --- series


def test_temperatures_are_series_of_their_own_and_the_best_is_told_apart() -> None:
    low, high = (
        make.summary({Verdict.PASSED: n, Verdict.WRONG_OUTPUT: 4 - n}, temperature=t) for n, t in ((1, 0.2), (3, 0.8))
    )
    rows = [make.metrics(0, [low, high])]
    names = list(series.labels(series.all_series(rows)).values())
    assert names == ["synth-heldout, T 0.2", "synth-heldout, T 0.8"]
    temperature, rate = series.best_of_temperatures(rows[0])["synth-heldout"]
    assert (temperature, rate.value) == (0.8, 0.75)
    grid = tables.best_of_temperatures_grid(rows)
    assert grid is not None and "at T 0.8" in grid.rows[0][1]
    assert tables.best_of_temperatures_grid([make.metrics(0, [low])]) is None


def test_what_a_search_found_stands_in_no_column_with_single_draws_or_with_what_saw_the_reference() -> None:
    """Three runs of one benchmark at one temperature: single draws, and searches without and with the reference."""
    name, verdicts = "verilogeval-v1-human 1.0", {Verdict.PASSED: 3, Verdict.WRONG_OUTPUT: 1}
    costs = [
        None if looked is None else SearchCost(
            strategy="repair", feedback=looked, answers=4, attempts=9, rounds=2, tool_calls=9, prompt_tokens=1,
            completion_tokens=1,
        )
        for looked in (None, "compiler", "reference")
    ]  # fmt: skip
    runs = {str(n): [make.metrics(0, [make.summary(verdicts, name, search=cost)])] for n, cost in enumerate(costs)}
    grid = tables.comparison_grid(runs)
    plain, *searched = [
        f"{name}{how}: pass@1"
        for how in ("", ", repair, looking at the compiler", ", repair, looking at the reference")
    ]
    at = [grid.columns.index(column) for column in (plain, *searched)]
    for place, row in zip(at, grid.rows, strict=False):
        assert [other for other in at if "75.0%" in row[other]] == [place]
    published_rows = grid.rows[len(runs) :]
    assert published_rows and all(row[at[0]] != "–" and {row[n] for n in at[1:]} == {"–"} for row in published_rows)


def test_surrogate_gap() -> None:
    """Mean z 0.7, 1 of 4 passes: the gap is 0.7 − 0.25 = 0.45."""
    judged = make.summary({Verdict.PASSED: 1, Verdict.WRONG_OUTPUT: 3})
    assert series.surrogate_gap(judged) == pytest.approx(0.45)
    assert series.surrogate_gap(judged.model_copy(update={"mean_surrogate": None})) is None
    assert series.surrogate_gap(judged.model_copy(update={"pass_at_k": ()})) is None


# --- smoothing and bootstrap


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), max_size=30), st.floats(0, 0.99))
def test_smoothing_is_the_weighted_mean_of_all_before(values: list[float], keep: float) -> None:
    """Oracle: the sum of eq. in ``smooth``, taken afresh for each place."""
    for t, got in enumerate(smooth(values, keep)):
        terms = [(keep ** (t - i), v) for i, v in enumerate(values[: t + 1]) if not math.isnan(v)]
        weight = math.fsum(w for w, _ in terms)
        if weight > 1e-300:  # below that a double has few digits left
            assert got == pytest.approx(math.fsum(w * v for w, v in terms) / weight, rel=1e-6, abs=1e-3)


def test_smoothing_a_constant_gives_it_back_from_the_first_step() -> None:
    assert smooth([2.0] * 5, 0.9) == pytest.approx([2.0] * 5)
    assert keep_for(0) == keep_for(1) == keep_for(10) == 0.0
    assert keep_for(100000) == 0.95
    with pytest.raises(ValueError, match="keep"):
        smooth([1.0], 1.0)


def test_paired_difference_agrees_with_the_normal_approximation() -> None:
    """60 of 200 problems won, 20 lost: mean 0.2, standard error sqrt(var/200) of the differences."""
    before = {f"t{i}": float(i < 40) for i in range(200)}
    after = {f"t{i}": float(20 <= i < 100) for i in range(200)}
    found = paired_difference(before, after)
    assert found is not None
    deltas = [after[k] - before[k] for k in before]
    error = statistics.pstdev(deltas) / math.sqrt(200)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(0.2 + 1.96 * error, abs=0.02)
    assert not found.is_noise and found.problems == 200
    assert paired_difference(before, after) == found
    assert paired_difference({"a": 1.0}, {"a": 0.0}) is None
    same = paired_difference(before, before)
    assert same is not None and same.is_noise and same.low == same.high == 0


def test_unjudged_rows_and_other_temperatures_enter_no_rate() -> None:
    every = make.problems(4)
    verdicts = [Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.TOOL_FAILED, Verdict.PASSED]
    _, rows = make.evaluated(every, verdicts, ["a", "b", "c", "d"])
    rows[3] = rows[3].model_copy(update={"temperature": 0.8})
    assert pass_rates(rows, 0.0) == {"task0": 1.0, "task1": 0.0}


# --- figures


def run_of(
    metrics: list[IterationMetrics], train: dict[int, tuple[object, ...]] | None = None, name: str = "r"
) -> rundata.Run:
    from itertl.config import Recipe

    return rundata.Run(Path(), name, Recipe(), "", tuple(metrics), train or {}, {}, None, ())  # type: ignore[arg-type]


def test_every_figure_is_the_same_bytes_twice_and_has_no_date(tmp_path: Path) -> None:
    run = rundata.read_run(make.build_run(tmp_path / "run", iterations=2))
    for name, draw in figures.EVERY.items():
        for runs in ([run], [run, rundata.read_run(tmp_path / "run", "other")]):
            svg = draw(runs)
            assert svg is not None and svg == draw(runs), name
            ElementTree.fromstring(svg)
            assert "dc:date" not in svg and "Matplotlib" not in svg.replace("matplotlib.org", "")


def test_pass_rates_figure_has_a_line_for_each_benchmark_and_handles_gaps() -> None:
    a = make.summary({Verdict.PASSED: 1, Verdict.WRONG_OUTPUT: 1}, benchmark="alpha")
    b = make.summary({Verdict.WRONG_OUTPUT: 1}, benchmark="_beta", pass_at_k=(PassAtK(k=1, value=0.0),))
    unrated = make.summary({Verdict.TOOL_MISSING: 2}, benchmark="gamma")
    svg = figures.pass_rate_figure([run_of([make.metrics(0, [a, b, unrated]), make.metrics(3, [a])])])
    assert svg is not None
    assert ">alpha<" in svg and "_beta<" in svg and "gamma" not in svg
    assert figures.pass_rate_figure([run_of([make.metrics(0)])]) is None
    assert figures.pass_rate_figure([run_of([make.metrics(0, [unrated])])]) is None


def test_loss_figure_says_how_many_steps_a_log_scale_hides() -> None:
    steps = tuple(make.step(n, ranking=0.0 if n < 4 else 0.2) for n in range(1, 11))
    svg = figures.loss_figure([run_of([], {1: steps, 2: ()})])
    assert svg is not None and "3 of 10 steps not above zero" in svg


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_loss_figure_without_a_positive_value_is_linear(value: float) -> None:
    for count in (1, 5):
        steps = tuple(make.step(n, value, value, value) for n in range(1, count + 1))
        svg = figures.loss_figure([run_of([], {1: steps})])
        assert svg is not None and "log scale" not in svg
    assert figures.loss_figure([run_of([], {1: ()})]) is None


def test_groups_are_counted_in_a_table_where_they_were() -> None:
    counted = {"groups_of_equal_z": 3, "groups_with_right": 2, "candidates_right": 4, "groups_left_out": 3}
    rows = [
        make.metrics(0), make.metrics(1),
        make.metrics(2, telemetry=make.telemetry(problems=8, **counted, share_compared_pairs=0.25)),
    ]  # fmt: skip
    grid = tables.groups_grid(rows)
    assert grid is not None
    assert grid.columns[:4] == ("it", "groups", "of one z", "with a right")
    assert grid.rows == (("2", "8", "3", "2", "4", "3", "0", "–", "25.0%"),)
    assert tables.groups_grid(rows[:2]) is None


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_telemetry_and_verdicts_take_any_hole(data: st.DataObject) -> None:
    """What was measured is shown, what was not is a dash, and a figure is left out where it has nothing to show."""
    share = st.one_of(st.none(), st.floats(0, 1))
    rows = []
    for n in data.draw(st.lists(st.integers(0, 9), unique=True, max_size=4)):
        fields = {f: data.draw(share) for f in ("mean_z", "share_parses", "share_active_pairs", "share_hinged_pairs")}
        fields["kl_old_new"] = data.draw(st.one_of(st.none(), st.floats(-50, 50)))
        counts = data.draw(st.dictionaries(st.sampled_from(list(Verdict)), st.integers(0, 5), max_size=4))
        judged = make.summary(counts, mean_surrogate=data.draw(share))
        rows.append(
            make.metrics(
                n, [judged] if data.draw(st.booleans()) else [], telemetry=make.telemetry(**fields) if n else None
            )
        )
    run = run_of(rows)
    for runs in ([run], [run, run_of([], name="empty")]):
        drawn = {name: svg for name, draw in figures.EVERY.items() if (svg := draw(runs)) is not None}
        assert all(ElementTree.fromstring(svg).tag.endswith("svg") for svg in drawn.values())
        assert "loss" not in drawn and ("verdicts" in drawn) == any(e.total for m in rows for e in m.evals)
    ordered = sorted(rows, key=lambda m: m.iterations)
    for found, m in zip(tables.iteration_grid(rows).rows, ordered, strict=True):
        t = m.telemetry
        measured = [t and t.mean_z, t and t.share_parses, t and t.share_active_pairs, t and t.share_hinged_pairs]
        assert [cell == "–" for cell in found[4:9]] == [v is None for v in (*measured, t and t.kl_old_new)]
        assert found[5:8] == tuple("–" if v is None else f"{100 * v:.1f}%" for v in measured[1:])
    lines = [line.split()[0] for line in shown(tables.iteration_table(rows)).splitlines() if line.strip()]
    assert [line for line in lines if line.isdigit()][: len(rows)] == [str(m.iterations) for m in ordered]
    unjudged = sum(e.unjudged for m in rows for e in m.evals)
    said = findings.sentences(run, {})
    assert any(f"{unjudged} completions could not be judged" in line for line in said) == (unjudged > 0)


def test_verdict_shares_add_up_and_an_unknown_verdict_is_unjudged() -> None:
    judged = make.summary(
        {Verdict.PASSED: 1, Verdict.TOOL_FAILED: 1}, by_verdict={"passed": 1, "tool_failed": 1, "novel": 2}
    )
    shares = figures.verdict_shares(judged)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["unjudged"] == pytest.approx(0.75)
    assert set(figures._VERDICTS) >= {v for v in Verdict if v.fault == "model"}


def test_figure_colours_are_distinct_and_swapped_only_inside_tags() -> None:
    lights = [light for light, _ in canvas.COLOURS.values()]
    assert len(set(lights)) == len(lights)
    ink = canvas.light("ink")
    svg = f'<?xml?><svg width="10pt" height="5pt"><g id="a" style="fill: {ink}">{ink} id="a"</g></svg>'
    assert canvas.inline(svg, "p", "label") == (
        f'<svg class="narrow" role="img" aria-label="label"><g id="p-a" style="fill: var(--ink)">{ink} id="a"</g></svg>'
    )


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    canvas.draw(1, 1, lambda figure: None)
    assert dict(mpl.rcParams) == before


# --- words


def test_a_gain_is_called_one_only_beyond_noise(tmp_path: Path) -> None:
    run = rundata.read_run(make.build_run(tmp_path / "run", iterations=3))
    said = " ".join(findings.sentences(run, findings.differences(run)))
    assert "8.7% (" in said and "52.2% (" in said
    assert "a gain beyond the noise" in said
    assert "60.0% parsed in iteration 1 and 100.0% in iteration 3" in said
    assert "4 completions could not be judged" in said
    still = rundata.read_run(make.build_run(tmp_path / "still", iterations=1))
    shutil.copy(still.folder / "base/eval-synth-heldout.jsonl", still.folder / "iter-00/eval-synth-heldout.jsonl")
    assert "within the noise" in " ".join(findings.sentences(still, findings.differences(still)))
    assert "cannot be said" in " ".join(findings.sentences(run, {}))


def test_a_decline_after_the_peak_is_said() -> None:
    rates = {0: 1, 1: 6, 2: 3}
    rows = [make.metrics(n, [make.summary({Verdict.PASSED: p, Verdict.WRONG_OUTPUT: 8 - p})]) for n, p in rates.items()]
    said = " ".join(findings.sentences(run_of(rows), {}))
    assert "highest point was 75.0% at iteration 1" in said


# --- the page and the stage


def test_report_of_one_run(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run")
    paths = make_report([folder])
    assert paths.page == folder / "report.html"
    assert {p.name for p in paths.figures} == {"pass-rate.svg", "loss.svg", "telemetry.svg", "verdicts.svg"}
    first = {p: p.read_bytes() for p in (paths.page, *paths.figures)}
    assert make_report([folder]) == paths
    assert {p: p.read_bytes() for p in first} == first
    page = assert_self_contained(paths.page.read_text(encoding="utf-8"))
    for expected in (
        "finished: 3 of 3",
        "52.2%",
        make.SIMULATOR,
        "Examples",
        "task2",
        "method: itertl",
        "untouched: wrong output",
    ):
        assert expected in page.text, expected
    assert not list(folder.glob(".*.tmp"))


def test_report_of_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make.build_run(tmp_path / "a"), make.build_run(tmp_path / "b", iterations=2, recipe={"method": "sft"})
    paths = make_report([a, b], tmp_path / "out")
    page = assert_self_contained(paths.page.read_text(encoding="utf-8"))
    assert "Settings that differ" in page.text and "sft" in page.text
    assert "demo (a)" in page.text and "demo (b)" in page.text
    assert not (a / "report.html").exists()
    monkeypatch.chdir(tmp_path)
    assert make_report([a, b]).page == Path("report/report.html")


def test_no_hostile_text_gets_into_the_page(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=1, name="n", note=HOSTILE)
    every = [
        p.model_copy(update={"instruction": HOSTILE, "upstream_id": f"{i}{HOSTILE}"})
        for i, p in enumerate(make.problems())
    ]
    name = 'b"><script>alert(2)<!script> onload=x'
    lines = []
    for n, part in enumerate(("base", "iter-00")):
        verdicts = make.verdict_list(4 + 4 * n, 8, make.TASKS - 12 - 4 * n)
        candidates, rows = make.evaluated(every, verdicts, [HOSTILE] * make.TASKS)
        write_records(
            folder / part / f"samples-{name}.jsonl", [c.model_copy(update={"code": c.code[:-9]}) for c in candidates]
        )
        write_records(folder / part / f"eval-{name}.jsonl", [r.model_copy(update={"detail": HOSTILE}) for r in rows])
        judged = make.summary(
            {v: verdicts.count(v) for v in verdicts}, benchmark=name, simulator=HOSTILE[:30], rule="<script>"
        )
        lines.append(make.metrics(n, [judged], method="<script>alert(3)</script>"))
    write_records(folder / f"bench-{name}.jsonl", every)
    write_records(folder / "metrics.jsonl", lines)
    page = make_report([folder]).page.read_text(encoding="utf-8")
    parsed = assert_self_contained(page)
    assert "alert(1)" in parsed.text and "alert(2)" in parsed.text
    assert "\x00" not in page and "\x1b" not in page and "\u202e" not in page


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=4, done=1)
    page = make_report([folder]).page.read_text(encoding="utf-8")
    assert "unfinished: 1 of 4 iterations" in page and "This run is unfinished" in page


def test_a_run_with_only_a_recipe_gives_a_page_and_takes_old_figures_away(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run")
    make_report([folder])
    for name in ("base", "iter-00", "iter-01", "iter-02"):
        shutil.rmtree(folder / name)
    (folder / "metrics.jsonl").unlink()
    paths = make_report([folder])
    assert paths.figures == () and list((folder / "figures").iterdir()) == []
    page = assert_self_contained(paths.page.read_text(encoding="utf-8"))
    assert "metrics.jsonl is not there yet" in page.text


def test_a_missing_training_log_is_told_and_the_rest_drawn(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=2)
    (folder / "iter-00/train.jsonl").unlink()
    write_text(folder / "iter-01/train.jsonl", "")
    paths = make_report([folder])
    assert "loss.svg" not in {p.name for p in paths.figures}
    page = paths.page.read_text(encoding="utf-8")
    assert "iteration 1 has no loss curve" in page and "iteration 2 has no loss curve" in page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", "{"), ("metrics.jsonl", '{"schema": "x"}'), ("metrics.jsonl", "\ufeff[]\n"),
        ("iter-00/train.jsonl", "null\n"), ("iter-00/manifest.json", "[]"), ("iter-00/manifest.json", "{"),
        ("base/manifest.json", "\x00"), ("recipe.yaml", "iterations: many"), ("recipe.yaml", "a: [\n"),
        ("base/eval-synth-heldout.jsonl", '{"schema": "itertl.eval_row/1"}'), ("problems.jsonl", "x"),
        ("iter-01/samples-synth-heldout.jsonl", "\n\n7\n"), ("bench-synth-heldout.jsonl", "[1]"),
        ("waves.jsonl", "{"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = make.build_run(tmp_path / "run", iterations=2)
    write_text(folder / name, content)
    with pytest.raises(DataError, match=re.escape(str(folder / name))):
        make_report([folder])
    assert not (folder / "report.html").exists()


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="itertl run"):
            make_report([folder])
    run = make.build_run(tmp_path / "run", iterations=1)
    with pytest.raises(DataError, match="given twice"):
        make_report([run, tmp_path / "run" / ".." / "run"], tmp_path / "out")
    with pytest.raises(DataError, match="no run folder"):
        make_report([])
    with pytest.raises(DataError, match="is a file"):
        make_report([run], run / "metrics.jsonl")


def test_gallery_shows_wins_and_losses_by_a_fixed_rule(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=1)
    every = make.problems()
    after = [Verdict.WRONG_OUTPUT, *make.verdict_list(7, 6, make.TASKS - 14)]
    candidates, rows = make.evaluated(every, after, ["module m; endmodule"] * make.TASKS)
    write_records(folder / "iter-00/samples-synth-heldout.jsonl", candidates)
    write_records(folder / "iter-00/eval-synth-heldout.jsonl", rows)
    found, notes = gallery.examples(rundata.read_run(folder))
    assert notes == []
    assert [(e.task_id, e.kind) for e in found] == [
        ("task2", "won"), ("task3", "won"), ("task0", "lost"), ("task8", "still failed"), ("task1", "kept"),
    ]  # fmt: skip
    assert found[0].problem is not None and found[0].problem.upstream_id == "task2"
    write_records(folder / "iter-00/samples-synth-heldout.jsonl", candidates[1:])
    found, notes = gallery.examples(rundata.read_run(folder))
    assert found == [] and "23 samples but 24 verdicts" in notes[0]


def test_a_benchmark_of_an_impossible_file_name_is_no_crash(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=1)
    judged = [
        make.summary({Verdict.PASSED: 1}, benchmark=b) for b in ("../../etc/passwd", "x" * 400, "n\0ul", "", "é\ud800")
    ]
    write_text(
        folder / "metrics.jsonl",
        "".join(
            json.dumps({"schema": m.schema_name, **m.model_dump()}) + "\n"
            for m in (make.metrics(0, judged), make.metrics(1, judged))
        ),
    )
    assert_self_contained(make_report([folder]).page.read_text(encoding="utf-8"))


def test_importing_the_report_draws_in_no_heavy_library() -> None:
    code = "import sys, itertl.report.write, itertl.report.tables; print(sorted({'torch', 'matplotlib', 'numpy', 'rich.table'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
    assert done.returncode == 0


def test_what_search_added_stands_beside_plain_draws_of_as_many_tokens() -> None:
    cost = SearchCost(
        strategy="repair", feedback="compiler", answers=6, attempts=9, rounds=3, tool_calls=7, prompt_tokens=1,
        completion_tokens=1200, solved=5, solved_at_once=2, solved_by_plain=3.25,
    )  # fmt: skip
    rows = [make.metrics(0), make.metrics(1, telemetry=make.telemetry(search=cost))]
    grid = tables.search_grid(rows)
    assert grid is not None
    assert grid.rows == (("1", "repair", "compiler", "9", "1,200", "7", "5", "2", "3.2"),)
    assert tables.search_grid(rows[:1]) is None
    assert IterationMetrics.model_validate_json(rows[1].model_dump_json()).telemetry == rows[1].telemetry


# --- designs that game the judge


def test_gamed_designs_are_counted_by_iteration_and_rule(tmp_path: Path) -> None:
    folder = make.build_run(tmp_path / "run", iterations=1)
    none = make.summary({Verdict.PASSED: 5}, sandbox="landlock")
    some = make.summary(
        {Verdict.PASSED: 2, Verdict.GAMED: 3}, gamed_by={"system-task": 2, "<b>hierarchy": 1}, sandbox="bubblewrap"
    )
    rows = [make.metrics(0, [none]), make.metrics(1, [some])]
    grid = tables.gamed_grid(rows)
    assert grid is not None and grid.rows == (("0", "0 of 5"), ("1", "3 of 5: system-task 2, <b>hierarchy 1"))
    assert tables.gamed_grid(rows[:1]) is None and tables.gamed_grid([]) is None
    assert "3 of 5: system-task 2" in shown(tables.iteration_table(rows))
    assert figures.verdict_shares(some)[Verdict.GAMED] == pytest.approx(0.6)
    write_records(folder / "metrics.jsonl", rows)
    page = assert_self_contained(make_report([folder]).page.read_text(encoding="utf-8"))
    for expected in (
        "Gamed designs, by rule",
        "3 of 5: system-task 2, <b>hierarchy 1",
        "count as wrong: 3 after iteration 1",
        "landlock, bubblewrap",
    ):
        assert expected in page.text, expected


def test_a_page_without_gamed_designs_speaks_of_none(tmp_path: Path) -> None:
    page = make_report([make.build_run(tmp_path / "run", iterations=1)]).page.read_text(encoding="utf-8")
    assert "Gamed designs, by rule" not in page and "refused unrun and count" not in page


def test_what_a_terminal_is_shown_of_one_run_and_of_several() -> None:
    ours = [make.metrics(0, [make.summary({Verdict.PASSED: 1})])]
    machine = [make.metrics(0, [make.summary({Verdict.PASSED: 1}, benchmark="verilogeval-v1-machine")])]

    def said(runs: dict[str, list[IterationMetrics]]) -> str:
        return "\n".join(shown(table, 160) for table in tables.run_tables(runs))

    assert "Runs side by side" not in said({"a": ours}) and "Iterations (0" in said({"a": ours})
    assert "GPT-4" in said({"a": machine})
    both = said({"[bold]a": ours, "b": machine})
    assert both.count("Iterations (0") == 2 and "Runs side by side" in both and both.count("[bold]a") == 2


WAVE = Wave(
    first=4, mismatch=6,
    lanes=(
        Lane(name="clk", width=1, got=("0", "1", "0", "1")),
        Lane(name="q<b>", width=6, got=("xxxx00", "000001", "111111", "1z0000"), expected=("0xxx00", "000001", "111110", "xx0000")),
    ),
)  # fmt: skip


def test_a_wave_in_a_terminal_marks_what_is_wrong() -> None:
    assert waveform.text(WAVE).splitlines() == [
        "clk                 ▁▁▁ ▔▔▔ ▁▁▁ ▔▔▔",
        "q<b>[5:0]           xx! 01  3f! x0",
        "q<b>[5:0] expected  xx  01  3e  x0",
    ]


def test_a_long_wave_is_cut_around_the_first_mismatch() -> None:
    bits = tuple("0" * 14 + "1" * 6)
    lanes = (Lane(name="y", width=1, got=bits, expected=("0",) * 20), Lane(name="x", width=1, got=("1",) * 20))
    drawn = waveform.text(Wave(first=0, mismatch=14, lanes=lanes), most=5).splitlines()
    assert drawn[0].split() == ["y", "▁▁", "▁▁", "1!", "1!", "1!"]


def test_a_wave_on_the_page_is_escaped_and_has_each_value_once() -> None:
    root = ElementTree.fromstring(waveform.svg(WAVE))
    shown = [(t.text, t.get("class")) for t in root.iter("text")]
    assert [step for step, kind in shown if kind == "at"] == ["6"]
    assert [value for value, kind in shown if kind == "bad"] == ["xx", "3f"]
    assert "q<b>[5:0]" in [name for name, _ in shown]
    clock = [path.get("d") for path in root.iter("path")][:4]
    assert [d[d.index("M") :].count("V") for d in clock if d] == [0, 1, 1, 1]  # an edge at each change of the clock


def test_a_wave_of_long_names_and_words_fits_a_terminal_and_says_which_row_is_expected() -> None:
    name, zs = "a_port_of_a_very_long_name_indeed_" * 2, "z" * 66
    word = Lane(name=name, width=66, got=(zs, "0" * 66, "1" * 66), expected=("0" * 66,) * 3)
    drawn = waveform.text(Wave(first=0, mismatch=0, lanes=(word,)), columns=80)
    assert max(map(len, drawn.splitlines())) <= 80 and " z" + "z" * 16 + "!" in drawn
    labels = ["a_port_of_a_very_long_name_…[65:0]", "a_port_of_a_very_long_name_…[65:0] expected"]
    page = waveform.svg(Wave(first=0, mismatch=0, lanes=(word,)))
    for label, line in zip(labels, drawn.splitlines(), strict=True):
        assert line.startswith(f"{label}  ") and f">{label}<" in page


@pytest.mark.parametrize(
    ("lanes", "mismatch", "why"),
    [
        ([], None, "lanes"), ([("01", None), ("0", None)], None, "same number"), ([("", None)], None, "no steps"),
        ([("01", "0")], None, "differ"), ([("0<", None)], None, "pattern"), ([("01", "00")], 2, "step 2"),
    ],
)  # fmt: skip
def test_a_damaged_wave_is_one_line(
    tmp_path: Path, lanes: list[tuple[str, str | None]], mismatch: int | None, why: str
) -> None:
    ports = [{"name": "y", "width": 1, "got": [*got], "expected": right and [*right]} for got, right in lanes]
    row = {"schema": "itertl.wave/1", "first": 0, "mismatch": mismatch, "lanes": ports}
    write_text(tmp_path / "waves.jsonl", json.dumps(row) + "\n")
    with pytest.raises(DataError, match=rf"waves\.jsonl:1: .*{why}") as caught:
        read_waves(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_finished_runs_examples_are_simulated_and_shown_beside_the_answers_that_they_are_of(tmp_path: Path) -> None:
    """Of both won problems the swapped and the right multiplexer, of the lost, failed and kept what compiles."""
    folder = make.build_run(tmp_path / "run", iterations=1)
    assert '<svg class="wave"' not in make_report([folder]).page.read_text(encoding="utf-8")
    design = write_waves(folder)
    waves = {(wave.task_id, wave.mismatch is None) for wave in read_waves(folder)}
    assert {("task2", False), ("task2", True), ("task3", False), ("task3", True)} <= waves
    head, code, drawn = design.split("\n\n")
    assert head == make.problems()[2].instruction and code.startswith("module mux2(")
    assert [line.split()[0] for line in drawn.splitlines()] == ["a[2:0]", "b[2:0]", "s", "y[2:0]"]
    of_words = drawn.splitlines()[0] + drawn.splitlines()[3]
    assert not {*"▁▔"} & {*of_words} and {*"01"} & {*of_words}, "a word of 0 or 1 is no single bit"
    result = RunResult(folder, "c", folder / "report.html", "s", (), design)
    assert result.render().startswith(f"{design}\n\ncheckpoint")
    first = (folder / "waves.jsonl").read_bytes()
    assert write_waves(folder) == design and (folder / "waves.jsonl").read_bytes() == first
    shown_waves = make_report([folder]).page.read_text(encoding="utf-8")
    assert_self_contained(shown_waves)
    assert shown_waves.count('<svg class="wave"') >= 4
    others = [wave.model_copy(update={"completion_hash": "0" * 16}) for wave in read_waves(folder)]
    write_records(folder / "waves.jsonl", others)  # as of a run that was changed and has not come to its end again
    assert '<svg class="wave"' not in make_report([folder]).page.read_text(encoding="utf-8")
