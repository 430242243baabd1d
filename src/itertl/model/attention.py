"""Attention of our own under transformers' interface; here over packed rows, part by part: the scores that the mask
would hide are never computed.

With the mask alone a row of 900 tokens costs 900² scores a head; a prompt of 260 with four responses needs 0.42 of
them. On a CPU, where that is a quarter of a step, each prompt attends to itself and each response to its prompt and
itself, in calls of their own. It is registered with transformers under ``NAME`` and reads the parts from the mask
(``mask.rows``); where the mask has none, or a model made another of it, this is transformers' own SDPA attention with
the mask that it was given.

Left out: GPUs, where many small calls cost more than they save; FlexAttention is their way.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "itertl_rows"
# of each row, its pieces: tokens of prompt, of each response
Rows = tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]


def register(name: str, attention: Callable[..., tuple[Tensor, None]]) -> None:
    """Make ``attention``, which takes the masks of SDPA, known to transformers under that name."""
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [B, H, L, D], key and value [B, H', L, D] -> [B, L, H, D].

    What it cannot do (caps, biases, other lengths of keys) is left to SDPA, for which the mask is right too.
    """
    rows: Rows | None = getattr(attention_mask, "rows", None)
    does_more = given.get("position_bias") is not None or given.get("softcap")
    if rows is None or key.shape[2] != query.shape[2] or does_more:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    # keys and values stay as few as they are: copies for each query head took 0.1 of 1.9 GB in the fixed shape of the
    # benchmark
    options = {
        "dropout_p": given.get("dropout", 0.0) if module.training else 0.0, "scale": given.get("scaling"),
        "enable_gqa": key.shape[1] != query.shape[1],
    }  # fmt: skip
    done = [
        _row(query[number, None], key[number, None], value[number, None], pieces, options)
        for number, pieces in enumerate(rows)
    ]
    return torch.cat(done).transpose(1, 2).contiguous(), None


def _row(
    query: Tensor, key: Tensor, value: Tensor, pieces: tuple[tuple[int, tuple[int, ...]], ...], options: dict[str, Any]
) -> Tensor:
    """One row, [1, H, L, D].

    ``split`` and ``cat`` rather than slices, whose gradients would each be as long as the row.
    """
    sizes = [size for prompt, responses in pieces for size in (prompt, *responses)]
    padding = query.shape[2] - sum(sizes)
    queries, keys, values = (list(t.split([*sizes, padding], dim=2)) for t in (query, key, value))
    found: list[Tensor] = []
    at = 0
    for _, responses in pieces:
        prompt_k, prompt_v = keys[at], values[at]
        size = prompt_k.shape[2]
        found.append(scaled_dot_product_attention(queries[at], prompt_k, prompt_v, is_causal=True, **options))
        for part, length in enumerate(responses, at + 1):
            # all of the prompt, and of the response what is not later
            mask = torch.ones(length, size + length, dtype=torch.bool, device=query.device).tril(size)
            found.append(
                scaled_dot_product_attention(
                    queries[part], torch.cat([prompt_k, keys[part]], 2), torch.cat([prompt_v, values[part]], 2),
                    attn_mask=mask, **options,
                )
            )  # fmt: skip
        at += 1 + len(responses)
    return torch.cat([*found, torch.zeros_like(queries[at])], 2)  # padding attends to nothing
