"""pass@k against hand-computed values, against enumeration of all subsets, and its interval."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.evaluation.passk import bootstrap_interval, clopper_pearson, estimate, pass_at_k


def test_hand_computed() -> None:
    """n = 4, c = 2, k = 2: six pairs, one of which holds both wrong ones, so 5/6.

    n = 10, c = 3, k = 5: 1 - C(7,5)/C(10,5) = 1 - 21/252 = 11/12. n = 10, c = 1, k = 10: the right one is always drawn.
    """
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6, rel=1e-15)
    assert pass_at_k(10, 3, 5) == pytest.approx(11 / 12, rel=1e-15)
    assert pass_at_k(10, 1, 10) == 1.0
    assert pass_at_k(10, 0, 10) == 0.0
    assert pass_at_k(10, 7, 1) == 0.7
    assert pass_at_k(3, 3, 1) == 1.0


def test_too_few_samples_is_unknown_not_zero() -> None:
    assert pass_at_k(4, 4, 5) is None
    assert pass_at_k(0, 0, 1) is None


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (-1, 0, 1)])
def test_nonsense_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
@settings(deadline=None, max_examples=200)
def test_equals_enumeration_of_all_subsets(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == float(Fraction(sum(any(s) for s in subsets), len(subsets)))


@given(st.integers(2, 5000).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, n))))
@settings(deadline=None, max_examples=100)
def test_exactly_rounded_for_large_n(case: tuple[int, int, int]) -> None:
    n, c, k = case
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == float(exact)


def test_tiny_probability_keeps_its_digits() -> None:
    """The product form 1 - prod(1 - k/i) in floating point gives 9.99978e-13 here."""
    assert pass_at_k(10**12, 1, 1) == 1e-12


def test_estimate_is_the_mean_over_problems() -> None:
    found = estimate([(10, 5), (10, 0), (10, 10), (10, 1)], 1, seed=3)
    assert found.value == pytest.approx(0.4)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low <= 0.4 <= found.high <= 1


def test_estimate_is_reproducible_and_depends_on_the_seed() -> None:
    problems = [(10, c) for c in (0, 1, 2, 3, 5, 8, 10, 10, 4, 0, 6)]
    assert estimate(problems, 5, seed=1) == estimate(problems, 5, seed=1)
    assert len({estimate(problems, 5, seed=seed, resamples=50).low for seed in range(10)}) > 1


def test_no_count_is_certain() -> None:
    """0 of 36: the largest rate at which 36 failures in a row have 2.5% is 1 - 0.025^(1/36) = 9.74%; 36 of 36
    mirrors it."""
    nothing, everything = estimate([(1, 0)] * 36, 1, seed=0), estimate([(5, 5)] * 36, 1, seed=0)
    assert (nothing.value, nothing.low) == (0.0, 0.0) and nothing.high == pytest.approx(1 - 0.025 ** (1 / 36))
    assert (everything.value, everything.high) == (1.0, 1.0) and everything.low == pytest.approx(0.025 ** (1 / 36))
    equal = estimate([(4, 1)] * 7, 1, seed=0)  # a sum of 1.75: from that of 1 up to that of 2
    assert (equal.value, equal.low, equal.high) == (0.25, clopper_pearson(1, 7)[0], clopper_pearson(2, 7)[1])


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
@settings(deadline=None, max_examples=40)
def test_exact_interval_against_enumerated_tails(counts: tuple[int, int], level: float) -> None:
    """At each bound the tail that it is the limit of has (1 - level)/2, by whole numbers of outcomes."""
    successes, trials = counts
    low, high = clopper_pearson(successes, trials, level=level)

    def tail(rate: float, outcomes: range) -> float:
        return float(
            sum(math.comb(trials, n) * Fraction(rate) ** n * (1 - Fraction(rate)) ** (trials - n) for n in outcomes)
        )

    assert 0 <= low <= successes / trials <= high <= 1
    assert (
        low == 0
        if successes == 0
        else tail(low, range(successes, trials + 1)) == pytest.approx((1 - level) / 2, rel=1e-6)
    )
    assert (
        high == 1
        if successes == trials
        else tail(high, range(successes + 1)) == pytest.approx((1 - level) / 2, rel=1e-6)
    )


def test_interval_has_the_width_of_the_normal_one() -> None:
    """400 problems, half of them solved: standard error 0.5/20 = 0.025, so 95% is 0.5 -+ 0.049."""
    found = estimate([(1, i % 2) for i in range(400)], 1, seed=0)
    assert found.low == pytest.approx(0.451, abs=0.006)
    assert found.high == pytest.approx(0.549, abs=0.006)


def test_estimate_without_enough_samples_or_problems_is_unknown() -> None:
    assert estimate([(10, 5), (4, 4)], 5, seed=0).value is None
    assert estimate([], 1, seed=0).value is None
    assert estimate([(0, 0)], 1, seed=0).low is None


def test_estimate_refuses_a_bootstrap_without_draws() -> None:
    with pytest.raises(ValueError, match="resamples"):
        estimate([(2, 1), (2, 2)], 1, seed=0, resamples=0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_interval_is_that_of_means_drawn_one_by_one(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = [np.array(values)[rng.integers(0, len(values), len(values))].mean() for _ in range(300)]
    expected = np.quantile(means, [0.05, 0.95])
    assert bootstrap_interval(values, seed=seed, resamples=300, level=0.9) == pytest.approx(tuple(expected))


def test_many_problems_are_drawn_in_parts() -> None:
    """600,000 problems: one resample at a time.

    Half of them are solved, so the mean of each is within 0.005 of a half.
    """
    low, high = bootstrap_interval([0.0, 1.0] * 300_000, seed=1, resamples=3)
    assert 0.495 < low <= high < 0.505


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        bootstrap_interval([], seed=0)
