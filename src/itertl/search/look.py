"""What the tools say of an attempt, as the next turn of a conversation shows it, and how good that makes the attempt.

The rank is not read from anything that a design prints. From the best: 1 where all that is looked at holds; below 1,
the share of compared output bits that agree with the reference (the scorer ``vectors``); 0 where it compiles and does
not run to its end; -1 where it does not compile or is refused; -2 without a module. It runs tools on the text: call it
in a worker.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from itertl.judging import gate, strict
from itertl.records import Examined, Fault, Problem, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound, BoundReached
from itertl.scoring.item import ScoreItem, has_module
from itertl.scoring.vectors import score as vectors
from itertl.scoring.vectors.mismatch import Mismatch, matches, mismatch
from itertl.scoring.vectors.vcd import replayed
from itertl.search.drivers import driving_lines
from itertl.search.strategy import RIGHT
from itertl.tools import icarus
from itertl.verilog.header import derive_top

REVISION = 2  # of ranks and messages
NO_MODULE, NO_COMPILE, NO_RUN = -2.0, -1.0, 0.0
_MOST_LINES, _MOST_CHARS = 8, 1200  # of a tool's output
_MOST_MISMATCHES = 5
_NO_NEWS = re.compile(r"\d+ error\(s\) during elaboration\.|I give up\.|Elaboration failed")
_WARNING = re.compile(r"line \d+: warning:")
_FILE = re.compile(r"\S*design\.sv:(?=\d)")
AGAIN = "Write the whole corrected module."


@dataclass(frozen=True, slots=True)
class Question:
    """One attempt at a problem. ``with_reference``: whether its function is looked at, or the compiler alone asked."""

    problem: str  # as JSON, which can be hashed
    code: str
    with_reference: bool
    bound: Bound


def look(question: Question) -> Examined:
    """What tools say of it. Raises ToolMissing."""
    problem = Problem.model_validate_json(question.problem)
    with bounds.held(question.bound):
        try:
            return _look(problem, question.code, with_reference=question.with_reference)
        except BoundReached:
            return Examined(
                verdict=Verdict.TIMEOUT, rank=NO_RUN, message=f"The tools did not come to an end on it. {AGAIN}"
            )


def _look(problem: Problem, code: str, *, with_reference: bool) -> Examined:
    if not has_module(code):
        return Examined(
            verdict=Verdict.NO_CODE, rank=NO_MODULE, message="Your answer holds no Verilog module. Write the module."
        )
    top = top_of(problem, code)
    compiled = icarus.simulate({"design.sv": code}, top=top, flags=("-g2012", "-Wall"), run=False).compiled
    if compiled.returncode != 0 or compiled.timed_out:
        said = shortened(compiled.stderr)
        return Examined(
            verdict=Verdict.COMPILE_ERROR, rank=NO_COMPILE, tool_calls=1,
            message=f"The code does not compile:\n{said}\n{AGAIN}",
        )  # fmt: skip
    found = gate.examine(code, top or "")
    if isinstance(found, gate.Refusal):
        return Examined(
            verdict=found.verdict, rank=NO_COMPILE, tool_calls=1,
            message=f"The code is not accepted: {found.detail}\n{AGAIN}",
        )  # fmt: skip
    if not with_reference:
        return Examined(verdict=Verdict.PASSED, rank=RIGHT, message="The code compiles.", tool_calls=1)
    return _function(problem, code, top or "")


def top_of(problem: Problem, code: str) -> str | None:
    """The name of the module that is asked for, else of the one that was written."""
    return problem.top or derive_top(problem.reference or "") or derive_top(problem.header) or derive_top(code)


def _function(problem: Problem, code: str, top: str) -> Examined:
    """Of a text that compiles: by the reference on words of ours, by the testbench where that cannot be."""
    item = ScoreItem(code=code, header=problem.header, reference=problem.reference, top=top)
    score = vectors.score(item)
    if score.verdict is Verdict.PASSED:
        return Examined(verdict=Verdict.PASSED, rank=RIGHT, message="All outputs agree.", tool_calls=2)
    if score.verdict.fault is Fault.OURS:
        return _by_testbench(problem, code, top)
    if score.verdict is not Verdict.WRONG_OUTPUT:
        rank = NO_COMPILE if score.verdict is Verdict.ELABORATION_ERROR else NO_RUN
        return Examined(
            verdict=score.verdict, rank=rank, message=f"The code does not run: {score.detail}\n{AGAIN}", tool_calls=2
        )
    rank = min(score.value or 0.0, 0.999999)
    return Examined(
        verdict=Verdict.WRONG_OUTPUT, rank=rank, tool_calls=2,
        message=described(code, top, list(islice(_mismatches(item), _MOST_MISMATCHES))),
    )  # fmt: skip


def _mismatches(item: ScoreItem) -> Iterator[Mismatch]:
    """The wrong outputs, one for each step that is compared, in the first run that shows any."""
    for run, outputs in replayed(item):
        found = False
        for step, (mine, its) in enumerate(zip(outputs, run.outputs, strict=True)):
            if run.stimulus.is_compared[step] and not matches(its, mine):
                found = True
                yield mismatch(run, outputs, step)
        if found:
            return


def _by_testbench(problem: Problem, code: str, top: str) -> Examined:
    """By the problem's testbench under the strict rule, which ends a run at the first mismatch."""
    if problem.testbench is None or problem.reference is None:
        return Examined(verdict=Verdict.UNJUDGEABLE, rank=NO_RUN, message="The code compiles.", tool_calls=2)
    said: list[strict.Said] = []
    prepared = strict.template(problem)
    for text in (problem.reference, code):
        found = gate.examine(text, top, testbench_names=prepared.names)
        if isinstance(found, gate.Refusal):
            return Examined(verdict=found.verdict, rank=NO_COMPILE, message=f"{found.detail}\n{AGAIN}", tool_calls=2)
        said.append(strict.run(problem, found.text, prepared=prepared))
    verdict, detail = strict.verdict(said[1], said[0])
    if verdict is Verdict.PASSED:
        return Examined(verdict=verdict, rank=RIGHT, message="The testbench passes.", tool_calls=3)
    return Examined(
        verdict=verdict, rank=NO_RUN, message=f"The code compiles, but the testbench fails: {detail}\n{AGAIN}",
        tool_calls=3,
    )  # fmt: skip


def described(code: str, top: str, found: Sequence[Mismatch]) -> str:
    """The first mismatches in words, and the lines that drive the first wrong output."""
    lines = ["The code compiles, but its outputs are wrong:"]
    for one in found:
        inputs = f" with {one.inputs}" if one.inputs else ""
        lines.append(f"- step {one.step}: {one.output} is {one.got}, expected {one.expected}{inputs}")
    driving = driving_lines(code, top, found[0].output) if found else []
    if driving:
        lines += [f"These lines drive {found[0].output}:", *driving]
    return "\n".join([*lines, AGAIN])


def lost(detail: str) -> Examined:
    """Of an attempt on which the worker crashed or hung, which the text may have done."""
    return Examined(verdict=Verdict.TOOL_FAILED, rank=NO_RUN, message=f"The tools failed on it: {detail}")


def shortened(output: str) -> str:
    """A compiler's messages, the first few, with line numbers and without our file's name; warnings come last."""
    lines = [_FILE.sub("line ", line.strip()) for line in output.splitlines() if line.strip()]
    kept = [line for line in lines if not _NO_NEWS.fullmatch(line)]
    kept.sort(key=lambda line: _WARNING.match(line) is not None)
    return "\n".join(kept[:_MOST_LINES])[:_MOST_CHARS]
