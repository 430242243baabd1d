"""A byte-level BPE tokenizer as GGUF has it: tokens by id, their types, merges, and the name of the way text is split.

GGUF names the splitting of text before the merges and holds no rule for it. llama.cpp's converter finds the name by a
hash over one tokenised text; here it is read off the rule itself, so a tokenizer with a known rule and a new
vocabulary has its name too. A tokenizer whose rule has no known name is refused: with a wrong one the model would
run, on other tokens.

Left out: NFC normalization (Qwen2), which llama.cpp does not do either; it changes no text that is ASCII.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from itertl.errors import UsageError

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _WORDS.replace("DIGITS", r"\p{N}")
_LLAMA3 = _WORDS.replace("DIGITS", r"\p{N}{1,3}")
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
READ_BACK = ("gpt-2", "qwen2", "llama-bpe", "smaug-bpe")  # names whose rule transformers' own GGUF reader follows
_KNOWN = "those of GPT-2, Qwen2, Llama 3, SmolLM and StarCoder, DeepSeek-Coder"


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """What the file says about text. Example of a merge: "Ġ t"; of ``special``: {"bos": 1, "eos": 2}."""

    tokens: list[str]  # one for each row of the embedding
    types: list[TokenType]
    merges: list[str]
    pre_tokenizer: str
    special: Mapping[str, int]  # bos, eos, unk, pad, eot -> id
    adds_bos: bool
    adds_eos: bool
    chat_template: str | None

    @property
    def is_plain(self) -> bool:
        """Whether every special token is spelled in the byte alphabet; transformers' GGUF reader respells others."""
        from tokenizers import pre_tokenizers

        alphabet = set(pre_tokenizers.ByteLevel.alphabet())
        pairs = zip(self.tokens, self.types, strict=True)
        as_written = (TokenType.NORMAL, TokenType.USER_DEFINED)
        return all(kind in as_written or set(token) <= alphabet for token, kind in pairs)


def read_vocabulary(folder: Path, rows: int) -> GgufVocabulary:
    """Read the tokenizer in ``folder`` for an embedding of ``rows`` rows.

    Raises UsageError for one that is not byte-level BPE, has a rule without a name, or more tokens than rows.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError("--gguf: the tokenizer has no tokenizer.json form; supported is byte-level BPE")
    tree: dict[str, Any] = json.loads(backend.to_str())
    tokens, types = _tokens(tokenizer, rows)
    template = tokenizer.chat_template
    return GgufVocabulary(
        tokens, types, merges=[m if isinstance(m, str) else " ".join(m) for m in tree["model"].get("merges", [])],
        pre_tokenizer=name_of_rule(tree), special=_special(tokenizer, folder),
        adds_bos=_added(tokenizer, 0) == tokenizer.bos_token_id is not None,
        adds_eos=_added(tokenizer, -1) == tokenizer.eos_token_id is not None,
        chat_template=template.get("default") if isinstance(template, dict) else template,
    )  # fmt: skip


def _tokens(tokenizer: Any, rows: int) -> tuple[list[str], list[TokenType]]:
    by_id: dict[int, str] = {ident: token for token, ident in tokenizer.get_vocab().items()}
    if max(by_id) >= rows:
        raise UsageError(f"--gguf: the tokenizer has tokens up to id {max(by_id)}, the embedding {rows} rows")
    added: dict[int, Any] = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for ident in range(rows):
        tokens.append(by_id.get(ident, f"[PAD{ident}]"))
        if ident not in by_id:
            types.append(TokenType.UNUSED)
        elif ident in added:
            types.append(TokenType.CONTROL if added[ident].special else TokenType.USER_DEFINED)
        else:
            types.append(TokenType.NORMAL)
    return tokens, types


def name_of_rule(tree: Mapping[str, Any]) -> str:
    """The name that llama.cpp knows the tokenizer's splitting by; ``tree`` is its tokenizer.json. Raises UsageError."""
    model, normalizer = tree["model"], tree.get("normalizer")
    steps = _steps(tree.get("pre_tokenizer"))
    last = steps.pop() if steps else {}
    plain = model["type"] == "BPE" and not model.get("byte_fallback") and (normalizer or {}).get("type", "NFC") == "NFC"
    if not plain or last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        kind = f"{model['type']} after {last.get('type') or 'no pre-tokenizer'}"
        raise UsageError(
            f"--gguf: a tokenizer of this kind ({kind}) is not supported; "
            "supported is byte-level BPE, without a prefix space"
        )
    rule, ignore_merges = [_rule(step) for step in steps], bool(model.get("ignore_merges"))
    if last.get("use_regex", True):
        found = {(): "gpt-2", ("digits",): "smollm"}.get(tuple(rule))
    elif not model.get("merges") and not rule:
        found = "gpt-2"  # without merges every splitting gives the same tokens
    else:
        names = {(_QWEN2,): "qwen2", (_LLAMA3,): "smaug-bpe", (*_DEEPSEEK_CODER, "digits"): "deepseek-coder"}
        found = names.get(tuple(rule))
        if found == "smaug-bpe" and ignore_merges:
            return "llama-bpe"  # the same rule, and whole words are looked up before any merge
    if found is None or ignore_merges:
        raise UsageError(
            f"--gguf: the tokenizer splits text by a rule that has no known name ({rule}); known are {_KNOWN}"
        )
    return found


def _steps(tree: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if tree is None:
        return []
    return [s for part in tree["pretokenizers"] for s in _steps(part)] if tree["type"] == "Sequence" else [tree]


def _rule(step: Mapping[str, Any]) -> str:
    if step["type"] == "Digits" and step.get("individual_digits"):
        return "digits"
    if step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return str(step["pattern"].get("Regex", step["pattern"]))
    return str(step["type"])


def _special(tokenizer: Any, folder: Path) -> dict[str, int]:
    """Ids by role; "eot" is a second end that the generation settings name, as chat models have."""
    from transformers import GenerationConfig

    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "unk", "pad")}
    found = {role: int(ident) for role, ident in ids.items() if ident is not None}
    if (folder / "generation_config.json").is_file():
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
        others = [e for e in (ends if isinstance(ends, list) else []) if e != found.get("eos")]
        if others:
            found["eot"] = int(others[0])
    return found


def _added(tokenizer: Any, position: int) -> int | None:
    """The token that encoding adds at the beginning (0) or the end (-1) of a text, if it adds any."""
    with_added, bare = tokenizer("a").input_ids, tokenizer("a", add_special_tokens=False).input_ids
    return with_added[position] if len(with_added) > len(bare) and with_added[position] != bare[position] else None
