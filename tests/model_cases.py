"""Tokenizers and random models of the kinds that people have, small."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as bpe
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from itertl.export import gguf_check

ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def trained_tokenizer(
    rule: list[Any], *, special: tuple[str, ...] = ("<s>", "</s>", "<pad>"), ignore_merges: bool = False
) -> Any:
    """Byte-level BPE with real merges, of a few lines of Verilog and prose."""
    backend = Tokenizer(bpe.BPE(ignore_merges=ignore_merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(rule)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    corpus = [*gguf_check.PROMPTS, *gguf_check._TEXTS] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        min_frequency=2,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=special[0], eos_token=special[1], pad_token=special[2]
    )


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
SMOLLM = [pre_tokenizers.Digits(individual_digits=True), *GPT2]
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = [pre_tokenizers.Split(Regex(WORDS % r"\p{N}"), "isolated"), BYTES]
LLAMA3 = [pre_tokenizers.Split(Regex(WORDS % r"\p{N}{1,3}"), "isolated"), BYTES]
DEEPSEEK = [
    *(pre_tokenizers.Split(Regex(r), "isolated") for r in (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")),
    pre_tokenizers.Digits(individual_digits=True), BYTES,
]  # fmt: skip


def save_model(
    folder: Path, kind: type, tokenizer: Any, *, seed: int = 3, rows: int | None = None, **fields: Any
) -> Path:
    """A random model of 2 layers with the tokenizer."""
    base: dict[str, Any] = {
        "vocab_size": rows or len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 512, "rope_parameters": ROPE,
        "tie_word_embeddings": False, "initializer_range": 0.2, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_config(kind(**{**base, **fields}))
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")):  # at their start these are all zeros or ones, which hides mistakes
            torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
