"""``itertl study --plan``: for each arm epochs and iterations, time, memory and disk, and all of it together. Runs
nothing.

Each arm's estimate is that of ``itertl run --plan`` (``itertl.loop.plan``). What equal stages save is taken off the
total: the first run of a seed that samples the untouched model does it for all whose settings are the same.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itertl.config import Recipe
from itertl.loop.plan import Plan, duration, make_plan
from itertl.loop.study.file import Arm, Study
from itertl.loop.study.fit import Fitter, Passes
from itertl.model.prompt_form import with_form
from itertl.report.grids import Grid, rich_table
from itertl.training.methods import resolve_method


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm: the plan of a run of it, and the seconds that it saves because an arm before it has done the same."""

    arm: Arm
    passes: Passes
    run: Plan
    spared_s: float
    fitted: tuple[str, ...]  # KEY=VALUE that replace the arm's own

    @property
    def seconds(self) -> float:
        return self.run.seconds["total"] - self.spared_s


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All arms, each as often as there are seeds."""

    study: Study
    out: Path
    arms: tuple[ArmPlan, ...]
    assumed: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return len(self.study.seeds) * sum(one.seconds for one in self.arms)

    @property
    def disk_gb(self) -> float:
        return len(self.study.seeds) * sum(one.run.disk_gb for one in self.arms)

    def to_json(self) -> dict[str, Any]:
        return {
            "study": self.study.name, "out": str(self.out), "seeds": list(self.study.seeds),
            "control": self.study.control,
            "arms": [
                {
                    "arm": one.arm.name, "method": one.run.recipe.method, "iterations": one.passes.iterations,
                    "epochs": one.passes.epochs, "equal": one.arm.equal, "problems": one.run.problems,
                    "estimated_seconds": one.seconds, "stages": one.run.seconds, "spared_seconds": one.spared_s,
                    "estimated_memory_gb": one.run.memory_gb, "estimated_disk_gb": one.run.disk_gb,
                }
                for one in self.arms
            ],
            "estimated_seconds": self.seconds, "estimated_disk_gb": self.disk_gb, "assumed": list(self.assumed),
        }  # fmt: skip

    def table(self) -> Any:
        """For a terminal."""
        return rich_table(self.grid())

    def grid(self) -> Grid:
        columns = ("arm", "method", "passes", "pairs", "time", "memory", "disk")
        rows = [
            (
                one.arm.name, one.run.recipe.method,
                f"{one.passes.iterations} x {one.passes.epochs}{'?' if one.arm.equal == 'candidate_tokens' else ''}",
                str(one.run.problems), duration(one.seconds), f"{one.run.memory_gb:.1f} GB",
                f"{one.run.disk_gb:.1f} GB",
            )
            for one in self.arms
        ]  # fmt: skip
        seeds = len(self.study.seeds)
        every = f"all, {seeds} seed{'s' * (seeds > 1)}"
        total = (every, "", "", "", duration(self.seconds), "", f"{self.disk_gb:.1f} GB")
        rates = "at measured rates" if self.arms and self.arms[0].run.is_measured else "good to a factor of about two"
        notes = [
            "passes: iterations x epochs; an arm's time and disk are of one seed, all runs go one after another",
            f"times on this machine, from upper bounds of tokens, {rates}; equal stages counted once",
        ]
        if any(one.arm.equal == "candidate_tokens" for one in self.arms):
            notes.append("?: grows until its candidate tokens are the other arm's")
        notes += [
            f"{one.arm.name} runs with {' and '.join(one.fitted)}, to be equal to {one.arm.equal_to} in "
            f"{one.arm.equal.replace('_', ' ')}"
            for one in self.arms
            if one.fitted
        ]
        notes += [f"assumed: {line}" for line in self.assumed]
        return Grid(f"{self.study.name}, in {self.out}", columns, (*rows, total), tuple(notes))


def plan_study(study: Study, out: Path, only: Sequence[str] = (), *, measured: bool = False) -> StudyPlan:
    """Plan the arms of the first seed; ``measured``: from a few steps of each arm's model.

    Raises what a run would raise.
    """
    fitter, seed = Fitter(study, out, is_plan=True), study.seeds[0]
    fitter.check()
    done: set[str] = set()
    arms: list[ArmPlan] = []
    for arm in study.arms:
        if only and arm.name not in only:
            continue
        fitted = fitter.overrides_before(arm)
        recipe = with_form(study.recipe(arm, seed, fitted), lambda _: None)
        found = make_plan(recipe, out / arm.name / f"seed-{seed}", measured=measured)
        spared = 0.0
        for key, seconds in _shareable(recipe, found, arm):
            spared += seconds if key in done else 0.0
            done.add(key)
        arms.append(ArmPlan(arm, fitter.passes(arm, seed), found, spared, fitted))
    assumed = dict.fromkeys([*(line for one in arms for line in one.run.assumed), *fitter.assumed.values()])
    return StudyPlan(study, out, tuple(arms), tuple(assumed))


def _shareable(recipe: Recipe, plan: Plan, arm: Arm) -> list[tuple[str, float]]:
    """The stages that begin with the untouched model: what they depend on, and their seconds."""
    tree = recipe.model_dump(mode="json")
    begin = [tree["model"], tree["prompt"], None if arm.start is None else arm.start.model_dump()]
    found = []
    if resolve_method(recipe.method, recipe.train).uses_candidates:
        found.append((json.dumps([*begin, tree["data"], tree["sample"]]), plan.seconds["sample, an iteration"]))
    surrogate = tree["score"] if recipe.telemetry.surrogate_on_evals else None
    for config in tree["evals"]:
        key = json.dumps([*begin, config, tree["sample"], surrogate])
        found.append((key, plan.seconds[f"eval {config['benchmark']}"]))
    return found
