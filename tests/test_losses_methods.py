"""Losses of the methods that ours is compared with: worked maths, plain loops, autograd against finite differences."""

import math
import statistics
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itertl.training import losses

SCORES = st.one_of(st.sampled_from([-0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), st.floats(-2, 2))
LOGP = st.floats(-8, 0)
INF, NAN = math.inf, math.nan


def f64(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def grad_of(total: Tensor, leaf: Tensor) -> list[float]:
    (gradient,) = torch.autograd.grad(total.sum(), leaf)
    return gradient.tolist()


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[float], list[float], list[float]]:
    """log P, log P under a second model, and z, of 1 to 6 responses; z often has ties."""
    size = draw(st.integers(1, 6))
    first, second = (draw(st.lists(LOGP, min_size=size, max_size=size)) for _ in range(2))
    return first, second, draw(st.lists(SCORES, min_size=size, max_size=size))


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]]]:
    """log P and log P under the initial model of 1 to 4 responses of 1 to 5 tokens."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    now, before = ([draw(st.lists(LOGP, min_size=n, max_size=n)) for n in lengths] for _ in range(2))
    return now, before


def pad(ragged: list[list[float]], padding: float = NAN) -> tuple[Tensor, Tensor]:
    width = max(map(len, ragged)) + 1
    logp = torch.full((len(ragged), width), padding, dtype=torch.float64)
    mask = torch.zeros((len(ragged), width), dtype=torch.bool)
    for index, row in enumerate(ragged):
        logp[index, : len(row)] = f64(row)
        mask[index, : len(row)] = True
    return logp, mask


# Length normalisation


def test_exponents_of_the_length_by_hand() -> None:
    """Row -1, -2, -3, -6: sum -12, length 4. Exponent 0: -12; 1: -12/4 = -3; 2: -12/16 = -0.75; 0.5: -12/2 = -6.
    With a prompt of 5 tokens and "sequence": (5 + 4)^2 = 81, -12/81; (5 + 4)^0.5 = 3, -12/3 = -4.
    """
    logp, mask = pad([[-1.0, -2.0, -3.0, -6.0]])
    for exponent, expected in ((0.0, -12.0), (1.0, -3.0), (2.0, -0.75), (0.5, -6.0)):
        assert losses.length_normalized_logp(logp, mask, exponent=exponent).tolist() == [expected]
    for exponent, expected in ((2.0, -12 / 81), (0.5, -4.0)):
        found = losses.length_normalized_logp(logp, mask, "sequence", [5], exponent=exponent)
        assert found.tolist() == pytest.approx([expected])


@settings(deadline=None, max_examples=100)
@given(rows(), st.floats(0, 3))
def test_exponents_equal_plain_sums(ragged: tuple[list[list[float]], list[list[float]]], exponent: float) -> None:
    now, _ = ragged
    found = losses.length_normalized_logp(*pad(now), exponent=exponent)
    assert found.tolist() == pytest.approx([sum(row) / len(row) ** exponent for row in now])


def test_length_is_not_limited_by_half_precision() -> None:
    """300 tokens of -1 at exponent 2: -300/90000 = -1/300, though float16 ends at 65504."""
    logp = torch.full((1, 300), -1.0, dtype=torch.float16)
    found = losses.length_normalized_logp(logp, torch.ones(1, 300), exponent=2.0)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(-1 / 300)


# Hinges: RRHF, SLiC, BRIO


def test_rrhf_by_hand() -> None:
    """p = (-0.5, -1.0, -0.25), z = (0.3, 0.9, 0.9). Pairs of lower and higher z: (1,2), (1,3); 2 and 3 tie.
    p_1 - p_2 = 0.5; p_1 - p_3 = -0.25, so 0. Gradient of the sum: +1 on p_1, -1 on p_2.
    """
    p = f64([-0.5, -1.0, -0.25]).requires_grad_()
    hinges = losses.ranking_hinges(p, [0.3, 0.9, 0.9], alpha=0, beta=0)
    assert hinges.tolist() == [0.5, 0.0]
    assert grad_of(hinges, p) == [1.0, -1.0, 0.0]


@settings(deadline=None, max_examples=200)
@given(groups())
def test_rrhf_equals_its_authors_loop(group: tuple[list[float], list[float], list[float]]) -> None:
    """RRHF sums p_lo - p_hi over the pairs where the reward is greater and p is not."""
    p, _, z = group
    expected = 0.0
    for low in range(len(p)):
        for high in range(len(p)):
            if z[high] - z[low] > 0 and p[high] - p[low] < 0:
                expected += p[low] - p[high]
    assert losses.ranking_hinges(f64(p), z, alpha=0, beta=0).sum().item() == pytest.approx(expected, abs=1e-9)


def test_slic_by_hand() -> None:
    """Two responses of 2 and 3 tokens, sums log P -3 (z = 1) and -2.5 (z = 0); δ = 1: 1 + 3 - 2.5 = 1.5.
    δ = 0.25: 0.25 + 3 - 2.5 = 0.75. The length-normalised -1.5 and -2.5/3 would give 1 + 1.5 - 0.83 = 1.67 at δ = 1.
    """
    total = losses.length_normalized_logp(*pad([[-1.0, -2.0], [-0.5, -1.0, -1.0]]), exponent=0.0)
    assert losses.ranking_hinges(total, [1.0, 0.0], alpha=1.0, beta=0.0).tolist() == [1.5]
    assert losses.ranking_hinges(total, [1.0, 0.0], alpha=0.25, beta=0.0).tolist() == [0.75]


@settings(deadline=None, max_examples=200)
@given(groups(), st.floats(0, 5), st.floats(0, 1))
def test_slic_equals_double_loop(
    group: tuple[list[float], list[float], list[float]], delta: float, beta: float
) -> None:
    logp, _, z = group
    expected = []
    for worse in range(len(z)):
        for better in range(len(z)):
            if z[better] - beta > z[worse]:
                expected.append(max(0.0, delta - logp[better] + logp[worse]))
    assert losses.ranking_hinges(f64(logp), z, alpha=delta, beta=beta).tolist() == pytest.approx(expected)


def test_brio_by_hand() -> None:
    """z = (0.2, 1, 0.5, 1): ranks 3, 1, 2, 1. p = (-1, -2, -1.5, -1.25), margin 0.1.

    Pairs (worse, better): (1,2): gap 2, -1 + 2 + 0.2 = 1.2; (1,3): gap 1, -1 + 1.5 + 0.1 = 0.6;
    (1,4): gap 2, -1 + 1.25 + 0.2 = 0.45; (3,2): gap 1, -1.5 + 2 + 0.1 = 0.6;
    (3,4): gap 1, -1.5 + 1.25 + 0.1 = -0.15, so 0. 2 and 4 tie: no pair.
    Gradient: p_1 worse thrice: 3; p_2 better twice: -2; p_3 better once, worse once: 0; p_4 better once: -1.
    """
    p = f64([-1.0, -2.0, -1.5, -1.25]).requires_grad_()
    hinges = losses.brio_hinges(p, [0.2, 1.0, 0.5, 1.0], margin=0.1)
    assert hinges.tolist() == pytest.approx([1.2, 0.6, 0.45, 0.6, 0.0])
    assert grad_of(hinges, p) == [3.0, -2.0, 0.0, -1.0]


def test_brio_default_margin_and_dtype() -> None:
    """Equal p, ranks 1 to 3: hinges are the margin times the gap: 0.002 (3 against 1), 0.001, 0.001."""
    hinges = losses.brio_hinges(torch.full((3,), -1.0, dtype=torch.bfloat16), torch.tensor([0, 1, 2]))
    assert hinges.dtype == torch.float32
    assert hinges.tolist() == pytest.approx([0.001, 0.002, 0.001])


@settings(deadline=None, max_examples=200)
@given(groups(), st.floats(0, 1))
def test_brio_equals_loop_over_ranks(group: tuple[list[float], list[float], list[float]], margin: float) -> None:
    """The ranks are built from the best down, unlike in the code."""
    p, _, z = group
    by_rank: list[list[int]] = []
    for index in sorted(range(len(z)), key=lambda k: -z[k]):
        if by_rank and z[by_rank[-1][0]] == z[index]:
            by_rank[-1].append(index)
        else:
            by_rank.append([index])
    expected: dict[tuple[int, int], float] = {}
    for i in range(len(by_rank)):
        for j in range(i + 1, len(by_rank)):
            for better in by_rank[i]:
                for worse in by_rank[j]:
                    expected[worse, better] = max(0.0, p[worse] - p[better] + margin * (j - i))
    found = losses.brio_hinges(f64(p), z, margin=margin)
    assert found.tolist() == pytest.approx([expected[pair] for pair in sorted(expected)], abs=1e-12)


# DPO


def test_dpo_by_hand() -> None:
    """log P = (-10, -12), reference (-11, -11), z = (1, 0), strength 0.5: ratios 1 and -1, 0.5·(1 + 1) = 1.
    -log σ(1) = log(1 + e^-1) = 0.313262. Gradient by log P(better): -0.5·σ(-1) = -0.5/(1 + e) = -0.134471.
    Where the policy is the reference: log 2 and ∓ 0.5/2.
    """
    logp = f64([-10.0, -12.0]).requires_grad_()
    reference = f64([-11.0, -11.0]).requires_grad_()
    terms = losses.dpo_terms(logp, reference, [1.0, 0.0], strength=0.5)
    assert terms.tolist() == pytest.approx([0.313262], abs=1e-6)
    assert grad_of(terms, logp) == pytest.approx([-0.134471, 0.134471], abs=1e-6)
    start = losses.dpo_terms(logp, logp, [1.0, 0.0], strength=0.5)
    assert start.tolist() == pytest.approx([math.log(2)])
    assert grad_of(start, logp) == [-0.25, 0.25]  # had the reference a gradient, the two would cancel
    loss = losses.dpo_terms(logp, reference, [1.0, 0.0]).sum()
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(loss, reference)


def test_dpo_beta_selects_pairs_and_defaults() -> None:
    """z = (0.5, 0.6, 1): at the default 0.2 only the third is better than others: two pairs; at 0 three.
    Default strength 0.1, ratios (0, 0, 10): log(1 + e^-1) each.
    """
    logp, reference = f64([-3.0, -3.0, -3.0]), f64([-3.0, -3.0, -13.0])
    assert losses.dpo_terms(logp, reference, [0.5, 0.6, 1.0]).tolist() == pytest.approx([0.313262] * 2, abs=1e-6)
    assert losses.dpo_terms(logp, reference, [0.5, 0.6, 1.0], beta=0.0).shape == (3,)


@settings(deadline=None, max_examples=200)
@given(groups(), st.floats(0.01, 3), st.floats(0, 1))
def test_dpo_equals_double_loop(
    group: tuple[list[float], list[float], list[float]], strength: float, beta: float
) -> None:
    logp, reference, z = group
    expected = []
    for worse in range(len(z)):
        for better in range(len(z)):
            if z[worse] < z[better] - beta:
                reward = [strength * (logp[k] - reference[k]) for k in (better, worse)]
                expected.append(-math.log(1 / (1 + math.exp(reward[1] - reward[0]))))
    found = losses.dpo_terms(f64(logp), f64(reference), z, strength=strength, beta=beta)
    assert found.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(groups(), st.lists(st.booleans(), min_size=6, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_negatives_that_may_not_fall_or_are_held(
    group: tuple[list[float], list[float], list[float]], falls: list[bool], holds: list[bool]
) -> None:
    """In double loops: a pair whose worse response may not fall is none; one whose worse response is held has its
    value, the better one's gradient, and none for the worse."""
    first, second, z = group
    may_fall, held = falls[: len(z)], holds[: len(z)]
    pairs = [(k, t) for k in range(len(z)) for t in range(len(z)) if z[k] < z[t] and may_fall[k]]
    steps = {(k, t): len({v for v in z if z[k] < v <= z[t]}) for k, t in pairs}
    limits = {"may_fall_K": may_fall, "is_held_K": torch.tensor(held)}
    for name in ("hinge", "brio", "dpo"):
        p, values, slopes = f64(first).requires_grad_(), list[float](), [0.0] * len(z)
        if name == "hinge":
            terms = losses.ranking_hinges(p, z, alpha=0.5, beta=0.0, **limits)
        elif name == "brio":
            terms = losses.brio_hinges(p, z, margin=0.25, **limits)
        else:
            terms = losses.dpo_terms(p, f64(second), z, strength=0.5, beta=0.0, **limits)
        for k, t in pairs:
            gap = first[k] - first[t] + (0.5 if name == "hinge" else 0.25 * steps[k, t])
            slope = float(gap > 0)
            if name == "dpo":
                gap = math.log1p(math.exp(x := -0.5 * (first[t] - second[t] - first[k] + second[k])))
                slope = 0.5 / (1 + math.exp(-x))
            values.append(max(gap, 0.0))
            slopes[t] -= slope
            slopes[k] += 0.0 if held[k] else slope
        assert terms.tolist() == pytest.approx(values)
        assert grad_of(terms, p) == pytest.approx(slopes)


@settings(deadline=None, max_examples=100)
@given(rows(), st.sampled_from([0.0, 0.5, 3.0]))
def test_has_fallen_is_a_mean_over_tokens(ragged: tuple[list[list[float]], list[list[float]]], floor: float) -> None:
    now, before = ragged
    (logp, mask), (initial, _) = pad(now), pad(before)
    gaps = [statistics.fmean(a - b for a, b in zip(x, y, strict=True)) for x, y in zip(now, before, strict=True)]
    found = losses.has_fallen(logp, mask, initial, floor).tolist()
    assert all(f == (gap < -floor) for f, gap in zip(found, gaps, strict=True) if abs(gap + floor) > 1e-9)


def test_dpo_gradients_equal_finite_differences() -> None:
    logp, reference = f64([-3.0, -1.0, -2.0, -5.0]).requires_grad_(), f64([-2.0, -2.5, -2.0, -1.0])
    z = [0.1, 0.5, 0.9, 0.55]
    assert torch.autograd.gradcheck(lambda p: losses.dpo_terms(p, reference, z, strength=0.7), logp)


def test_dpo_far_off_stays_finite_and_unpaired_infinities_do_not_leak() -> None:
    """Ratios ±2000 at strength 1: -log σ(-4000) = 4000 with gradient -1; the third is in no pair."""
    logp = torch.tensor([-3000.0, -1000.0, -INF], requires_grad=True)
    terms = losses.dpo_terms(logp, torch.tensor([-1000.0, -3000.0, -INF]), [1.0, 0.0, 0.5], strength=1.0, beta=0.6)
    assert terms.tolist() == [4000.0]
    assert grad_of(terms, logp) == [-1.0, 1.0, 0.0]


# What the pair losses share

PAIR_LOSSES: list[Callable[..., Tensor]] = [
    losses.ranking_hinges,
    losses.brio_hinges,
    lambda logp, z: losses.dpo_terms(logp, torch.zeros_like(logp), z),
]


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_pair_losses_refuse_what_does_not_fit(loss: Callable[..., Tensor]) -> None:
    for p, z, message in (
        (torch.zeros(2), [0.5], "give one z"),
        (torch.zeros(2), [0.5, NAN], "z holds a NaN"),
        (torch.zeros(2, 1), [0.5, 1.0], "one-dimensional and of floats"),
        (torch.zeros(2, dtype=torch.int64), [0.5, 1.0], "one-dimensional and of floats"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(p, z)


@pytest.mark.parametrize("loss", PAIR_LOSSES)
@pytest.mark.parametrize("z", [[], [0.5], [0.5, 0.5, 0.5]])
def test_without_pairs_the_sum_is_a_zero_with_gradient(loss: Callable[..., Tensor], z: list[float]) -> None:
    p = torch.zeros(len(z), requires_grad=True)
    terms = loss(p, z)
    assert terms.shape == (0,)
    assert grad_of(terms, p) == [0.0] * len(z)


def test_bad_constants_are_value_errors() -> None:
    p, z = torch.zeros(2), [0.0, 1.0]
    logp, mask = torch.zeros(1, 2), torch.ones(1, 2)
    for bad in (-0.1, NAN, INF):
        with pytest.raises(ValueError, match="exponent is"):
            losses.length_normalized_logp(logp, mask, exponent=bad)
        with pytest.raises(ValueError, match="margin is"):
            losses.brio_hinges(p, z, margin=bad)
        with pytest.raises(ValueError, match="beta is"):
            losses.dpo_terms(p, p, z, beta=bad)
        with pytest.raises(ValueError, match="clip_low is"):
            losses.policy_gradient_terms(logp, mask, [1.0], clip_low=bad)
        with pytest.raises(ValueError, match="clip_high is"):
            losses.policy_gradient_terms(logp, mask, [1.0], clip_high=bad)
    for bad in (0.0, -0.1, NAN, INF):
        with pytest.raises(ValueError, match="strength is"):
            losses.dpo_terms(p, p, z, strength=bad)
        with pytest.raises(ValueError, match="epsilon is"):
            losses.group_advantages(z, epsilon=bad)
    with pytest.raises(ValueError, match="2 log-probabilities but 3 of the reference"):
        losses.dpo_terms(p, torch.zeros(3), z)
    with pytest.raises(ValueError, match="reference_logp must be"):
        losses.dpo_terms(p, torch.zeros(1, 2), z)


# The best of a group, and advantages


def test_group_advantages_by_hand() -> None:
    """z = (0, 0, 1, 1): mean 1/2, squares 4·1/4 = 1, over K - 1 = 3: std = 1/√3 = 0.577350; ± 0.5/(0.577350 + 0.1).
    The population's std would be 1/2: ± 0.5/0.6.
    """
    z = torch.tensor([0.0, 0.0, 1.0, 1.0])
    high = 0.5 / 0.677350
    found = losses.group_advantages(z, epsilon=0.1)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([-high, -high, high, high], rel=1e-6)
    assert losses.group_advantages(z, scale="none").tolist() == [-0.5, -0.5, 0.5, 0.5]
    assert losses.group_advantages(z)[3].item() == pytest.approx(0.5 / (1 / math.sqrt(3) + 1e-4))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-40, 40), min_size=2, max_size=8), st.floats(1e-6, 1))
def test_group_advantages_equal_the_statistics_module(counts: list[int], epsilon: float) -> None:
    z = [count / 20 for count in counts]
    centred = [value - statistics.fmean(z) for value in z]
    expected = [value / (statistics.stdev(z) + epsilon) for value in centred]
    assert losses.group_advantages(z, scale="none").tolist() == pytest.approx(centred, abs=1e-12)
    assert losses.group_advantages(z, epsilon=epsilon).tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("scale", ["std", "none"])
@pytest.mark.parametrize("z", [[], [0.7], [0.1] * 3, [0.7] * 6])
def test_equal_scores_give_no_advantage_at_all(z: list[float], scale: Literal["std", "none"]) -> None:
    """The mean of three times 0.1 is not 0.1 in floating point."""
    assert losses.group_advantages(z, scale=scale).tolist() == [0.0] * len(z)


def test_group_advantages_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="scale is"):
        losses.group_advantages([0.0, 1.0], scale="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="z holds a NaN or an infinity"):
        losses.group_advantages([0.0, INF])
    with pytest.raises(ValueError, match="one-dimensional"):
        losses.group_advantages(torch.zeros(2, 2))


# Policy gradients and KL


def test_clipped_surrogate_by_hand() -> None:
    """Two tokens with r = 1.5 and r = 0.5, bounds 0.2 below and 0.28 above.

    A = 2: min(1.5·2, 1.28·2) = 2.56 and min(0.5·2, 0.8·2) = 1; mean 1.78, loss -1.78. The first token is clipped and
    has no gradient; the second has d(-r·A)/d log P = -r·A = -1, halved by the mean.
    A = -2: min(-3, -2.56) = -3 and min(-1, -1.6) = -1.6; mean -2.3, loss 2.3. The second is clipped; the first has
    -r·A = 3, halved.
    """
    initial = f64([[-2.0, -1.0, NAN]] * 2)
    logp = (initial + f64([math.log(1.5), math.log(0.5), 0.0])).detach().requires_grad_()
    mask = f64([[1, 1, 0]] * 2)
    terms = losses.policy_gradient_terms(logp, mask, [2.0, -2.0], initial_logp_R_T=initial, clip_high=0.28)
    assert terms.tolist() == pytest.approx([-1.78, 2.3])
    assert f64(grad_of(terms, logp)).flatten().tolist() == pytest.approx([0.0, -0.5, 0.0, 1.5, 0.0, 0.0])


def test_reinforce_by_hand() -> None:
    """Tokens -1 and -3, A = 0.5: -0.5·(-2) = 1; gradient -0.5/2 a token. One token -4, A = -1: -4, gradient 1."""
    logp, mask = pad([[-1.0, -3.0], [-4.0]])
    logp.requires_grad_()
    terms = losses.policy_gradient_terms(logp, mask, [0.5, -1.0])
    assert terms.tolist() == [1.0, -4.0]
    assert grad_of(terms, logp) == [[-0.25, -0.25, 0.0], [1.0, 0.0, 0.0]]


@settings(deadline=None, max_examples=200)
@given(rows(), st.data(), st.floats(0, 1), st.floats(0, 1))
def test_policy_gradient_terms_equal_plain_loops(
    ragged: tuple[list[list[float]], list[list[float]]], data: st.DataObject, low: float, high: float
) -> None:
    now, before = ragged
    advantages = data.draw(st.lists(st.floats(-3, 3), min_size=len(now), max_size=len(now)))
    clipped, plain = [], []
    for row, initial, a in zip(now, before, advantages, strict=True):
        objective = 0.0
        for p, q in zip(row, initial, strict=True):
            r = math.exp(p) / math.exp(q)
            objective += min(r * a, min(max(r, 1 - low), 1 + high) * a)
        clipped.append(-objective / len(row))
        plain.append(-a * sum(row) / len(row))
    logp, mask = pad(now)
    options = {"initial_logp_R_T": pad(before)[0], "clip_low": low, "clip_high": high}
    found = losses.policy_gradient_terms(logp, mask, advantages, **options)
    assert found.tolist() == pytest.approx(clipped, abs=1e-9)
    assert losses.policy_gradient_terms(logp, mask, f64(advantages)).tolist() == pytest.approx(plain, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(rows(), st.data())
def test_reinforce_has_the_surrogates_gradient_at_the_initial_policy(
    ragged: tuple[list[list[float]], list[list[float]]], data: st.DataObject
) -> None:
    """Also with bounds of 0, where r = 1 lies on both."""
    now, _ = ragged
    advantages = data.draw(st.lists(st.floats(-3, 3), min_size=len(now), max_size=len(now)))
    logp, mask = pad(now)
    logp.requires_grad_()
    bare = f64(grad_of(losses.policy_gradient_terms(logp, mask, advantages), logp))
    surrogate = losses.policy_gradient_terms(logp, mask, advantages, initial_logp_R_T=logp)
    torch.testing.assert_close(f64(grad_of(surrogate, logp)), bare)
    assert surrogate.tolist() == pytest.approx([-a for a in advantages])


def test_kl_by_hand() -> None:
    """d = log P_initial - log P = ln 2 and -ln 2: 2 - ln 2 - 1 = 0.306853 and 1/2 + ln 2 - 1 = 0.193147; mean 0.25.
    Derivative by log P: 1 - e^d = -1 and 1/2, halved by the mean. Second row: P is P_initial, so 0 and no gradient.
    """
    logp = f64([[-1.0, -2.0, NAN], [-3.0, -1.0, -2.0]]).requires_grad_()
    initial = f64([[-1.0 + math.log(2), -2.0 - math.log(2), -INF], [-3.0, -1.0, -2.0]])
    terms = losses.kl_terms(logp, f64([[1, 1, 0], [1, 1, 1]]), initial)
    assert terms.tolist() == pytest.approx([0.25, 0.0])
    assert f64(grad_of(terms, logp)).flatten().tolist() == pytest.approx([-0.5, 0.25, 0.0, 0.0, 0.0, 0.0])


@settings(deadline=None, max_examples=200)
@given(rows())
def test_kl_terms_equal_plain_loops(ragged: tuple[list[list[float]], list[list[float]]]) -> None:
    now, before = ragged
    expected = []
    for row, initial in zip(now, before, strict=True):
        total = 0.0
        for p, q in zip(row, initial, strict=True):
            total += math.exp(q) / math.exp(p) - (q - p) - 1
        expected.append(total / len(row))
    logp, mask = pad(now)
    assert losses.kl_terms(logp, mask, pad(before)[0]).tolist() == pytest.approx(expected, abs=1e-9)


def test_kl_terms_keep_small_differences_in_float32() -> None:
    """d = 2^-13: d²/2 + d³/6 = 7.4509e-9, while e^d - 1 is within a few float32 roundings of 6e-8 of d."""
    terms = losses.kl_terms(torch.tensor([[-1.0]]), torch.tensor([[True]]), torch.tensor([[-1.0 + 2**-13]]))
    assert terms.dtype == torch.float32
    assert terms.item() == pytest.approx(7.4509e-9, rel=1e-2)


INITIAL = f64([[-1.0, -2.0, -INF], [-0.5, -3.0, -1.0]])
MASK = torch.tensor([[True, True, False], [True, True, True]])
TOKEN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "reinforce": lambda logp, initial: losses.policy_gradient_terms(logp, MASK, [1.5, -0.5]),
    "clipped": lambda logp, initial: losses.policy_gradient_terms(logp, MASK, [1.5, -0.5], initial_logp_R_T=initial),
    "kl": lambda logp, initial: losses.kl_terms(logp, MASK, initial),
}


@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_token_gradients_equal_finite_differences(name: str) -> None:
    """Ratios of 0.9, 1.5, 0.7, 1.1 and 1.3 lie within and on either side of the bounds, none at a kink."""
    loss = TOKEN_LOSSES[name]
    own = (INITIAL[MASK] + f64([0.9, 1.5, 0.7, 1.1, 1.3]).log()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(torch.zeros_like(INITIAL).masked_scatter(MASK, x), INITIAL), own)


@pytest.mark.parametrize("name", TOKEN_LOSSES)
@pytest.mark.parametrize("padding", [(NAN, -1.0), (-INF, -1.0), (-1.0, NAN), (-1.0, -INF), (-INF, -INF), (0.0, -999.0)])
def test_padding_changes_neither_value_nor_gradient(name: str, padding: tuple[float, float]) -> None:
    loss = TOKEN_LOSSES[name]

    def evaluate(pad_logp: float, pad_initial: float) -> tuple[list[float], list[float]]:
        logp = torch.where(MASK, f64([[-1.1, -2.0, 0.0], [-0.6, -2.5, -1.0]]), pad_logp).requires_grad_()
        terms = loss(logp, torch.where(MASK, INITIAL, pad_initial))
        return terms.tolist(), grad_of(terms, logp)

    values, gradients = evaluate(*padding)
    assert (values, gradients) == evaluate(-1.0, -1.0)
    assert all(map(math.isfinite, values)) and all(math.isfinite(g) for row in gradients for g in row)


@pytest.mark.parametrize("name", ["clipped", "kl"])
def test_no_gradient_flows_to_the_initial_model_or_the_advantages(name: str) -> None:
    logp, initial = INITIAL.clone().requires_grad_(), INITIAL.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(TOKEN_LOSSES[name](logp, initial).sum(), initial)
    advantages = f64([1.0, 2.0]).requires_grad_()
    terms = losses.policy_gradient_terms(logp, MASK, advantages, initial_logp_R_T=initial)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(terms.sum(), advantages)


def test_half_precision_tokens_are_widened() -> None:
    """r = e^12 = 162755 ends float16's range of 65504; A = -1: the surrogate's loss is r. The k3: e^-12 + 12 - 1."""
    now, initial, mask = (torch.tensor([[v]], dtype=torch.float16) for v in (-1.0, -13.0, 1.0))
    surrogate = losses.policy_gradient_terms(now, mask, [-1.0], initial_logp_R_T=initial)
    assert surrogate.dtype == torch.float32
    assert surrogate.item() == pytest.approx(math.exp(12), rel=1e-5)
    kl = losses.kl_terms(now, mask, initial)
    assert kl.dtype == torch.float32
    assert kl.item() == pytest.approx(math.exp(-12) + 11, rel=1e-5)


def test_bad_rows_are_value_errors() -> None:
    logp, mask = torch.zeros(2, 3), torch.ones(2, 3)
    calls: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda p, m: losses.policy_gradient_terms(p, m, [1.0, 1.0]),
        lambda p, m: losses.kl_terms(p, m, p),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="both be"):
            call(logp, mask[:, :2])
        with pytest.raises(ValueError, match=r"rows \[1\] hold no"):
            call(logp, torch.tensor([[True] * 3, [False] * 3]))
    for advantages, message in (
        ([1.0], "2 responses but 1 advantages"),
        ([1.0, NAN], "advantages holds a NaN"),
        ([[1.0, 1.0]], "advantages must be one-dimensional"),
    ):
        with pytest.raises(ValueError, match=message):
            losses.policy_gradient_terms(logp, mask, torch.tensor(advantages))
    with pytest.raises(ValueError, match="differ in shape"):
        losses.policy_gradient_terms(logp, mask, [1.0, 1.0], initial_logp_R_T=logp[:1])
    with pytest.raises(ValueError, match="differ in shape"):
        losses.kl_terms(logp, mask, logp[:, :1])
