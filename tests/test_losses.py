"""Losses against worked maths, a plain double loop, autograd and finite differences."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itertl.training import losses

SCORES = st.one_of(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), st.floats(-2, 2))


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    size = draw(st.integers(1, 7))
    logp = draw(st.lists(st.floats(-8, 0), min_size=size, max_size=size))
    return logp, draw(st.lists(SCORES, min_size=size, max_size=size))


def ranking_loss(*given: Any, **options: Any) -> torch.Tensor:
    return losses.ranking_hinges(*given, **options).sum()


def naive(p: list[float], z: list[float], alpha: float, beta: float, softmax: bool) -> float:
    if softmax:
        total = sum(math.exp(v) for v in p)
        p = [math.exp(v) / total for v in p]
    loss = 0.0
    for k in range(len(p)):
        for tau in range(len(p)):
            if z[k] < z[tau] - beta:
                loss += max(p[k] - p[tau] + alpha, 0.0)
    return loss


def naive_gradient(p: list[float], z: list[float], alpha: float, beta: float) -> list[float]:
    gradient = [0.0] * len(p)
    for k in range(len(p)):
        for tau in range(len(p)):
            if z[k] < z[tau] - beta and p[k] - p[tau] + alpha > 0:
                gradient[k] += 1.0
                gradient[tau] -= 1.0
    return gradient


def test_ranking_loss_by_hand() -> None:
    """p = (-0.5, -1.0, -0.2, -0.6), z = (0.3, 0.9, 0.65, 1), alpha 0.3, beta 0.2.

    Active (z_k < z_tau - 0.2): (1,2): 0.3 < 0.7; (1,3): 0.3 < 0.45; (1,4): 0.3 < 0.8; (3,2): 0.65 < 0.7; (3,4): 0.65 <
    0.8. (2,4) is not: 0.9 > 0.8. Hinges p_k - p_tau + 0.3: (1,2): -0.5 + 1.0 + 0.3 = 0.8; (1,3): -0.5 + 0.2 + 0.3 =
    0.0; (1,4): -0.5 + 0.6 + 0.3 = 0.4; (3,2): -0.2 + 1.0 + 0.3 = 1.1; (3,4): -0.2 + 0.6 + 0.3 = 0.7. Sum 3.0.
    """
    p = torch.tensor([-0.5, -1.0, -0.2, -0.6], dtype=torch.float64, requires_grad=True)
    loss = ranking_loss(p, [0.3, 0.9, 0.65, 1.0])
    assert loss.shape == ()
    assert loss.item() == pytest.approx(3.0, abs=1e-12)
    assert losses.active_pairs([0.3, 0.9, 0.65, 1.0]).nonzero().tolist() == [[0, 1], [0, 2], [0, 3], [2, 1], [2, 3]]


def test_softmax_by_hand() -> None:
    """p = (ln 1, ln 3) gives the shares 1/4 and 3/4; z = (1, 0): pair (2,1) is active, 3/4 - 1/4 + 0.3 = 0.8."""
    p = torch.tensor([0.0, math.log(3.0)], dtype=torch.float64)
    assert ranking_loss(p, [1.0, 0.0], softmax=True).item() == pytest.approx(0.8)


@settings(deadline=None, max_examples=300)
@given(groups(), st.floats(-1, 1), st.floats(0, 1), st.booleans())
def test_ranking_loss_equals_double_loop(
    group: tuple[list[float], list[float]], alpha: float, beta: float, softmax: bool
) -> None:
    p, z = group
    loss = ranking_loss(torch.tensor(p, dtype=torch.float64), z, alpha=alpha, beta=beta, softmax=softmax)
    assert loss.item() == pytest.approx(naive(p, z, alpha, beta, softmax), abs=1e-9)


@settings(deadline=None, max_examples=200)
@given(groups(), st.floats(0, 1), st.floats(0, 1))
def test_gradient_equals_count_of_hinged_pairs(
    group: tuple[list[float], list[float]], alpha: float, beta: float
) -> None:
    p, z = group
    logp = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    ranking_loss(logp, torch.tensor(z, dtype=torch.float64), alpha=alpha, beta=beta).backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == naive_gradient(p, z, alpha, beta)


@settings(deadline=None, max_examples=100)
@given(groups(), st.booleans())
def test_gradient_equals_finite_differences(group: tuple[list[float], list[float]], softmax: bool) -> None:
    p, z = group
    logp = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    hinges = losses.ranking_hinges(logp, z, softmax=softmax)
    shares = torch.softmax(logp, 0) if softmax else logp
    margins = shares[:, None] - shares[None, :] + 0.3
    if bool((margins.abs() < 1e-4).any()):
        return  # at a kink finite differences see both sides
    hinges.sum().backward()
    assert logp.grad is not None
    step = 1e-6
    for k in range(len(p)):
        up, down = list(p), list(p)
        up[k], down[k] = p[k] + step, p[k] - step
        slope = (naive(up, z, 0.3, 0.2, softmax) - naive(down, z, 0.3, 0.2, softmax)) / (2 * step)
        assert logp.grad[k].item() == pytest.approx(slope, abs=1e-5)


@settings(deadline=None, max_examples=200)
@given(st.lists(SCORES, max_size=8), st.floats(0, 1))
def test_active_pairs_equal_python_comparison(z: list[float], beta: float) -> None:
    expected = [[a < b - beta for b in z] for a in z]
    found = losses.active_pairs(z, beta)
    assert found.reshape(len(z), len(z)).tolist() == expected
    assert not (found & found.T).any()  # never both orders


def test_threshold_is_strict_and_in_double_precision() -> None:
    assert not losses.active_pairs([0.8, 1.0], 0.2).any()  # 1.0 - 0.2 == 0.8
    assert losses.active_pairs([0.6, 0.8], 0.2)[0, 1]  # 0.8 - 0.2 == 0.6000000000000001
    assert not losses.active_pairs(torch.tensor([0.6, 0.8]), 0.2).any()  # float32 0.6 is 0.60000002…
    assert losses.active_pairs([0.0, 1e-12], 0.0)[0, 1]


@pytest.mark.parametrize("z", [[0.5], [1.0, 1.0, 1.0], [0.9, 1.0, 0.85]])
def test_no_active_pair_is_a_zero_with_gradient(z: list[float]) -> None:
    for softmax in (False, True):
        p = torch.full((len(z),), -1.0, requires_grad=True)
        loss = ranking_loss(p, z, softmax=softmax)
        assert loss.item() == 0.0 and loss.requires_grad and loss.grad_fn is not None
        loss.backward()
        assert p.grad is not None and not p.grad.any()


def test_responses_in_no_pair_get_exactly_no_gradient_even_if_infinite() -> None:
    p = torch.tensor([-1.0, -math.inf, -0.5], requires_grad=True)
    loss = ranking_loss(p, [0.1, 0.9, 1.0], beta=0.85)
    loss.backward()
    assert loss.item() == 0.0  # (1,3): -1 + 0.5 + 0.3 < 0
    p = torch.tensor([-0.5, -math.inf, -0.5], requires_grad=True)
    ranking_loss(p, [0.1, 0.9, 1.0], beta=0.85).backward()
    assert p.grad is not None and p.grad.tolist() == [1.0, 0.0, -1.0]


def test_half_precision_is_widened() -> None:
    loss = ranking_loss(torch.tensor([-0.5, -1.0], dtype=torch.bfloat16), [0.0, 1.0])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("p", "z", "options"),
    [
        ([-1.0, -1.0], [0.5], {}),
        ([-1.0, -1.0], [0.5, math.nan], {}),
        ([-1.0, -1.0], [0.5, math.inf], {}),
        ([-1.0, -1.0], [0.5, None], {}),
        ([-1.0, -1.0], ["a", "b"], {}),
        ([[-1.0, -1.0]], [0.5, 1.0], {}),
        ([-1.0, -1.0], [[0.5, 1.0]], {}),
        ([-1.0, -1.0], [0.5, 1.0], {"beta": -0.1}),
        ([-1.0, -1.0], [0.5, 1.0], {"beta": math.nan}),
        ([-1.0, -1.0], [0.5, 1.0], {"alpha": math.inf}),
    ],
)
def test_bad_input_is_a_value_error(p: list[float], z: list[float], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ranking_loss(torch.tensor(p), z, **options)
    with pytest.raises(ValueError, match="floats"):
        ranking_loss(torch.tensor([1, 2]), [0.0, 1.0])


ROWS = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.lists(st.floats(-9, 0), min_size=1, max_size=6), min_size=size, max_size=size)
)


def pad(rows: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    logp = torch.full((len(rows), width), math.nan, dtype=torch.float64)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for index, row in enumerate(rows):
        logp[index, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask[index, : len(row)] = True
    return logp, mask


@settings(deadline=None)
@given(ROWS, st.data())
def test_length_normalisation_and_cross_entropy_equal_plain_sums(rows: list[list[float]], data: st.DataObject) -> None:
    """Padding holds NaN, so a value that leaks through the mask shows."""
    logp, mask = pad(rows)
    prompts = data.draw(st.lists(st.integers(0, 50), min_size=len(rows), max_size=len(rows)))
    by_response = losses.length_normalized_logp(logp, mask).tolist()
    by_sequence = losses.length_normalized_logp(logp, mask, "sequence", prompts).tolist()
    assert by_response == pytest.approx([sum(r) / len(r) for r in rows])
    assert by_sequence == pytest.approx([sum(r) / (len(r) + n) for r, n in zip(rows, prompts, strict=True)])
    assert losses.reference_cross_entropy(logp, mask).tolist() == pytest.approx([-sum(r) / len(r) for r in rows])
    assert losses.reference_cross_entropy(logp, mask, "sum").tolist() == pytest.approx([-sum(r) for r in rows])


def test_bad_rows_are_value_errors() -> None:
    logp, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    for function in (losses.length_normalized_logp, losses.reference_cross_entropy):
        with pytest.raises(ValueError, match="both be"):
            function(logp, mask[:, :2])
        with pytest.raises(ValueError, match=r"rows \[1\] hold no"):
            function(logp, torch.tensor([[True] * 3, [False] * 3]))
        with pytest.raises(ValueError, match="not 'median'"):
            function(logp, mask, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt_lengths"):
        losses.length_normalized_logp(logp, mask, "sequence")
    with pytest.raises(ValueError, match="prompt_lengths"):
        losses.length_normalized_logp(logp, mask, "sequence", [1])


def test_combination_and_its_gradients() -> None:
    """L_ce = 2, L_rank = 3. sg: 2 + 2·3 = 8, dL/dce = 1, dL/dr = 2. Product: the same value, dL/dce = 1 + 3 = 4.
    Fixed 0.5: 2 + 1.5 = 3.5, dL/dce = 1, dL/dr = 0.5.
    """
    for weight, value, by_ce, by_rank in (
        ("stop_gradient_ce", 8.0, 1.0, 2.0),
        ("product", 8.0, 4.0, 2.0),
        (0.5, 3.5, 1.0, 0.5),
    ):
        ce, rank = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
        loss = losses.combine(ce, rank, weight=weight)  # type: ignore[arg-type]
        loss.backward()
        assert (loss.item(), ce.grad, rank.grad) == (value, by_ce, by_rank)
    for bad in ("ce", -1.0, math.nan):
        with pytest.raises(ValueError, match="weight is"):
            losses.combine(torch.tensor(2.0), torch.tensor(3.0), weight=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_token_logprobs_are_float32_log_softmax(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(2, 3, 11) * 5).to(dtype)
    targets = torch.randint(0, 11, (2, 3))
    found = losses.token_logprobs(logits, targets)
    expected = torch.log_softmax(logits.double(), -1).gather(-1, targets[..., None])[..., 0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="last axis"):
        losses.token_logprobs(logits, targets[:, :2])
