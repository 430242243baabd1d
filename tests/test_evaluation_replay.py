"""Real completions with stored verdicts, judged again: a 7B model's replay, and known wrong answers.

The stored verdicts are a strict harness's on Icarus 11; another simulator may rightly differ, so that these tests say
nothing with another. Two differences are expected, and each is checked to be one of them: the two Human problems whose
reference needs Icarus 12 are unjudged here and failed there; and rule ``upstream`` fails a design for a warning, which
the stored harness, like rule ``strict``, does not.
"""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from itertl.evaluation.benchmarks import load
from itertl.evaluation.completions import Completion
from itertl.evaluation.files import eval_file
from itertl.evaluation.judge import judge
from itertl.evaluation.self_test import self_test
from itertl.records import EvalRow, Verdict
from itertl.tools import icarus, verilator


@pytest.fixture(autouse=True)
def icarus_11(monkeypatch: pytest.MonkeyPatch) -> None:
    """Icarus 11, and no second simulator for what it cannot run."""
    monkeypatch.setattr(verilator, "version_if_found", lambda: None)
    if " 11." not in icarus.version():
        pytest.skip(f"stored verdicts are Icarus 11's, installed is {icarus.version()}")


def replay(
    shared_data: Path, which: str, tmp_path: Path, rule: str, count: int | None
) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Judge ``count`` lines (None: all) of a replay; the account, our rows, the stored lines."""
    lines = (shared_data / f"replay/dpskcoder7b_{which}.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = range(len(lines)) if count is None else sorted(random.Random(which).sample(range(len(lines)), count))
    samples = tmp_path / "samples.jsonl"
    samples.write_text("".join(lines[i] + "\n" for i in chosen), encoding="utf-8")
    found = eval_file(samples, load(f"verilogeval-v1-{which}", shared_data), out=tmp_path / "out", rule=rule)
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    return found, rows, [json.loads(lines[i]) for i in chosen]


def differences(rows: list[Any], stored: list[Any], rule: str) -> list[Any]:
    """Rows that differ from what is stored, but for those that ``upstream`` fails for a compiler's warning."""
    assert [r["task_id"] for r in rows] == [s["task_id"] for s in stored]
    apart = [(r, s) for r, s in zip(rows, stored, strict=True) if r["passed"] is not s["passed"]]
    return [r for r, s in apart if not (rule == "upstream" and s["passed"] and warned(r))]


def warned(row: Any) -> bool:
    return row["verdict"] == "compile_error" and bool(
        re.match(r"stderr is not empty: .*(warning|sorry): ", row["detail"])
    )


def needs_icarus_12(shared_data: Path) -> set[str]:
    return set(json.loads((shared_data / "iverilog11_status.json").read_text())["verilogeval_v1"]["human"]["failing"])


@pytest.mark.parametrize(("which", "rule", "count"), [("machine", "strict", 50), ("human", "upstream", 10)])
def test_a_part_of_the_replay(shared_data: Path, tmp_path: Path, which: str, rule: str, count: int) -> None:
    _, rows, stored = replay(shared_data, which, tmp_path, rule, count)
    apart = differences(rows, stored, rule)
    assert all(r["verdict"] == "unjudgeable" and r["task_id"] in needs_icarus_12(shared_data) for r in apart), apart


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rule", ["strict", "upstream"])
@pytest.mark.parametrize(
    ("which", "published"), [("machine", {1: 53.4, 5: 71.0, 10: 75.5}), ("human", {1: 29.7, 5: 45.3, 10: 50.6})]
)
def test_the_whole_replay(
    shared_data: Path, tmp_path: Path, which: str, published: dict[int, float], rule: str
) -> None:
    found, rows, stored = replay(shared_data, which, tmp_path, rule, None)
    for k, expected in published.items() if rule == "strict" else ():
        assert round(100 * found["pass_at_k_unjudged_as_failed"][str(k)], 1) == expected
    apart = differences(rows, stored, rule)
    unjudged = needs_icarus_12(shared_data) if which == "human" else set()
    assert {r["task_id"] for r in apart} == unjudged == set(found["unjudged_problems"]), apart
    assert found["summary"]["unjudged"] == 10 * len(unjudged)


# Its two processes write ``state`` in one time step; which comes last is the simulator's choice, and the strict
# testbench's nets let the reset come last, upstream's the next state. Verilog allows both.
RACES_WITH_ITSELF = frozenset({("verilogeval-syntax-hard", 642)})


NOT_COMPILED = (Verdict.SYNTAX_ERROR, Verdict.ELABORATION_ERROR, Verdict.COMPILE_ERROR, Verdict.NO_CODE)


def judged_otherwise(shared_data: Path, count: int | None) -> tuple[list[Any], int]:
    """Of ``count`` known answers (None: all), those whose verdict is not the stored one; how many could be judged."""
    lines = [json.loads(line) for line in (shared_data / "rtlfixer_wrong_solutions.jsonl").read_text().splitlines()]
    benchmark = load("verilogeval-v1-human", shared_data)
    known = [line for line in lines if line["task_id"] in benchmark.by_id]
    chosen = known if count is None else random.Random(5).sample(known, count)
    completions = [Completion(c["task_id"], i, c["solution"], c["full_module"]) for i, c in enumerate(chosen)]
    apart: list[Any] = []
    judged = 0
    for row, line in zip(judge(benchmark, completions), chosen, strict=True):
        judged += row.passed is not None
        if not is_as_stored(row, line, needs_icarus_12(shared_data)):
            apart.append((line["set"], line["index"], row))
    return apart, judged


def is_as_stored(row: EvalRow, line: dict[str, Any], unjudged: set[str]) -> bool:
    if row.passed is None:
        return row.task_id in unjudged
    if (line["set"], line["index"]) in RACES_WITH_ITSELF:
        return True
    # the gate expands a time scale inside a module away, after which a nested module is no error any more
    if line["iverilog11_result"] == "compile_error" and line["solution"].count("endmodule") < 2:
        return row.verdict in NOT_COMPILED
    return row.passed is (line["iverilog11_result"] == "passed")


def test_some_wrong_answers_stay_wrong(shared_data: Path) -> None:
    apart, judged = judged_otherwise(shared_data, 40)
    assert apart == [] and judged > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_wrong_answers_stay_wrong(shared_data: Path) -> None:
    apart, judged = judged_otherwise(shared_data, None)
    assert apart == [] and judged > 300


def test_references_pass_and_broken_ones_fail(shared_data: Path) -> None:
    found = self_test(load("verilogeval-v1-machine", shared_data, limit=10), max_mutants=3)
    assert (found.checked, found.without_reference, found.failures) == (10, (), {})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_machine_set_but_two_is_sound(shared_data: Path) -> None:
    """Two testbenches hardly ever reset the design at a clock edge: of fsm_ps2 even an empty module passes."""
    found = self_test(load("verilogeval-v1-machine", shared_data))
    assert found.checked == 143
    assert found.failures["fsm_ps2"].startswith("a module without a body passes (known: ")
    assert set(found.failures) <= {"fsm_ps2", "2012_q2fsm"}
    assert "caught" in found.failures.get("2012_q2fsm", "caught")
