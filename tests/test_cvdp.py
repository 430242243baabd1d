"""CVDP: its records as problems, what is left out of them, and what a run of their harness means.

The records are our own, in the data set's layout. What runs cocotb is skipped where it is not installed.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from itertl.errors import DataError, ToolMissing
from itertl.evaluation import cvdp, cvdp_harness
from itertl.evaluation.benchmarks import Benchmark, load
from itertl.evaluation.cvdp_harness import Failure, HarnessRun
from itertl.evaluation.judge import Completion, judge
from itertl.records import Verdict
from itertl.sandbox.sandbox import Completed

needs_cocotb = pytest.mark.skipif(importlib.util.find_spec("cocotb") is None, reason="pip install 'itertl[cvdp]'")

COMPOSE = """services:
  direct:
    image: __OSS_SIM_IMAGE__
    volumes:
      - ./src/:/src/:ro
    env_file    : ./src/.env
    command     : pytest -s -o cache_dir=/rundir/harness/.cache /src/test_runner.py -v
"""
ENV = """SIM             = icarus
TOPLEVEL_LANG   = verilog
VERILOG_SOURCES = /code/rtl/add.sv
TOPLEVEL        = add
MODULE          = test_add
PYTHONPATH      = /src
"""
RUNNER = """import os
from cocotb_tools.runner import get_runner

def test_runner():
    runner = get_runner(os.getenv("SIM"))
    runner.build(sources=os.getenv("VERILOG_SOURCES").split(), hdl_toplevel=os.getenv("TOPLEVEL"), always=True,
                 clean=True, timescale=("1ns", "1ns"), log_file="build.log")
    runner.test(hdl_toplevel=os.getenv("TOPLEVEL"), test_module=os.getenv("MODULE"))
"""
TEST = """import cocotb
import random
from cocotb.triggers import Timer

@cocotb.test()
async def test_sum(dut):
    for _ in range(8):
        a, b = random.randint(0, 15), random.randint(0, 15)
        dut.a.value, dut.b.value = a, b
        await Timer(1, unit="ns")
        assert int(dut.y.value) == a + b, f"{a} + {b} is {int(dut.y.value)}"
"""
ADD = "module add(input [3:0] a, input [3:0] b, output [4:0] y);\n  assign y = a + b;\nendmodule\n"
HALVES = "module half(input [3:0] a, input [3:0] b, output [4:0] y);\n  assign y = a + b;\nendmodule\n"
WRAPPED = "module add(input [3:0] a, input [3:0] b, output [4:0] y);\n  half h(.a(a), .b(b), .y(y));\nendmodule\n"


def record(ident: str = "cvdp_copilot_add_0001", category: str = "cid003", **changes: Any) -> dict[str, Any]:
    files = {"docker-compose.yml": COMPOSE, "src/.env": ENV, "src/test_runner.py": RUNNER, "src/test_add.py": TEST}
    found: dict[str, Any] = {
        "id": ident, "categories": [category, "easy"],
        "input": {"prompt": "Make `add`, the sum of two numbers.", "context": {}},
        "output": {"response": "", "context": {"rtl/add.sv": ADD}}, "harness": {"files": files},
    }  # fmt: skip
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for parent in parents:
            place = place[parent]
        place[last] = value
    return found


def bench(folder: Path, *records: dict[str, Any], monkeypatch: pytest.MonkeyPatch | None = None) -> Benchmark:
    file = folder / "cvdp_v1.1.0_nonagentic_code_generation_no_commercial.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in records))
    return load("cvdp", file)


@pytest.fixture
def without_cocotb(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were there: nothing here runs it."""
    monkeypatch.setattr(cvdp, "cocotb_version", lambda: "2.0.1")
    monkeypatch.setattr(cvdp, "_is_installed", lambda name: not name.startswith("numpy"))


@pytest.mark.usefixtures("without_cocotb")
class TestRecords:
    def test_a_record_becomes_a_problem(self, tmp_path: Path) -> None:
        found = bench(tmp_path, record(input__context={"docs/spec.md": "Sum, 5 bits."}))
        assert (found.version, found.default_rule) == ("1.1.0", "harness")
        problem = found.by_id["cvdp_copilot_add_0001"]
        assert (problem.reference, problem.top, problem.header) == (ADD, "add", "")
        assert "docs/spec.md:\n```\nSum, 5 bits.\n```" in problem.instruction
        assert "whole content of the file rtl/add.sv" in problem.instruction
        assert problem.extra["sources"] == ["code/rtl/add.sv"]
        assert problem.extra["services"][0]["env"]["MODULE"] == "test_add"  # type: ignore[index, call-overload]

    def test_solutions_that_are_not_published_leave_no_reference(self, tmp_path: Path) -> None:
        blank, none = record(output__context={"rtl/add.sv": ""}), record("cvdp_copilot_add_0002", output__context={})
        for problem in bench(tmp_path, blank, none).problems:
            assert problem.reference is None and problem.extra["outputs"] == ["rtl/add.sv"]

    def test_an_agentic_record_is_patched(self, tmp_path: Path) -> None:
        row = record()
        files = row.pop("harness")["files"]
        patch = "@@ -1,3 +1,3 @@\n module add(input [3:0] a, input [3:0] b, output [4:0] y);\n-  assign y = a - b;\n+  assign y = a + b;\n endmodule"
        row |= {
            "prompt": row.pop("input")["prompt"], "context": {"rtl/add.sv": ADD.replace("+", "-")},
            "patch": {"rtl/add.sv": patch}, "harness": files,
        }  # fmt: skip
        del row["output"]
        assert bench(tmp_path, row).problems[0].reference == ADD
        with pytest.raises(DataError, match=r"jsonl:1: rtl/add.sv: the patch does not fit"):
            bench(tmp_path, {**row, "context": {"rtl/add.sv": "module other;\nendmodule\n"}})
        new = {"rtl/add.sv": "@@ -0,0 +1,3 @@\n" + "".join(f"+{line}\n" for line in ADD.splitlines())}
        assert bench(tmp_path, {**row, "context": {}, "patch": new}).problems[0].reference.strip() == ADD.strip()  # type: ignore[union-attr]

    @pytest.mark.parametrize(("category", "has_header"), [("cid002", True), ("cid016", True), ("cid004", False)])
    def test_a_header_is_given_where_the_ports_are_to_stay(
        self, tmp_path: Path, category: str, has_header: bool
    ) -> None:
        skeleton = ADD.replace("  assign y = a + b;\n", "  // insert code here\n")
        problem = bench(tmp_path, record(category=category, input__context={"rtl/add.sv": skeleton})).problems[0]
        assert problem.header == (ADD.partition("\n")[0] if has_header else "")

    def test_what_cannot_be_judged_is_counted_by_name(self, tmp_path: Path) -> None:
        commercial = {"docker-compose.yml": COMPOSE.replace("__OSS_SIM_IMAGE__", "__VERIF_EDA_IMAGE__")}
        rows = [
            record("good"), record("asked", "cid009", harness={}), record("bench", "cid012"),
            record("licence", harness__files=commercial), record("none", harness={"files": {}}),
            record("lint", "cid007", **{"harness__files__src/synth.py": 'import subprocess\nsubprocess.run(["yosys"])'}),
            record("numbers", **{"harness__files__src/test_add.py": "import numpy as np\n" + TEST}),
            record("fast", **{"harness__files__src/.env": ENV.replace("icarus", "verilator")}),
            record("make", **{"harness__files__docker-compose.yml": COMPOSE.replace("pytest -s", "make -f")}),
        ]  # fmt: skip
        found = bench(tmp_path, *rows)
        assert list(found.by_id) == ["good"]
        said = "\n".join(found.notices)
        for reason in (
            "1 of cid009 (questions on RTL) left out, no code is asked for: asked",
            "1 of cid012 (testbench stimulus) left out, its harness needs commercial tools: bench",
            "needs commercial tools: licence", "it has no harness: none", "its harness calls yosys: lint",
            "its harness imports numpy, not installed here: numbers", "simulates with verilator: fast",
            "its harness runs make: make",
        ):  # fmt: skip
            assert reason in said
        with pytest.raises(DataError, match=r"no record of it can be judged here.*cid009"):
            bench(tmp_path, rows[1])

    def test_a_malformed_record_is_named(self, tmp_path: Path) -> None:
        for row, message in (
            (record(input__context={"../up.v": "x"}), r"jsonl:2: context: '\.\./up\.v' lies outside"),
            (record(categories="cid003"), r"jsonl:2: categories is 'cid003'"),
            (record(**{"harness__files__docker-compose.yml": "services: ["}), r"jsonl:2: its docker-compose\.yml"),
            (record(input__prompt=3), r"jsonl:2: prompt is 3"),
        ):
            with pytest.raises(DataError, match=message):
                bench(tmp_path, record("first"), row)
        (tmp_path / "cvdp_second.jsonl").write_text("")
        with pytest.raises(DataError, match=r"holds 2 \.jsonl files \(cvdp_second\.jsonl, cvdp_v1"):
            load("cvdp", tmp_path)


def test_without_cocotb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvdp.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"cocotb and pytest not installed: pip install 'itertl\[cvdp\]'") as caught:
        bench(tmp_path, record())
    assert caught.value.exit_status == 2


def ended(status: int, said: str = "", *, timed_out: bool = False, cpu_s: float = 0.5) -> Completed:
    return Completed(status, said, "", timed_out=timed_out, flooded=False, seconds=240.0, cpu_s=cpu_s)


@pytest.mark.parametrize(
    ("ran", "expected"),
    [
        (HarnessRun(steps=(ended(0),), num_tests=2), Verdict.PASSED),
        (HarnessRun(steps=(ended(0, "2 passed"),)), Verdict.UNJUDGEABLE),
        (HarnessRun(steps=(ended(0),), num_tests=2, failures=(Failure("t", "y is 1"),)), Verdict.WRONG_OUTPUT),
        (HarnessRun(steps=(ended(1, "all passed"),), num_tests=2), Verdict.RUNTIME_ERROR),
        (HarnessRun(steps=(ended(4, "ERROR: not found"),)), Verdict.UNJUDGEABLE),
        (HarnessRun(steps=(ended(-9, timed_out=True, cpu_s=90),)), Verdict.TIMEOUT),
        (HarnessRun(steps=(ended(-9, timed_out=True, cpu_s=9),)), Verdict.TOOL_FAILED),
        (HarnessRun(steps=(ended(1, cpu_s=cvdp_harness.LIMITS.cpu_s + 1),)), Verdict.TIMEOUT),
        (HarnessRun((Verdict.GAMED, "text"), steps=(ended(0),), num_tests=2), Verdict.GAMED),
    ],
)
def test_only_result_files_and_exit_status_make_a_verdict(ran: HarnessRun, expected: Verdict) -> None:
    assert cvdp_harness.verdict(ran)[0] is expected


def test_an_answer_may_be_upstream_s_json() -> None:
    files = cvdp_harness.answer_files(
        '{"code": [{"rtl/a.sv": "module a;"}, {"rtl/b.sv": "module b;"}]}', ["rtl/a.sv", "rtl/b.sv"]
    )
    assert files == {"rtl/a.sv": "module a;", "rtl/b.sv": "module b;"}
    assert cvdp_harness.answer_files(ADD, ["x.sv", "y.sv"]) == {"x.sv": ADD, "y.sv": ""}


def verdicts(found: Benchmark, task: str, answers: list[str]) -> list[tuple[Verdict, str]]:
    rows = judge(found, [Completion(task, i, text, full_module=True) for i, text in enumerate(answers)], num_workers=1)
    return [(row.verdict, row.detail) for row in rows]


@needs_cocotb
class TestHarness:
    def test_right_wrong_and_hostile_answers(self, tmp_path: Path) -> None:
        announced = 'initial $display("** TESTS=1 PASS=1 FAIL=0 **");\nendmodule'
        answers = [
            ADD, ADD.replace("+", "-").replace("endmodule", announced),
            ADD.replace("endmodule", "initial #3 $finish;\nendmodule"),
            ADD.replace("endmodule", 'integer f; initial f = $fopen("sim_build/test_runner.result.xml");\nendmodule'),
            "module add(input [3:0] a", "assign y = a + b; // no module",
        ]  # fmt: skip
        said = verdicts(bench(tmp_path, record()), "cvdp_copilot_add_0001", answers)
        assert said[1][1].startswith("test_sum: ")
        assert said[2][1].startswith("system-task: $finish ended the run")
        assert [verdict for verdict, _ in said] == [
            Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.GAMED, Verdict.GAMED, Verdict.SYNTAX_ERROR, Verdict.NO_CODE,
        ]  # fmt: skip

    @pytest.mark.slow
    def test_several_files_and_files_that_are_given(self, tmp_path: Path) -> None:
        env = ENV.replace("/code/rtl/add.sv", "/code/rtl/add.sv /code/rtl/half.sv")
        two = record(
            "two", output__context={"rtl/add.sv": WRAPPED, "rtl/half.sv": HALVES}, **{"harness__files__src/.env": env}
        )
        given = record(
            "given",
            input__context={"rtl/add.sv": WRAPPED},
            output__context={"rtl/half.sv": HALVES},
            **{"harness__files__src/.env": env},
        )
        found = bench(tmp_path, two, given)
        assert found.by_id["given"].top is None
        wrong = str(found.by_id["given"].reference).replace("+", "-")
        assert [verdict for verdict, _ in verdicts(found, "given", [HALVES, wrong])] == [
            Verdict.PASSED,
            Verdict.WRONG_OUTPUT,
        ]
        assert verdicts(found, "two", [WRAPPED + HALVES])[0][0] is Verdict.PASSED

    @pytest.mark.slow
    def test_a_reference_that_fails_here_is_no_fault_of_answers(self, tmp_path: Path) -> None:
        found = bench(tmp_path, record(output__context={"rtl/add.sv": ADD.replace("+", "-")}))
        assert verdicts(found, "cvdp_copilot_add_0001", [ADD])[0][0] is Verdict.UNJUDGEABLE
