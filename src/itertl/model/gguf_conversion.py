"""A GGUF file as an ordinary ``save_pretrained`` folder; ``find.resolve_model`` keeps what is made here."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl.errors import ToolFailed, UsageError
from itertl.model import load

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def convert_gguf(source: Path, folder: Path, *, may_tie: bool = True) -> None:
    """Turn a GGUF file into a ``save_pretrained`` folder of float32 weights with its tokenizer.

    ``may_tie``: see ``tie``. The weights are de-quantized and moved into a model that was never marked as quantized:
    transformers refuses to save, and to train, one that was. Raises UsageError for a file that transformers cannot
    read.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    try:
        # alone in a folder: a tokenizer.json beside the file would be taken in place of its own
        with load.quiet(), tempfile.TemporaryDirectory() as alone:
            (Path(alone) / source.name).symlink_to(source.resolve())
            packed_tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=source.name)
            packed = AutoModelForCausalLM.from_pretrained(alone, gguf_file=source.name, dtype=torch.float32)
    except Exception as error:  # for a broken file the library's parser raises errors of many types
        raise UsageError(
            f"{source} cannot be converted ({error}); give a GGUF file of a causal language model"
        ) from error
    tokenizer: Any = load.with_pad_token(_with_phrases(packed_tokenizer, source, folder))
    is_tied = may_tie and tie(packed, source)
    config = _plain_config(packed.config, tokenizer)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    weights = packed.state_dict()
    if is_tied:
        weights = {name: w for name, w in weights.items() if name in model.state_dict()}
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    load.save_converted(model, tokenizer, folder)
    _check_reload(packed, folder)


def _with_phrases(tokenizer: Any, source: Path, folder: Path) -> Any:
    """The tokenizer with the file's user-defined tokens as it spells them: transformers' reader takes one that holds a
    space or a line end for a word in the alphabet of bytes, and never finds it in a text."""
    from gguf import GGUFReader, TokenType
    from tokenizers import Tokenizer, pre_tokenizers

    fields = GGUFReader(source).fields
    model, types = (fields.get(f"tokenizer.ggml.{name}") for name in ("model", "token_type"))
    if model is None or model.contents() != "gpt2" or types is None:
        return tokenizer
    kinds = types.contents()
    if TokenType.USER_DEFINED not in kinds:
        return tokenizer
    alphabet, names = set(pre_tokenizers.ByteLevel.alphabet()), fields["tokenizer.ggml.tokens"].contents()
    phrases = {
        place: name for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        if kind == TokenType.USER_DEFINED and not alphabet.issuperset(name)
    }  # fmt: skip
    if not phrases:
        return tokenizer
    tree: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    read = {place: name for name, place in tree["model"]["vocab"].items()}
    own = (
        phrases.get(place, name if alphabet.issuperset(name) else read.get(place, name))
        for place, name in enumerate(names)
    )
    tree["model"]["vocab"] = {name: place for place, name in enumerate(own)}
    tree["added_tokens"] += [load.added_token(place, name) for place, name in phrases.items()]
    tree["added_tokens"].sort(key=lambda token: token["id"])
    return load.with_backend(tokenizer, Tokenizer.from_str(json.dumps(tree)), folder)


def tie(model: Any, source: Path) -> bool:
    """Give a model the one matrix that its GGUF file holds twice, as output head and as token embeddings; whether it
    had two of one.

    Some files keep both of a model whose head is its embeddings, the head quantized finer, and no key says so: they
    were one where they differ by no more than the rounding of both. The finer stays, by bits a weight, so that nothing
    is lost. Where the model predicted otherwise with it, both stay.
    """
    import torch

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    kinds = _kinds(source)
    if head is None or head.weight is embeddings.weight or len(kinds) < 2 or getattr(head, "bias", None) is not None:
        return False
    names = list(kinds)  # of the head first
    both = [head.weight, embeddings.weight]
    if both[0].shape != both[1].shape or not _is_one(both[0], both[1], [kinds[name][0] for name in names]):
        return False
    finer = max((0, 1), key=lambda number: (kinds[names[number]][1], -number))
    ids = torch.arange(1, 65).remainder(both[0].shape[0])[None]
    with torch.inference_mode():
        before = model(ids).logits.log_softmax(dim=-1)
    head.weight = embeddings.weight = both[finer]
    with torch.inference_mode():
        after = model(ids).logits.log_softmax(dim=-1)
    if not float((before.exp() * (before - after)).sum(dim=-1).mean()) <= _TIED_KL:
        head.weight, embeddings.weight = both
        return False
    model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = True
    return True


_HEAD, _EMBEDDINGS = "output.weight", "token_embd.weight"
_BLOCK = 32  # elements that share a scale, or more, in every type
_WITHIN = 0.999  # share of the elements that rounding explains; of unrelated matrices under 0.7 even at 2 bits
_TIED_KL = 0.05  # nats a position, on random tokens: far less than quantization itself changes


def _kinds(source: Path) -> dict[str, tuple[int, float]]:
    """Digits and bits a weight of the head and the embeddings, as far as the file holds them."""
    from gguf import GGML_QUANT_SIZES, GGUFReader

    types = {tensor.name: tensor.tensor_type for tensor in GGUFReader(source).tensors}
    found: dict[str, tuple[int, float]] = {}
    for name in (_HEAD, _EMBEDDINGS):
        if name in types:
            elements, size = GGML_QUANT_SIZES[types[name]]
            digits = re.match(r"I?Q(\d)", types[name].name)
            # floats have at least 8 digits, relative to each
            found[name] = int(digits.group(1)) if digits else 8, 8 * size / elements
    return found


def _is_one(a_V_H: Any, b_V_H: Any, digits: Sequence[int]) -> bool:
    """Whether two matrices are roundings of one: elements differ by at most a step of each, a step being the range of a
    block over its levels."""
    import torch

    if a_V_H.shape[1] % _BLOCK or min(digits) < 2:
        return torch.equal(a_V_H, b_V_H)
    within = 0
    for a, b in zip(a_V_H.detach().split(4096), b_V_H.detach().split(4096), strict=True):
        blocks = [m.float().reshape(-1, _BLOCK) for m in (a, b)]
        steps = [(m.amax(1) - m.amin(1)) / (2**count - 1) for m, count in zip(blocks, digits, strict=True)]
        within += int(((blocks[0] - blocks[1]).abs() <= (steps[0] + steps[1])[:, None]).sum())
    return within >= _WITHIN * a_V_H.numel()


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

    reloaded = load.load_model(folder, device="cpu")
    size = original.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, 33).remainder(size)[None]
    with torch.inference_mode():
        ours, theirs = reloaded(ids).logits, original(ids).logits
    if not torch.isfinite(ours).all() or not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        raise ToolFailed(
            f"{folder}: the converted model does not predict what the GGUF file does; report this as a bug"
        )
