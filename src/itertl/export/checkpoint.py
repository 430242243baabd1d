"""The checkpoint part of an export: weights as safetensors, configuration and tokenizer, nothing of training.

Left out: optimizer states, logs, and code of the model's own (``trust_remote_code``): such a folder is refused, since
a copy without the code could not be loaded.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from itertl.config import ModelConfig
from itertl.errors import DataError, UsageError
from itertl.export.source import Source, adapter_config, read_json
from itertl.model import find, load
from itertl.model.prompt_form import FORM_FILE, express, read_form, write_form
from itertl.runs.storage import write_json, write_text

INDEX = "model.safetensors.index.json"
_COPIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model",
    "chat_template.jinja", "chat_template.json", FORM_FILE,
)  # fmt: skip
_TEMPLATES = "additional_chat_templates"
_PATH_KEYS = ("_name_or_path", "name_or_path", "_model_name_or_path")  # where a library notes where it read from


def write_checkpoint(source: Source, staged: Path) -> None:
    """Fill the folder ``staged``. Raises UsageError or DataError for a source that holds no whole, ordinary model."""
    if source.is_adapter:
        _merge(source.folder, staged)
    elif any(source.folder.glob("model*.safetensors")):
        _copy(source.folder, staged)
    else:
        load.policy_id(source.folder)  # raises UsageError where there are no weights of any kind
        load.save_quietly(_load(source.folder), load.load_tokenizer(source.folder), staged)
    for name in ("config.json", "tokenizer_config.json"):
        _forget_paths(staged / name)
    _put_form(source, staged)
    weight_map(staged)


def _put_form(source: Source, staged: Path) -> None:
    """The form of the prompts as the source or its run's recipe has it; also put into the chat template."""
    tokenizer: Any = load.load_tokenizer(staged)
    form = read_form(source.folder) or (source.run.recipe.prompt if source.run else None)
    if form is None:
        return
    write_form(form, tokenizer, staged)
    before = tokenizer.chat_template
    express(read_form(staged) or form, tokenizer)
    if tokenizer.chat_template == before:
        return
    write_text(staged / "chat_template.jinja", tokenizer.chat_template)
    settings = read_json(staged / "tokenizer_config.json")
    if settings.pop("chat_template", None) is not None:  # the older place, which would be read as well
        write_json(staged / "tokenizer_config.json", settings)


def _copy(folder: Path, staged: Path) -> None:
    if read_json(folder / "config.json").get("auto_map"):
        raise UsageError(f"{folder}: the model needs code of its own (auto_map), which is not exported")
    weights = [f.name for f in folder.glob("model*.safetensors")]
    for name in [*_COPIED, *weights, INDEX]:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, staged / name)
    if (folder / _TEMPLATES).is_dir():
        shutil.copytree(folder / _TEMPLATES, staged / _TEMPLATES)


def _merge(folder: Path, staged: Path) -> None:
    """Add the adapter's product to the weights that it belongs to, in float32, and keep the base model's own type."""
    import torch
    from peft import PeftModel

    settings = adapter_config(folder)
    name, revision = str(settings.get("base_model_name_or_path") or ""), settings.get("revision")
    if not name:
        raise UsageError(
            f"{folder}: the adapter names no base model; set base_model_name_or_path in its adapter_config.json"
        )
    try:
        base = find.resolve_model(ModelConfig(path=name, revision=revision))
    except UsageError as error:
        raise UsageError(
            f"{folder}: its base model {name!r} is not there; fix base_model_name_or_path in adapter_config.json"
        ) from error
    model: Any = _load(base, revision)
    dtype = getattr(model.config, "dtype", None) or torch.float32
    try:
        merged: Any = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"{folder}: the adapter does not fit {name} ({str(error).splitlines()[0]})") from error
    own_tokenizer = (folder / "tokenizer_config.json").is_file()
    tokenizer = load.load_tokenizer(folder if own_tokenizer else base, revision=None if own_tokenizer else revision)
    merged.config.dtype = dtype
    load.save_quietly(merged.to(dtype), tokenizer, staged)


def _load(path: Path | str, revision: str | None = None) -> Any:
    """In float32, with the type that its weights are stored in left in ``config.dtype``."""
    from transformers import AutoConfig

    stored = AutoConfig.from_pretrained(path, revision=revision or "main").dtype
    model = load.load_model(path, device="cpu", revision=revision)
    model.config.dtype = stored
    return model


def _forget_paths(file: Path) -> None:
    """Remove where the weights lay on the machine that trained them: private, and wrong everywhere else."""
    if not file.is_file():
        return
    value = read_json(file)
    stray = [key for key in _PATH_KEYS if str(value.get(key, "")).startswith(("/", "~", "."))]
    if stray:
        write_json(file, {key: v for key, v in value.items() if key not in stray})


def weight_map(folder: Path) -> Mapping[str, Path]:
    """Which file holds each tensor of a checkpoint. Raises DataError where one is missing, torn or lacks a tensor."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Path] = {}
    files = sorted(folder.glob("model*.safetensors"))
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                found |= dict.fromkeys(tensors.keys(), file)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{file}: not a whole safetensors file ({error}); export from a whole checkpoint"
            ) from error
    if (folder / INDEX).is_file():
        missing = sorted(set(read_json(folder / INDEX).get("weight_map", {})) - set(found))
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} tensors of {INDEX} are in no file ({missing[0]}, …); a shard is missing"
            )
    if not found:
        raise DataError(f"{folder}: no weights (model*.safetensors); give a save_pretrained folder")
    return found
