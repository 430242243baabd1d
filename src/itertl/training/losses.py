"""The losses of the method, as pure functions of tensors; every constant is a keyword.

Axis suffixes: K responses of one prompt, P active pairs, R rows (prompt + response), T response positions, V vocabulary.
Natural logarithms throughout, so losses are in nats. Nothing here knows of models, batches or recipes.

Left out: a batched ranking loss. K differs between prompts and K² is tiny beside one forward pass.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

LengthNormalizer = Literal["response", "sequence"]
Reduction = Literal["mean", "sum"]
RankingWeight = Literal["stop_gradient_ce", "product"] | float


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target token, in float32 whatever the dtype of the logits.

    Args:
        logits: [..., V], unnormalised.
        targets: [...], token ids in 0 … V-1.

    Returns:
        [...], float32, each element ≤ 0.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} differ before the last axis")
    size = logits.shape[-1]
    flat = torch.nn.functional.cross_entropy(logits.float().reshape(-1, size), targets.reshape(-1), reduction="none")
    return -flat.reshape(targets.shape)


def _check_rows(token_logp_R_T: Tensor, mask_R_T: Tensor) -> Tensor:
    """The mask as bool; every row must hold a token."""
    if token_logp_R_T.ndim != 2 or token_logp_R_T.shape != mask_R_T.shape:
        raise ValueError(
            f"token_logp {tuple(token_logp_R_T.shape)} and mask {tuple(mask_R_T.shape)} must both be [rows, positions]"
        )
    mask = mask_R_T.bool()
    empty = [row for row, filled in enumerate(mask.any(dim=1)) if not bool(filled)]
    if empty:
        raise ValueError(f"rows {empty} hold no response token; leave empty responses out")
    return mask


def _masked_sum(token_logp_R_T: Tensor, mask_R_T: Tensor) -> Tensor:
    """Sum over each row's own tokens. ``where`` and not a product: padding may hold -inf or NaN."""
    return torch.where(mask_R_T, token_logp_R_T, torch.zeros_like(token_logp_R_T)).sum(dim=1)


def length_normalized_logp(
    token_logp_R_T: Tensor,
    mask_R_T: Tensor,
    normalizer: LengthNormalizer = "response",
    prompt_lengths: Sequence[int] | Tensor | None = None,
) -> Tensor:
    """p_k = Σ_j log P(a_kj | s, a_k<j) / ‖a_k‖ (eq. 1).

    Args:
        token_logp_R_T: log-probability of each response token.
        mask_R_T: true where a position holds a token of the response (end token included), false on padding.
        normalizer: what ‖a_k‖ counts: "response" tokens, as the paper writes, or the whole "sequence" of prompt and
            response, as RTLCoder's released training code does by summing the attention mask.
        prompt_lengths: [R] tokens of each row's prompt; needed for "sequence" alone.

    Returns:
        p, [R], in nats per token.

    Raises:
        ValueError: shapes differ, a row is empty, an unknown normaliser, or prompt lengths absent or negative.
    """
    mask = _check_rows(token_logp_R_T, mask_R_T)
    lengths = mask.sum(dim=1).to(token_logp_R_T.dtype)
    if normalizer == "sequence":
        if prompt_lengths is None:
            raise ValueError('normalizer "sequence" needs prompt_lengths')
        prompt = torch.as_tensor(prompt_lengths, dtype=lengths.dtype, device=lengths.device)
        if prompt.shape != lengths.shape or bool((prompt < 0).any()):
            raise ValueError(f"prompt_lengths must be {lengths.shape[0]} counts of tokens, not {prompt}")
        lengths = lengths + prompt
    elif normalizer != "response":
        raise ValueError(f'normalizer is "response" or "sequence", not {normalizer!r}')
    return _masked_sum(token_logp_R_T, mask) / lengths


def reference_cross_entropy(token_logp_R_T: Tensor, mask_R_T: Tensor, reduction: Reduction = "mean") -> Tensor:
    """L_ce = -Σ_j log P(a_Kj | s, a_K<j) of each reference (eq. 3), or its mean over tokens.

    Args:
        token_logp_R_T: log-probability of each token of the references.
        mask_R_T: true on tokens of the response, false on padding.
        reduction: over the tokens of one reference: "sum" as eq. 3 is written, "mean" as the released code of
            RTLCoder has it. The mean is the default, for a sum lets λ of eq. 4 grow with the reference's length.

    Returns:
        [R], one loss for each reference, in nats (a token for "mean").

    Raises:
        ValueError: shapes differ, a row is empty, or an unknown reduction.
    """
    mask = _check_rows(token_logp_R_T, mask_R_T)
    total = -_masked_sum(token_logp_R_T, mask)
    if reduction == "sum":
        return total
    if reduction != "mean":
        raise ValueError(f'reduction is "mean" or "sum", not {reduction!r}')
    return total / mask.sum(dim=1).to(total.dtype)


def _z_as_float64(z_K: Tensor | Sequence[float]) -> Tensor:
    """z on the CPU in double precision, checked."""
    try:
        z = torch.as_tensor(z_K, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"z must be numbers, one for each response: {error}") from error
    if z.ndim != 1:
        raise ValueError(f"z must be one-dimensional, one score for each response, not of shape {tuple(z.shape)}")
    if not bool(torch.isfinite(z).all()):
        raise ValueError(f"z holds a NaN or an infinity ({z}); leave responses without a score out")
    return z


def active_pairs(z_K: Tensor | Sequence[float], beta: float = 0.2) -> Tensor:
    """Which ordered pairs enter the sum of eq. 2: element [k, tau] is true where z_k < z_tau - beta.

    The comparison is strict and done in float64 on the values as given, exactly as Python's ``z_k < z_tau - beta``
    on floats: 0.8 against 1.0 at beta 0.2 is not active (1.0 - 0.2 is 0.8), and 0.6 against 0.8 is
    (0.8 - 0.2 is 0.6000000000000001). A float32 tensor is widened first, without rounding.

    Args:
        z_K: quality scores, [K].
        beta: threshold, ≥ 0; at most one order of two responses can then be active, and none with itself.

    Returns:
        bool, [K, K], on the CPU.

    Raises:
        ValueError: z is not one-dimensional, or a value is not finite, or beta is negative or not finite.
    """
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta is a threshold on score differences, finite and ≥ 0, not {beta}")
    z = _z_as_float64(z_K)
    return z[:, None] < z[None, :] - beta


def ranking_hinges(
    logp_K: Tensor,
    z_K: Tensor | Sequence[float],
    *,
    alpha: float = 0.3,
    beta: float = 0.2,
    softmax: bool = False,
) -> Tensor:
    """The terms of eq. 2, max(p_k - p_tau + alpha, 0), one for each active pair; [P], P may be 0.

    Arguments and errors as in ``ranking_loss``. Terms that are exactly 0 pass no gradient.
    """
    if not logp_K.is_floating_point() or logp_K.ndim != 1:
        raise ValueError(f"logp must be one-dimensional and of floats, not {tuple(logp_K.shape)} of {logp_K.dtype}")
    if not math.isfinite(alpha):
        raise ValueError(f"alpha is a finite margin, not {alpha}")
    active = active_pairs(z_K, beta)
    if active.shape[0] != logp_K.shape[0]:
        raise ValueError(f"{logp_K.shape[0]} log-probabilities but {active.shape[0]} scores; give one z for each")
    p = logp_K if logp_K.dtype in (torch.float32, torch.float64) else logp_K.float()
    if softmax:
        p = torch.softmax(p, dim=0)
    low, high = active.to(logp_K.device).nonzero(as_tuple=True)
    # Indexing, not masking: what is in no active pair then gets a gradient of exactly zero, even if it is infinite.
    return torch.relu(p[low] - p[high] + alpha)


def ranking_loss(
    logp_K: Tensor,
    z_K: Tensor | Sequence[float],
    *,
    alpha: float = 0.3,
    beta: float = 0.2,
    softmax: bool = False,
) -> Tensor:
    """L_ranking = Σ over ordered pairs (k, tau) with z_k < z_tau - beta of max(p_k - p_tau + alpha, 0) (eq. 2).

    Args:
        logp_K: length-normalised log-probabilities p of the K responses to one prompt (eq. 1), [K].
        z_K: their quality scores, [K], tensor or sequence; no gradient flows to them.
        alpha: margin of the hinge.
        beta: threshold on the scores, see ``active_pairs``.
        softmax: replace p by exp(p_k) / Σ_i exp(p_i) first (eq. 13, RTLCoder).

    Returns:
        The sum (not the mean) over active pairs, a 0-dim tensor; 0 that still has a gradient where no pair is active.
        float32 for half-precision input, else of the dtype of ``logp_K``.

    Raises:
        ValueError: not one-dimensional, lengths differ, z not finite, beta negative.
    """
    return ranking_hinges(logp_K, z_K, alpha=alpha, beta=beta, softmax=softmax).sum()


def ranking_factor(loss_ce: Tensor, weight: RankingWeight = "stop_gradient_ce") -> Tensor:
    """λ of eq. 4, of the shape of ``loss_ce``.

    "stop_gradient_ce" is sg(L_ce), the paper's; "product" is L_ce with its gradient, so that eq. 4 becomes
    RTLCoder's (L_ranking + 1)·L_ce; a number is itself.

    Raises:
        ValueError: another name, or a number that is negative or not finite.
    """
    if weight == "stop_gradient_ce":
        return loss_ce.detach()
    if weight == "product":
        return loss_ce
    if isinstance(weight, str) or not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f'weight is "stop_gradient_ce", "product" or a finite number ≥ 0, not {weight!r}')
    return torch.full_like(loss_ce, float(weight), requires_grad=False)


def combine(loss_ce: Tensor, loss_ranking: Tensor, *, weight: RankingWeight = "stop_gradient_ce") -> Tensor:
    """L = L_ce + λ·L_ranking (eq. 4), with λ from ``ranking_factor``. Shapes broadcast; no reduction."""
    return loss_ce + ranking_factor(loss_ce, weight) * loss_ranking
