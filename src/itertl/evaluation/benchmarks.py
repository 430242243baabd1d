"""A benchmark is a value: problems, how they are judged, what is known to be wrong with them.

To add one, write a function ``(data, *, limit, seed) -> Benchmark`` (with ``shots``, where it has in-context examples)
and name it in ``BENCHMARKS``; users name theirs as ``package.module:function``. For the strict rule a problem may state
in ``extra``: ``marker`` (text in the string by which its testbench announces success), ``data_files`` (name -> text,
laid beside the simulation) and ``testbench_top``; for any rule ``given`` (name -> module that an answer may leave to
the prompt) and ``buggy`` (the module to fix, which must not pass).
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl.errors import DataError, ItertlError, UsageError
from itertl.model.prompts import EXAMPLES
from itertl.plugins import definition_of, place_of, resolve
from itertl.records import Problem, content_hash

BENCHMARKS = {
    "verilogeval-v1-machine": "itertl.evaluation.verilogeval:machine",
    "verilogeval-v1-human": "itertl.evaluation.verilogeval:human",
    "verilogeval-v2-spec-to-rtl": "itertl.evaluation.verilogeval_v2:spec_to_rtl",
    "verilogeval-v2-code-complete": "itertl.evaluation.verilogeval_v2:code_complete",
    "rtllm-1.1": "itertl.evaluation.rtllm:v1_1",
    "rtllm-2.0": "itertl.evaluation.rtllm:v2_0",
    "vgen-low": "itertl.evaluation.vgen:low",
    "vgen-medium": "itertl.evaluation.vgen:medium",
    "vgen-high": "itertl.evaluation.vgen:high",
    "chipbench": "itertl.evaluation.chipbench:generation",
    "chipbench-debug": "itertl.evaluation.chipbench:debugging",
    "chipbench-debug-zero-shot": "itertl.evaluation.chipbench:zero_shot",
    "chipbench-debug-one-shot": "itertl.evaluation.chipbench:one_shot",
    "cvdp": "itertl.evaluation.cvdp:cvdp",
    "pairs": "itertl.evaluation.pairs:pairs",
    "own-heldout": "itertl.evaluation.pairs:own_heldout",
    "arithmetic": "itertl.evaluation.generated:arithmetic",
    "synth-heldout": "itertl.evaluation.generated:heldout",
    "synth-heldout-short": "itertl.evaluation.generated:heldout_short",
    "synth-heldout-family": "itertl.evaluation.generated:heldout_family",
    "synth-heldout-parameter": "itertl.evaluation.generated:heldout_parameter",
    "synth-heldout-basic": "itertl.evaluation.generated:heldout_basic",
}

FUNCTION = "function"  # the rule that compares with the reference and needs no testbench
ONE_FILE = "itertl.evaluation.simulations:one_file"  # testbench, header and completion in one source


@dataclass(frozen=True)
class Benchmark:
    """Problems with testbenches, and the rules by which a simulation of them becomes a verdict.

    Each problem has ``upstream_id`` (the task_id that completions name) and ``testbench`` (``reference``, under the
    rule ``FUNCTION``); ``header`` is what comes before a completion that is not a whole module. Raises DataError where
    one lacks them or two share a task_id.
    """

    name: str
    version: str
    problems: tuple[Problem, ...]
    judge: str = ONE_FILE  # "module:function", (problem, code) -> Simulation: the plain way, for every rule but strict
    rules: tuple[str, ...] = ("strict", "upstream")
    default_rule: str = "strict"
    # "module:function" that a rule stands for that has a name and is none of ours, "upstream" mostly
    upstream_rule: str = "itertl.evaluation.rules:upstream"
    # task_id -> why no completion of it can be judged
    errata: Mapping[str, str] = field(default_factory=dict[str, str])
    four_state: frozenset[str] = frozenset()  # task_ids that a simulator without X would judge wrongly
    notes: Mapping[str, str] = field(default_factory=dict[str, str])  # task_id -> a weakness that does not stop judging
    notices: tuple[str, ...] = ()  # for the user: what this copy of the benchmark lacks, what was left out of it

    def __post_init__(self) -> None:
        seen: set[str] = set()
        needs = "reference" if FUNCTION in self.rules else "testbench"
        for problem in self.problems:
            if not problem.upstream_id or not getattr(problem, needs):
                raise DataError(
                    f"{self.name}: problem {problem.upstream_id or problem.id} needs an upstream_id and a {needs}"
                )
            if problem.upstream_id in seen:
                raise DataError(f"{self.name}: task_id {problem.upstream_id!r} comes twice; ids must differ")
            seen.add(problem.upstream_id)

    @functools.cached_property
    def by_id(self) -> dict[str, Problem]:
        """task_id -> problem, in the benchmark's order."""
        return {task_id(problem): problem for problem in self.problems}

    @property
    def label(self) -> str:
        """Name and version, as rows carry them."""
        return f"{self.name} {self.version}"

    @functools.cached_property
    def content_hash(self) -> str:
        """Hash of all that is asked and judged, whatever file it came from and in which order: two figures compare only
        where it is the same."""
        asked = [
            [p.upstream_id, p.instruction, p.header, p.reference, p.testbench, *_own_extra(p)]
            for p in sorted(self.problems, key=task_id)
        ]
        return content_hash(asked)


def _own_extra(problem: Problem) -> list[dict[str, Any]]:
    """None or one, without the examples that a prompt shows: they are of the one who asks."""
    own = {name: value for name, value in problem.extra.items() if name != EXAMPLES}
    return [own] if own else []


def task_id(problem: Problem) -> str:
    """The id by which completions name a benchmark's problem."""
    assert problem.upstream_id is not None  # Benchmark refuses others
    return problem.upstream_id


def load(name: str, data: Path | None = None, *, limit: int | None = None, seed: int = 0, shots: int = 0) -> Benchmark:
    """Load a benchmark by name. ``limit`` keeps the first problems, and is the size of a generated benchmark.

    ``seed`` chooses another draw of a generated benchmark and changes nothing in the others; it is not the run's seed,
    because runs are compared on one set. ``shots`` is the number of in-context examples before each question, for
    benchmarks that have them. Raises UsageError for an unknown name, or shots that it does not have; DataError for data
    that is missing (saying how to get it) or malformed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"benchmark {name}: limit is {limit}; keep at least one problem")
    function = resolve("benchmark", name, BENCHMARKS)
    try:
        benchmark = function(data, limit=limit, seed=seed, **_shots(name, function, shots))
    except Exception as error:
        if name in BENCHMARKS or isinstance(error, ItertlError):
            raise
        raise UsageError(f"benchmark {name!r} raised {type(error).__name__}: {error} ({place_of(error)})") from error
    if not isinstance(benchmark, Benchmark):
        where = definition_of(function)
        raise UsageError(
            f"benchmark {name!r}: its function returned a {type(benchmark).__name__}, not a Benchmark ({where})"
        )
    return benchmark


def _shots(name: str, function: Callable[..., Benchmark], shots: int) -> dict[str, int]:
    """The keyword for a benchmark's function: none for 0, which every benchmark understands."""
    if shots < 0:
        raise UsageError(f"benchmark {name}: {shots} shots; give 0 or more")
    if shots and "shots" not in inspect.signature(function).parameters:
        raise UsageError(f"benchmark {name} has no in-context examples; leave out shots")
    return {"shots": shots} if shots else {}


def require_instructions(benchmark: Benchmark) -> None:
    """Raise DataError where a problem asks nothing: such a benchmark can judge completions, but not be sampled."""
    blank = [task_id(problem) for problem in benchmark.problems if not problem.instruction.strip()]
    if blank:
        raise DataError(
            f"{benchmark.name}: {len(blank)} problems have no description ({', '.join(blank[:3])} …); "
            "give --data the clone with its descriptions/ folder"
        )
