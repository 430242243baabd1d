"""What a worker process does for the judge, one task at a time. Imports little, because it is spawned often."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from itertl.errors import DataError, ToolMissing
from itertl.judging import gate, strict
from itertl.judging.bench import Template
from itertl.judging.gate import Design
from itertl.judging.outcomes import Judgement
from itertl.judging.strict import Said
from itertl.plugins import resolve
from itertl.records import Problem, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound
from itertl.sandbox.sandbox import Limits

Simulator: TypeAlias = Literal["icarus", "verilator"]


@dataclass(frozen=True, slots=True)
class PrepareTask:
    """Make the template of one testbench."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class GateTask:
    """Read one design."""

    problem: Problem
    code: str
    testbench_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RunTask:
    """Simulate what the gate let through."""

    problem: Problem
    design: str
    simulator: Simulator
    limits: Limits
    template: Template | None = None  # of the problem's testbench; None: made on the spot


@dataclass(frozen=True, slots=True)
class RuleTask:
    """Judge one text by a rule over one simulation."""

    problem: Problem
    code: str
    judge: str  # "module:function", (problem, code) -> icarus.Simulation
    rule: str  # "module:function", Simulation -> Judgement


Task: TypeAlias = PrepareTask | GateTask | RunTask | RuleTask
Answer: TypeAlias = Template | Design | Said | Judgement


def work(task: Task) -> Answer:
    """The template, the design that passed the gate, what the run said, or a judgement: the rule's, or why not."""
    try:
        match task:
            case PrepareTask():
                return strict.template(task.problem)
            case GateTask():
                return _gate(task)
            case RunTask():
                return strict.run(task.problem, task.design, task.limits, task.simulator, task.template)
            case RuleTask():
                return resolve("rule", task.rule, {})(resolve("judge", task.judge, {})(task.problem, task.code))
    except (ToolMissing, DataError) as error:
        verdict = Verdict.TOOL_MISSING if isinstance(error, ToolMissing) else Verdict.UNJUDGEABLE
        return Said((verdict, str(error))) if isinstance(task, RunTask) else (verdict, str(error))


def _gate(task: GateTask) -> Design | Judgement:
    with bounds.held(Bound(bounds.READING_CPU_S, bounds.READING_MB)):
        found = gate.examine(task.code, strict.design_name(task.problem) or "", testbench_names=task.testbench_names)
    return found if isinstance(found, Design) else (found.verdict, found.detail)
