"""Models and tokenizers loaded, named by their weights, and saved.

torch and transformers are imported inside the functions.
"""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from itertl import memory
from itertl.errors import ToolMissing, UsageError
from itertl.model import hub as model_hub
from itertl.records import content_hash
from itertl.runs.storage import hash_file, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

API = "openai:"  # before the name of a model that an endpoint serves: it is asked, never loaded
_POLICY_FILE = "policy_id.txt"
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt")
_PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def load_model(
    path: Path | str,
    *,
    dtype: str = "float32",
    device: str | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    quantize: str | None = None,
) -> "PreTrainedModel":
    """Load a causal language model in eval mode on ``device`` (None: CUDA where there is one, else CPU).

    ``quantize="nf4"`` holds the weights of its linear layers in 4 bits (Dettmers et al. 2023); ``dtype`` is that of the
    others. Raises UsageError where neither a folder nor the hub has it, ToolMissing where bitsandbytes is asked for and
    not there.
    """
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedModel  # noqa: F401  the second imports what models need

    memory.keep_imports()
    if not hasattr(torch, dtype):
        raise UsageError(f"dtype {dtype!r} is not one of float32, bfloat16, float16")
    device = pick_device(device)
    options: dict[str, Any] = (
        {} if quantize is None else {"quantization_config": _four_bits(device), "device_map": {"": device}}
    )
    options |= {"dtype": getattr(torch, dtype), "trust_remote_code": trust_remote_code}
    model = pretrained(AutoModelForCausalLM, path, revision, **options)
    return (model if quantize else model.to(device)).eval()


def _four_bits(device: str) -> Any:
    """NormalFloat4 with quantized constants, products in the type that is fast there."""
    import torch
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ToolMissing("weights in 4 bits (train.lora.quantize) need bitsandbytes: pip install 'itertl[qlora]'")
    compute = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )


def load_tokenizer(
    path: Path | str, *, trust_remote_code: bool = False, revision: str | None = None
) -> "PreTrainedTokenizerBase":
    """Load a model's tokenizer; its pad token is set, and differs from the end token where the vocabulary allows."""
    from transformers import AutoTokenizer

    return with_pad_token(pretrained(AutoTokenizer, path, revision, trust_remote_code=trust_remote_code))


def with_pad_token(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    """Give the tokenizer a pad token of its vocabulary that neither ends nor begins a text, if there is one.

    Code that masks labels by "is the pad token" would otherwise mask the end token too, and the model would never
    learn to stop. No token is added, so the embedding matrix keeps its size.
    """
    ends = (tokenizer.eos_token, tokenizer.bos_token)
    if tokenizer.pad_token is not None and tokenizer.pad_token not in ends:
        return tokenizer
    vocabulary = tokenizer.get_vocab()
    choices = [*_PAD_NAMES, cast("str | None", tokenizer.unk_token)]
    chosen = next((t for t in choices if t is not None and t in vocabulary and t not in ends), None)
    if chosen is None and tokenizer.eos_token is None:
        raise UsageError("the tokenizer has neither a pad nor an end token; add an eos_token to its tokenizer_config")
    tokenizer.pad_token = chosen or tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def end_token_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Every id at which a response ends: the tokenizer's, and those of the model's generation settings."""
    generation = getattr(model, "generation_config", None)
    found = [tokenizer.eos_token_id, getattr(generation, "eos_token_id", None), model.config.eos_token_id]
    ids: set[int] = set()
    for value in found:
        ids.update(value if isinstance(value, list | tuple) else [] if value is None else [cast("int", value)])
    return frozenset(ids)


def pick_device(device: str | None = None) -> str:
    """The device asked for, else "cuda" where there is one, else "cpu"."""
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bf16(device: str | None = None) -> bool:
    """Whether bfloat16 is faster than float32 there: a GPU that has it, or a CPU with AMX or AVX512-BF16.

    ``ITERTL_PRECISION`` (bf16 or float32) answers for the machine, so that results need not depend on its processor.
    Raises UsageError for another value.
    """
    import torch

    forced = os.environ.get("ITERTL_PRECISION", "")
    if forced not in ("", "bf16", "float32"):
        raise UsageError(f"ITERTL_PRECISION is {forced!r}: set it to bf16 or float32, or leave it out")
    if forced:
        return forced == "bf16"
    if pick_device(device).startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    probes = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    return any(bool(probe()) for probe in probes if probe is not None)


def policy_id(path: Path | str, *, revision: str | None = None) -> str:
    """Sixteen hexadecimal digits that name a policy: a hash over the names and bytes of its weight files.

    A hub model's is over its name and commit; what an endpoint serves has its name alone. Converted models in the cache
    carry theirs beside the weights. Raises UsageError where the folder holds no weights.
    """
    folder = Path(path)
    if str(path).startswith(API):
        return str(path)
    if not folder.is_dir():
        return content_hash([str(path), _hub_commit(str(path), revision)])
    files = _weight_files(folder)
    with contextlib.suppress(OSError, ValueError):
        known, stamp = (folder / _POLICY_FILE).read_text(encoding="ascii").split()
        if stamp == _stamp(files):
            return known
    return content_hash([[f.name, hash_file(f)] for f in files])


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(f for pattern in _WEIGHT_FILES for f in folder.glob(pattern))
    if not files:
        raise UsageError(f"{folder}: no weights ({', '.join(_WEIGHT_FILES)}); give a save_pretrained folder")
    return files


def _stamp(files: list[Path]) -> str:
    """Changes whenever a file is written anew or copied, so that a stored id is never taken for other weights."""
    return content_hash([[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files])


def _hub_commit(name: str, revision: str | None) -> str:
    from transformers import AutoConfig

    config = pretrained(AutoConfig, name, revision)
    return str(getattr(config, "_commit_hash", None) or revision)


def save_converted(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """A model made here, with its id beside it."""
    save_quietly(model, tokenizer, folder)
    write_text(folder / _POLICY_FILE, f"{policy_id(folder)} {_stamp(_weight_files(folder))}\n")


def added_token(number: int, text: str) -> dict[str, Any]:
    """The entry in a tokenizer.json of a token that is looked for in the raw text and is not special."""
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": number, "content": text, **dict.fromkeys(flags, False)}


def with_backend(tokenizer: Any, backend: Any, folder: Path) -> Any:
    """The tokenizer with other tokens and merges; all else of it, templates and special tokens, stays. ``folder``: its
    files are written there on the way."""
    from transformers import AutoTokenizer

    with quiet():
        tokenizer.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):  # older forms of what tokenizer.json says
        (folder / name).unlink(missing_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    found: Any = AutoTokenizer.from_pretrained(folder)
    found.pad_token = tokenizer.pad_token
    return found


def save_quietly(model: Any, tokenizer: Any, folder: Path, weights: Any = None) -> None:
    """``save_pretrained`` of both, without the library's progress bar and its remarks on tied weights. ``weights``: in
    place of the model's."""
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


def pretrained(kind: Any, path: Path | str, revision: str | None, **options: Any) -> Any:
    """``kind.from_pretrained`` without progress bars; its errors about a model that is not there become UsageError."""
    if str(path).startswith(API):
        raise UsageError(
            f"model {path} is served by an endpoint and cannot be loaded; set sample.backend=openai, or give a model "
            "of files"
        )
    model_hub.require(str(path), revision)
    try:
        with _no_progress_bars():
            return kind.from_pretrained(str(path), revision=revision or "main", **options)
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"model {path}: cannot be loaded ({first}); check the path, the hub name or the network"
        ) from error


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The library without its progress bars and remarks."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    conversion: Any = modeling_gguf_pytorch_utils
    level, bar = logging.get_verbosity(), conversion.tqdm
    logging.set_verbosity_error()
    conversion.tqdm = lambda steps, **_: steps  # its bar asks no switch
    try:
        with _no_progress_bars():
            yield
    finally:
        conversion.tqdm = bar
        logging.set_verbosity(level)
