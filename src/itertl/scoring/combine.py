"""From the scores of a candidate to its z, by the recipe's weights or ladder. The reference has z = 1 by definition."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itertl.config import ScoreConfig
from itertl.errors import RecipeError
from itertl.records import Fault, Score, Verdict
from itertl.scoring.scorers import names_where, scorer_of

_FUNCTION = names_where(lambda scorer: scorer.judges_function)[::-1]  # a proof before a simulation
_BELOW_FUNCTION = names_where(lambda scorer: scorer.bars_function)
READERS = names_where(lambda s: s.judges_syntax or s.judges_function or s.bars_function)  # what says what compiles
_DO_NOT_COMPILE = (
    Verdict.NO_CODE, Verdict.SYNTAX_ERROR, Verdict.ELABORATION_ERROR, Verdict.COMPILE_ERROR, Verdict.GAMED,
    Verdict.TRUNCATED,
)  # fmt: skip
_RAN_BADLY = (Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)
_MAY_STAY = (Verdict.UNDECIDED, Verdict.UNJUDGEABLE)
_RAN = (Verdict.PASSED, Verdict.WRONG_OUTPUT, Verdict.SCORED)


def check_combination(config: ScoreConfig) -> None:
    """Raise RecipeError, naming the key, where ``config`` cannot be turned into a z."""
    if not config.scorers:
        raise RecipeError("score.scorers is empty: name one, for example [rtlcoder]")
    for key, names in (("weights", config.weights), ("ladder", config.ladder), ("floor", config.floor)):
        for name in names:
            if name not in config.scorers:
                raise RecipeError(f"score.{key} names {name!r}, which score.scorers does not take")
    if config.combine == "ladder":
        _check_ladder(config.ladder)
        _check_floor(config)
        return
    if config.floor:
        advice = f"leave it out, or set score.combine to ladder, which is {config.combine}"
        raise RecipeError(f"score.floor is for a ladder: {advice}")
    for name, weight in config.weights.items():
        if not math.isfinite(weight) or weight < 0:
            raise RecipeError(f"score.weights.{name} is {weight}: a weight is a number of at least 0")
    if config.weights and not sum(config.weights.values()) > 0:
        raise RecipeError("score.weights are all 0: give one scorer a weight above 0")


def rungs(config: ScoreConfig) -> tuple[str, ...]:
    """The scorers that are taken one above the other, the lowest first; none where there is no ladder."""
    return tuple(config.ladder) if config.combine == "ladder" else ()


def heights(rung: float | tuple[float, float]) -> tuple[float, float]:
    """What a value just under 1 reaches on this rung, and what 1 reaches."""
    return rung if isinstance(rung, tuple) else (rung, rung)


def _check_ladder(ladder: Mapping[str, float | tuple[float, float]]) -> None:
    if not ladder:
        raise RecipeError("score.combine is ladder, but score.ladder is empty: give scorer: height, the lowest first")
    below = 0.0
    for name, rung in ladder.items():
        partial, whole = heights(rung)
        if not (math.isfinite(whole) and below <= partial <= whole and whole > below):
            rule = f"heights must rise, each above the one before ({below:g})"
            raise RecipeError(f"score.ladder.{name} is {rung}: {rule}")
        below = whole


def _check_floor(config: ScoreConfig) -> None:
    top = heights(list(config.ladder.values())[-1])[1]
    for name, (low, high) in config.floor.items():
        if name in config.ladder:
            raise RecipeError(f"score.floor.{name} is a rung of score.ladder too: name a scorer beside the ladder")
        if not 0 <= low <= high <= top:
            rule = f"two heights from 0 to the ladder's top ({top:g}), the lower one first"
            raise RecipeError(f"score.floor.{name} is [{low:g}, {high:g}]: {rule}")


def combine(scores: Sequence[Score], config: ScoreConfig) -> float | None:
    """z of one candidate, in [0, 1] where its scores are; None where a score that it needs is missing by our fault.

    ``weights``: Σ w·value / Σ w, over the scorers with a weight (no weights: all, equally). ``ladder``: climb the rungs
    in order while their value is 1; z is the height reached, plus the share of the way to the first rung not held that
    its value is, over the top height. A rung above that one is not needed, and an optional one may be undecided. A
    confirmed counterexample of ``equivalence`` takes back the rung ``vectors`` below it: what is left is what a value
    just under 1 reaches there (where that is the rung's height too, what the rung before it reached). A scorer of
    ``floor`` with a value above 0 holds z at least that far between its two heights; one that is undecided holds
    nothing. ``coderl``, ``rltf``: ``shaped_reward`` of the last scorer, in [-1, 1]. Raises RecipeError.
    """
    check_combination(config)
    by_name = {score.scorer: score for score in scores}
    if config.combine in ("coderl", "rltf"):
        return shaped_reward(_score_of(config.scorers[-1], by_name), partial=config.combine == "rltf")
    if config.combine == "ladder":
        return _held_up(climb(scores, config).z, by_name, config)
    weights = config.weights or dict.fromkeys(config.scorers, 1.0)
    return _mean({name: _score_of(name, by_name).value for name in weights}, weights)


def _held_up(z: float | None, by_name: Mapping[str, Score], config: ScoreConfig) -> float | None:
    """z of a climb, at least at what the scorers of ``floor`` hold."""
    top = heights(list(config.ladder.values())[-1])[1]
    for name, (low, high) in config.floor.items():
        score = _score_of(name, by_name)
        if score.value is None and score.verdict not in _MAY_STAY:
            return None
        if z is not None and score.value:
            z = max(z, (low + min(1.0, score.value) * (high - low)) / top)
    return z


def _score_of(name: str, by_name: Mapping[str, Score]) -> Score:
    if name not in by_name:
        raise RecipeError(f"the recipe's z needs the score {name!r}, which was not taken; score the candidates again")
    return by_name[name]


def shaped_reward(score: Score, *, partial: bool) -> float | None:
    """A reward for what became of a candidate, in [-1, 1]; None where the fault is ours.

    -1 where there is nothing to run, -0.6 where it ran badly or without end, -0.3 where it is wrong, 1 where it is
    right (CodeRL, Le et al. 2022, eq. 3); ``partial``: a wrong one gets -0.3 + 1.3 times the scorer's value (RLTF, Liu
    et al. 2023, section 3.3). A scorer that knows no wrong and right, but measures, is right where its value is 1.
    """
    if score.value is None or score.verdict.fault is Fault.OURS:
        return None
    if score.verdict in _RAN_BADLY:
        return -0.6
    if score.verdict not in _RAN:
        return -1.0
    if score.verdict is Verdict.PASSED or (score.verdict is Verdict.SCORED and score.value >= 1):
        return 1.0
    return -0.3 + 1.3 * min(1.0, max(0.0, score.value)) if partial else -0.3


def _mean(values: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    total = 0.0
    for name, weight in weights.items():
        value = values[name] if weight else 0.0
        if value is None:
            return None
        total += weight * value
    return total / sum(weights.values())


@dataclass(frozen=True, slots=True)
class Climb:
    """How far a candidate came on a ladder. ``held``: the highest rung whose value is 1, "" for none."""

    z: float | None  # None where our own fault left it open
    held: str


def is_passed_by(score: Score) -> bool:
    """Whether a climb goes on above a rung that has no answer: hardware that Yosys cannot make may still do what it
    should."""
    return scorer_of(score.scorer).is_passed and score.verdict is Verdict.UNDECIDED


def climb(scores: Sequence[Score], config: ScoreConfig) -> Climb:
    """Up the recipe's ladder. Raises RecipeError where a rung that is needed was not scored."""
    by_name = {score.scorer: score for score in scores}
    reached, held, top = 0.0, "", heights(list(config.ladder.values())[-1])[1]
    taken_back = Climb(0.0, "")
    for name, rung in config.ladder.items():
        partial, whole = heights(rung)
        score = _score_of(name, by_name)
        if is_passed_by(score) and name != list(config.ladder)[-1]:
            continue
        if score.value is None:
            may_stay = name in config.optional and score.verdict in _MAY_STAY
            return Climb(reached / top if may_stay else None, held)
        if score.verdict is Verdict.WRONG_OUTPUT and scorer_of(name).refutes == held:
            return taken_back
        if score.value < 1:
            return Climb((reached + max(0.0, score.value) * (partial - reached)) / top, held)
        taken_back = Climb((partial if partial < whole else reached) / top, held)
        reached, held = whole, name
    return Climb(1.0, held)


def is_right(scores: Sequence[Score]) -> bool | None:
    """By the scorers of function, or by a rung below them that was not held; None where none of them has a say."""
    values = {score.scorer: score.value for score in scores if score.value is not None}
    by_function = [values[name] for name in _FUNCTION if name in values]
    if by_function:
        return by_function[0] >= 1
    return False if any(values[name] < 1 for name in _BELOW_FUNCTION if name in values) else None


def compiles(scores: Sequence[Score]) -> bool | None:
    """Whether no scorer that reads the text as code refused it; None where none was taken.

    The paper's score, whose parser knows less than the language, has a say only where it is alone.
    """
    said = {score.scorer: score.verdict for score in scores if score.scorer in READERS and score.value is not None}
    if len(said) > 1:
        said.pop("rtlcoder", None)
    return not any(verdict in _DO_NOT_COMPILE for verdict in said.values()) if said else None
