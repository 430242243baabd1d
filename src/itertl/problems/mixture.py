"""Several sources as one list of pairs: how many of each, and the order by difficulty.

What it does not do: it repeats no pair to fill a share. A source that has too few makes the others fewer, too, unless
``data.limit`` asks for a number, which the others then fill up.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from itertl.config import DataConfig
from itertl.errors import DataError
from itertl.records import Problem, Scored
from itertl.runs.storage import read_records
from itertl.verilog.text import tokens

# columns that only files of benchmarks have, and files of their folders
_MARKS = (
    {"canonical_solution", "test"},
    {"task_id", "test"},
    {"detail_description"},
    {"module_name", "testbench", "description"},
    {"prompt1", "testbench"},
)
_FILES = ("design_description.txt", "*_prompt.txt")
_NAMES = ("verilogeval", "verilog-eval", "rtllm", "vgen:", "chipbench", "cvdp")


def shares(weights: Sequence[float], sizes: Sequence[int], total: int | None) -> list[int]:
    """How many to take of sources that have ``sizes`` pairs, by ``weights``.

    Without ``total`` as many as keep the weights and repeat nothing; with it so many in all, or all that there are:
    what a source lacks is shared among the others by their weights. Rests go to the largest fractions, then the first.

    >>> shares([2, 1], [100, 100], 30)
    [20, 10]
    >>> shares([2, 1], [10, 100], 30)      # the first has 10 only
    [10, 20]
    >>> shares([2, 1], [10, 100], None)
    [10, 5]
    """
    if total is None:
        scale = min(size / weight for size, weight in zip(sizes, weights, strict=True))
        return [min(size, int(scale * weight + 1e-9)) for size, weight in zip(sizes, weights, strict=True)]
    taken = [0] * len(sizes)
    while (left := min(total, sum(sizes)) - sum(taken)) > 0:
        open_ones = [n for n, size in enumerate(sizes) if taken[n] < size]
        sum_of = sum(weights[n] for n in open_ones)
        wanted = {n: left * weights[n] / sum_of for n in open_ones}
        full = [n for n in open_ones if taken[n] + wanted[n] >= sizes[n]]
        if full:  # give these all that they have, and share again what is left
            for n in full:
                taken[n] = sizes[n]
            continue
        for n in open_ones:
            taken[n] += int(wanted[n])
        rest = left - sum(int(wanted[n]) for n in open_ones)
        for n in sorted(open_ones, key=lambda n: (int(wanted[n]) - wanted[n], n))[:rest]:
            taken[n] += 1
    return taken


def refuse_benchmark(source: str, columns: Iterable[str], problems: Sequence[Problem], where: str) -> None:
    """Raise DataError where a source is a benchmark: by its columns, the files of its folder, or where problems come
    from."""
    names, folder = set(columns), Path(source)
    marked = next((f"it has the columns {', '.join(sorted(mark))}" for mark in _MARKS if mark <= names), None)
    origin = next((p.source for p in problems if p.source.lower().startswith(_NAMES)), None)
    inside = next((path.name for name in _FILES for path in folder.rglob(name)), None) if folder.is_dir() else None
    why = marked or (origin and f"its problems come from {origin}") or (inside and f"it holds {inside}")
    if why:
        raise DataError(
            f"{where}: {source} is a benchmark ({why}), and training on one makes its figures worthless; take it out, "
            "or judge by it under evals"
        )


def ordered(problems: Sequence[Problem], data: DataConfig) -> tuple[list[Problem], dict[str, int]]:
    """The problems, easy ones first where ``data.order`` says so, and notes on how many could not be placed so.

    Easy is a short reference, in tokens of Verilog; with ``data.difficulty`` high scores of its candidates in that
    file (their mean, of all scorers with a value); pairs with none there come last, by length. Equals keep their order.
    Raises DataError.
    """
    if data.order == "given":
        return list(problems), {}
    lengths = {p.id: len(tokens(p.reference or "")) for p in problems}
    if data.difficulty is None:
        return sorted(problems, key=lambda p: lengths[p.id]), {}
    known = _mean_scores(Path(data.difficulty))
    found = [p for p in problems if p.id in known]
    if not found:
        raise DataError(
            f"{data.difficulty}: scores none of the {len(problems)} pairs (data.difficulty); give the scored.jsonl of "
            "a run on the same pairs, or leave it out to order by length"
        )
    others = len(problems) - len(found)
    notes = {"without a score in data.difficulty, so put last": others} if others else {}

    def place(p: Problem) -> tuple[bool, float, int]:
        return p.id not in known, -known.get(p.id, 0.0), lengths[p.id]

    return sorted(problems, key=place), notes


def _mean_scores(path: Path) -> Mapping[str, float]:
    if not path.is_file():
        raise DataError(f"{path}: no such file (data.difficulty); give scored.jsonl of a run's iteration")
    by_problem: dict[str, list[float]] = {}
    for row in read_records(path, Scored):
        values = [score.value for score in row.scores if score.value is not None]
        if values:
            by_problem.setdefault(row.candidate.problem_id, []).append(mean(values))
    return {ident: mean(values) for ident, values in by_problem.items()}
