"""The methods that a recipe can name: one row each, all in which they differ.

A row fixes the loss options that the recipe leaves at None, and how the loop uses candidates. Imports no torch.
Formulas and sources: docs/methods.md; the functions: ``losses``.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from itertl import plugins
from itertl.config import ScoreConfig, TrainConfig
from itertl.errors import RecipeError, UsageError, nearest
from itertl.scoring.combine import READERS
from itertl.scoring.scorers import names_where
from itertl.training.credit import SCORER
from itertl.work.seeds import derive_seed

Terms = Literal["none", "hinge", "rank-hinge", "hinge-norm", "dpo", "policy-gradient"]


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
    strength: float = 0.1  # of dpo and hinge-norm: how strongly their reference policy holds
    pair_reduction: Literal["sum", "mean"] = "sum"  # over active pairs
    ranking_weight: Literal["stop_gradient_ce", "product"] | float = "stop_gradient_ce"  # λ of eq. 4
    ce_target: Literal["reference", "best", "best-candidate", "verified"] = "reference"  # whose cross-entropy is taken
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
    whole_files: bool = False  # train on references as text without a prompt, in blocks of max_length
    groups: Literal["all", "mixed"] = "all"  # mixed: where all candidates have one z, they are left out
    group_weight: Literal["none", "difficulty"] = "none"  # of a group's terms: 1, or √(p(1 - p))
    negatives: Literal["all", "near", "beside-right", "none"] = "all"  # which responses the terms may push down
    negative_floor: float | None = None  # nats a token below the first policy, from where on they do not; None: never
    verified_share: float = 0.5  # of right candidates in the cross-entropy "verified"; the rest is the reference's
    max_verified: int = 2  # of a problem's right candidates
    accept_beta: float | None = None  # candidates are accepted by exp((z - max z) / accept_beta); None: all are
    accept_share: float = 0.5  # of a problem's candidates, rounded up: how many are accepted
    credit: Literal["sequence", "signal"] = "sequence"  # signal: pairs by output, over the tokens that drive it
    term: str = ""  # "module:function" of the user's, (logp_K, z_K, *, alpha, beta) -> terms, in place of the hinge
    term_content: str = ""  # hash of its file

    def settings(self) -> dict[str, Any]:
        """All of it, but for later options at their defaults: a run from before them stays valid."""
        defaults = {f.name: f.default for f in fields(self)}
        found = {k: v for k, v in asdict(self).items() if k not in _LATER or v != defaults[k]}
        return found | ({"whole_files": "blocks"} if self.whole_files else {})  # once each was a group of its own

    @property
    def compares_pairs(self) -> bool:
        """Whether the terms are of pairs, a better and a worse response each."""
        return self.terms in ("hinge", "rank-hinge", "hinge-norm", "dpo") and self.ranking_weight != 0

    @property
    def asks_verdicts(self) -> bool:
        """Whether it matters which candidates compile and which are right."""
        return self.negatives != "all" or self.group_weight != "none" or self.ce_target == "verified"

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
        is_pg = self.terms == "policy-gradient"
        has_floor = self.negative_floor is not None and (is_pg or self.compares_pairs)
        return has_floor or self.terms in ("dpo", "hinge-norm") or (is_pg and (clips or self.kl_weight > 0))


_LATER = (
    "groups", "group_weight", "negatives", "negative_floor", "verified_share", "max_verified", "accept_beta",
    "accept_share", "credit", "term", "term_content",
)  # fmt: skip

_REINFORCE = Method(
    "reinforce", terms="policy-gradient", clip_low=None, clip_high=None, ce_weight=0.0, ranking_weight=1.0
)
_RSO = Method(
    "rso", terms="dpo", beta=0.0, length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0, ce_weight=0.0,
    strength=0.05, accept_beta=0.5,
)  # fmt: skip
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
        Method("verified", terms="none", ranking_weight=0.0, ce_target="verified"),
        Method("rrhf", alpha=0.0, beta=0.0, ranking_weight=1.0, ce_target="best"),
        Method("brio", terms="rank-hinge", beta=0.0, length_exponent=2.0, ranking_weight=10.0, ce_weight=0.1),
        Method("slic", alpha=1.0, beta=0.0, length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0),
        Method("dpo", terms="dpo", length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0, ce_weight=0.0),
        _RSO,
        replace(_RSO, name="rso-hinge", terms="hinge-norm", alpha=1.0),
        Method(
            "salv", terms="dpo", credit="signal", length_exponent=0.0, pair_reduction="mean", ranking_weight=1.0,
            ce_weight=0.0,
        ),
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
    name, plus, term = name.partition("+")
    method = METHODS.get(name)
    if method is None:
        known = f"known: {', '.join(sorted(METHODS))}"
        raise UsageError(f"unknown method {name!r}: {nearest(name, METHODS, then=known)}")
    options = {f.name for f in fields(Method)} & set(TrainConfig.model_fields)
    given = {option: getattr(train, option) for option in sorted(options) if getattr(train, option) is not None}
    method = replace(method, **given)
    if plus:
        method = _with_term(method, term)
    _check(method)
    return method


def _with_term(method: Method, term: str) -> Method:
    """The method with a term of the user's own in the place of its hinge."""
    if method.terms != "hinge" or method.credit != "sequence" or not method.compares_pairs:
        fits = [m.name for m in METHODS.values() if m.terms == "hinge" and m.compares_pairs]
        raise RecipeError(f"method.base: {method.name} has no hinge that a term can replace; choose {', '.join(fits)}")
    content = plugins.content_of(plugins.resolve("term", term, {}))
    return replace(method, name=f"{method.name}+{term}", term=term, term_content=content)


def with_signals(method: Method, score: ScoreConfig) -> ScoreConfig:
    """``score`` as the method needs it: with credit by signal, the scorer ``signals`` beside ``vectors``, which it
    repeats nothing of; z stays what it was. Raises RecipeError where nothing in it tells outputs apart."""
    if method.credit != "signal" or SCORER in score.scorers:
        return score
    if "vectors" not in score.scorers:
        raise RecipeError(
            f"train.credit: signal asks which outputs are right, and score.scorers {list(score.scorers)} does not say; "
            f"put vectors on score.ladder, or add {SCORER} to score.scorers"
        )
    weights = score.weights if score.weights or score.combine != "weights" else dict.fromkeys(score.scorers, 1.0)
    at = score.scorers.index("vectors")  # before it: the last scorer may be the one whose verdict is rewarded
    scorers = (*score.scorers[:at], SCORER, *score.scorers[at:])
    return score.model_copy(update={"scorers": scorers, "weights": weights})


def check_scores(method: Method, score: ScoreConfig) -> None:
    """Raise RecipeError where the method asks what no scorer of the recipe says: what compiles, or what is right."""
    judges = names_where(lambda scorer: scorer.judges_function)
    for option, value, wanted, names in (
        ("negatives", "beside-right", "which candidates are right", judges),
        ("group_weight", "difficulty", "which candidates are right", judges),
        ("ce_target", "verified", "which candidates are right", judges),
        ("negatives", "near", "which candidates compile", READERS),
    ):
        if getattr(method, option) == value and not set(names) & set(score.scorers):
            asked = f"train.{option}: {value}" if option != "ce_target" else f"method {method.name}: ce_target verified"
            raise RecipeError(
                f"{asked} asks {wanted}, and score.scorers {list(score.scorers)} does not say; add one of "
                f"{', '.join(names)}"
            )


_AT_LEAST_ZERO = (
    "beta", "length_exponent", "rank_margin", "ce_weight", "clip_low", "clip_high", "kl_weight", "negative_floor",
)  # fmt: skip


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
    if method.terms in ("dpo", "hinge-norm") and method.length_exponent != 0:
        raise RecipeError(f"train.length_exponent: {method.name} compares whole sequences; leave it at 0")
    if method.softmax and method.negative_floor is not None:
        raise RecipeError(
            "train.negative_floor: eq. 13 (train.softmax) pushes all responses down by its sum; leave out one"
        )
    _check_chosen(method)
    if method.credit == "signal":
        _check_credit(method)
    if not 0 < method.max_prompt_share <= 1:
        raise RecipeError(f"train.max_prompt_share: must be above 0 and at most 1 (got {method.max_prompt_share})")


def _check_credit(method: Method) -> None:
    if method.terms not in ("hinge", "dpo") or method.ranking_weight == 0:
        raise RecipeError(
            f"train.credit: signal is of pairs that a hinge or DPO compares, which {method.name} does not; choose "
            "method itertl, slic, dpo or salv, or leave it out"
        )
    if method.softmax:
        raise RecipeError("train.softmax: eq. 13 is over whole responses; with train.credit: signal leave it out")
    if method.length_normalizer != "response":
        raise RecipeError("train.length_normalizer: with train.credit: signal a length counts tokens of the response")


def _check_chosen(method: Method) -> None:
    """The options of ``verified`` and ``rso``."""
    if not 0 <= method.verified_share <= 1:
        raise RecipeError(f"train.verified_share: lies between 0 and 1 (got {method.verified_share})")
    if method.max_verified < 1:
        raise RecipeError(f"train.max_verified: must be at least 1 (got {method.max_verified})")
    beta = method.accept_beta
    if beta is not None and not (math.isfinite(beta) and beta > 0):
        raise RecipeError(f"train.accept_beta: must be finite and above 0 (got {beta})")
    if not 0 < method.accept_share <= 1:
        raise RecipeError(f"train.accept_share: must be above 0 and at most 1 (got {method.accept_share})")


def accept(z: Sequence[float], method: Method, seed: int, problem_id: str) -> list[int]:
    """Places of the candidates that statistical rejection sampling accepts, ascending (Liu et al. 2023, 2309.06657).

    As the code in that paper's appendix: passes over those that are left, each accepted with probability
    exp((z - max z of the left) / accept_beta), until ``accept_share`` of all are.
    """
    assert method.accept_beta is not None
    left, accepted, number = list(range(len(z))), list[int](), 0
    wanted = math.ceil(method.accept_share * len(z))
    while len(accepted) < wanted:
        best = max(z[place] for place in left)
        for place in list(left):
            chance = derive_seed(seed, "accept", problem_id, number, place) / 2**63
            if len(accepted) < wanted and chance < math.exp((z[place] - best) / method.accept_beta):
                accepted.append(place)
                left.remove(place)
        number += 1
    return sorted(accepted)
