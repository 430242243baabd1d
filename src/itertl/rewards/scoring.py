"""Answers to questions about completions, by workers that are kept: the half that runs in the keeper's process.

A completion is judged alone: its reward depends on itself, its ground truth and the recipe's ``score``, never on what
is asked beside it. A reference is compared with by the scorers; a testbench, or a benchmark's task, by the strict rule.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from itertl.config import ScoreConfig
from itertl.errors import DataError, ItertlError, ToolFailed, ToolMissing
from itertl.evaluation import benchmarks
from itertl.evaluation.benchmarks import FUNCTION, Benchmark, task_id
from itertl.evaluation.completions import Completion
from itertl.evaluation.judge import WORKER as JUDGE
from itertl.evaluation.judge import Conditions, judge
from itertl.records import EvalRow, Problem, Score, Verdict
from itertl.rewards.answer import EXTRA, Question, Reward, unjudged
from itertl.rewards.settings import TESTBENCH
from itertl.scoring.candidates import effort_of
from itertl.scoring.combine import check_combination, combine, is_right, rungs, shaped_reward
from itertl.scoring.engine import WORKER as SCORE
from itertl.scoring.engine import score_items
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import check_scorers, check_tools
from itertl.tools import icarus
from itertl.verilog.extract import extract
from itertl.verilog.header import derive_top
from itertl.verilog.text import unix_lines
from itertl.work.pool import Workers

_SHAPED = ("coderl", "rltf")


def check(config: ScoreConfig) -> None:
    """Raise UsageError, RecipeError or ToolMissing where rewards cannot be had by ``config`` on this machine."""
    check_combination(config)
    check_scorers(config.scorers)
    check_tools(config.scorers)
    icarus.find("vvp")


class Lane:
    """One worker of each kind, kept; used by one thread, which is to live as long as they: they end with it."""

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache
        self._scorers, self._judges = Workers(SCORE, 1), Workers(JUDGE, 1)

    def answers(self, questions: Sequence[Question], config: ScoreConfig) -> Iterator[tuple[Question, Reward]]:
        """The reward of each completion, all of one ground truth. Never raises but to end the process."""
        try:
            truth = {} if questions[0].fault else json.loads(questions[0].truth)
            if "testbench" in truth or "benchmark" in truth:
                yield from zip(
                    questions, self._by_testbench([one.text for one in questions], truth, config), strict=True
                )
                return
        except Exception as error:
            yield from ((one, _failed(error)) for one in questions)
            return
        for one in questions:
            yield one, self._alone(one, truth, config)

    def _alone(self, question: Question, truth: Mapping[str, Any], config: ScoreConfig) -> Reward:
        if question.fault:
            return unjudged(Verdict.UNJUDGEABLE.value, question.fault)
        try:
            return self._by_function(question.text, truth, config)
        except Exception as error:
            return _failed(error)

    def close(self) -> None:
        self._scorers.close()
        self._judges.close()

    def _by_function(self, text: str, truth: Mapping[str, Any], config: ScoreConfig) -> Reward:
        item = item_of(text, truth)
        effort = replace(effort_of(config, self.cache), num_workers=1, keep_going=True, workers=self._scorers)
        [scores] = score_items([item], config.scorers, rungs=rungs(config), effort=effort)
        decided = _decided(scores, config)
        return Reward(
            combine(scores, config), decided.verdict.value, decided.detail, is_right(scores),
            {score.scorer: _table(score) for score in scores},
        )  # fmt: skip

    def _by_testbench(self, texts: Sequence[str], truth: Mapping[str, Any], config: ScoreConfig) -> list[Reward]:
        benchmark, ident = _benchmark(json.dumps(truth, sort_keys=True))
        problem = benchmark.by_id.get(ident)
        if problem is None:
            raise DataError(f"ground truth: {benchmark.name} has no task_id {ident!r}")
        if benchmark.default_rule == FUNCTION:
            own = {"reference": problem.reference, "header": problem.header, "top": problem.top}
            own = {name: value for name, value in own.items() if value}
            return [self._by_function(text, own, config) for text in texts]
        codes = [extract(text, header=problem.header, top=problem.top).code for text in texts]
        rows = judge(
            benchmark, [Completion(ident, n, code, full_module=True) for n, code in enumerate(codes)], num_workers=1,
            cache=self.cache, conditions=Conditions(workers=self._judges),
        )  # fmt: skip
        return [_of_row(row, config) for row in rows]


def _of_row(row: EvalRow, config: ScoreConfig) -> Reward:
    value = None if row.passed is None else float(row.passed)
    score = Score(scorer=TESTBENCH, value=value, verdict=row.verdict, detail=row.detail, tool=row.simulator)
    if config.combine in _SHAPED:
        value = shaped_reward(score, partial=config.combine == "rltf")
    return Reward(value, row.verdict.value, row.detail, row.passed, {TESTBENCH: _table(score)})


def _failed(error: Exception) -> Reward:
    """Of an error, which is never the model's."""
    if isinstance(error, ItertlError) and not isinstance(error, ToolFailed):
        verdict = Verdict.TOOL_MISSING if isinstance(error, ToolMissing) else Verdict.UNJUDGEABLE
        return unjudged(verdict.value, str(error))
    return unjudged(Verdict.TOOL_FAILED.value, f"{type(error).__name__}: {error}")


def item_of(text: str, truth: Mapping[str, Any]) -> ScoreItem:
    """What is scored of a model's answer: the code in it, as sampling takes it out."""
    reference, header = unix_lines(truth["reference"]), unix_lines(truth.get("header", ""))
    top = truth.get("top") or derive_top(reference)
    code = extract(text, header=header, top=top).code
    return ScoreItem(code=code, header=header, reference=reference, top=top)


def _decided(scores: tuple[Score, ...], config: ScoreConfig) -> Score:
    """The score that names a reward's verdict: of the ladder's rungs, or else of all, the first that falls short."""
    order = rungs(config)
    by_name = {score.scorer: score for score in scores}
    asked = [by_name[name] for name in order or config.scorers if name in by_name]
    return next((score for score in asked if score.value is None or score.value < 1), asked[-1])


def _table(score: Score) -> dict[str, Any]:
    return {"value": score.value, "verdict": score.verdict.value, "detail": score.detail}


@functools.lru_cache(maxsize=256)
def _benchmark(truth: str) -> tuple[Benchmark, str]:
    """What a ground truth with a testbench is judged by, and its task there. Raises ItertlError."""
    given = json.loads(truth)
    if "benchmark" in given:
        return _loaded(given["benchmark"], given.get("data")), given["task_id"]
    reference = unix_lines(given["reference"])
    problem = Problem.create(
        instruction="", header=unix_lines(given.get("header", "")), reference=reference, source="ground truth",
        top=given.get("top") or derive_top(reference), testbench=given["testbench"], upstream_id="task",
        extra={name: given[name] for name in EXTRA if name in given},
    )  # fmt: skip
    return Benchmark(name="ground truth", version=problem.id, problems=(problem,)), task_id(problem)


@functools.cache
def _loaded(name: str, data: str | None) -> Benchmark:
    return benchmarks.load(name, Path(data) if data else None)
