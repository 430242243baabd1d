"""Validate the ruler: every reference of a benchmark passes, and a broken one fails, before a model is judged.

A reference is broken in two ways: its body is taken out (what is left drives no output), and one place of it is changed
at a time. Such a change may change nothing (``a | b`` of bits that are never both set), so that of a problem's mutants
one that the testbench catches is enough; an emptied body must be caught.
"""

import itertools
import random
from dataclasses import dataclass

from itertl.evaluation.benchmarks import Benchmark, task_id
from itertl.evaluation.judge import Completion, judge
from itertl.problems.synth.mutate import mutants
from itertl.records import Problem, Verdict
from itertl.seeds import derive_seed

_CAUGHT = (Verdict.WRONG_OUTPUT, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the self-test found. The benchmark is sound on this machine where ``failures`` is empty."""

    checked: int  # problems with a reference
    without_reference: tuple[str, ...]
    failures: dict[str, str]  # task_id -> which expectation did not hold


def emptied(problem: Problem) -> str:
    """The problem's header with nothing between it and ``endmodule``."""
    return f"{problem.header}\nendmodule\n"


def self_test(
    benchmark: Benchmark, *, rule: str | None = None, max_mutants: int = 4, num_workers: int = 0
) -> SelfTest:
    """Judge the references and up to ``max_mutants`` mutants of each. Problems in ``errata`` are left out.

    A problem whose reference holds nothing to change, or whose mutants all fail to compile, is asked only that its
    emptied body is caught. Raises what ``judge`` raises.
    """
    known = {task_id(p): p for p in benchmark.problems if task_id(p) not in benchmark.errata}
    problems = {ident: (p, p.reference) for ident, p in known.items() if p.reference is not None}
    texts = {ident: _texts(problem, reference, max_mutants) for ident, (problem, reference) in problems.items()}
    completions = [
        Completion(ident, index, text, full_module=True) for ident, each in texts.items() for index, text in enumerate(each)
    ]
    verdicts: dict[str, list[Verdict]] = {ident: [] for ident in texts}
    details: dict[str, str] = {}
    for row in judge(benchmark, completions, rule=rule, num_workers=num_workers):
        verdicts[row.task_id].append(row.verdict)
        if row.index == 0:
            details[row.task_id] = row.detail
    found = {ident: _failure(each, details[ident]) for ident, each in verdicts.items()}
    return SelfTest(
        checked=len(problems),
        without_reference=tuple(ident for ident in known if ident not in problems),
        failures={ident: reason for ident, reason in found.items() if reason},
    )


def _texts(problem: Problem, reference: str, max_mutants: int) -> list[str]:
    """The reference, the emptied body, and mutants: the same ones each time."""
    rng = random.Random(derive_seed(0, "mutants", task_id(problem)))
    return [reference, emptied(problem), *itertools.islice(mutants(reference, rng), max_mutants)]


def _failure(verdicts: list[Verdict], detail: str) -> str:
    """Which expectation did not hold; "" where all did."""
    reference, empty, *mutants = verdicts
    if reference is not Verdict.PASSED:
        return f"its reference does not pass: {detail}"
    if empty is Verdict.PASSED:
        return "a module without a body passes"
    ran = [verdict for verdict in mutants if verdict is Verdict.PASSED or verdict in _CAUGHT]
    if ran and all(verdict is Verdict.PASSED for verdict in ran):
        return f"{len(ran)} mutants of its reference pass, and none is caught"
    return ""
