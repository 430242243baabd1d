"""``itertl model extend``: a corpus read, tokens learnt on a part of it, a model that has them, and what they save on
the rest.

The corpus is text: rows with ``text`` (``itertl data corpus``), pairs, whose references count, Verilog files and
folders of them. Every tenth text is held out, chosen by its content, and never learnt from.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itertl.config import ModelConfig, PromptConfig
from itertl.errors import DataError, UsageError
from itertl.export.source import origin_of
from itertl.model.domain_tokens import Candidates, NewToken, backend_of, best, borders, candidates, extended, settled
from itertl.model.extend import write_extended
from itertl.model.policy import find_policy
from itertl.model.prompt_form import read_form, write_form
from itertl.problems.importers import load_rows
from itertl.problems.load import check_source, is_table, load_problems
from itertl.problems.verilog_folder import SUFFIXES, verilog_files
from itertl.progress import Reporter
from itertl.records import content_hash
from itertl.runs import storage
from itertl.runs.rows import decode, read_bytes
from itertl.scoring.score_lines import whole_code

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS = 2048  # where neither a number nor a gain is asked for
MOST_TOKENS = 8192
RECORD = "new_tokens.json"
SCHEMA = "itertl.new_tokens/1"
_TEXT_SUFFIXES = (*SUFFIXES, ".vh", ".svh", ".txt")
_LONG = 20_000  # characters: longer texts are cut at a line
_HELD_OUT = 10  # one text in so many
_FEWEST = 20  # texts
_CHECKED = 50  # held-out texts that the result is checked on


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many tokens to add: a number, or as few as save ``gain`` percent of the held-out text's tokens."""

    tokens: int | None = None
    gain: float | None = None
    min_count: int = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens of the held-out text."""

    texts: int
    modules: int
    characters: int
    before: int
    after: int
    phrases: int  # uses of new tokens that are phrases
    cut: int  # of them, that cut a word of the old tokenizer's

    @property
    def gain(self) -> float:
        """Percent of the tokens that are saved."""
        return 100 * (1 - self.after / self.before)


@dataclass(frozen=True, slots=True)
class Extended:
    """What one call made."""

    model: str
    out: Path
    texts: int  # that were learnt from
    tokens: list[NewToken]
    held_out: Measured

    def to_json(self) -> dict[str, Any]:
        merges = sum(token.merge is not None for token in self.tokens)
        return {
            "model": self.model, "out": str(self.out), "texts": self.texts, "tokens": len(self.tokens),
            "merges": merges, "phrases": len(self.tokens) - merges,
            "held_out": asdict(self.held_out) | {"gain": round(self.held_out.gain, 2)},
            "best": [asdict(token) for token in _by_saving(self.tokens)[:50]],
        }  # fmt: skip

    def render(self) -> str:
        """Lines for a terminal."""
        held, merges = self.held_out, [token for token in self.tokens if token.merge]
        phrases = [token for token in self.tokens if not token.merge]
        unit, count = ("module", held.modules) if held.modules else ("text", held.texts)
        return "\n".join([
            f"{self.out}: {self.model} with {len(self.tokens)} new tokens, learnt on {self.texts} texts",
            f"  {len(merges)} merges   {_shown(merges)}",
            f"  {len(phrases)} phrases  {_shown(phrases)}",
            f"on {held.texts} held-out texts: {held.before / count:.1f} tokens a {unit} before, "
            f"{held.after / count:.1f} after ({held.gain:.1f}% fewer); "
            f"{held.cut} of {held.phrases} uses of a phrase cut a word",
        ])  # fmt: skip


def extend_model(name: str, corpus: Sequence[str], out: Path, wanted: Wanted, reporter: Reporter) -> Extended:
    """Write the model ``name`` with tokens learnt on ``corpus`` to the folder ``out``.

    Raises DataError for a corpus that cannot be read or is too small, UsageError where the tokenizer is of a kind that
    cannot be extended or the gain cannot be reached, ToolFailed where the result does not hold what the old model did.
    """
    if wanted.tokens is not None and wanted.gain is not None:
        raise UsageError("--tokens and --gain: give one of the two")
    policy = find_policy(ModelConfig(path=name), PromptConfig())
    backend = backend_of(policy.tokenizer())
    learnt, held = _divided(read_corpus(corpus), corpus)
    reporter.say(f"learning tokens on {len(learnt)} texts")
    tokens = _learn(backend, learnt, held, wanted)
    if not tokens:
        raise UsageError(
            f"no new token occurs {wanted.min_count} times in {', '.join(corpus)}; lower --min-count, or give more text"
        )
    reporter.say(f"writing {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        with storage.saves_to(staged):
            write_extended(policy, tokens, staged, held[:_CHECKED])
            _write_notes(name, staged, tokens)
        storage.commit_folder(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Extended(name, out, len(learnt), tokens, _measure(backend, tokens, held))


def read_corpus(sources: Sequence[str]) -> list[str]:
    """The distinct texts of a corpus, long ones in parts. Raises DataError (file, line, fix)."""
    texts = [part for source in sources for text in _texts_of(source) for part in _parts(text)]
    return list(dict.fromkeys(text for text in texts if text.strip()))


def _texts_of(source: str) -> list[str]:
    check_source(source)
    path = Path(source)
    if files := verilog_files(path) if path.is_dir() or path.suffix.lower() in _TEXT_SUFFIXES else []:
        return [decode(read_bytes(file), str(file)) for file in files]
    rows = load_rows(source) if is_table(source) else None
    if rows is None or "text" not in rows.columns or {"instruction", "reference"} <= set(rows.columns):
        problems = load_problems(source).problems
        return [whole_code(p.reference, p.header) for p in problems if p.reference]
    for row in rows.rows:
        if not isinstance(row.values.get("text"), str):
            raise DataError(f"{row.where}: text is {row.values.get('text')!r}; each row of a corpus needs a text")
    return [row.values["text"] for row in rows.rows]


def _parts(text: str) -> list[str]:
    """A long text cut behind line ends."""
    if len(text) <= _LONG:
        return [text]
    parts = [""]
    for line in text.splitlines(keepends=True):
        if len(parts[-1]) + len(line) > _LONG and parts[-1]:
            parts.append("")
        parts[-1] += line
    return parts


def _divided(texts: Sequence[str], corpus: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is learnt from, and what is held out."""
    parts: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        parts[int(content_hash(text), 16) % _HELD_OUT == 0].append(text)
    learnt, held = parts
    if len(texts) < _FEWEST or not held:
        raise DataError(f"{', '.join(corpus)}: {len(texts)} texts; tokens are learnt on {_FEWEST} or more")
    return learnt, held


def _learn(backend: "Tokenizer", texts: list[str], held: list[str], wanted: Wanted) -> list[NewToken]:
    number = MOST_TOKENS if wanted.gain is not None else wanted.tokens or TOKENS
    found = candidates(backend, texts, number, wanted.min_count)
    tokens = settled(found, number)
    return tokens if wanted.gain is None else _fewest(replace(found, tokens=tokens), held, wanted.gain)


def _fewest(found: Candidates, held: list[str], gain: float) -> list[NewToken]:
    """As few tokens as reach the gain on the held-out texts, to a hundredth of their number. Raises UsageError."""

    def reached(tokens: list[NewToken]) -> float:
        return _measure(found.backend, tokens, held).gain if tokens else 0.0

    tokens = found.tokens
    if (most := reached(tokens)) < gain:
        raise UsageError(
            f"--gain {gain:g}: {len(tokens)} tokens, all that occur often enough, save {most:.1f}%; "
            "lower it or --min-count, or give more text"
        )
    low, high = 0, len(tokens)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(best(tokens, middle, found.least)) >= gain else (middle, high)
    while high < len(tokens):
        fewer = settled(found, high)  # fewer phrases can cut what the others did not
        if reached(fewer) >= gain:
            return fewer
        high += max(1, high // 50)
    return tokens


def _measure(backend: "Tokenizer", tokens: Sequence[NewToken], held: Sequence[str]) -> Measured:
    after = extended(backend, tokens)
    phrases = {after.token_to_id(token.name) for token in tokens if token.merge is None}
    counts = [0, 0, 0, 0]
    for text in held:
        encoded, places = after.encode(text, add_special_tokens=False), borders(backend, text)
        used = [place for number, place in zip(encoded.ids, encoded.offsets, strict=True) if number in phrases]
        old = len(backend.encode(text, add_special_tokens=False).ids)
        cut = sum(not places.issuperset(place) for place in used)
        counts = [sum(pair) for pair in zip(counts, (old, len(encoded.ids), len(used), cut), strict=True)]
    modules = sum(len(re.findall(r"\bendmodule\b", text)) for text in held)
    return Measured(len(held), modules, sum(map(len, held)), *counts)


def _write_notes(name: str, folder: Path, tokens: Sequence[NewToken]) -> None:
    """The form of the model's prompts, the tokens, and what the model is made of, for the card of an export."""
    from itertl.model.load import load_tokenizer

    form = read_form(name)
    if form is not None:
        write_form(form, load_tokenizer(folder), folder)
    rows = [asdict(token) for token in tokens]
    storage.write_json(folder / RECORD, {"schema": SCHEMA, "model": Path(name).name, "tokens": rows})
    origin = origin_of(name)
    matter = {"base_model": origin.hub, "license": origin.licence}
    lines = [f"{key}: {value}" for key, value in matter.items() if value]
    text = f"{origin.name} with {len(tokens)} tokens of its own domain, listed in {RECORD}. Not trained since.\n"
    storage.write_text(folder / "README.md", "\n".join(["---", *lines, "---", "", text]))


def _by_saving(tokens: Sequence[NewToken]) -> list[NewToken]:
    return sorted(tokens, key=lambda token: (-token.saved, token.name))


def _shown(tokens: Sequence[NewToken]) -> str:
    return " ".join(repr(token.text) for token in _by_saving(tokens)[:8])
