"""What the benchmark's own references come to on this machine: by them completions are measured.

A problem whose reference does not pass says nothing about a model, so it is broken here. What a right reference said is
kept across calls; a failure is tried again by the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.completions import Completion
from itertl.evaluation.rules import STRICT
from itertl.evaluation.verdicts import Answer
from itertl.evaluation.worker import Simulator
from itertl.judging import strict
from itertl.judging.outcomes import Judgement
from itertl.judging.strict import Said
from itertl.records import Problem, Verdict, content_hash
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus, slang, verilator
from itertl.work.desk import Desk

REFERENCE_FAILS = "the problem's own reference fails here: "


@dataclass(frozen=True, slots=True)
class Reference:
    """The simulator on which a problem is judged and what its reference said there, or why it cannot be judged."""

    simulator: Simulator
    said: Said | None  # None under a rule other than the strict one
    broken: Judgement | None = None
    failed_run: bool = False  # broken, and another simulator may do better


class References:
    """The references of one call of ``judge``, by task_id, as far as they have been run: ``found``."""

    def __init__(
        self, benchmark: Benchmark, rule: str, desk: Desk[Answer], limits: Limits, *, second_simulator: bool
    ) -> None:
        self.benchmark, self.desk = benchmark, desk
        self.found: dict[str, Reference] = {}
        self.simulators: dict[Simulator, str] = {"icarus": icarus.version()}  # with their versions
        if second_simulator and rule == STRICT and (second := verilator.version_if_found()) is not None:
            self.simulators["verilator"] = second
        self._basis: list[Any] = [benchmark.judge, rule, *self.simulators.values()]
        if rule == STRICT:
            self._basis += [slang.version(), strict.REVISION, [getattr(limits, n) for n in sorted(limits.__slots__)]]

    def key_of_completion(self, completion: Completion) -> str:
        """Identity of a verdict: all that it depends on, so that one of another rule or simulator is not believed."""
        asked = _asked(self.benchmark.by_id[completion.task_id])
        return content_hash([*self._basis, asked, completion.full_module, completion.text], 32)

    def _key(self, task: str, simulator: Simulator) -> str:
        asked = _asked(self.benchmark.by_id[task])
        return content_hash([*self._basis, self.simulators[simulator], asked], 32)

    def look_up(self, tasks: Iterable[str], simulator: Simulator) -> list[str]:
        """Find what earlier calls noted. Returns the tasks, in the benchmark's order, whose reference is to be run."""
        wanted = set(tasks)
        keys = {task: self._key(task, simulator) for task in self.benchmark.by_id if task in wanted}
        known = self.desk.known(keys.values())
        for task, key in keys.items():
            if key in known:
                self.found[task] = _understood(simulator, known[key])
        return [task for task, key in keys.items() if key not in known]

    def note(self, task: str, simulator: Simulator, answer: Answer) -> None:
        """What a reference said, or why not; a failure on the second simulator changes nothing."""
        if isinstance(answer, Said) or answer[0] is Verdict.PASSED:
            self.desk.keep(self._key(task, simulator), answer)
        reference = _understood(simulator, answer)
        if simulator == "icarus" or reference.broken is None:
            self.found[task] = reference

    def broken(self, task: str) -> Judgement | None:
        """Why no completion of the problem can be judged; None where that is not known (yet)."""
        return self.found[task].broken if task in self.found else None

    def simulator_of(self, task: str) -> str:
        """Name and version of the simulator that judges the problem."""
        return self.simulators[self.found[task].simulator if task in self.found else "icarus"]


def _understood(simulator: Simulator, answer: Answer) -> Reference:
    if isinstance(answer, Said):
        if strict.is_sound(answer):
            return Reference(simulator, answer)
        said = "; ".join(answer.lines) or "its testbench says no verdict"
        verdict, detail = answer.stopped or (Verdict.WRONG_OUTPUT, said)
    else:
        verdict, detail = answer
    if verdict is Verdict.PASSED:
        return Reference(simulator, None)
    if verdict is Verdict.TOOL_MISSING:
        return Reference(simulator, None, (verdict, detail))
    why = detail if verdict is Verdict.UNJUDGEABLE else f"{verdict.value} {detail}".rstrip()
    judgement = Verdict.UNJUDGEABLE, f"{REFERENCE_FAILS}{why}"
    return Reference(simulator, None, judgement, failed_run=isinstance(answer, Said))


def _asked(problem: Problem) -> list[Any]:
    """All of a problem that a verdict depends on."""
    return [problem.upstream_id, problem.header, problem.top, problem.reference, problem.testbench, problem.extra]
