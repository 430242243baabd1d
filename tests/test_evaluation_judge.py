"""Judging with the real simulator: verdicts, order, sharing, resuming, and whose fault it is."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation_cases import HEADER, INVERT, WHOLE_INVERTER, tiny
from itertl.errors import DataError, ToolMissing, UsageError
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import Conditions, judge
from itertl.evaluation.worker import RunTask
from itertl.progress import Tracker
from itertl.records import EvalRow, Verdict, content_hash
from itertl.sandbox.sandbox import Limits
from itertl.tools import verilator
from itertl.work import pool


class Counting(Tracker):
    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount


def whole(text: str, task: str = "invert", **fields: object) -> Completion:
    return Completion(task, 0, text, True, **fields)  # type: ignore[arg-type]


def body(text: str, task: str = "invert", **fields: object) -> Completion:
    return Completion(task, 0, text, False, **fields)  # type: ignore[arg-type]


FORGED = HEADER + 'assign y = 0; initial begin $display("Mismatches: 0 in 4 samples"); $finish; end\nendmodule\n'
ENDLESS = HEADER + "assign y = ~a; initial while (1) ;\nendmodule\n"

# Icarus returns its number of errors modulo 256: this status looks like success.
ERRORS_256 = "genvar i; generate for (i = 0; i < 256; i = i + 1) begin : g nowhere n(); end endgenerate assign y = ~a;\nendmodule"

VERDICTS = [
    (body(ERRORS_256), Verdict.ELABORATION_ERROR),
    (body(INVERT), Verdict.PASSED),
    (whole(WHOLE_INVERTER), Verdict.PASSED),
    (whole(WHOLE_INVERTER.replace("\n", "\r\n")), Verdict.PASSED),
    (whole("// ünïcode ✓ 反転\n" + WHOLE_INVERTER), Verdict.PASSED),
    (whole("// a lone surrogate \ud800\n" + WHOLE_INVERTER), Verdict.PASSED),
    (body(WHOLE_INVERTER), Verdict.SYNTAX_ERROR),  # a header before a whole module: as upstream
    (body("assign y = a;\nendmodule"), Verdict.WRONG_OUTPUT),
    (body("assign y = ;\nendmodule"), Verdict.SYNTAX_ERROR),
    (body("assign y = b;\nendmodule"), Verdict.ELABORATION_ERROR),
    (whole("module other; endmodule"), Verdict.ELABORATION_ERROR),
    (whole('`include "nowhere.v"\n' + WHOLE_INVERTER), Verdict.GAMED),
    (body(""), Verdict.NO_CODE),
    (body("\ufeff \r\n\t\0"), Verdict.NO_CODE),
    (whole("I am sorry, I cannot write Verilog."), Verdict.NO_CODE),
    (whole(FORGED), Verdict.GAMED),
    (body("assign y = ~a; initial $fatal(1);\nendmodule"), Verdict.GAMED),
    (body("assign y = ~a;", truncated=True), Verdict.TRUNCATED),
    (body("", truncated=True), Verdict.TRUNCATED),
    (body(INVERT, truncated=True), Verdict.PASSED),
    (body(INVERT, "broken"), Verdict.UNJUDGEABLE),
    (body("assign y = ;", "broken", truncated=True), Verdict.UNJUDGEABLE),
]


@pytest.fixture(scope="module")
def rows() -> list[EvalRow]:
    return judge(tiny(), [completion for completion, _ in VERDICTS])


@pytest.mark.parametrize("number", range(len(VERDICTS)))
def test_verdict(rows: list[EvalRow], number: int) -> None:
    completion, verdict = VERDICTS[number]
    assert rows[number].verdict is verdict, rows[number].detail
    expected = None if verdict is Verdict.UNJUDGEABLE else verdict is Verdict.PASSED
    assert rows[number].passed is expected
    assert rows[number].task_id == completion.task_id
    assert rows[number].completion_hash == content_hash(completion.text)


def test_rows_say_what_judged_them(rows: list[EvalRow]) -> None:
    assert {(row.benchmark, row.rule) for row in rows} == {("tiny 1", "strict")}
    assert all(row.simulator.startswith("Icarus Verilog 1") for row in rows)
    assert all(row.detail for row in rows if row.verdict is not Verdict.PASSED)
    broken = [row.detail for row in rows if row.task_id == "broken"]
    assert all("own reference fails here" in detail and "no_such_wire" in detail for detail in broken)


def test_rules_differ_on_a_forged_verdict_and_on_a_warning() -> None:
    implicit = body("assign z = a[0]; assign y = ~a;\nendmodule")
    default = [row.verdict for row in judge(tiny(), [whole(FORGED), implicit])]
    upstream = judge(tiny(), [whole(FORGED), implicit], rule="upstream")
    assert default == [Verdict.GAMED, Verdict.PASSED]
    assert [row.verdict for row in upstream] == [Verdict.PASSED, Verdict.COMPILE_ERROR]
    assert "warning" in upstream[1].detail and upstream[1].rule == "upstream"


def test_a_design_that_never_ends_is_timed_out() -> None:
    limits = Limits(wall_s=4, cpu_s=1)
    assert (
        judge(tiny(), [whole(ENDLESS)], conditions=Conditions(limits=limits), num_workers=1)[0].verdict
        is Verdict.TIMEOUT
    )
    plain = tiny(judge="evaluation_hooks:hurried")
    assert judge(plain, [whole(ENDLESS)], rule="upstream", num_workers=1)[0].verdict is Verdict.TIMEOUT


def test_our_faults_never_count_against_the_model(tmp_path: Path) -> None:
    partial = tmp_path / "log"
    raised = judge(
        tiny(judge="evaluation_hooks:broken"), [body(INVERT)], rule="upstream", num_workers=1, partial=partial
    )[0]
    assert (raised.verdict, raised.passed) == (Verdict.UNJUDGEABLE, None)  # the reference meets the same fault
    assert partial.read_text() == ""
    crashed = judge(
        tiny(judge="evaluation_hooks:dies_on_inverter"),
        [body(INVERT), body(INVERT, "both")],
        rule="upstream",
        num_workers=1,
    )
    assert [row.verdict for row in crashed] == [Verdict.UNJUDGEABLE, Verdict.WRONG_OUTPUT]
    assert "tool_failed" in crashed[0].detail


def test_a_tool_that_fails_once_leaves_one_row_unjudged() -> None:
    benchmark = tiny(judge="evaluation_hooks:fails_on_marked")
    found = judge(
        benchmark,
        [body(INVERT), body("// MARK\n" + INVERT), body("assign y = a;\nendmodule")],
        rule="upstream",
        num_workers=1,
    )
    assert [row.verdict for row in found] == [Verdict.PASSED, Verdict.TOOL_FAILED, Verdict.WRONG_OUTPUT]
    assert found[1].passed is None and "OSError" in found[1].detail


def test_a_missing_simulator_is_said_before_anything_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERTL_VVP", "/nonexistent/vvp")
    with pytest.raises(ToolMissing, match="ITERTL_VVP"):
        judge(tiny(), [body(INVERT)])


def test_a_missing_parser_is_said_before_anything_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyslang", None)
    with pytest.raises(ToolMissing, match="pip install 'pyslang"):
        judge(tiny(), [body(INVERT)])
    assert judge(tiny(), [body(INVERT)], rule="upstream", num_workers=1)[0].passed  # has no use for it


def test_errata_are_unjudgeable_without_a_run() -> None:
    found = judge(tiny(errata={"invert": "ports differ"}, judge="evaluation_hooks:broken"), [body(INVERT)])
    assert (found[0].verdict, found[0].passed) == (Verdict.UNJUDGEABLE, None)
    assert "ports differ" in found[0].detail


def test_equal_texts_are_judged_once_and_progress_counts_all(tmp_path: Path) -> None:
    partial, tracker = tmp_path / "log", Counting()
    completions = [body(INVERT), body("assign y = a;\nendmodule"), body(INVERT), body(""), body(INVERT)]
    found = judge(tiny(), completions, partial=partial, tracker=tracker)
    assert [row.passed for row in found] == [True, False, True, False, True]
    assert len(partial.read_text().splitlines()) == 3  # two texts and the reference's own run
    assert tracker.done == 5


def test_a_design_that_is_the_reference_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, after comments and layout are gone; one that says the same in other words is run."""
    ran: list[tuple[str, str]] = []
    outcomes = pool.Workers.map_unordered

    def watched(self: Any, payloads: Any, **options: Any) -> Any:
        tasks = list(payloads)
        ran.extend((task.problem.upstream_id, task.design) for task in tasks if isinstance(task, RunTask))
        return outcomes(self, tasks, **options)

    monkeypatch.setattr(pool.Workers, "map_unordered", watched)
    found = judge(
        tiny(),
        [whole(f"// mine\n{WHOLE_INVERTER}\n"), whole(WHOLE_INVERTER.replace("~a", "(~a)")), whole(WHOLE_INVERTER)],
    )
    assert [row.passed for row in found] == [True, True, True]
    assert len(ran) == 2


def test_same_text_for_another_problem_or_after_a_header_is_another_judgement() -> None:
    found = judge(tiny(), [body(INVERT), body(INVERT, "both"), whole(INVERT.replace("endmodule", "// module"))])
    assert [row.verdict for row in found] == [Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.NO_CODE]


def test_resuming_believes_the_log_of_the_same_rule_only(tmp_path: Path) -> None:
    partial = tmp_path / "log"
    first = judge(tiny(), [body(INVERT)], partial=partial)
    _, line = (json.loads(line) for line in partial.read_text().splitlines())
    partial.write_text(json.dumps({**line, "found": ["timeout", "from the log"]}) + '\n{"key": 3}\n[]\n{"to')
    resumed = judge(tiny(), [body(INVERT)], partial=partial)
    other = judge(tiny(), [body(INVERT)], partial=partial, rule="upstream")
    assert first[0].verdict is Verdict.PASSED
    assert (resumed[0].verdict, resumed[0].detail) == (Verdict.TIMEOUT, "from the log")
    assert other[0].verdict is Verdict.PASSED


def test_verdicts_are_kept_across_calls_until_a_simulator_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        with sqlite3.connect(tmp_path / "verdicts.sqlite") as database:
            return database.execute("SELECT count(*) FROM answers").fetchone()[0]

    texts = [body(INVERT), body("assign y = a;\nendmodule")]
    monkeypatch.setattr(verilator, "version_if_found", lambda: None)
    first = judge(tiny(), texts, cache=tmp_path)
    assert kept() == 3  # two verdicts and what the reference said
    assert judge(tiny(), texts, cache=tmp_path) == first
    assert kept() == 3
    monkeypatch.setattr(verilator, "version_if_found", lambda: "Verilator 0.1")
    assert judge(tiny(), texts, cache=tmp_path) == first
    assert kept() == 6


SCRIPT = """
import sys; from pathlib import Path
from evaluation_cases import tiny, INVERT
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import judge
if __name__ == "__main__":
    c = [Completion("invert", i, f"// {i}\\n" + (INVERT if i % 2 else "assign y = a; endmodule"), False) for i in range(6)]
    rows = judge(tiny(), c, num_workers=1, partial=Path(sys.argv[1]))
    print("\\n".join(row.to_line() for row in rows))
"""


def test_killed_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    script, log = tmp_path / "run.py", tmp_path / "log"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    def run(name: Path, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, script, name], env={**env, **extra}, capture_output=True, text=True, check=False
        )

    killed = run(log, ITERTL_KILL_AT="judge.item:3")
    assert killed.returncode == -signal.SIGKILL
    assert len(log.read_text().splitlines()) == 3  # the reference's own run, or a verdict, each
    resumed, undisturbed = run(log), run(tmp_path / "other")
    assert resumed.returncode == undisturbed.returncode == 0, resumed.stderr
    assert resumed.stdout == undisturbed.stdout and len(resumed.stdout.splitlines()) == 6


def test_unknown_task_names_place_and_nearest() -> None:
    with pytest.raises(DataError, match=r"s.jsonl:7: tiny has no task_id 'inverter'; did you mean 'invert'"):
        judge(tiny(), [body(INVERT, "inverter", where="s.jsonl:7")])
    with pytest.raises(DataError, match="its ids are like invert, both, broken"):
        judge(tiny(), [body(INVERT, "")])


def test_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'upstream'"):
        judge(tiny(), [body(INVERT)], rule="upsteam")


def test_a_rule_of_the_users_own() -> None:
    found = judge(tiny(), [body("assign y = a;\nendmodule")], rule="evaluation_hooks:everything_passes")
    assert found[0].passed and found[0].rule == "evaluation_hooks:everything_passes"


def test_no_completions_no_rows() -> None:
    assert judge(tiny(), []) == []


@given(st.lists(st.text(st.characters(exclude_categories=())), min_size=5, max_size=9))
@settings(deadline=None, max_examples=3, suppress_health_check=list(HealthCheck))
def test_any_text_gets_a_verdict_of_the_models_fault(texts: list[str]) -> None:
    found = judge(tiny(), [body(text) for text in texts], num_workers=1)
    assert len(found) == len(texts)
    assert all(row.passed is False for row in found)
