"""Verdict rules: pure functions, so what the simulator did is written out by hand; real runs are in the judge's tests."""

import signal

import pytest

from itertl.evaluation import rules
from itertl.records import Verdict
from itertl.tools.icarus import Simulation
from itertl.tools.sandbox import Completed

GOOD = "VCD info: dumpfile wave.vcd opened for output.\nSimulation finished at 10 ps\nMismatches: 0 in 20 samples\n"
OK = Completed(0, "", "", False, False, 0.1)


def ended(stdout: str = "", stderr: str = "", code: int = 0, *, slow: bool = False, flood: bool = False) -> Completed:
    return Completed(code, stdout, stderr, slow, flood, 0.1)


CASES = [
    # compiled, ran, default, upstream
    (OK, ended(GOOD), Verdict.PASSED, Verdict.PASSED),
    (OK, ended("Mismatches: 3 in 20 samples\n"), Verdict.WRONG_OUTPUT, Verdict.WRONG_OUTPUT),
    (ended(stderr="d.sv:3: warning: x\n"), ended(GOOD), Verdict.PASSED, Verdict.COMPILE_ERROR),
    (OK, ended(GOOD, stderr="WARNING: d.sv:4: x\n"), Verdict.PASSED, Verdict.RUNTIME_ERROR),
    (OK, ended(GOOD, code=1), Verdict.RUNTIME_ERROR, Verdict.PASSED),
    (OK, ended("Mismatches: 0 in 9 samples\nMismatches: 4 in 20 samples\n"), Verdict.RUNTIME_ERROR, Verdict.PASSED),
    (OK, ended("Hi! Mismatches: 0 in 9 samples\n"), Verdict.RUNTIME_ERROR, Verdict.PASSED),
    (OK, ended("Mismatches: 0 in 0 samples\n"), Verdict.RUNTIME_ERROR, Verdict.PASSED),
    (OK, ended("Mismatches:  in 20 samples\n"), Verdict.RUNTIME_ERROR, Verdict.RUNTIME_ERROR),
    (OK, ended("Mismatches: x in 20 samples\n"), Verdict.RUNTIME_ERROR, Verdict.RUNTIME_ERROR),
    (OK, ended("Mismatches: ٣ in 20 samples\n"), Verdict.RUNTIME_ERROR, Verdict.RUNTIME_ERROR),
    (OK, ended("Mismatches: 0 in 20 samples\r\n"), Verdict.PASSED, Verdict.PASSED),
    (OK, ended(""), Verdict.RUNTIME_ERROR, Verdict.RUNTIME_ERROR),
    (OK, ended(GOOD, slow=True, code=-9), Verdict.TIMEOUT, Verdict.TIMEOUT),
    (OK, ended(GOOD, flood=True, code=-9), Verdict.TIMEOUT, Verdict.TIMEOUT),
    (OK, ended(GOOD, code=-signal.SIGXFSZ), Verdict.TIMEOUT, Verdict.TIMEOUT),
    (OK, ended("", "what():  std::bad_alloc\n", code=-signal.SIGABRT), Verdict.TIMEOUT, Verdict.TIMEOUT),
    (OK, ended(GOOD, code=-signal.SIGKILL), Verdict.TOOL_FAILED, Verdict.TOOL_FAILED),
    (ended(GOOD, code=2), ended(GOOD), Verdict.COMPILE_ERROR, Verdict.COMPILE_ERROR),
    (ended(stderr="d.sv:7: error: x\n256 error(s) during elaboration.\n"), None, Verdict.ELABORATION_ERROR, Verdict.ELABORATION_ERROR),
    (OK, None, Verdict.TOOL_FAILED, Verdict.TOOL_FAILED),
    (ended(stderr="d.sv:9: syntax error\nI give up.\n", code=2), None, Verdict.SYNTAX_ERROR, Verdict.SYNTAX_ERROR),
    (
        ended(stderr="d.sv:7: error: Unknown module type: m\n2 error(s) during elaboration.\n", code=2),
        None,
        Verdict.ELABORATION_ERROR,
        Verdict.ELABORATION_ERROR,
    ),
    (ended(stderr="Include file x.v not found\n", code=1), None, Verdict.COMPILE_ERROR, Verdict.COMPILE_ERROR),
    (ended(code=255), None, Verdict.COMPILE_ERROR, Verdict.COMPILE_ERROR),
    (ended(slow=True, code=-9), None, Verdict.TIMEOUT, Verdict.TIMEOUT),
    (ended(code=-signal.SIGKILL), None, Verdict.TOOL_FAILED, Verdict.TOOL_FAILED),
]


@pytest.mark.parametrize(("compiled", "ran", "default", "upstream"), CASES)
def test_verdicts_of_both_rules(compiled: Completed, ran: Completed | None, default: Verdict, upstream: Verdict) -> None:
    simulation = Simulation(compiled, ran)
    assert rules.default(simulation)[0] is default
    assert rules.upstream(simulation)[0] is upstream


def test_detail_is_the_first_error_and_no_warning_or_count() -> None:
    text = "d.sv:1: warning: error-prone\nd.sv:2: sorry: enum cast is not supported.\n1 error(s) during elaboration.\n"
    verdict, detail = rules.default(Simulation(ended(stderr=text, code=1), None))
    assert (verdict, detail) == (Verdict.ELABORATION_ERROR, "d.sv:2: sorry: enum cast is not supported.")


def test_detail_counts_samples_and_is_short() -> None:
    assert rules.upstream(Simulation(OK, ended("Mismatches: 3 in 20 samples")))[1] == "3 of 20 samples differ"
    long = rules.default(Simulation(ended(stderr="error " + "x" * 10_000, code=1), None))[1]
    assert len(long) == 300 and long.endswith("…")
