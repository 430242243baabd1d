"""Completions in, verdicts out: each distinct text once, over the cores, resumable, in the order given.

Under the strict rule a text goes through the gate (``judging.gate``), what comes out of it is simulated once for each
distinct design, and what the testbench then says is compared with what it says of the problem's own reference
(``judging.strict``). The rule ``function`` has no testbench and asks the scorers (``evaluation.by_function``). A
problem whose reference does not pass here is tried on the second simulator, if there is one, and otherwise all its rows
are UNJUDGEABLE.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from itertl.errors import UsageError, nearest
from itertl.evaluation import by_function
from itertl.evaluation.benchmarks import FUNCTION, Benchmark
from itertl.evaluation.completions import Completion, check_tasks, verdict_at_sight
from itertl.evaluation.references import Reference, References
from itertl.evaluation.rules import STRICT
from itertl.evaluation.verdicts import FORM, Answer
from itertl.evaluation.worker import GateTask, PrepareTask, RuleTask, RunTask, Simulator
from itertl.judging import strict
from itertl.judging.bench import Template
from itertl.judging.gate import Design
from itertl.judging.outcomes import Judgement, blamed
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, Fault, Verdict, content_hash
from itertl.runs.storage import AppendLog
from itertl.sandbox import sandbox
from itertl.sandbox.sandbox import Limits
from itertl.tools import icarus, slang
from itertl.work.desk import Desk
from itertl.work.pool import Outcome, Workers

GATE_TIMEOUT_S = 30.0  # by the wall clock; the worker's own limit of processor time comes before
VERILATOR_TIMEOUT_S = 600.0  # it compiles through C++
WORKER = "itertl.evaluation.worker:work"
_GRACE_S = 60.0  # beyond both programs' wall clocks the worker itself hangs

Judged: TypeAlias = Iterator[tuple[str, Judgement]]  # (key of a completion, its verdict)
_Text: TypeAlias = tuple[str, str]  # task_id, and the text of one design of it


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
    second_simulator: bool = True  # where Verilator is installed, it judges problems whose reference fails on Icarus
    workers: Workers | None = None  # of WORKER, that the caller keeps; None: of this call alone


def judge(
    benchmark: Benchmark, completions: Sequence[Completion], *, rule: str | None = None, num_workers: int = 0,
    partial: Path | None = None, cache: Path | None = None, conditions: Conditions | None = None,
    tracker: Tracker = SILENT,
) -> list[EvalRow]:  # fmt: skip
    """Judge every completion; rows come in input order.

    ``partial`` names a log that a killed call left and this one goes on from; the caller removes it when the rows are
    safe. ``cache``: folder of verdicts kept across runs. ``conditions``: None: those of the strict rule.
    Raises DataError for an unknown task_id, UsageError for an unknown rule, ToolMissing without a simulator.
    """
    rule = choose_rule(benchmark, rule)
    check_tasks(benchmark, completions)
    level = sandbox.level()
    if rule == FUNCTION:
        judged = by_function.judge(
            benchmark, completions, num_workers=num_workers, partial=partial, cache=cache, tracker=tracker
        )
        used = by_function.tools()
        return [_row(benchmark, rule, c, found, used, level) for c, found in zip(completions, judged, strict=True)]
    conditions = conditions or Conditions()
    icarus.find("vvp")
    if rule == STRICT:
        slang.library()
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(AppendLog(partial)) if partial is not None else None
        desk = stack.enter_context(
            Desk(
                FORM, WORKER, num_workers=num_workers, cache=cache, journal=journal, workers=conditions.workers
            )
        )  # fmt: skip
        call = _Call(benchmark, rule, desk, conditions)
        keys = [call.references.key_of_completion(completion) for completion in completions]
        found = call.judge(dict(zip(keys, completions, strict=True)), Counter(keys), tracker)
    return [
        _row(benchmark, rule, c, found[key], call.references.simulator_of(c.task_id), level)
        for key, c in zip(keys, completions, strict=True)
    ]


def _row(
    benchmark: Benchmark, rule: str, completion: Completion, found: Judgement, simulator: str, level: str
) -> EvalRow:
    """The record of one verdict. A truncated completion that fails is counted as truncated."""
    verdict, detail = found
    if completion.truncated and verdict.fault is Fault.MODEL:
        verdict, detail = Verdict.TRUNCATED, f"cut at the token limit; {verdict.value}: {detail}".removesuffix(": ")
    return EvalRow(
        task_id=completion.task_id, index=completion.index, verdict=verdict,
        passed=None if verdict.fault is Fault.OURS else verdict is Verdict.PASSED, detail=detail,
        completion_hash=content_hash(completion.text), benchmark=benchmark.label, simulator=simulator, rule=rule,
        sandbox=level, temperature=completion.temperature,
    )  # fmt: skip


class _Call:
    """One call of ``judge`` under a rule that simulates: the references, the testbenches, and the work in its order."""

    def __init__(self, benchmark: Benchmark, rule: str, desk: Desk[Answer], conditions: Conditions) -> None:
        self.benchmark, self.rule, self.desk, self.limits = benchmark, rule, desk, conditions.limits
        second = conditions.second_simulator
        self.references = References(benchmark, rule, desk, conditions.limits, second_simulator=second)
        self.templates: dict[str, Template | Judgement] = {}  # by task_id; a judgement: why there cannot be one

    def judge(
        self, completions: Mapping[str, Completion], counts: Mapping[str, int], tracker: Tracker
    ) -> dict[str, Judgement]:
        """The verdict of every key; the tracker counts completions, of which ``counts`` share a key."""
        found = {k: seen for k, c in completions.items() if (seen := verdict_at_sight(self.benchmark, c)) is not None}
        completions = {key: completion for key, completion in completions.items() if key not in found}
        known = self.desk.known(completions)
        found |= {key: answer for key, answer in known.items() if not isinstance(answer, strict.Said)}
        tracker.advance(sum(counts[key] for key in found))
        left = {key: completion for key, completion in completions.items() if key not in found}
        tasks = {c.task_id for c in completions.values()}
        for key, judgement in self._strict(tasks, left) if self.rule == STRICT else self._by_rule(tasks, left):
            found[key] = judgement
            self.desk.keep(key, judgement)
            tracker.advance(counts[key])
        for key, completion in completions.items():
            broken = self.references.broken(completion.task_id)
            if broken is not None:
                tracker.advance(counts[key] if key not in found else 0)
                found[key] = broken
        return found

    def _by_rule(self, tasks: set[str], completions: Mapping[str, Completion]) -> Judged:
        """References, then completions of the problems whose reference passes."""
        benchmark, references = self.benchmark, self.references
        function = self.rule if ":" in self.rule else benchmark.upstream_rule

        def asked(task: str, design: str) -> RuleTask:
            return RuleTask(benchmark.by_id[task], design, benchmark.judge, function)

        runs: dict[str, RuleTask] = {}
        for task in references.look_up(tasks, "icarus"):
            references.found[task] = Reference("icarus", None)
            if (reference := benchmark.by_id[task].reference) is not None:
                runs[task] = asked(task, reference)
        for task, outcome in self.desk.outcomes(runs, timeout_s=self._timeout("icarus")):
            references.note(task, "icarus", _answer(outcome))
        works = {
            key: asked(c.task_id, c.design(benchmark.by_id[c.task_id]))
            for key, c in completions.items()
            if references.broken(c.task_id) is None
        }
        for key, outcome in self.desk.outcomes(works, timeout_s=self._timeout("icarus")):
            yield key, _answer(outcome)

    def _strict(self, tasks: set[str], completions: Mapping[str, Completion]) -> Judged:
        """Templates, gate, and then references and designs in one queue, each distinct design of a problem once."""
        unknown = self.references.look_up(tasks, "icarus")
        self._prepare({*(c.task_id for c in completions.values()), *unknown})
        gated = self._gated_references(unknown, "icarus")
        texts = {(task, design.key): design.text for task, design in gated.items()}
        designs: dict[_Text, list[str]] = {}  # -> keys of completions
        for key, answer in self._gated(completions):
            if isinstance(answer, Design):
                task = completions[key].task_id
                text = texts.setdefault((task, answer.key), answer.text)
                designs.setdefault((task, text), []).append(key)
            else:
                yield key, answer
        yield from self._run(gated, designs, "icarus")
        found = self.references.found
        again = {task for task in tasks if found[task].failed_run and task not in self.benchmark.four_state}
        if again and "verilator" in self.references.simulators:
            self._prepare(again - self.templates.keys())  # where no completion was left to judge
            gated = self._gated_references(self.references.look_up(again, "verilator"), "verilator")
            yield from self._run(gated, {k: keys for k, keys in designs.items() if k[0] in again}, "verilator")

    def _prepare(self, tasks: Iterable[str]) -> None:
        wanted = {task: PrepareTask(self.benchmark.by_id[task]) for task in tasks}
        for task, outcome in self.desk.outcomes(wanted, timeout_s=GATE_TIMEOUT_S):
            self.templates[task] = _answer(outcome)

    def _gated_references(self, tasks: Iterable[str], simulator: Simulator) -> dict[str, Design]:
        """The references that the gate lets through; what is wrong with the others is noted."""
        problems = {task: self.benchmark.by_id[task] for task in tasks}
        refused = {t: found for t in problems if not isinstance(found := self.templates[t], Template)}
        gates = {t: GateTask(problem, problem.reference or "") for t, problem in problems.items() if t not in refused}
        designs: dict[str, Design] = {}
        for task, outcome in self.desk.outcomes(gates, timeout_s=GATE_TIMEOUT_S):
            answer = _answer(outcome)
            if isinstance(answer, Design):
                designs[task] = answer
            else:
                refused[task] = answer
        for task, judgement in refused.items():
            self.references.note(task, simulator, judgement)
        return designs

    def _gated(self, completions: Mapping[str, Completion]) -> Iterator[tuple[str, Design | Judgement]]:
        """What the gate makes of completions whose problem is not broken.

        A text with which a worker ended otherwise than by its limits is read again, alone.
        """
        gates: dict[str, GateTask] = {}
        for key, completion in completions.items():
            task = completion.task_id
            if self.references.broken(task) is None:
                problem, template = self.benchmark.by_id[task], self._template(task)
                names = template.names if template is not None else frozenset[str]()
                gates[key] = GateTask(problem, completion.design(problem), names)
        outcomes = self.desk.outcomes(
            gates, timeout_s=GATE_TIMEOUT_S, again=lambda outcome: outcome.status not in ("ok", "spent")
        )
        return ((key, _answer(outcome, _unreadable)) for key, outcome in outcomes)

    def _run(
        self, references: Mapping[str, Design], designs: Mapping[_Text, list[str]], simulator: Simulator
    ) -> Judged:
        """Run references, which may take long, and designs; a design's verdict waits for its reference.

        A design that is the reference, word for word after the gate, says what the reference's run says.
        """
        own = {task: (task, design.text) for task, design in references.items()}
        runs = {text: self._run_task(*text, simulator) for text in dict.fromkeys([*own.values(), *designs])}
        waiting: dict[str, list[tuple[_Text, Outcome]]] = {task: [] for task in references}
        for text, outcome in self.desk.outcomes(runs, timeout_s=self._timeout(simulator)):
            task = text[0]
            ready = [(text, outcome)] if text in designs else []
            if text == own.get(task):
                self.references.note(task, simulator, _answer(outcome))
                ready += waiting.pop(task)
            elif task in waiting:
                waiting[task] += ready
                continue
            expected = self.references.found[task].said
            if expected is None:
                continue  # the problem cannot be judged here
            for design, done in ready:
                answer = _answer(done)
                judgement = (
                    blamed(strict.verdict(answer, expected), design[1]) if isinstance(answer, strict.Said) else answer
                )
                yield from ((key, judgement) for key in designs[design])

    def _run_task(self, task: str, design: str, simulator: Simulator) -> RunTask:
        return RunTask(self.benchmark.by_id[task], design, simulator, self.limits, self._template(task))

    def _template(self, task: str) -> Template | None:
        found = self.templates[task]
        return found if isinstance(found, Template) else None

    def _timeout(self, simulator: Simulator) -> float:
        return (2 * self.limits.wall_s if simulator == "icarus" else VERILATOR_TIMEOUT_S) + _GRACE_S


def _failed(outcome: Outcome) -> Judgement:
    return Verdict.TOOL_FAILED, f"{outcome.status}: {outcome.detail}"


def _answer(outcome: Outcome, otherwise: Any = _failed) -> Any:
    """What the worker answered; else the judgement that ``otherwise`` makes of the outcome."""
    return outcome.value if outcome.status == "ok" else otherwise(outcome)


def _unreadable(outcome: Outcome) -> Judgement:
    """The verdict on a text that the gate could not read.

    The text is to blame where it used up what a worker may use, or ended or stalled two of them: the reference went
    through the same checker.
    """
    if outcome.status in ("spent", "timeout"):
        return Verdict.TIMEOUT, f"reading it took more than the checker may use ({outcome.detail})"
    if outcome.status == "crashed":
        return Verdict.COMPILE_ERROR, f"the checker did not survive it: {outcome.detail}"
    return _failed(outcome)
