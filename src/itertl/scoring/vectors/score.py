"""The scorer ``vectors``: 1 where a candidate's outputs agree with the reference's on every word, else how far
they do."""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from itertl.judging import gate
from itertl.judging.outcomes import blamed, cut
from itertl.records import Fault, Score, Verdict
from itertl.sandbox import bounds
from itertl.scoring import interface as interfaces
from itertl.scoring.interface import Interface, Unsupported, same_ports
from itertl.scoring.item import ScoreItem, ScoreMaker, is_plain_name
from itertl.scoring.vectors import credit, outcome, testbench
from itertl.scoring.vectors.mismatch import describe, wrong_outputs
from itertl.scoring.vectors.oracle import Oracle, ReferenceRun, Silent, consult, own_runs
from itertl.tools import icarus
from itertl.verilog.header import derive_top

REVISION = 11  # of stimulus and rule: part of what a kept score depends on


def seed() -> str:
    """What the stimulus is drawn from, beside the reference: ``ITERTL_VECTORS_SEED``, else "0"."""
    return os.environ.get("ITERTL_VECTORS_SEED", "0")


def version() -> str:
    """What a score depends on beside the item. Raises ToolMissing."""
    return f"{icarus.version()}, vectors {REVISION}, seed {seed()}"


def score(item: ScoreItem) -> Score:
    """Compare ``item.code`` with ``item.reference`` by simulation; see the package. Raises ToolMissing.

    Without a reference that can serve, UNJUDGEABLE and None.
    """
    result = ScoreMaker("vectors", "iverilog", icarus.version().rsplit(" ", 1)[-1])
    if item.reference is None:
        return result.unjudgeable("there is no reference to compare with")
    top = item.top or derive_top(item.reference)
    if top is None or not is_plain_name(top):
        return result.misnamed(top)
    with bounds.uncounted():
        oracle = consult(item.reference, top, seed())
    if isinstance(oracle, Silent):
        return result(None, oracle.verdict, oracle.reason)
    found = gate.examine(item.code, top, with_variants=True)
    if isinstance(found, gate.Refusal):
        return result(0.0, found.verdict, found.detail)
    try:
        seen = interfaces.read(found.text, top)
    except Unsupported as error:
        return result(0.0, Verdict.ELABORATION_ERROR, str(error))
    difference = same_ports(seen, oracle.interface)
    if difference:
        return result(0.0, Verdict.ELABORATION_ERROR, difference)
    first = judge(found.text, seen, oracle)
    for variant in found.variants if first.verdict is Verdict.PASSED else ():
        other = judge(variant, seen, oracle)
        if other.verdict is not Verdict.PASSED:
            return result(other.value, other.verdict, f"as a tool reads it that defines its macro: {other.detail}")
    return result(first.value, first.verdict, first.detail, wrong_outputs=first.wrong_outputs)


@functools.lru_cache(maxsize=1)
def simulated(item: ScoreItem) -> Score:
    """``score``, its last answer kept: other scorers rest on it, and a worker takes all of one candidate."""
    return score(item)


class Judged(NamedTuple):
    """What came of running one text."""

    value: float | None
    verdict: Verdict
    detail: str
    wrong_outputs: tuple[str, ...] = ()  # in the first run in which one is


def judge(design: str, seen: Interface, oracle: Oracle) -> Judged:
    """Run a text that the gate let through and that has the reference's ports."""
    equal: list[ReferenceRun] = []
    for run in _runs(oracle, design):
        if not run.parameters.keys() <= dict(seen.parameters).keys():
            continue  # judged at the defaults alone
        if run.parameters and not _fits(design, run):
            settings = cut(", ".join(f"{name} = {value}" for name, value in run.parameters.items()))
            detail = f"with {settings}: other ports than the reference, or it does not elaborate"
            return Judged(_value(equal, run, 0.0), Verdict.WRONG_OUTPUT, detail)
        done = testbench.run(design, run.bench, run.parameters)
        if done.stopped is not None:
            verdict, detail = blamed(done.stopped, design)
            # what a design prints while it runs is its own
            if verdict is not Verdict.RUNTIME_ERROR and icarus.LACKS.match(detail):
                lacks = f"Icarus Verilog lacks what this design uses, and slang takes: {detail}"
                return Judged(None, Verdict.UNDECIDED, lacks)
            return Judged(None if verdict.fault is Fault.OURS else 0.0, verdict, detail)
        compared = outcome.compare(run.expected, done.outputs)
        if not compared.is_equal:
            detail = describe(run, done.outputs, compared)
            value, wrong = _value(equal, run, credit.value(run, done.outputs)), wrong_outputs(run, done.outputs)
            return Judged(value, Verdict.WRONG_OUTPUT, detail, wrong)
        equal.append(run)
    if oracle.still:
        names = cut(", ".join(oracle.still))
        detail = f"all agrees, but no input was found that moves output {names} of the reference"
        return Judged(None, Verdict.UNDECIDED, detail)
    bits = sum(run.expected.known for run in equal)
    known = oracle.runs[0].expected.known / (oracle.runs[0].expected.width * sum(oracle.runs[0].stimulus.is_compared))
    return Judged(1.0, Verdict.PASSED, f"{bits} bits agree; the reference knows {known:.0%} of its outputs")


def _runs(oracle: Oracle, design: str) -> Iterator[ReferenceRun]:
    """What every candidate is given, and, for one that agrees on all of it, what its own text suggests."""
    yield from oracle.runs
    yield from own_runs(oracle, design)


def _fits(design: str, run: ReferenceRun) -> bool:
    """Whether the candidate has the reference's ports at the parameters of a run too."""
    try:
        return not same_ports(interfaces.read(design, run.interface.top, run.parameters), run.interface)
    except Unsupported:
        return False


def _value(equal: Sequence[ReferenceRun], last: ReferenceRun, credited: float) -> float:
    """Of a candidate that was right in some runs, and has ``credited`` for the last: by how many bits each compares."""
    bits = sum(run.expected.known for run in equal)
    return (bits + credited * last.expected.known) / (bits + last.expected.known)
