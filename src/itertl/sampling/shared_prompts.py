"""Attention of decoding where several rows go on from one prompt: its keys and values are kept, and read, once.

With K - 1 candidates a prompt, a cache that holds the prompt in every row is mostly copies, and a CPU spends more time
reading it than on the products of a small model. Here each prompt lies in ``Prompts`` and a row's cache has its own tokens
alone. All queries of a prompt (rows × query heads of a key head) meet it in one product, a second one meets the row's
own tokens, and one softmax goes over both. That is the model's own attention up to rounding, in another order of sums.

It is registered with transformers under ``NAME`` and finds the prompts through the mask (``mask.prompts``); without
them it is transformers' SDPA. ``works`` tries it against a plain forward pass: models whose attention does more than
this (caps, sinks, windows, biases) differ there, and are decoded with whole rows.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import Cache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from itertl.sampling.kv_cache import GrowingLayer

NAME = "itertl_shared_prompts"
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}  # of a logit, in nats: what rounding explains
_DROP_AT = 1 / 4  # share of prompts without rows at which the rest moves together


@dataclass(slots=True)
class Prompts:
    """U prompts of up to P tokens, and which of them each of the R rows goes on from."""

    keys: list[Tensor]  # of each layer, [U, key heads, P, D]
    values: list[Tensor]
    bias_U_P: Tensor  # 0 on tokens, -inf on padding
    prompt_R: list[int]  # ascending or not; rows of a prompt need not be neighbours
    row_U_M: Tensor  # rows of each prompt, M = most of any; row 0 stands where there are fewer
    place_R: Tensor  # of each row in ``row_U_M``, flattened

    @classmethod
    def of(cls, cache: Cache, mask_U_P: Tensor, prompt_R: list[int]) -> "Prompts":
        """From the cache that reading the prompts left behind."""
        layers: list[Any] = list(cache.layers)
        keys, values = [layer.keys for layer in layers], [layer.values for layer in layers]
        bias = torch.zeros(mask_U_P.shape, dtype=keys[0].dtype, device=mask_U_P.device)
        bias = bias.masked_fill(mask_U_P == 0, float("-inf"))
        return cls(keys, values, bias, prompt_R, *_places(prompt_R, len(mask_U_P), mask_U_P.device))

    def keep(self, rows: list[int]) -> "Prompts":
        """Of these rows alone; prompts without any are let go when they are many."""
        prompt_R = [self.prompt_R[row] for row in rows]
        wanted = sorted(set(prompt_R))
        num_prompts = len(self.bias_U_P)
        keys, values, bias = self.keys, self.values, self.bias_U_P
        if len(wanted) <= num_prompts * (1 - _DROP_AT):
            index = torch.tensor(wanted, device=bias.device)
            keys, values, bias = [k[index] for k in keys], [v[index] for v in values], bias[index]
            number = {prompt: place for place, prompt in enumerate(wanted)}
            prompt_R = [number[prompt] for prompt in prompt_R]
            num_prompts = len(wanted)
        return Prompts(keys, values, bias, prompt_R, *_places(prompt_R, num_prompts, bias.device))

    def mask(self, num_rows: int) -> Tensor:
        """What the model is given as its mask: it hides nothing, and leads to these prompts."""
        mask = torch.ones(num_rows, 1, 1, 1, dtype=torch.bool, device=self.bias_U_P.device)
        mask.prompts = self  # type: ignore[attr-defined]
        return mask


def _places(prompt_R: list[int], num_prompts: int, device: Any) -> tuple[Tensor, Tensor]:
    rows: list[list[int]] = [[] for _ in range(num_prompts)]
    for row, prompt in enumerate(prompt_R):
        rows[prompt].append(row)
    most = max(map(len, rows))
    place = [0] * len(prompt_R)
    for prompt, members in enumerate(rows):
        for number, row in enumerate(members):
            place[row] = prompt * most + number
    table = torch.tensor([members + [0] * (most - len(members)) for members in rows], device=device)
    return table, torch.tensor(place, device=device)


def register() -> None:
    """Make ``NAME`` known to transformers; done twice it is done once."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
    scaling: float | None = None, is_causal: bool | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' attention interface: query [R, H, 1, D], key and value [R, H', T, D] of the rows' own tokens."""
    prompts: Prompts | None = getattr(attention_mask, "prompts", None)
    if prompts is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)
    R, H, _, D = query.shape
    K = key.shape[1]
    G = H // K
    prompt_key, prompt_value = prompts.keys[module.layer_idx], prompts.values[module.layer_idx]
    U, _, P, _ = prompt_key.shape
    M = prompts.row_U_M.shape[1]
    query_R_K_G_D = (query * (D**-0.5 if scaling is None else scaling)).reshape(R, K, G, D)

    def by_prompt(rows: Tensor) -> Tensor:  # [R, K, G, x] -> [U, K, M·G, x]
        picked = rows[prompts.row_U_M.flatten()].view(U, M, K, G, -1)
        return picked.transpose(1, 2).reshape(U, K, M * G, -1)

    def by_row(found: Tensor) -> Tensor:  # and back
        spread = found.view(U, K, M, G, -1).transpose(1, 2).reshape(U * M, K, G, -1)
        return spread[prompts.place_R]

    seen_U = by_prompt(query_R_K_G_D) @ prompt_key.transpose(2, 3) + prompts.bias_U_P[:, None, None, :]
    own_R = query_R_K_G_D @ key.transpose(2, 3)
    weights_R = torch.softmax(torch.cat([by_row(seen_U), own_R], dim=-1).float(), dim=-1).to(query.dtype)
    from_prompt = by_row(by_prompt(weights_R[..., :P]) @ prompt_value)
    return (from_prompt + weights_R[..., P:] @ value).reshape(R, 1, H, D), None


def can_try(model: Any) -> bool:
    """Whether the model's attention is one that could be replaced: SDPA through transformers' interface, plain caches."""
    config = model.config.get_text_config()
    layers = DynamicCache(config=model.config).layers
    plain = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
    return plain and getattr(config, "_attn_implementation", None) in ("sdpa", NAME)


@torch.inference_mode()
def works(model: Any) -> bool:
    """Set the model's attention to ``NAME`` where it gives the logits of a plain pass; else leave it as it is."""
    if not can_try(model):
        return False
    before = model.config.get_text_config()._attn_implementation
    register()
    try:
        model.set_attn_implementation(NAME)
        if _largest_difference(model) <= _TOLERANCE.get(model.dtype, 1e-3):
            return True
    except Exception:  # a model of any make may refuse in its own way
        pass
    model.set_attn_implementation(before)
    return False


def _largest_difference(model: Any) -> float:
    """Of any logit, over two prompts with two rows each, three tokens on."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().num_embeddings
    low = min(vocabulary // 2, 1000)

    def ids(*shape: int) -> Tensor:
        return torch.randint(low, vocabulary, shape, generator=generator)

    prompts, rows, lengths = ids(2, 9), ids(4, 3), (9, 5)
    mask = torch.tensor([[0] * (9 - n) + [1] * n for n in lengths], device=model.device)
    place = (mask.cumsum(1) - 1).clamp(min=0)
    read = model(input_ids=prompts.to(model.device), attention_mask=mask, position_ids=place, use_cache=True)
    found = Prompts.of(read.past_key_values, mask, [0, 0, 1, 1])
    own = Cache(layers=[GrowingLayer() for _ in found.keys])
    worst = 0.0
    for step in range(rows.shape[1]):
        position = torch.tensor([[lengths[p] + step] for p in found.prompt_R], device=model.device)
        output = model(
            input_ids=rows[:, step : step + 1].to(model.device), attention_mask=found.mask(4), position_ids=position,
            past_key_values=own, use_cache=True,
        )  # fmt: skip
        for row, prompt in enumerate(found.prompt_R):
            whole = torch.cat([prompts[prompt, 9 - lengths[prompt] :], rows[row, : step + 1]])[None].to(model.device)
            plain = model(input_ids=whole, use_cache=False).logits[0, -1]
            worst = max(worst, float((output.logits[row, -1].float() - plain.float()).abs().max()))
    return worst if worst == worst else float("inf")
