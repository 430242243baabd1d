"""Attention of decoding where several rows go on from one prompt: its keys and values are kept, and read, once.

With K - 1 candidates a prompt, a cache that holds the prompt in every row is mostly copies, and a CPU spends more time
reading it than on the products of a small model. Here each prompt lies in ``Prompts`` and a row's cache has its own
tokens alone. All queries of a prompt (rows × query heads of a key head) meet it in one product, a second one meets the
row's own tokens, and one softmax goes over both. That is the model's own attention up to rounding, in another order of
sums.

On a CPU the prompts themselves are read side by side in rows without padding, each attending to itself
(``model.attention``); on a GPU, where many small calls cost more than they save, padded to the longest. Where answers
have begun (``begin_behind``), what they begin with is read there too, each once behind its prompt.

It is registered with transformers under ``NAME`` and finds the prompts through the mask (``mask.prompts``); without
them it is transformers' SDPA. ``works`` tries it against a plain forward pass: models whose attention does more than
this (caps, sinks, windows, biases) differ there, and are decoded with whole rows.
"""

import bisect
import contextlib
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from itertl.model.attention import attend as by_parts
from itertl.model.attention import register
from itertl.sampling.kv_cache import GrowingLayer

NAME = "itertl_shared_prompts"
_TOLERANCE = 1e-3  # of a logit, in nats: what rounding explains in float32
_SHARE_OF_OTHER = 0.15  # in few digits: of what the other prompt would change, how much is still taken for rounding
_MORE = ("softcap", "position_bias", "s_aux", "sliding_window")  # what attention may do besides, by transformers' names
_ROW = 2048  # tokens of a row of prompts
# Gives each query's log-sum-exp as well, by which two attentions are joined; half the time of products and softmax
# separately.
_FUSED = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_DROP_AT = 1 / 4  # share of prompts without rows at which the rest moves together


@dataclass(slots=True)
class Prompts:
    """U prompts of up to P tokens, and which of them each of the R rows goes on from."""

    keys: list[Tensor]  # of each layer, [U, key heads, P, D]
    values: list[Tensor]
    bias_U_P: Tensor  # 0 on tokens, -inf on padding
    prompt_R: list[int]  # ascending or not; rows of a prompt need not be neighbours
    row_U_M: Tensor  # rows of each prompt, M = most of any; row 0 where there are fewer
    place_R: Tensor  # of each row in ``row_U_M``, flattened
    is_full: bool  # each prompt has M rows, side by side in its order: nothing need be moved

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


def _places(prompt_R: list[int], num_prompts: int, device: Any) -> tuple[Tensor, Tensor, bool]:
    rows: list[list[int]] = [[] for _ in range(num_prompts)]
    for row, prompt in enumerate(prompt_R):
        rows[prompt].append(row)
    most = max(map(len, rows))
    place = [0] * len(prompt_R)
    for prompt, members in enumerate(rows):
        for number, row in enumerate(members):
            place[row] = prompt * most + number
    table = torch.tensor([members + [0] * (most - len(members)) for members in rows], device=device)
    return table, torch.tensor(place, device=device), place == list(range(num_prompts * most))


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [R, H, 1, D], key and value [R, H', T, D] of the rows' own tokens."""
    prompts: Prompts | None = getattr(attention_mask, "prompts", None)
    is_packed = getattr(attention_mask, "rows", None) is not None
    more = [name for name in _MORE if given.get(name) is not None]
    if more and (is_packed or prompts is not None):  # on a short text it may not show
        raise NotImplementedError(f"attention with {', '.join(more)}")
    scaling = given.get("scaling")
    R, H, L, D = query.shape
    K = key.shape[1]
    G = H // K
    if prompts is None:
        plain = by_parts if is_packed else sdpa_attention_forward
        if L > 1 or K == H or more or attention_mask is None or attention_mask.shape[1] > 1:
            return plain(module, query, key, value, attention_mask, **given)
        # queries of a key head are laid out as if one after another: keys and values need no copy for each
        query = query.reshape(R, K, G, D)
        found = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return found.reshape(R, 1, H, -1), None
    prompt_key, prompt_value = prompts.keys[module.layer_idx], prompts.values[module.layer_idx]
    U, _, P, _ = prompt_key.shape
    M = prompts.row_U_M.shape[1]
    scale = D**-0.5 if scaling is None else scaling
    query_R_K_G_D = query.reshape(R, K, G, D)

    def by_prompt(rows: Tensor) -> Tensor:  # [R, K, G, x] -> [U, K, M·G, x]
        picked = rows if prompts.is_full else rows[prompts.row_U_M.flatten()]
        return picked.view(U, M, K, G, -1).transpose(1, 2).reshape(U, K, M * G, -1)

    def by_row(found: Tensor) -> Tensor:  # and back
        spread = found.view(U, K, M, G, -1).transpose(1, 2).reshape(U * M, K, G, -1)
        return spread if prompts.is_full else spread[prompts.place_R]

    bias_U_1_1_P = prompts.bias_U_P[:, None, None, :]
    bias_R_1_1_T: Tensor | None = getattr(attention_mask, "own", None)
    if _FUSED is not None and query.device.type == "cpu":
        seen_U, norm_U = _FUSED(
            by_prompt(query_R_K_G_D), prompt_key, prompt_value, 0.0, False, attn_mask=bias_U_1_1_P, scale=scale
        )
        own_R, norm_R = _FUSED(query_R_K_G_D, key, value, 0.0, False, attn_mask=bias_R_1_1_T, scale=scale)
        share_R = torch.sigmoid(by_row(norm_U.reshape(U, K, M * G, 1)) - norm_R.reshape(R, K, G, 1))  # of the prompt
        return torch.lerp(own_R, by_row(seen_U), share_R.to(own_R.dtype)).reshape(R, 1, H, D), None
    seen_U = by_prompt(query_R_K_G_D * scale) @ prompt_key.transpose(2, 3) + bias_U_1_1_P
    own_R = (query_R_K_G_D * scale) @ key.transpose(2, 3)
    own_R = own_R if bias_R_1_1_T is None else own_R + bias_R_1_1_T
    weights_R = torch.softmax(torch.cat([by_row(seen_U), own_R], dim=-1).float(), dim=-1).to(query.dtype)
    from_prompt = by_row(by_prompt(weights_R[..., :P].contiguous()) @ prompt_value)
    return (from_prompt + weights_R[..., P:] @ value).reshape(R, 1, H, D), None


@torch.inference_mode()
def read(model: Any, prompts: Sequence[tuple[int, ...]], prompt_R: list[int]) -> tuple[Tensor, Prompts]:
    """Put each prompt through the model once. Logits of the token after it, [U, V], and what decoding goes on from."""
    if can_begin_behind(model):
        logits_U_V, keys, values, _ = _read_packed(model, [(prompt, ()) for prompt in prompts])
    else:
        logits_U_V, keys, values = _read_padded(model, prompts)
    return logits_U_V, _held(keys, values, prompts, prompt_R)


def _held(keys: list[Tensor], values: list[Tensor], prompts: Sequence[tuple[int, ...]], prompt_R: list[int]) -> Prompts:
    device = keys[0].device
    lengths = torch.tensor([len(ids) for ids in prompts], device=device)
    is_padding = torch.arange(keys[0].shape[2], device=device)[None] >= lengths[:, None]
    bias = torch.zeros(is_padding.shape, dtype=keys[0].dtype, device=device).masked_fill(is_padding, float("-inf"))
    return Prompts(keys, values, bias, prompt_R, *_places(prompt_R, len(prompts), device))


# a prompt, and the different tokens with which answers to it begin
_Begun = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, slots=True)
class _Behind:
    """What one beginning of an answer left: logits of the token after it, [V], and of each layer [heads, W, D]."""

    logits_V: Tensor
    keys: list[Tensor]
    values: list[Tensor]


def _read_packed(
    model: Any, prompts: Sequence[_Begun]
) -> tuple[Tensor, list[Tensor], list[Tensor], dict[tuple[int, tuple[int, ...]], _Behind]]:
    """Rows of one prompt after another, each with what answers to it begin with: by (prompt's number, tokens)."""
    width = max(len(prompt) for prompt, _ in prompts)
    logits: list[Tensor] = []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    behind: dict[tuple[int, tuple[int, ...]], _Behind] = {}
    sizes = [len(prompt) + sum(map(len, begun)) for prompt, begun in prompts]
    first = 0
    while first < len(prompts):
        count = bisect.bisect_right(list(itertools.accumulate(sizes[first:])), _ROW)
        some = prompts[first : first + max(1, count)]  # what one row takes; one at least
        output, layers, ends = _forward_packed(model, some)
        for layer in layers if first == 0 else ():
            shape = (len(prompts), layer.keys.shape[1], width, layer.keys.shape[3])
            keys.append(layer.keys.new_zeros(shape))
            values.append(layer.values.new_zeros(*shape[:3], layer.values.shape[3]))
        at = 0
        for place, (prompt, begun) in enumerate(some, first):
            logits.append(output[at])
            for number, layer in enumerate(layers):
                keys[number][place, :, : len(prompt)] = layer.keys[0, :, ends[at] - len(prompt) : ends[at]]
                values[number][place, :, : len(prompt)] = layer.values[0, :, ends[at] - len(prompt) : ends[at]]
            for tokens in begun:
                at += 1
                span = slice(ends[at] - len(tokens), ends[at])
                key_of, value_of = [x.keys[0, :, span] for x in layers], [x.values[0, :, span] for x in layers]
                behind[place, tokens] = _Behind(output[at], key_of, value_of)
            at += 1
        first += len(some)
    return torch.stack(logits), keys, values, behind


def _forward_packed(model: Any, some: Sequence[_Begun]) -> tuple[Tensor, list[Any], list[int]]:
    """One row: logits behind each piece, [pieces, V], the layers' caches, and where each piece ends."""
    pieces = [
        (0, prompt) if not n else (len(prompt), begun[n - 1]) for prompt, begun in some for n in range(len(begun) + 1)
    ]
    ends = list(itertools.accumulate(len(ids) for _, ids in pieces))
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    mask.rows = (tuple((len(prompt), tuple(map(len, begun))) for prompt, begun in some),)  # type: ignore[attr-defined]
    cache = DynamicCache(config=model.config)
    output = model(
        input_ids=torch.tensor([[token for _, ids in pieces for token in ids]]), attention_mask=mask,
        position_ids=torch.cat([torch.arange(start, start + len(ids)) for start, ids in pieces])[None],
        past_key_values=cache, use_cache=True, logits_to_keep=torch.tensor(ends) - 1,
    )  # fmt: skip
    return output.logits[0], list(cache.layers), ends


def _read_padded(model: Any, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Padded on the right: what comes after a prompt is masked, and never seen by it."""
    width, device = max(map(len, prompts)), model.device
    ids = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    mask = (torch.arange(width, device=device)[None] < lengths[:, None]).long()
    cache = DynamicCache(config=model.config)
    base = model.get_decoder()
    hidden = base(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True).last_hidden_state
    last = hidden[torch.arange(len(prompts), device=device), lengths - 1]
    layers: list[Any] = list(cache.layers)
    return model.get_output_embeddings()(last), [layer.keys for layer in layers], [layer.values for layer in layers]


def can_try(model: Any) -> bool:
    """Whether the model's attention can be replaced: SDPA through transformers' interface, plain caches."""
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
    register(NAME, attend)
    with contextlib.suppress(Exception):  # a model of any make may refuse in its own way
        model.set_attn_implementation(NAME)
        if agrees(model, begin):
            return True
    model.set_attn_implementation(before)
    return False


@dataclass(slots=True)
class SharedCache:
    """Prompts once, and each row's own tokens."""

    model: Any
    prompts: Prompts
    position_R: Tensor
    compact_at: float = 1 / 8  # later costs steps, sooner costs copies
    own: Any = None
    bias_R_W: Tensor | None = None  # of ``own`` before the first step: 0 on tokens, -inf on padding

    def step(self, token_R: Tensor) -> Tensor:
        if self.own is None:
            self.own = Cache(layers=[GrowingLayer() for _ in self.prompts.keys])
        mask = self.prompts.mask(len(token_R))
        if self.bias_R_W is not None:
            self.bias_R_W = torch.nn.functional.pad(self.bias_R_W, (0, 1))
            mask.own = self.bias_R_W[:, None, None, :]  # type: ignore[attr-defined]
        output = self.model(
            input_ids=token_R[:, None], attention_mask=mask, position_ids=self.position_R[:, None],
            past_key_values=self.own, use_cache=True,
        )  # fmt: skip
        self.position_R = self.position_R + 1
        return output.logits[:, -1]

    def keep(self, rows: list[int]) -> None:
        index = torch.tensor(rows, device=self.position_R.device)
        self.prompts, self.position_R = self.prompts.keep(rows), self.position_R[index]
        if self.own is not None:
            self.own.batch_select_indices(index)
        if self.bias_R_W is not None:
            self.bias_R_W = self.bias_R_W[index]


def begin(model: Any, prompts: Sequence[tuple[int, ...]], prompt_R: list[int]) -> tuple[Tensor, SharedCache]:
    """Put each prompt through the model once: logits of the token after it, [U, V], and the rows that go on from it."""
    logits_U_V, found = read(model, prompts, prompt_R)
    return logits_U_V, SharedCache(model, found, lengths(prompts, prompt_R, model.device))


def can_begin_behind(model: Any) -> bool:
    """Whether ``begin_behind`` is for this model, where ``works``."""
    return model.device.type == "cpu" and "logits_to_keep" in inspect.signature(model.forward).parameters


@torch.inference_mode()
def begin_behind(
    model: Any, prompts: Sequence[tuple[int, ...]], prompt_R: list[int], begun_R: Sequence[tuple[int, ...]]
) -> tuple[Tensor, SharedCache]:
    """As ``begin``, for rows whose answers have begun, each with its tokens: logits of the next token, [R, V].

    A prompt is read once, and each of its different beginnings once, in one go. What a row began with lies before its
    own tokens, padded on the left.
    """
    chosen = [
        [b for b, number in zip(begun_R, prompt_R, strict=True) if b and number == n] for n in range(len(prompts))
    ]
    begun = [(prompt, tuple(dict.fromkeys(some))) for prompt, some in zip(prompts, chosen, strict=True)]
    logits_U_V, keys, values, behind = _read_packed(model, begun)
    rows = list(zip(prompt_R, begun_R, strict=True))
    logits_R_V = torch.stack([behind[row].logits_V if row[1] else logits_U_V[row[0]] for row in rows])
    width = max(map(len, begun_R))
    bias = torch.full((len(rows), width), float("-inf"), dtype=keys[0].dtype)
    own = Cache(layers=[GrowingLayer() for _ in keys])
    for layer in range(len(keys)):
        key, value = (
            of[layer].new_zeros(len(rows), of[layer].shape[1], width, of[layer].shape[3]) for of in (keys, values)
        )
        for number, row in enumerate(rows):
            start = width - len(row[1])
            bias[number, start:] = 0.0
            if row[1]:
                key[number, :, start:], value[number, :, start:] = behind[row].keys[layer], behind[row].values[layer]
        own.update(key, value, layer)
    position_R = lengths(prompts, prompt_R, model.device) + torch.tensor([len(b) for b in begun_R])
    return logits_R_V, SharedCache(model, _held(keys, values, prompts, prompt_R), position_R, own=own, bias_R_W=bias)


def lengths(prompts: Sequence[tuple[int, ...]], prompt_R: list[int], device: Any) -> Tensor:
    """Of each row's prompt, [R]: where its first own token goes."""
    return torch.tensor([len(prompts[number]) for number in prompt_R], device=device)


def agrees(model: Any, begin: Callable[..., tuple[Tensor, Any]]) -> bool:
    """Whether decoding by what ``begin`` gives (as ``begin`` here) has the logits of plain passes, up to rounding."""
    largest, other = largest_differences(model, begin)
    return largest <= (_TOLERANCE if model.dtype.itemsize >= 4 else _SHARE_OF_OTHER * other)


@torch.inference_mode()
def largest_differences(model: Any, begin: Callable[..., tuple[Tensor, Any]]) -> tuple[float, float]:
    """Of any logit from a plain pass, over two prompts with two rows each, three tokens on; and what the other prompt
    makes of it."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().num_embeddings
    low = min(vocabulary // 2, 1000)

    def ids(*shape: int) -> Tensor:
        return torch.randint(low, vocabulary, shape, generator=generator)

    def plain(tokens: Sequence[int]) -> Tensor:
        return model(input_ids=torch.tensor([list(tokens)], device=model.device), use_cache=False).logits[0, -1].float()

    prompts, rows, prompt_R = ids(2, 9), ids(4, 3), [0, 0, 1, 1]
    given = [tuple(prompts[number, :length].tolist()) for number, length in enumerate((9, 5))]
    first, cache = begin(model, given, prompt_R)
    worst, other = float((first.float() - torch.stack([plain(prompt) for prompt in given])).abs().max()), 0.0
    for number in range(rows.shape[1]):
        logits_R_V = cache.step(rows[:, number].to(model.device)).float()
        for row, prompt in enumerate(prompt_R):
            after = rows[row, : number + 1].tolist()
            wanted, swapped = (plain([*given[p], *after]) for p in (prompt, 1 - prompt))
            worst = max(worst, float((logits_R_V[row] - wanted).abs().max()))
            other = max(other, float((swapped - wanted).abs().max()))
    return (worst if worst == worst else float("inf")), other
