"""Completions in, verdicts out: each distinct text once, over the cores, resumable, in the order given.

Under the strict rule a text goes through the gate (``judging.gate``), what comes out of it is simulated once for each
distinct design, and what the testbench then says is compared with what it says of the problem's own reference
(``judging.strict``). A problem whose reference does not pass here says nothing about a model: it is tried on the second
simulator, if there is one, and otherwise all its rows are UNJUDGEABLE.
"""

import difflib
import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl import faults
from itertl.errors import DataError, UsageError
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.rules import STRICT, UPSTREAM
from itertl.evaluation.verdicts import VerdictCache
from itertl.evaluation.worker import GateTask, PrepareTask, RuleTask, RunTask, Simulator, Task, with_header
from itertl.judging import strict
from itertl.judging.bench import Template
from itertl.judging.gate import Design, Refusal
from itertl.judging.outcomes import Judgement
from itertl.judging.strict import Said
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, Fault, Problem, Verdict, content_hash
from itertl.tools import icarus, pool, sandbox, slang, verilator
from itertl.tools.pool import Outcome, Workers
from itertl.tools.sandbox import Limits

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


def choose_rule(benchmark: Benchmark, rule: str | None) -> str:
    """The benchmark's default (None or ``"default"``), one of its rules, or the user's ``module:function``.

    Raises UsageError.
    """
    if rule is None or rule == "default":
        return benchmark.default_rule
    if rule not in benchmark.rules and ":" not in rule:
        near = difflib.get_close_matches(rule, benchmark.rules, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"benchmark {benchmark.name} has no rule {rule!r}: {hint}known: {', '.join(benchmark.rules)}")
    return rule


def judge(
    benchmark: Benchmark,
    completions: Sequence[Completion],
    *,
    rule: str | None = None,
    num_workers: int = 0,
    partial: Path | None = None,
    cache: Path | None = None,
    limits: Limits = strict.LIMITS,
    second_simulator: bool = True,
    tracker: Tracker = SILENT,
) -> list[EvalRow]:
    """Judge every completion; rows come in input order.

    ``partial`` names a log that a killed call left and this one goes on from; the caller removes it when the rows are
    safe. ``cache``: folder of verdicts kept across runs. ``limits``: of compiler and simulator each, strict rule.
    ``second_simulator``: judge problems whose reference fails on Icarus on Verilator, where that is installed.
    Raises DataError for an unknown task_id, UsageError for an unknown rule, ToolMissing without a simulator.
    """
    rule = choose_rule(benchmark, rule)
    check_tasks(benchmark, completions)
    icarus.find("vvp")
    with VerdictCache(cache, partial) as known, pool.Workers(_WORKER, num_workers) as workers:
        desk = _Desk(benchmark, rule, known, workers, limits, second_simulator)
        keys = [desk.key(c) for c in completions]
        found = {key: at_sight for key, c in zip(keys, completions, strict=True) if (at_sight := _at_sight(benchmark, c))}
        counts = Counter(keys)
        desk.judge({key: c for key, c in zip(keys, completions, strict=True) if key not in found}, found, counts, tracker)
    return [desk.row(c, found[key]) for key, c in zip(keys, completions, strict=True)]


def check_tasks(benchmark: Benchmark, completions: Iterable[Completion]) -> None:
    """Raise DataError for the first completion whose task_id the benchmark does not have."""
    for position, completion in enumerate(completions):
        if completion.task_id in benchmark.by_id:
            continue
        near = difflib.get_close_matches(completion.task_id, benchmark.by_id, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"its ids are like {', '.join(list(benchmark.by_id)[:3])}"
        where = completion.where or f"completion {position}"
        raise DataError(f"{where}: {benchmark.name} has no task_id {completion.task_id!r}; {hint}")


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


class _Desk:
    """One call of ``judge``: the tools' versions, what is known already, and the work in its order."""

    def __init__(
        self, benchmark: Benchmark, rule: str, known: VerdictCache, workers: Workers, limits: Limits, second_simulator: bool
    ) -> None:
        self.benchmark, self.rule, self.known = benchmark, rule, known
        self.function = benchmark.upstream_rule if rule == UPSTREAM else rule
        self.workers, self.limits, self.second_simulator = workers, limits, second_simulator and rule == STRICT
        self.simulators: dict[Simulator, str] = {"icarus": icarus.version()}
        self.sandbox = sandbox.level()
        self.measures: dict[str, _Measure] = {}
        self.templates: dict[str, Template | Judgement] = {}
        tools = [slang.version(), strict.REVISION, _limits_key(limits)] if rule == STRICT else []
        self.basis = [benchmark.judge, rule, self.simulators["icarus"], *tools]

    def key(self, completion: Completion) -> str:
        """Identity of a verdict: all that it depends on, so that one of another rule or simulator is not believed."""
        asked = _asked(self.benchmark.by_id[completion.task_id])
        return content_hash([*self.basis, asked, completion.full_module, completion.text], 32)

    def judge(
        self, completions: Mapping[str, Completion], found: dict[str, Judgement], counts: Mapping[str, int], tracker: Tracker
    ) -> None:
        """Fill ``found`` for every key of ``completions``; the tracker counts completions."""
        tracker.advance(sum(counts[key] for key in found))
        before = self.known.verdicts(completions)
        found |= before
        tracker.advance(sum(counts[key] for key in before))
        self._measure({c.task_id for c in completions.values()})
        left: dict[str, Completion] = {}
        for key, completion in completions.items():
            broken = self.measures[completion.task_id].broken
            if broken is not None:
                found[key] = broken
                tracker.advance(counts[key] if key not in before else 0)
            elif key not in before:
                left[key] = completion
        for key, judgement in self._strict(left) if self.rule == STRICT else self._by_rule(left):
            found[key] = judgement
            self.known.put_verdict(key, judgement)
            faults.point("judge.item")
            tracker.advance(counts[key])

    def row(self, completion: Completion, found: Judgement) -> EvalRow:
        """The record of one verdict. A truncated completion that fails is counted as truncated."""
        verdict, detail = found
        if completion.truncated and verdict.fault is Fault.MODEL:
            verdict, detail = Verdict.TRUNCATED, f"cut at the token limit; {verdict.value}: {detail}".removesuffix(": ")
        measure = self.measures.get(completion.task_id)
        return EvalRow(
            task_id=completion.task_id,
            index=completion.index,
            verdict=verdict,
            passed=None if verdict.fault is Fault.OURS else verdict is Verdict.PASSED,
            detail=detail,
            completion_hash=content_hash(completion.text),
            benchmark=self.benchmark.label,
            simulator=self.simulators[measure.simulator if measure else "icarus"],
            rule=self.rule,
            sandbox=self.sandbox,
            temperature=completion.temperature,
        )

    def _measure(self, tasks: set[str]) -> None:
        """Judge the references of ``tasks``; those that fail on Icarus once more on Verilator, if it is there."""
        problems = {t: p for t, p in self.benchmark.by_id.items() if t in tasks}
        again: dict[str, Problem] = {}
        for task, said in self._references(problems, "icarus").items():
            self.measures[task] = self._measured("icarus", said)
            is_run = isinstance(said, Said) and not strict.is_sound(said)
            if is_run and task not in self.benchmark.four_state:
                again[task] = problems[task]
        version = verilator.version_if_found() if again and self.second_simulator else None
        if version is None:
            return
        self.simulators["verilator"] = version
        for task, said in self._references(again, "verilator").items():
            measure = self._measured("verilator", said)
            if measure.broken is None:
                self.measures[task] = measure

    def _measured(self, simulator: Simulator, said: Said | Judgement | None) -> _Measure:
        if said is None:
            return _Measure(simulator, None)
        if isinstance(said, Said):
            if strict.is_sound(said):
                return _Measure(simulator, said)
            verdict, detail = said.stopped or (Verdict.WRONG_OUTPUT, "; ".join(said.lines) or "its testbench says no verdict")
        else:
            verdict, detail = said
            if verdict is Verdict.PASSED:
                return _Measure(simulator, None)
        if verdict is Verdict.TOOL_MISSING:
            return _Measure(simulator, None, (verdict, detail))
        why = detail if verdict is Verdict.UNJUDGEABLE else f"{verdict.value} {detail}".rstrip()
        return _Measure(simulator, None, (Verdict.UNJUDGEABLE, f"the problem's own reference fails here: {why}"))

    def _references(self, problems: Mapping[str, Problem], simulator: Simulator) -> dict[str, Said | Judgement | None]:
        """What each reference says; None where a problem has none and the rule needs none."""
        keys = {t: content_hash([*self.basis, self.simulators[simulator], _asked(p)], 32) for t, p in problems.items()}
        before = {task: said for task, key in keys.items() if (said := self.known.said(key)) is not None}
        left = {task: problem for task, problem in problems.items() if task not in before}
        found = self._strict_references(left, simulator) if self.rule == STRICT else self._references_by_rule(left)
        answers: dict[str, Said | Judgement | None] = dict(before)
        for task, answer in found:
            answers[task] = answer
            self.known.put_said(keys[task], answer)
        return answers

    def _references_by_rule(self, problems: Mapping[str, Problem]) -> Iterator[tuple[str, Judgement | None]]:
        tasks: dict[str, Task] = {}
        for task, problem in problems.items():
            if problem.reference is None:
                yield task, None
            else:
                tasks[task] = RuleTask(problem, problem.reference, self.benchmark.judge, self.function)
        for task, outcome in self._outcomes(tasks, self._timeout("icarus")):
            yield task, outcome.value if outcome.status == "ok" else _failed(outcome)

    def _strict_references(self, problems: Mapping[str, Problem], simulator: Simulator) -> Iterator[tuple[str, Said | Judgement]]:
        """Prepare the testbench, pass the reference through the gate, run it."""
        self._prepare(problems)
        gates: dict[str, Task] = {}
        for task, problem in problems.items():
            prepared = self.templates[task]
            if isinstance(prepared, Template):
                gates[task] = GateTask(problem, problem.reference or "")
            else:
                yield task, prepared
        runs: dict[str, Task] = {}
        for task, outcome in self._outcomes(gates, GATE_TIMEOUT_S):
            passed = outcome.value if outcome.status == "ok" else Refusal(*_failed(outcome))
            if isinstance(passed, Design):
                runs[task] = self._run_task(task, passed.text, simulator)
            else:
                yield task, (passed.verdict, passed.detail)
        for task, outcome in self._outcomes(runs, self._timeout(simulator)):
            yield task, outcome.value if outcome.status == "ok" else _failed(outcome)

    def _prepare(self, tasks: Iterable[str]) -> None:
        """Make the templates of these problems, or note why one cannot be made."""
        wanted: dict[str, Task] = {t: PrepareTask(self.benchmark.by_id[t]) for t in tasks if t not in self.templates}
        for task, outcome in self._outcomes(wanted, GATE_TIMEOUT_S):
            made = outcome.value if outcome.status == "ok" else Refusal(*_failed(outcome))
            self.templates[task] = made if isinstance(made, Template) else (made.verdict, made.detail)

    def _run_task(self, task: str, design: str, simulator: Simulator) -> RunTask:
        prepared = self.templates[task]
        return RunTask(
            self.benchmark.by_id[task], design, simulator, self.limits, prepared if isinstance(prepared, Template) else None
        )

    def _by_rule(self, completions: Mapping[str, Completion]) -> Iterator[tuple[str, Judgement]]:
        tasks: dict[str, Task] = {
            key: RuleTask(self.benchmark.by_id[c.task_id], self._code(c), self.benchmark.judge, self.function)
            for key, c in completions.items()
        }
        for key, outcome in self._outcomes(tasks, self._timeout("icarus")):
            yield key, outcome.value if outcome.status == "ok" else _failed(outcome)

    def _strict(self, completions: Mapping[str, Completion]) -> Iterator[tuple[str, Judgement]]:
        """Gate, then one run for each distinct design of a problem."""
        self._prepare({c.task_id for c in completions.values()})
        designs: dict[tuple[str, str], list[str]] = {}
        for key, outcome in self._gated(completions):
            passed = outcome.value if outcome.status == "ok" else _refused(outcome)
            if isinstance(passed, Design):
                designs.setdefault((completions[key].task_id, passed.text), []).append(key)
            else:
                yield key, (passed.verdict, passed.detail)
        runs: dict[str, Task] = {}
        users: dict[str, tuple[str, list[str]]] = {}
        for number, ((task, text), keys) in enumerate(designs.items()):
            runs[str(number)] = self._run_task(task, text, self.measures[task].simulator)
            users[str(number)] = (task, keys)
        slowest: Simulator = "verilator" if any(m.simulator == "verilator" for m in self.measures.values()) else "icarus"
        for number, outcome in self._outcomes(runs, self._timeout(slowest)):
            task, keys = users[number]
            expected = self.measures[task].said
            assert expected is not None
            judgement = strict.verdict(outcome.value, expected) if outcome.status == "ok" else _failed(outcome)
            for key in keys:
                yield key, judgement

    def _gated(self, completions: Mapping[str, Completion]) -> Iterator[tuple[str, Outcome]]:
        """The gate's outcomes; a text with which a worker ended otherwise than by its limits is read again, alone."""
        tasks: dict[str, Task] = {}
        for key, completion in completions.items():
            prepared = self.templates[completion.task_id]
            names = prepared.names if isinstance(prepared, Template) else frozenset[str]()
            tasks[key] = GateTask(self.benchmark.by_id[completion.task_id], self._code(completion), names)
        again: dict[str, Task] = {}
        for key, outcome in self._outcomes(tasks, GATE_TIMEOUT_S):
            if outcome.status == "ok" or _hit_limit(outcome):
                yield key, outcome
            else:
                again[key] = tasks[key]
        for key, task in again.items():
            yield from self._outcomes({key: task}, GATE_TIMEOUT_S)

    def _outcomes(self, tasks: Mapping[str, Task], timeout_s: float) -> Iterator[tuple[str, Outcome]]:
        keys = list(tasks)
        for number, outcome in self.workers.map_unordered(tasks.values(), timeout_s=timeout_s):
            yield keys[number], outcome

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
    ended = outcome.status == "crashed" and outcome.detail.endswith(f"status -{signal.SIGPROF.value}")
    return ended or (outcome.status == "raised" and outcome.detail == "MemoryError")


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
