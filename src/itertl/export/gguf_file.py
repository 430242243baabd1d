"""A checkpoint as one GGUF file: the format of llama.cpp, Ollama and LM Studio.

The conventions are llama.cpp's (docs/gguf.md of ggml, and what its converter writes): names from gguf's own table,
norms and biases in float32, rows of q and k of Llama models reordered, no output matrix where it is tied to the
embedding. Tensors go from file to file one at a time, so the memory is that of the largest.

Left out: mixtures of experts, biases of Llama's projections, sentencepiece vocabularies, rotary scaling other than
linear and llama3. They are refused by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from numpy.typing import NDArray

from itertl.errors import DataError, UsageError
from itertl.export.checkpoint import weight_map
from itertl.export.gguf_vocabulary import GgufVocabulary, read_vocabulary

FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32, "f16": LlamaFileType.MOSTLY_F16,
    "bf16": LlamaFileType.MOSTLY_BF16, "q8_0": LlamaFileType.MOSTLY_Q8_0,
}  # fmt: skip
ARCHITECTURES = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "MistralForCausalLM": gguf.MODEL_ARCH.LLAMA,  # llama.cpp has no other name for it
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
}
_IGNORED = ("rotary_emb.inv_freq",)  # computed again by whoever loads the model
_F16_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of the file. ``heads``: the number of blocks whose rows are reordered; 0: none."""

    source: str  # name in the checkpoint
    name: str  # name in the file
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    heads: int


def check_supported(config: Any, kind: str) -> None:
    """Raise UsageError for a model or a type that cannot be written, naming what can."""
    if kind not in FILE_TYPES:
        raise UsageError(f"--gguf {kind!r}: give one of {', '.join(FILE_TYPES)}")
    found = (getattr(config, "architectures", None) or ["unknown"])[0]
    if found not in ARCHITECTURES:
        raise UsageError(f"--gguf: the architecture {found} is not supported; supported are {', '.join(ARCHITECTURES)}")
    if getattr(config, "quantization_config", None):
        raise UsageError("--gguf: the checkpoint's weights are quantized already; export from one with plain weights")
    if config.hidden_act != "silu":
        raise UsageError(f"--gguf: activation {config.hidden_act!r} is not supported; GGUF's Llama and Qwen2 have silu")
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        raise UsageError(f"--gguf: biases in the projections of {found} are not supported")
    if getattr(config, "use_sliding_window", False):
        raise UsageError("--gguf: sliding windows (use_sliding_window) are not supported")
    if (rope := rope_type(config)) not in ("default", "linear", "llama3"):
        raise UsageError(f"--gguf: rotary scaling {rope!r} is not supported; supported are default, linear, llama3")


def rope_type(config: Any) -> str:
    """How rotary positions are scaled: "default" where they are not."""
    return (config.rope_parameters or {}).get("rope_type", "default")


def head_size(config: Any) -> int:
    """Width of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def plan_tensors(folder: Path, config: Any, kind: str) -> list[Stored]:
    """What the file will hold, layer by layer. Raises UsageError for a tensor that has no place in it."""
    from safetensors import safe_open

    architecture = ARCHITECTURES[config.architectures[0]]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    reordered = {} if architecture != gguf.MODEL_ARCH.LLAMA else {
        "q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads
    }  # fmt: skip
    planned: list[Stored] = []
    for source, file in weight_map(folder).items():
        if source.endswith(_IGNORED) or (source == "lm_head.weight" and config.tie_word_embeddings):
            continue
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UsageError(f"--gguf: tensor {source} has no place in a GGUF file of {config.architectures[0]}")
        with safe_open(file, framework="pt") as tensors:
            shape = tuple(tensors.get_slice(source).get_shape())
        heads = next((n for part, n in reordered.items() if f".{part}." in source), 0)
        planned.append(Stored(source, name, shape, _kind_of(shape, kind), heads))
    present = {stored.source for stored in planned}
    if not config.tie_word_embeddings and "lm_head.weight" not in present:
        raise DataError(f"{folder}: lm_head.weight is missing and not tied to the embedding")
    return sorted(planned, key=lambda s: [int(p) if p.isdigit() else -1 for p in s.name.split(".")[:2]] + [s.name])


def _kind_of(shape: tuple[int, ...], kind: str) -> GGMLQuantizationType:
    """Vectors stay in float32; what does not divide into blocks of 32 goes to float16, as llama.cpp has it."""
    if len(shape) < 2:
        return GGMLQuantizationType.F32
    if kind == "q8_0" and shape[-1] % 32:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType[kind.upper()]


def reorder_rows(weights: NDArray[Any], heads: int) -> NDArray[Any]:
    """Bring the rows of each head from (first half, second half) to alternating order.

    Llama's rotary embedding turns pairs of neighbouring rows; transformers turns row i of a head with row i + half.
    ``heads`` is that of the matrix itself: for k of grouped attention the number of key/value heads.

    >>> reorder_rows(np.arange(8), 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    half = weights.shape[0] // heads // 2
    return np.stack([weights.reshape(heads, 2, half, -1)[:, i] for i in (0, 1)], axis=2).reshape(weights.shape)


def read_tensor(file: Path, name: str) -> NDArray[np.float32]:
    """One tensor of a safetensors file in float32."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return tensors.get_tensor(name).float().numpy()


def write_gguf(folder: Path, file: Path, kind: str, *, name: str, licence: str | None = None) -> list[Stored]:
    """Write the checkpoint in ``folder`` to ``file``. ``kind``: a key of ``FILE_TYPES``. Returns what was written.

    Raises UsageError where model, vocabulary or weights cannot be written so.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder)
    check_supported(config, kind)
    planned = plan_tensors(folder, config, kind)
    rows = next(s.shape[0] for s in planned if s.name == "token_embd.weight")
    vocabulary = read_vocabulary(folder, rows)
    architecture = gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config.architectures[0]]]
    writer = GGUFWriter(file, architecture)
    try:
        _add_keys(writer, config, kind, name, licence, rows)
        _add_vocabulary(writer, vocabulary)
        factors = rope_factors(config)
        if factors is not None:
            writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
        for stored in planned:
            _announce(writer, stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        files = weight_map(folder)
        for stored in planned:
            writer.write_tensor_data(encode(read_tensor(files[stored.source], stored.source), stored))
    finally:
        writer.close()
    return planned


def encode(weights: NDArray[np.float32], stored: Stored) -> NDArray[Any]:
    """The bytes of one tensor. Raises UsageError for values that the type cannot hold."""
    largest = float(np.abs(weights).max(initial=0.0))
    if not math.isfinite(largest):
        raise UsageError(f"--gguf: {stored.source} holds values that are not finite; the checkpoint is damaged")
    if stored.kind == GGMLQuantizationType.F16 and largest > _F16_LARGEST:
        raise UsageError(f"--gguf: {stored.source} holds {largest:.4g}, too large for float16; take bf16 or f32")
    if stored.heads:
        weights = reorder_rows(weights, stored.heads)
    return gguf.quants.quantize(np.ascontiguousarray(weights), stored.kind)


def _announce(writer: GGUFWriter, stored: Stored) -> None:
    """Put a tensor into the file's table of contents, which comes before all data."""
    if stored.kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
        dtype = np.dtype(np.float32 if stored.kind == GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(stored.name, stored.shape, dtype, math.prod(stored.shape) * dtype.itemsize)
        return
    in_bytes = gguf.quant_shape_to_byte_shape(stored.shape, stored.kind)
    writer.add_tensor_info(stored.name, in_bytes, np.dtype(np.uint8), math.prod(in_bytes), raw_dtype=stored.kind)


def _add_keys(writer: GGUFWriter, config: Any, kind: str, name: str, licence: str | None, rows: int) -> None:
    writer.add_type("model")
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    window = getattr(config, "sliding_window", None)  # Mistral's first model; within it full attention is the same
    writer.add_context_length(min(config.max_position_embeddings, window or config.max_position_embeddings))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size(config))
    writer.add_value_length(head_size(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(rows)
    writer.add_rope_dimension_count(head_size(config))
    rope: Mapping[str, Any] = config.rope_parameters or {}
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    if rope_type(config) == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def rope_factors(config: Any) -> NDArray[np.float32] | None:
    """Llama 3's slowing of low frequencies, as the divisors that llama.cpp takes: [head size / 2]; else None."""
    if rope_type(config) != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device="cpu")
    size = head_size(config)
    plain = 1.0 / float(config.rope_parameters["rope_theta"]) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    return (plain / slowed.double().numpy()).astype(np.float32)


def _add_vocabulary(writer: GGUFWriter, vocabulary: GgufVocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    else:  # the format has no empty list; transformers takes scores instead, llama.cpp has no model without merges
        writer.add_token_scores([0.0] * len(vocabulary.tokens))
    adders = {
        "bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id, "eot": writer.add_eot_token_id,
    }  # fmt: skip
    for role, ident in vocabulary.special.items():
        adders[role](ident)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(vocabulary.adds_eos)
    writer.add_add_space_prefix(False)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)
