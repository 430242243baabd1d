"""Drawing a token from logits: temperature and top-p, exactly, from one uniform number a row.

The nucleus (Holtzman et al. 2020) is the shortest prefix of the tokens in order of falling probability whose mass
reaches ``top_p``; a token is drawn from it by inverting its cumulative distribution at ``uniform × mass``. Sorting the
whole vocabulary costs more than a small model's forward pass, so the most likely few are taken first, with their
probabilities under the whole softmax: where their mass reaches ``top_p`` they hold the whole nucleus and nothing is
approximated. The other rows are sorted in full.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_HEAD = 64  # tokens looked at before a full sort


def uniforms(seeds: Sequence[int], length: int) -> Tensor:
    """``length`` numbers in [0, 1) for each seed, shape [rows, length], float64: row i depends on seed i alone."""
    rows = [torch.rand(length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, length, dtype=torch.float64)


def draw(logits_R_V: Tensor, uniform_R: Tensor, *, temperature: float, top_p: float) -> Tensor:
    """Draw one token id a row, shape [rows], int64.

    ``temperature`` 0 takes the most likely token (the lowest id of equals) and ignores ``uniform_R``.
    """
    if temperature == 0:
        return logits_R_V.argmax(dim=-1)
    logits_R_V = logits_R_V.float()
    head = min(_HEAD, logits_R_V.shape[-1])
    values_R_H, ids_R_H = most_likely(logits_R_V, head)
    # Shifted before dividing, so that the smallest temperature gives -inf and never inf - inf.
    largest_R_1, temperature = values_R_H[:, :1], max(temperature, 1e-6)
    scaled_R_V = (logits_R_V - largest_R_1).div_(temperature)
    norm_R_1 = scaled_R_V.logsumexp(dim=-1, keepdim=True)
    if top_p >= 1:
        probs_R_V = (scaled_R_V - norm_R_1).exp().double()
        return _invert(probs_R_V, uniform_R)
    values_R_H = (values_R_H - largest_R_1) / temperature
    probs_R_H = (values_R_H - norm_R_1).exp().double()
    drawn_R = ids_R_H.gather(-1, _invert(_nucleus(probs_R_H, top_p), uniform_R)[:, None])[:, 0]
    # Of tokens as likely as the last one in the head, others may be outside it: those before them must be enough.
    is_sure_R_H = values_R_H > values_R_H[:, -1:]
    short_R = (probs_R_H * is_sure_R_H).sum(dim=-1) < top_p
    if head < scaled_R_V.shape[-1] and bool(short_R.any()):
        drawn_R[short_R] = _draw_sorted(scaled_R_V[short_R], norm_R_1[short_R], uniform_R[short_R], top_p)
    return drawn_R


def most_likely(logits_R_V: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The ``size`` largest and their ids, equals by ascending id.

    In few digits equals are common, and which of them ``topk`` puts first differs on a GPU from process to process.
    """
    values_R_H, ids_R_H = logits_R_V.topk(size, dim=-1)
    ids_R_H, order_R_H = ids_R_H.sort(dim=-1)
    values_R_H, order_R_H = values_R_H.gather(-1, order_R_H).sort(dim=-1, descending=True, stable=True)
    return values_R_H, ids_R_H.gather(-1, order_R_H)


def _draw_sorted(scaled_R_V: Tensor, norm_R_1: Tensor, uniform_R: Tensor, top_p: float) -> Tensor:
    sorted_R_V, ids_R_V = scaled_R_V.sort(dim=-1, descending=True, stable=True)
    probs_R_V = (sorted_R_V - norm_R_1).exp().double()
    return ids_R_V.gather(-1, _invert(_nucleus(probs_R_V, top_p), uniform_R)[:, None])[:, 0]


def _nucleus(probs_R_N: Tensor, top_p: float) -> Tensor:
    """Falling probabilities with those outside the nucleus set to 0: kept while the mass before them is < top_p."""
    before_R_N = probs_R_N.cumsum(dim=-1) - probs_R_N
    return probs_R_N.masked_fill(before_R_N >= top_p, 0.0)


def _invert(weights_R_N: Tensor, uniform_R: Tensor) -> Tensor:
    """Index of the first entry whose cumulative weight exceeds ``uniform × sum``; entries of weight 0 never come."""
    cumulative_R_N = weights_R_N.cumsum(dim=-1)
    target_R_1 = (uniform_R.to(cumulative_R_N) * cumulative_R_N[:, -1])[:, None]
    index_R = torch.searchsorted(cumulative_R_N, target_R_1, right=True)[:, 0]
    # uniform × sum can round up to the sum itself: then the last entry with weight.
    last_R = torch.searchsorted(cumulative_R_N, cumulative_R_N[:, -1:].contiguous(), right=False)[:, 0]
    return torch.minimum(index_R, last_R).clamp(max=weights_R_N.shape[-1] - 1)  # NaN lies behind all
