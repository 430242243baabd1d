"""The simulation that ``equivalence`` and ``ppa`` rest on, kept for a moment: a worker often takes both of one candidate."""

import functools

from itertl.records import Score, Verdict
from itertl.scoring.cache import is_lasting
from itertl.scoring.samples import ScoreItem

_KEPT = 64


def simulated(item: ScoreItem) -> Score:
    """What ``vectors`` says. Raises as it does."""
    found = _scored(item)
    if not is_lasting(found) and found.verdict is not Verdict.UNJUDGEABLE:
        _scored.cache_clear()
    return found


@functools.lru_cache(maxsize=_KEPT)
def _scored(item: ScoreItem) -> Score:
    from itertl.scoring.vectors import score as vectors

    return vectors.score(item)
