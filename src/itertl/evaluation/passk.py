"""pass@k: the unbiased estimator (paper, eq. 12) and its interval over problems.

The interval speaks of the choice of problems alone: the samples within a problem are taken as given. Where every
problem is plainly right or wrong it is Clopper and Pearson's; else a bootstrap's, which would call 0 of 36 certain.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from itertl.records import PassAtK
from itertl.work.seeds import derive_seed


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Probability that at least one of ``k`` samples is right, given ``c`` right ones among ``n`` (eq. 12).

    ``1 - C(n-c, k) / C(n, k)``, taken over whole numbers, so that the one division is the only rounding.
    None where ``n < k``: there is no unbiased estimate. Raises ValueError where ``k < 1`` or not ``0 <= c <= n``.
    """
    if k < 1 or not 0 <= c <= n:
        raise ValueError(f"pass@k needs k >= 1 and 0 <= c <= n, got n={n}, c={c}, k={k}")
    if n < k:
        return None
    draws = math.comb(n, k)
    return (draws - math.comb(n - c, k)) / draws


def exact_pass_at_k(n: int, c: int, k: int) -> Fraction:
    """``pass_at_k`` without its rounding, so that equal differences are equal. Needs k <= n."""
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def estimate(per_problem: Sequence[tuple[int, int]], k: int, *, seed: int, resamples: int = 2000) -> PassAtK:
    """Mean pass@k over problems with its 95% interval: ``clopper_pearson`` where each problem's value is 0 or 1 (one
    sample a problem, or samples that agree) or all are equal (their sum rounded outwards), else ``bootstrap_interval``.

    ``per_problem`` holds (samples n, right ones c) of each problem. ``value`` is None where there is no problem, or
    where one of them has fewer than ``k`` samples: a mean over the others would be of another benchmark.
    """
    values = [pass_at_k(n, c, k) for n, c in per_problem]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return PassAtK(k=k, value=None)
    total = math.fsum(known)
    if set(known) <= {0.0, 1.0} or len(set(known)) == 1:
        low, _ = clopper_pearson(math.floor(total), len(known))
        _, high = clopper_pearson(math.ceil(total), len(known))
    else:
        low, high = bootstrap_interval(known, seed=derive_seed(seed, "bootstrap", k), resamples=resamples)
    return PassAtK(k=k, value=total / len(known), low=low, high=high)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate (Clopper and Pearson 1934): the rates at which so many successes, or more extreme
    ones, have at least (1 - level)/2. Example: 0 of 36 gives (0.0, 0.0974). Raises ValueError for counts or a level out
    of range."""
    if not (0 <= successes <= trials and trials >= 1 and 0 < level < 1):
        raise ValueError(
            f"an interval needs 0 <= successes <= trials and 0 < level < 1, got {successes} of {trials}, level={level}"
        )
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else _rate_where(lambda rate: 1 - _at_most(successes - 1, trials, rate) >= tail)
    high = 1.0 if successes == trials else _rate_where(lambda rate: _at_most(successes, trials, rate) <= tail)
    return low, high


def _rate_where(holds: Callable[[float], bool]) -> float:
    """The smallest rate from which ``holds`` is true, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _at_most(successes: int, trials: int, rate: float) -> float:
    """Probability of at most so many successes; 0 < rate < 1."""
    log_rate, log_rest, whole = math.log(rate), math.log1p(-rate), math.lgamma(trials + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(n + 1) - math.lgamma(trials - n + 1) + n * log_rate + (trials - n) * log_rest)
        for n in range(successes + 1)
    )


def bootstrap_interval(
    values: Sequence[float], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bounds of the mean of ``values`` (one of each problem), the problems drawn with replacement.

    Raises ValueError where there is no value, no draw, or a level outside (0, 1).
    """
    if not values or resamples < 1 or not 0 < level < 1:
        asked = f"{len(values)} values, resamples={resamples}, level={level}"
        raise ValueError(f"a bootstrap needs a value, resamples >= 1 and 0 < level < 1, got {asked}")
    values_P = np.array(values)
    rng = np.random.default_rng(seed)
    rows = max(1, 1_000_000 // len(values))  # at a time, for memory's sake; the draws are the same however many
    counts = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    means_R = np.concatenate(
        [values_P[rng.integers(0, len(values), (count, len(values)))].mean(axis=1) for count in counts]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    return float(low), float(high)
