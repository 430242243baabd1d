"""Completions in, verdicts out: each distinct text once, over the cores, resumable, in the order given.

Under the strict rule a text goes through the gate (``judging.gate``), what comes out of it is simulated once for each
distinct design, and what the testbench then says is compared with what it says of the problem's own reference
(``judging.strict``). The rule ``function`` has no testbench and asks the scorers (``evaluation.function``). A problem
whose reference does not pass here says nothing about a model: it is tried on the second simulator, if there is one, and
otherwise all its rows are UNJUDGEABLE.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.errors import DataError, UsageError, nearest
from itertl.evaluation import function
from itertl.evaluation.benchmarks import FUNCTION, Benchmark
from itertl.evaluation.rules import STRICT, UPSTREAM
from itertl.evaluation.verdicts import FORM, Answer
from itertl.evaluation.worker import GateTask, PrepareTask, RuleTask, RunTask, Simulator, Task, with_header
from itertl.judging import strict
from itertl.judging.bench import Template
from itertl.judging.gate import Design, Refusal
from itertl.judging.outcomes import Judgement, blamed
from itertl.judging.strict import Said
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, Fault, Problem, Verdict, content_hash
from itertl.runs.storage import AppendLog
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus, slang, verilator
from itertl.work.desk import Desk
from itertl.work.pool import Outcome

GATE_TIMEOUT_S = 30.0  # by the wall clock; the worker's own limit of processor time comes before
VERILATOR_TIMEOUT_S = 600.0  # it compiles through C++
_WORKER = "itertl.evaluation.worker:work"
_GRACE_S = 60.0  # beyond both programs' wall clocks the worker itself hangs
_MODULE = re.compile(r"\b(?:macro)?module\b")


@dataclass(frozen=True, slots=True)
class Completion:
    """One text to judge. ``full_module``: it is a whole module, so the problem's header does not go before it."""

    task_id: str
    index: int
    text: str
    full_module: bool
    truncated: bool = False  # generation hit its token limit
    temperature: float | None = None
    where: str = ""  # file and line, for messages
    is_stated: bool = False  # the file says itself whether it is a whole module


def choose_rule(benchmark: Benchmark, rule: str | None) -> str:
    """The benchmark's default (None or ``"default"``), one of its rules, or the user's ``module:function``.

    Raises UsageError.
    """
    if rule is None or rule == "default":
        return benchmark.default_rule
    if rule not in benchmark.rules and (":" not in rule or FUNCTION in benchmark.rules):
        hint = nearest(rule, benchmark.rules, then=f"known: {', '.join(benchmark.rules)}")
        raise UsageError(f"benchmark {benchmark.name} has no rule {rule!r}: {hint}")
    return rule


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a design is simulated."""

    limits: Limits = strict.LIMITS  # of compiler and simulator each
    second_simulator: bool = (
        True  # problems whose reference fails on Icarus are judged on Verilator, where it is installed
    )


def judge(
    benchmark: Benchmark,
    completions: Sequence[Completion],
    *,
    rule: str | None = None,
    num_workers: int = 0,
    partial: Path | None = None,
    cache: Path | None = None,
    conditions: "Conditions | None" = None,
    tracker: Tracker = SILENT,
) -> list[EvalRow]:
    """Judge every completion; rows come in input order.

    ``partial`` names a log that a killed call left and this one goes on from; the caller removes it when the rows are
    safe. ``cache``: folder of verdicts kept across runs. ``conditions``: None: those of the strict rule.
    Raises DataError for an unknown task_id, UsageError for an unknown rule, ToolMissing without a simulator.
    """
    rule = choose_rule(benchmark, rule)
    check_tasks(benchmark, completions)
    if rule == FUNCTION:
        judged = function.by_function(
            benchmark, completions, num_workers=num_workers, partial=partial, cache=cache, tracker=tracker
        )
        used, level = function.tools(), sandbox.level()
        return [_row(benchmark, rule, c, found, used, level) for c, found in zip(completions, judged, strict=True)]
    icarus.find("vvp")
    if rule == STRICT:
        slang.library()
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(AppendLog(partial)) if partial is not None else None
        desk = stack.enter_context(Desk(FORM, _WORKER, num_workers=num_workers, cache=cache, journal=journal))
        conditions = conditions or Conditions()
        call = _Call(benchmark, rule, desk, conditions.limits, conditions.second_simulator)
        keys = [call.key(c) for c in completions]
        found = {
            key: at_sight for key, c in zip(keys, completions, strict=True) if (at_sight := _at_sight(benchmark, c))
        }
        counts = Counter(keys)
        call.judge(
            {key: c for key, c in zip(keys, completions, strict=True) if key not in found}, found, counts, tracker
        )
    return [call.row(c, found[key]) for key, c in zip(keys, completions, strict=True)]


def _row(
    benchmark: Benchmark, rule: str, completion: Completion, found: Judgement, simulator: str, level: str
) -> EvalRow:
    """The record of one verdict. A truncated completion that fails is counted as truncated."""
    verdict, detail = found
    if completion.truncated and verdict.fault is Fault.MODEL:
        verdict, detail = Verdict.TRUNCATED, f"cut at the token limit; {verdict.value}: {detail}".removesuffix(": ")
    return EvalRow(
        task_id=completion.task_id,
        index=completion.index,
        verdict=verdict,
        passed=None if verdict.fault is Fault.OURS else verdict is Verdict.PASSED,
        detail=detail,
        completion_hash=content_hash(completion.text),
        benchmark=benchmark.label,
        simulator=simulator,
        rule=rule,
        sandbox=level,
        temperature=completion.temperature,
    )


def check_tasks(benchmark: Benchmark, completions: Iterable[Completion]) -> None:
    """Raise DataError for the first completion whose task_id the benchmark does not have."""
    for position, completion in enumerate(completions):
        if completion.task_id in benchmark.by_id:
            continue
        like = f"its ids are like {', '.join(list(benchmark.by_id)[:3])}"
        hint = nearest(completion.task_id, benchmark.by_id, otherwise=like)
        where = completion.where or f"completion {position}"
        raise DataError(
            f"{where}: {benchmark.name} has no task_id {completion.task_id!r}; {hint} (--benchmark names another "
            "benchmark)"
        )


def _at_sight(benchmark: Benchmark, completion: Completion) -> Judgement | None:
    """Verdicts that need no simulator. A whole module that never says ``module`` can define none."""
    reason = benchmark.errata.get(completion.task_id)
    if reason is not None:
        return Verdict.UNJUDGEABLE, f"known fault of the problem: {reason}"
    if not completion.text.strip("\0\ufeff \t\r\n\f\v"):
        return Verdict.NO_CODE, "the completion is blank"
    if completion.full_module and not _MODULE.search(completion.text):
        return Verdict.NO_CODE, "no module in the completion"
    return None


@dataclass(frozen=True, slots=True)
class _Measure:
    """How a problem is judged here: on which simulator, and what its reference says there; or why not at all."""

    simulator: Simulator
    said: Said | None  # None under a rule that has no use for it
    broken: Judgement | None = None
    failed_run: bool = False  # broken, and another simulator may do better


class _Call:
    """One call of ``judge``: the tools' versions, what is known already, and the work in its order."""

    def __init__(
        self,
        benchmark: Benchmark,
        rule: str,
        desk: Desk[Answer],
        limits: Limits,
        second_simulator: bool,
    ) -> None:
        self.benchmark, self.rule, self.desk = benchmark, rule, desk
        self.function = benchmark.upstream_rule if rule == UPSTREAM else rule
        self.limits, self.second_simulator = limits, second_simulator and rule == STRICT
        self.simulators: dict[Simulator, str] = {"icarus": icarus.version()}
        second = verilator.version_if_found() if self.second_simulator else None
        if second is not None:
            self.simulators["verilator"] = second
        self.sandbox = sandbox.level()
        self.measures: dict[str, _Measure] = {}
        self.templates: dict[str, Template | Judgement] = {}
        tools = [slang.version(), strict.REVISION, _limits_key(limits)] if rule == STRICT else []
        self.basis = [benchmark.judge, rule, *self.simulators.values(), *tools]

    def key(self, completion: Completion) -> str:
        """Identity of a verdict: all that it depends on, so that one of another rule or simulator is not believed."""
        asked = _asked(self.benchmark.by_id[completion.task_id])
        return content_hash([*self.basis, asked, completion.full_module, completion.text], 32)

    def judge(
        self,
        completions: Mapping[str, Completion],
        found: dict[str, Judgement],
        counts: Mapping[str, int],
        tracker: Tracker,
    ) -> None:
        """Fill ``found`` for every key of ``completions``; the tracker counts completions."""
        tracker.advance(sum(counts[key] for key in found))
        before = {k: a for k, a in self.desk.known(completions).items() if not isinstance(a, Said)}
        found |= before
        tracker.advance(sum(counts[key] for key in before))
        left = {key: completion for key, completion in completions.items() if key not in before}
        tasks = {c.task_id for c in completions.values()}
        for key, judgement in self._strict(tasks, left) if self.rule == STRICT else self._by_rule(tasks, left):
            found[key] = judgement
            self.desk.keep(key, judgement)
            tracker.advance(counts[key])
        for key, completion in completions.items():
            broken = self.measures[completion.task_id].broken
            if broken is not None:
                tracker.advance(counts[key] if key not in found else 0)
                found[key] = broken

    def row(self, completion: Completion, found: Judgement) -> EvalRow:
        measure = self.measures.get(completion.task_id)
        simulator = self.simulators[measure.simulator if measure else "icarus"]
        return _row(self.benchmark, self.rule, completion, found, simulator, self.sandbox)

    def _measured(self, simulator: Simulator, said: Answer) -> _Measure:
        if isinstance(said, Said):
            if strict.is_sound(said):
                return _Measure(simulator, said)
            verdict, detail = said.stopped or (
                Verdict.WRONG_OUTPUT,
                "; ".join(said.lines) or "its testbench says no verdict",
            )
        else:
            verdict, detail = said
            if verdict is Verdict.PASSED:
                return _Measure(simulator, None)
        if verdict is Verdict.TOOL_MISSING:
            return _Measure(simulator, None, (verdict, detail))
        why = detail if verdict is Verdict.UNJUDGEABLE else f"{verdict.value} {detail}".rstrip()
        judgement = Verdict.UNJUDGEABLE, f"the problem's own reference fails here: {why}"
        return _Measure(simulator, None, judgement, failed_run=isinstance(said, Said))

    def _by_rule(self, tasks: set[str], completions: Mapping[str, Completion]) -> Iterator[tuple[str, Judgement]]:
        """References, then completions of the problems whose reference passes."""
        references: dict[str, Task] = {}
        for task, problem in self._unmeasured(self._problems(tasks), "icarus").items():
            self.measures[task] = _Measure("icarus", None)
            if problem.reference is not None:
                references[task] = RuleTask(problem, problem.reference, self.benchmark.judge, self.function)
        for task, outcome in self.desk.outcomes(references, timeout_s=self._timeout("icarus")):
            self._note_reference(task, "icarus", outcome.value if outcome.status == "ok" else _failed(outcome))
        works: dict[str, Task] = {
            key: RuleTask(self.benchmark.by_id[c.task_id], self._code(c), self.benchmark.judge, self.function)
            for key, c in completions.items()
            if self.measures[c.task_id].broken is None
        }
        for key, outcome in self.desk.outcomes(works, timeout_s=self._timeout("icarus")):
            yield key, outcome.value if outcome.status == "ok" else _failed(outcome)

    def _strict(self, tasks: set[str], completions: Mapping[str, Completion]) -> Iterator[tuple[str, Judgement]]:
        """Templates, gate, and then references and designs in one queue, each distinct design of a problem once."""
        problems = self._problems(tasks)
        unmeasured = self._unmeasured(problems, "icarus")
        self._prepare({*(c.task_id for c in completions.values()), *unmeasured})
        runs = self._gated_references(unmeasured, "icarus")
        designs: dict[tuple[str, str], list[str]] = {}
        texts = {(task, key): run.design for task, (key, run) in runs.items()}
        for key, outcome in self._gated({k: c for k, c in completions.items() if not self._is_broken(c.task_id)}):
            passed = outcome.value if outcome.status == "ok" else _refused(outcome)
            if isinstance(passed, Design):
                task = completions[key].task_id
                text = texts.setdefault((task, passed.key), passed.text)
                designs.setdefault((task, text), []).append(key)
            else:
                yield key, (passed.verdict, passed.detail)
        yield from self._run({task: run for task, (_, run) in runs.items()}, designs, "icarus")
        again = {
            task: problem
            for task, problem in problems.items()
            if self.measures[task].failed_run and task not in self.benchmark.four_state
        }
        if again and "verilator" in self.simulators:
            runs = self._gated_references(self._unmeasured(again, "verilator"), "verilator")
            of_again = {k: v for k, v in designs.items() if k[0] in again}
            yield from self._run({task: run for task, (_, run) in runs.items()}, of_again, "verilator")

    def _run(
        self, references: Mapping[str, RunTask], designs: Mapping[tuple[str, str], list[str]], simulator: Simulator
    ) -> Iterator[tuple[str, Judgement]]:
        """Run references, which may take long, and designs; a design's verdict waits for its reference.

        A design that is the reference, word for word after the gate, says what the reference's run says.
        """
        runs: dict[str | tuple[str, str], Task] = {**references}
        themselves = {(task, run.design) for task, run in references.items()} & designs.keys()
        for task, text in designs:
            if (task, text) not in themselves:
                runs[task, text] = self._run_task(task, text, simulator)
        waiting: dict[str, list[tuple[list[str], str, Outcome]]] = {task: [] for task in references}
        for name, outcome in self.desk.outcomes(runs, timeout_s=self._timeout(simulator)):
            if isinstance(name, str):
                self._note_reference(name, simulator, outcome.value if outcome.status == "ok" else _failed(outcome))
                ready, task = waiting.pop(name), name
                ready += [(designs[itself], itself[1], outcome) for itself in themselves if itself[0] == task]
            else:
                task, text = name
                ready = [(designs[task, text], text, outcome)]
                if task in waiting:
                    waiting[task] += ready
                    continue
            expected = self.measures[task].said
            if expected is None:
                continue  # the problem cannot be judged here
            for keys, design, done in ready:
                judgement = (
                    blamed(strict.verdict(done.value, expected), design) if done.status == "ok" else _failed(done)
                )
                yield from ((key, judgement) for key in keys)

    def _problems(self, tasks: set[str]) -> dict[str, Problem]:
        return {task: problem for task, problem in self.benchmark.by_id.items() if task in tasks}

    def _unmeasured(self, problems: Mapping[str, Problem], simulator: Simulator) -> dict[str, Problem]:
        """Those of which it is not known what their reference says; of the others it is noted."""
        keys = {task: self._reference_key(task, simulator) for task in problems}
        known = self.desk.known(keys.values())
        for task, key in keys.items():
            if key in known:
                self.measures[task] = self._measured(simulator, known[key])
        return {task: problem for task, problem in problems.items() if keys[task] not in known}

    def _is_broken(self, task: str) -> bool:
        return task in self.measures and self.measures[task].broken is not None

    def _reference_key(self, task: str, simulator: Simulator) -> str:
        return content_hash([*self.basis, self.simulators[simulator], _asked(self.benchmark.by_id[task])], 32)

    def _note_reference(self, task: str, simulator: Simulator, said: Answer) -> None:
        """What a reference said, or why not; a failure on the second simulator changes nothing."""
        if isinstance(said, Said) or said[0] is Verdict.PASSED:
            self.desk.keep(self._reference_key(task, simulator), said)
        measure = self._measured(simulator, said)
        if simulator == "icarus" or measure.broken is None:
            self.measures[task] = measure

    def _gated_references(
        self, problems: Mapping[str, Problem], simulator: Simulator
    ) -> dict[str, tuple[str, RunTask]]:
        """The runs of those references that the gate lets through, with the key by which the gate tells texts apart.

        What is amiss with the others is noted.
        """
        gates: dict[str, Task] = {}
        for task, problem in problems.items():
            prepared = self.templates[task]
            if isinstance(prepared, Template):
                gates[task] = GateTask(problem, problem.reference or "")
            else:
                self._note_reference(task, simulator, prepared)
        runs: dict[str, tuple[str, RunTask]] = {}
        for task, outcome in self.desk.outcomes(gates, timeout_s=GATE_TIMEOUT_S):
            passed = outcome.value if outcome.status == "ok" else Refusal(*_failed(outcome))
            if isinstance(passed, Design):
                runs[task] = passed.key, self._run_task(task, passed.text, simulator)
            else:
                self._note_reference(task, simulator, (passed.verdict, passed.detail))
        return runs

    def _prepare(self, tasks: Iterable[str]) -> None:
        """Make the templates of these problems, or note why one cannot be made."""
        wanted: dict[str, Task] = {t: PrepareTask(self.benchmark.by_id[t]) for t in tasks if t not in self.templates}
        for task, outcome in self.desk.outcomes(wanted, timeout_s=GATE_TIMEOUT_S):
            made = outcome.value if outcome.status == "ok" else Refusal(*_failed(outcome))
            self.templates[task] = made if isinstance(made, Template) else (made.verdict, made.detail)

    def _run_task(self, task: str, design: str, simulator: Simulator) -> RunTask:
        prepared = self.templates[task]
        return RunTask(
            self.benchmark.by_id[task],
            design,
            simulator,
            self.limits,
            prepared if isinstance(prepared, Template) else None,
        )

    def _gated(self, completions: Mapping[str, Completion]) -> Iterator[tuple[str, Outcome]]:
        """The gate's outcomes; a text with which a worker ended otherwise than by its limits is read again, alone."""
        tasks: dict[str, Task] = {}
        for key, completion in completions.items():
            prepared = self.templates[completion.task_id]
            names = prepared.names if isinstance(prepared, Template) else frozenset[str]()
            tasks[key] = GateTask(self.benchmark.by_id[completion.task_id], self._code(completion), names)
        return self.desk.outcomes(
            tasks, timeout_s=GATE_TIMEOUT_S, again=lambda outcome: outcome.status != "ok" and not _hit_limit(outcome)
        )

    def _timeout(self, simulator: Simulator) -> float:
        return (2 * self.limits.wall_s if simulator == "icarus" else VERILATOR_TIMEOUT_S) + _GRACE_S

    def _code(self, completion: Completion) -> str:
        return with_header(self.benchmark.by_id[completion.task_id], completion.text, completion.full_module)


def _asked(problem: Problem) -> list[Any]:
    """All of a problem that a verdict depends on."""
    return [problem.upstream_id, problem.header, problem.top, problem.reference, problem.testbench, problem.extra]


def _limits_key(limits: Limits) -> list[Any]:
    return [getattr(limits, name) for name in sorted(limits.__slots__)]


def _failed(outcome: Outcome) -> Judgement:
    return Verdict.TOOL_FAILED, f"{outcome.status}: {outcome.detail}"


def _hit_limit(outcome: Outcome) -> bool:
    """Whether the text used up the worker's memory or processor time."""
    return outcome.status == "spent"


def _refused(outcome: Outcome) -> Refusal:
    """What to say of a text that the gate could not read.

    It is the text's doing where it used up what a worker may, or ended or stalled two of them: the reference went
    through the same checker.
    """
    if _hit_limit(outcome) or outcome.status == "timeout":
        return Refusal(Verdict.TIMEOUT, f"reading it took more than the checker may use ({outcome.detail})")
    if outcome.status == "crashed":
        return Refusal(Verdict.COMPILE_ERROR, f"the checker did not survive it: {outcome.detail}")
    return Refusal(Verdict.TOOL_FAILED, f"{outcome.status}: {outcome.detail}")
