"""Repair pairs from a run's own failures: a task, a wrong answer and what the tools say of it, and a right answer.

Wrong answers are the run's candidates and the attempts of its searches, all of them on its training problems; nothing
that was drawn in an evaluation is read, and problems that stand in one of the run's benchmarks are left out. What the
tools say is what a search would show (``search.look``, with the problem's reference). The right answer is one of the
same problem that ``equivalence`` proves: one that was drawn behind the wrong one, else the nearest; else the reference.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from itertl.errors import DataError
from itertl.problems.normalize import words
from itertl.progress import Tracker
from itertl.records import Attempt, Candidate, Examined, Fault, Problem, Verdict, content_hash
from itertl.runs.read import iteration_folders, read_run
from itertl.runs.storage import read_records
from itertl.scoring.engine import Effort, score_items
from itertl.scoring.item import ScoreItem, has_module
from itertl.search import look
from itertl.search.drive import attempts_file
from itertl.search.workers import examine
from itertl.verilog.text import strip_comments


@dataclass(frozen=True, slots=True)
class Tried:
    """A distinct answer. ``place``: "iter-00/candidate 2"; ``behind``: keys of the answers that its prompt showed."""

    code: str
    place: str
    behind: frozenset[str]

    @property
    def key(self) -> str:
        return plain(self.code)


@dataclass(slots=True)
class Repairs:
    """The pairs, and what became of every distinct answer: counts by reason that add up to ``answers``."""

    problems: list[Problem] = field(default_factory=list[Problem])
    answers: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])
    by_reference: int = 0  # pairs whose right answer is the reference


def repair_pairs(folder: Path, *, effort: Effort, tracker: Tracker) -> Repairs:
    """All of a run folder, in the order of its problems. Raises DataError where it has no candidates."""
    run = read_run(folder)
    file = folder / "problems.jsonl"
    if not file.is_file():
        raise DataError(f"{file}: not found; start the run's command again, which writes it")
    tried = _tried(folder)
    if not tried:
        raise DataError(f"{folder}: holds no candidates; repair pairs are made of a run whose method samples them")
    judged = {key for bench in folder.glob("bench-*.jsonl") for p in read_records(bench, Problem) for key in _keys(p)}
    found = Repairs()
    for problem in read_records(file, Problem):
        mine = list(tried.get(problem.id, {}).values())
        found.answers += len(mine)
        if not problem.reference:
            found.left_out["the problem has no reference"] += len(mine)
        elif not judged.isdisjoint(_keys(problem)):
            found.left_out["the problem stands in a benchmark of the run"] += len(mine)
        else:
            _add(found, problem, mine, run.name, effort)
        tracker.advance(1)
    return found


def plain(code: str) -> str:
    """What makes two answers the same: their text without comments and layout."""
    return " ".join(strip_comments(code).split())


def _keys(problem: Problem) -> tuple[str, str]:
    return problem.id, " ".join(words(problem.instruction))


def _tried(folder: Path) -> dict[str, dict[str, Tried]]:
    """By problem, the distinct answers of all iterations in the order in which they were drawn."""
    found: dict[str, dict[str, Tried]] = defaultdict(dict)
    for path in iteration_folders(folder).values():
        candidates = path / "candidates.jsonl"
        attempts = attempts_file(candidates)
        if attempts.is_file():
            drawn = _attempts(read_records(attempts, Attempt), path.name)
        elif candidates.is_file():
            rows = read_records(candidates, Candidate)
            drawn = ((c, f"{path.name}/candidate {c.index}", frozenset[str]()) for c in rows)
        else:
            continue
        for candidate, place, behind in drawn:
            found[candidate.problem_id].setdefault(plain(candidate.code), Tried(candidate.code, place, behind))
    return found


def _attempts(attempts: Sequence[Attempt], name: str) -> Iterator[tuple[Candidate, str, frozenset[str]]]:
    codes = {(a.candidate.problem_id, a.search, a.candidate.index): plain(a.candidate.code) for a in attempts}
    for a in attempts:
        ident = a.candidate.problem_id
        behind = frozenset(codes[ident, a.search, number] for number, _ in a.shown)
        if not a.kind:
            yield a.candidate, f"{name}/search {a.search}/attempt {a.candidate.index}", behind


def _add(found: Repairs, problem: Problem, tried: Sequence[Tried], run: str, effort: Effort) -> None:
    """The pairs of one problem."""
    text = problem.model_dump_json()
    with_module = [one for one in tried if has_module(one.code)]
    found.left_out["without a module"] += len(tried) - len(with_module)
    questions = [look.Question(text, one.code, True, effort.bound) for one in with_module]
    said = examine("itertl.search.look:look", questions, effort, lost=look.lost) if questions else []
    right = _proven(problem, [t for t, s in zip(with_module, said, strict=True) if s.rank >= look.RIGHT], effort)
    for one, about in zip(with_module, said, strict=True):
        if about.rank >= look.RIGHT:
            found.left_out["right"] += 1
        elif about.verdict.fault is Fault.OURS:
            found.left_out["not judged"] += 1
        else:
            target = _target(one, right)
            found.by_reference += target is None
            found.problems.append(_pair(problem, one, about, target, run))


def _proven(problem: Problem, right: Sequence[Tried], effort: Effort) -> list[Tried]:
    items = [ScoreItem(one.code, problem.header, problem.reference, look.top_of(problem, one.code)) for one in right]
    scored = score_items(items, ["equivalence"], effort=effort) if items else []
    return [one for one, (score,) in zip(right, scored, strict=True) if score.verdict is Verdict.PASSED]


def _target(wrong: Tried, right: Sequence[Tried]) -> Tried | None:
    """The right answer to learn: one drawn behind the wrong one, else the most alike; None for the reference."""
    from rapidfuzz import fuzz

    own = [one for one in right if wrong.key in one.behind] or right
    return max(own, key=lambda one: fuzz.ratio(one.key, wrong.key), default=None)


def _pair(problem: Problem, wrong: Tried, said: Examined, target: Tried | None, run: str) -> Problem:
    places: Mapping[str, str] = {
        "run": run, "problem": problem.id, "wrong": wrong.place, "right": target.place if target else "reference",
        "verdict": said.verdict.value,
    }  # fmt: skip
    asked = f"{problem.instruction}\n\nThis answer to it is wrong:\n{wrong.code.strip()}\n{said.message}"
    return Problem.create(
        instruction=asked, header=problem.header, reference=target.code if target else problem.reference,
        top=problem.top, source=f"repair:{problem.source}", licence=problem.licence, family=problem.family,
        split=problem.split, upstream_id=content_hash([problem.id, wrong.key]), extra={"repair": dict(places)},
    )  # fmt: skip
