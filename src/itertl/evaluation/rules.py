"""Verdict rules: a pure function from what the simulator did to a verdict and its first reason.

``default`` asks what a hardware engineer would: it compiled, the simulation ended by itself without an error status,
and the testbench said, once, that nothing differed. ``upstream`` is VerilogEval v1's own rule, kept for comparison with
published figures: there any warning fails a design, and the first verdict line wins.

Neither rule looks at the text of the design: one that prints a verdict line of its own and then stops the simulation
before the testbench can print the real one passes under ``upstream``; under ``default`` the real line, printed when the
simulation ends, makes two, and two are refused. A design that ends the simulation early, having been right so far,
passes under both.
"""

import re
import signal
from collections.abc import Callable
from typing import TypeAlias

from itertl.records import Verdict
from itertl.tools.icarus import Simulation
from itertl.tools.sandbox import Completed

Judgement: TypeAlias = tuple[Verdict, str]
Rule: TypeAlias = Callable[[Simulation], Judgement]

RULES = {
    "default": "itertl.evaluation.rules:default",
    "upstream": "itertl.evaluation.rules:upstream",
}

_VERDICT_LINE = re.compile(r"^Mismatches: (\d+) in (\d+) samples[ \t]*\r?$", re.MULTILINE | re.ASCII)
_UPSTREAM_LINE = re.compile(r"Mismatches: ([0-9]*) in ([0-9]*) samples")
_ERROR = re.compile(r"error|sorry:|assert|signaled", re.IGNORECASE)
_ERROR_COUNT = re.compile(r"\d+ error\(s\)|.*: warning:")
_NO_INCLUDE = re.compile(r"^.*Include file .* not found", re.MULTILINE)  # what else is reported follows from it
_LIMIT_SIGNALS = (-signal.SIGXCPU, -signal.SIGXFSZ)
_DETAIL_CHARS = 300


def default(simulation: Simulation) -> Judgement:
    """Compiled (warnings are none of our business), ended with status 0, and one verdict line with no mismatch."""
    ran = simulation.ran
    if ran is None or simulation.compiled.returncode != 0:
        return compile_failure(simulation.compiled)
    stopped = limit_or_kill(ran)
    if stopped is not None:
        return stopped
    if ran.returncode != 0:
        return Verdict.RUNTIME_ERROR, cut(f"vvp ended with status {ran.returncode}: {first_error(ran.stderr or ran.stdout)}")
    lines = _VERDICT_LINE.findall(ran.stdout)
    if not lines:
        return Verdict.RUNTIME_ERROR, "the simulation ended without the testbench's verdict"
    if len(lines) > 1:
        return Verdict.RUNTIME_ERROR, f"{len(lines)} verdict lines, the testbench prints one"
    return _counted(*lines[0])


def upstream(simulation: Simulation) -> Judgement:
    """VerilogEval v1's rule (``check_correctness`` in verilog_eval/execution.py, release/1.0.0).

    Passed if, and only if, nothing was written on stderr, and the first ``Mismatches: A in B samples`` on stdout has
    A = 0. The status of vvp counts for nothing there, nor here. Upstream's 30 s for both programs by the wall clock are
    here 30 s of processor time for each (``worker.LIMITS``).
    """
    compiled, ran = simulation.compiled, simulation.ran
    if ran is None or compiled.returncode != 0:
        return compile_failure(compiled)
    if compiled.stderr:
        return Verdict.COMPILE_ERROR, cut(f"stderr is not empty: {first_error(compiled.stderr)}")
    stopped = limit_or_kill(ran)
    if stopped is not None:
        return stopped
    if ran.stderr:
        return Verdict.RUNTIME_ERROR, cut(f"stderr is not empty: {first_error(ran.stderr)}")
    line = _UPSTREAM_LINE.search(ran.stdout)
    if line is None or not (line[1] and line[2]):
        return Verdict.RUNTIME_ERROR, "the simulation ended without a verdict line"
    if int(line[1]) == 0:
        return Verdict.PASSED, ""
    return Verdict.WRONG_OUTPUT, f"{int(line[1])} of {int(line[2])} samples differ"


def _counted(mismatches: str, samples: str) -> Judgement:
    if int(samples) == 0:
        return Verdict.RUNTIME_ERROR, "the simulation ended before one sample was compared"
    if int(mismatches) > 0:
        return Verdict.WRONG_OUTPUT, f"{int(mismatches)} of {int(samples)} samples differ"
    return Verdict.PASSED, ""


def compile_failure(compiled: Completed) -> Judgement:
    """Why there is no program to simulate.

    The status alone does not tell: Icarus returns its number of errors modulo 256, so 256 errors look like success.
    A compiler that the text makes crash has refused it: the problem's reference went through the same program.
    """
    stopped = limit_or_kill(compiled)
    if stopped is not None:
        return stopped
    if "syntax error" in compiled.stderr:
        return Verdict.SYNTAX_ERROR, cut(first_error(compiled.stderr))
    no_include = _NO_INCLUDE.search(compiled.stderr)
    if no_include is not None:
        return Verdict.COMPILE_ERROR, cut(no_include[0])
    if "during elaboration" in compiled.stderr:
        return Verdict.ELABORATION_ERROR, cut(first_error(compiled.stderr))
    if compiled.returncode == 0 and not _ERROR.search(compiled.stderr):
        return Verdict.TOOL_FAILED, "iverilog reported success and left no program"
    reason = first_error(compiled.stderr) or f"iverilog ended with status {compiled.returncode}"
    return Verdict.COMPILE_ERROR, cut(reason)


def limit_or_kill(done: Completed) -> Judgement | None:
    """TIMEOUT where a limit of ours ended the program, TOOL_FAILED where somebody else killed it, otherwise None."""
    if done.flooded:
        return Verdict.TIMEOUT, "wrote more output than allowed"
    if done.timed_out or done.returncode in _LIMIT_SIGNALS:
        return Verdict.TIMEOUT, f"did not end within its limits ({done.seconds:.0f} s)"
    if done.returncode != 0 and "bad_alloc" in done.stderr:
        return Verdict.TIMEOUT, "needed more memory than allowed"
    if done.returncode == -signal.SIGKILL:
        return Verdict.TOOL_FAILED, "killed from outside (out of memory?)"
    return None


def first_error(text: str) -> str:
    """The first line that says what is wrong: an error or "sorry" (not supported), not a warning and not the count of
    errors at the end; otherwise the first line that is not blank; "" where there is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = (line for line in lines if _ERROR.search(line) and not _ERROR_COUNT.match(line))
    return next(telling, lines[0] if lines else "")


def cut(text: str) -> str:
    """At most a few hundred characters."""
    return text if len(text) <= _DETAIL_CHARS else text[: _DETAIL_CHARS - 1] + "…"
