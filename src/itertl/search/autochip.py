"""AutoChip's own rank, to compare with: -2 without a module, -1 where it does not compile, -0.5 with warnings, else the
share of samples that the testbench says match. (Thakur et al., 2023, arXiv:2311.04887.)

The share is read off a line that the design could print itself, and a warning keeps a design from being simulated:
``look`` is without both. Counts of more than 18 digits are not read.
"""

import re

from itertl.records import Examined, Problem, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import BoundReached
from itertl.scoring.item import has_module
from itertl.search.look import Question, shortened
from itertl.tools import icarus
from itertl.verilog.header import derive_top

REVISION = 2
_SAID = re.compile(r"^Mismatches: (\d{1,18}) in (\d{1,18}) samples", re.MULTILINE)
_AGAIN = "Please correct the module."


def look(question: Question) -> Examined:
    """What AutoChip makes of the attempt. Raises ToolMissing."""
    problem = Problem.model_validate_json(question.problem)
    if not has_module(question.code):
        return Examined(verdict=Verdict.NO_CODE, rank=-2.0, message=f"No module was found in the answer. {_AGAIN}")
    with bounds.held(question.bound):
        try:
            return _simulated(problem, question.code)
        except BoundReached:
            return Examined(
                verdict=Verdict.TIMEOUT, rank=0.0, message=f"The simulation does not come to an end. {_AGAIN}"
            )


def _simulated(problem: Problem, code: str) -> Examined:
    top = derive_top(code)
    compiled = icarus.simulate({"design.sv": code}, top=top, flags=("-g2012", "-Wall"), run=False).compiled
    said = shortened(compiled.stderr)
    if compiled.returncode != 0 or compiled.timed_out:
        return Examined(
            verdict=Verdict.COMPILE_ERROR, rank=-1.0, tool_calls=1,
            message=f"The design fails to compile. The compiler says:\n{said}\n{_AGAIN}",
        )  # fmt: skip
    if said:
        return Examined(
            verdict=Verdict.COMPILE_ERROR, rank=-0.5, tool_calls=1,
            message=f"The design compiles with warnings:\n{said}\n{_AGAIN}",
        )  # fmt: skip
    root = str(problem.extra.get("testbench_top", "tb"))
    sources = {"tb.sv": problem.testbench or "", "design.sv": code}
    done = icarus.simulate(sources, top=root, data_files=problem.extra.get("data_files") or {}, dump=False)
    output = done.ran.stdout if done.ran is not None else ""
    found = _SAID.search(output)
    if found is None or not int(found[2]):
        output = output or done.compiled.stderr
        return Examined(
            verdict=Verdict.RUNTIME_ERROR, rank=0.0, tool_calls=2,
            message=f"The simulation fails:\n{shortened(output)}\n{_AGAIN}",
        )  # fmt: skip
    share = 1 - int(found[1]) / int(found[2])
    verdict = Verdict.PASSED if share == 1 else Verdict.WRONG_OUTPUT
    message = f"The testbench finds errors:\n{shortened(output)}\n{_AGAIN}"
    return Examined(verdict=verdict, rank=share, tool_calls=2, message="" if share == 1 else message)
