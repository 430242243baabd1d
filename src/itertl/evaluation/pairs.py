"""Any pairs with references as a benchmark, judged by function: ``pairs`` of a file, ``own-heldout`` of a recipe.

A task_id is the pair's id in its source, or its line (row, item) from 1, or its file's name. Rows that say the same
stay separate, so that each can be named; conditions by which a layout chooses pairs to train on are not asked for.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from itertl.config import OWN_HELDOUT, EvalConfig
from itertl.errors import DataError, UsageError
from itertl.evaluation.benchmarks import FUNCTION, Benchmark, load
from itertl.problems.load import LoadResult, load_every
from itertl.records import Problem, content_hash
from itertl.work.seeds import derive_seed

PAIRS = "pairs"


def pairs(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The pairs of a file or folder that ``data import`` understands."""
    return _of_file(PAIRS, data, limit, f"--benchmark {PAIRS} judges pairs of your own: give their file by --data")


def own_heldout(data: Path | None, *, limit: int | None = None, seed: int = 0) -> Benchmark:
    """The held-out pairs of a run, from ``bench-own-heldout.jsonl`` in its folder."""
    fix = f"--benchmark {OWN_HELDOUT} is what a run held out: give bench-{OWN_HELDOUT}.jsonl of its folder by --data"
    return _of_file(OWN_HELDOUT, data, limit, fix)


def of_recipe(config: EvalConfig, loaded: Callable[[], LoadResult]) -> Benchmark:
    """The benchmark of one of a recipe's ``evals``; ``loaded`` gives the recipe's pairs, for those held out."""
    if config.benchmark == OWN_HELDOUT and config.data is None:
        return held_out(loaded(), limit=config.limit)
    return load(config.benchmark, Path(config.data) if config.data else None, limit=config.limit)


def held_out(found: LoadResult, *, limit: int | None = None) -> Benchmark:
    """``own-heldout`` of held-out pairs; ``limit`` draws as many, the same ones whatever the run's seed."""
    problems = found.held
    ids = [_task_id(problem, found.places.get(problem.id, "")) for problem in problems]
    if len(set(ids)) < len(ids):
        ids = [problem.id for problem in problems]
    return _benchmark(
        OWN_HELDOUT,
        [p.model_copy(update={"upstream_id": ident}) for p, ident in zip(problems, ids, strict=True)],
        limit,
        drawn=True,
    )


def _of_file(name: str, data: Path | None, limit: int | None, fix: str) -> Benchmark:
    if data is None:
        raise UsageError(fix)
    rows, counts = load_every(str(data))
    where_of: dict[str, str] = {}
    seen: set[str] = set()
    named: list[Problem] = []
    for number, (where, problem) in enumerate(rows, 1):
        ident = _task_id(problem, where or str(number))
        if ident in where_of:
            raise DataError(
                f"{where}: has the id {ident!r}, as {where_of[ident]} has; make ids differ, or leave them out: then "
                "the line's number is the id"
            )
        where_of[ident] = where
        if not (problem.reference and problem.reference.strip()):
            raise DataError(f"{where or ident}: has no reference to be judged by; give it one, or take it out")
        changes = {"upstream_id": ident, **({"id": content_hash([problem.id, ident])} if problem.id in seen else {})}
        seen.add(problem.id)
        named.append(problem.model_copy(update=changes))
    if not named:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counts.skipped.items())
        raise DataError(
            f"{data}: holds no pair with a reference ({reasons or 'it is empty'}); check its columns (itertl data show)"
        )
    return _benchmark(name, named, limit)


def _task_id(problem: Problem, where: str) -> str:
    """The id in the source, else the number at the end of a row's place, else the place itself."""
    number = re.search(r"(?::| item | row )(\d+)$", where)
    return problem.upstream_id or (number[1] if number else where) or problem.id


def _benchmark(name: str, problems: Sequence[Problem], limit: int | None, *, drawn: bool = False) -> Benchmark:
    """``version`` is a hash of all the pairs, so that figures of others are not compared with these."""
    version = content_hash([[p.id, p.upstream_id] for p in problems], 8)
    if limit is not None and limit < len(problems):
        order = list(range(len(problems)))
        if drawn:
            order.sort(key=lambda n: derive_seed(0, name, problems[n].id))
        problems = [problems[number] for number in sorted(order[:limit])]
    return Benchmark(name=name, version=version, problems=tuple(problems), rules=(FUNCTION,), default_rule=FUNCTION)
