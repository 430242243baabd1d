"""pass@k: the unbiased estimator (paper, eq. 12) and a bootstrap interval over problems.

The interval speaks of the choice of problems alone: the samples within a problem are taken as given.
"""

import math
from collections.abc import Sequence

import numpy as np

from itertl.records import PassAtK
from itertl.seeds import derive_seed


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


def estimate(
    per_problem: Sequence[tuple[int, int]], k: int, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> PassAtK:
    """Mean pass@k over problems with its percentile bootstrap interval (problems drawn with replacement).

    ``per_problem`` holds (samples n, right ones c) of each problem. ``value`` is None where there is no problem, or
    where one of them has fewer than ``k`` samples: a mean over the others would be of another benchmark.
    """
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"a bootstrap needs resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    values = [pass_at_k(n, c, k) for n, c in per_problem]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return PassAtK(k=k, value=None)
    shares_P = np.array(known)
    rng = np.random.default_rng(derive_seed(seed, "bootstrap", k))
    means_R = np.array([shares_P[rng.integers(0, len(known), len(known))].mean() for _ in range(resamples)])
    tail = (1 - level) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    return PassAtK(k=k, value=math.fsum(known) / len(known), low=float(low), high=float(high))
