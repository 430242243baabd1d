"""Scoring many items by several scorers: each distinct question once, over cores, remembered, resumable.

The order of work is free; what is returned depends on items and scorers alone. A worker that stalls or dies is met
like this: the item is tried once more, alone. Then a second stall is the candidate's (TIMEOUT, value 0) if the scorer
runs a tool on its text and that tool still answers on a trivial design, else ours (TOOL_FAILED, None); a second crash
is always ours, for it says nothing about the text. See docs/scoring.md.
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ValidationError

from itertl import faults
from itertl.errors import ToolFailed, ToolMissing
from itertl.records import Fault, Score, Verdict, content_hash
from itertl.scoring import scorers
from itertl.scoring.cache import ScoreCache
from itertl.scoring.combine import is_passed_by
from itertl.scoring.equivalence.replay import meet_all
from itertl.scoring.samples import ScoreItem
from itertl.scoring.worker import is_users_fault
from itertl.storage import AppendLog
from itertl.tools import pool
from itertl.tools.pool import Outcome

Unit = tuple[str, ScoreItem]
_WORKER = "itertl.scoring.worker:timed_unit"
_TRIVIAL = "module probe(output y);\nassign y = 1'b1;\nendmodule\n"
_PROBE = ScoreItem(code=_TRIVIAL, reference=_TRIVIAL)


def score_items(
    items: Sequence[ScoreItem],
    names: Sequence[str],
    *,
    rungs: Sequence[str] = (),
    budget_s: float | None = None,
    num_workers: int = 0,
    timeout_s: float = 30.0,
    log: Path | None = None,
    cache: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
    keep_going: bool = True,
) -> list[tuple[Score, ...]]:
    """Score each item by each scorer; returns, for each item, its scores in the order of ``names``.

    ``rungs``: those of ``names`` that are a ladder, the lowest first: one is taken of an item only where the value of the
    one below is 1, and only while the time that the item's rungs took is within ``budget_s`` (else UNDECIDED).
    ``log``: progress file, from which a killed call goes on; the caller removes it once the result is on disk.
    ``cache``: folder of scores kept across runs. ``on_done`` is told how many items became complete since its last
    call. ``keep_going`` False: a scorer of the user's own that raises ends the call. Raises UsageError for an unknown scorer,
    ToolFailed where workers cannot start, and with a user's scorer's own error and line.
    """
    scorers.check_scorers(names)
    keys = [{name: _key(name, item) for name in names} for item in items]
    progress = _Progress([list(row.values()) for row in keys], on_done)
    found = _Found()
    with contextlib.ExitStack() as stack:
        remembered = stack.enter_context(ScoreCache(cache))
        journal = stack.enter_context(AppendLog(log)) if log is not None else None
        survived = _surviving(journal)
        workers = stack.enter_context(pool.Workers(_WORKER, num_workers))
        for below, wave in _waves(names, rungs):
            todo: dict[str, Unit] = {}
            for row, item in zip(keys, items, strict=True):
                asked = wave if found.holds(row, below) else []
                if asked and found.overran(row, rungs, budget_s):
                    found.leave(row[asked[0]], asked[0], budget_s)
                todo |= {row[name]: (name, item) for name in asked}
            known = remembered.get(key for key, (name, _) in todo.items() if name in scorers.SCORERS)
            found.add({**{key: (score, 0.0) for key, score in known.items()}, **{key: survived[key] for key in todo if key in survived}})
            progress.add({key for row in keys for name in wave if (key := row[name]) in found.scores or key not in todo})
            left = {key: unit for key, unit in todo.items() if key not in found.scores}
            run = stack.enter_context(contextlib.closing(_run(left, workers, timeout_s)))
            for key, score, seconds in run:
                if not keep_going and is_users_fault(score):
                    raise ToolFailed(f"the scorer {score.scorer}: {score.detail}; mend it, or go on without these candidates by --keep-going")
                found.add({key: (score, seconds)})
                if journal is not None:
                    journal.append([{"key": key, "score": score.model_dump(mode="json"), "seconds": seconds}])
                    faults.point("score.item")
                if todo[key][0] in scorers.SCORERS:
                    remembered.put(key, score)
                progress.add([key])
    taken = [tuple(found.scores[key] for key in row.values() if key in found.scores) for row in keys]
    return meet_all(items, taken, num_workers=num_workers, timeout_s=timeout_s)


def _waves(names: Sequence[str], rungs: Sequence[str]) -> Iterator[tuple[str | None, list[str]]]:
    """(the rung that must be held, the scorers to take then): first the lowest rung and all that are none."""
    if len(rungs) < 2:
        yield None, list(names)
        return
    yield None, [name for name in names if name not in rungs[1:]]
    for below, rung in itertools.pairwise(rungs):
        yield below, [rung]


@dataclass(slots=True)
class _Found:
    """Scores by key, and how long each took."""

    scores: dict[str, Score] = field(default_factory=dict[str, Score])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, taken: Mapping[str, tuple[Score, float]]) -> None:
        self.scores |= {key: score for key, (score, _) in taken.items()}
        self.seconds |= {key: seconds for key, (_, seconds) in taken.items()}

    def holds(self, row: Mapping[str, str], rung: str | None) -> bool:
        """Whether an item is still on the ladder: its score for ``rung`` is 1, or the climb goes on without it."""
        score = self.scores.get(row[rung]) if rung is not None else None
        return rung is None or (score is not None and (is_passed_by(score) or (score.value is not None and score.value >= 1)))

    def overran(self, row: Mapping[str, str], rungs: Sequence[str], budget_s: float | None) -> bool:
        return budget_s is not None and sum(self.seconds.get(row[rung], 0.0) for rung in rungs) > budget_s

    def leave(self, key: str, name: str, budget_s: float | None) -> None:
        detail = f"the rungs below it took the candidate's budget of {budget_s:g} s"
        self.add({key: (Score(scorer=name, value=None, verdict=Verdict.UNDECIDED, detail=detail), 0.0)})


def _key(name: str, item: ScoreItem) -> str:
    """Content hash of all that a score depends on."""
    try:
        version = scorers.version(name)
    except ToolMissing:
        version = ""
    return content_hash([name, scorers.REVISION, version, *asdict(item).values()], 32)


def _surviving(journal: AppendLog | None) -> dict[str, tuple[Score, float]]:
    """Scores of an interrupted call, with the time that each took. Tools that were missing or broken then are asked again."""
    found: dict[str, tuple[Score, float]] = {}
    for entry in journal.existing if journal is not None else []:
        with contextlib.suppress(ValidationError, KeyError, TypeError, ValueError):
            score = Score.model_validate(entry["score"])
            if score.verdict not in (Verdict.TOOL_MISSING, Verdict.TOOL_FAILED):
                found[entry["key"]] = score, float(entry["seconds"])
    return found


class _Progress:
    """Counts items whose scores are all known."""

    def __init__(self, keys: Sequence[Sequence[str]], on_done: Callable[[int], None]) -> None:
        self._open = [len(row) for row in keys]
        self._users: dict[str, list[int]] = {}
        for number, row in enumerate(keys):
            for key in row:
                self._users.setdefault(key, []).append(number)
        self._on_done = on_done

    def add(self, keys: Iterable[str]) -> None:
        complete = 0
        for key in keys:
            for number in self._users[key]:
                self._open[number] -= 1
                complete += self._open[number] == 0
        if complete:
            self._on_done(complete)


def _run(units: dict[str, Unit], workers: pool.Workers, timeout_s: float) -> Generator[tuple[str, Score, float], None, None]:
    """Score each unit in workers; those that stall or crash once more, alone."""
    again: list[str] = []
    for key, outcome in _outcomes(units, workers, timeout_s):
        if outcome.status == "ok":
            yield key, *outcome.value
        else:
            again.append(key)
    healthy: dict[str, bool] = {}
    for key, outcome in _alone({key: units[key] for key in again}, timeout_s):
        name = units[key][0]
        is_stall = outcome.status == "timeout" or (outcome.status == "raised" and outcome.detail == "MemoryError")
        if is_stall and name in scorers.STALLED_BY_TEXT and name not in healthy:
            healthy[name] = _answers(name, timeout_s)
        score, seconds = outcome.value if outcome.status == "ok" else (_blame(name, outcome, is_stall and healthy.get(name, False)), timeout_s)
        yield key, score, seconds


def _outcomes(units: dict[str, Unit], workers: pool.Workers, timeout_s: float) -> Iterator[tuple[str, Outcome]]:
    keys = list(units)
    try:
        for number, outcome in workers.map_unordered(units.values(), timeout_s=timeout_s):
            yield keys[number], outcome
    except RuntimeError as error:
        raise ToolFailed(f"scoring workers cannot start: {error}; itertl doctor tells what is installed") from error


def _alone(units: dict[str, Unit], timeout_s: float) -> Iterator[tuple[str, Outcome]]:
    with pool.Workers(_WORKER, 1) as worker:
        yield from _outcomes(units, worker, timeout_s)


def _answers(name: str, timeout_s: float) -> bool:
    """Whether the scorer's tool is well: it scores a trivial design within the limit that the candidate overran."""
    [(_, outcome)] = _alone({"": (name, _PROBE)}, timeout_s)
    return outcome.status == "ok" and outcome.value[0].verdict.fault is not Fault.OURS


def _blame(name: str, outcome: Outcome, is_models: bool) -> Score:
    if is_models:
        return Score(scorer=name, value=0.0, verdict=Verdict.TIMEOUT, detail=outcome.detail)
    return Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=f"{outcome.status}: {outcome.detail}"[:500])
