"""What a worker process does: simulate one completion and apply the rule. Imports little, because it is spawned often.

The order of the parts is upstream's: testbench, newline, header, newline, completion. The header is left out before a
completion that is a whole module.
"""

from dataclasses import dataclass

from itertl.errors import ToolMissing
from itertl.evaluation.rules import RULES, Judgement
from itertl.plugins import resolve
from itertl.records import Problem, Verdict
from itertl.tools import icarus
from itertl.tools.icarus import Simulation
from itertl.tools.sandbox import Limits

# VerilogEval v1's own (verilog_eval/execution.py). ``default`` needs none of the warnings, but one command line for
# both rules means that two verdicts on one text differ by the rule alone.
FLAGS = ("-Wall", "-Winfloop", "-Wno-timescale", "-g2012")

# Processor time decides: by the wall clock a verdict would depend on what else the machine does (VerilogEval's
# conwaylife takes 2 s, and was seen to take 30 on a crowded machine). The wall only ends what waits without working.
LIMITS = Limits(wall_s=120, cpu_s=30, memory_mb=2048, file_mb=64)


@dataclass(frozen=True, slots=True)
class Work:
    """One text to judge."""

    problem: Problem
    code: str  # header included
    judge: str  # "module:function", (problem, code) -> Simulation
    rule: str


def with_header(problem: Problem, text: str, full_module: bool) -> str:
    """The design that a completion stands for."""
    return text if full_module else f"{problem.header}\n{text}"


def one_file(problem: Problem, code: str) -> Simulation:
    """Testbench and design in one source, top module ``tb``."""
    sources = {"design.sv": f"{problem.testbench}\n{code}"}
    return icarus.simulate(sources, top="tb", flags=FLAGS, compile_limits=LIMITS, run_limits=LIMITS)


def work(task: Work) -> Judgement:
    """Verdict and detail. What breaks here is our fault; a missing simulator is told from a broken one."""
    try:
        return resolve("rule", task.rule, RULES)(resolve("judge", task.judge, {})(task.problem, task.code))
    except ToolMissing as error:
        return Verdict.TOOL_MISSING, str(error)
