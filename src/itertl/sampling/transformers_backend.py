"""Sampling from a transformers model: one decode loop for a whole batch, each row with its own stream of randomness.

Equal prompts are read once and share their keys and values; rows that have ended leave the batch when enough of them
have; a row that reaches the model's context ends there with finish reason "length", and a prompt that leaves no room
at all yields an empty text with that reason. Stop strings are not looked for: a response ends at an end token.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from itertl.config import PromptConfig
from itertl.errors import ToolFailed
from itertl.models import end_token_ids, has_fast_bf16, load_model, load_tokenizer, pick_device
from itertl.records import Problem, SamplingSettings
from itertl.sampling.backend import Generation
from itertl.sampling.kv_cache import new_cache
from itertl.sampling.nucleus import draw, uniforms
from itertl.sampling.plan import SampleRequest
from itertl.sampling.prompts import EncodedPrompt, encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_COMPACT_AT = 1 / 8  # share of ended rows at which the rest moves together: later costs steps, sooner costs copies


def open_backend(
    model: str | Path,
    *,
    dtype: str = "bfloat16",
    trust_remote_code: bool = False,
    revision: str | None = None,
    device: str | None = None,
) -> "TransformersBackend":
    """The back end "transformers"; option ``device`` ("cpu", "cuda:1"). Loads the tokenizer now, the model later.

    Half precision on a CPU without instructions for it is emulated, and slower than float32: float32 is taken there.
    """
    tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code, revision=revision)
    if pick_device(device) == "cpu" and not (dtype == "bfloat16" and has_fast_bf16(device)):
        dtype = "float32"

    def load() -> "PreTrainedModel":
        return load_model(model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, revision=revision)

    return TransformersBackend(tokenizer, load)


class TransformersBackend:
    """See the module. ``load`` is called once, at the first batch."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", load: "Callable[[], PreTrainedModel]") -> None:
        self._tokenizer = tokenizer
        self._load = load
        self._model: PreTrainedModel | None = None

    def encode(self, problem: Problem, config: PromptConfig) -> EncodedPrompt:
        return encode_prompt(problem, config, self._tokenizer)

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """Draw one response a request. Raises ToolFailed where the model's logits are not finite."""
        model = self._model = self._model or self._load()
        ends = end_token_ids(model, self._tokenizer)
        context = context_length(model)
        limits = [_limit(request, settings, context) for request in batch]
        live = [i for i, limit in enumerate(limits) if limit > 0]
        drawn: list[list[int]] = [[] for _ in batch]
        if live:
            rows = [batch[i] for i in live]
            for i, ids in zip(live, decode(model, rows, [limits[i] for i in live], settings, ends), strict=True):
                drawn[i] = ids
        return [self._generation(ids, ends) for ids in drawn]

    def _generation(self, ids: list[int], ends: frozenset[int]) -> Generation:
        is_ended = bool(ids) and ids[-1] in ends
        text = self._tokenizer.decode(
            ids[:-1] if is_ended else ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Generation(text=str(text), finish_reason="stop" if is_ended else "length", token_ids=tuple(ids))


def context_length(model: "PreTrainedModel") -> int | None:
    """Tokens that prompt and response may have together; None where the model does not say."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) and length > 0 else None


def _limit(request: SampleRequest, settings: SamplingSettings, context: int | None) -> int:
    if not request.prompt.token_ids:
        raise ToolFailed(f"problem {request.problem_id}: its prompt has no token; give it an instruction")
    room = settings.max_new_tokens if context is None else context - len(request.prompt.token_ids)
    return max(0, min(settings.max_new_tokens, room))


@dataclass(slots=True)
class _Rows:
    """The rows still in the batch, R of them; all tensors lie on the model's device."""

    number_R: Tensor  # position of the row in the request list
    position_R: Tensor  # of the next token
    limit_R: Tensor  # tokens that may be drawn
    is_live_R: Tensor
    uniform_R_T: Tensor
    mask_R_L: Tensor  # 1 where the cache holds a token, 0 where padding

    def keep(self, index: Tensor) -> "_Rows":
        return _Rows(*(getattr(self, name)[index] for name in self.__slots__))


@torch.inference_mode()
def decode(
    model: "PreTrainedModel",
    requests: Sequence[SampleRequest],
    limits: Sequence[int],
    settings: SamplingSettings,
    ends: frozenset[int],
) -> list[list[int]]:
    """Ids drawn for each request: up to and including an end token, or as many as its limit."""
    device = model.device
    cache = new_cache(model.config)
    logits_R_V, rows = _read_prompts(model, cache, requests, limits, settings)
    end_E = torch.tensor(sorted(ends), dtype=torch.long, device=device)
    drawn: list[list[int]] = [[] for _ in requests]
    for step in range(max(limits)):
        _check_finite(logits_R_V, rows, requests)
        token_R = draw(logits_R_V, rows.uniform_R_T[:, step], temperature=settings.temperature, top_p=settings.top_p)
        for number, token, is_live in zip(
            rows.number_R.tolist(), token_R.tolist(), rows.is_live_R.tolist(), strict=True
        ):
            if is_live:
                drawn[number].append(token)
        rows.is_live_R &= ~torch.isin(token_R, end_E) & (step + 1 < rows.limit_R)
        num_live = int(rows.is_live_R.sum())
        if num_live == 0:
            break
        if num_live <= len(token_R) * (1 - _COMPACT_AT):
            index = rows.is_live_R.nonzero()[:, 0]
            rows, token_R = rows.keep(index), token_R[index]
            cache.batch_select_indices(index)
        rows.mask_R_L = torch.cat([rows.mask_R_L, rows.mask_R_L.new_ones(len(token_R), 1)], dim=1)
        logits_R_V = _forward(model, cache, token_R[:, None], rows.mask_R_L, rows.position_R[:, None])
        rows.position_R = rows.position_R + 1
    return drawn


def _read_prompts(
    model: "PreTrainedModel",
    cache: Any,
    requests: Sequence[SampleRequest],
    limits: Sequence[int],
    settings: SamplingSettings,
) -> tuple[Tensor, _Rows]:
    """Fill the cache with the prompts, each distinct one read once, padded on the left; logits of the next token."""
    device = model.device
    unique = list(dict.fromkeys(request.prompt.token_ids for request in requests))
    width = max(len(ids) for ids in unique)
    pad = model.config.pad_token_id or 0
    ids_U_L = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in unique], device=device)
    mask_U_L = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in unique], device=device)
    position_U_L = (mask_U_L.cumsum(dim=1) - 1).clamp(min=0)
    logits_U_V = _forward(model, cache, ids_U_L, mask_U_L, position_U_L)
    number_of = {ids: number for number, ids in enumerate(unique)}
    source_R = torch.tensor([number_of[request.prompt.token_ids] for request in requests], device=device)
    if len(unique) < len(requests):
        cache.batch_select_indices(source_R)
    rows = _Rows(
        number_R=torch.arange(len(requests), device=device),
        position_R=mask_U_L.sum(dim=1)[source_R],
        limit_R=torch.tensor(limits, device=device),
        is_live_R=torch.ones(len(requests), dtype=torch.bool, device=device),
        uniform_R_T=uniforms([request.seed for request in requests], settings.max_new_tokens).to(device),
        mask_R_L=mask_U_L[source_R],
    )
    return logits_U_V[source_R], rows


def _forward(model: "PreTrainedModel", cache: Any, ids: Tensor, mask: Tensor, position: Tensor) -> Tensor:
    """Logits of the last position, [rows, vocabulary]; only that position's are computed where the model can."""
    taken = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {}
    if "position_ids" in taken:
        extra["position_ids"] = position
    if "logits_to_keep" in taken:
        extra["logits_to_keep"] = 1
    output = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
    return output.logits[:, -1]


def _check_finite(logits_R_V: Tensor, rows: _Rows, requests: Sequence[SampleRequest]) -> None:
    """One look at each row's largest logit: NaN wins every maximum."""
    bad_R = ~torch.isfinite(logits_R_V.amax(dim=-1)) & rows.is_live_R
    if bool(bad_R.any()):
        number = int(rows.number_R[bad_R.nonzero()[0, 0]])
        raise ToolFailed(
            f"problem {requests[number].problem_id}: the model's logits are not finite; "
            "check the checkpoint, or sample in float32 (sample.dtype=float32)"
        )
