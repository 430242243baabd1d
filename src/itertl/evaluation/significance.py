"""Tests of paired differences that assume nothing of how they are distributed: sign flips, and McNemar's.

The null hypothesis is that on each problem the two that are compared are exchangeable: swapping their names there is as
likely to have been seen. Sums are taken over whole numbers, so that ties are ties.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

EXACT_PROBLEMS = 20  # so many differing problems are always enumerated: at most 2^20 sums
EXACT_SUMS = 1 << 17  # more of them are, while their sums take at most so many values
DRAWS = 20_000  # of the Monte Carlo test, otherwise


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Two-sided p-value of a sign-flip test. ``draws`` is None where all sign patterns were accounted for."""

    p_value: float
    draws: int | None = None


def sign_flip(
    deltas: Sequence[Fraction], *, seed: int, exact_problems: int = EXACT_PROBLEMS, exact_sums: int = EXACT_SUMS,
    draws: int = DRAWS,
) -> SignFlip:  # fmt: skip
    """Two-sided randomisation test of paired differences: how often is a sum of ±deltas as far from 0 as theirs?

    Exact, over all 2^m sign patterns of the m differences that are not zero, where m <= ``exact_problems`` or the sums
    take at most ``exact_sums`` values (for pass@1 of n samples a problem they take at most 2nm + 1). Otherwise
    ``draws`` random patterns, and p = (b + 1)/(draws + 1) with b of them at least as far: never 0, and valid
    (Phipson and Smyth, 2010). Sums are of whole numbers, so ties are ties. p = 1 where no difference is left.
    """
    scale = math.lcm(*(delta.denominator for delta in deltas))
    whole = [abs(int(delta * scale)) for delta in deltas if delta]
    observed = abs(int(sum(deltas) * scale))
    distribution = _sum_distribution(whole, exact_sums if len(whole) > exact_problems else None)
    if distribution is not None:
        sums_S, shares_S = distribution
        far_S = (sums_S >= observed) | (sums_S <= -observed)
        return SignFlip(min(1.0, float(shares_S[far_S].sum())))
    rng = np.random.default_rng(seed)
    values_M = np.array(whole, dtype=_whole_dtype(whole))
    far = 0
    for start in range(0, draws, 1000):
        signs_R_M = 2 * rng.integers(0, 2, (min(1000, draws - start), len(whole))) - 1
        sums_R = signs_R_M.astype(values_M.dtype) @ values_M
        far += int(((sums_R >= observed) | (sums_R <= -observed)).sum())
    return SignFlip((far + 1) / (draws + 1), draws)


def _sum_distribution(whole: Sequence[int], most: int | None) -> tuple[np.ndarray, np.ndarray] | None:
    """The values that ±w1 ± w2 … can take and the probability of each; None where there are more than ``most``."""
    sums_S = np.zeros(1, dtype=_whole_dtype(whole))
    shares_S = np.ones(1)
    for value in whole:
        merged, places = np.unique(np.concatenate([sums_S - value, sums_S + value]), return_inverse=True)
        if most is not None and len(merged) > most:
            return None
        sums_S, shares_S = merged, np.bincount(places, np.concatenate([shares_S, shares_S]) / 2)
    return sums_S, shares_S


def _whole_dtype(whole: Iterable[int]) -> type:
    """Machine integers where no sum can overflow them, Python's own otherwise."""
    return np.int64 if sum(whole) < 2**62 else object


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact two-sided p: of the problems that one alone passed, is the split like that of a fair coin?"""
    total, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(total, i) for i in range(fewer + 1))
    return min(1.0, float(Fraction(2 * tail, 2**total)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests after Holm (1979), in the order given: the r-th smallest of m (from 0) times m - r,
    never below one that came before it, at most 1. To reject where the result is at most 0.05 keeps the chance of any
    false rejection there."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted
