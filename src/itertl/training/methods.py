"""The methods that a recipe can name: one row each, all that tells them apart.

A row fixes the loss options that the recipe leaves at None, and how the loop uses candidates. Imports no torch.
"""

import difflib
import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from itertl.config import TrainConfig
from itertl.errors import RecipeError, UsageError


@dataclass(frozen=True, slots=True)
class Method:
    """One method with its loss options resolved. Formulas and sources: docs/methods.md.

    Example: ``METHODS["itertl"]``, or ``replace(METHODS["itertl"], alpha=0.1)``.
    """

    name: str
    alpha: float = 0.3  # margin of eq. 2
    beta: float = 0.2  # threshold of eq. 2
    softmax: bool = False  # eq. 13
    length_normalizer: Literal["response", "sequence"] = "response"  # ‖a_k‖ of eq. 1
    ce_reduction: Literal["mean", "sum"] = "mean"  # eq. 3 over the tokens of the reference
    ranking_weight: Literal["stop_gradient_ce", "product"] | float = "stop_gradient_ce"  # λ of eq. 4
    max_prompt_share: float = 1.0  # prompts of at least this share of max_length are left out
    uses_candidates: bool = True  # False: the reference alone; nothing is sampled for training
    policy: Literal["current", "base"] = "current"  # which model the candidates of an iteration come from
    single_round: bool = False  # candidates are sampled once, in the first iteration, and kept


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("itertl"),
        Method("itertl-softmax", softmax=True),
        Method(
            "rtlcoder",
            softmax=True,
            length_normalizer="sequence",
            ranking_weight="product",
            max_prompt_share=0.5,
            policy="base",
            single_round=True,
        ),
        Method("sft", ranking_weight=0.0, uses_candidates=False),
    )
}


def resolve_method(name: str, train: TrainConfig) -> Method:
    """The method called ``name``, with the loss options that ``train`` sets (is not None) put in place.

    Raises UsageError for an unknown name, with the nearest known one, and RecipeError, naming the key, for a value
    that no loss can use.
    """
    method = METHODS.get(name)
    if method is None:
        near = difflib.get_close_matches(name, METHODS, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown method {name!r}: {hint}known: {', '.join(sorted(METHODS))}")
    options = {f.name for f in fields(Method)} & set(TrainConfig.model_fields)
    given = {option: getattr(train, option) for option in sorted(options) if getattr(train, option) is not None}
    method = replace(method, **given)
    _check(method)
    return method


def _check(method: Method) -> None:
    if not math.isfinite(method.alpha):
        raise RecipeError(f"train.alpha: the margin must be a finite number (got {method.alpha})")
    if not (math.isfinite(method.beta) and method.beta >= 0):
        raise RecipeError(f"train.beta: the threshold must be finite and at least 0 (got {method.beta})")
    weight = method.ranking_weight
    if not isinstance(weight, str) and not (math.isfinite(weight) and weight >= 0):
        raise RecipeError(f"train.ranking_weight: must be finite and at least 0 (got {weight})")
    if not 0 < method.max_prompt_share <= 1:
        raise RecipeError(f"train.max_prompt_share: must be above 0 and at most 1 (got {method.max_prompt_share})")
