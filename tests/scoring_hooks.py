"""Scorers as a user would write them, for tests of scoring: some misbehave. They run in worker processes."""

import os
import time
from pathlib import Path

from itertl.records import Score, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound
from itertl.sandbox.sandbox import Limits
from itertl.scoring.item import ScoreItem


def length(item: ScoreItem) -> Score:
    return Score(scorer="anything", value=len(item.code) / 100, verdict=Verdict.SCORED)


def counted(item: ScoreItem) -> Score:
    """Leaves one line in the file named in ``header`` for each call."""
    with Path(item.header).open("a") as handle:
        handle.write(f"{item.code}\n")
    return length(item)


def raises(item: ScoreItem) -> Score:
    raise ZeroDivisionError("no luck")


def not_a_number(item: ScoreItem) -> Score:
    return Score(scorer="s", value=float("nan"), verdict=Verdict.SCORED)


def blames_nobody(item: ScoreItem) -> Score:
    return Score(scorer="s", value=None, verdict=Verdict.SCORED)


def returns_a_list(item: ScoreItem) -> list[float]:
    return [0.5, 1.0]


def dies(item: ScoreItem) -> Score:
    os._exit(7)


def dies_once(item: ScoreItem) -> Score:
    """Dies in its first call; ``header`` names a file that remembers."""
    mark = Path(item.header)
    if not mark.exists():
        mark.touch()
        os._exit(7)
    return length(item)


def hangs(item: ScoreItem) -> Score:
    time.sleep(3600)
    return length(item)


def hangs_on_long(item: ScoreItem) -> Score:
    """As a tool that one text stalls."""
    return hangs(item) if len(item.code) > 100 else length(item)


def rung_0(item: ScoreItem) -> Score:
    """Of a ladder: the values stand in ``code``; each call leaves a line in the file named in ``header``."""
    return _rung(item, 0)


def rung_1(item: ScoreItem) -> Score:
    return _rung(item, 1)


def rung_2(item: ScoreItem) -> Score:
    return _rung(item, 2)


def _rung(item: ScoreItem, number: int) -> Score:
    with Path(item.header).open("a") as handle:
        handle.write(f"{number} {item.code}\n")
    value = float(item.code.split()[number])
    if value < 0:
        time.sleep(-value)
    return Score(scorer="s", value=abs(value), verdict=Verdict.SCORED)


def holds_memory(mebibytes: int) -> int:
    held = b"x" * (mebibytes << 20)
    time.sleep(3600 if mebibytes > 200 else 0)
    return len(held)


def burns(held_s: float) -> float:
    """Endless work within a bound of so many seconds."""
    with bounds.held(Bound(held_s)):
        while True:
            pass


def counts(work_s: float) -> tuple[float, int, int]:
    """Within a bound of 100 s: what counts after as much work apart as not, and a tool's limits of processor
    time apart and not."""

    def work() -> None:
        end = time.process_time() + work_s
        while time.process_time() < end:
            pass

    with bounds.held(Bound(100.0)):
        work()
        with bounds.uncounted():
            work()
            uncounted_s = bounds.within(Limits(cpu_s=200)).cpu_s
        return bounds.spent_s(), uncounted_s, bounds.within(Limits(cpu_s=200)).cpu_s
