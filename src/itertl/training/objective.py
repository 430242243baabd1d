"""The loss of one micro-batch of groups: forward passes, eq. 1 to 4, and what the log wants to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from itertl.training import losses
from itertl.training.batches import Group
from itertl.training.forward import Row, response_logprobs
from itertl.training.methods import Method


@dataclass(slots=True)
class Sums:
    """Sums over groups, in Python floats; added over micro-batches and processes, divided by ``groups`` for the log."""

    groups: float = 0.0
    loss: float = 0.0
    ce: float = 0.0
    ranking: float = 0.0
    lam: float = 0.0
    tokens: float = 0.0
    pairs: float = 0.0
    active: float = 0.0
    hinged: float = 0.0

    def add(self, other: "Sums") -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """Loss of one group as a 0-dim tensor with gradient, and its share of the sums."""

    total: Tensor
    sums: Sums


def group_losses(
    model: Any, groups: Sequence[Group], method: Method, *, keep_logits: bool, device: Any, skip: bool = True
) -> list[GroupLoss]:
    """Loss of each group from one forward pass over all responses that are needed.

    Args:
        skip: leave out the responses whose gradient is exactly zero (``Group.needed``). False computes all, for tests.
    """
    chosen = [group.needed(method) if skip else tuple(range(len(group.responses))) for group in groups]
    rows = [
        Row(group.prompt_ids, group.responses[index].token_ids)
        for group, indices in zip(groups, chosen, strict=True)
        for index in indices
    ]
    out = response_logprobs(model, rows, keep_logits=keep_logits, device=device)
    logp_R = losses.length_normalized_logp(
        out.token_logp, out.mask, method.length_normalizer, out.prompt_lengths
    )
    result: list[GroupLoss] = []
    first = 0
    for group, indices in zip(groups, chosen, strict=True):
        last = first + len(indices)  # the reference is the last response of its group
        ce = losses.reference_cross_entropy(
            out.token_logp[last - 1 : last], out.mask[last - 1 : last], method.ce_reduction
        )[0]
        tokens = sum(len(row) for row in rows[first:last])
        result.append(_group_loss(group, indices, logp_R[first:last], ce, tokens, method))
        first = last
    return result


def _group_loss(
    group: Group, indices: Sequence[int], logp_K: Tensor, ce: Tensor, tokens: int, method: Method
) -> GroupLoss:
    """Eq. 2 and 4 on the responses that were computed; those left out are in no active pair."""
    z = [group.responses[index].z for index in indices]
    hinges = losses.ranking_hinges(logp_K, z, alpha=method.alpha, beta=method.beta, softmax=method.softmax)
    ranking = hinges.sum()
    total = losses.combine(ce, ranking, weight=method.ranking_weight)
    num = len(group.responses)
    sums = Sums(
        groups=1,
        loss=float(total.detach()),
        ce=float(ce.detach()),
        ranking=float(ranking.detach()),
        lam=float(losses.ranking_factor(ce.detach(), method.ranking_weight)),
        tokens=tokens,
        pairs=num * (num - 1) // 2,
        active=len(group.active_pairs(method.beta)),
        hinged=int((hinges > 0).sum()),
    )
    return GroupLoss(total, sums)
