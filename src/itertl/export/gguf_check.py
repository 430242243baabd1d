"""Load a GGUF file back and compare it with the checkpoint that it was made from.

The file is read as ``model.path=FILE.gguf`` would: by transformers, through the project's own converter. Three things
are compared. Tensors, each element within the rounding of its type. Predictions: with the file's tensors in both, the
settings that the file states and those of the checkpoint must give the same logits, at every position of the prompts;
and the file as it is must stay near the checkpoint. Text: the same tokens for the same texts, the same special ids,
the same template. Where llama-cpp-python is installed, llama.cpp itself loads the file too.

Memory: two copies of the model in float32. Limits: a handful of prompts says that the file is sound, not that a
rounded model is as good as the original. What transformers' reader does not know (scaled rotary positions, some
splitting rules) is taken from the checkpoint for the comparison, and the keys are compared one by one instead;
``notes`` says so.
"""

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from itertl.errors import ItertlError, ToolFailed
from itertl.export.checkpoint import weight_map
from itertl.export.gguf_file import Stored, read_tensor, rope_factors, rope_type
from itertl.export.gguf_vocabulary import READ_BACK, GgufVocabulary, read_vocabulary
from itertl.export.source import read_json
from itertl.model import gguf_conversion, load
from itertl.runs.storage import write_json

PROMPTS = (
    "Build a 2-to-1 multiplexer of 8 bits: y is b where sel is high, else a.",
    "module counter(input clk, input rst, output reg [7:0] q);\n"
    "  always @(posedge clk)\n    if (rst) q <= 8'd0;\n    else q <= q + 1;\n",
    "The quick brown fox jumps over 13 lazy dogs.",
)
_TEXTS = (
    *PROMPTS,
    "assign y = ~(a & b) | {4{c[3:0]}};\t// 16'hDEAD_BEEF\r\n\r\n",
    "I'll don't WE'VE 123456 3.14\n\n\n   x", "é 中文 😀 \u00a0ß",
)  # fmt: skip
_LARGEST_KL = 0.05  # nats a position between the rounded and the plain model; 8 bits cost about 0.001
_HEAD = 64  # tokens of each prompt


@dataclass(frozen=True, slots=True)
class GgufCheck:
    """What was compared, and the largest difference of each kind; all of it was within its bounds."""

    tensors: int
    largest_error: float  # of any element; 0 for f32
    positions: int  # at which logits were compared
    largest_logit_difference: float
    mean_kl: float  # nats, of the checkpoint's next-token distribution from the file's
    same_next_token: int  # of positions
    texts: int
    readers: tuple[str, ...]
    notes: tuple[str, ...]


def check_gguf(file: Path, folder: Path, planned: list[Stored]) -> GgufCheck:
    """Compare ``file`` with the checkpoint in ``folder``; ``planned`` says which tensors it holds and in which types.

    Raises ToolFailed where it cannot be loaded or differs by more than rounding.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix=f".{file.stem}.", dir=file.parent) as scratch:
        # Alone in a folder: beside a tokenizer.json transformers would read that, and not the file's vocabulary.
        alone, back = Path(scratch) / file.name, Path(scratch) / "back"
        os.link(file, alone)
        back.mkdir()
        vocabulary = read_vocabulary(folder, next(s.shape[0] for s in planned if s.name == "token_embd.weight"))
        try:
            if vocabulary.is_plain:
                gguf_conversion.convert_gguf(alone, back, may_tie=False)
            else:
                _read_weights(alone, back)
        except ItertlError as error:
            raise ToolFailed(f"{file.name}: cannot be loaded back ({error})") from error
        _check_keys(file, vocabulary, config, notes)
        if rope_type(config) != "default":
            settings = read_json(back / "config.json") | {"rope_parameters": config.rope_parameters}
            write_json(back / "config.json", settings)
        largest = _compare_tensors(file, folder, back, planned)
        texts = _compare_texts(file, folder, back, vocabulary, notes)
        ours: Any = load.load_tokenizer(folder)
        prompts = [ours(prompt, add_special_tokens=False).input_ids[:_HEAD] for prompt in PROMPTS]
        is_exact = all(s.kind == GGMLQuantizationType.F32 for s in planned)
        outcome = _compare_logits(file, folder, back, prompts, exact=is_exact)
    readers = ["transformers"]
    if importlib.util.find_spec("llama_cpp") is not None:
        _check_llama_cpp(file, folder, prompts)
        readers.append("llama.cpp")
    return GgufCheck(len(planned), largest, texts=texts, readers=tuple(readers), notes=tuple(notes), **outcome)


def _read_weights(file: Path, back: Path) -> None:
    """The file's weights and settings without its tokenizer, as a ``save_pretrained`` folder."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    try:
        with load.quiet():
            folder = str(file.parent)
            packed: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
    except Exception as error:  # a broken file meets the parser of the library, which raises whatever comes
        raise ToolFailed(str(error)) from error
    tree = packed.config.to_dict()
    tree.pop("quantization_config", None)  # a model that was packed refuses to be saved
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModelForCausalLM.from_config(type(packed.config).from_dict(tree), dtype=torch.float32)
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    with load.quiet():
        model.save_pretrained(back)


def _check_keys(file: Path, vocabulary: GgufVocabulary, config: Any, notes: list[str]) -> None:
    """The vocabulary, entry by entry, and the rotary scaling, which transformers' reader passes over."""
    reader = gguf.GGUFReader(file)
    stated = {name: field.contents() for name, field in reader.fields.items()}
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "eot": "eot"}
    wanted: dict[str, Any] = {f"ggml.{roles[role]}_token_id": ident for role, ident in vocabulary.special.items()} | {
        "ggml.pre": vocabulary.pre_tokenizer,
        "ggml.tokens": vocabulary.tokens,
        "ggml.token_type": list(map(int, vocabulary.types)),
        "ggml.merges": vocabulary.merges or None,
        "ggml.add_bos_token": vocabulary.adds_bos,
        "ggml.add_eos_token": vocabulary.adds_eos,
        "chat_template": vocabulary.chat_template or None,
    }
    wanted = {f"tokenizer.{name}": value for name, value in wanted.items()}
    if rope_type(config) != "default":
        notes.append("rotary scaling compared by its keys: transformers does not read it from GGUF")
    if rope_type(config) == "linear":
        scaling = f"{stated['general.architecture']}.rope.scaling"
        factor = float(np.float32(config.rope_parameters["factor"]))
        wanted |= {f"{scaling}.type": "linear", f"{scaling}.factor": factor}
    for name, value in wanted.items():
        if stated.get(name) != value:
            raise ToolFailed(f"{file.name}: {name} is not the checkpoint's ({str(stated.get(name))[:60]})")
    factors = rope_factors(config)
    found = next((t.data for t in reader.tensors if t.name == "rope_freqs.weight"), None)
    same = found is None if factors is None else found is not None and np.array_equal(factors, found)
    if not same:
        raise ToolFailed(f"{file.name}: rope_freqs.weight is not what the checkpoint's rotary scaling needs")


def rounding(weights: NDArray[np.float32], kind: GGMLQuantizationType) -> NDArray[np.float32]:
    """The largest difference that storing each element in ``kind`` may make, same shape.

    float16 and bfloat16 round to 11 and 8 significant bits; below 2^-14 float16's steps are 2^-24. q8_0 (ggml) keeps,
    for 32 elements of a row, a float16 step of their largest over 127, and whole numbers of steps: half a step, and the
    step's own rounding times 127.
    """
    size = np.abs(weights)
    if kind == GGMLQuantizationType.F32:
        return np.zeros_like(size)
    if kind == GGMLQuantizationType.F16:
        return size * np.float32(2**-11) + np.float32(2**-25)
    if kind == GGMLQuantizationType.BF16:
        return size * np.float32(2**-8)
    step = size.reshape(-1, 32).max(axis=1, keepdims=True) / np.float32(127)
    bound = step * np.float32(0.5 * (1 + 1e-5)) + 127 * (step * np.float32(2**-11) + np.float32(2**-25))
    return np.broadcast_to(bound, (bound.shape[0], 32)).reshape(size.shape)


def _compare_tensors(file: Path, folder: Path, back: Path, planned: list[Stored]) -> float:
    ours, theirs = weight_map(folder), weight_map(back)
    if missing := sorted({s.source for s in planned} ^ set(theirs)):
        raise ToolFailed(f"{file.name}: tensors missing or too many after loading it back: {', '.join(missing[:5])}")
    largest = 0.0
    for stored in planned:
        name = stored.source
        weights, found = read_tensor(ours[name], name), read_tensor(theirs[name], name)
        if weights.shape != found.shape:
            raise ToolFailed(f"{file.name}: {name} is {found.shape} after loading it back, not {weights.shape}")
        error = np.abs(weights - found)
        if not np.all(error <= rounding(weights, stored.kind)):
            most = f"{np.max(error):.3g}"
            raise ToolFailed(f"{file.name}: {name} differs by up to {most}, more than {stored.kind.name} rounds")
        largest = max(largest, float(error.max(initial=0.0)))
    return largest


def _compare_texts(file: Path, folder: Path, back: Path, vocabulary: GgufVocabulary, notes: list[str]) -> int:
    """How many texts gave the same tokens by the tokenizer that the file holds as by the checkpoint's."""
    if not vocabulary.is_plain:
        notes.append("text compared by tokens and merges alone: transformers respells this file's special tokens")
        return 0
    ours: Any = load.load_tokenizer(folder)
    theirs: Any = load.load_tokenizer(back)
    if vocabulary.pre_tokenizer not in READ_BACK:
        theirs.backend_tokenizer.pre_tokenizer = ours.backend_tokenizer.pre_tokenizer
        rule = f"splitting rule {vocabulary.pre_tokenizer!r}"
        notes.append(f"{rule} compared by its name: transformers does not follow it when it reads GGUF")
    pairs = zip(vocabulary.tokens, vocabulary.types, strict=True)
    added = "x".join(token for token, kind in pairs if kind == gguf.TokenType.USER_DEFINED)
    for text in (*_TEXTS, added):
        normalizer = ours.backend_tokenizer.normalizer
        normal = text if normalizer is None else normalizer.normalize_str(text)
        wanted = ours(normal, add_special_tokens=False).input_ids
        if theirs(normal, add_special_tokens=False).input_ids != wanted:
            raise ToolFailed(f"{file.name}: the text {text[:40]!r} has other tokens after loading it back")
    return len(_TEXTS)


def _compare_logits(file: Path, folder: Path, back: Path, prompts: list[list[int]], *, exact: bool) -> dict[str, Any]:
    original: Any = load.load_model(folder, device="cpu")
    reloaded: Any = load.load_model(back, device="cpu")
    plain, read = _logits(original, prompts), _logits(reloaded, prompts)
    original.load_state_dict(reloaded.state_dict())
    same_weights = _logits(original, prompts)
    scale = float(np.abs(read).max())
    if not np.isfinite(read).all() or np.abs(same_weights - read).max() > 1e-4 * scale + 1e-5:
        raise ToolFailed(
            f"{file.name}: with the same weights it predicts other tokens than the checkpoint; its settings are wrong"
        )
    difference, kl = float(np.abs(plain - read).max()), _mean_kl(plain, read)
    if kl > _LARGEST_KL or (exact and difference > 1e-4 * scale + 1e-5):
        raise ToolFailed(
            f"{file.name}: predictions differ by {kl:.3g} nats a token (logits by {difference:.3g}); take a finer type"
        )
    agree = int((plain.argmax(-1) == read.argmax(-1)).sum())
    return {"positions": len(plain), "largest_logit_difference": difference, "mean_kl": kl, "same_next_token": agree}


def _logits(model: Any, prompts: list[list[int]]) -> NDArray[np.float32]:
    """[positions, vocabulary], all prompts one after the other."""
    import torch

    with torch.inference_mode():
        return np.concatenate([model(torch.tensor([ids])).logits[0].float().numpy() for ids in prompts])


def _mean_kl(plain: NDArray[np.float32], read: NDArray[np.float32]) -> float:
    p, q = _log_softmax(plain), _log_softmax(read)
    return max(0.0, float((np.exp(p) * (p - q)).sum(-1).mean()))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _check_llama_cpp(file: Path, folder: Path, prompts: list[list[int]]) -> None:
    """llama.cpp must load the file, split the prompts into the same tokens, and predict nearly the same last ones."""
    from llama_cpp import Llama  # pyright: ignore[reportMissingImports]

    try:
        loaded: Any = Llama(model_path=str(file), n_ctx=2 * _HEAD, n_gpu_layers=0, verbose=False)
    except Exception as error:  # the binding raises whatever comes
        raise ToolFailed(f"{file.name}: llama.cpp cannot load it ({error})") from error
    original: Any = load.load_model(folder, device="cpu")
    for text, ids in zip(PROMPTS, prompts, strict=True):
        if loaded.tokenize(text.encode(), add_bos=False, special=False)[:_HEAD] != ids:
            raise ToolFailed(f"{file.name}: llama.cpp splits {text[:40]!r} into other tokens")
        loaded.reset()
        loaded.eval(ids)
        read = np.asarray(loaded.eval_logits[-1], dtype=np.float32)[None]
        kl = _mean_kl(_logits(original, [ids])[-1:], read)
        if not kl <= _LARGEST_KL:
            raise ToolFailed(f"{file.name}: under llama.cpp predictions differ by {kl:.3g} nats")
