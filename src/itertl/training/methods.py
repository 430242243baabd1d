"""The methods that a recipe can name: one row each, all in which they differ.

A row fixes the loss options that the recipe leaves at None, and how the loop uses candidates. Imports no torch.
Formulas and sources: docs/methods.md; the functions: ``losses``.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from itertl.config import TrainConfig
from itertl.errors import RecipeError, UsageError, nearest

Terms = Literal["none", "hinge", "rank-hinge", "dpo", "policy-gradient"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method with its loss options resolved: L = ce_weight·L_ce(target) + λ·(what ``terms`` says).

    Example: ``METHODS["itertl"]``, or ``replace(METHODS["itertl"], alpha=0.1)``.
    """

    name: str
    terms: Terms = "hinge"  # what is compared: pairs by a hinge, by rank, by DPO; or rewards
    alpha: float = 0.3  # margin of eq. 2
    beta: float = 0.2  # threshold of eq. 2 on scores: which pairs are active
    softmax: bool = False  # eq. 13
    length_normalizer: Literal["response", "sequence"] = "response"  # ‖a_k‖ of eq. 1
    length_exponent: float = 1.0  # p = Σ log P / ‖a‖ to this power; 0: of the whole sequence
    rank_margin: float = 0.001  # of rank-hinge, for each step of rank
    strength: float = 0.1  # of dpo: how strongly its reference policy holds
    pair_reduction: Literal["sum", "mean"] = "sum"  # over active pairs
    ranking_weight: Literal["stop_gradient_ce", "product"] | float = "stop_gradient_ce"  # λ of eq. 4
    ce_target: Literal["reference", "best", "best-candidate"] = "reference"  # whose cross-entropy is taken
    ce_weight: float = 1.0  # 0: no cross-entropy
    ce_reduction: Literal["mean", "sum"] = "mean"  # eq. 3 over the tokens of the target
    advantage_scale: Literal["std", "none"] = "std"  # of policy-gradient: rewards over their deviation in the group
    clip_low: float | None = 0.2  # of policy-gradient: bounds of the ratio to the sampling policy; None: no ratio
    clip_high: float | None = 0.2
    kl_weight: float = 0.0  # of policy-gradient: KL penalty towards the policy that the round began with
    max_prompt_share: float = 1.0  # prompts of at least this share of max_length are left out
    uses_candidates: bool = True  # False: the reference alone; nothing is sampled for training
    policy: Literal["current", "base"] = "current"  # which model the candidates of an iteration come from
    single_round: bool = False  # candidates are sampled once, in the first iteration, and kept
    whole_files: bool = False  # train on references as text without a prompt, cut at max_length

    @property
    def uses_ce(self) -> bool:
        """Whether a cross-entropy is computed: for itself, or as λ of the ranking."""
        return self.ce_weight != 0 or (
            isinstance(self.ranking_weight, str) and self.terms not in ("none", "policy-gradient")
        )

    @property
    def needs_initial(self) -> bool:
        """Whether the loss asks what the policy that the round began with says of each response."""
        clips = self.clip_low is not None and self.clip_high is not None
        return self.terms == "dpo" or (self.terms == "policy-gradient" and (clips or self.kl_weight > 0))


_REINFORCE = Method(
    "reinforce", terms="policy-gradient", clip_low=None, clip_high=None, ce_weight=0.0, ranking_weight=1.0
)
_SHAPED = replace(_REINFORCE, advantage_scale="none", ce_weight=1.0)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("itertl"),
        Method("itertl-softmax", softmax=True),
        Method(
            "rtlcoder", softmax=True, length_normalizer="sequence", ranking_weight="product", max_prompt_share=0.5,
            policy="base", single_round=True,
        ),
        Method("sft", terms="none", ranking_weight=0.0, uses_candidates=False),
        Method("cpt", terms="none", ranking_weight=0.0, uses_candidates=False, whole_files=True),
        Method("raft", terms="none", ranking_weight=0.0, ce_target="best-candidate"),
        Method("rrhf", alpha=0.0, beta=0.0, ranking_weight=1.0, ce_target="best"),
        Method("brio", terms="rank-hinge", beta=0.0, length_exponent=2.0, ranking_weight=10.0, ce_weight=0.1),
        Method("slic", alpha=1.0, beta=0.0, length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0),
        Method("dpo", terms="dpo", length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0, ce_weight=0.0),
        Method("grpo", terms="policy-gradient", ranking_weight=1.0, ce_weight=0.0),
        _REINFORCE,
        replace(_SHAPED, name="coderl"),
        replace(_SHAPED, name="rltf"),
    )
}  # fmt: skip


def resolve_method(name: str, train: TrainConfig) -> Method:
    """The method called ``name``, with the loss options that ``train`` sets (those that are not None).

    Raises UsageError for an unknown name, with the nearest known one, and RecipeError, naming the key, for a value
    that no loss can use.
    """
    method = METHODS.get(name)
    if method is None:
        known = f"known: {', '.join(sorted(METHODS))}"
        raise UsageError(f"unknown method {name!r}: {nearest(name, METHODS, then=known)}")
    options = {f.name for f in fields(Method)} & set(TrainConfig.model_fields)
    given = {option: getattr(train, option) for option in sorted(options) if getattr(train, option) is not None}
    method = replace(method, **given)
    _check(method)
    return method


_AT_LEAST_ZERO = ("beta", "length_exponent", "rank_margin", "ce_weight", "clip_low", "clip_high", "kl_weight")


def _check(method: Method) -> None:
    if not math.isfinite(method.alpha):
        raise RecipeError(f"train.alpha: the margin must be a finite number (got {method.alpha})")
    for name in _AT_LEAST_ZERO:
        value = getattr(method, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise RecipeError(f"train.{name}: must be finite and at least 0 (got {value})")
    if not (math.isfinite(method.strength) and method.strength > 0):
        raise RecipeError(f"train.strength: must be finite and above 0 (got {method.strength})")
    weight = method.ranking_weight
    if not isinstance(weight, str) and not (math.isfinite(weight) and weight >= 0):
        raise RecipeError(f"train.ranking_weight: must be finite and at least 0 (got {weight})")
    if isinstance(weight, str) and method.terms == "policy-gradient":
        raise RecipeError(f"train.ranking_weight: {method.name} takes a number, not {weight!r}")
    if method.softmax and method.terms != "hinge":
        raise RecipeError(f"train.softmax: eq. 13 belongs to the hinge of eq. 2; {method.name} has none")
    if method.terms == "dpo" and method.length_exponent != 0:
        raise RecipeError("train.length_exponent: dpo compares whole sequences; leave it at 0")
    if not 0 < method.max_prompt_share <= 1:
        raise RecipeError(f"train.max_prompt_share: must be above 0 and at most 1 (got {method.max_prompt_share})")
