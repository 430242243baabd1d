"""A few held-out problems with what the untouched and the trained model wrote for them, picked by a fixed rule.

The rule shows the whole account, not the best of it: problems won, problems lost, problems still failed, in file order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itertl.records import Candidate, EvalRow, Problem
from itertl.report import series
from itertl.report.findings import ends, eval_folder
from itertl.report.series import Series
from itertl.runs import storage
from itertl.runs.read import Run, evaluation_file, read_problems

JudgedSample = tuple[Candidate, EvalRow]

_WANTED = (("won", 2), ("lost", 1), ("still failed", 1), ("kept", 1))


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One problem, before and after. ``kind``: won, lost, still failed or kept."""

    benchmark: str
    problem: Problem | None
    task_id: str
    kind: str
    before: JudgedSample
    after: JudgedSample
    iterations: int  # done when "after" was sampled

    @property
    def question(self) -> str:
        """Instruction and header, "" where the problem is not known."""
        parts = (self.problem.instruction, self.problem.header) if self.problem else ()
        return "\n\n".join(part.strip() for part in parts if part.strip())


def examples(run: Run) -> tuple[list[BeforeAfter], list[str]]:
    """Examples of every benchmark (its first temperature), and notes on those whose files do not fit together.

    Raises DataError where a file is there and cannot be read.
    """
    found: list[BeforeAfter] = []
    notes: list[str] = []
    shown: set[str] = set()
    for key in series.all_series(run.metrics):
        before, after = ends(run, key)
        if key.benchmark in shown or before is None or after is None:
            continue
        shown.add(key.benchmark)
        old = _answers(run.folder / eval_folder(0), key, notes)
        new = _answers(run.folder / eval_folder(after.iterations), key, notes)
        problems = read_problems(evaluation_file(run.folder, "bench", key.benchmark))
        for task in (task for task in old if task in new):
            problem = problems.get(new[task][0].problem_id) or problems.get(task)
            kind = _kind(old[task][1], new[task][1])
            found.append(BeforeAfter(key.benchmark, problem, task, kind, old[task], new[task], after.iterations))
    return _pick(found), notes


def _answers(folder: Path, key: Series, notes: list[str]) -> dict[str, JudgedSample]:
    """The first judged answer to each task at that temperature."""
    samples, verdicts = (evaluation_file(folder, stem, key.benchmark) for stem in ("samples", "eval"))
    if samples is None or verdicts is None:
        return {}
    candidates = storage.read_records(samples, Candidate)
    rows = storage.read_records(verdicts, EvalRow)
    if len(candidates) != len(rows):
        notes.append(
            f"{folder.name}: {len(candidates)} samples but {len(rows)} verdicts of {key.benchmark}, so no examples are "
            f"shown"
        )
        return {}
    answers: dict[str, JudgedSample] = {}
    for candidate, row in zip(candidates, rows, strict=True):
        if row.temperature == key.temperature and row.passed is not None:
            answers.setdefault(row.task_id, (candidate, row))
    return answers


def _kind(before: EvalRow, after: EvalRow) -> str:
    if after.passed:
        return "kept" if before.passed else "won"
    return "lost" if before.passed else "still failed"


def _pick(every: Sequence[BeforeAfter]) -> list[BeforeAfter]:
    """For each benchmark, the wanted number of each kind, the first ones of the file."""
    chosen: list[BeforeAfter] = []
    for benchmark in dict.fromkeys(e.benchmark for e in every):
        for kind, number in _WANTED:
            chosen += [e for e in every if e.benchmark == benchmark and e.kind == kind][:number]
    return chosen
