"""Every answer of one or more runs: what a list needs in memory, the texts left in their files until asked for.

An answer is an evaluation's completion or a training candidate. ``model`` is the number of iterations behind the model
that wrote it: 0 is the untouched one, so the candidates of iter-00 have model 0. Unlike telemetry, which counts them to
the iteration that trained on them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from itertl.errors import DataError
from itertl.records import Candidate, EvalRow, Problem, Record, Score, Scored, Verdict, content_hash
from itertl.runs import storage
from itertl.runs import wording as text
from itertl.runs.read import Run, iteration_folders
from itertl.runs.waves import Wave, read_waves

TRAINING = "training"  # the group of training candidates; an evaluation's group is its benchmark
NOT_SCORED = "not_scored"
# as the scorers' own table has it, which lies in a room above this one: a test compares them
_REFUTES = {"equivalence": "vectors"}
_PASSED_BY = frozenset({"synthesis"})
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Place:
    """One line of a JSON Lines file."""

    path: Path
    line: int
    offset: int

    def read(self, kind: type[R]) -> R:
        """Raises DataError where the line is no such record, as when the file was written anew."""
        with self.path.open("rb") as handle:
            handle.seek(self.offset)
            return _parsed(kind, handle.readline(), f"{self.path}:{self.line}")


@dataclass(frozen=True, slots=True)
class Task:
    """A problem as answers refer to it: its group, the name shown, and what is known of it."""

    group: str
    name: str
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``rung``: the highest of the recipe's ladder that it holds, "" for none."""

    run: int
    model: int
    task: int
    index: int
    verdict: str
    rung: str
    value: float | None  # of the scorer that the verdict is of; None for an evaluation's
    temperature: float | None
    text: Place
    row: Place | None = None  # of its verdict, for an evaluation's
    scores: Place | None = None


@dataclass(slots=True)
class Catalogue:
    """Answers in the order of runs, models and files, with the tasks that they answer."""

    runs: Sequence[Run]
    tasks: list[Task] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    waves: list[Mapping[tuple[str, str, str], Wave]] = field(default_factory=list)  # of each run
    notes: list[str] = field(default_factory=list)
    _known: dict[tuple[str, str], int] = field(default_factory=dict)

    def task(self, group: str, ident: str, problem: Problem | None) -> int:
        """The number of a task; runs that share a problem share its task."""
        found = self._known.setdefault((group, ident), len(self.tasks))
        if found == len(self.tasks):
            self.tasks.append(Task(group, _name(group, ident, problem), problem))
        return found

    def detail(self, number: int) -> dict[str, Any]:
        """The texts, scores, messages and wave of an answer, as JSON values. Raises DataError where a file changed."""
        answer = self.answers[number]
        scored = answer.scores.read(Scored) if answer.scores is not None else None
        candidate = scored.candidate if scored and answer.row is None else answer.text.read(Candidate)
        row = answer.row.read(EvalRow) if answer.row is not None else None
        task = self.tasks[answer.task]
        place = (row.benchmark, row.task_id, row.completion_hash) if row else candidate_place(candidate)
        wave = self.waves[answer.run].get(place)
        return {
            "text": candidate.text, "code": candidate.code,
            "dropped": [[piece.reason, len(piece.text)] for piece in candidate.dropped],
            "scores": [_score(score) for score in scored.scores] if scored else [],
            "message": row.detail if row else "",
            "facts": _facts(candidate, row, task),
            "wave": _wave(wave) if wave else None,
        }  # fmt: skip


def candidate_place(candidate: Candidate) -> tuple[str, str, str]:
    """Benchmark, task and hash by which a training candidate's wave is found: as an evaluation's, with no benchmark."""
    return "", candidate.problem_id, content_hash(candidate.text)


def read_catalogue(runs: Sequence[Run]) -> Catalogue:
    """List every answer of the runs. Raises DataError (file, line, field) where one cannot be read."""
    made = Catalogue(runs)
    for number, run in enumerate(runs):
        made.waves.append({(w.benchmark, w.task_id, w.completion_hash): w for w in read_waves(run.folder)})
        folders = {0: run.folder / "base", **iteration_folders(run.folder)}
        for done, folder in folders.items():
            if folder.is_dir():
                for samples in sorted(folder.glob("samples-*.jsonl")):
                    made.answers += _evaluated(made, number, done, samples)
        trained = {done - 1: folder for done, folder in folders.items() if done > 0}
        problems = _problems(run.folder / "problems.jsonl") if trained else {}
        for model, folder in trained.items():
            made.answers += _candidates(made, number, model, folder, problems)
    return made


def _evaluated(made: Catalogue, run: int, model: int, samples: Path) -> Iterator[Answer]:
    """The answers of one evaluation; without verdicts (it is still being judged) none."""
    name = samples.name.removeprefix("samples-")
    verdicts, surrogate = samples.with_name(f"eval-{name}"), samples.with_name(f"surrogate-{name}")
    if not verdicts.is_file():
        return
    problems = _problems(made.runs[run].folder / f"bench-{name}")
    texts, rows = list(_records(samples, Candidate)), list(_records(verdicts, EvalRow))
    if len(texts) != len(rows):
        made.notes.append(
            f"{made.runs[run].name}, {samples.parent.name}: {len(texts)} samples but {len(rows)} verdicts in {name}, "
            f"so they are not listed"
        )
        return
    scores = list(_places(surrogate)) if surrogate.is_file() else []
    fitting: Sequence[Place | None] = [place for place, _ in scores] if len(scores) == len(rows) else [None] * len(rows)
    for (at, candidate), (row_at, row), score in zip(texts, rows, fitting, strict=True):
        problem = problems.get(candidate.problem_id) or problems.get(row.task_id)
        task = made.task(row.benchmark, row.task_id, problem)
        yield Answer(run, model, task, row.index, row.verdict.value, "", None, row.temperature, at, row_at, score)


def _candidates(
    made: Catalogue, run: int, model: int, folder: Path, problems: Mapping[str, Problem]
) -> Iterator[Answer]:
    """Training candidates with their scores, or as sampled where they are not scored yet."""
    ladder = tuple(made.runs[run].recipe.score.ladder) if made.runs[run].recipe.score.combine == "ladder" else ()
    optional = frozenset(made.runs[run].recipe.score.optional)
    scored, sampled = folder / "scored.jsonl", folder / "candidates.jsonl"
    if scored.is_file():
        for at, row in _records(scored, Scored):
            rung, telling = climb(row.scores, ladder, optional)
            c, verdict = row.candidate, telling.verdict.value if telling else NOT_SCORED
            task = made.task(TRAINING, c.problem_id, problems.get(c.problem_id))
            value = telling.value if telling else None
            yield Answer(run, model, task, c.index, verdict, rung, value, c.settings.temperature, at, scores=at)
    elif sampled.is_file():
        for at, c in _records(sampled, Candidate):
            task = made.task(TRAINING, c.problem_id, problems.get(c.problem_id))
            yield Answer(run, model, task, c.index, NOT_SCORED, "", None, c.settings.temperature, at)


def climb(
    scores: Sequence[Score], ladder: Sequence[str], optional: frozenset[str] = frozenset()
) -> tuple[str, Score | None]:
    """The highest rung held, "" for none, and the score whose verdict tells what became of the candidate: of the rungs,
    or without a ladder of all scores, the first that falls short of 1, else the last. As z is made of them."""
    by_name = {score.scorer: score for score in scores}
    held, below, telling = "", "", None
    for name in ladder or tuple(by_name):
        score = by_name.get(name)
        if score is None:
            break
        if score.value is None and ladder:
            if score.verdict is Verdict.UNDECIDED and name in _PASSED_BY and name != ladder[-1]:
                continue
            if name in optional and score.verdict in (Verdict.UNDECIDED, Verdict.UNJUDGEABLE):
                break
        telling = score
        if ladder and score.verdict is Verdict.WRONG_OUTPUT and _REFUTES.get(name) == held:
            held = below
        if score.value is None or score.value < 1:
            break
        held, below = (name, held) if ladder else ("", "")
    return held, telling


def _problems(path: Path) -> dict[str, Problem]:
    found = storage.read_records(path, Problem) if path.is_file() else []
    return {**{p.upstream_id: p for p in found if p.upstream_id is not None}, **{p.id: p for p in found}}


def _name(group: str, ident: str, problem: Problem | None) -> str:
    """The id that its source gave it; for one known by its hash alone, its module and a few digits."""
    if problem is None or ident != problem.id:
        return text.one_line(ident, 80)
    return text.one_line(f"{problem.top or problem.family or 'problem'} {ident[:6]}", 80)


def _score(score: Score) -> dict[str, Any]:
    return {
        "scorer": score.scorer, "value": score.value, "verdict": score.verdict.value, "detail": score.detail,
        "tool": f"{score.tool} {score.tool_version}".strip(), "outputs": list(score.wrong_outputs),
        "counterexample": score.counterexample,
    }  # fmt: skip


def _facts(candidate: Candidate, row: EvalRow | None, task: Task) -> list[list[str]]:
    """(name, value) of what else is known of an answer."""
    cut = {"length": "the token limit", "stop": "the end token", "module": "the module's end"}
    facts = [
        ["ended by", cut.get(candidate.finish_reason, candidate.finish_reason)],
        ["tokens", f"{candidate.completion_tokens} after a prompt of {candidate.prompt_tokens}"],
        ["temperature, top-p", f"{candidate.settings.temperature:g}, {candidate.settings.top_p:g}"],
        ["seed", str(candidate.seed)], ["policy", candidate.policy],
    ]  # fmt: skip
    if row is not None:
        facts += [["judged by", f"{row.simulator}, rule {row.rule}"]]
        facts += [["searched for by", text.by_search(row.strategy, row.feedback)]] if row.strategy else []
    if task.problem is not None:
        facts += [["source", f"{task.problem.source}, {task.problem.licence}"], ["problem", task.problem.id]]
    return facts


def _wave(wave: Wave) -> dict[str, Any]:
    return {
        "first": wave.first, "mismatch": wave.mismatch,
        "lanes": [lane.model_dump(mode="json", exclude_none=True) for lane in wave.lanes],
    }  # fmt: skip


def _records(path: Path, kind: type[R]) -> Iterator[tuple[Place, R]]:
    for place, line in _places(path):
        yield place, _parsed(kind, line, f"{path}:{place.line}")


def _places(path: Path) -> Iterator[tuple[Place, bytes]]:
    offset = 0
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                yield Place(path, number, offset), line
            offset += len(line)


def _parsed(kind: type[R], line: bytes, where: str) -> R:
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error}); the run's command makes the file again") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: not a JSON object; the run's command makes the file again")
    return storage.parse_record(kind, value, where)
