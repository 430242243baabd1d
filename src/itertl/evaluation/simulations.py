"""How a benchmark is simulated under its authors' own rule, ``upstream``, and what two of these rules have in common.

The strict rule has its own way to join design and testbench.
"""

from collections.abc import Mapping

from itertl.judging.outcomes import Judgement, compile_failure, limit_or_kill
from itertl.judging.strict import LIMITS
from itertl.records import Problem, Verdict
from itertl.tools import icarus
from itertl.tools.icarus import Simulation

# VerilogEval v1's own (verilog_eval/execution.py): under its rule every warning counts.
FLAGS = ("-Wall", "-Winfloop", "-Wno-timescale", "-g2012")


def one_file(problem: Problem, code: str) -> Simulation:
    """Testbench and design in one source, in VerilogEval v1's order."""
    return _simulate(problem, {"design.sv": f"{problem.testbench}\n{code}"})


def two_files(problem: Problem, code: str) -> Simulation:
    """Design and testbench as two sources, the design first, data files beside them.

    Upstream's order (VerilogEval v2 and RTLLM: makefile) matters where a design leaves macros or a time scale behind.
    """
    assert problem.testbench is not None  # Benchmark refuses others
    return _simulate(problem, {"design.sv": code, "testbench.sv": problem.testbench})


def _simulate(problem: Problem, sources: Mapping[str, str]) -> Simulation:
    top, files = str(problem.extra.get("testbench_top", "tb")), problem.extra.get("data_files")
    return icarus.simulate(sources, top=top, flags=FLAGS, data_files=files, limits=(LIMITS, LIMITS))


def log_says(simulation: Simulation, *texts: str) -> Judgement:
    """Passed where it compiled, ran within its limits, and one of ``texts`` is in what it wrote."""
    ran = simulation.ran
    if ran is None:
        return compile_failure(simulation.compiled)
    stopped = limit_or_kill(ran)
    if stopped is not None:
        return stopped
    if any(text in ran.stdout + ran.stderr for text in texts):
        return Verdict.PASSED, ""
    return Verdict.WRONG_OUTPUT, f"the log does not say {texts[0]}"
