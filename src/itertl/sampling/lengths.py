"""How long prompts and answers are in a model's tokens, and what a recipe's lengths "auto" come to by them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itertl.config import AUTO, PromptConfig, Recipe
from itertl.errors import UsageError
from itertl.model.load import API
from itertl.model.policy import find_policy
from itertl.model.prompts import encode_prompt, encode_response
from itertl.records import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARGIN = 1.25  # an answer may be longer than the reference before it is cut
SHARE = 99  # percent of the pairs that must fit; of fewer than 100, all
_STEP = 32


@dataclass(frozen=True, slots=True)
class Length:
    """Tokens of one pair: of the prompt, and of the answer that is trained on, its end token included."""

    prompt: int
    answer: int


def measured(problems: Sequence[Problem], prompt: PromptConfig, tokenizer: "PreTrainedTokenizerBase") -> list[Length]:
    """The length of every pair; the answer of one without a reference has 0."""
    found: list[Length] = []
    for problem in problems:
        encoded = encode_prompt(problem, prompt, tokenizer)
        answer = encode_response(problem.reference, encoded, tokenizer) if problem.reference else ()
        found.append(Length(len(encoded.token_ids), len(answer)))
    return found


def percentile(numbers: Sequence[int], percent: float) -> int:
    """The smallest number that at least so many percent do not exceed; 0 of none."""
    ordered = sorted(numbers)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0


def has_auto(recipe: Recipe) -> bool:
    """Whether a length of the recipe is still to be found."""
    return AUTO in (recipe.train.max_length, recipe.sample.max_new_tokens, *(e.max_new_tokens for e in recipe.evals))


def settled(recipe: Recipe, problems: Callable[[], Sequence[Problem]]) -> Recipe:
    """The recipe with a number for every length that is "auto", from the problems that are trained on.

    ``sample.max_new_tokens``: a quarter more than the reference that 99% do not exceed; evals take the same.
    ``train.max_length``: room for such an answer after the prompt that 99% do not exceed. Multiples of 32. Where no
    problem has a reference, the recipe's defaults. Problems and tokenizer are asked for only where something is auto.
    Raises UsageError for a model without a tokenizer here, and what loading one raises.
    """
    if not has_auto(recipe):
        return recipe
    defaults = Recipe()
    sample, train = recipe.sample.max_new_tokens, defaults.train.max_length
    answered = [problem for problem in problems() if problem.reference]
    if answered:
        lengths = measured(answered, recipe.prompt, tokenizer_of(recipe))
        longest = percentile([one.answer for one in lengths], SHARE)
        sample = sample or _rounded(MARGIN * longest)
        train = _rounded(percentile([one.prompt for one in lengths], SHARE) + max(sample, longest))
    sample = sample or defaults.sample.max_new_tokens
    return recipe.model_copy(
        update={
            "sample": recipe.sample.model_copy(update={"max_new_tokens": sample}),
            "train": recipe.train.model_copy(update={"max_length": recipe.train.max_length or train}),
            "evals": tuple(e.model_copy(update={"max_new_tokens": e.max_new_tokens or sample}) for e in recipe.evals),
        }
    )


def tokenizer_of(recipe: Recipe) -> "PreTrainedTokenizerBase":
    """The tokenizer of the recipe's model. Raises UsageError for one that an endpoint serves."""
    if recipe.model.path.startswith(API):
        raise UsageError(
            f"{recipe.model.path} has no tokenizer here by which lengths are found; give numbers, for example "
            "sample.max_new_tokens=512"
        )
    return find_policy(recipe.model, recipe.prompt).tokenizer()


def _rounded(tokens: float) -> int:
    return max(_STEP, math.ceil(tokens / _STEP) * _STEP)


def said(before: Recipe, after: Recipe) -> list[str]:
    """What was found, as "key: number"."""
    found = [
        ("sample.max_new_tokens", before.sample.max_new_tokens, after.sample.max_new_tokens),
        ("train.max_length", before.train.max_length, after.train.max_length),
        *(
            (f"evals[{n}].max_new_tokens", old.max_new_tokens, new.max_new_tokens)
            for n, (old, new) in enumerate(zip(before.evals, after.evals, strict=True))
        ),
    ]
    return [f"{key}: {value}" for key, old, value in found if old == AUTO]
