"""The half of scoring that runs in a disposable worker: one scorer on one item."""

import contextlib
import math
import resource
import time
import traceback
from collections.abc import Generator

from itertl.errors import ToolFailed, ToolMissing
from itertl.records import Fault, Score, Verdict
from itertl.scoring.samples import ScoreItem
from itertl.scoring.scorers import SCORERS, get_scorer

RAISED, WRONG_KIND = "raised", "scorer"  # how the detail begins where a scorer of the user's own is at fault
MEMORY_MB = 4096  # address space of a worker while a built-in scorer runs


def timed_unit(unit: tuple[str, ScoreItem]) -> tuple[Score, float]:
    """``score_unit`` and the seconds that it took."""
    begin = time.monotonic()
    score = score_unit(unit)
    return score, time.monotonic() - begin


def score_unit(unit: tuple[str, ScoreItem]) -> Score:
    """Take one score. An exception of the scorer is a fault of ours: the score says so, with value None."""
    name, item = unit
    try:
        with _memory_limit() if name in SCORERS else contextlib.nullcontext():
            found: object = get_scorer(name)(item)
    except MemoryError:
        raise
    except ToolMissing as error:
        return Score(scorer=name, value=None, verdict=Verdict.TOOL_MISSING, detail=str(error)[:500])
    except ToolFailed as error:
        return Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=str(error)[:500])
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        if name not in SCORERS:
            detail = f"{RAISED} {detail} ({_place(error)})"
        return Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=detail[:500])
    return _checked(name, found)


def _place(error: Exception) -> str:
    """File and line at which a user's scorer raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no line known"


def is_users_fault(score: Score) -> bool:
    """Whether a scorer of the user's own raised, or returned what is not a score."""
    return score.scorer not in SCORERS and score.detail.startswith((RAISED, WRONG_KIND))


def _checked(name: str, found: object) -> Score:
    """What a scorer of the user's own returned, made to keep the rules of ``Score``, or TOOL_FAILED that says why."""
    problem = None
    if not isinstance(found, Score):
        problem = f"returned a {type(found).__name__}, not an itertl.records.Score"
    elif (found.value is None) != (found.verdict.fault is Fault.OURS):
        problem = f"returned value {found.value} with verdict {found.verdict}: None goes with our faults, and only there"
    elif found.value is not None and not math.isfinite(found.value):
        problem = f"returned {found.value}, which is not a finite number"
    else:
        return found.model_copy(update={"scorer": name})
    return Score(scorer=name, value=None, verdict=Verdict.TOOL_FAILED, detail=f"{WRONG_KIND} {name} {problem}")


@contextlib.contextmanager
def _memory_limit() -> Generator[None]:
    """Cap this process's address space: a text that makes a tool allocate without end must not take the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [MEMORY_MB << 20, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
