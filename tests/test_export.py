"""Exports: the checkpoint as it was, GGUF files that hold the same model, cards that claim nothing the run did
not measure."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

import report_builder as build
from command_line import itertl
from itertl.config import ModelConfig
from itertl.errors import DataError, ToolFailed, UsageError
from itertl.export import example, gguf_check, gguf_file
from itertl.export.bundle import export
from itertl.export.gguf_check import rounding
from itertl.export.gguf_file import reorder_rows
from itertl.export.gguf_vocabulary import name_of_rule
from itertl.model import find, gguf_conversion, load
from itertl.records import Verdict
from itertl.runs import storage
from itertl.runs.manifest import Manifest, StageRecord
from model_cases import BYTES, DEEPSEEK, GPT2, LLAMA3, QWEN2, SMOLLM, save_model, trained_tokenizer

KINDS = ("f32", "f16", "bf16", "q8_0")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with two key/value heads for four heads and tied embeddings; chat template; no merges."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    find.make_tiny(folder, chat=True)
    return folder


def fields_of(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


# The reordering of rows


@pytest.fixture(autouse=True)
def _short_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens of the card's example are as good as all."""
    monkeypatch.setattr(example, "MAX_NEW_TOKENS", 8)


def test_rows_of_each_head_alternate() -> None:
    """Two heads of four rows: (0 1 | 2 3) -> 0 2 1 3, (4 5 | 6 7) -> 4 6 5 7, whole rows at a time."""
    rows = np.arange(8)[:, None] * np.ones((1, 3))
    assert reorder_rows(rows, 2)[:, 1].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert sorted(reorder_rows(np.arange(60), 5).tolist()) == list(range(60))


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (8, 1)])
def test_reordered_rows_serve_a_rotary_embedding_of_neighbours(heads: int, kv_heads: int) -> None:
    """An oracle that shares no code: attention scores by transformers' rotation of halves must be those of llama.cpp's
    rotation of neighbouring pairs on the reordered matrices, also where several heads share one key head."""
    rng, size, width, length = np.random.default_rng(0), 8, 16, 5
    q, k, x = (
        rng.normal(size=(heads * size, width)),
        rng.normal(size=(kv_heads * size, width)),
        rng.normal(size=(length, width)),
    )
    angle = np.arange(length)[:, None] / 10000 ** (np.arange(0, size, 2) / size)

    def halves(v: np.ndarray) -> np.ndarray:
        a, b = v[..., : size // 2], v[..., size // 2 :]
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    def neighbours(v: np.ndarray) -> np.ndarray:
        out = np.empty_like(v)
        for t, h, i in np.ndindex(v.shape[0], v.shape[1], size // 2):
            a, b, c, s = v[t, h, 2 * i], v[t, h, 2 * i + 1], np.cos(angle[t, i]), np.sin(angle[t, i])
            out[t, h, 2 * i], out[t, h, 2 * i + 1] = a * c - b * s, b * c + a * s
        return out

    def scores(q: np.ndarray, k: np.ndarray, rotate: Any) -> np.ndarray:
        queries = rotate((x @ q.T).reshape(length, heads, size))
        keys = rotate((x @ k.T).reshape(length, kv_heads, size)).repeat(heads // kv_heads, axis=1)
        return np.einsum("qhd,khd->hqk", queries, keys)

    wanted = scores(q, k, halves)
    np.testing.assert_allclose(scores(reorder_rows(q, heads), reorder_rows(k, kv_heads), neighbours), wanted, atol=1e-9)
    assert not np.allclose(scores(q, k, neighbours), wanted)


# GGUF files


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_holds_the_model(kind: str, tiny: Path, tmp_path: Path) -> None:
    """Read by gguf itself, apart from the check: exact for f32, within the rounding of the others."""
    done = export(tiny, tmp_path / "out", kind=kind)
    assert done.record["gguf"] is not None
    file = tmp_path / "out" / done.record["gguf"]["file"]
    ours = load_file(tiny / "model.safetensors")
    reader = gguf.GGUFReader(file)
    stored = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    types = {t.name: t.tensor_type.name for t in reader.tensors}
    assert "output.weight" not in stored and len(stored) == len(ours) == done.record["gguf"]["check"]["tensors"]
    assert types["blk.1.attn_q.weight"] == kind.upper() and types["blk.1.attn_norm.weight"] == "F32"
    plain = ours["model.layers.1.mlp.up_proj.weight"].numpy()
    error = np.abs(stored["blk.1.ffn_up.weight"] - plain)
    assert np.all(error <= rounding(plain, gguf.GGMLQuantizationType[kind.upper()]))
    assert (error.max() == 0) == (kind == "f32")
    k = reorder_rows(ours["model.layers.0.self_attn.k_proj.weight"].numpy(), 2)
    assert np.abs(stored["blk.0.attn_k.weight"] - k).max() <= rounding(k, gguf.GGMLQuantizationType[kind.upper()]).max()
    check = done.record["gguf"]["check"]
    assert check["same_next_token"] == check["positions"] > 100 or kind != "f32"
    assert (check["largest_logit_difference"] < 1e-5) == (kind == "f32") and check["mean_kl"] < 1e-3
    assert done.record["gguf"]["bytes"] == file.stat().st_size
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file=file.name, dtype=torch.float32)
    original = load.load_model(tiny, device="cpu")
    ids = torch.arange(40)[None]
    assert torch.allclose(loaded(ids).logits, original(ids).logits, atol=1e-5 if kind == "f32" else 0.02)


def test_rounding_is_a_bound_and_not_a_loose_one() -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(64, 64)) * 10.0 ** rng.integers(-9, 3, size=(64, 1))).astype(np.float32)
    for kind in ("F16", "BF16", "Q8_0"):
        t = gguf.GGMLQuantizationType[kind]
        error = np.abs(gguf.dequantize(gguf.quants.quantize(values, t), t) - values)
        share = float((error / rounding(values, t)).max())
        assert 0.8 < share <= 1, (kind, share)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (LlamaConfig, {}),
        (LlamaConfig, {"tie_word_embeddings": True, "num_key_value_heads": 8}),
        (LlamaConfig, {"head_dim": 16}),
        (MistralConfig, {"sliding_window": 256}),
        (Qwen2Config, {}),
        (Qwen2Config, {"tie_word_embeddings": True}),
    ],
)
def test_families_and_ties(kind: type, fields: dict[str, Any], tmp_path: Path) -> None:
    """With real merges, grouped heads, biases of Qwen2, heads wider than their share, norms that are not ones."""
    is_qwen = kind is Qwen2Config  # its tokenizer class adds the third of these where it is missing
    tokenizer = (
        trained_tokenizer(QWEN2, special=("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
        if is_qwen
        else trained_tokenizer(GPT2)
    )
    source = save_model(tmp_path / "m", kind, tokenizer, **fields)
    done = export(source, tmp_path / "out", kind="f32")
    assert (
        done.record["gguf"] is not None
        and done.record["gguf"]["check"]["largest_error"] == 0
        and done.record["gguf"]["check"]["notes"] == ()
    )
    keys = fields_of(tmp_path / "out" / done.record["gguf"]["file"])
    name = "qwen2" if is_qwen else "llama"
    assert keys["general.architecture"] == name and keys[f"{name}.attention.head_count_kv"] == fields.get(
        "num_key_value_heads", 2
    )
    assert keys[f"{name}.context_length"] == fields.get("sliding_window", 512)
    assert keys["tokenizer.ggml.pre"] == ("qwen2" if is_qwen else "gpt-2")
    tensors = {t.name for t in gguf.GGUFReader(tmp_path / "out" / done.record["gguf"]["file"]).tensors}
    assert ("output.weight" in tensors) != fields.get("tie_word_embeddings", False)


@pytest.mark.parametrize(
    ("rope", "note"),
    [
        ({"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}, "rope.scaling"),
        (
            {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 64},
            "rope_freqs",
        ),
    ],
)  # fmt: skip
def test_scaled_rotary_positions(rope: dict[str, Any], note: str, tmp_path: Path) -> None:
    source = save_model(
        tmp_path / "m", LlamaConfig, trained_tokenizer(LLAMA3, ignore_merges=True), rope_parameters=rope
    )
    done = export(source, tmp_path / "out", kind="bf16")
    assert done.record["gguf"] is not None and "rotary scaling" in done.record["gguf"]["check"]["notes"][0]
    file = tmp_path / "out" / done.record["gguf"]["file"]
    keys = fields_of(file)
    assert keys["tokenizer.ggml.pre"] == "llama-bpe"
    if note == "rope.scaling":
        assert (keys["llama.rope.scaling.type"], keys["llama.rope.scaling.factor"]) == ("linear", 4.0)
    else:  # fast dimensions stay, slow ones are slowed by the whole factor
        factors = next(t.data for t in gguf.GGUFReader(file).tensors if t.name == "rope_freqs.weight")
        assert factors[0] == pytest.approx(1) and factors[-1] == pytest.approx(8) and len(factors) == 4


def test_rows_that_do_not_divide_into_blocks_go_to_float16(tmp_path: Path) -> None:
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(GPT2), intermediate_size=40)
    done = export(source, tmp_path / "out", kind="q8_0")
    assert done.record["gguf"] is not None
    types = {
        t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "out" / done.record["gguf"]["file"]).tensors
    }
    assert (types["blk.0.ffn_down.weight"], types["blk.0.ffn_up.weight"]) == ("F16", "Q8_0")


def test_shards_and_half_precision(tmp_path: Path) -> None:
    """Weights stored in bfloat16 and in several files come out exactly."""
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(GPT2))
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    model.save_pretrained(source, max_shard_size="60KB")
    (source / "model.safetensors").unlink(missing_ok=True)
    done = export(source, tmp_path / "out", kind="bf16")
    assert done.record["gguf"] is not None and done.record["gguf"]["check"]["largest_error"] == 0
    assert len([f for f in done.record["files"] if f.endswith(".safetensors")]) > 1
    next(iter(sorted(source.glob("model-*.safetensors")))).unlink()
    with pytest.raises(DataError, match="a shard is missing"):
        export(source, tmp_path / "other")


# Vocabularies


def test_tokens_types_and_roles(tiny: Path, tmp_path: Path) -> None:
    """Rows beyond the tokenizer are padded; special tokens are control tokens; the template and a second end are
    there."""
    tokenizer = trained_tokenizer(SMOLLM)
    tokenizer.add_tokens(["<plain>"])
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    source = save_model(tmp_path / "m", LlamaConfig, tokenizer, rows=len(tokenizer) + 5)
    storage.write_json(source / "generation_config.json", {"eos_token_id": [tokenizer.eos_token_id, 2]})
    done = export(source, tmp_path / "out", kind="f16")
    assert done.record["gguf"] is not None and "smollm" in done.record["gguf"]["check"]["notes"][0]
    keys = fields_of(tmp_path / "out" / done.record["gguf"]["file"])
    types = keys["tokenizer.ggml.token_type"]
    assert (
        keys["tokenizer.ggml.tokens"][-1] == f"[PAD{len(tokenizer) + 4}]" and types[-5:] == [gguf.TokenType.UNUSED] * 5
    )
    assert types[0] == gguf.TokenType.CONTROL and types[len(tokenizer) - 1] == gguf.TokenType.USER_DEFINED
    assert types[10] == gguf.TokenType.NORMAL and "Ġ" in "".join(keys["tokenizer.ggml.merges"])
    assert (keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.eot_token_id"]) == (1, 2)
    assert (
        keys["tokenizer.chat_template"] == "{{ messages[0]['content'] }}"
        and keys["tokenizer.ggml.add_bos_token"] is False
    )


def test_a_tokenizer_that_begins_every_text_says_so(tmp_path: Path) -> None:
    from tokenizers import processors

    tokenizer = trained_tokenizer(GPT2)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    source = save_model(tmp_path / "m", LlamaConfig, tokenizer)
    done = export(source, tmp_path / "out", kind="f16")
    assert done.record["gguf"] is not None
    keys = fields_of(tmp_path / "out" / done.record["gguf"]["file"])
    assert keys["tokenizer.ggml.add_bos_token"] is True and keys["tokenizer.ggml.add_eos_token"] is False


@pytest.mark.parametrize(
    ("rule", "ignore_merges", "name"),
    [(GPT2, False, "gpt-2"), (SMOLLM, False, "smollm"), (QWEN2, False, "qwen2"), (LLAMA3, False, "smaug-bpe"),
     (LLAMA3, True, "llama-bpe"), (DEEPSEEK, False, "deepseek-coder")],
)  # fmt: skip
def test_the_rule_of_splitting_has_its_name(rule: list[Any], ignore_merges: bool, name: str) -> None:
    tokenizer = trained_tokenizer(rule, ignore_merges=ignore_merges)
    assert name_of_rule(json.loads(tokenizer.backend_tokenizer.to_str())) == name


@pytest.mark.parametrize(
    "rule",
    [[BYTES], [pre_tokenizers.Whitespace(), BYTES], [pre_tokenizers.ByteLevel(add_prefix_space=True)],
     [pre_tokenizers.Metaspace()], [pre_tokenizers.Digits(individual_digits=False), *GPT2]],
)  # fmt: skip
def test_a_rule_without_a_name_is_refused(rule: list[Any], tmp_path: Path) -> None:
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(rule))
    with pytest.raises(UsageError, match="tokenizer"):
        export(source, tmp_path / "out", kind="f16")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_the_paper_s_model_family(tmp_path: Path) -> None:
    """DeepSeek-Coder: Llama with linear scaling, a rule of six steps, special tokens outside the byte alphabet."""
    special = ("<｜begin▁of▁sentence｜>", "<|EOT|>", "<｜end▁of▁sentence｜>")
    rope = {"rope_type": "linear", "rope_theta": 100000.0, "factor": 4.0}
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(DEEPSEEK, special=special), rope_parameters=rope)
    done = export(source, tmp_path / "out", kind="q8_0")
    assert (
        done.record["gguf"] is not None
        and len(done.record["gguf"]["check"]["notes"]) == 2
        and done.record["gguf"]["check"]["texts"] == 0
    )
    keys = fields_of(tmp_path / "out" / done.record["gguf"]["file"])
    assert keys["tokenizer.ggml.tokens"][0] == special[0] and keys["tokenizer.ggml.bos_token_id"] == 0


# What the check notices


def spoiled(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    """Let one tensor go into the file changed."""
    encode = gguf_file.encode

    def wrong(weights: np.ndarray, stored: gguf_file.Stored) -> np.ndarray:
        return encode(change(weights.copy()) if stored.source == name else weights, stored)

    monkeypatch.setattr(gguf_file, "encode", wrong)


def one_element(weights: np.ndarray) -> np.ndarray:
    weights[3, 5] += 0.01
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_element_is_noticed_and_nothing_is_left(
    kind: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled(monkeypatch, "model.layers.1.self_attn.k_proj.weight", one_element)
    with pytest.raises(ToolFailed, match=r"k_proj\.weight differs"):
        export(tiny, tmp_path / "out", kind=kind)
    assert list(tmp_path.iterdir()) == []


def test_forgotten_reordering_is_noticed(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "reorder_rows", lambda weights, heads: weights)
    with pytest.raises(ToolFailed, match="_proj"):
        export(tiny, tmp_path / "out", kind="f16")


@pytest.mark.parametrize(
    ("setter", "value"),
    [
        ("add_rope_freq_base", 500.0),
        ("add_layer_norm_rms_eps", 0.5),
        ("add_eos_token_id", 0),
        ("add_tokenizer_pre", "qwen2"),
    ],
)
def test_a_wrong_setting_is_noticed(
    setter: str, value: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(gguf.GGUFWriter, setter)
    monkeypatch.setattr(gguf.GGUFWriter, setter, lambda self, given: right(self, value))
    with pytest.raises(ToolFailed):
        export(tiny, tmp_path / "out", kind="f32")
    assert list(tmp_path.iterdir()) == []


def test_swapped_tokens_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(GPT2))
    right = gguf.GGUFWriter.add_token_list

    def swapped(self: Any, tokens: list[str]) -> None:
        a, b = tokens.index("a"), tokens.index("e")
        tokens[a], tokens[b] = tokens[b], tokens[a]
        right(self, tokens)

    monkeypatch.setattr(gguf.GGUFWriter, "add_token_list", swapped)
    with pytest.raises(ToolFailed, match=r"ggml\.tokens is not"):
        export(source, tmp_path / "out", kind="f32")


def test_merges_in_another_order_are_noticed_by_reading_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both the file and what it is compared with entry by entry are wrong in the same way, the texts still
    tell."""
    source = save_model(tmp_path / "m", LlamaConfig, trained_tokenizer(GPT2))
    right = gguf_file.read_vocabulary

    def wrong(folder: Path, rows: int) -> Any:
        found = right(folder, rows)
        return dataclasses.replace(found, merges=found.merges[::-1])

    monkeypatch.setattr(gguf_file, "read_vocabulary", wrong)
    monkeypatch.setattr(gguf_check, "read_vocabulary", wrong)
    with pytest.raises(ToolFailed, match="other tokens"):
        export(source, tmp_path / "out", kind="f32")


def test_a_torn_file_is_noticed(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = gguf_conversion.convert_gguf

    def torn(file: Path, folder: Path, **options: bool) -> None:
        os.truncate(file, file.stat().st_size // 2)
        convert(file, folder, **options)

    monkeypatch.setattr(gguf_conversion, "convert_gguf", torn)
    with pytest.raises(ToolFailed, match="loaded back"):
        export(tiny, tmp_path / "out", kind="f32")
    assert list(tmp_path.iterdir()) == []


def test_llama_cpp_is_asked_where_it_is_installed(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the binding's methods: one that agrees, and one that splits text otherwise."""
    tokenizer, model = load.load_tokenizer(tiny), load.load_model(tiny, device="cpu")
    shift = 0

    class Llama:
        def __init__(self, **options: Any) -> None:
            assert Path(options["model_path"]).is_file()

        def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
            return [i + shift for i in tokenizer(text.decode(), add_special_tokens=False).input_ids]

        def reset(self) -> None: ...

        def eval(self, ids: list[int]) -> None:
            with torch.inference_mode():
                self.eval_logits = model(torch.tensor([ids])).logits[0].tolist()

    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace(Llama=Llama, __spec__=SimpleNamespace()))
    done = export(tiny, tmp_path / "out", kind="f16")
    assert done.record["gguf"] is not None and done.record["gguf"]["check"]["readers"] == ("transformers", "llama.cpp")
    assert "transformers and llama.cpp" in (tmp_path / "out" / "README.md").read_text()
    shift = 1
    with pytest.raises(ToolFailed, match="other tokens"):
        export(tiny, tmp_path / "other", kind="f16")


# What cannot be written


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"attention_bias": True}, "biases"),
        ({"mlp_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "activation"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rotary scaling 'dynamic'"),
    ],
)
def test_models_that_gguf_would_change_are_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = save_model(tmp_path / "m", LlamaConfig, find.tiny_tokenizer(), **fields)
    with pytest.raises(UsageError, match=words):
        export(source, tmp_path / "out", kind="f32")


def test_unknown_architectures_and_types_are_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config

    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=260, n_embd=32, n_layer=1, n_head=2))
    model.save_pretrained(tmp_path / "gpt2")
    find.tiny_tokenizer().save_pretrained(tmp_path / "gpt2")
    with pytest.raises(
        UsageError,
        match="GPT2LMHeadModel is not supported; supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM",
    ):
        export(tmp_path / "gpt2", tmp_path / "out", kind="f16")
    assert export(tmp_path / "gpt2", tmp_path / "out").record["gguf"] is None  # as a checkpoint it goes
    with pytest.raises(UsageError, match="one of f32, f16, bf16, q8_0"):
        export(tiny, tmp_path / "other", kind="q4_0")


@pytest.mark.parametrize(
    ("value", "kind", "words"), [(1e5, "f16", "too large for float16"), (float("nan"), "f32", "not finite")]
)
def test_weights_that_a_type_cannot_hold(value: float, kind: str, words: str, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = value
    save_file(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=words):
        export(tmp_path / "m", tmp_path / "out", kind=kind)


# The checkpoint, and what may be written over


def test_a_checkpoint_is_copied_as_it_is(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(tiny, source)
    (source / "optimizer.pt").write_bytes(b"state")
    config = json.loads((source / "config.json").read_text())
    storage.write_json(source / "config.json", {**config, "_name_or_path": "/home/somebody/models/base"})
    done = export(source, tmp_path / "out")
    assert load.policy_id(tmp_path / "out") == load.policy_id(tiny)
    assert set(done.record["files"]) == {p.name for p in (tmp_path / "out").iterdir()} - {"export.json"}
    assert not {"optimizer.pt", "policy_id.txt"} & set(done.record["files"])
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id
    written = "".join(p.read_text() for p in (tmp_path / "out").iterdir() if p.suffix in (".json", ".md"))
    assert "somebody" not in written and str(tmp_path) not in written
    assert done.record["files"]["model.safetensors"] in (tmp_path / "out" / "README.md").read_text()


def test_only_its_own_untouched_work_is_written_over(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export(tiny, out)  # empty: free to take
    export(tiny, out, kind="f16")  # ours
    assert (out / "out-f16.gguf").is_file()
    export(tiny, out)
    assert not (out / "out-f16.gguf").exists()
    card = out / "README.md"
    card.write_text(
        card.read_text().replace("# license: not known here; fill in that of the base model", "license: mit")
    )
    with pytest.raises(UsageError, match=r"README\.md was altered"):
        export(tiny, out)
    assert "license: mit" in card.read_text()
    export(tiny, out, force=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt, which no export wrote"):
        export(tiny, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        export(tiny, tmp_path / "file", force=True)
    shutil.copytree(tiny, tmp_path / "other")
    with pytest.raises(UsageError, match="no export wrote"):
        export(tiny, tmp_path / "other")


def test_the_source_is_never_written_over(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "a" / "m")
    before = storage.hash_file(tmp_path / "a" / "m")
    for out in (tmp_path / "a" / "m", tmp_path / "a", tmp_path / "a" / "m" / "out", tmp_path / "a" / "x" / ".." / "m"):
        with pytest.raises(UsageError, match="give a folder outside"):
            export(tmp_path / "a" / "m", out, force=True)
    assert storage.hash_file(tmp_path / "a" / "m") == before


FORKED = """
import os, sys
from pathlib import Path
import itertl.export.checkpoint, transformers.models.llama.modeling_llama
from itertl.export.bundle import export
for point in sys.argv[3:]:
    if not os.fork():
        os.environ["ITERTL_KILL_AT"] = f"commit.out.{point}"
        export(Path(sys.argv[1]), Path(sys.argv[2]) / point / "out")
        os._exit(0)
    print(os.WTERMSIG(os.wait()[1]))
"""


@pytest.mark.parametrize(
    "points", [["moved", "renamed"], pytest.param(["synced", "moved", "renamed", "durable"], marks=pytest.mark.slow)]
)
def test_after_a_kill_the_same_command_ends_as_if_nothing_had_been(
    tiny: Path, tmp_path: Path, points: list[str]
) -> None:
    """At every moment the folder holds the old export, the new one, or waits whole under another name."""
    for point in points:
        (tmp_path / point).mkdir()
        export(tiny, tmp_path / point / "out", kind="f32")
    killed = subprocess.run(
        [sys.executable, "-c", FORKED, str(tiny), str(tmp_path), *points], capture_output=True, text=True, timeout=150
    )
    assert killed.stdout.split() == ["9"] * len(points), killed.stderr
    for folder in (tmp_path / point for point in points):
        assert [p for p in (folder / "out", folder / ".out.old") if (p / "export.json").is_file()]
        done = export(tiny, folder / "out")
        assert set(done.record["files"]) == {p.name for p in (folder / "out").iterdir()} - {"export.json"}
        assert [p.name for p in folder.iterdir()] == ["out"]


def test_two_exports_do_not_write_one_folder_at_once(tiny: Path, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / ".out.staged").mkdir()
    handle = os.open(tmp_path / ".out.staged", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another export"):
        export(tiny, tmp_path / "out")
    os.close(handle)
    export(tiny, tmp_path / "out")


# Adapters


def adapter(base: Path, folder: Path, *, named: str | None = None) -> Any:
    """A LoRA whose product is not zero; returns the model with it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    model = get_peft_model(
        load.load_model(base, device="cpu"), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )  # type: ignore[arg-type]
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    settings = json.loads((folder / "adapter_config.json").read_text())
    storage.write_json(folder / "adapter_config.json", {**settings, "base_model_name_or_path": named or str(base)})
    return model


def test_an_adapter_is_merged_as_peft_merges_it(tiny: Path, tmp_path: Path) -> None:
    wanted = adapter(tiny, tmp_path / "lora").merge_and_unload().state_dict()
    done = export(tmp_path / "lora", tmp_path / "out", kind="f32")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found and all(torch.equal(value, wanted[name]) for name, value in found.items())
    assert not torch.equal(
        found["model.layers.0.mlp.up_proj.weight"],
        load_file(tiny / "model.safetensors")["model.layers.0.mlp.up_proj.weight"],
    )
    assert done.record["gguf"] is not None and done.record["gguf"]["check"]["largest_error"] == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "peft adapter merged into `tiny`" in card and str(tiny.parent) not in card
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template


def test_a_merge_keeps_the_base_model_s_type(tiny: Path, tmp_path: Path) -> None:
    adapter(tiny, tmp_path / "lora", named=str(tmp_path / "half"))
    half: Any = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    load.load_tokenizer(tiny).save_pretrained(str(tmp_path / "half"))
    export(tmp_path / "lora", tmp_path / "out")
    assert AutoConfig.from_pretrained(tmp_path / "out").dtype == torch.bfloat16
    assert {t.dtype for t in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}


def test_an_adapter_without_its_base_is_refused(tiny: Path, tmp_path: Path) -> None:
    adapter(tiny, tmp_path / "lora", named="/nowhere/base")
    with pytest.raises(UsageError, match="base_model_name_or_path"):
        export(tmp_path / "lora", tmp_path / "out")
    other = save_model(tmp_path / "other", LlamaConfig, find.tiny_tokenizer(), hidden_size=32)
    adapter(tiny, tmp_path / "lora", named=str(other))
    with pytest.raises(UsageError, match="does not fit"):
        export(tmp_path / "lora", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Runs and their cards


def run_folder(folder: Path, tiny: Path, **options: Any) -> Path:
    """The report's synthetic run, with a checkpoint in each iteration."""
    build.build_run(folder, **options)
    for n, part in enumerate(sorted(folder.glob("iter-*"))):
        shutil.copytree(tiny, part / "checkpoint")
        if n:
            find.make_tiny(part / "checkpoint", seed=n)
    return folder


def test_the_card_of_a_run_gives_its_figures(tiny: Path, tmp_path: Path) -> None:
    recipe = {
        "model": {"path": "/home/somebody/models/base-7b"},
        "data": {"source": "/home/somebody/My Data/pairs.jsonl"},
    }
    run = run_folder(tmp_path / "run", tiny, recipe=recipe)
    done = export(run, tmp_path / "out", kind="q8_0")
    card = (tmp_path / "out" / "README.md").read_text()
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["verilog", "rtl", "itertl"],
    }
    assert "# license: not known here" in card
    row = next(line for line in card.splitlines() if line.startswith("| synth-heldout"))
    assert [c.strip() for c in row.strip("|").split("|")] == [
        "synth-heldout", "0", "24", "8.7% (0.0–20.2)", "52.2% (31.8–72.6)", "78.3%", "mismatches", "Icarus Verilog 11.0"
    ]  # fmt: skip
    for words in ("`base-7b`", "3 of 3 iterations", "seed: 0", "8, from synth (8)", "pairs.jsonl", "itertl 0.1.0, torch 2.9.0",
                  "Small benchmarks (synth-heldout)", "Contamination is unknown", "1 of 24 completions could not be judged"):  # fmt: skip
        assert words in card, words
    assert "somebody" not in card and "My Data" not in card and str(tmp_path) not in card
    assert (done.record["iteration"], done.record["choice"]) == (3, "last")
    assert done.to_json()["source"] == "demo-iter-02" and "chosen among" not in card


def test_the_iteration_is_chosen(tiny: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", tiny, iterations=3)
    rows = storage.read_records(run / "metrics.jsonl", type(build.metrics(0)))
    better = build.summary({Verdict.PASSED: 20, Verdict.WRONG_OUTPUT: 4})
    storage.write_records(
        run / "metrics.jsonl", [r if r.iterations != 2 else r.model_copy(update={"evals": (better,)}) for r in rows]
    )
    export(run, tmp_path / "best", iteration="best")
    assert load.policy_id(tmp_path / "best") == load.policy_id(run / "iter-01" / "checkpoint")
    assert "chosen among the iterations by its pass@1" in (tmp_path / "best" / "README.md").read_text()
    assert export(run, tmp_path / "one", iteration="1").record["iteration"] == 1
    for wrong in ("0", "4", "first", "-1"):
        with pytest.raises(UsageError, match=r"1, 2, 3 \(1 is iter-00\)"):
            export(run, tmp_path / "other", iteration=wrong)
    shutil.rmtree(run / "iter-02" / "checkpoint")
    assert export(run, tmp_path / "last").record["iteration"] == 2
    with pytest.raises(UsageError, match="for run folders"):
        export(tiny, tmp_path / "other", iteration="1")


def test_a_run_that_has_not_come_to_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    build.build_run(tmp_path / "run", done=0)
    with pytest.raises(UsageError, match="no iteration of this run is finished"):
        export(tmp_path / "run", tmp_path / "out")


def test_weights_that_the_run_did_not_judge_are_refused(tiny: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", tiny, iterations=1)
    checkpoint = run / "iter-00" / "checkpoint"
    stage = StageRecord(
        settings={}, inputs={}, outputs={"checkpoint": storage.hash_file(checkpoint)}, versions={}, seed=0
    )
    storage.write_text(
        run / "iter-00" / "manifest.json", Manifest(iteration=0, stages={"train": stage}).to_line() + "\n"
    )
    export(run, tmp_path / "out")
    find.make_tiny(checkpoint, seed=9)
    with pytest.raises(DataError, match="altered since the run trained it"):
        export(run, tmp_path / "out")


def test_contamination_and_licence_come_from_the_files_that_state_them(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    (base / "README.md").write_text("---\nlicense: bsd-3-clause\nbase_model: acme/base\n---\n# Base\n")
    run = run_folder(tmp_path / "run", tiny, iterations=1, recipe={"model": {"path": str(base)}})
    audit = {"schema": "itertl.audit/1", "summary": {"contaminated": 3}, "problems": 80, "benchmark_tasks": 143}
    storage.write_json(run / "audit.json", audit)
    export(run, tmp_path / "out", kind="f16")
    card = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "bsd-3-clause"
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "acme/base"
    assert fields_of(tmp_path / "out" / "out-f16.gguf")["general.license"] == "bsd-3-clause"
    assert "3 of 80 training pairs overlap one of the 143 benchmark problems" in card
    storage.write_json(run / "audit.json", {**audit, "summary": {"contaminated": None}, "benchmark_tasks": 0})
    export(run, tmp_path / "again", kind="f16")
    assert "Contamination is unknown" in (tmp_path / "again" / "README.md").read_text()
    storage.write_json(run / "audit.json", {"schema": "other"})
    with pytest.raises(DataError, match="not an audit"):
        export(run, tmp_path / "out")


def test_a_checkpoint_without_a_run_claims_nothing(tiny: Path, tmp_path: Path) -> None:
    export(tiny, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "method, data, seeds: unknown" in card
        and "do not take any quality for granted" in card
        and "| benchmark" not in card
    )


# The hub


class FakeApi:
    """The hub as it answers; every call is noted."""

    calls: list[tuple[str, dict[str, Any]]]
    failure: Exception | None
    is_private: bool

    def create_repo(self, name: str, **options: Any) -> str:
        type(self).calls.append(("create", {"name": name, **options}))
        if self.failure:
            raise self.failure
        return f"https://huggingface.co/{name}"

    def model_info(self, name: str) -> Any:
        return SimpleNamespace(private=self.is_private)

    def upload_folder(self, **options: Any) -> None:
        present = sorted(p.name for p in Path(options["folder_path"]).iterdir())
        type(self).calls.append(("upload", {**options, "present": present}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    import huggingface_hub

    FakeApi.calls, FakeApi.failure, FakeApi.is_private = [], None, True
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    return FakeApi


def test_the_finished_folder_is_uploaded(hub: type[FakeApi], tiny: Path, tmp_path: Path) -> None:
    done = export(tiny, tmp_path / "out", push_to="me/rtl", private=True)
    assert done.pushed == "https://huggingface.co/me/rtl"
    (create, upload) = hub.calls
    assert create == ("create", {"name": "me/rtl", "private": True, "exist_ok": True})
    assert upload[1]["repo_id"] == "me/rtl" and {"README.md", "export.json", "model.safetensors"} <= set(
        upload[1]["present"]
    )
    assert "token" not in upload[1]


def test_nothing_private_goes_to_a_public_repository(hub: type[FakeApi], tiny: Path, tmp_path: Path) -> None:
    hub.is_private = False
    with pytest.raises(UsageError, match="there and public"):
        export(tiny, tmp_path / "out", push_to="me/rtl", private=True)
    assert [name for name, _ in hub.calls] == ["create"]
    assert export(tiny, tmp_path / "out", push_to="me/rtl").pushed


def test_a_failed_upload_is_a_usage_error_without_the_token(hub: type[FakeApi], tiny: Path, tmp_path: Path) -> None:
    hub.failure = OSError("401 for hf_secretsecret, header Bearer hf_otherone")
    with pytest.raises(UsageError, match="401") as caught:
        export(tiny, tmp_path / "out", push_to="me/rtl")
    assert "secret" not in str(caught.value) and "otherone" not in str(caught.value)
    assert (tmp_path / "out" / "export.json").is_file()


def test_what_cannot_be_pushed_is_said_before_any_work(
    hub: type[FakeApi], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="OWNER/MODEL"):
        export(tiny, tmp_path / "out", push_to="a/b/c")
    with pytest.raises(UsageError, match="goes with --push"):
        export(tiny, tmp_path / "out", private=True)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="HF_TOKEN"):
        export(tiny, tmp_path / "out", push_to="me/rtl")
    assert hub.calls == [] and list(tmp_path.iterdir()) == []


# The command line


def test_the_command_prints_one_object(tiny: Path, tmp_path: Path) -> None:
    done = itertl("export", tiny, "--out", tmp_path / "out", "--gguf", "q8_0", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["out"] == str(tmp_path / "out") and found["gguf"]["type"] == "q8_0" and found["pushed"] is None
    assert found["gguf"]["check"]["tensors"] == 20 and found["files"]["out-q8_0.gguf"] == storage.hash_file(
        tmp_path / "out" / "out-q8_0.gguf"
    )
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["files"] == found["files"]
    lines = itertl("export", tiny, "--out", tmp_path / "out").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["checkpoint", "card"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--out", "o"], "no such folder"),
        ([".", "--out", "o"], "neither a run"),
        (["TINY", "--out", "o", "--gguf", "q2"], "f32, f16, bf16, q8_0"),
        (["TINY", "--out", "o", "--iteration", "2"], "for run folders"),
        (["TINY", "--out", "o", "--private"], "--push"),
        (["TINY", "--out", "TINY"], "give a folder outside"),
        (["TINY"], "--out"),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], words: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = itertl("export", *[str(tiny) if a == "TINY" else a for a in arguments])
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_check_is_status_1(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = gguf_file.encode
    monkeypatch.setattr(gguf_file, "encode", lambda w, s: right(w * 1.5 if s.name == "blk.0.ffn_up.weight" else w, s))
    done = itertl("export", tiny, "--out", tmp_path / "out", "--gguf", "f16", "--json")
    assert done.returncode == 1 and "up_proj" in json.loads(done.stdout)["error"]
    assert list(tmp_path.iterdir()) == []


def test_the_exported_folder_and_file_are_models_for_this_project(tiny: Path, tmp_path: Path) -> None:
    export(tiny, tmp_path / "out", kind="f32")
    assert find.resolve_model(ModelConfig(path=str(tmp_path / "out"))) == tmp_path / "out"
    again = find.resolve_model(ModelConfig(path=str(tmp_path / "out" / "out-f32.gguf")), cache=tmp_path / "cache")
    for name, value in load_file(tiny / "model.safetensors").items():
        assert torch.equal(load_file(Path(again) / "model.safetensors")[name], value)
