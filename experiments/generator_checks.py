"""Proof that a problem is good: four tools accept the reference, the testbench passes it and fails a mutant."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itertl.errors import ToolFailed
from itertl.records import Problem, Verdict
from itertl.scoring.item import ScoreItem
from itertl.scoring.vectors.score import simulated
from itertl.synth.mutants import mutants
from itertl.tools import icarus, pyverilog, slang, yosys
from itertl.work import pool

FLAGS = ("-Wall", "-Winfloop", "-Wno-timescale", "-g2012")
_VERDICT = re.compile(r"Mismatches: (\d+) in (\d+) samples")


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulation by the VerilogEval rule. ``compiled``: the compiler took it; ``detail``: what it said."""

    passed: bool
    compiled: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What verification found. ``complaints`` empty: the problem is good."""

    complaints: tuple[str, ...]
    mutants_run: int  # that compiled
    mutants_killed: int
    mutants_missed: int = 0  # that the testbench passes, though ``vectors`` finds an output that differs


def simulate(testbench: str, code: str) -> Trial:
    """Judge ``code`` by ``testbench``: passed if nothing is on stderr and the first verdict line has no mismatch.

    Raises ToolMissing.
    """
    done = icarus.simulate({"design.sv": f"{testbench}\n{code}"}, top="tb", flags=FLAGS)
    if done.ran is None:
        return Trial(False, False, done.compiled.stderr[:300] or "did not compile")
    found = _VERDICT.search(done.ran.stdout)
    noise = done.compiled.stderr + done.ran.stderr
    if found is None or done.ran.timed_out or done.ran.flooded:
        return Trial(False, True, noise[:300] or "ended without a verdict line")
    detail = noise[:300] if noise else found[0]
    return Trial(not noise and int(found[1]) == 0 and int(found[2]) > 0, True, detail)


def check(problem: Problem, *, num_mutants: int = 4) -> Examined:
    """Run all checks on one problem. Raises ToolMissing, ToolFailed.

    Mutants are tried in an order that the problem's id decides, until ``num_mutants`` have compiled and one was killed.
    """
    if problem.reference is None or problem.testbench is None or problem.top is None:
        return Examined(("the problem lacks a reference, a testbench or the name of its module",), 0, 0)
    complaints = _reference_complaints(problem, problem.reference, problem.testbench, problem.top)
    run = killed = missed = 0
    for mutant in mutants(problem.reference, random.Random(problem.id)):
        trial = simulate(problem.testbench, mutant.text)
        if trial.compiled:
            run += 1
            killed += not trial.passed
            missed += trial.passed and _differs(mutant.text, problem)
        if run >= num_mutants and killed:
            break
    if not killed:
        complaints.append(f"testbench: none of {run} mutants that compile fails")
    synthesized, detail = yosys.synthesizes(problem.reference, problem.top)
    complaints += [] if synthesized else [f"yosys: {detail}"]
    return Examined(tuple(complaints), run, killed, missed)


def _differs(code: str, problem: Problem) -> bool:
    item = ScoreItem(code, problem.header, problem.reference, problem.top)
    return simulated(item).verdict is Verdict.WRONG_OUTPUT


def check_all(
    problems: Sequence[Problem], *, num_mutants: int = 4, num_workers: int = 0
) -> Iterator[tuple[int, Examined]]:
    """``check`` of each problem on all cores, as (number, what was found). Raises ToolMissing, ToolFailed."""
    payloads = [(problem, num_mutants) for problem in problems]
    for number, outcome in pool.map_unordered(f"{__name__}:checked", payloads, num_workers=num_workers, timeout_s=300):
        if outcome.status != "ok":
            raise ToolFailed(
                f"checking problem {problems[number].id} ({problems[number].family}) failed: {outcome.detail}"
            )
        yield number, outcome.value


def checked(payload: tuple[Problem, int]) -> Examined:
    """``check`` in a worker; payload: (problem, num_mutants)."""
    return check(payload[0], num_mutants=payload[1])


def _reference_complaints(problem: Problem, reference: str, testbench: str, top: str) -> list[str]:
    complaints: list[str] = []
    if not reference.startswith(problem.header) or f"module {top} " not in problem.header:
        complaints.append("the reference does not start with the header, or the header does not name the module")
    trial = simulate(testbench, reference)
    if not trial.passed:
        complaints.append(f"icarus: {trial.detail}")
    elaborated = slang.check(reference, top)
    if elaborated.verdict is not Verdict.PASSED:
        complaints.append(f"slang: {elaborated.verdict}: {elaborated.detail}")
    parsed, detail = pyverilog.parses(reference)
    if not parsed:
        complaints.append(f"pyverilog: {detail}")
    return complaints
