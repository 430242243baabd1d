"""Scoring many items by several scorers: each distinct question once, over cores, remembered, resumable.

One item's scorers are taken one after the other, by one worker where that is possible, and share one bound of time and
memory (``bounds``): what is left of it is the limit of the scorer that begins. The order of work is free; what is
returned depends on items and scorers alone.

A text that uses up memory or processor time while it is read has had its try. A worker that stalls by the clock or dies
is met like this: the item is tried once more, alone, with a bound of its own. Then a second stall is the candidate's
(TIMEOUT, value 0) if the scorer runs a tool on its text and that tool still answers on a trivial design, undecided if
its tools may give up, else ours (TOOL_FAILED, None); a second crash is always ours: the text need not be its cause.
See docs/scoring.md.
"""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from itertl.errors import ToolFailed, ToolMissing
from itertl.records import Fault, Score, Verdict, content_hash
from itertl.runs.storage import AppendLog
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound
from itertl.scoring import scorers
from itertl.scoring.combine import is_passed_by
from itertl.scoring.equivalence.replay import meet_all
from itertl.scoring.item import ScoreItem
from itertl.scoring.worker import Unit, is_users_fault, unscored, used_up
from itertl.work import pool
from itertl.work.desk import Desk, Form
from itertl.work.pool import Job, Outcome

WORKER = "itertl.scoring.worker:timed_unit"
_TRIVIAL = "module probe(output y);\nassign y = 1'b1;\nendmodule\n"
_PROBE = ScoreItem(code=_TRIVIAL, reference=_TRIVIAL)
BOUND = Bound()
_PATIENCE = 1.5  # of ``timeout_s``, until a worker that does not end itself is ended
_Answer: TypeAlias = tuple[Score, float]  # and the seconds that it took
_LEAST_S = 0.01  # of a bound: with less no scorer begins


@dataclass(frozen=True, slots=True)
class Effort:
    """How scores are taken, whatever they are."""

    bound: Bound = BOUND  # of each item, over all its scorers; one that would begin beyond it is UNDECIDED
    num_workers: int = 0  # processes; 0: one for each core
    timeout_s: float = 30.0  # of one scorer on one item
    cache: Path | None = None  # folder of scores kept across runs
    keep_going: bool = True  # False: a scorer of the user's own that raises ends the call
    workers: pool.Workers | None = None  # of WORKER, that the caller keeps; None: of this call alone


def score_items(
    items: Sequence[ScoreItem],
    names: Sequence[str],
    *,
    rungs: Sequence[str] = (),
    effort: Effort = Effort(),
    log: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[tuple[Score, ...]]:
    """Score each item by each scorer; returns, for each item, its scores in the order of ``names``.

    ``rungs``: those of ``names`` that are a ladder, the lowest first: one is taken of an item only where the value of
    the one below is 1. ``log``: progress file, from which a killed call goes on; the caller removes it once the result
    is on disk. ``on_done`` is called with how many items became complete since its last call. Raises UsageError for an
    unknown scorer, ToolFailed where workers cannot start, and with a user's scorer's own error and line.
    """
    bound, num_workers, timeout_s = effort.bound, effort.num_workers, effort.timeout_s
    scorers.check_scorers(names)
    order = [*rungs, *(name for name in names if name not in rungs)]
    counts = Counter(items)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(AppendLog(log)) if log is not None else None
        desk = stack.enter_context(
            Desk(
                _FORM, WORKER, num_workers=num_workers, cache=effort.cache, journal=journal, workers=effort.workers
            )
        )  # fmt: skip
        keys = {item: {name: _key(name, item) for name in order} for item in counts}
        known = desk.known(key for of_item in keys.values() for key in of_item.values())
        climbs = {
            item: _Climb(item, keys[item], rungs, bound, timeout_s, known, on_end=lambda n=count: on_done(n))
            for item, count in counts.items()
        }
        run = stack.enter_context(contextlib.closing(_run(list(climbs.values()), desk, timeout_s)))
        for key, score, seconds in run:
            if not effort.keep_going and is_users_fault(score):
                advice = "fix it, or go on without these candidates by --keep-going (score.keep_going: true)"
                raise ToolFailed(f"the scorer {score.scorer}: {score.detail}; {advice}")
            desk.keep(key, (score, seconds))
    taken = [tuple(climbs[item].scores[name] for name in names if name in climbs[item].scores) for item in items]
    return meet_all(items, taken, num_workers=num_workers, timeout_s=timeout_s)


@dataclass(slots=True)
class _Climb:
    """One item on its way through its scorers: those of a ladder first, the lowest first."""

    item: ScoreItem
    keys: Mapping[str, str]  # by scorer, in the order in which they are taken
    rungs: Sequence[str]
    bound: Bound
    timeout_s: float
    known: Mapping[str, _Answer]
    on_end: Callable[[], None]  # called once, when nothing is left to take
    scores: dict[str, Score] = field(default_factory=dict[str, Score])
    spent_s: float = 0.0
    is_stuck: bool = False  # it has to be tried once more

    def next(self) -> Unit | None:
        """The scorer to take now, what is known or not wanted being passed over; None where there is none left."""
        for name, key in self.keys.items():
            if name in self.scores or not self._is_wanted(name):
                continue
            left, settled = self.bound.seconds - self.spent_s, self._settled(name)
            if key in self.known:
                self.add(*self.known[key])
            elif settled is not None:
                self.add(settled, 0.0)
            elif left < _LEAST_S:
                detail = f"the scorers before it took the candidate's bound of {self.bound.seconds:g} s"
                self.add(unscored(name, Verdict.UNDECIDED, detail), 0.0)
            else:
                is_ample = left >= min(self.timeout_s, self.bound.seconds / 2)
                return Unit(name, self.item, Bound(min(left, self.timeout_s), self.bound.memory_mb), is_ample)
        self.on_end()
        return None

    def add(self, score: Score, seconds: float) -> None:
        self.scores[score.scorer] = score
        self.spent_s += seconds

    def _is_wanted(self, name: str) -> bool:
        """Whether an item is on the ladder just below a rung: its score there is 1, or the climb goes on without it."""
        place = self.rungs.index(name) if name in self.rungs else 0
        if not place:
            return True
        below = self.scores.get(self.rungs[place - 1])
        return below is not None and (is_passed_by(below) or (below.value is not None and below.value >= 1))

    def _settled(self, name: str) -> Score | None:
        """The score of a scorer that would repeat work that ended in TIMEOUT on this text."""
        for before in scorers.scorer_of(name).repeats:
            score = self.scores.get(before)
            if score is not None and score.verdict is Verdict.TIMEOUT:
                return score.model_copy(update={"scorer": name})
        return None


def _key(name: str, item: ScoreItem) -> str:
    """Content hash of all that a score depends on. No bound is in it: what one ends is not kept."""
    try:
        version = scorers.version(name)
    except ToolMissing:
        version = ""
    return content_hash([name, scorers.REVISION, version, *asdict(item).values()], 32)


def _from_log(entry: dict[str, Any]) -> _Answer | None:
    """A score of a call that was stopped, with the time that it took.

    Tools that were missing or broken then are asked again.
    """
    score = Score.model_validate(entry["score"])
    is_broken = score.verdict in (Verdict.TOOL_MISSING, Verdict.TOOL_FAILED)
    return None if is_broken else (score, float(entry["seconds"]))


def _kept(answer: _Answer) -> str | None:
    """Where the same item would get the same score on a less busy machine, and of our own scorers, whose versions are
    known."""
    score, _ = answer
    is_lasting = score.verdict.fault is not Fault.OURS and score.verdict is not Verdict.TIMEOUT
    return score.model_dump_json() if is_lasting and score.scorer in scorers.SCORERS else None


_FORM: Form[_Answer] = Form(
    name="scores", point="score.item",
    logged=lambda answer: {"score": answer[0].model_dump(mode="json"), "seconds": answer[1]}, from_log=_from_log,
    kept=_kept, from_cache=lambda text: (Score.model_validate_json(text), 0.0),
)  # fmt: skip


def _run(
    climbs: Sequence[_Climb], desk: Desk[_Answer], timeout_s: float
) -> Generator[tuple[str, Score, float], None, None]:
    """Take all scorers of all items in workers; what stalls or crashes once more, alone, and with a bound of its
    own."""
    for climb, unit, outcome in _asked(climbs, desk.workers):
        is_cut = outcome.status == "timeout" and unit.left.seconds < timeout_s  # by what was left of the bound
        climb.is_stuck = outcome.status not in ("ok", "spent") and not is_cut
        if not climb.is_stuck:
            yield _take(climb, unit, outcome, is_well=is_cut)
    desk.rest()
    again = [climb for climb in climbs if climb.is_stuck]
    for climb in again:
        climb.is_stuck, climb.spent_s = False, 0.0
    healthy: dict[str, bool] = {}
    with pool.Workers(WORKER, 1) as alone:
        for climb, unit, outcome in _asked(again, alone):
            is_stall = outcome.status == "timeout"
            scorer = scorers.scorer_of(unit.name)
            if is_stall and (scorer.runs_tool or scorer.gives_up) and unit.name not in healthy:
                healthy[unit.name] = _answers(unit, timeout_s)
            is_well = is_stall and healthy.get(unit.name, unit.left.seconds < timeout_s)
            yield _take(climb, unit, outcome, is_well=is_well)


def _asked(climbs: Sequence[_Climb], workers: pool.Workers) -> Iterator[tuple[_Climb, Unit, Outcome]]:
    """What came of one scorer after the other on each item, until it has none left or is stuck."""
    units = {number: unit for number, climb in enumerate(climbs) if (unit := climb.next()) is not None}
    waiting = deque(_job(number, unit, climbs[number].timeout_s) for number, unit in units.items())
    try:
        for number, outcome in workers.work(waiting):
            climb = climbs[number]
            yield climb, units[number], outcome
            unit = climb.next() if not climb.is_stuck else None
            if unit is not None:
                units[number] = unit
                waiting.appendleft(_job(number, unit, climb.timeout_s))
    except RuntimeError as error:
        raise ToolFailed(f"scoring workers cannot start: {error}; itertl doctor shows what is installed") from error


def _job(number: int, unit: Unit, timeout_s: float) -> Job:
    """A scorer of ours keeps to its bound itself, by processor time, so that the pool's clock is only for a scorer that
    hangs."""
    if unit.name in scorers.SCORERS:
        return Job(number, unit, _PATIENCE * timeout_s, unit.left.memory_mb)
    return Job(number, unit, unit.left.seconds, None)


def _take(climb: _Climb, unit: Unit, outcome: Outcome, *, is_well: bool = False) -> tuple[str, Score, float]:
    """Note the score, and give it back with its key and its seconds. ``is_well``: of a stall, that the tool is not to
    blame."""
    seconds = outcome.seconds
    if outcome.status == "ok":
        score, seconds = outcome.value
    elif outcome.status == "spent":
        is_memory = outcome.detail.startswith("memory")
        ample = replace(unit, is_ample=is_memory or unit.left.seconds >= bounds.READING_CPU_S)
        what = f"reading it took more than it may ({outcome.detail})"
        score = used_up(ample, what, is_in_process=not outcome.detail.startswith(pool.ALL))
    elif is_well:
        score = used_up(unit, outcome.detail, is_in_process=True)
    else:
        score = unscored(unit.name, Verdict.TOOL_FAILED, f"{outcome.status}: {outcome.detail}")
    climb.add(score, seconds)
    return climb.keys[unit.name], score, seconds


def _answers(unit: Unit, timeout_s: float) -> bool:
    """Whether the scorer's tool is well: it scores a trivial design within the limit that the candidate overran."""
    with pool.Workers(WORKER, 1) as worker:
        [(_, outcome)] = worker.map_unordered([replace(unit, item=_PROBE)], timeout_s=timeout_s)
    return outcome.status == "ok" and outcome.value[0].verdict.fault is not Fault.OURS
