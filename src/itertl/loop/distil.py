"""Pairs from a stronger model: its right answers to given problems, each proven equal to the problem's reference.

A row is the problem with the model's own text as its reference; ``extra`` keeps teacher, seed, prompt form and how many
of its draws were right. What it does not do: it proves nothing without a reference, and the licence of what a teacher
wrote is for its user to judge.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.doctor.node import machines
from itertl.errors import DataError, UsageError
from itertl.loop import jobs, shown
from itertl.model.policy import sampled_policy
from itertl.model.prompt_form import with_form
from itertl.model.prompts import EXAMPLES
from itertl.problems.mixture import refuse_benchmark
from itertl.progress import Reporter
from itertl.records import Attempt, Problem
from itertl.runs import storage
from itertl.sampling.draw import SamplingJob
from itertl.sampling.lengths import settled
from itertl.search.drive import attempts_file, find_candidates
from itertl.search.strategy import check_chance, is_right, open_strategy
from itertl.verilog.text import modules, tokens
from itertl.work.seeds import derive_seed


def distil(
    recipe: Recipe, source: str, out: Path, *, draws: int, keep: int, reporter: Reporter, warn: jobs.Warn
) -> dict[str, Any]:
    """Draw ``draws`` answers of the recipe's model to each problem, and write at most ``keep`` right ones of each.

    ``out`` gets problems; all draws with what was said of them lie beside it in ``NAME.attempts.jsonl``. A call that
    was stopped goes on from its log and ends in the same bytes. Raises DataError where no problem has a reference or
    the source is a benchmark, UsageError for a model or a temperature that cannot be used.
    """
    if draws < keep:
        raise UsageError(f"--keep {keep} of {draws} draws: draw at least as many as are to be kept")
    recipe = with_form(recipe, warn)
    loaded = shown.load(recipe, None if source == recipe.data.label else recipe.data.of(source))
    refuse_benchmark(source, (), loaded.problems, "data distil")
    asked = [p for p in loaded.problems if p.reference]
    if not asked:
        raise DataError(f"{source}: no problem has a reference to prove an answer by; give pairs that have one")
    options = {"strategy": "proven", "strategy_options": {"draws": draws}}
    sample = settled(recipe, lambda: asked).sample.model_copy(update=options)
    check_chance(open_strategy("proven", {"draws": draws}), [sample.temperature])
    seed, policy = derive_seed(recipe.seed, "distil"), sampled_policy(recipe)
    answers = out.with_name(f"{out.stem}.answers.jsonl")
    with machines(recipe.compute, warn) as used, reporter.stage("distil", len(asked) * draws) as tracker:
        processes = used.processes(recipe.compute)
        job = SamplingJob(asked, policy, sample, seed, num_samples=draws, is_one_search=True, processes=processes)
        find_candidates(job, answers, effort=jobs.effort(recipe), tracker=tracker)
    attempts = storage.read_records(attempts_file(answers), Attempt)
    rows = _rows(asked, attempts, keep, recipe.model.path, job)
    storage.write_records(out, rows)
    attempts_file(answers).replace(attempts_file(out))
    answers.unlink()
    return _account(source, loaded.problems, asked, attempts, rows) | {"teacher": recipe.model.path, "out": str(out)}


def _rows(
    asked: Sequence[Problem], attempts: Sequence[Attempt], keep: int, teacher: str, job: SamplingJob
) -> list[Problem]:
    """Right answers in the order of the problems, short ones first; the same tokens count once."""
    by_problem: dict[str, list[Attempt]] = {p.id: [] for p in asked}
    for attempt in attempts:
        by_problem[attempt.candidate.problem_id].append(attempt)
    rows: list[Problem] = []
    for problem in asked:
        tried = by_problem[problem.id]
        right: dict[tuple[str, ...], tuple[str, Attempt]] = {}
        for attempt in filter(is_right, tried):
            text = _whole(attempt.candidate.code, problem)
            right.setdefault(tuple(tokens(text)), (text, attempt))
        for text, attempt in sorted(right.values(), key=lambda one: len(tokens(one[0])))[:keep]:
            rows.append(_row(problem, text, attempt, (len(tried), sum(map(is_right, tried)), len(right)), teacher, job))
    return rows


def _row(
    problem: Problem, text: str, attempt: Attempt, counts: tuple[int, int, int], teacher: str, job: SamplingJob
) -> Problem:
    drawn, right, distinct = counts
    candidate = attempt.candidate
    return Problem.create(
        **{
            **problem.model_dump(exclude={"id", "extra", "source", "reference"}),
            "reference": text,
            "source": f"distil:{problem.source}",
            "extra": {
                **{name: value for name, value in problem.extra.items() if name != EXAMPLES},
                "teacher": teacher,
                "teacher_policy": candidate.policy,
                "seed": candidate.seed,
                "sampling": candidate.settings.model_dump(mode="json"),
                "prompt": job.policy.prompt.model_dump(mode="json"),
                "draws": drawn,
                "right": right,
                "distinct_right": distinct,
                "proof": "vectors, equivalence",
                "of_problem": problem.id,
            },
        }
    )


def _whole(code: str, problem: Problem) -> str:
    """The text as a whole module: with the header where the answer went on from it."""
    text = code if modules(code) else problem.header + code
    return text if text.endswith("\n") else text + "\n"


def _account(
    source: str,
    every: Sequence[Problem],
    asked: Sequence[Problem],
    attempts: Sequence[Attempt],
    rows: Sequence[Problem],
) -> dict[str, Any]:
    """``problems`` = ``solved`` + ``unsolved`` + ``without_reference``; ``verdicts`` add up to ``draws``."""
    solved = {a.candidate.problem_id for a in attempts if is_right(a)}
    return {
        "source": source,
        "problems": len(every),
        "without_reference": len(every) - len(asked),
        "solved": len(solved),
        "unsolved": len(asked) - len(solved),
        "draws": len(attempts),
        "right": sum(map(is_right, attempts)),
        "verdicts": dict(sorted(Counter(a.examined.verdict.value for a in attempts).items())),
        "kept": len(rows),
        "completion_tokens": sum(a.candidate.completion_tokens for a in attempts),
    }
