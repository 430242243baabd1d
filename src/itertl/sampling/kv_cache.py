"""A key/value cache that grows in place.

The library's dynamic cache copies itself whole at every token. Here each layer writes into a buffer with room ahead
and hands out views of it: what attention sees has the same values, and a copy comes once in ``_ROOM`` tokens.
"""

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import Cache, DynamicLayer

_ROOM = 128  # tokens by which a full buffer grows


class GrowingLayer(DynamicLayer):
    """One layer's keys and values, [batch, heads, length, head_dim], as views of two larger buffers."""

    keys: Any  # a tensor once initialised; the library's own annotation says None as well
    values: Any

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self._key_buffer, self._value_buffer = self.keys, self.values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._key_buffer, self.keys = _append(self._key_buffer, self.keys, key_states)
        self._value_buffer, self.values = _append(self._value_buffer, self.values, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may come more than once. Room ahead is kept with them."""
        if self.is_initialized:
            self._key_buffer, self.keys = _select(self.keys, indices)
            self._value_buffer, self.values = _select(self.values, indices)


def _append(buffer: torch.Tensor, filled: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    length, total = filled.shape[2], filled.shape[2] + states.shape[2]
    if total > buffer.shape[2]:
        batch, heads, _, dim = states.shape
        buffer = states.new_empty(batch, heads, total + _ROOM, dim)
        buffer[:, :, :length] = filled
    buffer[:, :, length:total] = states
    return buffer, buffer[:, :, :total]


def _select(filled: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    length = filled.shape[2]
    fresh = filled.new_empty(len(indices), filled.shape[1], length + _ROOM, filled.shape[3])
    fresh[:, :, :length] = filled[indices]
    return fresh, fresh[:, :, :length]


def new_cache(config: PreTrainedConfig) -> Cache:
    """An empty cache for a model: growing in place, or the library's own where a layer is not plain attention."""
    standard = DynamicCache(config=config)
    if standard.layers and all(type(layer) is DynamicLayer for layer in standard.layers):
        return Cache(layers=[GrowingLayer() for _ in standard.layers])
    return standard
