"""The strict verdict: the gate's text against a freshly named testbench, read line by line.

A run *says* what follows its nonce on stdout. The problem's reference says what a right design must say: for a
testbench of VerilogEval's kind one ``Mismatches: 0 in N samples``, for others the success text as often as the
reference's run has it. A design passes if its simulation ended by itself with status 0 and said the same: no mismatch,
the same number of samples, nothing more and nothing less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from itertl.errors import DataError
from itertl.judging import bench
from itertl.judging.bench import MISMATCHES, Template
from itertl.judging.outcomes import Judgement, compile_failure, cut, first_error, limit_or_kill
from itertl.records import Problem, Verdict
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus
from itertl.tools.icarus import Simulation
from itertl.verilog.header import derive_top

REVISION = 5  # part of every cached verdict's key: raise it when a verdict may come out otherwise

# Processor time decides: by the wall clock a verdict would depend on what else the machine does. The wall only ends
# what waits without working.
LIMITS = Limits(wall_s=120, cpu_s=30, memory_mb=2048, file_mb=64, output_kb=8192)

_COUNTS = re.compile(r" (\d+) in (\d+) samples[ \t\r]*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Said:
    """What a run said. ``stopped``: why it has no verdict; ``lines``: stdout after each nonce, to the line's end."""

    stopped: Judgement | None
    lines: tuple[str, ...] = ()


def template(problem: Problem) -> Template:
    """The problem's testbench, prepared. Raises DataError where it cannot be; see ``bench.prepare``."""
    top = design_name(problem)
    if problem.testbench is None or problem.reference is None or top is None:
        raise DataError("the strict rule needs a testbench, a reference, and the name of the reference's module")
    root, marker = str(problem.extra.get("testbench_top", "tb")), str(problem.extra.get("marker", MISMATCHES))
    return bench.prepare(problem.testbench, design=problem.reference, top=top, root=root, marker=marker)


def design_name(problem: Problem) -> str | None:
    """The module that is asked for: the problem's ``top``, else the one module of its reference that no other uses."""
    return problem.top or (derive_top(problem.reference) if problem.reference is not None else None)


def run(
    problem: Problem, design: str, limits: Limits = LIMITS, simulator: str = "icarus", prepared: Template | None = None
) -> Said:
    """Simulate a text that the gate let through. ``prepared``: the problem's template, if it is made already.

    Raises DataError (testbench), ToolMissing.
    """
    drawn = (prepared or template(problem)).render()
    sources = {"tb.sv": f"{drawn.text}`default_nettype wire\n", "design.sv": design}
    files: Mapping[str, str] = problem.extra.get("data_files") or {}
    if simulator == "verilator":
        from itertl.tools import verilator

        return read(verilator.simulate(sources, top=drawn.top, data_files=files), drawn.nonce)
    both = limits, limits
    done = icarus.simulate(sources, top=drawn.top, data_files=files, dump=False, is_expanded=True, limits=both)
    return read(done, drawn.nonce)


def read(done: Simulation, nonce: str) -> Said:
    """What the run said after ``nonce``; ``stopped`` where it did not finish."""
    ran = done.ran
    if ran is None or done.compiled.returncode != 0:
        return Said(compile_failure(done.compiled))
    stopped = limit_or_kill(ran)
    if stopped is None and ran.returncode != 0:
        why = first_error(ran.stderr or ran.stdout)
        stopped = Verdict.RUNTIME_ERROR, cut(f"the simulator ended with status {ran.returncode}: {why}")
    lines = tuple(part.split("\n", 1)[0] for part in ran.stdout.split(nonce)[1:])
    return Said(stopped, lines)


def verdict(said: Said, expected: Said) -> Judgement:
    """What ``said`` means where the reference said ``expected``. The reference's own run must be ``is_sound``."""
    if said.stopped is not None:
        return said.stopped
    counts = _counts(expected)
    if counts is None:
        if said.lines == expected.lines:
            return Verdict.PASSED, ""
        few = len(said.lines) < len(expected.lines)
        return (Verdict.WRONG_OUTPUT, "the testbench did not announce success") if few else _unclear(said)
    samples, mine = counts[1], [_COUNTS.search(line) for line in said.lines]
    wrong = [found for found in mine if found is not None and int(found[1]) > 0]
    if wrong and len(wrong) == len(mine):  # the run ends at the first mismatch, and its end may be announced again
        return Verdict.WRONG_OUTPUT, f"differs at sample {wrong[0][2]} of {samples}"
    if len(mine) != 1 or mine[0] is None:
        return _unclear(said)
    if int(mine[0][2]) != samples:
        why = f"{mine[0][2]} samples were compared, the reference's run has {samples}: it ended early or late"
        return Verdict.RUNTIME_ERROR, why
    return Verdict.PASSED, ""


def is_sound(said: Said) -> bool:
    """Whether other runs can be compared with the reference's own: it finished, and said that it is right."""
    if said.stopped is not None or not said.lines:
        return False
    counts = _counts(said)
    return (counts is None and not _COUNTS.search(said.lines[0])) or (counts is not None and counts[0] == 0 < counts[1])


def _counts(said: Said) -> tuple[int, int] | None:
    """(mismatches, samples) where exactly one line was said and it counts; else None."""
    found = _COUNTS.search(said.lines[0]) if len(said.lines) == 1 else None
    return (int(found[1]), int(found[2])) if found else None


def _unclear(said: Said) -> Judgement:
    if not said.lines:
        return Verdict.RUNTIME_ERROR, "the simulation ended without the testbench's verdict"
    return Verdict.RUNTIME_ERROR, f"{len(said.lines)} verdict lines, or one that cannot be read"
