"""Arms made equal: as many reference tokens, candidate tokens or optimizer steps as the control's, by epochs or
iterations.

Reference tokens and steps follow from the pairs and the recipe, so they are known before anything runs: of the arm's
own number of iterations with other epochs, and its own epochs with another number of iterations, the nearest is taken.
Candidate tokens are known only once they are sampled, scored and trained on: the arm's iterations grow until another
would lead further from the control's total than it comes nearer. What an arm's starting checkpoint has seen counts as
seen. Rounding and what cannot be fitted show in the totals, which are in the table.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from itertl.config import Recipe
from itertl.errors import RecipeError, ToolMissing, UsageError
from itertl.loop.study.file import Arm, Study
from itertl.model.prompt_form import with_form
from itertl.records import IterationMetrics, content_hash
from itertl.runs.read import read_run
from itertl.sampling import lengths
from itertl.training.methods import Method, resolve_method

MOST = 4  # times the recipe's own iterations: an arm whose score is spent trains on ever fewer candidates


class Passes(NamedTuple):
    """How often a run goes through its pairs."""

    iterations: int
    epochs: int

    @property
    def total(self) -> int:
        return self.iterations * self.epochs

    def overrides(self, of: Recipe) -> tuple[str, ...]:
        """KEY=VALUE where it is not what the recipe says anyway."""
        found = [f"iterations={self.iterations}"] if self.iterations != of.iterations else []
        return (*found, *([f"train.epochs={self.epochs}"] if self.epochs != of.train.epochs else []))


class Pass(NamedTuple):
    """What one pass over an arm's pairs is."""

    reference_tokens: int
    steps: int


def nearest(target: float, each: float, own: Passes) -> Passes:
    """The passes whose number times ``each`` is nearest to ``target``: own iterations with other epochs, or own epochs
    with other iterations, at least one of both; of equals the own, then the own iterations."""
    wanted = target / each
    choices = [own]
    choices += [Passes(own.iterations, max(1, round_(wanted / own.iterations))) for round_ in (math.floor, math.ceil)]
    choices += [Passes(max(1, round_(wanted / own.epochs)), own.epochs) for round_ in (math.floor, math.ceil)]
    return min(choices, key=lambda passes: abs(passes.total - wanted))


@dataclass(slots=True)
class Fitter:
    """Says for each arm and seed of a study with which epochs and iterations it runs."""

    study: Study
    out: Path
    is_plan: bool = False  # what cannot be counted on this machine is assumed, and listed in ``assumed``
    assumed: dict[str, str] = field(default_factory=dict)
    _passes: dict[tuple[str, int], Passes] = field(default_factory=dict)
    _counted: dict[str, Pass] = field(default_factory=dict)

    def check(self) -> None:
        """Find out before anything runs that every arm can be made equal. Raises RecipeError that names the arm."""
        for arm in self.study.arms:
            other = self.study.arm(arm.equal_to)
            if arm.start is not None and arm.start.iteration > (
                has := self.passes(self.study.arm(arm.start.arm), self.study.seeds[0]).iterations
            ):
                raise RecipeError(
                    f"{self._where(arm)}: start.iteration: {arm.start.iteration}, but {arm.start.arm}, made equal, "
                    f"has {has}; set equal: none there, or start earlier"
                )
            if arm.equal == "none" or arm is other:
                continue
            for one in (arm, other) if arm.equal == "candidate_tokens" else ():
                recipe = self._own(one, self.study.seeds[0])
                if not resolve_method(recipe.method, recipe.train).uses_candidates:
                    raise RecipeError(
                        f"{self._where(arm)}: cannot be equal to {other.name} in candidate tokens, for {one.name} "
                        f"({recipe.method}) uses none; set equal there, or another equal_to"
                    )
            if arm.equal != "candidate_tokens" and other.equal == "candidate_tokens" and other.equal_to != other.name:
                raise RecipeError(
                    f"{self._where(arm)}: equal_to: how long {other.name} runs is known only when it has run; set "
                    f"equal_to: {other.equal_to}"
                )
            self.overrides_before(arm)

    def overrides_before(self, arm: Arm) -> tuple[str, ...]:
        """The first seed's, as far as they are known before anything has run."""
        seed = self.study.seeds[0]
        return self.passes(arm, seed).overrides(self._own(arm, seed))

    def recipe(self, arm: Arm, seed: int, out: Path | None = None) -> Recipe:
        """The arm's recipe as it is to run now; for a growing arm, as far as it goes with this call."""
        return self.study.recipe(arm, seed, self.overrides(arm, seed), out)

    def overrides(self, arm: Arm, seed: int) -> tuple[str, ...]:
        """The KEY=VALUE that make the arm equal. Raises RecipeError where it cannot be made so."""
        own = self._own(arm, seed)
        if arm.equal == "none" or arm.equal_to == arm.name:
            return ()
        if arm.equal == "candidate_tokens":
            return Passes(self._grown(arm, seed, own), own.train.epochs).overrides(own)
        return self.passes(arm, seed).overrides(own)

    def passes(self, arm: Arm, seed: int) -> Passes:
        """Of an arm that is made equal in reference tokens or steps, or not at all."""
        own = self._own(arm, seed)
        mine = Passes(own.iterations, own.train.epochs)
        if arm.equal in ("none", "candidate_tokens") or arm.equal_to == arm.name or mine.epochs == 0:
            return mine
        if (arm.name, seed) not in self._passes:
            target = self._total(self.study.arm(arm.equal_to), seed, arm.equal) - self._inherited(arm, seed, arm.equal)
            each = self._each(arm, seed, arm.equal)
            if arm.start is not None and target < each / 2:
                raise RecipeError(
                    f"{self._where(arm)}: what it starts from has seen as much as {arm.equal_to} in all, so that "
                    "nothing is left to train; set equal: none, or start earlier"
                )
            self._passes[arm.name, seed] = nearest(target, each, mine)
        return self._passes[arm.name, seed]

    def _own(self, arm: Arm, seed: int) -> Recipe:
        return self.study.recipe(arm, seed)

    def _where(self, arm: Arm) -> str:
        return f"{self.study.path}: arms.{arm.name}"

    def _total(self, arm: Arm, seed: int, unit: str) -> float:
        return self.passes(arm, seed).total * self._each(arm, seed, unit) + self._inherited(arm, seed, unit)

    def _inherited(self, arm: Arm, seed: int, unit: str) -> float:
        if arm.start is None:
            return 0
        other = self.study.arm(arm.start.arm)
        seen = arm.start.iteration * self.passes(other, seed).epochs * self._each(other, seed, unit)
        return seen + self._inherited(other, seed, unit)

    def _each(self, arm: Arm, seed: int, unit: str) -> float:
        """Of one pass. Where all arms go through the same pairs in the same form, counting is spared: a pass is 1."""
        if len({_key(self._own(other, seed)) for other in self.study.arms}) == 1:
            return 1
        try:
            found = self.count(arm, seed)
        except (UsageError, ToolMissing, OSError, ValueError) as error:
            if not self.is_plan:
                raise
            self.assumed[arm.name] = (
                "every arm's pass over the pairs is alike, for they cannot be counted here "
                f"({str(error).splitlines()[0]})"
            )
            return 1
        each = found.reference_tokens if unit == "reference_tokens" else found.steps
        if found.steps == 0:
            raise RecipeError(
                f"{self._where(arm)}: none of its pairs fits into train.max_length "
                f"{self._own(arm, seed).train.max_length}; raise it, or shorten the pairs (data.max_chars)"
            )
        if each == 0:
            raise RecipeError(
                f"{self._where(arm)}: method {self._own(arm, seed).method} does not train on references as such, so "
                "they cannot be made equal; set equal: none there, or steps"
            )
        return each

    def count(self, arm: Arm, seed: int) -> Pass:
        """One pass over the arm's pairs, counted with its tokenizer. Raises what reading pairs and models raises."""
        recipe = with_form(self._own(arm, seed), lambda _: None)
        key = _key(recipe)
        if key not in self._counted:
            self._counted[key] = _count(recipe)
        return self._counted[key]

    def _grown(self, arm: Arm, seed: int, own: Recipe) -> int:
        """With how many iterations an arm is to run now that grows towards the control's candidate tokens."""
        other = self.study.arm(arm.equal_to)
        target = self._seen(other, seed, read_run(self._folder(other, seed)).metrics[-1])
        metrics = _metrics(self._folder(arm, seed))
        return grown([self._seen(arm, seed, row) for row in metrics], target, MOST * own.iterations)

    def _seen(self, arm: Arm, seed: int, row: IterationMetrics) -> int:
        return row.candidate_tokens_seen + inherited(self.study, arm, seed, self.out)[1]

    def _folder(self, arm: Arm, seed: int) -> Path:
        return self.out / arm.name / f"seed-{seed}"


def grown(seen: Sequence[int], target: float, most: int) -> int:
    """Iterations to run to: ``seen`` are the totals after 0, 1, … of them. As many as are done where that is nearest to
    ``target``, where the last brought nothing, or at ``most``; else one more. It depends on nothing else, so that an
    interrupted study ends where an undisturbed one does."""
    done = len(seen) - 1
    if done < 1:
        return 1
    last = seen[done] - seen[done - 1]
    return done if last <= 0 or target - seen[done] < last / 2 or done >= most else done + 1


def inherited(study: Study, arm: Arm, seed: int, out: Path) -> tuple[int, int]:
    """Reference and candidate tokens that the checkpoint has seen from which an arm starts; (0, 0) where that is not
    known."""
    if arm.start is None:
        return 0, 0
    other = study.arm(arm.start.arm)
    rows = _metrics(out / other.name / f"seed-{seed}")
    row = next((row for row in rows if row.iterations == arm.start.iteration), None)
    before = inherited(study, other, seed, out)
    return before if row is None else (before[0] + row.reference_tokens_seen, before[1] + row.candidate_tokens_seen)


def _metrics(folder: Path) -> Sequence[IterationMetrics]:
    return read_run(folder).metrics if (folder / "metrics.jsonl").is_file() else ()


def _key(recipe: Recipe) -> str:
    """Of all that decides what one pass is: references, their prompts, what is left out, groups a step."""
    method = resolve_method(recipe.method, recipe.train)
    parts = recipe.model_dump(
        mode="json", include={"data": True, "prompt": True, "model": True, "train": {"max_length", "groups_per_step"}}
    )
    if lengths.has_auto(recipe):  # what is found for one depends on what is given for the other
        parts["sample"] = recipe.sample.max_new_tokens
    seed = recipe.seed if recipe.data.seed is None else 0
    return content_hash(
        [json.loads(json.dumps(parts)), seed, method.max_prompt_share, method.whole_files, _sees_references(method)], 32
    )


def _sees_references(method: Method) -> bool:
    if method.ce_target == "verified" and method.verified_share == 1:
        return False
    return method.uses_ce and method.ce_target != "best-candidate"


def _count(recipe: Recipe) -> Pass:
    from itertl.loop import shown
    from itertl.model import find
    from itertl.training.batches import build_groups

    method, problems = resolve_method(recipe.method, recipe.train), shown.load(recipe).problems
    recipe, tokenizer = lengths.settled(recipe, lambda: problems), lengths.tokenizer_of(recipe)
    context = getattr(find.configuration(recipe.model), "max_position_embeddings", None) or recipe.train.max_length
    train = recipe.train.model_copy(update={"max_length": min(recipe.train.max_length, context)})
    groups = build_groups(
        (), problems, tokenizer, prompt=recipe.prompt, score=recipe.score, train=train, method=method
    ).groups
    references = sum(group.reference_tokens for group in groups) if _sees_references(method) else 0
    return Pass(references, math.ceil(len(groups) / recipe.train.groups_per_step))
