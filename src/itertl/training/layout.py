"""Which way a model can be fed: found by comparing each way with the plain one on a small batch of random tokens.

The plain way is one prompt with one response a row, padded, all logits from the model's own ``forward``: right by
definition. Tried in this order, the first that agrees is taken: packed rows with logits from hidden states, packed rows
with the model's logits, padded rows with logits from hidden states, the plain way. What a small batch cannot show is
asked of the configuration: windows of attention that are shorter than the longest sequence.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from itertl.model.attention import NAME
from itertl.training.collate import collate
from itertl.training.packing import MicroBatch, Piece
from itertl.training.response_model import ResponseModel, base_model, response_logprobs

# Largest difference of a token's log-probability that rounding explains, in nats; and, for types with few digits, the
# share of what a wrong mask changes that is still taken for rounding.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
_SHARE_OF_WRONG = 0.25
_ACCEPTABLE = 1e-4  # this is rounding in any type


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that was taken, and why the better ones were not ("" for the best)."""

    packed: bool
    hidden: bool
    why: str = ""

    @property
    def name(self) -> str:
        return f"{'packed' if self.packed else 'padded'} rows, {'chunked head' if self.hidden else 'all logits'}"


def choose(policy: ResponseModel, *, longest: int, allow_packing: bool = True) -> Choice:
    """Try the ways and set ``policy`` to the one taken. ``longest``: tokens of the longest prompt with its response."""
    reasons: list[str] = []
    plain: list[Tensor] | None = None
    for packed, hidden in ((True, True), (True, False), (False, True)):
        name = Choice(packed, hidden).name
        if packed:
            refused = "switched off" if not allow_packing else _cannot_pack(policy.model, longest)
            if refused:
                reasons += [f"packing: {refused}"] if hidden else []
                continue
        plain = plain if plain is not None else _measure(policy, packed=False, hidden=False)
        problem = _differs(policy, plain, packed=packed, hidden=hidden)
        if problem is None:
            policy.packed, policy.hidden = packed, hidden
            return Choice(packed, hidden, "; ".join(reasons))
        reasons.append(f"{name}: {problem}")
    policy.packed = policy.hidden = False
    return Choice(False, False, "; ".join(reasons))


def _cannot_pack(model: Any, longest: int) -> str:
    """What the model's interface or configuration says against packing; "" for nothing."""
    base = base_model(model)
    if "position_ids" not in inspect.signature(base.forward).parameters:
        return "the model takes no position_ids"
    config = base.config.get_text_config()
    implementation = str(getattr(config, "_attn_implementation", "sdpa"))
    if implementation not in ("sdpa", "eager", "flex_attention", NAME):
        return f"its attention ({implementation}) takes no mask"
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    short = [w for w in windows if isinstance(w, int) and w < longest]
    is_used = getattr(config, "use_sliding_window", True)
    return f"attention windows of {min(short)} tokens, sequences of up to {longest}" if short and is_used else ""


def _pieces(vocabulary: int) -> list[Piece]:
    """Two groups whose prompts and responses have different lengths; ids that few vocabularies use for special
    tokens."""
    generator = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        low = min(vocabulary // 2, 1000)
        return tuple(torch.randint(low, vocabulary, (count,), generator=generator).tolist())

    return [Piece(0, ids(9), (ids(5), ids(11), ids(3)), (0, 1, 2)), Piece(1, ids(14), (ids(7), ids(1)), (0, 1))]


def _measure(policy: ResponseModel, *, packed: bool, hidden: bool) -> list[Tensor]:
    """Token log-probabilities of each response, in order."""
    pieces = _pieces(policy.model.get_input_embeddings().num_embeddings)
    rows = (tuple(pieces),) if packed else tuple((part,) for piece in pieces for part in piece.alone())
    found = _logprobs(policy, rows, packed=packed, hidden=hidden)
    return [found[piece.group, slot] for piece in pieces for slot in piece.slots]


def _logprobs(policy: ResponseModel, rows: MicroBatch, *, packed: bool, hidden: bool) -> dict[tuple[int, int], Tensor]:
    """By (group, slot), on the CPU; in evaluation mode, without gradient or autocast."""
    before = policy.packed, policy.hidden, policy.training
    policy.packed, policy.hidden = packed, hidden
    policy.eval()
    try:
        with torch.no_grad():
            found = response_logprobs(policy, collate(rows), next(policy.parameters()).device)
    finally:
        policy.packed, policy.hidden = before[:2]
        policy.train(before[2])
    return {slot: values.cpu() for slot, values in found.items()}


def _differs(policy: ResponseModel, plain: Sequence[Tensor], *, packed: bool, hidden: bool) -> str | None:
    """Why this way is not the plain one; None where they agree."""
    found = _attempt(lambda: _measure(policy, packed=packed, hidden=hidden))
    if isinstance(found, str):
        return found
    difference = _largest(found, plain)
    dtype = next(policy.parameters()).dtype
    if difference <= _ACCEPTABLE:
        return None
    if not difference <= _TOLERANCE.get(dtype, 1e-3):
        return f"log-probabilities differ by up to {difference:.2g} from the plain way's"
    if packed:  # few digits: it must be far nearer to the truth than a row whose responses see each other
        wrong = _attempt(lambda: _measure_leaking(policy, hidden=hidden))
        if not isinstance(wrong, str) and difference > _SHARE_OF_WRONG * _largest(wrong, plain):
            return f"log-probabilities differ by up to {difference:.2g}, as if responses saw each other"
    return None


def _measure_leaking(policy: ResponseModel, *, hidden: bool) -> list[Tensor]:
    """What packing without the mask would give: one long response after the prompt, cut into the same parts."""
    pieces = _pieces(policy.model.get_input_embeddings().num_embeddings)
    joined = [Piece(p.group, p.prompt_ids, (tuple(t for r in p.responses for t in r),), (0,)) for p in pieces]
    found = _logprobs(policy, tuple((piece,) for piece in joined), packed=False, hidden=hidden)
    return [part for piece in pieces for part in found[piece.group, 0].split([len(r) for r in piece.responses])]


def _attempt(measure: Callable[[], list[Tensor]]) -> list[Tensor] | str:
    try:
        return measure()
    except Exception as error:  # a model of any make may refuse a mask or lack a decoder in its own way
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".rstrip(": ")


def _largest(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return max(float((x.double() - y.double()).abs().max()) for x, y in zip(a, b, strict=True))
