"""The stage: order, duplicates, cache, faults of ours and of the model, kill -9 and resume."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from itertl.config import ScoreConfig
from itertl.errors import DataError, ToolFailed, UsageError
from itertl.progress import Tracker
from itertl.records import Candidate, Fault, Problem, SamplingSettings, Score, Scored, Verdict
from itertl.runs.storage import read_records
from itertl.scoring import scorers
from itertl.scoring.candidates import score_candidates
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.score_file import score_file

HEADER = "module m(input a, output y);\n"
PROBLEM = Problem.create(
    instruction="Copy.", header=HEADER, reference=HEADER + "assign y = a;\nendmodule\n", top="m", source="test"
)


def candidate(index: int, code: str, **fields: object) -> Candidate:
    base = {
        "problem_id": PROBLEM.id, "index": index, "policy": "p", "settings": SamplingSettings(), "seed": index,
        "text": code,
        "code": code, "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1,
    }  # fmt: skip
    return Candidate.model_validate({**base, **fields})


CODES = [
    HEADER + "assign y = a;\nendmodule", HEADER + "assign y = ;\nendmodule", "", HEADER + "assign y = ~a;\nendmodule",
    HEADER + "assign y = ;\nendmodule", "no code \u2028 \ud800 \0",
    "`define X a\n" + HEADER + "assign y = `X; endmodule",
]  # fmt: skip
CANDIDATES = [candidate(i, code, finish_reason="length" if i == 1 else "stop") for i, code in enumerate(CODES)]
PROBLEMS = {PROBLEM.id: PROBLEM}


class Counting(Tracker):
    def __init__(self) -> None:
        self.total = 0

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.total += amount


def config(*names: str, **fields: object) -> ScoreConfig:
    return ScoreConfig.model_validate({"scorers": names, "num_workers": 2, **fields})


def test_order_verdicts_and_files(tmp_path: Path) -> None:
    out, tracker = tmp_path / "scored.jsonl", Counting()
    scored = score_candidates(CANDIDATES, PROBLEMS, config=config("rtlcoder", "syntax"), out=out, tracker=tracker)
    assert [s.candidate for s in scored] == CANDIDATES
    assert read_records(out, Scored) == scored
    assert [path.name for path in tmp_path.iterdir()] == ["scored.jsonl"]
    assert tracker.total == len(CANDIDATES)
    assert [s.score("rtlcoder").verdict for s in scored] == [
        Verdict.PASSED, Verdict.SYNTAX_ERROR, Verdict.NO_CODE, Verdict.PASSED, Verdict.SYNTAX_ERROR, Verdict.NO_CODE,
        Verdict.SYNTAX_ERROR,
    ]  # fmt: skip
    assert [s.score("syntax").value for s in scored] == [1, 0, 0, 1, 0, 0, 1]
    assert all(s.score("rtlcoder").value is not None for s in scored)


def test_empty_stage(tmp_path: Path) -> None:
    assert score_candidates([], {}, config=config("syntax"), out=tmp_path / "s.jsonl") == []
    assert (tmp_path / "s.jsonl").read_bytes() == b""


def test_unknown_problem_or_scorer_stops_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=PROBLEM.id):
        score_candidates(CANDIDATES, {}, config=config("syntax"), out=tmp_path / "s.jsonl")
    with pytest.raises(UsageError, match="did you mean 'syntax'"):
        score_candidates(CANDIDATES, PROBLEMS, config=config("sintax"), out=tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []


def run(items: Sequence[ScoreItem], name: str, timeout_s: float = 20) -> list[Score]:
    return [row[0] for row in score_items(items, [name], effort=Effort(num_workers=1, timeout_s=timeout_s))]


def test_duplicates_are_scored_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    items = [ScoreItem(code, header=str(calls)) for code in ("a", "bb", "a", "a")]
    assert [s.value for s in run(items, "scoring_hooks:counted")] == [0.01, 0.02, 0.01, 0.01]
    assert sorted(calls.read_text().split()) == ["a", "bb"]


def test_a_users_score_carries_the_name_it_was_called_by() -> None:
    [score] = run([ScoreItem("x" * 50)], "scoring_hooks:length")
    assert (score.scorer, score.value) == ("scoring_hooks:length", 0.5)


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("raises", "ZeroDivisionError: no luck"),
        ("not_a_number", "not a finite number"),
        ("blames_nobody", "None goes with our faults"),
        ("returns_a_list", "a list of 2"),
        ("dies", "crashed"),
    ],
)
def test_a_broken_scorer_is_our_fault(name: str, detail: str) -> None:
    [score] = run([ScoreItem("x")], f"scoring_hooks:{name}")
    assert (score.value, score.verdict) == (None, Verdict.TOOL_FAILED)
    assert detail in score.detail


def test_a_crash_is_tried_again(tmp_path: Path) -> None:
    [score] = run([ScoreItem("x" * 10, header=str(tmp_path / "mark"))], "scoring_hooks:dies_once")
    assert score.value == 0.1


@pytest.mark.parametrize(
    ("hook", "runs_a_tool", "value", "verdict"),
    [
        ("hangs_on_long", True, 0.0, Verdict.TIMEOUT),  # the tool still answers on the probe: the text's fault
        ("hangs", True, None, Verdict.TOOL_FAILED),  # it does not: the tool's
        ("hangs_on_long", False, None, Verdict.TOOL_FAILED),  # no tool to blame the text's stall on
    ],
)
def test_stalls(
    hook: str, runs_a_tool: bool, value: float | None, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"scoring_hooks:{hook}"
    if runs_a_tool:
        monkeypatch.setitem(scorers.SCORERS, name, scorers.Scorer(name, name, runs_tool=True))
    [score] = run([ScoreItem("x" * 200)], name, timeout_s=1.5)
    assert (score.value, score.verdict) == (value, verdict)


def test_a_missing_tool_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_IVERILOG", "/nonexistent/iverilog")
    from itertl.tools import icarus

    icarus.version.cache_clear()
    scorers.version.cache_clear()
    try:
        [score] = run([ScoreItem(CODES[0])], "icarus")
        assert (score.value, score.verdict) == (None, Verdict.TOOL_MISSING)
        assert "apt-get install iverilog" in score.detail
    finally:
        scorers.version.cache_clear()


def test_cache_serves_a_second_run_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config("syntax", "rouge-l-tokens")
    cache = tmp_path / "cache"
    score_candidates(CANDIDATES, PROBLEMS, config=settings, out=tmp_path / "one.jsonl", cache=cache)
    monkeypatch.setattr("itertl.scoring.engine._job", lambda *unit: pytest.fail("scored"))
    score_candidates(CANDIDATES, PROBLEMS, config=settings, out=tmp_path / "two.jsonl", cache=cache)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_cache_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [ScoreItem(CODES[0])]
    score_items(items, ["syntax"], effort=Effort(num_workers=1, cache=tmp_path))
    monkeypatch.setattr(scorers, "REVISION", 999)
    score_items(items, ["syntax"], effort=Effort(num_workers=1, cache=tmp_path))
    with sqlite3.connect(tmp_path / "scores.sqlite") as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (2,)


@pytest.mark.parametrize("damage", ["garbage", "page", "entry"])
def test_a_corrupt_cache_is_dropped(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = [ScoreItem(code, HEADER, PROBLEM.reference) for code in CODES]
    expected = score_items(items, ["rouge-l"], effort=Effort(num_workers=1, cache=tmp_path))
    file = tmp_path / "scores.sqlite"
    if damage == "garbage":
        file.write_bytes(b"not a database at all" * 100)
    elif damage == "page":
        file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    else:
        with sqlite3.connect(file) as database:
            database.execute("UPDATE answers SET text = '{}'")
    with caplog.at_level(logging.WARNING):
        assert score_items(items, ["rouge-l"], effort=Effort(num_workers=1, cache=tmp_path)) == expected
    assert ("corrupt" in caplog.text) == (damage != "entry")
    assert score_items(items, ["rouge-l"], effort=Effort(num_workers=1, cache=tmp_path)) == expected


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    [(score,)] = score_items([ScoreItem(CODES[0])], ["syntax"], effort=Effort(num_workers=1, cache=blocked / "cache"))
    assert score.value == 1
    assert "not used" in caplog.text


SCRIPT = """
import sys
from pathlib import Path
import test_scoring_stage as t
from itertl.scoring.candidates import score_candidates
if __name__ == "__main__":
    score_candidates(t.CANDIDATES, t.PROBLEMS, config=t.config("syntax", "rouge-l"), out=Path(sys.argv[1]))
"""


def test_kill_and_resume_end_in_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    plain, killed = tmp_path / "plain.jsonl", tmp_path / "killed.jsonl"
    score_candidates(CANDIDATES, PROBLEMS, config=config("syntax", "rouge-l"), out=plain)

    def attempt(kill_at: str) -> int:
        env = {**os.environ, "ITERTL_KILL_AT": kill_at, "PYTHONPATH": str(Path(__file__).parent)}
        return subprocess.run(
            [sys.executable, str(script), str(killed)], env=env, timeout=120, capture_output=True
        ).returncode

    assert attempt("score.item:4") == -signal.SIGKILL
    partial = tmp_path / "killed.jsonl.partial"
    assert len(partial.read_text().splitlines()) == 4
    assert not killed.exists()
    with partial.open("a") as handle:
        handle.write('{"key": "torn')
    assert attempt("score.item:1000") == 0
    assert killed.read_bytes() == plain.read_bytes()
    assert not partial.exists()


def test_resuming_asks_a_broken_tool_again_and_nothing_else(tmp_path: Path) -> None:
    calls, log = tmp_path / "calls", tmp_path / "log"
    items = [ScoreItem(code, header=str(calls)) for code in ("a", "bb")]
    score_items(items, ["scoring_hooks:counted"], log=log, effort=Effort(num_workers=1))
    log.write_text(
        log.read_text().replace('"value": 0.01, "verdict": "scored"', '"value": null, "verdict": "tool_failed"')
    )
    rows = score_items(items, ["scoring_hooks:counted"], log=log, effort=Effort(num_workers=1))
    assert [row[0].value for row in rows] == [0.01, 0.02]
    assert sorted(calls.read_text().split()) == ["a", "a", "bb"]
    assert all(row[0].verdict.fault is Fault.NONE for row in rows)


def test_a_users_scorer_that_raises_stops_the_call_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_scorer.py").write_text(
        "def score(item):\n    if item.code.endswith('!'):\n        raise ValueError('odd')\n    return '1'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = [
        {"reference": "module m; endmodule", "completion": text}
        for text in ("module m; endmodule!", "module m; endmodule")
    ]
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        ToolFailed,
        match=r"own_scorer:score: (raised ValueError: odd \(.*own_scorer\.py:3\)|scorer .* returned '1', a str)",
    ):
        score_file(source, ["own_scorer:score"], tmp_path / "out.jsonl", effort=Effort(num_workers=1, keep_going=False))
    assert not (tmp_path / "out.jsonl").exists()
    found = score_file(
        source, ["own_scorer:score"], tmp_path / "out.jsonl", effort=Effort(num_workers=1, keep_going=True)
    )["scorers"]["own_scorer:score"]
    assert found["unscored"] == 2 and "own_scorer.py:3" in found["first_failure"]
