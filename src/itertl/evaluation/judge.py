"""Completions in, verdicts out: each distinct text once, over the cores, resumable, in the order given.

A problem whose own reference does not pass here (an older simulator, say) says nothing about a model: all its rows are
UNJUDGEABLE. The reference is tried for each problem that has a completion that did not pass; one that passes shows by
itself that the problem can be judged.
"""

import contextlib
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl import faults
from itertl.errors import DataError, UsageError
from itertl.evaluation.benchmarks import Benchmark
from itertl.evaluation.rules import Judgement
from itertl.evaluation.worker import Work, with_header
from itertl.progress import SILENT, Tracker
from itertl.records import EvalRow, Fault, Verdict, content_hash
from itertl.storage import AppendLog
from itertl.tools import icarus, pool

TASK_TIMEOUT_S = 300.0  # compiler and simulator have 120 s each (worker.LIMITS); beyond that the worker itself hangs
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
    """The benchmark's default, one of its rules, or the user's own ``module:function``. Raises UsageError."""
    if rule is None:
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
    tracker: Tracker = SILENT,
) -> list[EvalRow]:
    """Judge every completion; rows come in input order.

    ``partial`` names a log that a killed call left and this one goes on from; the caller removes it when the rows are
    safe. Raises DataError for an unknown task_id, UsageError for an unknown rule, ToolMissing without a simulator.
    """
    rule = choose_rule(benchmark, rule)
    check_tasks(benchmark, completions)
    icarus.find("vvp")
    simulator = icarus.version()
    keys = [_key(benchmark, c, rule, simulator) for c in completions]
    verdicts = {key: known for key, c in zip(keys, completions, strict=True) if (known := _at_sight(benchmark, c))}
    works = {
        key: Work(benchmark.by_id[c.task_id], _code(benchmark, c), benchmark.judge, rule)
        for key, c in zip(keys, completions, strict=True)
        if key not in verdicts
    }
    counts = Counter(keys)
    tracker.advance(sum(counts[key] for key in verdicts))
    with AppendLog(partial) if partial is not None else contextlib.nullcontext() as log:
        verdicts |= _judge_all(works, counts, log, num_workers, tracker)
        broken = _broken_references(benchmark, completions, keys, verdicts, rule, simulator, log, num_workers)
    return [
        _row(benchmark, c, broken.get(c.task_id) or _truncation(c, verdicts[key]), rule, simulator)
        for key, c in zip(keys, completions, strict=True)
    ]


def check_tasks(benchmark: Benchmark, completions: Iterable[Completion]) -> None:
    """Raise DataError for the first completion whose task_id the benchmark does not have."""
    for position, completion in enumerate(completions):
        if completion.task_id in benchmark.by_id:
            continue
        near = difflib.get_close_matches(completion.task_id, benchmark.by_id, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"its ids are like {', '.join(list(benchmark.by_id)[:3])}"
        where = completion.where or f"completion {position}"
        raise DataError(f"{where}: {benchmark.name} has no task_id {completion.task_id!r}; {hint}")


def _key(benchmark: Benchmark, completion: Completion, rule: str, simulator: str) -> str:
    """Identity of a verdict: all that it depends on, so that a log of another rule or simulator is not believed."""
    problem = benchmark.by_id[completion.task_id]
    asked = [completion.task_id, problem.header, problem.testbench]
    return content_hash([benchmark.judge, rule, simulator, asked, completion.full_module, completion.text], 32)


def _code(benchmark: Benchmark, completion: Completion) -> str:
    return with_header(benchmark.by_id[completion.task_id], completion.text, completion.full_module)


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


def _judge_all(
    works: Mapping[str, Work], counts: Mapping[str, int], log: AppendLog | None, num_workers: int, tracker: Tracker
) -> dict[str, Judgement]:
    """Run what the log does not hold. Verdicts that are our fault are not logged: a resumed call tries again."""
    done = {key: known for key, known in _logged(log).items() if key in works}
    tracker.advance(sum(counts.get(key, 0) for key in done))
    left = [key for key in works if key not in done]
    payloads = [works[key] for key in left]
    for number, outcome in pool.map_unordered(
        "itertl.evaluation.worker:work", payloads, num_workers=num_workers, timeout_s=TASK_TIMEOUT_S
    ):
        key = left[number]
        ok = outcome.status == "ok"
        verdict, detail = outcome.value if ok else (Verdict.TOOL_FAILED, f"{outcome.status}: {outcome.detail}")
        done[key] = (verdict, detail)
        if log is not None and verdict.fault is not Fault.OURS:
            log.append([{"key": key, "verdict": verdict.value, "detail": detail}])
        faults.point("judge.item")
        tracker.advance(counts.get(key, 0))
    return done


def _logged(log: AppendLog | None) -> dict[str, Judgement]:
    """What an earlier call left. Lines of another shape are ignored: the work is done again."""
    known: dict[str, Judgement] = {}
    for entry in log.existing if log is not None else []:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            known[str(entry["key"])] = (Verdict(entry["verdict"]), str(entry["detail"]))
    return known


def _broken_references(
    benchmark: Benchmark,
    completions: Sequence[Completion],
    keys: Sequence[str],
    verdicts: Mapping[str, Judgement],
    rule: str,
    simulator: str,
    log: AppendLog | None,
    num_workers: int,
) -> dict[str, Judgement]:
    """task_id -> UNJUDGEABLE and why, for each problem that nothing passed and whose reference fails too."""
    passing = {c.task_id for key, c in zip(keys, completions, strict=True) if verdicts[key][0] is Verdict.PASSED}
    tried = {
        c.task_id: Completion(c.task_id, 0, reference, full_module=True)
        for c in completions
        if c.task_id not in passing
        and c.task_id not in benchmark.errata
        and (reference := benchmark.by_id[c.task_id].reference) is not None
    }
    of_key = {_key(benchmark, c, rule, simulator): c for c in tried.values()}
    works = {key: Work(benchmark.by_id[c.task_id], c.text, benchmark.judge, rule) for key, c in of_key.items()}
    # A second look at the log would see what this call wrote: references may be among the completions.
    found = {key: verdicts[key] for key in works if key in verdicts}
    found |= _judge_all({k: w for k, w in works.items() if k not in found}, {}, log, num_workers, SILENT)
    return {
        of_key[key].task_id: (Verdict.UNJUDGEABLE, f"the problem's own reference fails here: {verdict.value} {detail}".rstrip())
        for key, (verdict, detail) in found.items()
        if verdict is not Verdict.PASSED
    }


def _truncation(completion: Completion, found: Judgement) -> Judgement:
    """A truncated completion that fails is counted as truncated; one that passes anyway has passed."""
    verdict, detail = found
    if completion.truncated and verdict.fault is Fault.MODEL:
        return Verdict.TRUNCATED, f"cut at the token limit; {verdict.value}: {detail}".removesuffix(": ")
    return found


def _row(benchmark: Benchmark, completion: Completion, found: Judgement, rule: str, simulator: str) -> EvalRow:
    verdict, detail = found
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
        temperature=completion.temperature,
    )
