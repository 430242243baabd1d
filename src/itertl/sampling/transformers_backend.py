"""Sampling from a transformers model: one decode loop for a whole batch, each row with its own stream of randomness.

Equal prompts are read once and their keys and values shared (``shared_prompts``; where a model's attention does not
allow it, copied to each row); rows that have ended leave the batch when enough of them have; a row that reaches the
model's context ends there with finish reason "length", and a prompt that leaves no room at all yields an empty text
with that reason. An answer that has begun (``Continuation``) is read with its prompt, in one go. Stop strings are not
looked for: a response ends at an end token, or where ``stops`` says so.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from itertl import memory
from itertl.config import PromptConfig
from itertl.errors import ToolFailed
from itertl.model.load import end_token_ids, has_fast_bf16, load_model, load_tokenizer, pick_device
from itertl.model.prompts import EncodedPrompt, Turn, encode_prompt
from itertl.records import FinishReason, Problem, SamplingSettings
from itertl.sampling import graphs, shared_prompts
from itertl.sampling.backend import Backend, Generation
from itertl.sampling.batching import SampleRequest
from itertl.sampling.kv_cache import new_cache
from itertl.sampling.nucleus import uniforms
from itertl.sampling.rollouts import Comments, Rollouts
from itertl.sampling.stops import Stopper

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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

    load = functools.partial(
        load_model, model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, revision=revision
    )
    return TransformersBackend(tokenizer, load, pick_device(device), dtype)


class TransformersBackend(Backend):
    """See the module. ``load`` is called once, at the first batch."""

    can_show = True
    can_continue = True
    one_per_device = True

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        load: "Callable[[], PreTrainedModel]",
        device: str = "cpu",
        numerics: str = "float32",
    ) -> None:
        self._tokenizer = tokenizer
        self._load = load
        self.numerics = numerics
        self._model: PreTrainedModel | None = None
        self._ways = Ways()
        self._comments: Comments | None = None
        self.uses_these_cores = device == "cpu"

    def encode(self, problem: Problem, config: PromptConfig, turns: Sequence[Turn] = ()) -> EncodedPrompt:
        return encode_prompt(problem, config, self._tokenizer, turns)

    def __call__(self, batch: Sequence[SampleRequest], settings: SamplingSettings) -> list[Generation]:
        """Draw one response a request. Raises ToolFailed where the model's logits are not finite."""
        if self._model is None:
            self._model = self._load()
            self._ways = find_ways(self._model)
        model = self._model
        ends = end_token_ids(model, self._tokenizer)
        context = context_length(model)
        limits = [_limit(request, settings, context) for request in batch]
        stopper = Stopper(self._tokenizer, batch, settings)
        drawn = [_begun(number, request, ends, stopper) for number, request in enumerate(batch)]
        live = [i for i, limit in enumerate(limits) if limit > 0 and drawn[i].finish_reason == "length"]
        likely: list[list[tuple[tuple[int, float], ...]]] = [[] for _ in batch]
        if live:
            rows = [batch[i] for i in live]
            is_masked = any(r.continuation and not r.continuation.has_comments for r in rows)
            pick = Rollouts(rows, settings, self._without_comments() if is_masked else None)
            shown = None if self.show is None else LiveText(self._text, self.show, ends)

            def watch(number: int, ids: list[int]) -> FinishReason | None:
                if shown is not None:
                    shown(number, ids[-1])
                return stopper(live[number], ids)

            found = decode(
                model, rows, [limits[i] for i in live], settings, ends, stopper=watch, ways=self._ways, pick=pick
            )  # fmt: skip
            if shown is not None:
                shown.end()
            for i, row, tokens in zip(live, found, pick.likely, strict=True):
                drawn[i], likely[i] = row, tokens
        return [self._generation(row, ends, tokens) for row, tokens in zip(drawn, likely, strict=True)]

    def close(self) -> None:
        """Let go of the model."""
        self._model, self._ways = None, Ways()
        memory.give_back()

    def _without_comments(self) -> Comments:
        self._comments = self._comments or Comments(self._tokenizer)
        return self._comments

    def _generation(
        self, drawn: "Drawn", ends: frozenset[int], likely: Sequence[tuple[tuple[int, float], ...]]
    ) -> Generation:
        ids = drawn.ids[:-1] if drawn.ids and drawn.ids[-1] in ends else drawn.ids
        return Generation(self._text(ids), drawn.finish_reason, tuple(drawn.ids), likely=tuple(likely))

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class LiveText:
    """Shows the first row's text as it grows; a character that is not whole yet waits for its other bytes."""

    def __init__(self, decode: Callable[[list[int]], str], show: Callable[[str], None], ends: frozenset[int]) -> None:
        self._decode, self._show, self._ends = decode, show, ends
        self._ids: list[int] = []
        self._shown = ""

    def __call__(self, number: int, token: int) -> None:
        if number != 0 or token in self._ends:
            return
        self._ids.append(token)
        text = self._decode(self._ids)
        if not text.endswith("\ufffd"):
            self._show_up_to(text)

    def end(self) -> None:
        """The text is over: show also what waits for bytes that did not come."""
        self._show_up_to(self._decode(self._ids))

    def _show_up_to(self, text: str) -> None:
        if len(text) > len(self._shown):
            self._show(text[len(self._shown) :])
            self._shown = text


def context_length(model: "PreTrainedModel") -> int | None:
    """Tokens that prompt and response may have together; None where the model does not say."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) and length > 0 else None


def _limit(request: SampleRequest, settings: SamplingSettings, context: int | None) -> int:
    if not request.prompt.token_ids:
        raise ToolFailed(f"problem {request.problem_id}: its prompt has no token; give it an instruction")
    most = settings.max_new_tokens - len(request.begun)
    room = most if context is None else context - len(request.prompt.token_ids) - len(request.begun)
    asked = request.continuation and request.continuation.most
    return max(0, min(most, room, asked or most))


def _begun(number: int, request: SampleRequest, ends: frozenset[int], stopper: Stopper) -> "Drawn":
    """What is there before anything is drawn; its reason is "length" unless that is a whole answer already."""
    ids = list(request.begun)
    reason: FinishReason | None = None
    for length in range(1, len(ids) + 1):
        reason = reason or stopper(number, ids[:length])
    if ids and ids[-1] in ends:
        reason = "stop"
    return Drawn(ids, reason or "length")


@dataclass(slots=True)
class Drawn:
    """Ids of one response, from what it began with up to and including an end token, and why it ends."""

    ids: list[int]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Ways:
    """How a model can be decoded, as ``find_ways`` found by trying; whole rows step by step always work."""

    shares_prompts: bool = False
    records: bool = False  # as a CUDA graph


PLAIN = Ways()


def find_ways(model: "PreTrainedModel") -> Ways:
    """Try them against plain passes; sets the model's attention."""
    return Ways(shared_prompts.works(model), graphs.works(model))


class Cache(Protocol):
    """What the rows remember, and how the model is fed with one more token of each."""

    compact_at: float  # share of ended rows at which the rest moves together

    def step(self, token_R: Tensor) -> Tensor:
        """Logits of the next token, [R, V]."""
        ...

    def keep(self, rows: list[int]) -> None:
        """Let all other rows go."""
        ...


@torch.inference_mode()
def decode(
    model: "PreTrainedModel",
    requests: Sequence[SampleRequest],
    limits: Sequence[int],
    settings: SamplingSettings,
    ends: frozenset[int],
    *,
    stopper: Callable[[int, list[int]], FinishReason | None] = lambda number, ids: None,
    ways: Ways = PLAIN,
    pick: Rollouts | None = None,
) -> list[Drawn]:
    """What is drawn for each request, each of at most its limit of new tokens.

    ``stopper`` sees every token but an end, and may end a row there. ``ways``: what ``find_ways`` says.
    ``pick`` draws where requests go on from beginnings of answers.
    """
    pick = pick or Rollouts(requests, settings, None)
    device = model.device
    logits_R_V, cache = _read_prompts(model, requests, max(limits), ways)
    uniform_R_T = uniforms([request.seed for request in requests], settings.max_new_tokens).to(device)
    drawn = [Drawn(list(request.begun), "length") for request in requests]
    rows = list(range(len(requests)))  # which request each row of the batch is
    is_live = [True] * len(rows)
    for step in range(max(limits)):
        token_R = pick(logits_R_V, uniform_R_T[:, step], rows, [drawn[number].ids for number in rows])
        is_bad_R = ~torch.isfinite(logits_R_V.amax(dim=-1))  # NaN wins every maximum
        tokens, bad = torch.stack([token_R, is_bad_R.long()]).tolist()  # the one wait for the device
        for row, number in enumerate(rows):
            if not is_live[row]:
                continue
            if bad[row]:
                raise ToolFailed(
                    f"problem {requests[number].problem_id}: the model's logits are not finite; "
                    "check the checkpoint, or sample in float32 (sample.dtype=float32)"
                )
            drawn[number].ids.append(tokens[row])
            reason = "stop" if tokens[row] in ends else stopper(number, drawn[number].ids)
            if reason is not None:
                drawn[number].finish_reason = reason
            is_live[row] = reason is None and step + 1 < limits[number]
        live = [row for row, alive in enumerate(is_live) if alive]
        if not live:
            break
        if len(live) <= len(rows) * (1 - cache.compact_at):
            index = torch.tensor(live, device=device)
            token_R, uniform_R_T = token_R[index], uniform_R_T[index]
            cache.keep(live)
            rows, is_live = [rows[row] for row in live], [True] * len(live)
        logits_R_V = cache.step(token_R)
    return drawn


def _read_prompts(
    model: "PreTrainedModel", requests: Sequence[SampleRequest], longest: int, ways: Ways
) -> tuple[Tensor, Cache]:
    """Each distinct prompt read once. Logits of the next token, [R, V].

    What answers begin with is read behind its prompt where that can be, else each with the prompt before it.
    """
    device = model.device
    is_behind = any(r.begun for r in requests) and ways.shares_prompts and shared_prompts.can_begin_behind(model)
    prompts = [r.prompt.token_ids if is_behind else r.prompt.token_ids + r.begun for r in requests]
    unique = list(dict.fromkeys(prompts))
    number_of = {ids: number for number, ids in enumerate(unique)}
    prompt_R = [number_of[ids] for ids in prompts]
    if is_behind:
        return shared_prompts.begin_behind(model, unique, prompt_R, [r.begun for r in requests])
    index_R = torch.tensor(prompt_R, device=device)
    length = graphs.room(list(map(len, unique)), longest)
    if ways.records and graphs.fits(model, len(requests), length):
        logits_U_V, rows = graphs.begin(model, unique, prompt_R, length)
        return logits_U_V[index_R], rows
    if ways.shares_prompts:
        logits_U_V, rows = shared_prompts.begin(model, unique, prompt_R)
        return logits_U_V[index_R], rows
    width = max(len(ids) for ids in unique)
    pad = model.config.pad_token_id or 0
    ids_U_L = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in unique], device=device)
    mask_U_L = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in unique], device=device)
    position_U_L = (mask_U_L.cumsum(dim=1) - 1).clamp(min=0)
    cache = new_cache(model.config)
    logits_U_V = _forward(model, cache, ids_U_L, mask_U_L, position_U_L)
    if len(unique) < len(requests):
        cache.batch_select_indices(index_R)
    return logits_U_V[index_R], WholeCache(model, cache, mask_U_L.sum(dim=1)[index_R], mask_U_L[index_R])


@dataclass(slots=True)
class WholeCache:
    """Prompt and own tokens of each row side by side."""

    model: Any
    cache: Any
    position_R: Tensor
    mask_R_L: Tensor  # 1 where the cache holds a token, 0 where padding
    compact_at: float = 1 / 8  # later costs steps, sooner costs copies

    def step(self, token_R: Tensor) -> Tensor:
        self.mask_R_L = torch.cat([self.mask_R_L, self.mask_R_L.new_ones(len(token_R), 1)], dim=1)
        logits_R_V = _forward(self.model, self.cache, token_R[:, None], self.mask_R_L, self.position_R[:, None])
        self.position_R = self.position_R + 1
        return logits_R_V

    def keep(self, rows: list[int]) -> None:
        index = torch.tensor(rows, device=self.position_R.device)
        self.position_R, self.mask_R_L = self.position_R[index], self.mask_R_L[index]
        self.cache.batch_select_indices(index)


def _forward(model: "PreTrainedModel", cache: Any, ids: Tensor, mask: Tensor, position: Tensor) -> Tensor:
    """Logits of the last position, [rows, vocabulary]; only that position's are computed where the model can."""
    taken = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {"position_ids": position, "logits_to_keep": 1}
    extra = {name: value for name, value in extra.items() if name in taken}
    output = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
    return output.logits[:, -1]
