"""``itertl data export``: pairs, scored candidates and problems in the shape that other trainers read.

``sft``: instructions with their references. ``preference``: pairs of answers to one problem whose z differs by more
than the method's ``beta``, as training compares them: a run's scored candidates, and the reference, whose z is 1.
``rl``: prompts with the ground truth that ``itertl.rewards`` judges by. Every trainer here lays its own chat template
around messages, so prompts are chats (of TRL also plain texts, with ``prompt.style=plain``); a header stands in the
question, because none of them begins an answer. What is left out is counted.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.errors import DataError, UsageError
from itertl.evaluation import benchmarks
from itertl.evaluation.benchmarks import FUNCTION, require_instructions
from itertl.model.prompts import clean, compose
from itertl.problems.load import from_config
from itertl.problems.mixture import refuse_benchmark
from itertl.problems.retrieval import open_examples
from itertl.records import Problem, Scored
from itertl.rewards import layouts
from itertl.rewards.answer import EXTRA
from itertl.rewards.layouts import Prompt, Row, Target
from itertl.runs.read import iteration_folders
from itertl.runs.storage import read_records
from itertl.scoring.combine import check_combination, combine
from itertl.training.methods import resolve_method

_REFERENCE_Z = 1.0


@dataclass(slots=True)
class Exported:
    """The rows, for training and for validation, and what became of the rest: counts by reason."""

    train: list[Row] = field(default_factory=list[Row])
    test: list[Row] = field(default_factory=list[Row])
    left_out: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Validation:
    """A benchmark whose problems become rows to validate on."""

    name: str
    data: Path | None


def export(
    recipe: Recipe, target: Target, *, run: Path | None = None, truth: str = "reference",
    validation: Validation | None = None,
) -> Exported:  # fmt: skip
    """What ``recipe.data`` holds, or a run folder, as rows of ``target``.

    ``truth``: "reference" or "testbench", what ``rl`` is judged by. Raises DataError (nothing to export), UsageError (a
    kind that the trainer does not have).
    """
    layouts.check(target, is_plain=recipe.prompt.style == "plain")
    problems, held, found = _problems(recipe, run)
    if target.kind == "preference":
        if run is None:
            raise UsageError("preference pairs are made of a run's scored candidates: give the folder of a run")
        found.train = list(_pairs(recipe, target, {problem.id: problem for problem in problems}, run, found.left_out))
    else:
        found.train = list(_rows(recipe, target, problems, truth, found.left_out))
        found.test = list(_rows(recipe, target, held, truth, found.left_out, split="test"))
    if validation is not None:
        found.test += _benchmark_rows(recipe, target, validation)
    if not found.train:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in found.left_out.items())
        raise DataError(f"{run or recipe.data.label}: nothing is left to export ({reasons or 'it is empty'})")
    return found


def _problems(recipe: Recipe, run: Path | None) -> tuple[list[Problem], list[Problem], Exported]:
    """Problems to train on, and those held out."""
    if run is None:
        loaded = from_config(recipe.data, recipe.seed)
        refuse_benchmark(recipe.data.label, (), loaded.problems, "data export")
        examples = open_examples(recipe, lambda: loaded.problems, loaded.held)
        asked, held = (examples.given(part)[0] if examples else list(part) for part in (loaded.problems, loaded.held))
        return asked, held, Exported(left_out=Counter(loaded.skipped))
    file, kept = run / "problems.jsonl", run / "bench-own-heldout.jsonl"
    if not file.is_file():
        raise DataError(f"{file}: not found; start the run's command again, which writes it")
    return read_records(file, Problem), read_records(kept, Problem) if kept.is_file() else [], Exported()


def _prompt(problem: Problem, recipe: Recipe) -> Prompt:
    parts = compose(problem, recipe.prompt, can_prefill=False)
    if recipe.prompt.style == "plain":
        return parts.plain if parts.plain.endswith("\n") else parts.plain + "\n"
    system = [{"role": "system", "content": parts.system}] if parts.system else []
    return [*system, *parts.messages()]


def _rows(
    recipe: Recipe, target: Target, problems: Sequence[Problem], truth: str, left_out: Counter[str],
    split: str = "train",
) -> Iterator[Row]:  # fmt: skip
    number = 0
    for problem in problems:
        if not problem.reference:
            left_out["without a reference"] += 1
        elif target.kind == "rl" and truth == "testbench" and not problem.testbench:
            left_out["without a testbench"] += 1
        else:
            about = {**_origin(problem), "index": number, "split": split}
            if target.kind == "sft":
                yield layouts.sft(target, _prompt(problem, recipe), clean(problem.reference), about)
            else:
                yield layouts.rl(target, _prompt(problem, recipe), truth_of(problem, truth), about)
            number += 1


def truth_of(problem: Problem, truth: str = "reference") -> str:
    """A problem's ground truth as JSON text: what ``rewards.answer`` reads."""
    named = ("reference", "header", "top", *(("testbench",) if truth == "testbench" else ()))
    found: dict[str, Any] = {name: value for name in named if (value := getattr(problem, name))}
    if truth == "testbench":
        found |= {name: problem.extra[name] for name in EXTRA if problem.extra.get(name)}
    return _json(found)


def _json(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _origin(problem: Problem) -> dict[str, Any]:
    return {"problem_id": problem.id, "source": clean(problem.source), "licence": clean(problem.licence)}


def _benchmark_rows(recipe: Recipe, target: Target, validation: Validation) -> Iterator[Row]:
    """Problems of a benchmark, judged by its own testbenches: to validate on, never to train on."""
    if target.kind != "rl":
        raise UsageError("--benchmark gives problems to validate on, which rewards judge: it goes with --kind rl")
    benchmark = benchmarks.load(validation.name, validation.data)
    require_instructions(benchmark)
    data = {} if validation.data is None else {"data": str(validation.data.resolve())}
    for number, (ident, problem) in enumerate(benchmark.by_id.items()):
        about = {**_origin(problem), "source": benchmark.name, "index": number, "split": "test"}
        own = {"benchmark": benchmark.name, "task_id": ident, **data}
        ground = truth_of(problem) if benchmark.default_rule == FUNCTION else _json(own)
        yield layouts.rl(target, _prompt(problem, recipe), ground, about)


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    z: float


def _pairs(
    recipe: Recipe, target: Target, problems: Mapping[str, Problem], run: Path, left_out: Counter[str]
) -> Iterator[Row]:
    """Pairs of each problem over all rounds, those of a better answer beside each other; the same pair once."""
    check_combination(recipe.score)
    beta = resolve_method(recipe.method, recipe.train).beta
    for number, (ident, better, worse) in enumerate(_compared(recipe, problems, run, beta, left_out)):
        about = {
            **_origin(problems[ident]), "index": number, "split": "train", "z_chosen": better.z, "z_rejected": worse.z,
        }  # fmt: skip
        yield layouts.preference(target, _prompt(problems[ident], recipe), (better.text, worse.text), about)


def _compared(
    recipe: Recipe, problems: Mapping[str, Problem], run: Path, beta: float, left_out: Counter[str]
) -> Iterator[tuple[str, _Answer, _Answer]]:
    files = [path / "scored.jsonl" for path in iteration_folders(run).values()]
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"{run}: holds no scored candidates; pairs are made of a run whose method samples them")
    found: dict[str, dict[str, _Answer]] = defaultdict(dict)
    for file in files:
        for row in read_records(file, Scored):
            _note(found[row.candidate.problem_id], row, recipe, left_out)
    for ident, problem in problems.items():
        answers = dict(found.get(ident, {}))
        if problem.reference:
            answers[clean(problem.reference).strip()] = _Answer(clean(problem.reference), _REFERENCE_Z)
        ordered = sorted(answers.values(), key=lambda answer: -answer.z)
        pairs = [(a, b) for a in ordered for b in ordered if b.z < a.z - beta]
        left_out["problems without a pair"] += not pairs
        yield from ((ident, better, worse) for better, worse in pairs)


def _note(answers: dict[str, _Answer], row: Scored, recipe: Recipe, left_out: Counter[str]) -> None:
    """A candidate's text, as training has it: its code, or what was written where there is none."""
    z = combine(row.scores, recipe.score)
    text = clean(row.candidate.code if row.candidate.code.strip() else row.candidate.text)
    if z is None:
        left_out["candidates without a z, by our fault"] += 1
    elif not text.strip():
        left_out["empty candidates"] += 1
    elif text.strip() in answers:
        left_out["candidates that were written before"] += 1
    else:
        answers[text.strip()] = _Answer(text, z)
