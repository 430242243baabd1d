"""The scorer ``vectors``, its last answer kept: ``equivalence`` and ``ppa`` rest on it, and a worker takes all of one
candidate."""

from itertl.records import Score
from itertl.scoring.item import ScoreItem

_last: dict[ScoreItem, Score] = {}


def simulated(item: ScoreItem) -> Score:
    """What ``vectors`` says. Raises as it does."""
    found = _last.get(item)
    if found is None:
        from itertl.scoring.vectors import score as vectors

        found = vectors.score(item)
        _last.clear()
        _last[item] = found
    return found
