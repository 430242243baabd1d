"""The half of scoring that runs in a disposable worker: one scorer on one item."""

import math
import time
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

from itertl import plugins
from itertl.errors import ToolFailed, ToolMissing
from itertl.records import Fault, Score, Verdict
from itertl.sandbox import bounds
from itertl.sandbox.bounds import Bound, BoundReached
from itertl.scoring.item import ScoreItem
from itertl.scoring.scorers import SCORERS, get_scorer, scorer_of

RAISED, WRONG_KIND = "raised", "scorer"  # how the detail begins where a scorer of the user's own is at fault


@dataclass(frozen=True, slots=True)
class Unit:
    """One scorer on one candidate, and what is left of the candidate's bound. ``is_ample``: enough to blame the text
    where it is used up."""

    name: str
    item: ScoreItem
    left: Bound
    is_ample: bool = True


def timed_unit(unit: Unit) -> tuple[Score, float]:
    """The score, and the seconds that it took, without what was not the candidate's doing."""
    if unit.name not in SCORERS:
        begin = time.monotonic()
        return score_unit(unit), time.monotonic() - begin
    with bounds.held(unit.left):
        score = score_unit(unit)
        return score, bounds.spent_s()


def score_unit(unit: Unit) -> Score:
    """Take one score. An exception of the scorer is a fault of ours: the score says so, with value None.

    Raises MemoryError.
    """
    name, is_ours = unit.name, unit.name in SCORERS
    try:
        found: object = get_scorer(name)(unit.item)
    except MemoryError:
        raise
    except BoundReached:
        return used_up(
            unit, f"its tools did not end within the {unit.left.seconds:.3g} s of the candidate's bound that were left"
        )
    except ToolMissing as error:
        return unscored(name, Verdict.TOOL_MISSING, str(error))
    except ToolFailed as error:
        return unscored(name, Verdict.TOOL_FAILED, str(error))
    except Exception as error:
        if isinstance(error, RecursionError) and is_ours:
            return unscored(name, Verdict.UNDECIDED, f"nested too deeply: {error}")
        detail = f"{type(error).__name__}: {error}"
        if is_ours:
            return unscored(name, Verdict.TOOL_FAILED, detail)
        place = plugins.place_of(error) or "no line known"
        return unscored(name, Verdict.TOOL_FAILED, f"{RAISED} {detail} ({place})")
    return _checked(name, found)


def unscored(name: str, verdict: Verdict, detail: str) -> Score:
    """A score without a value."""
    return Score(scorer=name, value=None, verdict=verdict, detail=detail[:500])


def used_up(unit: Unit, what: str, *, is_in_process: bool = False) -> Score:
    """Where the candidate's bound ended a scorer: the text's doing if it had enough and the scorer says so of stalls,
    else undecided.

    ``is_in_process``: while the text was read, and not in a tool that may give up on a text.
    """
    scorer = scorer_of(unit.name)
    is_stall = unit.is_ample and scorer.runs_tool and (is_in_process or not scorer.gives_up)
    if is_stall:
        return Score(scorer=unit.name, value=0.0, verdict=Verdict.TIMEOUT, detail=what[:500])
    return unscored(unit.name, Verdict.UNDECIDED, what)


def is_users_fault(score: Score) -> bool:
    """Whether a scorer of the user's own raised, or returned what is not a score."""
    return score.scorer not in SCORERS and score.detail.startswith((RAISED, WRONG_KIND))


def _checked(name: str, found: object) -> Score:
    """What a scorer of the user's own returned, made to keep the rules of ``Score``, or TOOL_FAILED that says why."""
    if not isinstance(found, bool) and isinstance(found, Real):  # a number alone
        found = Score(scorer=name, value=float(found), verdict=Verdict.SCORED)
    if not isinstance(found, Score):
        problem = f"returned {_described(found)}, not a number or an itertl.Score"
    elif (found.value is None) != (found.verdict.fault is Fault.OURS):
        problem = (
            f"returned value {found.value} with verdict {found.verdict}: None goes with our faults, and only there"
        )
    elif found.value is not None and not math.isfinite(found.value):
        problem = f"returned {found.value}, which is not a finite number"
    else:
        return found.model_copy(update={"scorer": name})
    place = plugins.definition_of(get_scorer(name))
    return unscored(name, Verdict.TOOL_FAILED, f"{WRONG_KIND} {name} {problem} ({place or 'no line known'})")


def _described(found: object) -> str:
    kind = type(found).__name__
    if isinstance(found, list | tuple | dict):
        size = len(cast("list[Any]", found))
        return f"a {kind} of {size}: a scorer is asked for one candidate and returns one value"
    return f"{found!r:.60}, a {kind}" if found is not None else "None"
