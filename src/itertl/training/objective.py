"""The loss of one group: what its method makes of the log-probabilities of its responses (for ours, eq. 1 to 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from itertl import plugins
from itertl.errors import ToolFailed
from itertl.training import losses
from itertl.training.batches import Group
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
    plain_tokens: float = 0.0
    pairs: float = 0.0
    active: float = 0.0
    hinged: float = 0.0

    def add(self, other: "Sums") -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The responses that were computed: R rows of T positions, duplicates again in a row of their own."""

    indices: tuple[int, ...]  # which response of the group each is
    token_logp_R_T: Tensor
    mask_R_T: Tensor
    initial_R_T: Tensor | None
    prompt_lengths: list[int]
    z: list[float]

    def row(self, index: int) -> int:
        return self.indices.index(index)


def group_loss(
    group: Group, logp: Mapping[int, Tensor], method: Method, initial: Mapping[int, Tensor] | None = None
) -> tuple[Tensor, Sums]:
    """What ``method`` makes of one group: its loss, 0-dim with gradient, and its part of the sums but for ``tokens``.

    Args:
        logp: token log-probabilities [tokens] of the responses in ``group.piece(...)``, by slot.
        initial: the same under the policy that the round began with, where ``method.needs_initial``.
    """
    needed = group.needed(method)
    device = next(iter(logp.values())).device if logp else torch.device("cpu")
    zero = torch.zeros((), device=device)
    rows = _rows(group, needed, logp, initial) if needed else None
    ce = _cross_entropy(group, rows, method) if rows is not None and method.uses_ce else None
    terms = _terms(group, rows, method) if rows is not None else zero.new_zeros(0)
    # Rewards have a sum or mean of their own; what is logged as "ranking" is then the policy gradient's term.
    ranking = terms.mean() if method.pair_reduction == "mean" and terms.numel() else terms.sum()
    ranking = ranking * group.weight(method)
    known_ce = zero if ce is None else ce
    total = losses.combine(known_ce, ranking, weight=method.ranking_weight, ce_weight=method.ce_weight)
    sums = Sums(
        groups=1, loss=float(total.detach()), ce=float(known_ce.detach()), ranking=float(ranking.detach()),
        lam=float(losses.ranking_factor(known_ce.detach(), method.ranking_weight)),
        plain_tokens=group.plain_tokens(), pairs=group.num_pairs(), active=len(group.pairs(method)),
        hinged=int((terms > 0).sum()) if method.compares_pairs else 0,
    )  # fmt: skip
    return total, sums


def _rows(
    group: Group, needed: tuple[int, ...], logp: Mapping[int, Tensor], initial: Mapping[int, Tensor] | None
) -> _Rows:
    slots = group.slots(needed)
    found = [logp[slots[index]] for index in needed]
    lengths = torch.tensor([len(row) for row in found], device=found[0].device)
    padded = pad_sequence(found, batch_first=True)
    mask = torch.arange(padded.shape[1], device=padded.device)[None] < lengths[:, None]
    before = None
    if initial is not None:
        before = pad_sequence([initial[slots[index]].to(padded.device) for index in needed], batch_first=True)
    z = [group.responses[index].z for index in needed]
    return _Rows(needed, padded, mask, before, [len(group.prompt_ids)] * len(needed), z)


def _cross_entropy(group: Group, rows: _Rows, method: Method) -> Tensor | None:
    """Of the targets, each by its share; None where there is none."""
    shares = group.ce_targets(method)
    if not shares:
        return None
    at = [rows.row(target) for target in shares]
    found = losses.reference_cross_entropy(rows.token_logp_R_T[at], rows.mask_R_T[at], method.ce_reduction)
    return (found * torch.tensor(list(shares.values())).to(found)).sum()


def _terms(group: Group, rows: _Rows, method: Method) -> Tensor:
    """What the method compares: one value for each active pair, or for each sampled response; [] where it compares
    nothing."""
    if method.terms == "policy-gradient" and method.ranking_weight != 0:
        return _policy_gradient(group, rows, method)
    if method.term:
        return _own_terms(group, rows, method)
    if not method.compares_pairs or not group.pairs(method):
        return rows.token_logp_R_T.new_zeros(0)
    if method.credit == "signal":
        return _by_signal(group, rows, method)
    may_fall = group.may_fall(method)
    limits: dict[str, Any] = {"may_fall_K": [may_fall[i] for i in rows.indices], "is_held_K": _held(rows, method)}
    logp_R = _normalized(rows.token_logp_R_T, rows, method)
    if method.terms == "hinge":
        return losses.ranking_hinges(
            logp_R, rows.z, alpha=method.alpha, beta=method.beta, softmax=method.softmax, **limits
        )
    if method.terms == "rank-hinge":
        return losses.brio_hinges(logp_R, rows.z, margin=method.rank_margin, **limits)
    assert rows.initial_R_T is not None
    before_R = _normalized(rows.initial_R_T, rows, method)
    if method.terms == "hinge-norm":
        gain_R = method.strength * (logp_R - before_R.detach())
        return losses.ranking_hinges(gain_R, rows.z, alpha=method.alpha, beta=method.beta, **limits)
    return losses.dpo_terms(logp_R, before_R, rows.z, strength=method.strength, beta=method.beta, **limits)


def _own_terms(group: Group, rows: _Rows, method: Method) -> Tensor:
    """What the user's function makes of all K responses. Raises ToolFailed, which names its file and line."""
    if not group.weight(method):
        return rows.token_logp_R_T.new_zeros(0)
    function = plugins.resolve("term", method.term, {})
    logp_K = _normalized(rows.token_logp_R_T, rows, method)
    try:
        found = function(logp_K, torch.tensor(rows.z, dtype=torch.float64), alpha=method.alpha, beta=method.beta)
    except Exception as error:
        raise ToolFailed(
            f"the term {method.term} raised {type(error).__name__}: {error} ({plugins.place_of(error)}); no weights "
            "were changed by this step"
        ) from error
    problem = ""
    if not isinstance(found, Tensor) or found.ndim > 1 or not found.is_floating_point():
        what = f"tensor of shape {tuple(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else repr(found)[:60]
        problem = f"returned {what}, not a tensor of numbers with at most one axis (one value for each pair, or a sum)"
    elif logp_K.requires_grad and not found.requires_grad and bool((found != 0).any()):
        problem = "returned values that do not depend on logp_K, so nothing can be learnt from them"
    if problem:
        place = plugins.definition_of(function)
        raise ToolFailed(f"the term {method.term} {problem} ({place})")
    return found.reshape(-1).to(logp_K)


def _held(rows: _Rows, method: Method) -> Tensor | None:
    """Which responses have fallen as far as they may."""
    if method.negative_floor is None:
        return None
    assert rows.initial_R_T is not None
    return losses.has_fallen(rows.token_logp_R_T, rows.mask_R_T, rows.initial_R_T, method.negative_floor)


def _by_signal(group: Group, rows: _Rows, method: Method) -> Tensor:
    """The same of the pairs that differ in an output, over the tokens that drive it in each; [P]."""
    pairs, held = group.compared(method), _held(rows, method)
    worse = _over_tokens([(pair.worse, pair.worse_tokens) for pair in pairs], rows, method)
    if held is not None:
        worse = torch.where(held[[rows.row(pair.worse) for pair in pairs]], worse.detach(), worse)
    better = _over_tokens([(pair.better, pair.better_tokens) for pair in pairs], rows, method)
    if method.terms == "hinge":
        return losses.pair_hinges(worse, better, alpha=method.alpha)
    return losses.pair_dpo_terms(worse, better, strength=method.strength)


def _over_tokens(sides: Sequence[tuple[int, tuple[int, ...] | None]], rows: _Rows, method: Method) -> Tensor:
    """p of (response, positions that count; None: all) of each pair, [P]: with DPO the gain over the first policy."""
    at = [rows.row(index) for index, _ in sides]
    mask = rows.mask_R_T[at]
    for number, (_, tokens) in enumerate(sides):
        if tokens is not None:
            counts = torch.zeros_like(mask[number])
            counts[list(tokens)] = True
            mask[number] &= counts
    logp = losses.length_normalized_logp(rows.token_logp_R_T[at], mask, exponent=method.length_exponent)
    if method.terms == "hinge":
        return logp
    assert rows.initial_R_T is not None
    return logp - losses.length_normalized_logp(rows.initial_R_T[at], mask, exponent=method.length_exponent).detach()


def _normalized(token_logp_R_T: Tensor, rows: _Rows, method: Method) -> Tensor:
    return losses.length_normalized_logp(
        token_logp_R_T, rows.mask_R_T, method.length_normalizer, rows.prompt_lengths, exponent=method.length_exponent
    )


def _policy_gradient(group: Group, rows: _Rows, method: Method) -> Tensor:
    """Mean over the group's candidates, as terms that sum to it; [] where there is nothing to learn from them.

    A candidate below the mean that may not fall (or no further) has the KL penalty alone.
    """
    members = group.members()
    found = [(place, rows.row(index)) for place, index in enumerate(members) if index in rows.indices]
    if not found or not group.weight(method):
        return rows.token_logp_R_T.new_zeros(0)
    at = [row for _, row in found]
    advantages = losses.group_advantages([group.responses[index].z for index in members], scale=method.advantage_scale)
    advantages = advantages[[place for place, _ in found]]
    may_fall, held = group.may_fall(method), _held(rows, method)
    for number, (place, row) in enumerate(found):
        if advantages[number] < 0 and not (may_fall[members[place]] and (held is None or not held[row])):
            advantages[number] = 0.0
    logp, mask = rows.token_logp_R_T[at], rows.mask_R_T[at]
    before = None if rows.initial_R_T is None else rows.initial_R_T[at]
    clips = method.clip_low is not None and method.clip_high is not None
    terms = losses.policy_gradient_terms(
        logp, mask, advantages, initial_logp_R_T=before if clips else None,
        clip_low=method.clip_low or 0.0, clip_high=method.clip_high or 0.0,
    )  # fmt: skip
    if method.kl_weight > 0:
        assert before is not None
        terms = terms + method.kl_weight * losses.kl_terms(logp, mask, before)
    return terms / len(members)


def by_group(found: Mapping[tuple[int, int], Tensor], groups: Sequence[int]) -> dict[int, dict[int, Tensor]]:
    """Log-probabilities of (group, slot) sorted into groups; one without any has an empty table."""
    table: dict[int, dict[int, Tensor]] = {number: {} for number in groups}
    for (number, slot), values in found.items():
        table[number][slot] = values
    return table
