"""``itertl data show``: what a recipe makes of a source of pairs before anything is trained on it.

Counts, lengths in the tokens of the recipe's model, what is left out on the way to training and why, and the first
prompts as the model sees them. Which pairs training leaves out is asked of the code that builds its groups, one pair at
a time.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from itertl.config import Recipe
from itertl.loop import shown
from itertl.model.prompts import encode_prompt, encode_response
from itertl.problems.holdout import ALIKE, HELD
from itertl.problems.load import LoadResult
from itertl.records import Problem
from itertl.sampling import lengths
from itertl.training.batches import build_groups
from itertl.training.methods import resolve_method

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PERCENTS = (0, 50, 90, 99, 100)
BEGIN, END = "⟦", "⟧"  # around the part that is trained on
MOST = 10  # pairs named of those that are left out; the JSON holds all
_LEFT_OUT = {
    "problems_without_reference": "no reference to train on",
    "prompts_too_long": "the prompt leaves no room in train.max_length",
    "references_too_long": "prompt and reference are longer than train.max_length",
}


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A pair as the model sees it: ``prompt``, and ``trained``, the tokens that enter the loss, end token included."""

    where: str
    prompt: str
    trained: str
    prompt_tokens: int
    trained_tokens: int


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What a recipe makes of a source of pairs."""

    recipe: Recipe
    loaded: LoadResult
    examples: tuple[ShownPair, ...]
    lengths: dict[str, dict[str, int]]  # "prompt", "trained", "both" -> percentile -> tokens, of the pairs for training
    left_out: dict[str, list[str]]  # reason -> places, of what training itself leaves out
    found: tuple[str, ...]  # lengths that were "auto"

    @property
    def trained_on(self) -> int:
        return len(self.loaded.problems) - sum(len(places) for places in self.left_out.values())

    def to_json(self) -> dict[str, Any]:
        """One JSON-able object. ``read`` is the number of rows: ``pairs`` + the sum of ``skipped``."""
        loaded = self.loaded
        return {
            "source": self.recipe.data.label, "format": loaded.format, "model": self.recipe.model.path,
            "read": len(loaded.problems) + sum(loaded.skipped.values()), "pairs": len(loaded.problems),
            "with_reference": sum(bool(p.reference) for p in loaded.problems), "held_out": len(loaded.held),
            "skipped": loaded.skipped, "notes": loaded.notes, "dropped": loaded.dropped,
            "left_out_of_training": self.left_out, "trained_on": self.trained_on,
            "tokens": self.lengths, "max_length": self.recipe.train.max_length,
            "max_new_tokens": self.recipe.sample.max_new_tokens, "found": list(self.found),
            "examples": [{name: getattr(e, name) for name in ShownPair.__slots__} for e in self.examples],
        }  # fmt: skip

    def render(self) -> str:
        """The same as text for a terminal."""
        loaded, recipe = self.loaded, self.recipe
        own = [reason for reason in loaded.skipped if reason not in (HELD, ALIKE)]
        lines = [
            f"{recipe.data.label}: {len(loaded.problems) + sum(loaded.skipped.values())} rows ({loaded.format}), "
            f"{self.trained_on} pairs to train on, {len(loaded.held)} held out",
            *(f"  left out  {loaded.skipped[why]:>6}  {why}" for why in [*own, ALIKE] if why in loaded.skipped),
            *(f"  left out  {len(places):>6}  {reason}{_named(places)}" for reason, places in self.left_out.items()),
            *(f"  kept      {count:>6}  {note}" for note, count in loaded.notes.items()),
            *(f"    {line}" for line in loaded.dropped[:MOST]),
            *([f"    … {len(loaded.dropped) - MOST} more (--json names all)"] if len(loaded.dropped) > MOST else []),
            "",
            f"tokens of {recipe.model.path}".ljust(28) + "".join(f"{_heading(p):>8}" for p in PERCENTS),
            *(f"  {name:<26}" + "".join(f"{n:>8}" for n in row.values()) for name, row in self.lengths.items()),
            f"train.max_length {recipe.train.max_length}, sample.max_new_tokens {recipe.sample.max_new_tokens}"
            + (" (auto: found from these)" if self.found else ""),
        ]
        for number, one in enumerate(self.examples, 1):
            lines += [
                f"\n--- pair {number}, {one.where}: {one.prompt_tokens} tokens, and {one.trained_tokens} trained on, "
                f"between {BEGIN} and {END}",
                f"{one.prompt}{BEGIN}{one.trained}{END}",
            ]
        return "\n".join(lines)


def _named(places: list[str]) -> str:
    return f": {', '.join(places[:3])}{', …' if len(places) > 3 else ''}"


def _heading(percent: int) -> str:
    return {0: "least", 100: "most"}.get(percent, f"{percent}%")


def show(recipe: Recipe, count: int) -> SourceSummary:
    """Read the recipe's pairs and look at them with its model's tokenizer; ``count`` of them as the model sees them.

    Raises what loading pairs or tokenizer raises.
    """
    loaded = shown.load(recipe)
    settled = lengths.settled(recipe, lambda: loaded.problems)
    tokenizer = lengths.tokenizer_of(recipe)
    measured = lengths.measured(loaded.problems, recipe.prompt, tokenizer)
    columns = {
        "prompt": [m.prompt for m in measured],
        "trained": [m.answer for m in measured],
        "both": [m.prompt + m.answer for m in measured],
    }
    table = {name: {_heading(p): lengths.percentile(column, p) for p in PERCENTS} for name, column in columns.items()}
    examples = tuple(_example(problem, recipe, loaded, tokenizer) for problem in loaded.problems[:count])
    found = tuple(lengths.said(recipe, settled))
    return SourceSummary(settled, loaded, examples, table, _left_out(settled, loaded, tokenizer), found)


def _example(problem: Problem, recipe: Recipe, loaded: LoadResult, tokenizer: "PreTrainedTokenizerBase") -> ShownPair:
    prompt = encode_prompt(problem, recipe.prompt, tokenizer)
    ids = encode_response(problem.reference, prompt, tokenizer) if problem.reference else ()
    return ShownPair(
        _place(problem, loaded), prompt.text, str(tokenizer.decode(list(ids))), len(prompt.token_ids), len(ids)
    )


def _place(problem: Problem, loaded: LoadResult) -> str:
    return loaded.places.get(problem.id, problem.upstream_id or problem.id)


def _left_out(recipe: Recipe, loaded: LoadResult, tokenizer: "PreTrainedTokenizerBase") -> dict[str, list[str]]:
    """Reason -> places of the pairs that training would leave out."""
    method = resolve_method(recipe.method, recipe.train)
    found: dict[str, list[str]] = {}
    for problem in loaded.problems:
        counts = build_groups(
            [], [problem], tokenizer, prompt=recipe.prompt, score=recipe.score, train=recipe.train, method=method
        ).counts
        for name, reason in _LEFT_OUT.items():
            if getattr(counts, name):
                found.setdefault(reason, []).append(_place(problem, loaded))
    return found
