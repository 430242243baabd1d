"""Intervals over training seeds and problems: both were drawn, so both are drawn again.

A crossed bootstrap: seeds and problems are resampled independently of each other, and a resample's mean is taken over
the drawn seeds × drawn problems (the "multi-way" bootstrap of Owen 2007). With few seeds it is too narrow: two drawn of
two are the same one half of the time. With one seed it is the bootstrap over problems alone, and says nothing of seeds.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from itertl.evaluation.passk import clopper_pearson
from itertl.records import PassAtK


def mean(values: Sequence[Mapping[str, float]]) -> float | None:
    """The mean over all seeds and problems; ``values`` maps problems to what was measured, one mapping a seed."""
    every = [value for of_seed in values for value in of_seed.values()]
    return math.fsum(every) / len(every) if every else None


def interval(
    values: Sequence[Mapping[str, float]], *, seed: int, resamples: int = 4000, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bounds of ``mean``. A problem that a seed lacks (it could not be judged) weighs nothing there. None
    where there is no value."""
    values = [of_seed for of_seed in values if of_seed]
    problems = list(dict.fromkeys(problem for of_seed in values for problem in of_seed))
    if not problems:
        return None
    known_S_P = np.array([[problem in of_seed for problem in problems] for of_seed in values], dtype=float)
    value_S_P = np.array([[of_seed.get(problem, 0.0) for problem in problems] for of_seed in values])
    rng = np.random.default_rng(seed)
    seeds_R_S = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), resamples).astype(float)
    problems_R_P = rng.multinomial(len(problems), np.full(len(problems), 1 / len(problems)), resamples).astype(float)
    totals_R = ((seeds_R_S @ value_S_P) * problems_R_P).sum(axis=1)
    weights_R = ((seeds_R_S @ known_S_P) * problems_R_P).sum(axis=1)
    means_R = totals_R[weights_R > 0] / weights_R[weights_R > 0]
    tail = (1 - level) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    return float(low), float(high)


def estimate(values: Sequence[Mapping[str, float]], k: int, *, seed: int) -> PassAtK:
    """Mean pass@k with its interval. Where all seeds agree on every problem and each is plainly right or wrong, there
    are only so many problems to learn from, and the interval is Clopper and Pearson's: 0 of 36 is not
    certain."""
    average = mean(values)
    if average is None:
        return PassAtK(k=k, value=None)
    first = next(of_seed for of_seed in values if of_seed)
    if set(first.values()) <= {0.0, 1.0} and all(of_seed == first for of_seed in values if of_seed):
        low, high = clopper_pearson(round(sum(first.values())), len(first))
        return PassAtK(k=k, value=average, low=low, high=high)
    bounds = interval(values, seed=seed)
    assert bounds is not None
    return PassAtK(k=k, value=average, low=bounds[0], high=bounds[1])
