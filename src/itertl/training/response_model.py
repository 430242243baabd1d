"""The model as training sees it: a micro-batch in, log-probabilities of its response tokens out.

The output head runs on positions that predict a response token and on no other, a chunk at a time, and never keeps
logits: with a vocabulary of 49,152 a row of 1,000 tokens would hold 200 MB of them in float32, and their gradient as
much. Which of the ways below a model can take is found out by trying (``layout``).
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from itertl.training.collate import Collated, block_mask, dense_mask, padding_mask
from itertl.training.losses import token_logprobs

Attention = Literal["sdpa", "flex"]
HEAD_CHUNK = 128  # positions at a time on a CPU; 25 MB of float32 logits at a vocabulary of 49,152
_GPU_LOGITS = 2**27  # on a GPU, 0.5 GB of them: small products would leave it idle


class ResponseModel(nn.Module):
    """Wraps a causal language model (perhaps with adapters). ``packed`` and ``hidden`` say which way it goes.

    It is this module that accelerate prepares, so that its forward is the one that DDP, FSDP and autocast see.
    """

    def __init__(self, model: Any, *, packed: bool = True, hidden: bool = True, attention: Attention = "sdpa") -> None:
        super().__init__()
        self.model = model
        self.packed, self.hidden, self.attention = packed, hidden, attention
        self._no_split_modules = getattr(model, "_no_split_modules", None)  # what FSDP wraps one by one

    def tie_weights(self) -> None:
        """FSDP asks for this after it has moved the weights."""
        self.model.tie_weights()

    def forward(self, batch: Collated) -> Tensor:
        """[N] float32: the log-probability of each response token, given what its response sees."""
        inputs: dict[str, Any] = {"input_ids": batch.ids_B_L, "use_cache": False}
        if not self.packed:
            inputs["attention_mask"] = padding_mask(batch)
        else:
            inputs["position_ids"] = batch.positions_B_L
            inputs["attention_mask"] = self._mask(batch)
        base = base_model(self.model)
        if not self.hidden:
            logits = base(**inputs).logits.flatten(0, 1)
            return token_logprobs(logits[batch.picks_N], batch.targets_N)
        found = base.get_decoder()(**inputs).last_hidden_state.flatten(0, 1)
        head = base.get_output_embeddings()
        return head_logprobs(found[batch.picks_N], head.weight, head.bias, batch.targets_N)

    def _mask(self, batch: Collated) -> Any:
        """As the model's attention takes it: blocks, true where to look, or (eager) what is added to the scores."""
        if self.attention == "flex":
            return block_mask(batch)
        mask = dense_mask(batch)
        if getattr(self.model.config.get_text_config(), "_attn_implementation", None) != "eager":
            return mask
        dtype = self.model.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def base_model(model: Any) -> Any:
    """The causal language model itself, without the adapters' wrapper (its layers keep the adapters)."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def head_logprobs(hidden_N_D: Tensor, weight_V_D: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
    """[N] float32: log-softmax of the head's output at the targets, in chunks; logits are computed again backward."""
    if targets_N.shape[0] == 0:
        return hidden_N_D.new_zeros(0, dtype=torch.float32)
    kind = hidden_N_D.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        hidden_N_D, weight_V_D = hidden_N_D.to(dtype), weight_V_D.to(dtype)
        bias_V = None if bias_V is None else bias_V.to(dtype)
    with torch.autocast(kind, enabled=False):
        if kind == "cpu" and hidden_N_D.dtype == torch.float32 and hasattr(nn.functional, "linear_cross_entropy"):
            options = nn.LinearCrossEntropyOptions(batch_chunk_size=HEAD_CHUNK, chunking_method=None)
            return -nn.functional.linear_cross_entropy(
                hidden_N_D, weight_V_D, targets_N, linear_bias=bias_V, reduction="none", options=options
            )
        # older PyTorch has no such function, and in few digits or on a GPU it has not been compared
        size = HEAD_CHUNK if kind == "cpu" else max(HEAD_CHUNK, _GPU_LOGITS // weight_V_D.shape[0])
        chunks = zip(hidden_N_D.split(size), targets_N.split(size), strict=True)
        return torch.cat([checkpoint(_chunk, h, weight_V_D, bias_V, t, use_reentrant=False) for h, t in chunks])


def _chunk(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    return token_logprobs(nn.functional.linear(hidden, weight, bias), targets)


def response_logprobs(policy: Any, batch: Collated, device: Any) -> dict[tuple[int, int], Tensor]:
    """Token log-probabilities of every response of a micro-batch, by (group, slot); views, so that gradients flow."""
    return dict(zip(batch.slots, policy(batch.to(device)).split(batch.lengths), strict=True))
