"""``adaptive``: draws for training, more of them where a problem's candidates are all right or all wrong.

A group whose candidates are all alike says nothing of which of them is better. So a problem is drawn again until one of
its candidates is right and one is wrong, by a scorer. Where earlier iterations found it solved or hopeless (by the mean
z of its candidates, in pools, as prime-rl has them), fewer draws are spent on it.
"""

import copy
import math
from collections.abc import Sequence
from typing import cast

from itertl.errors import UsageError
from itertl.records import Attempt
from itertl.search.best_of import UNSCORED, BestOf
from itertl.search.strategy import MOST, RIGHT, Ask, check_count

POOLS = ((0.25, 0.2), (0.75, 1.0), (1.0, 0.2))  # largest mean z, and the share of ``most`` that is drawn at most


class Adaptive(BestOf):
    """Rounds of ``width`` draws until the group is mixed by ``scorer`` or ``most`` are drawn; all of them answer.

    ``pools``: [[largest mean z, share of ``most``], …], the lowest first; what lies above the last is in it. Empty:
    all problems get ``most``.
    """

    adapts = True

    def __init__(
        self, most: int = 12, width: int = 3, scorer: str = "vectors", pools: Sequence[Sequence[float]] | None = POOLS
    ) -> None:
        check_count(most=most, width=width)
        super().__init__(width, scorer)
        self._most, self._width, self._pools = most, width, _checked(pools)

    def of_problem(self, mean_z: float | None) -> "Adaptive":
        if mean_z is None or not self._pools:
            return self
        share = next((share for bound, share in self._pools if mean_z <= bound), self._pools[-1][1])
        found = copy.copy(self)
        found._most = math.ceil(share * self._most - 1e-9)  # 0.2 · 15 is 3, whatever its last digit says
        return found

    def next(self, attempts: Sequence[Attempt]) -> Sequence[Ask]:
        left = self._most - len(attempts)
        return [] if left <= 0 or is_mixed(attempts) else [Ask(min(self._width, left))]


def is_mixed(attempts: Sequence[Attempt]) -> bool:
    """Whether one is right and one is wrong; one that could not be scored is neither."""
    ranks = [attempt.examined.rank for attempt in attempts]
    return any(rank >= RIGHT for rank in ranks) and any(UNSCORED < rank < RIGHT for rank in ranks)


def _checked(pools: object) -> tuple[tuple[float, float], ...]:
    """The pools as pairs of numbers. Raises UsageError."""
    found: list[tuple[float, float]] = []
    for pool in cast(
        "Sequence[object]", pools if isinstance(pools, list | tuple) else [] if pools is None else [pools]
    ):
        pair = list(cast("Sequence[object]", pool)) if isinstance(pool, list | tuple) else []
        if len(pair) != 2 or not all(
            isinstance(n, int | float) and not isinstance(n, bool) and abs(n) <= MOST for n in pair
        ):
            raise UsageError(_wrong(pools, "each is a pair of numbers"))
        bound, share = cast("list[float]", pair)
        if not (0 <= share <= 1 and (not found or bound > found[-1][0])):
            raise UsageError(_wrong(pools, "the largest mean z of each must rise, and shares lie between 0 and 1"))
        found.append((bound, share))
    return tuple(found)


def _wrong(pools: object, why: str) -> str:
    return f"sample.strategy_options.pools is {pools!r}: {why}; for example [[0.25, 0.2], [0.75, 1], [1, 0.2]]"
