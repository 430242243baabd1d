"""Verdict rules over one simulation of testbench and design in one source: upstream's, and the user's own.

``strict``, the default of every benchmark, is not such a rule: it owns the whole run, see ``itertl.judging.strict``.
``upstream`` is the rule of a benchmark's own authors, kept for comparison with published figures; here is VerilogEval
v1's: any warning fails a design, and the first verdict line wins, whoever printed it. A rule of the user's own is named
``module:function``.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from itertl.judging.outcomes import Judgement, compile_failure, cut, first_error, limit_or_kill
from itertl.records import Verdict
from itertl.tools.icarus import Simulation

Rule: TypeAlias = Callable[[Simulation], Judgement]

STRICT = "strict"

_UPSTREAM_LINE = re.compile(r"Mismatches: ([0-9]*) in ([0-9]*) samples")


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
