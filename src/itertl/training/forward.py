"""Log-probabilities of responses under a model: the one path by which training and measurement put text through it.

Rows are padded on the right. Only the logits that predict response tokens are computed where the model can do so
(``logits_to_keep``), for with a vocabulary of 49,152 a row of 1,000 tokens costs 200 MB of float32 logits.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from itertl.training.losses import token_logprobs


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt + response. Example: ``Row((1, 5, 9), (7, 2))``; neither part may be empty."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True, slots=True)
class RowLogprobs:
    """What a forward pass gives for R rows."""

    token_logp: Tensor  # [R, T] float32; T runs over positions after the shortest prompt of the batch
    mask: Tensor  # [R, T] bool, true on response tokens
    prompt_lengths: tuple[int, ...]
    tokens: int  # put through the model, padding left out


def can_keep_logits(model: Any) -> bool:
    """Whether the (unwrapped) model takes ``logits_to_keep``."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def response_logprobs(model: Any, rows: Sequence[Row], *, keep_logits: bool, device: Any) -> RowLogprobs:
    """Run the model once over all rows, padded on the right to the longest.

    Args:
        model: causal language model, perhaps wrapped (DDP, autocast); called with ids and attention mask.
        keep_logits: the model takes ``logits_to_keep`` (see ``can_keep_logits``).

    Raises:
        ValueError: no rows, or an empty prompt or response.
    """
    if not rows or any(not row.prompt_ids or not row.response_ids for row in rows):
        raise ValueError("every row needs a prompt and a response of at least one token")
    length = max(len(row) for row in rows)
    start = min(len(row.prompt_ids) for row in rows)  # first position that any row predicts
    ids_R_L = torch.zeros((len(rows), length), dtype=torch.long)
    attention_R_L = torch.zeros((len(rows), length), dtype=torch.long)
    mask_R_L = torch.zeros((len(rows), length), dtype=torch.bool)
    for index, row in enumerate(rows):
        ids_R_L[index, : len(row)] = torch.tensor(row.prompt_ids + row.response_ids)
        attention_R_L[index, : len(row)] = 1
        mask_R_L[index, len(row.prompt_ids) : len(row)] = True
    ids_R_L, mask_R_L = ids_R_L.to(device), mask_R_L.to(device)
    extra = {"logits_to_keep": length - start + 1} if keep_logits else {}
    logits = model(input_ids=ids_R_L, attention_mask=attention_R_L.to(device), use_cache=False, **extra).logits
    # The logits at position i predict token i + 1; the last position predicts nothing that is there.
    logits_R_T_V = logits[:, -(length - start + 1) : -1]
    return RowLogprobs(
        token_logprobs(logits_R_T_V, ids_R_L[:, start:]),
        mask_R_L[:, start:],
        tuple(len(row.prompt_ids) for row in rows),
        sum(len(row) for row in rows),
    )
