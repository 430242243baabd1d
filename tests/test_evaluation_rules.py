"""Verdict rules: what the simulator did is written out by hand; real runs are in the judge's tests."""

import signal
from dataclasses import replace

import pytest

from itertl.evaluation import rules
from itertl.judging import strict
from itertl.records import Verdict
from itertl.sandbox.sandbox import Completed
from itertl.tools.icarus import Simulation

NONCE = "0123abcd"
GOOD = "VCD info: dumpfile wave.vcd opened for output.\nSimulation finished at 10 ps\nMismatches: 0 in 20 samples\n"
OK = Completed(0, "", "", False, False, 0.1)


def ended(stdout: str = "", stderr: str = "", code: int = 0, *, slow: bool = False, flood: bool = False) -> Completed:
    return Completed(code, stdout, stderr, slow, flood, 0.1)


CASES = [
    # compiled, ran, strict, upstream
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
    (
        ended(stderr="d.sv:7: error: x\n256 error(s) during elaboration.\n"),
        None,
        Verdict.ELABORATION_ERROR,
        Verdict.ELABORATION_ERROR,
    ),
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


def strictly(simulation: Simulation, expected: str = "Mismatches: 0 in 20 samples") -> tuple[Verdict, str]:
    """The strict verdict where the testbench's lines, and only they, carry the nonce."""
    ran = simulation.ran and replace(
        simulation.ran, stdout=simulation.ran.stdout.replace("Mismatches", NONCE + "Mismatches")
    )
    return strict.verdict(strict.read(Simulation(simulation.compiled, ran), NONCE), strict.Said(None, (expected,)))


@pytest.mark.parametrize(("compiled", "ran", "default", "upstream"), CASES)
def test_verdicts_of_both_rules(
    compiled: Completed, ran: Completed | None, default: Verdict, upstream: Verdict
) -> None:
    simulation = Simulation(compiled, ran)
    assert strictly(simulation)[0] is default
    assert rules.upstream(simulation)[0] is upstream


def test_detail_is_the_first_error_and_no_warning_or_count() -> None:
    text = "d.sv:1: warning: error-prone\nd.sv:2: sorry: enum cast is not supported.\n1 error(s) during elaboration.\n"
    verdict, detail = strictly(Simulation(ended(stderr=text, code=1), None))
    assert (verdict, detail) == (Verdict.ELABORATION_ERROR, "d.sv:2: sorry: enum cast is not supported.")


def test_detail_counts_samples_and_is_short() -> None:
    assert rules.upstream(Simulation(OK, ended("Mismatches: 3 in 20 samples")))[1] == "3 of 20 samples differ"
    assert strictly(Simulation(OK, ended("Mismatches: 1 in 3 samples")))[1] == "differs at sample 3 of 20"
    long = strictly(Simulation(ended(stderr="error " + "x" * 10_000, code=1), None))[1]
    assert len(long) == 300 and long.endswith("…")


def said(*lines: str) -> strict.Said:
    return strict.Said(None, lines)


RIGHT = said("Mismatches: 0 in 20 samples")
SUCCESS = said("Your Design Passed===")


@pytest.mark.parametrize(
    ("mine", "expected", "verdict"),
    [
        (RIGHT, RIGHT, Verdict.PASSED),
        (said("Mismatches: 0 in 19 samples"), RIGHT, Verdict.RUNTIME_ERROR),  # ended early
        (said("Mismatches: 0 in 21 samples"), RIGHT, Verdict.RUNTIME_ERROR),
        (said("Mismatches: 0 in 20 samples", "Mismatches: 0 in 20 samples"), RIGHT, Verdict.RUNTIME_ERROR),
        (said(), RIGHT, Verdict.RUNTIME_ERROR),
        (said("Mismatches: 2 in 20 samples"), RIGHT, Verdict.WRONG_OUTPUT),
        (
            said("Mismatches: 1 in 3 samples", "Mismatches: 1 in 3 samples"),
            RIGHT,
            Verdict.WRONG_OUTPUT,
        ),  # ended at once
        (said("Mismatches: 1 in 3 samples", "Mismatches: 0 in 20 samples"), RIGHT, Verdict.RUNTIME_ERROR),
        (said("Mismatches: 0 in 20 samples or so"), RIGHT, Verdict.RUNTIME_ERROR),
        (SUCCESS, SUCCESS, Verdict.PASSED),
        (said(), SUCCESS, Verdict.WRONG_OUTPUT),
        (said("Your Design Passed===", "Your Design Passed==="), SUCCESS, Verdict.RUNTIME_ERROR),
        (said("Your Design Passed=== not"), SUCCESS, Verdict.RUNTIME_ERROR),
        (strict.Said((Verdict.TIMEOUT, "slow"), RIGHT.lines), RIGHT, Verdict.TIMEOUT),
    ],
)
def test_what_is_said_must_be_what_the_reference_has_said(
    mine: strict.Said, expected: strict.Said, verdict: Verdict
) -> None:
    assert strict.verdict(mine, expected)[0] is verdict


@pytest.mark.parametrize(
    ("found", "is_sound"),
    [
        (RIGHT, True),
        (SUCCESS, True),
        (said("Mismatches: 1 in 20 samples"), False),
        (said("Mismatches: 0 in 0 samples"), False),
        (said(*RIGHT.lines, *RIGHT.lines), False),
        (said(), False),
        (strict.Said((Verdict.RUNTIME_ERROR, ""), RIGHT.lines), False),
    ],
)
def test_a_reference_that_cannot_be_the_measure(found: strict.Said, is_sound: bool) -> None:
    assert strict.is_sound(found) is is_sound
