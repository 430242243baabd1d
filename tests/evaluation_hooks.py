"""Judges and rules for the tests of judging: named as a user names their own, and imported in worker processes."""

import os
from pathlib import Path

from evaluation_cases import INVERT, tiny
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.simulations import FLAGS, one_file
from itertl.records import Problem, Verdict
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus
from itertl.tools.icarus import Simulation


def broken(problem: Problem, code: str) -> Simulation:
    raise OSError("no space left on device")


def fails_on_marked(problem: Problem, code: str) -> Simulation:
    if "MARK" in code:
        raise OSError("no space left on device")
    return one_file(problem, code)


def dies_on_inverter(problem: Problem, code: str) -> Simulation:
    if problem.upstream_id == "invert" and INVERT in code:
        os._exit(9)
    return one_file(problem, code)


def hurried(problem: Problem, code: str) -> Simulation:
    limits = Limits(wall_s=1.0)
    return icarus.simulate(
        {"d.sv": f"{problem.testbench}\n{code}"}, top="tb", flags=FLAGS, limits=(icarus.COMPILE_LIMITS, limits)
    )


def everything_passes(simulation: Simulation) -> tuple[Verdict, str]:
    return Verdict.PASSED, ""


def tiny_benchmark(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    return tiny()


def not_a_benchmark(data: Path | None, *, limit: int | None = None, seed: int = 0) -> int:
    return 3
