"""The losses of the method and of those it is compared with, as pure functions of tensors; every constant is a keyword.

Axis suffixes: K responses of one prompt, P active pairs, R rows (prompt + response), T response positions, V
vocabulary. Natural logarithms throughout, so losses are in nats. What half precision goes into comes out as float32;
other results have the type of their input. Nothing here knows of models, batches or recipes.

Arguments that several functions take:

- ``token_logp_R_T``: log-probability of each response token; padding may hold anything.
- ``mask_R_T``: true where a position holds a token of the response (end token included), false on padding.
- ``z_K``: quality scores, [K], tensor or sequence; no gradient flows to them.
- ``may_fall_K``: which responses may be the worse one of a pair; None: all.
- ``is_held_K``: bool tensor, which responses a pair in which they are the worse one passes no gradient to (see
  ``has_fallen``); None: none. The pair keeps its value, and the better response its gradient.

All functions raise ValueError for shapes or lengths that do not fit, rows without a token, scores that are not finite,
unknown names, and constants outside the range that is given for them.

Left out: a batched ranking loss. K differs between prompts and K² is tiny beside one forward pass. RRHF and SLiC have
no function of their own either: both are ``ranking_hinges`` with other arguments.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from itertl.training.inputs import (
    check_constant,
    check_logp,
    check_pairs,
    check_rows,
    log_ratio,
    masked_mean,
    without_padding,
    z_as_float64,
)

RankingWeight = Literal["stop_gradient_ce", "product"] | float


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target token, in float32 for logits of any dtype.

    Args:
        logits: [..., V], unnormalised.
        targets: [...], token ids in 0 … V-1.

    Returns:
        [...], float32, each element ≤ 0.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} differ before the last axis")
    size = logits.shape[-1]
    flat = torch.nn.functional.cross_entropy(logits.float().reshape(-1, size), targets.reshape(-1), reduction="none")
    return -flat.reshape(targets.shape)


def length_normalized_logp(
    token_logp_R_T: Tensor,
    mask_R_T: Tensor,
    normalizer: Literal["response", "sequence"] = "response",
    prompt_lengths: Sequence[int] | Tensor | None = None,
    *,
    exponent: float = 1.0,
) -> Tensor:
    """p_k = Σ_j log P(a_kj | s, a_k<j) / ‖a_k‖^exponent (eq. 1, where the exponent is 1).

    Args:
        normalizer: what ‖a_k‖ counts: "response" tokens, as the paper writes, or the whole "sequence" of prompt and
            response, as RTLCoder's released training code does by summing the attention mask.
        prompt_lengths: [R] tokens of each row's prompt; needed for "sequence" alone.
        exponent: of the length, ≥ 0. BRIO's code (Liu et al. 2022) has 2.0; 0.0 gives the log-probability of the
            whole response, in nats.

    Returns:
        p, [R], in nats per token at exponent 1.
    """
    check_constant("exponent is of a length, finite and ≥ 0", exponent, exponent >= 0)
    mask = check_rows(token_logp_R_T, mask_R_T)
    total = without_padding(token_logp_R_T, mask).sum(dim=1)
    lengths = mask.sum(dim=1).to(total.dtype)
    if normalizer == "sequence":
        if prompt_lengths is None:
            raise ValueError('normalizer "sequence" needs prompt_lengths')
        prompt = torch.as_tensor(prompt_lengths, dtype=lengths.dtype, device=lengths.device)
        if prompt.shape != lengths.shape or bool((prompt < 0).any()):
            raise ValueError(f"prompt_lengths must be {lengths.shape[0]} counts of tokens, not {prompt}")
        lengths = lengths + prompt
    elif normalizer != "response":
        raise ValueError(f'normalizer is "response" or "sequence", not {normalizer!r}')
    return total / lengths**exponent


def reference_cross_entropy(
    token_logp_R_T: Tensor, mask_R_T: Tensor, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """L_ce = -Σ_j log P(a_Kj | s, a_K<j) of each reference (eq. 3), or its mean over tokens; [R], in nats.

    ``reduction`` is over the tokens of one reference: "sum" as eq. 3 is written, "mean" as the released code of
    RTLCoder has it. The mean is the default because a sum lets λ of eq. 4 grow with the reference's length.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction is "mean" or "sum", not {reduction!r}')
    return -length_normalized_logp(token_logp_R_T, mask_R_T, exponent=1.0 if reduction == "mean" else 0.0)


def active_pairs(z_K: Tensor | Sequence[float], beta: float = 0.2) -> Tensor:
    """Which ordered pairs enter the sum of eq. 2: [K, K], element [k, tau] true where z_k < z_tau - beta.

    The comparison is strict and done in float64 on the values as given, exactly as Python's ``z_k < z_tau - beta``
    on floats: 0.8 against 1.0 at beta 0.2 is not active (1.0 - 0.2 is 0.8), and 0.6 against 0.8 is
    (0.8 - 0.2 is 0.6000000000000001). A float32 tensor is widened first, without rounding.

    ``beta`` is at least 0: at most one order of two responses can then be active, and none with itself. The result is
    on the CPU.
    """
    check_constant("beta is a threshold on score differences, finite and ≥ 0", beta, beta >= 0)
    z = z_as_float64(z_K)
    return z[:, None] < z[None, :] - beta


def _pair_indices(
    logp_K: Tensor, z_K: Tensor | Sequence[float], beta: float, may_fall_K: Sequence[bool] | None = None
) -> tuple[Tensor, Tensor]:
    """The worse and the better response of each active pair, [P] and [P], ordered by the worse, then by the better.

    For indexing, not masking: what is in no active pair then gets a gradient of exactly zero, even if it is infinite.
    """
    active = active_pairs(z_K, beta)
    if active.shape[0] != logp_K.shape[0]:
        raise ValueError(f"{logp_K.shape[0]} log-probabilities but {active.shape[0]} scores; give one z for each")
    if may_fall_K is not None:
        if len(may_fall_K) != active.shape[0]:
            raise ValueError(f"may_fall has {len(may_fall_K)} values for {active.shape[0]} responses")
        active = active & torch.tensor(list(may_fall_K), dtype=torch.bool)[:, None]
    worse, better = active.to(logp_K.device).nonzero(as_tuple=True)
    return worse, better


def has_fallen(token_logp_R_T: Tensor, mask_R_T: Tensor, initial_logp_R_T: Tensor, floor: float) -> Tensor:
    """Which responses lie more than ``floor`` nats a token below the first policy: [R], bool.

    The mean over each response's tokens of log P - log P_initial is below -``floor``. For ``is_held_K``.

    Args:
        initial_logp_R_T: log-probability of the same tokens under the policy that the round began with.
        floor: ≥ 0.
    """
    check_constant("floor is in nats a token, finite and ≥ 0", floor, floor >= 0)
    mask = check_rows(token_logp_R_T, mask_R_T)
    return (masked_mean(log_ratio(token_logp_R_T, mask, initial_logp_R_T), mask) < -floor).detach()


def _worse_of(p_K: Tensor, worse: Tensor, is_held_K: Tensor | None) -> Tensor:
    """p of the worse response of each pair, without a gradient where it is held."""
    if is_held_K is None:
        return p_K[worse]
    return torch.where(is_held_K.to(p_K.device)[worse], p_K.detach()[worse], p_K[worse])


def ranking_hinges(
    logp_K: Tensor, z_K: Tensor | Sequence[float], *, alpha: float = 0.3, beta: float = 0.2, softmax: bool = False,
    may_fall_K: Sequence[bool] | None = None, is_held_K: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The terms of eq. 2, max(p_k - p_tau + alpha, 0), one for each active pair; their sum is L_ranking.

    Terms that are exactly 0 pass no gradient. With other arguments these are other methods' terms:

    - RRHF (Yuan et al. 2023), max(p_k - p_tau, 0) for z_k < z_tau: ``alpha=0, beta=0`` on length-normalised p.
    - SLiC-HF (Zhao et al. 2023), max(0, δ - log P(better) + log P(worse)): ``alpha=δ`` on the log-probability of
      whole responses (``length_normalized_logp`` at exponent 0), ``beta=0`` for all strictly ordered pairs.
    - RSO's hinge-norm (Liu et al. 2023, 2309.06657), max(0, 1 - γ·(Δ(better) - Δ(worse))), Δ = log P - log P_initial:
      ``alpha=1`` on γ·Δ of whole responses.

    Args:
        logp_K: length-normalised log-probabilities p of the K responses to one prompt (eq. 1), [K].
        alpha: margin of the hinge.
        beta: threshold on the scores, see ``active_pairs``.
        softmax: replace p by exp(p_k) / Σ_i exp(p_i) first (eq. 13, RTLCoder).

    Returns:
        [P], P may be 0; its sum has a gradient even then.
    """
    p = check_logp(logp_K)
    worse, better = _pair_indices(p, z_K, beta, may_fall_K)
    if softmax:
        p = torch.softmax(p, dim=0)
    return pair_hinges(_worse_of(p, worse, is_held_K), p[better], alpha=alpha)


def pair_hinges(worse_P: Tensor, better_P: Tensor, *, alpha: float = 0.3) -> Tensor:
    """max(p(worse) - p(better) + alpha, 0) of given pairs: eq. 2 where each pair has values of its own.

    Args:
        worse_P: p of the worse response of each pair over the tokens that count in it, [P]; ``better_P`` likewise.
        alpha: margin, in the unit of p.

    Returns:
        [P]. Terms that are exactly 0 pass no gradient.
    """
    check_constant("alpha is a finite margin", alpha)
    check_pairs(worse_P, better_P)
    return torch.relu(worse_P - better_P + alpha)


def pair_dpo_terms(worse_P: Tensor, better_P: Tensor, *, strength: float = 0.1) -> Tensor:
    """-log σ(strength·(Δ(better) - Δ(worse))) of given pairs (DPO), Δ = log P - log P_ref over the tokens that count.

    Args:
        worse_P: Δ of the worse response of each pair, in nats, [P]; ``better_P`` likewise.
        strength: as of ``dpo_terms``.

    Returns:
        [P], log 2 where the policy is the reference.
    """
    check_constant("strength is of the KL penalty, finite and > 0", strength, strength > 0)
    check_pairs(worse_P, better_P)
    return -torch.nn.functional.logsigmoid(strength * (better_P - worse_P))


def ranking_factor(loss_ce: Tensor, weight: RankingWeight = "stop_gradient_ce") -> Tensor:
    """λ of eq. 4, of the shape of ``loss_ce``.

    "stop_gradient_ce" is sg(L_ce), the paper's; "product" is L_ce with its gradient, so that eq. 4 becomes
    RTLCoder's (L_ranking + 1)·L_ce; a number, at least 0, is itself.
    """
    if weight == "stop_gradient_ce":
        return loss_ce.detach()
    if weight == "product":
        return loss_ce
    if isinstance(weight, str) or not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f'weight is "stop_gradient_ce", "product" or a finite number ≥ 0, not {weight!r}')
    return torch.full_like(loss_ce, float(weight), requires_grad=False)


def combine(
    loss_ce: Tensor, loss_ranking: Tensor, *, weight: RankingWeight = "stop_gradient_ce", ce_weight: float = 1.0
) -> Tensor:
    """L = ce_weight·L_ce + λ·L_ranking (eq. 4), with λ from ``ranking_factor``. Shapes broadcast; no reduction."""
    ranking = ranking_factor(loss_ce, weight) * loss_ranking
    return ranking if ce_weight == 0 else ce_weight * loss_ce + ranking


def brio_hinges(
    logp_K: Tensor, z_K: Tensor | Sequence[float], *, margin: float = 0.001,
    may_fall_K: Sequence[bool] | None = None, is_held_K: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """max(0, p_j - p_i + margin·(j - i)) for each pair of ranks i < j (BRIO, Liu et al. 2022).

    Ranks go by z, descending. Equal z share a rank, form no pair, and leave no gap (dense ranks); BRIO's released code
    ranks ties by their place in the list.

    Args:
        logp_K: log-probabilities over a power of the length, [K]; BRIO's is 2.0, see ``length_normalized_logp``.
        margin: for each step of rank, ≥ 0.

    Returns:
        [P], one for each pair, P may be 0. BRIO's code averages over the pairs of each gap j - i and sums these means.
    """
    p = check_logp(logp_K)
    check_constant("margin is for each step of rank, finite and ≥ 0", margin, margin >= 0)
    worse, better = _pair_indices(p, z_K, 0.0, may_fall_K)
    z = [float(value) for value in z_as_float64(z_K)]
    ascending = {value: rank for rank, value in enumerate(sorted(set(z)))}
    rank = torch.tensor([ascending[value] for value in z]).to(p)
    return torch.relu(_worse_of(p, worse, is_held_K) - p[better] + margin * (rank[better] - rank[worse]))


def dpo_terms(
    sequence_logp_K: Tensor, reference_logp_K: Tensor, z_K: Tensor | Sequence[float], *, strength: float = 0.1,
    beta: float = 0.2, may_fall_K: Sequence[bool] | None = None, is_held_K: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """-log σ(strength·(log(P/P_ref)(better) - log(P/P_ref)(worse))), one for each active pair (DPO).

    Source: Rafailov et al. 2023, eq. 7.

    Args:
        sequence_logp_K: log-probability of each whole response, [K] (``length_normalized_logp`` at exponent 0).
        reference_logp_K: the same under the reference model, [K]; no gradient flows to it.
        strength: of the implied KL penalty, > 0: DPO's β, renamed because ``beta`` is eq. 2's.
        beta: threshold on the scores, see ``active_pairs``.

    Returns:
        [P], one for each active pair, none below 0 (log 2 where the policy is the reference), P may be 0.
    """
    policy, reference = check_logp(sequence_logp_K), check_logp(reference_logp_K, "reference_logp")
    if policy.shape != reference.shape:
        raise ValueError(f"{policy.shape[0]} log-probabilities but {reference.shape[0]} of the reference model")
    worse, better = _pair_indices(policy, z_K, beta, may_fall_K)
    ratio = policy - reference.detach().to(policy)
    return pair_dpo_terms(_worse_of(ratio, worse, is_held_K), ratio[better], strength=strength)


def group_advantages(
    z_K: Tensor | Sequence[float], *, scale: Literal["std", "none"] = "std", epsilon: float = 1e-4
) -> Tensor:
    """A_k = (z_k - mean z) / (std z + epsilon) (GRPO, Shao et al. 2024, section 4.1.2).

    Args:
        scale: "std" as above, with the unbiased deviation (divisor K - 1) as TRL's GRPO trainer has it; "none" for
            z_k - mean z alone.
        epsilon: added to the deviation, > 0, in units of z.

    Returns:
        [K], float64, on the CPU; exactly 0 for all where all z are equal, so also for one response.
    """
    if scale not in ("std", "none"):
        raise ValueError(f'scale is "std" or "none", not {scale!r}')
    check_constant("epsilon is added to a deviation, finite and > 0", epsilon, epsilon > 0)
    z = z_as_float64(z_K)
    if bool((z == z[:1]).all()):  # their mean may differ from them by a rounding, which 1/epsilon would magnify
        return torch.zeros_like(z)
    centred = z - z.mean()
    return centred if scale == "none" else centred / (z.std(correction=1) + epsilon)


def policy_gradient_terms(
    token_logp_R_T: Tensor,
    mask_R_T: Tensor,
    advantages_R: Tensor | Sequence[float],
    *,
    initial_logp_R_T: Tensor | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """Mean over each response's tokens of -min(r·A, clamp(r, 1 - clip_low, 1 + clip_high)·A), r = P / P_initial.

    The clipped surrogate of PPO (Schulman et al. 2017, eq. 7) as GRPO has it (Shao et al. 2024, eq. 3), with DAPO's two
    bounds (Yu et al. 2025). Without ``initial_logp_R_T``: the mean of -A·log P (REINFORCE), which has the gradient that
    the surrogate has where the policy still is the initial one.

    Args:
        advantages_R: A of each response, [R]; no gradient flows to them.
        initial_logp_R_T: log-probability of the same tokens under the model that sampled them; no gradient flows to it.
        clip_low: how far r may fall below 1 before the gradient stops, ≥ 0.
        clip_high: how far r may rise above 1, ≥ 0.

    Returns:
        [R], one for each response.
    """
    check_constant("clip_low is finite and ≥ 0", clip_low, clip_low >= 0)
    check_constant("clip_high is finite and ≥ 0", clip_high, clip_high >= 0)
    mask = check_rows(token_logp_R_T, mask_R_T)
    advantages = z_as_float64(advantages_R, "advantages")
    if advantages.shape[0] != mask.shape[0]:
        raise ValueError(f"{mask.shape[0]} responses but {advantages.shape[0]} advantages; give one for each")
    if initial_logp_R_T is None:
        mean_logp = masked_mean(token_logp_R_T, mask)
        return -advantages.to(mean_logp) * mean_logp
    ratio = log_ratio(token_logp_R_T, mask, initial_logp_R_T).exp()
    weight = advantages.to(ratio)[:, None]
    return -masked_mean(torch.minimum(ratio * weight, ratio.clamp(1 - clip_low, 1 + clip_high) * weight), mask)


def kl_terms(token_logp_R_T: Tensor, mask_R_T: Tensor, initial_logp_R_T: Tensor) -> Tensor:
    """Mean over each response's tokens of e^d - d - 1, d = log P_initial - log P: KL(P ‖ P_initial), estimated.

    The estimator k3 of Schulman's "Approximating KL divergence" (2020), GRPO's eq. 4: never negative, and its value
    (not its gradient) unbiased on tokens sampled from P.

    Args:
        initial_logp_R_T: log-probability of the same tokens under the initial model; no gradient flows to it.

    Returns:
        [R], in nats per token.
    """
    mask = check_rows(token_logp_R_T, mask_R_T)
    d = -log_ratio(token_logp_R_T, mask, initial_logp_R_T)
    return masked_mean(d.expm1() - d, mask)  # expm1: near the initial model e^d - 1 would lose what is left of d²/2
