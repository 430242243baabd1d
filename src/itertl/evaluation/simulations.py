"""How benchmarks that come as separate files are simulated under their own rule: ``upstream``.

The strict rule has its own way to join design and testbench; this is the plain one.
"""

from itertl.evaluation.worker import FLAGS
from itertl.judging.strict import LIMITS
from itertl.records import Problem
from itertl.tools import icarus
from itertl.tools.icarus import Simulation


def two_files(problem: Problem, code: str) -> Simulation:
    """Design and testbench as two sources, the design first, data files beside them; the problem names the top module.

    Upstream's order (VerilogEval v2 and RTLLM: makefile) matters where a design leaves macros or a time scale behind.
    """
    assert problem.testbench is not None  # Benchmark refuses others
    return icarus.simulate(
        {"design.sv": code, "testbench.sv": problem.testbench},
        top=str(problem.extra.get("testbench_top", "tb")),
        flags=FLAGS,
        data_files=problem.extra.get("data_files"),
        compile_limits=LIMITS,
        run_limits=LIMITS,
    )
