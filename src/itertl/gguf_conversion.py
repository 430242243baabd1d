"""A GGUF file as an ordinary ``save_pretrained`` folder. ``models.resolve_model`` is the door, and keeps what is made here."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl import models
from itertl.errors import ToolFailed, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def convert_gguf(source: Path, folder: Path) -> None:
    """Turn a GGUF file into a ``save_pretrained`` folder of float32 weights with its tokenizer.

    The weights are de-quantized and moved into a model that was never marked as quantized: transformers refuses to
    save, and to train, one that was. Raises UsageError for a file that transformers cannot read.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    try:
        # alone in a folder: a tokenizer.json beside the file would be taken in place of its own
        with models.quiet(), tempfile.TemporaryDirectory() as alone:
            (Path(alone) / source.name).symlink_to(source.resolve())
            packed_tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=source.name)
            packed = AutoModelForCausalLM.from_pretrained(alone, gguf_file=source.name, dtype=torch.float32)
    except Exception as error:  # a broken file meets the parser of the library, which raises whatever comes
        raise UsageError(
            f"{source} cannot be converted ({error}); give a GGUF file of a causal language model"
        ) from error
    tokenizer: Any = models.with_pad_token(packed_tokenizer)
    config = _plain_config(packed.config, tokenizer)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    models.save_converted(model, tokenizer, folder)
    _check_reload(packed, folder)


def _plain_config(config: Any, tokenizer: "PreTrainedTokenizerBase") -> Any:
    """The same architecture without the marks of quantization, and with the tokenizer's special ids."""
    tree = config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype"):
        tree.pop(key, None)
    plain = type(config).from_dict(tree)
    plain.pad_token_id = tokenizer.pad_token_id
    plain.eos_token_id = tokenizer.eos_token_id
    plain.bos_token_id = tokenizer.bos_token_id
    return plain


def _check_reload(original: Any, folder: Path) -> None:
    """The converted folder must predict what the GGUF file predicts. Raises ToolFailed."""
    import torch

    reloaded = models.load_model(folder, device="cpu")
    size = original.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, 33).remainder(size)[None]
    with torch.inference_mode():
        ours, theirs = reloaded(ids).logits, original(ids).logits
    if not torch.isfinite(ours).all() or not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        raise ToolFailed(
            f"{folder}: the converted model does not predict what the GGUF file does; report this as a bug"
        )
