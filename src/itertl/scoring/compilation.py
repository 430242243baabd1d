"""``icarus``: does Icarus Verilog compile the candidate (``iverilog -g2012 -t null``)? 1 or 0.

Blind to function. Syntax and elaboration errors are one verdict, COMPILE_ERROR.
"""

import re
import signal

from itertl.records import Score, Verdict
from itertl.sandbox.sandbox import Completed
from itertl.scoring.item import ScoreItem, ScoreMaker, has_module, is_plain_name
from itertl.tools import icarus

DETAIL_CHARS = 300
_OUT_OF_MEMORY = re.compile(r"bad_alloc|[Oo]ut of memory|memory exhausted")
_ERROR = re.compile(r": (error|sorry):|: syntax error|error\(s\) during|^I give up", re.MULTILINE)
_BROKEN = re.compile(
    r"[Ii]nternal (compiler )?error|Assertion .* failed|assert(ion)?:|core dumped|Segmentation fault|Aborted"
)


def score(item: ScoreItem) -> Score:
    """1 where ``iverilog`` compiles the code from ``item.top``, else 0.

    Running out of time, memory or output is the model's (TIMEOUT, 0), and so is an error that the compiler names before
    it crashes; an assertion or a crash alone says nothing about the text (UNDECIDED, None). Raises ToolMissing.
    """
    result = ScoreMaker("icarus", "iverilog", icarus.version().rsplit(" ", 1)[-1])
    if item.top is not None and not is_plain_name(item.top):
        return result.misnamed(item.top)
    if not has_module(item.code):
        return result(0.0, Verdict.NO_CODE, "the text holds no module")
    verdict, detail = _judge(icarus.simulate({"design.v": item.code}, top=item.top, run=False).compiled)
    value = {Verdict.PASSED: 1.0, Verdict.TOOL_FAILED: None, Verdict.UNDECIDED: None}.get(verdict, 0.0)
    return result(value, verdict, detail)


def _judge(compiled: Completed) -> tuple[Verdict, str]:
    """Verdict on one run of the compiler, and its first line of complaint.

    The status is the number of errors modulo 256: 256 of them look like success, 130 like a signal.
    """
    lines = [line for line in compiled.stderr.splitlines() if line.strip()]
    complaint = next((line for line in lines if _ERROR.search(line)), "")
    if compiled.returncode == 0 and not (compiled.timed_out or compiled.flooded or complaint):
        return Verdict.PASSED, ""
    first = (complaint or (lines[0] if lines else ""))[:DETAIL_CHARS]
    if compiled.timed_out or compiled.flooded or _OUT_OF_MEMORY.search(compiled.stderr):
        return Verdict.TIMEOUT, first or "compilation did not end within its limits"
    if compiled.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Verdict.TOOL_FAILED, "killed from outside (out of memory?)"
    is_killed = compiled.returncode < 0 or compiled.returncode >= 126
    if (is_killed and not complaint) or _BROKEN.search(complaint or compiled.stderr):
        return Verdict.UNDECIDED, first or f"iverilog ended with status {compiled.returncode}"
    return Verdict.COMPILE_ERROR, first
