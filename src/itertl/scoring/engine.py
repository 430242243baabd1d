"""Scoring many items by several scorers: each distinct question once, over cores, remembered, resumable.

The order of work is free; what is returned depends on items and scorers alone. A worker that stalls or dies is met
like this: the item is tried once more, alone. Then a second stall is the candidate's (TIMEOUT, value 0) if the scorer
runs a tool on its text and that tool still answers on a trivial design, else ours (TOOL_FAILED, None); a second crash
is always ours, for it says nothing about the text. See docs/scoring.md.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from itertl import faults
from itertl.errors import ToolFailed, ToolMissing
from itertl.records import Fault, Score, Verdict, content_hash
from itertl.scoring import scorers
from itertl.scoring.cache import ScoreCache
from itertl.scoring.samples import ScoreItem
from itertl.storage import AppendLog
from itertl.tools import pool
from itertl.tools.pool import Outcome

Unit = tuple[str, ScoreItem]
_WORKER = "itertl.scoring.worker:score_unit"
_TRIVIAL = "module probe(output y);\nassign y = 1'b1;\nendmodule\n"
_PROBE = ScoreItem(code=_TRIVIAL, reference=_TRIVIAL)


def score_items(
    items: Sequence[ScoreItem],
    names: Sequence[str],
    *,
    num_workers: int = 0,
    timeout_s: float = 30.0,
    log: Path | None = None,
    cache: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[tuple[Score, ...]]:
    """Score each item by each scorer; returns, for each item, its scores in the order of ``names``.

    ``log``: progress file, from which a killed call goes on; the caller removes it once the result is on disk.
    ``cache``: folder of scores kept across runs. ``on_done`` is told how many items became complete since its last
    call. Raises UsageError for an unknown scorer, ToolFailed where workers cannot start.
    """
    scorers.check_scorers(names)
    keys = [[_key(name, item) for name in names] for item in items]
    todo = {key: (name, item) for item, row in zip(items, keys, strict=True) for name, key in zip(names, row, strict=True)}
    progress = _Progress(keys, on_done)
    with contextlib.ExitStack() as stack:
        remembered = stack.enter_context(ScoreCache(cache))
        journal = stack.enter_context(AppendLog(log)) if log is not None else None
        known = remembered.get(key for key, (name, _) in todo.items() if name in scorers.SCORERS)
        known |= _surviving(journal, todo)
        progress.add(known)
        left = {key: unit for key, unit in todo.items() if key not in known}
        run = stack.enter_context(contextlib.closing(_run(left, num_workers, timeout_s)))
        for key, score in run:
            known[key] = score
            if journal is not None:
                journal.append([{"key": key, "score": score.model_dump(mode="json")}])
                faults.point("score.item")
            if todo[key][0] in scorers.SCORERS:
                remembered.put(key, score)
            progress.add([key])
    return [tuple(known[key] for key in row) for row in keys]


def _key(name: str, item: ScoreItem) -> str:
    """Content hash of all that a score depends on."""
    try:
        version = scorers.version(name)
    except ToolMissing:
        version = ""
    return content_hash([name, scorers.REVISION, version, *asdict(item).values()], 32)


def _surviving(journal: AppendLog | None, wanted: dict[str, Unit]) -> dict[str, Score]:
    """Scores of an interrupted call. Tools that were missing or broken then are asked again."""
    found: dict[str, Score] = {}
    for entry in journal.existing if journal is not None else []:
        with contextlib.suppress(ValidationError, KeyError, TypeError):
            score = Score.model_validate(entry["score"])
            if entry["key"] in wanted and score.verdict not in (Verdict.TOOL_MISSING, Verdict.TOOL_FAILED):
                found[entry["key"]] = score
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


def _run(units: dict[str, Unit], num_workers: int, timeout_s: float) -> Generator[tuple[str, Score], None, None]:
    """Score each unit in workers; those that stall or crash once more, alone."""
    again: list[str] = []
    for key, outcome in _outcomes(units, num_workers, timeout_s):
        if outcome.status == "ok":
            yield key, outcome.value
        else:
            again.append(key)
    healthy: dict[str, bool] = {}
    for key, outcome in _outcomes({key: units[key] for key in again}, 1, timeout_s):
        name = units[key][0]
        is_stall = outcome.status == "timeout" or (outcome.status == "raised" and outcome.detail == "MemoryError")
        if is_stall and name in scorers.STALLED_BY_TEXT and name not in healthy:
            healthy[name] = _answers(name, timeout_s)
        yield key, outcome.value if outcome.status == "ok" else _blame(name, outcome, is_stall and healthy.get(name, False))


def _outcomes(units: dict[str, Unit], num_workers: int, timeout_s: float) -> Iterator[tuple[str, Outcome]]:
    keys = list(units)
    run = pool.map_unordered(_WORKER, units.values(), num_workers=num_workers, timeout_s=timeout_s)
    try:
        for number, outcome in run:
            yield keys[number], outcome
    except RuntimeError as error:
        raise ToolFailed(f"scoring workers cannot start: {error}; itertl doctor tells what is installed") from error


def _answers(name: str, timeout_s: float) -> bool:
    """Whether the scorer's tool is well: it scores a trivial design within the limit that the candidate overran."""
    [(_, outcome)] = _outcomes({"": (name, _PROBE)}, 1, timeout_s)
    return outcome.status == "ok" and outcome.value.verdict.fault is not Fault.OURS


def _blame(name: str, outcome: Outcome, is_models: bool) -> Score:
    if is_models:
        return Score(scorer=name, value=0.0, verdict=Verdict.TIMEOUT, detail=outcome.detail)
    return Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=f"{outcome.status}: {outcome.detail}"[:500])
