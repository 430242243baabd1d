"""What ended a compilation or a simulation, by the status and output of the programs: shared by all rules."""

import re
import signal
from typing import TypeAlias

from itertl.judging.harmless import ENDING_CALL
from itertl.records import Verdict
from itertl.sandbox.sandbox import Completed

Judgement: TypeAlias = tuple[Verdict, str]

_ERROR = re.compile(r"error|sorry:|assert|signaled", re.IGNORECASE)
_ERROR_COUNT = re.compile(r"\d+ error\(s\)|.*: warning:")
_NO_INCLUDE = re.compile(r"^.*Include file .* not found", re.MULTILINE)  # what else is reported follows from it
_LIMIT_SIGNALS = (-signal.SIGXCPU, -signal.SIGXFSZ)
_DETAIL_CHARS = 300


def compile_failure(compiled: Completed) -> Judgement:
    """Why there is no program to simulate.

    The status alone is not enough: Icarus returns its number of errors modulo 256, so 256 errors look like success.
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
    """TIMEOUT where one of the limits ended the program, TOOL_FAILED where something else killed it, else None."""
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
    """The first line with an error or "sorry" (not supported) that is not a warning or the count of errors at the end;
    otherwise the first line that is not blank; "" where there is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = (line for line in lines if _ERROR.search(line) and not _ERROR_COUNT.match(line))
    return next(errors, lines[0] if lines else "")


def cut(text: str) -> str:
    """At most a few hundred characters."""
    return text if len(text) <= _DETAIL_CHARS else text[: _DETAIL_CHARS - 1] + "…"


def blamed(judgement: Judgement, text: str) -> Judgement:
    """``judgement``, or GAMED where the run did not finish and the design holds what ends one."""
    found = ENDING_CALL.search(text)
    if found is None or judgement[0] is not Verdict.RUNTIME_ERROR:
        return judgement
    return Verdict.GAMED, cut(f"system-task: {found.group()} ended the run: {judgement[1]}")
