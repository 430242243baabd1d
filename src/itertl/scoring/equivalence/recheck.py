"""A second opinion on what was proven, by a route without netlist or solver: the texts simulated under other seeds."""

import os
from collections.abc import Sequence
from typing import Any

from itertl.judging.outcomes import cut
from itertl.records import Score, Verdict
from itertl.scoring.samples import ScoreItem
from itertl.tools.pool import map_unordered

SEEDS = ("recheck 1", "recheck 2", "recheck 3")
_SEED = "ITERTL_VECTORS_SEED"


def again(item: ScoreItem) -> tuple[int, str]:
    """(simulations that agreed, the first difference or ""). In a worker. Raises ToolMissing."""
    from itertl.scoring.vectors import score as vectors

    before, agreed = os.environ.get(_SEED), 0
    try:
        for seed in SEEDS:
            os.environ[_SEED] = seed
            found = vectors.score(item)
            if found.verdict is Verdict.WRONG_OUTPUT:
                return agreed, found.detail
            agreed += found.verdict is Verdict.PASSED
    finally:
        os.environ.pop(_SEED, None) if before is None else os.environ.update({_SEED: before})
    return agreed, ""


def recheck(
    items: Sequence[ScoreItem], taken: Sequence[tuple[Score, ...]], *, num_workers: int, timeout_s: float
) -> tuple[list[tuple[Score, ...]], dict[str, int]]:
    """The scores, where a proof that a simulation contradicts is undecided; and counts of what came of the proofs."""
    proven = [number for number, scores in enumerate(taken) if any(_is_proof(score) for score in scores)]
    counts = {"proven": len(proven), "confirmed": 0, "contradicted": 0, "open": 0}
    result = list(taken)
    payloads = [items[number] for number in proven]
    for place, outcome in map_unordered(
        "itertl.scoring.equivalence.recheck:again", payloads, num_workers=num_workers, timeout_s=len(SEEDS) * timeout_s
    ):
        agreed, difference = outcome.value if outcome.status == "ok" else (0, "")
        counts["contradicted" if difference else "confirmed" if agreed == len(SEEDS) else "open"] += 1
        if difference:
            number = proven[place]
            result[number] = tuple(_contradicted(score, difference) if _is_proof(score) else score for score in taken[number])
    return result, counts


def _is_proof(score: Score) -> bool:
    return score.scorer == "equivalence" and score.verdict is Verdict.PASSED


def _contradicted(score: Score, difference: str) -> Score:
    changed: dict[str, Any] = {"value": None, "verdict": Verdict.UNDECIDED, "detail": cut(f"unknown: proven, but simulated anew: {difference}")}
    return score.model_copy(update=changed)
