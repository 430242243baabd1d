"""The list of answers: what a page lists and holds, how it is escaped, and the numbers of runs side by side."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import answer_builder as build
import report_builder as make
from itertl.config import ScoreConfig
from itertl.errors import DataError
from itertl.loop import waves as loop_waves
from itertl.records import Score, Verdict
from itertl.report import across, embed, page
from itertl.report.catalogue import TRAINING, climb, read_catalogue
from itertl.runs import read as rundata
from itertl.runs import storage
from itertl.runs.waves import read_waves
from itertl.scoring import combine
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import SCORERS
from itertl.work.pool import Outcome

HOSTILE = "</script><script>alert(1)</script><!-- <![CDATA[ \x00 \ud800 \u2028 \u2029 \u202e & ]]> \\u003c"


def data_of(html: str) -> dict:
    """The page's data, as a browser reads it: up to the first thing that looks like the end of a script."""
    found = re.search(r'<script type="application/json" id="answers">(.*?)</script', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def page_of(*folders: Path) -> str:
    runs = rundata.read_runs(folders)
    return page.render([page.gather(run) for run in runs], {}, read_catalogue(runs))


def test_every_answer_is_listed_with_its_texts(tmp_path: Path) -> None:
    """24 tasks under 4 models, and 41 candidates; texts, scores and waves are those of the files."""
    folder = build.build(tmp_path / "run", candidates=41)
    data = data_of(page_of(folder))
    rows = data["rows"]
    assert {len(column) for column in rows.values()} == {4 * 24 + 41} and len(data["details"]) == 4 * 24 + 41
    assert data["runs"] == [{"name": "demo"}] and data["rungs"] == ["", *build.LADDER]
    trained = [n for n, task in enumerate(rows["task"]) if data["tasks"][task][0] == TRAINING]
    assert [rows["model"][n] for n in trained] == [0] * 14 + [1] * 14 + [2] * 13
    stored = storage.read_records(folder / "iter-00/scored.jsonl", build.Scored)
    for n, row in zip(trained, stored, strict=False):
        detail = data["details"][str(n)]
        assert detail["text"] == row.candidate.text and detail["code"] == row.candidate.code
        assert [s["scorer"] for s in detail["scores"]] == [s.scorer for s in row.scores]
        falls = [s for s in row.scores if s.value == 0]
        assert data["verdicts"][rows["verdict"][n]][0] == (falls[0].verdict if falls else "passed")
    waved = [n for n, detail in data["details"].items() if detail["wave"]]
    assert sum(rows["model"][int(n)] == 3 for n in waved) == 6
    assert {data["verdicts"][rows["verdict"][int(n)]][0] for n in waved} == {"wrong_output"}
    assert data["details"][waved[0]]["wave"]["mismatch"] == 3
    assert all(data["problems"][str(task)]["reference"] for task in rows["task"])


def test_an_unscored_run_lists_its_candidates(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=6)
    scored = folder / "iter-02/scored.jsonl"
    sampled = [row.candidate for row in storage.read_records(scored, build.Scored)]
    scored.unlink()
    storage.write_records(folder / "iter-02/candidates.jsonl", sampled)
    catalogue = read_catalogue(rundata.read_runs([folder]))
    last = [a for a in catalogue.answers if a.verdict == "not_scored"]
    assert [a.index for a in last] == [c.index for c in sampled]
    assert catalogue.detail(catalogue.answers.index(last[0]))["text"] == sampled[0].text


def test_samples_and_verdicts_that_do_not_fit_are_said(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=6)
    rows = storage.read_records(folder / "base/eval-synth-heldout.jsonl", make.EvalRow)
    storage.write_records(folder / "base/eval-synth-heldout.jsonl", rows[1:])
    html = page_of(folder)
    assert "24 samples but 23 verdicts" in html and len(data_of(html)["rows"]["run"]) == 3 * 24 + 6


def test_a_damaged_candidate_is_named_and_a_changed_file_is_no_other_answer(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=6)
    catalogue = read_catalogue(rundata.read_runs([folder]))
    path = folder / "iter-00/scored.jsonl"
    path.write_text('{"half": \n' + path.read_text())
    with pytest.raises(DataError, match=r"scored\.jsonl:1: not JSON"):
        read_catalogue(rundata.read_runs([folder]))
    number = next(n for n, a in enumerate(catalogue.answers) if a.text.path == path and a.text.line == 2)
    with pytest.raises(DataError, match=r"scored\.jsonl:2"):
        catalogue.detail(number)


# --- escaping


@given(
    st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(["</script>", "<!--", "]]>", HOSTILE])
)
def test_no_text_leaves_the_script_element_or_is_lost(raw: str) -> None:
    plain = str(embed.escaped({"text": raw, raw: [raw]}))
    assert plain.isascii() and not {*"<>&"} & {*plain}
    back = json.loads(plain)
    assert back["text"] == embed.text.printable(raw) and not {*"\x00\u202e\ud800"} & {*back["text"]}


def test_a_hostile_run_stays_within_its_page(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=8, note="x")
    rows = storage.read_records(folder / "iter-00/scored.jsonl", build.Scored)
    evil = [
        row.model_copy(
            update={
                "candidate": row.candidate.model_copy(update={"text": HOSTILE, "code": HOSTILE}),
                "scores": tuple(s.model_copy(update={"detail": HOSTILE}) for s in row.scores),
            }
        )
        for row in rows
    ]
    lines = [json.dumps({"schema": row.schema_name, **row.model_dump(mode="json")}) + "\n" for row in evil]
    (folder / "iter-00/scored.jsonl").write_text("".join(lines))
    html = page_of(folder)
    data = data_of(html)
    texts = [d["text"] for d in data["details"].values() if "alert" in d["text"]]
    assert len(texts) == len(evil) and "</script><script>alert(1)" in texts[0] and "\u2028" in texts[0]
    assert html.count("<script") == html.count("</script>") == 2 and "\x00" not in html


# --- what fits


def test_a_full_page_keeps_evaluations_first_and_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the evaluations and some candidates: of every problem and model the first before any second."""
    folder = build.build(tmp_path / "run", candidates=240)
    runs = rundata.read_runs([folder])
    whole = len(page_of(folder).encode())
    monkeypatch.setattr(embed, "PAGE_BYTES", whole - 60_000)
    html = page_of(folder)
    assert len(html.encode()) <= whole - 60_000
    data = data_of(html)
    catalogue = read_catalogue(runs)
    held = {int(n) for n in data["details"]}
    left = [a for n, a in enumerate(catalogue.answers) if n not in held]
    assert left and f"the texts of {len(held)} of its {len(catalogue.answers)} answers" in html
    assert all(catalogue.tasks[a.task].group == TRAINING for a in left)
    assert (
        min(a.index for a in left)
        >= max(a.index for n, a in enumerate(catalogue.answers) if n in held and a.scores) - 1
    )
    monkeypatch.setattr(embed, "MOST_ROWS", 100)
    html = page_of(folder)
    assert len(data_of(html)["rows"]["run"]) == 100 and f"lists 100 of {len(catalogue.answers)}" in html


def test_a_page_is_the_same_bytes_twice(tmp_path: Path) -> None:
    folder = build.build(tmp_path / "run", candidates=20)
    assert page_of(folder) == page_of(folder)


# --- the highest rung


_LADDER_NAMES = ("syntax", "synthesis", "vectors", "equivalence")
_VALUES = {Verdict.PASSED: 1.0, Verdict.WRONG_OUTPUT: 0.5, Verdict.SYNTAX_ERROR: 0.0}


@given(
    st.lists(
        st.sampled_from([*_VALUES, Verdict.UNDECIDED, Verdict.UNJUDGEABLE, Verdict.TOOL_FAILED]), min_size=4, max_size=4
    )
)
def test_the_highest_rung_is_the_one_that_z_is_made_of(verdicts: list[Verdict]) -> None:
    ladder = {name: (n + 1) / 4 for n, name in enumerate(_LADDER_NAMES)}
    config = ScoreConfig(scorers=_LADDER_NAMES, combine="ladder", ladder=ladder, optional=("equivalence",))
    scores = [
        Score(scorer=name, value=_VALUES.get(verdict), verdict=verdict)
        for name, verdict in zip(_LADDER_NAMES, verdicts, strict=True)
    ]
    assert climb(scores, _LADDER_NAMES, frozenset({"equivalence"}))[0] == combine.climb(scores, config).held
    assert {name for name, s in SCORERS.items() if s.is_passed} == {"synthesis"}
    assert {name: s.refutes for name, s in SCORERS.items() if s.refutes} == {"equivalence": "vectors"}


# --- runs side by side


@pytest.mark.parametrize("degrees", [1, 2, 5, 12, 30])
def test_the_quantiles_are_students(degrees: int) -> None:
    """The density, integrated by the midpoint rule from 0 to the quantile, is 0.475."""
    bound, steps = across._T[degrees - 1], 200_000
    scale = math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2) / math.sqrt(degrees * math.pi)
    places = ((n + 0.5) * bound / steps for n in range(steps))
    area = math.fsum(scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2) for x in places) * bound / steps
    assert area == pytest.approx(0.475, abs=1e-4)


def test_the_mean_over_seeds_by_hand() -> None:
    """0.2, 0.4, 0.6: standard deviation 0.2, standard error 0.2/√3, t of two degrees 4.303."""
    mean = across.mean_over_seeds([0.2, 0.4, 0.6])
    assert mean.value == pytest.approx(0.4)
    assert mean.low == pytest.approx(0.4 - 4.303 * 0.2 / math.sqrt(3))
    assert mean.high == pytest.approx(0.4 + 4.303 * 0.2 / math.sqrt(3))
    assert across.mean_over_seeds([0.2]) == (0.2, None, None)


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_sign_test_adds_up_what_is_at_least_as_uneven(better: int, worse: int) -> None:
    n = better + worse
    as_uneven = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(better - worse))
    assert across.sign_test(better, worse) == pytest.approx(as_uneven / 2**n)


def test_runs_side_by_side_have_seeds_pairs_and_compile_rates(tmp_path: Path) -> None:
    """Runs a and b differ by their seed alone, c has fewer iterations: 12, 12 and 6 of 23 problems are right."""
    folders = [
        build.build(tmp_path / "a"), build.build(tmp_path / "b", seed=1), build.build(tmp_path / "c", iterations=1),
    ]  # fmt: skip
    runs = rundata.read_runs(folders)
    found = {grid.title: grid for grid in across.grids(runs)}
    assert list(found) == ["Compile rates", "Means over seeds", "Paired tests"]
    assert [row[0] for row in found["Means over seeds"].rows] == ["demo (a), demo (b)"]
    assert found["Means over seeds"].rows[0][1:3] == ("0, 1", "52.2% (52.2–52.2)")
    rows = {row[0]: row for row in found["Paired tests"].rows}
    assert rows["demo (b)"][2:] == ("+0.0 (+0.0 to +0.0)", "23", "0/0", "1.0")
    assert rows["demo (c)"][4:] == ("0/6", "0.031") and rows["demo (c)"][2].startswith("-26.1")
    assert "→" in found["Compile rates"].rows[0][1]
    html = page_of(*folders)
    assert "Means over seeds" in html and "Paired tests" in html


# --- waves of wrong answers


def test_wrong_answers_are_simulated_once_each_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the examples' own: held-out ones first, and of those the last model's."""
    folder = build.build(tmp_path / "run", candidates=40)
    asked: list[str] = []

    def simulated(
        _name: str, tasks: Sequence[tuple[ScoreItem, int, int]], **_kept: float
    ) -> Iterator[tuple[int, Outcome]]:
        asked[:] = [item.code for item, _, _ in tasks]
        yield from ((n, Outcome("ok", build.wave(make.problems()[2], ""))) for n in range(len(tasks)))

    monkeypatch.setattr(loop_waves, "map_unordered", simulated)
    monkeypatch.setattr(loop_waves, "MOST_WRONG", 0)
    loop_waves.write_waves(folder)
    few = len(asked)
    monkeypatch.setattr(loop_waves, "MOST_WRONG", 25)
    loop_waves.write_waves(folder)
    assert len(asked) == len(set(asked)) == few + 25
    waves = read_waves(folder)[few:]
    assert [bool(wave.benchmark) for wave in waves] == sorted((bool(wave.benchmark) for wave in waves), reverse=True)
    assert not waves[-1].benchmark and waves[0].task_id in [f"task{n}" for n in range(12, 18)]
    catalogue = read_catalogue(rundata.read_runs([folder]))
    candidates = [n for n, a in enumerate(catalogue.answers) if catalogue.tasks[a.task].group == TRAINING]
    assert any(catalogue.detail(n)["wave"] for n in candidates if catalogue.answers[n].verdict == "wrong_output")
