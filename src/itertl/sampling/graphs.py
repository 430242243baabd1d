"""Decoding by a CUDA graph: a step of a small model is hundreds of kernels, and starting them takes longer than running
them.

Each row has its prompt and its own tokens side by side in buffers of a fixed length: the prompt is padded on the right,
and the tokens that are drawn go over the padding, so that a row's keys lie at its positions and the mask follows from
them. The step is recorded once for a number of rows and played for each token; rows that ended stay until half have,
because a step of fewer rows must be recorded anew and takes nearly as long.

Left out: batches whose buffers would take more than a share of the card (``fits``), and models that ``works`` finds to
give other logits than a plain pass or that cannot be recorded: they are decoded step by step.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from itertl.sampling import shared_prompts

_SHARE_OF_CARD = 0.4
_MULTIPLE = 64  # of positions, for the kernels of attention
_WARM_UP = 2  # steps before recording, in which libraries take their memory


class SlotLayer(DynamicLayer):
    """One layer's keys and values, [R, heads, L, D]; a step writes each row's at its own position and sees all."""

    keys: Any  # the library's own annotation says None as well
    values: Any

    def __init__(self, keys: Tensor, values: Tensor, position_R: Tensor) -> None:
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.keys, self.values, self.position_R = keys, values, position_R
        self.row_R = torch.arange(len(position_R), device=keys.device)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.keys[self.row_R, :, self.position_R] = key_states[:, :, 0]
        self.values[self.row_R, :, self.position_R] = value_states[:, :, 0]
        return self.keys, self.values


@dataclass(slots=True)
class RecordedRows:
    """R rows whose next step is a graph (on a CPU, computed in the same way step by step)."""

    model: Any
    keys: list[Tensor]  # of each layer, [R, key heads, L, D]
    values: list[Tensor]
    position_R: Tensor  # where each row's next token goes
    compact_at: float = 1 / 2
    _graph: Any = None
    _token_R: Tensor = field(init=False)
    _logits_R_V: Tensor = field(init=False)
    _cache: Any = None

    def step(self, token_R: Tensor) -> Tensor:
        """Logits of the next token, [R, V]; they hold until the next step."""
        if self._cache is None:
            self._token_R = token_R.clone()
            layers = zip(self.keys, self.values, strict=True)
            self._cache = Cache(layers=[SlotLayer(key, value, self.position_R) for key, value in layers])
        self._token_R.copy_(token_R)
        if token_R.device.type != "cuda":
            self._logits_R_V = self._forward()
        else:
            self._graph = self._graph or self._record()
            self._graph.replay()
        self.position_R += 1
        return self._logits_R_V

    def keep(self, rows: list[int]) -> None:
        """Let all other rows go; the next step is recorded for those that are left."""
        index = torch.tensor(rows, device=self.position_R.device)
        self._graph = self._cache = None
        for number in range(len(self.keys)):  # one after the other: never twice the whole
            self.keys[number], self.values[number] = self.keys[number][index], self.values[number][index]
        self.position_R = self.position_R[index]

    def _forward(self) -> Tensor:
        length = self.keys[0].shape[2]
        is_hidden = torch.arange(length, device=self.position_R.device)[None] > self.position_R[:, None]
        mask = torch.zeros(is_hidden.shape, dtype=self.keys[0].dtype, device=is_hidden.device)
        mask = mask.masked_fill(is_hidden, float("-inf"))[:, None, None, :]
        output = self.model(
            input_ids=self._token_R[:, None], attention_mask=mask, position_ids=self.position_R[:, None],
            past_key_values=self._cache, use_cache=True,
        )  # fmt: skip
        return output.logits[:, -1]

    def _record(self) -> Any:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):  # each writes the same at the same place
                self._forward()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._logits_R_V = self._forward()
        return graph


def room(prompt_lengths: Sequence[int], max_new_tokens: int) -> int:
    """Positions (tokens) of a row's buffer, those of its prompt included."""
    return -(-(max(prompt_lengths) + max_new_tokens) // _MULTIPLE) * _MULTIPLE


def fits(model: Any, num_rows: int, length: int) -> bool:
    """Whether these rows' buffers, of ``length`` positions each, are a modest part of the card's memory: its
    whole, so that each run decides alike."""
    if model.device.type != "cuda":
        return False
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    bytes_taken = 2 * config.num_hidden_layers * num_rows * heads * length * dim * model.dtype.itemsize
    return bytes_taken <= _SHARE_OF_CARD * torch.cuda.get_device_properties(model.device).total_memory


def begin(
    model: Any, prompts: Sequence[tuple[int, ...]], prompt_R: list[int], length: int
) -> tuple[Tensor, RecordedRows]:
    """As ``shared_prompts.begin``; each row has ``length`` positions."""
    logits_U_V, found = shared_prompts.read(model, prompts, prompt_R)
    index_R = torch.tensor(prompt_R, device=model.device)
    keys, values = (_spread(layers, index_R, length) for layers in (found.keys, found.values))
    return logits_U_V, RecordedRows(model, keys, values, shared_prompts.lengths(prompts, prompt_R, model.device))


@torch.inference_mode()
def works(model: Any) -> bool:
    """Whether a model can be recorded, and then gives the logits of plain passes."""
    if model.device.type != "cuda" or not shared_prompts.can_try(model):
        return False

    try:
        return shared_prompts.agrees(model, functools.partial(begin, length=_MULTIPLE))
    except Exception:  # a model of any make may wait for the device in the middle of a step
        return False


def _spread(prompts: Sequence[Tensor], prompt_R: Tensor, length: int) -> list[Tensor]:
    """Of each layer: prompts [U, heads, P, D] -> rows [R, heads, length, D], each with its own prompt first."""
    found: list[Tensor] = []
    for layer in prompts:
        rows = layer.new_zeros(len(prompt_R), layer.shape[1], length, layer.shape[3])
        rows[:, :, : layer.shape[2]] = layer[prompt_R]
        found.append(rows)
    return found
